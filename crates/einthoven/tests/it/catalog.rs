//! Databases of whole records, on their own files where those are at hand.

use std::path::Path;

use einthoven::dataset::catalog::{OpenOptions, database, nstdb};
use einthoven::dataset::label::label_set;
use einthoven::dataset::split::{self, Scheme};
use einthoven::dataset::window::{Copies, LeadPolicy, RecordOptions, Windows};
use einthoven::dataset::{Dataset, Preparation, Split, npz, prepare};
use einthoven::record::lead_law::TWELVE;
use einthoven::{Error, Seed};

use super::folder::{TempFolder, data_folder};

/// Opens a database with its usual options, changed by `change`.
pub fn open(name: &str, folder: &Path, change: impl FnOnce(&mut OpenOptions)) -> einthoven::Result<Dataset> {
    let database = database(name)?;
    let mut options = OpenOptions::of(database)?;
    change(&mut options);
    let data = database.open(folder, &options)?;
    data.validate()?;
    Ok(data)
}

fn n_patients(data: &Dataset) -> usize {
    data.patient.iter().collect::<std::collections::BTreeSet<_>>().len()
}

fn counts(data: &Dataset) -> Vec<usize> {
    let mut sum = vec![0; data.n_labels()];
    for part in [Split::Train, Split::Validation, Split::Test] {
        data.label_counts(part).into_iter().zip(&mut sum).for_each(|(n, sum)| *sum += n);
    }
    sum
}

fn count_of(data: &Dataset, label: &str) -> usize {
    counts(data)[data.label_names.iter().position(|name| name == label).expect("a label")]
}

/// What the patient-disjoint preparation of a database looks like, through the library's one call.
fn preparation(name: &str, folder: &Path, whole: RecordOptions) -> Preparation {
    Preparation {
        database: name.into(),
        folder: folder.into(),
        labels: String::new(),
        split: String::new(),
        seed: 1,
        high_pass_hz: None,
        records: Vec::new(),
        whole,
    }
}

#[test]
fn l9_ptbxl_counts_are_those_of_its_table_in_every_fold() {
    let Some(folder) = data_folder("ptbxl") else { return };
    let keep = |options: &mut OpenOptions| options.whole.copies = Some(Copies::Refuse);
    let data = open("ptbxl", &folder, keep).expect("opened");
    assert_eq!((data.len(), n_patients(&data), data.sig_len, data.fs_hz), (397, 369, 1000, 100.0));
    assert_eq!(data.leads, TWELVE);
    assert_eq!(data.label_names, ["NORM", "MI", "STTC", "CD", "HYP"]);
    assert_eq!(data.label_counts(Split::Train), [179, 36, 46, 46, 20]);
    assert_eq!(data.label_counts(Split::Validation), [29, 14, 16, 7, 6]);
    assert_eq!(data.label_counts(Split::Test), [27, 7, 12, 9, 4]);
    assert_eq!(data.provenance["n_items_without_label"], 11);
    assert_eq!(data.provenance["license"], "CC-BY-4.0");
    // One pair of copies lies under two patients, which no split may accept.
    let error = split::split(&data, Scheme::Inter, Seed::new(1)).expect_err("145 is 463");
    assert_eq!((error.code(), error.exit_code()), (Some("X07"), 5));
    assert!(error.to_string().contains("145 of") && error.to_string().contains("463 of"), "{error}");

    let mut options = OpenOptions::of(database("ptbxl").expect("entry")).expect("options");
    options.labels = label_set("rhythm").expect("set");
    options.whole.copies = Some(Copies::Refuse);
    options.whole.fs_hz = Some(500.0);
    let high = database("ptbxl").expect("entry").open(&folder, &options).expect("500 Hz");
    assert_eq!((high.len(), high.sig_len, high.provenance["n_rows_without_file"].as_u64()), (220, 5000, Some(177)));
    options.whole.fs_hz = None;
    options.whole.leads = Some(LeadPolicy::Named(vec!["II".into()]));
    let rhythm = database("ptbxl").expect("entry").open(&folder, &options).expect("rhythm");
    for (code, n) in [("SR", 326), ("SARRH", 21), ("AFIB", 10), ("SBRAD", 7), ("AFLT", 6), ("PACE", 5), ("STACH", 4)] {
        assert_eq!(count_of(&rhythm, code), n, "{code}");
    }
}

