//! The simulated cohort as a data set of the shape of MIT-BIH: the embedded default.
//!
//! It stands in for real data where none is at hand, so its provenance says `"synthetic": true` and
//! `"kind": "simulated"`. Its parts keep patients apart.

use serde_json::json;

use crate::dataset::label::AAMI;
use crate::dataset::{Dataset, SIMULATED, Split};
use crate::error::Result;
use crate::seed::Seed;
use crate::simulate::beats::{BeatClass, BeatCohort, CohortPart, SimulatedBeats, simulate_beats};

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "simulated";

/// Simulates the cohort and labels it with the five classes of the AAMI.
///
/// # Errors
/// As [`simulate_beats`].
pub fn load(config: &BeatCohort, seed: Seed) -> Result<Dataset> {
    let beats = simulate_beats(config, seed)?;
    let mut data = dataset_from_beats(beats);
    data.provenance = json!({
        "source": NAME,
        "kind": SIMULATED,
        "synthetic": true,
        "version": env!("CARGO_PKG_VERSION"),
        "license": "MIT OR Apache-2.0",
        "reference": "McSharry et al. 2003, doi:10.1109/TBME.2003.808805",
        "cohort": config,
        "notes": ["simulated: shows that the machinery works and says nothing about patients"],
    });
    Ok(data)
}

/// One lead, named MLII after the one that its shapes imitate; one record for each patient.
fn dataset_from_beats(beats: SimulatedBeats) -> Dataset {
    let mut data = Dataset::new(vec!["MLII".into()], beats.sig_len, beats.fs_hz, AAMI.names());
    for (i, class) in beats.class.iter().enumerate() {
        let name = format!("{NAME}-{:03}", beats.patient[i]);
        data.labels.extend(BeatClass::ALL.map(|other| u8::from(other == *class)));
        data.record.push(name.clone());
        data.patient.push(name);
        data.split.push(match beats.part[i] {
            CohortPart::Train => Split::Train,
            CohortPart::Validation => Split::Validation,
            CohortPart::Test => Split::Test,
        });
    }
    data.ecg = beats.ecg;
    data.index = beats.index;
    data.rr_s = Some(beats.rr_s);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::guard;

    #[test]
    fn default_cohort_passes_the_guard() {
        let data = load(&BeatCohort::default(), Seed::new(1)).unwrap();
        data.validate().unwrap();
        assert_eq!(data.label_names, ["N", "S", "V", "F", "Q"]);
        assert_eq!(guard::check(&data).unwrap(), []);
        assert!((0..data.len()).all(|i| !data.is_generated(i)));
        for part in [Split::Train, Split::Validation, Split::Test] {
            let counts = data.class_counts(part).unwrap();
            assert!(counts.iter().all(|&n| n >= 20), "{part:?}: {counts:?}");
        }
    }
}
