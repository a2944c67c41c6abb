//! DICOM ECG waveforms: 12-lead, general and ambulatory ECG objects.
//!
//! A file holds multiplex groups of channels; a resting ECG often has its rhythm in one and median
//! beats in another. `element` reads the encoding, `tag` names what is used, [`write()`] is the way
//! back. Read are the explicit and implicit little-endian transfer syntaxes with linear samples of 8,
//! 16 and 32 bits. Patient and institution are not read.
//!
//! # Reference
//! DICOM PS3.3 A.34.3 and A.34.4 (the objects), C.10.9 and C.10.10 (the modules).

mod element;
mod tag;
mod write;

use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{Description, PREFIX, mark_of_text, note};
use crate::record::format::finish::finish;
use crate::record::format::fit::snapped;
use crate::record::format::notes::{Notes, input, quoted, read_file};
use crate::record::format::start_time::of_digits;
use crate::record::format::synthetic;
use crate::record::format::wfdb::decimal;
use crate::record::{Lead, MISSING, ReadOptions, Record, StorageFormat, lead_law};

use element::{Fault, Fields, Parser, tag_text};
pub use write::write;

/// Annotator of texts that other software wrote.
const ANNOTATOR: &str = "dicom";
/// Date and time where the standard calls for one and none is known.
const NO_DATE: &str = "19000101";

/// Reads a DICOM ECG waveform.
///
/// Of several multiplex groups the rhythm is read, that is the one labelled so or else the longest,
/// and a warning lists them all (rule C07). Values are raw x sensitivity x correction + baseline.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] with the rules C01 to C06.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Record> {
    let mut notes = Notes::new(options);
    let bytes = read_file(path, u64::MAX, "C02")?;
    let elements = data_set(&bytes, path)?;
    let data = Fields { elements: &elements };
    let fault = |code, tag, field: &str, found: String, expected: &str| {
        Error::from(input(code, path, Position::Byte(data.place(tag) as u64), field, found, expected))
    };
    let groups = data.items(tag::WAVEFORMS);
    if groups.is_empty() {
        return Err(fault("C01", tag::WAVEFORMS, "waveform sequence", "none".into(), "a multiplex group"));
    }
    if groups.len() > options.caps.signals {
        let expected = format!("at most {}", options.caps.signals);
        return Err(fault("C04", tag::WAVEFORMS, "multiplex groups", groups.len().to_string(), &expected));
    }
    let groups: Vec<Group> = groups.into_iter().map(|fields| Group::new(fields, path)).collect::<Result<_>>()?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut description = Description::new(&stem);
    for item in data.items(tag::ANNOTATIONS) {
        let text = item.text(tag::TEXT).unwrap_or_default();
        description.prefixed(&text, ("C02", path, Position::Byte(item.place(tag::TEXT) as u64)), &mut notes);
    }
    let mut record = Record::new(stem, f64::NAN);
    (record.base_date, record.base_time) = acquisition(&data);
    leads(&groups, &description, &mut record, path, &mut notes)?;
    marks(&data, &groups, &description, &mut record, path, &mut notes);
    description.apply(&mut record, ("C02", path, Position::File), &mut notes);
    let is_named = data.text(tag::PATIENT_NAME).is_some_and(|name| name.starts_with(synthetic::PATIENT));
    if is_named || data.text(tag::SYNTHETIC_DATA).as_deref() == Some("YES") {
        synthetic::keep_mark(&mut record);
    }
    finish(record, path, options, notes)
}

