//! How leads go together: the error of the matrix of their correlations.

use burn::tensor::Tensor;

use super::super::level::check_same_shape;
use crate::error::Result;

/// Keeps the correlation of a flat lead finite; in squares of the data's standard deviation.
const FLOOR: f64 = 1e-6;

/// Mean squared error of the correlations between leads, over all pairs of leads.
///
/// # Shape
/// From two `[batch, lead, time]` to `[batch]`.
/// # Errors
/// [`crate::Error::Shape`] if the shapes differ.
/// # Reference
/// The measure of MIDT-ECG, arXiv:2510.05492, as a loss.
pub fn correlation_loss(estimate: Tensor<3>, x0: Tensor<3>) -> Result<Tensor<1>> {
    check_same_shape("estimate", &estimate, &x0)?;
    Ok(super::item_means((correlations(estimate) - correlations(x0)).square()))
}

/// Correlations `[batch, lead, lead]` of signals `[batch, lead, time]`.
fn correlations(x: Tensor<3>) -> Tensor<3> {
    let centered = x.clone() - x.mean_dim(2);
    let power = centered.clone().square().mean_dim(2) + FLOOR;
    let length = centered.dims()[2] as f64;
    let unit = centered / (power * length).sqrt();
    unit.clone().matmul(unit.swap_dims(1, 2))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_gradient, normal};
    use super::*;
    use crate::nn::weights::host;

    #[test]
    fn correlations_do_not_depend_on_scale_and_offset() {
        let x = normal([2, 3, 64], 1);
        assert!(host(correlation_loss(x.clone() * 3.0 + 1.0, x.clone()).unwrap()).iter().all(|v| v.abs() < 1e-9));
        // One lead turned over changes four of nine correlations from r to -r.
        let lead = |k: usize| x.clone().slice([0..2, k..k + 1, 0..64]);
        let turned = Tensor::cat(vec![-lead(0), lead(1), lead(2)], 1);
        let r = host(correlations(x.clone()));
        let found = host(correlation_loss(turned, x.clone()).unwrap());
        for item in 0..2 {
            let at = |row: usize, column: usize| r[item * 9 + row * 3 + column];
            let expected = 2.0 * 4.0 * (at(0, 1).powi(2) + at(0, 2).powi(2)) / 9.0;
            assert!(
                (at(0, 0) - 1.0).abs() < 1e-4 && (found[item] - expected).abs() < 1e-5,
                "{} {expected}",
                found[item]
            );
        }
        assert!(correlation_loss(x.clone(), normal([2, 3, 32], 1)).is_err());
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let x0 = normal([2, 3, 16], 2);
        let loss = |x: Tensor<3>| {
            let x0 = x0.clone().to_device(&x.device());
            correlation_loss(x, x0).unwrap()
        };
        check_gradient(loss, normal([2, 3, 16], 3));
    }
}
