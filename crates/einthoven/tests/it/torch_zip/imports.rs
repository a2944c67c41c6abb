//! Checkpoints as torch writes them, from the file to the model: every wrapping gives the same model, programs are refused,
//! and networks of their published size answer as their originals do.
//!
//! What is made by torch needs a Python that has it: that of `EINTHOVEN_PYTHON`, or `python3`; without one the test says so
//! and is skipped. A handmade file is always read.

use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::diffusion::{Backbone, Condition, Network, NetworkConfig};
use einthoven::experiment::{ImportRequest, import};
use einthoven::generators::diffusion_model::DiffusionModel;
use einthoven::generators::gan_model::GanModel;
use einthoven::generators::{self, Item, SampleRequest};
use einthoven::nn::weights::{Weights, host};
use einthoven::run::{StoredType, safetensors};
use einthoven::{Error, Result, Seed};
use serde_json::{Value, json};

use super::{Pickle, checkpoint, floats};
use crate::folder::{TempFolder, parity_folder};

/// What is told of a checkpoint, and where it goes.
#[derive(Default, Clone)]
struct Told {
    generator: String,
    entry: Option<String>,
    arguments: Option<PathBuf>,
    leads: Vec<String>,
    labels: Vec<String>,
    sig_len: Option<usize>,
}

impl Told {
    fn of(generator: &str) -> Told {
        Told { generator: generator.into(), ..Told::default() }
    }

    /// The model file that an import leaves.
    fn import(&self, checkpoint: &Path, folder: &TempFolder) -> Result<PathBuf> {
        let name: String =
            checkpoint.to_string_lossy().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        import(&ImportRequest {
            checkpoint,
            generator: &self.generator,
            entry: self.entry.as_deref(),
            arguments: self.arguments.as_deref(),
            leads: &self.leads,
            fs_hz: None,
            sig_len: self.sig_len,
            labels: &self.labels,
            out: &folder.path().join(format!("runs-{name}")),
        })
    }

    fn bytes(&self, checkpoint: &Path, folder: &TempFolder) -> Vec<u8> {
        let path = self.import(checkpoint, folder).unwrap_or_else(|error| panic!("{}: {error}", checkpoint.display()));
        std::fs::read(path).unwrap()
    }
}

/// The tensors of a state dict as a dictionary, each in a storage of its own.
fn dictionary(mut pickle: Pickle, state: &Weights, prefix: &str) -> Pickle {
    pickle = pickle.empty_ordered().raw(b"(");
    for (place, (name, weight)) in state.entries.iter().enumerate() {
        let size: Vec<i32> = weight.shape.iter().map(|&side| side as i32).collect();
        let stride: Vec<i32> = (0..size.len()).map(|axis| size[axis + 1..].iter().product()).collect();
        let storage = ("FloatStorage", place.to_string());
        let storage = (storage.0, storage.1.as_str(), weight.values.len() as i32);
        pickle = pickle.text(&format!("{prefix}{name}")).tensor(storage, 0, &size, &stride);
    }
    pickle.raw(b"u")
}

#[test]
fn a_handmade_checkpoint_is_the_model_of_its_state_dict() {
    let folder = TempFolder::new("torch-handmade");
    let config =
        json!({ "kind": "diffwave", "width": 3, "layers": 2, "dilation_cycle": 10, "steps": 50, "label_width": 0 });
    let config: NetworkConfig = serde_json::from_value(config).unwrap();
    let state = Network::new(&config.sized(1, 0), Seed::new(1)).unwrap().start(Seed::new(2));
    let whole = safetensors::to_bytes(&state.clone().into(), &Default::default(), StoredType::F32).unwrap();
    let told = Told::of("diffwave");
    let expected = told.bytes(&folder.file("x.safetensors", whole), &folder);

    let storages: Vec<(String, Vec<u8>)> =
        state.entries.values().enumerate().map(|(place, weight)| (place.to_string(), floats(&weight.values))).collect();
    let storages: Vec<(&str, Vec<u8>)> = storages.iter().map(|(key, bytes)| (key.as_str(), bytes.clone())).collect();
    let file = |name: &str, pickle: Pickle| folder.file(name, checkpoint(&pickle.stop(), &storages));
    let plain = file("plain.pt", dictionary(Pickle::new(), &state, ""));
    let parallel = Pickle::new().raw(b"}(").text("step").int(3).text("model");
    let parallel = file("parallel.pt", dictionary(parallel, &state, "module.").raw(b"u"));
    for path in [&plain, &parallel] {
        assert!(told.bytes(path, &folder) == expected, "{}", path.display());
    }
    // Of two state dicts neither is taken unasked.
    let both = dictionary(Pickle::new().raw(b"}(").text("model"), &state, "").text("ema").raw(b"}").text("shadow");
    let both = file("both.pt", dictionary(both, &state, "").raw(b"su"));
    let error = told.import(&both, &folder).unwrap_err().to_string();
    assert_eq!(error, "--entry: found 2 state dicts, expected the name of one: ema.shadow, model");
    for entry in ["ema", "ema.shadow", "model"] {
        let told = Told { entry: Some(entry.into()), ..told.clone() };
        let copy = folder.file(&format!("{entry}.pt"), std::fs::read(&both).unwrap());
        assert!(told.bytes(&copy, &folder) == expected, "{entry}");
    }
    // A safetensors file has entries as well.
    let wrapped =
        Weights { entries: state.entries.into_iter().map(|(name, w)| (format!("net.module.{name}"), w)).collect() };
    let wrapped = safetensors::to_bytes(&wrapped.into(), &Default::default(), StoredType::F32).unwrap();
    let wrapped = folder.file("wrapped.safetensors", wrapped);
    assert!(told.bytes(&wrapped, &folder) == expected);
    let error = Told { entry: Some("other".into()), ..told }.import(&wrapped, &folder).unwrap_err().to_string();
    assert!(error.ends_with("has no arrays below other (--entry)"), "{error}");
}

