//! Published checkpoints by name: the imported model answers as its original, and what is wrong is told with the file.

mod sssd;

use std::path::{Path, PathBuf};

use ::safetensors::{Dtype, SafeTensors};
use burn::tensor::{Device, Tensor, TensorData};
use einthoven::diffusion::import::diffusion_ts_process;
use einthoven::diffusion::{Backbone, Condition, Network, NetworkConfig};
use einthoven::experiment::{ImportRequest, import};
use einthoven::generators::diffusion_model::DiffusionModel;
use einthoven::nn::weights::{Weights, host};
use einthoven::run::{StoredType, safetensors};
use einthoven::{Result, Seed};
use serde_json::{Value, json};

use crate::folder::{TempFolder, parity_folder};

/// What is told of a checkpoint; leads and labels are named by their numbers.
struct Told {
    name: &'static str,
    n_leads: usize,
    n_labels: usize,
    sig_len: Option<usize>,
    /// The original's, where they do not follow from the arrays.
    arguments: Option<PathBuf>,
}

impl Told {
    fn of(name: &'static str) -> Told {
        Told { name, n_leads: 1, n_labels: 0, sig_len: Some(64), arguments: None }
    }

    /// The model file that an import leaves.
    fn import(&self, checkpoint: &Path, folder: &TempFolder) -> Result<PathBuf> {
        let names = |n: usize, letter: char| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<String>>();
        import(&ImportRequest {
            checkpoint,
            generator: self.name,
            entry: None,
            arguments: self.arguments.as_deref(),
            leads: &names(self.n_leads, 'C'),
            fs_hz: None,
            sig_len: self.sig_len,
            labels: &names(self.n_labels, 'L'),
            out: &folder.path().join(self.name),
        })
    }
}

/// Values from -1 to 1 by a hash of a name and a place: the same in every run, and no two alike.
fn hashed(name: &str, n: usize) -> Vec<f32> {
    let start =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let value = |place: usize| {
        let mut x = start.wrapping_add((place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(value).collect()
}

fn array(file: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = file.tensor(name).unwrap();
    let values = match view.dtype() {
        Dtype::F32 => view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::I64 => view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect(),
        other => panic!("{name} has type {other:?}"),
    };
    (view.shape().to_vec(), values)
}

/// A denoiser of the fixtures: what is told of its checkpoint, what it is shown and what it answers.
struct Case {
    names: &'static [&'static str],
    told: Told,
    x: Tensor<3>,
    time: Vec<f32>,
    condition: Condition,
    expected: Tensor<3>,
}

/// The case of a fixture, or why there is none.
fn case(config: &Value, arrays: &SafeTensors, folder: &TempFolder) -> std::result::Result<Case, &'static str> {
    let constructor = &config["constructor"];
    let given = |key: &str| !constructor[key].is_null();
    let signals = |name: &str| {
        let (shape, values) = array(arrays, name);
        let shape: [usize; 3] = match shape[..] {
            [batch, time] => [batch, 1, time],
            _ => shape.try_into().unwrap(),
        };
        Tensor::<3>::from_data(TensorData::new(values, shape), &Device::flex())
    };
    let tell = |arguments: &Value| Some(folder.file("arguments.json", arguments.to_string()));
    let number = |key: &str| constructor[key].as_u64().map_or(0, |n| n as usize);
    let of = |names: &'static [&'static str], told: Told, [x, time, output]: [&str; 3]| Case {
        names,
        told,
        x: signals(x),
        time: array(arrays, time).1,
        condition: Condition::none(),
        expected: signals(output),
    };
    match config["model"].as_str().unwrap_or_default() {
        "Unet1D + GaussianDiffusion1D" => {
            if constructor["learned_variance"] == true || given("out_dim") {
                return Err("gives other channels than it takes");
            }
            // These leave no trace in the arrays.
            let is_told = ["attn_heads", "attn_dim_head", "sinusoidal_pos_emb_theta"].into_iter().any(given);
            let arguments = if is_told { tell(constructor) } else { None };
            // What is shown its last estimate is drawn from without: the original's sampler does not show it either.
            let output = if constructor["self_condition"] == true { "output.without_self_cond" } else { "output" };
            let told = Told { n_leads: array(arrays, "input.x").0[1], arguments, ..Told::of("unet1d") };
            Ok(of(&["unet1d", "time-diffusion"], told, ["input.x", "input.time", output]))
        }
        "SSSD-ECG denoising network" => {
            let (shape, labels) = array(arrays, "input.label");
            let told =
                Told { n_leads: number("in_channels"), n_labels: shape[1], sig_len: None, ..Told::of("sssd-ecg") };
            let case = of(&["sssd-ecg"], told, ["input.x", "input.diffusion_step", "output"]);
            Ok(Case { condition: Condition::of_labels(labels.chunks(shape[1]).map(<[f32]>::to_vec).collect()), ..case })
        }
        model if model.starts_with("DiffWave") && constructor["unconditional"] == true => {
            let mut arguments = constructor.clone();
            if !given("noise_schedule") {
                arguments["noise_schedule"] = config["defaults_for_the_rest"]["noise_schedule"].clone();
            }
            let betas = arguments["noise_schedule"].as_array().map(|betas| (betas.len(), betas.last().cloned()));
            if betas.is_some_and(|(n, last)| n > 1 && last != Some(0.05.into())) {
                return Err("has a noise schedule that is not the original's");
            }
            let told = Told { arguments: tell(&arguments), ..Told::of("diffwave") };
            Ok(of(&["diffwave"], told, ["input.audio", "input.step_int", "output.int"]))
        }
        model if model.starts_with("Diffusion-TS ") => {
            let told =
                Told { n_leads: number("feature_size"), arguments: tell(constructor), ..Told::of("diffusion-ts") };
            let told = Told { sig_len: Some(number("seq_length")), ..told };
            let case = of(&["diffusion-ts"], told, ["input.x", "input.t", "output"]);
            Ok(Case { x: case.x.swap_dims(1, 2), expected: case.expected.swap_dims(1, 2), ..case })
        }
        _ => Err("is no denoiser of this test"),
    }
}

