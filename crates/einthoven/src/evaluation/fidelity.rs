//! Whether synthetic beats are like real ones: SNR by equivalence test, distances with a floor.
//!
//! Whole records are compared in their SNR as they are, in distances as their averaged beats ([`super::averaged`]).

use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::metrics::bootstrap::quantile;
use crate::metrics::distance::{Points, median_distance, mmd_rbf, prdc};
use crate::metrics::hypothesis::{MarginTest, tost, tost_minimum_n, welch_difference};
use crate::signal::snr::SnrEstimator;
use crate::signal::spectrum::Welch;

/// SNR of the items of one source and class.
#[derive(Debug, Clone, Serialize)]
pub struct SnrSummary {
    /// Source, such as `real` or `teacher`.
    pub source: String,
    /// Class name, or `all`.
    pub class: String,
    /// Number of items.
    pub n: usize,
    /// Mean, dB.
    pub mean_db: f64,
    /// Standard deviation over items, dB.
    pub sd_db: f64,
    /// SNR of each item, dB.
    #[serde(skip)]
    pub values_db: Vec<f64>,
}

/// Two sources compared in mean SNR.
#[derive(Debug, Clone, Serialize)]
pub struct SnrEquivalence {
    /// The first source.
    pub first: String,
    /// The second source; the difference is second minus first.
    pub second: String,
    /// Class name, or `all`.
    pub class: String,
    /// Equivalence test (two one-sided tests); `None` with fewer than two items on a side.
    pub test: Option<MarginTest>,
    /// Items of each side.
    pub n: [usize; 2],
    /// Items of each side that the test needs for 80 % power.
    pub needed_n: Option<usize>,
}

/// What items are compared within: a label by name, or `all` items without one.
pub type Group<'a> = (&'a str, Option<usize>);

/// The groups of these sets, which share their label axis: every label, and `all` before them where some item has not
/// exactly one label, so that the labels do not part the items among them.
pub fn groups<'a>(sets: &[&'a Dataset]) -> Vec<Group<'a>> {
    let names = sets.first().map_or(&[][..], |set| &set.label_names);
    let has_one_each = sets.iter().all(|set| (0..set.len()).all(|i| set.labels_of(i).count() == 1));
    let all = (!has_one_each).then_some(("all", None));
    all.into_iter().chain(names.iter().enumerate().map(|(label, name)| (name.as_str(), Some(label)))).collect()
}

/// SNR of each item, dB: the mean over its leads, without those in which it is undefined.
///
/// # Errors
/// [`crate::Error::Config`] for a sampling rate too low for the 40 Hz low-pass.
pub fn snr_each(data: &Dataset) -> Result<Vec<f64>> {
    let estimator = SnrEstimator::new(data.fs_hz)?;
    let of_item = |i: usize| {
        let defined: Vec<f64> =
            estimator.db_each(data.item(i), data.sig_len).into_iter().filter(|db| db.is_finite()).collect();
        defined.iter().sum::<f64>() / defined.len() as f64
    };
    Ok((0..data.len()).into_par_iter().map(of_item).collect())
}

/// SNR of a data set by group; `values_db` is what [`snr_each`] found. An item without a defined SNR is not counted.
pub fn snr_by_group(source: &str, data: &Dataset, values_db: &[f64], groups: &[Group]) -> Vec<SnrSummary> {
    let summary = |&(class, label): &Group| {
        let items = data.items_with(label).into_iter();
        let values_db: Vec<f64> = items.map(|i| values_db[i]).filter(|db| db.is_finite()).collect();
        let n = values_db.len();
        let mean_db = values_db.iter().sum::<f64>() / n as f64;
        let squares: f64 = values_db.iter().map(|v| (v - mean_db).powi(2)).sum();
        let sd_db = (squares / (n as f64 - 1.0)).sqrt();
        SnrSummary { source: source.into(), class: class.into(), n, mean_db, sd_db, values_db }
    };
    groups.iter().map(summary).collect()
}

