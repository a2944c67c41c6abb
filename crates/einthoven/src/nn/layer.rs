//! The layers that networks share: what they declare and what they compute.
//!
//! Each layer is a pair: a function that adds its parameters to a list, and one that applies it.

use burn::tensor::Tensor;

use super::kernel::{
    Activation, Conv1dOptions, conv1d as conv1d_op, conv1d_joined, group_norm_act, linear as linear_op,
};
pub use super::kernel::{attention, linear_attention, upsample_nearest};
use super::weights::{Init, ParamSpec, Params, View, Weights};

/// Declares a weight and, where `n_bias` is its length, a bias drawn uniformly within ±1/sqrt(fan in), as PyTorch does:
/// the fan-in is the product of all axes but the first.
pub(super) fn declare_affine(out: &mut Vec<ParamSpec>, name: &str, shape: &[usize], n_bias: Option<usize>) {
    let fan_in: usize = shape[1..].iter().product();
    let bound = Init::Uniform(1.0 / (fan_in as f64).sqrt());
    declare_constant(out, &format!("{name}.weight"), shape, bound);
    if let Some(n_bias) = n_bias {
        declare_constant(out, &format!("{name}.bias"), &[n_bias], bound);
    }
}

/// As [`declare_affine`], the weight being a direction `weight_v` and a length `weight_g` for each entry of its first
/// axis, as the older weight normalization of PyTorch stores it.
pub(super) fn declare_normed(out: &mut Vec<ParamSpec>, name: &str, shape: &[usize], n_bias: Option<usize>) {
    let from = out.len();
    declare_affine(out, name, shape, n_bias);
    out[from].name = format!("{name}.weight_v");
    let mut lengths = vec![1; shape.len()];
    lengths[0] = shape[0];
    declare_constant(out, &format!("{name}.weight_g"), &lengths, Init::Ones);
}

/// Declares a convolution `[n_out, n_in, kernel]`.
pub fn declare_conv(out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize, kernel: usize, has_bias: bool) {
    declare_affine(out, name, &[n_out, n_in, kernel], has_bias.then_some(n_out));
}

/// Declares a linear map `[n_out, n_in]`.
pub fn declare_linear(out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize) {
    declare_affine(out, name, &[n_out, n_in], Some(n_out));
}

/// Declares a parameter by its shape and its start.
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

/// [`conv`] of the channels of `x` and, where there is a skip connection, those of `skip`.
pub fn conv_joined(p: &View, x: Tensor<3>, skip: Option<Tensor<3>>, padding: usize) -> Tensor<3> {
    joined(x, skip, p.get("weight"), p.get("bias"), padding)
}

/// As [`conv_joined`], with a weight that is standardized per output channel: mean 0, variance 1.
///
/// # Reference
/// Qiao et al. 2019, "Micro-batch training with batch-channel normalization and weight
/// standardization", eq. 3; eps 1e-5.
pub fn conv_standardized(p: &View, x: Tensor<3>, skip: Option<Tensor<3>>, padding: usize) -> Tensor<3> {
    let weight: Tensor<3> = p.get("weight");
    let [n_out, n_in, kernel] = weight.dims();
    // A normalization of one group per output channel, without gain and bias.
    let device = weight.device();
    let (gain, bias) = (Tensor::ones([1], &device), Tensor::zeros([1], &device));
    let flat = weight.reshape([n_out, 1, n_in * kernel]);
    let weight = group_norm_act(flat, 1, gain, bias, None, Activation::None, 1e-5).reshape([n_out, n_in, kernel]);
    joined(x, skip, weight, p.get("bias"), padding)
}

fn joined(x: Tensor<3>, skip: Option<Tensor<3>>, weight: Tensor<3>, bias: Tensor<1>, padding: usize) -> Tensor<3> {
    let options = Conv1dOptions { stride: 1, padding, dilation: 1 };
    match skip {
        Some(skip) => conv1d_joined(x, skip, weight, bias, options),
        None => conv1d_op(x, weight, Some(bias), options),
    }
}

