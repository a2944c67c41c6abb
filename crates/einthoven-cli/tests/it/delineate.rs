//! `delineate`: waves and intervals of records of known truth, folders, and what is said of bad input.

use std::path::Path;

use serde_json::Value;

use super::command::{TempFolder, einthoven, text};
use super::inspect::write_record;
use super::simulate::simulated;

#[test]
fn waves_and_intervals_agree_with_the_truth() {
    let folder = TempFolder::new("delineate");
    let asked = ["--hr", "70", "--pr", "160", "--qrs", "96", "--qtc", "420", "--axis", "45"];
    let record = simulated(&folder, "a", &asked);
    let found = einthoven(["delineate", text(&record), "--json"]).json();
    assert_eq!((&found["record"], &found["fs_hz"]), (&"syn_000000".into(), &500.0.into()));
    // The truth's boundary is where a wave falls to 5 % of its peak; the delineator marks the first deflection, so that
    // QRS is longer and PR shorter by up to two points of 100 Hz at each end.
    for (key, truth, tolerance) in [
        ("hr_bpm", 70.0, 1.0),
        ("pr_ms", 160.0, 20.0),
        ("qrs_ms", 96.0, 30.0),
        ("qtc_fridericia_ms", 420.0, 25.0),
        ("axis_deg", 45.0, 6.0),
    ] {
        let value = found["intervals"][key].as_f64().expect("a number");
        assert!((value - truth).abs() <= tolerance, "{key}: {value}, expected {truth}");
    }
    let leads = found["leads"].as_array().expect("leads");
    assert_eq!(leads.len(), 12);
    for waves in std::iter::once(&found).chain(leads).map(|of| of["fiducials"].as_array().expect("waves")) {
        for name in ["P", "QRS", "T"] {
            assert!(waves.iter().filter(|wave| wave["wave"] == name).count() >= 9, "{name}: {waves:?}");
        }
        assert!(waves.iter().all(|wave| wave["onset"].as_u64() <= wave["peak"].as_u64()), "{waves:?}");
    }
    assert_eq!((&found["warnings"], &found["left_out"]), (&Value::Array(vec![]), &Value::Array(vec![])));

    let table = einthoven(["delineate", text(&record)]);
    assert_eq!((table.code, table.stderr.as_str(), table.stdout.lines().count()), (0, "", 15), "{}", table.stdout);
}

#[test]
fn what_is_absent_is_null() {
    let folder = TempFolder::new("absent");
    let record = simulated(&folder, "af", &["--rhythm", "af"]);
    for method in ["wavelet", "delnet"] {
        let found = einthoven(["delineate", text(&record), "--delineator", method, "--json"]).json();
        let intervals = &found["intervals"];
        assert!(intervals["pr_ms"].is_null() && intervals["hr_bpm"].is_number(), "{method}: {intervals}");
    }
}

#[test]
fn methods_and_weights_that_do_not_exist_are_refused() {
    let folder = TempFolder::new("weights");
    let record = simulated(&folder, "a", &[]);
    std::fs::write(folder.path().join("w.safetensors"), "no weights").expect("a writable folder");
    let weights = folder.at("w.safetensors");
    for (options, code, words) in [
        (&["--delineator", "nothing"][..], 2, "delnet"),
        (&["--delineator", "wavelet", "--weights", &weights], 2, "has no weights"),
        (&["--delineator", "delnet", "--weights", &weights], 3, "w.safetensors"),
    ] {
        let done = einthoven(["delineate", text(&record)].iter().chain(options).copied());
        assert!(done.code == code && done.stderr.contains(words), "{options:?}: {} {}", done.code, done.stderr);
    }
}

#[test]
fn a_record_without_beats_has_no_rate_and_says_so() {
    let folder = TempFolder::new("no-rhythm");
    let record = simulated(&folder, "vf", &["--rhythm", "vf"]);
    let found = einthoven(["delineate", text(&record), "--json"]).json();
    for key in ["hr_bpm", "pr_ms", "qrs_ms", "qt_ms", "qtc_fridericia_ms", "axis_deg"] {
        assert!(found["intervals"][key].is_null(), "{key}: {}", found["intervals"]);
    }
    assert_eq!(
        (&found["fiducials"], &found["notes"]),
        (&serde_json::json!([]), &serde_json::json!(["no rhythm found"]))
    );
    let table = einthoven(["delineate", text(&record)]);
    assert!(table.stdout.contains("\nnote: no rhythm found\n"), "{}", table.stdout);
    let beats = einthoven(["qrs", text(&record), "--out", "det", "--json"]).json();
    assert_eq!(
        (&beats["records"][0]["n_beats"], &beats["records"][0]["notes"]),
        (&0.into(), &serde_json::json!(["no rhythm found"]))
    );
}

