//! Published checkpoints as runs that can be drawn from, and classifiers as runs that can be exported.
//!
//! A checkpoint holds arrays under the original's names and nothing of their meaning. The shape of the network follows
//! from the arrays, or from a file of the original's arguments where it does not; leads, rate and labels are told by
//! the user or are those of the publication.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Value, json};

use super::generation::ROLE;
use super::training::model_path;
use super::{import_classifier, import_gan, import_state};
use crate::classifiers::ptbxl;
use crate::dataset::guard;
use crate::dataset::label::label_set;
use crate::diffusion::import::{diffwave, sssd_ecg};
use crate::diffusion::{NetworkConfig, import, schedule};
use crate::error::{Error, Result};
use crate::generators::diffusion_model::{DiffusionModel, ModelCard};
use crate::generators::timevqvae::{TimeVqvaeCard, TimeVqvaeModel, joined};
use crate::nn::kernel::CauchySum;
use crate::nn::timevqvae::import::{ImportedMaskGit, generator};
use crate::nn::weights::Weights;
use crate::record::lead_law::{EIGHT, TWELVE};
use crate::run::{Run, RunInfo};

/// Value of `preset` in a run that holds an imported model.
pub const PRESET: &str = "import";

/// What an entry of [`IMPORTS`] for a depth of xresnet1d reads.
const XRESNET: &str = "classifier of helme/ecg_ptbxl_benchmarking: a deep residual network";

/// What the entries of [`IMPORTS`] for the public 1-D U-Net read.
const UNET: &str = "Unet1D of lucidrains/denoising-diffusion-pytorch with the normalization of 2023 on: signals as they were \
                    normalized, from -1 to 1";

/// Networks whose published checkpoints are read: name, and what it reads.
pub static IMPORTS: &[(&str, &str)] = &[
    ("sssd-ecg", "SSSD_ECG of AI4HealthUOL/SSSD-ECG: eight leads, frozen S4 layers"),
    (
        "diffwave",
        "DiffWave of lmnt-com/diffwave without a spectrogram: one channel. Conditional ones, which are told a spectrogram, \
         are compared with their original by the tests and refused here: there is no spectrogram to draw an ECG from",
    ),
    ("unet1d", UNET),
    ("time-diffusion", UNET),
    (
        "diffusion-ts",
        "Diffusion_TS of Y-debug-sys/Diffusion-TS with its noise schedule: signals as they were normalized",
    ),
    ("timevqvae", "MaskGIT of ML4ITS/TimeVQVAE with both stages: release 1.0.1, or as of the paper"),
    ("pulse2pulse", "generator of vlbthambawita/Pulse2Pulse, also as packed in deepfake-ecg: eight leads"),
    ("wavegan-star", "WaveGAN* generator of vlbthambawita/Pulse2Pulse: eight leads"),
    ("cond-pulse2pulse", "CondP2PGenerator of AI4HealthUOL/SSSD-ECG: eight leads, 71 statements"),
    ("cond-wavegan-star", "CondWaveGANGenerator of AI4HealthUOL/SSSD-ECG: eight leads, 71 statements"),
    ("fcn_wang", "classifier of helme/ecg_ptbxl_benchmarking: three convolutions"),
    ("inception1d", "classifier of helme/ecg_ptbxl_benchmarking: blocks of convolutions of three lengths"),
    ("resnet1d_wang", "classifier of helme/ecg_ptbxl_benchmarking: three residual blocks"),
    ("xresnet1d18", XRESNET),
    ("xresnet1d34", XRESNET),
    ("xresnet1d50", XRESNET),
    ("xresnet1d101", XRESNET),
    ("xresnet1d152", XRESNET),
    ("xresnet1d18_deep", XRESNET),
    ("xresnet1d34_deep", XRESNET),
    ("xresnet1d50_deep", XRESNET),
    ("xresnet1d18_deeper", XRESNET),
    ("xresnet1d34_deeper", XRESNET),
    ("xresnet1d50_deeper", XRESNET),
];

