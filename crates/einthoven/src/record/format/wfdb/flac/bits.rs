//! Bits, high ones first, out of and into bytes.

/// Reads bits from a slice; `None` at its end.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Position in bits.
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Begins at the first bit.
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, at: 0 }
    }

    /// Bytes begun so far.
    pub fn byte_position(&self) -> usize {
        self.at.div_ceil(8)
    }

    /// Skips to the next whole byte.
    pub fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    /// The next `n` bits, at most 32, as an unsigned number.
    pub fn unsigned(&mut self, n: u32) -> Option<u32> {
        let end = self.at.checked_add(n as usize)?;
        if end > self.bytes.len().checked_mul(8)? {
            return None;
        }
        // Five bytes hold any 32 bits at any offset.
        let first = self.at / 8;
        let mut window = 0u64;
        for index in first..first + 5 {
            window = window << 8 | u64::from(self.bytes.get(index).copied().unwrap_or(0));
        }
        let value = window >> (40 - (self.at % 8) as u32 - n) & ((1 << n) - 1);
        self.at = end;
        Some(value as u32)
    }

    /// The next `n` bits, at most 32, as a two's complement number.
    pub fn signed(&mut self, n: u32) -> Option<i32> {
        if n == 0 {
            return Some(0);
        }
        let value = self.unsigned(n)?;
        Some((value << (32 - n)) as i32 >> (32 - n))
    }

    /// Number of zeros before the next one.
    pub fn unary(&mut self) -> Option<u32> {
        let mut zeros = 0u32;
        loop {
            let byte = *self.bytes.get(self.at / 8)?;
            let used = (self.at % 8) as u32;
            let rest = byte << used;
            if rest != 0 {
                let here = rest.leading_zeros();
                self.at += here as usize + 1;
                return zeros.checked_add(here);
            }
            zeros = zeros.checked_add(8 - used)?;
            self.at += 8 - used as usize;
        }
    }
}

/// Collects bits into bytes.
#[derive(Default)]
pub(crate) struct BitWriter {
    /// Whole bytes.
    pub bytes: Vec<u8>,
    pending: u64,
    n_pending: u32,
}

impl BitWriter {
    /// Appends the low `n` bits, at most 32, of a value.
    pub fn put(&mut self, value: u32, n: u32) {
        self.pending = self.pending << n | u64::from(value) & ((1 << n) - 1);
        self.n_pending += n;
        while self.n_pending >= 8 {
            self.n_pending -= 8;
            self.bytes.push((self.pending >> self.n_pending) as u8);
        }
        self.pending &= (1 << self.n_pending) - 1;
    }

    /// Appends that many zeros and a one.
    pub fn put_unary(&mut self, zeros: u32) {
        for _ in 0..zeros / 32 {
            self.put(0, 32);
        }
        self.put(0, zeros % 32);
        self.put(1, 1);
    }

    /// Fills the last byte with zeros.
    pub fn align(&mut self) {
        if self.n_pending > 0 {
            self.put(0, 8 - self.n_pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_as_they_were_put() {
        let mut writer = BitWriter::default();
        writer.put(5, 3);
        writer.put_unary(40);
        writer.put(0xdead_beef, 32);
        writer.put_unary(0);
        writer.put(-3i32 as u32, 5);
        writer.align();
        let mut reader = BitReader::new(&writer.bytes);
        assert_eq!(reader.unsigned(3), Some(5));
        assert_eq!(reader.unary(), Some(40));
        assert_eq!(reader.unsigned(32), Some(0xdead_beef));
        assert_eq!(reader.unary(), Some(0));
        assert_eq!(reader.signed(5), Some(-3));
        reader.align();
        assert_eq!(reader.unsigned(1), None);
        assert_eq!(reader.unary(), None);
    }
}
