//! Networks as ONNX graphs: the same computation for programs that know nothing of this one.
//!
//! A network's file here mirrors its `forward` operator by operator. What a forward pass computes from weights alone
//! (standardized or normalized weights, state space kernels) is computed once and stored. The batch is free; the length of
//! the signal is fixed at export. Operators are those of opset [`OPSET`].
//!
//! # Reference
//! ONNX operator schemas, github.com/onnx/onnx, `docs/Operators.md`.

pub mod diffusion_ts;
pub mod diffwave;
pub mod dit;
pub mod gan;
mod layer;
pub mod sssd;
pub mod temporal_blocks;
pub mod timevqvae;
pub mod unet1d;
pub mod vae1d;
mod wire;

use std::collections::BTreeMap;

use wire::{Array, Model, Node, Port};
pub use wire::{Attribute, OPSET};

use super::told::{FACT_TABLE, ToldTables, n_rows};
use super::weights::Weights;
use crate::dataset::condition::Told;
use crate::error::{Error, Result};

/// Largest file that the format can hold.
const MAX_BYTES: usize = (1 << 31) - 1;

/// A value of a graph by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Value(String);

/// A graph under construction.
///
/// Shapes are the caller's business, as `[batch, channel, time]` with a free batch throughout.
pub struct Graph<'a> {
    weights: &'a Weights,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    nodes: Vec<Node>,
    arrays: Vec<(String, Array)>,
    /// Arrays that are stored already, by their name.
    stored: BTreeMap<String, Value>,
    missing: Vec<String>,
}

impl<'a> Graph<'a> {
    /// An empty graph that stores arrays of `weights`.
    pub fn new(weights: &'a Weights) -> Graph<'a> {
        Graph {
            weights,
            inputs: Vec::new(),
            outputs: Vec::new(),
            nodes: Vec::new(),
            arrays: Vec::new(),
            stored: BTreeMap::new(),
            missing: Vec::new(),
        }
    }

    /// An input; its axes are the batch and those of an item.
    pub fn input(&mut self, name: &str, item: &[usize]) -> Value {
        self.add_input(name, item, false)
    }

    /// An input of whole numbers.
    pub fn input_ints(&mut self, name: &str, item: &[usize]) -> Value {
        self.add_input(name, item, true)
    }

    fn add_input(&mut self, name: &str, item: &[usize], is_whole: bool) -> Value {
        self.inputs.push(Port { name: name.into(), item: item.to_vec(), is_whole });
        Value(name.into())
    }

    /// Names a value as an output.
    pub fn output(&mut self, name: &str, value: &Value, item: &[usize]) {
        let (inputs, outputs) = (vec![value.0.clone()], vec![name.to_string()]);
        self.nodes.push(Node { op: "Identity", inputs, outputs, attributes: Vec::new() });
        self.outputs.push(Port { name: name.into(), item: item.to_vec(), is_whole: false });
    }

    /// The result of an operator.
    pub fn op(&mut self, op: &'static str, inputs: &[&Value], attributes: &[(&'static str, Attribute)]) -> Value {
        let out = Value(format!("value_{}", self.nodes.len()));
        self.nodes.push(Node {
            op,
            inputs: inputs.iter().map(|value| value.0.clone()).collect(),
            outputs: vec![out.0.clone()],
            attributes: attributes.to_vec(),
        });
        out
    }

    /// The largest values of an axis, falling.
    fn largest(&mut self, x: &Value, n: usize, axis: i64) -> Value {
        let n = self.ints(&[n as i64]);
        let out = self.op("TopK", &[x, &n], &[("axis", Attribute::Int(axis))]);
        // The operator has a second output, their places, which cannot be left out.
        let places = format!("{}_places", out.0);
        self.nodes.iter_mut().rev().take(1).for_each(|node| node.outputs.push(places.clone()));
        out
    }

    /// A stored weight, as another shape of as many values where one is given.
    pub fn weight(&mut self, name: &str, shape: Option<&[usize]>) -> Value {
        let array = self.array(name);
        let shape = shape.unwrap_or(&array.0).to_vec();
        self.named(name, shape, array.1)
    }

    /// Shape and values of a weight; of one that is missing, for which [`Graph::to_bytes`] refuses the graph, nothing.
    pub fn array(&mut self, name: &str) -> (Vec<usize>, Vec<f32>) {
        match self.weights.entries.get(name) {
            Some(weight) => (weight.shape.clone(), weight.values.clone()),
            None => {
                self.missing.push(name.into());
                (vec![0], Vec::new())
            }
        }
    }

    /// Whether the weights have an array of this name.
    pub fn has(&self, name: &str) -> bool {
        self.weights.entries.contains_key(name)
    }

    /// Stores numbers that a network computes from its weights under the name of the weight.
    pub fn named(&mut self, name: &str, shape: Vec<usize>, values: Vec<f32>) -> Value {
        let is_taken = self.arrays.iter().any(|(taken, _)| taken == name);
        let stored = if is_taken { format!("{name}_{}", self.arrays.len()) } else { name.to_string() };
        self.store(stored, Array::Floats(shape, values))
    }

    /// Stored numbers.
    pub fn floats(&mut self, shape: &[usize], values: Vec<f32>) -> Value {
        let name = format!("constant_{}", self.arrays.len());
        self.store(name, Array::Floats(shape.to_vec(), values))
    }

    /// A stored number.
    pub fn float(&mut self, value: f32) -> Value {
        self.floats(&[], vec![value])
    }

    /// Stored whole numbers, each list once.
    pub fn ints(&mut self, values: &[i64]) -> Value {
        let name = format!("ints{}", values.iter().map(|value| format!("_{value}")).collect::<String>());
        if let Some(value) = self.stored.get(&name) {
            return value.clone();
        }
        let value = self.store(name.clone(), Array::Ints(values.to_vec()));
        self.stored.insert(name, value.clone());
        value
    }

    fn store(&mut self, name: String, array: Array) -> Value {
        self.arrays.push((name.clone(), array));
        Value(name)
    }

    /// The model file.
    ///
    /// # Errors
    /// [`Error::Data`] naming every weight that is missing; [`Error::Unsupported`] for more than the format can hold.
    pub fn to_bytes(&self, name: &str, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
        if !self.missing.is_empty() {
            return Err(Error::data(name, format!("{} is missing", self.missing.join(", "))));
        }
        let n_bytes: usize = self.arrays.iter().map(|(_, array)| array.n_bytes()).sum();
        if n_bytes > MAX_BYTES - (1 << 20) {
            let what = format!("an ONNX file of {} MiB of weights: the format ends at 2 GiB", n_bytes >> 20);
            return Err(Error::Unsupported { what });
        }
        let model = Model {
            name,
            inputs: &self.inputs,
            outputs: &self.outputs,
            nodes: &self.nodes,
            arrays: &self.arrays,
            metadata,
        };
        Ok(model.to_bytes())
    }
}

