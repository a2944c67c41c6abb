//! The encoding of DICOM: elements of tag, value representation, length and value, and sequences.
//!
//! Only the elements that a waveform needs are kept, each once, so that a file of a million tiny
//! elements costs nothing; all others are stepped over. A length is compared with what is left
//! before it is believed.
//!
//! # Reference
//! DICOM PS3.5, chapters 7 and 10.

use crate::record::format::dicom::tag;

/// Sequences in sequences that are believed.
const MAX_DEPTH: usize = 64;
const UNDEFINED: u32 = u32::MAX;

/// An element of a data set.
#[derive(Debug)]
pub(super) struct Element<'a> {
    pub tag: u32,
    /// Value representation; `UN` where the encoding has none.
    pub vr: [u8; 2],
    /// Offset of the tag in the file.
    pub at: usize,
    pub value: Value<'a>,
}

#[derive(Debug)]
pub(super) enum Value<'a> {
    Bytes(&'a [u8]),
    Items(Vec<Vec<Element<'a>>>),
}

/// What breaks the encoding, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub code: &'static str,
    pub at: usize,
    pub field: String,
    pub found: String,
    pub expected: String,
}

/// A reader of elements, at a place in the file.
pub(super) struct Parser<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    /// Whether elements name their value representation.
    pub is_explicit: bool,
}

/// A tag as the standard writes it.
pub(super) fn tag_text(tag: u32) -> String {
    format!("({:04X},{:04X})", tag >> 16, tag & 0xffff)
}

/// Tag, value representation and length.
struct Head {
    tag: u32,
    vr: [u8; 2],
    at: usize,
    length: u32,
}

impl<'a> Parser<'a> {
    /// The elements of the file's meta group.
    pub fn meta(&mut self) -> Result<Vec<Element<'a>>, Fault> {
        let mut elements = Vec::new();
        while self.bytes.get(self.at..self.at + 2) == Some(&[2, 0]) {
            let head = self.head(self.bytes.len())?;
            self.element(head, self.bytes.len(), 0, &mut elements)?;
        }
        Ok(elements)
    }

    /// The elements up to the end of the file.
    pub fn data_set(&mut self) -> Result<Vec<Element<'a>>, Fault> {
        self.elements(self.bytes.len(), None, 0)
    }

    /// Elements up to `end`, or up to a delimiter where the length is undefined.
    fn elements(&mut self, end: usize, delimiter: Option<u32>, depth: usize) -> Result<Vec<Element<'a>>, Fault> {
        let mut elements = Vec::new();
        loop {
            if self.at == end && delimiter.is_none() {
                return Ok(elements);
            }
            let head = self.head(end)?;
            if Some(head.tag) == delimiter {
                return Ok(elements);
            }
            self.element(head, end, depth, &mut elements)?;
        }
    }

    /// The value behind a head; kept when it is needed and the first of its tag.
    fn element(&mut self, head: Head, end: usize, depth: usize, elements: &mut Vec<Element<'a>>) -> Result<(), Fault> {
        let Head { tag, vr, at, length } = head;
        if tag >> 16 == 0xfffe {
            return Err(self.fault("C02", &head, "a delimiter outside a sequence".into(), "an element".into()));
        }
        let is_sequence = vr == *b"SQ" || (vr == *b"UN" && (tag::SEQUENCES.contains(&tag) || length == UNDEFINED));
        let value = if is_sequence {
            // An undefined length of unknown kind is a sequence in implicit encoding.
            let outer = self.is_explicit;
            self.is_explicit = outer && vr == *b"SQ";
            let items = self.items(&head, end, depth + 1)?;
            self.is_explicit = outer;
            Value::Items(items)
        } else {
            if length == UNDEFINED {
                return Err(self.fault("C02", &head, "an undefined length".into(), "one of bytes".into()));
            }
            let stop = self.stop(&head, end)?;
            let bytes = &self.bytes[self.at..stop];
            self.at = stop;
            Value::Bytes(bytes)
        };
        if tag::WANTED.contains(&tag) && !elements.iter().any(|element| element.tag == tag) {
            elements.push(Element { tag, vr, at, value });
        }
        Ok(())
    }

    /// The items of a sequence.
    fn items(&mut self, head: &Head, end: usize, depth: usize) -> Result<Vec<Vec<Element<'a>>>, Fault> {
        if depth > MAX_DEPTH {
            return Err(self.fault("C03", head, format!("depth {depth}"), format!("at most {MAX_DEPTH}")));
        }
        let is_open = head.length == UNDEFINED;
        let stop = if is_open { end } else { self.stop(head, end)? };
        let is_kept = tag::WANTED.contains(&head.tag);
        let mut items = Vec::new();
        while is_open || self.at < stop {
            let item = self.head(stop)?;
            match item.tag {
                tag::SEQUENCE_END if is_open => return Ok(items),
                tag::ITEM => {}
                other => {
                    let found = tag_text(other);
                    return Err(self.fault("C02", &item, found, format!("an item of {}", tag_text(head.tag))));
                }
            }
            let elements = if item.length == UNDEFINED {
                self.elements(stop, Some(tag::ITEM_END), depth)?
            } else {
                let end = self.stop(&item, stop)?;
                self.elements(end, None, depth)?
            };
            if is_kept {
                items.push(elements);
            }
        }
        Ok(items)
    }

    /// Where a value ends, which must not be past the end of what holds it.
    fn stop(&self, head: &Head, end: usize) -> Result<usize, Fault> {
        let left = end - self.at;
        if head.length as usize > left {
            let found = format!("length {}", head.length);
            return Err(self.fault("C02", head, found, format!("at most {left}, which is what is left")));
        }
        Ok(self.at + head.length as usize)
    }

    fn fault(&self, code: &'static str, head: &Head, found: String, expected: String) -> Fault {
        Fault { code, at: head.at, field: format!("element {}", tag_text(head.tag)), found, expected }
    }

    /// The next bytes, before `end`.
    fn take<const N: usize>(&mut self, start: usize, end: usize) -> Result<[u8; N], Fault> {
        let next = self.bytes.get(self.at..end).and_then(|rest| rest.first_chunk::<N>());
        let Some(next) = next else {
            return Err(Fault {
                code: "C02",
                at: start,
                field: "element".into(),
                found: format!("{} bytes to the end", end.saturating_sub(start)),
                expected: "tag and length".into(),
            });
        };
        self.at += N;
        Ok(*next)
    }

    /// Tag, value representation and length of the next element.
    fn head(&mut self, end: usize) -> Result<Head, Fault> {
        let at = self.at;
        let group = u16::from_le_bytes(self.take(at, end)?);
        let element = u16::from_le_bytes(self.take(at, end)?);
        let tag = u32::from(group) << 16 | u32::from(element);
        if !self.is_explicit || group == 0xfffe {
            let length = u32::from_le_bytes(self.take(at, end)?);
            return Ok(Head { tag, vr: *b"UN", at, length });
        }
        let vr: [u8; 2] = self.take(at, end)?;
        let length = match &vr {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV" => {
                let _: [u8; 2] = self.take(at, end)?;
                u32::from_le_bytes(self.take(at, end)?)
            }
            _ if vr.iter().all(u8::is_ascii_uppercase) => u32::from(u16::from_le_bytes(self.take(at, end)?)),
            _ => {
                let head = Head { tag, vr, at, length: 0 };
                let found = format!("value representation \"{}\"", vr.escape_ascii());
                return Err(self.fault("C02", &head, found, "two capital letters".into()));
            }
        };
        Ok(Head { tag, vr, at, length })
    }
}

