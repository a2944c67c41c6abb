//! Published checkpoints as runs that can be drawn from.
//!
//! A checkpoint holds arrays under the original's names and nothing of their meaning. The shape of the network follows
//! from the arrays, or from a file of the original's arguments where it does not; leads, rate and labels are told by
//! the user or are those of the publication.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Value, json};

use super::generation::ROLE;
use super::training::model_path;
use crate::dataset::label::label_set;
use crate::diffusion::import::{diffwave, sssd_ecg};
use crate::diffusion::{NetworkConfig, import};
use crate::error::{Error, Result};
use crate::generators::diffusion_model::{DiffusionModel, ModelCard};
use crate::nn::kernel::CauchySum;
use crate::nn::weights::Weights;
use crate::run::{Run, RunInfo, safetensors, torch_zip};

/// Value of `preset` in a run that holds an imported model.
pub const PRESET: &str = "import";

/// Generators whose published checkpoints are read: name, and what it reads.
pub static IMPORTS: &[(&str, &str)] = &[
    ("sssd-ecg", "SSSD_ECG of AI4HealthUOL/SSSD-ECG: eight leads, frozen S4 layers"),
    ("diffwave", "DiffWave of lmnt-com/diffwave without a spectrogram: one channel"),
];

/// What a user asks of [`import()`].
pub struct ImportRequest<'a> {
    /// The checkpoint: safetensors, or a zip file of PyTorch.
    pub checkpoint: &'a Path,
    /// Which of [`IMPORTS`] it is.
    pub generator: &'a str,
    /// Entry of the checkpoint that holds the state dict, where it holds several.
    pub entry: Option<&'a str>,
    /// JSON file of the original's constructor arguments; they follow from the arrays if not given.
    pub arguments: Option<&'a Path>,
    /// Names of the modelled leads; those of the publication if empty.
    pub leads: &'a [String],
    /// Sampling rate.
    pub fs_hz: Option<f64>,
    /// Points in time to draw.
    pub sig_len: Option<usize>,
    /// Label names in the network's order; those of the publication if empty.
    pub labels: &'a [String],
    /// Run folder.
    pub out: &'a Path,
}

/// Reads a published checkpoint and leaves a run with one model.
///
/// # Errors
/// [`Error::Unknown`] for a generator that is not read; [`Error::Input`] for a file that is no checkpoint;
/// [`Error::Data`] naming every array that is missing, extra or has another shape; [`Error::Guard`] for a folder that
/// holds another run.
pub fn import(request: &ImportRequest) -> Result<PathBuf> {
    let state = read_state(request.checkpoint, request.entry)?;
    let (network, facts) = match request.generator {
        "sssd-ecg" => sssd(request, &state)?,
        "diffwave" => plain_diffwave(request, &state)?,
        other => {
            let known = IMPORTS.iter().map(|(name, _)| (*name).to_string()).collect();
            return Err(Error::Unknown { kind: "published checkpoint", name: other.into(), known });
        }
    };
    let leads = if request.leads.is_empty() { facts.leads } else { request.leads.to_vec() };
    let n_labels = network.n_labels();
    let label_names = match request.labels {
        [] => facts.labels,
        labels => labels.to_vec(),
    };
    if label_names.len() != n_labels {
        let reason =
            format!("{} names, but the network knows {n_labels} labels: name them in its order", label_names.len());
        return Err(Error::config("--labels", reason));
    }
    if leads.len() != facts.n_channels {
        let reason = format!("{} leads, but the network has {} channels", leads.len(), facts.n_channels);
        return Err(Error::config("--leads", reason));
    }
    let card = ModelCard {
        format: 1,
        generator: request.generator.into(),
        role: ROLE.into(),
        network,
        parameterization: "noise".into(),
        schedule: facts.schedule.into(),
        schedule_steps: facts.schedule_steps,
        scale_mv: vec![1.0; leads.len()],
        leads,
        sig_len: request.sig_len.unwrap_or(facts.sig_len),
        fs_hz: request.fs_hz.unwrap_or(facts.fs_hz),
        label_names,
        sampler: "ddpm".into(),
        steps: facts.schedule_steps,
        guidance: 1.0,
        training_data: json!({
            "source": format!("published checkpoint {}", file_name(request.checkpoint)),
            "training_patients": { "key": "unknown", "hashes": [] },
        }),
        latent: None,
    };
    let model = DiffusionModel::new(card, state, &Device::flex())?;
    let info = RunInfo {
        preset: PRESET.into(),
        config: format!("checkpoint = {:?}\ngenerator = {:?}\n", file_name(request.checkpoint), request.generator),
        seed: 0,
        device: "cpu".into(),
        data_fingerprint: model.hash().into(),
    };
    let run = Run::create_or_open(request.out, &info)?;
    run.stage(ROLE)?;
    let path = model_path(&run, ROLE);
    model.save(&path)?;
    Ok(path)
}

/// What a publication says beside the arrays.
struct Facts {
    n_channels: usize,
    leads: Vec<String>,
    labels: Vec<String>,
    fs_hz: f64,
    sig_len: usize,
    schedule: &'static str,
    schedule_steps: usize,
}

fn sssd(request: &ImportRequest, state: &Weights) -> Result<(NetworkConfig, Facts)> {
    let arguments = match request.arguments {
        Some(path) => read_json(path)?,
        None => import::sssd_ecg_arguments(state)?,
    };
    let (network, _) = sssd_ecg(&arguments, state, CauchySum::ConjugatePairs)?;
    let config = network.config().clone();
    let facts = Facts {
        n_channels: config.channels,
        leads: ["I", "V1", "V2", "V3", "V4", "V5", "V6", "aVF"].map(String::from).to_vec(),
        labels: published_labels(config.labels)?,
        fs_hz: 100.0,
        sig_len: config.length,
        schedule: "linear-unscaled",
        schedule_steps: 200,
    };
    Ok((NetworkConfig::Sssd(config), facts))
}

fn plain_diffwave(request: &ImportRequest, state: &Weights) -> Result<(NetworkConfig, Facts)> {
    let arguments = match request.arguments {
        Some(path) => read_json(path)?,
        None => import::diffwave_arguments(state)?,
    };
    let config = diffwave(&arguments, state)?.config().clone();
    if config.mel_bands > 0 {
        return Err(Error::config("--as", "this DiffWave is told a spectrogram and cannot be drawn from by labels"));
    }
    let facts = Facts {
        n_channels: config.channels,
        leads: vec!["ECG".into()],
        labels: Vec::new(),
        fs_hz: 100.0,
        sig_len: 1000,
        schedule: "diffwave",
        schedule_steps: config.steps,
    };
    Ok((NetworkConfig::Diffwave(config), facts))
}

/// The 71 statements of PTB-XL in the order of the published arrays, which is that of the alphabet; none for other numbers.
fn published_labels(n_labels: usize) -> Result<Vec<String>> {
    let mut names = label_set("ptbxl-all")?.names();
    names.sort();
    Ok(if names.len() == n_labels { names } else { Vec::new() })
}

/// The arrays of a checkpoint: of a safetensors file, or of a zip file of PyTorch, whose pickle is read and never run.
fn read_state(path: &Path, entry: Option<&str>) -> Result<Weights> {
    let mut start = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.map_err(|source| Error::io(path, source))?;
    if &start == b"PK" {
        return Ok(torch_zip::read(path, entry)?.tensors.into());
    }
    Ok(safetensors::read(path)?.tensors.into())
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    serde_json::from_str(&text).map_err(|error| Error::data(path.display().to_string(), error.to_string()))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