/// Checks preamble, transfer syntax and class, and parses the data set.
fn data_set<'a>(bytes: &'a [u8], path: &Path) -> Result<Vec<element::Element<'a>>> {
    let place = |at: usize| Position::Byte(at as u64);
    if bytes.get(128..132) != Some(b"DICM") {
        let mut error = input("C01", path, place(128), "preamble", "no \"DICM\" at byte 128", "a DICOM file");
        error.hint = "export the object again as a DICOM file (Part 10)".into();
        return Err(error.into());
    }
    let broken =
        |fault: Fault| Error::from(input(fault.code, path, place(fault.at), fault.field, fault.found, fault.expected));
    let mut parser = Parser { bytes, at: 132, is_explicit: true };
    let meta = parser.meta().map_err(broken)?;
    let meta = Fields { elements: &meta };
    let syntax = meta.text(tag::TRANSFER_SYNTAX).unwrap_or_default();
    parser.is_explicit = match syntax.as_str() {
        tag::EXPLICIT_LITTLE => true,
        tag::IMPLICIT_LITTLE => false,
        other => {
            let known = tag::UNREAD_SYNTAXES.iter().find(|(uid, _)| *uid == other);
            let found = known.map_or_else(|| quoted(other), |(uid, name)| format!("{uid}, {name}, not supported"));
            let mut error = input("C05", path, place(meta.place(tag::TRANSFER_SYNTAX)), "transfer syntax", found, "");
            error.expected = "explicit or implicit little endian".into();
            error.hint = "convert it, for instance with dcmconv +te".into();
            return Err(error.into());
        }
    };
    let elements = parser.data_set().map_err(broken)?;
    let data = Fields { elements: &elements };
    let class = data.text(tag::SOP_CLASS).or_else(|| meta.text(tag::MEDIA_CLASS)).unwrap_or_default();
    if !tag::ECG_CLASSES.contains(&class.as_str()) {
        let at = place(data.place(tag::SOP_CLASS));
        let found = quoted(&class);
        return Err(input("C01", path, at, "SOP class", found, "the class of an ECG waveform").into());
    }
    Ok(elements)
}

/// A multiplex group, checked for size.
struct Group<'e, 'a> {
    fields: Fields<'e, 'a>,
    label: String,
    fs_hz: f64,
    n_points: usize,
    channels: Vec<Fields<'e, 'a>>,
    coding: Coding,
    data: &'a [u8],
}

/// How samples are coded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    I8,
    U8,
    I16,
    U16,
    I32,
}

impl Coding {
    fn bytes(self) -> usize {
        match self {
            Coding::I8 | Coding::U8 => 1,
            Coding::I16 | Coding::U16 => 2,
            Coding::I32 => 4,
        }
    }

    /// The value of a sample; `bytes` has [`Coding::bytes`] of them.
    fn value(self, bytes: &[u8]) -> i32 {
        match (self, bytes) {
            (Coding::I8, &[a]) => i32::from(a as i8),
            (Coding::U8, &[a]) => i32::from(a),
            (Coding::I16, &[a, b]) => i32::from(i16::from_le_bytes([a, b])),
            (Coding::U16, &[a, b]) => i32::from(u16::from_le_bytes([a, b])),
            (Coding::I32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]),
            _ => MISSING,
        }
    }

    /// The narrowest WFDB format with all of its values.
    fn storage(self) -> StorageFormat {
        match self {
            Coding::I8 | Coding::U8 | Coding::I16 => StorageFormat::F16,
            Coding::U16 => StorageFormat::F24,
            Coding::I32 => StorageFormat::F32,
        }
    }
}

