//! The packed storage formats: how many bytes points take, and bytes to points and back.
//!
//! # Reference
//! WFDB Applications Guide, signal(5).

use crate::record::{MISSING, StorageFormat};

/// Points that never share a byte with points outside, whatever the format: chunks are multiples.
pub(crate) const BLOCK_POINTS: usize = 6;

/// Bytes that `points` points take; for FLAC, which has no fixed size, 0.
pub(crate) fn bytes_for(format: StorageFormat, points: u64) -> u64 {
    use StorageFormat::*;
    let blocks = |per_block: u64, block_bytes: u64, partial: [u64; 3]| {
        (points / per_block).saturating_mul(block_bytes).saturating_add(partial[(points % per_block) as usize])
    };
    match format {
        Null | F508 | F516 | F524 => 0,
        F8 | F80 => points,
        F16 | F61 | F160 => points.saturating_mul(2),
        F24 => points.saturating_mul(3),
        F32 => points.saturating_mul(4),
        F212 => blocks(2, 3, [0, 2, 0]),
        F310 => blocks(3, 4, [0, 2, 4]),
        F311 => blocks(3, 4, [0, 2, 3]),
    }
}

/// Points that stand whole in `bytes` bytes.
pub(crate) fn points_in(format: StorageFormat, bytes: u64) -> u64 {
    use StorageFormat::*;
    match format {
        Null | F508 | F516 | F524 => 0,
        F8 | F80 => bytes,
        F16 | F61 | F160 => bytes / 2,
        F24 => bytes / 3,
        F32 => bytes / 4,
        F212 => bytes / 3 * 2 + u64::from(bytes % 3 == 2),
        F310 => bytes / 4 * 3 + u64::from(bytes % 4 >= 2),
        F311 => bytes / 4 * 3 + [0, 0, 1, 2][(bytes % 4) as usize],
    }
}

/// Unpacks points from `bytes`, beginning with point `first`, a multiple of [`BLOCK_POINTS`].
///
/// The caller has checked that the points are there; missing bytes would read as 0.
pub(crate) fn unpack(format: StorageFormat, bytes: &[u8], first: usize, out: &mut [i32]) {
    use StorageFormat::*;
    let start = usize::try_from(bytes_for(format, first as u64)).unwrap_or(usize::MAX);
    let bytes = bytes.get(start..).unwrap_or(&[]);
    match format {
        Null | F508 | F516 | F524 => out.fill(0),
        F8 => each(bytes, out, |[a]: [u8; 1]| i32::from(a as i8)),
        F80 => each(bytes, out, |[a]: [u8; 1]| i32::from(a) - 128),
        F16 => each(bytes, out, |pair| i32::from(i16::from_le_bytes(pair))),
        F61 => each(bytes, out, |pair| i32::from(i16::from_be_bytes(pair))),
        F160 => each(bytes, out, |pair| i32::from(u16::from_le_bytes(pair)) - 32768),
        F24 => each(bytes, out, |[a, b, c]: [u8; 3]| i32::from_le_bytes([0, a, b, c]) >> 8),
        F32 => each(bytes, out, i32::from_le_bytes),
        F212 => blocks(bytes, out, unpack_212),
        F310 => blocks(bytes, out, unpack_310),
        F311 => blocks(bytes, out, unpack_311),
    }
}

/// Two 12-bit values in three bytes: the middle byte holds the high bits of both.
pub(crate) fn unpack_212([a, b, c]: [u8; 3]) -> [i32; 2] {
    let first = (i32::from(a) | i32::from(b) << 8) << 20 >> 20;
    let second = (i32::from(c) | (i32::from(b) & 0xf0) << 4) << 20 >> 20;
    [first, second]
}

/// Two 16-bit words with 10 bits of one value each above the lowest bit, the third in the tops.
fn unpack_310([a, b, c, d]: [u8; 4]) -> [i32; 3] {
    let (low, high) = (i32::from(u16::from_le_bytes([a, b])), i32::from(u16::from_le_bytes([c, d])));
    let third = low >> 11 | (high >> 11) << 5;
    [ten_bits(low >> 1), ten_bits(high >> 1), ten_bits(third)]
}

/// Three 10-bit values from the low bits of a 32-bit word up.
fn unpack_311(bytes: [u8; 4]) -> [i32; 3] {
    let word = u32::from_le_bytes(bytes) as i32;
    [ten_bits(word), ten_bits(word >> 10), ten_bits(word >> 20)]
}

/// The low ten bits as a signed number.
fn ten_bits(word: i32) -> i32 {
    word << 22 >> 22
}

/// Packs points; the result has [`bytes_for`] bytes. Values must be in the format's range, and
/// format 8 takes differences.
pub(crate) fn pack(format: StorageFormat, points: &[i32]) -> Vec<u8> {
    use StorageFormat::*;
    let mut out = Vec::with_capacity(usize::try_from(bytes_for(format, points.len() as u64)).unwrap_or(0));
    match format {
        Null | F508 | F516 | F524 => {}
        F8 => out.extend(points.iter().map(|&v| v as u8)),
        F80 => out.extend(points.iter().map(|&v| v.wrapping_add(128) as u8)),
        F16 => points.iter().for_each(|&v| out.extend((v as i16).to_le_bytes())),
        F61 => points.iter().for_each(|&v| out.extend((v as i16).to_be_bytes())),
        F160 => points.iter().for_each(|&v| out.extend((v.wrapping_add(32768) as u16).to_le_bytes())),
        F24 => points.iter().for_each(|&v| out.extend(&v.to_le_bytes()[..3])),
        F32 => points.iter().for_each(|&v| out.extend(v.to_le_bytes())),
        F212 => {
            for pair in points.chunks(2) {
                let (a, b) = (pair[0] & 0xfff, pair.get(1).map_or(0, |v| v & 0xfff));
                let block = [a as u8, (a >> 8 | (b >> 8) << 4) as u8, b as u8];
                out.extend(&block[..if pair.len() == 2 { 3 } else { 2 }]);
            }
        }
        F310 => {
            for three in points.chunks(3) {
                let value = |index: usize| three.get(index).map_or(0, |v| v & 0x3ff);
                let low = value(0) << 1 | (value(2) & 0x1f) << 11;
                let high = value(1) << 1 | (value(2) >> 5) << 11;
                let word = (low | high << 16).to_le_bytes();
                out.extend(&word[..[2, 4, 4][three.len() - 1]]);
            }
        }
        F311 => {
            for three in points.chunks(3) {
                let value = |index: usize| three.get(index).map_or(0, |v| v & 0x3ff);
                let word = (value(0) | value(1) << 10 | value(2) << 20).to_le_bytes();
                out.extend(&word[..[2, 3, 4][three.len() - 1]]);
            }
        }
    }
    out
}

