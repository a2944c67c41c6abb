//! MIT-format annotation files: words of 16 bits, 6 for the code and 10 for the time since the
//! annotation before.
//!
//! # Reference
//! WFDB Applications Guide, annot(5). Rules A01-A11 of the reliability page.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, InputError, Position, Result};
use crate::record::Annotation;
use crate::record::annotation::{SYMBOLS, code_of};
use crate::record::format::notes::{Notes, input, quoted, read_file};

use super::discover::Certainty;
use super::number::decimal;

/// Code of a 32-bit time step.
pub(super) const SKIP: u8 = 59;
/// Code of the annotator's number.
pub(super) const NUM: u8 = 60;
/// Code of the subtype.
pub(super) const SUB: u8 = 61;
/// Code of the signal number.
pub(super) const CHN: u8 = 62;
/// Code of the text.
pub(super) const AUX: u8 = 63;

/// What an annotation may refer to (rule A09).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Frames of the record.
    pub sig_len: u64,
    /// Signals of the record.
    pub n_signals: usize,
}

/// Reads an annotation file. `None` when it was only guessed to be one and is not.
pub(crate) fn read_file_of(
    path: &Path,
    fs_hz: Option<f64>,
    bounds: Option<Bounds>,
    certainty: Certainty,
    notes: &mut Notes,
) -> Result<Option<Vec<Annotation>>> {
    let bytes = read_file(path, u64::MAX, "A07")?;
    let n_warnings = notes.warnings.len();
    let parsed = parse(path, &bytes, fs_hz, bounds, notes);
    let is_doubtful = |notes: &Notes| {
        notes.warnings[n_warnings..].iter().any(|warning| matches!(warning.code, "A02" | "A03" | "A07"))
    };
    match (parsed, certainty) {
        (Err(_), Certainty::Guessed) => {
            notes.warnings.truncate(n_warnings);
            Ok(None)
        }
        (Ok(_), Certainty::Guessed) if is_doubtful(notes) => {
            notes.warnings.truncate(n_warnings);
            Ok(None)
        }
        (parsed, _) => parsed.map(Some),
    }
}

/// Parses the bytes of an annotation file.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    fs_hz: Option<f64>,
    bounds: Option<Bounds>,
    notes: &mut Notes,
) -> Result<Vec<Annotation>> {
    if let Some(looks_like) = impostor(bytes) {
        return Err(input("A11", path, Position::Byte(0), "format", looks_like, "MIT annotations").into());
    }
    if bytes.len() % 2 == 1 {
        let at = Position::Byte(bytes.len() as u64 - 1);
        return Err(
            input("A01", path, at, "file size", format!("{} bytes", bytes.len()), "an even number of bytes").into()
        );
    }
    let mut marks = decode(path, bytes, notes)?;
    let resolution = take_definitions(path, &mut marks, notes);
    if let (Some(resolution), Some(fs_hz)) = (resolution, fs_hz) {
        rescale(path, &mut marks, resolution, fs_hz, notes)?;
    }
    if let Some(bounds) = bounds {
        check_bounds(path, bytes, &mut marks, bounds, notes)?;
    }
    if !marks.is_sorted_by_key(|mark| mark.sample) {
        notes.warn("A05", path, Position::File, "times go back; sorted, equal times in the order of the file");
        marks.sort_by_key(|mark| mark.sample);
    }
    Ok(marks)
}

