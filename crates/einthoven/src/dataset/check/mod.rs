//! `check`: what is wrong with a folder of records before anything is learned from it.
//!
//! Every record is read leniently and looked at by itself: units and gain, rate and length (`lead`), names and order
//! of leads and the laws that tie them (`law`), electrodes that were swapped (`electrode`). Then the folder is
//! looked at as a whole: mixed rates and leads, signals that are stored twice, patients in two folds, labels that are
//! missing, unknown or told by metadata (`folder`). Nothing is repaired and nothing is written.

mod electrode;
mod folder;
mod label;
mod law;
mod lead;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::record::format::FORMATS;
use crate::record::lead_law::standard_name;
use crate::record::{ReadOptions, Record, read};

pub use electrode::{Suspicion, suspected_swap};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// May spoil a result.
    Warning,
    /// Makes results wrong.
    Error,
}

impl Severity {
    /// Name as printed.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable code, such as `lead-order`, or the rule of a reader, such as `W23`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Record by its path below the folder; `None` when it concerns the whole.
    pub record: Option<String>,
    /// Lead by name; `None` when it concerns all.
    pub lead: Option<String>,
    /// What was found and what was expected.
    pub message: String,
}

impl Problem {
    fn new(code: &'static str, severity: Severity, message: impl Into<String>) -> Problem {
        Problem { code, severity, record: None, lead: None, message: message.into() }
    }

    fn of_lead(mut self, lead: &str) -> Problem {
        self.lead = Some(lead.into());
        self
    }

    fn of_record(mut self, record: &str) -> Problem {
        self.record = Some(record.into());
        self
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Records found.
    pub n_records: usize,
    /// Problems of severity error.
    pub n_errors: usize,
    /// Problems of severity warning.
    pub n_warnings: usize,
    /// All problems: those of the whole folder first, then by record.
    pub problems: Vec<Problem>,
}

/// A record as the checks of the whole folder need it.
struct Facts {
    /// Path below the folder, without extension.
    name: String,
    path: PathBuf,
    fs_hz: f64,
    sig_len: usize,
    leads: Vec<String>,
    units: Vec<String>,
    comments: Vec<String>,
    n_annotations: usize,
    /// Slow outline of its first leads, by which copies are found.
    outline: Vec<f32>,
}

/// Checks every record below a folder, and the folder as a whole.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read, [`Error::Data`] when it holds no record. What is wrong with a record
/// or a table is a [`Problem`].
pub fn check_folder(folder: &Path) -> Result<CheckReport> {
    let mut paths = Vec::new();
    find_records(folder, &mut paths)?;
    paths.sort();
    let looked_at: Vec<(Option<Facts>, Vec<Problem>)> = paths.par_iter().map(|path| look_at(folder, path)).collect();
    let (mut facts, mut by_record) = (Vec::new(), Vec::new());
    for (fact, problems) in looked_at {
        facts.extend(fact);
        by_record.extend(problems);
    }
    if facts.is_empty() && by_record.is_empty() {
        return Err(Error::data(
            folder.display().to_string(),
            "found no records, expected .hea files or another format",
        ));
    }
    let mut problems = folder::problems(folder, &facts)?;
    problems.append(&mut by_record);
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    Ok(CheckReport {
        n_records: paths.len(),
        n_errors: count(Severity::Error),
        n_warnings: count(Severity::Warning),
        problems,
    })
}

/// Problems of one record by itself.
pub fn check_record(record: &Record) -> Vec<Problem> {
    let mut problems: Vec<Problem> = record
        .warnings
        .iter()
        .map(|warning| Problem::new(warning.code, Severity::Warning, warning.message.clone()))
        .collect();
    lead::look(record, &mut problems);
    let is_lawful = law::look(record, &mut problems);
    if is_lawful {
        electrode::look(record, &mut problems);
    }
    problems
}

fn look_at(folder: &Path, path: &Path) -> (Option<Facts>, Vec<Problem>) {
    let name = path.strip_prefix(folder).unwrap_or(path).with_extension("").to_string_lossy().replace('\\', "/");
    let record = match read(path, &ReadOptions::lenient()) {
        Ok(record) => record,
        Err(error) => {
            let code = error.code().unwrap_or("read");
            return (None, vec![Problem::new(code, Severity::Error, error.to_string()).of_record(&name)]);
        }
    };
    let problems = check_record(&record).into_iter().map(|problem| problem.of_record(&name)).collect();
    let facts = Facts {
        fs_hz: record.fs_hz,
        sig_len: record.sig_len,
        leads: record.leads.iter().map(|lead| lead.name.clone()).collect(),
        units: record.leads.iter().map(|lead| lead.units.clone()).collect(),
        n_annotations: record.annotations.values().map(Vec::len).sum(),
        outline: folder::outline(&record),
        comments: record.comments,
        path: path.into(),
        name,
    };
    (Some(facts), problems)
}

/// Extensions that only recorders use. A file of another format counts where it reads as a record with leads of known
/// names: the others are tables of labels and data sets.
const RECORDERS: [&str; 4] = ["hea", "edf", "bdf", "dcm"];

/// Every record below a folder.
fn find_records(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| Error::io(folder, source))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(|source| Error::io(folder, source))?);
        // A link may lead out of the folder, or in a circle.
        if kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            find_records(&path, found)?;
            continue;
        }
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        if !FORMATS.iter().any(|format| format.extensions.contains(&extension.as_str())) {
            continue;
        }
        let is_record = RECORDERS.contains(&extension.as_str())
            || read(&path, &ReadOptions::lenient()).is_ok_and(|record| {
                record.leads.iter().any(|lead| standard_name(&lead.name).is_some() || lead.name == "MLII")
            });
        if is_record {
            found.push(path);
        }
    }
    Ok(())
}
