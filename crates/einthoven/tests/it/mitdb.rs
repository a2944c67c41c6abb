//! Data sets of the MIT-BIH Arrhythmia Database, on its own files, and MIT-BIH-PLUS.

use einthoven::Seed;
use einthoven::dataset::catalog::{OpenOptions, database, mitdb};
use einthoven::dataset::label::NINE_SYMBOL;
use einthoven::dataset::split::{self, Scheme};
use einthoven::dataset::{self, Dataset, Preparation, Split, guard, npz};
use einthoven::record::WriteOptions;
use serde_json::json;

use super::dataset::{Scratch, drawn, mitdb_folder, noise};

/// Rows of EXPECTED.csv: record, leads, number of beats, and the counts of N, S, V, F and Q.
fn expected(folder: &std::path::Path) -> Vec<(String, [String; 2], usize, Vec<usize>)> {
    let text = std::fs::read_to_string(folder.join("EXPECTED.csv")).expect("beside the records");
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |k: usize| cells[k].parse().expect("a count");
        (cells[0].into(), [cells[2].into(), cells[3].into()], number(11), (12..17).map(number).collect())
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn mitdb_counts_are_those_of_an_independent_reader() {
    let Some(folder) = mitdb_folder() else { return };
    let data = database("mitdb").expect("entry").open(&folder, &OpenOptions::default()).expect("opened");
    data.validate().expect("axes agree");
    assert_eq!((data.leads.clone(), data.sig_len, data.fs_hz), (vec!["MLII".to_string()], 256, 360.0));
    assert_eq!(data.provenance["files_as_published"], true);
    assert_eq!(data.provenance["synthetic"], false);
    assert_eq!(data.provenance["license"], "ODC-By-1.0");
    let mut n_edge = 0;
    for (record, _, n_beats, counts) in expected(&folder) {
        let here: Vec<usize> = (0..data.len()).filter(|&i| data.record[i] == record).collect();
        let entry = &data.provenance["records"][&record];
        if mitdb::PACED.contains(&record.as_str()) {
            assert!(here.is_empty());
            assert_eq!(data.provenance["left_out_records"][&record], "paced");
            continue;
        }
        // Every annotated beat has an AAMI class, so only windows across an edge may be missing.
        let dropped = entry["dropped"]["window_crosses_edge"].as_u64().expect("a count") as usize;
        assert!(dropped <= 3, "{record}: {dropped}");
        assert_eq!(here.len() + dropped, n_beats, "{record}");
        assert_eq!(entry["n_annotated_beats"], n_beats);
        let mut kept = vec![0; 5];
        for &i in &here {
            kept[data.class(i).expect("one label")] += 1;
        }
        let missing: usize =
            kept.iter().zip(&counts).map(|(kept, all)| all.checked_sub(*kept).expect("no more than there are")).sum();
        assert_eq!(missing, dropped, "{record}: {kept:?} of {counts:?}");
        n_edge += dropped;
    }
    assert_eq!(data.provenance["dropped"]["window_crosses_edge"], n_edge);
    // 44 records: 100,733 beats in all (README: 109,494 less those of the paced records).
    let paced: usize =
        expected(&folder).iter().filter(|row| mitdb::PACED.contains(&row.0.as_str())).map(|row| row.2).sum();
    assert_eq!(data.len() + n_edge, 109_494 - paced);
}

#[test]
fn mitdb_windows_hold_the_r_annotation_in_mv_from_mlii_by_name() {
    let Some(folder) = mitdb_folder() else { return };
    let options = OpenOptions { records: vec!["100".into(), "114".into()], ..OpenOptions::default() };
    let data = database("mitdb").expect("entry").open(&folder, &options).expect("opened");
    for (name, channel) in [("100", 0), ("114", 1)] {
        let record =
            einthoven::record::read(folder.join(name), &einthoven::record::ReadOptions::strict()).expect("read");
        let lead = &record.leads[channel];
        let i = data.record.iter().position(|record| record == name).expect("beats") + 5;
        let r = usize::try_from(data.index[i]).expect("a position");
        // Gain 200 adu/mV and baseline 1024 in every record.
        let from_adu: Vec<f32> =
            lead.adu[r - 128..r + 128].iter().map(|&adu| ((f64::from(adu) - 1024.0) / 200.0) as f32).collect();
        assert_eq!(data.item(i), from_adu);
    }
    // Record 100 begins with beats at points 77, 370, 662 and 946; the first window would cross the edge.
    assert_eq!(data.index[..3], [370, 662, 946]);
    let rr = data.rr_s.as_ref().expect("rhythm")[0];
    assert_eq!(rr, [(293.0 / 360.0) as f32, (292.0 / 360.0) as f32]);
}

#[test]
fn mitdb_nine_symbols_keep_paced_records_and_count_what_the_set_lacks() {
    let Some(folder) = mitdb_folder() else { return };
    let options = OpenOptions { labels: &NINE_SYMBOL, ..OpenOptions::default() };
    let data = database("mitdb").expect("entry").open(&folder, &options).expect("opened");
    let left_out = data.provenance["left_out_records"].as_object().expect("a table");
    assert_eq!(
        left_out.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or(""))).collect::<Vec<_>>(),
        [("102", "no lead MLII"), ("104", "no lead MLII")]
    );
    let counts = data.class_counts(Split::Train).expect("counts");
    // README, whole database: N 75,052, L 8,075, R 7,259, A 2,546, V 7,130, / 7,028, F 803, j 229, E 106;
    // records 102 and 104 hold 262 N, 6 V and 3,408 paced beats, and some windows cross an edge.
    for (have, all) in counts.iter().zip([75_052usize, 8_075, 7_259, 2_546, 7_130, 7_028, 803, 229, 106]) {
        assert!(*have <= all);
    }
    assert_eq!((counts[6], counts[7], counts[8]), (802, 229, 106));
    let lacking = &data.provenance["dropped"]["symbol_not_in_label_set"];
    assert_eq!(
        (&lacking["a"], &lacking["J"], &lacking["e"], &lacking["S"]),
        (&json!(150), &json!(83), &json!(16), &json!(2))
    );
    let error = split::assign(&data, Scheme::Inter, Seed::new(1)).expect_err("intra-patient only");
    assert_eq!(error.code(), Some("L8"));
    split::split(&data, Scheme::IntraPatient, Seed::new(1)).expect("allowed");
}

