//! The comparison over a folder of WFDB records.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Comparison, Counts, compare};
use crate::error::{Error, Result};
use crate::record::format::wfdb::{check_annotator, read_annotations, read_header};
use crate::record::{Annotation, ReadOptions, Warning};

/// What is compared with what.
#[derive(Debug, Clone, PartialEq)]
pub struct FolderComparison {
    /// Annotator that is taken to be right, such as `atr`.
    pub reference: String,
    /// Annotator under test.
    pub test: String,
    /// Where the files of the annotator under test lie; beside the records if `None`.
    pub test_folder: Option<PathBuf>,
    /// Seconds at the start of each record that do not count; [`LEARNING_S`](super::LEARNING_S) by the standard.
    pub learning_s: f64,
}

/// Compares two annotators over every record of a folder that has a file of the reference.
///
/// # Errors
/// [`Error::Io`] when the folder or the test's file of a record cannot be read, [`Error::Input`] for a broken file or a
/// name that no annotator can have, [`Error::Data`] when no record has a reference, or none has a beat after the
/// learning period, [`Error::Config`] for a negative learning period.
pub fn compare_folder(folder: &Path, what: &FolderComparison) -> Result<Comparison> {
    if !(what.learning_s >= 0.0) {
        return Err(Error::config("learning_s", format!("{}, expected seconds, 0 or more", what.learning_s)));
    }
    check_annotator(folder, &what.reference)?;
    check_annotator(folder, &what.test)?;
    let (mut records, mut warnings) = (Vec::new(), Vec::new());
    for header in headers(folder)? {
        let reference = header.with_extension(&what.reference);
        if reference.is_file() {
            records.push(compare_record(folder, &header, &reference, what, &mut warnings)?);
        }
    }
    if records.is_empty() {
        let reason = format!("found no record with an annotation file .{}, expected at least one", what.reference);
        return Err(Error::data(folder.display().to_string(), reason));
    }
    let mut comparison = Comparison::of(records);
    if comparison.records.iter().all(|record| record.n_reference + record.n_extra == 0) {
        let reason = format!("found no beat after the first {} s, which do not count", what.learning_s);
        return Err(Error::data(folder.display().to_string(), reason));
    }
    comparison.warnings = warnings.iter().map(Warning::to_string).collect();
    Ok(comparison)
}

/// The headers of a folder and the folders in it, in the order of their paths. Links are not followed.
///
/// # Errors
/// [`Error::Io`] when a folder cannot be listed.
pub fn headers(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut headers = Vec::new();
    collect(folder, &mut headers)?;
    // The order of a folder's listing depends on the file system.
    headers.sort();
    Ok(headers)
}

fn collect(folder: &Path, headers: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|source| Error::io(folder, source))? {
        let entry = entry.map_err(|source| Error::io(folder, source))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(|source| Error::io(folder, source))?);
        if kind.is_dir() {
            collect(&path, headers)?;
        } else if path.extension().is_some_and(|extension| extension == "hea") {
            headers.push(path);
        }
    }
    Ok(())
}

fn compare_record(
    folder: &Path,
    header: &Path,
    reference: &Path,
    what: &FolderComparison,
    warnings: &mut Vec<Warning>,
) -> Result<(String, Counts)> {
    let options = ReadOptions::lenient();
    let (read, _) = read_header(header, &options)?;
    let mut marks = |path: &Path| -> Result<Vec<Annotation>> {
        let (mut marks, repaired) = read_annotations(path, Some(read.fs_hz), &options)?;
        warnings.extend(repaired);
        marks.sort_by_key(|mark| mark.sample);
        Ok(marks)
    };
    let below = header.strip_prefix(folder).unwrap_or(header);
    let test = match &what.test_folder {
        Some(folder) => folder.join(below).with_extension(&what.test),
        None => header.with_extension(&what.test),
    };
    let (reference, test) = (marks(reference)?, marks(&test)?);
    // A header without a length leaves it to the last annotation.
    let last = reference.last().map_or(0, |mark| mark.sample.max(0) as usize);
    let sig_len = read.sig_len.map_or(last, |sig_len| sig_len as usize);
    let counts = compare(&reference, &test, read.fs_hz, sig_len, what.learning_s);
    let name = match below.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => format!("{}/{}", parent.display(), read.name),
        _ => read.name.clone(),
    };
    Ok((name, counts))
}
