//! The network of SSSD-ECG, its schedule, a sampling run, and the derived leads.

use std::cell::RefCell;

use burn::tensor::{Device, Tensor};
use einthoven::diffusion::import::sssd_ecg;
use einthoven::diffusion::sampler::{Ddpm, Sampler};
use einthoven::diffusion::{
    Backbone, Condition, NetworkDenoiser, NoiseLevel, NoiseSchedule, Objective, Parameterization, SssdBackbone,
    TimeView, Weighting, schedule,
};
use einthoven::nn::hippo::LegS;
use einthoven::nn::kernel::CauchySum;
use einthoven::nn::sssd::Sssd;
use einthoven::nn::weights::{Params, Weights};
use einthoven::record::lead_law::{TWELVE, twelve_from};

use super::{Fixture, Recorder, host};

pub fn check(f: &Fixture, state: Weights) {
    let device = Device::flex();
    let constructor = &f.config["constructor"];
    let read = |sum| sssd_ecg(constructor, &state, sum).unwrap_or_else(|error| panic!("{}: {error}", f.name));
    let (network, weights) = read(CauchySum::ConjugatePairs);
    let params = weights.on(&device);
    let output = forward(f, &network, &params, "input.x", &mut |name, value| match name.strip_suffix("_lbc") {
        // The original's state space layers have time first.
        Some(_) => f.compare_mid(name, &value.clone().permute([2, 0, 1])),
        None => f.compare_mid(name, value),
    });
    f.compare("output", "output", &output);
    if f.io.contains_key("output.half_sum") {
        let (half, weights) = read(CauchySum::StoredHalf);
        let output = forward(f, &half, &weights.on(&device), "input.x", &mut |_, _| {});
        f.compare("output", "output.half_sum", &output);
    }
    check_kernel(f, &network, &params);
    check_lengths(f, &network, &weights, &params, &device);
    check_schedules(f);
    check_sampling(f, &network, &params, &device);
    if f.io.contains_key("train.loss") {
        check_training(f, network, &weights, &device);
    }
}

fn forward(
    f: &Fixture,
    network: &Sssd,
    params: &Params,
    input: &str,
    trace: &mut dyn FnMut(&str, &Tensor<3>),
) -> Vec<f64> {
    let device = Device::flex();
    let time = f.get("input.diffusion_step").tensor::<2>(&device).squeeze_dim(1);
    let (x, labels) = (f.get(input).tensor(&device), f.get("input.label").tensor(&device));
    let output = network.forward_traced(&params.root(), x, time, Some(labels), None, trace);
    host(output.unwrap_or_else(|error| panic!("{}: {input}: {error}", f.name)))
}

fn check_kernel(f: &Fixture, network: &Sssd, params: &Params) {
    let key = "mid.block0.S41.kernel";
    if let Some(stored) = f.io.get(key) {
        // The original computes no more of a kernel than the signal has points.
        let kernels = network.kernels_of(&params.root(), 0, 0).narrow(2, 0, stored.shape[2]);
        f.compare("mid", key, &host(kernels));
    }
}

/// Inputs that are shorter and longer than the kernels; prepared kernels give the same output.
fn check_lengths(f: &Fixture, network: &Sssd, weights: &Weights, params: &Params, device: &Device) {
    if f.io.contains_key("short.output") {
        f.compare("output", "short.output", &forward(f, network, params, "short.input.x", &mut |_, _| {}));
    }
    if f.io.contains_key("long.output") {
        let length = f.get("long.input.x").shape[2];
        let (longer, weights) = network.lengthened(weights, length).unwrap();
        let output = forward(f, &longer, &weights.on(device), "long.input.x", &mut |_, _| {});
        f.compare("long", "long.output", &output);
    }
    let length = f.get("input.x").shape[2];
    let cache = network.cache(&params.root(), length);
    let time = f.get("input.diffusion_step").tensor::<2>(device).squeeze_dim(1);
    let (x, labels) = (f.get("input.x").tensor(device), f.get("input.label").tensor(device));
    let output = network.forward(&params.root(), x, time, Some(labels), Some(&cache)).unwrap();
    f.compare("output", "output", &host(output));
}

fn check_schedules(f: &Fixture) {
    let steps = f.io.keys().filter_map(|key| key.strip_prefix("schedule.T")?.strip_suffix(".Beta")?.parse().ok());
    for n_steps in steps {
        check_schedule(f, &format!("schedule.T{n_steps}"), &published_schedule(n_steps));
    }
    if let Some(schedule) = sampling_schedule(f) {
        check_schedule(f, "sampling.schedule", &schedule);
    }
}

fn published_schedule(n_steps: usize) -> NoiseSchedule {
    schedule::find("linear-unscaled").unwrap().build(n_steps).unwrap()
}

fn check_schedule(f: &Fixture, prefix: &str, schedule: &NoiseSchedule) {
    let alpha: Vec<f64> = schedule.betas().iter().map(|beta| 1.0 - beta).collect();
    // The original computes the deviations in single precision, where 1 - alpha_bar keeps three digits at the start, and
    // leaves the first step's, which is never used, at the root of beta.
    let single = |name: &str| f.get(&format!("{prefix}.{name}")).f32s();
    let (beta, alpha_bar) = (single("Beta"), single("Alpha_bar"));
    let posterior =
        |t: usize| if t == 0 { beta[0] } else { beta[t] * ((1.0 - alpha_bar[t - 1]) / (1.0 - alpha_bar[t])) };
    let sigma: Vec<f64> = (0..beta.len()).map(|t| f64::from(posterior(t).sqrt())).collect();
    // Ours keep all digits and agree as far as those of the original go.
    for (ours, theirs) in schedule.posterior().variance.iter().zip(&sigma).skip(1) {
        assert!((ours.sqrt() / theirs - 1.0).abs() < 1e-3, "{}: {prefix}.Sigma", f.name);
    }
    let arrays = [
        ("Beta", schedule.betas().to_vec()),
        ("Alpha", alpha),
        ("Alpha_bar", schedule.alpha_bar().to_vec()),
        ("Sigma", sigma),
    ];
    for (name, values) in arrays {
        let key = format!("{prefix}.{name}");
        if f.io.contains_key(&key) {
            f.compare("schedule", &key, &values);
        }
    }
}

