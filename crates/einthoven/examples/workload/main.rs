//! One side of the comparison in `scripts/bench-peers`: the workloads W1 to W6 of
//! `docs/performance.md`, each a training step or a forward pass on demand.
//!
//! `workload write NAME FILE [batch=N] [length=N] [width=N]` stores weights, a batch and a target made
//! from a hash. `workload train FILE` and `workload forward FILE` do the work as `worker` describes, `workload recompute
//! FILE` (W1, W2 and W5) and `workload bf16 FILE` (W1 and W2) a training step that keeps less; `workload peak`
//! multiplies two matrices of 1024 rows and columns.

mod networks;
#[path = "../worker/mod.rs"]
mod worker;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::error::{Error, Result};
use einthoven::nn::activations::Activations;
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::train::{Learner, NetworkTrainee};
use einthoven::nn::weights::{Params, Weights, host};
use einthoven::run::{StoredType, Tensors, Trainee, safetensors, write_atomic};

use networks::{Inputs, Workload};
use worker::{Work, number, reset_peak_kib, serve};

/// Prefix of what is not a weight; no layer has this name.
const INPUT: &str = "data.";

fn main() -> Result<()> {
    // As every program of the project does.
    einthoven::nn::kernel::keep_freed_memory();
    let idle_kib = reset_peak_kib();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    einthoven::nn::kernel::on_worker(|| match words.as_slice() {
        ["write", name, file, sizes @ ..] => write(name, sizes, file.as_ref()),
        ["train", file] => serve(train(Problem::load(file.as_ref())?, Activations::Whole)?, idle_kib),
        ["recompute", file] => serve(train(Problem::load(file.as_ref())?, Activations::Recomputed)?, idle_kib),
        ["bf16", file] => serve(train(Problem::load(file.as_ref())?, Activations::Bf16)?, idle_kib),
        ["forward", file] => serve(forward(Problem::load(file.as_ref())?), idle_kib),
        ["peak"] => serve(peak(), idle_kib),
        _ => Err(Error::config("arguments", "expected write, train, recompute, bf16, forward or peak")),
    })
}

/// Numbers in [-1, 1) from a hash of a name and their index.
fn hashed(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let salt = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (0..count as u64).map(move |index| {
        let mut word = salt.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    })
}

/// Weights within one over the root of the fan-in, gains around 1, small biases.
fn start(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let bound = 1.0 / (shape[1..].iter().product::<usize>() as f32).sqrt();
    let values = hashed(name, count);
    match name {
        _ if shape.len() > 1 => values.map(|value| bound * value).collect(),
        _ if name.ends_with("gain") => values.map(|value| 1.0 + 0.1 * value).collect(),
        _ => values.map(|value| 0.1 * value).collect(),
    }
}

fn write(name: &str, sizes: &[&str], path: &Path) -> Result<()> {
    let mut workload = Workload::named(name)?;
    for size in sizes {
        let (key, value) = size.split_once('=').unwrap_or((size, ""));
        match key {
            "batch" => workload.batch = number(value)?,
            "length" => workload.length = number(value)?,
            "width" => workload.width = number(value)?,
            _ => return Err(Error::config("arguments", format!("found {size}, expected batch, length or width"))),
        }
    }
    let mut tensors: Tensors = Tensors::new();
    for spec in workload.params() {
        tensors.insert(spec.name.clone(), (spec.shape.clone(), start(&spec.name, &spec.shape)));
    }
    for (input, shape) in workload.inputs() {
        let values = hashed(input, shape.iter().product()).collect();
        tensors.insert(format!("{INPUT}{input}"), (shape, values));
    }
    let text = serde_json::to_string(&workload).map_err(|error| Error::data("workload", error.to_string()))?;
    let metadata = BTreeMap::from([("network".to_string(), text)]);
    write_atomic(path, &safetensors::to_bytes(&tensors, &metadata, StoredType::F32)?)
}

/// A workload, its weights and its batch.
struct Problem {
    workload: Workload,
    weights: Weights,
    inputs: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Problem {
    fn load(path: &Path) -> Result<Problem> {
        let file = safetensors::read(path)?;
        let text = file.metadata.get("network").map(String::as_str).unwrap_or_default();
        let workload = serde_json::from_str(text).map_err(|error| Error::data("network", error.to_string()))?;
        let (inputs, weights): (Tensors, Tensors) =
            file.tensors.into_iter().partition(|(name, _)| name.starts_with(INPUT));
        let inputs = inputs.into_iter().map(|(name, array)| (name[INPUT.len()..].to_string(), array)).collect();
        Ok(Problem { workload, weights: weights.into(), inputs })
    }

    fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Result<Tensor<D>> {
        let (shape, values) =
            self.inputs.get(name).ok_or_else(|| Error::data(name.to_string(), "is missing".to_string()))?;
        let shape: [usize; D] =
            shape.clone().try_into().map_err(|_| Error::data(name.to_string(), "has another rank".to_string()))?;
        Ok(Tensor::from_data(TensorData::new(values.clone(), shape), device))
    }

    fn inputs_on(&self, device: &Device) -> Result<(Inputs, Tensor<3>)> {
        let embedding = match self.inputs.contains_key("embedding") {
            true => Some(self.tensor("embedding", device)?),
            false => None,
        };
        Ok((Inputs { x: self.tensor("x", device)?, embedding }, self.tensor("target", device)?))
    }
}

struct FixedTarget {
    workload: Workload,
    inputs: Inputs,
    target: Tensor<3>,
}

impl Learner for FixedTarget {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let y = self.workload.forward(&params.root(), self.inputs.clone(), true);
        Ok(((y - self.target.clone()).square().mean(), Vec::new()))
    }
}

/// Training steps as every run makes them: copy of the weights, forward, backward, AdamW.
fn train(mut problem: Problem, activations: Activations) -> Result<Work> {
    let device = Device::flex();
    let weights = std::mem::take(&mut problem.weights);
    let rate = 1e-3;
    let optimizer = AdamWConfig {
        learning_rate: rate,
        final_learning_rate: rate,
        weight_decay: 1e-4,
        epsilon: 1e-5,
        clip_norm: 0.0,
        ..AdamWConfig::default()
    };
    let (inputs, target) = problem.inputs_on(&device.clone().autodiff())?;
    let specs = problem.workload.params();
    let learner = FixedTarget { workload: problem.workload, inputs, target };
    let mut trainee = NetworkTrainee::new(learner, specs, weights, optimizer, 1_000_000, &device).holding(activations);
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        Ok(trainee.step(step)?.loss)
    }))
}

/// One pass without a gradient tape.
fn forward(problem: Problem) -> Work {
    let device = Device::flex();
    let params = problem.weights.on(&device);
    Box::new(move || {
        let (inputs, target) = problem.inputs_on(&device)?;
        let y = host(problem.workload.forward(&params.root(), inputs, false) - target);
        Ok(y.iter().map(|y| f64::from(*y).powi(2)).sum::<f64>() / y.len() as f64)
    })
}

/// A product of matrices that shows the peak of the machine: 2.147 GFLOP.
fn peak() -> Work {
    let device = Device::flex();
    let matrix = |name: &str| {
        let values: Vec<f32> = hashed(name, 1024 * 1024).collect();
        Tensor::<2>::from_data(TensorData::new(values, [1024, 1024]), &device)
    };
    let (a, b) = (matrix("a"), matrix("b"));
    Box::new(move || Ok(f64::from(host(a.clone().matmul(b.clone()))[0])))
}
