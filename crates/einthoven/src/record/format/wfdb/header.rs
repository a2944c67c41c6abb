//! WFDB headers: the record line, signal lines, segment lines and comments.
//!
//! # Reference
//! WFDB Applications Guide, header(5). Rules W01-W33 and S02 of the reliability page.

use std::path::{Path, PathBuf};

use crate::error::{Error, Position, Result};
use crate::record::format::notes::{Notes, input, quoted, read_file};
use crate::record::{Counter, StorageFormat};

use super::lines::{Line, Token, split_lines};
use super::number::{Fault, decimal, integer};

/// A parsed header.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// File from which it was read.
    pub path: PathBuf,
    /// Record name as written.
    pub name: String,
    /// Number of signals declared.
    pub n_signals: usize,
    /// Frames per second.
    pub fs_hz: f64,
    /// Counter frequency and base, where given.
    pub counter: Option<Counter>,
    /// Number of frames; `None` when absent or 0, which mean "unknown".
    pub sig_len: Option<u64>,
    /// Time of day at the start.
    pub base_time: Option<String>,
    /// Date at the start, `dd/mm/yyyy`.
    pub base_date: Option<String>,
    /// Signals; empty for a multi-segment record.
    pub signals: Vec<SignalSpec>,
    /// Segments; `None` for an ordinary record.
    pub segments: Option<Vec<SegmentSpec>>,
    /// Comment lines without `#`.
    pub comments: Vec<String>,
    /// Line number of the record line.
    pub line: usize,
}

/// A signal line.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSpec {
    /// Signal file, `~` for none.
    pub file: String,
    /// Storage format.
    pub format: StorageFormat,
    /// Points per frame.
    pub samples_per_frame: usize,
    /// Frames by which the signal lags in the file.
    pub skew: u64,
    /// Bytes before the first point.
    pub byte_offset: u64,
    /// Gain in adu per unit; `None` when uncalibrated.
    pub gain: Option<f64>,
    /// Digital value of 0 units.
    pub baseline: i32,
    /// Physical unit.
    pub units: String,
    /// Converter resolution in bits, 0 when unknown.
    pub adc_resolution: u8,
    /// Middle of the converter's range.
    pub adc_zero: i32,
    /// First digital value.
    pub initial: i32,
    /// Checksum modulo 65536, signed.
    pub checksum: Option<i16>,
    /// Block size.
    pub block_size: i32,
    /// Description, which is the lead's name.
    pub description: String,
    /// Line number.
    pub line: usize,
    /// Column of the checksum.
    pub checksum_column: usize,
}

/// A segment line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSpec {
    /// Record name of the segment, `~` for a gap.
    pub name: String,
    /// Number of frames.
    pub len: u64,
    /// Line number.
    pub line: usize,
}

/// Reads and parses a header file.
pub(crate) fn read_header(path: &Path, notes: &mut Notes) -> Result<Header> {
    let bytes = read_file(path, notes.options.caps.header_bytes, "W31")?;
    parse(path, &bytes, notes)
}

