//! The compact protocol of Thrift, in which Parquet writes its metadata.
//!
//! # Reference
//! Apache Thrift, "Thrift Compact protocol encoding".

/// Structures in structures that are believed.
const MAX_DEPTH: usize = 64;
/// Values of one structure that are believed: metadata are small.
const MAX_VALUES: usize = 1 << 18;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Int(i64),
    Double,
    Bytes(&'a [u8]),
    List(Vec<Value<'a>>),
    Struct(Vec<(i16, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The field of a structure.
    pub fn field(&self, id: i16) -> Option<&Value<'a>> {
        match self {
            Value::Struct(fields) => fields.iter().find(|(found, _)| *found == id).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The integer in a field; Booleans are 0 and 1.
    pub fn int(&self, id: i16) -> Option<i64> {
        match self.field(id)? {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The list in a field; empty when it is absent.
    pub fn list(&self, id: i16) -> &[Value<'a>] {
        match self.field(id) {
            Some(Value::List(values)) => values,
            _ => &[],
        }
    }

    /// The text in a field.
    pub fn text(&self, id: i16) -> Option<&'a str> {
        match self.field(id)? {
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

/// Reads a structure; `at` moves behind it. `None` for bytes that are none.
pub(super) fn parse<'a>(bytes: &'a [u8], at: &mut usize) -> Option<Value<'a>> {
    let mut parser = Parser { bytes, at: *at, n_values: 0 };
    let value = parser.structure(0)?;
    *at = parser.at;
    Some(value)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    n_values: usize,
}

impl<'a> Parser<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = varint(self.bytes, &mut self.at)?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn structure(&mut self, depth: usize) -> Option<Value<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut fields = Vec::new();
        let mut id = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(Value::Struct(fields));
            }
            let delta = i16::from(head >> 4);
            id = if delta == 0 { i16::try_from(self.zigzag()?).ok()? } else { id.checked_add(delta)? };
            let value = match head & 15 {
                // A Boolean is in the type itself.
                kind @ (1 | 2) => Value::Int(i64::from(kind == 1)),
                kind => self.value(kind, depth)?,
            };
            fields.push((id, value));
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Option<Value<'a>> {
        self.n_values += 1;
        if self.n_values > MAX_VALUES || depth > MAX_DEPTH {
            return None;
        }
        match kind {
            1..=3 => Some(Value::Int(i64::from(self.byte()? as i8))),
            4..=6 => self.zigzag().map(Value::Int),
            7 => {
                self.bytes.get(self.at..self.at.checked_add(8)?)?;
                self.at += 8;
                Some(Value::Double)
            }
            8 => {
                let length = usize::try_from(varint(self.bytes, &mut self.at)?).ok()?;
                let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
                self.at += length;
                Some(Value::Bytes(bytes))
            }
            9 | 10 => {
                let head = self.byte()?;
                let short = u64::from(head >> 4);
                let n = if short == 15 { varint(self.bytes, &mut self.at)? } else { short };
                // Each value takes a byte at least.
                if n > (self.bytes.len() - self.at) as u64 {
                    return None;
                }
                let mut values = Vec::new();
                for _ in 0..n {
                    values.push(self.value(head & 15, depth + 1)?);
                }
                Some(Value::List(values))
            }
            12 => self.structure(depth + 1),
            _ => None,
        }
    }
}

/// An unsigned integer of seven bits a byte.
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 127).checked_shl(shift)?;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

/// Writes structures.
#[derive(Default)]
pub(super) struct Writer {
    pub bytes: Vec<u8>,
    /// Last field of each open structure.
    last: Vec<i16>,
}

impl Writer {
    pub fn begin(&mut self) {
        self.last.push(0);
    }

    pub fn end(&mut self) {
        self.last.pop();
        self.bytes.push(0);
    }

    fn head(&mut self, id: i16, kind: u8) {
        let before = self.last.last_mut().map_or(0, |last| std::mem::replace(last, id));
        // Fields are written in ascending order, close to each other.
        self.bytes.push(((id - before) as u8) << 4 | kind);
    }

    pub fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.bytes.push(value as u8 | 128);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn zigzag(&mut self, value: i64) {
        self.varint((value << 1 ^ value >> 63) as u64);
    }

    pub fn i32(&mut self, id: i16, value: i32) {
        self.head(id, 5);
        self.zigzag(value.into());
    }

    pub fn i64(&mut self, id: i16, value: i64) {
        self.head(id, 6);
        self.zigzag(value);
    }

    pub fn text(&mut self, id: i16, text: &str) {
        self.head(id, 8);
        self.element_text(text);
    }

    /// A text in a list.
    pub fn element_text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.bytes.extend(text.bytes());
    }

    /// A number in a list.
    pub fn element_int(&mut self, value: i32) {
        self.zigzag(value.into());
    }

    /// A list of a kind: 5 numbers, 8 texts, 12 structures. The elements follow.
    pub fn list(&mut self, id: i16, kind: u8, n: usize) {
        self.head(id, 9);
        if n < 15 {
            self.bytes.push((n as u8) << 4 | kind);
        } else {
            self.bytes.push(15 << 4 | kind);
            self.varint(n as u64);
        }
    }

    /// A structure in a field; the caller ends it.
    pub fn structure(&mut self, id: i16) {
        self.head(id, 12);
        self.begin();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_parsed() {
        let mut writer = Writer::default();
        writer.begin();
        writer.i32(1, -3);
        writer.i64(3, 1 << 40);
        writer.list(4, 8, 20);
        (0..20).for_each(|_| writer.element_text("ab"));
        writer.structure(9);
        writer.text(2, "x");
        writer.end();
        writer.end();
        let mut at = 0;
        let value = parse(&writer.bytes, &mut at).expect("sound");
        assert_eq!(at, writer.bytes.len());
        assert_eq!((value.int(1), value.int(3), value.list(4).len()), (Some(-3), Some(1 << 40), 20));
        assert_eq!(value.field(9).and_then(|inner| inner.text(2)), Some("x"));
    }

    #[test]
    fn depth_and_lengths_are_bounded() {
        // A structure in a structure, a hundred thousand times.
        assert_eq!(parse(&[0x1c; 100_000], &mut 0), None);
        // A list of 2^32 - 1 bytes, in six.
        assert_eq!(parse(&[0x19, 0xf3, 0xff, 0xff, 0xff, 0xff, 0x0f], &mut 0), None);
        // A text beyond the end.
        assert_eq!(parse(&[0x18, 200, 1, b'a'], &mut 0), None);
    }
}