#[test]
fn mitdb_splits_pass_the_guard_without_real_duplicates() {
    let Some(folder) = mitdb_folder() else { return };
    let data = database("mitdb").expect("entry").open(&folder, &OpenOptions::default()).expect("opened");
    let inter = split::split(&data, Scheme::Inter, Seed::new(1)).expect("split");
    let start = std::time::Instant::now();
    assert_eq!(guard::check(&inter).expect("clean"), []);
    println!("guard on {} beats: {:.2} s", inter.len(), start.elapsed().as_secs_f64());
    for (part, classes) in [(Split::Train, 5), (Split::Validation, 5), (Split::Test, 5)] {
        let counts = inter.class_counts(part).expect("counts");
        println!("{}: {counts:?}", part.name());
        assert_eq!(counts.iter().filter(|count| **count > 0).count(), classes);
    }
    // decisions: 213 holds 93 % of DS2's F and 232 holds 75 % of its S.
    let support = split::class_support(&inter, Split::Test).expect("support");
    assert_eq!((support[3].largest_patient.as_str(), (100.0 * support[3].largest_share).round()), ("mitdb-213", 93.0));
    assert_eq!((support[1].largest_patient.as_str(), (100.0 * support[1].largest_share).round()), ("mitdb-232", 75.0));
    assert!(!support[3].insufficient.is_empty() && support[0].insufficient.is_empty());
    guard::check(&split::split(&data, Scheme::FiveFold { fold: 2 }, Seed::new(1)).expect("split")).expect("clean");
    guard::check(&split::split(&data, Scheme::Published, Seed::new(1)).expect("split")).expect("waived by name");
    // One test beat under a training record's name is found among 98,000.
    let mut leaky = inter.clone();
    let (from, to) = (
        inter.split.iter().rposition(|s| *s == Split::Test).expect("test"),
        inter.split.iter().position(|s| *s == Split::Train).expect("train"),
    );
    let beat: Vec<f32> = inter.item(from).iter().map(|x| 1.7 * x + 0.3).collect();
    leaky.ecg[to * 256..(to + 1) * 256].copy_from_slice(&beat);
    assert_eq!(guard::check(&leaky).expect_err("a copy").code(), Some("L3"));
}

#[test]
fn mitdb_high_pass_is_a_setting_that_the_provenance_names() {
    let Some(folder) = mitdb_folder() else { return };
    let open = |high_pass_hz| {
        let options = OpenOptions { records: vec!["100".into()], high_pass_hz, ..OpenOptions::default() };
        database("mitdb").expect("entry").open(&folder, &options).expect("opened")
    };
    let (raw, filtered) = (open(None), open(Some(0.5)));
    assert_eq!((&raw.provenance["high_pass_hz"], &filtered.provenance["high_pass_hz"]), (&json!(null), &json!(0.5)));
    let mean = |data: &Dataset| data.ecg.iter().map(|&x| f64::from(x)).sum::<f64>() / data.ecg.len() as f64;
    // Record 100 has an offset of about -0.3 mV, which a high-pass takes away.
    assert!(mean(&raw) < -0.2 && mean(&filtered).abs() < 0.1, "{} {}", mean(&raw), mean(&filtered));
}

