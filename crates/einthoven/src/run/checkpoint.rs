//! Checkpoints: all that a training needs to go on as if it had never stopped.
//!
//! A checkpoint is a folder `step-0000001000` with weights, their moving average and the
//! optimiser's moments as safetensors, the rest as JSON, and `manifest.json` with a hash of every
//! file and of itself. It is built under a temporary name and renamed when it is complete, so a
//! folder with the final name was complete once; what happened to it since, the hashes tell. The
//! newest two and the best are kept, and a damaged newest one is passed over with a warning.
//!
//! This module knows tensors as arrays only and needs no tensor framework.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::safetensors::{self, StoredType, Tensors};
use super::storage::{Disk, Storage, require_space, temporary_beside, write_synced};
use super::{Origin, sha256_hex};
use crate::error::{Error, Result};

const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const STATE: &str = "state.json";
/// How many of the newest checkpoints stay.
const N_KEPT: usize = 2;

/// State of a training that restores it exactly. Empty groups of tensors are not written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// The weights that are being optimised.
    pub weights: Tensors,
    /// Their exponential moving average.
    pub ema: Tensors,
    /// The optimiser's first moments.
    pub first_moment: Tensors,
    /// The optimiser's second moments.
    pub second_moment: Tensors,
    /// Everything else: counters, scaling, scheduler.
    pub state: Value,
}

/// A snapshot with its place in the training.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// Number of finished steps.
    pub step: u64,
    /// State of the trained thing.
    pub snapshot: Snapshot,
    /// State of the loop around it.
    pub loop_state: Value,
    /// Validation score, lower is better; the lowest is kept.
    pub score: Option<f64>,
    /// Seconds of training so far, over all interruptions.
    pub seconds: f64,
}

/// A checkpoint as read, with what was passed over on the way to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// One line for each damaged checkpoint that is newer.
    pub warnings: Vec<String>,
}

/// The checkpoints of one stage of a run.
#[derive(Clone)]
pub struct CheckpointStore {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    origin: Origin,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    step: u64,
    score: Option<f64>,
    seconds: f64,
    origin: Origin,
    files: BTreeMap<String, FileEntry>,
}

#[derive(Serialize, Deserialize)]
struct FileEntry {
    n_bytes: u64,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct State {
    snapshot: Value,
    training: Value,
}

impl CheckpointStore {
    /// The checkpoints in this folder, for reading.
    pub fn at(dir: PathBuf) -> CheckpointStore {
        CheckpointStore { storage: Arc::new(Disk), dir, origin: Origin::default() }
    }

    pub(crate) fn new(storage: Arc<dyn Storage>, dir: PathBuf, origin: Origin) -> CheckpointStore {
        CheckpointStore { storage, dir, origin }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Folder of the checkpoint after this number of steps.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("step-{step:010}"))
    }

    /// Steps of all checkpoints, ascending, whether damaged or not.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn steps(&self) -> Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| Error::io(&self.dir, source))?,
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = entry.map_err(|source| Error::io(&self.dir, source))?.file_name();
            steps.extend(
                name.to_str().and_then(|name| name.strip_prefix("step-")).and_then(|step| step.parse::<u64>().ok()),
            );
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a checkpoint, then removes those that are no longer needed.
    ///
    /// # Errors
    /// [`Error::Data`] if a value is not finite; [`Error::Io`], of kind `StorageFull` if less than
    /// 2.2 times its size is free. The checkpoints written before are then untouched.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let files = encode(checkpoint)?;
        let score = checkpoint.score.filter(|score| score.is_finite());
        let manifest = Manifest {
            format: FORMAT,
            step: checkpoint.step,
            score,
            seconds: checkpoint.seconds,
            origin: self.origin.clone(),
            files: files
                .iter()
                .map(|(name, bytes)| {
                    ((*name).to_owned(), FileEntry { n_bytes: bytes.len() as u64, sha256: sha256_hex(bytes) })
                })
                .collect(),
        };
        self.storage.create_dir(&self.dir).map_err(|source| Error::io(&self.dir, source))?;
        let n_bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        require_space(self.storage.as_ref(), &self.dir, n_bytes as u64)?;

