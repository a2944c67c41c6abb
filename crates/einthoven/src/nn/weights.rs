//! Named weights on the host, and the same weights bound to a device.
//!
//! A network is a list of [`ParamSpec`] and a function of [`Params`]. Keeping the values in one
//! plain map makes a checkpoint, an exponential average and an imported state dict the same thing,
//! and lets the optimizer update all of them in one pass.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rayon::prelude::*;

use super::activations::Activations;
use super::kernel::Kept;
use crate::error::{Error, Result};
use crate::run::Tensors;
use crate::seed::Seed;

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Uniform in ±bound.
    Uniform(f64),
    /// Normal with this standard deviation.
    Normal(f64),
}

/// Name, shape and start of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// Dotted name, spelled as in the original state dict where there is one.
    pub name: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Start value.
    pub init: Init,
}

/// One array of a state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f32>,
}

/// A state dict on the host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// Arrays by name.
    pub entries: BTreeMap<String, Weight>,
}

impl From<Tensors> for Weights {
    fn from(tensors: Tensors) -> Weights {
        let entries = tensors.into_iter().map(|(name, (shape, values))| (name, Weight { shape, values }));
        Weights { entries: entries.collect() }
    }
}

impl From<Weights> for Tensors {
    fn from(weights: Weights) -> Tensors {
        weights.entries.into_iter().map(|(name, w)| (name, (w.shape, w.values))).collect()
    }
}

impl Weights {
    /// Draws start values; each parameter has a random stream of its own, named after it.
    pub fn initialize(specs: &[ParamSpec], seed: Seed) -> Weights {
        let entries = specs.iter().map(|spec| {
            let n: usize = spec.shape.iter().product();
            let mut stream = seed.purpose(&spec.name).stream();
            let values = match spec.init {
                Init::Zeros => vec![0.0; n],
                Init::Ones => vec![1.0; n],
                Init::Uniform(bound) => (0..n).map(|_| stream.uniform_in(-bound, bound) as f32).collect(),
                Init::Normal(sd) => (0..n).map(|_| (sd * stream.normal()) as f32).collect(),
            };
            (spec.name.clone(), Weight { shape: spec.shape.clone(), values })
        });
        Weights { entries: entries.collect() }
    }

    /// Number of values.
    pub fn n_values(&self) -> usize {
        self.entries.values().map(|w| w.values.len()).sum()
    }

    /// Checks names and shapes against a network.
    ///
    /// # Errors
    /// [`Error::Data`] listing every missing, extra and misshaped array (row M03).
    pub fn check(&self, specs: &[ParamSpec], what: &str) -> Result<()> {
        let mut problems = Vec::new();
        for spec in specs {
            match self.entries.get(&spec.name) {
                None => problems.push(format!("{} is missing", spec.name)),
                Some(w) if w.shape != spec.shape => {
                    problems.push(format!("{} has shape {:?}, expected {:?}", spec.name, w.shape, spec.shape))
                }
                Some(w) if w.values.iter().any(|v| !v.is_finite()) => {
                    problems.push(format!("{} has values that are not finite", spec.name))
                }
                Some(_) => {}
            }
        }
        for name in self.entries.keys() {
            if !specs.iter().any(|spec| &spec.name == name) {
                problems.push(format!("{name} is not part of the network"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::data(what, problems.join("; "))) }
    }

    /// Copies the weights to a device, without a gradient tape.
    pub fn on(&self, device: &Device) -> Params {
        self.bind(device, false)
    }

    /// Copies the weights to a device and records operations on them for a backward pass.
    pub fn tracked(&self, device: &Device) -> Params {
        self.bind(&device.clone().autodiff(), true)
    }

    fn bind(&self, device: &Device, tracked: bool) -> Params {
        let copies: Vec<Vec<f32>> = self.entries.par_iter().map(|(_, weight)| weight.values.clone()).collect();
        let values = self.entries.iter().zip(copies).map(|((name, weight), copy)| {
            let count = copy.len();
            let tensor = Tensor::<1>::from_data(TensorData::new(copy, [count]), device);
            let tensor = if tracked { tensor.require_grad() } else { tensor };
            (name.clone(), (weight.shape.clone(), tensor))
        });
        Params::from_parts(values.collect())
    }
}

/// Weights on a device.
#[derive(Debug, Clone)]
pub struct Params {
    values: Parts,
    activations: Activations,
}

/// Shape and values of a parameter by its name.
pub(super) type Parts = BTreeMap<String, (Vec<usize>, Tensor<1>)>;

impl Params {
    pub(super) fn from_parts(values: Parts) -> Params {
        Params { values, activations: Activations::Whole }
    }

    pub(super) fn into_parts(self) -> Parts {
        self.values
    }

    /// The same values, through which no gradient flows.
    pub fn frozen(&self) -> Params {
        let values = self
            .values
            .iter()
            .map(|(name, (shape, value))| (name.clone(), (shape.clone(), value.clone().without_autodiff())));
        Params::from_parts(values.collect())
    }

    /// The same values, with which networks hold activations in this way where they can.
    pub fn holding(self, activations: Activations) -> Params {
        Params { activations, ..self }
    }

    /// All parameters, to be looked up by full name.
    pub fn root(&self) -> View<'_> {
        View { params: self, prefix: String::new() }
    }

    /// Gradients by name, taken out of `gradients`; zeros where the loss does not depend on a parameter.
    pub fn gradients(&self, mut gradients: Gradients) -> BTreeMap<String, Vec<f32>> {
        self.values
            .iter()
            .map(|(name, (shape, value))| {
                let grad = match value.grad_remove(&mut gradients) {
                    Some(grad) => host(grad),
                    None => vec![0.0; shape.iter().product()],
                };
                (name.clone(), grad)
            })
            .collect()
    }
}

/// A part of a network's parameters.
#[derive(Debug, Clone)]
pub struct View<'a> {
    params: &'a Params,
    prefix: String,
}

impl<'a> View<'a> {
    /// The parameters below a name.
    pub fn at(&self, name: &str) -> View<'a> {
        View { params: self.params, prefix: self.full(name) }
    }

    /// One parameter in its own shape.
    ///
    /// # Panics
    /// When the network asks for a parameter that is not in its own list, or by a wrong rank.
    pub fn get<const D: usize>(&self, name: &str) -> Tensor<D> {
        let full = self.full(name);
        let Some((shape, value)) = self.params.values.get(&full) else {
            panic!("the network reads parameter {full}, which it does not declare");
        };
        let Ok(shape) = <[usize; D]>::try_from(shape.as_slice()) else {
            panic!("parameter {full} has shape {shape:?}, read with rank {D}");
        };
        value.clone().reshape(shape)
    }

    /// Whether there is a parameter of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.params.values.contains_key(&self.full(name))
    }

    /// Whether values inside a network's parts are computed again in the backward pass.
    pub fn recomputes(&self) -> bool {
        self.params.activations == Activations::Recomputed
    }

    /// How operations keep values for their gradients.
    pub fn kept(&self) -> Kept {
        self.params.activations.kept()
    }

    /// Name of what this is a view of; empty for all parameters.
    pub(super) fn name(&self) -> &str {
        &self.prefix
    }

    /// The parameters below any of these names, by their full names.
    pub(super) fn below(&self, names: &[String]) -> Parts {
        let prefixes: Vec<String> = names.iter().map(|name| format!("{}.", self.full(name))).collect();
        let is_below = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let found = self.params.values.iter().filter(|(name, _)| is_below(name));
        found.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}

/// Values of a tensor on the host, row-major.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a float tensor can be read as f32")
}
