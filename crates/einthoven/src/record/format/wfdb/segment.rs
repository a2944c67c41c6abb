//! Records made of records: segments one after the other, with a fixed or a variable layout.
//!
//! Signals are matched by name. A fixed layout is that of the first segment that is read; a
//! variable one is given by a first segment of length 0.
//!
//! # Reference
//! WFDB Applications Guide, header(5). Rules S01-S09 of the reliability page.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Position, Result};
use crate::record::format::notes::{Notes, input, quoted};
use crate::record::{GainChange, Lead, MISSING, ReadOptions};

use super::header::{self, Header, SegmentSpec, SignalSpec};
use super::{checked_range, signal};

/// Reads the leads of a multi-segment record. Returns the frames that were read and the leads.
pub(crate) fn read_leads(master: &Header, notes: &mut Notes) -> Result<(Range<usize>, Vec<Lead>)> {
    let segments = master.segments.as_deref().unwrap_or(&[]);
    let (layout, body) = split_layout(master, segments, notes)?;
    let sig_len = total_length(master, body)?;
    let range = checked_range(master, sig_len, notes.options)?;
    let parts = parts_in(master, body, &range, notes)?;
    let pattern = match layout {
        Some(header) => header.signals,
        None => {
            parts.iter().find_map(|part| part.header.as_ref()).map(|header| header.signals.clone()).unwrap_or_default()
        }
    };
    if pattern.len() != master.n_signals && !pattern.is_empty() {
        let expected = format!("{} as the first segment has", pattern.len());
        let at = Position::Line(master.line);
        return Err(input("S08", &master.path, at, "number of signals", master.n_signals.to_string(), expected).into());
    }
    check_room(master, &parts, &pattern, &range, notes)?;
    let mut leads: Vec<Lead> = pattern.iter().map(signal::lead_of).collect();
    let mut has_points = vec![false; leads.len()];
    for part in parts {
        append(master, part, &pattern, &mut leads, &mut has_points, notes)?;
    }
    for lead in &mut leads {
        // The header of a whole record states no checksum; those of the segments were verified.
        (lead.checksum, lead.checksum_ok) = (None, None);
    }
    Ok((range, leads))
}

/// A segment with the frames of it that are wanted; no header for a gap.
struct Part {
    header: Option<Header>,
    frames: Range<usize>,
    line: usize,
}

/// Takes off the layout segment, if there is one (rule S08).
fn split_layout<'a>(
    master: &Header,
    segments: &'a [SegmentSpec],
    notes: &mut Notes,
) -> Result<(Option<Header>, &'a [SegmentSpec])> {
    let fault = |segment: &SegmentSpec, expected: &str| {
        let at = Position::Line(segment.line);
        let found = format!("{} frames for {}", segment.len, quoted(&segment.name));
        Err(input("S08", &master.path, at, "segment length", found, expected).into())
    };
    let Some((first, rest)) = segments.split_first() else { return Ok((None, segments)) };
    if first.len > 0 && first.name.ends_with("_layout") {
        return fault(first, "0, because it is a layout");
    }
    if let Some(empty) = rest.iter().find(|segment| segment.len == 0) {
        return fault(empty, "at least 1: only the first segment may be a layout");
    }
    if first.len > 0 {
        return Ok((None, segments));
    }
    let header = open_header(master, first, notes)?;
    if let Some(len) = header.sig_len {
        let expected = "0 or none, because it is a layout";
        let at = Position::Line(header.line);
        return Err(input("S08", &header.path, at, "number of samples", len.to_string(), expected).into());
    }
    Ok((Some(header), rest))
}

