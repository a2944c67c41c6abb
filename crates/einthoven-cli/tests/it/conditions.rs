//! `sample` with conditions: labels, numbers, words, rejection, and what is refused.

use std::path::Path;

use einthoven::dataset::condition::Sex;
use einthoven::dataset::{Dataset, npz};
use serde_json::Value;

use super::command::{Done, TempFolder, einthoven};

fn sample(out: &str, words: &[&str]) -> Done {
    einthoven(["sample", "dipole", "--out", out, "--force", "--json"].iter().chain(words))
}

fn read(out: &str) -> Dataset {
    npz::read(Path::new(out)).expect("a data set")
}

#[test]
fn numbers_and_labels_are_as_asked_for_whatever_the_batch() {
    let folder = TempFolder::new("asked");
    let words = ["-n", "6", "--label", "AFIB", "--hr", "110..140", "--axis", "-30..60", "--sex", "F", "--seed", "3"];
    let (a, b) = (folder.at("a.npz"), folder.at("b.npz"));
    let found = sample(&a, &words).json();
    assert_eq!((&found["n_items"], &found["counts"]["af"]), (&6.into(), &6.into()));
    let set = read(&a);
    for i in 0..6 {
        let facts = set.conditions(i).facts;
        assert!(facts.hr_bpm.is_some_and(|hr| (110.0..=140.0).contains(&hr)), "{facts:?}");
        assert!(facts.axis_deg.is_some_and(|axis| (-30.0..=60.0).contains(&axis)), "{facts:?}");
        assert_eq!((facts.sex, facts.pr_ms), (Some(Sex::Female), None));
    }
    assert_eq!(sample(&b, &[&words[..], &["--batch", "1"]].concat()).code, 0);
    assert_eq!(std::fs::read(&a).expect("a file"), std::fs::read(&b).expect("a file"));
    // Item 4 by itself is item 4.
    let mut one = words;
    one[1] = "1";
    assert_eq!(sample(&b, &[&one[..], &["--first", "4"]].concat()).code, 0);
    assert_eq!((read(&b).item(0), read(&b).conditions(0)), (set.item(4), set.conditions(4)));
    let delivered = found["delivered"].as_array().expect("a list");
    assert_eq!(delivered.iter().map(|d| d["fact"].clone()).collect::<Vec<Value>>(), ["hr", "axis"]);
    assert_eq!(found["provenance"]["delivery"]["delivered"], found["delivered"]);
    let quantiles = delivered[0]["error_quantiles"].as_array().expect("a distribution");
    assert_eq!(quantiles.len(), 5);
    assert!(delivered[0]["within_tolerance"].as_f64().is_some_and(|share| share >= 0.5), "{found}");
}

#[test]
fn exact_items_are_within_their_tolerance_and_the_rest_is_counted() {
    let folder = TempFolder::new("exact");
    let words = ["-n", "5", "--label", "sinus", "--hr", "60..90", "--qrs", "90..110", "--exact"];
    let (a, b) = (folder.at("a.npz"), folder.at("b.npz"));
    let found = sample(&a, &words).json();
    assert!(found["delivered"].as_array().expect("a list").iter().all(|d| d["within_tolerance"] == 1.0), "{found}");
    let acceptance = &found["acceptance"];
    assert_eq!(acceptance["n_accepted"], 5);
    assert!(acceptance["n_drawn"].as_u64().is_some_and(|n| n >= 5), "{acceptance}");
    assert_eq!(sample(&b, &[&words[..], &["--batch", "2"]].concat()).code, 0);
    assert_eq!(read(&a), read(&b));
    for (words, wanted) in [
        (&["-n", "1", "--label", "sinus", "--exact"][..], "nothing is asked for that can be measured"),
        (&["-n", "1", "--label", "sinus", "--age", "50", "--exact"], "nothing is asked for that can be measured"),
        (&["-n", "1", "--label", "sinus", "--hr", "60", "--exact", "--tries", "0"], "expected at least 1"),
    ] {
        let error = sample(&folder.at("c.npz"), words).error();
        assert!(error["error"].as_str().is_some_and(|text| text.contains(wanted)), "{error}");
    }
}