/// Parses a header.
pub(crate) fn parse(path: &Path, bytes: &[u8], notes: &mut Notes) -> Result<Header> {
    let text = split_lines(path, bytes, notes)?;
    let mut lines = text.lines.iter();
    let Some(record) = lines.next() else {
        let found = if bytes.is_empty() { "an empty file" } else { "comments only" };
        return Err(input("W01", path, Position::File, "record line", found, "a record line").into());
    };
    let (mut header, n_segments) = record_line(path, record, notes)?;
    header.comments = text.comments;
    let (declared, code, what) = match n_segments {
        Some(n) => (n, "S02", "segment lines"),
        None => (header.n_signals, "W03", "signal lines"),
    };
    let found = text.lines.len() - 1;
    if found < declared {
        let expected = format!("{declared} as the record line declares");
        return Err(input(code, path, Position::Line(record.number), what, found.to_string(), expected).into());
    }
    if n_segments.is_some() {
        let segments: Result<Vec<SegmentSpec>> =
            lines.by_ref().take(declared).map(|line| segment_line(path, line)).collect();
        header.segments = Some(segments?);
    } else {
        let frame_cap = notes.options.caps.frame_points;
        let mut frame = 0usize;
        for line in lines.by_ref().take(declared) {
            let signal = signal_line(path, line, frame_cap, notes)?;
            frame = frame.saturating_add(signal.samples_per_frame);
            if frame > frame_cap {
                let expected = format!("at most {frame_cap} points in a frame");
                let at = Position::Line(line.number);
                return Err(input("W19", path, at, "samples per frame", format!("{frame} so far"), expected).into());
            }
            header.signals.push(signal);
        }
        duplicates(&header, notes);
    }
    if let Some(extra) = lines.next() {
        let message = format!("{} {what} more than declared, ignored", found - declared);
        notes.warn("W04", path, Position::Line(extra.number), message);
    }
    Ok(header)
}

/// `name[/segments] signals [fs[/counter[(base)]] [samples [time [date]]]]`
///
/// The second result is the number of segments that a multi-segment record declares.
fn record_line(path: &Path, line: &Line, notes: &mut Notes) -> Result<(Header, Option<usize>)> {
    let tokens = line.tokens(path)?;
    let caps = notes.options.caps.clone();
    let at = |token: &Token| Position::LineColumn(line.number, token.column);
    let first = tokens[0];
    let (name, n_segments) = match first.text.split_once('/') {
        None => (first.text, None),
        Some((name, count)) => {
            let n = integer(count).ok().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0 && n <= caps.segments);
            let expected = format!("an integer from 1 to {}", caps.segments);
            let n = n.ok_or_else(|| input("S02", path, at(&first), "number of segments", quoted(count), expected))?;
            (name, Some(n))
        }
    };
    let count = tokens.get(1).copied().unwrap_or(Token { text: "", column: line.end_column() });
    let n_signals =
        integer(count.text).ok().and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= caps.signals).ok_or_else(
            || {
                let expected = format!("an integer from 0 to {}", caps.signals);
                input("W05", path, at(&count), "number of signals", quoted(count.text), expected)
            },
        )?;
    let (fs_hz, counter) = match tokens.get(2) {
        Some(token) => frequency(path, line, *token)?,
        None => {
            notes.warn("W06", path, Position::Line(line.number), "sampling frequency: found none, took 250 Hz");
            (250.0, None)
        }
    };
    let sig_len = match tokens.get(3) {
        None => None,
        Some(token) => match integer(token.text) {
            Ok(n) if n >= 0 => Some(n as u64).filter(|&n| n > 0),
            Ok(_) | Err(Fault::OutOfRange) => {
                let expected = format!("an integer from 0 to {}", i64::MAX);
                return Err(input("W09", path, at(token), "number of samples", quoted(token.text), expected).into());
            }
            Err(Fault::NotANumber(offset)) => {
                let place = Position::LineColumn(line.number, token.column + offset);
                return Err(input("W14", path, place, "number of samples", quoted(token.text), "an integer").into());
            }
        },
    };
    let (mut base_time, mut base_date) = (None, None);
    if let Some(token) = tokens.get(4) {
        base_time = time_of_day(token.text);
        base_date = tokens.get(5).and_then(|token| date(token.text));
        let complete = base_time.is_some() && (tokens.len() == 5 || base_date.is_some()) && tokens.len() <= 6;
        if !complete {
            let found = quoted(line.rest_from(token.column));
            notes.warn(
                "W32",
                path,
                at(token),
                format!("base time: found {found}, expected hh:mm:ss dd/mm/yyyy; took none"),
            );
            (base_time, base_date) = (None, None);
        }
    }
    let header = Header {
        path: path.to_path_buf(),
        name: name.to_string(),
        n_signals,
        fs_hz,
        counter,
        sig_len,
        base_time,
        base_date,
        signals: Vec::new(),
        segments: None,
        comments: Vec::new(),
        line: line.number,
    };
    Ok((header, n_segments))
}

