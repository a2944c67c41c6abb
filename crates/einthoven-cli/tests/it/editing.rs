//! `denoise`, `edit` and the priors of `impute`: a trained generator at work on one record.

use std::path::{Path, PathBuf};

use einthoven::dataset::{Split, npz};
use einthoven::record::{self, ReadOptions, Record};

use super::command::{Done, TempFolder, einthoven, text};
use super::generation::{prepared, settings, tiny, train};
use super::simulate::simulated;

/// A run of a network of a few channels and a moderate number of steps.
fn trained(folder: &TempFolder, data: &Path) -> String {
    let run = folder.at("run");
    let mut words = ["train", "ptbxl-small", "--generator", "time-diffusion", "--data", text(data), "--out", &run]
        .map(String::from)
        .to_vec();
    words.extend(tiny("time-diffusion"));
    words.extend(settings("time-diffusion", &[("steps", "120"), ("batch", "4"), ("optimizer.warmup_steps", "5")]));
    let done = einthoven(words);
    assert_eq!(done.code, 0, "{}", done.stderr);
    run
}

fn read(path: &str) -> Record {
    record::read(path, &ReadOptions::default()).expect("a record")
}

fn read_input(path: &Path) -> Record {
    read(&format!("{}.hea", text(path)))
}

/// The laws of the limb leads, in counts.
fn assert_lawful(record: &Record) {
    let adu = |name: &str, t: usize| i64::from(record.lead(name).expect("a limb lead").adu[t]);
    for t in 0..record.sig_len {
        assert_eq!(adu("I", t) + adu("III", t), adu("II", t), "Einthoven at {t}");
        assert!((adu("aVR", t) + adu("aVL", t) + adu("aVF", t)).abs() <= 1, "Goldberger at {t}");
    }
}

#[test]
fn the_generator_that_comes_along_removes_more_noise_than_a_filter() {
    let folder = TempFolder::new("denoise-ecg12");
    let noisy = simulated(&folder, "noisy", &["--seconds", "12", "--snr", "8", "--seed", "3"]);
    let clean = format!("{}_clean", text(&noisy));
    let call =
        ["denoise", text(&noisy), "--model", "ecg12", "--reference", &clean, "--out", &folder.at("denoised.hea")];
    let mean = &einthoven(call.into_iter().chain(["--json"])).json()["mean_snr"];
    let [plain, after] = ["band_pass_db", "after_db"].map(|key| mean[key].as_f64().expect("a ratio"));
    assert!(after > plain + 0.5, "band-pass {plain} dB, denoised {after} dB");
    let error =
        einthoven(["denoise", text(&noisy), "--model", "delnet", "--out", &folder.at("x.hea"), "--json"]).error();
    assert!(error["error"].as_str().is_some_and(|text| text.contains("delnet")), "{error}");
}

