//! `convert`: round trips, the synthetic mark in every pair of formats, and no silent overwriting.

use std::path::Path;

use einthoven::record::{self, ReadOptions};

use super::command::{TempFolder, einthoven};
use super::delineate::cut_in_half;
use super::inspect::write_record;

const MARK: &str = "Synthetic: yes";

#[test]
fn a_round_trip_keeps_points_annotations_and_the_synthetic_mark() {
    let folder = TempFolder::new("convert");
    write_record(&folder.path().join("syn_a.hea"), &[MARK, "Generator: test"]);
    let before = record::read(folder.path().join("syn_a.hea"), &ReadOptions::strict()).expect("sound");
    for chain in [
        ["syn_b.csv", "syn_c.hea"],
        ["syn_d.hea", "syn_e.csv"],
        ["syn_f.csv", "syn_g.csv"],
        ["syn_h.edf", "syn_i.dcm"],
        ["syn_j.xml", "syn_k.parquet"],
        ["syn_l.npz", "syn_m.hea"],
    ] {
        let mut from = folder.at("syn_a.hea");
        for to in chain {
            let to = folder.at(to);
            let done = einthoven(["convert", &from, &to, "--json"]);
            assert_eq!(done.json()["written"][0], to.as_str());
            let after = record::read(Path::new(&to), &ReadOptions::strict()).expect("sound");
            assert_eq!(after.leads[0].mv().expect("mV"), before.leads[0].mv().expect("mV"), "{to}");
            assert_eq!(after.annotations["atr"].len(), 3, "{to}");
            assert!(after.comments.iter().any(|comment| comment.trim() == MARK), "{to}: {:?}", after.comments);
            from = to;
        }
    }
}

#[test]
fn existing_files_are_replaced_only_with_force() {
    let folder = TempFolder::new("overwrite");
    write_record(&folder.path().join("a.hea"), &[]);
    write_record(&folder.path().join("b.hea"), &["the old one"]);
    let refused = einthoven(["convert", &folder.at("a.hea"), &folder.at("b.hea"), "--json"]);
    assert_eq!((refused.code, &refused.error()["code"]), (5, &"overwrite".into()));
    assert!(std::fs::read_to_string(folder.path().join("b.hea")).expect("a header").contains("the old one"));
    assert_eq!(einthoven(["convert", &folder.at("a.hea"), &folder.at("b.hea"), "--force"]).code, 0);
    assert!(!std::fs::read_to_string(folder.path().join("b.hea")).expect("a header").contains("the old one"));
}

#[test]
fn a_synthetic_data_set_becomes_marked_records() {
    let folder = TempFolder::new("plus");
    let drawn = ["sample", "beat-simulator", "-n", "4", "--label", "N,V", "--out", &folder.at("x.npz")];
    assert_eq!(einthoven(drawn).code, 0);
    let done = einthoven(["convert", &folder.at("x.npz"), &folder.at("plus"), "--json"]).json();
    assert_eq!(done["written"].as_array().map(Vec::len), Some(2));
    for name in ["syn_N", "syn_V"] {
        let record = record::read(folder.path().join("plus").join(name), &ReadOptions::strict()).expect("sound");
        assert_eq!((record.sig_len, record.annotations["atr"].len()), (512, 2));
        for wanted in [MARK, "Generator: beat-simulator", "Seed: 1", "Not for clinical use"] {
            assert!(
                record.comments.iter().any(|comment| comment.trim() == wanted),
                "{wanted} in {:?}",
                record.comments
            );
        }
    }
    let summary = einthoven(["inspect", &folder.at("x.npz"), "--json"]).json();
    assert_eq!((&summary["n_items"], &summary["provenance"]["synthetic"]), (&4.into(), &true.into()));
}

#[test]
fn half_a_file_is_refused_in_every_format_and_nothing_is_written() {
    let folder = TempFolder::new("convert-half");
    write_record(&folder.path().join("a.hea"), &[]);
    for (extension, code, position) in [
        ("csv", "X01", ":"),
        ("edf", "E04", "@236"),
        ("dcm", "C02", "@"),
        ("xml", "X03", ":"),
        ("parquet", "Q01", "@0"),
        ("npz", "X02", ""),
    ] {
        let whole = folder.at(&format!("a.{extension}"));
        assert_eq!(einthoven(["convert", &folder.at("a.hea"), &whole]).code, 0);
        // A text file may end after a whole row: two thirds fall into one.
        let bytes = std::fs::read(&whole).expect("a file");
        std::fs::write(&whole, &bytes[..bytes.len() * 2 / 3 + 1]).expect("writable");
        let out = folder.at("out.hea");
        let failed = einthoven(["convert", &whole, &out, "--json"]);
        let error = failed.error();
        assert_eq!((failed.code, &error["code"]), (3, &code.into()), "{extension}: {error}");
        assert!(error["position"].as_str().is_some_and(|place| place.contains(position)), "{extension}: {error}");
        assert!(error["path"].as_str().is_some_and(|path| path.ends_with(extension)), "{extension}: {error}");
        assert!(!Path::new(&out).exists(), "{extension}");
    }
}

#[test]
fn deviations_are_noted_or_refused_and_unknown_formats_named() {
    let folder = TempFolder::new("convert-strict");
    write_record(&folder.path().join("a.hea"), &[]);
    cut_in_half(&folder.path().join("a.dat"));
    let (from, to) = (folder.at("a.hea"), folder.at("b.csv"));
    let strict = einthoven(["convert", &from, &to, "--strict", "--json"]);
    assert_eq!((strict.code, &strict.error()["code"]), (3, &"D02".into()));
    assert!(!Path::new(&to).exists());
    let lenient = einthoven(["convert", &from, &to, "--json"]);
    assert!(lenient.json()["warnings"][0].as_str().is_some_and(|text| text.contains("[D02]")), "{}", lenient.stdout);
    for (to, code, said) in [
        ("c.foo", 2, "unknown record format \"foo\""),
        ("c", 2, "unknown record format"),
        ("none/c.csv", 4, "none/c.csv: No such file"),
    ] {
        let failed = einthoven(["convert", &from, &folder.at(to)]);
        assert_eq!(failed.code, code, "{to}");
        assert!(failed.stderr.contains(said), "{to}: {}", failed.stderr);
    }
    let missing = einthoven(["convert", &folder.at("none"), &folder.at("d.csv")]);
    assert_eq!(missing.code, 4);
    std::fs::write(folder.path().join("table.xlsx"), "x").expect("writable");
    for (other, said) in [("table.xlsx", "found a file of no known format"), ("", "found a folder, expected a record")]
    {
        let failed = einthoven(["convert", &folder.at(other), &folder.at("e.csv")]);
        assert_eq!(failed.code, 3, "{other}");
        assert!(failed.stderr.contains(said), "{other}: {}", failed.stderr);
    }
}