#[test]
fn mitdb_damage_is_an_error_that_names_the_file() {
    let Some(folder) = mitdb_folder() else { return };
    let scratch = Scratch::new("mitdb-damage");
    for extension in ["hea", "dat", "atr"] {
        std::fs::copy(folder.join("100").with_extension(extension), scratch.0.join("100").with_extension(extension))
            .expect("copy");
    }
    let options = OpenOptions { records: vec!["100".into()], ..OpenOptions::default() };
    let open = || database("mitdb").expect("entry").open(&scratch.0, &options);
    assert_eq!(open().expect("whole").provenance["files_as_published"], true);
    let dat = scratch.0.join("100.dat");
    let mut bytes = std::fs::read(&dat).expect("bytes");
    bytes[1000] ^= 4;
    std::fs::write(&dat, &bytes).expect("write");
    let error = open().expect_err("the checksum differs");
    assert!(error.exit_code() == 3 && error.to_string().contains("100"), "{error}");
    std::fs::remove_file(&dat).expect("remove");
    let error = open().expect_err("missing");
    assert!(error.exit_code() == 4 && error.to_string().contains("100.dat"), "{error}");
}

#[test]
fn prepare_writes_the_same_bytes_twice_and_a_manifest_that_fits() {
    let Some(folder) = mitdb_folder() else { return };
    let preparation = Preparation {
        database: "mitdb".into(),
        folder,
        labels: "aami".into(),
        split: "inter".into(),
        seed: 1,
        high_pass_hz: None,
        records: Vec::new(),
        whole: Default::default(),
    };
    let scratch = Scratch::new("prepare");
    let [a, b] = ["a", "b"].map(|name| dataset::prepare(&preparation, &scratch.0.join(name)).expect("prepared"));
    for (a, b) in [(&a.npz, &b.npz), (&a.manifest, &b.manifest)] {
        assert!(std::fs::read(a).expect("bytes") == std::fs::read(b).expect("bytes"), "{} differs", a.display());
    }
    let back = npz::read(&a.npz).expect("read");
    assert_eq!(back, a.data);
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&a.manifest).expect("bytes")).expect("JSON");
    assert_eq!(manifest["fingerprint_sha256"], back.fingerprint());
    assert_eq!(manifest["n_items"], back.len());
    assert_eq!(manifest["parts"]["test"]["n_patients"], 22);
    assert_eq!(manifest["parts"]["train"]["n_patients"], 16);
    assert_eq!(manifest["provenance"]["split"]["scheme"], "inter");
}

#[test]
fn mitdb_plus_is_marked_annotated_and_reads_back_to_half_a_count() {
    let scratch = Scratch::new("plus");
    let mut data = drawn(&[3, 0, 2], &noise(&[("a", &[1, 1, 1])], 1));
    data.provenance["generator"] = json!("dgn");
    data.provenance["training_data"] = json!({ "source": "mitdb 1.0.0, DS1", "license": "ODC-By-1.0" });
    let paths = dataset::plus::write_plus(&scratch.0, &data, &WriteOptions::default()).expect("written");
    let names: Vec<String> =
        paths.iter().map(|path| path.file_name().expect("name").to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["syn_N.hea", "syn_V.hea"]);
    let record = einthoven::record::read(&paths[1], &einthoven::record::ReadOptions::strict()).expect("read");
    assert_eq!((record.fs_hz, record.sig_len, record.leads[0].gain_adu_per_unit), (360.0, 64, Some(1000.0)));
    let marks: Vec<(i64, &str)> = record.annotations["atr"].iter().map(|mark| (mark.sample, &*mark.symbol)).collect();
    assert_eq!(marks, [(16, "V"), (48, "V")]);
    let mv = record.lead("MLII").expect("lead").mv().expect("mV");
    for (x, y) in mv.iter().zip(data.item(3).iter().chain(data.item(4))) {
        assert!((x - y).abs() <= 0.000_501, "{x} {y}");
    }
    for line in [
        "Synthetic: yes",
        "Generator: dgn",
        "Training data: mitdb 1.0.0, DS1",
        "License of the training data: ODC-By-1.0",
        "Not for clinical use",
    ] {
        assert!(record.comments.iter().any(|comment| comment.trim() == line), "{line}: {:?}", record.comments);
    }
    assert!(record.comments.iter().any(|comment| comment.contains("RR intervals are meaningless")));
    let real = noise(&[("a", &[1])], 1);
    let error = dataset::plus::write_plus(&scratch.0, &real, &WriteOptions::default()).expect_err("real");
    assert!(error.to_string().contains("real"), "{error}");
}
