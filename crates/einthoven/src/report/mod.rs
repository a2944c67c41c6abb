//! What a run found, as plain data, and its renderings.
//!
//! A [`Report`] holds every number, table and figure with units in the names of the fields.
//! [`Report::to_json`] writes it, [`Report::read`] reads it back, and [`Report::to_html`] and
//! [`Report::to_markdown`] render it: whatever a page shows can be had again from the JSON alone.
//! Nothing is computed here but the layout; metrics and intervals come from `metrics` and `evaluation`.

mod estimate;
mod figure;
mod html;
mod json;
mod markdown;
mod plot;
pub mod sheet;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

pub use estimate::{Estimate, Published};
pub use figure::{
    BarSeries, Bars, BeatOverlay, BeatPanel, ConfusionMatrix, ConfusionPanel, Figure, Forest, ForestRow, Histogram,
    HistogramSeries, Line, LineSeries, MAX_OVERLAID_BEATS, Margin, Marker, Plot, Reliability, ReliabilityBin,
    ReliabilitySeries, Spectrum, SpectrumPanel, SpectrumSeries,
};
pub use table::{Better, Cell, Column, Row, RowKind, Table};

/// Version of the layout of `report.json`; a reader refuses a newer one.
pub const SCHEMA_VERSION: u32 = 1;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this layout.
    pub schema_version: u32,
    /// What the report is about, in one line.
    pub title: String,
    /// What was done and what came out, in plain words, a paragraph each.
    #[serde(rename = "abstract", default)]
    pub abstract_text: Vec<String>,
    /// Name of the preset.
    pub preset: String,
    /// Seed of the run.
    pub seed: u64,
    /// Device that it ran on, such as `cpu`.
    pub device: String,
    /// The command that makes this report again.
    pub command: String,
    /// Version of the tool.
    pub version: String,
    /// Commit of the tool; empty when not known.
    #[serde(default)]
    pub commit: String,
    /// What the data were: name, fingerprint, counts per split, class and patient.
    pub data: Value,
    /// The machine: cores, memory, threads.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub environment: Value,
    /// The configuration in full, with every default.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    /// The few numbers that matter, by name with unit, such as `student_snr_difference_db`.
    pub headline: BTreeMap<String, Estimate>,
    /// How the headline is laid out; a number in no group is shown last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headline_groups: Vec<HeadlineGroup>,
    /// How the intervals were made, in one sentence.
    #[serde(default)]
    pub intervals: String,
    /// Sections in reading order.
    pub sections: Vec<Section>,
    /// Tables by id.
    pub tables: BTreeMap<String, Table>,
    /// Figures by id.
    pub figures: BTreeMap<String, Figure>,
    /// What these results do not show, in plain words.
    pub limits: Vec<String>,
    /// Literature, numbered in this order.
    pub references: Vec<Reference>,
    /// Measurements before any summary, by name with unit, such as `teacher_time_s`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, Value>,
}

/// Headline numbers that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadlineGroup {
    /// What they have in common.
    pub title: String,
    /// A warning that must not be missed, such as "not comparable"; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stamp: String,
    /// Keys of `Report::headline`, in order.
    pub keys: Vec<String>,
}

/// A part of the report under a heading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Short lower-case name, unique in the report.
    pub id: String,
    /// Heading.
    pub title: String,
    /// Contents in reading order.
    pub blocks: Vec<Block>,
}

/// One thing in a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Block {
    /// A paragraph.
    Text {
        /// Its words, without markup.
        text: String,
    },
    /// A remark set apart, such as the reading of an unexpected result.
    Note {
        /// Its words, without markup.
        text: String,
    },
    /// One of [`Report::tables`].
    Table {
        /// Its key.
        id: String,
    },
    /// One of [`Report::figures`].
    Figure {
        /// Its key.
        id: String,
    },
}

/// An entry of the literature list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Short name by which tables point to it.
    pub key: String,
    /// Authors, title, journal, year, identifier.
    pub text: String,
}

/// Appends blocks to the section that [`Report::section`] opened.
#[derive(Debug)]
pub struct SectionWriter<'a> {
    report: &'a mut Report,
    index: usize,
}

