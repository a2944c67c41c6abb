//! `impute` of leads that a record lacks, and what its users need not say: the generator, and the format of the result.

use std::path::{Path, PathBuf};

use einthoven::record::lead_law::TWELVE;
use einthoven::record::{self, Annotation, ReadOptions, Record, WriteOptions};

use super::command::{TempFolder, einthoven, text};
use super::generation::{prepared, train};
use super::simulate::simulated;

fn read(path: &Path) -> Record {
    record::read(path.with_extension("hea"), &ReadOptions::default()).expect("a record")
}

/// A copy of a record that holds these leads alone, with a mark on the first of them.
fn of_leads(whole: &Path, leads: &[&str], out: &str) -> PathBuf {
    let mut record = read(whole);
    record.leads = leads.iter().map(|name| record.lead(name).expect("a lead").clone()).collect();
    record.annotations = [("atr".to_string(), vec![Annotation::new(100, "N")])].into();
    let path = whole.with_file_name(format!("{out}.hea"));
    record::write(&record, &path, &WriteOptions::default()).expect("a record");
    path.with_extension("")
}

fn names(record: &Record) -> Vec<&str> {
    record.leads.iter().map(|lead| lead.name.as_str()).collect()
}

#[test]
fn leads_that_a_record_lacks_are_filled_like_those_that_it_has() {
    let folder = TempFolder::new("absent");
    let data = prepared(&folder);
    let run = folder.at("run");
    assert_eq!(train(&data, "diffwave", &run).code, 0);
    let whole = simulated(&folder, "whole", &["--seconds", "9", "--fs", "250"]);
    let impute = |record: &Path, missing: &str, out: &str| {
        let out = folder.at(out);
        einthoven(["impute", text(record), "--model", &run, "--missing", missing, "--out", &out, "--json"])
    };
    let eleven = of_leads(&whole, &["V6", "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V4", "V5"], "eleven");
    let found = impute(&eleven, "v3", "filled").json();
    assert_eq!((&found["drawn"]["V3"], &found["derived"]), (&(9 * 250).into(), &serde_json::json!({})));
    let (before, after) = (read(&eleven), read(&folder.path().join("filled")));
    assert_eq!((names(&after), after.lead("V3").expect("a lead").n_missing()), (TWELVE.to_vec(), 0));
    for lead in &before.leads {
        assert_eq!(after.lead(&lead.name).expect("a lead").adu, lead.adu, "{}", lead.name);
    }
    assert_eq!(after.annotations["atr"][0].channel, 11, "the mark of V6");

    let two = of_leads(&whole, &["II", "I"], "two");
    let found = impute(&two, "aVF,V1..V6", "eight").json();
    assert_eq!((&found["derived"]["aVF"], &found["drawn"]["V6"]), (&2250.into(), &2250.into()));
    let after = read(&folder.path().join("eight"));
    assert_eq!(names(&after), ["I", "II", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]);
    let adu = |name: &str, t: usize| after.lead(name).expect("a lead").adu[t];
    assert!((0..2250).all(|t| adu("aVF", t) == 2 * adu("II", t) - adu("I", t)), "Goldberger, in counts");
    assert!(after.leads.iter().all(|lead| lead.n_missing() == 0));

    for (record, missing, wanted) in [
        (&eleven, "V9", "unknown lead \"V9\""),
        (&eleven, "V6..V1", "--missing: found \"V6..V1\""),
        (&two, "V3", "impute --missing V1 adds it"),
    ] {
        let error = impute(record, missing, "none").error();
        assert!(error["error"].as_str().is_some_and(|text| text.contains(wanted)), "{error}");
        assert!(!folder.path().join("none.hea").exists());
    }
}

#[test]
fn the_generator_and_the_format_need_not_be_named() {
    let folder = TempFolder::new("defaults");
    let record = simulated(&folder, "whole", &["--seconds", "10"]);
    let calls: [(&str, &[&str]); 3] =
        [("impute", &["--missing", "aVF"]), ("edit", &["--strength", "0"]), ("denoise", &["--noise", "0.02"])];
    for (verb, options) in calls {
        let call = |record: &str, out: &str| einthoven([verb, record, "--out", out].iter().chain(options));
        let out = folder.at(verb);
        let done = call(text(&record), &out);
        assert_eq!((done.code, done.stdout.lines().last()), (0, Some(&*format!("{out}.hea"))), "{}", done.stderr);
        assert_eq!(read(Path::new(&out)).leads.len(), 12);
        // What cannot be written is refused first, before the record is looked for.
        let exists = call("nowhere", &out);
        assert_eq!(exists.code, 5, "{}", exists.stderr);
        let unknown = call("nowhere", &folder.at("x.png"));
        assert_eq!(unknown.code, 2, "{}", unknown.stderr);
        assert!(unknown.stderr.contains("unknown record format \"png\""), "{}", unknown.stderr);
    }
}

#[test]
fn no_draws_are_refused_before_the_record_is_looked_for() {
    let call = |draws| einthoven(["impute", "nowhere", "--gap", "1..2", "--check", "--draws", draws, "--json"]).error();
    let none = call("0");
    assert_eq!((&none["exit_code"], &none["field"]), (&2.into(), &"--draws".into()), "{none}");
    assert_eq!(call("1")["exit_code"], 4);
}
