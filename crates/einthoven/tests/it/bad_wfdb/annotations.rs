//! Rows A01 to A12: annotation files.

use einthoven::Position::{Byte, File};
use einthoven::record::format::wfdb::read_annotations;
use einthoven::record::{Annotation, Annotators};

use super::*;

/// A word of an annotation file.
fn word(code: u16, data: u16) -> [u8; 2] {
    (code << 10 | data).to_le_bytes()
}

/// A time step of 32 bits, high half first.
fn skip(step: i32) -> [u8; 6] {
    let ([s, t], [a, b, c, d]) = (word(59, 0), step.to_le_bytes());
    [s, t, c, d, a, b]
}

/// Bytes in place of the valid annotations, in a record of four frames and two leads.
fn with(bytes: &[u8]) -> TempFolder {
    let folder = good_record("annotations");
    folder.file("r.atr", bytes);
    folder
}

/// Annotations that are read strictly, and the warnings.
fn accepted(bytes: &[u8]) -> (Vec<Annotation>, Vec<Warning>) {
    let mut record = strictly(with(bytes).path().join("r"));
    (record.annotations.remove("atr").unwrap(), record.warnings)
}

/// Bytes must be refused in both modes, and the valid ones read afterwards.
fn refused(bytes: &[u8], code: &str, position: Position, parts: &[&str]) {
    let folder = with(bytes);
    let path = folder.path().join("r");
    for options in [ReadOptions::strict(), ReadOptions::lenient()] {
        let error = read(&path, &options).unwrap_err();
        assert!(error.to_string().contains("r.atr"), "{error}");
        assert_rule(error, code, position, parts);
    }
    folder.file("r.atr", GOOD_MARKS);
    let record = strictly(&path);
    assert_eq!(record.annotations["atr"], [Annotation::new(1, "N"), Annotation::new(3, "V")]);
    assert_eq!(record.warnings, []);
}

#[test]
fn a01_odd_number_of_bytes() {
    refused(&GOOD_MARKS[..5], "A01", Byte(4), &["found 5 bytes, expected an even number"]);
    refused(&[&GOOD_MARKS[..], &[0]].concat(), "A01", Byte(6), &["found 7 bytes"]);
}

#[test]
fn a02_no_end_marker() {
    let (marks, warnings) = accepted(&GOOD_MARKS[..4]);
    assert_eq!(marks, [Annotation::new(1, "N"), Annotation::new(3, "V")]);
    assert_warned(&warnings, "A02", Byte(4), "kept every annotation");
}

#[test]
fn a03_data_after_the_end_marker() {
    let (marks, warnings) = accepted(&[&GOOD_MARKS[..], &word(1, 0)].concat());
    assert_eq!(marks.len(), 2);
    assert_warned(&warnings, "A03", Byte(6), "2 bytes after the end marker, ignored");
}

#[test]
fn a04_cut_off_step_or_text() {
    refused(&[&word(1, 1)[..], &word(59, 0), &[0, 0]].concat(), "A04", Byte(2), &["SKIP: found end of file"]);
    refused(
        &[&word(1, 1)[..], &word(63, 5), b"abcd"].concat(),
        "A04",
        Byte(2),
        &["AUX: found end of file, expected 5 bytes"],
    );
}

#[test]
fn a05_negative_steps() {
    refused(
        &[&skip(-390)[..], &word(1, 0), &[0, 0]].concat(),
        "A05",
        Byte(6),
        &["time: found -390, expected 0 or more"],
    );
    let bytes = [&word(1, 3)[..], &skip(-2), &word(5, 0), &word(8, 0), &skip(2), &word(2, 0), &[0, 0]].concat();
    let (marks, warnings) = accepted(&bytes);
    let order: Vec<(i64, &str)> = marks.iter().map(|mark| (mark.sample, mark.symbol.as_ref())).collect();
    assert_eq!(order, [(1, "V"), (1, "A"), (3, "N"), (3, "L")]);
    assert_warned(&warnings, "A05", File, "times go back; sorted");
}

#[test]
fn a06_times_beyond_64_bits() {
    let note = b"## time resolution: 1e-300";
    let bytes = [&word(22, 0)[..], &word(63, note.len() as u16), note, &word(1, 3), &[0, 0]].concat();
    refused(&bytes, "A06", File, &["time 3 at", "64-bit time at 360 Hz"]);
}