/// Tests whether two sources have the same mean SNR within a margin.
///
/// # Errors
/// [`crate::Error::Config`] for a margin that is not positive.
pub fn snr_equivalence(
    names: [&str; 2],
    class: &str,
    first: &[f64],
    second: &[f64],
    margin_db: f64,
) -> Result<SnrEquivalence> {
    let n = [first.len(), second.len()];
    let test = match n.iter().all(|&n| n >= 2) {
        true => Some(tost(welch_difference(first, second)?, margin_db, 0.05)?),
        false => None,
    };
    let needed_n = match &test {
        Some(test) => {
            // The common spread that would give the same standard error with sides of equal size.
            let sd = test.difference.standard_error / (1.0 / n[0] as f64 + 1.0 / n[1] as f64).sqrt();
            Some(tost_minimum_n(sd, margin_db, 0.05, 0.8)?)
        }
        None => None,
    };
    let [first, second] = names.map(String::from);
    Ok(SnrEquivalence { first, second, class: class.into(), test, n, needed_n })
}

/// Distances between a set and real held-out beats of one class.
#[derive(Debug, Clone, Serialize)]
pub struct Fidelity {
    /// Source, such as `real, other patients` (the floor) or `teacher`.
    pub source: String,
    /// Class name.
    pub class: String,
    /// Beats compared on each side.
    pub n: usize,
    /// Unbiased squared maximum mean discrepancy, Gaussian kernel, width the median distance of the
    /// real beats on both sides of the floor.
    pub mmd2: f64,
    /// Share of synthetic beats inside the real neighborhood (k = 5).
    pub precision: f64,
    /// Share of real beats inside the synthetic neighborhood (k = 5).
    pub recall: f64,
    /// Mean over time of the absolute difference of the two mean beats, mV.
    pub mean_beat_error_mv: f64,
    /// Ratio of the two pointwise spreads, averaged over time; below 1 the synthetic beats vary less.
    pub spread_ratio: f64,
}

/// Compares sources with real beats; the first of `sources` should be real beats of other patients,
/// as the floor. All vectors are `[n, dim]`, and the same number of beats is used from every one.
///
/// Empty where a side has fewer than [`MIN_POINTS`] beats.
///
/// # Errors
/// [`crate::Error::Data`] for values that are not finite.
pub fn fidelity(class: &str, real: &[Vec<f64>], sources: &[(&str, &[Vec<f64>])]) -> Result<Vec<Fidelity>> {
    let fewest = sources.iter().map(|(_, beats)| beats.len()).filter(|&n| n > 0).min().unwrap_or(0);
    let n = real.len().min(fewest).min(MAX_POINTS);
    if n < MIN_POINTS {
        return Ok(Vec::new());
    }
    let dim = real[0].len();
    let flat = |beats: &[Vec<f64>]| -> Vec<f64> { spaced(beats, n).into_iter().flatten().copied().collect() };
    let real_flat = flat(real);
    let real_points = Points::new(&real_flat, dim)?;
    let mut gamma = None;
    let mut out = Vec::new();
    for (name, beats) in sources.iter().filter(|(_, beats)| !beats.is_empty()) {
        let beats_flat = flat(beats);
        let points = Points::new(&beats_flat, dim)?;
        let gamma = match gamma {
            Some(gamma) => gamma,
            None => *gamma.insert(0.5 / median_distance(real_points, points)?.powi(2)),
        };
        let neighborhoods = prdc(real_points, points, 5)?;
        let (real_mean, real_sd) = moments(&real_flat, dim);
        let (mean, sd) = moments(&beats_flat, dim);
        let mean_beat_error_mv = real_mean.iter().zip(&mean).map(|(a, b)| (a - b).abs()).sum::<f64>() / dim as f64;
        let spread_ratio = sd.iter().sum::<f64>() / real_sd.iter().sum::<f64>();
        out.push(Fidelity {
            source: (*name).into(),
            class: class.into(),
            n,
            mmd2: mmd_rbf(real_points, points, gamma)?.unbiased,
            precision: neighborhoods.precision,
            recall: neighborhoods.recall,
            mean_beat_error_mv,
            spread_ratio,
        });
    }
    Ok(out)
}

/// Most beats of one side: the kernel sums grow with the square.
const MAX_POINTS: usize = 600;
/// Fewest beats for which neighborhoods of five mean anything.
pub const MIN_POINTS: usize = 30;

/// `n` items at equal distances, so that every patient of an ordered set is represented.
fn spaced<T>(items: &[T], n: usize) -> Vec<&T> {
    (0..n).map(|i| &items[i * items.len() / n]).collect()
}