/// `fs[/counter[(base)]]`
fn frequency(path: &Path, line: &Line, token: Token) -> Result<(f64, Option<Counter>)> {
    let at = |offset: usize| Position::LineColumn(line.number, token.column + offset);
    let (fs_text, counter_text) = match token.text.split_once('/') {
        None => (token.text, None),
        Some((fs, counter)) => (fs, Some(counter)),
    };
    let positive = |code, text: &str, offset: usize, field: &str| match decimal(text) {
        Ok(value) if value > 0.0 && value.is_normal() => Ok(value),
        Err(Fault::NotANumber(place)) if !is_not_finite(text) => {
            Err(Error::from(input("W14", path, at(offset + place), field, quoted(text), "a number")))
        }
        _ => Err(input(code, path, at(offset), field, quoted(text), "a positive finite number").into()),
    };
    let fs_hz = positive("W06", fs_text, 0, "sampling frequency")?;
    let Some(counter_text) = counter_text else { return Ok((fs_hz, None)) };
    let start = fs_text.len() + 1;
    let (frequency_text, base) = match counter_text.split_once('(') {
        None => (counter_text, 0.0),
        Some((frequency_text, rest)) => {
            let offset = start + frequency_text.len() + 1;
            let base = rest.strip_suffix(')').and_then(|text| decimal(text).ok()).filter(|base| base.is_finite());
            let fault = || input("W14", path, at(offset), "base counter value", quoted(rest), "a number and \")\"");
            (frequency_text, base.ok_or_else(fault)?)
        }
    };
    let frequency_hz = positive("W06", frequency_text, start, "counter frequency")?;
    Ok((fs_hz, Some(Counter { frequency_hz, base })))
}

/// `file format[xN][:skew][+offset] [gain[(baseline)][/units] [resolution [zero [initial [checksum [block [description]]]]]]]`
fn signal_line(path: &Path, line: &Line, frame_cap: usize, notes: &mut Notes) -> Result<SignalSpec> {
    let tokens = line.tokens(path)?;
    let end = Token { text: "", column: line.end_column() };
    let mut spec = format_token(path, line, tokens.get(1).copied().unwrap_or(end), frame_cap)?;
    spec.file = tokens[0].text.to_string();
    spec.line = line.number;
    let small =
        |index: usize, field: &str, code: &'static str, expected: &str, low: i64, high: i64| match tokens.get(index) {
            None => Ok(None),
            Some(token) => match integer(token.text) {
                Ok(value) if (low..=high).contains(&value) => Ok(Some(value)),
                Err(Fault::NotANumber(offset)) => {
                    let at = Position::LineColumn(line.number, token.column + offset);
                    Err(Error::from(input("W14", path, at, field, quoted(token.text), "an integer")))
                }
                _ => {
                    let at = Position::LineColumn(line.number, token.column);
                    Err(input(code, path, at, field, quoted(token.text), expected).into())
                }
            },
        };
    let (low, high) = (i64::from(i32::MIN), i64::from(i32::MAX));
    let wide = "a 32-bit integer";
    spec.adc_resolution = small(3, "ADC resolution", "W14", "0 to 64 bits", 0, 64)?.unwrap_or(0) as u8;
    let adc_zero = small(4, "ADC zero", "W15", wide, low, high)?;
    spec.adc_zero = adc_zero.unwrap_or(0) as i32;
    spec.initial = small(5, "initial value", "W14", wide, low, high)?.map_or(spec.adc_zero, |value| value as i32);
    // Both the signed and the unsigned form stand for the same 16 bits.
    spec.checksum = small(6, "checksum", "W14", wide, -(1 << 32), 1 << 32)?.map(|value| value as i16);
    spec.checksum_column = tokens.get(6).map_or(0, |token| token.column);
    spec.block_size = small(7, "block size", "W14", wide, low, high)?.unwrap_or(0) as i32;
    spec.description = tokens.get(8).map_or("", |token| line.rest_from(token.column)).trim_end().to_string();
    spec.baseline = spec.adc_zero;
    gain_token(path, line, tokens.get(2).copied(), &mut spec, notes)?;
    Ok(spec)
}

