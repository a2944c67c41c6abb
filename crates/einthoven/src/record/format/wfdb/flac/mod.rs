//! FLAC streams, which hold the signals of formats 508, 516 and 524: one channel per signal.
//!
//! Ours is small: it decodes every subframe type, checks every checksum and never allocates more
//! than was decoded; the encoder uses fixed predictors.
//!
//! # Reference
//! RFC 9639, Free Lossless Audio Codec.

pub(crate) mod bits;
pub(crate) mod decode;
pub(crate) mod encode;
mod md5;

pub(crate) use decode::decode;
pub(crate) use encode::encode;

/// CRC-8 of frame headers, polynomial x^8 + x^2 + x + 1.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    })
}

/// CRC-16 of frames, polynomial x^16 + x^15 + x^2 + 1.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = crc16_table();
    bytes.iter().fold(0, |crc, &byte| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

/// CRC-16 of every byte.
const fn crc16_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x8005 } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// MD5 of the points of a stream, interleaved and low byte first, as STREAMINFO states it.
fn digest(channels: &[Vec<i32>], bits: u32) -> [u8; 16] {
    let mut hash = md5::Md5::new();
    let width = bits.div_ceil(8) as usize;
    let len = channels.iter().map(Vec::len).min().unwrap_or(0);
    for point in 0..len {
        for channel in channels {
            hash.update(&channel[point].to_le_bytes()[..width]);
        }
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_the_catalogue_of_crc_algorithms() {
        // Check values for "123456789": CRC-8/SMBUS 0xf4, CRC-16/UMTS 0xfee8.
        assert_eq!(crc8(b"123456789"), 0xf4);
        assert_eq!(crc16(b"123456789"), 0xfee8);
    }
}
