//! EDF and EDF+: fixed-width text in front, then data records of 16-bit numbers.
//!
//! Each signal has its own rate; EDF+ adds a channel of annotations, which also says when each data
//! record begins, so that a recording may have gaps. [`header`] has the text, `tal` the annotation
//! lists, [`write()`] the way back. Names, codes and birth dates of patients are not read. BDF, the
//! 24-bit relative, is recognized and refused by name.
//!
//! # Reference
//! Kemp et al. 1992 (EDF); Kemp and Olivan 2003 (EDF+), with the specifications on edfplus.info.

pub mod header;
mod tal;
mod write;

use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{Description, mark_of_text, note};
use crate::record::format::finish::finish;
use crate::record::format::fit::snapped;
use crate::record::format::notes::{Notes, input, quoted, read_file};
use crate::record::format::synthetic;
use crate::record::{Lead, MISSING, ReadOptions, Record, StorageFormat};

use header::{Channel, Header, Kind};
use tal::Tal;
pub use write::write;

/// The stored number of a missing point, where the header leaves it outside the digital range.
const MARKER: i16 = i16::MIN;
/// Annotator of notes that other software wrote.
const ANNOTATOR: &str = "edf";

/// Reads an EDF or EDF+ file.
///
/// Frames are the largest common time step of all signals; a faster signal has several points in
/// each. Gaps of EDF+D become missing points. A stored -32768 below the digital minimum is missing.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] with the rules E01 to E12.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Record> {
    let mut notes = Notes::new(options);
    let bytes = read_file(path, u64::MAX, "E04")?;
    let header = header::parse(&bytes, path, &mut notes)?;
    let lists = annotation_lists(&header, &bytes, path, &mut notes)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut description = Description::new(&stem);
    let mut record = Record::new(stem, header.frames_per_record() as f64 / header.duration_s);
    if header.ordinary().next().is_none() {
        record.fs_hz = 1.0;
    } else {
        record.fs_hz = snapped(record.fs_hz);
    }
    let frames = first_frames(&header, &lists, record.fs_hz, path, &mut notes)?;
    record.sig_len = frames.last().map_or(0, |last| last + header.frames_per_record());
    (record.base_date, record.base_time) = (header.date.clone(), header.time.clone());
    for channel in header.ordinary() {
        record.leads.push(lead(&header, channel, &bytes, &frames, record.sig_len, path, &mut notes)?);
    }
    let is_ours = header.recording.split(' ').any(|word| word == "einthoven");
    marks(&lists, is_ours, &mut record, &mut description, path, &mut notes);
    description.apply(&mut record, ("E12", path, Position::File), &mut notes);
    if header.patient.starts_with(synthetic::PATIENT) || header.recording.contains(synthetic::PATIENT) {
        synthetic::keep_mark(&mut record);
    }
    finish(record, path, options, notes)
}

/// The annotation lists of each data record, in order.
fn annotation_lists(header: &Header, bytes: &[u8], path: &Path, notes: &mut Notes) -> Result<Vec<Vec<Tal>>> {
    let mut lists = Vec::new();
    let channels: Vec<&Channel> = header.channels.iter().filter(|channel| channel.is_annotation).collect();
    if channels.is_empty() {
        return Ok(lists);
    }
    for index in 0..header.n_records {
        let mut list = Vec::new();
        for channel in &channels {
            let start = header.start_of(index, channel);
            let area = &bytes[start..start + 2 * channel.points];
            tal::parse(area, &mut list).map_err(|fault| {
                let field = format!("annotations of data record {index}");
                let at = Position::Byte((start + fault.at) as u64);
                Error::from(input("E12", path, at, field, fault.found, fault.expected))
            })?;
        }
        if list.first().is_none_or(|first: &Tal| !first.is_timekeeping) {
            let start = header.start_of(index, channels[0]);
            let (field, found) = (format!("annotations of data record {index}"), "no start of the data record");
            let error = input("E12", path, Position::Byte(start as u64), field, found, "\"+seconds\" first");
            if header.kind == Kind::Gaps {
                return Err(error.into());
            }
            notes.deviation(error, "took the data record as following the one before")?;
        }
        lists.push(list);
    }
    Ok(lists)
}