/// What a user asks of [`import()`].
pub struct ImportRequest<'a> {
    /// The checkpoint: safetensors, or a zip file of PyTorch.
    pub checkpoint: &'a Path,
    /// Which of [`IMPORTS`] it is.
    pub generator: &'a str,
    /// Entry of the checkpoint that holds the state dict, where it holds several.
    pub entry: Option<&'a str>,
    /// JSON file of the original's constructor arguments; they follow from the arrays if not given. For `timevqvae`
    /// those of both stages, `{"stage1": ..., "stage2": ...}`.
    pub arguments: Option<&'a Path>,
    /// Names of the modelled leads; those of the publication if empty.
    pub leads: &'a [String],
    /// Sampling rate.
    pub fs_hz: Option<f64>,
    /// Points in time to draw, or to classify.
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
    let name_file = |error| match error {
        // An array by its name: of which file, the user wants to know as well.
        Error::Data { record, reason } if !record.contains(&*request.checkpoint.to_string_lossy()) => {
            Error::data(format!("{}: {record}", request.checkpoint.display()), reason)
        }
        other => other,
    };
    read_and_leave(request).map_err(name_file)
}

fn read_and_leave(request: &ImportRequest) -> Result<PathBuf> {
    let landmark = landmark(request.generator)?;
    let mut state = import_state::find(import_state::read(request.checkpoint, request.entry)?, landmark)?;
    let (network, facts) = match request.generator {
        "sssd-ecg" => sssd(request, &state)?,
        "diffwave" => plain_diffwave(request, &state)?,
        "unet1d" | "time-diffusion" => public_unet(request, &state)?,
        "timevqvae" => return timevqvae(request, state),
        "diffusion-ts" => {
            let (network, facts, weights) = published_diffusion_ts(request, &state)?;
            state = weights;
            (network, facts)
        }
        name if ptbxl::names().contains(&name) => return import_classifier::import(request, &state),
        _ => return import_gan::import(request, &state),
    };
    let leads = leads(request, &facts.leads, facts.n_channels)?;
    let label_names = labels(request, facts.labels, network.n_labels())?;
    let card = ModelCard {
        format: 1,
        generator: if request.generator == "unet1d" { "time-diffusion" } else { request.generator }.into(),
        role: ROLE.into(),
        network,
        parameterization: facts.parameterization.into(),
        schedule: facts.schedule,
        schedule_steps: facts.schedule_steps,
        scale_mv: vec![1.0; leads.len()],
        leads,
        sig_len: request.sig_len.unwrap_or(facts.sig_len),
        fs_hz: request.fs_hz.unwrap_or(facts.fs_hz),
        label_names,
        sampler: "ddpm".into(),
        steps: facts.schedule_steps,
        guidance: 1.0,
        training_data: unknown_data(request),
        latent: None,
        rhythm: None,
        waves: None,
        usual: None,
    };
    let model = DiffusionModel::new(card, state, &Device::flex())?;
    leave_run(request, ROLE, model.hash(), |path| model.save(path))
}

/// An array that every network of a kind has, and no other part of a checkpoint.
fn landmark(generator: &str) -> Result<&'static str> {
    match generator {
        "sssd-ecg" => Ok("init_conv.0.conv.weight_v"),
        "diffwave" => Ok("input_projection.weight"),
        "timevqvae" => Ok("transformer_l.class_condition_emb.weight"),
        "unet1d" | "time-diffusion" => Ok("init_conv.weight"),
        "diffusion-ts" => Ok("model.combine_s.weight"),
        "pulse2pulse" | "wavegan-star" | "cond-pulse2pulse" | "cond-wavegan-star" => Ok("deconv_7.conv1d.weight"),
        name if ptbxl::names().contains(&name) => Ok(ptbxl::landmark(name)),
        other => {
            let known = IMPORTS.iter().map(|(name, _)| (*name).to_string()).collect();
            Err(Error::Unknown { kind: "published checkpoint", name: other.into(), known })
        }
    }
}

