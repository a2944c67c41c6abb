//! Bad WFDB input: one test for each row of the reliability page, with its number in its name.
//!
//! Every fixture is made here. A refused one is checked for code, position and message, and read
//! again after the fault was mended.

mod annotations;
mod any_bytes;
mod header;
mod segments;
mod signals;

use std::fs;
use std::path::Path;

use einthoven::record::{ReadOptions, Record, Warning, read};
use einthoven::{Error, InputError, Position};

use crate::folder::TempFolder;

/// A valid header of two leads and four frames.
const GOOD: &str = "r 2 360 4\nr.dat 16 200(0)/mV 12 0 1 10 0 I\nr.dat 16 200(0)/mV 12 0 2 -6 0 II\n# a comment\n";

/// Its points: I = 1, 2, 3, 4 and II = 2, -2, 0, -6.
fn good_points() -> Vec<u8> {
    [1i16, 2, 2, -2, 3, 0, 4, -6].iter().flat_map(|point| point.to_le_bytes()).collect()
}

/// A folder with a valid record `r` and two annotations.
fn good_record(name: &str) -> TempFolder {
    let folder = TempFolder::new(name);
    folder.file("r.hea", GOOD);
    folder.file("r.dat", good_points());
    folder.file("r.atr", GOOD_MARKS);
    folder
}

/// Valid annotations: N at 1 and V at 3.
const GOOD_MARKS: [u8; 6] = [1, 1 << 2, 2, 5 << 2, 0, 0];

/// The broken rule behind an error.
fn rule(error: Error) -> InputError {
    match error {
        Error::Input(error) => *error,
        other => panic!("expected a broken rule, found: {other}"),
    }
}

/// Asserts code, position and parts of the message, and the exit code of bad input.
pub fn assert_rule(error: Error, code: &str, position: Position, parts: &[&str]) {
    assert_eq!(error.exit_code(), 3, "{error}");
    let message = error.to_string();
    let error = rule(error);
    assert_eq!((error.code, error.position), (code, position), "{message}");
    assert!(!message.contains('\n'), "{message}");
    for part in parts {
        assert!(message.contains(part), "\"{part}\" is not in: {message}");
    }
}

/// A header in place of the valid one must be refused, and the valid one read afterwards.
fn refuses(header: impl AsRef<[u8]>, code: &str, position: Position, parts: &[&str]) {
    let folder = good_record("refused");
    let path = folder.file("r.hea", header.as_ref());
    assert_rule(read(&path, &ReadOptions::lenient()).unwrap_err(), code, position, parts);
    assert_rule(read(&path, &ReadOptions::strict()).unwrap_err(), code, position, parts);
    fs::write(&path, GOOD).unwrap();
    assert_eq!(strictly(&path).warnings, []);
}

/// A header in place of the valid one must be read strictly.
fn accepts(header: impl AsRef<[u8]>) -> Record {
    let folder = good_record("accepted");
    strictly(folder.file("r.hea", header.as_ref()))
}

/// Reads with all rules.
fn strictly(path: impl AsRef<Path>) -> Record {
    read(path, &ReadOptions::strict()).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads with the named repairs.
fn leniently(path: impl AsRef<Path>) -> Record {
    read(path, &ReadOptions::lenient()).unwrap_or_else(|error| panic!("{error}"))
}

/// Asserts that a rule left exactly one warning at that place.
pub fn assert_warned(warnings: &[Warning], code: &str, position: Position, part: &str) {
    let found: Vec<&Warning> = warnings.iter().filter(|warning| warning.code == code).collect();
    assert_eq!(found.len(), 1, "{code} in {warnings:?}");
    assert_eq!(found[0].position, position, "{}", found[0]);
    assert!(found[0].message.contains(part), "\"{part}\" is not in: {}", found[0]);
}
