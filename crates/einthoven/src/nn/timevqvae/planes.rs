//! Convolutions over the few rows of a spectrogram.
//!
//! A row is stored like a record of its own, `[batch * row, channel, width]`: what looks at one row only is then
//! a convolution over time, and what looks at neighboring rows is one whose channels are those of all of them.

use burn::tensor::Tensor;

pub(super) use crate::nn::kernel::Edge;
use crate::nn::kernel::{self, Conv1dOptions, DepthwiseOptions, conv_transpose1d, conv1d};

/// A batch of spectrograms.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    /// `[batch * row, channel, width]`.
    pub values: Tensor<3>,
    /// Rows of each spectrogram.
    pub rows: usize,
}

impl Planes {
    /// From `[batch, channel, row, width]`.
    pub fn of(x: Tensor<4>) -> Planes {
        let [batch, channels, rows, width] = x.dims();
        Planes { values: x.swap_dims(1, 2).reshape([batch * rows, channels, width]), rows }
    }

    /// As `[batch, channel, row, width]`.
    pub fn spectrograms(&self) -> Tensor<4> {
        let [records, channels, width] = self.values.dims();
        let x = self.values.clone().reshape([records / self.rows, self.rows, channels, width]);
        x.swap_dims(1, 2)
    }

    /// Other values of the same rows.
    pub fn with(&self, values: Tensor<3>) -> Planes {
        Planes { values, rows: self.rows }
    }

    /// Each row with its neighbors, `[batch * row, channel, tap, width]`, the row itself in the middle.
    fn neighbors(&self, taps: usize, edge: Edge) -> Tensor<4> {
        let [records, channels, width] = self.values.dims();
        let x = self.values.clone();
        if taps == 1 {
            return x.unsqueeze_dim(2);
        }
        let x = x.reshape([records / self.rows, self.rows, channels, width]);
        let x = pad(x, 1, taps / 2, edge);
        let views = (0..taps).map(|tap| x.clone().narrow(1, tap, self.rows).unsqueeze_dim::<5>(3)).collect();
        Tensor::cat(views, 3).reshape([records, channels, taps, width])
    }
}

/// `x` with `n` more positions at both ends of an axis.
fn pad<const D: usize>(x: Tensor<D>, axis: usize, n: usize, edge: Edge) -> Tensor<D> {
    if n == 0 {
        return x;
    }
    let (length, mut shape) = (x.dims()[axis], x.dims());
    shape[axis] = n;
    let [first, last] = match edge {
        Edge::Zeros => [Tensor::zeros(shape, &x.device()), Tensor::zeros(shape, &x.device())],
        Edge::Repeat => [0, length - 1].map(|at| x.clone().narrow(axis, at, 1).repeat_dim(axis, n)),
    };
    Tensor::cat(vec![first, x, last], axis)
}

/// The rows of a kernel `[.., .., row, tap]` in reverse order.
fn reversed(weight: Tensor<4>) -> Tensor<4> {
    match weight.dims()[2] {
        1 => weight,
        rows => Tensor::cat((0..rows).rev().map(|row| weight.clone().narrow(2, row, 1)).collect(), 2),
    }
}

/// Convolution by `weight` `[n_out, n_in, row, tap]` with as much around the spectrogram as keeps its size where the
/// kernel's is odd; `stride` is that along the width.
pub(super) fn conv(x: &Planes, weight: Tensor<4>, bias: Tensor<1>, stride: usize, edge: Edge) -> Planes {
    let [records, _, width] = x.values.dims();
    let [n_out, n_in, rows, taps] = weight.dims();
    let near = x.neighbors(rows, edge).reshape([records, n_in * rows, width]);
    let margin = (taps - 1) / 2;
    let (near, padding) = match edge {
        Edge::Zeros => (near, margin),
        Edge::Repeat => (pad(near, 2, margin, edge), 0),
    };
    let options = Conv1dOptions { stride, padding, dilation: 1 };
    x.with(conv1d(near, weight.reshape([n_out, n_in * rows, taps]), Some(bias), options))
}

/// As [`conv`] with a kernel for each channel, `weight` `[channel, 1, row, tap]`, whose taps are a multiple of the
/// stride.
pub(super) fn depthwise(x: &Planes, weight: Tensor<4>, bias: Tensor<1>, stride: usize, edge: Edge) -> Planes {
    x.with(kernel::depthwise(x.values.clone(), weight, bias, DepthwiseOptions { rows: x.rows, stride, edge }))
}

