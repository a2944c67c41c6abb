//! Public databases that can be opened as data sets, one file each.
//!
//! An entry knows how its database is laid out, what its licence asks, and which deviations of its
//! files from the format are known and accepted by name. Nothing is downloaded here: see
//! [`fetch`](super::fetch) for the open ones.

pub mod chapman;
pub mod cinc2017;
pub mod cinc2021;
pub mod code15;
pub mod deepfake;
pub mod ecgid;
pub mod folder;
pub mod ludb;
pub mod mimic_iv_ecg;
pub mod mitdb;
pub mod nstdb;
pub mod patients;
pub mod ptbxl;
pub mod ptbxl_plus;
pub mod qtdb;
pub mod recordings;
pub mod simulated;
pub mod whose;

use std::path::Path;

use serde_json::{Value, json};

use super::Dataset;
use super::label::{self, AAMI, LabelSet};
use super::window::RecordOptions;
use crate::beat::segment::Window;
use crate::error::{Error, Result};

/// An entry of the catalogue.
pub trait Database: Sync {
    /// Name, as typed by users.
    fn name(&self) -> &'static str;
    /// One line for listings.
    fn summary(&self) -> &'static str;
    /// Version whose layout and checksums are known.
    fn version(&self) -> &'static str;
    /// Licence by its SPDX identifier, or in words.
    fn license(&self) -> &'static str;
    /// BibTeX of what must be cited.
    fn reference(&self) -> &'static str;
    /// Codes of reader rules that this database breaks and that are waived for it, with the reason.
    fn waivers(&self) -> &'static [(&'static str, &'static str)];
    /// What the folder must hold, for messages and documentation.
    fn layout(&self) -> &'static str;
    /// Where the files are published, with a slash at the end; empty if they cannot be downloaded freely.
    fn url(&self) -> &'static str;
    /// Published files with their checksums; empty if they are not built in.
    fn files(&self) -> Vec<PublishedFile> {
        Vec::new()
    }
    /// The server's own list of checksums, below [`url`](Database::url), where the files are not built in.
    fn checksum_list(&self) -> &'static str {
        if self.url().is_empty() { "" } else { "SHA256SUMS.txt" }
    }
    /// Label sets by name that the database can serve, the usual one first.
    fn label_sets(&self) -> &'static [&'static str] {
        &["aami", "nine-symbol"]
    }
    /// Split by name that suits the database unless its user chooses another.
    fn usual_split(&self) -> &'static str {
        "inter"
    }
    /// What an item is: a `beat`, or a `record window`.
    fn item(&self) -> &'static str {
        recordings::ITEM
    }
    /// Makes a data set of a folder of the database; a simulated one needs none.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Input`] of the record reader; [`Error::Config`] for options that the
    /// database cannot serve.
    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset>;
}

/// A file as its database publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Path below the database's folder.
    pub path: &'static str,
    /// SHA-256 in hexadecimal.
    pub sha256: &'static str,
    /// Size in bytes.
    pub n_bytes: u64,
}

/// How beats or windows of records are cut.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Labels of the items; they also say whether paced records are kept.
    pub labels: &'static LabelSet,
    /// Window around the R annotation, for databases of beats.
    pub window: Window,
    /// Zero-phase Butterworth high-pass of second order over the whole record, in Hz; none by default,
    /// because a filter is a choice that its user should make and that the provenance names.
    pub high_pass_hz: Option<f64>,
    /// Records to open; all of the database if empty.
    pub records: Vec<String>,
    /// Seed of a simulated database; the others do not look at it.
    pub seed: u64,
    /// How whole records become items; databases of beats do not look at it.
    pub whole: RecordOptions,
}

impl OpenOptions {
    /// The usual options of a database: its usual labels, everything else by default.
    ///
    /// # Errors
    /// [`Error::Unknown`] if the database names a label set that does not exist.
    pub fn of(database: &dyn Database) -> Result<OpenOptions> {
        let labels = database.label_sets().first().map_or(Ok(&AAMI), |name| label::label_set(name))?;
        Ok(OpenOptions { labels, ..OpenOptions::default() })
    }
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            labels: &AAMI,
            window: Window::BEAT,
            high_pass_hz: None,
            records: Vec::new(),
            seed: 1,
            whole: RecordOptions::default(),
        }
    }
}

/// Every database of the catalogue.
pub static DATABASES: &[&dyn Database] = &[
    &mitdb::Mitdb,
    &simulated::Simulated,
    &ptbxl::PtbXl,
    &ptbxl_plus::PtbXlPlus,
    &cinc2021::Cinc2021,
    &chapman::Chapman,
    &mimic_iv_ecg::MimicIvEcg,
    &code15::Code15,
    &ludb::Ludb,
    &qtdb::Qtdb,
    &cinc2017::Cinc2017,
    &ecgid::EcgId,
    &nstdb::Nstdb,
    &deepfake::DeepFake,
    &folder::Folder,
];

/// The database of that name.
///
/// # Errors
/// [`Error::Unknown`] with the known names.
pub fn database(name: &str) -> Result<&'static dyn Database> {
    DATABASES.iter().find(|database| database.name() == name).copied().ok_or_else(|| Error::Unknown {
        kind: "database",
        name: name.into(),
        known: DATABASES.iter().map(|database| database.name().into()).collect(),
    })
}

/// What every data set of this database says about its source.
pub(crate) fn source_provenance(database: &dyn Database, options: &OpenOptions) -> Value {
    json!({
        "source": database.name(),
        "version": database.version(),
        "license": database.license(),
        "reference": database.reference(),
        "synthetic": false,
        "label_set": options.labels.name,
        "window": options.window,
        "high_pass_hz": options.high_pass_hz,
        "waivers": database.waivers().iter().map(|(code, reason)| json!({ "code": code, "reason": reason })).collect::<Vec<_>>(),
    })
}
