//! Tests and intervals for what a report may claim: a difference, an equivalence, a rate.
//!
//! "Not significant" never means "the same": sameness is claimed only by [`tost`], "not worse" only
//! by [`non_inferiority`], each with a margin that is fixed before the data are seen. Every
//! comparison can say how large a difference it would have noticed.
//!
//! The t tests take the values as independent; values of the same patient are not, and belong into
//! [`super::bootstrap`].

use serde::{Deserialize, Serialize};

use super::special::{beta_quantile, normal_cdf, normal_quantile, student_t_cdf, student_t_quantile};
use crate::error::{Error, Result};

/// A difference of means with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Second mean minus first mean.
    pub value: f64,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// Degrees of freedom of the t distribution.
    pub df: f64,
}

/// Result of a two-sided t test of no difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TTest {
    /// The difference that was tested.
    pub difference: Difference,
    /// Difference in standard errors.
    pub t: f64,
    /// Two-sided probability under no difference.
    pub p_value: f64,
    /// Lower end of the interval of the difference.
    pub ci_low: f64,
    /// Upper end of the interval of the difference.
    pub ci_high: f64,
    /// Share of intervals that should hold the true difference.
    pub level: f64,
}

/// Result of a test of equivalence or of non-inferiority.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MarginTest {
    /// The difference that was tested.
    pub difference: Difference,
    /// Largest difference that does not matter, fixed before the test.
    pub margin: f64,
    /// Level of the test.
    pub alpha: f64,
    /// Probability under the nearest difference that does matter.
    pub p_value: f64,
    /// Lower end of the interval that the decision reads, of level `1 - 2 alpha`.
    pub ci_low: f64,
    /// Upper end of that interval.
    pub ci_high: f64,
    /// Whether the claim holds; `false` means "not shown", never "different".
    pub is_shown: bool,
}

/// Result of the signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SignedRankTest {
    /// Smaller of the two rank sums.
    pub w: f64,
    /// Pairs that differ.
    pub n: usize,
    /// Two-sided probability under symmetry around 0.
    pub p_value: f64,
}

/// Difference of the means of two independent samples with unequal variances.
///
/// # Errors
/// [`Error::Data`] with fewer than two values in a sample, or values that are not finite.
/// # Reference
/// Welch 1947.
pub fn welch_difference(first: &[f64], second: &[f64]) -> Result<Difference> {
    let (mean_a, variance_a) = mean_and_variance("first sample", first)?;
    let (mean_b, variance_b) = mean_and_variance("second sample", second)?;
    let (n_a, n_b) = (first.len() as f64, second.len() as f64);
    let (a, b) = (variance_a / n_a, variance_b / n_b);
    // Without any spread there is nothing to estimate; the smallest value is the cautious one.
    let df =
        if a + b > 0.0 { (a + b).powi(2) / (a * a / (n_a - 1.0) + b * b / (n_b - 1.0)) } else { n_a.min(n_b) - 1.0 };
    Ok(Difference { value: mean_b - mean_a, standard_error: (a + b).sqrt(), df })
}

/// Mean of the differences of paired values, `second` minus `first`.
///
/// # Errors
/// [`Error::Shape`] when the lengths differ; [`Error::Data`] with fewer than two pairs.
/// # Reference
/// Student 1908.
pub fn paired_difference(first: &[f64], second: &[f64]) -> Result<Difference> {
    same_length(first, second)?;
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| b - a).collect();
    let (value, variance) = mean_and_variance("paired differences", &differences)?;
    let n = differences.len() as f64;
    Ok(Difference { value, standard_error: (variance / n).sqrt(), df: n - 1.0 })
}

/// Two-sided t test of no difference, with the interval of the same level.
///
/// Without spread the probability is 1 for no difference and 0 for any.
pub fn t_test(difference: Difference, level: f64) -> TTest {
    let t = standardize(difference.value, difference.standard_error);
    let half = student_t_quantile(0.5 + 0.5 * level, difference.df) * difference.standard_error;
    TTest {
        difference,
        t,
        p_value: (2.0 * student_t_cdf(-t.abs(), difference.df)).min(1.0),
        ci_low: difference.value - half,
        ci_high: difference.value + half,
        level,
    }
}

