//! `sample`: marks, labels in turn, and the same bytes whatever the batch and the threads.

use einthoven::dataset::npz;
use einthoven::record::{self, ReadOptions};

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

#[test]
fn the_simulator_draws_any_rate_and_length_and_its_records_have_their_true_beats() {
    let folder = TempFolder::new("extent");
    let out = folder.at("af");
    let call = ["sample", "dipole", "-n", "3", "--label", "af", "--hr", "90", "--fs", "250", "--seconds", "40"];
    let drawn = einthoven(call.iter().chain(&["--out", &out, "--json"])).json();
    assert_eq!((&drawn["fs_hz"], &drawn["seconds"], &drawn["n_items"]), (&250.0.into(), &40.0.into(), &3.into()));
    let header = folder.path().join("af/wfdb/syn_000001.hea");
    let read = record::read(&header, &ReadOptions::default()).expect("a record");
    assert_eq!((read.fs_hz, read.sig_len, read.leads.len()), (250.0, 10_000, 12));
    let marks = &read.annotations["atr"];
    assert_eq!((&*marks[0].symbol, marks[0].aux_text().as_str()), ("+", "(AFIB"));
    // 40 s at 90 bpm.
    assert!((55..=65).contains(&(marks.len() - 1)), "{}", marks.len());
    assert!(read.comments.iter().any(|line| line == "Beats: the generator's truth"), "{:?}", read.comments);
    // Shorter than it simulates is cut, in the beats too.
    let out = folder.at("short");
    let call = ["sample", "dipole", "-n", "1", "--label", "sinus", "--seconds", "2.5", "--out", &out];
    assert_eq!(einthoven(call).code, 0);
    let header = folder.path().join("short/wfdb/syn_000000.hea");
    let read = record::read(&header, &ReadOptions::default()).expect("a record");
    assert_eq!(read.sig_len, 1250);
    assert!(read.annotations["atr"].iter().all(|mark| mark.sample < 1250));
    // Nothing is left beside what was asked for.
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["af", "short"]);
}

#[test]
fn parquet_holds_the_items_and_their_fields() {
    let folder = TempFolder::new("parquet");
    let (table, set) = (folder.at("x.parquet"), folder.at("x.npz"));
    for out in [&table, &set] {
        let call = ["sample", "dipole", "-n", "3", "--label", "sinus,af", "--fs", "100", "--seconds", "5"];
        let done = einthoven(call.iter().chain(&["--out", out]));
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    let set = npz::read(std::path::Path::new(&set)).expect("a data set");
    let rows = record::format::parquet::read_records(std::path::Path::new(&table), &ReadOptions::default());
    let rows = rows.expect("records");
    assert_eq!(rows.len(), 3);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!((&row.name, row.fs_hz, row.sig_len), (&set.record[i], 100.0, 500));
        assert!(row.comments.iter().any(|line| line == "Synthetic: yes"));
        for (lead, mv) in row.leads.iter().zip(set.item(i).chunks(500)) {
            let worst = lead.mv().expect("mV").iter().zip(mv).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(worst <= 0.000_501, "{worst}");
        }
    }
}

#[test]
fn rates_and_lengths_that_cannot_be_are_refused_before_anything_is_written() {
    let folder = TempFolder::new("no-extent");
    let out = folder.at("x.npz");
    for (arguments, wanted) in [
        (["beats", "--seconds", "10"], "single beats of 0.71 s"),
        (["dipole", "--fs", "50"], "fs: found 50 Hz, expected 100 to 1000 Hz"),
        (["dipole", "--seconds", "1"], "seconds: found 1 s, expected 2.5"),
    ] {
        let end = ["-n", "1", "--out", &out, "--json"];
        let error = einthoven(["sample"].iter().chain(&arguments).chain(&end)).error();
        assert_eq!(error["exit_code"], 2, "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains(wanted)), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
    let call = ["sample", "beats", "-n", "2", "--label", "V", "--fs", "500", "--out", &out, "--json"];
    let drawn = einthoven(call).json();
    assert_eq!((&drawn["fs_hz"], &drawn["provenance"]["drawn_at"]["fs_hz"]), (&500.0.into(), &360.0.into()));
}

#[test]
fn records_of_twelve_leads_need_no_training() {
    let folder = TempFolder::new("ecg12");
    let out = folder.at("af.npz");
    let call = ["sample", "ecg12", "-n", "3", "--label", "AFIB", "--hr", "110..140", "--out", &out, "--json"];
    let drawn = einthoven(call).json();
    assert_eq!((&drawn["delivered"][0]["fact"], &drawn["delivered"][0]["n_requested"]), (&"hr".into(), &3.into()));
    let set = npz::read(std::path::Path::new(&out)).expect("a data set");
    assert_eq!((set.leads.len(), set.sig_len, set.fs_hz), (12, 1000, 100.0));
    let fibrillation = set.label_names.iter().position(|name| name == "AFIB").expect("a label");
    assert_eq!((0..3).map(|i| set.class(i).expect("one label")).collect::<Vec<_>>(), [fibrillation; 3]);
    for (t, v) in set.item(0)[..1000].iter().enumerate() {
        let mv = |lead: usize| set.item(0)[lead * 1000 + t];
        assert!(v.abs() < 5.0 && (mv(0) + mv(2) - mv(1)).abs() < 1e-5 && (mv(3) + mv(4) + mv(5)).abs() < 1e-5);
    }
}

#[test]
fn numbers_that_are_asked_for_are_delivered() {
    let folder = TempFolder::new("ecg12-numbers");
    let out = folder.at("asked.npz");
    let call =
        ["sample", "ecg12", "-n", "8", "--label", "SR", "--hr", "60..80", "--pr", "140..200", "--axis", "20..60"];
    let delivered = einthoven(call.iter().chain(&["--out", &out, "--json"])).json()["delivered"].clone();
    let least = [("hr", 1.0), ("pr", 0.6), ("axis", 0.8)];
    for ((fact, share), row) in least.iter().zip(delivered.as_array().expect("rows")) {
        assert_eq!(row["fact"], *fact);
        assert!(row["within_tolerance"].as_f64().is_some_and(|within| within >= *share), "{row}");
    }
    // Turned, not drawn: without it the error has a standard deviation of 18 degrees.
    assert!(delivered[2]["sd_error"].as_f64().is_some_and(|sd| sd < 8.0), "{}", delivered[2]);
}

#[test]
fn what_a_generator_has_not_is_refused_and_so_is_nothing() {
    let folder = TempFolder::new("no-sampler");
    let out = folder.at("x.npz");
    let refused = |words: &[&str], code: i32, wanted: &str| {
        let failed = einthoven(["sample"].iter().chain(words).chain(&["--out", &out, "--json"]));
        assert_eq!(failed.code, code, "{words:?}: {}", failed.stderr);
        let error = failed.error();
        assert!(error["error"].as_str().is_some_and(|text| text.contains(wanted)), "{words:?}: {error}");
    };
    for source in ["dipole", "beat-simulator"] {
        for option in [["--sampler", "ddim"], ["--steps", "4"], ["--guidance", "2"]] {
            refused(&[&[source, "-n", "1"][..], &option].concat(), 2, "in one pass");
        }
        refused(&[source, "-n", "0"], 2, "found 0, expected at least 1");
    }
    // Less than the simulator's narrowest QRS as a delineator reads it.
    let exact = ["dipole", "-n", "1", "--label", "low-voltage", "--qrs", "50"];
    refused(&[&exact[..], &["--exact", "--tries", "1"]].concat(), 6, "was not as requested in 1 tries");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
