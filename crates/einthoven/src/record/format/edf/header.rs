//! The header of EDF and EDF+: 256 bytes of text for the file, 256 more for each signal.

use std::path::Path;

use crate::error::{InputError, Position, Result};
use crate::record::format::fit::snapped;
use crate::record::format::notes::{Notes, input, quoted};
use crate::record::format::wfdb::decimal;
use crate::record::lead_law;

/// Label of the annotation channel.
pub(super) const ANNOTATIONS: &str = "EDF Annotations";
/// Largest data record that is believed, in bytes.
const MAX_RECORD_BYTES: usize = 10 << 20;
/// Where the number of signals stands.
const N_SIGNALS_AT: usize = 252;
/// Months as EDF+ writes them.
pub(super) const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// What kind of EDF a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Without annotations.
    Plain,
    /// EDF+C: data records follow each other without gap.
    Continuous,
    /// EDF+D: each data record says when it begins.
    Gaps,
}

/// The header, checked against the size of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Kind of file.
    pub kind: Kind,
    /// Local patient identification, as stored. Not shown anywhere.
    pub patient: String,
    /// Local recording identification, as stored.
    pub recording: String,
    /// Start date `dd/mm/yyyy`, where the file states a real one.
    pub date: Option<String>,
    /// Start time `hh:mm:ss`.
    pub time: Option<String>,
    /// Bytes of the header.
    pub bytes: usize,
    /// Data records.
    pub n_records: usize,
    /// Bytes of a data record.
    pub record_bytes: usize,
    /// Seconds of a data record.
    pub duration_s: f64,
    /// Signals in the order of the file.
    pub channels: Vec<Channel>,
}

/// A signal's part of the header.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Index in the file.
    pub index: usize,
    /// Label, such as `ECG V1`.
    pub label: String,
    /// Physical dimension.
    pub units: String,
    /// Physical values of the digital extremes.
    pub physical: (f64, f64),
    /// Digital extremes.
    pub digital: (i32, i32),
    /// Points in a data record.
    pub points: usize,
    /// Byte offset in a data record.
    pub offset: usize,
    /// Whether it holds annotations.
    pub is_annotation: bool,
    /// Byte offsets of physical and digital minimum in the file.
    places: (u64, u64),
}

impl Header {
    /// Channels with points.
    pub fn ordinary(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().filter(|channel| !channel.is_annotation)
    }

    /// Steps of the largest time step that all ordinary channels share, in a data record.
    pub fn frames_per_record(&self) -> usize {
        self.ordinary().fold(0, |divisor, channel| gcd(divisor, channel.points)).max(1)
    }

    /// Where a channel's points of a data record begin.
    pub(super) fn start_of(&self, record: usize, channel: &Channel) -> usize {
        self.bytes + record * self.record_bytes + channel.offset
    }
}

impl Channel {
    /// The lead's name: without the type of signal that EDF+ puts before it.
    pub fn name(&self) -> String {
        let bare = ["ECG ", "EKG "].iter().find_map(|kind| self.label.strip_prefix(kind)).unwrap_or(&self.label);
        lead_law::standard_name(bare).map_or_else(|| bare.to_string(), str::to_string)
    }

    /// Gain and baseline; `None` for a channel that has none (rules E05 and E06, lenient).
    pub(super) fn calibration(&self, path: &Path, notes: &mut Notes) -> Result<Option<(f64, i32)>> {
        let (low, high) = self.digital;
        let (bottom, top) = self.physical;
        let unusable = "the channel is kept without points";
        if low >= high {
            let (field, found) = (format!("digital range of {}", self.title()), format!("{low} to {high}"));
            let at = Position::Byte(self.places.1);
            notes.deviation(input("E05", path, at, field, found, "minimum below maximum"), unusable)?;
            return Ok(None);
        }
        let gain = snapped(f64::from(high - low) / (top - bottom));
        let baseline = f64::from(low) - bottom * gain;
        let field = format!("physical range of {}", self.title());
        let at = Position::Byte(self.places.0);
        if bottom == top || !gain.is_normal() || !(baseline.abs() < 2_147_483_647.0) {
            let found = format!("{bottom} to {top}");
            notes.deviation(input("E06", path, at, field, found, "two ends that differ"), unusable)?;
            return Ok(None);
        }
        let shift = baseline.round() - baseline;
        // Below a thousandth of a step it is the rounding of the fields.
        if shift.abs() > 1e-3 {
            let message = format!(
                "{field}: zero lies between two digital values; the points are {:.3e} {} lower than stated",
                shift / gain,
                self.units
            );
            notes.warn("E06", path, at, message);
        }
        Ok(Some((gain, baseline.round() as i32)))
    }

