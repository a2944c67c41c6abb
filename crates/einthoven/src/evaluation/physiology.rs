//! Whole records as a cardiologist measures them: rate, intervals, axis, regularity and voltage of synthetic records beside
//! real ones, finding by finding.
//!
//! Each quantity is read on both by the same delineator, so that its errors are on both sides. How far two samples of real
//! patients lie apart is printed beside, since nothing synthetic can be nearer than that. A record counts in each of its
//! labels.

use rayon::prelude::*;
use serde::Serialize;

use crate::beat::interval::rr_statistics;
use crate::beat::rpeak::r_peaks;
use crate::beat::segment::Window;
use crate::dataset::Dataset;
use crate::delineators::facts::measure;
use crate::delineators::{Delineator, DelineatorSpec};
use crate::error::Result;
use crate::metrics::bootstrap::quantile;
use crate::metrics::classification::patient_indexes;
use crate::metrics::univariate::{KsMethod, ks_test};
use crate::seed::Seed;

/// Name of each quantity, with its unit.
pub const QUANTITIES: [&str; 8] =
    ["hr_bpm", "pr_ms", "qrs_ms", "qtc_ms", "axis_deg", "rr_variation", "qrs_height_variation", "voltage_mv"];

/// How far around R the height of QRS is looked for, s: half of a narrow complex, so that T never counts.
const QRS_REACH_S: f64 = 0.06;
/// Fewest beats for how much their heights vary.
const MIN_BEATS: usize = 3;

/// Fewest readings of a sample for a distance or a difference.
const MIN_READINGS: usize = 8;

/// Resamples behind the interval of a difference.
const REPLICATES: u64 = 500;

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
    /// Median of the synthetic records less that of the real ones, in the quantity's unit; `None` for too few readings.
    pub difference: Option<MedianDifference>,
}

/// A difference of medians with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MedianDifference {
    /// The difference.
    pub value: f64,
    /// Lower end of the interval, by resampling held-out patients and synthetic records.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
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

/// Compares synthetic records with held-out real ones, over all and for every label that some record of each side has: of
/// each a row for every quantity, in the order of [`QUANTITIES`].
///
/// The three sets have the same axes; `train` is what the generator learned from.
///
/// # Errors
/// Those of the delineator.
pub fn physiology(
    train: &Dataset,
    held_out: &Dataset,
    synthetic: &Dataset,
    spec: &dyn DelineatorSpec,
    seed: Seed,
) -> Result<Vec<Physiology>> {
    let side = |data| -> Result<Side> { Ok(Side { data, reads: read_all(data, spec)? }) };
    let (held_out, train, synthetic) = (side(held_out)?, side(train)?, side(synthetic)?);
    let mut rows = Vec::new();
    let labels = synthetic.data.label_names.iter().enumerate().map(|(label, name)| (name.as_str(), Some(label)));
    for (name, label) in std::iter::once(("all", None)).chain(labels) {
        let samples = [&held_out, &train, &synthetic].map(|side| side.sample(label));
        if !samples[0].is_empty() && !samples[2].is_empty() {
            rows.extend(compare(name, samples, seed.purpose(name))?);
        }
    }
    Ok(rows)
}

/// Records and what was read on them.
struct Side<'a> {
    data: &'a Dataset,
    reads: Vec<Read>,
}

/// What was read on a record, and whose it is.
type Sample<'a> = Vec<(&'a Read, &'a str)>;

impl Side<'_> {
    fn sample(&self, label: Option<usize>) -> Sample<'_> {
        let items = self.data.items_with(label);
        items.into_iter().map(|i| (&self.reads[i], self.data.patient[i].as_str())).collect()
    }
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
    let peaks = r_peaks(&leads, data.fs_hz)?;
    let rr = rr_statistics(&peaks, data.fs_hz);
    let voltage = leads.iter().map(|mv| range(mv)).sum::<f64>() / leads.len() as f64;
    let variation = rr.and_then(|rr| Some(rr.sd_ms? / rr.mean_ms));
    let height_variation = qrs_height_variation(&leads, &peaks, data.fs_hz);
    Ok([
        facts.hr_bpm,
        facts.pr_ms,
        facts.qrs_ms,
        facts.qtc_ms,
        facts.axis_deg,
        variation,
        height_variation,
        Some(voltage),
    ])
}

