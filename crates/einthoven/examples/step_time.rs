//! One side of the comparison in `scripts/bench-beats`: a process that does one kind of work on demand.
//!
//! `step_time write WIDTH STRIDE BATCH FILE` stores a small beat U-Net, a batch and a target.
//! `step_time train FILE`, `forward FILE`, `beats FOLDER`, `record HEADER`, `annotations ATR` and
//! `samples MODEL STEPS BATCH` do the work as `worker` describes.
//!
//! A process per measurement keeps the peak memory apart, and waiting lets two engines take turns.

mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::dataset::catalog::{OpenOptions, database};
use einthoven::error::{Error, Result};
use einthoven::generators::Generator;
use einthoven::generators::dgn::Dgn;
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::train::{Learner, NetworkTrainee};
use einthoven::nn::unet1d::{Unet1d, Unet1dConfig};
use einthoven::nn::weights::{Params, Weights, host};
use einthoven::record::format::wfdb::read_annotations;
use einthoven::record::{Annotators, ReadOptions, read};
use einthoven::run::{StoredType, Tensors, Trainee, safetensors, write_atomic};
use einthoven::seed::Seed;

use worker::{Work, number, reset_peak_kib, serve};

/// Points of a beat.
const LENGTH: usize = 256;
/// Classes of the network.
const CLASSES: usize = 5;
fn main() -> Result<()> {
    einthoven::nn::kernel::keep_freed_memory();
    let idle_kib = reset_peak_kib();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["write", width, stride, batch, file] => write(number(width)?, number(stride)?, number(batch)?, file.as_ref()),
        ["train", file] => serve(train(Problem::load(file.as_ref())?)?, idle_kib),
        ["forward", file] => serve(forward(Problem::load(file.as_ref())?), idle_kib),
        ["beats", folder] => serve(beats(folder.into()), idle_kib),
        ["record", header] => serve(record(header.into()), idle_kib),
        ["annotations", file] => serve(annotations(file.into()), idle_kib),
        ["samples", model, steps, batch] => serve(samples(model.as_ref(), number(steps)?, number(batch)?)?, idle_kib),
        _ => Err(Error::config("arguments", "expected write, train, forward, beats, record, annotations or samples")),
    }
}

/// A network and a batch, as both engines read them.
struct Problem {
    network: Unet1d,
    weights: Weights,
    x: Vec<f32>,
    target: Vec<f32>,
    times: Vec<f32>,
    classes: Vec<Option<usize>>,
}

/// Prefix of what is not a weight.
const INPUT: &str = "input.";

impl Problem {
    fn load(path: &Path) -> Result<Problem> {
        let file = safetensors::read(path)?;
        let config = file.metadata.get("network").map(String::as_str).unwrap_or_default();
        let config: Unet1dConfig =
            serde_json::from_str(config).map_err(|error| Error::data("network", error.to_string()))?;
        let (inputs, weights): (Tensors, Tensors) =
            file.tensors.into_iter().partition(|(name, _)| name.starts_with(INPUT));
        let input = |name: &str| {
            let found = inputs.get(&format!("{INPUT}{name}")).map(|(_, values)| values.clone());
            found.ok_or_else(|| Error::data(path.display().to_string(), format!("has no {INPUT}{name}")))
        };
        let classes = input("classes")?.into_iter().map(|class| (class < CLASSES as f32).then_some(class as usize));
        Ok(Problem {
            network: Unet1d::new(config)?,
            weights: weights.into(),
            x: input("x")?,
            target: input("target")?,
            times: input("time")?,
            classes: classes.collect(),
        })
    }

    fn tensor(&self, values: &[f32], device: &Device) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), [self.times.len(), 1, LENGTH]), device)
    }

    fn predict(&self, params: &Params, device: &Device) -> Result<Tensor<3>> {
        let times = Tensor::<1>::from_floats(self.times.as_slice(), device);
        self.network.forward(&params.root(), self.tensor(&self.x, device), times, Some(&self.classes), None)
    }
}

