//! Rows E01 to E13: EDF and EDF+.

use einthoven::Position::Byte;

use super::*;
use crate::bad_wfdb::{assert_rule, assert_warned};
use crate::folder::TempFolder;

/// Bytes of the header of the valid file: three signals.
const HEADER: usize = 1024;
/// Bytes of its data records: two signals of four points, 16 bytes of annotations.
const RECORD: usize = 32;

/// A valid EDF+C file at 4 Hz: I = 1 to 8, II = -1 to -8, a note at 1 s.
fn good() -> Vec<u8> {
    let mut text = String::new();
    let mut put = |value: &str, width: usize| text += &format!("{value:width$}");
    put("0", 8);
    put("X X X X", 80);
    put("Startdate 02-MAR-2002 X X X", 80);
    put("02.03.02", 8);
    put("12.30.45", 8);
    put("1024", 8);
    put("EDF+C", 44);
    put("2", 8);
    put("1", 8);
    put("3", 4);
    for (width, values) in [
        (16, ["ECG I", "ECG II", "EDF Annotations"]),
        (80, ["", "", ""]),
        (8, ["mV", "mV", ""]),
        (8, ["-5", "-5", "-1"]),
        (8, ["5", "5", "1"]),
        (8, ["-1000", "-1000", "-32768"]),
        (8, ["1000", "1000", "32767"]),
        (80, ["", "", ""]),
        (8, ["4", "4", "8"]),
        (32, ["", "", ""]),
    ] {
        values.iter().for_each(|value| put(value, width));
    }
    let mut bytes = text.into_bytes();
    assert_eq!(bytes.len(), HEADER);
    for (record, list) in ["+0\x14\x14\0+1\x14ab\x14\0", "+1\x14\x14\0"].into_iter().enumerate() {
        let points = (0..4).map(|point| (record * 4 + point + 1) as i16);
        bytes.extend(points.clone().flat_map(i16::to_le_bytes));
        bytes.extend(points.flat_map(|point| (-point).to_le_bytes()));
        let mut area = list.as_bytes().to_vec();
        area.resize(16, 0);
        bytes.extend(area);
    }
    bytes
}

