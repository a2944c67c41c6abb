//! WFDB, the format of PhysioNet: a header, signal files beside it, annotation files beside both.
//!
//! [`header`] has the text, `signal` the points, `segment` records made of records,
//! `annotation` the marks and [`write()`] the way back. Nothing here opens a file outside the
//! header's folder, and nothing is allocated from a declared size before it was compared with what
//! is there.
//!
//! # Reference
//! WFDB Applications Guide: header(5), signal(5), annot(5).

mod annotation;
mod annotation_write;
mod discover;
mod flac;
pub mod header;
mod lines;
mod number;
mod pack;
mod segment;
mod signal;
mod stream;
mod write;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Position, Result};
use crate::record::annotation::keep_range;
use crate::record::format::notes::{Notes, input, quoted};
use crate::record::{Annotation, Frames, ReadOptions, Record, Warning};

use annotation::Bounds;
pub(crate) use discover::check_annotator;
pub use header::Header;
pub(crate) use number::decimal;
pub use stream::RecordWriter;
pub(crate) use write::unify_gain;
pub use write::{write, write_annotations};

/// Reads a WFDB record; the path may lack the extension or name any of the record's files.
///
/// # Errors
/// [`Error::Io`] when a file is missing or unreadable; [`Error::Input`] with the rules W01-W33,
/// D02-D09, S01-S09 and A01-A12.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Record> {
    let path = header_path(path);
    let mut notes = Notes::new(options);
    let header = header::read_header(&path, &mut notes)?;
    check_name(&header, &mut notes)?;
    let (range, mut leads) = if header.segments.is_some() {
        segment::read_leads(&header, &mut notes)?
    } else {
        let (sig_len, mut leads) = signal::read_leads(&header, &mut notes)?;
        let range = checked_range(&header, sig_len, options)?;
        if range.len() < sig_len {
            leads.iter_mut().for_each(|lead| lead.keep_frames(&range));
        }
        (range, leads)
    };
    if options.frames != Frames::Native {
        leads.iter_mut().for_each(|lead| lead.average_frames(options.frames));
    }
    // A record without signals does not say how long it is, nor which channels it has.
    let bounds = (header.n_signals > 0)
        .then(|| Bounds { sig_len: header.sig_len.unwrap_or(range.end as u64), n_signals: header.n_signals });
    let mut annotations = BTreeMap::new();
    for (annotator, file, certainty) in discover::annotation_files(&header, &options.annotators)? {
        let read = annotation::read_file_of(&file, Some(header.fs_hz), bounds, certainty, &mut notes)?;
        if let Some(mut marks) = read {
            if options.range.is_some() {
                keep_range(&mut marks, &range);
            }
            annotations.insert(annotator, marks);
        }
    }
    Ok(Record {
        name: header.name,
        fs_hz: header.fs_hz,
        sig_len: range.len(),
        leads,
        annotations,
        comments: header.comments,
        base_time: header.base_time,
        base_date: header.base_date,
        counter: header.counter,
        warnings: notes.warnings,
    })
}

/// Reads only the header of a record, with the deviations that were accepted.
///
/// # Errors
/// As [`read`], as far as the header goes.
pub fn read_header(path: impl AsRef<Path>, options: &ReadOptions) -> Result<(Header, Vec<Warning>)> {
    let mut notes = Notes::new(options);
    let header = header::read_header(&header_path(path.as_ref()), &mut notes)?;
    Ok((header, notes.warnings))
}

/// Reads an annotation file by itself. `fs_hz` is the rate to which times are scaled where the
/// file states another resolution (rule A10); bounds are not checked.
///
/// # Errors
/// [`Error::Io`], and rules A01-A08 and A11.
pub fn read_annotations(
    path: impl AsRef<Path>,
    fs_hz: Option<f64>,
    options: &ReadOptions,
) -> Result<(Vec<Annotation>, Vec<Warning>)> {
    let mut notes = Notes::new(options);
    let certainty = discover::Certainty::Named;
    let marks = annotation::read_file_of(path.as_ref(), fs_hz, None, certainty, &mut notes)?;
    Ok((marks.unwrap_or_default(), notes.warnings))
}

/// The header of a record: the path itself, with `.hea` behind it, or instead of its extension.
fn header_path(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("hea")) {
        return path.to_path_buf();
    }
    let mut appended = OsString::from(path.as_os_str());
    appended.push(".hea");
    let appended = PathBuf::from(appended);
    let replaced = path.with_extension("hea");
    if !appended.exists() && replaced.exists() { replaced } else { appended }
}

/// The record line must bear the name of the file (rule W24).
fn check_name(header: &Header, notes: &mut Notes) -> Result<()> {
    let stem = header.path.file_stem().unwrap_or_default().to_string_lossy();
    if header.name != stem {
        let at = Position::LineColumn(header.line, 1);
        let expected = format!("{} as the file is called", quoted(&stem));
        let mut error = input("W24", &header.path, at, "record name", quoted(&header.name), expected);
        error.hint = "rename the file or correct the record line".into();
        notes.deviation(error, "kept the name in the record line")?;
    }
    Ok(())
}

/// The frames asked for, which must lie in the record.
fn checked_range(header: &Header, sig_len: usize, options: &ReadOptions) -> Result<Range<usize>> {
    let range = options.range.clone().unwrap_or(0..sig_len);
    if range.start > range.end || range.end > sig_len {
        let reason =
            format!("found {}..{}, expected frames within 0..{sig_len} of {}", range.start, range.end, header.name);
        return Err(Error::config("range", reason));
    }
    Ok(range)
}