#[test]
fn words_mean_what_they_say_or_are_refused() {
    let folder = TempFolder::new("words");
    let out = folder.at("a.npz");
    let text = ["-n", "2", "--text", "atrial fibrillation with fast rate, female, 70 years"];
    let done = sample(&out, &text);
    let found = done.json();
    assert_eq!((&found["counts"]["af"], found["understood"].as_array().map(Vec::len)), (&2.into(), Some(4)));
    assert!(done.stderr.contains("fast rate: hr 101 to 150 bpm"), "{}", done.stderr);
    let facts = read(&out).conditions(0).facts;
    assert_eq!((facts.age_years, facts.sex), (Some(70.0), Some(Sex::Female)));
    for (words, wanted) in [
        (&["--text", "a lovely ECG"][..], "\\\"lovely\\\""),
        (&["--text", "af, female", "--sex", "M"], "sex: is asked for twice"),
        (&["--text", "af", "--label", "sinus"], "--text and in --label"),
        (&["--hr", "900"], "15 to 350 bpm"),
        (&["--label", "af", "--pr", "160"], "pr"),
        (&["--label", "AFIB:0.5+sinus:0.5"], "whole labels"),
        (&["--site", "north"], "it knows label, hr, pr, qrs, qtc, axis, age, sex"),
    ] {
        let done = sample(&folder.at("b.npz"), &[&["-n", "1"], words].concat());
        assert_eq!(done.code, 2, "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(wanted), "{words:?}: {}", done.stderr);
    }
}

#[test]
fn what_a_simulated_set_knows_trains_and_prepare_measures() {
    let list = einthoven(["list", "generators", "--json"]).json();
    let entry =
        |name: &str| list.as_array().and_then(|list| list.iter().find(|g| g["name"] == name)).expect("an entry");
    let dipole = entry("dipole");
    assert!(dipole["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c == "qtc") && all[0] == "label"));
    assert!(dipole["parameters"]["fs_hz"].is_number() && dipole["n_weights"].is_null());
    // 50.20 M weights with 71 labels, of which 36 maps of 128 to 512 and the table of labels are 2.39 M.
    let published = entry("sssd-ecg")["n_weights"].as_u64().expect("a number");
    assert!((47_800_000..47_830_000).contains(&published), "{published}");

    let folder = TempFolder::new("measured");
    super::simulate::simulated(&folder, "records", &["-n", "3", "--rhythm", "sinus", "--hr", "75"]);
    let table = "record,patient,split,labels,age_years,site\nsyn_000000,a,train,SR,61,north\nsyn_000001,b,train,SR,,\n\
                 syn_000002,c,train,SR,40.5,south\n";
    std::fs::write(folder.path().join("records/labels.csv"), table).expect("writable");
    let (data, out) = (folder.at("records"), folder.at("prepared"));
    let done = einthoven(["prepare", "folder", "--data", &data, "--split", "whole", "--measure", "--out", &out]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let set = read(&format!("{out}/data.npz"));
    let of = |patient: &str| {
        set.patient.iter().position(|p| p == patient).map(|i| set.conditions(i).facts).expect("an item")
    };
    assert_eq!((of("a").age_years, of("a").site.as_deref(), of("b").age_years), (Some(61.0), Some("north"), None));
    for patient in ["a", "b", "c"] {
        assert!(of(patient).hr_bpm.is_some_and(|hr| (hr - 75.0).abs() < 3.0), "{:?}", of(patient));
    }
    let wrong = table.replace("61", "610");
    std::fs::write(folder.path().join("records/labels.csv"), wrong).expect("writable");
    let error = einthoven(["prepare", "folder", "--data", &data, "--out", &folder.at("no"), "--json"]).error();
    assert!(error["error"].as_str().is_some_and(|text| text.contains("age_years") && text.contains("610")), "{error}");
}

#[test]
fn what_contradicts_itself_is_told_on_a_line_and_drawn_all_the_same() {
    let folder = TempFolder::new("contradictions");
    let draw = |words: &[&str]| sample(&folder.at("x.npz"), &[&["-n", "1"], words].concat());
    let done = draw(&["--label", "NORM", "--hr", "110"]);
    let warning = "sinus with hr 110 bpm: sinus is by definition 60 to 100 bpm";
    assert_eq!(done.json()["warnings"], serde_json::json!([warning]));
    assert!(done.stderr.contains(&format!("warning: {warning}\n")), "{}", done.stderr);
    assert_eq!(draw(&["--label", "NORM", "--hr", "70"]).json()["warnings"], serde_json::json!([]));
}