/// The valid file with a field replaced.
fn with(at: usize, width: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = good();
    bytes[at..at + width].fill(b' ');
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

/// Refused in both modes; the mended file is read.
fn refuses(bytes: Vec<u8>, code: &str, at: u64, parts: &[&str]) {
    let folder = TempFolder::new("bad-edf");
    let path = folder.file("x.edf", bytes);
    for options in [ReadOptions::strict(), ReadOptions::lenient()] {
        assert_rule(read(&path, &options).unwrap_err(), code, Byte(at), parts);
    }
    assert_eq!(strictly(folder.file("x.edf", good())).warnings, []);
}

/// Refused when strict; otherwise read with a warning.
fn repairs(bytes: Vec<u8>, code: &str, at: u64, parts: &[&str]) -> Record {
    let folder = TempFolder::new("bad-edf");
    let path = folder.file("x.edf", bytes);
    assert_rule(read(&path, &ReadOptions::strict()).unwrap_err(), code, Byte(at), parts);
    let record = leniently(&path);
    assert_warned(&record.warnings, code, Byte(at), parts[0]);
    record
}

/// Read in both modes.
fn accepts(bytes: Vec<u8>) -> Record {
    let folder = TempFolder::new("good-edf");
    strictly(folder.file("x.edf", bytes))
}

/// The first of the three fields of a width that begin `before` bytes into the signals' part.
fn field(before: usize, width: usize, channel: usize) -> usize {
    256 + before * 3 + width * channel
}

#[test]
fn e00_the_valid_file() {
    let record = accepts(good());
    assert_eq!((record.fs_hz, record.sig_len), (4.0, 8));
    assert_eq!(record.leads[0].adu, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((record.leads[1].name.as_str(), record.leads[1].physical()[0]), ("II", -0.005));
    assert_eq!((record.base_date.as_deref(), record.base_time.as_deref()), (Some("02/03/2002"), Some("12:30:45")));
    let note = &record.annotations["edf"][0];
    assert_eq!((note.sample, note.aux_text().as_str()), (4, "ab"));
}

#[test]
fn e01_version_and_other_types() {
    refuses(with(0, 8, b"1"), "E01", 0, &["version: found \"1       \", expected \"0\""]);
    refuses(with(0, 8, b"\xffBIOSEMI"), "E01", 0, &["found a BDF file with 24-bit points", "convert"]);
    refuses(Vec::new(), "E01", 0, &["an empty file"]);
    let folder = TempFolder::new("bdf");
    let error = read(folder.file("x.bdf", with(0, 8, b"\xffBIOSEMI")), &ReadOptions::strict()).unwrap_err();
    assert_rule(error, "E01", Byte(0), &["BDF"]);
}

#[test]
fn e02_header_size_and_number_of_signals() {
    refuses(with(184, 8, b"768"), "E02", 184, &["bytes in the header: found 768, expected 1024 for 3 signals"]);
    for n in [&b"0"[..], b"5000", b"-3"] {
        refuses(with(252, 4, n), "E02", 252, &["number of signals: found", "expected 1 to 4096"]);
    }
}

#[test]
fn e03_unknown_number_of_records() {
    let record = accepts(with(236, 8, b"-1"));
    assert_eq!(record.sig_len, 8);
    assert_warned(&record.warnings, "E03", Byte(236), "found -1, took 2");
}

#[test]
fn e04_number_of_records_against_the_file() {
    refuses(
        with(236, 8, b"99999999"),
        "E04",
        236,
        &["found 99999999, expected at most 2, which is what the file holds"],
    );
    let mut short = good();
    short.pop();
    refuses(short, "E04", 236, &["found 2, expected at most 1"]);
    refuses(good()[..100].to_vec(), "E04", 100, &["header: found 100 bytes"]);
    refuses(good()[..500].to_vec(), "E04", 500, &["expected 1024 bytes"]);
    let mut long = good();
    long.extend([0; 5]);
    assert_warned(&accepts(long).warnings, "E04", Byte(236), "5 bytes follow");
}

#[test]
fn e05_digital_range() {
    let at = field(128, 8, 1);
    let minimum = field(120, 8, 1) as u64;
    for value in [&b"-1000"[..], b"-2000"] {
        let record = repairs(with(at, 8, value), "E05", minimum, &["digital range of channel 1 \"ECG II\""]);
        assert_eq!(record.leads[0].adu.len(), 8);
        assert_eq!(record.leads[1].n_missing(), 8);
        assert!(!record.leads[1].is_calibrated());
    }
}

#[test]
fn e06_physical_range() {
    let at = field(104, 8, 1);
    let record = repairs(with(at, 8, b"5"), "E06", at as u64, &["physical range of channel 1 \"ECG II\"", "5 to 5"]);
    assert_eq!(record.leads[1].n_missing(), 8);
    let mut inverted = with(at, 8, b"5");
    inverted[field(112, 8, 1)..][..2].copy_from_slice(b"-5");
    let record = accepts(inverted);
    assert_eq!(record.leads[1].gain_adu_per_unit, Some(-200.0));
    assert_eq!(record.leads[1].physical()[0], 0.005);
    // Zero between two digital values: half a step, and it is said.
    let record = accepts(with(field(120, 8, 0), 8, b"-1001"));
    assert_warned(&record.warnings, "E06", Byte(field(104, 8, 0) as u64), "zero lies between two digital values");
}

#[test]
fn e07_duration() {
    for duration in [&b"0"[..], b"-1"] {
        refuses(with(244, 8, duration), "E07", 244, &["duration of a data record: found", "more than 0 s"]);
    }
}

#[test]
fn e08_points_in_a_record() {
    let at = field(216, 8, 0);
    refuses(with(at, 8, b"0"), "E08", at as u64, &["points in a data record of channel 0 \"ECG I\": found 0"]);
    refuses(with(at, 8, b"9999999"), "E08", at as u64, &["found 9999999"]);
    let mut large = with(at, 8, b"5242880");
    large[field(216, 8, 1)..][..7].copy_from_slice(b"5242880");
    refuses(large, "E08", field(216, 8, 1) as u64, &["data records of at most 10485760 bytes"]);
}

#[test]
fn e09_date_and_time() {
    for time in [&b"12:30:45"[..], b"12.30.75", b"12.30", b"1.2.3"] {
        let record = repairs(with(176, 8, time), "E09", 176, &["start time: found"]);
        assert_eq!((record.base_time, record.base_date.as_deref()), (None, Some("02/03/2002")));
    }
    let record = repairs(with(88, 80, b"Startdate 02-MAR-02 X X X"), "E09", 98, &["start date: found \"02-MAR-02\""]);
    assert_eq!((record.base_date, record.base_time.as_deref()), (None, Some("12:30:45")));
}

#[test]
fn e10_numbers_and_characters() {
    let at = field(104, 8, 1);
    for text in [&b"-5,0"[..], b"nan", b"", b"\xb15", b"inf"] {
        refuses(with(at, 8, text), "E10", at as u64, &["physical minimum of channel 1 \"ECG II\"", "decimal point"]);
    }
    refuses(with(244, 8, b"1,0"), "E10", 244, &["duration of a data record: found \"1,0\""]);
    refuses(with(236, 8, b"1.5"), "E10", 236, &["a whole number"]);
    let at = field(96, 8, 0);
    let record = accepts(with(at, 8, b"\xb5V"));
    assert_eq!(record.leads[0].units, "\u{b5}V");
    assert_warned(&record.warnings, "E10", Byte(at as u64), "unit of channel 0");
}

/// The valid file as EDF+D whose second data record begins at that time.
fn with_gap(start: &str) -> Vec<u8> {
    let mut bytes = with(192, 44, b"EDF+D");
    let at = HEADER + RECORD + 16;
    bytes[at..at + 16].fill(0);
    let list = format!("{start}\x14\x14\0");
    bytes[at..at + list.len()].copy_from_slice(list.as_bytes());
    bytes
}

#[test]
fn e11_gaps() {
    let record = accepts(with_gap("+2.5"));
    let gap = [MISSING; 6];
    assert_eq!(record.leads[0].adu, [&[1, 2, 3, 4][..], &gap, &[5, 6, 7, 8]].concat());
    assert_eq!(record.sig_len, 14);
    let at = (HEADER + RECORD) as u64;
    refuses(with_gap("+0.5"), "E11", at, &["start of data record 1: found 0.5 s, expected at least 1 s"]);
    refuses(with_gap("+99999999"), "E11", at, &["found 99999999 s", "gaps of at most"]);
}

#[test]
fn e12_annotations() {
    refuses(with(field(0, 16, 2), 16, b"EEG"), "E12", 192, &["no channel \"EDF Annotations\""]);
    let at = HEADER + RECORD + 16;
    refuses(
        with(at, 16, b"+1\x14\x14\0+2\x14abcdefg"),
        "E12",
        (at + 5) as u64,
        &["annotations of data record 1", "no final NUL"],
    );
    refuses(
        with(at, 16, b"+1\x14\x14\0x2\x14a\x14\0\0\0\0\0\0"),
        "E12",
        (at + 5) as u64,
        &["found \"x2\"", "an onset"],
    );
    refuses(
        with(at, 16, b"+1\x14\x14\0+2a\0\0\0\0\0\0\0\0"),
        "E12",
        (at + 5) as u64,
        &["an onset that ends with 0x14"],
    );
    let record = repairs(with(at, 16, &[0; 16]), "E12", at as u64, &["annotations of data record 1"]);
    assert_eq!(record.sig_len, 8);
}

#[test]
fn e13_rates() {
    let mut bytes = with(field(216, 8, 1), 8, b"2");
    // Lead II keeps its first two points of each record.
    bytes.drain(HEADER + RECORD + 12..HEADER + RECORD + 16);
    bytes.drain(HEADER + 12..HEADER + 16);
    let record = accepts(bytes);
    assert_eq!((record.fs_hz, record.sig_len), (2.0, 4));
    let rates: Vec<f64> = record.leads.iter().map(|lead| record.lead_fs_hz(lead)).collect();
    assert_eq!(rates, [4.0, 2.0]);
    assert_eq!(record.leads[1].adu, [-1, -2, -5, -6]);
}
