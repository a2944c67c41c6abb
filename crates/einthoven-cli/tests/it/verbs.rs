//! The verbs of a run, one by one: prepare, sample, mix, predict, evaluate, report, cite.

use einthoven::dataset::{Split, guard, npz};

use super::command::{TempFolder, einthoven, mitdb, text};
use super::experiment::{MICRO_COHORT, micro_run};

#[test]
fn the_verbs_of_a_run_work_alone_and_fit_together() {
    let folder = TempFolder::new("verbs");
    let run = micro_run();
    let out = folder.at("real");
    let mut prepare = vec!["prepare", "quickstart", "--out", &out, "--json"];
    MICRO_COHORT.iter().for_each(|setting| prepare.extend(["--set", setting]));
    let prepared = einthoven(prepare).json();
    let real = prepared["data_set"].as_str().expect("a path").to_string();
    assert!(folder.path().join("real/manifest.json").is_file());
    assert_eq!(einthoven(["prepare", "quickstart", "--out", &folder.at("real")]).code, 5);

    let synthetic = folder.at("syn.npz");
    assert_eq!(einthoven(["sample", text(run), "-n", "400", "--out", &synthetic]).code, 0);
    let mixed = folder.at("mixed.npz");
    let mix = ["mix", &real, &synthetic, "--plan", "raise-minorities", "--cap", "30", "--out", &mixed, "--json"];
    let mix = einthoven(mix).json();
    let added = mix["mix"]["added_counts"].as_object().expect("counts");
    assert!(added.values().any(|n| n == 30) && added.values().all(|n| n.as_u64() <= Some(30)), "{added:?}");
    let (before, after) = [&real, &mixed].map(|path| npz::read(std::path::Path::new(path)).expect("a data set")).into();
    for part in [Split::Validation, Split::Test] {
        let [before, after] = [before.part(part), after.part(part)];
        assert_eq!((before.ecg, before.labels, before.patient), (after.ecg, after.labels, after.patient));
    }
    // Real items may not pass for synthetic ones.
    assert_eq!(einthoven(["mix", &real, &real, "--out", &folder.at("x.npz")]).code, 3);
    let unknown = einthoven(["mix", &real, &synthetic, "--plan", "some", "--out", &folder.at("x.npz")]);
    assert_eq!(unknown.code, 2);

    let table = folder.at("predictions.csv");
    let model = run.join("checkpoint/classifier-inter-real-0");
    assert_eq!(einthoven(["predict", text(&model), &real, "--out", &table]).code, 0);
    let table = std::fs::read_to_string(table).expect("a table");
    assert_eq!(table.lines().count(), before.len() + 1);
    assert!(table.starts_with("record,patient,part,index,true,predicted,p_N,p_S,p_V,p_F,p_Q\n"));
    for line in table.lines().skip(1) {
        let sum: f64 = line.split(',').skip(6).map(|p| p.parse::<f64>().expect("a number")).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{line}");
    }
}

#[test]
fn evaluate_judges_any_set_and_its_gate_finds_copies() {
    let folder = TempFolder::new("evaluate");
    let real = folder.at("real/data.npz");
    assert_eq!(einthoven(["prepare", "quickstart", "--out", &folder.at("real")]).code, 0);
    let synthetic = folder.at("syn.npz");
    assert_eq!(einthoven(["sample", "beat-simulator", "-n", "60", "--out", &synthetic]).code, 0);
    let judged = einthoven(["evaluate", &real, &synthetic, "--gate", "--out", &folder.at("a"), "--json"]).json();
    assert_eq!(judged["headline"]["exact_copies"]["value"], 0.0, "{judged}");
    for name in ["report.json", "report.html", "report.md"] {
        assert!(folder.path().join("a").join(name).is_file(), "{name}");
    }

    // Copies of training beats under a synthetic name.
    let train = npz::read(std::path::Path::new(&real)).expect("a data set").part(Split::Train);
    let mut copies = train.select(&(0..60).collect::<Vec<_>>());
    let patients = guard::training_patients(&train, "key");
    copies.provenance = serde_json::json!({ "synthetic": true, "generator": "thief", "training_patients": patients });
    copies.record.iter_mut().chain(copies.patient.iter_mut()).for_each(|name| name.insert_str(0, "syn_"));
    let stolen = folder.at("stolen.npz");
    npz::write(std::path::Path::new(&stolen), &copies).expect("writable");
    let found = einthoven(["evaluate", &real, &stolen, "--gate", "--out", &folder.at("b")]);
    assert_eq!(found.code, 1, "{}", found.stderr);
    assert!(found.stderr.contains("60 exact copies"), "{}", found.stderr);
    assert_eq!(einthoven(["evaluate", &real, &stolen, "--out", &folder.at("c")]).code, 0);
}

