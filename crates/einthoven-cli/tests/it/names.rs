//! Words that may name a generator, a run or a file.

use einthoven::run::{Run, RunInfo};

use super::command::{Done, TempFolder, command, done, einthoven};

/// Runs the command in a folder.
fn within(folder: &TempFolder, words: &[&str]) -> Done {
    done(command().current_dir(folder.path()).args(words).output().expect("the command starts"))
}

#[test]
fn a_folder_that_is_no_run_hides_no_generator_and_a_run_does() {
    let folder = TempFolder::new("shadow");
    for name in ["beats", "beat-simulator", "ecg12"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
        std::fs::write(folder.path().join(name).join("100.atr"), "detections").expect("a file");
    }
    for name in ["beats", "beat-simulator"] {
        let drawn =
            within(&folder, &["sample", name, "-n", "2", "--label", "V", "--out", "x.npz", "--force", "--json"]);
        assert_eq!(drawn.json()["n_items"], 2, "{name}");
    }
    let edited = ["simulate --out records", "edit records/syn_000000 --model ecg12 --strength 0 --out same"];
    for words in edited {
        let done = within(&folder, &words.split(' ').collect::<Vec<_>>());
        assert_eq!(done.code, 0, "{words}: {}", done.stderr);
    }
    let exported = within(&folder, &["export", "beats", "--onnx", "beats.onnx"]);
    assert_eq!(exported.code, 0, "{}", exported.stderr);
    // A path is a path.
    assert_eq!(within(&folder, &["sample", "./beats", "-n", "2", "--out", "y.npz"]).code, 5);

    let elsewhere = TempFolder::new("run-of-a-name");
    for name in ["beats", "ecg12"] {
        Run::create(&elsewhere.path().join(name), &RunInfo::default()).expect("a run");
    }
    for words in [&["sample", "beats", "-n", "1", "--out", "x.npz"][..], &["export", "beats", "--onnx", "x.onnx"]] {
        let done = within(&elsewhere, words);
        assert_ne!(done.code, 0, "the run has no model");
        assert!(done.stderr.starts_with("note: beats is the run in the folder"), "{}", done.stderr);
    }
}

#[test]
fn a_role_is_refused_beside_whatever_is_no_run() {
    let folder = TempFolder::new("role");
    let weights = folder.at("beats.safetensors");
    assert_eq!(einthoven(["export", "beats", "--safetensors", &weights]).code, 0);
    let refused = |words: &[&str], source: &str| {
        let error = einthoven(words.iter().chain(&["--model", "teacher", "--json"])).error();
        let wanted = format!("--model: found teacher beside {source}, expected it beside a run folder");
        assert_eq!((&error["exit_code"], &error["error"]), (&2.into(), &wanted.into()), "{words:?}");
    };
    // Weights that come along, a generator that needs none and one that does, a file, and a word that names nothing.
    for source in ["ecg12", "dipole", "dgn", &weights, "nowhere"] {
        refused(&["sample", source, "-n", "1", "--out", &folder.at("x.npz")], source);
    }
    for source in ["beats", &weights] {
        refused(&["export", source, "--onnx", &folder.at("x.onnx")], source);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "something was written");
}

#[test]
fn what_comes_along_is_exported_by_its_name() {
    let folder = TempFolder::new("export-shipped");
    for name in ["beats", "ecg12"] {
        let (onnx, weights) = (folder.at(&format!("{name}.onnx")), folder.at(&format!("{name}.safetensors")));
        let found = einthoven(["export", name, "--onnx", &onnx, "--safetensors", &weights, "--f16", "--json"]).json();
        assert_eq!(found["files"].as_array().map(Vec::len), Some(2), "{found}");
        let graph = std::fs::read(&onnx).expect("a graph");
        assert!(graph.windows(13).any(|part| part == b"einthoven.car"), "{name}: no card");
    }
    let weights = folder.at("beats.safetensors");
    let drawn = einthoven(["sample", &weights, "-n", "2", "--label", "V", "--out", &folder.at("x.npz"), "--json"]);
    assert_eq!(drawn.json()["provenance"]["generator"], "dgn");
    for name in ["dipole", "delnet"] {
        let error = einthoven(["export", name, "--onnx", &folder.at("no.onnx"), "--json"]).error();
        assert_eq!((&error["exit_code"], &error["expected"]), (&2.into(), &serde_json::json!(["beats", "ecg12"])));
    }
}
