//! Distances and tests of two samples of one number each, such as heart rates of real and synthetic records.

use super::special::normal_cdf;
use crate::error::{Error, Result};

/// Result of the two-sample Kolmogorov-Smirnov test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KsTest {
    /// Largest difference of the two empirical distribution functions.
    pub statistic: f64,
    /// Probability of so large a difference under one law.
    pub p_value: f64,
}

/// Which distribution the Kolmogorov-Smirnov statistic is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KsMethod {
    /// That of the two sample sizes, by counting the orders; takes their product of steps.
    Exact,
    /// That of one sample of the effective size `n m / (n + m)`, rounded.
    Asymptotic,
}

/// Result of the Mann-Whitney test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitneyTest {
    /// Pairs in which the first sample is larger, ties half.
    pub u: f64,
    /// Two-sided probability under one law, normal with corrections for ties and continuity.
    pub p_value: f64,
}

/// First Wasserstein distance: the area between the distribution functions. Empty weights are equal ones.
///
/// # Errors
/// [`Error::Data`] for an empty or not finite sample, or weights that do not fit.
/// # Reference
/// Vallender 1974; `scipy.stats.wasserstein_distance`.
pub fn wasserstein_1d(a: &[f64], b: &[f64], a_weights: &[f64], b_weights: &[f64]) -> Result<f64> {
    let steps = distribution_steps(a, b, a_weights, b_weights)?;
    Ok(steps.iter().map(|(width, f, g)| width * (f - g).abs()).sum())
}

/// Energy distance: the root of twice the integrated squared difference of the distribution functions.
///
/// # Errors
/// [`Error::Data`] for an empty or not finite sample.
/// # Reference
/// Székely and Rizzo 2013; `scipy.stats.energy_distance`.
pub fn energy_distance(a: &[f64], b: &[f64]) -> Result<f64> {
    let steps = distribution_steps(a, b, &[], &[])?;
    Ok((2.0 * steps.iter().map(|(width, f, g)| width * (f - g).powi(2)).sum::<f64>()).sqrt())
}

/// Shares of a sample in the bins between rising edges; the last bin holds its upper edge, and what
/// lies outside counts in none.
pub fn histogram(x: &[f64], edges: &[f64]) -> Vec<f64> {
    let n_bins = edges.len().saturating_sub(1);
    let mut counts = vec![0.0; n_bins];
    for value in x {
        let place = edges.partition_point(|edge| edge <= value);
        match place {
            0 => {}
            _ if place <= n_bins => counts[place - 1] += 1.0,
            _ if n_bins > 0 && *value == edges[n_bins] => counts[n_bins - 1] += 1.0,
            _ => {}
        }
    }
    let total: f64 = counts.iter().sum();
    counts.into_iter().map(|count| count / total).collect()
}

/// Kullback-Leibler divergence in nats of two lists of shares, each raised by `floor` and made to sum to 1.
///
/// # Errors
/// [`Error::Shape`] when the lengths differ.
/// # Reference
/// Kullback and Leibler 1951.
pub fn kl_divergence(p: &[f64], q: &[f64], floor: f64) -> Result<f64> {
    same_bins(p, q)?;
    let raised = |shares: &[f64]| -> Vec<f64> {
        let total: f64 = shares.iter().map(|s| s + floor).sum();
        shares.iter().map(|s| (s + floor) / total).collect()
    };
    let (p, q) = (raised(p), raised(q));
    Ok(p.iter().zip(&q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * libm::log(p / q)).sum())
}

/// Jensen-Shannon distance to base 2: the root of the divergence, from 0 to 1.
///
/// # Errors
/// [`Error::Shape`] when the lengths differ.
/// # Reference
/// Endres and Schindelin 2003; `scipy.spatial.distance.jensenshannon(base=2)`.
pub fn jensen_shannon_distance(p: &[f64], q: &[f64]) -> Result<f64> {
    same_bins(p, q)?;
    let half = |p: f64, m: f64| if p > 0.0 { p * libm::log2(p / m) } else { 0.0 };
    let sum: f64 = p.iter().zip(q).map(|(p, q)| half(*p, 0.5 * (p + q)) + half(*q, 0.5 * (p + q))).sum();
    Ok((0.5 * sum).max(0.0).sqrt())
}

