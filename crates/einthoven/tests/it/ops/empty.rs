//! Signals without values, which every operation refuses.

use std::panic::catch_unwind;

use burn::tensor::{Device, Tensor};
use einthoven::nn::kernel::{
    Activation, Conv1dOptions, conv_transpose1d, conv1d, conv1d_grouped, conv1d_joined, conv1d_matrix, group_norm_act,
    group_norm_act_add, max_pool, rms_norm, rms_norm_add, upsample_nearest,
};

fn zeros<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::zeros(shape, &Device::flex())
}

/// Each operation on a signal `[batch, channels, length]`, its other inputs fitting.
const OPS: [(&str, fn(Tensor<3>) -> Tensor<3>); 11] = [
    ("conv1d", |x| conv1d(x.clone(), taps(&x), None, OPTIONS)),
    ("conv1d", |x| conv1d_matrix(x.clone(), taps(&x), None, OPTIONS)),
    ("conv1d_joined", |x| {
        let weight = zeros([4, 2 * x.dims()[1], 3]);
        conv1d_joined(x.clone(), x, weight, zeros([4]), OPTIONS)
    }),
    ("conv1d_grouped", |x| conv1d_grouped(x.clone(), taps(&x), None, OPTIONS, 1)),
    ("conv_transpose1d", |x| conv_transpose1d(x.clone(), taps(&x).swap_dims(0, 1), zeros([4]), OPTIONS, 0)),
    ("group_norm_act", |x| group_norm_act(x.clone(), 1, row(&x), row(&x), None, Activation::Silu, 1e-5)),
    ("group_norm_act_add", |x| group_norm_act_add(x.clone(), 1, row(&x), row(&x), Activation::Silu, 1e-5, x)),
    ("rms_norm", |x| rms_norm(x.clone(), row(&x), None, Activation::Silu, 1e-12)),
    ("rms_norm_add", |x| rms_norm_add(x.clone(), row(&x), Activation::Silu, 1e-12, x)),
    ("upsample_nearest", |x| upsample_nearest(x, 2)),
    ("max_pool", |x| max_pool(x, 2)),
];

/// With so much padding that the kernel fits a signal of no samples.
const OPTIONS: Conv1dOptions = Conv1dOptions { stride: 1, padding: 2, dilation: 1 };

fn taps(x: &Tensor<3>) -> Tensor<3> {
    zeros([4, x.dims()[1], 3])
}

fn row(x: &Tensor<3>) -> Tensor<1> {
    zeros([x.dims()[1]])
}

#[test]
fn operations_refuse_signals_without_values() {
    for (name, op) in OPS {
        op(zeros([2, 4, 8]));
        for shape in [[0, 4, 8], [2, 0, 8], [2, 4, 0]] {
            let refusal = catch_unwind(|| drop(op(zeros(shape)))).expect_err(name);
            let message = refusal.downcast_ref::<String>().map_or("", String::as_str);
            let is_clear = message.starts_with(&format!("{name}: found shape")) && message.contains("expected no 0");
            assert!(is_clear, "{name} of {shape:?}: {message}");
        }
    }
}
