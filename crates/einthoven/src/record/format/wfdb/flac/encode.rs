//! Points to a FLAC stream: fixed predictors, one Rice partition, independent channels.

use super::bits::BitWriter;
use super::{crc8, crc16, digest};

/// Points per frame.
const BLOCK: usize = 4096;
/// Sampling rate that WFDB software writes into the stream; the true one is in the header file.
const NOMINAL_RATE_HZ: u32 = 96_000;

/// Encodes 1 to 8 channels of equal length and `bits` (8, 16 or 24) bits.
pub(crate) fn encode(channels: &[Vec<i32>], bits: u32) -> Vec<u8> {
    let len = channels.first().map_or(0, Vec::len);
    let block = BLOCK.min(len).max(16);
    let mut info = BitWriter::default();
    info.put(block as u32, 16);
    info.put(block as u32, 16);
    // Smallest and largest frame in bytes: 0 means unknown.
    info.put(0, 24);
    info.put(0, 24);
    info.put(NOMINAL_RATE_HZ, 20);
    info.put(channels.len() as u32 - 1, 3);
    info.put(bits - 1, 5);
    info.put((len as u64 >> 32) as u32, 4);
    info.put(len as u32, 32);
    let mut out = b"fLaC".to_vec();
    // The only metadata block, 34 bytes long.
    out.extend([0x80, 0, 0, 34]);
    out.extend(info.bytes);
    out.extend(digest(channels, bits));
    for (index, start) in (0..len).step_by(BLOCK).enumerate() {
        let end = len.min(start + BLOCK);
        out.extend(frame(channels, bits, index as u32, start..end));
    }
    out
}

/// One frame.
fn frame(channels: &[Vec<i32>], bits: u32, index: u32, range: std::ops::Range<usize>) -> Vec<u8> {
    let mut writer = BitWriter::default();
    // Sync code, fixed block size; the size follows in 16 bits; rate as in STREAMINFO.
    writer.put(0xfff8, 16);
    writer.put(7, 4);
    writer.put(0, 4);
    writer.put(channels.len() as u32 - 1, 4);
    writer.put(
        if bits == 8 {
            1
        } else if bits == 16 {
            4
        } else {
            6
        },
        3,
    );
    writer.put(0, 1);
    put_number(&mut writer, index);
    writer.put(range.len() as u32 - 1, 16);
    let crc = crc8(&writer.bytes);
    writer.put(u32::from(crc), 8);
    for channel in channels {
        subframe(&mut writer, &channel[range.clone()], bits);
    }
    writer.align();
    let crc = crc16(&writer.bytes);
    writer.put(u32::from(crc), 16);
    writer.bytes
}

/// A number in the manner of UTF-8.
fn put_number(writer: &mut BitWriter, number: u32) {
    if number < 0x80 {
        writer.put(number, 8);
        return;
    }
    let mut extra = 1;
    while number >= 1 << (5 * extra + 6) {
        extra += 1;
    }
    let lead = (0xff00u32 >> (extra + 1)) & 0xff;
    writer.put(lead | number >> (6 * extra), 8);
    for place in (0..extra).rev() {
        writer.put(0x80 | number >> (6 * place) & 0x3f, 8);
    }
}

