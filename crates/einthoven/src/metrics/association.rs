//! How strongly two measurements of the same items go together.

use super::special::student_t_cdf;
use crate::error::{Error, Result};

/// A correlation with its test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// From -1 to 1.
    pub value: f64,
    /// Two-sided probability of one as large without association, from the t distribution.
    pub p_value: f64,
}

/// Linear correlation. NaN when either measurement is constant.
///
/// # Errors
/// [`Error::Shape`] when the lengths differ; [`Error::Data`] with fewer than three pairs.
/// # Reference
/// Pearson 1895; the probability holds for normal measurements (Student 1908).
pub fn pearson(x: &[f64], y: &[f64]) -> Result<Correlation> {
    if x.len() != y.len() {
        return Err(Error::Shape { what: "second measurement".into(), expected: vec![x.len()], actual: vec![y.len()] });
    }
    if x.len() < 3 || !x.iter().chain(y).all(|v| v.is_finite()) {
        return Err(Error::data("pairs", format!("{}, expected at least 3, all finite", x.len())));
    }
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in x.iter().zip(y).map(|(a, b)| (a - mean_x, b - mean_y)) {
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    let value = (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0);
    let t = value * ((n - 2.0) / ((1.0 - value) * (1.0 + value))).sqrt();
    Ok(Correlation { value, p_value: (2.0 * student_t_cdf(-t.abs(), n - 2.0)).min(1.0) })
}

/// Correlation of the ranks, ties at their mean rank.
///
/// # Errors
/// As [`pearson`].
/// # Reference
/// Spearman 1904.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Correlation> {
    pearson(&ranks(x), &ranks(y))
}

/// Rank of each value from 1 on, ties at their mean rank; NaN for NaN.
fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut out = vec![f64::NAN; x.len()];
    let mut below = 0;
    for tie in order.chunk_by(|&a, &b| x[a] == x[b]) {
        let rank = below as f64 + 0.5 * (tie.len() as f64 + 1.0);
        tie.iter().filter(|&&i| !x[i].is_nan()).for_each(|&i| out[i] = rank);
        below += tie.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotone_is_one_by_rank_and_less_by_line() {
        let x: Vec<f64> = (0..10).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|v| v.exp()).collect();
        assert!((spearman(&x, &y).unwrap().value - 1.0).abs() < 1e-15);
        assert!(pearson(&x, &y).unwrap().value < 0.9);
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert!(pearson(&x, &y[..3]).is_err());
        assert!(pearson(&[1.0, 2.0], &[1.0, 2.0]).is_err());
        assert!(spearman(&[1.0, f64::NAN, 2.0], &[1.0, 2.0, 3.0]).is_err());
    }
}