#[test]
fn noise_goes_and_the_signal_stays_better_than_it_was() {
    let folder = TempFolder::new("denoise");
    let data = prepared(&folder);
    let run = trained(&folder, &data);
    // 11 s at 250 Hz: another rate and several windows of the model's 4 s.
    let noise = ["--seconds", "11", "--fs", "250", "--snr", "6", "--noise", "baseline,muscle,motion", "--seed", "3"];
    let noisy = simulated(&folder, "noisy", &noise);
    let clean = format!("{}_clean", text(&noisy));
    let out = folder.at("denoised.hea");
    let call = ["denoise", text(&noisy), "--model", &run, "--reference", &clean, "--out", &out];
    let found = einthoven(call.into_iter().chain(["--json"])).json();
    let snr = |row: &serde_json::Value, key: &str| row[key].as_f64().expect("a ratio");
    let mean = &found["mean_snr"];
    let [before, plain, after] = ["before_db", "band_pass_db", "after_db"].map(|key| snr(mean, key));
    println!("SNR: {before:.2} dB, band-pass {plain:.2} dB, denoised {after:.2} dB");
    assert!(after > before + 1.0, "{before} dB, band-pass {plain} dB, denoised {after} dB");
    let leads = found["leads"].as_array().expect("leads");
    assert_eq!((leads.len(), &found["untouched"]), (12, &serde_json::json!([])));
    let noise: Vec<f64> = leads.iter().filter_map(|lead| lead["noise_mv"].as_f64()).collect();
    assert!(noise.len() == 8 && noise.iter().all(|sd| *sd > 0.0), "{found}");
    let denoised = read(&out);
    assert_lawful(&denoised);
    assert_eq!(denoised.annotations, read_input(&noisy).annotations);
    assert!(denoised.comments.iter().any(|line| line == "Synthetic: in part"), "{:?}", denoised.comments);

    // The mean of a posterior is no draw: the same bytes again. Noise can be stated, and has to be a number.
    let again = folder.at("again.hea");
    let done = einthoven(["denoise", text(&noisy), "--model", &run, "--out", &again]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(read(&again).leads, denoised.leads);
    let none = folder.at("none.hea");
    let error =
        einthoven(["denoise", text(&noisy), "--model", &run, "--noise", "-1", "--out", &none, "--json"]).error();
    assert_eq!(error["exit_code"], 2, "{error}");
}

#[test]
fn strength_says_how_much_of_a_record_is_made_anew() {
    let folder = TempFolder::new("edit");
    let data = prepared(&folder);
    let run = folder.at("run");
    assert_eq!(train(&data, "diffwave", &run).code, 0);
    let record = simulated(&folder, "whole", &["--seconds", "9", "--fs", "250"]);
    let edit = |strength: &str, out: &str, more: &[&str]| -> Done {
        let call = ["edit", text(&record), "--model", &run, "--strength", strength, "--out", out, "--json"];
        einthoven(call.iter().chain(more))
    };
    let out = |name: &str| folder.at(&format!("{name}.hea"));
    let before = read_input(&record);
    let same = edit("0", &out("same"), &["--label", "af"]).json();
    assert_eq!((&same["signal_kept"], &same["untouched"]), (&1.0.into(), &serde_json::json!([])));
    let adu = |record: &Record| record.leads.iter().map(|lead| lead.adu.clone()).collect::<Vec<_>>();
    let same = read(&out("same"));
    assert!(adu(&same) == adu(&before) && same.annotations == before.annotations);

    let some = edit("0.4", &out("some"), &["--label", "af", "--hr", "120"]).json();
    assert_eq!((&some["delivered"][0]["fact"], &some["delivered"][0]["n_requested"]), (&"hr".into(), &1.into()));
    let some = read(&out("some"));
    assert_lawful(&some);
    assert!(some.annotations.is_empty() && adu(&some) != adu(&before));
    assert!(some.comments.iter().any(|line| line == "Edited: strength 0.4, seed 1"), "{:?}", some.comments);
    // The same seed gives the same record, and what is asked for counts.
    assert_eq!(edit("0.4", &out("again"), &["--label", "af", "--hr", "120"]).code, 0);
    assert_eq!(adu(&read(&out("again"))), adu(&some));
    assert_eq!(edit("0.4", &out("other"), &["--label", "sinus"]).code, 0);
    assert_ne!(adu(&read(&out("other"))), adu(&some));
    // A little strength changes little.
    assert_eq!(edit("0.02", &out("little"), &["--label", "af"]).code, 0);
    let change = |record: &Record| -> f64 {
        let lead = |record: &Record| record.lead("II").expect("a lead").mv().expect("millivolts");
        lead(record).iter().zip(lead(&before)).map(|(x, y)| f64::from(x - y).powi(2)).sum()
    };
    assert!(change(&read(&out("little"))) < 0.1 * change(&some));
    for (strength, more, wanted) in [
        ("1.5", &[][..], "strength"),
        ("nan", &[], "strength"),
        ("0.5", &["--age", "50"], "it knows label, hr"),
        ("0.5", &["--label", "none-such"], "label"),
    ] {
        let error = edit(strength, &out("no"), more).error();
        assert_eq!(error["exit_code"], 2, "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains(wanted)), "{error}");
    }
}

#[test]
fn gaps_are_filled_from_the_mean_beat_and_compared_with_what_was_there() {
    let folder = TempFolder::new("prior");
    let data = prepared(&folder);
    let run = folder.at("run");
    assert_eq!(train(&data, "diffwave", &run).code, 0);
    // A pacemaker keeps time, so that the beats of the gap are where the rhythm before it has them.
    let paced = ["--rhythm", "paced", "--hr", "75", "--seconds", "12", "--fs", "250"];
    let record = simulated(&folder, "whole", &paced);
    let impute = |more: &[&str]| einthoven(["impute", text(&record), "--model", &run].iter().chain(more));
    let out = folder.at("filled.hea");
    let call = ["--gap", "5..6.5", "--prior", "template", "--check", "--json", "--out", &out];
    let found = impute(&call).json();
    let rmse = |found: &serde_json::Value, method: &str, lead: &str| {
        let rows = found["checked"].as_array().expect("rows");
        assert_eq!(rows.len(), 3 * 12);
        let row = rows.iter().find(|row| row["method"] == method && row["lead"] == lead);
        row.and_then(|row| row["rmse_mv"].as_f64()).unwrap_or_else(|| panic!("{method} {lead}: {found}"))
    };
    // A network of three steps draws little better than noise; a start at the mean beat knows at least the waves.
    let over = |found: &serde_json::Value, method: &str| {
        ["II", "aVR", "V2"].map(|lead| rmse(found, method, lead)).iter().sum::<f64>() / 3.0
    };
    let [noise, template, beat] = ["noise", "template", "mean-beat"].map(|method| over(&found, method));
    let (before, after) = (read_input(&record), read(&out));
    // What a flat line would leave of the gap.
    let flat_mv = |lead: &str| {
        let gap = &before.lead(lead).expect("a lead").mv().expect("millivolts")[5 * 250..6 * 250 + 125];
        (gap.iter().map(|v| f64::from(v * v)).sum::<f64>() / gap.len() as f64).sqrt()
    };
    let flat = ["II", "aVR", "V2"].map(flat_mv).iter().sum::<f64>() / 3.0;
    println!("flat {flat:.4}, noise {noise:.4}, template {template:.4}, mean beat {beat:.4} mV");
    // The mean beat alone leaves less than a quarter of that, whatever the network; half is a margin.
    assert!(template < noise && beat < flat / 2.0, "flat {flat}, noise {noise}, template {template}, beat {beat}");
    for (a, b) in before.leads.iter().zip(&after.leads) {
        let is_same = |t: usize| a.adu[t] == b.adu[t];
        assert!((0..5 * 250).chain(6 * 250 + 125..12 * 250).all(is_same), "{}", a.name);
    }
    // Of several draws the mean is nearer.
    let averaged = folder.at("averaged.hea");
    let mean = impute(&["--gap", "5..6.5", "--draws", "6", "--check", "--json", "--out", &averaged]).json();
    let of_six = over(&mean, "noise");
    assert!(of_six < noise, "{of_six} of six draws, {noise} of one");
    let header = std::fs::read_to_string(&averaged).expect("a header");
    assert!(header.contains("the mean of 6 draws"), "{header}");
    let told = impute(&["--gap", "5..6.5", "--check"]);
    assert_eq!((told.code, told.stdout.matches("RMSE").count()), (0, 36), "{}", told.stderr);

    // What is hidden throughout has no mean beat, and what is added was never there.
    let missing = impute(&["--missing", "V3", "--prior", "template", "--out", &folder.at("no.hea"), "--json"]).error();
    assert!(missing["error"].as_str().is_some_and(|text| text.contains("--prior noise")), "{missing}");
    let longer = folder.at("longer.hea");
    let added = impute(&["--forecast", "1.5", "--prior", "template", "--out", &longer, "--json"]).json();
    assert_eq!(added["drawn"]["V2"], 375, "{added}");
    let longer = read(&longer);
    assert_eq!(longer.sig_len, 12 * 250 + 375);
    assert!(longer.leads.iter().all(|lead| lead.n_missing() == 0));
}

#[test]
fn a_generator_that_knows_the_patient_says_so() {
    let folder = TempFolder::new("acquaintance");
    let data = prepared(&folder);
    let run = folder.at("run");
    assert_eq!(train(&data, "diffwave", &run).code, 0);
    // The table beside the records says whose they are; the prepared set, whose records were learned from.
    let set = npz::read(&data.join("data.npz")).expect("a data set");
    let is_learned = |k: usize| {
        let at = set.patient.iter().position(|patient| *patient == format!("p{k}")).expect("a patient of the set");
        set.split[at] == Split::Train
    };
    let place = |k: usize| -> PathBuf { folder.path().join(format!("records/{k}/syn_000000")) };
    let [known, other] = [true, false].map(|is| (0..6).find(|&k| is_learned(k) == is).expect("a record of each kind"));
    let calls: [(&str, &[&str]); 3] =
        [("edit", &["--strength", "0.1"]), ("impute", &["--gap", "1..2"]), ("denoise", &["--noise", "0.02"])];
    for (verb, options) in calls {
        for (k, is_known) in [(known, true), (other, false)] {
            let (record, out) = (place(k), folder.at(&format!("{verb}{k}.hea")));
            let call = [verb, text(&record), "--model", &run, "--out", &out, "--json"];
            let done = einthoven(call.iter().chain(options));
            let found = done.json();
            assert_eq!((&found["patient"], &found["trained_on_patient"]), (&format!("p{k}").into(), &is_known.into()));
            assert_eq!(done.stderr.contains("was trained on this record's patient"), is_known, "{}", done.stderr);
        }
    }
    let elsewhere = simulated(&folder, "elsewhere", &["--seconds", "5", "--fs", "100"]);
    let edit = |name: &str, more: &[&str]| {
        let out = folder.at(name);
        let call = ["edit", text(&elsewhere), "--strength", "0.1", "--model", &run, "--out", &out, "--json"];
        einthoven(call.iter().chain(more)).json()
    };
    let unknown = edit("a.hea", &[]);
    assert!(unknown["patient"].is_null() && unknown["trained_on_patient"].is_null(), "{unknown}");
    assert_eq!(edit("b.hea", &["--patient", &format!("p{known}")])["trained_on_patient"], true);
}