impl<'e, 'a> Group<'e, 'a> {
    /// Reads and checks what is said of a group (rules C04 and C05).
    fn new(fields: Fields<'e, 'a>, path: &Path) -> Result<Group<'e, 'a>> {
        let fault = |code, tag: u32, name: &str, found: String, expected: String| {
            let at = Position::Byte(fields.place(tag) as u64);
            Error::from(input(code, path, at, format!("{name} {}", tag_text(tag)), found, expected))
        };
        let number = |tag: u32, name: &str| {
            let found = || fields.text(tag).map_or("none".into(), |text| quoted(&text));
            fields.unsigned(tag).ok_or_else(|| fault("C04", tag, name, found(), "a number".into()))
        };
        let n_channels = number(tag::N_CHANNELS, "number of channels")? as usize;
        let n_points = number(tag::N_POINTS, "number of samples")? as usize;
        let bits = number(tag::BITS_ALLOCATED, "bits allocated")?;
        let interpretation = fields.text(tag::INTERPRETATION).unwrap_or_default();
        let coding = match (bits, interpretation.as_str()) {
            (8, "SB") => Coding::I8,
            (8, "UB") => Coding::U8,
            (16, "SS") => Coding::I16,
            (16, "US") => Coding::U16,
            (32, "SL") => Coding::I32,
            _ => {
                let name = match interpretation.as_str() {
                    "MB" => "mu-law",
                    "AB" => "A-law",
                    "UL" | "SV" | "UV" => "wide integers",
                    _ => "unknown",
                };
                let found = format!("{bits} bits of \"{interpretation}\" ({name}), not supported");
                let expected = "8 bits of SB or UB, 16 of SS or US, 32 of SL".to_string();
                return Err(fault("C05", tag::INTERPRETATION, "sample interpretation", found, expected));
            }
        };
        let fs_text = fields.text(tag::FS_HZ).unwrap_or_default();
        let fs_hz = decimal(&fs_text).ok().filter(|fs| *fs > 0.0 && fs.is_normal());
        let Some(fs_hz) = fs_hz else {
            let expected = "a positive rate in Hz".to_string();
            return Err(fault("C04", tag::FS_HZ, "sampling frequency", quoted(&fs_text), expected));
        };
        let channels = fields.items(tag::CHANNELS);
        if channels.len() != n_channels || n_channels == 0 {
            let found = format!("{} definitions", channels.len());
            let expected = format!("{n_channels}, one for each channel");
            return Err(fault("C04", tag::CHANNELS, "channel definitions", found, expected));
        }
        let data = fields.bytes(tag::DATA).unwrap_or_default();
        let size = n_points.checked_mul(n_channels).and_then(|n| n.checked_mul(coding.bytes()));
        // A byte of padding makes an odd length even.
        if size.is_none_or(|size| data.len() != size && !(size % 2 == 1 && data.len() == size + 1)) {
            let found = format!("{} bytes", data.len());
            let expected = format!("{n_channels} channels x {n_points} samples x {} bytes", coding.bytes());
            return Err(fault("C04", tag::DATA, "waveform data", found, expected));
        }
        let label = fields.text(tag::GROUP_LABEL).unwrap_or_default();
        Ok(Group { fields, label, fs_hz, n_points, channels, coding, data })
    }

    fn seconds(&self) -> f64 {
        self.n_points as f64 / self.fs_hz
    }

    fn summary(&self) -> String {
        let label = if self.label.is_empty() { "unlabelled".into() } else { quoted(&self.label) };
        format!("{label}: {} channels, {} s at {} Hz", self.channels.len(), self.seconds(), self.fs_hz)
    }
}

/// Leads of the rhythm; of all groups when the description says that they are one record.
fn leads(
    groups: &[Group],
    description: &Description,
    record: &mut Record,
    path: &Path,
    notes: &mut Notes,
) -> Result<()> {
    let n_channels: usize = groups.iter().map(|group| group.channels.len()).sum();
    if groups.len() > 1 && description.leads.len() == n_channels && !description.record.fs_hz.is_nan() {
        record.fs_hz = description.record.fs_hz;
        let frames = |group: &Group| (group.seconds() * record.fs_hz).round();
        record.sig_len = groups.iter().map(frames).fold(f64::INFINITY, f64::min) as usize;
        for group in groups {
            let spf = (group.fs_hz / record.fs_hz).round().max(1.0) as usize;
            for index in 0..group.channels.len() {
                let mut lead = lead(group, index, path, notes)?;
                lead.samples_per_frame = spf;
                record.leads.push(lead);
            }
        }
        let sig_len = record.sig_len;
        if record.leads.iter().all(|lead| sig_len.checked_mul(lead.samples_per_frame) == Some(lead.adu.len())) {
            return Ok(());
        }
        record.leads.clear();
    }
    let index = rhythm(groups);
    let chosen = &groups[index];
    if groups.len() > 1 {
        let list: Vec<String> = groups.iter().map(Group::summary).collect();
        let at = Position::Byte(chosen.fields.place(tag::N_CHANNELS) as u64);
        let message = format!("{} multiplex groups ({}): took group {}", groups.len(), list.join("; "), index + 1);
        notes.warn("C07", path, at, message);
    }
    (record.fs_hz, record.sig_len) = (chosen.fs_hz, chosen.n_points);
    for index in 0..chosen.channels.len() {
        record.leads.push(lead(chosen, index, path, notes)?);
    }
    Ok(())
}

