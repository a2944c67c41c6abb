//! File formats for records, and the list of them.
//!
//! A format is one file (or folder) here and one entry in [`FORMATS`].

pub mod aecg;
pub mod csv;
pub(crate) mod description;
pub mod dicom;
pub mod edf;
pub(crate) mod finish;
pub(crate) mod fit;
pub(crate) mod notes;
pub mod npz;
pub mod parquet;
pub(crate) mod start_time;
pub(crate) mod synthetic;
pub mod wfdb;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::record::{ReadOptions, Record, Warning, WriteOptions};

/// An entry of [`FORMATS`].
#[derive(Debug, Clone, Copy)]
pub struct RecordFormat {
    /// Name as users type it.
    pub name: &'static str,
    /// One line for `einthoven list formats`.
    pub summary: &'static str,
    /// File extensions, without the dot; the first is the one that is written.
    pub extensions: &'static [&'static str],
    /// Reads the record at a path.
    pub read: fn(&Path, &ReadOptions) -> Result<Record>,
    /// Writes a record and returns what was changed on the way.
    pub write: fn(&Record, &Path, &WriteOptions) -> Result<Vec<Warning>>,
}

/// Every format that can be read and written.
pub static FORMATS: &[RecordFormat] = &[
    RecordFormat {
        name: "wfdb",
        summary: "PhysioNet WFDB: header, signal files in all storage formats, MIT annotations",
        extensions: &["hea"],
        read: wfdb::read,
        write: wfdb::write,
    },
    RecordFormat {
        name: "csv",
        summary: "text table: one column for each lead in its unit, calibration and annotations in comments",
        extensions: &["csv"],
        read: csv::read,
        write: csv::write,
    },
    RecordFormat {
        name: "edf",
        summary: "EDF and EDF+: 16-bit signals of any rates, gaps, annotations",
        extensions: &["edf", "bdf"],
        read: edf::read,
        write: edf::write,
    },
    RecordFormat {
        name: "dicom",
        summary: "DICOM ECG waveform: 12-lead or general ECG object with annotations",
        extensions: &["dcm"],
        read: dicom::read,
        write: dicom::write,
    },
    RecordFormat {
        name: "aecg",
        summary: "HL7 annotated ECG: one XML document",
        extensions: &["xml"],
        read: aecg::read,
        write: aecg::write,
    },
    RecordFormat {
        name: "parquet",
        summary: "Parquet table: one row for a record, lists of leads and points",
        extensions: &["parquet"],
        read: parquet::read,
        write: parquet::write,
    },
    RecordFormat {
        name: "npz",
        summary: "NumPy archive: digital points, calibration, and millivolts",
        extensions: &["npz"],
        read: npz::read,
        write: npz::write,
    },
];

/// Reads a record; the extension chooses the format, and without one it is WFDB.
///
/// # Errors
/// [`Error::Io`] when a file is missing or unreadable, [`Error::Input`] when its content breaks
/// the format.
pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Record> {
    let path = path.as_ref();
    let Some(format) = by_extension(path) else {
        refuse_other(path)?;
        return (FORMATS[0].read)(path, options);
    };
    (format.read)(path, options)
}

/// Refuses what exists and is no record: a folder, or a file of another kind without a header beside it.
fn refuse_other(path: &Path) -> Result<()> {
    let beside = path.file_name().map(|name| path.with_file_name(format!("{}.hea", name.to_string_lossy())));
    if path.with_extension("hea").is_file() || beside.is_some_and(|header| header.is_file()) {
        return Ok(());
    }
    let name = path.display().to_string();
    if path.is_dir() {
        return Err(Error::data(name, "found a folder, expected a record"));
    }
    if path.is_file() {
        let known: Vec<&str> = FORMATS.iter().flat_map(|format| format.extensions).copied().collect();
        let reason =
            format!("found a file of no known format and no header beside it, expected one of {}", known.join(", "));
        return Err(Error::data(name, reason));
    }
    Ok(())
}

/// Where a record that is called `path` goes: with `.hea` where it has no extension, because that is WFDB.
///
/// # Errors
/// [`Error::Unknown`] for an extension that is not in [`FORMATS`].
pub fn destination(path: &Path) -> Result<PathBuf> {
    match path.extension() {
        None => Ok(path.with_extension("hea")),
        Some(_) => by_extension(path).map(|_| path.to_path_buf()).ok_or_else(|| unknown(path)),
    }
}

/// Writes a record in the format of the path's extension. Returns what had to be changed.
///
/// # Errors
/// [`Error::Unknown`] for an extension that is not in [`FORMATS`], [`Error::Guard`] when a file
/// exists and may not be overwritten, rule D12 for values that the format cannot hold.
pub fn write(record: &Record, path: impl AsRef<Path>, options: &WriteOptions) -> Result<Vec<Warning>> {
    let path = path.as_ref();
    let format = by_extension(path).ok_or_else(|| unknown(path))?;
    (format.write)(record, path, options)
}

fn unknown(path: &Path) -> Error {
    Error::Unknown {
        kind: "record format",
        name: path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default(),
        known: FORMATS.iter().flat_map(|format| format.extensions).map(|e| (*e).to_string()).collect(),
    }
}

/// The format whose extension the path has.
fn by_extension(path: &Path) -> Option<&'static RecordFormat> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    FORMATS.iter().find(|format| format.extensions.contains(&extension.as_str()))
}

/// Refuses to replace files unless that was allowed.
///
/// # Errors
/// [`Error::Guard`] naming the first file that exists.
pub(crate) fn guard_overwrite(paths: &[PathBuf], may_overwrite: bool) -> Result<()> {
    match paths.iter().find(|path| !may_overwrite && path.exists()) {
        Some(path) => {
            let reason = format!("{} exists; choose another name, or add --force", path.display());
            Err(Error::Guard { code: "overwrite", reason })
        }
        None => Ok(()),
    }
}
