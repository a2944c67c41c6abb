//! `check`: planted faults of every kind are found, and real data are told from broken ones.

use std::path::Path;

use einthoven::dataset::check::{CheckReport, Problem, Severity, check_folder, check_record, suspected_swap};
use einthoven::record::vcg::DOWER;
use einthoven::record::{Lead, MISSING, ReadOptions, Record, WriteOptions, lead_law, read, write};
use einthoven::seed::Seed;

use crate::folder::{TempFolder, data_folder};

/// Twelve leads whose eight independent ones go together as in a heart: a loop in three dimensions, seen from each lead.
fn heart(name: &str, seed: u64, fs_hz: f64, seconds: f64) -> Record {
    let mut stream = Seed::new(seed).purpose("heart").stream();
    let n = (fs_hz * seconds) as usize;
    let rr_s = 0.8 + 0.02 * stream.normal();
    // (center s, width s, x, y, z in mV) of P, Q, R, S, T, each varied a little between patients.
    let waves: Vec<[f64; 5]> = [
        [-0.18, 0.025, 0.06, 0.10, -0.02],
        [-0.03, 0.010, -0.10, -0.03, -0.30],
        [0.0, 0.012, 1.1, 0.9, 0.15],
        [0.03, 0.012, -0.15, -0.05, 0.75],
        [0.27, 0.050, 0.25, 0.2, -0.12],
    ]
    .map(|w| [w[0], w[1], w[2], w[3], w[4]].map(|v| v * (1.0 + 0.05 * stream.normal())))
    .to_vec();
    let mut eight = vec![0f32; 8 * n];
    for t in 0..n {
        let at = (t as f64 / fs_hz + 0.4) % rr_s - 0.4;
        let mut xyz = [0.0; 3];
        for [center, width, x, y, z] in &waves {
            let bell = (-((at - center) / width).powi(2) / 2.0).exp();
            xyz[0] += x * bell;
            xyz[1] += y * bell;
            xyz[2] += z * bell;
        }
        for (lead, weights) in DOWER.iter().enumerate() {
            let sum: f64 = weights.iter().zip(xyz).map(|(w, v)| w * v).sum();
            eight[lead * n + t] = (sum + 0.01 * stream.normal()) as f32;
        }
    }
    let all = lead_law::twelve_from_eight(&eight);
    let mut record = Record::new(name, fs_hz);
    record.sig_len = n;
    for (k, lead) in lead_law::TWELVE.iter().enumerate() {
        record.leads.push(Lead::from_mv(*lead, &all[k * n..(k + 1) * n], 1000.0).unwrap());
    }
    record
}

fn found<'a>(problems: &'a [Problem], code: &str) -> Vec<&'a Problem> {
    problems.iter().filter(|problem| problem.code == code).collect()
}

/// The one problem of that code, after checking its severity and words.
fn expect(problems: &[Problem], code: &str, severity: Severity, words: &[&str]) {
    let hits = found(problems, code);
    let hit = hits.iter().find(|hit| words.iter().all(|word| hit.message.contains(word)));
    let hit = hit.unwrap_or_else(|| panic!("no {code} with {words:?} in {problems:#?}"));
    assert_eq!(hit.severity, severity, "{hit:?}");
}

fn save(folder: &Path, record: &Record) {
    write(record, folder.join(format!("{}.hea", record.name)), &WriteOptions::default()).unwrap();
}

fn checked(folder: &TempFolder) -> CheckReport {
    check_folder(folder.path()).unwrap()
}

#[test]
fn a_clean_record_has_no_problem() {
    for seed in 0..5 {
        assert_eq!(check_record(&heart("clean", seed, 500.0, 10.0)), []);
    }
}

#[test]
fn units_gain_rate_length_and_amplitude_are_named() {
    let mut record = heart("r", 1, 500.0, 10.0);
    record.leads[3].units = "mmHg".into();
    expect(&check_record(&record), "unit", Severity::Error, &["mmHg", "mV"]);

    let mut record = heart("r", 1, 500.0, 10.0);
    record.leads[0].gain_adu_per_unit = None;
    expect(&check_record(&record), "gain", Severity::Warning, &["no gain"]);

    // Microvolts that the header calls millivolts.
    let mut record = heart("r", 1, 500.0, 10.0);
    record.leads.iter_mut().for_each(|lead| lead.gain_adu_per_unit = Some(1.0));
    expect(&check_record(&record), "amplitude", Severity::Error, &["unit or gain"]);

    let mut record = heart("r", 1, 500.0, 10.0);
    record.fs_hz = 50_000.0;
    let problems = check_record(&record);
    expect(&problems, "rate", Severity::Warning, &["50000 Hz"]);
    expect(&problems, "duration", Severity::Warning, &["0.10 s"]);
    expect(&check_record(&Record::new("r", 500.0)), "empty", Severity::Error, &["no points"]);
}