/// The words as they come, times in the file's resolution.
fn decode(path: &Path, bytes: &[u8], notes: &mut Notes) -> Result<Vec<Annotation>> {
    // Most words are annotations, and each takes at least two bytes.
    let mut marks: Vec<Annotation> = Vec::with_capacity(bytes.len() / 2);
    let (mut time, mut channel, mut num) = (0i64, 0u8, 0i8);
    let mut at = 0;
    let fault = |code, at: usize, field: &str, found: String, expected: &str| {
        Error::from(input(code, path, Position::Byte(at as u64), field, found, expected))
    };
    loop {
        let Some(&[low, high]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) else {
            notes.warn("A02", path, Position::Byte(at as u64), "end marker: found none; kept every annotation");
            break;
        };
        let word = u16::from_le_bytes([low, high]);
        let (code, data) = ((word >> 10) as u8, word & 0x3ff);
        at += 2;
        if word == 0 {
            if bytes[at..].iter().any(|&byte| byte != 0) {
                let message = format!("{} bytes after the end marker, ignored", bytes.len() - at);
                notes.warn("A03", path, Position::Byte(at as u64), message);
            }
            break;
        }
        if code == SKIP {
            let Some(&[a, b, c, d]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
                return Err(fault("A04", at - 2, "SKIP", "end of file".into(), "four bytes of time"));
            };
            // The high half comes first, each half with its low byte first.
            let skip = i32::from_le_bytes([c, d, a, b]);
            time = advance(time, skip)
                .ok_or_else(|| fault("A06", at - 2, "SKIP", "a time beyond 64 bits".into(), "a 64-bit time"))?;
            at += 4;
            continue;
        }
        if code < SKIP {
            time = advance(time, i32::from(data))
                .ok_or_else(|| fault("A06", at - 2, "time", "a time beyond 64 bits".into(), "a 64-bit time"))?;
            if time < 0 {
                return Err(fault("A05", at - 2, "time", time.to_string(), "0 or more"));
            }
            let symbol = Cow::Borrowed(SYMBOLS[usize::from(code)]);
            marks.push(Annotation { sample: time, symbol, subtype: 0, channel, num, aux: Vec::new() });
            continue;
        }
        let name = ["NUM", "SUB", "CHN", "AUX"][usize::from(code - NUM)];
        let Some(mark) = marks.last_mut() else {
            return Err(fault(
                "A08",
                at - 2,
                name,
                "no annotation before it".into(),
                "an annotation to which it belongs",
            ));
        };
        match code {
            NUM => {
                num = data as i8;
                mark.num = num;
            }
            SUB => mark.subtype = data as i8,
            CHN => {
                channel = data as u8;
                mark.channel = channel;
            }
            _ => {
                let len = usize::from(data & 0xff);
                if data > 0xff {
                    let message = format!("AUX: length {data} is above 255, took its low 8 bits, {len}");
                    notes.warn("A07", path, Position::Byte(at as u64 - 2), message);
                }
                let Some(text) = bytes.get(at..).and_then(|rest| rest.get(..len.next_multiple_of(2))) else {
                    let expected = format!("{len} bytes of text");
                    return Err(fault("A04", at - 2, "AUX", "end of file".into(), &expected));
                };
                at += text.len();
                let text = &text[..len];
                let trimmed = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                mark.aux = text[..trimmed].to_vec();
            }
        }
    }
    Ok(marks)
}

/// The time after a step, unless it leaves 64 bits.
fn advance(time: i64, step: i32) -> Option<i64> {
    time.checked_add(i64::from(step))
}

/// What a file that holds no MIT annotations looks like (rule A11).
fn impostor(bytes: &[u8]) -> Option<&'static str> {
    let is_text = bytes.len() >= 8 && bytes.iter().all(|&b| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..));
    let is_ascii_start = bytes.iter().take(64).all(|&b| b < 0x80);
    if is_text && is_ascii_start {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
        let record_line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let fields: Vec<&str> = record_line.unwrap_or("").split_whitespace().collect();
        let is_header = fields.len() >= 2
            && fields[1].parse::<u32>().is_ok()
            && fields.get(2).is_none_or(|fs| decimal(fs.split('/').next().unwrap_or("")).is_ok());
        return Some(if is_header { "a WFDB header" } else { "a text file" });
    }
    // AHA annotations: 16 bytes each, the second one a letter, the time in milliseconds behind it.
    let is_aha_block = |block: &[u8]| {
        block[0] == 0 && matches!(block[1], b'N' | b'V' | b'F' | b'E' | b'P' | b'Q' | b'U' | b'O' | b'R' | b'[' | b']')
    };
    let is_aha = bytes.len() >= 16 && bytes.len().is_multiple_of(16) && bytes.chunks(16).take(64).all(is_aha_block);
    is_aha.then_some("AHA annotations of 16 bytes")
}