        let path = self.path(checkpoint.step);
        let name = path.file_name().unwrap_or_default();
        let temporary = temporary_beside(&self.dir, name);
        let published = self.publish(&temporary, &path, &files, &manifest);
        if let Err(source) = published {
            // The error at hand says more than one about the leftover, which the next start removes.
            let _ = self.storage.remove(&temporary);
            return Err(Error::io(&path, source));
        }
        self.prune(checkpoint.step)
    }

    fn publish(&self, temporary: &Path, path: &Path, files: &[(&str, Vec<u8>)], manifest: &Manifest) -> io::Result<()> {
        let storage = self.storage.as_ref();
        if temporary.exists() {
            storage.remove(temporary)?;
        }
        storage.create_dir(temporary)?;
        for (name, bytes) in files {
            write_synced(storage, &temporary.join(name), bytes)?;
        }
        write_synced(storage, &temporary.join(MANIFEST), &seal(manifest)?)?;
        storage.sync_dir(temporary)?;
        if path.exists() {
            // Only a damaged checkpoint is ever written again; its predecessor is still there.
            self.discard(path)?;
        }
        storage.rename(temporary, path)?;
        storage.sync_dir(&self.dir)
    }

    /// Removes all but the newest two and the best; those beyond `newest` are damaged leftovers.
    fn prune(&self, newest: u64) -> Result<()> {
        let steps = self.steps()?;
        let (valid, beyond): (Vec<u64>, Vec<u64>) = steps.into_iter().partition(|step| *step <= newest);
        let (old, _) = valid.split_at(valid.len().saturating_sub(N_KEPT));
        let best = self.best()?;
        for step in old.iter().filter(|step| Some(**step) != best).chain(&beyond) {
            let path = self.path(*step);
            self.discard(&path).map_err(|source| Error::io(&path, source))?;
        }
        Ok(())
    }

    /// Renames before removing, so that a half removed folder never bears a checkpoint's name.
    fn discard(&self, path: &Path) -> io::Result<()> {
        let mut name = std::ffi::OsString::from("old-");
        name.push(path.file_name().unwrap_or_default());
        let temporary = temporary_beside(&self.dir, &name);
        if temporary.exists() {
            self.storage.remove(&temporary)?;
        }
        self.storage.rename(path, &temporary)?;
        self.storage.remove(&temporary)
    }

    /// Step of the checkpoint with the lowest score, among those whose manifest is sound.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be listed.
    pub fn best(&self) -> Result<Option<u64>> {
        let scored = self.steps()?.into_iter().filter_map(|step| {
            let manifest = self.manifest(step).ok()?;
            Some((manifest.score?, step))
        });
        Ok(scored.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, step)| step))
    }

    /// The newest checkpoint that is sound; `None` if there is none at all.
    ///
    /// # Errors
    /// [`Error::Data`] if there are checkpoints and all are damaged; [`Error::Unsupported`] if the
    /// newest was written by a later version.
    pub fn load_latest(&self) -> Result<Option<Loaded>> {
        let mut warnings = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match self.load(step) {
                Ok(checkpoint) => {
                    if let Some(last) = warnings.last_mut() {
                        *last = format!("{last}; using {}", self.path(step).display());
                    }
                    return Ok(Some(Loaded { checkpoint, warnings }));
                }
                Err(error @ Error::Unsupported { .. }) => return Err(error),
                Err(error) => warnings.push(error.to_string()),
            }
        }
        if warnings.is_empty() {
            return Ok(None);
        }
        Err(Error::data(
            self.dir.display().to_string(),
            format!("no checkpoint is sound ({}); remove the folder to train from the start", warnings.join("; ")),
        ))
    }

    /// The checkpoint after this number of steps, verified.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged, naming the file; [`Error::Unsupported`] if a later version
    /// wrote it.
    pub fn load(&self, step: u64) -> Result<Checkpoint> {
        let manifest = self.manifest(step)?;
        let path = self.path(step);
        let damaged =
            |file: &str, reason: String| Error::data(path.display().to_string(), format!("damaged: {file}: {reason}"));
        let mut checkpoint =
            Checkpoint { step, score: manifest.score, seconds: manifest.seconds, ..Checkpoint::default() };
        for (name, entry) in &manifest.files {
            let file = path.join(name);
            let bytes = fs::read(&file).map_err(|source| damaged(name, source.to_string()))?;
            if bytes.len() as u64 != entry.n_bytes {
                return Err(damaged(name, format!("found {} bytes, expected {}", bytes.len(), entry.n_bytes)));
            }
            if sha256_hex(&bytes) != entry.sha256 {
                return Err(damaged(name, "its SHA-256 differs from the manifest's".into()));
            }
            if name == STATE {
                let state: State = serde_json::from_slice(&bytes).map_err(|error| damaged(name, error.to_string()))?;
                checkpoint.snapshot.state = state.snapshot;
                checkpoint.loop_state = state.training;
            } else if let Some(group) = group_mut(&mut checkpoint.snapshot, name) {
                *group = safetensors::from_bytes(&bytes, &file)?.tensors;
            }
        }
        Ok(checkpoint)
    }

    fn manifest(&self, step: u64) -> Result<Manifest> {
        let path = self.path(step);
        let damaged = |reason: &str| Error::data(path.display().to_string(), format!("damaged: {MANIFEST}: {reason}"));
        let bytes = fs::read(path.join(MANIFEST)).map_err(|source| damaged(&source.to_string()))?;
        let content = unseal(&bytes).ok_or_else(|| damaged("its SHA-256 differs from its content's"))?;
        let value: Value = serde_json::from_slice(content).map_err(|error| damaged(&error.to_string()))?;
        if value["format"].as_u64() > Some(u64::from(FORMAT)) {
            let what = format!(
                "{}: checkpoint format {} (this version reads up to {FORMAT})",
                path.display(),
                value["format"]
            );
            return Err(Error::Unsupported { what });
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|error| damaged(&error.to_string()))?;
        if manifest.step != step {
            return Err(damaged(&format!("found step {}, expected {step}", manifest.step)));
        }
        Ok(manifest)
    }
}