#[test]
fn flat_clipped_and_missing_leads_are_named() {
    let mut record = heart("r", 1, 500.0, 10.0);
    record.leads[6].adu.fill(3);
    record.leads[7].adu.fill(MISSING);
    record.leads[8].adu[..7].fill(MISSING);
    record.leads[9].adu.iter_mut().for_each(|adu| *adu = (*adu).min(300));
    let problems = check_record(&record);
    for (code, lead) in [("flat-lead", "V1"), ("missing-lead", "V2"), ("missing-points", "V3"), ("clipped-lead", "V4")]
    {
        let hits = found(&problems, code);
        assert_eq!((hits.len(), hits[0].lead.as_deref()), (1, Some(lead)), "{code}");
    }
}

#[test]
fn orders_of_sssd_and_mimic_are_recognized_from_names_and_from_signals() {
    let sssd = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "aVR", "aVL", "aVF"];
    let mimic = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"];
    for (order, name) in [(sssd, "SSSD-ECG"), (mimic, "MIMIC-IV-ECG")] {
        let standard = heart("r", 2, 500.0, 10.0);
        let mut honest = standard.clone();
        honest.leads = order.iter().map(|lead| standard.lead(lead).unwrap().clone()).collect();
        let problems = check_record(&honest);
        expect(&problems, "lead-order", Severity::Warning, &[name]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        // The same signals under the standard names.
        let mut mislabeled = honest.clone();
        mislabeled.leads.iter_mut().zip(lead_law::TWELVE).for_each(|(lead, name)| lead.name = name.into());
        expect(&check_record(&mislabeled), "lead-order", Severity::Error, &[name, &order.join(" ")]);
        // And without any.
        let mut nameless = honest.clone();
        nameless.leads.iter_mut().enumerate().for_each(|(k, lead)| lead.name = format!("ch{k}"));
        expect(&check_record(&nameless), "lead-order", Severity::Error, &[name]);
    }
    let mut swapped = heart("r", 2, 500.0, 10.0);
    swapped.leads.swap(0, 2);
    let names = lead_law::TWELVE;
    swapped.leads.iter_mut().zip(names).for_each(|(lead, name)| lead.name = name.into());
    expect(&check_record(&swapped), "lead-order", Severity::Error, &["III II I aVR"]);
}

#[test]
fn broken_laws_are_told_from_gains_that_are_no_calibration_and_from_a_short_artifact() {
    let mut noisy = heart("r", 3, 500.0, 10.0);
    let mut stream = Seed::new(1).stream();
    noisy.leads[2].adu.iter_mut().for_each(|adu| *adu += (400.0 * stream.normal()) as i32);
    expect(&check_record(&noisy), "lead-law", Severity::Error, &["names, signs or gains"]);

    let mut scaled = heart("r", 3, 500.0, 10.0);
    scaled.leads.iter_mut().enumerate().for_each(|(k, lead)| lead.gain_adu_per_unit = Some(700.0 + 130.0 * k as f64));
    expect(&check_record(&scaled), "gain", Severity::Error, &["stored counts"]);

    let mut brief = heart("r", 3, 500.0, 10.0);
    brief.leads[3].adu[700..709].fill(5000);
    expect(&check_record(&brief), "lead-law", Severity::Warning, &["9 points", "1.400 s"]);

    let mut twice = heart("r", 3, 500.0, 10.0);
    twice.leads[11].name = "V5".into();
    expect(&check_record(&twice), "lead-name", Severity::Warning, &["channel 11"]);
}

#[test]
fn exchanged_electrodes_are_suspected() {
    // New I and II when the electrodes of two limbs are exchanged.
    let exchanges: [(&str, fn(f64, f64) -> (f64, f64)); 2] =
        [("right arm and left arm", |i, ii| (-i, ii - i)), ("right arm and left leg", |i, ii| (i - ii, -ii))];
    for (name, exchange) in exchanges {
        let mut record = heart("r", 4, 500.0, 10.0);
        for t in 0..record.sig_len {
            let (i, ii) = exchange(f64::from(record.leads[0].adu[t]), f64::from(record.leads[1].adu[t]));
            let derived = lead_law::derive_limb_leads(i, ii);
            for (lead, value) in [i, ii].into_iter().chain(derived).enumerate() {
                record.leads[lead].adu[t] = value.round() as i32;
            }
        }
        expect(&check_record(&record), "electrodes", Severity::Warning, &[name]);
    }
    let mut record = heart("r", 4, 500.0, 10.0);
    record.leads.swap(7, 10);
    record.leads.iter_mut().zip(lead_law::TWELVE).for_each(|(lead, name)| lead.name = name.into());
    expect(&check_record(&record), "electrodes", Severity::Warning, &["V2 and V5"]);
}