/// Two one-sided tests: shows that the difference lies inside `-margin..margin`.
///
/// # Errors
/// [`Error::Config`] unless `margin` is positive and `alpha` in 0..0.5.
/// # Reference
/// Schuirmann 1987.
pub fn tost(difference: Difference, margin: f64, alpha: f64) -> Result<MarginTest> {
    let (ci_low, ci_high) = margin_interval(difference, margin, alpha)?;
    let above = standardize(difference.value + margin, difference.standard_error);
    let below = standardize(difference.value - margin, difference.standard_error);
    let p_value = student_t_cdf(-above, difference.df).max(student_t_cdf(below, difference.df));
    Ok(MarginTest { difference, margin, alpha, p_value, ci_low, ci_high, is_shown: p_value <= alpha })
}

/// Shows that the second is worse than the first by less than `margin`, where higher is better.
///
/// # Errors
/// [`Error::Config`] unless `margin` is positive and `alpha` in 0..0.5.
/// # Reference
/// Blackwelder 1982.
pub fn non_inferiority(difference: Difference, margin: f64, alpha: f64) -> Result<MarginTest> {
    let (ci_low, ci_high) = margin_interval(difference, margin, alpha)?;
    let above = standardize(difference.value + margin, difference.standard_error);
    let p_value = student_t_cdf(-above, difference.df);
    Ok(MarginTest { difference, margin, alpha, p_value, ci_low, ci_high, is_shown: p_value <= alpha })
}

/// Values needed in each of two groups for [`tost`] to succeed with probability `power` when there
/// is no true difference.
///
/// # Errors
/// [`Error::Config`] unless `sd` and `margin` are positive, `alpha` in 0..0.5 and `power` in 0..1.
/// # Reference
/// Julious 2004 (normal approximation; a few values low below about 30).
pub fn tost_minimum_n(sd: f64, margin: f64, alpha: f64, power: f64) -> Result<usize> {
    check_margin(margin, alpha)?;
    if !(sd > 0.0 && sd.is_finite()) {
        return Err(Error::config("sd", format!("{sd}, expected a positive number")));
    }
    check_share("power", power)?;
    let z = normal_quantile(1.0 - alpha) + normal_quantile(0.5 + 0.5 * power);
    Ok((2.0 * (sd * z / margin).powi(2)).ceil() as usize)
}

/// Smallest true difference that a two-sided test of level `alpha` finds with probability `power`.
///
/// # Errors
/// [`Error::Config`] unless `alpha` and `power` lie in 0..1 and `standard_error` is not negative.
/// # Reference
/// Bloom 1995.
pub fn minimum_detectable_effect(standard_error: f64, alpha: f64, power: f64) -> Result<f64> {
    check_share("alpha", alpha)?;
    check_share("power", power)?;
    if !(standard_error >= 0.0) {
        return Err(Error::config("standard_error", format!("{standard_error}, expected 0 or more")));
    }
    Ok((normal_quantile(1.0 - 0.5 * alpha) + normal_quantile(power)) * standard_error)
}

/// Wilcoxon's signed-rank test of paired values, two-sided.
///
/// Pairs without a difference are dropped. The distribution is exact up to 50 pairs without ties,
/// and otherwise normal with the correction for ties (and none for continuity).
/// # Errors
/// [`Error::Shape`] when the lengths differ; [`Error::Data`] when no pair differs.
/// # Reference
/// Wilcoxon 1945.
pub fn signed_rank_test(first: &[f64], second: &[f64]) -> Result<SignedRankTest> {
    same_length(first, second)?;
    let mut differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| b - a).filter(|d| *d != 0.0).collect();
    if differences.is_empty() || !differences.iter().all(|d| d.is_finite()) {
        return Err(Error::data("paired values", "no finite pair that differs, expected at least 1"));
    }
    differences.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = differences.len();
    let (mut positive, mut rank, mut ties) = (0.0, 0.0, 0.0);
    for tie in differences.chunk_by(|a, b| a.abs() == b.abs()) {
        let size = tie.len() as f64;
        let mean_rank = rank + 0.5 * (size + 1.0);
        positive += mean_rank * tie.iter().filter(|d| **d > 0.0).count() as f64;
        rank += size;
        ties += size * (size * size - 1.0);
    }
    let total = 0.5 * rank * (rank + 1.0);
    let w = positive.min(total - positive);
    let p_value = if n <= 50 && ties == 0.0 {
        2.0 * signed_rank_at_most(n, w as usize)
    } else {
        let variance = rank * (rank + 1.0) * (2.0 * rank + 1.0) / 24.0 - ties / 48.0;
        2.0 * normal_cdf(standardize(w - 0.5 * total, variance.sqrt()))
    };
    Ok(SignedRankTest { w, n, p_value: p_value.min(1.0) })
}

