//! HL7 annotated ECG (aECG): one XML document for a recording.
//!
//! A series has sets of sequences: one of time, one for each lead, with origin, scale and digits.
//! `xml` reads the text and refuses whatever could expand, [`write()`] is the way back. Subject, site
//! and trial are not read, and neither are annotation sets of other software.
//!
//! # Reference
//! HL7 aECG Implementation Guide, 21 March 2005; schema PORT_MT020001.

mod write;
mod xml;

use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{Description, PREFIX};
use crate::record::format::finish::finish;
use crate::record::format::fit::snapped;
use crate::record::format::notes::{Notes, input, quoted, read_file};
use crate::record::format::start_time::of_digits;
use crate::record::format::synthetic;
use crate::record::format::wfdb::decimal;
use crate::record::{Lead, MISSING, ReadOptions, Record, StorageFormat, lead_law};

pub use write::write;
use xml::{Fault, Piece};

/// Prefix of lead codes in ISO/IEEE 11073.
const LEAD_CODE: &str = "MDC_ECG_LEAD_";
/// Key of the line that names the digits of a missing point.
const MISSING_KEY: &str = "missing_adu";

/// Reads an HL7 annotated ECG.
///
/// Of several sets of sequences the first one of the rhythm is read, and a warning names the others;
/// derived series (representative beats) are passed over.
///
/// # Errors
/// [`Error::Io`]; rule X03 with line and column.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Record> {
    let mut notes = Notes::new(options);
    let bytes = read_file(path, u64::MAX, "X03")?;
    let text = match std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)) {
        Ok(text) => text,
        Err(error) => {
            let at = Position::Byte(error.valid_up_to() as u64);
            return Err(input("X03", path, at, "document", "bytes that are no UTF-8", "UTF-8 text").into());
        }
    };
    let mut document = Document::default();
    xml::walk(text, |names, piece| document.take(names, piece)).map_err(|fault| located(fault, text, path))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut description = Description::new(&stem);
    let mut missing = None;
    for line in document.text.lines() {
        match line.strip_prefix(PREFIX).and_then(|line| line.strip_prefix(MISSING_KEY)) {
            Some(value) => missing = value.trim_start_matches(':').trim().parse::<i32>().ok(),
            None => {
                description.prefixed(line, ("X03", path, Position::File), &mut notes);
            }
        }
    }
    let mut record = Record::new(stem, f64::NAN);
    (record.base_date, record.base_time) = of_digits(&document.start);
    fill(&mut record, document.sets, &description, text, path, &mut notes)?;
    if let Some(missing) = missing {
        let points = record.leads.iter_mut().flat_map(|lead| &mut lead.adu);
        points.filter(|point| **point == missing).for_each(|point| *point = MISSING);
    }
    description.apply(&mut record, ("X03", path, Position::File), &mut notes);
    if document.is_synthetic {
        synthetic::keep_mark(&mut record);
    }
    finish(record, path, options, notes)
}

/// A broken rule with line and column.
fn located(fault: Fault, text: &str, path: &Path) -> Error {
    let Fault { at, field, found, expected } = fault;
    input("X03", path, line_column(text, at), field, found, expected).into()
}

/// Line and column of a byte.
fn line_column(text: &str, at: usize) -> Position {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    // Columns count characters: bytes that do not continue one.
    let column = before[start..].iter().filter(|&&byte| byte & 0xc0 != 0x80).count() + 1;
    Position::LineColumn(line, column)
}

/// What has been read of the document.
#[derive(Default)]
struct Document {
    text: String,
    start: String,
    is_synthetic: bool,
    sets: Vec<Set>,
    /// The sequence that is open.
    sequence: Option<Sequence>,
    series_code: String,
}

/// Sequences that share one time axis.
#[derive(Default)]
struct Set {
    at: usize,
    series_code: String,
    step_s: Option<f64>,
    leads: Vec<Sequence>,
}

#[derive(Default)]
struct Sequence {
    at: usize,
    code: String,
    display: String,
    step_s: Option<f64>,
    origin: (f64, String),
    scale: Option<(f64, String)>,
    digits: Vec<i32>,
    has_head: bool,
}

