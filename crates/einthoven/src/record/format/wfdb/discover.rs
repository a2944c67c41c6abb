//! Which annotation files belong to a record.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Position, Result};
use crate::record::Annotators;
use crate::record::format::notes::{input, quoted};

use super::header::Header;

/// How sure it is that a file holds annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    /// It was named, or its extension is that of an annotator: faults are errors.
    Named,
    /// It merely lies beside the header: if it does not read as annotations, it is none.
    Guessed,
}

/// Extensions of PhysioNet's annotation files that are taken at their word.
const KNOWN: &[&str] = &[
    "atr", "ari", "qrs", "wqrs", "sqrs", "gqrs", "xqrs", "jqrs", "ecg", "ann", "aha", "man", "pu", "pu0", "pu1", "pu2",
    "q1c", "q2c", "qt1", "qt2", "ai", "apn", "bph", "ald", "al", "marker", "st", "sta", "stb", "stc", "16a", "cba",
    "i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6", "atr_avr",
];

/// Extensions that never hold annotations.
const OTHER: &[&str] = &[
    "hea",
    "dat",
    "mat",
    "csv",
    "txt",
    "json",
    "md",
    "html",
    "htm",
    "npy",
    "npz",
    "edf",
    "bdf",
    "dcm",
    "xml",
    "pdf",
    "png",
    "svg",
    "jpg",
    "zip",
    "gz",
    "xws",
    "tmp",
    "bak",
    "safetensors",
    "toml",
    "py",
    "rs",
];

/// Annotation files by annotator name, in order of the names.
///
/// # Errors
/// Rule A12 for a name that is no plain word; [`Error::Io`] when the folder cannot be listed.
pub(crate) fn annotation_files(header: &Header, annotators: &Annotators) -> Result<Vec<(String, PathBuf, Certainty)>> {
    let stem = header.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = header.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match annotators {
        Annotators::None => Ok(Vec::new()),
        Annotators::Named(names) => names
            .iter()
            .map(|name| {
                check_annotator(&header.path, name)?;
                Ok((name.clone(), folder.join(format!("{stem}.{name}")), Certainty::Named))
            })
            .collect(),
        Annotators::All => {
            let mut files = Vec::new();
            for entry in fs::read_dir(folder).map_err(|source| Error::io(folder, source))? {
                let entry = entry.map_err(|source| Error::io(folder, source))?;
                let file_name = entry.file_name();
                let Some(annotator) = file_name.to_str().and_then(|name| name.strip_prefix(&stem)?.strip_prefix('.'))
                else {
                    continue;
                };
                let lower = annotator.to_ascii_lowercase();
                let is_listed = header.signals.iter().any(|signal| file_name == *signal.file);
                // Signal files are also called d0, d1 and so on.
                let is_signal =
                    is_listed || lower.strip_prefix('d').is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
                if is_signal || OTHER.contains(&lower.as_str()) || check_annotator(&header.path, annotator).is_err() {
                    continue;
                }
                let path = folder.join(&file_name);
                if !fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                    continue;
                }
                let certainty = if KNOWN.contains(&lower.as_str()) { Certainty::Named } else { Certainty::Guessed };
                files.push((annotator.to_string(), path, certainty));
            }
            // The order of a folder's listing depends on the file system.
            files.sort();
            Ok(files)
        }
    }
}

/// An annotator's name is a plain word, which cannot leave the folder or reach a shell (rule A12).
pub(crate) fn check_annotator(path: &Path, name: &str) -> Result<()> {
    let is_plain = !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if is_plain {
        return Ok(());
    }
    let expected = "letters, digits, \"_\", \"-\" and \".\"";
    Err(input("A12", path, Position::File, "annotator", quoted(name), expected).into())
}

/// Whether an annotator's name would make its file look like another kind of file.
pub(crate) fn is_reserved(annotator: &str) -> bool {
    OTHER.contains(&annotator.to_ascii_lowercase().as_str())
}
