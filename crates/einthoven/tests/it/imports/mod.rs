//! Published checkpoints by name: the imported model answers as its original, and what is wrong is told with the file.

mod sssd;

use std::path::{Path, PathBuf};

use ::safetensors::{Dtype, SafeTensors};
use burn::tensor::{Device, Tensor, TensorData};
use einthoven::Result;
use einthoven::diffusion::{Backbone, Condition, Network};
use einthoven::experiment::{ImportRequest, import};
use einthoven::generators::diffusion_model::DiffusionModel;
use einthoven::nn::weights::{Weights, host};
use einthoven::run::{StoredType, safetensors};
use serde_json::Value;

use crate::folder::{TempFolder, parity_folder};

/// What is told of a checkpoint; leads and labels are named by their numbers.
struct Told {
    name: &'static str,
    n_leads: usize,
    n_labels: usize,
    sig_len: Option<usize>,
}

impl Told {
    fn of(name: &'static str) -> Told {
        Told { name, n_leads: 1, n_labels: 0, sig_len: Some(64) }
    }

    /// The model file that an import leaves.
    fn import(&self, checkpoint: &Path, folder: &TempFolder) -> Result<PathBuf> {
        let names = |n: usize, letter: char| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<String>>();
        import(&ImportRequest {
            checkpoint,
            generator: self.name,
            entry: None,
            arguments: None,
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

#[test]
fn the_public_unet_is_imported_by_either_name_and_answers_as_its_original() {
    let Some(fixtures) = parity_folder() else { return };
    let device = Device::flex();
    let mut n_run = 0;
    for fixture in std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(config) = std::fs::read_to_string(fixture.join("config.json")) else { continue };
        let config: Value = serde_json::from_str(&config).unwrap();
        if config["model"] != "Unet1D + GaussianDiffusion1D" {
            continue;
        }
        let folder = TempFolder::new("import-unet");
        let bytes = std::fs::read(fixture.join("io.safetensors")).unwrap();
        let arrays = SafeTensors::deserialize(&bytes).unwrap();
        let (shape, x) = array(&arrays, "input.x");
        // What is shown its last estimate is drawn from without: the original's sampler does not show it either.
        let is_shown = config["constructor"]["self_condition"] == true;
        let (_, expected) = array(&arrays, if is_shown { "output.without_self_cond" } else { "output" });
        for name in ["unet1d", "time-diffusion"] {
            let told = Told { n_leads: shape[1], ..Told::of(name) };
            let path = told.import(&fixture.join("weights.safetensors"), &folder).unwrap();
            let model = DiffusionModel::load(&path, &device).unwrap();
            assert_eq!((model.card().generator.as_str(), model.card().schedule.as_str()), ("time-diffusion", "cosine"));
            let (network, weights) = Network::of_state(&model.card().network, model.state(), name).unwrap();
            let x = Tensor::<3>::from_data(TensorData::new(x.clone(), shape.clone()), &device);
            let time = Tensor::<1>::from_floats(array(&arrays, "input.time").1.as_slice(), &device);
            let found = host(network.with(weights.on(&device)).predict(x, time, &Condition::none()).unwrap());
            let error = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{}, --as {name}: {error:.2e}", fixture.display());
            assert!(found.len() == expected.len() && error < 2e-4, "{name}: {error}");
        }
        n_run += 1;
    }
    println!("{n_run} U-Nets");
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
