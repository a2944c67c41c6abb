//! The generators of Pulse2Pulse, WaveGAN* and the conditional baseline, and their critics with the
//! gradient penalty.

use burn::tensor::{Device, Tensor};
use einthoven::Result;
use einthoven::experiment::{ImportRequest, import};
use einthoven::generators::gan_model::GanModel;
use einthoven::nn::gan::critic::Critic;
use einthoven::nn::gan::import::{
    cond_pulse2pulse_critic, cond_pulse2pulse_generator, pulse2pulse_critic, pulse2pulse_generator,
    wavegan_star_generator,
};
use einthoven::nn::gan::pulse2pulse::microvolts;
use einthoven::nn::gan::wgan::{PENALTY, critic_loss, gradient_penalty, mixed};
use einthoven::nn::running::follow;
use einthoven::nn::weights::{Params, View, Weights};
use serde_json::Value;

use super::{Array, Fixture, host};

pub fn check_pulse2pulse(f: &Fixture, state: Weights) {
    let (network, weights) = of(f, pulse2pulse_generator(&f.config["constructor"], &state));
    let noise = |device: &Device| f.get("input.noise").tensor(device);
    let forward = |p: &View, device: &Device, trace: &mut dyn FnMut(&str, &Tensor<3>)| {
        network.forward_traced(p, noise(device), trace)
    };
    check_generator(f, &weights, &forward);
    check_imported(f, "pulse2pulse", &[]);
}

pub fn check_wavegan_star(f: &Fixture, state: Weights) {
    let (network, weights) = of(f, wavegan_star_generator(&f.config["constructor"], &state));
    let noise = |device: &Device| f.get("input.noise").tensor(device);
    let forward = |p: &View, device: &Device, trace: &mut dyn FnMut(&str, &Tensor<3>)| {
        network.forward_traced(p, noise(device), trace)
    };
    check_generator(f, &weights, &forward);
    check_imported(f, "wavegan-star", &[]);
}

