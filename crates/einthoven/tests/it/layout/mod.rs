//! Layouts of databases that no sample is at hand of, and folders of a user's own: made here in miniature.

#[cfg(feature = "hdf5")]
mod traces;

use std::fs;
use std::path::Path;

use einthoven::dataset::catalog::{database, deepfake, ptbxl_plus};
use einthoven::dataset::label::label_set;
use einthoven::dataset::split::{self, Scheme};
use einthoven::dataset::window::{Copies, LeadPolicy};
use einthoven::dataset::{Split, npz};
use einthoven::error::Position;
use einthoven::record::{Lead, Record, WriteOptions, write};
use einthoven::{Error, Seed};

use crate::catalog::open;
use crate::folder::TempFolder;

const MIMIC_ORDER: [&str; 12] = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"];

/// A record of noise whose lead `k` has amplitude `k + 1` microvolts at most, so that a lead shows what it is.
fn record(name: &str, leads: &[&str], fs_hz: f64, sig_len: usize, seed: u64) -> Record {
    let mut record = Record::new(name, fs_hz);
    record.sig_len = sig_len;
    for (k, lead) in leads.iter().enumerate() {
        let mut stream = Seed::new(seed).purpose("layout").index(k as u64).stream();
        let adu = (0..sig_len).map(|_| (stream.uniform() * 1000.0) as i32 + 1000 * (k as i32 + 1)).collect();
        record.leads.push(Lead::new(*lead, 1000.0, adu));
    }
    record
}

fn store(folder: &Path, path: &str, record: &Record) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    write(record, path, &WriteOptions::default()).expect("written");
}

fn input(error: &Error) -> &einthoven::error::InputError {
    match error {
        Error::Input(error) => error,
        other => panic!("found {other}, expected an input error"),
    }
}

#[test]
fn mimic_leads_go_by_name_in_the_standard_order() {
    let folder = TempFolder::new("mimic");
    let at = "files/p1000/p10000032/s40689238/40689238";
    store(folder.path(), &format!("{at}.hea"), &record("40689238", &MIMIC_ORDER, 500.0, 5000, 1));
    folder.file(
        "record_list.csv",
        format!("subject_id,study_id,file_name,ecg_time,path\n10000032,40689238,40689238,2180-07-23 08:44:00,{at}\n10000032,1,1,2180-07-23 08:44:00,files/p1000/p10000032/s1/1\n"),
    );
    folder.file(
        "machine_measurements.csv",
        "subject_id,study_id,report_0,report_1,rr_interval\n10000032,40689238,Sinus rhythm,\"Possible right atrial abnormality, old\",600\n",
    );
    let data = open("mimic-iv-ecg", folder.path(), |_| ()).expect("opened");
    assert_eq!((data.len(), data.patient[0].as_str()), (1, "mimic-iv-ecg-10000032"));
    assert_eq!(data.leads[4..6], ["aVL", "aVF"]);
    let mean = |k: usize| data.item(0)[k * 5000..(k + 1) * 5000].iter().sum::<f32>() / 5000.0;
    // The file has aVF fifth, at 5 to 6 mV, and aVL sixth.
    assert!((mean(5) - 5.5).abs() < 0.1 && (mean(4) - 6.5).abs() < 0.1, "{} {}", mean(4), mean(5));
    assert_eq!(data.labels_of(0).map(|class| data.label_names[class].as_str()).collect::<Vec<_>>(), ["SR"]);
    assert_eq!(data.provenance["n_rows_without_file"], 1);

    folder.file("record_list.csv", "subject_id,study_id,file_name,ecg_time,path\n1,2,3,4,../../etc/x\n");
    let error = open("mimic-iv-ecg", folder.path(), |_| ()).expect_err("outside");
    assert_eq!((input(&error).position, input(&error).field.as_str()), (Position::Line(2), "path"));
}

