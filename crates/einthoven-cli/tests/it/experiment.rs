//! `run` and `train`: what a run leaves, that a stopped run ends with the same bytes, and that the same
//! seed gives the same bytes in another folder and with another number of threads.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use einthoven::record::{self, ReadOptions, WriteOptions};

use super::command::{Done, TempFolder, command, done, einthoven, files_below, mitdb, text};

/// Settings that shrink every stage to a few steps of tiny networks.
const MICRO: &[&str] = &[
    "teacher.network={ width = 8, multipliers = [1, 2], blocks = 1, stem_stride = 8 }",
    "teacher.steps=8",
    "teacher.batch=8",
    "teacher.schedule_steps=8",
    "student.network={ width = 8, multipliers = [1, 2], blocks = 1, stem_stride = 8 }",
    "student.steps=4",
    "student.batch=8",
    "few_step.start=4",
    "few_step.chosen=2",
    "few_step.steps=2",
    "few_step.last_steps=2",
    "few_step.batch=8",
    "synthesis.cap=20",
    "synthesis.steps=2",
    "classifier.model.steps=4",
    "classifier.model.batch=16",
    "classifier.seeds=1",
    "classifier.replicates=50",
    "quality.beats_per_class=12",
    "quality.timed_beats=4",
    "quality.timed_runs=2",
    "quality.slow_runs=2",
];
pub const MICRO_COHORT: &[&str] = &["data.simulated_patients=24", "data.simulated_beats_per_patient=40"];

/// `verb quickstart` in small, to be run.
fn micro(verb: &str, out: &Path) -> Command {
    let mut command = command();
    command.args([verb, "quickstart", "--out", text(out)]);
    MICRO.iter().chain(MICRO_COHORT).for_each(|setting| _ = command.args(["--set", setting]));
    command
}

fn finished(mut command: Command) -> Done {
    let done = done(command.output().expect("the command starts"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    done
}

/// One finished run for all tests that only look.
pub fn micro_run() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        // Of this process, and left for the system to clean: statics are never dropped.
        let folder = std::env::temp_dir().join(format!("einthoven-cli-run-{}", std::process::id()));
        finished(micro("run", &folder));
        folder
    })
}

fn synthetic_files(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_below(&run.join("synthetic"))
}

#[test]
fn a_run_leaves_report_synthetic_set_and_checkpoints() {
    let run = micro_run();
    let page = std::fs::read_to_string(run.join("report.html")).expect("a page");
    assert!(page.contains("<svg") && !page.contains("<script src") && !page.contains("http-equiv"));
    let report = std::fs::read_to_string(run.join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    for key in ["schema_version", "preset", "seed", "device", "data", "tables", "headline"] {
        assert!(!report[key].is_null(), "{key}");
    }
    assert_eq!(
        (&report["preset"], &report["seed"], &report["device"]),
        (&"quickstart".into(), &1.into(), &"cpu".into())
    );
    for name in [
        "student_size_ratio",
        "student_peak_memory_ratio",
        "student_time_ratio",
        "student_snr_difference_db",
        "few_step_speedup",
        "intra_macro_precision_real",
        "intra_macro_precision_augmented",
        "intra_misidentification_augmented",
        "inter_macro_f1_real",
        "inter_macro_f1_augmented",
    ] {
        let number = &report["headline"][name];
        assert!(number["value"].is_number(), "{name}: {number}");
        assert!(number["label"].is_string(), "{name}: {number}");
        assert!(
            number["ci_low"].is_number() || name == "student_size_ratio" || name == "student_peak_memory_ratio",
            "{name}: {number}"
        );
    }
    let names: Vec<PathBuf> = synthetic_files(run).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"beats.npz".into()) && names.contains(&"wfdb/syn_V.hea".into()), "{names:?}");
    for role in ["teacher", "student", "control", "few-step-02", "few-step-01", "classifier-inter-real-0"] {
        assert!(run.join("checkpoint").join(role).join("model.safetensors").is_file(), "{role}");
    }
    for line in std::fs::read_to_string(run.join("metrics.jsonl")).expect("a log").lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON lines");
    }
}

#[test]
fn r3_another_folder_and_another_number_of_threads_give_the_same_bytes() {
    let folder = TempFolder::new("again");
    let mut again = micro("run", &folder.path().join("run"));
    again.env("RAYON_NUM_THREADS", "1");
    finished(again);
    assert_eq!(synthetic_files(&folder.path().join("run")), synthetic_files(micro_run()));
}