/// Transposed convolution by `weight` `[n_in, n_out, row, 4]` that doubles the width and keeps the rows.
pub(super) fn double(x: &Planes, weight: Tensor<4>, bias: Tensor<1>) -> Planes {
    let [records, _, width] = x.values.dims();
    let [n_in, n_out, rows, taps] = weight.dims();
    let near = x.neighbors(rows, Edge::Zeros).reshape([records, n_in * rows, width]);
    let weight = reversed(weight).swap_dims(1, 2).reshape([n_in * rows, n_out, taps]);
    let options = Conv1dOptions { stride: 2, padding: 1, dilation: 1 };
    x.with(conv_transpose1d(near, weight, bias, options, 0))
}

/// As [`double`] with a kernel for each channel, `weight` `[channel, 1, row, 4]`.
pub(super) fn double_depthwise(x: &Planes, weight: Tensor<4>, bias: Tensor<1>) -> Planes {
    let weight = reversed(weight);
    let tap = |at: usize| weight.clone().narrow(3, at, 1);
    // Output 2m sees inputs m - 1 and m, output 2m + 1 sees m and m + 1.
    let none = tap(0).zeros_like();
    let even = Tensor::cat(vec![tap(3), tap(1), none.clone()], 3);
    let odd = Tensor::cat(vec![none, tap(2), tap(0)], 3);
    let options = DepthwiseOptions { rows: x.rows, stride: 1, edge: Edge::Zeros };
    x.with(kernel::depthwise(x.values.clone(), Tensor::cat(vec![even, odd], 1), bias, options))
}

#[cfg(test)]
mod tests {
    use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
    use burn::tensor::{Device, TensorData, module};

    use super::*;
    use crate::nn::weights::host;

    fn array<const D: usize>(shape: [usize; D], phase: f32) -> Tensor<D> {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| (i as f32 * 1.7 + phase).sin()).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn agree(found: &Planes, expected: Tensor<4>) {
        assert_eq!(found.spectrograms().dims(), expected.dims());
        let (found, expected) = (host(found.spectrograms()), host(expected));
        // Sums of at most 48 products of numbers below 1 in single precision.
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}\n{expected:?}");
    }

    /// The framework's own two-dimensional convolutions, at an even and an odd width.
    #[test]
    fn every_convolution_is_that_of_the_framework() {
        for width in [8, 9] {
            let x = array([2, 4, 3, width], 0.1);
            let planes = Planes::of(x.clone());
            let bias = array([4], 0.2);
            for (rows, taps, stride) in [(1, 4, 2), (3, 4, 2), (1, 3, 1), (3, 3, 1), (1, 1, 1)] {
                let options = |groups| ConvOptions::new([1, stride], [rows / 2, (taps - 1) / 2], [1, 1], groups);
                let weight = array([4, 4, rows, taps], 0.3);
                let expected = module::conv2d(x.clone(), weight.clone(), Some(bias.clone()), options(1));
                agree(&conv(&planes, weight, bias.clone(), stride, Edge::Zeros), expected);
                let weight = array([4, 1, rows, taps], 0.4);
                let expected = module::conv2d(x.clone(), weight.clone(), Some(bias.clone()), options(4));
                agree(&depthwise(&planes, weight, bias.clone(), stride, Edge::Zeros), expected);
            }
            for rows in [1, 3] {
                let options = |groups| ConvTransposeOptions::new([1, 2], [rows / 2, 1], [0, 0], [1, 1], groups);
                let weight = array([4, 4, rows, 4], 0.5);
                let expected = module::conv_transpose2d(x.clone(), weight.clone(), Some(bias.clone()), options(1));
                agree(&double(&planes, weight, bias.clone()), expected);
                let weight = array([4, 1, rows, 4], 0.6);
                let expected = module::conv_transpose2d(x.clone(), weight.clone(), Some(bias.clone()), options(4));
                agree(&double_depthwise(&planes, weight, bias.clone()), expected);
            }
        }
    }

    #[test]
    fn repeated_edges_are_those_of_a_larger_spectrogram() {
        let x = array([1, 4, 3, 7], 0.7);
        let larger = pad(pad(x.clone(), 2, 1, Edge::Repeat), 3, 1, Edge::Repeat);
        let (weight, bias) = (array([4, 4, 3, 4], 0.8), array([4], 0.9));
        let options = ConvOptions::new([1, 2], [0, 0], [1, 1], 1);
        let expected = module::conv2d(larger, weight.clone(), Some(bias.clone()), options);
        agree(&conv(&Planes::of(x), weight, bias, 2, Edge::Repeat), expected);
    }
}