/// Declares a convolution whose weight is a direction and a length for each output channel: `weight_v`
/// `[n_out, n_in, kernel]`, `weight_g` `[n_out, 1, 1]` and a bias.
pub fn declare_normed_conv(out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize, kernel: usize) {
    declare_normed(out, name, &[n_out, n_in, kernel], Some(n_out));
}

/// Sets every length `weight_g` to that of its direction, so that a network starts at its drawn weights.
pub fn start_lengths(weights: &mut Weights) {
    let lengths: Vec<(String, Vec<f32>)> = weights
        .entries
        .iter()
        .filter_map(|(name, direction)| {
            let name = format!("{}.weight_g", name.strip_suffix(".weight_v")?);
            let rows = direction.values.chunks(direction.values.len() / direction.shape[0]);
            let length = |row: &[f32]| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() as f32;
            Some((name, rows.map(length).collect()))
        })
        .collect();
    for (name, values) in lengths {
        if let Some(length) = weights.entries.get_mut(&name) {
            length.values = values;
        }
    }
}

/// The weight of a map of direction and length: one length for each entry of the first axis. Of
/// [`with_normed_weights`] it is known.
///
/// # Reference
/// Salimans and Kingma 2016, "Weight normalization", eq. 2.
pub fn normed_weight<const D: usize>(p: &View) -> Tensor<D> {
    match p.has("weight") {
        true => p.get("weight"),
        false => of_length(p.get("weight_v"), p.get("weight_g")),
    }
}

fn of_length<const D: usize>(direction: Tensor<D>, length: Tensor<D>) -> Tensor<D> {
    let shape = direction.dims();
    let rows = direction.reshape([shape[0], shape[1..].iter().product()]);
    let lengths = rows.clone().square().sum_dim(1).sqrt();
    let wanted = length.reshape([shape[0], 1]);
    (rows * (wanted / lengths)).reshape(shape)
}

/// Parameters in which every direction and length is the weight that they make: what a sampler computes once.
///
/// # Panics
/// If a direction has no length.
pub fn with_normed_weights(params: Params) -> Params {
    let mut parts = params.into_parts();
    let names: Vec<String> = parts.keys().filter_map(|name| name.strip_suffix(".weight_v")).map(String::from).collect();
    for name in names {
        let found = ["weight_v", "weight_g"].map(|part| parts.remove(&format!("{name}.{part}")));
        let [Some((shape, direction)), Some((_, length))] = found else {
            panic!("the network has a direction {name} without a length");
        };
        let [direction, length] = [direction, length].map(|values| values.reshape([shape[0] as i32, -1]));
        let weight = of_length::<2>(direction, length).flatten(0, 1);
        parts.insert(format!("{name}.weight"), (shape, weight));
    }
    Params::from_parts(parts)
}

/// [`conv`] of stride 1 with a weight of direction and length.
pub fn conv_normed(p: &View, x: Tensor<3>, padding: usize) -> Tensor<3> {
    conv1d_op(x, normed_weight(p), Some(p.get("bias")), Conv1dOptions { stride: 1, padding, dilation: 1 })
}

/// Linear map with bias on `[batch, n_in]`.
pub fn linear(p: &View, x: Tensor<2>) -> Tensor<2> {
    linear_op(x, p.get("weight"), p.get("bias"))
}

/// Linear map of the channels at each point in time, with bias.
///
/// # Shape
/// The weight is `[n_out, n_in]`; `x` is `[batch, n_in, time]`, the result `[batch, n_out, time]`.
pub fn dense(p: &View, x: Tensor<3>) -> Tensor<3> {
    let weight: Tensor<2> = p.get("weight");
    conv1d_op(x, weight.unsqueeze_dim::<3>(2), Some(p.get("bias")), Conv1dOptions::default())
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
