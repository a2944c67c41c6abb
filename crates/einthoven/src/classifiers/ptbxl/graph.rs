//! The networks as ONNX graphs: the layers that they share, with the running statistics as they are.

use super::Imported;
use crate::error::Result;
use crate::nn::onnx::{Attribute, Graph, Value};
use crate::nn::weights::Weights;

/// A network with its weights as a file: the probability of each label, by itself, for signals of `length` points.
///
/// The input is `x` `[batch, lead, time]` in the units that the network was trained in, the output `probabilities`
/// `[batch, label]`.
///
/// # Errors
/// [`crate::Error::Data`] naming weights that are missing.
pub fn to_onnx(imported: &Imported, length: usize, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let Imported { network, params, buffers } = imported;
    let mut all: Weights = params.clone();
    all.entries.extend(buffers.entries.clone());
    let mut graph = Graph::new(&all);
    let x = graph.input("x", &[network.n_leads(), length]);
    let logits = network.graph(&mut graph, x);
    let probabilities = graph.op("Sigmoid", &[&logits], &[]);
    graph.output("probabilities", &probabilities, &[network.n_classes()]);
    graph.to_bytes("classifier", metadata)
}

/// As [`super::conv`].
pub(super) fn conv(g: &mut Graph, name: &str, x: &Value, stride: usize) -> Value {
    let kernel = g.array(&format!("{name}.weight")).0.last().copied().unwrap_or(1);
    g.conv(name, x, stride, kernel.saturating_sub(1) / 2)
}

/// [`conv`] `NAME.0` and the normalization `NAME.1`.
pub(super) fn conv_norm(g: &mut Graph, name: &str, x: &Value, stride: usize) -> Value {
    let x = conv(g, &format!("{name}.0"), x, stride);
    g.batch_norm(&format!("{name}.1"), &x)
}

/// The sum where it is positive, else 0.
pub(super) fn add_relu(g: &mut Graph, a: &Value, b: &Value) -> Value {
    let sum = g.op("Add", &[a, b], &[]);
    g.relu(&sum)
}

/// As [`super::overlapping_max_pool`].
pub(super) fn max_pool(g: &mut Graph, x: &Value, width: usize, stride: usize) -> Value {
    let ints = |value: usize| Attribute::Ints(vec![value as i64]);
    let pads = Attribute::Ints(vec![(width.saturating_sub(1) / 2) as i64; 2]);
    g.op("MaxPool", &[x], &[("kernel_shape", ints(width)), ("strides", ints(stride)), ("pads", pads)])
}
