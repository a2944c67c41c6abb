//! Transposed convolution: the gradient of a convolution for its signal, as an operation of its own.
//!
//! Its own gradients are then the convolution itself and that convolution's weight gradient, so it
//! has no loops of its own.

use std::slice;

use burn::tensor::{DType, Tensor, ops::ConvTransposeOptions};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::product::{self, Sizes};
use super::{Conv1dOptions, direct};
use crate::nn::kernel::cpu::{Real, values, values_mut};
use crate::nn::kernel::fused::{self, FusedOp};

/// Transposed convolution of `x` with `weight`: what puts a sample between samples for a stride of 2.
///
/// `x` is `[batch, channels_in, length]`, `weight` is `[channels_in, channels_out, kernel]`, `bias` is
/// `[channels_out]`. The result is `[batch, channels_out, (length - 1) * stride - 2 * padding +
/// dilation * (kernel - 1) + 1 + extra]`; `extra`, below the stride, chooses among the lengths that a
/// convolution with these options would shorten to `length`.
///
/// # Panics
///
/// If a size is 0, the shapes do not fit each other, the result would be empty, dilation is 0, or
/// `extra` is not below the stride.
pub fn conv_transpose1d(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Tensor<1>,
    options: Conv1dOptions,
    extra: usize,
) -> Tensor<3> {
    let ([batch, channels_in, length], [weight_in, channels_out, kernel]) = (x.dims(), weight.dims());
    let Conv1dOptions { stride, padding, dilation } = options;
    assert!(stride > extra && dilation > 0, "conv_transpose1d: {extra} extra samples with {options:?}");
    assert!(
        batch > 0 && channels_in > 0 && length > 0 && channels_out > 0 && kernel > 0,
        "conv_transpose1d: found shape [{batch}, {channels_in}, {length}] to {channels_out} channels by {kernel} taps, \
         expected no 0"
    );
    assert_eq!(channels_in, weight_in, "conv_transpose1d: channels of the signal and of the weight");
    assert_eq!(bias.dims(), [channels_out], "conv_transpose1d: shape of the bias");
    let reach = (length - 1) * stride + dilation * (kernel - 1) + 1 + extra;
    assert!(reach > 2 * padding, "conv_transpose1d: a padding of {padding} leaves nothing of {reach} samples");
    if !fused::runs_here(&x.device(), &[x.dtype(), weight.dtype(), bias.dtype()]) {
        return conv_transpose1d_reference(x, weight, bias, options, extra);
    }
    let op = Transposed { options, length: reach - 2 * padding };
    let inputs = vec![x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(fused::run(op, inputs))
}

/// [`conv_transpose1d`] by the framework's own operation: the reference for tests, and what devices
/// other than the CPU run.
pub fn conv_transpose1d_reference(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Tensor<1>,
    options: Conv1dOptions,
    extra: usize,
) -> Tensor<3> {
    let options = ConvTransposeOptions::new([options.stride], [options.padding], [extra], [options.dilation], 1);
    burn::tensor::module::conv_transpose1d(x, weight, Some(bias), options)
}

#[derive(Debug)]
struct Transposed {
    options: Conv1dOptions,
    /// Samples of the result.
    length: usize,
}

impl Transposed {
    fn run<T: Real>(&self, x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> FlexTensor {
        let sizes = Sizes::transposed(x, weight, self.length, self.options);
        let mut out = if T::DOUBLE {
            product::signal_gradient::<T>(x, weight, sizes)
        } else {
            direct::signal_gradient(x, weight, sizes, [0, sizes.channels_in])
        };
        let bias = values::<T>(bias);
        values_mut::<T>(&mut out).par_chunks_exact_mut(self.length).enumerate().for_each(|(row, values)| {
            let bias = bias[row % bias.len()];
            for value in values {
                *value += bias;
            }
        });
        out
    }
}

impl FusedOp for Transposed {
    fn forward(&self, inputs: Vec<FlexTensor>, keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => self.run::<f64>(&inputs[0], &inputs[1], &inputs[2]),
            _ => self.run::<f32>(&inputs[0], &inputs[1], &inputs[2]),
        };
        (out, if keep { inputs } else { Vec::new() })
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let (x, weight, options) = (&kept[0], &kept[1], self.options);
        let double = grad.dtype() == DType::F64;
        let for_x = wanted[0].then(|| {
            if double {
                product::forward::<f64>(&grad, weight, None, options)
            } else {
                direct::forward(slice::from_ref(&grad), weight, None, options)
            }
        });
        let for_weight = wanted[1].then(|| {
            if double {
                product::weight_gradient::<f64>(x, &grad, weight, options)
            } else {
                let [for_weight, _] = direct::weight_gradients(x, slice::from_ref(&grad), weight, options);
                for_weight
            }
        });
        let for_bias = wanted[2]
            .then(|| if double { product::bias_gradient::<f64>(&grad) } else { product::bias_gradient::<f32>(&grad) });
        vec![for_x, for_weight, for_bias]
    }
}
