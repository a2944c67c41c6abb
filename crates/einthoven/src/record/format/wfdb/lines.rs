//! The text layer of a header: encoding, line ends, comments and fields (rules W27-W31).

use std::borrow::Cow;
use std::path::Path;

use crate::error::{Position, Result};
use crate::record::format::notes::{Notes, input, quoted};

/// Lines of a header, comments apart.
pub(crate) struct Text<'a> {
    /// Lines that are neither blank nor comments.
    pub lines: Vec<Line<'a>>,
    /// Comments without `#` and surrounding blanks.
    pub comments: Vec<String>,
}

/// A line of fields.
pub(crate) struct Line<'a> {
    /// Number, from 1.
    pub number: usize,
    text: Cow<'a, str>,
}

/// A field of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    /// The field.
    pub text: &'a str,
    /// Column of its first character, from 1.
    pub column: usize,
}

impl Line<'_> {
    /// Fields between blanks; there is at least one.
    pub fn tokens(&self, path: &Path) -> Result<Vec<Token<'_>>> {
        let mut tokens = Vec::new();
        let mut start = None;
        let mut column = 0;
        let mut start_column = 0;
        for (at, c) in self.text.char_indices() {
            column += 1;
            match (c == ' ' || c == '\t', start) {
                (false, None) => (start, start_column) = (Some(at), column),
                (true, Some(from)) => {
                    tokens.push(Token { text: &self.text[from..at], column: start_column });
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            tokens.push(Token { text: &self.text[from..], column: start_column });
        }
        if tokens.is_empty() {
            return Err(input("W01", path, Position::Line(self.number), "line", "blanks", "fields").into());
        }
        Ok(tokens)
    }

    /// The line from a column on.
    pub fn rest_from(&self, column: usize) -> &str {
        self.text.char_indices().nth(column.saturating_sub(1)).map_or("", |(at, _)| &self.text[at..])
    }

    /// The column after the last character.
    pub fn end_column(&self) -> usize {
        self.text.chars().count() + 1
    }
}

/// Splits a header into lines and comments.
pub(crate) fn split_lines<'a>(path: &Path, bytes: &'a [u8], notes: &mut Notes) -> Result<Text<'a>> {
    let mut body = bytes;
    let mut offset = 0;
    for (bom, name) in [(&[0xff, 0xfe][..], "UTF-16 (little-endian)"), (&[0xfe, 0xff], "UTF-16 (big-endian)")] {
        if bytes.starts_with(bom) {
            let mut error = input("W28", path, Position::Byte(0), "encoding", name, "ASCII or UTF-8");
            error.hint = "convert the header to UTF-8".into();
            return Err(error.into());
        }
    }
    if let Some(rest) = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]) {
        notes.warn("W28", path, Position::Byte(0), "encoding: found a UTF-8 byte-order mark, skipped");
        (body, offset) = (rest, 3);
    }
    let mut text = Text { lines: Vec::new(), comments: Vec::new() };
    for (index, raw) in body.split(|&b| b == b'\n').enumerate() {
        let number = index + 1;
        let line = raw.strip_suffix(b"\r").unwrap_or(raw);
        check_line(path, number, line, offset, notes)?;
        offset += raw.len() + 1;
        let trimmed = line.trim_ascii_start();
        if trimmed.is_empty() {
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix(b"#") {
            let shown = std::str::from_utf8(comment).map(Cow::Borrowed).unwrap_or_else(|_| {
                notes.warn("W29", path, Position::Line(number), "comment: not UTF-8, shown as Latin-1");
                Cow::Owned(latin1(comment))
            });
            text.comments.push(shown.trim().to_string());
        } else {
            text.lines.push(Line { number, text: decode_fields(path, number, line)? });
        }
    }
    Ok(text)
}

/// Rules W27 (lone carriage return), W30 (control bytes) and W31 (line length).
fn check_line(path: &Path, number: usize, line: &[u8], offset: usize, notes: &mut Notes) -> Result<()> {
    let cap = notes.options.caps.line_bytes;
    if line.len() > cap {
        let found = format!("{} bytes", line.len());
        return Err(input("W31", path, Position::Line(number), "line", found, format!("at most {cap} bytes")).into());
    }
    if let Some(place) = line.iter().position(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
        let at = Position::Byte((offset + place) as u64);
        return Err(if line[place] == b'\r' {
            input("W27", path, at, "line end", "a lone carriage return", "line feeds").into()
        } else {
            input("W30", path, at, "line", format!("control byte 0x{:02x}", line[place]), "text").into()
        });
    }
    if line.len() > 255 {
        notes.warn(
            "W31",
            path,
            Position::Line(number),
            format!("line: {} bytes long, more than the 255 of the format", line.len()),
        );
    }
    Ok(())
}

/// Fields must be UTF-8; only the micro sign is also known in Latin-1 (rules W17 and W29).
fn decode_fields<'a>(path: &Path, number: usize, line: &'a [u8]) -> Result<Cow<'a, str>> {
    if let Ok(text) = std::str::from_utf8(line) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(line.len() + 2);
    for (at, &byte) in line.iter().enumerate() {
        if byte == 0xb5 && line.get(at.wrapping_sub(1)) == Some(&b'/') && line.get(at + 1) == Some(&b'V') {
            bytes.extend_from_slice("\u{b5}".as_bytes());
        } else {
            bytes.push(byte);
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(error) => {
            let column = error.utf8_error().valid_up_to() + 1;
            let found = quoted(&latin1(line));
            Err(input("W29", path, Position::LineColumn(number, column), "field", found, "ASCII or UTF-8").into())
        }
    }
}

/// Bytes as Latin-1 characters.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
