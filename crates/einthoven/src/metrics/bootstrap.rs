//! Intervals by resampling patients, and training seeds where there are several.
//!
//! Beats of one patient resemble each other: an interval from resampled beats is far too narrow.
//! Here the patient is drawn, with all of its items, and the statistic is a function of how often
//! each patient was drawn, so that nothing has to be copied or sorted again. Replicate `b` has its
//! own random stream, so that the result does not depend on the number of threads.
//!
//! Left out: corrections for several comparisons (see [`super::hypothesis::holm`]).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::special::{normal_cdf, normal_quantile};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// How an interval is read off the replicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntervalMethod {
    /// Quantiles of the replicates (Efron 1979).
    #[default]
    Percentile,
    /// Bias corrected and accelerated (Efron 1987).
    Bca,
}

/// What to resample how often, and which interval to give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BootstrapOptions {
    /// Number of replicates; at least 2,000 for a published interval.
    pub replicates: usize,
    /// Share of intervals that should hold the true value.
    pub level: f64,
    /// How the interval is read off.
    pub method: IntervalMethod,
}

impl Default for BootstrapOptions {
    fn default() -> BootstrapOptions {
        BootstrapOptions { replicates: 2000, level: 0.95, method: IntervalMethod::Percentile }
    }
}

/// A value with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The statistic on the data as they are.
    pub value: f64,
    /// Lower end; NaN when no replicate has the statistic.
    pub ci_low: f64,
    /// Upper end; NaN when no replicate has the statistic.
    pub ci_high: f64,
    /// Share of intervals that should hold the true value.
    pub level: f64,
    /// How it was read off.
    pub method: IntervalMethod,
    /// Number of replicates drawn.
    pub replicates: usize,
    /// Replicates in which the statistic was undefined, such as a class that was not drawn.
    pub undefined_replicates: usize,
}

/// Statistics on the data and on every replicate.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// Statistics on the data as they are.
    pub point: Vec<f64>,
    /// Statistics of each replicate.
    pub replicates: Vec<Vec<f64>>,
    /// Statistics without one unit, for each resampled factor: patients, then seeds where drawn.
    jackknife: Vec<Vec<Vec<f64>>>,
}

/// Whether an interval rests on enough patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sufficiency {
    /// Items that carry the statistic, such as those of one class.
    pub n_items: usize,
    /// Patients who have such an item.
    pub n_patients: usize,
    /// Largest share of the items that comes from one patient; 0 without items.
    pub largest_share: f64,
    /// Patient with the largest share, by index.
    pub largest_patient: Option<usize>,
    /// Why the interval must be called "insufficient"; `None` when it need not.
    pub insufficient: Option<String>,
}

/// Fewest patients on which an interval may rest (reliability rule L13).
pub const MIN_PATIENTS: usize = 10;

/// Resamples patients. `statistics` gets how often each patient counts.
///
/// # Errors
/// [`Error::Data`] with fewer than two patients; [`Error::Config`] without replicates.
/// # Reference
/// Davison and Hinkley 1997, section 3.8 (resampling whole clusters).
pub fn patient_bootstrap<F>(n_patients: usize, replicates: usize, seed: Seed, statistics: F) -> Result<Bootstrap>
where
    F: Fn(&[f64]) -> Vec<f64> + Sync,
{
    seed_and_patient_bootstrap(1, n_patients, replicates, seed, |_, weights| statistics(weights))
}

/// Resamples training seeds and patients, crossed: every drawn seed is judged on the same drawn patients.
///
/// `statistics` gets the index of a seed and how often each patient counts; the value of a
/// replicate is the mean over its drawn seeds.
/// # Errors
/// [`Error::Data`] with fewer than two patients or without seeds; [`Error::Config`] without replicates.
/// # Reference
/// Davison and Hinkley 1997, section 3.8; Owen 2007 (crossed factors, resampled independently).
/// # Differs from the paper
/// With few seeds their spread is underestimated by the factor (n - 1) / n, as in any bootstrap.
pub fn seed_and_patient_bootstrap<F>(
    n_seeds: usize,
    n_patients: usize,
    replicates: usize,
    seed: Seed,
    statistics: F,
) -> Result<Bootstrap>
where
    F: Fn(usize, &[f64]) -> Vec<f64> + Sync,
{
    resample(n_seeds, n_patients, replicates, seed, |s, draws| {
        draws.iter().map(|weights| statistics(s, weights)).collect()
    })
}

