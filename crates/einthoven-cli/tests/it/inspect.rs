//! `inspect`: the contract with scripts, on a record made here and on a real one.

use einthoven::record::{self, Annotation, Lead, Record, WriteOptions};
use std::path::Path;

use super::command::{TempFolder, einthoven, mitdb, text};

/// Writes a record of one lead with three annotations.
pub fn write_record(path: &Path, comments: &[&str]) {
    let mut record = Record::new(path.file_stem().expect("a name").to_str().expect("UTF-8"), 250.0);
    let mv: Vec<f32> = (0..500).map(|t| (t % 100) as f32 * 0.01 - 0.25).collect();
    record.sig_len = mv.len();
    record.leads.push(Lead::from_mv("II", &mv, 200.0).expect("amplitudes in range"));
    record
        .annotations
        .insert("atr".into(), vec![Annotation::new(10, "+"), Annotation::new(50, "N"), Annotation::new(250, "V")]);
    record.comments = comments.iter().map(|comment| (*comment).into()).collect();
    record::write(&record, path, &WriteOptions::default()).expect("a writable folder");
}

#[test]
fn json_has_the_fields_of_the_contract() {
    let folder = TempFolder::new("inspect");
    write_record(&folder.path().join("rec.hea"), &["a comment"]);
    for name in ["rec", "rec.hea"] {
        let found = einthoven(["inspect", &folder.at(name), "--json"]).json();
        assert_eq!(found["record"], "rec");
        assert_eq!(found["fs_hz"], 250.0);
        assert_eq!(found["sig_len"], 500);
        let lead = &found["leads"][0];
        assert_eq!((&lead["name"], &lead["units"], &lead["n_missing"]), (&"II".into(), &"mV".into(), &0.into()));
        assert_eq!((&lead["gain_adu_per_mv"], &lead["baseline_adu"]), (&200.0.into(), &0.into()));
        assert!(lead["checksum"].is_i64());
        assert_eq!((&lead["min_mv"], &lead["max_mv"]), (&(-0.25).into(), &0.74.into()));
        let marks = &found["annotations"]["atr"];
        assert_eq!((&marks["total"], &marks["beats"]), (&3.into(), &2.into()));
        assert_eq!(marks["by_symbol"], serde_json::json!({ "+": 1, "N": 1, "V": 1 }));
    }
    let table = einthoven(["inspect", &folder.at("rec")]);
    assert_eq!(table.code, 0);
    assert!(table.stdout.contains("record rec: 500 points at 250 Hz"), "{}", table.stdout);
}

#[test]
fn record_100_reads_as_published() {
    let Some(folder) = mitdb() else { return };
    let found = einthoven(["inspect", text(&folder.join("100")), "--json", "--strict"]).json();
    // From EXPECTED.csv beside the records, which wfdb-python 4.3.1 made.
    assert_eq!((&found["fs_hz"], &found["sig_len"]), (&360.0.into(), &650_000.into()));
    let lead = |k: usize, key: &str| found["leads"][k][key].clone();
    assert_eq!((lead(0, "name"), lead(1, "name")), ("MLII".into(), "V5".into()));
    assert_eq!((lead(0, "checksum"), lead(1, "checksum")), ((-22131).into(), 20052.into()));
    let baseline = lead(0, "baseline_adu").as_f64().expect("calibrated");
    let mv = |adu: f64| (adu - baseline) / lead(0, "gain_adu_per_mv").as_f64().expect("calibrated");
    for (key, adu) in [("min_mv", 481.0), ("max_mv", 1311.0)] {
        let found = lead(0, key).as_f64().expect("a number");
        assert!((found - mv(adu)).abs() < 1e-9, "{key}: {found}");
    }
    let marks = &found["annotations"]["atr"];
    assert_eq!((&marks["total"], &marks["beats"]), (&2274.into(), &2273.into()));
}

#[test]
fn strict_refuses_what_lenient_notes() {
    let folder = TempFolder::new("strict");
    write_record(&folder.path().join("rec.hea"), &[]);
    let header = std::fs::read_to_string(folder.path().join("rec.hea")).expect("a header");
    let checksum = einthoven(["inspect", &folder.at("rec"), "--json"]).json()["leads"][0]["checksum"].to_string();
    std::fs::write(folder.path().join("rec.hea"), header.replace(&format!(" {checksum} "), " 12345 "))
        .expect("writable");
    let lenient = einthoven(["inspect", &folder.at("rec"), "--json"]);
    assert!(lenient.json()["warnings"][0].as_str().is_some_and(|text| text.contains("[W23]")), "{}", lenient.stdout);
    assert!(lenient.stderr.starts_with("warning: "), "{}", lenient.stderr);
    let strict = einthoven(["inspect", &folder.at("rec"), "--strict", "--json"]);
    assert_eq!((strict.code, &strict.error()["code"]), (3, &"W23".into()));
}