/// Share of the 2^n sign patterns whose rank sum is at most `w`.
fn signed_rank_at_most(n: usize, w: usize) -> f64 {
    let largest = n * (n + 1) / 2;
    let mut share = vec![0.0; largest + 1];
    share[0] = 1.0;
    for rank in 1..=n {
        for sum in (0..=largest).rev() {
            let with = if sum >= rank { share[sum - rank] } else { 0.0 };
            share[sum] = 0.5 * (share[sum] + with);
        }
    }
    share[..=w].iter().sum()
}

/// Probabilities corrected for making all of these comparisons, in the order given.
///
/// # Reference
/// Holm 1979.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * p_values[at]).min(1.0);
        corrected[at] = if p_values[at].is_nan() { f64::NAN } else { largest };
    }
    corrected
}

/// Interval of a rate of `k` in `n` by inverting the score test.
///
/// # Errors
/// [`Error::Data`] unless `k <= n` and `n > 0`; [`Error::Config`] unless `level` is in 0..1.
/// # Reference
/// Wilson 1927.
pub fn wilson(k: usize, n: usize, level: f64) -> Result<(f64, f64)> {
    let (center, half) = wilson_center(k, n, level)?;
    Ok(((center - half).max(0.0), (center + half).min(1.0)))
}

/// Center and half width of the Wilson interval.
pub(super) fn wilson_center(k: usize, n: usize, level: f64) -> Result<(f64, f64)> {
    check_rate(k, n, level)?;
    let (k, n) = (k as f64, n as f64);
    let z = normal_quantile(0.5 + 0.5 * level);
    let center = (k + 0.5 * z * z) / (n + z * z);
    let half = z / (n + z * z) * (k * (n - k) / n + 0.25 * z * z).sqrt();
    Ok((center, half))
}

/// Exact two-sided interval of a rate of `k` in `n`.
///
/// # Errors
/// [`Error::Data`] unless `k <= n` and `n > 0`; [`Error::Config`] unless `level` is in 0..1.
/// # Reference
/// Clopper and Pearson 1934.
pub fn clopper_pearson(k: usize, n: usize, level: f64) -> Result<(f64, f64)> {
    // Each side of the two-sided interval is a one-sided bound of the level (1 + level) / 2.
    Ok((clopper_pearson_lower(k, n, 0.5 + 0.5 * level)?, clopper_pearson_upper(k, n, 0.5 + 0.5 * level)?))
}

/// Exact one-sided upper bound of a rate of `k` in `n`.
///
/// # Errors
/// As [`clopper_pearson`].
pub fn clopper_pearson_upper(k: usize, n: usize, level: f64) -> Result<f64> {
    check_rate(k, n, level)?;
    Ok(if k == n { 1.0 } else { beta_quantile(level, k as f64 + 1.0, (n - k) as f64) })
}

/// Exact one-sided lower bound of a rate of `k` in `n`.
///
/// # Errors
/// As [`clopper_pearson`].
pub fn clopper_pearson_lower(k: usize, n: usize, level: f64) -> Result<f64> {
    check_rate(k, n, level)?;
    Ok(if k == 0 { 0.0 } else { beta_quantile(1.0 - level, k as f64, (n - k) as f64 + 1.0) })
}

fn mean_and_variance(name: &str, values: &[f64]) -> Result<(f64, f64)> {
    if values.len() < 2 {
        return Err(Error::data(name, format!("{} values, expected at least 2", values.len())));
    }
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(Error::data(name, format!("value {value}, expected finite values")));
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    Ok((mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)))
}

fn same_length(first: &[f64], second: &[f64]) -> Result<()> {
    if first.len() == second.len() {
        return Ok(());
    }
    Err(Error::Shape { what: "second sample".into(), expected: vec![first.len()], actual: vec![second.len()] })
}

/// A value in standard errors; infinite without spread, and 0 for 0.
fn standardize(value: f64, standard_error: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value / standard_error }
}

fn margin_interval(difference: Difference, margin: f64, alpha: f64) -> Result<(f64, f64)> {
    check_margin(margin, alpha)?;
    let half = student_t_quantile(1.0 - alpha, difference.df) * difference.standard_error;
    Ok((difference.value - half, difference.value + half))
}

fn check_margin(margin: f64, alpha: f64) -> Result<()> {
    if !(margin > 0.0 && margin.is_finite()) {
        return Err(Error::config("margin", format!("{margin}, expected a positive number")));
    }
    if !(alpha > 0.0 && alpha < 0.5) {
        return Err(Error::config("alpha", format!("{alpha}, expected between 0 and 0.5")));
    }
    Ok(())
}

fn check_share(key: &str, value: f64) -> Result<()> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(Error::config(key, format!("{value}, expected between 0 and 1")))
}