/// Elements of one item or data set, by tag.
#[derive(Clone, Copy)]
pub(super) struct Fields<'e, 'a> {
    pub elements: &'e [Element<'a>],
}

impl<'e, 'a> Fields<'e, 'a> {
    /// The element with that tag.
    pub fn element(&self, tag: u32) -> Option<&'e Element<'a>> {
        self.elements.iter().find(|element| element.tag == tag)
    }

    /// Its bytes.
    pub fn bytes(&self, tag: u32) -> Option<&'a [u8]> {
        match self.element(tag)?.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Items(_) => None,
        }
    }

    /// Its items; none when it is absent.
    pub fn items(&self, tag: u32) -> Vec<Fields<'e, 'a>> {
        match self.element(tag).map(|element| &element.value) {
            Some(Value::Items(items)) => items.iter().map(|elements| Fields { elements }).collect(),
            _ => Vec::new(),
        }
    }

    /// Its text without padding; bytes that are not UTF-8 are taken as Latin-1.
    pub fn text(&self, tag: u32) -> Option<String> {
        let bytes = self.bytes(tag)?;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_string(),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        };
        Some(text.trim_matches([' ', '\0']).to_string())
    }

    /// Its first number: decimal text, or a binary integer of two or four bytes.
    pub fn unsigned(&self, tag: u32) -> Option<u32> {
        let bytes = self.bytes(tag)?;
        match bytes.len() {
            2 => Some(u32::from(u16::from_le_bytes([bytes[0], bytes[1]]))),
            4 => Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
            _ => None,
        }
    }

    /// Offset of the element in the file; of the first one here when it is absent.
    pub fn place(&self, tag: u32) -> usize {
        self.element(tag).or(self.elements.first()).map_or(0, |element| element.at)
    }
}
