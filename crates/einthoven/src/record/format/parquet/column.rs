//! Pages of a Parquet column: levels, encodings, and the lists that they spell.
//!
//! Read are plain and dictionary encoding in pages of version 1 and 2, uncompressed or Snappy.
//!
//! # Reference
//! Apache Parquet format, "Encodings" and "Nested encoding"; Melnik et al. 2010 (Dremel).

use super::snappy;
use super::thrift::{self, varint};

/// What breaks a column, and where in the file.
pub(super) struct Fault {
    pub code: &'static str,
    pub at: usize,
    pub field: String,
    pub found: String,
    pub expected: String,
}

/// Values of a leaf, by physical type.
#[derive(Debug, Clone)]
pub(super) enum Values {
    Bool(Vec<bool>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bytes(Vec<Vec<u8>>),
}

/// A leaf of the schema, with what is needed to rebuild its lists.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// First name of its path.
    pub name: String,
    /// Physical type by number.
    pub kind: i64,
    /// Definition level of a present value.
    pub max_definition: u32,
    /// For each list around it, the definition level from which the list has an element.
    pub lists: Vec<u32>,
}

/// A column read whole: levels, and the present values in order.
pub(super) struct Column {
    pub leaf: Leaf,
    pub definitions: Vec<u32>,
    pub repetitions: Vec<u32>,
    pub values: Values,
}

/// Where a chunk lies.
pub(super) struct Chunk {
    pub start: usize,
    pub end: usize,
    pub n_values: u64,
    pub codec: i64,
}

impl Values {
    /// None read yet; `None` for a type that is not supported.
    pub(super) fn new(kind: i64) -> Option<Values> {
        Some(match kind {
            0 => Values::Bool(Vec::new()),
            1 => Values::I32(Vec::new()),
            2 => Values::I64(Vec::new()),
            4 => Values::F32(Vec::new()),
            5 => Values::F64(Vec::new()),
            6 => Values::Bytes(Vec::new()),
            _ => return None,
        })
    }

