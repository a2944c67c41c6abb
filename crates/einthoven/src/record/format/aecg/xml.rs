//! XML as far as an ECG needs it: elements, attributes and text, and nothing that expands.
//!
//! Document types and entities are refused outright, so that no text can grow; depth and the number
//! of attributes have limits. The tokenizer is the crate `quick-xml`.

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

/// Elements in elements that are believed.
const MAX_DEPTH: usize = 64;
/// Attributes of one element that are believed.
const MAX_ATTRIBUTES: usize = 64;

/// What breaks the document; the byte is where the reader stood.
pub(super) struct Fault {
    pub at: usize,
    pub field: String,
    pub found: String,
    pub expected: String,
}

/// An element's beginning, its text, or its end. Names are without prefix.
pub(super) enum Piece<'a> {
    Start { name: String, attributes: Vec<(String, String)>, at: usize },
    Text { text: std::borrow::Cow<'a, str>, at: usize },
    End,
}

/// Calls `take(path, piece)` for every piece; the path has the names of the open elements.
pub(super) fn walk(text: &str, mut take: impl FnMut(&[String], Piece<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut has_root = false;
    loop {
        let at = place(text, reader.buffer_position());
        let event = reader.read_event().map_err(|error| {
            let at = place(text, reader.error_position());
            fault(at, "document", error.to_string().replace(['\n', '\r'], " "), "well-formed XML")
        })?;
        match event {
            Event::Start(start) => {
                has_root = true;
                open(&start, at, &mut path, &mut take)?;
            }
            Event::Empty(start) => {
                has_root = true;
                open(&start, at, &mut path, &mut take)?;
                take(&path, Piece::End)?;
                path.pop();
            }
            Event::End(_) => {
                take(&path, Piece::End)?;
                path.pop();
            }
            Event::Text(content) => take(&path, Piece::Text { text: (&*content).into(), at })?,
            Event::CData(content) => take(&path, Piece::Text { text: (&*content).into(), at })?,
            Event::GeneralRef(reference) => {
                let character = unescape(&format!("&{};", &*reference)).map(|text| text.into_owned());
                let text = character.map_err(|_| {
                    fault(
                        at,
                        "entity",
                        format!("\"&{};\"", short(&reference)),
                        "no entities beyond lt, gt, amp, quot, apos",
                    )
                })?;
                take(&path, Piece::Text { text: text.into(), at })?;
            }
            Event::DocType(_) => {
                return Err(fault(at, "document type", "a DTD".into(), "none: it could define entities"));
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    match path.last() {
        Some(name) => Err(fault(text.len(), "document", format!("no end of \"{}\"", short(name)), "well-formed XML")),
        None if !has_root => Err(fault(0, "document", "no element".into(), "well-formed XML")),
        None => Ok(()),
    }
}

/// A place in the text, which always fits.
fn place(text: &str, at: u64) -> usize {
    usize::try_from(at).unwrap_or(text.len()).min(text.len())
}

fn fault(at: usize, field: &str, found: String, expected: &str) -> Fault {
    Fault { at, field: field.into(), found, expected: expected.into() }
}

/// The beginning of a text, for messages.
fn short(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

/// Begins an element.
fn open(
    start: &BytesStart,
    at: usize,
    path: &mut Vec<String>,
    take: &mut impl FnMut(&[String], Piece<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if path.len() >= MAX_DEPTH {
        return Err(fault(at, "element", format!("depth {}", path.len() + 1), &format!("at most {MAX_DEPTH}")));
    }
    let name = start.local_name().as_ref().to_string();
    let mut attributes = Vec::new();
    // The check for duplicates would take quadratic time.
    for attribute in start.attributes().with_checks(false) {
        if attributes.len() == MAX_ATTRIBUTES {
            let found = format!("more than {MAX_ATTRIBUTES}");
            return Err(fault(at, "attributes", found, &format!("at most {MAX_ATTRIBUTES} of an element")));
        }
        let attribute = attribute.map_err(|error| fault(at, "attribute", error.to_string(), "name=\"value\""))?;
        let value = unescape(&attribute.value)
            .map_err(|_| fault(at, "attribute", format!("\"{}\"", short(&attribute.value)), "no entities"))?;
        attributes.push((attribute.key.local_name().as_ref().to_string(), value.into_owned()));
    }
    path.push(name.clone());
    take(path, Piece::Start { name, attributes, at })
}

/// Text with the characters escaped that mean something in XML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            // No character of XML at all.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
