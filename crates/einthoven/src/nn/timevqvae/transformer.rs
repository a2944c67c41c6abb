//! The transformer of release 1.0.1: attention between directions, maps with normalized weights.

use burn::tensor::Tensor;

use super::config::Band;
use super::pass::{Declared, Pass};
use super::prior::{HEAD_WIDTH, Prior, PriorConfig, PriorTrace, Query, map, prefix};
use super::stft::repeat_to;
use crate::nn::kernel::{Conv1dOptions, Pointwise, attention, conv1d, gelu, layer_norm_act};
use crate::nn::layer::normed_weight;
use crate::nn::weights::{Init, View};

/// Taps of the convolutions that bring the low band to the positions of the high.
const TAPS: usize = 7;

/// Adds the parameters and buffers beside the embeddings.
pub(super) fn declare(config: &PriorConfig, band: Band, out: &mut Declared, name: &str) {
    let c = &config.transformers[band as usize];
    let (inner, between) = (c.heads * HEAD_WIDTH, config.between(c));
    out.affine(&format!("{name}.proj_in"), &[c.width, config.entering(band)], Some(c.width));
    for layer in 0..c.layers {
        let attention = format!("{name}.blocks.layers.{layer}.0");
        out.norm(&format!("{attention}.norm"), c.width);
        out.param(format!("{attention}.null_kv"), &[2, c.heads, 1, HEAD_WIDTH], Init::Normal(1.0));
        out.normed(&format!("{attention}.to_q"), &[inner, c.width], None);
        out.normed(&format!("{attention}.to_kv"), &[2 * inner, c.width], None);
        out.param(format!("{attention}.q_scale"), &[HEAD_WIDTH], Init::Ones);
        out.param(format!("{attention}.k_scale"), &[HEAD_WIDTH], Init::Ones);
        out.normed(&format!("{attention}.to_out"), &[c.width, inner], None);
        out.norm(&format!("{attention}.norm_out"), c.width);
        let forward = format!("{name}.blocks.layers.{layer}.1");
        out.norm(&format!("{forward}.0"), c.width);
        out.normed(&format!("{forward}.1"), &[between, c.width], None);
        out.param(format!("{forward}.3.weight_g"), &[between], Init::Ones);
        out.param(format!("{forward}.3.weight_v"), &[between], Init::Ones);
        out.param(format!("{forward}.3.bias"), &[between], Init::Zeros);
        out.affine(&format!("{forward}.4"), &[c.width, between], None);
    }
    out.normed(&format!("{name}.pred_head.0"), &[c.width, c.width], Some(c.width));
    out.norm(&format!("{name}.pred_head.2"), c.width);
    let codes = config.codes[band as usize];
    out.normed(&format!("{name}.pred_head.3"), &[codes, c.width], Some(codes));
    if band == Band::High {
        let (narrow, wide) = (config.embedding, 2 * config.embedding);
        out.normed(&format!("{name}.projector.conv.0"), &[wide, narrow, TAPS], Some(wide));
        out.batch_norm(&format!("{name}.projector.conv.2"), wide);
        out.normed(&format!("{name}.projector.conv.3"), &[narrow, wide, TAPS], Some(narrow));
    }
}

/// Logits `[batch, code, position]`.
pub(super) fn logits(
    prior: &Prior,
    root: &View,
    pass: &mut Pass,
    query: Query,
    band: Band,
    trace: PriorTrace,
) -> Tensor<3> {
    let name = prefix(band);
    let p = root.at(&name);
    let c = &prior.config().transformers[band as usize];
    let n_high = prior.config().positions[1];
    let embedded = prior.embedded(&p, pass, query, |pass, low| {
        let low = spread(root, pass, &format!("{name}.projector.conv"), low, n_high);
        trace("projector", &low);
        low
    });
    let x = Tensor::cat(vec![prior.embedded_class(&p, query), embedded], 2);
    let mut x = map(x, p.get("proj_in.weight"), Some(p.get("proj_in.bias")));
    trace("proj_in", &x);
    for layer in 0..c.layers {
        let p = p.at(&format!("blocks.layers.{layer}"));
        let attended = attend(&p.at("0"), x.clone(), c.heads);
        trace(&format!("attention{layer}"), &attended);
        x = x + attended;
        let fed = feed_forward(&p.at("1"), x.clone());
        trace(&format!("feedforward{layer}"), &fed);
        x = x + fed;
    }
    trace("blocks", &x);
    let p = p.at("pred_head");
    let x = gelu(map(x, normed_weight(&p.at("0")), Some(p.get("0.bias"))));
    let x = layer_norm_act(x, p.get("2.weight"), p.get("2.bias"), Pointwise::None, 1e-12);
    let n_positions = x.dims()[2] - 1;
    map(x.narrow(2, 1, n_positions), normed_weight(&p.at("3")), Some(p.get("3.bias")))
}

