//! The layers that networks share: what they declare and what they compute.
//!
//! Each layer is a pair: a function that adds its parameters to a list, and one that applies it.

use burn::tensor::{Tensor, activation};

use super::kernel::{Conv1dOptions, conv1d as conv1d_op};
use super::weights::{Init, ParamSpec, View};

/// Adds a weight and a bias drawn uniformly within ±1/sqrt(fan in), as PyTorch does.
fn declare_affine(out: &mut Vec<ParamSpec>, name: &str, shape: &[usize], has_bias: bool) {
    let fan_in: usize = shape[1..].iter().product();
    let bound = 1.0 / (fan_in as f64).sqrt();
    out.push(ParamSpec { name: format!("{name}.weight"), shape: shape.to_vec(), init: Init::Uniform(bound) });
    if has_bias {
        out.push(ParamSpec { name: format!("{name}.bias"), shape: vec![shape[0]], init: Init::Uniform(bound) });
    }
}

/// Declares a convolution `[n_out, n_in, kernel]`.
pub fn declare_conv(out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize, kernel: usize, has_bias: bool) {
    declare_affine(out, name, &[n_out, n_in, kernel], has_bias);
}

/// Declares a linear map `[n_out, n_in]`.
pub fn declare_linear(out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize) {
    declare_affine(out, name, &[n_out, n_in], true);
}

/// Declares a parameter that starts at one value everywhere.
pub fn declare_constant(out: &mut Vec<ParamSpec>, name: &str, shape: &[usize], init: Init) {
    out.push(ParamSpec { name: name.to_string(), shape: shape.to_vec(), init });
}

/// Convolution with bias.
///
/// # Shape
/// `x` is `[batch, n_in, time]`; the result `[batch, n_out, time']`.
pub fn conv(p: &View, x: Tensor<3>, stride: usize, padding: usize) -> Tensor<3> {
    conv1d_op(x, p.get("weight"), Some(p.get("bias")), Conv1dOptions { stride, padding, dilation: 1 })
}

/// Convolution without bias.
pub fn conv_unbiased(p: &View, x: Tensor<3>) -> Tensor<3> {
    conv1d_op(x, p.get("weight"), None, Conv1dOptions { stride: 1, padding: 0, dilation: 1 })
}

/// Convolution whose weight is standardized per output channel: mean 0, variance 1.
///
/// # Reference
/// Qiao et al. 2019, "Micro-batch training with batch-channel normalization and weight
/// standardization", eq. 3; eps 1e-5.
pub fn conv_standardized(p: &View, x: Tensor<3>, padding: usize) -> Tensor<3> {
    let weight: Tensor<3> = p.get("weight");
    let [n_out, n_in, kernel] = weight.dims();
    let flat = weight.reshape([n_out, n_in * kernel]);
    let centered = flat.clone() - flat.mean_dim(1);
    let variance = centered.clone().powi_scalar(2).mean_dim(1);
    let weight = (centered / (variance + 1e-5).sqrt()).reshape([n_out, n_in, kernel]);
    conv1d_op(x, weight, Some(p.get("bias")), Conv1dOptions { stride: 1, padding, dilation: 1 })
}

/// Linear map with bias on `[batch, n_in]`.
///
/// Runs as a convolution over one point in time, because that gives a row the same bits whatever
/// the number of rows; a matrix product picks its inner loop by the number of rows.
pub fn linear(p: &View, x: Tensor<2>) -> Tensor<2> {
    let weight: Tensor<2> = p.get("weight");
    let options = Conv1dOptions { stride: 1, padding: 0, dilation: 1 };
    conv1d_op(x.unsqueeze_dim(2), weight.unsqueeze_dim(2), Some(p.get("bias")), options).squeeze_dim(2)
}

/// Nearest-neighbour doubling of the time axis.
pub fn upsample_nearest(x: Tensor<3>, factor: usize) -> Tensor<3> {
    let [batch, channels, length] = x.dims();
    x.reshape([batch, channels, length, 1]).repeat_dim(3, factor).reshape([batch, channels, length * factor])
}

/// Linear attention over time, whose cost grows with the length and not with its square.
///
/// # Shape
/// `qkv` is `[batch, 3 * heads * head_width, time]`; the result `[batch, heads * head_width, time]`.
/// # Reference
/// Shen et al. 2021, "Efficient attention": softmax of q over its channels, of k over time.
pub fn linear_attention(qkv: Tensor<3>, heads: usize, head_width: usize) -> Tensor<3> {
    let [batch, _, length] = qkv.dims();
    let split = |part: usize| {
        qkv.clone().narrow(1, part * heads * head_width, heads * head_width).reshape([
            batch * heads,
            head_width,
            length,
        ])
    };
    let q = activation::softmax(split(0), 1) * (head_width as f64).powf(-0.5);
    let k = activation::softmax(split(1), 2);
    // context[d, e] = sum over time of k[d] v[e]
    let context = k.matmul(split(2).transpose());
    context.transpose().matmul(q).reshape([batch, heads * head_width, length])
}

/// Softmax attention over time.
///
/// # Shape
/// As [`linear_attention`].
/// # Reference
/// Vaswani et al. 2017, eq. 1.
pub fn attention(qkv: Tensor<3>, heads: usize, head_width: usize) -> Tensor<3> {
    let [batch, _, length] = qkv.dims();
    let split = |part: usize| {
        qkv.clone().narrow(1, part * heads * head_width, heads * head_width).reshape([
            batch * heads,
            head_width,
            length,
        ])
    };
    let q = split(0) * (head_width as f64).powf(-0.5);
    let weights = activation::softmax(q.transpose().matmul(split(1)), 2);
    // out[e, i] = sum over j of weights[i, j] v[e, j]
    split(2).matmul(weights.transpose()).reshape([batch, heads * head_width, length])
}

/// Sine and cosine features of a scalar per item, decaying frequencies, sines first.
///
/// # Shape
/// `time` is `[batch]`; the result `[batch, width]`.
/// # Reference
/// Ho et al. 2020, after Vaswani et al. 2017; frequencies theta^(-i / (width/2 - 1)).
pub fn sinusoidal_embedding(time: Tensor<1>, width: usize, theta: f64) -> Tensor<2> {
    let half = width / 2;
    let device = time.device();
    let frequencies: Vec<f32> =
        (0..half).map(|i| (-theta.ln() * i as f64 / (half as f64 - 1.0)).exp() as f32).collect();
    let frequencies = Tensor::<1>::from_floats(frequencies.as_slice(), &device);
    let angles = time.unsqueeze_dim::<2>(1) * frequencies.unsqueeze_dim::<2>(0);
    Tensor::cat(vec![angles.clone().sin(), angles.cos()], 1)
}

/// Random or learned Fourier features: the scalar itself, then sines and cosines of 2 pi w t.
pub fn fourier_embedding(time: Tensor<1>, frequencies: Tensor<1>) -> Tensor<2> {
    let time = time.unsqueeze_dim::<2>(1);
    let angles = time.clone() * frequencies.unsqueeze_dim::<2>(0) * std::f64::consts::TAU;
    Tensor::cat(vec![time, angles.clone().sin(), angles.cos()], 1)
}