/// The run that `import` makes of the stored weights gives the stored output, in mV.
fn check_imported(f: &Fixture, generator: &str, labels: &[f32]) {
    let folder = std::env::temp_dir().join(format!("einthoven-import-{generator}-{}", std::process::id()));
    // What a broken test left; there is nothing to remove otherwise.
    let _ = std::fs::remove_dir_all(&folder);
    let output = f.get("output");
    let [_, n_leads, sig_len] = output.shape[..] else { panic!("{}: rank of the output", f.name) };
    let leads: Vec<String> = (0..n_leads).map(|lead| format!("C{lead}")).collect();
    let names: Vec<String> = (0..labels.len() / output.shape[0]).map(|label| format!("L{label}")).collect();
    let path = import(&ImportRequest {
        checkpoint: &f.folder.join("weights.safetensors"),
        generator,
        entry: None,
        arguments: None,
        // Eight are those of the publication.
        leads: if n_leads == 8 { &[] } else { &leads },
        fs_hz: None,
        sig_len: Some(sig_len),
        // 71 are those of the publication.
        labels: if names.len() == 71 { &[] } else { &names },
        out: &folder,
    });
    let model = of(f, GanModel::load(&of(f, path), &Device::flex()));
    let signals = of(f, model.signals(&f.get("input.noise").f32s(), labels));
    let scale = f64::from(model.card().scale_mv[0]);
    assert_eq!(scale, if generator == "cond-pulse2pulse" { 1.0 } else { 6.0 });
    let signals: Vec<f64> = signals.iter().map(|&v| f64::from(v) / scale).collect();
    f.compare_to("output", "output of the imported run", &signals, &output.values);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn check_generator(
    f: &Fixture,
    weights: &Weights,
    forward: &dyn Fn(&View, &Device, &mut dyn FnMut(&str, &Tensor<3>)) -> Result<Tensor<3>>,
) {
    let device = Device::flex();
    let output = of(f, forward(&weights.on(&device).root(), &device, &mut |name, value| f.compare_mid(name, value)));
    compare_output(f, output);
    if f.io.contains_key("train.loss") {
        let device = device.autodiff();
        let params = weights.tracked(&device);
        let output = of(f, forward(&params.root(), &device, &mut |_, _| {}));
        check_training(f, &params, output);
    }
}

pub fn check_cond_pulse2pulse(f: &Fixture, state: Weights) {
    let (network, weights, mut running) = of(f, cond_pulse2pulse_generator(&f.config["constructor"], &state));
    let device = Device::flex();
    let (noise, labels) = (f.get("input.noise"), f.get("input.label"));
    let output = network.forward_traced(
        &weights.on(&device).root(),
        &running,
        noise.tensor(&device),
        labels.tensor(&device),
        &mut |name, value| f.compare_mid(name, value),
    );
    compare_output(f, of(f, output));
    check_imported(f, "cond-pulse2pulse", &labels.f32s());
    if !f.io.contains_key("train.loss") {
        return;
    }
    let device = device.autodiff();
    let params = weights.tracked(&device);
    let (output, batch) =
        of(f, network.forward_training(&params.root(), noise.tensor(&device), labels.tensor(&device)));
    f.compare("train", "train.output", &host(output.clone()));
    check_training(f, &params, output);
    follow(&mut running, &batch);
    let prefix = "train.buffer_after.";
    for key in f.io.keys().filter(|key| key.starts_with(prefix)) {
        let found = running.entries.get(&key[prefix.len()..]);
        let found = found.unwrap_or_else(|| panic!("{}: no running statistic for {key}", f.name));
        f.compare("train", key, &found.values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
    }
}

/// The output, and the same in whole microvolts.
fn compare_output(f: &Fixture, output: Tensor<3>) {
    let output = host(output);
    f.compare("output", "output", &output);
    let key = "output.scaled_int32";
    if f.io.contains_key(key) {
        let whole = microvolts(&output.iter().map(|&v| v as f32).collect::<Vec<f32>>());
        let expected = &f.get(key).values;
        // Rounding toward zero may fall to the other side of a whole number, and no farther.
        let is_near = |(&found, expected): (&i32, &f64)| (f64::from(found) - expected).abs() <= 1.0;
        if whole.len() != expected.len() || !whole.iter().zip(expected).all(is_near) {
            f.failures.borrow_mut().push(format!("{key}: differs by more than 1"));
        }
        f.compared.borrow_mut().insert(key.to_string());
    }
}

/// Loss and gradients of the mean squared distance from a target.
fn check_training(f: &Fixture, params: &Params, output: Tensor<3>) {
    let target = given(f, "train.target").tensor(&output.device());
    let loss = (output - target).square().mean();
    f.compare("train", "train.loss", &host(loss.clone()));
    f.compare_gradients("train.grad.", &params.gradients(loss.backward()));
}

pub fn check_critic(f: &Fixture, state: Weights) {
    check_any_critic(f, &state, pulse2pulse_critic);
}

pub fn check_cond_critic(f: &Fixture, state: Weights) {
    check_any_critic(f, &state, cond_pulse2pulse_critic);
}

fn check_any_critic(f: &Fixture, state: &Weights, read: fn(&Value, usize, &Weights) -> Result<(Critic, Weights)>) {
    let length = f.get("input.x").shape[2];
    let (critic, weights) = of(f, read(&f.config["constructor"], length, state));
    let device = Device::flex();
    let params = weights.on(&device);
    let last = format!("conv{}", critic.config().layers);
    let real = || f.get("input.x").tensor(&device);
    let output = critic.forward_traced(&params.root(), real(), &[], &mut |name, value| {
        f.compare_mid(&format!("{name}_before_activation"), value);
        if name == last {
            f.compare_mid("last_conv_before_activation", value);
        }
    });
    f.compare("output", "output", &host(of(f, output)));
    if f.io.contains_key("output.phase_shuffled") {
        let shifts = f.get("input.phase_shifts");
        let row = |layer: usize| shifts.at(layer).values.iter().map(|&shift| shift as isize).collect();
        let shifts: Vec<Vec<isize>> = (0..shifts.shape[0]).map(row).collect();
        let output = of(f, critic.forward(&params.root(), real(), &shifts));
        f.compare("output", "output.phase_shuffled", &host(output));
    }
    if f.io.contains_key("gp.penalty") {
        check_penalty(f, &critic, &weights, &device.autodiff());
    }
}

/// The gradient penalty of the critic's loss and the gradients of both.
fn check_penalty(f: &Fixture, critic: &Critic, weights: &Weights, device: &Device) {
    let params = weights.tracked(device);
    let p = params.root();
    let (real, synthetic) = (f.get("input.x").tensor(device), f.get("input.fake").tensor(device));
    let between = mixed(real.clone(), synthetic.clone(), given(f, "gp.alpha").tensor(device));
    let gradient = of(f, critic.input_gradient(&p, between, &[]));
    f.compare("gp", "gp.interpolate_gradient", &host(gradient.clone()));
    let penalty = gradient_penalty(gradient, PENALTY);
    f.compare("gp", "gp.penalty", &host(penalty.clone()));
    let (real, synthetic) = (of(f, critic.forward(&p, real, &[])), of(f, critic.forward(&p, synthetic, &[])));
    let loss = critic_loss(real, synthetic, penalty);
    f.compare("gp", "gp.critic_loss", &host(loss.clone()));
    let gradients = params.gradients(loss.backward());
    let prefix = "gp.grad.";
    for key in f.io.keys().filter(|key| key.starts_with(prefix)) {
        let found = gradients.get(&key[prefix.len()..]);
        let found = found.unwrap_or_else(|| panic!("{}: no gradient for {key}", f.name));
        f.compare("gp", key, &found.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
    }
}

/// An array that is an input although its name does not say so.
fn given<'a>(f: &'a Fixture, key: &str) -> &'a Array {
    f.compared.borrow_mut().insert(key.to_string());
    f.get(key)
}

/// The value, or a failure that names the fixture.
fn of<T>(f: &Fixture, result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", f.name))
}