#[test]
fn a_broken_record_of_a_folder_is_told_and_left_out() {
    let folder = TempFolder::new("broken");
    simulated(&folder, "root/one", &["--seconds", "5"]);
    std::fs::write(folder.path().join("root/bad.hea"), "bad 1 100\n").expect("a writable folder");
    for verb in [&["delineate"][..], &["qrs", "--out", "found"]] {
        let done = einthoven(verb.iter().copied().chain([folder.at("root").as_str(), "--json"]));
        assert_eq!(done.code, 3, "{verb:?}: {}", done.stderr);
        let found: Value = serde_json::from_str(&done.stdout).expect("JSON");
        assert_eq!(
            (&found["records"][0]["record"], &found["failed"][0]["record"]),
            (&"one/syn_000000".into(), &"bad".into())
        );
        assert!(done.stderr.contains("bad.hea"), "{}", done.stderr);
    }
    let single = einthoven(["delineate", &folder.at("root/bad.hea"), "--json"]);
    assert_eq!((single.code, single.stdout.as_str()), (3, ""));
}

#[test]
fn a_folder_gives_each_record_by_its_place_below_it() {
    let folder = TempFolder::new("folder");
    simulated(&folder, "root/one", &["--seconds", "5"]);
    simulated(&folder, "root/two/deep", &["--seconds", "5", "--seed", "2"]);
    let found = einthoven(["delineate", &folder.at("root"), "--json"]).json();
    let names: Vec<&str> =
        found["records"].as_array().expect("records").iter().filter_map(|one| one["record"].as_str()).collect();
    assert_eq!(names, ["one/syn_000000", "two/deep/syn_000000"]);
    let table = einthoven(["delineate", &folder.at("root")]);
    assert!(table.stdout.contains("record two/deep/syn_000000 at 500 Hz"), "{}", table.stdout);
}

#[test]
fn what_was_repaired_is_said() {
    let folder = TempFolder::new("repaired");
    let record = simulated(&folder, "a", &[]);
    cut_in_half(&record.with_extension("dat"));
    let plain = einthoven(["delineate", text(&record)]);
    assert_eq!((plain.code, plain.stderr.lines().count()), (0, 1), "{}", plain.stderr);
    assert!(plain.stderr.contains("syn_000000.dat: file size: found 60000 bytes"), "{}", plain.stderr);
    let warnings = &einthoven(["delineate", text(&record), "--json"]).json()["warnings"];
    assert!(warnings[0].as_str().is_some_and(|warning| warning.ends_with("[D02]")), "{warnings}");
}

#[test]
fn bad_input_is_one_line_with_its_place() {
    let folder = TempFolder::new("bad");
    let missing = einthoven(["delineate", &folder.at("none"), "--json"]);
    assert_eq!(missing.code, 4);
    assert!(missing.error()["path"].as_str().is_some_and(|path| path.ends_with("none.hea")), "{}", missing.stderr);

    std::fs::create_dir(folder.path().join("empty")).expect("writable");
    let empty = einthoven(["delineate", &folder.at("empty")]);
    assert_eq!((empty.code, empty.stdout.as_str()), (3, ""));
    assert!(empty.stderr.ends_with("empty: found no record, expected .hea files\n"), "{}", empty.stderr);

    std::fs::write(folder.path().join("notes.md"), "# notes").expect("writable");
    let other = einthoven(["delineate", &folder.at("notes.md")]);
    assert_eq!(other.code, 3);
    assert!(other.stderr.contains("notes.md: found a file of no known format"), "{}", other.stderr);

    let record = simulated(&folder, "a", &["--seconds", "5"]).with_extension("hea");
    let header = std::fs::read_to_string(&record).expect("a header");
    let short: Vec<&str> = header.lines().take(3).collect();
    std::fs::write(&record, short.join("\n")).expect("writable");
    let broken = einthoven(["delineate", text(&record), "--json"]);
    let error = broken.error();
    assert_eq!((broken.code, &error["code"], &error["position"]), (3, &"W03".into(), &"1".into()), "{error}");
    assert_eq!((&error["field"], &error["found"]), (&"signal lines".into(), &"2".into()), "{error}");

    write_record(&folder.path().join("rec.hea"), &[]);
    let unknown = einthoven(["delineate", &folder.at("rec"), "--delineator", "Wavelt", "--json"]);
    assert_eq!((unknown.code, &unknown.error()["found"]), (2, &"Wavelt".into()));
    assert!(unknown.stderr.contains("did you mean"), "{}", unknown.stderr);
}

/// Cuts a file off in its middle.
pub fn cut_in_half(path: &Path) {
    let bytes = std::fs::read(path).expect("a file");
    std::fs::write(path, &bytes[..bytes.len() / 2]).expect("writable");
}
