//! The transformer as of the paper as a graph: the counterpart of `nn::timevqvae::transformer_paper`.

use super::super::super::timevqvae::prior::{HEAD_WIDTH, prefix};
use super::super::super::timevqvae::{Band, PriorConfig, TransformerConfig};
use super::super::{Graph, Value};
use super::{embedded, norm, with_class};

/// Logits `[batch, position, code]`.
pub(super) fn logits(g: &mut Graph, c: &PriorConfig, band: Band) -> Value {
    let (name, n_positions) = (prefix(band), c.positions[band as usize]);
    let embedded = embedded(g, c, band, |g, low| {
        // Here the positions are the channels of a convolution over the features.
        let low = g.permute(low, &[0, 2, 1]);
        let low = g.conv(&format!("{name}.projector"), &low, 1, 0);
        g.permute(&low, &[0, 2, 1])
    });
    let embedded = norm(g, &format!("{name}.ln"), &embedded, 1e-12);
    let x = with_class(g, c, band, &embedded);
    let x = blocks(g, &format!("{name}.blocks"), &c.transformers[band as usize], x);
    let x = g.narrow(&x, 2, 1, n_positions);
    let x = g.dense(&format!("{name}.Token_Prediction.0"), &x);
    let x = g.gelu(&x);
    let x = norm(g, &format!("{name}.Token_Prediction.2"), &x, 1e-12);
    let x = g.permute(&x, &[0, 2, 1]);
    // The last row is that of the mask, which is no answer.
    let n_codes = c.codes[band as usize];
    let table = g.weight(&format!("{name}.tok_emb_{}.weight", band.letter()), None);
    let table = g.narrow(&table, 0, 0, n_codes);
    let table = g.permute(&table, &[1, 0]);
    let bias = g.weight(&format!("{name}.bias"), None);
    let bias = g.narrow(&bias, 1, 0, n_codes);
    let all = g.matmul(&x, &table);
    g.add(&all, &bias)
}

fn blocks(g: &mut Graph, name: &str, c: &TransformerConfig, x: Value) -> Value {
    let x = g.dense(&format!("{name}.project_in"), &x);
    let of_positions = g.weight(&format!("{name}.pos_emb.emb.weight"), None);
    let of_positions = g.permute(&of_positions, &[1, 0]);
    let of_positions = g.times(&of_positions, (c.width as f64).powf(-0.5));
    let mut x = g.add(&x, &of_positions);
    let start = |g: &mut Graph, name: &str, x: &Value| match c.has_rms_norm {
        true => g.rms_norm(name, x, 1e-8 * (c.width as f64).sqrt()),
        false => norm(g, name, x, 1e-5),
    };
    for layer in 0..c.layers {
        let [attending, feeding] = [0, 1].map(|part| format!("{name}.attn_layers.layers.{}", 2 * layer + part));
        let normed = start(g, &format!("{attending}.0.0"), &x);
        let [q, k, v] = ["to_q", "to_k", "to_v"].map(|what| g.dense(&format!("{attending}.1.{what}"), &normed));
        let qkv = g.concat(&[&q, &k, &v], 1);
        let attended = g.attention(&qkv, c.heads, HEAD_WIDTH);
        let attended = g.dense(&format!("{attending}.1.to_out"), &attended);
        x = g.add(&x, &attended);
        let y = start(g, &format!("{feeding}.0.0"), &x);
        let y = g.dense(&format!("{feeding}.1.ff.0.0"), &y);
        let y = g.gelu(&y);
        let y = g.dense(&format!("{feeding}.1.ff.3"), &y);
        x = g.add(&x, &y);
    }
    let x = norm(g, &format!("{name}.norm"), &x, 1e-5);
    g.dense(&format!("{name}.project_out"), &x)
}
