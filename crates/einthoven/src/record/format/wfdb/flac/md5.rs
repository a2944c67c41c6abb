//! MD5, which FLAC uses to check decoded points.
//!
//! # Reference
//! RFC 1321. No protection against forgery is meant or given.

/// Shift amounts, four per round.
const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// A running hash.
pub(super) struct Md5 {
    state: [u32; 4],
    block: [u8; 64],
    filled: usize,
    len: u64,
    constants: [u32; 64],
}

impl Md5 {
    /// The hash of nothing so far.
    pub(super) fn new() -> Md5 {
        // The constants of RFC 1321 are the integer parts of 2^32 |sin(i + 1)|.
        let constants = std::array::from_fn(|i| (libm::sin((i + 1) as f64).abs() * 4_294_967_296.0) as u32);
        let state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        Md5 { state, block: [0; 64], filled: 0, len: 0, constants }
    }

    /// Takes in bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len() as u64);
        for &byte in bytes {
            self.block[self.filled] = byte;
            self.filled += 1;
            if self.filled == 64 {
                self.mix();
                self.filled = 0;
            }
        }
    }

    /// The hash of all bytes.
    pub(super) fn finish(mut self) -> [u8; 16] {
        let bits = self.len.wrapping_mul(8);
        self.update(&[0x80]);
        while self.filled != 56 {
            self.update(&[0]);
        }
        self.update(&bits.to_le_bytes());
        let mut out = [0; 16];
        for (out, word) in out.chunks_mut(4).zip(self.state) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// One block of 64 steps.
    fn mix(&mut self) {
        let (chunks, _) = self.block.as_chunks::<4>();
        let words: [u32; 16] = std::array::from_fn(|i| u32::from_le_bytes(chunks[i]));
        let [mut a, mut b, mut c, mut d] = self.state;
        for i in 0..64 {
            let (f, word) = match i / 16 {
                0 => (b & c | !b & d, i),
                1 => (d & b | !d & c, (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            let sum = a.wrapping_add(f).wrapping_add(self.constants[i]).wrapping_add(words[word]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
        }
        for (state, word) in self.state.iter_mut().zip([a, b, c, d]) {
            *state = state.wrapping_add(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_rfc_1321() {
        let hash = |text: &str| {
            let mut md5 = Md5::new();
            md5.update(text.as_bytes());
            md5.finish().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(hash(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hash("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        let digits = "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(hash(digits), "57edf4a22be3c955ac49da2e2107b67a");
    }
}
