//! Runs: the folder that a training leaves behind, and what keeps it sound.
//!
//! ```text
//! config.toml          the resolved configuration
//! manifest.json        version, seed, device, fingerprint of the data; written last, makes the folder a run
//! metrics.jsonl        one line per logged step of every stage
//! checkpoint/<stage>/  checkpoints, skipped.jsonl, finished.json
//! report.json          the result
//! lock                 who is writing
//! ```
//!
//! A run has stages (teacher, student, classifiers), one after the other or side by side; a finished
//! stage is skipped on resume. [`train`] drives one stage. Nothing here knows networks, clocks stay out of
//! the logs, and every file that matters is written whole or not at all ([`write_atomic`]).

mod checkpoint;
mod half;
mod lock;
mod log;
mod memory;
mod progress;
pub mod safetensors;
mod stop;
mod storage;
pub mod torch_zip;
mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::checkpoint::{Checkpoint, CheckpointStore, Loaded, Snapshot};
pub use self::lock::{LOCK_FILE, LockOwner, RunLock};
pub use self::log::{Log, number};
pub use self::memory::available_memory;
pub use self::progress::{Progress, Silent};
pub use self::safetensors::{StoredType, Tensors};
pub use self::stop::{Stop, StopReason};
#[cfg(feature = "nn")]
pub(crate) use self::storage::temporary_beside;
pub use self::storage::{
    Disk, Storage, TEMPORARY_PREFIX, clean_temporaries, require_space, write_atomic, write_atomic_on,
};
pub use self::training::{Cadence, Outcome, StepReport, TrainPlan, TrainSummary, Trainee, train};

use crate::error::{Error, Result};

const CONFIG: &str = "config.toml";
const MANIFEST: &str = "manifest.json";
/// Name of a run's log of losses.
pub const METRICS: &str = "metrics.jsonl";
const CHECKPOINTS: &str = "checkpoint";
const FINISHED: &str = "finished.json";
const SKIPPED: &str = "skipped.jsonl";
const FORMAT: u32 = 1;

/// What makes a run this run: two runs with equal values leave equal results on a CPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunInfo {
    /// Name of the preset or of the configuration file.
    pub preset: String,
    /// The resolved configuration as TOML.
    pub config: String,
    /// The run's seed.
    pub seed: u64,
    /// Device, such as `cpu`.
    pub device: String,
    /// Hash over the data that the run learns from.
    pub data_fingerprint: String,
    /// Whether its trainings hold activations as bf16.
    pub is_bf16: bool,
}

/// Where a file of a run comes from; stored in its manifests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Version of this library.
    pub einthoven_version: String,
    /// Commit that it was built from, where the build knew.
    pub commit: Option<String>,
    /// Name of the preset or of the configuration file.
    pub preset: String,
    /// SHA-256 of `config.toml`.
    pub config_sha256: String,
    /// The run's seed.
    pub seed: u64,
    /// Device, such as `cpu`.
    pub device: String,
    /// Hash over the data that the run learns from.
    pub data_fingerprint: String,
    /// Whether its trainings hold activations as bf16.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_bf16: bool,
}

#[derive(Serialize, Deserialize)]
struct RunManifest {
    run_format: u32,
    #[serde(flatten)]
    origin: Origin,
}

/// A run folder, held by this process until it is dropped.
pub struct Run {
    dir: PathBuf,
    info: RunInfo,
    origin: Origin,
    storage: Arc<dyn Storage>,
    _lock: RunLock,
}

/// One stage of a run: a training, or any other work worth remembering that it is done.
pub struct RunStage {
    name: String,
    run_dir: PathBuf,
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    checkpoints: CheckpointStore,
    metrics: Log,
    skipped: Log,
}

impl Run {
    /// Makes a run folder.
    ///
    /// # Errors
    /// [`Error::Guard`] `M06` if the folder holds a run or anything else, or is in use;
    /// [`Error::Io`].
    pub fn create(dir: &Path, info: &RunInfo) -> Result<Run> {
        Run::create_on(Arc::new(Disk), dir, info)
    }