/// The low band's features at the positions of the high.
fn spread(root: &View, pass: &mut Pass, name: &str, low: Tensor<3>, n_high: usize) -> Tensor<3> {
    let p = root.at(name);
    let x = repeat_to(low, n_high);
    let x = conv1d(x, normed_weight(&p.at("0")), Some(p.get("0.bias")), Conv1dOptions::same(TAPS, 1));
    let x = pass.norm(root, &format!("{name}.2"), gelu(x));
    conv1d(x, normed_weight(&p.at("3")), Some(p.get("3.bias")), Conv1dOptions::same(TAPS, 2))
}

/// Attention whose queries and keys are directions, to one learned key and value beside those of the positions.
fn attend(p: &View, x: Tensor<3>, heads: usize) -> Tensor<3> {
    let [batch, _, n_positions] = x.dims();
    let x = norm(&p.at("norm"), x);
    let inner = heads * HEAD_WIDTH;
    let split = |x: Tensor<3>| x.reshape([batch, heads, HEAD_WIDTH, n_positions]);
    let joined = |x: Tensor<4>| x.reshape([batch, inner, n_positions + 1]);
    let q = split(map(x.clone(), normed_weight(&p.at("to_q")), None));
    let kv = map(x, normed_weight(&p.at("to_kv")), None);
    let [k, v] = [0, inner].map(|from| split(kv.clone().narrow(1, from, inner)));
    let learned = p.get::<4>("null_kv").swap_dims(2, 3);
    let [null_k, null_v] = [0, 1].map(|at| learned.clone().narrow(0, at, 1).repeat_dim(0, batch));
    let k = Tensor::cat(vec![null_k, k], 3);
    let v = Tensor::cat(vec![null_v, v], 3);
    let scaled = |x: Tensor<4>, scale: Tensor<1>| direction(x) * scale.reshape([1, 1, HEAD_WIDTH, 1]);
    // Nobody asks from the learned key's place: its answer is dropped.
    let nobody = Tensor::zeros([batch, heads, HEAD_WIDTH, 1], &q.device());
    let q = Tensor::cat(vec![nobody, scaled(q, p.get("q_scale"))], 3);
    let k = scaled(k, p.get("k_scale"));
    let qkv = Tensor::cat(vec![joined(q), joined(k), joined(v)], 1);
    let y = attention(qkv, heads, HEAD_WIDTH).narrow(2, 1, n_positions);
    norm(&p.at("norm_out"), map(y, normed_weight(&p.at("to_out")), None))
}

/// `[batch, head, feature, position]` divided by the length over the features, at least 1e-12.
fn direction(x: Tensor<4>) -> Tensor<4> {
    // The least length is applied to the square, where its gradient is finite.
    let length = x.clone().square().sum_dim(2).clamp_min(1e-24).sqrt();
    x / length
}

fn feed_forward(p: &View, x: Tensor<3>) -> Tensor<3> {
    let x = gelu(map(norm(&p.at("0"), x), normed_weight(&p.at("1")), None));
    let x = layer_norm_act(x, normed_weight(&p.at("3")), p.get("3.bias"), Pointwise::None, 1e-5);
    map(x, p.get("4.weight"), None)
}

fn norm(p: &View, x: Tensor<3>) -> Tensor<3> {
    layer_norm_act(x, p.get("weight"), p.get("bias"), Pointwise::None, 1e-5)
}
