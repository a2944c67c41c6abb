//! Records to WFDB: signal files first, annotations next, the header last.
//!
//! Leads keep their storage format; neighbours with the same one share a file. Rule D12: a value
//! outside the format's range is an error, and nothing is clipped unless asked and counted.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Position, Result};
use crate::record::format::guard_overwrite;
use crate::record::format::notes::{input, quoted};
use crate::record::lead::DEFAULT_GAIN;
use crate::record::{Annotation, Lead, MISSING, Record, StorageFormat, Warning, WriteOptions};
use crate::run;

use super::discover::{check_annotator, is_reserved};
use super::{annotation_write, flac, header, pack};

/// Writes a record as WFDB; the path is that of the header. Returns what was changed.
///
/// # Errors
/// Rule D12 naming lead and point, A05, A07, A08 and A12 for annotations, [`Error::Guard`] when a
/// file exists, [`Error::Data`] for names that a header cannot hold.
pub fn write(record: &Record, path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    let name = plain_name(path)?;
    let mut warnings = Vec::new();
    check_text(record)?;
    let mut leads = Vec::with_capacity(record.leads.len());
    for lead in &record.leads {
        let expected = record.sig_len.saturating_mul(lead.samples_per_frame);
        if lead.adu.len() != expected {
            return Err(Error::Shape {
                what: format!("lead {}", lead.name),
                expected: vec![expected],
                actual: vec![lead.adu.len()],
            });
        }
        leads.push(prepare(lead, path, options, &mut warnings)?);
    }
    let groups = groups(&leads);
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut names = Vec::with_capacity(leads.len());
    for (index, group) in groups.iter().enumerate() {
        let members = &leads[group.clone()];
        if members[0].lead.format == StorageFormat::Null {
            names.push("~".to_string());
            continue;
        }
        let file = if groups.len() == 1 { format!("{name}.dat") } else { format!("{name}.d{index}") };
        files.push((path.with_file_name(&file), signal_bytes(members, record.sig_len)));
        names.extend(std::iter::repeat_n(file, members.len()));
    }
    for (annotator, marks) in &record.annotations {
        check_annotator(path, annotator)?;
        let file = path.with_file_name(format!("{name}.{annotator}"));
        if is_reserved(annotator) || files.iter().any(|(other, _)| *other == file) {
            let expected = "a name that is no other kind of file";
            return Err(input("A12", path, Position::File, "annotator", quoted(annotator), expected).into());
        }
        files.push((file.clone(), annotation_write::encode(&file, marks)?));
    }
    files.push((path.with_file_name(format!("{name}.hea")), header_text(record, &name, &leads, &names).into_bytes()));
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
    guard_overwrite(&paths, options.overwrite)?;
    for (path, bytes) in &files {
        run::write_atomic(path, bytes)?;
    }
    Ok(warnings)
}

/// Writes one annotation file, `NAME.ANNOTATOR`, into a folder, and returns its path.
///
/// # Errors
/// Rules A05, A07, A08 and A12 for the annotations, [`Error::Guard`] when the file exists and may not be replaced.
pub fn write_annotations(
    folder: &Path,
    name: &str,
    annotator: &str,
    marks: &[Annotation],
    overwrite: bool,
) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.{annotator}"));
    check_annotator(&path, annotator)?;
    if is_reserved(annotator) {
        let expected = "a name that is no other kind of file";
        return Err(input("A12", &path, Position::File, "annotator", quoted(annotator), expected).into());
    }
    let bytes = annotation_write::encode(&path, marks)?;
    guard_overwrite(std::slice::from_ref(&path), overwrite)?;
    run::write_atomic(&path, &bytes)?;
    Ok(path)
}

/// A lead as it will stand in the file; format 8 has differences in `stored`.
pub(super) struct Prepared {
    pub lead: Lead,
    pub stored: Vec<i32>,
}

/// The record's name in files: the stem of the path, a plain word.
pub(super) fn plain_name(path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let is_plain =
        !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if is_plain && !stem.starts_with(['.', '-']) {
        return Ok(stem.to_string());
    }
    let reason = format!("found {}, expected a record name of letters, digits, \"_\", \"-\" and \".\"", quoted(stem));
    Err(Error::config("output path", reason))
}