fn range(mv: &[f32]) -> f64 {
    let (low, high) = mv.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    f64::from(high - low)
}

/// Standard deviation over mean of the heights of QRS in a lead, from beat to beat; the median of the leads.
fn qrs_height_variation(leads: &[&[f32]], peaks: &[usize], fs_hz: f64) -> Option<f64> {
    let reach = (QRS_REACH_S * fs_hz).round() as usize;
    let window = Window { before: reach, sig_len: 2 * reach + 1 };
    let of_lead = |lead: &&[f32]| {
        let heights: Vec<f64> = peaks.iter().filter_map(|&r| window.cut(lead, r as i64)).map(range).collect();
        let (n, mean) = (heights.len(), heights.iter().sum::<f64>() / heights.len() as f64);
        let squares: f64 = heights.iter().map(|height| (height - mean).powi(2)).sum();
        (n >= MIN_BEATS && mean > 0.0).then(|| (squares / (n - 1) as f64).sqrt() / mean)
    };
    let mut of_leads: Vec<f64> = leads.iter().filter_map(of_lead).collect();
    of_leads.sort_by(f64::total_cmp);
    (!of_leads.is_empty()).then(|| quantile(&of_leads, 0.5))
}

/// Held-out, training and synthetic records, in this order.
fn compare(label: &str, samples: [Sample; 3], seed: Seed) -> Result<Vec<Physiology>> {
    let row = |(q, quantity): (usize, &'static str)| {
        let values = |sample: &Sample| -> Vec<f64> { sample.iter().filter_map(|(read, _)| read[q]).collect() };
        let [real, other, drawn] = samples.each_ref().map(values);
        Ok(Physiology {
            label: label.into(),
            quantity,
            distance: distance(&real, &drawn)?,
            floor: distance(&real, &other)?,
            difference: difference([&samples[0], &samples[2]], q, seed.purpose(quantity)),
            real: readings(samples[0].len(), real),
            synthetic: readings(samples[2].len(), drawn),
        })
    };
    QUANTITIES.into_iter().enumerate().map(row).collect()
}

