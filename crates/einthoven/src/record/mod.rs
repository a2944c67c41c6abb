//! What was recorded: leads with their calibration, annotations and comments.
//!
//! A [`Record`] keeps the digital numbers of its file, so that reading and writing are exact;
//! [`Lead::mv`] gives the millivolts. Filters, beats and data sets live elsewhere and take plain
//! slices. Read on in [`mod@format`] for the file formats and in [`annotation`] for the symbols.

pub mod annotation;
pub mod fiducial;
pub mod format;
pub mod lead;
pub mod lead_law;
pub mod options;
pub mod storage;
pub mod summary;
pub mod vcg;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Position, Result};

pub use annotation::Annotation;
pub use fiducial::{Fiducial, Wave};
pub use format::{FORMATS, RecordFormat, read, write};
pub use lead::{GainChange, Lead, LeadQuality};
pub use options::{Annotators, Caps, Frames, ReadOptions, Strictness, WriteOptions};
pub use storage::StorageFormat;
pub use summary::RecordSummary;

/// Marks a missing point in [`Lead::adu`]; no storage format can hold it as a real value.
pub const MISSING: i32 = i32::MIN;

/// One recording: leads, annotations by annotator, and what the header says about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Name, which is also the stem of its files.
    pub name: String,
    /// Frames per second; a lead has `samples_per_frame` points in each.
    pub fs_hz: f64,
    /// Number of frames, which is the number of points of an ordinary lead.
    pub sig_len: usize,
    /// Leads in the order of the file.
    pub leads: Vec<Lead>,
    /// Annotations by annotator (the extension of the annotation file, such as `atr`).
    pub annotations: BTreeMap<String, Vec<Annotation>>,
    /// Comment lines without the leading `#`; a synthetic record says so here.
    pub comments: Vec<String>,
    /// Time of day at which the record starts, `hh:mm:ss` with an optional fraction.
    pub base_time: Option<String>,
    /// Date on which the record starts, `dd/mm/yyyy`.
    pub base_date: Option<String>,
    /// Counter frequency and base counter value, for records that were timed by a tape counter.
    pub counter: Option<Counter>,
    /// Deviations that were accepted while reading.
    pub warnings: Vec<Warning>,
}

/// Relation between time and the counter of the original recorder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counter {
    /// Counter ticks per second.
    pub frequency_hz: f64,
    /// Counter value at the first frame.
    pub base: f64,
}

/// A deviation that was accepted, with the rule that allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Stable code of the rule, such as `W11`.
    pub code: &'static str,
    /// File in which it was found.
    pub path: PathBuf,
    /// Where in the file.
    pub position: Position,
    /// What was found and what was made of it.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: {} [{}]", self.path.display(), self.position, self.message, self.code)
    }
}

impl Record {
    /// An empty record, to be filled with leads.
    pub fn new(name: impl Into<String>, fs_hz: f64) -> Record {
        Record {
            name: name.into(),
            fs_hz,
            sig_len: 0,
            leads: Vec::new(),
            annotations: BTreeMap::new(),
            comments: Vec::new(),
            base_time: None,
            base_date: None,
            counter: None,
            warnings: Vec::new(),
        }
    }

    /// Reads a record; the same as [`read`].
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Record> {
        read(path, options)
    }

    /// The lead of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none, [`Error::Data`] listing the indexes when several
    /// leads share the name (rule W33).
    pub fn lead(&self, name: &str) -> Result<&Lead> {
        let mut matches = self.leads.iter().enumerate().filter(|(_, lead)| lead.name == name);
        match (matches.next(), matches.next()) {
            (Some((_, lead)), None) => Ok(lead),
            (None, _) => Err(Error::Unknown {
                kind: "lead",
                name: name.to_string(),
                known: self.leads.iter().map(|lead| lead.name.clone()).collect(),
            }),
            (Some(_), Some(_)) => {
                let indexes: Vec<String> = self
                    .leads
                    .iter()
                    .enumerate()
                    .filter(|(_, lead)| lead.name == name)
                    .map(|(index, _)| index.to_string())
                    .collect();
                Err(Error::data(
                    &self.name,
                    format!(
                        "several leads are called \"{name}\": found indexes {}, expected one; \
                         choose by index [W33]",
                        indexes.join(", ")
                    ),
                ))
            }
        }
    }

    /// Points per second of a lead, in Hz.
    pub fn lead_fs_hz(&self, lead: &Lead) -> f64 {
        self.fs_hz * lead.samples_per_frame as f64
    }
}
