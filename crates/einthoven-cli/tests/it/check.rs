//! `check`: a sound folder passes, planted faults are named with record and code, and the exit code follows.

use super::command::{TempFolder, einthoven};
use super::simulate::simulated;

#[test]
fn a_sound_folder_has_no_problem() {
    let folder = TempFolder::new("check");
    simulated(&folder, "a", &["-n", "3"]);
    let found = einthoven(["check", &folder.at("a"), "--json"]).json();
    assert_eq!((&found["n_records"], &found["n_errors"], &found["n_warnings"]), (&3.into(), &0.into(), &0.into()));
    let table = einthoven(["check", &folder.at("a")]);
    assert!(table.stdout.starts_with("3 records: 0 errors, 0 warnings"), "{}", table.stdout);
}

#[test]
fn planted_faults_are_named() {
    let folder = TempFolder::new("faults");
    simulated(&folder, "a/swapped", &["--rhythm", "reversal-la-ra"]);
    simulated(&folder, "a/slow", &["--fs", "250", "--seed", "2"]);
    let warned = einthoven(["check", &folder.at("a"), "--json"]);
    let found = warned.json();
    let problem = |code: &str| {
        let problems = found["problems"].as_array().expect("problems");
        problems.iter().find(|one| one["code"] == code).unwrap_or_else(|| panic!("{code}: {found}")).clone()
    };
    let swapped = problem("electrodes");
    assert_eq!((&swapped["severity"], &swapped["record"]), (&"warning".into(), &"swapped/syn_000000".into()));
    assert!(swapped["message"].as_str().is_some_and(|text| text.contains("right arm and left arm")), "{swapped}");
    let rates = problem("mixed-rate");
    assert!(rates["record"].is_null() && rates["lead"].is_null(), "{rates}");
    assert_eq!(rates["message"], "found 2 rates: 250 Hz (1), 500 Hz (1)");

    // A broken record is an error, and the others are still looked at.
    std::fs::write(folder.path().join("a/broken.hea"), "broken 2 500 10\nbroken.dat 16\n").expect("writable");
    let failed = einthoven(["check", &folder.at("a"), "--json"]);
    assert_eq!(failed.code, 1);
    let found: serde_json::Value = serde_json::from_str(&failed.stdout).expect("the problems, in spite of the code");
    assert_eq!((&found["n_records"], &found["n_errors"]), (&3.into(), &1.into()));
    let problems = found["problems"].as_array().expect("problems");
    let broken = problems.iter().find(|one| one["severity"] == "error").expect("an error");
    assert_eq!((&broken["code"], &broken["record"]), (&"W03".into(), &"broken".into()), "{broken}");
    let table = einthoven(["check", &folder.at("a")]);
    assert_eq!(table.code, 1);
    assert!(table.stdout.lines().nth(1).is_some_and(|line| line.starts_with("error    W03")), "{}", table.stdout);
}

#[test]
fn what_cannot_be_checked_is_said() {
    let folder = TempFolder::new("check-bad");
    let missing = einthoven(["check", &folder.at("none"), "--json"]);
    assert_eq!(missing.code, 4);
    assert!(missing.error()["path"].as_str().is_some_and(|path| path.ends_with("none")), "{}", missing.stderr);
    std::fs::create_dir(folder.path().join("empty")).expect("writable");
    let empty = einthoven(["check", &folder.at("empty")]);
    assert_eq!((empty.code, empty.stdout.as_str()), (3, ""));
    assert!(empty.stderr.contains("empty: found no records, expected .hea files"), "{}", empty.stderr);
    std::fs::write(folder.path().join("file"), "").expect("writable");
    assert_eq!(einthoven(["check", &folder.at("file")]).code, 4);
}
