//! `train` of generators of whole records, `sample` from them, and `import` of published checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use einthoven::dataset::{Split, npz};
use einthoven::record::lead_law::TWELVE;
use einthoven::record::{self, ReadOptions};

use super::command::{Done, TempFolder, einthoven, text};
use super::simulate::simulated;

/// A prepared set of simulated records of eight leads, two rhythms, 4 s at 100 Hz.
fn prepared(folder: &TempFolder) -> PathBuf {
    let mut table = "record,patient,split,labels\n".to_string();
    for (k, rhythm) in ["sinus", "af", "sinus", "af", "sinus", "af"].into_iter().enumerate() {
        let place = format!("records/{k}");
        simulated(folder, &place, &["--rhythm", rhythm, "--seconds", "5", "--fs", "100", "--seed", &k.to_string()]);
        let part = if k < 4 { "train" } else { "test" };
        table += &format!("{k}/syn_000000,p{k},{part},{rhythm}\n");
    }
    std::fs::write(folder.path().join("records/labels.csv"), table).expect("a writable folder");
    let out = folder.at("prepared");
    let done = einthoven([
        "prepare",
        "folder",
        "--data",
        &folder.at("records"),
        "--leads",
        "I,II,V1,V2,V3,V4,V5,V6",
        "--seconds",
        "4",
        "--out",
        &out,
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    out.into()
}

/// Settings that shrink each recipe to a network of a few channels and three steps.
fn tiny(generator: &str) -> Vec<String> {
    let network = match generator {
        "time-diffusion" => {
            "{ kind = \"unet\", width = 8, stem_width = 8, multipliers = [1, 2], blocks = 1, norm = \"group\", groups = 4, \
             time_features = \"sinusoidal\", time_width = 8, time_theta = 10000.0, level_attention = [2, 4], \
             middle_attention = [2, 4], self_condition = false, stem_stride = 4 }"
        }
        "diffwave" => "{ kind = \"diffwave\", width = 6, layers = 3, dilation_cycle = 2, steps = 20, label_width = 4 }",
        _ => {
            "{ kind = \"sssd\", width = 4, skip_width = 4, blocks = 2, step_width = [8, 8, 8], length = 400, state = 4, \
             is_bidirectional = true, has_norm = true, label_width = 4, state_space = \"frozen\" }"
        }
    };
    let set = |key: &str, value: &str| ["--set".to_string(), format!("recipes.{generator}.{key}={value}")];
    [("network", network), ("steps", "3"), ("batch", "2"), ("sampler_steps", "3")]
        .into_iter()
        .flat_map(|(key, value)| set(key, value))
        .collect()
}

fn train(data: &Path, generator: &str, run: &str) -> Done {
    let mut words = ["train", "ptbxl-small", "--generator", generator, "--data", text(data), "--out", run, "--json"]
        .map(String::from)
        .to_vec();
    words.extend(tiny(generator));
    einthoven(words)
}

#[test]
fn every_generator_of_records_trains_and_gives_twelve_lawful_leads() {
    let folder = TempFolder::new("generation");
    let data = prepared(&folder);
    for generator in ["time-diffusion", "diffwave", "sssd-ecg"] {
        let run = folder.at(generator);
        let first = train(&data, generator, &run).json();
        let model = first["models"][0].as_str().expect("a model file").to_string();
        let bytes = std::fs::read(&model).expect("a model file");
        // The same command again finds its work done.
        assert_eq!(train(&data, generator, &run).json(), first);
        assert_eq!(std::fs::read(&model).expect("a model file"), bytes, "{generator}");

        let out = folder.at(&format!("{generator}-set"));
        let drawn = einthoven(["sample", &run, "-n", "3", "--label", "af", "--out", &out, "--json"]).json();
        assert_eq!(drawn["counts"]["af"], 3, "{generator}: {drawn}");
        let set = npz::read(&Path::new(&out).join("records.npz")).expect("a data set");
        assert_eq!((set.leads.as_slice(), set.sig_len, set.fs_hz), (TWELVE.map(String::from).as_slice(), 400, 100.0));
        assert_eq!(set.provenance["generator"], generator);
        assert!(set.split.iter().all(|part| *part == Split::Train));
        for item in 0..3 {
            let lead = |lead: usize, t: usize| set.item(item)[lead * 400 + t];
            for t in 0..400 {
                assert!((lead(0, t) + lead(2, t) - lead(1, t)).abs() < 1e-5, "{generator}: Einthoven");
                assert!((lead(3, t) + lead(4, t) + lead(5, t)).abs() < 1e-5, "{generator}: Goldberger");
            }
        }
        let written = record::read(Path::new(&out).join("wfdb/syn_000000.hea"), &ReadOptions::default());
        let written = written.expect("a record");
        assert!(written.comments.iter().any(|line| line == "Synthetic: yes"), "{:?}", written.comments);
        let adu = |lead: usize, t: usize| i64::from(written.leads[lead].adu[t]);
        assert!((0..400).all(|t| adu(0, t) + adu(2, t) == adu(1, t) && adu(3, t) + adu(4, t) + adu(5, t) == 0));

        // Batches and threads change no byte of a draw.
        let one = folder.at("one.npz");
        let again = einthoven(["sample", &run, "-n", "3", "--label", "af", "--batch", "1", "--out", &one, "--force"]);
        assert_eq!(again.code, 0, "{}", again.stderr);
        assert_eq!(npz::read(Path::new(&one)).expect("a data set").ecg, set.ecg, "{generator}: batch 1");
    }
}

#[test]
fn a_generator_that_a_preset_does_not_know_is_refused() {
    let folder = TempFolder::new("unknown-generator");
    for words in [
        ["train", "ptbxl-small", "--generator", "dgn", "--json"],
        ["train", "quickstart", "--generator", "diffwave", "--json"],
    ] {
        let error = einthoven(words.into_iter().chain(["--out", &folder.at("run")])).error();
        assert_eq!((&error["exit_code"], &error["code"].is_null()), (&2.into(), &true), "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains("generator")), "{error}");
    }
    let error = einthoven(["train", "ptbxl-small", "--out", &folder.at("run"), "--json"]).error();
    assert!(error["error"].as_str().is_some_and(|text| text.contains("--data DIR")), "{error}");
    let error = einthoven(["run", "ptbxl-small", "--out", &folder.at("run"), "--json"]).error();
    assert!(error["error"].as_str().is_some_and(|text| text.contains("einthoven train")), "{error}");
}

/// A checkpoint of the original SSSD-ECG, by its fixture; a missing folder skips the test.
fn fixture(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/parity");
    let folder = std::env::var_os("EINTHOVEN_PARITY").map_or(root, PathBuf::from).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    assert_ne!(std::env::var("EINTHOVEN_REQUIRE_DATA").as_deref(), Ok("1"), "{} is missing", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
}

#[test]
fn a_published_checkpoint_becomes_a_run_to_draw_from() {
    let Some(fixture) = fixture("sssd_ecg") else { return };
    let folder = TempFolder::new("import");
    let checkpoint = fixture.join("weights.safetensors");
    let (run, checkpoint) = (folder.at("run"), text(&checkpoint));
    let error = einthoven(["import", checkpoint, "--as", "sssd-ecg", "--out", &run, "--json"]).error();
    // A network with another number of labels than the publication: nobody can know what they mean.
    assert!(error["error"].as_str().is_some_and(|text| text.contains("--labels")), "{error}");
    let shapes: BTreeMap<String, Vec<usize>> = einthoven::run::safetensors::read(Path::new(checkpoint))
        .expect("a checkpoint")
        .tensors
        .into_iter()
        .map(|(name, (shape, _))| (name, shape))
        .collect();
    let names = |prefix: &str, n: usize| (0..n).map(|k| format!("{prefix}{k}")).collect::<Vec<_>>().join(",");
    let labels = names("L", shapes["embedding.weight"][0]);
    let n_channels = shapes["init_conv.0.conv.weight_v"][1];
    // Eight channels are the leads of the publication, from which the others follow.
    let leads = names("C", n_channels);
    let leads: &[&str] = if n_channels == 8 { &[] } else { &["--leads", &leads] };
    let call = ["import", checkpoint, "--as", "sssd-ecg", "--labels", &labels, "--out", &run, "--json"];
    let imported = einthoven(call.iter().chain(leads)).json();
    assert!(Path::new(imported["model"].as_str().expect("a path")).is_file());
    let out = folder.at("x.npz");
    let drawn = einthoven([
        "sample",
        &run,
        "-n",
        "2",
        "--label",
        "L1",
        "--sampler",
        "ddim",
        "--steps",
        "3",
        "--out",
        &out,
        "--json",
    ]);
    assert_eq!(drawn.json()["counts"]["L1"], 2);
    let set = npz::read(Path::new(&out)).expect("a data set");
    let expected = if n_channels == 8 { 12 } else { n_channels };
    assert_eq!((set.leads.len(), set.fs_hz, set.len()), (expected, 100.0, 2));
    for (words, reason) in [(["--as", "nothing"], "nothing"), (["--as", "diffwave"], "is missing")] {
        let done = einthoven(["import", checkpoint, "--out", &folder.at("other"), "--json"].into_iter().chain(words));
        assert!(done.error()["error"].as_str().is_some_and(|text| text.contains(reason)), "{}", done.stderr);
    }
}

#[test]
fn what_is_missing_is_derived_or_drawn_and_the_rest_stays() {
    let folder = TempFolder::new("impute");
    let data = prepared(&folder);
    let run = folder.at("run");
    assert_eq!(train(&data, "diffwave", &run).code, 0);
    let record = simulated(&folder, "whole", &["--seconds", "9", "--fs", "250"]);
    let out = folder.at("filled.hea");
    let call = ["impute", text(&record), "--model", &run, "--missing", "aVF,V3", "--gap", "5.5..7", "--out", &out];
    let found = einthoven(call.into_iter().chain(["--label", "sinus", "--json"])).json();
    let gap = (7.0f64 - 5.5) * 250.0;
    // aVF follows from I and II where they were recorded; in the gap every lead comes from those that were drawn.
    assert_eq!(found["derived"]["aVF"], 9 * 250 - gap as usize);
    assert_eq!((&found["drawn"]["V3"], &found["drawn"]["I"]), (&(9 * 250).into(), &(gap as usize).into()));
    assert!(found["derived"]["V3"].is_null());
    let read = |path: &str| record::read(path, &ReadOptions::default()).expect("a record");
    let (before, after) = (read(&format!("{}.hea", text(&record).trim_end_matches(".hea"))), read(&out));
    for (a, b) in before.leads.iter().zip(&after.leads) {
        let is_made = |t: usize| a.name == "V3" || (t as f64 / 250.0 >= 5.5 && (t as f64) < 7.0 * 250.0);
        for t in (0..a.adu.len()).filter(|&t| !is_made(t)) {
            let tolerance = if a.name == "aVF" { 2 } else { 0 };
            assert!((a.adu[t] - b.adu[t]).abs() <= tolerance, "{} at {t}: {} and {}", a.name, a.adu[t], b.adu[t]);
        }
        assert!(a.name != "V3" || a.adu != b.adu);
    }
    assert!(after.comments.iter().any(|line| line == "Synthetic: in part"), "{:?}", after.comments);
    let whole = einthoven(["impute", text(&record), "--model", &run, "--out", &folder.at("no.hea"), "--json"]).error();
    assert!(whole["error"].as_str().is_some_and(|text| text.contains("nothing missing")), "{whole}");
    let late = ["impute", text(&record), "--model", &run, "--gap", "8..10", "--out", &folder.at("no.hea"), "--json"];
    assert_eq!(einthoven(late).error()["exit_code"], 2);
}

#[test]
fn a_checkpoint_without_labels_is_drawn_from_without_one() {
    let Some(fixture) = fixture("diffwave_uncond") else { return };
    let folder = TempFolder::new("unlabeled");
    let checkpoint = fixture.join("weights.safetensors");
    let run = folder.at("run");
    let imported = einthoven(["import", text(&checkpoint), "--as", "diffwave", "--points", "128", "--out", &run]);
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let out = folder.at("x.npz");
    let drawn = einthoven(["sample", &run, "-n", "2", "--sampler", "ddim", "--steps", "3", "--out", &out, "--json"]);
    assert_eq!(drawn.json()["n_items"], 2);
    let set = npz::read(Path::new(&out)).expect("a data set");
    assert_eq!((set.n_labels(), set.len(), set.sig_len), (0, 2, 128));
    let error =
        einthoven(["sample", &run, "-n", "1", "--label", "AFIB", "--out", &folder.at("y.npz"), "--json"]).error();
    assert_eq!(error["exit_code"], 2, "{error}");
}

#[test]
fn a_trained_generator_is_asked_for_what_it_was_told_and_nothing_else() {
    let folder = TempFolder::new("told");
    let data = prepared(&folder);
    let run = folder.at("run");
    let done = train(&data, "diffwave", &run);
    assert_eq!(done.code, 0, "{}", done.stderr);
    // The records have no age; rate, intervals and axis were measured on them.
    assert!(done.stderr.contains("age is known of no record"), "{}", done.stderr);
    let sample = |extra: &[&str], out: &str| {
        let call = ["sample", &run, "-n", "2", "--out", &folder.at(out), "--force", "--json"].map(String::from);
        einthoven(call.into_iter().chain(extra.iter().map(|word| (*word).to_string())))
    };
    let slow = sample(&["--label", "af", "--hr", "50"], "slow.npz").json();
    assert_eq!((&slow["counts"]["af"], &slow["provenance"]["request"]["numbers"]["hr"][1]), (&2.into(), &50.0.into()));
    assert_eq!((&slow["delivered"][0]["fact"], &slow["delivered"][0]["n_requested"]), (&"hr".into(), &2.into()));
    let read = |out: &str| npz::read(&folder.path().join(out)).expect("a data set");
    assert_eq!(sample(&["--label", "af", "--hr", "150"], "fast.npz").code, 0);
    assert_eq!(sample(&["--label", "af:0.4+sinus:0.6", "--hr", "50"], "between.npz").code, 0);
    let (slow, fast, between) = (read("slow.npz"), read("fast.npz"), read("between.npz"));
    assert!(slow.ecg != fast.ecg && slow.ecg != between.ecg);
    assert_eq!(between.labels, [1, 1, 1, 1]);
    assert_eq!(slow.conditions(1).facts.hr_bpm, Some(50.0));
    for (words, wanted) in [
        (["--age", "50"], "it knows label, hr"),
        (["--site", "x"], "site: diffwave does not know it"),
        (["--label", "NORMAL"], "af"),
        (["--hr", "fast"], "a number"),
    ] {
        let error = sample(&words, "no.npz").error();
        assert_eq!(error["exit_code"], 2, "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains(wanted)), "{error}");
    }
}
