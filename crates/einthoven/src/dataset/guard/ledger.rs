//! L7: the ledger of test evaluations.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// One look at a test part.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TestLook {
    /// What was evaluated, such as `classifier real-only, seed 3`.
    pub subject: String,
    /// [`Dataset::fingerprint`](crate::dataset::Dataset::fingerprint) of the test part.
    pub test_fingerprint: String,
    /// Hash of the configuration, so that repeating one evaluation can be told from trying another.
    pub config_hash: String,
}

/// An append-only file of test evaluations in a run folder, `test_ledger.jsonl`, one JSON object a line.
///
/// It does not refuse a second look: it makes the number of looks something that a report can show.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    looks: Vec<TestLook>,
}

impl Ledger {
    /// Name of the file in the run folder.
    pub const FILE: &str = "test_ledger.jsonl";

    /// Opens the ledger of a run folder, which may not have one yet.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Guard`] `L7` if a line cannot be read, because a ledger with a hole in it
    /// proves nothing. A last line that was cut off while being written is dropped.
    pub fn open(folder: &Path) -> Result<Ledger> {
        let path = folder.join(Ledger::FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::Io { path, source }),
        };
        let mut looks = Vec::new();
        for (number, line) in text.split_inclusive('\n').enumerate() {
            if !line.ends_with('\n') {
                break;
            }
            let look = serde_json::from_str(line).map_err(|error| Error::Guard {
                code: "L7",
                reason: format!("{}:{}: damaged ledger of test evaluations: {error}", path.display(), number + 1),
            })?;
            looks.push(look);
        }
        Ok(Ledger { path, looks })
    }

    /// Records a look and returns how many there have now been at this test part.
    ///
    /// # Errors
    /// [`Error::Io`] if the line could not be written and synced.
    pub fn record(&mut self, look: TestLook) -> Result<usize> {
        let io = |source| Error::Io { path: self.path.clone(), source };
        let mut text = serde_json::json!(look).to_string();
        text.push('\n');
        // A line that was cut off by a crash must not swallow the next one.
        if let Ok(old) = fs::read(&self.path) {
            let complete = old.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            if complete < old.len() {
                let file = fs::OpenOptions::new().write(true).open(&self.path).map_err(io)?;
                file.set_len(complete as u64).map_err(io)?;
            }
        }
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.path).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        self.looks.push(look);
        // The look was just added, so the index exists.
        let last = &self.looks[self.looks.len() - 1];
        Ok(self.n_looks(&last.test_fingerprint))
    }

    /// Number of looks at the test part with that fingerprint.
    pub fn n_looks(&self, test_fingerprint: &str) -> usize {
        self.looks.iter().filter(|look| look.test_fingerprint == test_fingerprint).count()
    }

    /// Every look, oldest first.
    pub fn looks(&self) -> &[TestLook] {
        &self.looks
    }
}