#[test]
fn a_run_stopped_by_sigterm_goes_on_to_the_same_bytes() {
    let folder = TempFolder::new("stopped");
    let out = folder.path().join("run");
    let mut child = micro("run", &out)
        .arg("--json")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let start = Instant::now();
    while !out.join("checkpoint/teacher").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "the teacher is never trained");
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    assert_eq!(child.wait().expect("an end").code(), Some(143));
    assert!(!out.join("report.json").exists(), "it was stopped too late to show anything");
    finished(micro("train", &out));
    assert!(!out.join("report.json").exists());
    let resumed = finished(micro("run", &out));
    assert!(resumed.stdout.trim().ends_with("report.html"), "{}", resumed.stdout);
    assert_eq!(synthetic_files(&out), synthetic_files(micro_run()));
    // A finished run may be repeated: it writes the same set and report again.
    finished(micro("run", &out));
    assert_eq!(synthetic_files(&out), synthetic_files(micro_run()));
}

#[test]
fn m06_the_folder_of_another_run_is_refused() {
    let run = micro_run();
    let before = std::fs::read(run.join("manifest.json")).expect("a manifest");
    let mut other = micro("run", run);
    other.args(["--set", "teacher.steps=9", "--json"]);
    let refused = done(other.output().expect("the command starts"));
    assert_eq!((refused.code, &refused.error()["code"]), (5, &"M06".into()));
    assert_eq!(std::fs::read(run.join("manifest.json")).expect("a manifest"), before);

    let folder = TempFolder::new("foreign");
    std::fs::write(folder.path().join("thesis.tex"), "mine").expect("writable");
    let refused = done(micro("run", folder.path()).output().expect("the command starts"));
    assert_eq!(refused.code, 5, "{}", refused.stderr);
}

#[test]
fn a_time_limit_ends_with_6_and_a_checkpoint() {
    let folder = TempFolder::new("limit");
    let out = folder.path().join("run");
    let mut limited = micro("run", &out);
    limited.args(["--max-time", "0.0001", "--json"]);
    let limited = done(limited.output().expect("the command starts"));
    assert_eq!((limited.code, &limited.error()["exit_code"]), (6, &6.into()), "{}", limited.stderr);
    let checkpoints = files_below(&out.join("checkpoint/teacher"));
    assert!(!checkpoints.is_empty());
}

/// Everything that a generator leaves must be the same whatever the test patients' signals are.
#[test]
fn a_marker_in_test_beats_reaches_no_model_and_no_synthetic_set() {
    let Some(real) = mitdb() else { return };
    let folder = TempFolder::new("marker");
    let planted = folder.path().join("mitdb");
    std::fs::create_dir(&planted).expect("a folder");
    for entry in std::fs::read_dir(&real).expect("a folder") {
        let from = entry.expect("an entry").path();
        if from.is_file() {
            std::fs::copy(&from, planted.join(from.file_name().expect("a name"))).expect("copied");
        }
    }
    // Record 100 is of DS2: no generator may learn from it. The marker sits in every beat.
    let marker_adu = 2000;
    let mut record = record::read(real.join("100"), &ReadOptions::strict()).expect("sound");
    let lead = &mut record.leads[0];
    record.annotations["atr"].iter().for_each(|mark| lead.adu[mark.sample as usize] = marker_adu);
    let marker_mv =
        (f64::from(marker_adu) - f64::from(lead.baseline_adu)) / lead.gain_adu_per_unit.expect("calibrated");
    let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
    record::write(&record, planted.join("100.hea"), &options).expect("writable");

    let train = |data: &Path, out: &str| {
        let mut command = command();
        command.args(["train", "kd-dgn-small", "--data", text(data), "--out", &folder.at(out)]);
        let own = ["data.highpass_hz=0", "few_step.chosen=1", "few_step.start=2", "teacher.steps=2", "student.steps=2"];
        MICRO.iter().chain(&own).for_each(|setting| _ = command.args(["--set", setting]));
        finished(command);
    };
    train(&real, "a");
    train(&planted, "b");
    let fingerprint = |out: &str| {
        let text = std::fs::read_to_string(folder.path().join(out).join("manifest.json")).expect("a manifest");
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["data_fingerprint"].clone()
    };
    assert_ne!(fingerprint("a"), fingerprint("b"), "the marker is not in the data");
    for role in ["teacher", "student", "control", "few-step-01"] {
        let model =
            |out: &str| std::fs::read(folder.path().join(out).join("checkpoint").join(role).join("model.safetensors"));
        assert_eq!(model("a").expect("a model"), model("b").expect("a model"), "{role}");
    }
    let drawn = ["sample", &folder.at("b"), "-n", "50", "--out", &folder.at("x.npz")];
    assert_eq!(einthoven(drawn).code, 0);
    let set = einthoven::dataset::npz::read(&folder.path().join("x.npz")).expect("a data set");
    assert!(set.ecg.iter().all(|&mv| f64::from(mv) != f64::from(marker_mv as f32)));
}
