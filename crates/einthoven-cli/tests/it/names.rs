//! Words that may name a generator, a run or a file.

use einthoven::run::{Run, RunInfo};

use super::command::{Done, TempFolder, command, done};

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
    // A path is a path.
    assert_eq!(within(&folder, &["sample", "./beats", "-n", "2", "--out", "y.npz"]).code, 5);

    let elsewhere = TempFolder::new("run-of-a-name");
    for name in ["beats", "ecg12"] {
        Run::create(&elsewhere.path().join(name), &RunInfo::default()).expect("a run");
    }
    for words in [&["sample", "beats", "-n", "1", "--out", "x.npz"]] {
        let done = within(&elsewhere, words);
        assert_ne!(done.code, 0, "the run has no model");
        assert!(done.stderr.starts_with("note: beats is the run in the folder"), "{}", done.stderr);
    }
}