#[test]
fn a_folder_without_a_table_says_what_it_needs() {
    let folder = TempFolder::new("no-table");
    let error = open("folder", folder.path(), |_| ()).expect_err("empty");
    assert_eq!(error.exit_code(), 3);
    for word in ["labels.csv", "0 .npz files", "column record", "one .npz data set"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn deepfake_is_synthetic_and_lends_its_derived_leads() {
    let folder = TempFolder::new("deepfake");
    let line = "100 300 1 2 3 4 5 6\n";
    let rising: String = (0..5000).map(|t| format!("{} {} 1 2 3 4 5 {}\n", t % 97, 2 * (t % 97), t)).collect();
    folder.file("0.asc", &rising);
    folder.file("7.asc", rising.replace(" 1 2 3 4 5 ", " 1 2 4 8 9 "));
    folder.file(
        "filtered_all_normals_2_ground_truth.csv",
        "VentRate,pr,qrs,qt,avgrrinterval,patid\n60,150,90,400,1000,0\n",
    );
    let mut options_seen = None;
    let data = open("deepfake", folder.path(), |options| {
        options.whole.leads = Some(LeadPolicy::Named(["I", "II", "aVF"].map(String::from).into()));
        options.whole.keep_unusable = true;
        options_seen = Some(options.clone());
    })
    .expect("opened");
    assert_eq!((data.len(), data.leads.as_slice()), (2, ["I", "II", "aVF"].map(String::from).as_slice()));
    assert!((0..2).all(|i| data.is_generated(i)), "marked synthetic");
    assert_eq!(data.label_names, ["generated", "normal"]);
    // Microvolts to mV; aVF = II - I / 2.
    let (i, ii, avf) = (data.item(0)[5], data.item(0)[5005], data.item(0)[10_005]);
    assert!((i - 0.005).abs() < 1e-6 && (ii - 0.010).abs() < 1e-6 && (avf - 0.0075).abs() < 1e-6);
    assert_eq!(deepfake::ground_truth(folder.path()).expect("read").expect("there").rows.len(), 1);
    let error = split::split(&data, Scheme::FiveFold { fold: 0 }, Seed::new(1)).expect_err("synthetic");
    assert_eq!(error.code(), Some("L4"));
    split::split(&data, Scheme::Whole, Seed::new(1)).expect("for training");
    let usual = open("deepfake", folder.path(), |options| options.whole.keep_unusable = true).expect("eight leads");
    assert_eq!(usual.leads.len(), 8);

    for (text, field, found) in [("1 2 3\n", "number of leads", "3"), ("1 2 3 4 5 6 7 inf\n", "amplitude", "\"inf\"")] {
        folder.file("9.asc", format!("{line}{text}"));
        let error = open("deepfake", folder.path(), |_| ()).expect_err("broken");
        let error = input(&error);
        assert_eq!((error.code, error.position, error.field.as_str()), ("X01", Position::Line(2), field));
        assert_eq!(error.found, found);
    }
}

#[test]
fn code15_reads_its_table_and_says_what_its_traces_need() {
    let folder = TempFolder::new("code15");
    let head =
        "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file\n";
    let row = |rest: &str| format!("{head}1169160,38,True,40.1,False,False,False,True,False,False,{rest}\n");
    folder.file("exams.csv", row("523632,False,2.1,True,exams_part13.hdf5"));
    let error = open("code15", folder.path(), |_| ()).expect_err("no traces");
    if cfg!(feature = "hdf5") {
        assert!(matches!(&error, Error::Data { reason, .. } if reason.contains("no recordings")), "{error}");
    } else {
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("1 exams") && error.to_string().contains("--features hdf5"), "{error}");
    }
    folder.file("exams.csv", row("523632,False,2.1,True,../x.hdf5"));
    let error = open("code15", folder.path(), |_| ()).expect_err("outside");
    assert_eq!((input(&error).code, input(&error).field.as_str()), ("X01", "trace_file"));
    folder.file(
        "exams.csv",
        format!(
            "{}1169161,38,False,1,False,False,False,True,False,False,523632,False,2,True,exams_part13.hdf5\n",
            row("523632,False,2.1,True,exams_part13.hdf5")
        ),
    );
    let error = open("code15", folder.path(), |_| ()).expect_err("two sexes");
    assert_eq!(error.code(), Some("X05"));
}

#[test]
fn ptbxl_plus_features_have_gaps_and_no_signals() {
    let folder = TempFolder::new("ptbxl-plus");
    fs::create_dir(folder.path().join("features")).expect("made");
    folder.file("features/12sl_features.csv", "ecg_id,P_Dur_Global,QRS_Dur_Global\n1,110,92\n2,,nan\n");
    let features = ptbxl_plus::features(folder.path(), "12sl").expect("read");
    assert_eq!(
        (features.names, features.ecg_id),
        (vec!["P_Dur_Global".to_string(), "QRS_Dur_Global".into()], vec!["1".to_string(), "2".into()])
    );
    assert_eq!(features.values[..2], [110.0, 92.0]);
    assert!(features.values[2].is_nan() && features.values[3].is_nan());
    assert!(matches!(ptbxl_plus::features(folder.path(), "13sl"), Err(Error::Unknown { .. })));
    let options = einthoven::dataset::catalog::OpenOptions::default();
    let error = database("ptbxl-plus").expect("entry").open(folder.path(), &options).expect_err("no signals");
    assert!(matches!(error, Error::Unsupported { .. }));
}

/// Three records of two patients in two formats.
fn own_folder() -> TempFolder {
    let folder = TempFolder::new("own");
    for (k, name) in ["a", "b", "c"].into_iter().enumerate() {
        let extension = if name == "b" { "csv" } else { "hea" };
        store(folder.path(), &format!("{name}.{extension}"), &record(name, &["II", "I"], 250.0, 2500, k as u64));
    }
    folder
}

const TABLE: &str = "record,patient,split,sex,birth_year,labels,pvc_seen,comment\n\
    a,p1,train,female,1950,AFIB;164909002,0,x\nb.csv,p2,validation,male,1960,SR,1,y\nc,p3,test,male,1970,SR,,z\n";

#[test]
fn own_records_of_several_formats_become_a_data_set() {
    let folder = own_folder();
    folder.file("labels.csv", TABLE);
    let data = open("folder", folder.path(), |_| ()).expect("opened");
    assert_eq!((data.len(), data.sig_len, data.leads.clone()), (3, 2500, vec!["I".to_string(), "II".into()]));
    assert_eq!(data.split, [Split::Train, Split::Validation, Split::Test]);
    assert_eq!(data.label_names, ["164909002", "AFIB", "SR", "female", "male", "pvc_seen"]);
    assert_eq!(data.provenance["ignored_columns"], serde_json::json!(["comment"]));
    assert!(split::split(&data, Scheme::Inter, Seed::new(1)).is_ok());
    let statements = open("folder", folder.path(), |options| options.labels = label_set("ptbxl-all").expect("set"));
    let statements = statements.expect("opened");
    let first: Vec<&str> = statements.labels_of(0).map(|class| statements.label_names[class].as_str()).collect();
    assert_eq!(first, ["CLBBB", "AFIB"], "SNOMED CT and SCP codes in one column");

    let archive = TempFolder::new("own-npz");
    npz::write(&archive.path().join("data.npz"), &data).expect("written");
    let again = open("folder", archive.path(), |_| ()).expect("the one data set");
    assert_eq!(again, data);
    archive.file("labels.csv", "record,item,patient,labels\ndata.npz,1,p9,SBRAD\n");
    let one = open("folder", archive.path(), |_| ()).expect("one item of it");
    assert_eq!((one.len(), one.patient[0].as_str()), (1, "p9"));
    let worst = one.item(0).iter().zip(data.item(1)).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    // One nanovolt of quantization, and the rounding of f32 at a few mV.
    assert!(worst < 2e-6, "{worst}");
}

#[test]
fn tables_that_break_a_rule_are_refused_at_their_place() {
    let folder = own_folder();
    let rows = [
        ("X01_ragged", "record,patient\na,p1\nb.csv\n", "X01", 3, "number of cells"),
        ("X01_open_quote", "record,patient\na,\"p1\n", "X01", 2, "quoted cell"),
        ("X01_twice", "record,record\na,b\n", "X01", 1, "header"),
        ("X01_no_column", "file\na\n", "X01", 1, "header"),
        ("X01_split", "record,split\na,training\n", "X01", 2, "split"),
        ("X01_leaves", "record\n../a\n", "X01", 2, "record"),
        ("X01_absolute", "record\n/a\n", "X01", 2, "record"),
        ("X01_repeated", "record\na\na\n", "X01", 3, "record"),
    ];
    for (row, text, code, line, field) in rows {
        folder.file("labels.csv", text);
        let error = open("folder", folder.path(), |_| ()).expect_err(row);
        let error = input(&error);
        assert_eq!((error.code, error.position, error.field.as_str()), (code, Position::Line(line), field), "{row}");
    }
    folder.file("labels.csv", TABLE.replace("p3,test,male", "p2,test,female"));
    let error = open("folder", folder.path(), |_| ()).expect_err("two sexes");
    assert_eq!((error.code(), error.exit_code()), (Some("X05"), 5));
    assert!(error.to_string().contains("patient p2 with sex female and male"), "{error}");
    folder.file("labels.csv", TABLE.replace("p3,test", ",test"));
    let data = open("folder", folder.path(), |_| ()).expect("opened");
    assert_eq!(split::split(&data, Scheme::Inter, Seed::new(1)).expect_err("missing id").code(), Some("L1"));
    folder.file("labels.csv", TABLE);
    open("folder", folder.path(), |_| ()).expect("the mended table");
}

#[test]
fn x06_mixed_rates_leads_and_units_are_refused_unless_a_policy_is_given() {
    let folder = own_folder();
    let fast = record("d", &["II", "I"], 500.0, 5000, 9);
    let mut in_uv = record("e", &["II", "I"], 250.0, 2500, 10);
    in_uv.leads.iter_mut().for_each(|lead| {
        lead.units = "uV".into();
        lead.gain_adu_per_unit = Some(1.0);
    });
    let three = record("f", &["V1", "II", "I"], 250.0, 2500, 11);
    for (name, other, found, hint) in [
        ("d", &fast, "1 x (500 Hz, leads I II, mV)", "--fs"),
        ("e", &in_uv, "1 x (250 Hz, leads I II, uV)", "--convert-units"),
        ("f", &three, "1 x (250 Hz, leads V1 II I, mV)", "--leads"),
    ] {
        let found = found.replace("V1 II I", "I II V1");
        store(folder.path(), &format!("{name}.hea"), other);
        folder.file("labels.csv", format!("record,labels\na,x\nc,y\n{name},x\n"));
        let error = open("folder", folder.path(), |_| ()).expect_err(name);
        assert_eq!((input(&error).code, error.exit_code()), ("X06", 3));
        assert!(input(&error).found.contains("2 x (250 Hz, leads I II, mV)"), "{error}");
        assert!(input(&error).found.contains(&found) && input(&error).hint.contains(hint), "{error}");
        let data = open("folder", folder.path(), |options| match name {
            "d" => options.whole.fs_hz = Some(250.0),
            "e" => options.whole.convert_units = true,
            _ => options.whole.leads = Some(LeadPolicy::Named(vec!["I".into(), "II".into()])),
        })
        .expect("with a policy");
        assert_eq!((data.len(), data.sig_len, data.leads.len()), (3, 2500, 2));
        let level = data.item(2)[1250];
        // Lead I is the second of the first two files and the third of the last one.
        let expected = if name == "f" { 3.0..4.1 } else { 2.0..3.1 };
        assert!(expected.contains(&level), "{name}: {level} mV");
    }
}

#[test]
fn x07_one_signal_under_two_patients_is_refused_or_left_out() {
    let folder = own_folder();
    // The same recording with another gain.
    let mut copy = record("g", &["II", "I"], 250.0, 2500, 0);
    copy.leads.iter_mut().for_each(|lead| lead.gain_adu_per_unit = Some(500.0));
    store(folder.path(), "g.hea", &copy);
    folder.file(
        "labels.csv",
        "record,patient,split,labels\na,p1,train,x\nc,p2,validation,x\nb.csv,p3,test,y\ng,p4,train,y\n",
    );
    let data = open("folder", folder.path(), |_| ()).expect("opened");
    let error = split::split(&data, Scheme::Inter, Seed::new(1)).expect_err("a copy");
    assert_eq!((error.code(), error.exit_code()), (Some("X07"), 5));
    assert!(error.to_string().contains("a of p1 and g of p4"), "{error}");
    let data = open("folder", folder.path(), |options| options.whole.copies = Some(Copies::Drop)).expect("opened");
    assert_eq!((data.len(), data.provenance["dropped_copies"][0]["dropped"].as_str()), (3, Some("g")));
    split::split(&data, Scheme::Inter, Seed::new(1)).expect("without the copy");
}

#[test]
fn windows_lie_side_by_side_and_what_is_left_out_is_counted() {
    let folder = TempFolder::new("windows");
    store(folder.path(), "long.hea", &record("long", &["I"], 100.0, 2550, 1));
    store(folder.path(), "short.hea", &record("short", &["I"], 100.0, 900, 2));
    let mut flat = record("flat", &["I"], 100.0, 1000, 3);
    flat.leads[0].adu = vec![7; 1000];
    store(folder.path(), "flat.hea", &flat);
    folder.file("labels.csv", "record,labels\nlong,x\nshort,x\nflat,x\n");
    let data = open("folder", folder.path(), |_| ()).expect("opened");
    assert_eq!((data.len(), data.index.clone()), (2, vec![0, 1000]));
    assert_eq!(data.provenance["dropped_windows"]["shorter than the window"], 2);
    assert_eq!(data.provenance["left_out_records"]["flat lead"], 1);
    let first = open("folder", folder.path(), |options| options.whole.seconds = Some(25.0)).expect("opened");
    assert_eq!(first.len(), 1);
    assert_eq!(first.item(0)[..1000], data.item(0)[..1000]);
}
