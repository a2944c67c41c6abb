//! The state space layer of SSSD-ECG.

use std::collections::BTreeSet;

use burn::tensor::{Device, Tensor};
use einthoven::nn::kernel::{CauchySum, Conv1dOptions, conv1d, gelu};
use einthoven::nn::s4::{FrozenS4, LongConv, s4_block, s4_block_cached, s4_layer};
use einthoven::nn::weights::Weights;
use realfft::num_complex::Complex64;

use super::{Array, Fixture, host, sssd};

/// Each prefix of the weights is one layer; each `PREFIX.LENGTH.input` of the arrays is one signal.
pub fn check(f: &Fixture, weights: Weights) {
    let device = Device::flex();
    let prefixes: BTreeSet<String> = weights
        .entries
        .keys()
        .filter_map(|key| Some(key.split_once("s4_layer.")?.0.trim_end_matches('.').to_string()))
        .collect();
    let has_norm = f.config["constructor"]["layer_norm"].as_bool().unwrap_or(false);
    for prefix in &prefixes {
        let kernel_name = format!("{prefix}.s4_layer.kernel.kernel");
        let c_name = format!("{kernel_name}.C");
        let inputs: Vec<&String> =
            f.io.keys().filter(|key| key.starts_with(&format!("{prefix}.L")) && key.ends_with(".input")).collect();
        for key in inputs {
            let case = key.trim_end_matches(".input");
            // From (time, batch, feature) to ours.
            let x: Tensor<3> = f.get(key).tensor::<3>(&device).permute([1, 2, 0]);
            let time = x.dims()[2];
            for (sum, suffix) in [(CauchySum::ConjugatePairs, ""), (CauchySum::StoredHalf, ".half_sum")] {
                if !f.io.contains_key(&format!("{case}.output{suffix}")) {
                    continue;
                }
                let mut layer = FrozenS4::read(&weights, &kernel_name, sum).unwrap();
                let mut weights = weights.clone();
                while layer.length() < time {
                    let c = weights.entries.get_mut(&c_name).unwrap();
                    (layer, c.values) = layer.doubled(&c.values);
                }
                let is_longer = layer.length() > FrozenS4::read(&weights, &kernel_name, sum).unwrap().length();
                let (output, kernel) =
                    if is_longer { ("longer_than_lmax", "longer_than_lmax") } else { ("output", "kernel") };
                let params = weights.on(&device);
                let p = params.root().at(prefix);
                let kernels = layer.kernels(p.at("s4_layer.kernel.kernel").get("C"));
                if is_longer && suffix.is_empty() {
                    let c = host(p.at("s4_layer.kernel.kernel").get::<4>("C"));
                    f.compare(output, &format!("{case}.C_after_doubling"), &c);
                }
                let used = kernels.clone().narrow(2, 0, time);
                f.compare(kernel, &format!("{case}.kernel{suffix}"), &host(used));
                let block = format!("{case}.s4_output_bhl{suffix}");
                if f.io.contains_key(&block) {
                    f.compare(output, &block, &host(s4_block(&p.at("s4_layer"), kernels.clone(), x.clone())));
                    let direct = p.at("s4_layer").get::<2>("D").squeeze_dim(0);
                    let long = LongConv::new(kernels.clone().narrow(2, 0, time), direct);
                    f.compare(output, &block, &host(s4_block_cached(&p.at("s4_layer"), &long, x.clone())));
                }
                let y = s4_layer(&p, kernels, x.clone(), has_norm);
                f.compare(output, &format!("{case}.output{suffix}"), &host(y.permute([2, 0, 1])));
            }
        }
        check_s4_recurrence(f, prefix, &weights);
        check_s4_steps(f, prefix, &weights);
        if f.io.contains_key(&format!("{prefix}.grad.loss")) {
            check_s4_gradients(f, prefix, &weights, has_norm);
        }
    }
    sssd::check_hippo(f);
}

/// The matrices of the recurrence, and its answer to the stored input, step by step.
fn check_s4_recurrence(f: &Fixture, prefix: &str, weights: &Weights) {
    let layer =
        FrozenS4::read(weights, &format!("{prefix}.s4_layer.kernel.kernel"), CauchySum::ConjugatePairs).unwrap();
    let n_features = weights.entries[&format!("{prefix}.s4_layer.kernel.kernel.log_dt")].values.len();
    let steps: Vec<_> = (0..n_features).map(|feature| layer.discretize(feature)).collect();
    let pairs = |values: &mut dyn Iterator<Item = Complex64>| values.flat_map(|z| [z.re, z.im]).collect::<Vec<f64>>();
    let a_name = format!("{prefix}.dA");
    if f.io.contains_key(&a_name) {
        f.compare("dA_dB", &a_name, &pairs(&mut steps.iter().flat_map(|step| step.a.iter().copied())));
        f.compare("dA_dB", &format!("{prefix}.dB"), &pairs(&mut steps.iter().flat_map(|step| step.b.iter().copied())));
    }
    let c_name = format!("{prefix}.dC");
    let Some(expected) = f.io.get(&c_name) else { return };
    // The kernel is dC dA^t dB: this ties the recurrence of the fixture to our kernels without its C.
    let device = Device::flex();
    let kernels = host(layer.kernels(weights.on(&device).root().at(prefix).at("s4_layer.kernel.kernel").get("C")));
    let size = steps[0].b.len();
    let channels = expected.shape[0];
    let mut answers = Vec::new();
    for channel in 0..channels {
        for (feature, step) in steps.iter().enumerate() {
            let from = (channel * n_features + feature) * size * 2;
            let c: Vec<Complex64> = expected.values[from..from + 2 * size]
                .chunks_exact(2)
                .map(|pair| Complex64::new(pair[0], pair[1]))
                .collect();
            let mut state = step.b.clone();
            for _ in 0..layer.length() {
                answers.push(c.iter().zip(&state).map(|(c, state)| c * state).sum::<Complex64>().re);
                state = (0..size).map(|row| (0..size).map(|k| step.a[row * size + k] * state[k]).sum()).collect();
            }
        }
    }
    f.compare_to("dC", &format!("{prefix}: recurrence against kernel"), &answers, &kernels);
    f.compared.borrow_mut().insert(c_name);
}