fn moments(flat: &[f64], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (flat.len() / dim) as f64;
    let mut mean = vec![0.0; dim];
    flat.chunks(dim).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n));
    let mut variance = vec![0.0; dim];
    flat.chunks(dim).for_each(|row| {
        variance.iter_mut().zip(row.iter().zip(&mean)).for_each(|(s, (v, m))| *s += (v - m).powi(2) / (n - 1.0));
    });
    (mean, variance.into_iter().map(f64::sqrt).collect())
}

/// Power spectrum of a set of leads: median and quartiles over them, dB relative to 1 mV²/Hz.
#[derive(Debug, Clone, Serialize)]
pub struct SpectrumSummary {
    /// Frequencies, Hz.
    pub frequency_hz: Vec<f64>,
    /// Median, dB.
    pub median_db: Vec<f64>,
    /// Lower quartile, dB.
    pub low_db: Vec<f64>,
    /// Upper quartile, dB.
    pub high_db: Vec<f64>,
}

/// Welch spectra of single leads of beats or records, summarized.
///
/// # Errors
/// [`crate::Error::Config`] when beats are shorter than the window.
pub fn spectrum<'a>(beats: impl Iterator<Item = &'a [f32]>, fs_hz: f64) -> Result<SpectrumSummary> {
    let welch = Welch { segment_len: 128, ..Welch::default() };
    let mut rows: Vec<Vec<f64>> = Vec::new();
    let mut frequency_hz = Vec::new();
    for beat in beats {
        let x: Vec<f64> = beat.iter().map(|&v| f64::from(v)).collect();
        let spectrum = welch.spectrum(&x, fs_hz)?;
        rows.push(spectrum.power.iter().map(|p| 10.0 * p.max(1e-12).log10()).collect());
        frequency_hz = spectrum.f_hz;
    }
    let at = |p: f64| -> Vec<f64> {
        (0..frequency_hz.len())
            .map(|f| {
                let mut values: Vec<f64> = rows.iter().map(|row| row[f]).collect();
                values.sort_by(f64::total_cmp);
                quantile(&values, p)
            })
            .collect()
    };
    Ok(SpectrumSummary { median_db: at(0.5), low_db: at(0.25), high_db: at(0.75), frequency_hz })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;
    use crate::seed::Seed;

    /// Two leads of 100 points, of which the second is flat; labels as given.
    fn data(labels: &[[u8; 2]]) -> Dataset {
        let mut data = Dataset::new(vec!["I".into(), "II".into()], 100, 100.0, vec!["A".into(), "B".into()]);
        for (i, label) in labels.iter().enumerate() {
            let mut lead = vec![0.0f32; 100];
            Seed::new(1).index(i as u64).stream().fill_normal(&mut lead);
            lead.extend(vec![0.25; 100]);
            data.ecg.extend(lead);
            data.labels.extend(label);
            data.record.push(i.to_string());
            data.patient.push(i.to_string());
            data.split.push(Split::Test);
            data.index.push(0);
        }
        data
    }

    #[test]
    fn items_count_in_each_label_and_once_in_all() {
        let several = data(&[[1, 0], [1, 1], [0, 0], [0, 1]]);
        let groups = groups(&[&several]);
        assert_eq!(groups, [("all", None), ("A", Some(0)), ("B", Some(1))]);
        let values = snr_each(&several).unwrap();
        let found = snr_by_group("real", &several, &values, &groups);
        assert_eq!(found.iter().map(|s| s.n).collect::<Vec<_>>(), [4, 2, 2]);
        assert_eq!(found[2].values_db, [values[1], values[3]]);
    }

    #[test]
    fn one_label_each_needs_no_group_of_all_and_a_flat_lead_has_no_say() {
        let one_each = data(&[[1, 0], [0, 1]]);
        assert_eq!(groups(&[&one_each]), [("A", Some(0)), ("B", Some(1))]);
        let lead = one_each.item(0)[..100].to_vec();
        assert_eq!(snr_each(&one_each).unwrap()[0], crate::signal::snr::snr_db(&lead, 100.0));
        let mut flat = one_each;
        flat.ecg[..100].fill(0.5);
        let groups = groups(&[&flat]);
        let found = snr_by_group("real", &flat, &snr_each(&flat).unwrap(), &groups);
        assert_eq!((found[0].n, found[1].n), (0, 1));
    }
}
