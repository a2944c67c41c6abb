//! The simulated cohort as a data set of the shape of MIT-BIH: the embedded default.
//!
//! It stands in for real data where none is at hand, so its provenance says `"synthetic": true` and
//! `"kind": "simulated"`. Its parts keep patients apart.

use std::path::Path;

use serde_json::json;

use super::{Database, OpenOptions, PublishedFile};
use crate::beat::segment::Window;
use crate::dataset::label::AAMI;
use crate::dataset::{Dataset, SIMULATED, Split};
use crate::error::{Error, Result};
use crate::seed::Seed;
use crate::simulate::beats::{BeatClass, BeatCohort, CohortPart, SimulatedBeats, simulate_beats};

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "simulated";

/// The entry of the catalogue: the default cohort under the seed of the options.
#[derive(Debug, Clone, Copy)]
pub struct Simulated;

impl Database for Simulated {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "embedded: a simulated cohort of the shape of MIT-BIH, for trying everything without a download"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn license(&self) -> &'static str {
        "MIT OR Apache-2.0"
    }

    fn reference(&self) -> &'static str {
        "@article{mcsharry2003dynamical, author = {McSharry, Patrick E. and Clifford, Gari D. and Tarassenko, Lionel and Smith, Leonard A.}, title = {A dynamical model for generating synthetic electrocardiogram signals}, journal = {IEEE Transactions on Biomedical Engineering}, volume = {50}, number = {3}, pages = {289--294}, year = {2003}, doi = {10.1109/TBME.2003.808805}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "no folder: it is made from the seed"
    }

    fn url(&self) -> &'static str {
        ""
    }

    fn files(&self) -> Vec<PublishedFile> {
        Vec::new()
    }

    fn item(&self) -> &'static str {
        "beat"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["aami"]
    }

    fn open(&self, _folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let refuse =
            |key: &str, expected: &str| Err(Error::config(key, format!("the simulated cohort has {expected} only")));
        if options.labels.name != AAMI.name {
            return refuse("labels", "the labels \"aami\"");
        }
        if options.window != Window::BEAT {
            return refuse("window", "windows of 256 points around R");
        }
        if options.high_pass_hz.is_some() {
            return refuse("high_pass_hz", "beats without a high-pass");
        }
        if !options.records.is_empty() {
            return refuse("records", "all of its records");
        }
        load(&BeatCohort::default(), Seed::new(options.seed))
    }
}

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
