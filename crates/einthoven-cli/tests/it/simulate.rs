//! `simulate`: requests are met, files are whole and marked, and what cannot be is refused before anything is written.

use std::path::PathBuf;

use einthoven::record::{self, ReadOptions};
use serde_json::Value;

use super::command::{TempFolder, einthoven, files_below, text};

/// Simulates into a folder and returns the path of its first record.
pub fn simulated(folder: &TempFolder, name: &str, options: &[&str]) -> PathBuf {
    let out = folder.at(name);
    let done = einthoven(["simulate", "--out", &out].iter().chain(options));
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{options:?}");
    PathBuf::from(out).join("syn_000000")
}

#[test]
fn numbers_that_are_asked_for_are_delivered_and_the_files_say_what_they_are() {
    let folder = TempFolder::new("simulate");
    let out = folder.at("a");
    let asked = [("hr", 90.0), ("pr", 140.0), ("qrs", 88.0), ("qtc", 400.0), ("axis", -30.0), ("snr", 12.0)];
    let mut arguments: Vec<String> = ["simulate", "-n", "2", "--out", &out, "--json"].map(String::from).to_vec();
    asked.iter().for_each(|(key, value)| arguments.extend([format!("--{key}"), value.to_string()]));
    let truth = einthoven(&arguments).json();
    assert_eq!((&truth["synthetic"], &truth["fs_hz"], &truth["seed"]), (&true.into(), &500.0.into(), &1.into()));
    let records = truth["records"].as_array().expect("records");
    assert_eq!(records.len(), 2);
    for (record, (_, value)) in records.iter().flat_map(|record| asked.iter().map(move |asked| (record, asked))) {
        let given: Vec<&Value> = record["intervals"].as_object().expect("intervals").values().collect();
        let met = given.iter().find(|of| of["requested"] == *value).unwrap_or_else(|| panic!("{value}: {given:?}"));
        // The truth measures what was made, which meets a request to a few hundredths of its unit.
        assert!((met["delivered"].as_f64().expect("a number") - value).abs() < 0.05, "{met}");
    }
    let stored: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("a/truth.json")).expect("truth")).expect("JSON");
    assert_eq!(stored, truth);

    let record = record::read(folder.path().join("a/syn_000001.hea"), &ReadOptions::strict()).expect("sound");
    assert_eq!((record.leads.len(), record.sig_len, record.fs_hz), (12, 5000, 500.0));
    assert!(record.comments.iter().any(|comment| comment.trim() == "Synthetic: yes"), "{:?}", record.comments);
    let n_beats = records[1]["beats"].as_array().expect("beats").len();
    assert_eq!(record.annotations["atr"].iter().filter(|mark| &*mark.symbol != "+").count(), n_beats);
    assert!(["ii", "avr", "v6", "waves"].iter().all(|name| !record.annotations[*name].is_empty()));
    let counts = |name: &str| &record.leads.iter().find(|lead| lead.name == name).expect("a lead").adu;
    assert!((0..5000).all(|t| counts("I")[t] + counts("III")[t] == counts("II")[t]), "the law of Einthoven");
    let clean = record::read(folder.path().join("a/syn_000001_clean.hea"), &ReadOptions::strict()).expect("a twin");
    assert_ne!(clean.leads[0].adu, record.leads[0].adu);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_a_record_does_not_depend_on_how_many_there_are() {
    let folder = TempFolder::new("seed");
    simulated(&folder, "a", &["-n", "2", "--rhythm", "pvc", "--seconds", "5"]);
    simulated(&folder, "b", &["-n", "2", "--rhythm", "pvc", "--seconds", "5"]);
    assert_eq!(files_below(&folder.path().join("a")), files_below(&folder.path().join("b")));
    simulated(&folder, "one", &["--rhythm", "pvc", "--seconds", "5"]);
    simulated(&folder, "other", &["--rhythm", "pvc", "--seconds", "5", "--seed", "2"]);
    let points = |name: &str| std::fs::read(folder.path().join(name).join("syn_000000.dat")).expect("points");
    assert_eq!(points("a"), points("one"));
    assert_ne!(points("a"), points("other"));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let folder = TempFolder::new("refused");
    let out = folder.at("x");
    for (options, code, said) in [
        (vec!["--rhythm", "AF"], 2, "did you mean \"af\"?"),
        (vec!["--rhythm", "lbbb+rbbb"], 2, "--rhythm: lbbb+rbbb: \"rbbb\" is the second of its kind"),
        (vec!["--hr", "500"], 2, "--hr: 500 bpm with sinus, expected 25 to 250 bpm"),
        (vec!["--hr", "-5"], 2, "--hr: -5 bpm with sinus, expected 25 to 250 bpm"),
        (vec!["--rhythm", "af", "--pr", "160"], 2, "--pr: 160 ms, but af has no such value to set"),
        (vec!["--rhythm", "lbbb", "--qrs", "90"], 2, "--qrs: 90 ms with lbbb, expected 120 to 220 ms"),
        (vec!["--pr", "400", "--hr", "160"], 2, "expected at most 260 ms"),
        (vec!["--fs", "5000"], 2, "--fs: 5000 Hz with sinus, expected 100 to 1000 Hz"),
        (vec!["--seconds", "1"], 2, "--seconds: 1 s with sinus, expected 5 to 172800 s"),
        (vec!["--axis", "-200"], 2, "--axis: -200 degrees with sinus, expected -180 to 180 degrees"),
        (vec!["--noise", "muscle"], 2, "--snr"),
        (vec!["--snr", "10", "--noise", "hum"], 2, "unknown noise \"hum\""),
        (
            vec!["--high-pass", "40", "--low-pass", "10"],
            2,
            "--high-pass: 40 Hz, expected less than the low-pass of 10 Hz",
        ),
        (vec!["--lead-off", "V3,20,60"], 2, "--lead-off: from 20 to 60 s, expected a stretch of the 10 s"),
        (vec!["--lead-off", "V3,2"], 2, "expected an electrode and two times"),
        (vec!["-n", "0"], 2, "invalid value '0'"),
        // 120 PB: no disk of these years.
        (vec!["-n", "1000000000000"], 4, "free bytes, expected at least"),
    ] {
        let refused = einthoven(["simulate", "--out", &out].iter().chain(&options));
        assert_eq!(refused.code, code, "{options:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(said), "{options:?}: {}", refused.stderr);
        assert!(refused.stdout.is_empty() && !folder.path().join("x").exists(), "{options:?}");
    }
    let taken = simulated(&folder, "y", &["--seconds", "5"]);
    let before = files_below(&folder.path().join("y"));
    let refused = einthoven(["simulate", "--out", &folder.at("y"), "--json"]);
    assert_eq!((refused.code, &refused.error()["code"]), (5, &"overwrite".into()));
    assert_eq!(before, files_below(taken.parent().expect("a folder")));
    std::fs::write(folder.path().join("file"), "").expect("writable");
    assert_eq!(einthoven(["simulate", "--out", text(&folder.path().join("file/x"))]).code, 4);
}
