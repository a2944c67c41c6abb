//! Whole records as a cardiologist measures them: rate, intervals, axis, regularity and voltage of synthetic records beside
//! real ones, finding by finding.
//!
//! Each quantity is read on both by the same delineator, so that its errors are on both sides. How far two samples of real
//! patients lie apart is printed beside, since nothing synthetic can be nearer than that.

use rayon::prelude::*;
use serde::Serialize;

use crate::beat::interval::rr_statistics;
use crate::beat::rpeak::r_peaks;
use crate::dataset::{Dataset, Split};
use crate::delineators::facts::measure;
use crate::delineators::{Delineator, DelineatorSpec};
use crate::error::{Error, Result};
use crate::metrics::bootstrap::quantile;
use crate::metrics::univariate::{KsMethod, ks_test};

/// Name of each quantity, with its unit.
pub const QUANTITIES: [&str; 7] = ["hr_bpm", "pr_ms", "qrs_ms", "qtc_ms", "axis_deg", "rr_variation", "voltage_mv"];

/// Fewest readings of a sample for a distance.
const MIN_READINGS: usize = 8;

/// A quantity of the records with a finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Physiology {
    /// The finding; `all` for all records.
    pub label: String,
    /// One of [`QUANTITIES`].
    pub quantity: &'static str,
    /// The held-out real records.
    pub real: Readings,
    /// The synthetic ones.
    pub synthetic: Readings,
    /// Largest distance of the distribution functions of both, 0 to 1; `None` for too few readings.
    pub distance: Option<f64>,
    /// The same of held-out real records and those of the training part: what real patients differ by.
    pub floor: Option<f64>,
}

/// What was read on a set of records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Readings {
    /// Records.
    pub n: usize,
    /// Share of them on which it could be read; for PR that on which P waves lead to beats.
    pub share_read: f64,
    /// Quartiles; `None` where nothing was read.
    pub quartiles: Option<[f64; 3]>,
}

/// Compares synthetic records with the validation and test parts of real ones, for every label that both know.
///
/// # Errors
/// [`Error::Data`] where the sets share no label or `real` has nothing held out; those of the delineator.
pub fn physiology(real: &Dataset, synthetic: &Dataset, spec: &dyn DelineatorSpec) -> Result<Vec<Physiology>> {
    let shared: Vec<(&String, usize, usize)> = (real.label_names.iter().enumerate())
        .filter_map(|(k, name)| Some((name, k, synthetic.label_names.iter().position(|other| other == name)?)))
        .collect();
    if shared.is_empty() {
        return Err(Error::data("synthetic set", "has no label in common with the real one"));
    }
    let (of_real, of_synthetic) = (read_all(real, spec)?, read_all(synthetic, spec)?);
    let is_train = |i: usize| real.split[i] == Split::Train;
    let held_out: Vec<usize> = (0..real.len()).filter(|&i| !is_train(i)).collect();
    if held_out.is_empty() {
        return Err(Error::data("real set", "has neither a validation nor a test part to compare with"));
    }
    let train: Vec<usize> = (0..real.len()).filter(|&i| is_train(i)).collect();
    let all: Vec<usize> = (0..synthetic.len()).collect();
    let with = |data: &Dataset, items: &[usize], label: usize| -> Vec<usize> {
        items.iter().copied().filter(|&i| data.labels_of(i).any(|of| of == label)).collect()
    };
    let mut rows = compare("all", (&of_real, &held_out), (&of_real, &train), (&of_synthetic, &all))?;
    for (name, k, of) in shared {
        let [held_out, train] = [&held_out, &train].map(|items| with(real, items, k));
        let drawn = with(synthetic, &all, of);
        if !drawn.is_empty() {
            rows.extend(compare(name, (&of_real, &held_out), (&of_real, &train), (&of_synthetic, &drawn))?);
        }
    }
    Ok(rows)
}

/// What is read on one record, in the order of [`QUANTITIES`].
type Read = [Option<f64>; QUANTITIES.len()];

fn read_all(data: &Dataset, spec: &dyn DelineatorSpec) -> Result<Vec<Read>> {
    (0..data.len()).into_par_iter().map(|i| read(data, i, spec.build()?.as_ref())).collect()
}

fn read(data: &Dataset, item: usize, delineator: &dyn Delineator) -> Result<Read> {
    let leads: Vec<&[f32]> = data.item(item).chunks(data.sig_len).collect();
    let named: Vec<(&str, &[f32])> = data.leads.iter().map(String::as_str).zip(leads.iter().copied()).collect();
    let facts = measure(&named, data.fs_hz, delineator)?;
    let rr = rr_statistics(&r_peaks(&leads, data.fs_hz)?, data.fs_hz);
    let spread = |mv: &[f32]| {
        let (low, high) = mv.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
        f64::from(high - low)
    };
    let voltage = leads.iter().map(|mv| spread(mv)).sum::<f64>() / leads.len() as f64;
    let variation = rr.and_then(|rr| Some(rr.sd_ms? / rr.mean_ms));
    Ok([facts.hr_bpm, facts.pr_ms, facts.qrs_ms, facts.qtc_ms, facts.axis_deg, variation, Some(voltage)])
}