impl Document {
    /// One piece of XML at a path of names.
    fn take(&mut self, names: &[String], piece: Piece) -> std::result::Result<(), Fault> {
        let in_derived = names.iter().any(|name| name == "derivedSeries");
        match piece {
            Piece::Start { name, attributes, at } => {
                if names.len() == 1 && name != "AnnotatedECG" {
                    let found = format!("\"{}\"", name.escape_debug());
                    return Err(fault(at, "root element", found, "\"AnnotatedECG\""));
                }
                if !in_derived {
                    self.begin(names, &name, &attributes, at)?;
                }
            }
            Piece::Text { text, at } => self.text(names, &text, at, in_derived)?,
            Piece::End if !in_derived && names.last().is_some_and(|name| name == "sequence") => self.close(),
            Piece::End => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        names: &[String],
        name: &str,
        attributes: &[(String, String)],
        at: usize,
    ) -> std::result::Result<(), Fault> {
        let attribute = |wanted: &str| {
            let found = attributes.iter().find(|(name, _)| name == wanted);
            found.map_or("", |(_, value)| value.as_str())
        };
        let parent = names.iter().rev().nth(1).map_or("", String::as_str);
        let quantity = |field: &str| -> std::result::Result<(f64, String), Fault> {
            let text = attribute("value").trim();
            let value = decimal(text).ok().filter(|value| value.is_finite());
            let value = value.ok_or_else(|| fault(at, field, format!("\"{}\"", text.escape_debug()), "a number"))?;
            Ok((value, attribute("unit").to_string()))
        };
        match (parent, name) {
            ("series", "code") => self.series_code = attribute("code").to_string(),
            ("trialSubject", "id") => self.is_synthetic |= attribute("extension").starts_with(synthetic::PATIENT),
            // The first time is that of the whole document.
            ("effectiveTime", "low" | "center") | ("AnnotatedECG", "effectiveTime")
                if self.start.is_empty() && names.len() <= 3 =>
            {
                self.start = attribute("value").to_string();
            }
            (_, "sequenceSet") => {
                self.sets.push(Set { at, series_code: self.series_code.clone(), ..Set::default() });
            }
            (_, "sequence") => self.sequence = Some(Sequence { at, ..Sequence::default() }),
            ("sequence", "code") => {
                if let Some(sequence) = &mut self.sequence {
                    sequence.code = attribute("code").to_string();
                    sequence.display = attribute("displayName").to_string();
                }
            }
            (_, "increment") => {
                let (step, unit) = quantity("increment")?;
                let scale = match unit.as_str() {
                    "s" => 1.0,
                    "ms" => 1e-3,
                    "us" => 1e-6,
                    other => {
                        let found = format!("unit \"{}\"", other.escape_debug());
                        return Err(fault(at, "increment", found, "s, ms or us"));
                    }
                };
                let step_s = Some(step * scale).filter(|step| step.is_normal() && *step > 0.0);
                if step_s.is_none() {
                    return Err(fault(at, "increment", step.to_string(), "more than 0 s"));
                }
                if let Some(sequence) = &mut self.sequence {
                    sequence.step_s = step_s;
                }
            }
            (_, "head") => {
                if let Some(sequence) = &mut self.sequence {
                    sequence.has_head = true;
                }
            }
            ("value", "origin") => {
                let origin = quantity("origin")?;
                if let Some(sequence) = &mut self.sequence {
                    sequence.origin = origin;
                }
            }
            ("value", "scale") => {
                let scale = quantity("scale")?;
                if let Some(sequence) = &mut self.sequence {
                    sequence.scale = Some(scale);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, names: &[String], text: &str, at: usize, in_derived: bool) -> std::result::Result<(), Fault> {
        let last = names.last().map_or("", String::as_str);
        if last == "text" && names.len() == 2 {
            self.text += text;
        }
        if last == "digits"
            && !in_derived
            && let Some(sequence) = &mut self.sequence
        {
            let mut offset = 0;
            for word in text.split_ascii_whitespace() {
                // Words are parts of the text, in order.
                offset += text[offset..].find(word).unwrap_or(0);
                let value: i32 = word.parse().map_err(|_| {
                    let field = format!("digit {} of {}", sequence.digits.len() + 1, sequence.code);
                    let shown: String = word.chars().take(40).flat_map(char::escape_debug).collect();
                    fault(at + offset, &field, format!("\"{shown}\""), "a whole number of 32 bits")
                })?;
                sequence.digits.push(value);
                offset += word.len();
            }
        }
        Ok(())
    }

    /// The end of a sequence: it is the time, or a lead.
    fn close(&mut self) {
        let Some(sequence) = self.sequence.take() else { return };
        let Some(set) = self.sets.last_mut() else { return };
        if sequence.code.starts_with("TIME_") || sequence.has_head {
            set.step_s = sequence.step_s;
        } else {
            set.leads.push(sequence);
        }
    }
}

fn fault(at: usize, field: &str, found: String, expected: &str) -> Fault {
    Fault { at, field: field.into(), found, expected: expected.into() }
}

/// Puts the leads of the chosen sets into the record.
fn fill(
    record: &mut Record,
    sets: Vec<Set>,
    description: &Description,
    text: &str,
    path: &Path,
    notes: &mut Notes,
) -> Result<()> {
    let broken = |at: usize, field: &str, found: String, expected: &str| {
        Error::from(input("X03", path, line_column(text, at), field, found, expected))
    };
    let n_leads: usize = sets.iter().map(|set| set.leads.len()).sum();
    if n_leads > notes.options.caps.signals {
        let expected = format!("at most {}", notes.options.caps.signals);
        return Err(broken(0, "number of leads", n_leads.to_string(), &expected));
    }
    let are_one = sets.len() > 1 && description.leads.len() == n_leads && !description.record.fs_hz.is_nan();
    let chosen = sets.iter().position(|set| set.series_code == "RHYTHM").unwrap_or(0);
    if sets.len() > 1 && !are_one {
        let message = format!("{} sequence sets: took number {}, the first of the rhythm", sets.len(), chosen + 1);
        notes.warn("X03", path, line_column(text, sets[chosen].at), message);
    }
    let n_sets = sets.len();
    let taken = sets.into_iter().enumerate().filter(|(index, _)| are_one || *index == chosen);
    for (_, set) in taken {
        let Some(step_s) = set.step_s else {
            return Err(broken(set.at, "sequence set", "no time sequence".into(), "one with an increment"));
        };
        let fs_hz = snapped(1.0 / step_s);
        record.fs_hz = if are_one { description.record.fs_hz } else { fs_hz };
        let spf = if are_one { (fs_hz / record.fs_hz).round().max(1.0) as usize } else { 1 };
        let n_points = set.leads.first().map_or(0, |lead| lead.digits.len());
        for sequence in set.leads {
            if sequence.digits.len() != n_points {
                let field = format!("length of lead {}", quoted(&sequence.code));
                let expected = format!("{n_points} as the first lead of the set");
                return Err(broken(sequence.at, &field, sequence.digits.len().to_string(), &expected));
            }
            let at = sequence.at;
            let mut lead = lead(sequence).map_err(|fault| located(Fault { at, ..fault }, text, path))?;
            lead.samples_per_frame = spf;
            record.leads.push(lead);
        }
        record.sig_len = n_points / spf;
    }
    if n_sets == 0 || record.leads.is_empty() {
        return Err(broken(0, "document", "no sequence of a lead".into(), "a series with sequence sets"));
    }
    let sig_len = record.sig_len;
    if record.leads.iter().any(|lead| lead.adu.len() != sig_len * lead.samples_per_frame) {
        return Err(broken(0, "sequence sets", "sets of different duration".into(), "one duration"));
    }
    Ok(())
}

/// A lead from its sequence.
fn lead(sequence: Sequence) -> std::result::Result<Lead, Fault> {
    let bare = sequence.code.strip_prefix(LEAD_CODE).unwrap_or(&sequence.code);
    let name = match lead_law::standard_name(bare) {
        Some(name) => name.to_string(),
        None if bare.is_empty() => sequence.display.clone(),
        None => bare.to_string(),
    };
    let field = format!("scale of lead \"{}\"", name.escape_debug());
    let Some((scale, unit)) = sequence.scale else {
        return Err(fault(0, &field, "none".into(), "a scale other than 0"));
    };
    let gain = snapped(1.0 / scale);
    let (origin, origin_unit) = sequence.origin;
    let baseline = -origin * gain;
    if !gain.is_normal() || !(baseline.abs() < 2_147_483_647.0) {
        return Err(fault(0, &field, format!("scale {scale}, origin {origin}"), "a scale other than 0"));
    }
    if origin != 0.0 && origin_unit != unit {
        let found = format!("origin in \"{}\", scale in \"{}\"", origin_unit.escape_debug(), unit.escape_debug());
        return Err(fault(0, &field, found, "one unit"));
    }
    let mut lead = Lead::new(name, gain, sequence.digits);
    lead.baseline_adu = baseline.round() as i32;
    lead.units = unit;
    let is_narrow = lead.adu.iter().all(|point| i16::try_from(*point).is_ok());
    lead.format = if is_narrow { StorageFormat::F16 } else { StorageFormat::F32 };
    Ok(lead)
}
