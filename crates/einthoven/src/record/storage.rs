//! The storage formats of WFDB signal files, as a property of a lead.

use std::fmt;

/// How the points of a lead are stored in a WFDB signal file.
///
/// # Reference
/// WFDB Applications Guide, signal(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StorageFormat {
    /// 0: no signal is stored.
    Null,
    /// 8: first differences in 8 bits.
    F8,
    /// 16: two's complement, 16 bits, low byte first.
    F16,
    /// 24: two's complement, 24 bits, low byte first.
    F24,
    /// 32: two's complement, 32 bits, low byte first.
    F32,
    /// 61: two's complement, 16 bits, high byte first.
    F61,
    /// 80: offset binary, 8 bits.
    F80,
    /// 160: offset binary, 16 bits, low byte first.
    F160,
    /// 212: two 12-bit values in three bytes.
    F212,
    /// 310: three 10-bit values in four bytes, each pair of bytes holding one and a half.
    F310,
    /// 311: three 10-bit values in four bytes, packed from the low bits up.
    F311,
    /// 508: FLAC with 8 bits.
    F508,
    /// 516: FLAC with 16 bits.
    F516,
    /// 524: FLAC with 24 bits.
    F524,
}

impl StorageFormat {
    /// All formats in numerical order.
    pub const ALL: [StorageFormat; 14] = [
        StorageFormat::Null,
        StorageFormat::F8,
        StorageFormat::F16,
        StorageFormat::F24,
        StorageFormat::F32,
        StorageFormat::F61,
        StorageFormat::F80,
        StorageFormat::F160,
        StorageFormat::F212,
        StorageFormat::F310,
        StorageFormat::F311,
        StorageFormat::F508,
        StorageFormat::F516,
        StorageFormat::F524,
    ];

    /// The number that stands in headers.
    pub fn number(self) -> u32 {
        match self {
            StorageFormat::Null => 0,
            StorageFormat::F8 => 8,
            StorageFormat::F16 => 16,
            StorageFormat::F24 => 24,
            StorageFormat::F32 => 32,
            StorageFormat::F61 => 61,
            StorageFormat::F80 => 80,
            StorageFormat::F160 => 160,
            StorageFormat::F212 => 212,
            StorageFormat::F310 => 310,
            StorageFormat::F311 => 311,
            StorageFormat::F508 => 508,
            StorageFormat::F516 => 516,
            StorageFormat::F524 => 524,
        }
    }

    /// The format with that number, if there is one.
    pub fn from_number(number: u32) -> Option<StorageFormat> {
        StorageFormat::ALL.into_iter().find(|format| format.number() == number)
    }

    /// Bits of a stored value; for format 8, whose sums have no limit of their own, 32.
    pub fn bits(self) -> u8 {
        match self {
            StorageFormat::Null => 16,
            StorageFormat::F80 | StorageFormat::F508 => 8,
            StorageFormat::F310 | StorageFormat::F311 => 10,
            StorageFormat::F212 => 12,
            StorageFormat::F16 | StorageFormat::F61 | StorageFormat::F160 | StorageFormat::F516 => 16,
            StorageFormat::F24 | StorageFormat::F524 => 24,
            StorageFormat::F8 | StorageFormat::F32 => 32,
        }
    }

    /// The stored value that means "missing": the smallest one. Format 8 has none.
    pub fn missing_marker(self) -> Option<i32> {
        match self {
            StorageFormat::F8 | StorageFormat::Null => None,
            _ => Some(i32::MIN >> (32 - u32::from(self.bits()))),
        }
    }

    /// Smallest and largest real value; the marker for "missing" is not one.
    pub fn range(self) -> (i32, i32) {
        let high = i32::MAX >> (32 - u32::from(self.bits()));
        (-high, high)
    }

    /// Whether the signal file is a FLAC stream.
    pub fn is_flac(self) -> bool {
        matches!(self, StorageFormat::F508 | StorageFormat::F516 | StorageFormat::F524)
    }
}

impl fmt::Display for StorageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_the_smallest_values_of_each_width() {
        let marker = |number| StorageFormat::from_number(number).unwrap().missing_marker();
        assert_eq!(marker(80), Some(-128));
        assert_eq!(marker(310), Some(-512));
        assert_eq!(marker(212), Some(-2048));
        assert_eq!(marker(160), Some(-32768));
        assert_eq!(marker(524), Some(-8_388_608));
        assert_eq!(marker(32), Some(i32::MIN));
        assert_eq!(marker(8), None);
        assert_eq!(StorageFormat::F212.range(), (-2047, 2047));
        assert_eq!(StorageFormat::from_number(999), None);
    }
}