fn check_rate(k: usize, n: usize, level: f64) -> Result<()> {
    check_share("level", level)?;
    if n == 0 || k > n {
        return Err(Error::data("rate", format!("{k} of {n}, expected at most n of n > 0")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected}");
    }

    #[test]
    fn rates_agree_with_published_examples() {
        // R: binom::binom.wilson(55, 100); the upper bound of 0 in n is 1 - alpha^(1/n).
        let (low, high) = wilson(55, 100, 0.95).unwrap();
        close(low, 0.45245, 5e-6);
        close(high, 0.64385, 5e-6);
        close(clopper_pearson_upper(0, 100, 0.95).unwrap(), 0.02951, 5e-6);
        assert_eq!(clopper_pearson(0, 10, 0.95).unwrap().0, 0.0);
        assert_eq!(clopper_pearson(10, 10, 0.95).unwrap().1, 1.0);
        assert!(wilson(3, 2, 0.95).is_err() && wilson(0, 0, 0.95).is_err());
    }

    #[test]
    fn exact_interval_leaves_the_binomial_tails() {
        let (k, n) = (7, 20);
        let (low, high) = clopper_pearson(k, n, 0.95).unwrap();
        let term = |i: usize, p: f64| {
            let choose = (0..i).fold(1.0, |c, j| c * (n - j) as f64 / (j + 1) as f64);
            choose * p.powi(i as i32) * (1.0 - p).powi((n - i) as i32)
        };
        close((k..=n).map(|i| term(i, low)).sum(), 0.025, 1e-12);
        close((0..=k).map(|i| term(i, high)).sum(), 0.025, 1e-12);
    }

    #[test]
    fn equivalence_is_the_interval_inside_the_margin() {
        for value in [-0.9, -0.3, 0.0, 0.4, 0.7, 1.2] {
            let difference = Difference { value, standard_error: 0.25, df: 40.0 };
            let test = tost(difference, 1.0, 0.05).unwrap();
            assert_eq!(test.is_shown, -1.0 < test.ci_low && test.ci_high < 1.0, "{test:?}");
            let worse = non_inferiority(difference, 1.0, 0.05).unwrap();
            assert_eq!(worse.is_shown, -1.0 < worse.ci_low, "{worse:?}");
        }
        assert!(tost(Difference { value: 0.0, standard_error: 1.0, df: 9.0 }, 0.0, 0.05).is_err());
    }

    #[test]
    fn equivalence_needs_the_stated_number_of_values() {
        // 2 (5 / 1)^2 (1.644854 + 1.644854)^2 = 541.1 for a power of 0.9.
        assert_eq!(tost_minimum_n(5.0, 1.0, 0.05, 0.9).unwrap(), 542);
        let mut stream = crate::seed::Seed::new(8).stream();
        let trials = 400;
        let shown = (0..trials)
            .filter(|_| {
                let mut draw = || (0..542).map(|_| 5.0 * stream.normal()).collect::<Vec<f64>>();
                let (a, b) = (draw(), draw());
                tost(welch_difference(&a, &b).unwrap(), 1.0, 0.05).unwrap().is_shown
            })
            .count();
        // 0.9 with a standard error of 0.015; four of them.
        close(shown as f64 / f64::from(trials), 0.9, 0.06);
    }

    #[test]
    fn effect_of_that_size_is_detected_with_that_power() {
        // (1.959964 + 0.841621) standard errors.
        close(minimum_detectable_effect(2.0, 0.05, 0.8).unwrap(), 5.60317, 1e-5);
    }

    #[test]
    fn holm_corrects_in_steps() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        corrected.iter().zip(expected).for_each(|(a, b)| close(*a, b, 1e-15));
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }

    #[test]
    fn no_spread_gives_certain_answers() {
        let same = paired_difference(&[1.0, 2.0], &[1.0, 2.0]).unwrap();
        assert_eq!(t_test(same, 0.95).p_value, 1.0);
        let moved = paired_difference(&[1.0, 2.0], &[2.0, 3.0]).unwrap();
        assert_eq!(t_test(moved, 0.95).p_value, 0.0);
        assert!(tost(same, 0.1, 0.05).unwrap().is_shown);
    }

    #[test]
    fn signed_rank_counts_sign_patterns() {
        // Differences 1, 2, 3 all positive: one of eight patterns on each side.
        let test = signed_rank_test(&[0.0; 3], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((test.w, test.p_value), (0.0, 0.25));
        assert!(signed_rank_test(&[1.0], &[1.0]).is_err());
    }
}