/// `format[xN][:skew][+offset]`, the parts after the number in any order.
fn format_token(path: &Path, line: &Line, token: Token, frame_cap: usize) -> Result<SignalSpec> {
    let at = |offset: usize| Position::LineColumn(line.number, token.column + offset);
    let part_end =
        |from: usize| token.text[from..].find(['x', ':', '+']).map_or(token.text.len(), |found| from + found);
    let mut end = part_end(0);
    let number = &token.text[..end];
    let format = number.parse::<u32>().ok().filter(|_| number.bytes().all(|b| b.is_ascii_digit()));
    let format = format.and_then(StorageFormat::from_number).ok_or_else(|| {
        let known: Vec<String> = StorageFormat::ALL.iter().map(ToString::to_string).collect();
        input("W18", path, at(0), "storage format", quoted(number), format!("one of {}", known.join(", ")))
    })?;
    let mut spec = SignalSpec {
        file: String::new(),
        format,
        samples_per_frame: 1,
        skew: 0,
        byte_offset: 0,
        gain: None,
        baseline: 0,
        units: "mV".into(),
        adc_resolution: 0,
        adc_zero: 0,
        initial: 0,
        checksum: None,
        block_size: 0,
        description: String::new(),
        line: line.number,
        checksum_column: 0,
    };
    while end < token.text.len() {
        let start = end + 1;
        end = part_end(start);
        let (kind, text) = (token.text.as_bytes()[start - 1], &token.text[start..end]);
        let (code, field, low, high) = match kind {
            b'x' => ("W19", "samples per frame", 1, frame_cap as i64),
            b':' => ("W20", "skew", 0, i64::MAX),
            _ => ("W21", "byte offset", 0, i64::MAX),
        };
        let value = match integer(text) {
            Ok(value) if (low..=high).contains(&value) => value as u64,
            Err(Fault::NotANumber(offset)) => {
                return Err(input("W14", path, at(start + offset), field, quoted(text), "an integer").into());
            }
            _ => {
                let expected = format!("an integer from {low} to {high}");
                return Err(input(code, path, at(start), field, quoted(text), expected).into());
            }
        };
        match kind {
            b'x' => spec.samples_per_frame = value as usize,
            b':' => spec.skew = value,
            _ => spec.byte_offset = value,
        }
    }
    Ok(spec)
}

/// `gain[(baseline)][/units]`
fn gain_token(path: &Path, line: &Line, token: Option<Token>, spec: &mut SignalSpec, notes: &mut Notes) -> Result<()> {
    let token = token.unwrap_or(Token { text: "0", column: line.end_column() });
    let at = |offset: usize| Position::LineColumn(line.number, token.column + offset);
    let (numbers, units) = match token.text.split_once('/') {
        None => (token.text, None),
        Some((numbers, units)) => (numbers, Some(units)),
    };
    let (gain_text, baseline_text) = match numbers.split_once('(') {
        None => (numbers, None),
        Some((gain, rest)) => (gain, Some(rest)),
    };
    let gain = match decimal(gain_text) {
        Ok(gain) if gain == 0.0 || gain.is_normal() => gain,
        Err(Fault::NotANumber(offset)) if !is_not_finite(gain_text) => {
            return Err(input("W14", path, at(offset), "gain", quoted(gain_text), "a number").into());
        }
        _ => return Err(input("W13", path, at(0), "gain", quoted(gain_text), "a finite normal number").into()),
    };
    if let Some(rest) = baseline_text {
        let offset = gain_text.len() + 1;
        let Some(text) = rest.strip_suffix(')') else {
            return Err(input("W14", path, at(offset), "baseline", quoted(rest), "an integer and \")\"").into());
        };
        spec.baseline = match integer(text).map(i32::try_from) {
            Ok(Ok(baseline)) => baseline,
            Ok(Err(_)) | Err(Fault::OutOfRange) => {
                return Err(input("W15", path, at(offset), "baseline", quoted(text), "a 32-bit integer").into());
            }
            Err(Fault::NotANumber(place)) => {
                return Err(input("W14", path, at(offset + place), "baseline", quoted(text), "an integer").into());
            }
        };
    }
    if let Some(units) = units.filter(|units| !units.is_empty()) {
        spec.units = units.to_string();
    }
    if gain == 0.0 {
        notes.warn("W11", path, at(0), "gain: found none, taken as uncalibrated (200 adu per unit)");
    } else {
        if gain < 0.0 {
            notes.warn("W12", path, at(0), format!("gain: found {gain}, polarity inverted"));
        }
        spec.gain = Some(gain);
    }
    Ok(())
}