/// [`seed_and_patient_bootstrap`] by statistics that judge many draws at once, one entry for each.
pub(super) fn resample<F>(
    n_seeds: usize,
    n_patients: usize,
    replicates: usize,
    seed: Seed,
    statistics: F,
) -> Result<Bootstrap>
where
    F: Fn(usize, &[&[f64]]) -> Vec<Vec<f64>> + Sync,
{
    if n_patients < 2 {
        return Err(Error::data("bootstrap", format!("{n_patients} patients, expected at least 2")));
    }
    if n_seeds == 0 {
        return Err(Error::data("bootstrap", "no training seeds, expected at least 1"));
    }
    if replicates == 0 {
        return Err(Error::config("replicates", "0, expected at least 1 (2000 for a published interval)"));
    }
    let seed = seed.purpose("bootstrap");
    let drawn: Vec<Draw> = (0..replicates)
        .map(|replicate| {
            let stream = seed.index(replicate as u64);
            let patients = draw_counts(n_patients, stream.purpose("patients"));
            Draw { seeds: draw_counts(n_seeds, stream.purpose("seeds")), patients }
        })
        .collect();
    let all = |patients: Vec<f64>| Draw { seeds: vec![1.0; n_seeds], patients };
    let without = |n: usize, unit: usize| (0..n).map(|at| if at == unit { 0.0 } else { 1.0 }).collect();
    let patients_left_out: Vec<Draw> = (0..n_patients).map(|patient| all(without(n_patients, patient))).collect();
    let means = |draws: &[Draw]| -> Vec<Vec<f64>> {
        draws.par_chunks(DRAWS_AT_ONCE).flat_map_iter(|draws| mean_over_seeds(draws, &statistics)).collect()
    };
    let whole = all(vec![1.0; n_patients]);
    let mut jackknife = vec![means(&patients_left_out)];
    if n_seeds > 1 {
        let left_out = |s| Draw { seeds: without(n_seeds, s), patients: whole.patients.clone() };
        jackknife.push(means(&(0..n_seeds).map(left_out).collect::<Vec<_>>()));
    }
    let point = means(&[whole]).swap_remove(0);
    Ok(Bootstrap { point, replicates: means(&drawn), jackknife })
}

/// Draws that one call judges: some full batches for each of five seeds, of which a draw leaves out a third.
const DRAWS_AT_ONCE: usize = 64;

/// How often each seed and each patient counts in a replicate.
struct Draw {
    seeds: Vec<f64>,
    patients: Vec<f64>,
}

/// The statistics of each draw, mean over its seeds.
fn mean_over_seeds(draws: &[Draw], statistics: &impl Fn(usize, &[&[f64]]) -> Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut means = vec![Vec::new(); draws.len()];
    for seed in 0..draws[0].seeds.len() {
        let with_seed: Vec<usize> = (0..draws.len()).filter(|&d| draws[d].seeds[seed] > 0.0).collect();
        let patients: Vec<&[f64]> = with_seed.iter().map(|&d| draws[d].patients.as_slice()).collect();
        for (&d, values) in with_seed.iter().zip(statistics(seed, &patients)) {
            let total: f64 = draws[d].seeds.iter().sum();
            means[d].resize(values.len(), 0.0);
            means[d].iter_mut().zip(values).for_each(|(sum, value)| *sum += draws[d].seeds[seed] / total * value);
        }
    }
    means
}

/// How often each of `n` units is drawn in `n` draws with replacement.
fn draw_counts(n: usize, seed: Seed) -> Vec<f64> {
    let mut counts = vec![0.0; n];
    if n == 1 {
        counts[0] = 1.0;
        return counts;
    }
    let mut stream = seed.stream();
    (0..n).for_each(|_| counts[stream.below(n)] += 1.0);
    counts
}