#[test]
fn public_denoisers_are_imported_and_answer_as_their_originals() {
    let Some(fixtures) = parity_folder() else { return };
    let device = Device::flex();
    let mut n_run = 0;
    for fixture in std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(config) = std::fs::read_to_string(fixture.join("config.json")) else { continue };
        let Ok(bytes) = std::fs::read(fixture.join("io.safetensors")) else { continue };
        let arrays = SafeTensors::deserialize(&bytes).unwrap();
        let folder = TempFolder::new("import-denoiser");
        let case = match case(&serde_json::from_str(&config).unwrap(), &arrays, &folder) {
            Ok(case) => case,
            Err(reason) => {
                println!("{}: {reason}", fixture.display());
                continue;
            }
        };
        let expected = host(case.expected);
        let largest = expected.iter().map(|value| value.abs()).fold(0.0, f32::max);
        for &name in case.names {
            let told = Told { name, arguments: case.told.arguments.clone(), ..case.told };
            let path = told.import(&fixture.join("weights.safetensors"), &folder);
            let path = path.unwrap_or_else(|error| panic!("{}: {error}", fixture.display()));
            let model = DiffusionModel::load(&path, &device).unwrap();
            let expected_name = if name == "unet1d" { "time-diffusion" } else { name };
            assert_eq!(model.card().generator, expected_name);
            let (network, weights) = Network::of_state(&model.card().network, model.state(), name).unwrap();
            let time = Tensor::<1>::from_floats(case.time.as_slice(), &device);
            let found = host(network.with(weights.on(&device)).predict(case.x.clone(), time, &case.condition).unwrap());
            let error = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{}, --as {name}: {error:.2e} of {largest:.2}", fixture.display());
            // The sum of the fixtures' tolerances for outputs.
            assert!(found.len() == expected.len() && error < 1e-4 + 5e-4 * largest, "{name}: {error}");
        }
        n_run += 1;
    }
    println!("{n_run} denoisers");
}

#[test]
fn signals_that_the_network_was_not_made_for_are_refused() {
    let folder = TempFolder::new("import-points");
    let store = |name: &str, state: Weights| {
        folder.file(name, safetensors::to_bytes(&state.into(), &Default::default(), StoredType::F32).unwrap())
    };
    let checkpoint = store("sssd.safetensors", sssd::checkpoint());
    let refused = |told: Told, checkpoint: &Path| told.import(checkpoint, &folder).unwrap_err().to_string();
    let told = Told { n_leads: sssd::LEADS, n_labels: sssd::LABELS, ..Told::of("sssd-ecg") };
    let error = refused(Told { sig_len: Some(sssd::LENGTH + 1), ..told }, &checkpoint);
    assert_eq!(error, "sig_len: found 25 points, expected at most 24: the network was made for them");

    let arguments = json!({"seq_length": 12, "feature_size": 2, "n_layer_enc": 1, "n_layer_dec": 1, "d_model": 8,
        "timesteps": 30});
    let config = json!({"kind": "diffusion-ts", "encoder_layers": 1, "decoder_layers": 1, "width": 8, "heads": 4,
        "hidden_times": 4, "season_kernel": 1, "gelu": "exact", "channels": 2, "length": 12});
    let config: NetworkConfig = serde_json::from_value(config).unwrap();
    let mut state = Network::new(&config, Seed::new(1)).unwrap().start(Seed::new(2));
    state.entries.extend(diffusion_ts_process(&arguments).unwrap().buffers().entries);
    let checkpoint = store("diffusion-ts.safetensors", state);
    let told = |sig_len: usize| Told { n_leads: 2, sig_len: Some(sig_len), ..Told::of("diffusion-ts") };
    for sig_len in [11, 13] {
        let error = refused(told(sig_len), &checkpoint);
        let expected = format!("sig_len: found {sig_len} points, expected 12: the network was made for them");
        assert_eq!(error, expected);
    }
    told(12).import(&checkpoint, &folder).unwrap();
}

#[test]
fn what_is_wrong_with_an_array_is_told_with_its_file() {
    let folder = TempFolder::new("import-wrong");
    let empty = safetensors::to_bytes(&Weights::default().into(), &Default::default(), StoredType::F32).unwrap();
    let path = folder.file("nothing.safetensors", empty);
    for (name, wanted) in
        [("sssd-ecg", "init_conv.0.conv.weight_v: is missing"), ("unet1d", "init_conv.weight: is missing")]
    {
        let error = Told::of(name).import(&path, &folder).unwrap_err().to_string();
        assert_eq!(error, format!("{}: {wanted}", path.display()));
    }
}
