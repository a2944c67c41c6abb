//! A training step and a forward pass of the workloads W1 to W6: `cargo bench --bench workloads [-- W1]`.
//! `scripts/bench-peers` compares the same with PyTorch.

#[allow(dead_code)]
#[path = "../examples/workload/networks.rs"]
mod networks;

use burn::tensor::{Device, Tensor, TensorData};
use divan::Bencher;
use einthoven::nn::weights::Weights;
use einthoven::seed::Seed;
use networks::{Inputs, Workload};

const NAMES: [&str; 6] = ["W1", "W2", "W3", "W4", "W5", "W6"];

fn main() {
    divan::main();
}

fn problem(name: &str, device: &Device) -> (Workload, Weights, Inputs, Tensor<3>) {
    let workload = Workload::named(name).expect("one of the six names");
    let weights = Weights::initialize(&workload.params(), Seed::new(1));
    let mut stream = Seed::new(1).purpose("inputs").stream();
    let mut arrays = workload.inputs().into_iter().map(|(_, shape)| {
        let mut values = vec![0.0f32; shape.iter().product()];
        stream.fill_normal(&mut values);
        TensorData::new(values, shape)
    });
    let mut next = || arrays.next().expect("the workload has this input");
    let (x, target) = (Tensor::from_data(next(), device), Tensor::from_data(next(), device));
    let has_step = workload.inputs().len() > 2;
    let embedding = has_step.then(|| Tensor::from_data(next(), device));
    (workload, weights, Inputs { x, embedding }, target)
}

/// Forward, mean squared error and backward; the optimizer is left out.
#[divan::bench(args = NAMES)]
fn train(bencher: Bencher, name: &str) {
    let device = Device::flex();
    let (workload, weights, inputs, target) = problem(name, &device.clone().autodiff());
    let params = weights.tracked(&device);
    bencher.bench_local(|| {
        let y = workload.forward(&params.root(), inputs.clone(), true);
        (y - target.clone()).square().mean().backward()
    });
}

/// A forward pass without a gradient tape.
#[divan::bench(args = NAMES)]
fn forward(bencher: Bencher, name: &str) {
    let device = Device::flex();
    let (workload, weights, inputs, _) = problem(name, &device);
    let params = weights.on(&device);
    bencher.bench_local(|| workload.forward(&params.root(), inputs.clone(), false));
}
