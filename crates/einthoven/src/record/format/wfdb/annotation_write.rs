//! Annotations to the bytes of a MIT-format annotation file.
//!
//! # Reference
//! WFDB Applications Guide, annot(5).

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::Annotation;
use crate::record::annotation::code_of;
use crate::record::format::notes::{input, quoted};

use super::annotation::{AUX, CHN, NUM, SKIP, SUB};

/// First code that users may define for themselves.
const FIRST_CUSTOM: u8 = 42;
/// Last code that users may define for themselves.
const LAST_CUSTOM: u8 = 49;

/// Encodes annotations in the order of their times.
///
/// # Errors
/// Rules A05 for a negative time, A07 for a text above 255 bytes and A08 for a symbol that cannot
/// be stored; each names the annotation.
pub(crate) fn encode(path: &Path, marks: &[Annotation]) -> Result<Vec<u8>> {
    let mut sorted: Vec<&Annotation> = marks.iter().collect();
    sorted.sort_by_key(|mark| mark.sample);
    let codes = custom_codes(path, &sorted)?;
    let mut out = Vec::new();
    if !codes.is_empty() {
        let lines = codes.iter().map(|(symbol, code)| format!("{code} {symbol} {symbol}"));
        let all = std::iter::once("## annotation type definitions".to_string())
            .chain(lines)
            .chain(["## end of definitions".to_string()]);
        for text in all {
            let note = Annotation { aux: text.into_bytes(), ..Annotation::new(0, "\"") };
            put(path, &mut out, &mut State::default(), &note, 22)?;
        }
    }
    // Notes at time 0 count as definitions until an empty annotation closes them.
    let begins_like_one =
        sorted.first().is_some_and(|mark| mark.sample == 0 && matches!(mark.symbol.as_ref(), "\"" | " "));
    if begins_like_one || !codes.is_empty() {
        put(path, &mut out, &mut State::default(), &Annotation::new(0, " "), 0)?;
    }
    let mut state = State::default();
    for mark in sorted {
        let code = code_of(&mark.symbol).or_else(|| codes.get(mark.symbol.as_ref()).copied()).unwrap_or(0);
        put(path, &mut out, &mut state, mark, code)?;
    }
    out.extend([0, 0]);
    Ok(out)
}

/// Encodes annotations with standard symbols piece by piece; the file ends with two bytes of 0.
#[derive(Default)]
pub(super) struct Encoder {
    state: State,
}

impl Encoder {
    /// The bytes of the next annotations, in the order of their times.
    ///
    /// # Errors
    /// Rules A05 and A07; A08 for a symbol that is not standard or a time before the one before.
    pub fn next(&mut self, path: &Path, marks: &[Annotation]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for mark in marks {
            let fault = |field, found: String, expected| {
                Error::from(input("A08", path, Position::File, field, found, expected))
            };
            if mark.sample < self.state.time {
                return Err(fault("time", mark.sample.to_string(), "the order of time"));
            }
            let code = code_of(&mark.symbol).filter(|code| (1..SKIP).contains(code));
            let code = code.ok_or_else(|| fault("symbol", quoted(&mark.symbol), "a standard symbol"))?;
            put(path, &mut out, &mut self.state, mark, code)?;
        }
        Ok(out)
    }
}

/// What the next annotation inherits.
#[derive(Default)]
struct State {
    time: i64,
    channel: u8,
    num: i8,
}

/// Codes for symbols outside the standard list.
fn custom_codes<'a>(path: &Path, marks: &[&'a Annotation]) -> Result<BTreeMap<&'a str, u8>> {
    let mut codes = BTreeMap::new();
    let fault = |symbol: &str, expected: &str| {
        Err(input("A08", path, Position::File, "symbol", quoted(symbol), expected).into())
    };
    for mark in marks {
        let symbol = mark.symbol.as_ref();
        match code_of(symbol) {
            Some(SKIP..) => return fault(symbol, "a code below 59"),
            Some(_) => {}
            None => {
                if symbol.is_empty() || symbol.len() > 64 || symbol.chars().any(|c| c.is_whitespace() || c.is_control())
                {
                    return fault(symbol, "a word of 1 to 64 bytes");
                }
                codes.insert(symbol, 0);
            }
        }
    }
    let used: Vec<u8> = marks.iter().filter_map(|mark| code_of(&mark.symbol)).collect();
    let mut free = (FIRST_CUSTOM..=LAST_CUSTOM).filter(|code| !used.contains(code));
    for (symbol, code) in &mut codes {
        let Some(next) = free.next() else { return fault(symbol, "at most 8 symbols outside the standard list") };
        *code = next;
    }
    Ok(codes)
}

