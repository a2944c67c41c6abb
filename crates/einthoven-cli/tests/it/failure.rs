//! Exit codes, and errors as JSON with their fields.

use super::command::{TempFolder, einthoven};
use super::inspect::write_record;

#[test]
fn usage_ends_with_2() {
    for arguments in [
        vec!["frobnicate", "--json"],
        vec!["list", "--json"],
        vec!["list", "unicorns", "--json"],
        vec!["inspect", "--json"],
        vec!["run", "quickstart", "--seed", "x", "--json"],
    ] {
        let failed = einthoven(&arguments);
        assert_eq!((failed.code, &failed.error()["exit_code"]), (2, &2.into()), "{arguments:?}");
    }
    assert_eq!(einthoven(["--help"]).code, 0);
    assert_eq!(einthoven(["--version"]).code, 0);
    assert_eq!(einthoven(Vec::<&str>::new()).code, 2);
}

#[test]
fn an_unknown_name_names_the_nearest() {
    let failed = einthoven(["run", "quickstrat", "--json"]);
    let error = failed.error();
    assert_eq!((failed.code, &error["found"]), (2, &"quickstrat".into()));
    assert!(error["error"].as_str().is_some_and(|text| text.contains("did you mean \"quickstart\"?")), "{error}");
    assert!(error["expected"].as_array().is_some_and(|known| known.contains(&"kd-dgn".into())));
    let failed = einthoven(["run", "quickstart", "--set", "teacher.stepz=1", "--json"]);
    assert_eq!((failed.code, &failed.error()["field"]), (2, &"teacher.stepz".into()));
    assert_eq!(einthoven(["run", "kd-dgn-small", "--out", "/nonexistent/x"]).code, 2, "--data is missing");
}

#[test]
fn bad_input_ends_with_3_and_says_where() {
    let folder = TempFolder::new("input");
    write_record(&folder.path().join("rec.hea"), &[]);
    let path = folder.path().join("rec.hea");
    let header = std::fs::read_to_string(&path).expect("a header");
    std::fs::write(&path, header.replacen("rec 1 250 500", "rec 1 -250 500", 1)).expect("writable");
    let failed = einthoven(["inspect", &folder.at("rec.hea"), "--json"]);
    let error = failed.error();
    assert_eq!((failed.code, &error["exit_code"], &error["code"]), (3, &3.into(), &"W06".into()), "{error}");
    assert!(error["path"].as_str().is_some_and(|path| path.ends_with("rec.hea")), "{error}");
    assert!(error["position"].as_str().is_some_and(|position| position.starts_with('1')), "{error}");
    for key in ["field", "found", "expected"] {
        assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {error}");
    }
    let plain = einthoven(["inspect", &folder.at("rec.hea")]);
    assert_eq!((plain.code, plain.stderr.lines().count(), plain.stdout.as_str()), (3, 1, ""), "{}", plain.stderr);

    std::fs::write(folder.path().join("x.npz"), b"PK not a zip").expect("writable");
    assert_eq!(einthoven(["inspect", &folder.at("x.npz"), "--json"]).code, 3);
    std::fs::write(folder.path().join("model.safetensors"), [255; 64]).expect("writable");
    let model = folder.at("model.safetensors");
    assert_eq!(einthoven(["sample", &model, "-n", "1", "--out", &folder.at("y.npz")]).code, 3);
    std::fs::write(folder.path().join("report.json"), "{").expect("writable");
    assert_eq!(einthoven(["report", &folder.at("report.json"), "--json"]).error()["code"], "J01");
}

