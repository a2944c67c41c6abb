//! Normalization, scale and shift, and activation, composed of the framework's operations.

use burn::tensor::{Tensor, activation};

/// What follows the normalization.
#[derive(Clone, Copy, PartialEq)]
pub enum Activation {
    None,
    Silu,
}
fn finish(x: Tensor<3>, s: Option<(Tensor<2>, Tensor<2>)>, a: Activation) -> Tensor<3> {
    let x = match s {
        Some((scale, shift)) => x * (scale.unsqueeze_dim::<3>(2) + 1.0) + shift.unsqueeze_dim::<3>(2),
        None => x,
    };
    if a == Activation::Silu { activation::silu(x) } else { x }
}
/// Group normalization.
pub fn group_norm_act(
    x: Tensor<3>,
    g: usize,
    gain: Tensor<1>,
    bias: Tensor<1>,
    s: Option<(Tensor<2>, Tensor<2>)>,
    a: Activation,
    eps: f64,
) -> Tensor<3> {
    let [b, c, l] = x.dims();
    let y = x.reshape([b, g, c / g * l]);
    let y = y.clone() - y.mean_dim(2);
    let v = y.clone().powi_scalar(2).mean_dim(2);
    let y = (y / (v + eps).sqrt()).reshape([b, c, l]);
    let y = y * gain.reshape([1, c, 1]) + bias.reshape([1, c, 1]);
    finish(y, s, a)
}
/// RMS normalization over channels.
pub fn rms_norm_act(x: Tensor<3>, gain: Tensor<1>, s: Option<(Tensor<2>, Tensor<2>)>, a: Activation) -> Tensor<3> {
    let [_, c, _] = x.dims();
    let n = x.clone().powi_scalar(2).sum_dim(1).sqrt().clamp_min(1e-12);
    finish(x / n * gain.reshape([1, c, 1]) * (c as f64).sqrt(), s, a)
}
