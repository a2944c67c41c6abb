//! A loss that compares signals in time and in frequency.
//!
//! An estimate may be close in time and still miss a rhythm; the error of the spectrum counts that
//! beside the error of the signal. The transform is linear, so one transform of the error does.

use burn::tensor::Tensor;

use super::level::check_same_shape;
use crate::error::Result;
use crate::nn::diffusion_ts::dft::Dft;

/// How an error counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorMeasure {
    /// By its size.
    Absolute,
    /// By its square.
    Squared,
}

impl ErrorMeasure {
    /// Mean over each item.
    fn mean(self, error: Tensor<3>) -> Tensor<1> {
        let error = match self {
            ErrorMeasure::Absolute => error.abs(),
            ErrorMeasure::Squared => error.square(),
        };
        error.flatten::<2>(1, 2).mean_dim(1).squeeze_dim::<1>(1)
    }
}

/// Mean error of each item in time, plus `weight` times that of its spectrum over time.
///
/// The error of one frequency is that of its real part plus that of its imaginary part. The spectrum is
/// divided by the length, and has as many frequencies as there are points.
///
/// # Shape
/// From two `[batch, lead, time]` of equal shape to `[batch]`.
/// # Errors
/// [`crate::Error::Shape`] if the shapes differ.
/// # Reference
/// Yuan and Qiao 2024, "Diffusion-TS"; `_train_loss` of Y-debug-sys/Diffusion-TS.
pub fn fourier_loss(output: Tensor<3>, target: Tensor<3>, measure: ErrorMeasure, weight: f64) -> Result<Tensor<1>> {
    check_same_shape("network output", &output, &target)?;
    let error = output - target;
    let in_time = measure.mean(error.clone());
    if weight == 0.0 {
        return Ok(in_time);
    }
    let length = error.dims()[2];
    let waves = Dft::new(length, 0..length).on(&error.device());
    let spectrum = waves.analyze(error.swap_dims(1, 2)) * (1.0 / length as f64);
    // The mean runs over both parts of a frequency, whose sum is meant.
    Ok(in_time + measure.mean(spectrum) * (2.0 * weight))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::weights::host;

    /// Parseval: the squares of a spectrum divided by the length have the mean of the squares in time as sum.
    #[test]
    fn squares_count_the_same_in_time_and_in_frequency() {
        let device = Device::flex();
        let values: Vec<f32> = (0..2 * 2 * 9).map(|i| (i * i % 11) as f32 - 4.0).collect();
        let x = Tensor::<3>::from_data(TensorData::new(values, [2, 2, 9]), &device);
        let loss = |weight| host(fourier_loss(x.clone(), x.zeros_like(), ErrorMeasure::Squared, weight).unwrap());
        for (plain, both) in loss(0.0).into_iter().zip(loss(3.0)) {
            assert!((both - plain * (1.0 + 3.0 / 9.0)).abs() < 1e-4 * plain, "{both} for {plain}");
        }
    }

    /// A constant error of 1 has one frequency, the mean, of size 1.
    #[test]
    fn a_constant_error_is_one_frequency() {
        let x = Tensor::<3>::ones([1, 1, 8], &Device::flex());
        let loss = host(fourier_loss(x.clone(), x.zeros_like(), ErrorMeasure::Absolute, 4.0).unwrap());
        assert!((loss[0] - 1.5).abs() < 1e-6, "{loss:?}");
    }
}