/// Takes away the notes at time 0 with which a file begins: they say something about the file, not
/// about a point in time. Time resolution and custom symbols are used, other notes are noted.
fn take_definitions(path: &Path, marks: &mut Vec<Annotation>, notes: &mut Notes) -> Option<f64> {
    let mut resolution = None;
    let mut symbols: BTreeMap<u8, String> = BTreeMap::new();
    let (mut n, mut is_inside) = (0, false);
    for mark in marks.iter().take_while(|mark| mark.sample == 0) {
        if mark.symbol == " " && mark.aux.is_empty() {
            // WFDB software closes such notes with an empty annotation.
            n += 1;
            break;
        }
        if mark.symbol != "\"" {
            break;
        }
        n += 1;
        let text = mark.aux_text();
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("## time resolution:") {
            let number = rest.split_whitespace().next().unwrap_or("");
            resolution = decimal(number).ok().filter(|value| *value > 0.0 && value.is_normal());
        } else if text == "## annotation type definitions" {
            is_inside = true;
        } else if text == "## end of definitions" {
            is_inside = false;
        } else if is_inside {
            let mut words = text.split_whitespace();
            if let (Some(Ok(code)), Some(symbol)) = (words.next().map(str::parse::<u8>), words.next())
                && (1..SKIP).contains(&code)
            {
                symbols.insert(code, symbol.to_string());
            }
        } else {
            notes.warn("A10", path, Position::File, format!("note about the whole file: {}", quoted(text)));
        }
    }
    marks.drain(..n);
    if !symbols.is_empty() {
        for mark in marks {
            if let Some(symbol) = code_of(&mark.symbol).and_then(|code| symbols.get(&code))
                && mark.symbol != symbol.as_str()
            {
                // A standard symbol needs no allocation.
                mark.symbol = match SYMBOLS.iter().find(|known| *known == symbol) {
                    Some(known) => Cow::Borrowed(known),
                    None => Cow::Owned(symbol.clone()),
                };
            }
        }
    }
    resolution
}

/// Scales times from the file's resolution to the record's (rule A10).
fn rescale(path: &Path, marks: &mut [Annotation], resolution: f64, fs_hz: f64, notes: &mut Notes) -> Result<()> {
    if resolution == fs_hz {
        return Ok(());
    }
    for mark in marks.iter_mut() {
        let scaled = (mark.sample as f64 * (fs_hz / resolution)).round();
        // 2^63 itself is no longer a 64-bit time.
        if scaled.is_nan() || scaled >= 9_223_372_036_854_775_808.0 {
            let found = format!("time {} at {resolution} Hz", mark.sample);
            return Err(
                input("A06", path, Position::File, "time", found, format!("a 64-bit time at {fs_hz} Hz")).into()
            );
        }
        mark.sample = scaled as i64;
    }
    let message = format!("time resolution: found {resolution} Hz, scaled to {fs_hz} Hz with rounding");
    notes.warn("A10", path, Position::File, message);
    Ok(())
}

/// Annotations must lie in the record and belong to one of its signals (rule A09).
fn check_bounds(
    path: &Path,
    bytes: &[u8],
    marks: &mut Vec<Annotation>,
    bounds: Bounds,
    notes: &mut Notes,
) -> Result<()> {
    let fault = |mark: &Annotation| {
        if mark.sample as u64 >= bounds.sig_len {
            Some(("time", mark.sample.to_string(), format!("less than {}, the length of the record", bounds.sig_len)))
        } else if usize::from(mark.channel) >= bounds.n_signals {
            Some((
                "channel",
                mark.channel.to_string(),
                format!("less than {}, the number of signals", bounds.n_signals),
            ))
        } else {
            None
        }
    };
    let Some(first) = marks.iter().position(|mark| fault(mark).is_some()) else { return Ok(()) };
    let n = marks.iter().filter(|mark| fault(mark).is_some()).count();
    let n_definitions = count(bytes).saturating_sub(marks.len());
    if let Some((field, found, expected)) = fault(&marks[first]) {
        let at = Position::Byte(offset_of(bytes, first + n_definitions) as u64);
        let error = InputError {
            hint: "the annotations may belong to another record".into(),
            ..input("A09", path, at, field, found, expected)
        };
        notes.deviation(error, &format!("dropped {n} such annotations"))?;
    }
    marks.retain(|mark| fault(mark).is_none());
    Ok(())
}

/// Byte offset of the n-th annotation of a file that was decoded before.
fn offset_of(bytes: &[u8], n: usize) -> usize {
    walk(bytes).nth(n).unwrap_or(bytes.len())
}

/// Number of annotations in a file that was decoded before.
fn count(bytes: &[u8]) -> usize {
    walk(bytes).count()
}

/// Byte offsets of the annotations of a file that was decoded before.
fn walk(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let word = u16::from_le_bytes(*bytes.get(at..)?.first_chunk::<2>()?);
            if word == 0 {
                return None;
            }
            let (code, here) = ((word >> 10) as u8, at);
            at += match code {
                SKIP => 6,
                AUX => 2 + usize::from(word & 0xff).next_multiple_of(2),
                _ => 2,
            };
            if code < SKIP {
                return Some(here);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a06_a_time_beyond_64_bits_is_no_time() {
        // A file that gets there by steps of 31 bits would take 24 GB, so the step is tested alone.
        assert_eq!(advance(i64::MAX - 5, 5), Some(i64::MAX));
        assert_eq!(advance(i64::MAX - 5, 6), None);
        assert_eq!(advance(i64::MIN, -1), None);
    }
}
