//! `qrs` and `ec57`: beats are found and written, and compared with a reference.

use std::path::Path;

use einthoven::record::Annotation;
use einthoven::record::format::wfdb::write_annotations;

use super::command::{TempFolder, einthoven, text};
use super::delineate::cut_in_half;
use super::inspect::write_record;
use super::simulate::simulated;

#[test]
fn beats_of_simulated_records_are_all_found() {
    let folder = TempFolder::new("qrs");
    let record = simulated(&folder, "a", &["-n", "2", "--seconds", "20"]);
    let found = einthoven(["qrs", &folder.at("a"), "--out", "det", "--json"]).json();
    for (k, one) in found["records"].as_array().expect("records").iter().enumerate() {
        assert_eq!(one["record"], format!("syn_{k:06}"));
        assert!(one["n_beats"].as_u64().is_some_and(|n| (15..50).contains(&n)), "{one}");
        assert!(one["written"].as_str().is_some_and(|path| Path::new(path).is_file()), "{one}");
    }
    let compared = einthoven(["ec57", &folder.at("a"), "--test", "det", "--from", "0", "--json"]).json();
    for of in [&compared["gross"], &compared["average"], &compared["records"][1]] {
        assert_eq!((&of["qrs_sensitivity"], &of["qrs_positive_predictivity"]), (&1.0.into(), &1.0.into()), "{of}");
    }
    assert_eq!(compared["classes"], serde_json::json!(["N", "S", "V", "F", "Q", "O", "X"]));
    assert_eq!((&compared["reference"], &compared["test"]), (&"atr".into(), &"det".into()));
    assert_eq!(compared["learning_s"], 0.0);
    let refused = einthoven(["ec57", &folder.at("a"), "--test", "det", "--from", "-3"]);
    assert!(refused.code == 2 && refused.stderr.contains("--from: -3, expected seconds"), "{}", refused.stderr);

    // Nothing is replaced without --force, and a record of a folder lands in the same place below --dir.
    let written = record.with_extension("det");
    std::fs::write(&written, "mine").expect("writable");
    let refused = einthoven(["qrs", text(&record), "--out", "det", "--json"]);
    assert_eq!((refused.code, &refused.error()["code"]), (5, &"overwrite".into()));
    assert_eq!(std::fs::read(&written).expect("a file"), b"mine");
    assert_eq!(einthoven(["qrs", text(&record), "--out", "det", "--force"]).code, 0);
    assert_ne!(std::fs::read(&written).expect("a file"), b"mine");
    let elsewhere = einthoven(["qrs", text(folder.path()), "--out", "det", "--dir", &folder.at("new/place"), "--json"]);
    assert_eq!(elsewhere.json()["records"][0]["record"], "a/syn_000000");
    let apart = folder.at("new/place/a/syn_000001.det");
    assert!(Path::new(&apart).is_file());
    let again = ["ec57", text(folder.path()), "--test", "det", "--test-dir", &folder.at("new/place"), "--from", "0"];
    let table = einthoven(again);
    assert!(table.stdout.contains("a/syn_000001  100.00  100.00"), "{}", table.stdout);
}

#[test]
fn qrs_says_what_it_cannot_do() {
    let folder = TempFolder::new("qrs-bad");
    let record = simulated(&folder, "a", &["--seconds", "5"]);
    let record = text(&record);
    for (arguments, code, said) in [
        (vec!["--out", "det", "--lead", "avr"], 2, "unknown lead \"avr\", did you mean \"aVR\"?"),
        (vec!["--out", "a/b"], 3, "annotator: found \"a/b\", expected letters, digits, \"_\", \"-\" and \".\" [A12]"),
        (vec!["--out", "hea"], 3, "expected a name that is no other kind of file [A12]"),
    ] {
        let failed = einthoven(["qrs", record].iter().chain(&arguments));
        assert_eq!((failed.code, failed.stdout.as_str()), (code, ""), "{arguments:?}");
        assert!(failed.stderr.contains(said), "{arguments:?}: {}", failed.stderr);
        assert_eq!(failed.stderr.lines().count(), 1, "{}", failed.stderr);
    }
    assert_eq!(einthoven(["qrs", record]).code, 2, "without a name for the file");
    std::fs::create_dir(folder.path().join("empty")).expect("writable");
    assert_eq!(einthoven(["qrs", &folder.at("empty"), "--out", "det"]).code, 3);
    assert_eq!(einthoven(["qrs", &folder.at("none"), "--out", "det"]).code, 4);
    cut_in_half(&Path::new(record).with_extension("dat"));
    let repaired = einthoven(["qrs", record, "--out", "det", "--json"]);
    assert!(repaired.stderr.contains("[D02]"), "{}", repaired.stderr);
    let warning = &repaired.json()["records"][0]["warnings"][0];
    assert!(warning.as_str().is_some_and(|warning| warning.contains("syn_000000.dat: file size")), "{warning}");
}

