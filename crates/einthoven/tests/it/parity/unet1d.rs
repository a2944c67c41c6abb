//! The 1-D U-Net and its Gaussian diffusion.

use std::cell::RefCell;

use burn::tensor::{Device, Tensor};
use einthoven::diffusion::import::{GaussianDiffusion, lucidrains_diffusion, lucidrains_unet1d};
use einthoven::diffusion::{Condition, NoiseLevel, UnetBackbone, Weighting, diffuse};
use einthoven::nn::unet1d::Unet1d;
use einthoven::nn::weights::Weights;

use super::{Fixture, Recorder, host};

pub fn check(f: &Fixture, weights: Weights) {
    let device = Device::flex();
    let constructor = &f.config["constructor"];
    let network = lucidrains_unet1d(constructor, &weights).unwrap_or_else(|error| panic!("{}: {error}", f.name));
    let backbone = UnetBackbone { network: network.clone(), params: weights.on(&device) };
    check_forward(f, &backbone, &device);
    // Dropout in training draws masks that the fixture does not hold.
    let has_dropout = constructor["dropout"].as_f64().is_some_and(|share| share > 0.0);
    for run in f.config["diffusion_runs"].as_array().into_iter().flatten() {
        let tag = run["tag"].as_str().expect("a run has a tag");
        let mut arguments = run.clone();
        arguments.as_object_mut().unwrap().remove("tag");
        let diffusion = lucidrains_diffusion(&arguments).unwrap_or_else(|error| panic!("{}: {tag}: {error}", f.name));
        check_buffers(f, tag, &diffusion);
        check_trace(f, tag, &diffusion, &backbone, &device);
        if !has_dropout && f.io.contains_key(&format!("{tag}.train.t")) {
            check_training(f, tag, &diffusion, &network, &weights, &device);
        }
    }
}

fn check_forward(f: &Fixture, backbone: &UnetBackbone, device: &Device) {
    let forward = |previous: Option<Tensor<3>>, trace: &mut dyn FnMut(&str, &Tensor<3>)| {
        let (x, time) = (f.get("input.x").tensor(device), f.get("input.time").tensor(device));
        let output = backbone.network.forward_traced(&backbone.params.root(), x, time, &[], previous, trace);
        host(output.unwrap_or_else(|error| panic!("{}: {error}", f.name)))
    };
    let previous = f.io.get("input.x_self_cond").map(|array| array.tensor(device));
    let output = forward(previous, &mut |name, value| f.compare_mid(name, value));
    f.compare("output", "output", &output);
    if f.io.contains_key("output.without_self_cond") {
        f.compare("output", "output.without_self_cond", &forward(None, &mut |_, _| {}));
    }
}

fn check_buffers(f: &Fixture, tag: &str, diffusion: &GaussianDiffusion) {
    let schedule = &diffusion.schedule;
    let alpha_bar = schedule.alpha_bar();
    let posterior = schedule.posterior();
    let of_levels =
        |value: &dyn Fn(NoiseLevel) -> f64| schedule.levels().iter().map(|&level| value(level)).collect::<Vec<f64>>();
    let before: Vec<f64> = std::iter::once(1.0).chain(alpha_bar[..alpha_bar.len() - 1].iter().copied()).collect();
    let factor = |level| Weighting::Noise.factor(diffusion.parameterization, level).unwrap();
    for (name, values) in [
        ("betas", schedule.betas().to_vec()),
        ("alphas_cumprod", alpha_bar.to_vec()),
        ("alphas_cumprod_prev", before),
        ("sqrt_alphas_cumprod", of_levels(&NoiseLevel::alpha)),
        ("sqrt_one_minus_alphas_cumprod", of_levels(&NoiseLevel::sigma)),
        ("log_one_minus_alphas_cumprod", of_levels(&|level| 2.0 * level.sigma().ln())),
        ("sqrt_recip_alphas_cumprod", of_levels(&|level| 1.0 / level.alpha())),
        ("sqrt_recipm1_alphas_cumprod", of_levels(&|level| level.sigma() / level.alpha())),
        ("posterior_variance", posterior.variance),
        ("posterior_log_variance_clipped", posterior.log_variance_clipped),
        ("posterior_mean_coef1", posterior.mean_x0),
        ("posterior_mean_coef2", posterior.mean_x),
        ("loss_weight", of_levels(&factor)),
    ] {
        let key = format!("{tag}.buffer.{name}");
        if f.io.contains_key(&key) {
            f.compare("buffers", &key, &values);
        }
    }
}