/// Names, units and numbers must survive the text of the header.
fn check_text(record: &Record) -> Result<()> {
    let fault = |reason: String| Err(Error::data(&record.name, reason));
    if !(record.fs_hz.is_normal() && record.fs_hz > 0.0) {
        return fault(format!("sampling frequency: found {}, expected a positive number", record.fs_hz));
    }
    if record.leads.len() > 4096 {
        return fault(format!("found {} leads, expected at most 4096", record.leads.len()));
    }
    let is_line = |text: &str| !text.chars().any(|c| c.is_control() && c != '\t');
    for lead in &record.leads {
        if !is_line(&lead.name) {
            return fault(format!("lead name: found {}, expected one line of text", quoted(&lead.name)));
        }
        if lead.units.is_empty() || lead.units.contains(char::is_whitespace) || !is_line(&lead.units) {
            return fault(format!("unit of lead {}: found {}, expected a word", lead.name, quoted(&lead.units)));
        }
        let is_valid_gain = |gain: Option<f64>| gain.is_none_or(f64::is_normal);
        if !is_valid_gain(lead.gain_adu_per_unit)
            || !lead.gain_changes.iter().all(|change| is_valid_gain(change.gain_adu_per_unit))
        {
            return fault(format!("gain of lead {}: expected a finite number other than 0", lead.name));
        }
        if lead.samples_per_frame == 0 {
            return fault(format!("lead {} has no points per frame", lead.name));
        }
    }
    match record.comments.iter().flat_map(|comment| comment.lines()).find(|line| !is_line(line)) {
        Some(line) => fault(format!("comment: found {}, expected text without control characters", quoted(line))),
        None => Ok(()),
    }
}

/// Chooses the format, brings every point to one calibration and checks the range (rule D12).
fn prepare(lead: &Lead, path: &Path, options: &WriteOptions, warnings: &mut Vec<Warning>) -> Result<Prepared> {
    let mut lead = lead.clone();
    let mut warn = |code, message: String| {
        warnings.push(Warning { code, path: path.to_path_buf(), position: Position::File, message });
    };
    let is_rescaled = !lead.gain_changes.is_empty();
    if is_rescaled {
        unify_gain(&mut lead);
        warn("S09", format!("lead {}: several gains, rescaled to the first with rounding", lead.name));
    }
    let is_empty = lead.adu.iter().all(|&point| point == MISSING);
    match options.storage {
        Some(storage) => lead.format = storage,
        None if lead.format == StorageFormat::Null && is_empty => {}
        None => {
            let cannot_hold = match lead.format {
                StorageFormat::Null => true,
                StorageFormat::F8 => differences(&lead).is_err(),
                format => is_rescaled && out_of_range(&lead.adu, format).is_some(),
            };
            if cannot_hold {
                let wider = [StorageFormat::F16, StorageFormat::F24, StorageFormat::F32];
                let before = lead.format;
                lead.format = wider
                    .into_iter()
                    .find(|&format| out_of_range(&lead.adu, format).is_none())
                    .unwrap_or(StorageFormat::F32);
                warn("D12", format!("lead {}: format {before} cannot hold it, took {}", lead.name, lead.format));
            }
        }
    }
    let fault = |point: usize, found: String, expected: String| {
        let mut error =
            input("D12", path, Position::File, format!("lead {}, point {point}", lead.name), found, expected);
        error.hint = "choose another storage format, or clip".into();
        Error::from(error)
    };
    let format = lead.format;
    if format == StorageFormat::Null && !is_empty {
        return Err(fault(0, "a signal".into(), "none in format 0".into()));
    }
    if options.clip && format.missing_marker().is_some() {
        let (low, high) = format.range();
        let mut n = 0;
        for point in lead.adu.iter_mut().filter(|point| **point != MISSING && !(low..=high).contains(*point)) {
            *point = (*point).clamp(low, high);
            n += 1;
        }
        if n > 0 {
            warn("D12", format!("lead {}: clipped {n} points to {low}..{high}", lead.name));
        }
    }
    if format.missing_marker().is_some()
        && let Some(point) = out_of_range(&lead.adu, format)
    {
        let (low, high) = format.range();
        return Err(fault(point, lead.adu[point].to_string(), format!("{low} to {high} in format {format}")));
    }
    lead.checksum = (format != StorageFormat::Null).then(|| lead.compute_checksum());
    let stored = match (format, format.missing_marker()) {
        (StorageFormat::F8, _) => {
            let first = lead.adu.first().copied().unwrap_or(0);
            if (i64::from(first) - i64::from(lead.initial_adu)).abs() > 127 {
                lead.initial_adu = first;
            }
            match differences(&lead) {
                Ok(differences) => differences,
                Err(point) if lead.adu[point] == MISSING => {
                    return Err(fault(point, "a missing point".into(), "none in format 8".into()));
                }
                Err(point) => {
                    return Err(fault(
                        point,
                        format!("a step to {}", lead.adu[point]),
                        "steps of at most 127 in format 8".into(),
                    ));
                }
            }
        }
        (_, Some(marker)) => lead.adu.iter().map(|&point| if point == MISSING { marker } else { point }).collect(),
        (_, None) => Vec::new(),
    };
    Ok(Prepared { lead, stored })
}