#[test]
fn a07_texts() {
    let bytes = [&word(28, 1)[..], &word(63, 0x105), b"(AFIB\0", &word(1, 1), &[0, 0]].concat();
    let (marks, warnings) = accepted(&bytes);
    assert_eq!((marks.len(), marks[0].aux.as_slice()), (2, &b"(AFIB"[..]));
    assert_warned(&warnings, "A07", Byte(2), "length 261 is above 255, took its low 8 bits, 5");
    let bytes =
        [&word(28, 1)[..], &word(63, 3), b"(N\0", &[0], &word(22, 1), &word(63, 2), &[0xb5, b'V'], &[0, 0]].concat();
    let (marks, warnings) = accepted(&bytes);
    assert_eq!((marks[0].aux.as_slice(), marks[1].aux.as_slice()), (&b"(N"[..], &[0xb5, b'V'][..]));
    assert_eq!((marks[1].aux_text().as_str(), warnings.len()), ("\u{b5}V", 0));
}

#[test]
fn a08_fields_without_an_annotation_and_unused_codes() {
    for (code, name) in [(60, "NUM"), (61, "SUB"), (62, "CHN"), (63, "AUX")] {
        let bytes = [&word(code, 1)[..], &word(1, 1), &[0, 0]].concat();
        refused(&bytes, "A08", Byte(0), &[&format!("{name}: found no annotation before it")]);
    }
    let bytes = [&word(42, 1)[..], &word(49, 1), &word(1, 0), &[0, 0]].concat();
    let (marks, _) = accepted(&bytes);
    assert_eq!((marks[0].symbol.as_ref(), marks[1].symbol.as_ref()), ("(42)", "(49)"));
    assert_eq!(marks.iter().filter(|mark| mark.is_beat()).count(), 1);
}

#[test]
fn a09_annotations_outside_the_record() {
    for (bytes, place, part) in [
        ([&word(1, 1)[..], &word(5, 3), &[0, 0]].concat(), 2, "time: found 4, expected less than 4"),
        ([&word(1, 1)[..], &word(5, 1), &word(62, 2), &[0, 0]].concat(), 2, "channel: found 2, expected less than 2"),
    ] {
        let folder = with(&bytes);
        let path = folder.path().join("r");
        assert_rule(read(&path, &ReadOptions::strict()).unwrap_err(), "A09", Byte(place), &[part]);
        let record = leniently(&path);
        assert_eq!(record.annotations["atr"], [Annotation::new(1, "N")]);
        assert_warned(&record.warnings, "A09", Byte(place), "dropped 1 such annotations");
    }
}

#[test]
fn a10_time_resolution() {
    let note = b"## time resolution: 1000";
    let bytes = [&word(22, 0)[..], &word(63, note.len() as u16), note, &word(1, 4), &word(1, 3), &[0, 0]].concat();
    let (marks, warnings) = accepted(&bytes);
    // 4 and 7 thousandths of a second at 360 Hz are 1.44 and 2.52 frames.
    assert_eq!(marks, [Annotation::new(1, "N"), Annotation::new(3, "N")]);
    assert_warned(&warnings, "A10", File, "found 1000 Hz, scaled to 360 Hz with rounding");
}

#[test]
fn a11_other_files() {
    let mut aha = Vec::new();
    for time in 1..4u8 {
        aha.extend([0, b'N', 0, 0, time, 0, time, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    refused(&aha, "A11", Byte(0), &["format: found AHA annotations of 16 bytes, expected MIT annotations"]);
    refused(GOOD.as_bytes(), "A11", Byte(0), &["found a WFDB header"]);
    refused(b"This is only a text.\n", "A11", Byte(0), &["found a text file"]);
}

#[test]
fn a12_annotator_names() {
    let folder = good_record("a12");
    let path = folder.path().join("r.hea");
    for name in ["atr;rm -rf x", "$(touch x)", "a b", "../r", "", "a/b", "`x`"] {
        let options = ReadOptions { annotators: Annotators::Named(vec![name.into()]), ..ReadOptions::strict() };
        assert_rule(read(&path, &options).unwrap_err(), "A12", File, &["annotator: found"]);
    }
    let named = |name: &str| ReadOptions { annotators: Annotators::Named(vec![name.into()]), ..ReadOptions::strict() };
    assert_eq!(read(&path, &named("atr")).unwrap().annotations["atr"].len(), 2);
    assert_eq!(read(&path, &named("qrs")).unwrap_err().exit_code(), 4);
}

#[test]
fn files_beside_the_header_that_are_no_annotations_are_left_alone() {
    let folder = good_record("beside");
    folder.file("r.notes", "this is a text file");
    folder.file("r.bin", [1, 2, 3]);
    folder.file("r.other", GOOD_MARKS);
    let record = strictly(folder.path().join("r"));
    assert_eq!(record.annotations.keys().map(String::as_str).collect::<Vec<_>>(), ["atr", "other"]);
    assert_eq!(record.warnings, []);
    let (marks, _) = read_annotations(folder.path().join("r.other"), None, &ReadOptions::strict()).unwrap();
    assert_eq!(marks.len(), 2);
}
