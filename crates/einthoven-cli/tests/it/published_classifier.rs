//! `import` of published classifiers and their `export`.

use std::path::Path;

use serde_json::Value;

use super::command::{TempFolder, einthoven, text};
use super::generation::fixture;

#[test]
fn a_published_classifier_becomes_a_run_to_export() {
    let listed = einthoven(["list", "imports", "--json"]).json();
    let is_listed = |name: &str| listed.as_array().into_iter().flatten().any(|entry| entry["name"] == name);
    for folder_name in ["xresnet1d", "fcn_wang", "inception1d", "resnet1d_wang"] {
        let Some(fixture) = fixture(folder_name) else { return };
        let folder = TempFolder::new("classifier");
        let config = std::fs::read_to_string(fixture.join("config.json")).expect("a configuration");
        let config: Value = serde_json::from_str(&config).expect("JSON");
        let model = config["model"].as_str().expect("a name");
        // That of fcn_wang calls it by the network that it is a case of.
        let name = if folder_name == "xresnet1d" { model.split(' ').next().unwrap_or(model) } else { folder_name };
        assert!(is_listed(name), "{name}");

        let names = |prefix: &str, key: &str| {
            let n = config["constructor"][key].as_u64().expect("a number");
            (0..n).map(|k| format!("{prefix}{k}")).collect::<Vec<_>>().join(",")
        };
        let (leads, labels) = (names("C", "input_channels"), names("L", "num_classes"));
        let (checkpoint, run) = (fixture.join("weights.safetensors"), folder.at("run"));
        let call =
            ["import", text(&checkpoint), "--as", name, "--leads", &leads, "--labels", &labels, "--points", "131"];
        let imported = einthoven(call.iter().chain(&["--out", &run, "--json"])).json();
        assert!(Path::new(imported["model"].as_str().expect("a path")).is_file());

        let (graph, weights, again) = (folder.at("x.onnx"), folder.at("x.safetensors"), folder.at("again.onnx"));
        let files = einthoven(["export", &run, "--onnx", &graph, "--safetensors", &weights, "--json"]).json();
        assert_eq!(files["files"].as_array().map(Vec::len), Some(2), "{name}: {files}");
        assert_eq!(einthoven(["export", &weights, "--onnx", &again]).code, 0);
        let bytes = std::fs::read(&graph).expect("a graph");
        assert_eq!(bytes, std::fs::read(&again).expect("a graph"), "{name}");
        let says = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(says("einthoven.ptbxl") && says("standard_scaler") && says("\"L1\""), "{name}: metadata");

        // The arguments of the original say the same as the arrays.
        let (arguments, told) = (folder.at("arguments.json"), folder.at("told"));
        std::fs::write(&arguments, config["constructor"].to_string()).expect("a writable folder");
        let done = einthoven(call.iter().chain(&["--arguments", &arguments, "--out", &told]));
        assert_eq!(done.code, 0, "{name}: {}", done.stderr);

        let out = folder.at("x.npz");
        let error = einthoven(["sample", &run, "-n", "1", "--out", &out, "--json"]).error();
        assert!(error["error"].as_str().is_some_and(|text| text.contains("not a generator")), "{error}");
        let short = folder.at("short");
        let call = ["import", text(&checkpoint), "--as", name, "--leads", &leads, "--labels", "x", "--out", &short];
        assert_eq!(einthoven(call).code, 2, "one name for all labels");
        let other = if name == "fcn_wang" { "inception1d" } else { "fcn_wang" };
        let error = einthoven(["import", text(&checkpoint), "--as", other, "--out", &short, "--json"]).error();
        assert!(error["error"].as_str().is_some_and(|text| text.contains("is missing")), "{error}");
    }
}