/// The cheapest of constant, fixed predictors of order 0 to 4, and verbatim.
fn subframe(writer: &mut BitWriter, points: &[i32], bits: u32) {
    if points.iter().all(|point| *point == points[0]) {
        writer.put(0, 8);
        writer.put(points[0] as u32, bits);
        return;
    }
    let verbatim_cost = points.len() as u64 * u64::from(bits);
    let mut residuals: Vec<i64> = points.iter().map(|&point| i64::from(point)).collect();
    let mut best: Option<(u64, u32, u32, Vec<i64>)> = None;
    for order in 0..=4u32.min(points.len() as u32 - 1) {
        if order > 0 {
            // Each order is the difference of the one before; the first points stay behind.
            for at in (order as usize..residuals.len()).rev() {
                residuals[at] -= residuals[at - 1];
            }
        }
        let body = &residuals[order as usize..];
        let (parameter, cost) = rice_parameter(body);
        let cost = cost + u64::from(order * bits) + 10;
        if cost < verbatim_cost && best.as_ref().is_none_or(|best| cost < best.0) {
            best = Some((cost, order, parameter, body.to_vec()));
        }
    }
    match best {
        Some((_, order, parameter, body)) => {
            writer.put((8 + order) << 1, 8);
            points[..order as usize].iter().for_each(|&point| writer.put(point as u32, bits));
            // Rice coding with five-bit parameters, one partition.
            writer.put(1, 2);
            writer.put(0, 4);
            writer.put(parameter, 5);
            for &delta in &body {
                let folded = fold(delta);
                writer.put_unary((folded >> parameter) as u32);
                writer.put(folded as u32, parameter);
            }
        }
        None => {
            writer.put(1 << 1, 8);
            points.iter().for_each(|&point| writer.put(point as u32, bits));
        }
    }
}

/// Signed to unsigned: 0, -1, 1, -2 become 0, 1, 2, 3.
fn fold(delta: i64) -> u64 {
    (delta << 1 ^ delta >> 63) as u64
}

/// The parameter with the fewest bits, and the bits.
fn rice_parameter(body: &[i64]) -> (u32, u64) {
    let cost =
        |parameter: u32| body.iter().map(|&delta| (fold(delta) >> parameter) + 1 + u64::from(parameter)).sum::<u64>();
    (0..=30).map(|parameter| (parameter, cost(parameter))).min_by_key(|&(_, cost)| cost).unwrap_or((0, 0))
}

#[cfg(test)]
mod tests {
    use super::super::decode::decode;
    use super::*;
    use crate::seed::Seed;

    /// Channels of steps, noise and ramps, `n` points each.
    fn channels(n: usize, n_channels: usize, bits: u32) -> Vec<Vec<i32>> {
        let mut stream = Seed::new(508).index(n as u64).stream();
        (0..n_channels)
            .map(|channel| {
                let high = (1i64 << (bits - 1)) - 1;
                let mut value = 0i64;
                (0..n)
                    .map(|point| match channel % 4 {
                        0 => {
                            value = (value + stream.below(9) as i64 - 4).clamp(-high - 1, high);
                            value as i32
                        }
                        1 => stream.next_u64() as i32 >> (32 - bits),
                        2 => (point / 7 % 50) as i32,
                        _ => 3,
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn decoding_gives_back_what_was_encoded() {
        for bits in [8, 16, 24] {
            for n in [1, 2, 5, 15, 16, 17, 4096, 4097, 9000] {
                for n_channels in [1, 2, 8] {
                    let points = channels(n, n_channels, bits);
                    let stream = decode(&encode(&points, bits), n_channels, bits, u64::MAX).unwrap();
                    assert_eq!(stream.channels, points);
                }
            }
        }
    }

    #[test]
    fn a_long_stream_numbers_its_frames_in_more_than_one_byte() {
        let points = vec![vec![1; BLOCK * 130]];
        assert_eq!(decode(&encode(&points, 8), 1, 8, u64::MAX).unwrap().channels, points);
        // Numbers of every length, against the coding of UTF-8 where they are characters.
        for number in [0u32, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff] {
            let mut writer = BitWriter::default();
            put_number(&mut writer, number);
            if let Some(c) = char::from_u32(number) {
                assert_eq!(writer.bytes, c.to_string().as_bytes(), "{number:x}");
            }
        }
    }

    #[test]
    fn decoding_stops_at_the_limit() {
        let points = vec![vec![1; 10_000]];
        let stream = decode(&encode(&points, 16), 1, 16, 5000).unwrap();
        assert_eq!((stream.channels[0].len(), stream.has_more), (5000, true));
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed_in_the_frames() {
        let points = channels(300, 2, 16);
        let bytes = encode(&points, 16);
        for bit in 42 * 8..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&broken, 2, 16, 300).is_err(), "bit {bit}");
        }
    }
}
