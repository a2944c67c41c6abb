//! A trained model as files that other programs read: ONNX for its computation, safetensors for its weights.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::Value;

use super::sampling::run_model;
use crate::classifiers::beat_cnn::BeatCnn;
use crate::classifiers::ptbxl::{self, model::BenchmarkModel};
use crate::error::{Error, Result};
use crate::generators::diffusion_model::DiffusionModel;
use crate::generators::gan_model::GanModel;
use crate::generators::timevqvae::TimeVqvaeModel;
use crate::run::{StoredType, safetensors, write_atomic};

/// Endings of the files: of the network that is named, and of a decoder beside it.
const NETWORK: &str = "onnx";
const DECODER: &str = "decoder.onnx";

/// What a user asks of [`export`].
pub struct ExportRequest<'a> {
    /// Run folder or model file.
    pub source: &'a Path,
    /// Model of a run by its role, as in [`super::DrawRequest`].
    pub model: Option<&'a str>,
    /// ONNX file to write; that of a decoder stands beside it, as `X.decoder.onnx`, and of TimeVQVAE the prior of the
    /// high band as `X.high.onnx`.
    pub onnx: Option<&'a Path>,
    /// Safetensors file to write, with the card in its metadata.
    pub safetensors: Option<&'a Path>,
    /// How its values are stored.
    pub stored: StoredType,
}

/// Writes the files and returns them.
///
/// # Errors
/// [`Error::Config`] if no file is asked for; [`Error::Data`] for a file that is no model; [`Error::Unsupported`] naming what
/// cannot be exported; [`Error::Io`].
pub fn export(request: &ExportRequest) -> Result<Vec<PathBuf>> {
    if request.onnx.is_none() && request.safetensors.is_none() {
        return Err(Error::config(
            "--onnx",
            "name a file to write with --onnx X.onnx, --safetensors X.safetensors or both",
        ));
    }
    let path = match request.source.is_dir() && !request.source.join("model.safetensors").is_file() {
        true => run_model(request.source, request.model)?,
        // The folder of one model, below checkpoint/ in a run.
        false if request.source.is_dir() => request.source.join("model.safetensors"),
        false => request.source.to_path_buf(),
    };
    let file = safetensors::read(&path)?;
    let is = |key: &str| file.metadata.contains_key(key);
    let mut written = Vec::new();
    if let Some(out) = request.onnx {
        let device = Device::flex();
        let graphs = match file.metadata.get("einthoven.card") {
            Some(card) => generator(&path, card, &device)?,
            None if is(ptbxl::model::CARD) => vec![(NETWORK, BenchmarkModel::load(&path)?.to_onnx()?)],
            None if is("einthoven.beat_cnn") => vec![(NETWORK, BeatCnn::load(&path, &device)?.to_onnx()?)],
            None => return Err(no_model(&path)),
        };
        for (extension, graph) in graphs {
            let file = if extension == NETWORK { out.to_path_buf() } else { out.with_extension(extension) };
            write_atomic(&file, &graph)?;
            written.push(file);
        }
    }
    if let Some(out) = request.safetensors {
        if !["einthoven.card", "einthoven.beat_cnn", ptbxl::model::CARD].iter().any(|key| is(key)) {
            return Err(no_model(&path));
        }
        write_atomic(out, &safetensors::to_bytes(&file.tensors, &file.metadata, request.stored)?)?;
        written.push(out.to_path_buf());
    }
    Ok(written)
}

/// Graphs of a generator and the endings of their names, by what its card has that no other has.
fn generator(path: &Path, card: &str, device: &Device) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let card: Value =
        serde_json::from_str(card).map_err(|error| Error::data(path.display().to_string(), error.to_string()))?;
    if card.get("vqvae").is_some() {
        let [low, high, decoder] = TimeVqvaeModel::load(path, device)?.to_onnx()?;
        return Ok(vec![(NETWORK, low), ("high.onnx", high), (DECODER, decoder)]);
    }
    if card.get("parameterization").is_none() {
        return Ok(vec![(NETWORK, GanModel::load(path, device)?.to_onnx()?)]);
    }
    let (denoiser, decoder) = DiffusionModel::load(path, device)?.to_onnx()?;
    Ok([(NETWORK, denoiser)].into_iter().chain(decoder.map(|decoder| (DECODER, decoder))).collect())
}

fn no_model(path: &Path) -> Error {
    let reason = "has no card of a generator or of a classifier: not a model that can be exported";
    Error::data(path.display().to_string(), reason)
}
