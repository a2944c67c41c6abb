//! The diffusion transformer as a graph.

use super::super::dit::{DitConfig, EPSILON, THETA, position_values};
use super::{DenoiserInputs, Graph, Value};
use crate::nn::onnx::layer::Reach;

/// The prediction of `nn::dit` for signals of a length.
pub fn graph(g: &mut Graph, c: &DitConfig, length: usize) {
    let inputs = DenoiserInputs::declare(g, c.channels, length, c.labels, &c.told);
    let full = length.next_multiple_of(c.patch);
    let n_tokens = full / c.patch;

    let features = g.sinusoidal(&inputs.time, c.time_width, THETA);
    let hidden = g.linear("t_embedder.mlp.0", &features);
    let hidden = g.silu(&hidden);
    let mut told = g.linear("t_embedder.mlp.2", &hidden);
    if let Some(labels) = inputs.embed(g, &c.tables()) {
        told = g.add(&told, &labels);
    }
    let told = g.silu(&told);

    let x = g.mirrored(&inputs.x, full - length);
    let weight = g.weight("x_embedder.proj.weight", None);
    let bias = g.weight("x_embedder.proj.bias", None);
    let x = g.convolve(&x, &weight, Some(&bias), Reach::new(c.patch, 0));
    let positions = g.floats(&[1, c.width, n_tokens], position_values(c.width, n_tokens));
    let mut x = g.add(&x, &positions);
    for block in 0..c.depth {
        let name = format!("blocks.{block}");
        let [shift, scale, gate, mlp_shift, mlp_scale, mlp_gate] =
            parts(g, &format!("{name}.adaLN_modulation.1"), &told, c.width);
        let normed = modulated(g, &x, &shift, &scale);
        let qkv = g.dense(&format!("{name}.attn.qkv"), &normed);
        let mixed = g.attention(&qkv, c.heads, c.width / c.heads);
        let mixed = g.dense(&format!("{name}.attn.proj"), &mixed);
        let mixed = g.mul(&mixed, &gate);
        x = g.add(&x, &mixed);
        let normed = modulated(g, &x, &mlp_shift, &mlp_scale);
        let hidden = g.dense(&format!("{name}.mlp.fc1"), &normed);
        let hidden = g.gelu(&hidden);
        let out = g.dense(&format!("{name}.mlp.fc2"), &hidden);
        let out = g.mul(&out, &mlp_gate);
        x = g.add(&x, &out);
    }
    let [shift, scale] = parts(g, "final_layer.adaLN_modulation.1", &told, c.width);
    let normed = modulated(g, &x, &shift, &scale);
    let tokens = g.dense("final_layer.linear", &normed);
    let tokens = g.reshape(&tokens, &[0, c.patch as i64, c.channels as i64, n_tokens as i64]);
    let tokens = g.permute(&tokens, &[0, 2, 3, 1]);
    let out = g.reshape(&tokens, &[0, c.channels as i64, full as i64]);
    let out = g.narrow(&out, 2, 0, length);
    g.output("prediction", &out, &[c.channels, length]);
}

fn parts<const N: usize>(g: &mut Graph, name: &str, told: &Value, width: usize) -> [Value; N] {
    let modulation = g.linear(name, told);
    let modulation = g.unsqueeze(&modulation, 2);
    std::array::from_fn(|part| g.narrow(&modulation, 1, part * width, width))
}

fn modulated(g: &mut Graph, x: &Value, shift: &Value, scale: &Value) -> Value {
    let normed = g.layer_norm(x, EPSILON);
    let scale = g.plus(scale, 1.0);
    let scaled = g.mul(&normed, &scale);
    g.add(&scaled, shift)
}