    /// Number and label, for messages.
    fn title(&self) -> String {
        format!("channel {} {}", self.index, quoted(&self.label))
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The bytes of a file with its path: builds errors.
struct Fields<'a> {
    bytes: &'a [u8],
    path: &'a Path,
}

impl<'a> Fields<'a> {
    /// A field as Latin-1 text without the blanks around it, and whether it is pure ASCII.
    fn text(&self, at: usize, width: usize) -> (String, bool) {
        let bytes = &self.bytes[at..at + width];
        let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        (text.trim_matches([' ', '\0']).to_string(), bytes.iter().all(|byte| matches!(byte, 32..=126)))
    }

    fn fault(&self, code: &'static str, at: usize, field: &str, found: String, expected: &str) -> InputError {
        input(code, self.path, Position::Byte(at as u64), field, found, expected)
    }

    /// A finite number (rule E10).
    fn number(&self, at: usize, field: &str) -> Result<f64> {
        // The number of signals is the one short field.
        let (text, _) = self.text(at, if at == N_SIGNALS_AT { 4 } else { 8 });
        let value = decimal(&text).ok().filter(|value| value.is_finite());
        value.ok_or_else(|| self.fault("E10", at, field, quoted(&text), "a number with a decimal point").into())
    }

    /// A whole number (rule E10).
    fn integer(&self, at: usize, field: &str) -> Result<i64> {
        let value = self.number(at, field)?;
        if value.fract() != 0.0 || value.abs() > 1e15 {
            return Err(self.fault("E10", at, field, quoted(&self.text(at, 8).0), "a whole number").into());
        }
        Ok(value as i64)
    }
}

/// Reads and checks the header.
///
/// # Errors
/// Rules E01 to E10 and E12.
pub(super) fn parse(bytes: &[u8], path: &Path, notes: &mut Notes) -> Result<Header> {
    let fields = Fields { bytes, path };
    version(&fields)?;
    if bytes.len() < 256 {
        let found = format!("{} bytes", bytes.len());
        return Err(fields.fault("E04", bytes.len(), "header", found, "at least 256 bytes").into());
    }
    let n_channels = fields.integer(N_SIGNALS_AT, "number of signals")?;
    if !(1..=notes.options.caps.signals as i64).contains(&n_channels) {
        let expected = format!("1 to {}", notes.options.caps.signals);
        return Err(fields.fault("E02", N_SIGNALS_AT, "number of signals", n_channels.to_string(), &expected).into());
    }
    let n_channels = n_channels as usize;
    let header_bytes = fields.integer(184, "bytes in the header")?;
    let expected = 256 * (n_channels + 1);
    if header_bytes != expected as i64 {
        let expected = format!("{expected} for {n_channels} signals");
        return Err(fields.fault("E02", 184, "bytes in the header", header_bytes.to_string(), &expected).into());
    }
    if bytes.len() < expected {
        let found = format!("{} bytes", bytes.len());
        return Err(fields.fault("E04", bytes.len(), "header", found, &format!("{expected} bytes")).into());
    }
    let reserved = fields.text(192, 44).0;
    let kind = match () {
        () if reserved.starts_with("EDF+C") => Kind::Continuous,
        () if reserved.starts_with("EDF+D") => Kind::Gaps,
        () => Kind::Plain,
    };
    let recording = fields.text(88, 80).0;
    let (date, time) = start(&fields, &recording, kind, notes)?;
    let mut channels = channels(&fields, n_channels, kind, notes)?;
    let mut record_bytes = 0;
    for channel in &mut channels {
        channel.offset = record_bytes;
        record_bytes += 2 * channel.points;
        if record_bytes > MAX_RECORD_BYTES {
            let at = 256 + 216 * n_channels + 8 * channel.index;
            let expected = format!("data records of at most {MAX_RECORD_BYTES} bytes");
            let found = format!("{} more than that", channel.points);
            return Err(fields.fault("E08", at, "points in a data record", found, &expected).into());
        }
    }
    if kind != Kind::Plain && !channels.iter().any(|channel| channel.is_annotation) {
        let found = "no channel \"EDF Annotations\"".to_string();
        return Err(fields.fault("E12", 192, "reserved field", found, "one, as EDF+ calls for").into());
    }
    let duration_s = fields.number(244, "duration of a data record")?;
    let has_signals = channels.iter().any(|channel| !channel.is_annotation);
    if duration_s < 0.0 || duration_s == 0.0 && has_signals {
        let found = duration_s.to_string();
        return Err(fields.fault("E07", 244, "duration of a data record", found, "more than 0 s").into());
    }
    let n_records = n_records(&fields, expected, record_bytes, notes)?;
    let patient = fields.text(8, 80).0;
    Ok(Header { kind, patient, recording, date, time, bytes: expected, n_records, record_bytes, duration_s, channels })
}

/// The first eight bytes (rule E01).
fn version(fields: &Fields) -> Result<()> {
    let bytes = fields.bytes;
    if bytes.starts_with(b"0       ") {
        return Ok(());
    }
    let found = if bytes.starts_with(b"\xffBIOSEMI") {
        "a BDF file with 24-bit points".to_string()
    } else if bytes.is_empty() {
        "an empty file".to_string()
    } else {
        format!("\"{}\"", bytes[..bytes.len().min(8)].escape_ascii())
    };
    let mut error = fields.fault("E01", 0, "version", found, "\"0\" and seven blanks as in EDF");
    error.hint = "convert the file to EDF+ first".into();
    Err(error.into())
}

/// The number of data records, which must be in the file (rules E03 and E04).
fn n_records(fields: &Fields, header_bytes: usize, record_bytes: usize, notes: &mut Notes) -> Result<usize> {
    let present = fields.bytes.len() - header_bytes;
    let whole = present / record_bytes;
    let declared = fields.integer(236, "number of data records")?;
    let at = Position::Byte(236);
    if declared == -1 {
        notes.warn(
            "E03",
            fields.path,
            at,
            format!("number of data records: found -1, took {whole} from the file size"),
        );
        return Ok(whole);
    }
    if declared < 0 || declared as u64 > whole as u64 {
        let expected = format!("at most {whole}, which is what the file holds");
        return Err(fields.fault("E04", 236, "number of data records", declared.to_string(), &expected).into());
    }
    // Not above `whole`, so it fits.
    let n_records = declared as usize;
    let surplus = present - n_records * record_bytes;
    if surplus > 0 {
        let message = format!("number of data records: {surplus} bytes follow the {n_records} declared; ignored");
        notes.warn("E04", fields.path, at, message);
    }
    Ok(n_records)
}

/// Start date and time (rule E09).
fn start(fields: &Fields, recording: &str, kind: Kind, notes: &mut Notes) -> Result<(Option<String>, Option<String>)> {
    let parts = |at: usize| -> Option<[u16; 3]> {
        let text = fields.text(at, 8).0;
        let numbers: Vec<&str> = text.split('.').collect();
        let is_plain = numbers.len() == 3 && numbers.iter().all(|n| n.len() == 2);
        let numbers: Option<Vec<u16>> = numbers.iter().map(|n| n.parse().ok()).collect();
        numbers.filter(|_| is_plain)?.try_into().ok()
    };
    let time = parts(176).filter(|[hour, minute, second]| *hour < 24 && *minute < 60 && *second < 60);
    if time.is_none() {
        let found = quoted(&fields.text(176, 8).0);
        notes.deviation(fields.fault("E09", 176, "start time", found, "hh.mm.ss"), "time of day unknown")?;
    }
    let time = time.map(|[hour, minute, second]| format!("{hour:02}:{minute:02}:{second:02}"));
    let dated = recording.strip_prefix("Startdate ").map(|rest| rest.split(' ').next().unwrap_or(""));
    let date = match dated {
        Some("X") if kind != Kind::Plain => None,
        Some(text) if kind != Kind::Plain => {
            let date = four_digit_date(text);
            if date.is_none() {
                let error = fields.fault("E09", 98, "start date", quoted(text), "dd-MMM-yyyy or X");
                notes.deviation(error, "date unknown")?;
            }
            date
        }
        _ => {
            let date = parts(168).filter(|[day, month, _]| (1..=31).contains(day) && (1..=12).contains(month));
            if date.is_none() {
                let found = quoted(&fields.text(168, 8).0);
                notes.deviation(fields.fault("E09", 168, "start date", found, "dd.mm.yy"), "date unknown")?;
            }
            // EDF counts 85 to 99 as 1985 to 1999.
            date.map(|[day, month, year]| {
                format!("{day:02}/{month:02}/{}", if year >= 85 { 1900 + year } else { 2000 + year })
            })
        }
    };
    // Midnight beside an unknown date is what writers put when they know neither.
    let is_unknown = date.is_none() && dated == Some("X") && time.as_deref() == Some("00:00:00");
    Ok((date, time.filter(|_| !is_unknown)))
}

/// `02-MAR-2002` as `02/03/2002`.
fn four_digit_date(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('-').collect();
    let [day, month, year] = parts.try_into().ok()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    let day: u8 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: u16 = year.parse().ok().filter(|_| year.len() == 4)?;
    Some(format!("{day:02}/{month:02}/{year:04}"))
}

/// The signals' parts: each field for all of them, then the next.
fn channels(fields: &Fields, n: usize, kind: Kind, notes: &mut Notes) -> Result<Vec<Channel>> {
    let place = |before: usize, width: usize, index: usize| 256 + before * n + width * index;
    let mut channels = Vec::with_capacity(n);
    for index in 0..n {
        let (label, is_ascii) = fields.text(place(0, 16, index), 16);
        let (units, is_ascii_unit) = fields.text(place(96, 8, index), 8);
        for (is_ascii, field, text, at) in
            [(is_ascii, "label", &label, place(0, 16, index)), (is_ascii_unit, "unit", &units, place(96, 8, index))]
        {
            if !is_ascii {
                let message = format!("{field} of channel {index}: {} is not ASCII; read as Latin-1", quoted(text));
                notes.warn("E10", fields.path, Position::Byte(at as u64), message);
            }
        }
        let is_annotation = kind != Kind::Plain && label == ANNOTATIONS;
        let named = |field: &str| format!("{field} of channel {index} {}", quoted(&label));
        let points_at = place(216, 8, index);
        let points = fields.integer(points_at, &named("points in a data record"))?;
        if points < 1 || points as usize > MAX_RECORD_BYTES / 2 {
            let expected = format!("1 to {}", MAX_RECORD_BYTES / 2);
            let found = points.to_string();
            return Err(fields.fault("E08", points_at, &named("points in a data record"), found, &expected).into());
        }
        let (physical_at, digital_at) = (place(104, 8, index), place(120, 8, index));
        let digital = |at: usize, field: &str| -> Result<i32> {
            let value = fields.integer(at, &named(field))?;
            let value = i16::try_from(value)
                .map_err(|_| fields.fault("E05", at, &named(field), value.to_string(), "a 16-bit number"))?;
            Ok(i32::from(value))
        };
        channels.push(Channel {
            index,
            physical: (
                fields.number(physical_at, &named("physical minimum"))?,
                fields.number(place(112, 8, index), &named("physical maximum"))?,
            ),
            digital: (digital(digital_at, "digital minimum")?, digital(place(128, 8, index), "digital maximum")?),
            // The step before has bounded it.
            points: points as usize,
            offset: 0,
            is_annotation,
            places: (physical_at as u64, digital_at as u64),
            label,
            units,
        });
    }
    Ok(channels)
}
