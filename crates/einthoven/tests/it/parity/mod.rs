//! Networks against the numbers that their original implementations gave.
//!
//! Runs every folder of `EINTHOVEN_PARITY` (default: `shared/fixtures/parity` beside the workspace)
//! whose `config.json` names a model that we support; sizes, objectives and schedules come from
//! there. The recipe of the numbers is in each folder's `config.json`.

mod classifiers;
mod diffusion_ts;
mod diffwave;
mod gan;
mod s4;
mod sssd;
mod timevqvae;
mod unet1d;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::diffusion::{Backbone, Condition};
use einthoven::nn::weights::{Weight, Weights};
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
    folder: PathBuf,
    config: Value,
    io: BTreeMap<String, Array>,
    compared: RefCell<BTreeSet<String>>,
    failures: RefCell<Vec<String>>,
    largest: RefCell<BTreeMap<&'static str, f64>>,
}

/// What the tolerance of a gradient is multiplied with where it passes batch normalization in training mode.
const BATCH_NORM_SLACK: f64 = 4.0;

impl Fixture {
    /// Whether statistics of batches are followed, so that gradients pass through them.
    fn trains_batch_norm(&self) -> bool {
        self.io.keys().any(|key| key.starts_with("train.buffer_after."))
    }

    fn get(&self, key: &str) -> &Array {
        self.io.get(key).unwrap_or_else(|| panic!("{}: {key} is missing", self.name))
    }

    /// Compares within `|a - b| <= atol + rtol |b|` of a tolerance group of config.json.
    fn compare(&self, group: &'static str, key: &str, found: &[f64]) {
        self.compare_to(group, key, found, &self.get(key).values);
        self.compared.borrow_mut().insert(key.to_string());
    }

    fn compare_to(&self, group: &'static str, what: &str, found: &[f64], expected: &[f64]) {
        // A folder of one kind of value has one tolerance without a group.
        let groups = &self.config["tolerance"];
        let of_group = if groups[group].is_object() { &groups[group] } else { groups };
        let tolerance = |kind: &str| of_group[kind].as_f64().unwrap_or_else(|| panic!("no {kind} for {group}"));
        // Gradients through the statistics of the batch are small differences of large sums. The same network on other
        // vectors, all in single precision, moves them by up to 1.4 times the tolerance, and so may the original's.
        let slack = if group == "grad" && self.trains_batch_norm() { BATCH_NORM_SLACK } else { 1.0 };
        let (atol, rtol) = (slack * tolerance("atol"), slack * tolerance("rtol"));
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

impl Fixture {
    /// Compares the gradients that are stored below `prefix`, by parameter.
    fn compare_gradients(&self, prefix: &str, gradients: &BTreeMap<String, Vec<f32>>) {
        for name in self.io.keys().filter(|name| name.starts_with(prefix)) {
            let found = gradients.get(&name[prefix.len()..]);
            let found = found.unwrap_or_else(|| panic!("{}: no gradient for {name}", self.name));
            self.compare("grad", name, &found.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
        }
    }

    /// Compares an intermediate value if the fixture has it.
    fn compare_mid(&self, name: &str, value: &Tensor<3>) {
        let key = format!("mid.{name}");
        if self.io.contains_key(&key) {
            self.compare("mid", &key, &host(value.clone()));
        }
    }
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.try_into_vec_as::<f32>().unwrap().into_iter().map(f64::from).collect()
}

/// A network that writes down what it was given and what it answered.
struct Recorder<'a> {
    network: &'a dyn Backbone,
    calls: RefCell<Vec<(Vec<f64>, Vec<f64>, Vec<f64>)>>,
}

impl Backbone for Recorder<'_> {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> einthoven::Result<Tensor<3>> {
        let output = self.network.predict(x.clone(), time.clone(), condition)?;
        self.calls.borrow_mut().push((host(x), host(time), host(output.clone())));
        Ok(output)
    }
}

impl Recorder<'_> {
    /// Compares what the network was given and what it answered, call after call.
    fn compare(&self, f: &Fixture, group: &'static str, given: &str, answered: &str) {
        let calls = self.calls.borrow();
        f.compare(group, given, &calls.iter().flat_map(|call| call.0.clone()).collect::<Vec<f64>>());
        f.compare(group, answered, &calls.iter().flat_map(|call| call.2.clone()).collect::<Vec<f64>>());
    }
}

/// Folders without a network: how their names begin, and the test that compares them.
const ELSEWHERE: [(&str, &str); 3] = [("metrics", "reference"), ("neurokit", "neurokit"), ("wfdb", "wfdb")];

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
    let (n_folders, mut n_elsewhere) = (folders.len(), 0);
    let (mut n_run, mut n_checks, mut failures) = (0, 0, Vec::new());
    for path in folders {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some((_, test)) = ELSEWHERE.iter().find(|(start, _)| name.starts_with(start)) {
            println!("{name}: compared by the test {test}");
            n_elsewhere += 1;
            continue;
        }
        let Ok(text) = std::fs::read_to_string(path.join("config.json")) else {
            println!("skipped: {name} has no config.json");
            continue;
        };
        let config: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}/config.json: {error}"));
        let check = match config["model"].as_str().unwrap_or_default() {
            "Unet1D + GaussianDiffusion1D" => unet1d::check,
            "SSSD-ECG denoising network" => sssd::check,
            "8 -> 12 lead reconstruction" => sssd::check_leads,
            model if model.starts_with("Diffusion-TS ") => diffusion_ts::check,
            "Pulse2Pulse generator" => gan::check_pulse2pulse,
            "WaveGAN* generator" => gan::check_wavegan_star,
            "conditional Pulse2Pulse generator (SSSD-ECG baseline)" => gan::check_cond_pulse2pulse,
            "Pulse2Pulse / WaveGAN* discriminator" => gan::check_critic,
            "conditional Pulse2Pulse discriminator (SSSD-ECG baseline)" => gan::check_cond_critic,
            model if model.starts_with("DiffWave step embedding") => diffwave::check_table,
            model if model.starts_with("DiffWave") => diffwave::check,
            model if model.starts_with("S4Layer ") => s4::check,
            model if classifiers::network_name(model).is_some() => classifiers::check,
            model if model.starts_with("TimeVQVAE stage 1") => timevqvae::check_stage1,
            model if model.starts_with("TimeVQVAE stage 2") => timevqvae::check_stage2,
            model => {
                println!("skipped: {name}: {model} is not a network of this test");
                continue;
            }
        };
        let fixture = Fixture {
            io: read_arrays(&path.join("io.safetensors")),
            name: name.clone(),
            folder: path.clone(),
            config,
            compared: RefCell::default(),
            failures: RefCell::default(),
            largest: RefCell::default(),
        };
        let weights = path.join("weights.safetensors");
        let entries = if weights.is_file() { read_arrays(&weights) } else { BTreeMap::new() };
        let entries = entries.into_iter().map(|(key, a)| (key, Weight { values: a.f32s(), shape: a.shape }));
        check(&fixture, Weights { entries: entries.collect() });

        let compared = fixture.compared.into_inner();
        let inputs = |key: &str| {
            key.starts_with("input.")
                || key.ends_with(".input")
                || key.ends_with(".noise")
                || key.ends_with(".train.t")
                || key.ends_with(".x0_in_0_1")
                || key.ends_with(".input.x")
                || ["train.audio", "train.steps", "train.x0"].contains(&key)
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
    println!(
        "parity: {n_run} folders here and {n_elsewhere} in other tests, of {n_folders}; {n_checks} arrays compared here"
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(n_run == 0 || n_checks > 0, "folders were found but nothing was compared");
}