#[test]
fn x07_prepare_leaves_the_copies_of_ptbxl_out_by_name() {
    let Some(folder) = data_folder("ptbxl") else { return };
    let scratch = TempFolder::new("prepare-ptbxl");
    let prepared = prepare(&preparation("ptbxl", &folder, RecordOptions::default()), scratch.path()).expect("prepared");
    let data = npz::read(&prepared.npz).expect("read back");
    let dropped: Vec<&str> = data.provenance["dropped_copies"]
        .as_array()
        .expect("list")
        .iter()
        .filter_map(|pair| pair["dropped"].as_str())
        .collect();
    assert_eq!(dropped, ["138", "144", "457", "460", "463"]);
    assert_eq!((data.len(), data.provenance["split"]["scheme"].as_str()), (392, Some("inter")));
    assert_eq!(data.provenance["release"]["is_whole"], false);
}

#[test]
fn ptbxl_more_is_the_later_release_and_likelihoods_narrow_it() {
    let Some(folder) = data_folder("ptbxl-more") else { return };
    let one_lead = |options: &mut OpenOptions| {
        options.whole.copies = Some(Copies::Refuse);
        options.whole.leads = Some(LeadPolicy::Named(vec!["I".into()]));
    };
    let data = open("ptbxl", &folder, one_lead).expect("opened");
    assert_eq!((data.len(), n_patients(&data)), (1989, 1946));
    assert_eq!(counts(&data), [923, 486, 467, 415, 242]);
    assert_eq!(data.label_counts(Split::Test), [99, 63, 61, 53, 26]);
    assert_eq!(data.provenance["n_items_without_label"], 35);
    assert_eq!(data.provenance["release"]["name"], "1.0.2 or 1.0.3");
    assert_eq!(data.provenance["signals_folder"], "records100_from500");
    let sure = open("ptbxl", &folder, |options| {
        one_lead(options);
        options.whole.min_likelihood = 100.0;
    });
    let sure = counts(&sure.expect("opened"));
    assert!(sure.iter().zip(counts(&data)).all(|(sure, all)| *sure < all && *sure > 0), "{sure:?}");
}

#[test]
fn x06_cinc2021_mixes_rates_and_l1_names_no_patients() {
    let Some(folder) = data_folder("cinc2021") else { return };
    let error = open("cinc2021", &folder, |_| ()).expect_err("PTB has 1000 Hz");
    assert_eq!((error.code(), error.exit_code()), (Some("X06"), 3));
    let text = error.to_string();
    assert!(text.contains("2 x (1000 Hz") && text.contains("--fs"), "{text}");
    let at_500 = |options: &mut OpenOptions| {
        options.whole = RecordOptions {
            fs_hz: Some(500.0),
            windows: Windows::First,
            keep_unusable: true,
            ..RecordOptions::default()
        };
        options.labels = label_set("as-given").expect("set");
    };
    let data = open("cinc2021", &folder, at_500).expect("resampled");
    assert_eq!((data.len(), data.sig_len, data.leads.len()), (96, 5000, 12));
    let sources = &data.provenance["sources"];
    for (source, n) in [("chapman_shaoxing", 10), ("ningbo", 20), ("georgia", 20), ("cpsc_2018", 10), ("ptb", 2)] {
        assert_eq!(sources[source], n, "{source}");
    }
    // Counts by code are those of the table beside the records.
    let table = einthoven::dataset::table::Table::read(&folder.join("dx_codes.csv")).expect("table");
    let (code, n) = (table.column("snomed_ct").expect("code"), table.column("records_here").expect("count"));
    for row in &table.rows {
        assert_eq!(count_of(&data, &row.cells[code]).to_string(), row.cells[n], "{}", row.cells[code]);
    }
    assert_eq!(table.rows.len(), data.n_labels());
    let error = split::split(&data, Scheme::FiveFold { fold: 0 }, Seed::new(1)).expect_err("no patients");
    assert_eq!(error.code(), Some("L1"));
    let stated = |copies: Copies| {
        open("cinc2021", &folder, |options| {
            at_500(options);
            options.whole.keep_unusable = false;
            options.whole.one_record_per_patient = true;
            options.whole.copies = Some(copies);
        })
        .expect("opened")
    };
    let data = stated(Copies::Refuse);
    assert_eq!((data.len(), data.provenance["left_out_records"]["flat lead"].as_u64()), (94, Some(2)));
    // Two of the Georgia records are the same 60,000 numbers.
    let error = split::split(&data, Scheme::FiveFold { fold: 0 }, Seed::new(1)).expect_err("a copy");
    assert!(error.code() == Some("X07") && error.to_string().contains("E07509 of E07509 and E07510"), "{error}");
    let data = stated(Copies::Drop);
    assert_eq!(data.len(), 93);
    split::split(&data, Scheme::FiveFold { fold: 0 }, Seed::new(1)).expect("one record per patient is stated");
}