    /// Number of values.
    fn len(&self) -> usize {
        match self {
            Values::Bool(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::Bytes(values) => values.len(),
        }
    }

    /// Appends `n` values in plain encoding; `None` when there are fewer.
    fn plain(&mut self, bytes: &[u8], n: usize) -> Option<()> {
        fn fixed<const N: usize, T>(bytes: &[u8], n: usize, out: &mut Vec<T>, of: fn([u8; N]) -> T) -> Option<()> {
            let bytes = bytes.get(..n.checked_mul(N)?)?;
            out.extend(bytes.as_chunks::<N>().0.iter().map(|&chunk| of(chunk)));
            Some(())
        }
        match self {
            Values::Bool(out) => {
                bytes.get(..n.div_ceil(8))?;
                out.extend((0..n).map(|index| bytes[index / 8] >> (index % 8) & 1 == 1));
                Some(())
            }
            Values::I32(out) => fixed(bytes, n, out, i32::from_le_bytes),
            Values::I64(out) => fixed(bytes, n, out, i64::from_le_bytes),
            Values::F32(out) => fixed(bytes, n, out, f32::from_le_bytes),
            Values::F64(out) => fixed(bytes, n, out, f64::from_le_bytes),
            Values::Bytes(out) => {
                let mut rest = bytes;
                for _ in 0..n {
                    let (length, behind) = rest.split_first_chunk::<4>()?;
                    let (value, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                    out.push(value.to_vec());
                    rest = behind;
                }
                Some(())
            }
        }
    }

    /// Appends values of a dictionary by index; `None` for an index outside it.
    fn chosen(&mut self, dictionary: &Values, indexes: &[u32]) -> Option<()> {
        fn pick<T: Clone>(from: &[T], indexes: &[u32], out: &mut Vec<T>) -> Option<()> {
            for &index in indexes {
                out.push(from.get(index as usize)?.clone());
            }
            Some(())
        }
        match (self, dictionary) {
            (Values::I32(out), Values::I32(from)) => pick(from, indexes, out),
            (Values::I64(out), Values::I64(from)) => pick(from, indexes, out),
            (Values::F32(out), Values::F32(from)) => pick(from, indexes, out),
            (Values::F64(out), Values::F64(from)) => pick(from, indexes, out),
            (Values::Bytes(out), Values::Bytes(from)) => pick(from, indexes, out),
            _ => None,
        }
    }
}

/// Runs of repeated and of bit-packed values; appends exactly `n`.
fn hybrid(bytes: &[u8], width: u32, n: usize, out: &mut Vec<u32>) -> Option<()> {
    if width > 32 {
        return None;
    }
    let end = out.len().checked_add(n)?;
    let mut at = 0;
    while out.len() < end {
        let head = varint(bytes, &mut at)?;
        let left = end - out.len();
        if head & 1 == 0 {
            let size = width.div_ceil(8) as usize;
            let raw = bytes.get(at..at + size)?;
            at += size;
            let value = raw.iter().rev().fold(0u32, |value, &byte| value << 8 | u32::from(byte));
            let run = usize::try_from(head >> 1).ok().filter(|&run| run > 0)?;
            out.resize(out.len() + run.min(left), value);
        } else {
            let n_bytes = usize::try_from(head >> 1).ok()?.checked_mul(width as usize)?;
            // The last group may be cut where nothing follows.
            let packed = bytes.get(at..bytes.len().min(at.checked_add(n_bytes)?))?;
            at += packed.len();
            let n_packed = if width == 0 { left } else { (packed.len() * 8 / width as usize).min(left) };
            if n_packed == 0 {
                return None;
            }
            let mask = if width == 32 { u64::from(u32::MAX) } else { (1 << width) - 1 };
            for index in 0..n_packed {
                let bit = index * width as usize;
                let mut word = [0; 8];
                let from = &packed[(bit / 8).min(packed.len())..];
                let n = from.len().min(8);
                word[..n].copy_from_slice(&from[..n]);
                out.push((u64::from_le_bytes(word) >> (bit % 8) & mask) as u32);
            }
        }
    }
    Some(())
}

/// Reads the pages of a chunk into the column; `budget` counts down the values that a file may have.
pub(super) fn read_chunk(bytes: &[u8], chunk: &Chunk, column: &mut Column, budget: &mut u64) -> Result<(), Fault> {
    let (name, kind) = (column.leaf.name.clone(), column.leaf.kind);
    let fault = |code, at: usize, field: &str, found: String, expected: &str| Fault {
        code,
        at,
        field: format!("{field} of column \"{}\"", name.escape_debug()),
        found,
        expected: expected.into(),
    };
    let mut dictionary: Option<Values> = None;
    let mut n_read = 0u64;
    let mut at = chunk.start;
    while n_read < chunk.n_values {
        let head_at = at;
        let head = thrift::parse(&bytes[..chunk.end], &mut at);
        let Some(head) = head else {
            return Err(fault("Q04", head_at, "page header", "bytes that are none".into(), "a page header"));
        };
        let size = head.int(3).and_then(|size| usize::try_from(size).ok());
        let body = size.and_then(|size| bytes[..chunk.end].get(at..at.checked_add(size)?));
        let Some(body) = body else {
            let found = format!("{:?} bytes", head.int(3));
            return Err(fault("Q04", head_at, "page size", found, &format!("at most {}", chunk.end - at)));
        };
        let body_at = at;
        at += body.len();
        let broken = |found: &str| Fault {
            code: "Q04",
            at: body_at,
            field: format!("page of column \"{}\"", name.escape_debug()),
            found: found.into(),
            expected: "levels and values as its header says".into(),
        };
        let unpacked = |packed: &[u8], size: Option<usize>| -> Result<Vec<u8>, Fault> {
            match (chunk.codec, size) {
                (0, _) => Ok(packed.to_vec()),
                (1, Some(size)) => snappy::decompress(packed, size).ok_or_else(|| broken("a broken Snappy block")),
                _ => Err(fault(
                    "Q05",
                    head_at,
                    "compression",
                    format!("codec {}", chunk.codec),
                    "none or Snappy; write it again with compression=\"snappy\"",
                )),
            }
        };
        let full = head.int(2).and_then(|size| usize::try_from(size).ok());
        match head.int(1) {
            Some(2) => {
                let header = head.field(7);
                let n = header.and_then(|header| header.int(1)).and_then(|n| usize::try_from(n).ok());
                let data = unpacked(body, full)?;
                let mut values = Values::new(kind).ok_or_else(|| broken("a type that is not read"))?;
                let n =
                    n.filter(|&n| n <= data.len() * 8).ok_or_else(|| broken("a dictionary larger than its page"))?;
                values.plain(&data, n).ok_or_else(|| broken("a dictionary cut short"))?;
                dictionary = Some(values);
            }
            Some(version @ (0 | 3)) => {
                let header = head.field(if version == 0 { 5 } else { 8 });
                let count = header.and_then(|header| header.int(1)).and_then(|n| u64::try_from(n).ok());
                let n = count.filter(|&n| n <= chunk.n_values - n_read && n <= *budget);
                let (Some(header), Some(n)) = (header, n) else {
                    let expected = format!("at most {}", (chunk.n_values - n_read).min(*budget));
                    return Err(fault("Q04", head_at, "values in a page", format!("{count:?}"), &expected));
                };
                n_read += n;
                *budget -= n;
                // The budget fits memory.
                let n = n as usize;
                let (data, encoding);
                if version == 0 {
                    let whole = unpacked(body, full)?;
                    let rest = levels_v1(column, &whole, n).ok_or_else(|| broken("levels cut short"))?;
                    data = whole[rest..].to_vec();
                    encoding = header.int(2);
                } else {
                    let length = |id: i16| header.int(id).and_then(|length| usize::try_from(length).ok());
                    let (definition, repetition) = (length(5).unwrap_or(0), length(6).unwrap_or(0));
                    let levels = definition.checked_add(repetition).filter(|&levels| levels <= body.len());
                    let levels = levels.ok_or_else(|| broken("levels longer than the page"))?;
                    let (leaf, lists) = (column.leaf.max_definition, column.leaf.lists.len() as u32);
                    level(&body[..repetition], lists, n, &mut column.repetitions)
                        .and_then(|()| level(&body[repetition..levels], leaf, n, &mut column.definitions))
                        .ok_or_else(|| broken("levels cut short"))?;
                    let packed = &body[levels..];
                    let is_packed = header.int(7) != Some(0);
                    data = if is_packed {
                        unpacked(packed, full.and_then(|full| full.checked_sub(levels)))?
                    } else {
                        packed.to_vec()
                    };
                    encoding = header.int(4);
                }
                let max = column.leaf.max_definition;
                let first = column.definitions.len() - n;
                let n_present = column.definitions[first..].iter().filter(|&&level| level == max).count();
                match encoding {
                    Some(0) => column.values.plain(&data, n_present).ok_or_else(|| broken("values cut short"))?,
                    Some(2 | 8) => {
                        let dictionary = dictionary.as_ref().ok_or_else(|| broken("indexes without a dictionary"))?;
                        let mut indexes = Vec::new();
                        let sound = match data.split_first() {
                            Some((&width, rest)) => hybrid(rest, width.into(), n_present, &mut indexes),
                            None => (n_present == 0).then_some(()),
                        };
                        sound
                            .and_then(|()| column.values.chosen(dictionary, &indexes))
                            .ok_or_else(|| broken("indexes outside the dictionary"))?;
                    }
                    Some(3) if kind == 0 => {
                        let mut bits = Vec::new();
                        let rest = data.get(4..).ok_or_else(|| broken("values cut short"))?;
                        hybrid(rest, 1, n_present, &mut bits).ok_or_else(|| broken("values cut short"))?;
                        if let Values::Bool(out) = &mut column.values {
                            out.extend(bits.iter().map(|&bit| bit == 1));
                        }
                    }
                    other => {
                        let found = format!("encoding {other:?}");
                        return Err(fault("Q05", head_at, "encoding", found, "plain or dictionary"));
                    }
                }
            }
            // Index pages carry no values.
            Some(1) => {}
            other => {
                return Err(fault("Q04", head_at, "page type", format!("{other:?}"), "a data or dictionary page"));
            }
        }
    }
    debug_assert!(column.values.len() <= column.definitions.len());
    Ok(())
}

/// Levels of a version 1 page; where its values begin.
fn levels_v1(column: &mut Column, bytes: &[u8], n: usize) -> Option<usize> {
    let mut at = 0;
    let mut part = |max: u32, out: &mut Vec<u32>| -> Option<()> {
        if max == 0 {
            return level(&[], 0, n, out);
        }
        let length = u32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?) as usize;
        let stop = (at + 4).checked_add(length)?;
        level(bytes.get(at + 4..stop)?, max, n, out)?;
        at = stop;
        Some(())
    };
    part(column.leaf.lists.len() as u32, &mut column.repetitions)?;
    part(column.leaf.max_definition, &mut column.definitions)?;
    Some(at)
}

/// Levels up to `max`, none of them beyond it.
fn level(bytes: &[u8], max: u32, n: usize, out: &mut Vec<u32>) -> Option<()> {
    if max == 0 {
        out.resize(out.len() + n, 0);
        return Some(());
    }
    let first = out.len();
    hybrid(bytes, u32::BITS - max.leading_zeros(), n, out)?;
    out[first..].iter().all(|&level| level <= max).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_packed_groups() {
        let mut out = Vec::new();
        // Four times 5 in three bits, then 0 to 7 packed (the example of the specification).
        assert_eq!(hybrid(&[8, 5, 3, 0x88, 0xc6, 0xfa], 3, 12, &mut out), Some(()));
        assert_eq!(out, [5, 5, 5, 5, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(hybrid(&[0, 5], 3, 1, &mut out), None);
        assert_eq!(hybrid(&[8], 3, 1, &mut out), None);
        assert_eq!(level(&[8, 3], 2, 1, &mut out), None);
    }
}
