//! One side of the comparison in `scripts/bench-peers`: the workloads W1 to W6 of
//! `docs/performance.md`, each a training step or a forward pass on demand.
//!
//! `workload write NAME FILE [batch=N] [length=N] [width=N]` stores weights, a batch and a target made
//! from a hash. `workload train FILE` and `workload forward FILE` do the work as `worker` describes, `workload recompute
//! FILE` (W1, W2 and W5) and `workload bf16 FILE` (W1 and W2) a training step that keeps less; `workload peak`
//! multiplies two matrices of 1024 rows and columns.

mod networks;
#[path = "../stored/mod.rs"]
mod stored;
#[path = "../worker/mod.rs"]
mod worker;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::error::{Error, Result};
use einthoven::nn::activations::Activations;
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::train::Learner;
use einthoven::nn::weights::{ParamSpec, Params, host};
use einthoven::run::Tensors;

use networks::{Inputs, Workload};
use stored::{Stored, constant, steps, trainee};
use worker::{Work, number, serve};

fn main() -> Result<()> {
    worker::start(|words, idle_kib| match words {
        ["write", name, file, sizes @ ..] => write(name, sizes, file.as_ref()),
        ["train", file] => serve(train(Stored::load(file.as_ref())?, Activations::Whole)?, idle_kib),
        ["recompute", file] => serve(train(Stored::load(file.as_ref())?, Activations::Recomputed)?, idle_kib),
        ["bf16", file] => serve(train(Stored::load(file.as_ref())?, Activations::Bf16)?, idle_kib),
        ["forward", file] => serve(forward(Stored::load(file.as_ref())?)?, idle_kib),
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
    let weight = |spec: ParamSpec| (spec.name.clone(), (spec.shape.clone(), start(&spec.name, &spec.shape)));
    let weights: Tensors = workload.params().into_iter().map(weight).collect();
    let input = |(name, shape): (&str, Vec<usize>)| {
        let values = hashed(name, shape.iter().product()).collect();
        (name.to_string(), (shape, values))
    };
    let inputs = workload.inputs().into_iter().map(input).collect();
    let about = serde_json::to_value(&workload).map_err(|error| Error::data("workload", error.to_string()))?;
    Stored { about, weights: weights.into(), inputs }.write(path)
}

/// Input and target on a device.
fn inputs_on(problem: &Stored, device: &Device) -> Result<(Inputs, Tensor<3>)> {
    let embedding = match problem.inputs.contains_key("embedding") {
        true => Some(problem.tensor("embedding", device)?),
        false => None,
    };
    Ok((Inputs { x: problem.tensor("x", device)?, embedding }, problem.tensor("target", device)?))
}

/// The workload of a file.
fn workload(problem: &Stored) -> Result<Workload> {
    serde_json::from_value(problem.about.clone()).map_err(|error| Error::data("network", error.to_string()))
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

/// Training steps against the fixed target.
fn train(mut problem: Stored, activations: Activations) -> Result<Work> {
    let weights = std::mem::take(&mut problem.weights);
    let optimizer = constant(1e-3, &AdamWConfig { clip_norm: 0.0, ..AdamWConfig::default() });
    let (inputs, target) = inputs_on(&problem, &Device::flex().autodiff())?;
    let learner = FixedTarget { workload: workload(&problem)?, inputs, target };
    let specs = learner.workload.params();
    Ok(steps(trainee(learner, specs, weights, optimizer), activations))
}

/// One pass without a gradient tape.
fn forward(problem: Stored) -> Result<Work> {
    let device = Device::flex();
    let (workload, params) = (workload(&problem)?, problem.weights.on(&device));
    Ok(Box::new(move || {
        let (inputs, target) = inputs_on(&problem, &device)?;
        let y = host(workload.forward(&params.root(), inputs, false) - target);
        Ok(y.iter().map(|y| f64::from(*y).powi(2)).sum::<f64>() / y.len() as f64)
    }))
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