#[test]
fn chapman_and_ptbxl_share_the_merged_rhythms() {
    let Some(folder) = data_folder("cinc2021") else { return };
    let data = open("chapman", &folder, |options| options.whole.fs_hz = Some(100.0)).expect("opened");
    assert_eq!((data.sig_len, n_patients(&data)), (1000, data.len()));
    assert!(data.record.iter().all(|record| record.starts_with("JS")));
    assert!((0..data.len()).all(|i| data.labels_of(i).count() == 1));
    let left_out: u64 =
        data.provenance["left_out_records"].as_object().expect("map").values().filter_map(|n| n.as_u64()).sum();
    assert_eq!(data.len() as u64 + left_out, 30);
    let Some(folder) = data_folder("ptbxl") else { return };
    let mut ptbxl = open("ptbxl", &folder, |options| {
        options.labels = label_set("merged-rhythm").expect("set");
        options.whole.copies = Some(Copies::Refuse);
    })
    .expect("opened");
    // Two records name several of the rhythms and 25 none.
    assert_eq!(counts(&ptbxl), [326, 6, 4, 20, 9, 5, 0]);
    let left_out = &ptbxl.provenance["left_out_records"];
    assert_eq!(
        (left_out["several of the classes"].as_u64(), left_out["none of the classes"].as_u64()),
        (Some(2), Some(25))
    );
    ptbxl.append(&data).expect("same leads, rate, length and labels");
}

#[test]
fn ludb_rhythms_and_amplitudes_that_keep_einthovens_law() {
    let Some(folder) = data_folder("ludb") else { return };
    let data = open("ludb", &folder, |_| ()).expect("opened");
    assert_eq!((data.len(), n_patients(&data), data.sig_len, data.fs_hz), (160, 160, 5000, 500.0));
    assert_eq!(data.leads, TWELVE);
    for (code, n) in [("SR", 115), ("SBRAD", 20), ("AFIB", 11), ("SARRH", 8), ("AFLT", 3), ("STACH", 3), ("PACE", 8)] {
        assert_eq!(count_of(&data, code), n, "{code}");
    }
    let worst = (0..data.len())
        .flat_map(|i| {
            let item = data.item(i);
            let lead = move |k: usize, t: usize| item[k * 5000 + t];
            (0..5000).map(move |t| (lead(0, t) - lead(1, t) + lead(2, t)).abs())
        })
        .fold(0f32, f32::max);
    // Zero in counts; what remains is the rounding of three f32 values of a few mV.
    assert!(worst < 2e-6, "{worst}");
    let sexes = open("ludb", &folder, |options| options.labels = label_set("sex").expect("set")).expect("opened");
    assert_eq!(counts(&sexes), [69, 91]);
}

#[test]
fn cinc2017_has_four_classes_and_known_deviations() {
    let Some(folder) = data_folder("cinc2017") else { return };
    // A saturated lead says something of this device, and the counts are those of all records.
    let all = |options: &mut OpenOptions| {
        options.whole.keep_unusable = true;
        options.whole.seconds = Some(9.0);
        options.whole.windows = Windows::First;
    };
    let data = open("cinc2017", &folder, all).expect("opened");
    assert_eq!((data.len(), data.sig_len, data.fs_hz), (200, 2700, 300.0));
    assert_eq!(counts(&data), [100, 33, 47, 20]);
    assert!(data.patient.iter().all(String::is_empty));
    let codes: Vec<&str> =
        data.provenance["waivers"].as_array().expect("list").iter().filter_map(|w| w["code"].as_str()).collect();
    assert_eq!(codes, ["W23", "W32"]);
    let scratch = TempFolder::new("prepare-cinc2017");
    let error =
        prepare(&preparation("cinc2017", &folder, RecordOptions::default()), scratch.path()).expect_err("no patients");
    assert_eq!((error.code(), error.exit_code()), (Some("L1"), 5));
    let stated = RecordOptions { one_record_per_patient: true, ..RecordOptions::default() };
    let prepared = prepare(&preparation("cinc2017", &folder, stated), scratch.path()).expect("stated");
    assert_eq!(prepared.data.provenance["one_record_per_patient"], true);
}