/// The segments' lengths must add up (rule S03).
fn total_length(master: &Header, body: &[SegmentSpec]) -> Result<usize> {
    let sum = body.iter().try_fold(0u64, |sum, segment| sum.checked_add(segment.len));
    let len = sum.and_then(|sum| usize::try_from(sum).ok());
    match (len, master.sig_len) {
        (Some(len), Some(declared)) if len as u64 == declared => Ok(len),
        (Some(len), None) => Ok(len),
        (_, declared) => {
            let found = declared.map_or("none".to_string(), |declared| declared.to_string());
            let expected = sum.map_or("a sum of segments within 64 bits".to_string(), |sum| {
                format!("{sum}, the sum of the segments")
            });
            Err(input("S03", &master.path, Position::Line(master.line), "number of samples", found, expected).into())
        }
    }
}

/// The segments that touch the range, with their headers.
fn parts_in(master: &Header, body: &[SegmentSpec], range: &Range<usize>, notes: &mut Notes) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut start = 0usize;
    for segment in body {
        // The lengths were added up before, so the sums stay in range.
        let end = start + segment.len as usize;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            let header = if segment.name == "~" { None } else { Some(open_header(master, segment, notes)?) };
            parts.push(Part { header, frames: from - start..to - start, line: segment.line });
        }
        start = end;
    }
    Ok(parts)
}

/// The header of a segment, checked against the record (rules S01, S04, S05 and S06).
fn open_header(master: &Header, segment: &SegmentSpec, notes: &mut Notes) -> Result<Header> {
    let path = beside(&master.path, &format!("{}.hea", segment.name));
    let at = Position::Line(segment.line);
    let fault = |code, field: &str, found: String, expected: String| {
        Error::from(input(code, &master.path, at, field, found, expected))
    };
    if segment.name == master.name || Some(path.file_name()) == Some(master.path.file_name()) {
        return Err(fault("S01", "segment", quoted(&segment.name), "another record than this one".into()));
    }
    if !path.is_file() {
        let expected = format!("{}, which does not exist", path.display());
        return Err(fault("S06", "segment header", quoted(&segment.name), expected));
    }
    let header = header::read_header(&path, notes)?;
    super::check_name(&header, notes)?;
    if header.segments.is_some() {
        let found = format!("{}, which has segments of its own", quoted(&segment.name));
        return Err(fault("S01", "segment", found, "a record without segments".into()));
    }
    if header.fs_hz != master.fs_hz {
        let found = format!("{} Hz in {}", header.fs_hz, quoted(&segment.name));
        return Err(fault("S04", "sampling frequency", found, format!("{} Hz as the record has", master.fs_hz)));
    }
    if segment.len > 0 && header.sig_len.is_some_and(|len| len != segment.len) {
        let found = format!("{} for {}", segment.len, quoted(&segment.name));
        let expected = format!("{} as its own header has", header.sig_len.unwrap_or(0));
        return Err(fault("S05", "segment length", found, expected));
    }
    Ok(header)
}

/// Gaps and absent signals must not take more memory than the files justify (rule W08).
fn check_room(
    master: &Header,
    parts: &[Part],
    pattern: &[SignalSpec],
    range: &Range<usize>,
    notes: &Notes,
) -> Result<()> {
    let mut bytes = 0u64;
    for header in parts.iter().filter_map(|part| part.header.as_ref()) {
        bytes = bytes.saturating_add(signal::file_sizes(header)?);
    }
    let frame: u64 = pattern.iter().map(|signal| signal.samples_per_frame as u64).sum();
    let points = (range.len() as u64).saturating_mul(frame);
    let allowed = notes.options.caps.implied_points.saturating_add(bytes.saturating_mul(2));
    if points > allowed {
        let mut error = input(
            "W08",
            &master.path,
            Position::Line(master.line),
            "number of samples",
            format!("{points} points, most of them in gaps"),
            format!("at most {allowed} for {bytes} bytes of signal files"),
        );
        error.hint = "read a part of the record".into();
        return Err(error.into());
    }
    Ok(())
}

