//! Networks against the numbers that their original implementations gave.
//!
//! Runs every folder of `EINTHOVEN_PARITY` (default: `shared/fixtures/parity` beside the workspace)
//! whose `config.json` names a model that we support; sizes, objectives and schedules come from
//! there. The recipe of the numbers is in each folder's `config.json`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::diffusion::import::{GaussianDiffusion, lucidrains_diffusion, lucidrains_unet1d};
use einthoven::diffusion::{Backbone, Condition, NoiseLevel, UnetBackbone, Weighting, diffuse};
use einthoven::nn::kernel::CauchySum;
use einthoven::nn::s4::{FrozenS4, s4_block, s4_block_cached, s4_layer, spectrum};
use einthoven::nn::unet1d::Unet1d;
use einthoven::nn::weights::{Weight, Weights};
use realfft::num_complex::Complex64;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// An array of a fixture; whole numbers are exact in f64.
#[derive(Clone)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Array {
    fn f32s(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }

    fn tensor<const D: usize>(&self, device: &Device) -> Tensor<D> {
        let shape: [usize; D] = self.shape.clone().try_into().expect("rank of the fixture");
        Tensor::from_data(TensorData::new(self.f32s(), shape), device)
    }

    /// Entry `k` along the first axis.
    fn at(&self, k: usize) -> Array {
        let shape = self.shape[1..].to_vec();
        let n: usize = shape.iter().product();
        Array { shape, values: self.values[k * n..(k + 1) * n].to_vec() }
    }
}

fn read_arrays(path: &Path) -> BTreeMap<String, Array> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let array = |name: &str| {
        let view = tensors.tensor(name).unwrap();
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
            Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
            Dtype::I32 => data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
            other => panic!("{}: {name} has type {other:?}", path.display()),
        };
        Array { shape: view.shape().to_vec(), values }
    };
    tensors.names().into_iter().map(|name| (name.to_string(), array(name))).collect()
}

/// One folder: its arrays, its tolerances, and what has been compared so far.
struct Fixture {
    name: String,
    config: Value,
    io: BTreeMap<String, Array>,
    compared: RefCell<BTreeSet<String>>,
    failures: RefCell<Vec<String>>,
    largest: RefCell<BTreeMap<&'static str, f64>>,
}

impl Fixture {
    fn get(&self, key: &str) -> &Array {
        self.io.get(key).unwrap_or_else(|| panic!("{}: {key} is missing", self.name))
    }

    /// Compares within `|a - b| <= atol + rtol |b|` of a tolerance group of config.json.
    fn compare(&self, group: &'static str, key: &str, found: &[f64]) {
        self.compare_to(group, key, found, &self.get(key).values);
        self.compared.borrow_mut().insert(key.to_string());
    }

    fn compare_to(&self, group: &'static str, what: &str, found: &[f64], expected: &[f64]) {
        let tolerance = |kind: &str| {
            self.config["tolerance"][group][kind].as_f64().unwrap_or_else(|| panic!("no {kind} for {group}"))
        };
        let (atol, rtol) = (tolerance("atol"), tolerance("rtol"));
        if found.len() != expected.len() {
            self.failures.borrow_mut().push(format!("{what}: {} values, expected {}", found.len(), expected.len()));
            return;
        }
        // Error in units of what is allowed.
        let share = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a - b).abs() / (atol + rtol * b.abs()) };
        let worst = found
            .iter()
            .zip(expected)
            .map(share)
            .fold(0.0, |w: f64, s| if s.is_nan() { f64::INFINITY } else { w.max(s) });
        let mut largest = self.largest.borrow_mut();
        let entry = largest.entry(group).or_insert(0.0);
        *entry = entry.max(worst);
        if worst > 1.0 {
            self.failures.borrow_mut().push(format!("{what}: {worst:.2} times the tolerance of {group}"));
        }
    }
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.try_into_vec_as::<f32>().unwrap().into_iter().map(f64::from).collect()
}

/// A network that writes down what it was given and what it answered.
struct Recorder<'a> {
    network: &'a UnetBackbone,
    calls: RefCell<Vec<(Vec<f64>, Vec<f64>, Vec<f64>)>>,
}

impl Backbone for Recorder<'_> {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> einthoven::Result<Tensor<3>> {
        let output = self.network.predict(x.clone(), time.clone(), condition)?;
        self.calls.borrow_mut().push((host(x), host(time), host(output.clone())));
        Ok(output)
    }
}