#[test]
fn ecgid_persons_are_its_patients() {
    let Some(folder) = data_folder("ecgid") else { return };
    let data = open("ecgid", &folder, |options| options.whole.seconds = Some(20.0)).expect("opened");
    assert_eq!((data.len(), n_patients(&data), data.sig_len, data.fs_hz), (86, 29, 10_000, 500.0));
    assert_eq!(data.leads, ["I"]);
    assert!(data.patient.iter().all(|patient| data.patient.iter().filter(|other| *other == patient).count() >= 2));
    let scratch = TempFolder::new("prepare-ecgid");
    prepare(&preparation("ecgid", &folder, RecordOptions::default()), scratch.path()).expect("persons kept apart");
}

#[test]
fn qtdb_windows_carry_their_beats_and_the_patients_of_mitbih() {
    let Some(folder) = data_folder("qtdb") else { return };
    let data = open("qtdb", &folder, |_| ()).expect("opened");
    // Five records of 15 minutes in windows of ten seconds; two end one point too early for the last one.
    assert_eq!((data.len(), data.sig_len, data.fs_hz, data.leads.len()), (448, 2500, 250.0, 2));
    assert_eq!(data.provenance["dropped_windows"]["shorter than the window"], 2);
    let of = |record: &str| data.record.iter().position(|name| name == record).expect("windows");
    assert_eq!(data.patient[of("sel100")], "mitdb-100");
    assert_eq!(data.patient[of("sele0104")], "qtdb-sele0104");
    // 100 has 19 premature atrial beats in its excerpt and no ventricular one.
    let (s, v) = (1, 2);
    let with = |record: &str, class: usize| {
        (0..data.len()).filter(|&i| data.record[i] == record && data.labels_of(i).any(|c| c == class)).count()
    };
    assert!((1..=19).contains(&with("sel100", s)) && with("sel100", v) == 0);
    assert!(with("sel213", v) > 0 && with("sel16265", v) == 0);
    let scratch = TempFolder::new("prepare-qtdb");
    let prepared =
        prepare(&preparation("qtdb", &folder, RecordOptions::default()), scratch.path()).expect("five folds");
    assert_eq!(prepared.data.provenance["split"]["scheme"], "five-fold:0");
}

#[test]
fn nstdb_is_noise_to_be_scaled() {
    let Some(folder) = data_folder("nstdb") else { return };
    let noise = nstdb::noise(&folder, "ma").expect("read");
    assert_eq!((noise.fs_hz, noise.adu.len(), noise.adu[0].len()), (360.0, 2, 650_000));
    assert!(matches!(nstdb::noise(&folder, "xx"), Err(Error::Unknown { kind: "noise", .. })));
    let scratch = TempFolder::new("prepare-nstdb");
    let prepared = prepare(&preparation("nstdb", &folder, RecordOptions::default()), scratch.path()).expect("whole");
    let data = prepared.data;
    assert_eq!(data.label_names, ["bw", "em", "ma"]);
    assert_eq!(counts(&data), [180, 0, 180]);
    assert!(data.split.iter().all(|part| *part == Split::Train));
    assert!(data.provenance["amplitude"].as_str().is_some_and(|text| text.contains("uncalibrated")));
}

#[test]
fn labels_of_another_kind_are_refused_with_those_that_fit() {
    let Some(folder) = data_folder("ludb") else { return };
    let error = open("ludb", &folder, |options| options.labels = label_set("aami").expect("set")).expect_err("beats");
    assert!(matches!(&error, Error::Config { key, reason } if key == "labels" && reason.contains("merged-rhythm")));
    let error = open("ludb", &folder, |options| options.records = vec!["201".into()]).expect_err("200 records");
    assert!(matches!(error, Error::Unknown { kind: "record", .. }));
    let error = open("ludb", &folder, |options| options.whole.seconds = Some(f64::NAN)).expect_err("no number");
    assert!(matches!(error, Error::Config { .. }));
}