/// Two-sided Kolmogorov-Smirnov test of two samples.
///
/// # Errors
/// [`Error::Data`] for an empty or not finite sample.
/// # Reference
/// Hodges 1958 (exact); Marsaglia, Tsang and Wang 2003 (one sample); conventions of `scipy.stats.ks_2samp`.
pub fn ks_test(a: &[f64], b: &[f64], method: KsMethod) -> Result<KsTest> {
    let steps = distribution_steps(a, b, &[], &[])?;
    let statistic = steps.iter().map(|(_, f, g)| (f - g).abs()).fold(0.0, f64::max);
    let (n, m) = (a.len(), b.len());
    let p_value = match method {
        KsMethod::Exact => ks_exact(n, m, statistic),
        KsMethod::Asymptotic => {
            let effective = (n as f64 * m as f64 / (n + m) as f64).round_ties_even().max(1.0);
            1.0 - ks_one_sample_cdf(effective as usize, statistic)
        }
    };
    Ok(KsTest { statistic, p_value: p_value.clamp(0.0, 1.0) })
}

/// Mann-Whitney test of two samples.
///
/// # Errors
/// [`Error::Data`] for an empty or not finite sample.
/// # Reference
/// Mann and Whitney 1947; `scipy.stats.mannwhitneyu` with method `asymptotic`.
pub fn mann_whitney_test(a: &[f64], b: &[f64]) -> Result<MannWhitneyTest> {
    check_sample("first sample", a)?;
    check_sample("second sample", b)?;
    let mut pooled: Vec<(f64, bool)> = a.iter().map(|v| (*v, true)).chain(b.iter().map(|v| (*v, false))).collect();
    pooled.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank, mut sum, mut ties) = (0.0, 0.0, 0.0);
    for tie in pooled.chunk_by(|x, y| x.0 == y.0) {
        let size = tie.len() as f64;
        sum += tie.iter().filter(|(_, is_first)| *is_first).count() as f64 * (rank + 0.5 * (size + 1.0));
        ties += size * (size * size - 1.0);
        rank += size;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let u = sum - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (n + m + 1.0 - ties / ((n + m) * (n + m - 1.0)));
    let excess = u.max(n * m - u) - 0.5 * n * m - 0.5;
    let p_value = if variance > 0.0 { (2.0 * normal_cdf(-excess / variance.sqrt())).min(1.0) } else { 1.0 };
    Ok(MannWhitneyTest { u, p_value })
}

/// Width and both distribution functions between neighboring values of the pooled samples.
fn distribution_steps(a: &[f64], b: &[f64], a_weights: &[f64], b_weights: &[f64]) -> Result<Vec<(f64, f64, f64)>> {
    check_sample("first sample", a)?;
    check_sample("second sample", b)?;
    for (x, weights) in [(a, a_weights), (b, b_weights)] {
        let is_usable =
            weights.len() == x.len() && weights.iter().all(|w| *w >= 0.0) && weights.iter().sum::<f64>() > 0.0;
        if !weights.is_empty() && !is_usable {
            let reason = format!("{} weights for {} values, expected one of 0 or more each", weights.len(), x.len());
            return Err(Error::data("weights", reason));
        }
    }
    let share = |weights: &[f64], n: usize, i: usize| match weights {
        [] => 1.0 / n as f64,
        _ => weights[i] / weights.iter().sum::<f64>(),
    };
    let mut jumps: Vec<(f64, f64, f64)> = (0..a.len()).map(|i| (a[i], share(a_weights, a.len(), i), 0.0)).collect();
    jumps.extend((0..b.len()).map(|i| (b[i], 0.0, share(b_weights, b.len(), i))));
    jumps.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut f, mut g) = (0.0, 0.0);
    let steps = jumps.windows(2).map(|pair| {
        f += pair[0].1;
        g += pair[0].2;
        (pair[1].0 - pair[0].0, f, g)
    });
    // Between equal values the functions are not yet what they become.
    Ok(steps.filter(|(width, _, _)| *width > 0.0).collect())
}

/// Share of the orders of `n` and `m` values in which the functions differ by `statistic` or more.
fn ks_exact(n: usize, m: usize, statistic: f64) -> f64 {
    // Differences are multiples of 1 / (n m); half of one keeps rounding from deciding.
    let limit = statistic * (n * m) as f64 - 0.5;
    let stays = |i: usize, j: usize| ((i * m).abs_diff(j * n) as f64) < limit;
    // Probability of having stayed below the limit, along the steps of the first sample.
    let mut inside = vec![0.0; m + 1];
    for i in 0..=n {
        for j in 0..=m {
            if i == 0 && j == 0 {
                inside[0] = f64::from(u8::from(stays(0, 0)));
                continue;
            }
            let total = (i + j) as f64;
            let from_first = if i > 0 { inside[j] * i as f64 / total } else { 0.0 };
            let from_second = if j > 0 { inside[j - 1] * j as f64 / total } else { 0.0 };
            inside[j] = if stays(i, j) { from_first + from_second } else { 0.0 };
        }
    }
    1.0 - inside[m]
}