/// One annotation with what belongs to it.
fn put(path: &Path, out: &mut Vec<u8>, state: &mut State, mark: &Annotation, code: u8) -> Result<()> {
    let fault = |code, field: &str, found: String, expected: &str| {
        let field = format!("{field} of the annotation at {}", mark.sample);
        Error::from(input(code, path, Position::File, field, found, expected))
    };
    if mark.sample < 0 {
        return Err(fault("A05", "time", mark.sample.to_string(), "0 or more"));
    }
    if mark.aux.len() > 255 {
        return Err(fault("A07", "text", format!("{} bytes", mark.aux.len()), "at most 255 bytes"));
    }
    let mut delta = mark.sample - state.time;
    // A word of code 0 and time 0 would end the file, so such an annotation is stepped into.
    let is_end_marker = code == 0 && delta == 0;
    let mut skips = Vec::new();
    if is_end_marker {
        skips.push(-1);
        delta = 1;
    } else if delta > 0x3ff {
        while delta > 0 {
            let skip = delta.min(i64::from(i32::MAX)) as i32;
            skips.push(skip);
            delta -= i64::from(skip);
        }
        if code == 0 {
            // The last step leaves one for the word itself.
            if let Some(last) = skips.last_mut() {
                *last -= 1;
            }
            delta = 1;
        }
    }
    for skip in skips {
        // The high half comes first, each half with its low byte first.
        let [a, b, c, d] = i32::to_le_bytes(skip);
        word(out, SKIP, 0);
        out.extend([c, d, a, b]);
    }
    word(out, code, delta as u16);
    if mark.subtype != 0 {
        word(out, SUB, u16::from(mark.subtype as u8));
    }
    if mark.channel != state.channel {
        word(out, CHN, u16::from(mark.channel));
    }
    if mark.num != state.num {
        word(out, NUM, u16::from(mark.num as u8));
    }
    if !mark.aux.is_empty() {
        word(out, AUX, mark.aux.len() as u16);
        out.extend(&mark.aux);
        if mark.aux.len() % 2 == 1 {
            out.push(0);
        }
    }
    *state = State { time: mark.sample, channel: mark.channel, num: mark.num };
    Ok(())
}

/// Six bits of code above ten of data.
fn word(out: &mut Vec<u8>, code: u8, data: u16) {
    out.extend((u16::from(code) << 10 | data & 0x3ff).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::annotation::parse;
    use super::*;
    use crate::record::ReadOptions;
    use crate::record::format::notes::Notes;
    use crate::seed::Seed;

    /// Random annotations with every kind of field, long gaps and equal times.
    fn annotations(seed: u64, n: usize) -> Vec<Annotation> {
        let mut stream = Seed::new(seed).stream();
        let symbols = ["N", "V", "+", "\"", "A", "!", "custom", "(42)", "(17)", " ", "~"];
        let mut time = 0;
        (0..n)
            .map(|_| {
                let steps = [0, 1, 300, 1023, 1024, 70_000, 5_000_000_000];
                time += steps[stream.below(steps.len())];
                let mut mark = Annotation::new(time, symbols[stream.below(symbols.len())]);
                mark.subtype = stream.below(256) as u8 as i8;
                mark.channel = stream.below(3) as u8;
                mark.num = stream.below(3) as i8 - 1;
                let len = [0, 1, 2, 7, 255][stream.below(5)];
                mark.aux = (0..len).map(|_| 1 + stream.below(255) as u8).collect();
                mark
            })
            .collect()
    }

    #[test]
    fn annotations_come_back_as_they_were_written() {
        let path = Path::new("x.atr");
        let options = ReadOptions::strict();
        for seed in 0..200 {
            let marks = annotations(seed, seed as usize % 40);
            let bytes = encode(path, &marks).unwrap();
            let mut notes = Notes::new(&options);
            assert_eq!(parse(path, &bytes, Some(360.0), None, &mut notes).unwrap(), marks, "seed {seed}");
            assert_eq!(notes.warnings, []);
        }
    }

    #[test]
    fn what_cannot_be_stored_is_refused() {
        let refused = |mark: Annotation| encode(Path::new("x.atr"), &[mark]).unwrap_err().code();
        assert_eq!(refused(Annotation::new(-1, "N")), Some("A05"));
        assert_eq!(refused(Annotation { aux: vec![b'a'; 256], ..Annotation::new(0, "N") }), Some("A07"));
        assert_eq!(refused(Annotation::new(0, "two words")), Some("A08"));
        assert_eq!(refused(Annotation::new(0, "(63)")), Some("A08"));
        let many: Vec<Annotation> =
            ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"].map(|s| Annotation::new(0, s)).into();
        assert_eq!(encode(Path::new("x.atr"), &many).unwrap_err().code(), Some("A08"));
    }
}
