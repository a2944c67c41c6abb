//! `sample`: marks, labels in turn, and the same bytes whatever the batch and the threads.

use einthoven::dataset::npz;

use super::command::{TempFolder, command, done, einthoven, text};
use super::experiment::micro_run;

#[test]
fn r1_batch_and_threads_change_no_byte() {
    let folder = TempFolder::new("r1");
    let run = text(micro_run());
    for (model, sampler) in [("teacher", "dpm-solver++"), ("teacher", "ddpm"), ("few-step-02", "ddim")] {
        let mut sets = Vec::new();
        for (batch, threads) in [("1", "1"), ("3", "2"), ("16", "1"), ("64", "2")] {
            let out = folder.at(&format!("{model}-{sampler}-{batch}.npz"));
            let mut call = command();
            call.args(["sample", run, "-n", "70", "--model", model, "--sampler", sampler, "--steps", "4"]);
            call.args(["--guidance", "1.5", "--batch", batch, "--out", &out]).env("RAYON_NUM_THREADS", threads);
            let call = done(call.output().expect("the command starts"));
            assert_eq!(call.code, 0, "{}", call.stderr);
            sets.push((batch, std::fs::read(out).expect("a data set")));
        }
        for (batch, bytes) in &sets[1..] {
            assert!(*bytes == sets[0].1, "{model} {sampler}: batch {batch} differs from batch 1");
        }
    }
}

#[test]
fn an_item_depends_on_its_index_and_not_on_where_the_draw_began() {
    let folder = TempFolder::new("first");
    let run = text(micro_run());
    for (out, extra) in [("a.npz", ["-n", "10", "--first", "0"]), ("b.npz", ["-n", "4", "--first", "6"])] {
        let done = einthoven(["sample", run, "--out", &folder.at(out)].into_iter().chain(extra));
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    let [a, b] = ["a.npz", "b.npz"].map(|name| npz::read(&folder.path().join(name)).expect("a data set"));
    for i in 0..4 {
        assert_eq!((a.item(6 + i), a.class(6 + i).expect("a class")), (b.item(i), b.class(i).expect("a class")));
        assert_eq!((&a.record[6 + i], a.index[6 + i]), (&b.record[i], b.index[i]));
    }
}

#[test]
fn every_source_gives_a_marked_set_with_the_labels_asked_for() {
    let folder = TempFolder::new("marked");
    let run = micro_run();
    let model = run.join("checkpoint/student/model.safetensors");
    let sources = [
        (text(run), "dgn"),
        (text(&model), "dgn"),
        // Weights that come along need no training.
        ("beats", "dgn"),
        ("beat-simulator", "beat-simulator"),
    ];
    for (source, generator) in sources {
        let out = folder.at("x.npz");
        let found = einthoven([
            "sample", source, "-n", "6", "--label", "N,V", "--seed", "7", "--out", &out, "--force", "--json",
        ]);
        let found = found.json();
        assert_eq!(
            (&found["n_items"], &found["counts"]["N"], &found["counts"]["V"]),
            (&6.into(), &3.into(), &3.into())
        );
        let set = npz::read(std::path::Path::new(&out)).expect("a data set");
        assert_eq!(set.provenance["synthetic"], true);
        assert_eq!((&set.provenance["generator"], &set.provenance["seed"]), (&generator.into(), &7.into()));
        assert!((0..set.len()).all(|i| set.is_generated(i) && set.record[i].starts_with("syn_")));
        assert!(set.ecg.iter().all(|mv| mv.is_finite()));
        if generator == "dgn" {
            assert!(set.provenance["training_data"]["license"].is_string(), "{}", set.provenance);
            assert_eq!(set.provenance["model_sha256"].as_str().map(str::len), Some(64));
        }
    }
    let out = folder.at("folder");
    assert_eq!(einthoven(["sample", text(run), "-n", "5", "--out", &out]).code, 0);
    let header = std::fs::read_to_string(folder.path().join("folder/wfdb/syn_S.hea")).expect("a record");
    for wanted in [
        "Synthetic: yes",
        "Generator: dgn",
        "Model hash: ",
        "Training data: simulated",
        "License of the training data: MIT",
    ] {
        assert!(header.contains(wanted), "{wanted} in {header}");
    }
    assert!(header.lines().all(|line| line.len() <= 255), "{header}");
}

#[test]
fn names_that_do_not_exist_are_refused() {
    let folder = TempFolder::new("names");
    let run = text(micro_run());
    let out = folder.at("x.npz");
    for (arguments, wanted) in [
        (vec!["sample", run, "--model", "teacherr"], "did you mean \\\"teacher\\\"?"),
        (vec!["sample", run, "--sampler", "dimm"], "did you mean \\\"ddim\\\"?"),
        (vec!["sample", run, "--label", "X"], "known: N, S, V, F, Q"),
        (vec!["sample", "beat-simulater"], "did you mean \\\"beat-simulator\\\"?"),
        (vec!["sample", run, "--steps", "0"], "steps"),
    ] {
        let failed = einthoven(arguments.iter().copied().chain(["-n", "1", "--out", &out, "--json"]));
        assert_eq!(failed.code, 2, "{arguments:?}: {}", failed.stderr);
        assert!(failed.stderr.contains(wanted), "{arguments:?}: {}", failed.stderr);
    }
    std::fs::write(&out, "mine").expect("writable");
    assert_eq!(einthoven(["sample", run, "-n", "1", "--out", &out]).code, 5);
    assert_eq!(std::fs::read(&out).expect("a file"), b"mine");
}