impl Bootstrap {
    /// Interval of one statistic, by its place in the vector that the statistics function returns.
    ///
    /// Replicates in which it is not finite are left out and counted.
    /// # Panics
    /// If there is no such statistic.
    pub fn interval(&self, statistic: usize, level: f64, method: IntervalMethod) -> Interval {
        let value = self.point[statistic];
        let sorted = self.sorted(statistic);
        let tail = 0.5 * (1.0 - level);
        let (low, high) = match method {
            IntervalMethod::Percentile => (tail, 1.0 - tail),
            IntervalMethod::Bca => self.bca_tails(statistic, &sorted, tail),
        };
        Interval {
            value,
            ci_low: quantile(&sorted, low),
            ci_high: quantile(&sorted, high),
            level,
            method,
            replicates: self.replicates.len(),
            undefined_replicates: self.replicates.len() - sorted.len(),
        }
    }

    /// Two-sided probability of a statistic, such as a difference, being 0: twice the smaller share
    /// of replicates on one side of 0, with one replicate added so that it is never 0.
    ///
    /// # Reference
    /// Davison and Hinkley 1997, chapter 4 (the added replicate); inversion of the percentile interval.
    pub fn p_value(&self, statistic: usize) -> f64 {
        let sorted = self.sorted(statistic);
        if sorted.is_empty() {
            return f64::NAN;
        }
        let at_most = sorted.iter().filter(|value| **value <= 0.0).count();
        let at_least = sorted.iter().filter(|value| **value >= 0.0).count();
        (2.0 * (at_most.min(at_least) + 1) as f64 / (sorted.len() + 1) as f64).min(1.0)
    }

    /// Standard deviation of the replicates: the standard error of one statistic.
    pub fn standard_error(&self, statistic: usize) -> f64 {
        let sorted = self.sorted(statistic);
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (sorted.len() as f64 - 1.0)).sqrt()
    }

    /// Each statistic less that of a bootstrap with the same draws.
    pub(super) fn minus(&self, other: &Bootstrap) -> Bootstrap {
        let less = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let each = |a: &[Vec<f64>], b: &[Vec<f64>]| a.iter().zip(b).map(|(a, b)| less(a, b)).collect();
        Bootstrap {
            point: less(&self.point, &other.point),
            replicates: each(&self.replicates, &other.replicates),
            jackknife: self.jackknife.iter().zip(&other.jackknife).map(|(a, b)| each(a, b)).collect(),
        }
    }

    fn sorted(&self, statistic: usize) -> Vec<f64> {
        let mut values: Vec<f64> =
            self.replicates.iter().map(|replicate| replicate[statistic]).filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// The probabilities at which the replicates are read (Efron 1987).
    fn bca_tails(&self, statistic: usize, sorted: &[f64], tail: f64) -> (f64, f64) {
        let n = sorted.len() as f64;
        let value = self.point[statistic];
        let below = sorted.partition_point(|x| *x < value) as f64;
        let up_to = sorted.partition_point(|x| *x <= value) as f64;
        // Half of the ties count as below, so that a coarse statistic is not pushed to one side.
        let share = (0.5 * (below + up_to) / n).clamp(0.5 / n, 1.0 - 0.5 / n);
        let bias = normal_quantile(share);
        let (mut cubes, mut squares) = (0.0, 0.0);
        for factor in &self.jackknife {
            let left_out: Vec<f64> = factor.iter().map(|s| s[statistic]).filter(|x| x.is_finite()).collect();
            let mean = left_out.iter().sum::<f64>() / left_out.len() as f64;
            for x in left_out {
                cubes += (mean - x).powi(3);
                squares += (mean - x).powi(2);
            }
        }
        let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };
        let adjusted = |p: f64| {
            let z = bias + normal_quantile(p);
            normal_cdf(bias + z / (1.0 - acceleration * z))
        };
        (adjusted(tail), adjusted(1.0 - tail))
    }
}

/// The value below which a share `p` of the sorted values lies, linear between neighbours; NaN without values.
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let place = p * last as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}

