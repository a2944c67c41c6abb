//! Drawing from a trained run, a model file or a generator by name, into a file that says what it is.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{delineation, device, generation, import, synthesis};
use crate::dataset::{Dataset, npz};
use crate::error::{Error, Result};
use crate::generators::diffusion_model::DiffusionModel;
use crate::generators::{self, Generator};
use crate::run::{Disk, Progress, Stop, Storage, available_memory, read_run};
use crate::seed::Seed;

/// What a user asks of [`sample`].
pub struct DrawRequest<'a> {
    /// Run folder, model file, or generator by name.
    pub source: &'a str,
    /// Model of a run by its role, such as `teacher`; `None` for the few-step student that a beat run chose,
    /// and for the only model of a run of one generator.
    pub model: Option<&'a str>,
    /// Number of items.
    pub n: u64,
    /// Labels by name, which items take in turn by their index; all of the generator if empty.
    pub labels: &'a [String],
    /// Index of the first item.
    pub first: u64,
    /// Sampler by name; `None` for the model's own.
    pub sampler: Option<&'a str>,
    /// Denoiser calls per item; `None` for the model's own.
    pub steps: Option<usize>,
    /// Guidance weight; `None` for the model's own.
    pub guidance: Option<f64>,
    /// Items computed at once.
    pub batch: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// Device by name.
    pub device: &'a str,
    /// `X.npz`, or a folder for NPZ and WFDB records.
    pub out: &'a Path,
}

/// Draws items and writes them.
///
/// # Errors
/// [`Error::Limit`] before any work if memory or disk cannot hold the result; [`Error::Unknown`] for a
/// name that is in no list; everything that sampling and writing return.
pub fn sample(request: &DrawRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Dataset> {
    if request.batch == 0 {
        return Err(Error::config("--batch", "found 0, expected at least 1"));
    }
    let generator = open(request)?;
    let axes = generator.axes();
    let turns: Vec<usize> = match request.labels {
        // One turn for a generator without labels.
        [] => (0..axes.n_labels().max(1)).collect(),
        labels => labels.iter().map(|name| label(&axes.label_names, name)).collect::<Result<_>>()?,
    };
    // More than are asked for are never computed at once.
    let batch = request.batch.min(usize::try_from(request.n).unwrap_or(usize::MAX)).max(1);
    refuse_oversize(request, generator.as_ref(), &axes, batch)?;
    let classes = (0..request.n).map(|i| turns[((request.first + i) % turns.len() as u64) as usize]).collect();
    let mut call = generator.request(classes);
    call.first = request.first;
    call.batch = batch;
    if let Some(sampler) = request.sampler {
        call.sampler = sampler.into();
    }
    call.steps = request.steps.unwrap_or(call.steps);
    call.guidance = request.guidance.unwrap_or(call.guidance);
    let data = synthesis::draw(generator.as_ref(), &call, Seed::new(request.seed), "sample", stop, progress)?;
    if request.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz")) {
        npz::write(request.out, &synthesis::stamped(&data, request.seed))?;
    } else {
        synthesis::write(&data, request.out, request.seed)?;
    }
    Ok(data)
}

/// The generator that a source names.
fn open(request: &DrawRequest) -> Result<Box<dyn Generator>> {
    let device = device(request.device)?;
    let path = Path::new(request.source);
    let model = if path.is_dir() {
        Some(run_model(path, request.model)?)
    } else if path.is_file() || request.source.contains(['/', '\\']) || path.extension().is_some() {
        Some(path.to_path_buf())
    } else {
        None
    };
    match model {
        Some(path) => Ok(Box::new(DiffusionModel::load(&path, &device)?)),
        None => {
            let spec = generators::find(request.source)?;
            spec.build(&spec.default_config(), None, &device)
        }
    }
}

/// File of a model of a run folder, by role.
///
/// # Errors
/// [`Error::Guard`] for a folder that is no run; [`Error::Unknown`] for a role that it has no model of.
pub fn run_model(dir: &Path, role: Option<&str>) -> Result<PathBuf> {
    let (info, _) = read_run(dir)?;
    let stages = dir.join("checkpoint");
    let role = match role {
        Some(role) => role.to_string(),
        None if generation::is_generation(&info.preset) || info.preset == import::PRESET => {
            generation::ROLE.to_string()
        }
        None if delineation::is_delineation(&info.preset) => {
            let reason = format!("{} holds a delineator, expected a run that trained a generator", dir.display());
            return Err(Error::config("run", reason));
        }
        None => format!(
            "few-step-{:02}",
            crate::config::load_valid::<super::Experiment>(&info.config, "config.toml", &[])?.few_step.chosen
        ),
    };
    let file = |role: &str| stages.join(role).join("model.safetensors");
    if file(&role).is_file() {
        return Ok(file(&role));
    }
    let entries = std::fs::read_dir(&stages).map_err(|source| Error::io(&stages, source))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut known: Vec<String> =
        names.filter(|name| !name.starts_with("classifier-") && file(name).is_file()).collect();
    known.sort();
    Err(Error::Unknown { kind: "finished model of this run", name: role, known })
}

/// Place of a label by name.
///
/// # Errors
/// [`Error::Unknown`] if it is none of those known.
pub(super) fn label(known: &[String], name: &str) -> Result<usize> {
    known.iter().position(|label| label == name).ok_or_else(|| Error::Unknown {
        kind: "label",
        name: name.into(),
        known: known.to_vec(),
    })
}

/// Bytes of an item beside its amplitudes: names, labels, part, index, and their room in vectors.
const ITEM_BYTES: u64 = 256;

/// Refuses what memory or disk cannot hold (rule M05), with the estimate.
fn refuse_oversize(request: &DrawRequest, generator: &dyn Generator, axes: &Dataset, batch: usize) -> Result<()> {
    let item_bytes = 4 * (axes.leads.len() * axes.sig_len) as u64 + ITEM_BYTES;
    // The set, its stamped copy, and the batch in hand.
    let working = generator.working_bytes_per_item().saturating_mul(batch as u64);
    let memory = request.n.saturating_mul(2 * item_bytes).saturating_add(working);
    let disk = request.n.saturating_mul(item_bytes);
    let folder = match request.out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mib = |bytes: u64| bytes / (1 << 20);
    for (what, needed, available) in [("memory", memory, available_memory()), ("disk", disk, Disk.free_bytes(folder))] {
        if let Some(available) = available.filter(|available| needed > *available) {
            return Err(Error::Limit {
                reason: format!(
                    "{} items in batches of {batch} need about {} MiB of {what}, {} MiB are free; draw fewer at a time with \
                     -n, --first and --batch",
                    request.n,
                    mib(needed),
                    mib(available)
                ),
            });
        }
    }
    Ok(())
}

impl DrawRequest<'_> {
    /// What was drawn, for scripts: files and counts.
    pub fn summary(&self, data: &Dataset) -> serde_json::Value {
        let counts = data.label_counts(crate::dataset::Split::Train);
        let counts: serde_json::Map<String, serde_json::Value> =
            data.label_names.iter().cloned().zip(counts.into_iter().map(Into::into)).collect();
        json!({ "out": self.out, "n_items": data.len(), "counts": counts, "seed": self.seed, "provenance": data.provenance })
    }
}
