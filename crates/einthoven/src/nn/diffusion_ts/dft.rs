//! The discrete Fourier transform over time as a product with a matrix.
//!
//! The signals of this family are short, so that the product costs less than the layers around it,
//! and it is differentiable as any convolution. Frequencies that a network cannot use are not computed.

use std::f64::consts::TAU;
use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use super::super::kernel::{Conv1dOptions, conv1d};

/// Cosines and sines of some frequencies over a signal.
#[derive(Debug, Clone)]
pub struct Dft {
    /// `[2 * bin, time]`, all cosines first.
    waves: Vec<f32>,
    bins: usize,
    length: usize,
}

impl Dft {
    /// The waves of `bins`, in whole periods over a signal of `length` points.
    pub fn new(length: usize, bins: Range<usize>) -> Dft {
        let row = |bin: usize, wave: fn(f64) -> f64| {
            // Whole periods are taken off as whole numbers, which keeps the digits of the phase.
            (0..length).map(move |t| wave(TAU * ((bin * t) % length) as f64 / length as f64) as f32)
        };
        let cosines = bins.clone().flat_map(|bin| row(bin, libm::cos));
        let waves = cosines.chain(bins.clone().flat_map(|bin| row(bin, libm::sin))).collect();
        Dft { waves, bins: bins.len(), length }
    }

    /// Number of frequencies.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// The waves on the host, `[2 * bin, time]`, all cosines first.
    pub fn waves(&self) -> &[f32] {
        &self.waves
    }

    /// The waves on a device, `[2 * bin, time, 1]`.
    pub fn on(&self, device: &Device) -> Waves {
        let data = TensorData::new(self.waves.clone(), [2 * self.bins, self.length, 1]);
        Waves(Tensor::from_data(data, device))
    }
}

/// The waves of a [`Dft`] on a device.
#[derive(Debug, Clone)]
pub struct Waves(Tensor<3>);

impl Waves {
    /// Products of a signal with the cosines, then with the sines: the real parts of its spectrum, then
    /// the imaginary parts with their sign turned.
    ///
    /// # Shape
    /// `x` is `[batch, time, channel]`; the result `[batch, 2 * bin, channel]`.
    pub fn analyze(&self, x: Tensor<3>) -> Tensor<3> {
        conv1d(x, self.0.clone(), None, Conv1dOptions::default())
    }

    /// Sum of the waves with these amplitudes: the transpose of [`Waves::analyze`].
    ///
    /// # Shape
    /// `amplitudes` is `[batch, 2 * bin, channel]`; the result `[batch, time, channel]`.
    pub fn synthesize(&self, amplitudes: Tensor<3>) -> Tensor<3> {
        conv1d(amplitudes, self.0.clone().swap_dims(0, 1), None, Conv1dOptions::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::weights::host;

    #[test]
    fn all_bins_and_back_are_the_length_times_the_signal() {
        let device = Device::flex();
        for length in [5, 8] {
            let values: Vec<f32> = (0..2 * length).map(|i| (i * i % 7) as f32 - 3.0).collect();
            let x = Tensor::<3>::from_data(TensorData::new(values.clone(), [1, length, 2]), &device);
            let waves = Dft::new(length, 0..length).on(&device);
            let back = host(waves.synthesize(waves.analyze(x)));
            for (back, value) in back.iter().zip(values) {
                assert!((back - length as f32 * value).abs() < 1e-4, "{back} for {value}");
            }
        }
    }
}
