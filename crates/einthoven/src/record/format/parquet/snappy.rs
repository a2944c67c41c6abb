//! Snappy, in which most writers compress Parquet pages.
//!
//! # Reference
//! google/snappy, format_description.txt.

use super::thrift::varint;

/// The bytes behind a compressed block of exactly `size`; `None` if it is not one.
pub(super) fn decompress(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut at = 0;
    if varint(bytes, &mut at)? != size as u64 {
        return None;
    }
    let mut out: Vec<u8> = Vec::new();
    let little = |at: &mut usize, n: usize| -> Option<usize> {
        let bytes = bytes.get(*at..*at + n)?;
        *at += n;
        Some(bytes.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte)))
    };
    while at < bytes.len() {
        let tag = bytes[at];
        at += 1;
        if tag & 3 == 0 {
            let length = match usize::from(tag >> 2) {
                short @ 0..60 => short + 1,
                long => little(&mut at, long - 59)? + 1,
            };
            out.extend(bytes.get(at..at.checked_add(length)?)?);
            at += length;
        } else {
            let (length, distance) = match tag & 3 {
                1 => (usize::from(tag >> 2 & 7) + 4, usize::from(tag >> 5) << 8 | little(&mut at, 1)?),
                2 => (usize::from(tag >> 2) + 1, little(&mut at, 2)?),
                _ => (usize::from(tag >> 2) + 1, little(&mut at, 4)?),
            };
            let start = out.len().checked_sub(distance).filter(|_| distance > 0)?;
            // The copy may overlap what it makes.
            for index in start..start + length {
                out.push(out[index]);
            }
        }
        if out.len() > size {
            return None;
        }
    }
    (out.len() == size).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_overlapping_copies() {
        // "abab...": two literals, then a copy of ten from two back.
        let block = [12, 0b100, b'a', b'b', (10 - 4) << 2 | 1, 2];
        assert_eq!(decompress(&block, 12).as_deref(), Some(&b"abababababab"[..]));
        assert_eq!(decompress(&block, 11), None);
        assert_eq!(decompress(&block[..4], 12), None);
        assert_eq!(decompress(&[4, 1, 9], 4), None);
    }
}
