//! Logs of a run: one JSON object per line, in the order of the steps.
//!
//! After a crash a log may reach further than the newest checkpoint. [`Log::rewind`] cuts it back
//! to the checkpoint's step, so that a resumed run logs every step once and the finished file
//! equals that of an uninterrupted run, byte for byte. No line holds a clock time.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::storage::Storage;
use crate::error::{Error, Result};

/// A file of JSON lines, each with the keys `stage` and `step`.
#[derive(Clone)]
pub struct Log {
    storage: Arc<dyn Storage>,
    path: PathBuf,
}

impl Log {
    /// The log at this path; the file appears with its first line.
    pub fn new(storage: Arc<dyn Storage>, path: PathBuf) -> Log {
        Log { storage, path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&self, stage: &str, step: u64, values: &[(&str, Value)]) -> Result<()> {
        let mut object = serde_json::Map::new();
        object.insert("stage".into(), stage.into());
        object.insert("step".into(), step.into());
        for (key, value) in values {
            object.insert((*key).to_owned(), value.clone());
        }
        let line = format!("{}\n", Value::Object(object));
        let write = || {
            let mut file = self.storage.append(&self.path)?;
            self.storage.write(&mut file, line.as_bytes())
        };
        write().map_err(|source| Error::io(&self.path, source))
    }

    /// Waits until every line is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let sync = || self.storage.sync(&self.storage.append(&self.path)?);
        sync().map_err(|source| Error::io(&self.path, source))
    }

    /// Cuts the log at the first line of `stage` beyond `step`, or at the first broken line.
    ///
    /// Stages that share a log run one after the other, so that nothing worth keeping follows such a line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn rewind(&self, stage: &str, step: u64) -> Result<()> {
        self.cut(|value| value["stage"] != stage || value["step"].as_u64() <= Some(step))
    }

    /// Cuts the log at the first line that is not to be kept, or at the first broken line.
    fn cut(&self, is_wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let io = |source| Error::io(&self.path, source);
        let bytes = self.read()?;
        let is_kept = |line: &&[u8]| {
            line.ends_with(b"\n")
                && serde_json::from_slice::<Value>(line)
                    .is_ok_and(|value| value["stage"].is_string() && is_wanted(&value))
        };
        let kept: usize = bytes.split_inclusive(|byte| *byte == b'\n').take_while(is_kept).map(<[u8]>::len).sum();
        if kept < bytes.len() {
            let file = OpenOptions::new().write(true).open(&self.path).map_err(io)?;
            file.set_len(kept as u64).map_err(io)?;
            self.storage.sync(&file).map_err(io)?;
        }
        Ok(())
    }

    /// The bytes of the file, none where it has not appeared.
    fn read(&self) -> Result<Vec<u8>> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|source| Error::io(&self.path, source)),
        }
    }

    /// Ends this log with the lines of other logs, one stage each, in their order, unless they are here
    /// already; earlier lines of these stages, and what follows them, go.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn take_over(&self, others: &[(&str, &Log)]) -> Result<()> {
        let lines = others.iter().map(|(_, log)| log.read()).collect::<Result<Vec<_>>>()?.concat();
        if lines.is_empty() || self.read()?.windows(lines.len()).any(|window| window == lines) {
            return Ok(());
        }
        self.cut(|value| !others.iter().any(|(stage, _)| value["stage"] == *stage))?;
        let write = || {
            let mut file = self.storage.append(&self.path)?;
            self.storage.write(&mut file, &lines)?;
            self.storage.sync(&file)
        };
        write().map_err(|source| Error::io(&self.path, source))
    }
}

/// A number for a log: JSON has no NaN and no infinity, so those are written as words.
pub fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}