/// The files of a checkpoint but for the manifest.
fn encode(checkpoint: &Checkpoint) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let snapshot = &checkpoint.snapshot;
    let groups = [
        ("weights.safetensors", &snapshot.weights),
        ("ema.safetensors", &snapshot.ema),
        ("first_moment.safetensors", &snapshot.first_moment),
        ("second_moment.safetensors", &snapshot.second_moment),
    ];
    let mut files = Vec::new();
    for (name, tensors) in groups {
        if !tensors.is_empty() {
            files.push((name, safetensors::to_bytes(tensors, &BTreeMap::new(), StoredType::F32)?));
        }
    }
    let state = serde_json::json!({"snapshot": snapshot.state, "training": checkpoint.loop_state});
    files.push((STATE, state.to_string().into_bytes()));
    Ok(files)
}

fn group_mut<'a>(snapshot: &'a mut Snapshot, file: &str) -> Option<&'a mut Tensors> {
    match file {
        "weights.safetensors" => Some(&mut snapshot.weights),
        "ema.safetensors" => Some(&mut snapshot.ema),
        "first_moment.safetensors" => Some(&mut snapshot.first_moment),
        "second_moment.safetensors" => Some(&mut snapshot.second_moment),
        _ => None,
    }
}

/// The manifest with its own hash around it, so that a flipped bit in it is noticed too.
fn seal(manifest: &Manifest) -> io::Result<Vec<u8>> {
    let content = serde_json::to_string(manifest)?;
    Ok(format!("{{\"sha256\":\"{}\",\"content\":{content}}}\n", sha256_hex(content.as_bytes())).into_bytes())
}

/// The content of a sealed manifest, if every byte of it is as written.
fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (hash, rest) = bytes.strip_prefix(b"{\"sha256\":\"")?.split_at_checked(64)?;
    let content = rest.strip_prefix(b"\",\"content\":")?.strip_suffix(b"}\n")?;
    (sha256_hex(content).as_bytes() == hash).then_some(content)
}