/// Probability that the largest distance of `n` values from their law is below `d`.
fn ks_one_sample_cdf(n: usize, d: f64) -> f64 {
    if d <= 0.0 {
        return 0.0;
    }
    let scaled = n as f64 * d;
    let k = scaled.floor() as usize + 1;
    let size = 2 * k - 1;
    let h = k as f64 - scaled;
    let mut matrix = vec![0.0; size * size];
    for i in 0..size {
        for j in 0..size.min(i + 2) {
            matrix[i * size + j] = 1.0;
        }
    }
    for i in 0..size {
        matrix[i * size] -= libm::pow(h, (i + 1) as f64);
        matrix[(size - 1) * size + i] -= libm::pow(h, (size - i) as f64);
    }
    if 2.0 * h > 1.0 {
        matrix[(size - 1) * size] += libm::pow(2.0 * h - 1.0, size as f64);
    }
    for i in 0..size {
        for j in 0..size.min(i + 2) {
            // Divided by the factorial of i - j + 1.
            (1..=(i + 1 - j)).for_each(|f| matrix[i * size + j] /= f as f64);
        }
    }
    // Row k - 1 of the n-th power, by n products of a row with the matrix; n! / n^n goes along.
    let mut row = vec![0.0; size];
    row[k - 1] = 1.0;
    for step in 1..=n {
        let factor = step as f64 / n as f64;
        row = (0..size).map(|j| factor * (0..size).map(|i| row[i] * matrix[i * size + j]).sum::<f64>()).collect();
    }
    row[k - 1]
}

fn check_sample(name: &str, x: &[f64]) -> Result<()> {
    if x.is_empty() || !x.iter().all(|v| v.is_finite()) {
        return Err(Error::data(name, format!("{} values, expected at least one, all finite", x.len())));
    }
    Ok(())
}

fn same_bins(p: &[f64], q: &[f64]) -> Result<()> {
    if p.len() != q.len() {
        return Err(Error::Shape {
            what: "second list of shares".into(),
            expected: vec![p.len()],
            actual: vec![q.len()],
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_points_are_their_gaps() {
        assert_eq!(wasserstein_1d(&[0.0, 1.0], &[3.0, 4.0], &[], &[]).unwrap(), 3.0);
        assert_eq!(wasserstein_1d(&[0.0, 1.0], &[0.0, 1.0], &[3.0, 1.0], &[1.0, 1.0]).unwrap(), 0.25);
        assert_eq!(energy_distance(&[0.0], &[2.0]).unwrap(), 2.0);
        assert!(wasserstein_1d(&[], &[1.0], &[], &[]).is_err());
        assert!(wasserstein_1d(&[1.0], &[1.0], &[0.0], &[]).is_err());
    }

    #[test]
    fn exact_test_counts_orders() {
        // Of the 20 orders of three and three, two keep the samples apart.
        let apart = ks_test(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], KsMethod::Exact).unwrap();
        assert_eq!(apart.statistic, 1.0);
        assert!((apart.p_value - 0.1).abs() < 1e-15);
    }

    #[test]
    fn one_sample_law_agrees_with_its_closed_form_for_one_value() {
        // The published example: n = 10, d = 0.274 gives 0.6284796154565043.
        assert!((ks_one_sample_cdf(10, 0.274) - 0.6284796154565043).abs() < 1e-13);
        assert!((ks_one_sample_cdf(1, 0.7) - 0.4).abs() < 1e-15);
    }

    #[test]
    fn shares_and_divergences() {
        assert_eq!(histogram(&[0.0, 0.5, 1.0, 2.0, 9.0], &[0.0, 1.0, 2.0]), [0.5, 0.5]);
        assert_eq!(jensen_shannon_distance(&[1.0, 0.0], &[0.0, 1.0]).unwrap(), 1.0);
        assert_eq!(kl_divergence(&[0.5, 0.5], &[0.5, 0.5], 1e-12).unwrap(), 0.0);
        assert!(kl_divergence(&[1.0], &[0.5, 0.5], 0.0).is_err());
    }
}