/// Draws weights, a batch and a target, and stores them.
fn write(width: usize, stride: usize, batch: usize, path: &Path) -> Result<()> {
    let config = Unet1dConfig { stem_stride: stride, ..Unet1dConfig::dgn(width, &[1, 2, 4], CLASSES) };
    let network = Unet1d::new(config.clone())?;
    let seed = Seed::new(1);
    let mut tensors: Tensors = Weights::initialize(&network.params(), seed.purpose("weights")).into();
    let normal = |name: &str| {
        let mut values = vec![0.0; batch * LENGTH];
        seed.purpose(name).stream().fill_normal(&mut values);
        (vec![batch, 1, LENGTH], values)
    };
    tensors.insert(format!("{INPUT}x"), normal("x"));
    tensors.insert(format!("{INPUT}target"), normal("target"));
    let mut stream = seed.purpose("condition").stream();
    // One more than the classes: some labels are dropped, as in training.
    let classes = (0..batch).map(|_| stream.below(CLASSES + 1) as f32).collect();
    tensors.insert(format!("{INPUT}classes"), (vec![batch], classes));
    let times = (0..batch).map(|_| stream.uniform_in(0.0, 1000.0) as f32).collect();
    tensors.insert(format!("{INPUT}time"), (vec![batch], times));
    let config = serde_json::to_string(&config).map_err(|error| Error::data("network", error.to_string()))?;
    write_atomic(
        path,
        &safetensors::to_bytes(&tensors, &BTreeMap::from([("network".into(), config)]), StoredType::F32)?,
    )
}

/// Mean squared error against the fixed target.
struct FixedTarget {
    problem: Problem,
    device: Device,
}

impl Learner for FixedTarget {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        // Weights carry the gradient tape; tensors that meet them must live on the same device.
        let device = self.device.clone().autodiff();
        let target = self.problem.tensor(&self.problem.target, &device);
        Ok(((self.problem.predict(params, &device)? - target).square().mean(), Vec::new()))
    }
}

/// Training steps as every run makes them: copy of the weights, forward, backward, clipping, AdamW.
fn train(mut problem: Problem) -> Result<Work> {
    let device = Device::default();
    let weights = std::mem::take(&mut problem.weights);
    let rate = 1e-3;
    let optimizer = AdamWConfig {
        learning_rate: rate,
        final_learning_rate: rate,
        weight_decay: 1e-4,
        epsilon: 1e-5,
        clip_norm: 1.0,
        ..AdamWConfig::default()
    };
    let specs = problem.network.params();
    let learner = FixedTarget { problem, device: device.clone() };
    let mut trainee = NetworkTrainee::new(learner, specs, weights, optimizer, 1_000_000, &device);
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        Ok(trainee.step(step)?.loss)
    }))
}

/// One denoiser call without a gradient tape: what a sampler does at each step.
fn forward(problem: Problem) -> Work {
    let device = Device::default();
    let params = problem.weights.on(&device);
    Box::new(move || {
        let y = host(problem.predict(&params, &device)?);
        let sum: f64 = y.iter().zip(&problem.target).map(|(y, target)| f64::from(y - target).powi(2)).sum();
        Ok(sum / y.len() as f64)
    })
}

/// All beats of MIT-BIH with labels; returns their number.
fn beats(folder: PathBuf) -> Work {
    Box::new(move || {
        let data = database("mitdb")?.open(&folder, &OpenOptions::default())?;
        Ok((data.ecg.len() / data.sig_len) as f64)
    })
}

/// A record with its checksums; returns the sum of some points of its first lead in ADC units.
fn record(header: PathBuf) -> Work {
    let options = ReadOptions { annotators: Annotators::None, ..ReadOptions::strict() };
    Box::new(move || {
        let record = read(&header, &options)?;
        Ok(record.leads.first().map_or(0.0, |lead| lead.adu.iter().step_by(1000).map(|&v| f64::from(v)).sum()))
    })
}

/// An annotation file; returns the number of annotations.
fn annotations(file: PathBuf) -> Work {
    let options = ReadOptions::strict();
    Box::new(move || Ok(read_annotations(&file, Some(360.0), &options)?.0.len() as f64))
}

/// A batch of beats from a model file by its own sampler; returns their mean square in mV².
fn samples(model: &Path, steps: usize, batch: usize) -> Result<Work> {
    let model = Dgn::load(model, &Device::default())?;
    let classes = (0..batch).map(|i| i % model.card().label_names.len()).collect();
    let mut request = model.request(classes);
    request.batch = batch;
    if steps > 0 {
        request.steps = steps;
    }
    Ok(Box::new(move || {
        let data = model.sample(&request, Seed::new(1))?;
        Ok(data.ecg.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / data.ecg.len() as f64)
    }))
}