impl Array {
    fn n_bytes(&self) -> usize {
        match self {
            Array::Floats(_, values) => 4 * values.len(),
            Array::Ints(values) => 8 * values.len(),
        }
    }
}

/// What every denoising network takes: the noisy signal `x`, its network time `time` `[batch]` and, where it knows labels,
/// how much each counts, `labels` `[batch, label]`; where it is told facts, how much each of their rows counts, `facts`
/// `[batch, fact row]`, see [`told::rows`](super::told::rows).
pub struct DenoiserInputs {
    /// Noisy signal.
    pub x: Value,
    /// Network time.
    pub time: Value,
    /// Label weights.
    pub labels: Option<Value>,
    /// Shares of the rows of the facts.
    pub facts: Option<Value>,
}

impl DenoiserInputs {
    /// Declares them.
    pub fn declare(graph: &mut Graph, channels: usize, length: usize, n_labels: usize, told: &Told) -> DenoiserInputs {
        DenoiserInputs {
            x: graph.input("x", &[channels, length]),
            time: graph.input("time", &[]),
            labels: (n_labels > 0).then(|| graph.input("labels", &[n_labels])),
            facts: (!told.is_empty()).then(|| graph.input("facts", &[n_rows(told)])),
        }
    }

    /// The vector of labels and facts, as [`ToldTables::embed`].
    fn embed(&self, graph: &mut Graph, tables: &ToldTables) -> Option<Value> {
        let labels = self.labels.as_ref().map(|labels| match tables.is_paired {
            true => graph.embed_pairs(tables.name, labels),
            false => graph.embed(&format!("{}.weight", tables.name), labels),
        });
        self.add_facts(graph, labels)
    }

    /// The vector of the labels with that of the facts.
    fn add_facts(&self, graph: &mut Graph, labels: Option<Value>) -> Option<Value> {
        let facts = self.facts.as_ref().map(|rows| graph.embed(FACT_TABLE, rows));
        match (labels, facts) {
            (Some(labels), Some(facts)) => Some(graph.add(&labels, &facts)),
            (labels, facts) => labels.or(facts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_that_is_missing_is_named() {
        let weights = Weights::default();
        let mut graph = Graph::new(&weights);
        graph.weight("conv.weight", None);
        assert_eq!(graph.to_bytes("network", &[]).unwrap_err().to_string(), "network: conv.weight is missing");
    }
}