/// `name length`
fn segment_line(path: &Path, line: &Line) -> Result<SegmentSpec> {
    let tokens = line.tokens(path)?;
    let name = tokens[0];
    let plain = name.text != "." && name.text != ".." && !name.text.contains(['/', '\\', ':', '+', '\0']);
    if !plain {
        let at = Position::LineColumn(line.number, name.column);
        return Err(input("S07", path, at, "segment name", quoted(name.text), "a plain record name").into());
    }
    let token = tokens.get(1).copied().unwrap_or(Token { text: "", column: line.end_column() });
    let at = |offset: usize| Position::LineColumn(line.number, token.column + offset);
    let len = match integer(token.text) {
        Ok(len) if len >= 0 => len as u64,
        Err(Fault::NotANumber(offset)) => {
            return Err(input("W14", path, at(offset), "segment length", quoted(token.text), "an integer").into());
        }
        _ => {
            let expected = format!("an integer from 0 to {}", i64::MAX);
            return Err(input("W09", path, at(0), "segment length", quoted(token.text), expected).into());
        }
    };
    Ok(SegmentSpec { name: name.text.to_string(), len, line: line.number })
}

/// Notes lead names that occur more than once (rule W33).
fn duplicates(header: &Header, notes: &mut Notes) {
    let mut seen = std::collections::BTreeSet::new();
    for signal in &header.signals {
        if !signal.description.is_empty() && !seen.insert(signal.description.as_str()) {
            let message = format!("lead name {} occurs again; choose it by index", quoted(&signal.description));
            notes.warn("W33", &header.path, Position::Line(signal.line), message);
        }
    }
}

/// Whether a text spells NaN or infinity in a way that other readers accept.
fn is_not_finite(text: &str) -> bool {
    let text = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    matches!(text.as_str(), "nan" | "inf" | "infinity")
}

/// `h:mm:ss[.fff]` within a day, as two-digit hours.
pub(crate) fn time_of_day(text: &str) -> Option<String> {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts[..] else { return None };
    let part = |text: &str, limit: u32| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>().ok().filter(|&value| digits && value < limit)
    };
    let (hour, minute, second) = (part(hour, 24)?, part(minute, 60)?, part(second, 60)?);
    let fraction = match fraction {
        None => String::new(),
        Some(digits) if digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit()) => format!(".{digits}"),
        Some(_) => return None,
    };
    Some(format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
}

/// `d/m/yyyy`, a date that exists, as two-digit day and month.
pub(crate) fn date(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('/').collect();
    let [day, month, year] = parts[..] else { return None };
    let number =
        |text: &str| text.parse::<u32>().ok().filter(|_| text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()));
    let (day, month, year) = (number(day)?, number(month)?, number(year)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    ((1..=days).contains(&day) && year > 0).then(|| format!("{day:02}/{month:02}/{year:04}"))
}