#[test]
fn published_networks_agree_with_their_originals() {
    let folder = std::env::var_os("EINTHOVEN_PARITY").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/parity")),
        PathBuf::from,
    );
    // A relative path is meant from where the command was given, the workspace root.
    let folder =
        if folder.is_relative() { Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder) } else { folder };
    let Ok(entries) = std::fs::read_dir(&folder) else {
        assert!(
            std::env::var("EINTHOVEN_REQUIRE_DATA").as_deref() != Ok("1"),
            "{} is missing and EINTHOVEN_REQUIRE_DATA is 1",
            folder.display()
        );
        println!("skipped: {} is missing", folder.display());
        return;
    };
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let (mut n_run, mut n_checks, mut failures) = (0, 0, Vec::new());
    for path in folders {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(text) = std::fs::read_to_string(path.join("config.json")) else {
            println!("skipped: {name} has no config.json");
            continue;
        };
        let config: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}/config.json: {error}"));
        let check = match config["model"].as_str().unwrap_or_default() {
            "Unet1D + GaussianDiffusion1D" => check_unet1d,
            model if model.starts_with("S4Layer ") => check_s4_layer,
            model => {
                println!("skipped: {name}: {model} is not a network of this test");
                continue;
            }
        };
        let fixture = Fixture {
            io: read_arrays(&path.join("io.safetensors")),
            name: name.clone(),
            config,
            compared: RefCell::default(),
            failures: RefCell::default(),
            largest: RefCell::default(),
        };
        let entries = read_arrays(&path.join("weights.safetensors"));
        let entries = entries.into_iter().map(|(key, a)| (key, Weight { values: a.f32s(), shape: a.shape }));
        check(&fixture, Weights { entries: entries.collect() });

        let compared = fixture.compared.into_inner();
        let inputs = |key: &str| {
            key.starts_with("input.")
                || key.ends_with(".input")
                || key.ends_with(".noise")
                || key.ends_with(".train.t")
                || key.ends_with(".x0_in_0_1")
        };
        let left: Vec<&String> = fixture.io.keys().filter(|key| !inputs(key) && !compared.contains(*key)).collect();
        println!(
            "{name}: {} arrays compared, largest share of the tolerance {:.3?}",
            compared.len(),
            fixture.largest.borrow()
        );
        if !left.is_empty() {
            println!("{name}: not compared: {left:?}");
        }
        n_run += 1;
        n_checks += compared.len();
        failures.extend(fixture.failures.into_inner().into_iter().map(|failure| format!("{name}: {failure}")));
    }
    println!("parity: {n_run} folders, {n_checks} arrays compared");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(n_run == 0 || n_checks > 0, "folders were found but nothing was compared");
}

/// Each prefix of the weights is one layer; each `PREFIX.LENGTH.input` of the arrays is one signal.
fn check_s4_layer(f: &Fixture, weights: Weights) {
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
                    let spectrum = spectrum(kernels.clone().narrow(2, 0, time), direct);
                    f.compare(output, &block, &host(s4_block_cached(&p.at("s4_layer"), &spectrum, x.clone())));
                }
                let y = s4_layer(&p, kernels, x.clone(), has_norm);
                f.compare(output, &format!("{case}.output{suffix}"), &host(y.permute([2, 0, 1])));
            }
        }
        check_s4_recurrence(f, prefix, &weights);
        if f.io.contains_key(&format!("{prefix}.grad.loss")) {
            check_s4_gradients(f, prefix, &weights, has_norm);
        }
    }
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
    let gradients = params.gradients(&gradients);
    let start = key("param.");
    for name in f.io.keys().filter(|name| name.starts_with(&start)) {
        let found = &gradients[&format!("{prefix}.{}", &name[start.len()..])];
        f.compare("grad", name, &found.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
    }
}

fn check_unet1d(f: &Fixture, weights: Weights) {
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
        let output = backbone.network.forward_traced(&backbone.params.root(), x, time, None, previous, trace);
        host(output.unwrap_or_else(|error| panic!("{}: {error}", f.name)))
    };
    let previous = f.io.get("input.x_self_cond").map(|array| array.tensor(device));
    let output = forward(previous, &mut |name, value| {
        let key = format!("mid.{name}");
        if f.io.contains_key(&key) {
            f.compare("mid", &key, &host(value.clone()));
        }
    });
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
    let flat = |part: fn(&(Vec<f64>, Vec<f64>, Vec<f64>)) -> &Vec<f64>| {
        calls.iter().flat_map(part).copied().collect::<Vec<f64>>()
    };
    f.compare("sampling", &key("state_before_step"), &flat(|call| &call.0));
    f.compare("sampling", &key("model_output"), &flat(|call| &call.2));
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
    let gradients = backbone.params.gradients(&loss.backward());
    let prefix = key("grad.");
    for name in f.io.keys().filter(|name| name.starts_with(&prefix)) {
        let found = gradients.get(&name[prefix.len()..]);
        let found = found.unwrap_or_else(|| panic!("{}: no gradient for {name}", f.name));
        f.compare("grad", name, &found.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
    }
}