#[test]
fn copies_mixed_rates_and_patients_in_two_folds_are_named() {
    let folder = TempFolder::new("check");
    for k in 0..3 {
        save(folder.path(), &heart(&format!("a{k}"), 10 + k, 500.0, 10.0));
    }
    let mut copy = heart("b0", 10, 500.0, 10.0);
    // Another gain and another baseline do not hide a copy.
    copy.leads.iter_mut().for_each(|lead| lead.adu.iter_mut().for_each(|adu| *adu = *adu * 2 + 40));
    copy.leads.iter_mut().for_each(|lead| (lead.gain_adu_per_unit, lead.baseline_adu) = (Some(2000.0), 40));
    save(folder.path(), &copy);
    save(folder.path(), &heart("slow", 20, 250.0, 12.0));
    let report = checked(&folder);
    expect(&report.problems, "duplicate", Severity::Warning, &["a0"]);
    assert_eq!(found(&report.problems, "duplicate").len(), 1);
    expect(&report.problems, "mixed-rate", Severity::Warning, &["500 Hz (4)", "250 Hz (1)"]);
    expect(&report.problems, "mixed-length", Severity::Info, &["10.0 s (4)"]);
    assert_eq!((report.n_records, report.n_errors), (5, 0));

    folder.file(
        "table.csv",
        "record,patient_id,strat_fold,sex,label\na0,1,1,M,N\na1,2,1,F,N\na2,2,9,M,X\nb0,3,2,F,N\nslow,,1,F,\n",
    );
    folder.file("codes.csv", "code,name\nN,normal\n");
    let report = checked(&folder);
    expect(&report.problems, "duplicate", Severity::Error, &["another patient and in another fold"]);
    expect(&report.problems, "patient-in-folds", Severity::Error, &["patient 2", "1, 9"]);
    expect(&report.problems, "patient-differs", Severity::Error, &["patient 2", "F and M"]);
    expect(&report.problems, "patient-missing", Severity::Warning, &["1 of 5 rows"]);
    expect(&report.problems, "label-missing", Severity::Warning, &["1 of 5 records", "slow"]);
    expect(&report.problems, "label-unknown", Severity::Warning, &["\"X\"", "1 records"]);
    assert_eq!(report.n_errors, 3);
}

#[test]
fn l17_labels_told_by_names_comments_or_length_are_named_and_honest_ones_are_not() {
    let write_all = |folder: &TempFolder, name: &dyn Fn(usize, bool) -> String, seconds: &dyn Fn(bool) -> f64| {
        let mut stream = Seed::new(5).stream();
        let mut table = String::from("record,label\n");
        for k in 0..60 {
            let is_af = stream.uniform() < 0.5;
            let record = heart(&name(k, is_af), 100 + k as u64, 100.0, seconds(is_af));
            save(folder.path(), &record);
            table.push_str(&format!("{},{}\n", record.name, if is_af { "AF" } else { "SR" }));
        }
        folder.file("labels.csv", table);
    };
    let telling = TempFolder::new("check");
    write_all(&telling, &|k, is_af| format!("{}_{k:03}", if is_af { "af" } else { "sr" }), &|is_af| {
        if is_af { 4.0 } else { 3.0 }
    });
    let problems = checked(&telling).problems;
    expect(&problems, "label-in-metadata", Severity::Warning, &["folder and letters of the record name"]);
    expect(&problems, "label-in-metadata", Severity::Warning, &["length of the record"]);
    let honest = TempFolder::new("check");
    write_all(&honest, &|k, _| format!("r{k:03}"), &|_| 3.0);
    assert_eq!(found(&checked(&honest).problems, "label-in-metadata"), Vec::<&Problem>::new());
}

