//! A trained model as files that other programs read: ONNX for its computation, safetensors for its weights.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::Value;

use super::sampling::run_model;
use super::source::{named, refuse_role};
use crate::classifiers::beat_cnn::BeatCnn;
use crate::classifiers::ptbxl::{self, model::BenchmarkModel};
use crate::error::{Error, Result};
use crate::generators;
use crate::generators::diffusion_model::DiffusionModel;
use crate::generators::gan_model::GanModel;
use crate::generators::timevqvae::TimeVqvaeModel;
use crate::nn::shipped;
use crate::run::safetensors::TensorFile;
use crate::run::{Progress, StoredType, safetensors, write_atomic};

/// Endings of the files: of the network that is named, and of a decoder beside it.
const NETWORK: &str = "onnx";
const DECODER: &str = "decoder.onnx";

/// Graphs with the endings of their files.
type Graphs = Vec<(&'static str, Vec<u8>)>;

/// What a user asks of [`export`].
pub struct ExportRequest<'a> {
    /// Run folder, model file, or the name of a generator whose weights come along.
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
/// [`Error::Config`] if no file is asked for; [`Error::Unknown`] for a generator without weights; [`Error::Data`] for a file
/// that is no model; [`Error::Unsupported`] naming what cannot be exported; [`Error::Io`].
pub fn export(request: &ExportRequest, progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
    if request.onnx.is_none() && request.safetensors.is_none() {
        return Err(Error::config(
            "--onnx",
            "name a file to write with --onnx X.onnx, --safetensors X.safetensors or both",
        ));
    }
    let device = Device::flex();
    let name = named(request.source, progress);
    let is_run = name.is_none() && request.source.is_dir() && !request.source.join("model.safetensors").is_file();
    if !is_run {
        refuse_role(request.source, request.model)?;
    }
    if let Some(name) = name {
        // It is that of records as they are drawn, whose length the file alone does not say.
        let model = generators::shipped(name, &device)?;
        let graphs = if request.onnx.is_some() { diffusion_graphs(&model)? } else { Vec::new() };
        return write(request, graphs, &shipped::read(name)?, Path::new(name));
    }
    let path = match request.source.is_dir() {
        true if is_run => run_model(request.source, request.model)?,
        // The folder of one model, below checkpoint/ in a run.
        true => request.source.join("model.safetensors"),
        false => request.source.to_path_buf(),
    };
    let file = safetensors::read(&path)?;
    let is = |key: &str| file.metadata.contains_key(key);
    let graphs = match file.metadata.get("einthoven.card") {
        _ if request.onnx.is_none() => Vec::new(),
        Some(card) => generator(&path, card, &device)?,
        None if is(ptbxl::model::CARD) => vec![(NETWORK, BenchmarkModel::load(&path)?.to_onnx()?)],
        None if is("einthoven.beat_cnn") => vec![(NETWORK, BeatCnn::load(&path, &device)?.to_onnx()?)],
        None => return Err(no_model(&path)),
    };
    write(request, graphs, &file, &path)
}

/// Writes graphs under the endings of their names, and the model `file` at `path`, as far as they are asked for.
fn write(request: &ExportRequest, graphs: Graphs, file: &TensorFile, path: &Path) -> Result<Vec<PathBuf>> {
    let is = |key: &str| file.metadata.contains_key(key);
    let mut written = Vec::new();
    if let Some(out) = request.onnx {
        for (extension, graph) in graphs {
            let file = if extension == NETWORK { out.to_path_buf() } else { out.with_extension(extension) };
            write_atomic(&file, &graph)?;
            written.push(file);
        }
    }
    if let Some(out) = request.safetensors {
        if !["einthoven.card", "einthoven.beat_cnn", ptbxl::model::CARD].iter().any(|key| is(key)) {
            return Err(no_model(path));
        }
        write_atomic(out, &safetensors::to_bytes(&file.tensors, &file.metadata, request.stored)?)?;
        written.push(out.to_path_buf());
    }
    Ok(written)
}

/// Graphs of a generator and the endings of their names, by what its card has that no other has.
fn generator(path: &Path, card: &str, device: &Device) -> Result<Graphs> {
    let card: Value =
        serde_json::from_str(card).map_err(|error| Error::data(path.display().to_string(), error.to_string()))?;
    if card.get("vqvae").is_some() {
        let [low, high, decoder] = TimeVqvaeModel::load(path, device)?.to_onnx()?;
        return Ok(vec![(NETWORK, low), ("high.onnx", high), (DECODER, decoder)]);
    }
    if card.get("parameterization").is_none() {
        return Ok(vec![(NETWORK, GanModel::load(path, device)?.to_onnx()?)]);
    }
    diffusion_graphs(&DiffusionModel::load(path, device)?)
}

fn diffusion_graphs(model: &DiffusionModel) -> Result<Graphs> {
    let (denoiser, decoder) = model.to_onnx()?;
    Ok([(NETWORK, denoiser)].into_iter().chain(decoder.map(|decoder| (DECODER, decoder))).collect())
}

fn no_model(path: &Path) -> Error {
    let reason = "has no card of a generator or of a classifier: not a model that can be exported";
    Error::data(path.display().to_string(), reason)
}