/// A record with beats 0.2 s apart, of which the test misses one, makes one up and calls one ventricular.
fn compared_record(folder: &TempFolder) -> String {
    write_record(&folder.path().join("rec.hea"), &[]);
    let beats: Vec<Annotation> = (1..=8).map(|k| Annotation::new(50 * k, "N")).collect();
    let mut test = beats.clone();
    test[2] = Annotation::new(152, "V");
    test.remove(5);
    test.push(Annotation::new(470, "N"));
    write_annotations(folder.path(), "rec", "ref", &beats, false).expect("writable");
    write_annotations(folder.path(), "rec", "tst", &test, false).expect("writable");
    text(folder.path()).to_string()
}

#[test]
fn ec57_counts_what_was_planted() {
    let folder = TempFolder::new("ec57");
    let dir = compared_record(&folder);
    let found = einthoven(["ec57", &dir, "--reference", "ref", "--test", "tst", "--from", "0", "--json"]).json();
    let record = &found["records"][0];
    assert_eq!((&record["record"], &record["n_reference"]), (&"rec".into(), &8.into()));
    assert_eq!((&record["n_missed"], &record["n_extra"]), (&1.into(), &1.into()));
    assert_eq!(found["gross"]["qrs_sensitivity"], 7.0 / 8.0);
    assert_eq!(found["gross"]["qrs_positive_predictivity"], 7.0 / 8.0);
    assert_eq!(
        (&found["gross"]["v_positive_predictivity"], &found["gross"]["v_sensitivity"]),
        (&0.0.into(), &().into())
    );
    // Row: class of the reference; column: class of the test.
    assert_eq!((&found["counts"][0][0], &found["counts"][0][2]), (&6.into(), &1.into()));
    let table = einthoven(["ec57", &dir, "--reference", "ref", "--test", "tst", "--from", "0"]);
    assert!(table.stdout.contains("gross        87.50   87.50       -    0.00"), "{}", table.stdout);
}

#[test]
fn ec57_says_what_it_cannot_compare() {
    let folder = TempFolder::new("ec57-bad");
    let dir = compared_record(&folder);
    let ec57 = |more: &[&str]| einthoven(["ec57", &dir, "--reference", "ref", "--json"].iter().chain(more));
    for name in ["../x", "/etc/passwd", "a b", ""] {
        let failed = ec57(&["--test", name]);
        assert_eq!((failed.code, &failed.error()["code"]), (3, &"A12".into()), "{name}");
    }
    let missing = ec57(&["--test", "none", "--from", "0"]);
    assert_eq!(missing.code, 4);
    assert!(missing.error()["path"].as_str().is_some_and(|path| path.ends_with("rec.none")), "{}", missing.stderr);
    let nothing_left = ec57(&["--test", "tst"]);
    assert_eq!(nothing_left.code, 3);
    assert!(nothing_left.stderr.contains("found no beat after the first 300 s"), "{}", nothing_left.stderr);
    let negative = ec57(&["--test", "tst", "--from", "-5"]);
    assert_eq!(negative.code, 2);
    assert!(negative.stderr.contains("-5, expected seconds, 0 or more"), "{}", negative.stderr);
    let no_reference = einthoven(["ec57", &dir, "--reference", "qrs", "--test", "tst"]);
    assert_eq!(no_reference.code, 3);
    assert!(no_reference.stderr.contains("found no record with an annotation file .qrs"), "{}", no_reference.stderr);

    // Without its end mark a file is read and that is said; with half an annotation it is not.
    let path = folder.path().join("rec.tst");
    let bytes = std::fs::read(&path).expect("a file");
    std::fs::write(&path, &bytes[..bytes.len() - 2]).expect("writable");
    let repaired = ec57(&["--test", "tst", "--from", "0"]);
    assert!(repaired.stderr.contains("rec.tst") && repaired.stderr.contains("[A02]"), "{}", repaired.stderr);
    assert!(repaired.json()["warnings"][0].as_str().is_some_and(|warning| warning.contains("[A02]")));
    std::fs::write(&path, &bytes[..5]).expect("writable");
    let broken = ec57(&["--test", "tst", "--from", "0"]);
    let error = broken.error();
    assert_eq!((broken.code, &error["code"], &error["position"]), (3, &"A01".into(), &"@4".into()), "{error}");
}
