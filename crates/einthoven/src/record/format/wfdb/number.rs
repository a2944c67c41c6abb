//! Numbers as WFDB headers write them: the whole text must be one.

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not a number from this character (counted from 0) on.
    NotANumber(usize),
    /// A number beyond 64 bits.
    OutOfRange,
}

/// A decimal integer with an optional sign.
pub(crate) fn integer(text: &str) -> Result<i64, Fault> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.len() - digits.len();
    if let Some(place) = digits.bytes().position(|b| !b.is_ascii_digit()) {
        return Err(Fault::NotANumber(characters(text, sign + place)));
    }
    if digits.is_empty() {
        return Err(Fault::NotANumber(sign));
    }
    text.parse().map_err(|_| Fault::OutOfRange)
}

/// A decimal number as C's scanf reads it: `360`, `360.`, `.5`, `3.6e2`. Overflow gives infinity.
pub(crate) fn decimal(text: &str) -> Result<f64, Fault> {
    let bytes = text.as_bytes();
    let run = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let mut n_digits = run(at);
    at += n_digits;
    if bytes.get(at) == Some(&b'.') {
        let fraction = run(at + 1);
        n_digits += fraction;
        at += 1 + fraction;
    }
    if n_digits == 0 {
        return Err(Fault::NotANumber(usize::from(matches!(bytes.first(), Some(b'+' | b'-')))));
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = run((at + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    if at < bytes.len() {
        return Err(Fault::NotANumber(characters(text, at)));
    }
    text.parse().map_err(|_| Fault::NotANumber(0))
}

/// Number of characters before a byte offset.
fn characters(text: &str, bytes: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < bytes).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_whole_or_not_at_all() {
        assert_eq!(decimal("3.6e2"), Ok(360.0));
        assert_eq!(decimal("360."), Ok(360.0));
        assert_eq!(decimal(".5"), Ok(0.5));
        assert_eq!(decimal("1e400"), Ok(f64::INFINITY));
        assert_eq!(decimal("2OO"), Err(Fault::NotANumber(1)));
        assert_eq!(decimal("2e"), Err(Fault::NotANumber(1)));
        assert_eq!(decimal("nan"), Err(Fault::NotANumber(0)));
        assert_eq!(decimal("."), Err(Fault::NotANumber(0)));
        assert_eq!(integer("-12"), Ok(-12));
        assert_eq!(integer("1.5"), Err(Fault::NotANumber(1)));
        assert_eq!(integer("9223372036854775808"), Err(Fault::OutOfRange));
        assert_eq!(integer(""), Err(Fault::NotANumber(0)));
    }
}
