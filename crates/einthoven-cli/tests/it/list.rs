//! `list`: every kind, as text and as JSON.

use std::collections::BTreeSet;

use super::command::einthoven;

const KINDS: [&str; 14] = [
    "generators",
    "samplers",
    "datasets",
    "presets",
    "metrics",
    "formats",
    "schedules",
    "splits",
    "classifiers",
    "delineators",
    "augmentations",
    "plans",
    "labels",
    "imports",
];

#[test]
fn every_kind_lists_unique_names_with_a_summary() {
    for kind in KINDS {
        let list = einthoven(["list", kind, "--json"]).json();
        let entries = list.as_array().expect("a list");
        assert!(!entries.is_empty(), "{kind}");
        let mut names = BTreeSet::new();
        for entry in entries {
            let name = entry["name"].as_str().expect("a name");
            assert!(!name.is_empty() && names.insert(name.to_string()), "{kind}: {name}");
            assert!(!entry["summary"].as_str().expect("a summary").is_empty(), "{kind}: {name}");
            assert!(entry["reference"].is_string(), "{kind}: {name}");
        }
        let plain = einthoven(["list", kind]);
        assert_eq!((plain.code, plain.stdout.lines().count()), (0, entries.len()), "{kind}");
    }
}

#[test]
fn what_others_rely_on_is_listed() {
    for (kind, wanted) in [
        ("generators", vec!["dgn", "beat-simulator"]),
        ("samplers", vec!["ddpm", "ddim", "dpm-solver++"]),
        ("datasets", vec!["mitdb"]),
        ("presets", vec!["quickstart", "kd-dgn-small", "kd-dgn", "delnet"]),
        ("delineators", vec!["wavelet", "delnet"]),
        ("formats", vec!["wfdb", "csv"]),
        ("labels", vec!["aami", "nine-symbol"]),
    ] {
        let list = einthoven(["list", kind, "--json"]).json();
        let names: BTreeSet<&str> =
            list.as_array().expect("a list").iter().filter_map(|e| e["name"].as_str()).collect();
        wanted.iter().for_each(|name| assert!(names.contains(name), "{kind}: {name} in {names:?}"));
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    use std::io::Read;
    use std::process::Stdio;
    let mut child = super::command::command()
        .args(["list", "metrics", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let mut message = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut message).expect("UTF-8");
    assert_eq!((child.wait().expect("an end").code(), message.as_str()), (Some(0), ""));
}