#[test]
fn a_missing_file_ends_with_4_and_names_it() {
    for arguments in [
        vec!["inspect", "/nonexistent/rec", "--json"],
        vec!["inspect", "/nonexistent/x.npz", "--json"],
        vec!["report", "/nonexistent/report.json", "--json"],
        vec!["mix", "/nonexistent/a.npz", "/nonexistent/b.npz", "--out", "/nonexistent/c.npz", "--json"],
        vec!["sample", "/nonexistent/model.safetensors", "-n", "1", "--out", "/nonexistent/c.npz", "--json"],
        vec!["prepare", "mitdb", "--data", "/nonexistent", "--out", "/nonexistent/out", "--json"],
    ] {
        let failed = einthoven(&arguments);
        assert_eq!(failed.code, 4, "{arguments:?}: {}", failed.stderr);
        assert!(failed.error()["path"].as_str().is_some_and(|path| path.starts_with("/nonexistent")), "{arguments:?}");
    }
}

#[test]
fn m05_a_request_beyond_memory_is_refused_with_an_estimate_before_any_work() {
    let folder = TempFolder::new("m05");
    let out = folder.at("x.npz");
    let failed = einthoven(["sample", "beat-simulator", "-n", "1000000000000", "--out", &out, "--json"]);
    let error = failed.error();
    assert_eq!(failed.code, 6, "{error}");
    assert!(error["error"].as_str().is_some_and(|text| text.contains("MiB")), "{error}");
    assert!(!std::path::Path::new(&out).exists());
    // A batch is never larger than the request, so that a huge one costs nothing.
    assert_eq!(einthoven(["sample", "beat-simulator", "-n", "2", "--batch", "1000000000", "--out", &out]).code, 0);
    assert_eq!(
        einthoven(["sample", "beat-simulator", "-n", "2", "--batch", "0", "--out", &folder.at("y.npz")]).code,
        2
    );
}

#[test]
fn k10_a_training_that_does_not_fit_is_refused_with_the_batch_that_does() {
    let folder = TempFolder::new("k10");
    let out = folder.at("run");
    let cohort = "data.simulated_beats_per_patient=10";
    let failed = einthoven(["train", "quickstart", "--set", cohort, "--max-memory", "24", "--out", &out, "--json"]);
    let error = failed.error();
    assert_eq!(failed.code, 6, "{error}");
    let text = error["error"].as_str().unwrap_or_default();
    assert!(text.contains("training teacher with batches of 64 needs about"), "{text}");
    assert!(text.contains("a batch of ") && text.contains("the limit of 24 MiB"), "{text}");
}

#[test]
fn activations_in_another_way_are_refused_for_a_network_that_cannot() {
    let folder = TempFolder::new("activations");
    let cohort = "data.simulated_beats_per_patient=10";
    for flag in ["--recompute", "--bf16-activations"] {
        let out = folder.at(&flag[2..]);
        let failed = einthoven(["train", "quickstart", "--set", cohort, flag, "--out", &out, "--json"]);
        let error = failed.error();
        assert_eq!(failed.code, 2, "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains(&format!("{flag} for teacher"))), "{error}");
    }
    let both = einthoven(["train", "quickstart", "--recompute", "--bf16-activations", "--out", &folder.at("both")]);
    assert_eq!(both.code, 2);
}

#[test]
fn a_costly_run_asks_and_a_dry_run_does_nothing() {
    let folder = TempFolder::new("dry");
    let out = folder.at("run");
    let asked = einthoven(["run", "kd-dgn", "--data", "/nonexistent", "--out", &out, "--json"]);
    assert_eq!(asked.code, 6);
    assert!(asked.error()["error"].as_str().is_some_and(|text| text.contains("--yes")));
    let dry = einthoven(["run", "kd-dgn", "--dry-run", "--out", &out, "--json"]).json();
    assert!(dry["cost"]["cpu_minutes"].as_f64().is_some_and(|minutes| minutes > 180.0));
    assert!(dry["cost"]["memory_mib"].is_u64() && dry["cost"]["disk_mib"].is_u64());
    assert!(!std::path::Path::new(&out).exists());
    assert_eq!(einthoven(["run", "quickstart", "--device", "cuda", "--out", &out, "--json"]).code, 2);
}