fn compare(
    label: &str,
    held_out: (&[Read], &[usize]),
    train: (&[Read], &[usize]),
    synthetic: (&[Read], &[usize]),
) -> Result<Vec<Physiology>> {
    let row = |q: usize| {
        let values = |(reads, items): (&[Read], &[usize])| -> Vec<f64> {
            items.iter().filter_map(|&item| reads[item][q]).collect()
        };
        let (real, drawn, other) = (values(held_out), values(synthetic), values(train));
        Ok(Physiology {
            label: label.into(),
            quantity: QUANTITIES[q],
            distance: distance(&real, &drawn)?,
            floor: distance(&real, &other)?,
            real: readings(held_out.1.len(), real),
            synthetic: readings(synthetic.1.len(), drawn),
        })
    };
    (0..QUANTITIES.len()).map(row).collect()
}

fn distance(a: &[f64], b: &[f64]) -> Result<Option<f64>> {
    if a.len().min(b.len()) < MIN_READINGS {
        return Ok(None);
    }
    ks_test(a, b, KsMethod::Asymptotic).map(|test| Some(test.statistic))
}

fn readings(n: usize, mut values: Vec<f64>) -> Readings {
    values.sort_by(f64::total_cmp);
    let quartiles = (!values.is_empty()).then(|| [0.25, 0.5, 0.75].map(|share| quantile(&values, share)));
    Readings { n, share_read: if n == 0 { 0.0 } else { values.len() as f64 / n as f64 }, quartiles }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delineators::DELINEATORS;
    use crate::record::lead_law::TWELVE;
    use crate::seed::Seed;
    use crate::simulate::dipole::{Request, SimulatedEcg};

    /// Records of the simulator, in turn sinus rhythm and fibrillation, or what `second` says.
    fn records(n: u64, seed: u64, second: &str, split: Split) -> Dataset {
        let names = ["SR", "AFIB"].map(String::from).to_vec();
        let mut data = Dataset::new(TWELVE.map(String::from).to_vec(), 2500, 250.0, names);
        for i in 0..n {
            let is_second = i % 2 == 1;
            let request = Request::new(if is_second { second } else { "sinus" }).unwrap();
            let request = Request { fs_hz: 250.0, ..request };
            data.ecg.extend(SimulatedEcg::draw(&request, Seed::new(seed).index(i)).unwrap().ecg_mv);
            data.labels.extend([u8::from(!is_second), u8::from(is_second)]);
            data.record.push(i.to_string());
            data.patient.push(format!("{seed}-{i}"));
            data.split.push(split);
            data.index.push(0);
        }
        data
    }

    #[test]
    fn a_wrong_rhythm_is_far_from_real_ones_and_a_right_one_is_at_the_floor() {
        let mut real = records(40, 1, "af", Split::Test);
        real.append(&records(40, 2, "af", Split::Train)).unwrap();
        let rows = |second: &str| physiology(&real, &records(40, 3, second, Split::Train), DELINEATORS[0]).unwrap();
        let of = |rows: &[Physiology], label: &str, quantity: &str| {
            rows.iter().find(|row| row.label == label && row.quantity == quantity).unwrap().clone()
        };
        let right = of(&rows("af"), "AFIB", "rr_variation");
        let wrong = of(&rows("sinus"), "AFIB", "rr_variation");
        assert!(wrong.distance.unwrap() > 0.8 && right.distance.unwrap() < 0.5, "{wrong:?} {right:?}");
        assert!(right.real.quartiles.unwrap()[0] > wrong.synthetic.quartiles.unwrap()[2], "fibrillation is irregular");
        let pr = of(&rows("af"), "AFIB", "pr_ms");
        assert!(pr.real.share_read < 0.3 && of(&rows("af"), "SR", "pr_ms").real.share_read > 0.7, "{pr:?}");
        assert_eq!((right.real.n, right.synthetic.n), (20, 20));
        assert!(of(&rows("af"), "all", "hr_bpm").floor.is_some());
    }

    #[test]
    fn sets_that_share_no_label_and_sets_without_held_out_records_are_refused() {
        let real = records(2, 1, "af", Split::Test);
        let mut other = records(2, 2, "af", Split::Train);
        other.label_names = vec!["N".into(), "V".into()];
        let message = |result: Result<Vec<Physiology>>| result.unwrap_err().to_string();
        assert!(message(physiology(&real, &other, DELINEATORS[0])).contains("label in common"));
        let trained = records(2, 3, "af", Split::Train);
        assert!(message(physiology(&trained, &trained, DELINEATORS[0])).contains("neither a validation nor a test"));
    }
}