/// Whether a statistic carried by these items, by patient, rests on enough patients: at least 10,
/// and none with half of the items or more.
pub fn sufficiency(patients_of_items: &[usize]) -> Sufficiency {
    let mut sorted = patients_of_items.to_vec();
    sorted.sort_unstable();
    let runs: Vec<(usize, usize)> = sorted.chunk_by(|a, b| a == b).map(|patient| (patient.len(), patient[0])).collect();
    let largest = runs.iter().max_by_key(|(count, patient)| (*count, std::cmp::Reverse(*patient))).copied();
    let largest_share = largest.map_or(0.0, |(count, _)| count as f64 / sorted.len() as f64);
    let insufficient = if runs.len() < MIN_PATIENTS {
        Some(format!("{} patients, expected at least {MIN_PATIENTS}", runs.len()))
    } else if largest_share >= 0.5 {
        Some(format!("one patient has {:.0} % of the items, expected less than half", 100.0 * largest_share))
    } else {
        None
    };
    Sufficiency {
        n_items: sorted.len(),
        n_patients: runs.len(),
        largest_share,
        largest_patient: largest.map(|(_, patient)| patient),
        insufficient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean of one value per patient under weights.
    fn mean(values: &[f64], weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().sum();
        vec![values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / total]
    }

    #[test]
    fn standard_error_of_a_mean_is_the_textbook_one() {
        let mut stream = Seed::new(4).stream();
        let values: Vec<f64> = (0..50).map(|_| stream.normal()).collect();
        let bootstrap = patient_bootstrap(50, 4000, Seed::new(1), |w| mean(&values, w)).unwrap();
        let m = values.iter().sum::<f64>() / 50.0;
        let expected = (values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / 50.0 / 50.0).sqrt();
        // The relative error of a standard deviation of 4000 replicates is about 1.1 %; four of them.
        assert!((bootstrap.standard_error(0) / expected - 1.0).abs() < 0.045);
        assert!((bootstrap.point[0] - m).abs() < 1e-14);
    }

    #[test]
    fn bca_moves_towards_the_long_tail() {
        // For the mean of skewed values BCa lies to the right of the percentile interval (Efron 1987).
        let mut stream = Seed::new(9).stream();
        let values: Vec<f64> = (0..30).map(|_| libm::exp(1.5 * stream.normal())).collect();
        let bootstrap = patient_bootstrap(30, 4000, Seed::new(1), |w| mean(&values, w)).unwrap();
        let percentile = bootstrap.interval(0, 0.95, IntervalMethod::Percentile);
        let bca = bootstrap.interval(0, 0.95, IntervalMethod::Bca);
        assert!(bca.ci_low > percentile.ci_low && bca.ci_high > percentile.ci_high, "{bca:?} {percentile:?}");
        assert!(bca.ci_low < bca.value && bca.value < bca.ci_high);
    }

    #[test]
    fn seeds_widen_the_interval_when_they_differ() {
        let mut stream = Seed::new(3).stream();
        let values: Vec<f64> = (0..40).map(|_| stream.normal()).collect();
        let width = |spread: f64| {
            let statistics = |s: usize, w: &[f64]| vec![mean(&values, w)[0] + spread * (s as f64 - 2.0)];
            let bootstrap = seed_and_patient_bootstrap(5, 40, 1000, Seed::new(1), statistics).unwrap();
            assert!((bootstrap.point[0] - values.iter().sum::<f64>() / 40.0).abs() < 1e-12);
            let interval = bootstrap.interval(0, 0.95, IntervalMethod::Percentile);
            interval.ci_high - interval.ci_low
        };
        assert!(width(0.5) > 1.5 * width(0.0));
    }

    #[test]
    fn undefined_replicates_are_left_out_and_counted() {
        let bootstrap =
            patient_bootstrap(5, 500, Seed::new(1), |w| vec![if w[0] > 0.0 { 1.0 } else { f64::NAN }]).unwrap();
        let interval = bootstrap.interval(0, 0.95, IntervalMethod::Percentile);
        // Patient 0 is missed with probability 0.8^5 = 0.328, with a standard deviation of 10.5 in 500.
        assert!((interval.undefined_replicates as f64 - 164.0).abs() < 42.0);
        assert_eq!((interval.ci_low, interval.ci_high), (1.0, 1.0));
    }

    #[test]
    fn sufficiency_asks_for_ten_patients_and_no_giant() {
        let spread: Vec<usize> = (0..20).collect();
        assert_eq!(sufficiency(&spread).insufficient, None);
        assert!(sufficiency(&spread[..9]).insufficient.unwrap().contains("9 patients"));
        let mut giant = spread.clone();
        giant.extend([3; 20]);
        let found = sufficiency(&giant);
        assert_eq!(found.largest_patient, Some(3));
        assert!(found.insufficient.unwrap().contains("52 %"));
        assert_eq!(sufficiency(&[]).n_patients, 0);
    }

    #[test]
    fn quantile_is_linear_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
