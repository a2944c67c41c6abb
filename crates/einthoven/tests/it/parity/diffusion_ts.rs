//! The network of Diffusion-TS, the parts of its estimate, its noise schedule, its sampling runs and its loss.
//!
//! The original has time before the leads; its arrays are turned where they come in and go out.

use std::cell::RefCell;

use burn::tensor::{Device, Tensor};
use einthoven::diffusion::import::{DiffusionTsProcess, diffusion_ts, diffusion_ts_process};
use einthoven::diffusion::{Condition, DiffusionTsBackbone, diffuse};
use einthoven::nn::diffusion_ts::DiffusionTs;
use einthoven::nn::weights::Weights;
use serde_json::Value;

use super::{Array, Fixture, Recorder, host};

pub fn check(f: &Fixture, state: Weights) {
    let device = Device::flex();
    let constructor = &f.config["constructor"];
    let read = diffusion_ts(constructor, &state);
    let (network, weights) = read.unwrap_or_else(|error| panic!("{}: {error}", f.name));
    let backbone = DiffusionTsBackbone { network: network.clone(), params: weights.on(&device) };
    check_forward(f, &backbone, &device);
    let process = process_of(f, constructor);
    check_buffers(f, "buffer.", &process);
    for (tag, run) in f.config["traces"].as_object().into_iter().flatten() {
        check_trace(f, tag, &process_of(f, &of_run(constructor, run)), &backbone, &device);
    }
    if f.io.contains_key("train.t") {
        // Dropout in training draws masks that the fixture does not hold.
        let has_dropout = ["attn_pd", "resid_pd"].iter().any(|key| constructor[*key].as_f64().unwrap_or(0.0) > 0.0);
        check_training(f, &process, network, &weights, has_dropout, &device);
    }
}

fn process_of(f: &Fixture, arguments: &Value) -> DiffusionTsProcess {
    diffusion_ts_process(arguments).unwrap_or_else(|error| panic!("{}: {error}", f.name))
}

/// The arguments of the constructor with those of a run in their place.
fn of_run(constructor: &Value, run: &Value) -> Value {
    let mut arguments = constructor.clone();
    let entries = arguments.as_object_mut().expect("constructor arguments by name");
    // A run of every step says so by leaving it out.
    entries.remove("sampling_timesteps");
    entries.extend(run.as_object().expect("arguments of a run by name").clone());
    arguments
}

/// Signals `[batch, time, lead]` as `[batch, lead, time]`.
fn signals(array: &Array, device: &Device) -> Tensor<3> {
    array.tensor::<3>(device).swap_dims(1, 2)
}

/// The values of `[batch, lead, time]`, time before the leads.
fn time_first(x: Tensor<3>) -> Vec<f64> {
    host(x.swap_dims(1, 2))
}

fn check_forward(f: &Fixture, backbone: &DiffusionTsBackbone, device: &Device) {
    let (x, time) = (signals(f.get("input.x"), device), f.get("input.t").tensor(device));
    let trace = &mut |name: &str, value: &Tensor<3>| f.compare_mid(name, &value.clone().swap_dims(1, 2));
    let parts = backbone.network.forward_traced(&backbone.params.root(), x, time, None, trace);
    let parts = parts.unwrap_or_else(|error| panic!("{}: {error}", f.name));
    let season_error = parts.season.clone() + parts.residual.clone();
    for (key, value) in [
        ("output.trend", parts.trend.clone()),
        ("output.season_error", season_error),
        ("output.components.trend", parts.trend.clone()),
        ("output.components.season", parts.season.clone()),
        ("output.components.residual", parts.residual.clone()),
        ("output", parts.signal()),
    ] {
        f.compare("output", key, &time_first(value));
    }
}

/// Compares those arrays of the noise schedule that the fixture has below `prefix`.
fn check_buffers(f: &Fixture, prefix: &str, process: &DiffusionTsProcess) {
    for (name, buffer) in process.buffers().entries {
        let key = format!("{prefix}{name}");
        if f.io.contains_key(&key) {
            let values: Vec<f64> = buffer.values.into_iter().map(f64::from).collect();
            f.compare("buffers", &key, &values);
        }
    }
}

fn check_trace(f: &Fixture, tag: &str, process: &DiffusionTsProcess, backbone: &DiffusionTsBackbone, device: &Device) {
    let key = |name: &str| format!("{tag}.{name}");
    check_buffers(f, &key(""), process);
    let noise = f.get(&key("noise"));
    let draw = |k: usize| signals(&noise.at(k), device);
    let recorder = Recorder { network: backbone, calls: RefCell::default() };
    let denoiser = process.gaussian.denoiser(&recorder).unwrap();
    let grid = process.gaussian.grid().unwrap();
    let sampler = process.gaussian.sampler().unwrap();
    let result = sampler.sample(&denoiser, &grid, draw(0), &mut { draw }, &Condition::none());
    let result = result.unwrap_or_else(|error| panic!("{}: {tag}: {error}", f.name));
    f.compare("sampling", &key("result"), &time_first(result));

    let (batch, config) = (noise.shape[1], backbone.network.config());
    let calls = recorder.calls.borrow();
    let times: Vec<f64> = calls.iter().map(|(_, times, _)| times[0]).collect();
    assert_eq!(times, f.get(&key("times")).values, "{}: {tag}: steps shown to the network", f.name);
    assert!(calls.iter().all(|(_, times, _)| times.len() == batch));
    f.compared.borrow_mut().insert(key("times"));
    let states = calls.iter().flat_map(|(given, _, _)| {
        let given = Array { shape: vec![batch, config.channels, config.length], values: given.clone() };
        time_first(given.tensor(device))
    });
    f.compare("sampling", &key("state_before_step"), &states.collect::<Vec<f64>>());
}

fn check_training(
    f: &Fixture,
    process: &DiffusionTsProcess,
    network: DiffusionTs,
    weights: &Weights,
    has_dropout: bool,
    device: &Device,
) {
    let device = device.clone().autodiff();
    let steps: Vec<usize> = f.get("train.t").values.iter().map(|&t| t as usize).collect();
    let levels: Vec<_> = steps.iter().map(|&step| process.gaussian.schedule.levels()[step]).collect();
    let (x0, noise) = (signals(f.get("train.x0"), &device), signals(f.get("train.noise"), &device));
    let x = diffuse(x0.clone(), noise.clone(), &levels).unwrap();
    f.compare("output", "train.q_sample", &time_first(x));
    f.compared.borrow_mut().extend(["train.t".to_string(), "train.x0".to_string()]);
    if has_dropout {
        return;
    }
    let backbone = DiffusionTsBackbone { network, params: weights.tracked(&device) };
    let loss = process.loss(&backbone, x0, noise, &steps);
    let loss = loss.unwrap_or_else(|error| panic!("{}: {error}", f.name)).mean();
    f.compare("output", "train.loss", &host(loss.clone()));
    f.compare_gradients("train.grad.", &backbone.params.gradients(loss.backward()));
}