/// The layer fed one point after another from rest: our recurrence with the fixture's output weights, then what follows
/// the kernel in our block.
fn check_s4_steps(f: &Fixture, prefix: &str, weights: &Weights) {
    let key = |name: &str| format!("{prefix}.step.{name}");
    let Some(input) = f.io.get(&key("input_bht")) else { return };
    let device = Device::flex();
    let layer =
        FrozenS4::read(weights, &format!("{prefix}.s4_layer.kernel.kernel"), CauchySum::ConjugatePairs).unwrap();
    let (n_features, time) = (input.shape[1], input.shape[2]);
    let direct = &weights.entries[&format!("{prefix}.s4_layer.D")].values;
    let c_all = &f.get(&format!("{prefix}.dC")).values;
    let steps: Vec<_> = (0..n_features).map(|feature| layer.discretize(feature)).collect();
    let (mut answers, mut states) = (Vec::new(), Vec::new());
    for (row, u) in input.values.chunks(time).enumerate() {
        let (feature, size) = (row % n_features, steps[row % n_features].b.len());
        let (a, b) = (&steps[feature].a, &steps[feature].b);
        let c: Vec<Complex64> = c_all[2 * feature * size..][..2 * size]
            .chunks_exact(2)
            .map(|pair| Complex64::new(pair[0], pair[1]))
            .collect();
        let mut state = vec![Complex64::ZERO; size];
        for &u in u {
            state = (0..size)
                .map(|k| (0..size).map(|j| a[k * size + j] * state[j]).sum::<Complex64>() + b[k] * u)
                .collect();
            let of_state = c.iter().zip(&state).map(|(c, state)| c * state).sum::<Complex64>().re;
            answers.push(of_state + f64::from(direct[feature]) * u);
        }
        states.extend(state.iter().flat_map(|z| [z.re, z.im]));
    }
    f.compare("output", &key("final_state"), &states);
    f.compared.borrow_mut().insert(key("input_bht"));
    let answers = Array { shape: input.shape.clone(), values: answers }.tensor::<3>(&device);
    let params = weights.on(&device);
    let linear = params.root().at(prefix).at("s4_layer.output_linear");
    let (weight, bias) = (linear.get::<2>("weight").unsqueeze_dim(2), linear.get::<2>("bias").reshape([n_features]));
    let output = conv1d(gelu(answers), weight, Some(bias), Conv1dOptions::default());
    f.compare("output", &key("output_bht"), &host(output));
}

fn check_s4_gradients(f: &Fixture, prefix: &str, weights: &Weights, has_norm: bool) {
    let device = Device::flex().autodiff();
    let layer =
        FrozenS4::read(weights, &format!("{prefix}.s4_layer.kernel.kernel"), CauchySum::ConjugatePairs).unwrap();
    let key = |name: &str| format!("{prefix}.grad.{name}");
    let target = f.get(&key("target"));
    let x = f.get(&format!("{prefix}.L{}.input", target.shape[0])).tensor::<3>(&device).require_grad();
    let params = weights.tracked(&device);
    let p = params.root().at(prefix);
    let kernels = layer.kernels(p.at("s4_layer.kernel.kernel").get("C"));
    let y = s4_layer(&p, kernels, x.clone().permute([1, 2, 0]), has_norm).permute([2, 0, 1]);
    let loss = (y - target.tensor::<3>(&device)).powi_scalar(2).mean();
    f.compare("grad", &key("loss"), &host(loss.clone()));
    f.compared.borrow_mut().insert(key("target"));
    let gradients = loss.backward();
    f.compare("grad", &key("input"), &host(x.grad(&gradients).unwrap()));
    let gradients = params.gradients(gradients);
    let start = key("param.");
    for name in f.io.keys().filter(|name| name.starts_with(&start)) {
        let found = &gradients[&format!("{prefix}.{}", &name[start.len()..])];
        f.compare("grad", name, &found.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
    }
}