fn check_trace(f: &Fixture, tag: &str, diffusion: &GaussianDiffusion, backbone: &UnetBackbone, device: &Device) {
    let key = |name: &str| format!("{tag}.{name}");
    if !f.io.contains_key(&key("result")) {
        return;
    }
    let noise = f.get(&key("noise"));
    let recorder = Recorder { network: backbone, calls: RefCell::default() };
    let denoiser = diffusion.denoiser(&recorder).unwrap();
    let result = diffusion.sampler().unwrap().sample(
        &denoiser,
        &diffusion.grid().unwrap(),
        noise.at(0).tensor(device),
        &mut |k| noise.at(k).tensor(device),
        &Condition::none(),
    );
    let result = result.unwrap_or_else(|error| panic!("{}: {tag}: {error}", f.name));
    let result = if diffusion.auto_normalize { (result + 1.0) * 0.5 } else { result };
    let batch = noise.shape[1];
    let calls = recorder.calls.borrow();
    let times: Vec<f64> = calls.iter().map(|(_, times, _)| times[0]).collect();
    assert_eq!(times, f.get(&key("times")).values, "{}: {tag}: steps shown to the network", f.name);
    assert!(calls.iter().all(|(_, times, _)| times.len() == batch));
    f.compared.borrow_mut().insert(key("times"));
    drop(calls);
    recorder.compare(f, "sampling", &key("state_before_step"), &key("model_output"));
    f.compare("sampling", &key("result"), &host(result));
}

fn check_training(
    f: &Fixture,
    tag: &str,
    diffusion: &GaussianDiffusion,
    network: &Unet1d,
    weights: &Weights,
    device: &Device,
) {
    let key = |name: &str| format!("{tag}.train.{name}");
    let device = device.clone().autodiff();
    let steps = &f.get(&key("t")).values;
    let levels: Vec<NoiseLevel> = steps.iter().map(|&t| diffusion.schedule.levels()[t as usize]).collect();
    let raw: Tensor<3> = f.get(&key("x0_in_0_1")).tensor(&device);
    let noise: Tensor<3> = f.get(&key("noise")).tensor(&device);
    // The fixtures' losses take data already mapped to [-1, 1]. Where the set-up has no such
    // mapping they may have been left as they are; the stored noisy signal then says so.
    let mut x0 = raw.clone() * 2.0 - 1.0;
    let mut x = diffuse(x0.clone(), noise.clone(), &levels).unwrap();
    let is_far =
        |x: &Tensor<3>| host(x.clone()).iter().zip(&f.get(&key("q_sample")).values).any(|(a, b)| (a - b).abs() > 1e-2);
    if !diffusion.auto_normalize && is_far(&x) {
        x0 = raw;
        x = diffuse(x0.clone(), noise.clone(), &levels).unwrap();
    }
    f.compare("output", &key("q_sample"), &host(x));
    let backbone = UnetBackbone { network: network.clone(), params: weights.tracked(&device) };
    let loss = diffusion.objective().loss(&backbone, x0, noise, &levels, &Condition::none());
    let loss = loss.unwrap_or_else(|error| panic!("{}: {tag}: {error}", f.name)).mean();
    f.compare("output", &key("loss"), &host(loss.clone()));
    let gradients = backbone.params.gradients(loss.backward());
    f.compare_gradients(&key("grad."), &gradients);
}
