//! Records to WFDB piece by piece, for recordings that are too long to be held in memory.
//!
//! The files have the bytes that [`super::write()`] gives a record in format 16 as a whole. They are written beside their
//! names and renamed at the end, the header last, so that a record is there whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::record::{Annotation, Lead, MISSING, Record, StorageFormat};

use super::annotation_write::Encoder;
use super::discover::check_annotator;
use super::write::{Prepared, header_text, plain_name};

/// A record that grows.
pub struct RecordWriter {
    /// Leads without points; the header is made from them.
    record: Record,
    header: PathBuf,
    name: String,
    signal: Part,
    annotators: Vec<(Encoder, Part)>,
    sums: Vec<i32>,
}

/// A file under its temporary name.
struct Part {
    path: PathBuf,
    file: BufWriter<File>,
    temporary: Temporary,
}

/// A name under which nothing is left.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // A finished file has been renamed by now; one that cannot be removed is harmless.
        let _ = fs::remove_file(&self.0);
    }
}

impl Part {
    fn create(path: PathBuf) -> Result<Part> {
        let mut name = std::ffi::OsString::from(crate::run::TEMPORARY_PREFIX);
        name.push(path.file_name().unwrap_or_default());
        let temporary = Temporary(path.with_file_name(name));
        let file = File::create(&temporary.0).map_err(|source| Error::io(&temporary.0, source))?;
        Ok(Part { path, file: BufWriter::new(file), temporary })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| Error::io(&self.path, source))
    }

    fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|source| Error::io(&self.path, source))?;
        fs::rename(&self.temporary.0, &self.path).map_err(|source| Error::io(&self.path, source))
    }
}

impl RecordWriter {
    /// Opens the files of a record whose leads have their calibration but no points yet; `path` is that of the header.
    ///
    /// # Errors
    /// [`Error::Io`]; rule A12 for an annotator's name; [`Error::Config`] for a record name that is no plain word.
    pub fn create(path: &Path, record: Record, annotators: &[&str]) -> Result<RecordWriter> {
        let name = plain_name(path)?;
        let beside = |extension: &str| path.with_file_name(format!("{name}.{extension}"));
        let signal = Part::create(beside("dat"))?;
        let annotators = annotators
            .iter()
            .map(|annotator| {
                check_annotator(path, annotator)?;
                Ok((Encoder::default(), Part::create(beside(annotator))?))
            })
            .collect::<Result<_>>()?;
        let sums = vec![0; record.leads.len()];
        Ok(RecordWriter { header: beside("hea"), name, signal, annotators, sums, record })
    }

    /// Adds frames, `[frame, lead]`; [`MISSING`] marks a missing point.
    ///
    /// # Errors
    /// [`Error::Data`] for a point outside 16 bits, [`Error::Io`].
    pub fn push_frames(&mut self, points: &[i32]) -> Result<()> {
        let n_leads = self.record.leads.len().max(1);
        let (low, high) = StorageFormat::F16.range();
        if self.record.sig_len == 0 {
            for (lead, &point) in self.record.leads.iter_mut().zip(points) {
                lead.initial_adu = if point == MISSING { i32::from(i16::MIN) } else { point };
            }
        }
        let mut bytes = vec![0; 2 * points.len()];
        let (stored, _) = bytes.as_chunks_mut::<2>();
        for (k, (frame, stored)) in points.chunks(n_leads).zip(stored.chunks_mut(n_leads)).enumerate() {
            for (lead, ((&point, stored), sum)) in frame.iter().zip(stored).zip(&mut self.sums).enumerate() {
                if point != MISSING && !(low..=high).contains(&point) {
                    let (name, frame) = (&self.record.leads[lead].name, self.record.sig_len + k);
                    let reason = format!("lead {name}, frame {frame}: found {point}, expected {low} to {high} [D12]");
                    return Err(Error::data(&self.name, reason));
                }
                let value = if point == MISSING { i16::MIN } else { point as i16 };
                *sum = sum.wrapping_add(i32::from(value));
                *stored = value.to_le_bytes();
            }
        }
        self.record.sig_len += points.len() / n_leads;
        self.signal.write(&bytes)
    }

    /// Adds annotations, which must come in the order of time, with standard symbols.
    ///
    /// # Errors
    /// Rules A05, A07 and A08; [`Error::Io`].
    pub fn push_annotations(&mut self, annotator: usize, marks: &[Annotation]) -> Result<()> {
        let (encoder, part) = &mut self.annotators[annotator];
        let bytes = encoder.next(&part.path, marks)?;
        part.write(&bytes)
    }

    /// Replaces the comments, which are written at the end.
    pub fn set_comments(&mut self, comments: Vec<String>) {
        self.record.comments = comments;
    }

    /// Ends the files and writes the header.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<()> {
        self.signal.finish()?;
        for (_, mut part) in self.annotators {
            part.write(&[0, 0])?;
            part.finish()?;
        }
        for (lead, sum) in self.record.leads.iter_mut().zip(self.sums) {
            lead.format = StorageFormat::F16;
            lead.checksum = Some(sum as i16);
        }
        let prepared: Vec<Prepared> =
            self.record.leads.iter().map(|lead: &Lead| Prepared { lead: lead.clone(), stored: Vec::new() }).collect();
        let files = vec![format!("{}.dat", self.name); prepared.len()];
        let mut header = Part::create(self.header)?;
        header.write(header_text(&self.record, &self.name, &prepared, &files).as_bytes())?;
        header.finish()
    }
}