/// A Python that has torch.
fn python() -> Option<String> {
    let python = std::env::var("EINTHOVEN_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", "import torch"]).output().is_ok_and(|done| done.status.success());
    if !has {
        println!("skipped: {python} has no torch; name one that has with EINTHOVEN_PYTHON");
    }
    has.then_some(python)
}

fn run(python: &str, script: &str, arguments: &[&Path]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/torch_zip").join(script);
    let words = arguments.iter().map(|argument| argument.as_os_str());
    let done = Command::new(python).arg(script).args(words).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What a fixture's config.json says of its checkpoint, for those that are imported.
fn told_of(name: &str, config: &Value, folder: &TempFolder) -> Option<Told> {
    let number = |arguments: &Value, key: &str| arguments[key].as_u64().map(|n| n as usize);
    let names = |n: Option<usize>, letter: char| (0..n.unwrap_or(0)).map(|i| format!("{letter}{i}")).collect();
    let c = &config["constructor"];
    let arguments = |value: Value| Some(folder.file(&format!("{name}-arguments.json"), value.to_string()));
    let gan = |generator: &str| Told { leads: names(number(c, "num_channels"), 'C'), ..Told::of(generator) };
    Some(match config["model"].as_str()? {
        "SSSD-ECG denoising network" => Told {
            leads: names(number(c, "in_channels"), 'C'),
            labels: names(number(c, "label_embed_classes"), 'L'),
            ..Told::of("sssd-ecg")
        },
        model if model.starts_with("DiffWave") && c["unconditional"] == true => {
            Told { arguments: arguments(c.clone()), ..Told::of("diffwave") }
        }
        // One that learns variances gives other channels than it takes and is not imported.
        "Unet1D + GaussianDiffusion1D" if c["learned_variance"] == true || !c["out_dim"].is_null() => return None,
        "Unet1D + GaussianDiffusion1D" => Told {
            arguments: arguments(c.clone()),
            leads: names(number(c, "channels"), 'C'),
            sig_len: Some(64),
            ..Told::of("unet1d")
        },
        model if model.starts_with("Diffusion-TS ") => Told {
            arguments: arguments(c.clone()),
            leads: names(number(c, "feature_size"), 'C'),
            ..Told::of("diffusion-ts")
        },
        model if model.starts_with("TimeVQVAE stage 2") && config["stage1_constructor"].is_object() => Told {
            arguments: arguments(json!({ "stage1": config["stage1_constructor"], "stage2": c })),
            leads: names(number(&config["stage1_constructor"], "in_channels"), 'C'),
            labels: names(number(c, "n_classes"), 'L'),
            ..Told::of("timevqvae")
        },
        "Pulse2Pulse generator" => gan("pulse2pulse"),
        "WaveGAN* generator" => gan("wavegan-star"),
        "conditional Pulse2Pulse generator (SSSD-ECG baseline)" => gan("cond-pulse2pulse"),
        _ => return None,
    })
}

#[test]
fn every_wrapping_of_torch_gives_the_same_model() {
    let Some(python) = python() else { return };
    let Some(fixtures) = parity_folder() else { return };
    let mut n_run = 0;
    for fixture in std::fs::read_dir(fixtures).unwrap() {
        let fixture = fixture.unwrap().path();
        let name = fixture.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(config) = std::fs::read_to_string(fixture.join("config.json")) else { continue };
        let folder = TempFolder::new(&format!("torch-{name}"));
        let Some(told) = told_of(&name, &serde_json::from_str(&config).unwrap(), &folder) else { continue };
        let weights = fixture.join("weights.safetensors");
        let model = told.import(&weights, &folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        draw(&name, &model);
        let expected = std::fs::read(model).unwrap();
        let made = folder.path().join("made");
        std::fs::create_dir(&made).unwrap();
        run(&python, "checkpoints.py", &[Path::new("good"), &weights, &made]);
        let rounded = told.bytes(&made.join("rounded.safetensors"), &folder);
        assert!(rounded != expected, "{name}: rounding changes something");
        for variant in std::fs::read_dir(&made).unwrap() {
            let variant = variant.unwrap().path();
            let of = if variant.file_stem().unwrap() == "rounded" { &rounded } else { &expected };
            if variant.extension().unwrap() == "pt" {
                assert!(told.bytes(&variant, &folder) == *of, "{name}: {}", variant.display());
            }
        }
        n_run += 1;
    }
    println!("{n_run} generators in every wrapping");
}

/// Draws a signal from an imported model; untrained weights make no promise about its size.
fn draw(name: &str, path: &Path) {
    let model = generators::open(path, &Device::flex()).unwrap();
    let mut item = Item::default();
    if !model.axes().label_names.is_empty() {
        item.conditions.labels = vec![(0, 1.0)];
    }
    let request = model.request(vec![item]);
    let steps = request.steps.min(2);
    match model.sample(&SampleRequest { steps, ..request }, Seed::new(1)) {
        Ok(drawn) => assert_eq!(drawn.len(), 1),
        Err(Error::Data { reason, .. }) if reason.contains("not finite") => println!("{name}: random weights explode"),
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn files_that_run_something_are_refused_and_run_nothing() {
    let Some(python) = python() else { return };
    let folder = TempFolder::new("torch-bad");
    let marker = folder.path().join("it-was-run");
    run(&python, "checkpoints.py", &[Path::new("bad"), folder.path(), &marker]);
    let mut n_files = 0;
    for path in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Some((code, _)) = name.split_once('-').filter(|(code, _)| code.starts_with('M')) else { continue };
        let error = Told::of("diffwave").import(&path, &folder).unwrap_err();
        let Error::Input(input) = &error else { panic!("{name}: {error}") };
        assert_eq!(input.code, code, "{name}: {error}");
        assert!(!error.to_string().contains('\n') && !input.hint.is_empty(), "{name}: {error}");
        n_files += 1;
    }
    assert!(n_files >= 16, "{n_files} files");
    assert!(!marker.exists(), "a pickle was run");
}

/// An array of a case: shape and values.
fn array(value: &Value) -> (Vec<usize>, Vec<f32>) {
    serde_json::from_value(value.clone()).expect("shape and values")
}

#[test]
fn networks_of_the_published_size_answer_as_the_originals() {
    let Some(python) = python() else { return };
    let folder = TempFolder::new("torch-originals");
    run(&python, "originals.py", &[folder.path()]);
    let device = Device::flex();
    for name in ["diffwave", "pulse2pulse", "wavegan-star", "cond-pulse2pulse"] {
        let case = std::fs::read_to_string(folder.path().join(format!("{name}.json"))).unwrap();
        let case: Value = serde_json::from_str(&case).unwrap();
        let (shape, expected) = array(&case["output"]);
        let told = Told { sig_len: Some(shape[2]), ..Told::of(name) };
        let path = told.import(&folder.path().join(format!("{name}.pt")), &folder).unwrap();
        let inputs = &case["inputs"];
        let found = if name == "diffwave" {
            let model = DiffusionModel::load(&path, &device).unwrap();
            let (network, weights) = Network::of_state(&model.card().network, model.state(), name).unwrap();
            let (shape, x) = array(&inputs["audio"]);
            let x = Tensor::<3>::from_data(TensorData::new(x, shape), &device);
            let time = Tensor::<1>::from_floats(array(&inputs["step"]).1.as_slice(), &device);
            host(network.with(weights.on(&device)).predict(x, time, &Condition::none()).unwrap())
        } else {
            let model = GanModel::load(&path, &device).unwrap();
            let labels = if inputs["labels"].is_array() { array(&inputs["labels"]).1 } else { Vec::new() };
            let signals = model.signals(&array(&inputs["noise"]).1, &labels).unwrap();
            signals.iter().map(|v| v / model.card().scale_mv[0]).collect()
        };
        let error = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: {error:.2e}");
        assert!(found.len() == expected.len() && error < 1e-4, "{name}: {error}");
    }
}
