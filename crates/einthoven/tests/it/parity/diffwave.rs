//! The network of DiffWave, its step table and its sampling runs.

use std::cell::RefCell;

use burn::tensor::{Device, Tensor};
use einthoven::diffusion::import::{DiffwaveDiffusion, diffwave};
use einthoven::diffusion::sampler::Sampler;
use einthoven::diffusion::{Backbone, Condition, DiffwaveBackbone, NoiseSchedule, diffuse};
use einthoven::nn::diffwave::{Diffwave, step_table};
use einthoven::nn::kernel::{Conv1dOptions, conv1d};
use einthoven::nn::weights::Weights;

use super::{Array, Fixture, Recorder, host};

pub fn check(f: &Fixture, weights: Weights) {
    let device = Device::flex();
    let mut arguments = f.config["constructor"].clone();
    // The schedule decides how many steps there are.
    let schedule = &f.config["defaults_for_the_rest"]["noise_schedule"];
    if arguments["noise_schedule"].is_null() && schedule.is_array() {
        arguments["noise_schedule"] = schedule.clone();
    }
    let network = diffwave(&arguments, &weights).unwrap_or_else(|error| panic!("{}: {error}", f.name));
    let spectrogram = f.io.get("input.spectrogram").map(|array| array.tensor(&device));
    let backbone = DiffwaveBackbone { network: network.clone(), params: weights.on(&device), spectrogram };
    check_forward(f, &backbone, &device);
    let steps = network.config().steps;
    if f.io.contains_key("table.diffusion_embedding") {
        compare_table(f, "mid", "table.diffusion_embedding", steps);
    }
    for run in ["fast", "slow"] {
        check_sampling(f, &format!("sampling.{run}"), &backbone, &device);
    }
    if f.io.contains_key("train.loss") {
        check_training(f, network, &weights, &device);
    }
}

/// Signals `[.., time]` as `[batch, 1, time]`.
fn signals(array: &Array, device: &Device) -> Tensor<3> {
    array.tensor::<2>(device).unsqueeze_dim(1)
}

fn check_forward(f: &Fixture, backbone: &DiffwaveBackbone, device: &Device) {
    let x = signals(f.get("input.audio"), device);
    let forward = |time: Vec<f64>, trace: &mut dyn FnMut(&str, &Tensor<3>)| {
        let time = Array { shape: vec![time.len()], values: time }.tensor::<1>(device);
        let p = backbone.params.root();
        let output = backbone.network.forward_traced(&p, x.clone(), time, None, backbone.spectrogram.clone(), trace);
        host(output.unwrap_or_else(|error| panic!("{}: {error}", f.name)))
    };
    let mut last = [None, None];
    let output = forward(f.get("input.step_int").values.clone(), &mut |name, value| {
        f.compare_mid(name, value);
        match name {
            "diffusion_embedding" => last[0] = Some(value.clone()),
            "last_block.input" => last[1] = Some(value.clone()),
            _ => {}
        }
    });
    f.compare("output", "output.int", &output);
    if let [Some(step), Some(state)] = last {
        check_last_gate(f, backbone, step, state);
    }
    if f.io.contains_key("output.float") {
        // The original gives all items of a batch the same fractional step.
        let batch = x.dims()[0];
        let time = vec![f.get("input.step_float").values[0]; batch];
        let output = forward(time, &mut |name, value| {
            if name == "diffusion_embedding" && f.io.contains_key("mid.embedding.float") {
                f.compare("mid", "mid.embedding.float", &host(value.clone().narrow(0, 0, 1)));
            }
        });
        f.compare("output", "output.float", &output);
    }
}

/// The dilated convolution of the last layer, which the network does in one with its gate, on what went into that layer.
fn check_last_gate(f: &Fixture, backbone: &DiffwaveBackbone, step: Tensor<3>, state: Tensor<3>) {
    let config = backbone.network.config();
    let last = config.layers - 1;
    let p = backbone.params.root().at(&format!("residual_layers.{last}"));
    let shift = p.at("diffusion_projection");
    let shift =
        conv1d(step, shift.get::<2>("weight").unsqueeze_dim(2), Some(shift.get("bias")), Conv1dOptions::default());
    let dilation = 1 << (last % config.dilation_cycle);
    let options = Conv1dOptions::same(3, dilation);
    let gate = p.at("dilated_conv");
    f.compare_mid(
        "last_block.dilated_conv",
        &conv1d(state + shift, gate.get("weight"), Some(gate.get("bias")), options),
    );
}

fn compare_table(f: &Fixture, group: &'static str, key: &str, steps: usize) {
    let table: Vec<f64> = step_table(steps).into_iter().map(f64::from).collect();
    f.compare(group, key, &table);
}

/// Tables of the step embedding alone.
pub fn check_table(f: &Fixture, _: Weights) {
    for key in f.io.keys() {
        compare_table(f, "output", key, f.get(key).shape[0]);
    }
}

fn check_sampling(f: &Fixture, prefix: &str, backbone: &DiffwaveBackbone, device: &Device) {
    let key = |name: &str| format!("{prefix}.{name}");
    if !f.io.contains_key(&key("result")) {
        return;
    }
    let schedule = |name: &str| f.get(&key(name)).values.clone();
    let diffusion = DiffwaveDiffusion::new(schedule("training_schedule"), schedule("inference_schedule")).unwrap();
    let recorder = Recorder { network: backbone, calls: RefCell::default() };
    let denoiser = diffusion.denoiser(&recorder as &dyn Backbone).unwrap();
    let noise = f.get(&key("noise"));
    let draw = |k: usize| signals(&noise.at(k), device);
    let result =
        diffusion.sampler().sample(&denoiser, &diffusion.grid(), draw(0), &mut { draw }, &Condition::none()).unwrap();
    f.compare("sampling", &key("result"), &host(result));
    let times: Vec<f64> = recorder.calls.borrow().iter().map(|(_, times, _)| times[0]).collect();
    f.compare("sampling", &key("step_index"), &times);
    recorder.compare(f, "sampling", &key("state_before_step"), &key("eps"));
    for name in ["training_schedule", "inference_schedule"] {
        f.compared.borrow_mut().insert(key(name));
    }
}

fn check_training(f: &Fixture, network: Diffwave, weights: &Weights, device: &Device) {
    let device = device.clone().autodiff();
    let given = ["constructor", "defaults_for_the_rest"].map(|part| f.config[part]["noise_schedule"].as_array());
    let betas = given.into_iter().flatten().next();
    let betas = betas.expect("the fixture's noise schedule").iter().map(|beta| beta.as_f64().unwrap()).collect();
    let schedule = NoiseSchedule::from_betas(betas).unwrap();
    f.compare("output", "train.noise_level", schedule.alpha_bar());
    let steps = f.get("train.steps");
    let levels: Vec<_> = steps.values.iter().map(|&step| schedule.levels()[step as usize]).collect();
    let spectrogram = f.io.get("input.spectrogram").map(|array| array.tensor(&device));
    let backbone = DiffwaveBackbone { network, params: weights.tracked(&device), spectrogram };
    let noise = signals(f.get("train.noise"), &device);
    let x = diffuse(signals(f.get("train.audio"), &device), noise.clone(), &levels).unwrap();
    let predicted = backbone.predict(x, steps.tensor(&device), &Condition::none()).unwrap();
    let loss = (predicted - noise).abs().mean();
    f.compare("output", "train.loss", &host(loss.clone()));
    f.compare_gradients("train.grad.", &backbone.params.gradients(loss.backward()));
}
