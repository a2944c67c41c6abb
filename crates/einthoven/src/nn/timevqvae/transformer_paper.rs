//! The transformer as of the paper: an encoder of the x-transformers library (1.7.15, MIT license) between the
//! embedding of the codes and the same embedding read backwards.

use burn::tensor::Tensor;

use super::config::Band;
use super::pass::{Declared, Pass};
use super::prior::{HEAD_WIDTH, Prior, PriorConfig, PriorTrace, Query, map, prefix};
use crate::nn::kernel::{Activation, Conv1dOptions, Pointwise, attention, conv1d, gelu, layer_norm_act, rms_norm};
use crate::nn::weights::{Init, View};

/// Adds the parameters beside the embeddings.
pub(super) fn declare(config: &PriorConfig, band: Band, out: &mut Declared, name: &str) {
    let c = &config.transformers[band as usize];
    let (inner, between, entering) = (c.heads * HEAD_WIDTH, config.between(c), config.entering(band));
    let n_positions = config.positions[band as usize];
    out.norm(&format!("{name}.ln"), entering);
    out.affine(&format!("{name}.blocks.project_in"), &[c.width, entering], Some(c.width));
    out.param(format!("{name}.blocks.pos_emb.emb.weight"), &[n_positions + 1, c.width], Init::Normal(1.0));
    for layer in 0..c.layers {
        let [attention, forward] = [0, 1].map(|part| layer_name(name, 2 * layer + part));
        for part in [&attention, &forward] {
            match c.has_rms_norm {
                true => out.param(format!("{part}.0.0.g"), &[c.width], Init::Ones),
                false => out.norm(&format!("{part}.0.0"), c.width),
            }
        }
        for what in ["to_q", "to_k", "to_v"] {
            out.affine(&format!("{attention}.1.{what}"), &[inner, c.width], None);
        }
        out.affine(&format!("{attention}.1.to_out"), &[c.width, inner], None);
        out.affine(&format!("{forward}.1.ff.0.0"), &[between, c.width], Some(between));
        out.affine(&format!("{forward}.1.ff.3"), &[c.width, between], Some(c.width));
    }
    out.norm(&format!("{name}.blocks.norm"), c.width);
    out.affine(&format!("{name}.blocks.project_out"), &[entering, c.width], Some(entering));
    out.affine(&format!("{name}.Token_Prediction.0"), &[config.embedding, entering], Some(config.embedding));
    out.norm(&format!("{name}.Token_Prediction.2"), config.embedding);
    out.param(format!("{name}.bias"), &[n_positions, config.codes[band as usize] + 1], Init::Zeros);
    if band == Band::High {
        out.affine(&format!("{name}.projector"), &[n_positions, config.positions[0], 1], Some(n_positions));
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
    let p = root.at(&prefix(band));
    let config = prior.config();
    let embedded = prior.embedded(&p, pass, query, |_, low| {
        // Here the positions are the channels of a convolution over the features.
        let p = p.at("projector");
        conv1d(low.swap_dims(1, 2), p.get("weight"), Some(p.get("bias")), Conv1dOptions::default()).swap_dims(1, 2)
    });
    let embedded = layer_norm_act(embedded, p.get("ln.weight"), p.get("ln.bias"), Pointwise::None, 1e-12);
    trace("ln", &embedded);
    let x = Tensor::cat(vec![prior.embedded_class(&p, query), embedded], 2);
    let x = blocks(config, &p.at("blocks"), x, band, trace);
    trace("blocks", &x);
    let n_positions = x.dims()[2] - 1;
    let x = x.narrow(2, 1, n_positions);
    let head = p.at("Token_Prediction");
    let x = gelu(map(x, head.get("0.weight"), Some(head.get("0.bias"))));
    let x = layer_norm_act(x, head.get("2.weight"), head.get("2.bias"), Pointwise::None, 1e-12);
    let embedding = format!("tok_emb_{}.weight", band.letter());
    let bias = p.get::<2>("bias").swap_dims(0, 1).unsqueeze_dim::<3>(0);
    let all = map(x, p.get(&embedding), None) + bias;
    // The last is that of the mask, which is no answer.
    all.narrow(1, 0, config.codes[band as usize])
}

fn blocks(config: &PriorConfig, p: &View, x: Tensor<3>, band: Band, trace: PriorTrace) -> Tensor<3> {
    let c = &config.transformers[band as usize];
    let x = map(x, p.get("project_in.weight"), Some(p.get("project_in.bias")));
    let of_positions = p.get::<2>("pos_emb.emb.weight").narrow(0, 0, x.dims()[2]);
    let of_positions = of_positions * (c.width as f64).powf(-0.5);
    let mut x = x + of_positions.swap_dims(0, 1).unsqueeze_dim::<3>(0);
    let norm = |p: &View, x: Tensor<3>| match c.has_rms_norm {
        true => {
            // The library holds the root mean square above 1e-8, ours is told the least length.
            let least = 1e-8 * (c.width as f64).sqrt();
            rms_norm(x, p.get("g"), None, Activation::None, least)
        }
        false => layer_norm_act(x, p.get("weight"), p.get("bias"), Pointwise::None, 1e-5),
    };
    for layer in 0..c.layers {
        let [attending, feeding] = [0, 1].map(|part| p.at(&format!("attn_layers.layers.{}", 2 * layer + part)));
        let maps = attending.at("1");
        let weights = ["to_q", "to_k", "to_v"].map(|what| maps.get::<2>(&format!("{what}.weight")));
        let qkv = map(norm(&attending.at("0.0"), x.clone()), Tensor::cat(weights.to_vec(), 0), None);
        let attended = map(attention(qkv, c.heads, HEAD_WIDTH), maps.get("to_out.weight"), None);
        trace(&format!("attention{layer}"), &attended);
        x = x + attended;
        let maps = feeding.at("1.ff");
        let y = norm(&feeding.at("0.0"), x.clone());
        let y = gelu(map(y, maps.get("0.0.weight"), Some(maps.get("0.0.bias"))));
        let fed = map(y, maps.get("3.weight"), Some(maps.get("3.bias")));
        trace(&format!("feedforward{layer}"), &fed);
        x = x + fed;
    }
    let x = layer_norm_act(x, p.get("norm.weight"), p.get("norm.bias"), Pointwise::None, 1e-5);
    map(x, p.get("project_out.weight"), Some(p.get("project_out.bias")))
}

fn layer_name(name: &str, layer: usize) -> String {
    format!("{name}.blocks.attn_layers.layers.{layer}")
}