#[test]
fn unreadable_records_and_tables_are_problems_and_an_empty_folder_is_an_error() {
    let folder = TempFolder::new("check");
    save(folder.path(), &heart("good", 1, 500.0, 10.0));
    folder.file("bad.hea", "bad 2 500 100\nbad.dat 16\n");
    folder.file("broken.csv", "record,label\n\"good,N\n");
    let report = checked(&folder);
    expect(&report.problems, "W03", Severity::Error, &["bad.hea"]);
    expect(&report.problems, "table", Severity::Warning, &["no closing quote"]);
    assert_eq!((report.n_records, report.n_errors), (2, 1));
    let empty = TempFolder::new("check");
    let error = check_folder(empty.path()).unwrap_err();
    assert!(error.exit_code() == 3 && error.to_string().contains("no records"), "{error}");
    assert_eq!(check_folder(&empty.path().join("absent")).unwrap_err().exit_code(), 4);
}

#[test]
fn ptbxl_has_its_five_known_copies_and_hardly_another_alarm() {
    let Some(folder) = data_folder("ptbxl") else { return };
    let report = check_folder(&folder).unwrap();
    let copies: Vec<&str> = found(&report.problems, "duplicate")
        .iter()
        .filter_map(|p| p.record.as_deref())
        .filter(|r| r.ends_with("_lr"))
        .collect();
    let expected = ["00138", "00144", "00457", "00460", "00463"].map(|id| format!("records100/00000/{id}_lr"));
    assert_eq!(copies, expected);
    // 145 and 463 are one recording of "two" patients in two folds.
    let errors: Vec<&Problem> = report.problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(errors.iter().all(|p| p.code == "duplicate"), "{errors:#?}");
    assert!(errors.iter().any(|p| p.record.as_deref() == Some("records100/00000/00463_lr")));
    let laws: Vec<&str> = found(&report.problems, "lead-law").iter().filter_map(|p| p.record.as_deref()).collect();
    assert_eq!(laws, ["records500/00000/00162_hr"]);
    expect(&report.problems, "mixed-rate", Severity::Warning, &["100 Hz (397)", "500 Hz (220)"]);
    assert_eq!(found(&report.problems, "label-unknown").len(), 0);
    let n_alarms = found(&report.problems, "electrodes").len();
    assert!(n_alarms * 50 <= report.n_records, "{n_alarms} of {}", report.n_records);
}

#[test]
fn ludb_gains_are_no_calibration_and_swapped_arms_are_found_in_most_of_its_records() {
    let Some(folder) = data_folder("ludb") else { return };
    let (mut n, mut n_gain, mut n_false, mut n_found, mut n_named) = (0, 0, 0, 0, 0);
    for k in (1..=200).step_by(3) {
        let path = folder.join(format!("data/{k}.hea"));
        let Ok(mut record) = read(path, &ReadOptions::lenient()) else { continue };
        n += 1;
        n_gain += usize::from(found(&check_record(&record), "gain").iter().any(|p| p.severity == Severity::Error));
        record.leads.iter_mut().for_each(|lead| (lead.gain_adu_per_unit, lead.baseline_adu) = (Some(1000.0), 0));
        let problems = check_record(&record);
        assert_eq!(found(&problems, "lead-law").len() + found(&problems, "lead-order").len(), 0, "record {k}");
        n_false += found(&problems, "electrodes").len();
        let mv: Vec<Vec<f32>> = [0, 1, 6, 7, 8, 9, 10, 11].map(|k| record.leads[k].mv().unwrap()).to_vec();
        let arms: Vec<f32> = mv[0].iter().map(|v| -v).collect();
        let third: Vec<f32> = mv[0].iter().zip(&mv[1]).map(|(i, ii)| ii - i).collect();
        let mut eight: [&[f32]; 8] = std::array::from_fn(|k| mv[k].as_slice());
        (eight[0], eight[1]) = (&arms, &third);
        // That the limbs are wrong is what counts; which exchange fits best is often another one.
        let is_limb = |exchange: &str| ["arm", "leg", "limb"].iter().any(|word| exchange.contains(word));
        let suspicion = suspected_swap(&eight, record.fs_hz);
        n_named += usize::from(suspicion.as_ref().is_some_and(|s| s.exchange.starts_with("right arm and left arm")));
        n_found += usize::from(suspicion.is_some_and(|s| is_limb(&s.exchange)));
    }
    assert!(n > 40, "{n} records");
    // In a few records the gains happen to be nearly alike.
    assert!(n_gain * 20 >= n * 19, "{n_gain} of {n}");
    assert!(n_false * 25 <= n, "{n_false} false alarms in {n}");
    assert!(n_found * 10 >= n * 8 && n_named * 2 >= n, "{n_found} of {n} found, {n_named} named");
    println!("{n} records: {n_false} false alarms, arms exchanged: {n_found} found, {n_named} by name");
}
