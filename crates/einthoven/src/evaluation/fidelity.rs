//! Whether synthetic beats are like real ones: SNR by equivalence test, distances with a floor.

use serde::Serialize;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::metrics::bootstrap::quantile;
use crate::metrics::distance::{Points, median_distance, mmd_rbf, prdc};
use crate::metrics::hypothesis::{MarginTest, tost, tost_minimum_n, welch_difference};
use crate::signal::snr::SnrEstimator;
use crate::signal::spectrum::Welch;

/// SNR of the beats of one source and class.
#[derive(Debug, Clone, Serialize)]
pub struct SnrSummary {
    /// Source, such as `real` or `teacher`.
    pub source: String,
    /// Class name.
    pub class: String,
    /// Number of beats.
    pub n: usize,
    /// Mean, dB.
    pub mean_db: f64,
    /// Standard deviation over beats, dB.
    pub sd_db: f64,
    /// SNR of each beat, dB.
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
    /// Equivalence test (two one-sided tests); `None` with fewer than two beats on a side.
    pub test: Option<MarginTest>,
    /// Beats of each side.
    pub n: [usize; 2],
    /// Beats of each side that the test needs for 80 % power.
    pub needed_n: Option<usize>,
}

/// SNR of a data set by class; `class` indexes its labels.
///
/// # Errors
/// [`crate::Error::Config`] for a sampling rate too low for the 40 Hz low-pass.
pub fn snr_by_class(source: &str, data: &Dataset) -> Result<Vec<SnrSummary>> {
    let estimator = SnrEstimator::new(data.fs_hz)?;
    let classes = data.classes()?;
    Ok((0..data.n_labels())
        .map(|class| {
            let values_db: Vec<f64> = (0..data.len())
                .filter(|&i| classes[i] == class)
                .flat_map(|i| estimator.db_each(data.item(i), data.sig_len))
                .collect();
            let n = values_db.len();
            let mean_db = values_db.iter().sum::<f64>() / n as f64;
            let squares: f64 = values_db.iter().map(|v| (v - mean_db).powi(2)).sum();
            SnrSummary {
                source: source.into(),
                class: data.label_names[class].clone(),
                n,
                mean_db,
                sd_db: (squares / (n as f64 - 1.0)).sqrt(),
                values_db,
            }
        })
        .collect())
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
const MIN_POINTS: usize = 30;

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

/// Power spectrum of a set of beats: median and quartiles over beats, dB relative to 1 mV²/Hz.
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

/// Welch spectra of beats, summarized.
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
