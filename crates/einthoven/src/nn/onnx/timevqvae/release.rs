//! The transformer of release 1.0.1 as a graph: the counterpart of `nn::timevqvae::transformer`.

use super::super::super::timevqvae::prior::{HEAD_WIDTH, prefix};
use super::super::super::timevqvae::stft::nearest;
use super::super::super::timevqvae::{Band, PriorConfig};
use super::super::layer::Reach;
use super::super::{Attribute, Graph, Value};
use super::{embedded, norm, with_class};
use Attribute::{Int, Ints};

/// Logits `[batch, position, code]`.
pub(super) fn logits(g: &mut Graph, c: &PriorConfig, band: Band) -> Value {
    let (name, size) = (prefix(band), &c.transformers[band as usize]);
    let embedded = embedded(g, c, band, |g, low| spread(g, &format!("{name}.projector.conv"), low, c.positions));
    let x = with_class(g, c, band, &embedded);
    let mut x = g.dense(&format!("{name}.proj_in"), &x);
    for layer in 0..size.layers {
        let layer = format!("{name}.blocks.layers.{layer}");
        let attended = attend(g, &format!("{layer}.0"), &x, size.heads);
        x = g.add(&x, &attended);
        let fed = feed_forward(g, &format!("{layer}.1"), &x);
        x = g.add(&x, &fed);
    }
    // What follows looks at each position by itself; that of the class has no answer.
    let x = g.narrow(&x, 2, 1, c.positions[band as usize]);
    let x = g.dense_normed(&format!("{name}.pred_head.0"), &x);
    let x = g.gelu(&x);
    let x = norm(g, &format!("{name}.pred_head.2"), &x, 1e-12);
    let x = g.dense_normed(&format!("{name}.pred_head.3"), &x);
    g.permute(&x, &[0, 2, 1])
}

/// The low band's features at the positions of the high.
fn spread(g: &mut Graph, name: &str, low: &Value, [n_low, n_high]: [usize; 2]) -> Value {
    let x = g.select(low, 2, &nearest(n_low, n_high));
    let x = g.conv_normed(&format!("{name}.0"), &x, Reach::new(1, 3));
    let x = g.gelu(&x);
    let x = g.batch_norm(&format!("{name}.2"), &x);
    g.conv_normed(&format!("{name}.3"), &x, Reach { dilation: 2, ..Reach::new(1, 6) })
}

fn attend(g: &mut Graph, name: &str, x: &Value, heads: usize) -> Value {
    let x = norm(g, &format!("{name}.norm"), x, 1e-5);
    let inner = heads * HEAD_WIDTH;
    let q = g.dense_normed(&format!("{name}.to_q"), &x);
    let kv = g.dense_normed(&format!("{name}.to_kv"), &x);
    let q = split(g, &q, heads);
    let learned = g.weight(&format!("{name}.null_kv"), None);
    let [k, v] = [0, 1].map(|at| {
        let part = g.narrow(&kv, 1, at * inner, inner);
        let part = split(g, &part, heads);
        let first = g.narrow(&learned, 0, at, 1);
        let first = g.permute(&first, &[0, 1, 3, 2]);
        let first = g.for_each_item(&first, 4, &part);
        g.concat(&[&first, &part], 3)
    });
    let q = direction(g, &format!("{name}.q_scale"), &q);
    let k = direction(g, &format!("{name}.k_scale"), &k);
    let y = g.attended([q, k, v], heads, HEAD_WIDTH);
    let y = g.dense_normed(&format!("{name}.to_out"), &y);
    norm(g, &format!("{name}.norm_out"), &y, 1e-5)
}

/// The features of each head, `[batch, head, feature, position]`.
fn split(g: &mut Graph, x: &Value, heads: usize) -> Value {
    g.reshape(x, &[0, heads as i64, HEAD_WIDTH as i64, -1])
}

/// The features of a head divided by their length, times a stored factor of each.
fn direction(g: &mut Graph, scale: &str, x: &Value) -> Value {
    let length = g.op("ReduceL2", &[x], &[("axes", Ints(vec![2])), ("keepdims", Int(1))]);
    let least = g.float(1e-12);
    let length = g.op("Max", &[&length, &least], &[]);
    let unit = g.op("Div", &[x, &length], &[]);
    let scale = g.weight(scale, Some(&[HEAD_WIDTH, 1]));
    g.mul(&unit, &scale)
}

fn feed_forward(g: &mut Graph, name: &str, x: &Value) -> Value {
    let x = norm(g, &format!("{name}.0"), x, 1e-5);
    let x = g.dense_normed(&format!("{name}.1"), &x);
    let x = g.gelu(&x);
    let x = g.layer_norm(&x, 1e-5);
    let gain = g.normed(&format!("{name}.3")).1;
    let between = gain.len();
    let gain = g.named(&format!("{name}.3.weight"), vec![between, 1], gain);
    let bias = g.weight(&format!("{name}.3.bias"), Some(&[between, 1]));
    let x = g.mul(&x, &gain);
    let x = g.add(&x, &bias);
    g.dense(&format!("{name}.4"), &x)
}