/// One value for every `N` bytes.
fn each<const N: usize>(bytes: &[u8], out: &mut [i32], value: impl Fn([u8; N]) -> i32) {
    let (chunks, _) = bytes.as_chunks::<N>();
    for (out, chunk) in out.iter_mut().zip(chunks) {
        *out = value(*chunk);
    }
}

/// `P` values for every `N` bytes; a partial block at the end is read with zeros behind it.
fn blocks<const N: usize, const P: usize>(bytes: &[u8], out: &mut [i32], values: impl Fn([u8; N]) -> [i32; P]) {
    let (whole, tail) = out.as_chunks_mut::<P>();
    let (chunks, _) = bytes.as_chunks::<N>();
    for (out, chunk) in whole.iter_mut().zip(chunks) {
        *out = values(*chunk);
    }
    let rest = bytes.get(whole.len() * N..).unwrap_or(&[]);
    let mut last = [0u8; N];
    for (last, &byte) in last.iter_mut().zip(rest) {
        *last = byte;
    }
    for (out, value) in tail.iter_mut().zip(values(last)) {
        *out = value;
    }
}

/// Frames of two leads that are unpacked at a time, few enough for the first-level cache.
const PAIR_FRAMES: usize = 1024;

/// Two leads of one point a frame in format 212, the layout of MIT-BIH, in one pass; returns the sums of
/// their points as stored.
pub(crate) fn unpack_212_pair(data: &[u8], frames: usize, [first, second]: [&mut Vec<i32>; 2]) -> [i32; 2] {
    let (chunks, _) = data.as_chunks::<3>();
    let chunks = &chunks[..frames.min(chunks.len())];
    let mut sums = [0i32; 2];
    first.reserve_exact(chunks.len());
    second.reserve_exact(chunks.len());
    // By way of two short buffers, so that the leads are written once and not cleared before.
    let (mut a, mut b) = ([0i32; PAIR_FRAMES], [0i32; PAIR_FRAMES]);
    for chunks in chunks.chunks(PAIR_FRAMES) {
        for ((chunk, a), b) in chunks.iter().zip(&mut a).zip(&mut b) {
            let [x, y] = unpack_212(*chunk);
            sums[0] = sums[0].wrapping_add(x);
            sums[1] = sums[1].wrapping_add(y);
            *a = if x == -2048 { MISSING } else { x };
            *b = if y == -2048 { MISSING } else { y };
        }
        first.extend_from_slice(&a[..chunks.len()]);
        second.extend_from_slice(&b[..chunks.len()]);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn packing_and_unpacking_are_inverse_at_every_length() {
        for format in StorageFormat::ALL {
            if format == StorageFormat::Null || format.is_flac() {
                continue;
            }
            let mut stream = Seed::new(212).index(u64::from(format.number())).stream();
            // Format 8 stores differences of 8 bits.
            let bits = if format == StorageFormat::F8 { 8 } else { u32::from(format.bits()) };
            for n in 0..40 {
                let points: Vec<i32> = (0..n).map(|_| stream.next_u64() as i32 >> (32 - bits)).collect();
                let bytes = pack(format, &points);
                assert_eq!(bytes.len() as u64, bytes_for(format, n), "{format} {n}");
                assert!(points_in(format, bytes.len() as u64) >= n, "{format} {n}");
                let mut back = vec![0; points.len()];
                unpack(format, &bytes, 0, &mut back);
                assert_eq!(back, points, "{format} {n}");
                if points.len() > BLOCK_POINTS {
                    unpack(format, &bytes, BLOCK_POINTS, &mut back[BLOCK_POINTS..]);
                    assert_eq!(back, points, "{format} {n}");
                }
            }
        }
    }

    #[test]
    fn d05_212_with_an_odd_number_takes_five_or_six_bytes() {
        let bytes = [0xff, 0x1f, 0x02, 0xff, 0x0f];
        let mut out = [0; 3];
        unpack(StorageFormat::F212, &bytes, 0, &mut out);
        assert_eq!(out, [-1, 0x102, -1]);
        assert_eq!(points_in(StorageFormat::F212, 4), 2);
        assert_eq!(points_in(StorageFormat::F212, 5), 3);
        assert_eq!(bytes_for(StorageFormat::F212, 3), 5);
    }

    #[test]
    fn d06_311_ignores_pad_bits_in_a_partial_last_block() {
        // -4 in ten bits is 0x3fc; the six bits above it are padding and set here.
        let mut out = [0; 1];
        unpack(StorageFormat::F311, &[0xfc, 0xff], 0, &mut out);
        assert_eq!(out, [-4]);
        unpack(StorageFormat::F310, &[0xf8, 0xff], 0, &mut out);
        assert_eq!(out, [-4]);
    }
}
