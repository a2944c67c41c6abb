//! Smoothing by running polynomials.

use crate::error::{Error, Result};

/// Value at each point of the polynomial fitted to the `width` points around it; near an end, of
/// the one fitted to the outermost `width` points.
///
/// # Errors
/// [`Error::Config`] unless the width is odd and above the degree; [`Error::Shape`] for a signal
/// shorter than the width.
/// # Reference
/// Savitzky and Golay 1964; `scipy.signal.savgol_filter` with mode `interp`.
pub fn savitzky_golay(x: &[f64], width: usize, degree: usize) -> Result<Vec<f64>> {
    if width.is_multiple_of(2) || degree >= width {
        return Err(Error::config("width", format!("{width} for degree {degree}, expected an odd number above it")));
    }
    if x.len() < width {
        return Err(Error::Shape { what: "signal to smooth".into(), expected: vec![width], actual: vec![x.len()] });
    }
    let basis = orthonormal_polynomials(width, degree);
    let half = width / 2;
    // The projection onto the polynomials, one row for each place inside the window.
    let row =
        |place: usize| -> Vec<f64> { (0..width).map(|j| basis.iter().map(|p| p[place] * p[j]).sum::<f64>()).collect() };
    let at = |weights: &[f64], start: usize| -> f64 { weights.iter().zip(&x[start..]).map(|(w, x)| w * x).sum() };
    let (middle, last) = (row(half), x.len() - width);
    let value = |i: usize| {
        let start = i.saturating_sub(half).min(last);
        if i - start == half { at(&middle, start) } else { at(&row(i - start), start) }
    };
    Ok((0..x.len()).map(value).collect())
}

/// Polynomials of degree 0 to `degree` on `width` points, orthonormal.
fn orthonormal_polynomials(width: usize, degree: usize) -> Vec<Vec<f64>> {
    let half = (width / 2).max(1) as f64;
    let place = |k: usize| (k as f64 - (width / 2) as f64) / half;
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(degree + 1);
    for d in 0..=degree {
        // Each is the one before times the place, made orthogonal twice, because once leaves rounding.
        let mut next: Vec<f64> = match basis.last() {
            None => vec![1.0; width],
            Some(before) => before.iter().enumerate().map(|(k, v)| v * place(k)).collect(),
        };
        for _ in 0..2 {
            for other in &basis[..d] {
                let shared: f64 = next.iter().zip(other).map(|(a, b)| a * b).sum();
                next.iter_mut().zip(other).for_each(|(a, b)| *a -= shared * b);
            }
        }
        let norm = next.iter().map(|v| v * v).sum::<f64>().sqrt();
        basis.push(next.into_iter().map(|v| v / norm).collect());
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_pass_unchanged_up_to_the_ends() {
        let x: Vec<f64> = (0..40).map(|t| f64::from(t) / 10.0).map(|t| 1.0 - 2.0 * t + 0.3 * t * t * t).collect();
        let smooth = savitzky_golay(&x, 11, 3).unwrap();
        assert!(smooth.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-11));
        // The published weights of five points and degree two.
        let mut spike = [0.0; 11];
        spike[5] = 35.0;
        let smooth = savitzky_golay(&spike, 5, 2).unwrap();
        for (found, expected) in smooth[3..8].iter().zip([-3.0, 12.0, 17.0, 12.0, -3.0]) {
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
    }

    #[test]
    fn bad_settings_are_errors() {
        assert!(savitzky_golay(&[0.0; 20], 10, 3).is_err());
        assert!(savitzky_golay(&[0.0; 20], 3, 3).is_err());
        assert!(savitzky_golay(&[0.0; 4], 5, 3).is_err());
    }
}
