//! The classifiers of the PTB-XL benchmark: evaluation, and one training pass with all that it changes.

use burn::tensor::{Device, activation};
use einthoven::classifiers::ptbxl::{Imported, Pass, benchmark, binary_cross_entropy, names};
use einthoven::nn::running::follow;
use einthoven::nn::weights::Weights;

use super::{Fixture, host};

/// Name of the network that a fixture's model is, among other words, or none.
pub fn network_name(model: &str) -> Option<&str> {
    model.split_whitespace().find(|word| names().contains(word))
}

pub fn check(f: &Fixture, state: Weights) {
    let device = Device::flex();
    let name = f.config["model"].as_str().and_then(network_name).expect("a fixture of a known network");
    let imported = benchmark(name, &f.config["constructor"], &state);
    let imported = imported.unwrap_or_else(|error| panic!("{}: {error}", f.name));
    check_evaluation(f, &imported, &device);
    check_training(f, imported, &device);
}

fn check_evaluation(f: &Fixture, imported: &Imported, device: &Device) {
    let params = imported.params.on(device);
    let x = f.get("input.x").tensor(device);
    let mut pass = Pass::Evaluation(&imported.buffers);
    let logits =
        imported.network.forward_traced(&params.root(), &mut pass, x, &mut |name, value| f.compare_mid(name, value));
    let logits = logits.unwrap_or_else(|error| panic!("{}: {error}", f.name));
    f.compare("output", "output.eval.logits", &host(logits.clone()));
    f.compare("output", "output.eval.sigmoid", &host(activation::sigmoid(logits)));
}

fn check_training(f: &Fixture, imported: Imported, device: &Device) {
    let device = device.clone().autodiff();
    let Imported { network, params, mut buffers } = imported;
    let params = params.tracked(&device);
    let x = f.get("input.x").tensor::<3>(&device).require_grad();
    // The original was run without dropout.
    let mut pass = Pass::training(None);
    let logits = network.forward(&params.root(), &mut pass, x.clone());
    let logits = logits.unwrap_or_else(|error| panic!("{}: {error}", f.name));
    f.compare("train", "output.train.logits", &host(logits.clone()));
    let loss = binary_cross_entropy(logits, f.get("input.target").tensor(&device));
    f.compare("train", "output.train.loss", &host(loss.clone()));

    let gradients = loss.backward();
    let for_input = x.grad(&gradients).expect("the loss depends on the input");
    let mut by_name = params.gradients(gradients);
    by_name.insert("input".into(), host(for_input).into_iter().map(|v| v as f32).collect());
    f.compare_gradients("train.grad.", &by_name);

    follow(&mut buffers, &pass.into_statistics());
    let prefix = "train.buffer_after.";
    for key in f.io.keys().filter(|key| key.starts_with(prefix)) {
        let found = buffers.entries.get(&key[prefix.len()..]);
        let found = found.unwrap_or_else(|| panic!("{}: no buffer for {key}", f.name));
        f.compare("buffers", key, &found.values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
    }
}
