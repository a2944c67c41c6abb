//! The short-time Fourier transform on tensors, with gradients, and the stretching of signals.
//!
//! Segments are four or eight points long here, so that a transform is a convolution with a few sines. Long
//! segments on the host are transformed by `signal/stft.rs`, whose scaling and edges are others.

use std::f64::consts::TAU;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::nn::kernel::{Conv1dOptions, conv_transpose1d, conv1d};

/// A transform of segments that start a quarter of their length apart, of signals that are mirrored at both ends.
#[derive(Debug, Clone)]
pub struct Stft {
    /// Points of a segment, a multiple of four.
    pub(in crate::nn) n_fft: usize,
    /// Weight of each point of a segment.
    taper: Vec<f64>,
    /// Factor of the transform.
    scale: f64,
}

impl Stft {
    /// Hann segments (periodic), energy kept: divided by the root of the segment's length.
    pub fn hann(n_fft: usize) -> Stft {
        let taper = (0..n_fft).map(|t| 0.5 - 0.5 * libm::cos(TAU * t as f64 / n_fft as f64)).collect();
        Stft { n_fft, taper, scale: (n_fft as f64).powf(-0.5) }
    }

    /// Segments without taper and without scaling.
    pub fn rectangular(n_fft: usize) -> Stft {
        Stft { n_fft, taper: vec![1.0; n_fft], scale: 1.0 }
    }

    /// Frequencies from 0 to half the sampling rate.
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Segments of a signal.
    pub fn frames(&self, length: usize) -> usize {
        1 + length / self.hop()
    }

    /// Points from the start of a segment to that of the next.
    pub fn hop(&self) -> usize {
        self.n_fft / 4
    }

    /// Spectrogram of signals.
    ///
    /// # Shape
    /// `x` is `[batch, channel, time]`, longer than half a segment; the result is `[batch, 2 * channel, bin, frame]`
    /// with the real part of channel `c` in plane `2c` and the imaginary part in plane `2c + 1`.
    /// # Reference
    /// `torch.stft` with its defaults but for taper and scaling.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, channels, length] = x.dims();
        let half = self.n_fft / 2;
        let before = (1..=half).rev();
        let after = (1..=half).map(|k| length - 1 - k);
        let mirrored: Vec<usize> = before.chain(0..length).chain(after).collect();
        let device = x.device();
        let x = x.reshape([batch * channels, 1, length]).select(2, positions(&mirrored, &device));
        let waves = self.waves(|_, taper| taper * self.scale);
        let kernel = Tensor::from_data(TensorData::new(waves, [2 * self.bins(), 1, self.n_fft]), &device);
        let options = Conv1dOptions { stride: self.hop(), padding: 0, dilation: 1 };
        let frames = self.frames(length);
        conv1d(x, kernel, None, options).reshape([batch, 2 * channels, self.bins(), frames])
    }

    /// Signals of a spectrogram, which need not be that of any signal: segments are added by least squares.
    ///
    /// # Shape
    /// `x` is `[batch, 2 * channel, bin, frame]` with at least two frames; the result is
    /// `[batch, channel, hop * (frame - 1)]`.
    /// # Reference
    /// Griffin and Lim 1984, eq. 6; `torch.istft`.
    pub fn inverse(&self, x: Tensor<4>) -> Tensor<3> {
        let [batch, planes, bins, frames] = x.dims();
        let device = x.device();
        let (waves, weights) = self.synthesis(frames);
        let kernel = Tensor::from_data(TensorData::new(waves, [2 * bins, 1, self.n_fft]), &device);
        let rows = x.reshape([batch * planes / 2, 2 * bins, frames]);
        let options = Conv1dOptions { stride: self.hop(), padding: self.n_fft / 2, dilation: 1 };
        let added = conv_transpose1d(rows, kernel, Tensor::zeros([1], &device), options, 0);
        let length = weights.len();
        let weights = Tensor::from_data(TensorData::new(weights, [1, 1, length]), &device);
        (added * weights).reshape([batch, planes / 2, length])
    }

    /// The waves that are added where a segment lies, `[2 * bin, n_fft]`, and the factor of each point of their sum.
    pub(in crate::nn) fn synthesis(&self, frames: usize) -> (Vec<f32>, Vec<f32>) {
        let (half, hop) = (self.n_fft / 2, self.hop());
        // Every frequency between the first and the last stands for two of the full transform.
        let count = |bin: usize| if bin == 0 || bin == half { 1.0 } else { 2.0 };
        let waves = self.waves(|bin, taper| taper * count(bin) / (self.n_fft as f64 * self.scale));
        let length = hop * (frames - 1);
        let mut weight = vec![0.0; length + self.n_fft];
        for frame in 0..frames {
            for (t, taper) in self.taper.iter().enumerate() {
                weight[frame * hop + t] += taper * taper;
            }
        }
        (waves, weight[half..half + length].iter().map(|&weight| (1.0 / weight) as f32).collect())
    }

    /// Cosines and then negative sines, `[2 * bin, n_fft]`, times a factor of bin and taper.
    fn waves(&self, factor: impl Fn(usize, f64) -> f64) -> Vec<f32> {
        let wave = |part: usize, bin: usize, t: usize| {
            // Whole turns are removed, and the sines that vanish are set to 0.
            let turn = (bin * t) % self.n_fft;
            let angle = TAU * turn as f64 / self.n_fft as f64;
            match part {
                0 => libm::cos(angle),
                _ if (2 * turn).is_multiple_of(self.n_fft) => 0.0,
                _ => -libm::sin(angle),
            }
        };
        let rows = (0..2).flat_map(|part| (0..self.bins()).map(move |bin| (part, bin)));
        rows.flat_map(|(part, bin)| {
            let value = |(t, &taper): (usize, &f64)| (factor(bin, taper) * wave(part, bin, t)) as f32;
            self.taper.iter().enumerate().map(value).collect::<Vec<f32>>()
        })
        .collect()
    }
}