/// A run with one model of a role, which `save` writes.
pub(super) fn leave_run(
    request: &ImportRequest,
    role: &str,
    hash: &str,
    save: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let info = RunInfo {
        preset: PRESET.into(),
        config: format!("checkpoint = {:?}\n{role} = {:?}\n", file_name(request.checkpoint), request.generator),
        seed: 0,
        device: "cpu".into(),
        data_fingerprint: hash.into(),
        is_bf16: false,
    };
    let run = Run::create_or_open(request.out, &info)?;
    run.stage(role)?;
    let path = model_path(&run, role);
    save(&path)?;
    Ok(path)
}

/// Role of the model of a run that was imported.
pub(super) fn role(run: &Path) -> &'static str {
    let is_classifier = run.join("checkpoint").join(import_classifier::ROLE).is_dir();
    if is_classifier { import_classifier::ROLE } else { ROLE }
}

/// Names of the leads that the network makes: those of the request, or of the publication.
pub(super) fn leads(request: &ImportRequest, published: &[String], n_channels: usize) -> Result<Vec<String>> {
    let leads = if request.leads.is_empty() { published } else { request.leads };
    if leads.len() != n_channels {
        let reason = format!("{} leads, but the network has {n_channels} channels", leads.len());
        return Err(Error::config("--leads", reason));
    }
    Ok(leads.to_vec())
}

/// Names of the labels that the network knows, likewise.
pub(super) fn labels(request: &ImportRequest, published: Vec<String>, n_labels: usize) -> Result<Vec<String>> {
    let names = if request.labels.is_empty() { published } else { request.labels.to_vec() };
    if names.len() != n_labels {
        let reason = format!("{} names, but the network knows {n_labels} labels: name them in its order", names.len());
        return Err(Error::config("--labels", reason));
    }
    Ok(names)
}

/// What a model card says of data that nobody told us about.
pub(super) fn unknown_data(request: &ImportRequest) -> Value {
    json!({
        // Not by the name of its file: the same weights are the same model in every file.
        "source": format!("published checkpoint of {}", request.generator),
        "training_patients": { "key": guard::UNKNOWN_KEY, "hashes": [] },
    })
}

fn timevqvae(request: &ImportRequest, state: Weights) -> Result<PathBuf> {
    let arguments = request.arguments.map(read_json).transpose()?;
    let sig_len = request.sig_len.unwrap_or(1000);
    let ImportedMaskGit { vqvae, prior, decoding } = generator(arguments.as_ref(), &state, sig_len)?;
    let n_channels = vqvae.network.config().channels;
    let published = match n_channels {
        8 | 12 => usual_leads(n_channels),
        _ => vec!["ECG".into()],
    };
    let leads = leads(request, &published, n_channels)?;
    let card = TimeVqvaeCard {
        format: 1,
        generator: request.generator.into(),
        role: ROLE.into(),
        vqvae: vqvae.network.config().clone(),
        prior: prior.network.config().clone(),
        decoding,
        scale_mv: vec![1.0; leads.len()],
        leads,
        fs_hz: request.fs_hz.unwrap_or(100.0),
        label_names: labels(request, Vec::new(), prior.network.config().classes)?,
        training_data: unknown_data(request),
    };
    let state = joined([vqvae.params, vqvae.buffers], [prior.params, prior.buffers]);
    let model = TimeVqvaeModel::new(card, state, &Device::flex())?;
    leave_run(request, ROLE, model.hash(), |path| model.save(path))
}

/// What a publication says beside the arrays.
struct Facts {
    n_channels: usize,
    leads: Vec<String>,
    labels: Vec<String>,
    fs_hz: f64,
    sig_len: usize,
    parameterization: &'static str,
    schedule: String,
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
        parameterization: "noise",
        schedule: "linear-unscaled".into(),
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
    let schedule = "diffwave";
    let betas = schedule::find(schedule)?.build(config.steps)?.betas().to_vec();
    let given =
        arguments["noise_schedule"].as_array().into_iter().flatten().map(|beta| beta.as_f64().unwrap_or(f64::NAN));
    if given.zip(betas).any(|(given, beta)| (given - beta).is_nan() || (given - beta).abs() > 1e-6) {
        let reason =
            format!("found another, expected the original's: linear from 0.0001 to 0.05 in {} steps", config.steps);
        return Err(Error::config("noise_schedule", reason));
    }
    if config.mel_bands > 0 {
        return Err(Error::config(
            "--as",
            "this DiffWave is told a spectrogram, and there is none to draw an ECG from; expected one without",
        ));
    }
    let facts = Facts {
        n_channels: config.channels,
        leads: vec!["ECG".into()],
        labels: Vec::new(),
        fs_hz: 100.0,
        sig_len: 1000,
        parameterization: "noise",
        schedule: schedule.into(),
        schedule_steps: config.steps,
    };
    Ok((NetworkConfig::Diffwave(config), facts))
}