/// The group labelled as rhythm, or the longest one.
fn rhythm(groups: &[Group]) -> usize {
    let labelled = groups.iter().position(|group| group.label.to_ascii_uppercase().contains("RHYTHM"));
    labelled.unwrap_or_else(|| {
        let mut longest = 0;
        for (index, group) in groups.iter().enumerate() {
            if group.seconds() > groups[longest].seconds() {
                longest = index;
            }
        }
        longest
    })
}

/// A channel with its calibration (rule C06) and points (rule C08).
fn lead(group: &Group, index: usize, path: &Path, notes: &mut Notes) -> Result<Lead> {
    let channel = group.channels[index];
    let name = lead_name(&channel);
    let title = format!("of channel {index} {}", quoted(&name));
    let number = |tag: u32| channel.text(tag).map(|text| decimal(&text).unwrap_or(f64::NAN));
    let scale = number(tag::SENSITIVITY).unwrap_or(0.0) * number(tag::CORRECTION).unwrap_or(1.0);
    let gain = snapped(1.0 / scale);
    if !gain.is_normal() {
        let found = channel.text(tag::SENSITIVITY).map_or("none".into(), |text| quoted(&text));
        let at = Position::Byte(channel.place(tag::SENSITIVITY) as u64);
        let field = format!("sensitivity {} {title}", tag_text(tag::SENSITIVITY));
        return Err(input("C06", path, at, field, found, "a finite number other than 0").into());
    }
    let baseline = -number(tag::BASELINE).unwrap_or(0.0) * gain;
    let at = Position::Byte(channel.place(tag::BASELINE) as u64);
    if !(baseline.abs() < 2_147_483_647.0) {
        let found = channel.text(tag::BASELINE).unwrap_or_default();
        let field = format!("baseline {} {title}", tag_text(tag::BASELINE));
        return Err(input("C06", path, at, field, quoted(&found), "a number within 32 bits of samples").into());
    }
    let shift = baseline.round() - baseline;
    if shift.abs() > 1e-3 {
        let message = format!("baseline {title}: between two samples; the points are {:.3e} lower", shift / gain);
        notes.warn("C06", path, at, message);
    }
    let padding = group.fields.bytes(tag::PADDING).filter(|bytes| bytes.len() >= group.coding.bytes());
    let padding = padding.map(|bytes| group.coding.value(&bytes[..group.coding.bytes()]));
    if index == 0 {
        note_representation(group, path, notes);
    }
    let size = group.coding.bytes();
    let frame = size * group.channels.len();
    let points = group.data.chunks_exact(frame).take(group.n_points).map(|frame| {
        let value = group.coding.value(&frame[size * index..][..size]);
        if Some(value) == padding { MISSING } else { value }
    });
    let mut lead = Lead::new(name, gain, points.collect());
    lead.baseline_adu = baseline.round() as i32;
    lead.units = channel.items(tag::UNITS).first().and_then(|unit| unit.text(tag::CODE)).unwrap_or_default();
    lead.format = group.coding.storage();
    Ok(lead)
}