    /// Opens a run folder to go on with it.
    ///
    /// # Errors
    /// [`Error::Guard`] `M06` if the folder holds no run, is in use, or its configuration was changed
    /// since; [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Run> {
        Run::open_on(Arc::new(Disk), dir)
    }

    /// Goes on with this run if the folder holds it, and makes it if the folder is new.
    ///
    /// # Errors
    /// [`Error::Guard`] `M06` if the folder holds another run or anything else, or is in use;
    /// [`Error::Io`].
    pub fn create_or_open(dir: &Path, info: &RunInfo) -> Result<Run> {
        Run::create_or_open_on(Arc::new(Disk), dir, info)
    }

    /// As [`Run::create`], on a given storage.
    ///
    /// # Errors
    /// As [`Run::create`].
    pub fn create_on(storage: Arc<dyn Storage>, dir: &Path, info: &RunInfo) -> Result<Run> {
        storage.create_dir(dir).map_err(|source| Error::io(dir, source))?;
        if read_manifest(dir)?.is_some() {
            return Err(refused(dir, "holds another run", "open that one, or choose another folder"));
        }
        refuse_foreign_files(dir)?;
        let lock = RunLock::acquire(dir)?;
        // Another process may have made its run between the look and the lock.
        if read_manifest(dir)?.is_some() {
            return Err(refused(dir, "holds another run", "open that one, or choose another folder"));
        }
        clean_temporaries(storage.as_ref(), dir)?;
        let origin = info.origin();
        let manifest = RunManifest { run_format: FORMAT, origin: origin.clone() };
        write_atomic_on(storage.as_ref(), &dir.join(CONFIG), info.config.as_bytes())?;
        write_atomic_on(storage.as_ref(), &dir.join(MANIFEST), &to_json(dir, &manifest)?)?;
        Ok(Run { dir: dir.to_owned(), info: info.clone(), origin, storage, _lock: lock })
    }

    /// As [`Run::open`], on a given storage.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn open_on(storage: Arc<dyn Storage>, dir: &Path) -> Result<Run> {
        let (info, origin) = read_run(dir)?;
        let lock = RunLock::acquire(dir)?;
        clean_temporaries(storage.as_ref(), dir)?;
        Ok(Run { dir: dir.to_owned(), info, origin, storage, _lock: lock })
    }

    /// As [`Run::create_or_open`], on a given storage.
    ///
    /// # Errors
    /// As [`Run::create_or_open`].
    pub fn create_or_open_on(storage: Arc<dyn Storage>, dir: &Path, info: &RunInfo) -> Result<Run> {
        if !dir.exists() || read_manifest(dir)?.is_none() {
            return Run::create_on(storage, dir, info);
        }
        let run = Run::open_on(storage, dir)?;
        match run.info.difference(info) {
            None => Ok(run),
            Some(what) => Err(refused(
                dir,
                &format!("holds another run ({what} differs)"),
                "choose another folder, or repeat the command that made it",
            )),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What makes this run this run.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Version, commit, hashes and seed, as in the manifest.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Writes a file of the run, such as `report.json`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_atomic_on(self.storage.as_ref(), &self.dir.join(name), bytes)
    }

    /// The stage of this name: lower-case letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`Error::Config`] for other names; [`Error::Io`].
    pub fn stage(&self, name: &str) -> Result<RunStage> {
        self.stage_with_log(name, self.dir.join(METRICS))
    }

    /// As [`Run::stage`], for stages that are trained side by side: the metrics log is the stage's
    /// own, until [`Run::gather_metrics`] adds it to that of the run.
    ///
    /// # Errors
    /// As [`Run::stage`].
    pub fn stage_beside(&self, name: &str) -> Result<RunStage> {
        self.stage_with_log(name, self.dir.join(CHECKPOINTS).join(name).join(METRICS))
    }

    /// Copies the lines of the stages' own metrics logs to the end of the run's, in the order of the
    /// stages and in place of what was copied before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn gather_metrics(&self, stages: &[&RunStage]) -> Result<()> {
        let logs: Vec<(&str, &Log)> = stages.iter().map(|stage| (stage.name(), &stage.metrics)).collect();
        Log::new(Arc::clone(&self.storage), self.dir.join(METRICS)).take_over(&logs)
    }

    fn stage_with_log(&self, name: &str, metrics: PathBuf) -> Result<RunStage> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(Error::config(
                "stage",
                format!("found {name:?}, expected lower-case letters, digits, - and _"),
            ));
        }
        let dir = self.dir.join(CHECKPOINTS).join(name);
        self.storage.create_dir(&dir).map_err(|source| Error::io(&dir, source))?;
        let storage = &self.storage;
        Ok(RunStage {
            name: name.to_owned(),
            run_dir: self.dir.clone(),
            storage: Arc::clone(storage),
            checkpoints: CheckpointStore::new(Arc::clone(storage), dir.clone(), self.origin.clone()),
            metrics: Log::new(Arc::clone(storage), metrics),
            skipped: Log::new(Arc::clone(storage), dir.join(SKIPPED)),
            dir,
        })
    }
}

impl RunStage {
    /// Name of the stage.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Folder of the stage.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Folder of the run.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The stage's checkpoints.
    pub fn checkpoints(&self) -> &CheckpointStore {
        &self.checkpoints
    }

    /// The log of this stage's steps: the run's `metrics.jsonl`, or its own ([`Run::stage_beside`]).
    pub fn metrics(&self) -> &Log {
        &self.metrics
    }

    /// The stage's diagnostic file: batches whose loss or gradient was not finite.
    pub fn skipped(&self) -> &Log {
        &self.skipped
    }