fn sampling_schedule(f: &Fixture) -> Option<NoiseSchedule> {
    let run = &f.config["sampling"];
    let number = |key: &str| run[key].as_f64();
    Some(NoiseSchedule::linear(run["T"].as_u64()? as usize, number("beta_0")?, number("beta_T")?).unwrap())
}

fn labels(f: &Fixture, n_items: usize) -> Condition {
    let labels = f.get("input.label");
    Condition::of_labels((0..n_items).map(|item| labels.at(item).f32s()).collect())
}

fn check_sampling(f: &Fixture, network: &Sssd, params: &Params, device: &Device) {
    let (Some(schedule), true) = (sampling_schedule(f), f.io.contains_key("sampling.result")) else { return };
    let backbone = SssdBackbone { network: network.clone(), params: params.clone(), cache: None };
    let recorder = Recorder { network: &backbone, calls: RefCell::default() };
    let noise = f.get("sampling.noise");
    let time = TimeView::Steps(schedule.clone());
    let denoiser = NetworkDenoiser::new(&recorder as &dyn Backbone, Parameterization::Noise, time).unwrap();
    let grid = schedule.grid(schedule.n_steps()).unwrap();
    let draw = &mut |k: usize| noise.at(k).tensor(device);
    let result = Ddpm::FREE.sample(&denoiser, &grid, noise.at(0).tensor(device), draw, &labels(f, noise.shape[1]));
    f.compare("sampling", "sampling.result", &host(result.unwrap()));
    recorder.compare(f, "sampling", "sampling.state_before_step", "sampling.eps");
}

fn check_training(f: &Fixture, network: Sssd, weights: &Weights, device: &Device) {
    let device = device.clone().autodiff();
    let schedule = published_schedule(200);
    let steps = &f.get("train.steps").values;
    let levels: Vec<NoiseLevel> = steps.iter().map(|&step| schedule.levels()[step as usize]).collect();
    let backbone = SssdBackbone { network, params: weights.tracked(&device), cache: None };
    let objective = Objective {
        parameterization: Parameterization::Noise,
        weighting: Weighting::Noise,
        time: TimeView::Steps(schedule),
    };
    let (x0, noise) = (f.get("train.x0").tensor(&device), f.get("train.noise").tensor(&device));
    let loss = objective.loss(&backbone, x0, noise, &levels, &labels(f, levels.len())).unwrap().mean();
    f.compare("output", "train.loss", &host(loss.clone()));
    f.compare_gradients("train.grad.", &backbone.params.gradients(loss.backward()));
}

/// The twelve leads that follow from the eight that are modelled.
pub fn check_leads(f: &Fixture, _: Weights) {
    let names = |key: &str| -> Vec<String> {
        let names = f.config[key].as_array().unwrap_or_else(|| panic!("{}: no {key}", f.name));
        names.iter().map(|name| name.as_str().unwrap().to_string()).collect()
    };
    let (eight, given) = (f.get("input.8lead"), names("lead_order_8"));
    let (batch, time) = (eight.shape[0], eight.shape[2]);
    let order: Vec<usize> = names("lead_order_12")
        .iter()
        .map(|name| TWELVE.iter().position(|known| known == name).unwrap_or_else(|| panic!("{}: {name}", f.name)))
        .collect();
    let mut twelve = Vec::new();
    for item in 0..batch {
        let derived = twelve_from(&given, &eight.at(item).f32s()).unwrap();
        order.iter().for_each(|k| twelve.extend(derived[k * time..(k + 1) * time].iter().map(|&v| f64::from(v))));
    }
    f.compare("output", "output.12lead", &twelve);
}

/// The start of the poles: those of the Legendre measure, in any order.
pub fn check_hippo(f: &Fixture) {
    for key in f.io.keys().filter(|key| key.starts_with("hippo.N") && key.ends_with(".w")) {
        let stored = f.get(key);
        let state = 2 * stored.shape[0];
        let mut expected: Vec<f64> = stored.values.chunks(2).map(|w| w[1].abs()).collect();
        expected.sort_by(f64::total_cmp);
        let measure = LegS::new(state);
        let found: Vec<f64> = measure.poles.iter().map(|w| w.im).collect();
        f.compare_to("kernel", key, &found, &expected);
        f.compared.borrow_mut().insert(key.clone());
        let sizes = |values: &[f64]| {
            let mut sizes: Vec<f64> = values.chunks(2).map(|z| z[0].hypot(z[1])).collect();
            sizes.sort_by(f64::total_cmp);
            sizes
        };
        for (name, values) in [("P", &measure.p), ("B", &measure.b)] {
            let key = key.replace(".w", &format!(".{name}"));
            let found: Vec<f64> = values.iter().flat_map(|z| [z.re, z.im]).collect();
            f.compare_to("kernel", &key, &sizes(&found), &sizes(&f.get(&key).values));
            f.compared.borrow_mut().insert(key);
        }
    }
}
