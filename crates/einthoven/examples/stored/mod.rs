//! Weights and a batch in a file that both sides of a comparison read, and training steps on them.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::error::{Error, Result};
use einthoven::nn::activations::Activations;
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::train::{Learner, NetworkTrainee};
use einthoven::nn::weights::{ParamSpec, Weights};
use einthoven::run::{StoredType, Tensors, Trainee, safetensors, write_atomic};
use serde_json::Value;

use crate::worker::Work;

/// Prefix of what is not a weight; no layer has this name.
const INPUT: &str = "data.";

/// What a file holds.
pub struct Stored {
    /// The network, for the reader to build.
    pub about: Value,
    /// Its weights.
    pub weights: Weights,
    /// The batch.
    pub inputs: Tensors,
}

impl Stored {
    /// Stores it.
    pub fn write(self, path: &Path) -> Result<()> {
        let mut tensors: Tensors = self.weights.into();
        tensors.extend(self.inputs.into_iter().map(|(name, input)| (format!("{INPUT}{name}"), input)));
        let metadata = BTreeMap::from([("network".to_string(), self.about.to_string())]);
        write_atomic(path, &safetensors::to_bytes(&tensors, &metadata, StoredType::F32)?)
    }

    /// Reads it.
    pub fn load(path: &Path) -> Result<Stored> {
        let file = safetensors::read(path)?;
        let text = file.metadata.get("network").map(String::as_str).unwrap_or_default();
        let about = serde_json::from_str(text).map_err(|error| Error::data("network", error.to_string()))?;
        let (inputs, weights): (Tensors, Tensors) =
            file.tensors.into_iter().partition(|(name, _)| name.starts_with(INPUT));
        let inputs = inputs.into_iter().map(|(name, input)| (name[INPUT.len()..].to_string(), input)).collect();
        Ok(Stored { about, weights: weights.into(), inputs })
    }

    /// Values of an input.
    pub fn values(&self, name: &str) -> Result<&[f32]> {
        let found = self.inputs.get(name).map(|(_, values)| values.as_slice());
        found.ok_or_else(|| Error::data(name, "is missing"))
    }

    /// An input on a device.
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>> {
        let values = self.values(name)?.to_vec();
        let shape: [usize; D] =
            self.inputs[name].0.clone().try_into().map_err(|_| Error::data(name, "has another rank"))?;
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// Weights below a prefix, without it.
    #[allow(dead_code, reason = "not every example has two networks in a file")]
    pub fn below(&self, prefix: &str) -> Weights {
        let named = |(name, weight): (&String, _)| Some((name.strip_prefix(prefix)?.to_string(), Clone::clone(weight)));
        Weights { entries: self.weights.entries.iter().filter_map(named).collect() }
    }
}

/// A constant rate, so that a peer needs no schedule, and an `epsilon` below which gradients are rounding.
pub fn constant(rate: f64, optimizer: &AdamWConfig) -> AdamWConfig {
    AdamWConfig {
        learning_rate: rate,
        final_learning_rate: rate,
        warmup_steps: 0,
        epsilon: 1e-5,
        ema_decay: 0.0,
        ..optimizer.clone()
    }
}

/// A training that ends nowhere.
pub fn trainee<L: Learner>(
    learner: L,
    specs: Vec<ParamSpec>,
    weights: Weights,
    optimizer: AdamWConfig,
) -> NetworkTrainee<L> {
    NetworkTrainee::new(learner, specs, weights, optimizer, 1_000_000, &Device::flex())
}

/// Training steps as every run makes them: copy of the weights, forward, backward, AdamW.
pub fn steps<L: Learner + 'static>(trainee: NetworkTrainee<L>, activations: Activations) -> Work {
    let mut trainee = trainee.holding(activations);
    let mut step = 0;
    Box::new(move || {
        step += 1;
        Ok(trainee.step(step)?.loss)
    })
}