/// Appends a segment's points, or missing ones; `has_points` says which leads had any before.
fn append(
    master: &Header,
    part: Part,
    pattern: &[SignalSpec],
    leads: &mut [Lead],
    has_points: &mut [bool],
    notes: &mut Notes,
) -> Result<()> {
    let n_frames = part.frames.len();
    let mut found = match part.header {
        None => Vec::new(),
        Some(mut header) => {
            // A segment that does not say how long it is has the length of the segment line.
            let line_len =
                master.segments.iter().flatten().find(|segment| segment.line == part.line).map(|segment| segment.len);
            header.sig_len = header.sig_len.or(line_len);
            let assignment = assign(master, &header, part.line, pattern)?;
            let whole = ReadOptions { range: None, ..notes.options.clone() };
            let mut inner = Notes { options: &whole, warnings: std::mem::take(&mut notes.warnings) };
            let read = signal::read_leads(&header, &mut inner);
            notes.warnings = inner.warnings;
            let (_, mut read) = read?;
            read.iter_mut().for_each(|lead| lead.keep_frames(&part.frames));
            assignment.into_iter().zip(read).collect()
        }
    };
    for (index, lead) in leads.iter_mut().enumerate() {
        let start = lead.adu.len();
        match found.iter().position(|(target, _)| *target == index) {
            Some(place) => {
                let (_, segment) = found.swap_remove(place);
                calibrate(master, part.line, lead, &segment, has_points[index].then_some(start))?;
                lead.format = segment.format;
                has_points[index] = true;
                if lead.adu.is_empty() {
                    lead.adu = segment.adu;
                } else {
                    lead.adu.extend(segment.adu);
                }
            }
            None => lead.adu.resize(start + n_frames * lead.samples_per_frame, MISSING),
        }
    }
    Ok(())
}

/// For each signal of a segment, its place in the layout: the same name, in the same order where
/// a name occurs several times (rule S09).
fn assign(master: &Header, header: &Header, line: usize, pattern: &[SignalSpec]) -> Result<Vec<usize>> {
    let mut taken = vec![false; pattern.len()];
    let mut places = Vec::with_capacity(header.signals.len());
    for signal in &header.signals {
        let place = (0..pattern.len()).find(|&index| !taken[index] && pattern[index].description == signal.description);
        let Some(place) = place else {
            let found = format!("{} in segment {}", quoted(&signal.description), quoted(&header.name));
            let names: Vec<String> = pattern.iter().map(|signal| quoted(&signal.description)).collect();
            let expected = format!("one of {}", names.join(", "));
            return Err(input("S09", &master.path, Position::Line(line), "signal", found, expected).into());
        };
        let (here, there) = (signal.samples_per_frame, pattern[place].samples_per_frame);
        if here != there {
            let found = format!("{here} for {}", quoted(&signal.description));
            let expected = format!("{there} as in the layout");
            return Err(
                input("S08", &header.path, Position::Line(signal.line), "samples per frame", found, expected).into()
            );
        }
        taken[place] = true;
        places.push(place);
    }
    Ok(places)
}

/// Takes over a segment's calibration: as the lead's own when it has no points yet, else as a
/// change from that point on (rule S09).
fn calibrate(master: &Header, line: usize, lead: &mut Lead, segment: &Lead, from: Option<usize>) -> Result<()> {
    let next = (segment.gain_adu_per_unit, segment.baseline_adu);
    let Some(from) = from else {
        (lead.gain_adu_per_unit, lead.baseline_adu) = next;
        lead.units.clone_from(&segment.units);
        return Ok(());
    };
    if segment.units != lead.units {
        let found = format!("{} for {}", quoted(&segment.units), quoted(&segment.name));
        let expected = format!("{} as in the segments before", quoted(&lead.units));
        return Err(input("S09", &master.path, Position::Line(line), "units", found, expected).into());
    }
    let last = lead.gain_changes.last();
    let current = last
        .map_or((lead.gain_adu_per_unit, lead.baseline_adu), |change| (change.gain_adu_per_unit, change.baseline_adu));
    if current != next {
        lead.gain_changes.push(GainChange { from, gain_adu_per_unit: next.0, baseline_adu: next.1 });
    }
    Ok(())
}

/// A file in the same folder.
fn beside(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(name)
}