/// Median of the second sample less that of the first, with a percentile interval (Efron 1979): patients are drawn anew
/// with all their records, since records of one patient resemble each other.
fn difference(samples: [&Sample; 2], quantity: usize, seed: Seed) -> Option<MedianDifference> {
    let sides = samples.map(|sample| Readable::new(sample, quantity));
    if sides.iter().any(|side| side.sorted.len() < MIN_READINGS) {
        return None;
    }
    let between = |medians: [f64; 2]| medians[1] - medians[0];
    let value = between(sides.each_ref().map(|side| side.median(&vec![1; side.n_patients])));
    let mut drawn: Vec<f64> = (0..REPLICATES)
        .into_par_iter()
        .map(|replicate| {
            let mut stream = seed.index(replicate).stream();
            between(sides.each_ref().map(|side| {
                let mut counts = vec![0; side.n_patients];
                (0..side.n_patients).for_each(|_| counts[stream.below(side.n_patients)] += 1);
                side.median(&counts)
            }))
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    Some(MedianDifference { value, ci_low: quantile(&drawn, 0.025), ci_high: quantile(&drawn, 0.975) })
}

/// Readings of one quantity in rising order, each with its patient.
struct Readable {
    sorted: Vec<(f64, usize)>,
    n_patients: usize,
}

impl Readable {
    /// Patients on whose records it could not be read are none of its.
    fn new(sample: &Sample, quantity: usize) -> Readable {
        let (values, patients): (Vec<f64>, Vec<String>) =
            sample.iter().filter_map(|(read, patient)| Some((read[quantity]?, (*patient).to_string()))).unzip();
        let (of, names) = patient_indexes(&patients);
        let mut sorted: Vec<(f64, usize)> = values.into_iter().zip(of).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        Readable { sorted, n_patients: names.len() }
    }

    /// Median with each reading as often as its patient was drawn.
    fn median(&self, counts: &[usize]) -> f64 {
        let often = self.sorted.iter().flat_map(|&(value, patient)| std::iter::repeat_n(value, counts[patient]));
        quantile(&often.collect::<Vec<_>>(), 0.5)
    }
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
    use crate::dataset::Split;
    use crate::delineators::DELINEATORS;
    use crate::record::lead_law::TWELVE;
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
        let (held_out, train) = (records(40, 1, "af", Split::Test), records(40, 2, "af", Split::Train));
        let rows = |second: &str| {
            let drawn = records(40, 3, second, Split::Train);
            physiology(&train, &held_out, &drawn, DELINEATORS[0], Seed::new(1)).unwrap()
        };
        let of = |rows: &[Physiology], label: &str, quantity: &str| {
            rows.iter().find(|row| row.label == label && row.quantity == quantity).unwrap().clone()
        };
        let right = of(&rows("af"), "AFIB", "rr_variation");
        let wrong = of(&rows("sinus"), "AFIB", "rr_variation");
        assert!(wrong.distance.unwrap() > 0.8 && right.distance.unwrap() < 0.5, "{wrong:?} {right:?}");
        assert!(right.real.quartiles.unwrap()[0] > wrong.synthetic.quartiles.unwrap()[2], "fibrillation is irregular");
        // The interval of a right rhythm holds 0, that of a wrong one lies below.
        let (right_by, wrong_by) = (right.difference.unwrap(), wrong.difference.unwrap());
        assert!(right_by.ci_low < 0.0 && right_by.ci_high > 0.0, "{right_by:?}");
        assert!(wrong_by.ci_high < 0.0 && wrong_by.ci_low <= wrong_by.value, "{wrong_by:?}");
        let pr = of(&rows("af"), "AFIB", "pr_ms");
        assert!(pr.real.share_read < 0.3 && of(&rows("af"), "SR", "pr_ms").real.share_read > 0.7, "{pr:?}");
        assert_eq!((right.real.n, right.synthetic.n), (20, 20));
        assert!(of(&rows("af"), "all", "hr_bpm").floor.is_some());
    }

    #[test]
    fn a_record_counts_in_each_of_its_labels_and_a_label_of_one_side_has_no_row() {
        let real = records(4, 1, "af", Split::Test);
        let mut drawn = records(4, 2, "af", Split::Train);
        drawn.labels = [1, 1, 1, 1, 1, 0, 1, 0].to_vec();
        let of = |rows: &[Physiology], label: &str| {
            rows.iter().find(|row| row.label == label).map(|row| (row.real.n, row.synthetic.n))
        };
        let rows = physiology(&real, &real, &drawn, DELINEATORS[0], Seed::new(1)).unwrap();
        assert_eq!([of(&rows, "all"), of(&rows, "SR"), of(&rows, "AFIB")], [Some((4, 4)), Some((2, 4)), Some((2, 2))]);
        drawn.labels = [1, 0].repeat(4);
        assert_eq!(of(&physiology(&real, &real, &drawn, DELINEATORS[0], Seed::new(1)).unwrap(), "AFIB"), None);
    }

    #[test]
    fn heights_that_vary_by_a_tenth_are_read_as_that() {
        // Triangles 0.1 s wide every second; one lead is flat, and the first beat lies at the edge.
        let (fs_hz, heights) = (100.0, [9.0, 0.9, 1.1, 0.9, 1.1, 0.9, 1.1]);
        let peaks: Vec<usize> = (0..heights.len()).map(|k| 3 + 100 * k).collect();
        let mut lead = vec![0.0f32; 700];
        for (&peak, height) in peaks.iter().zip(heights) {
            for (t, value) in lead.iter_mut().enumerate() {
                *value += height * (1.0 - t.abs_diff(peak) as f32 / 5.0).max(0.0);
            }
        }
        let flat = vec![0.0f32; 700];
        let found = qrs_height_variation(&[&lead, &flat, &lead], &peaks, fs_hz).unwrap();
        // Six beats at 0.9 and 1.1: standard deviation 0.1 sqrt(6 / 5).
        assert!((found - 0.1 * 1.2f64.sqrt()).abs() < 1e-6, "{found}");
        assert_eq!(qrs_height_variation(&[&lead], &peaks[..3], fs_hz), None, "two whole beats are too few");
    }

    #[test]
    fn a_median_of_resampled_patients_has_all_records_of_a_patient() {
        let reads: Vec<Read> = [1.0, 2.0, 9.0].map(|v| [Some(v); QUANTITIES.len()]).to_vec();
        let sample: Sample = reads.iter().zip(["a", "b", "b"]).collect();
        let side = Readable::new(&sample, 0);
        assert_eq!((side.median(&[1, 1]), side.median(&[2, 0]), side.median(&[0, 2])), (2.0, 1.0, 5.5));
    }
}