#[test]
fn records_are_drawn_like_held_out_ones_and_judged_beside_them() {
    let folder = TempFolder::new("evaluate-records");
    let (drawn, real, synthetic) = (folder.at("drawn.npz"), folder.at("real.npz"), folder.at("syn.npz"));
    let extent = ["--fs", "100", "--seconds", "6"];
    let draw = ["sample", "dipole", "-n", "30", "--label", "sinus+lbbb,af", "--seed", "5", "--out", &drawn];
    assert_eq!(einthoven(draw.iter().chain(&extent)).code, 0);
    // Drawn records that stand in for real ones.
    let mut set = npz::read(std::path::Path::new(&drawn)).expect("a data set");
    set.provenance = serde_json::json!({ "synthetic": true, "kind": "simulated" });
    set.record.iter_mut().chain(&mut set.patient).for_each(|name| *name = name.replace("syn_", "p"));
    set.split.iter_mut().skip(16).for_each(|split| *split = Split::Test);
    npz::write(std::path::Path::new(&real), &set).expect("writable");

    let like = ["sample", "dipole", "--like", &real, "--out", &synthetic, "--json"];
    let counts = einthoven(like.iter().chain(&extent)).json();
    assert_eq!((&counts["n_items"], &counts["counts"]["lbbb"]), (&14.into(), &7.into()), "{counts}");
    let judged = einthoven(["evaluate", &real, &synthetic, "--gate", "--out", &folder.at("judged"), "--json"]).json();
    assert_eq!(judged["headline"]["exact_copies"]["value"], 0.0, "{judged}");
    assert!(judged["headline"]["hr_bpm_difference"]["value"].is_number(), "{judged}");
    let page = std::fs::read_to_string(folder.path().join("judged/report.md")).expect("a page");
    for wanted in ["Physiology", "lbbb: 7 held out, 7 synthetic", "Not measured"] {
        assert!(page.contains(wanted), "{wanted}");
    }
    // Labels come from one place, and without them there is a number.
    assert_eq!(einthoven(like.iter().chain(&["--label", "af"])).code, 2);
    assert_eq!(einthoven(["sample", "dipole", "--out", &folder.at("x.npz")]).code, 2);
    let no_parts = einthoven(["sample", "dipole", "--like", &drawn, "--out", &folder.at("x.npz"), "--json"]).error();
    assert!(no_parts["error"].as_str().is_some_and(|text| text.contains("validation and test")), "{no_parts}");
}

#[test]
fn a_report_renders_again_and_names_its_references() {
    let folder = TempFolder::new("report");
    let run = micro_run();
    let page = einthoven(["report", text(run), "--out", &folder.at("again"), "--json"]).json();
    assert!(page["headline"]["few_step_speedup"]["value"].is_number());
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a page");
    assert_eq!(read(&folder.path().join("again/report.html")), read(&run.join("report.html")));
    assert!(read(&folder.path().join("again/report.md")).contains("few-step"));
    let cited = einthoven(["cite", text(run), "--json"]).json();
    assert!(cited.as_array().is_some_and(|list| list.iter().any(|entry| entry["key"] == "ge2025")), "{cited}");
}

#[test]
fn mitdb_is_prepared_by_patient() {
    let Some(data) = mitdb() else { return };
    let folder = TempFolder::new("prepare");
    let prepared = einthoven(["prepare", "mitdb", "--data", text(&data), "--out", &folder.at("out"), "--json"]).json();
    let manifest = std::fs::read_to_string(folder.path().join("out/manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["n_items"], prepared["n_items"]);
    assert_eq!(manifest["label_names"], serde_json::json!(["N", "S", "V", "F", "Q"]));
    // DS2 without 202, whose patient is that of 201: 21 or 22 records.
    assert!(
        manifest["parts"]["test"]["n_patients"].as_u64().is_some_and(|n| n == 21 || n == 22),
        "{}",
        manifest["parts"]
    );
    let refused =
        einthoven(["prepare", "mitdb", "--data", text(&data), "--split", "intre", "--out", &folder.at("x"), "--json"]);
    assert_eq!(refused.code, 2);
}
