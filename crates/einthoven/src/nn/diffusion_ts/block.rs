//! The transformer blocks of encoder and decoder, and the normalization that tells them the step.
//!
//! Signals are `[batch, width, time]` here, as everywhere in our networks: a map of the width is a
//! convolution of one tap.

use burn::tensor::Tensor;

use super::super::kernel::{Pointwise, attention, layer_norm_act};
use super::super::layer::{conv, declare_constant, declare_conv, declare_linear, dense, linear};
use super::super::weights::{Init, ParamSpec, View};
use super::dft::Waves;
use super::season::Season;
use super::{DiffusionTsConfig, EPSILON, trend};

/// What all blocks of one forward pass share.
pub(super) struct Shared<'a> {
    /// Shape of the network.
    pub config: &'a DiffusionTsConfig,
    /// Features of the step, and of the labels where there are some, after their activation: `[batch, width]`.
    pub step: Tensor<2>,
    /// Powers of time for the trend.
    pub powers: Tensor<3>,
    /// Frequencies for the season.
    pub season: &'a Season,
    /// Their waves.
    pub waves: Waves,
}

/// What a decoder block gives.
pub(super) struct Decoded {
    /// What the next block sees, without its mean over time: `[batch, width, time]`.
    pub x: Tensor<3>,
    /// That mean as a level of each lead: `[batch, lead, 1]`.
    pub mean: Tensor<3>,
    /// `[batch, lead, time]`.
    pub trend: Tensor<3>,
    /// `[batch, width, time]`.
    pub season: Tensor<3>,
}

/// Adds the parameters of an encoder block.
pub(super) fn declare_encoder(out: &mut Vec<ParamSpec>, name: &str, c: &DiffusionTsConfig) {
    declare_step_norm(out, &format!("{name}.ln1"), c.width);
    declare_norm(out, &format!("{name}.ln2"), c.width);
    declare_attention(out, &format!("{name}.attn"), c.width);
    declare_mlp(out, &format!("{name}.mlp"), c);
}

/// Adds the parameters of a decoder block.
pub(super) fn declare_decoder(out: &mut Vec<ParamSpec>, name: &str, c: &DiffusionTsConfig) {
    declare_step_norm(out, &format!("{name}.ln1"), c.width);
    declare_norm(out, &format!("{name}.ln2"), c.width);
    declare_attention(out, &format!("{name}.attn1"), c.width);
    declare_attention(out, &format!("{name}.attn2"), c.width);
    declare_step_norm(out, &format!("{name}.ln1_1"), c.width);
    trend::declare(out, &format!("{name}.trend"), c);
    declare_mlp(out, &format!("{name}.mlp"), c);
    declare_conv(out, &format!("{name}.proj"), c.length, 2 * c.length, 1, true);
    declare_linear(out, &format!("{name}.linear"), c.width, c.channels);
}

fn declare_step_norm(out: &mut Vec<ParamSpec>, name: &str, width: usize) {
    declare_linear(out, &format!("{name}.linear"), width, 2 * width);
}

fn declare_norm(out: &mut Vec<ParamSpec>, name: &str, width: usize) {
    declare_constant(out, &format!("{name}.weight"), &[width], Init::Ones);
    declare_constant(out, &format!("{name}.bias"), &[width], Init::Zeros);
}

fn declare_attention(out: &mut Vec<ParamSpec>, name: &str, width: usize) {
    for part in ["key", "query", "value", "proj"] {
        declare_linear(out, &format!("{name}.{part}"), width, width);
    }
}

fn declare_mlp(out: &mut Vec<ParamSpec>, name: &str, c: &DiffusionTsConfig) {
    declare_linear(out, &format!("{name}.0"), c.width, c.hidden_times * c.width);
    declare_linear(out, &format!("{name}.2"), c.hidden_times * c.width, c.width);
}

/// One block of the encoder; `trace` is shown the signal after the first normalization.
pub(super) fn encode(p: &View, shared: &Shared, x: Tensor<3>, trace: &mut dyn FnMut(&Tensor<3>)) -> Tensor<3> {
    let normed = step_norm(&p.at("ln1"), x.clone(), &shared.step);
    trace(&normed);
    let x = x + attend(&p.at("attn"), shared, normed.clone(), normed);
    x.clone() + mlp(p, shared, x)
}

/// One block of the decoder, for the encoder's result `memory`.
pub(super) fn decode(p: &View, shared: &Shared, x: Tensor<3>, memory: Tensor<3>) -> Decoded {
    let length = shared.config.length;
    let normed = step_norm(&p.at("ln1"), x.clone(), &shared.step);
    let x = x + attend(&p.at("attn1"), shared, normed.clone(), normed);
    let normed = step_norm(&p.at("ln1_1"), x.clone(), &shared.step);
    let x = x + attend(&p.at("attn2"), shared, normed, memory);
    // Two mixtures over time, one for each part.
    let mixed = conv(&p.at("proj"), x.clone().swap_dims(1, 2), 1, 0);
    let for_trend = mixed.clone().narrow(1, 0, length);
    let trend = trend::apply(&p.at("trend"), for_trend, shared.powers.clone(), shared.config.gelu);
    let season = shared.season.apply(&shared.waves, mixed.narrow(1, length, length)).swap_dims(1, 2);
    let x = x.clone() + mlp(p, shared, x);
    let mean = x.clone().mean_dim(2);
    Decoded { x: x - mean.clone(), mean: dense(&p.at("linear"), mean), trend, season }
}

/// Layer normalization whose gain and bias follow from the step.
fn step_norm(p: &View, x: Tensor<3>, step: &Tensor<2>) -> Tensor<3> {
    let width = x.dims()[1];
    let told = linear(&p.at("linear"), step.clone()).unsqueeze_dim::<3>(2);
    let (scale, shift) = (told.clone().narrow(1, 0, width), told.narrow(1, width, width));
    let device = x.device();
    let (gain, bias) = (Tensor::ones([width], &device), Tensor::zeros([width], &device));
    layer_norm_act(x, gain, bias, Pointwise::None, EPSILON) * (scale + 1.0) + shift
}

/// Softmax attention with queries from `x` and keys and values from `memory`, which is as long.
fn attend(p: &View, shared: &Shared, x: Tensor<3>, memory: Tensor<3>) -> Tensor<3> {
    let c = shared.config;
    let query = dense(&p.at("query"), x);
    let key = dense(&p.at("key"), memory.clone());
    let value = dense(&p.at("value"), memory);
    let mixed = attention(Tensor::cat(vec![query, key, value], 1), c.heads, c.width / c.heads);
    dense(&p.at("proj"), mixed)
}

/// The two maps of a block after its plain normalization.
fn mlp(p: &View, shared: &Shared, x: Tensor<3>) -> Tensor<3> {
    let norm = p.at("ln2");
    let x = layer_norm_act(x, norm.get("weight"), norm.get("bias"), Pointwise::None, EPSILON);
    dense(&p.at("mlp.2"), shared.config.gelu.apply(dense(&p.at("mlp.0"), x)))
}