/// Notes a representation of the samples that the standard does not foresee (rule C08).
fn note_representation(group: &Group, path: &Path, notes: &mut Notes) {
    let Some(data) = group.fields.element(tag::DATA) else { return };
    let at = Position::Byte(data.at as u64);
    let is_wide = group.coding.bytes() > 1;
    if &data.vr == b"OB" && is_wide
        || &data.vr == b"UN" && group.fields.element(tag::N_CHANNELS).is_some_and(|e| e.vr != *b"UN")
    {
        let vr = String::from_utf8_lossy(&data.vr);
        notes.warn("C08", path, at, format!("waveform data: representation {vr}; read as little-endian samples"));
    }
    if group.data.len() % 2 == 1 {
        notes.warn("C08", path, at, format!("waveform data: odd length {}; read as it is", group.data.len()));
    }
}

/// The lead's standard name by its code or meaning; else its label, else its meaning.
fn lead_name(channel: &Fields) -> String {
    let source = channel.items(tag::SOURCE);
    let source = source.first();
    let code = source.and_then(|source| source.text(tag::CODE)).unwrap_or_default();
    let number = code.strip_prefix("2:").or_else(|| code.strip_prefix("5.6.3-9-")).and_then(|n| n.parse().ok());
    if let Some((name, _)) = tag::LEAD_CODES.iter().find(|(_, code)| Some(*code) == number) {
        return (*name).to_string();
    }
    let meaning = source.and_then(|source| source.text(tag::MEANING)).unwrap_or_default();
    let label = channel.text(tag::CHANNEL_LABEL).unwrap_or_default();
    let standard = [&meaning, &label].into_iter().find_map(|name| {
        let bare = name.strip_prefix("Lead ").unwrap_or(name);
        lead_law::standard_name(bare.split(" (").next().unwrap_or(bare))
    });
    match standard {
        Some(name) => name.to_string(),
        None if label.is_empty() => meaning,
        None => label,
    }
}

/// Texts with a place in time, and without one.
fn marks(
    data: &Fields,
    groups: &[Group],
    description: &Description,
    record: &mut Record,
    path: &Path,
    notes: &mut Notes,
) {
    let is_ours = description.n_lines > 0;
    let fs_hz = if description.record.fs_hz.is_nan() { record.fs_hz } else { description.record.fs_hz };
    for item in data.items(tag::ANNOTATIONS) {
        let Some(text) = item.text(tag::TEXT).filter(|text| !text.starts_with(PREFIX) && !text.is_empty()) else {
            continue;
        };
        let Some(position) = item.unsigned(tag::POSITIONS) else {
            record.comments.push(text);
            continue;
        };
        let group = item.bytes(tag::REFERENCED_CHANNELS).and_then(|bytes| bytes.first()).map_or(1, |&n| usize::from(n));
        let Some(group) = group.checked_sub(1).and_then(|index| groups.get(index)) else {
            let at = Position::Byte(item.place(tag::POSITIONS) as u64);
            notes.warn("C07", path, at, format!("annotation {}: no such multiplex group; dropped", quoted(&text)));
            continue;
        };
        // Positions count from 1.
        let sample = (f64::from(position.saturating_sub(1)) / group.fs_hz * fs_hz).round() as i64;
        let (annotator, mark) = match mark_of_text(&text, sample).filter(|_| is_ours) {
            Some(mark) => mark,
            None => (ANNOTATOR.to_string(), note(sample, &text)),
        };
        record.annotations.entry(annotator).or_default().push(mark);
    }
}

/// Date and time of the acquisition, where a real one is stated.
fn acquisition(data: &Fields) -> (Option<String>, Option<String>) {
    let text = data.text(tag::ACQUISITION_TIME).unwrap_or_default();
    if text.starts_with(NO_DATE) { (None, None) } else { of_digits(&text) }
}
