//! Kernel inception distance: a maximum mean discrepancy whose kernel needs no width.

use rayon::prelude::*;

use super::distance::{Points, at_least, same_dim};
use crate::error::Result;

/// Unbiased squared MMD with the kernel `(x . y / dim + 1)^3`, known as kernel inception distance.
///
/// # Errors
/// As [`super::distance::mmd_rbf`].
/// # Reference
/// Bińkowski et al. 2018, section 4.
pub fn mmd_cubic(x: Points, y: Points) -> Result<f64> {
    same_dim(x, y)?;
    for (name, set) in [("first set", x), ("second set", y)] {
        at_least(name, set, 2)?;
    }
    let dim = x.dim() as f64;
    let kernel = |a: &[f64], b: &[f64]| (a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / dim + 1.0).powi(3);
    let row_sums = |a: Points, b: Points, skip_self: bool| -> f64 {
        let row = |i: usize| {
            let others = (0..b.len()).filter(|&j| !(skip_self && i == j));
            others.map(|j| kernel(a.row(i), b.row(j))).sum::<f64>()
        };
        (0..a.len()).into_par_iter().map(row).collect::<Vec<f64>>().iter().sum()
    };
    let (n, m) = (x.len() as f64, y.len() as f64);
    let within = row_sums(x, x, true) / (n * (n - 1.0)) + row_sums(y, y, true) / (m * (m - 1.0));
    Ok(within - 2.0 * row_sums(x, y, false) / (n * m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_points_each_by_hand() {
        let (x, y) = ([0.0, 1.0], [1.0, 2.0]);
        let kernel = |a: f64, b: f64| (a * b + 1.0).powi(3);
        let across: f64 = x.iter().flat_map(|a| y.iter().map(move |b| kernel(*a, *b))).sum();
        let expected = kernel(0.0, 1.0) + kernel(1.0, 2.0) - 2.0 * across / 4.0;
        let found = mmd_cubic(Points::new(&x, 1).unwrap(), Points::new(&y, 1).unwrap()).unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        assert!(mmd_cubic(Points::new(&x, 1).unwrap(), Points::new(&y, 2).unwrap()).is_err());
    }
}