/// The public 1-D U-Net. Its arguments are those of `Unet1D`, with those of `GaussianDiffusion1D` under `diffusion`.
fn public_unet(request: &ImportRequest, state: &Weights) -> Result<(NetworkConfig, Facts)> {
    let mut arguments = match request.arguments {
        Some(path) => read_json(path)?,
        None => import::lucidrains_unet1d_arguments(state)?,
    };
    let diffusion = arguments.as_object_mut().and_then(|all| all.remove("diffusion")).unwrap_or_else(|| json!({}));
    let config = import::lucidrains_unet1d(&arguments, state)?.config().clone();
    if config.out_channels != config.channels {
        let (found, expected) = (config.out_channels, config.channels);
        let reason =
            format!("gives {found} channels, expected the {expected} that it takes; learned variances are not read");
        return Err(Error::data("final_conv.weight", reason));
    }
    let process = import::lucidrains_diffusion(&diffusion)?;
    let leads = match config.channels {
        1 => vec!["ECG".into()],
        channels => usual_leads(channels),
    };
    let facts = Facts {
        n_channels: config.channels,
        leads,
        labels: Vec::new(),
        fs_hz: 100.0,
        sig_len: 1000,
        parameterization: process.parameterization.name(),
        schedule: diffusion["beta_schedule"].as_str().unwrap_or("cosine").into(),
        schedule_steps: process.schedule.n_steps(),
    };
    Ok((NetworkConfig::Unet(config), facts))
}

/// The leads that as many channels usually are; none for another number.
fn usual_leads(channels: usize) -> Vec<String> {
    let leads: &[&str] = match channels {
        8 => &EIGHT,
        12 => &TWELVE,
        _ => &[],
    };
    leads.iter().map(|lead| (*lead).to_string()).collect()
}

/// Network and facts of Diffusion-TS, and its state dict without the noise schedule.
fn published_diffusion_ts(request: &ImportRequest, state: &Weights) -> Result<(NetworkConfig, Facts, Weights)> {
    let arguments = match request.arguments {
        Some(path) => read_json(path)?,
        None => import::diffusion_ts_arguments(state)?,
    };
    let (network, weights) = import::diffusion_ts(&arguments, state)?;
    let config = network.config().clone();
    let process = import::diffusion_ts_process(&arguments)?;
    let facts = Facts {
        n_channels: config.channels,
        leads: usual_leads(config.channels),
        labels: Vec::new(),
        fs_hz: 100.0,
        sig_len: config.length,
        parameterization: "x0",
        schedule: arguments["beta_schedule"].as_str().unwrap_or("cosine").into(),
        schedule_steps: process.gaussian.schedule.n_steps(),
    };
    Ok((NetworkConfig::DiffusionTs(config), facts, weights))
}

/// The 71 statements of PTB-XL in the order of the published arrays, which is that of the alphabet; none for other numbers.
pub(super) fn published_labels(n_labels: usize) -> Result<Vec<String>> {
    let mut names = label_set("ptbxl-all")?.names();
    names.sort();
    Ok(if names.len() == n_labels { names } else { Vec::new() })
}

pub(super) fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    serde_json::from_str(&text).map_err(|error| Error::data(path.display().to_string(), error.to_string()))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_list_is_looked_for_and_every_classifier_is_in_it() {
        for (name, _) in IMPORTS {
            assert!(landmark(name).is_ok(), "{name}");
        }
        for name in ptbxl::names() {
            assert!(IMPORTS.iter().any(|(known, _)| *known == name), "{name}");
        }
    }
}