/// Which points of a short and a long signal coincide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// The first and the last points.
    Corners,
    /// The outer edges of the first and the last points, each as wide as its sampling interval.
    Edges,
}

/// Linear interpolation to another number of points.
///
/// # Shape
/// `x` is `[batch, channel, time]`, the result `[batch, channel, length]`.
/// # Reference
/// `torch.nn.functional.interpolate`, whose positions are in single precision, and so are these.
pub fn stretch(x: Tensor<3>, length: usize, align: Align) -> Tensor<3> {
    let from = x.dims()[2];
    if from == length {
        return x;
    }
    let (before, after, share) = neighbors(from, length, align);
    let device = x.device();
    let share = Tensor::<3>::from_data(TensorData::new(share, [1, 1, length]), &device);
    let rest = share.clone().neg() + 1.0;
    x.clone().select(2, positions(&before, &device)) * rest + x.select(2, positions(&after, &device)) * share
}

/// The points between which those of [`stretch`] lie, and the share of the later one.
pub(in crate::nn) fn neighbors(from: usize, length: usize, align: Align) -> (Vec<usize>, Vec<usize>, Vec<f32>) {
    let position = |to: usize| match align {
        Align::Corners if length > 1 => (from - 1) as f32 / (length - 1) as f32 * to as f32,
        Align::Corners => 0.0,
        Align::Edges => (from as f32 / length as f32 * (to as f32 + 0.5) - 0.5).max(0.0),
    };
    let before: Vec<usize> = (0..length).map(|to| (position(to) as usize).min(from - 1)).collect();
    let after: Vec<usize> = before.iter().map(|at| (at + 1).min(from - 1)).collect();
    let share = before.iter().enumerate().map(|(to, &at)| (position(to) - at as f32).min(1.0)).collect();
    (before, after, share)
}

/// Each point of `x` `[batch, channel, time]` as often as it takes to have `length` points.
///
/// # Reference
/// `torch.nn.functional.interpolate`, mode nearest.
pub(super) fn repeat_to(x: Tensor<3>, length: usize) -> Tensor<3> {
    let (nearest, device) = (nearest(x.dims()[2], length), x.device());
    x.select(2, positions(&nearest, &device))
}

/// The points that [`repeat_to`] repeats.
pub(in crate::nn) fn nearest(from: usize, length: usize) -> Vec<usize> {
    let scale = from as f32 / length as f32;
    (0..length).map(|to| ((to as f32 * scale) as usize).min(from - 1)).collect()
}

/// Positions as an index tensor.
pub(super) fn positions(positions: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = positions.iter().map(|&at| at as i32).collect();
    Tensor::from_data(TensorData::new(values, [positions.len()]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::weights::host;

    fn signal(length: usize, device: &Device) -> (Vec<f32>, Tensor<3>) {
        let values: Vec<f32> = (0..2 * length).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
        let tensor = Tensor::from_data(TensorData::new(values.clone(), [1, 2, length]), device);
        (values, tensor)
    }

    #[test]
    fn inverse_gives_the_signal_back() {
        let device = Device::flex();
        for stft in [Stft::hann(4), Stft::hann(8), Stft::rectangular(8)] {
            let (values, x) = signal(24, &device);
            let back = host(stft.inverse(stft.forward(x)));
            // Rounding of sums of eight terms in single precision.
            assert!(values.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-5), "{stft:?}");
        }
    }

    #[test]
    fn a_constant_has_only_its_mean() {
        let x = Tensor::<3>::ones([1, 1, 16], &Device::flex());
        let spectrogram = Stft::rectangular(8).forward(x);
        assert_eq!(spectrogram.dims(), [1, 2, 5, 9]);
        let values = host(spectrogram);
        // Eight ones in the real part of frequency 0, sums of whole periods elsewhere.
        assert!(values[..9].iter().all(|v| (v - 8.0).abs() < 1e-5));
        assert!(values[9..].iter().all(|v| v.abs() < 1e-5));
    }

    #[test]
    fn stretching_keeps_a_straight_line_between_its_ends() {
        let device = Device::flex();
        let line = Tensor::<3>::from_data(TensorData::new(vec![0f32, 1.0, 2.0], [1, 1, 3]), &device);
        assert_eq!(host(stretch(line.clone(), 5, Align::Corners)), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(host(stretch(line.clone(), 6, Align::Edges)), [0.0, 0.25, 0.75, 1.25, 1.75, 2.0]);
        assert_eq!(host(repeat_to(line, 6)), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    }
}