impl Report {
    /// An empty report of this version of the tool.
    pub fn new(preset: impl Into<String>, seed: u64, device: impl Into<String>) -> Report {
        Report {
            schema_version: SCHEMA_VERSION,
            title: String::new(),
            abstract_text: Vec::new(),
            preset: preset.into(),
            seed,
            device: device.into(),
            command: String::new(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: String::new(),
            data: Value::Object(serde_json::Map::new()),
            environment: Value::Null,
            config: Value::Null,
            headline: BTreeMap::new(),
            headline_groups: Vec::new(),
            intervals: String::new(),
            sections: Vec::new(),
            tables: BTreeMap::new(),
            figures: BTreeMap::new(),
            limits: Vec::new(),
            references: Vec::new(),
            raw: BTreeMap::new(),
        }
    }

    /// Opens a new section; what is appended to the writer lands in it.
    pub fn section(&mut self, id: impl Into<String>, title: impl Into<String>) -> SectionWriter<'_> {
        self.sections.push(Section { id: id.into(), title: title.into(), blocks: Vec::new() });
        let index = self.sections.len() - 1;
        SectionWriter { report: self, index }
    }

    /// Adds a group of headline numbers in the order given.
    pub fn headline_group(
        &mut self,
        title: impl Into<String>,
        stamp: impl Into<String>,
        entries: impl IntoIterator<Item = (impl Into<String>, Estimate)>,
    ) {
        let mut keys = Vec::new();
        for (key, estimate) in entries {
            let key = key.into();
            keys.push(key.clone());
            self.headline.insert(key, estimate);
        }
        self.headline_groups.push(HeadlineGroup { title: title.into(), stamp: stamp.into(), keys });
    }

    /// The headline in reading order: every group with the keys that have a number, then one of all that are in none.
    pub fn headline_layout(&self) -> Vec<HeadlineGroup> {
        let mut layout = self.headline_groups.clone();
        layout.iter_mut().for_each(|group| group.keys.retain(|key| self.headline.contains_key(key)));
        layout.retain(|group| !group.keys.is_empty());
        let is_grouped = |key: &String| layout.iter().any(|group| group.keys.contains(key));
        let keys: Vec<String> = self.headline.keys().filter(|key| !is_grouped(key)).cloned().collect();
        if !keys.is_empty() {
            let title = if layout.is_empty() { "" } else { "Further results" };
            layout.push(HeadlineGroup { title: title.into(), stamp: String::new(), keys });
        }
        layout
    }

    /// Adds an entry to the literature list, once.
    pub fn reference(&mut self, key: impl Into<String>, text: impl Into<String>) {
        let key = key.into();
        if !self.references.iter().any(|reference| reference.key == key) {
            self.references.push(Reference { key, text: text.into() });
        }
    }

    /// Number of the reference with this key in the printed list, counted from 1.
    pub(crate) fn reference_number(&self, key: &str) -> Option<usize> {
        self.references.iter().position(|reference| reference.key == key).map(|index| index + 1)
    }

    /// Writes `report.json`, `report.html` and `report.md` into a folder and returns the path of the page.
    ///
    /// Each file appears whole or not at all: it is written beside its place and then renamed.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be made or a file cannot be written.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let page = folder.join("report.html");
        write_whole(&folder.join("report.json"), &self.to_json())?;
        write_whole(&folder.join("report.md"), &self.to_markdown())?;
        write_whole(&page, &self.to_html())?;
        Ok(page)
    }
}

impl SectionWriter<'_> {
    /// Appends a paragraph.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.push(Block::Text { text: text.into() })
    }

    /// Appends a remark that is set apart.
    pub fn note(self, text: impl Into<String>) -> Self {
        self.push(Block::Note { text: text.into() })
    }

    /// Appends a table; a table with the same id is replaced.
    pub fn table(self, table: Table) -> Self {
        let id = table.id.clone();
        self.report.tables.insert(id.clone(), table);
        self.push(Block::Table { id })
    }

    /// Appends a figure; a figure with the same id is replaced.
    pub fn figure(self, figure: Figure) -> Self {
        let id = figure.id.clone();
        self.report.figures.insert(id.clone(), figure);
        self.push(Block::Figure { id })
    }

    fn push(self, block: Block) -> Self {
        self.report.sections[self.index].blocks.push(block);
        self
    }
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| {
        // The remainder is of no use; that it may be gone already does not matter.
        let _ = std::fs::remove_file(&beside);
        Error::io(path, source)
    })
}