/// First differences from the initial value on; the error is the first point that does not fit.
fn differences(lead: &Lead) -> std::result::Result<Vec<i32>, usize> {
    let first = lead.adu.first().copied().unwrap_or(0);
    let is_near = (i64::from(first) - i64::from(lead.initial_adu)).abs() <= 127;
    let mut before = i64::from(if is_near { lead.initial_adu } else { first });
    let mut steps = Vec::with_capacity(lead.adu.len());
    for (index, &point) in lead.adu.iter().enumerate() {
        let step = i64::from(point) - before;
        if point == MISSING || !(-128..=127).contains(&step) {
            return Err(index);
        }
        steps.push(step as i32);
        before = i64::from(point);
    }
    Ok(steps)
}

/// The first point outside a format's range; missing ones are inside.
fn out_of_range(adu: &[i32], format: StorageFormat) -> Option<usize> {
    let (low, high) = format.range();
    adu.iter().position(|&point| point != MISSING && !(low..=high).contains(&point))
}

/// Brings all points to the lead's first calibration.
pub(crate) fn unify_gain(lead: &mut Lead) {
    let (gain, baseline) = (lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN), f64::from(lead.baseline_adu));
    let changes = std::mem::take(&mut lead.gain_changes);
    for (index, change) in changes.iter().enumerate() {
        let end = changes.get(index + 1).map_or(lead.adu.len(), |next| next.from).min(lead.adu.len());
        let factor = gain / change.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN);
        for point in lead.adu.get_mut(change.from..end).into_iter().flatten().filter(|point| **point != MISSING) {
            let scaled = (f64::from(*point) - f64::from(change.baseline_adu)) * factor + baseline;
            // The conversion saturates; what leaves 32 bits is then refused by the range check.
            *point = (scaled.round() as i32).max(MISSING + 1);
        }
    }
}

/// Neighbours that share a file: one format; in FLAC also one rate and at most eight of them.
fn groups(leads: &[Prepared]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (index, Prepared { lead, .. }) in leads.iter().enumerate() {
        let joins = groups.last().is_some_and(|group| {
            let first = &leads[group.start].lead;
            let is_full =
                lead.format.is_flac() && (group.len() == 8 || first.samples_per_frame != lead.samples_per_frame);
            first.format == lead.format && lead.format != StorageFormat::Null && !is_full
        });
        match groups.last_mut() {
            Some(group) if joins => group.end += 1,
            _ => groups.push(index..index + 1),
        }
    }
    groups
}

/// The bytes of a signal file.
fn signal_bytes(members: &[Prepared], sig_len: usize) -> Vec<u8> {
    let format = members[0].lead.format;
    if format.is_flac() {
        let channels: Vec<Vec<i32>> = members.iter().map(|member| member.stored.clone()).collect();
        return flac::encode(&channels, u32::from(format.bits()));
    }
    let frame: usize = members.iter().map(|member| member.lead.samples_per_frame).sum();
    let mut flat = Vec::with_capacity(sig_len * frame);
    for index in 0..sig_len {
        for Prepared { lead, stored } in members {
            let spf = lead.samples_per_frame;
            flat.extend_from_slice(&stored[index * spf..(index + 1) * spf]);
        }
    }
    pack::pack(format, &flat)
}

/// The text of the header.
pub(super) fn header_text(record: &Record, name: &str, leads: &[Prepared], files: &[String]) -> String {
    let mut text = format!("{name} {} {}", leads.len(), record.fs_hz);
    if let Some(counter) = record.counter {
        text += &format!("/{}({})", counter.frequency_hz, counter.base);
    }
    text += &format!(" {}", record.sig_len);
    if let Some(time) = record.base_time.as_deref().and_then(header::time_of_day) {
        text += &format!(" {time}");
        if let Some(date) = record.base_date.as_deref().and_then(header::date) {
            text += &format!(" {date}");
        }
    }
    text.push('\n');
    for (Prepared { lead, .. }, file) in leads.iter().zip(files) {
        text += &format!("{file} {}", lead.format);
        if lead.samples_per_frame > 1 {
            text += &format!("x{}", lead.samples_per_frame);
        }
        let line = format!(
            " {}({})/{} {} {} {} {} {} {}",
            lead.gain_adu_per_unit.unwrap_or(0.0),
            lead.baseline_adu,
            lead.units,
            lead.adc_resolution_bits,
            lead.adc_zero_adu,
            lead.initial_adu,
            lead.checksum.unwrap_or(0),
            lead.block_size,
            lead.name
        );
        text += line.trim_end();
        text.push('\n');
    }
    for comment in &record.comments {
        if comment.is_empty() {
            text += "#\n";
        }
        for line in comment.lines() {
            text += format!("# {line}").trim_end();
            text.push('\n');
        }
    }
    text
}