/// The first frame of each data record (rule E11).
fn first_frames(header: &Header, lists: &[Vec<Tal>], fs_hz: f64, path: &Path, notes: &mut Notes) -> Result<Vec<usize>> {
    let step = header.frames_per_record();
    if header.kind != Kind::Gaps || header.ordinary().next().is_none() {
        return Ok((0..header.n_records).map(|index| index * step).collect());
    }
    let first_s = start_s(lists);
    let mut frames: Vec<usize> = Vec::with_capacity(header.n_records);
    let allowed = notes.options.caps.implied_points.saturating_add(2 * (header.n_records * header.record_bytes) as u64);
    for (index, list) in lists.iter().enumerate() {
        let onset_s = list.first().map_or(0.0, |tal| tal.onset_s);
        let frame = ((onset_s - first_s) * fs_hz).round();
        let earliest = frames.last().map_or(0, |last| last + step);
        let place = Position::Byte((header.bytes + index * header.record_bytes) as u64);
        let fault = |expected: String| {
            input("E11", path, place, format!("start of data record {index}"), format!("{onset_s} s"), expected).into()
        };
        if !(frame >= earliest as f64) {
            let seconds = first_s + earliest as f64 / fs_hz;
            return Err(fault(format!("at least {seconds} s, the end of the one before")));
        }
        let points_per_frame = header.ordinary().map(|channel| channel.points / step).sum::<usize>();
        let implied = (frame - (index * step) as f64) * points_per_frame as f64;
        if !(implied <= allowed as f64) {
            return Err(fault(format!("gaps of at most {allowed} points in all")));
        }
        frames.push(frame as usize);
    }
    Ok(frames)
}

/// When the first data record begins, in seconds after the header's time.
fn start_s(lists: &[Vec<Tal>]) -> f64 {
    lists.first().and_then(|list| list.first()).map_or(0.0, |tal| tal.onset_s)
}

/// One signal with its calibration and points.
fn lead(
    header: &Header,
    channel: &Channel,
    bytes: &[u8],
    frames: &[usize],
    sig_len: usize,
    path: &Path,
    notes: &mut Notes,
) -> Result<Lead> {
    let spf = channel.points / header.frames_per_record();
    let mut lead = Lead::new(channel.name(), 1.0, Vec::new());
    lead.units = channel.units.clone();
    lead.samples_per_frame = spf;
    lead.format = StorageFormat::F16;
    lead.adu = vec![MISSING; sig_len * spf];
    let Some((gain, baseline)) = channel.calibration(path, notes)? else {
        // Rules E05 and E06: the channel stays in its place, without points that mean nothing.
        lead.gain_adu_per_unit = None;
        return Ok(lead);
    };
    (lead.gain_adu_per_unit, lead.baseline_adu) = (Some(gain), baseline);
    let has_marker = channel.digital.0 > i32::from(MARKER);
    for (index, &frame) in frames.iter().enumerate() {
        let start = header.start_of(index, channel);
        let stored = bytes[start..start + 2 * channel.points].as_chunks::<2>().0;
        for (point, &pair) in lead.adu[frame * spf..][..channel.points].iter_mut().zip(stored) {
            let value = i16::from_le_bytes(pair);
            *point = if value == MARKER && has_marker { MISSING } else { i32::from(value) };
        }
    }
    lead.initial_adu = lead.adu.first().copied().filter(|&point| point != MISSING).unwrap_or(0);
    Ok(lead)
}

/// Marks, notes and lines of the description from the annotation lists.
fn marks(
    lists: &[Vec<Tal>],
    is_ours: bool,
    record: &mut Record,
    description: &mut Description,
    path: &Path,
    notes: &mut Notes,
) {
    let first_s = start_s(lists);
    let texts = || lists.iter().flatten().flat_map(|tal| tal.texts.iter().map(move |text| (tal, text)));
    // The lines first: they may state the rate by which marks are placed.
    for (_, text) in texts() {
        description.prefixed(text, ("E12", path, Position::File), notes);
    }
    let has_signals = !record.leads.is_empty();
    if !has_signals && description.record.fs_hz.is_normal() {
        record.fs_hz = description.record.fs_hz;
        record.sig_len = description.sig_len.unwrap_or(0);
    }
    let fs_hz = if description.record.fs_hz.is_nan() { record.fs_hz } else { description.record.fs_hz };
    for (tal, text) in texts().filter(|(_, text)| !text.starts_with(super::description::PREFIX)) {
        let sample = ((tal.onset_s - first_s) * fs_hz).round();
        if !(0.0..9e18).contains(&sample) {
            let message = format!("annotation {} at {} s lies before the record; dropped", quoted(text), tal.onset_s);
            notes.warn("A05", path, Position::File, message);
            continue;
        }
        let sample = sample as i64;
        let (annotator, mark) = match mark_of_text(text, sample).filter(|_| is_ours) {
            Some(mark) => mark,
            None => (ANNOTATOR.to_string(), note(sample, text)),
        };
        record.annotations.entry(annotator).or_default().push(mark);
    }
}
