//! Start of a record as digits, `yyyymmddhhmmss`, which DICOM and HL7 share.

use std::ops::Range;

use crate::record::Record;

/// `yyyymmdd` and `hhmmss` of the record's start, where it states them in full.
pub(crate) fn digits_of(record: &Record) -> (Option<String>, Option<String>) {
    let parts = |text: &str, separator: char, widths: [usize; 3]| {
        let parts: Vec<String> = text.split(separator).map(str::to_string).collect();
        let is_sound =
            |(part, width): (&String, usize)| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit());
        (parts.len() == 3 && parts.iter().zip(widths).all(is_sound)).then_some(parts)
    };
    let date = record.base_date.as_deref().and_then(|date| parts(date, '/', [2, 2, 4]));
    let time = record.base_time.as_deref().and_then(|time| time.split('.').next());
    (
        date.map(|date| format!("{}{}{}", date[2], date[1], date[0])),
        time.and_then(|time| parts(time, ':', [2, 2, 2])).map(|time| time.concat()),
    )
}

/// Date `dd/mm/yyyy` and time `hh:mm:ss` from digits.
pub(crate) fn of_digits(text: &str) -> (Option<String>, Option<String>) {
    let digits = |range: Range<usize>| text.get(range).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let date = digits(0..4).zip(digits(4..6)).zip(digits(6..8));
    let time = digits(8..10).zip(digits(10..12)).zip(digits(12..14));
    (
        date.map(|((year, month), day)| format!("{day}/{month}/{year}")),
        time.map(|((hour, minute), second)| format!("{hour}:{minute}:{second}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_fields_are_one_another() {
        let mut record = Record::new("a", 360.0);
        assert_eq!(digits_of(&record), (None, None));
        (record.base_date, record.base_time) = (Some("05/11/2001".into()), Some("09:07:03.25".into()));
        assert_eq!(digits_of(&record), (Some("20011105".into()), Some("090703".into())));
        assert_eq!(of_digits("20011105090703"), (Some("05/11/2001".into()), Some("09:07:03".into())));
        assert_eq!(of_digits("2001x"), (None, None));
    }
}