    /// The result that [`RunStage::finish`] left, if the stage is finished.
    ///
    /// # Errors
    /// [`Error::Io`] if there is one that cannot be read.
    pub fn finished<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        read_finished(&self.dir)
    }

    /// Marks the stage as finished, with its result.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish<T: Serialize>(&self, result: &T) -> Result<()> {
        let path = self.dir.join(FINISHED);
        write_atomic_on(self.storage.as_ref(), &path, &to_json(&path, result)?)
    }

    /// Writes a file of the stage whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_atomic_on(self.storage.as_ref(), &self.dir.join(name), bytes)
    }
}

impl RunInfo {
    fn origin(&self) -> Origin {
        Origin {
            einthoven_version: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("EINTHOVEN_COMMIT").map(str::to_owned),
            preset: self.preset.clone(),
            config_sha256: sha256_hex(self.config.as_bytes()),
            seed: self.seed,
            device: self.device.clone(),
            data_fingerprint: self.data_fingerprint.clone(),
            is_bf16: self.is_bf16,
        }
    }

    /// What differs from another run, by name.
    fn difference(&self, other: &RunInfo) -> Option<&'static str> {
        [
            ("preset", self.preset != other.preset),
            ("configuration", self.config != other.config),
            ("seed", self.seed != other.seed),
            ("device", self.device != other.device),
            ("data", self.data_fingerprint != other.data_fingerprint),
            ("--bf16-activations", self.is_bf16 != other.is_bf16),
        ]
        .into_iter()
        .find_map(|(what, differs)| differs.then_some(what))
    }
}

/// Whether a folder is that of a run, sound or not.
pub fn is_run(dir: &Path) -> bool {
    dir.is_dir() && !matches!(read_manifest(dir), Ok(None))
}

/// What a run folder holds, for reading it without taking its lock.
///
/// # Errors
/// [`Error::Guard`] `M06` if the folder holds no run, or its configuration was changed since.
pub fn read_run(dir: &Path) -> Result<(RunInfo, Origin)> {
    let origin = read_manifest(dir)?
        .ok_or_else(|| refused(dir, "is not a run folder", "name the folder that run or train made"))?;
    let path = dir.join(CONFIG);
    let config = fs::read_to_string(&path).map_err(|source| Error::io(&path, source))?;
    let info = RunInfo {
        preset: origin.preset.clone(),
        config,
        seed: origin.seed,
        device: origin.device.clone(),
        data_fingerprint: origin.data_fingerprint.clone(),
        is_bf16: origin.is_bf16,
    };
    if sha256_hex(info.config.as_bytes()) != origin.config_sha256 {
        return Err(refused(
            dir,
            "has a config.toml that was changed after the run began",
            "restore it, or start another run",
        ));
    }
    Ok((info, origin))
}

/// What [`RunStage::finished`] gives, for reading without taking the run's lock.
///
/// # Errors
/// [`Error::Io`] if there is a result that cannot be read.
pub fn finished_stage<T: DeserializeOwned>(dir: &Path, stage: &str) -> Result<Option<T>> {
    read_finished(&dir.join(CHECKPOINTS).join(stage))
}

fn read_finished<T: DeserializeOwned>(dir: &Path) -> Result<Option<T>> {
    let path = dir.join(FINISHED);
    match fs::read(&path) {
        // A broken marker means that the stage is done again from its last checkpoint.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io(&path, source)),
    }
}

/// The checkpoints of a stage, for reading without taking the run's lock.
pub fn read_checkpoints(dir: &Path, stage: &str) -> CheckpointStore {
    CheckpointStore::at(dir.join(CHECKPOINTS).join(stage))
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(dir: &Path, finding: &str, remedy: &str) -> Error {
    Error::Guard { code: "M06", reason: format!("{} {finding}; {remedy}", dir.display()) }
}

/// The run's manifest; `None` if the folder holds none, or one of something else.
fn read_manifest(dir: &Path) -> Result<Option<Origin>> {
    let path = dir.join(MANIFEST);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io(&path, source)),
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if value["run_format"].as_u64() > Some(u64::from(FORMAT)) {
        return Err(Error::Unsupported { what: format!("{}: run format {}", path.display(), value["run_format"]) });
    }
    Ok(serde_json::from_value::<RunManifest>(value).ok().map(|manifest| manifest.origin))
}

/// A folder may hold what an interrupted creation leaves, and nothing else.
fn refuse_foreign_files(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|source| Error::io(dir, source))? {
        let name = entry.map_err(|source| Error::io(dir, source))?.file_name();
        let name = name.to_string_lossy();
        if name != LOCK_FILE && name != CONFIG && !name.starts_with(TEMPORARY_PREFIX) {
            return Err(refused(dir, &format!("is not a run folder and holds {name}"), "choose an empty folder"));
        }
    }
    Ok(())
}

fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| Error::io(path, error.into()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
