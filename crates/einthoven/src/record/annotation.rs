//! Annotations: marks on the time axis of a record, with the symbols of PhysioNet.

use std::borrow::Cow;
use std::ops::Range;

/// A mark on the time axis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Annotation {
    /// Frame index from the start of the record.
    pub sample: i64,
    /// Symbol, such as `N` for a normal beat; `(42)` for a code without one.
    pub symbol: Cow<'static, str>,
    /// Subtype, whose meaning depends on the symbol.
    pub subtype: i8,
    /// Index of the signal to which it belongs.
    pub channel: u8,
    /// Annotator's number.
    pub num: i8,
    /// Text beside the mark, such as `(AFIB`, as stored but without trailing NUL.
    pub aux: Vec<u8>,
}

impl Annotation {
    /// A mark of channel 0 without text.
    pub fn new(sample: i64, symbol: &'static str) -> Annotation {
        Annotation { sample, symbol: Cow::Borrowed(symbol), subtype: 0, channel: 0, num: 0, aux: Vec::new() }
    }

    /// Whether it marks a heartbeat. Ventricular flutter waves (`!`) are none.
    pub fn is_beat(&self) -> bool {
        is_beat_symbol(&self.symbol)
    }

    /// The text as a string; bytes that are not UTF-8 are shown as Latin-1.
    pub fn aux_text(&self) -> String {
        match std::str::from_utf8(&self.aux) {
            Ok(text) => text.to_string(),
            Err(_) => self.aux.iter().map(|&byte| char::from(byte)).collect(),
        }
    }
}

/// Whether a symbol stands for a heartbeat.
pub fn is_beat_symbol(symbol: &str) -> bool {
    matches!(
        symbol,
        "N" | "L" | "R" | "a" | "V" | "F" | "J" | "A" | "S" | "E" | "j" | "/" | "Q" | "B" | "?" | "e" | "n" | "f" | "r"
    )
}

/// Symbols by annotation code 0-63; codes without a meaning have the code in parentheses.
///
/// # Reference
/// WFDB Applications Guide, appendix "Annotation codes".
pub const SYMBOLS: [&str; 64] = [
    " ", "N", "L", "R", "a", "V", "F", "J", "A", "S", "E", "j", "/", "Q", "~", "(15)", "|", "(17)", "s", "T", "*", "D",
    "\"", "=", "p", "B", "^", "t", "+", "u", "?", "!", "[", "]", "e", "n", "@", "x", "f", "(", ")", "r", "(42)",
    "(43)", "(44)", "(45)", "(46)", "(47)", "(48)", "(49)", "(50)", "(51)", "(52)", "(53)", "(54)", "(55)", "(56)",
    "(57)", "(58)", "(59)", "(60)", "(61)", "(62)", "(63)",
];

/// The annotation code of a standard symbol.
pub fn code_of(symbol: &str) -> Option<u8> {
    SYMBOLS.iter().position(|&known| known == symbol).map(|code| code as u8)
}

/// Keeps the annotations of a range of frames and counts them from its start.
pub(crate) fn keep_range(marks: &mut Vec<Annotation>, range: &Range<usize>) {
    let (start, end) = (range.start as i64, range.end as i64);
    marks.retain_mut(|mark| {
        let is_inside = (start..end).contains(&mark.sample);
        mark.sample -= if is_inside { start } else { 0 };
        is_inside
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nineteen_symbols_are_beats_and_each_symbol_has_one_code() {
        let beats: Vec<usize> = (0..64).filter(|&code| is_beat_symbol(SYMBOLS[code])).collect();
        assert_eq!(beats, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25, 30, 34, 35, 38, 41]);
        for (code, symbol) in SYMBOLS.iter().enumerate() {
            assert_eq!(code_of(symbol), Some(code as u8));
        }
    }

    #[test]
    fn text_that_is_not_utf8_shows_as_latin1() {
        let mut mark = Annotation::new(0, "\"");
        mark.aux = vec![0xb5, b'V'];
        assert_eq!(mark.aux_text(), "\u{b5}V");
    }
}
