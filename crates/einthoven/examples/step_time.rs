//! One side of the comparisons in `scripts/bench-beats` and `scripts/device-check`: a process that does
//! one kind of work on demand.
//!
//! `step_time write WIDTH STRIDE BATCH FILE [MULTIPLIERS]` stores a beat U-Net, a batch and a target.
//! `step_time train FILE`, `forward FILE`, `beats FOLDER`, `record HEADER`, `annotations ATR` and
//! `samples MODEL STEPS BATCH` do the work as `worker` describes. `step_time device NAME FILE
//! [compare]` does the first two on a device, and first says how far it is from the CPU.
//!
//! A process per measurement keeps the peak memory apart, and waiting lets two engines take turns.

mod beat_problem;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use einthoven::dataset::catalog::{OpenOptions, database};
use einthoven::error::{Error, Result};
use einthoven::generators::diffusion_model::DiffusionModel;
use einthoven::generators::{Generator, Item};
use einthoven::nn::device::device;
use einthoven::nn::weights::host;
use einthoven::record::format::wfdb::read_annotations;
use einthoven::record::{Annotators, ReadOptions, read};
use einthoven::run::Trainee;
use einthoven::seed::Seed;
use serde_json::{Map, json};

use beat_problem::{Problem, differences};
use worker::{Work, number, serve, serve_on, start};

fn main() -> Result<()> {
    start(|words, idle_kib| match words {
        ["write", width, stride, batch, file] => write(width, stride, batch, "1,2,4", file.as_ref()),
        ["write", width, stride, batch, file, multipliers] => write(width, stride, batch, multipliers, file.as_ref()),
        ["train", file] => serve(train(&Problem::load(file.as_ref())?, &device("cpu")?)?, idle_kib),
        ["forward", file] => serve(forward(Problem::load(file.as_ref())?, &device("cpu")?)?, idle_kib),
        ["device", name, file] => on_device(name, Problem::load(file.as_ref())?, false, idle_kib),
        ["device", name, file, "compare"] => on_device(name, Problem::load(file.as_ref())?, true, idle_kib),
        ["beats", folder] => serve(beats(folder.into()), idle_kib),
        ["record", header] => serve(record(header.into()), idle_kib),
        ["annotations", file] => serve(annotations(file.into()), idle_kib),
        ["samples", model, steps, batch] => serve(samples(model.as_ref(), number(steps)?, number(batch)?)?, idle_kib),
        _ => Err(Error::config(
            "arguments",
            "expected write, train, forward, device, beats, record, annotations or samples",
        )),
    })
}

fn write(width: &str, stride: &str, batch: &str, multipliers: &str, path: &Path) -> Result<()> {
    let multipliers = multipliers.split(',').map(number).collect::<Result<Vec<usize>>>()?;
    Problem::draw(number(width)?, &multipliers, number(stride)?, number(batch)?)?.write(path)
}

/// Training steps as every run makes them: forward, backward, clipping, AdamW.
fn train(problem: &Problem, device: &Device) -> Result<Work> {
    let mut trainee = problem.trainee(device)?;
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        Ok(trainee.step(step)?.loss)
    }))
}

/// One denoiser call without a gradient tape: what a sampler does at each step.
fn forward(problem: Problem, device: &Device) -> Result<Work> {
    let (params, inputs) = (problem.weights.on(device), problem.inputs_on(device)?);
    Ok(Box::new(move || {
        let error = problem.predict(&params, &inputs)? - inputs.target.clone();
        Ok(f64::from(host(error.square().mean())[0]))
    }))
}

/// Training step and denoiser call on a device, if asked for after a comparison with the CPU.
fn on_device(name: &str, problem: Problem, compares: bool, idle_kib: u64) -> Result<()> {
    let chosen = device(name)?;
    let mut about = json!({});
    if compares {
        let begin = Instant::now();
        let apart = differences(&problem, [&device("cpu")?, &chosen], 3)?;
        about["differences"] = Map::from_iter(apart.into_iter().map(|(what, by)| (what.to_string(), json!(by)))).into();
        about["compare_ms"] = (begin.elapsed().as_secs_f64() * 1e3).into();
    }
    let works = vec![("train", train(&problem, &chosen)?), ("forward", forward(problem, &chosen)?)];
    serve_on(&chosen, works, idle_kib, about)
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
    let model = DiffusionModel::load(model, &Device::flex())?;
    let classes: Vec<usize> = (0..batch).map(|i| i % model.card().label_names.len()).collect();
    let mut request = model.request(Item::of_classes(&classes));
    request.batch = batch;
    if steps > 0 {
        request.steps = steps;
    }
    Ok(Box::new(move || {
        let data = model.sample(&request, Seed::new(1))?;
        Ok(data.ecg.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / data.ecg.len() as f64)
    }))
}
