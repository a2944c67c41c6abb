//! The leakage guard, one test per rule.

use einthoven::dataset::guard::{self, Ledger, TestLook, TrainingPart};
use einthoven::dataset::mix::{self, Plan};
use einthoven::dataset::split::{self, Scheme};
use einthoven::dataset::{Dataset, Split, catalog::mitdb};
use einthoven::{Result, Seed};
use serde_json::json;

use super::dataset::{Scratch, drawn, noise};

/// Ten patients, six for training, two each for validation and test.
fn study() -> Dataset {
    let names: Vec<String> = (0..10).map(|k| format!("p{k}")).collect();
    let records: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), &[12usize, 4][..])).collect();
    let mut data = noise(&records, 11);
    for i in 0..data.len() {
        data.split[i] = match data.patient[i].as_str() {
            "p6" | "p7" => Split::Validation,
            "p8" | "p9" => Split::Test,
            _ => Split::Train,
        };
    }
    data
}

/// Asserts that the guard refused by this rule with exit code 5 and says each of the words.
fn assert_refused<T: std::fmt::Debug>(result: Result<T>, code: &str, words: &[&str]) {
    let error = result.expect_err("refused");
    assert_eq!((error.code(), error.exit_code()), (Some(code), 5), "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn clean_study_passes() {
    assert_eq!(guard::check(&study()).expect("clean"), []);
}

#[test]
fn l1_missing_patient_is_refused_unless_stated() {
    let mut data = study();
    data.patient[3] = " ".into();
    assert_refused(guard::check(&data), "L1", &["item 3", "p0", "one-record-per-patient"]);
    guard::state_one_record_per_patient(&mut data);
    assert_eq!(data.patient[3], "p0");
    assert_eq!(data.provenance["one_record_per_patient"], true);
    guard::check(&data).expect("stated");
}

#[test]
fn l2_patient_in_two_parts_is_refused() {
    let mut data = study();
    let moved = data.patient.iter().position(|patient| patient == "p8").expect("a test patient");
    data.split[moved] = Split::Train;
    assert_refused(guard::check(&data), "L2", &["1 patient", "p8"]);
    data.split[moved] = Split::Test;
    guard::check(&data).expect("mended");
}

#[test]
fn l3_identical_scaled_or_slightly_noisy_copies_across_parts_are_refused() {
    let clean = study();
    let size = clean.sig_len;
    let (from, to) = (0, clean.len() - 1);
    assert_eq!((clean.split[from], clean.split[to]), (Split::Train, Split::Test));
    let mut stream = Seed::new(4).stream();
    // sd 0.02 on a signal of sd 1 leaves a correlation of about 0.9998.
    let noise: Vec<f32> = (0..size).map(|_| 0.02 * stream.normal() as f32).collect();
    for (gain, offset, with_noise) in [(1.0, 0.0, 0.0), (200.0, 1024.0, 0.0), (1.0, 0.0, 1.0)] {
        let mut data = clean.clone();
        for t in 0..size {
            data.ecg[to * size + t] = gain * data.ecg[from * size + t] + offset + with_noise * noise[t];
        }
        assert_refused(guard::check(&data), "L3", &["1 items", "p0, train", "p9, test"]);
    }
    // Half as much like it is not the same signal, and a copy within one part is no leak.
    let mut data = clean.clone();
    for t in 0..size {
        data.ecg[to * size + t] = data.ecg[from * size + t] + 10.0 * noise[t];
    }
    guard::check(&data).expect("correlation about 0.98");
    let mut data = clean.clone();
    data.ecg.copy_within(from * size..(from + 1) * size, (from + 1) * size);
    guard::check(&data).expect("both in training");
}

#[test]
fn l3_finds_exactly_the_pairs_that_comparing_all_finds() {
    // Smooth beats of few shapes plus little noise, so that many pairs lie on either side of 0.999.
    let n = 600;
    let mut data = study().select(&vec![0; n]);
    let mut stream = Seed::new(8).stream();
    for i in 0..n {
        data.split[i] = [Split::Train, Split::Validation, Split::Test][i % 3];
        let (center, width) = (12.0 + stream.below(6) as f64, 2.0 + stream.below(3) as f64);
        for t in 0..data.sig_len {
            let z = (t as f64 - center) / width;
            data.ecg[i * data.sig_len + t] = ((-z * z).exp() + 0.012 * stream.normal()) as f32;
        }
    }
    let unit = |i: usize| -> Vec<f64> {
        let mean = data.item(i).iter().map(|&x| f64::from(x)).sum::<f64>() / data.sig_len as f64;
        let centered: Vec<f64> = data.item(i).iter().map(|&x| f64::from(x) - mean).collect();
        let norm = centered.iter().map(|x| x * x).sum::<f64>().sqrt();
        centered.into_iter().map(|x| x / norm).collect()
    };
    let units: Vec<Vec<f64>> = (0..n).map(unit).collect();
    let is_repeat = |a: usize, b: usize| {
        data.split[a] != data.split[b]
            && units[a].iter().zip(&units[b]).map(|(x, y)| x * y).sum::<f64>() > guard::NEAR_IDENTICAL
    };
    let expected: Vec<(usize, usize)> =
        (0..n).filter_map(|a| (0..a).find(|&b| is_repeat(a, b)).map(|b| (a, b))).collect();
    let found: Vec<(usize, usize)> = guard::duplicates(&data).iter().map(|pair| (pair.a, pair.b)).collect();
    assert!(expected.len() > 50 && expected.len() < n - 50, "{} of {n}: the test must have both kinds", expected.len());
    assert_eq!(found, expected);
}

#[test]
fn l4_held_out_patients_of_the_generator_are_refused() {
    let real = study();
    let plan = Plan::RaiseMinorities { times: 2, cap: usize::MAX };
    let good = drawn(&[0, 40], &real.part(Split::Train));
    let mixed = mix::mix(&real, &good, plan).expect("trained on the training part");
    guard::check(&mixed).expect("clean");

    let leaky = drawn(&[0, 40], &real);
    assert_refused(mix::mix(&real, &leaky, plan), "L4", &["4 patients", "p6", "p9"]);
    // A mix that was made elsewhere carries the list with it.
    let mut smuggled = mixed.clone();
    smuggled.provenance["mix"]["generators"][0] = leaky.provenance.clone();
    assert_refused(guard::check(&smuggled), "L4", &["p8"]);
    let mut silent = good.clone();
    silent.provenance = json!({ "synthetic": true });
    assert_refused(mix::mix(&real, &silent, plan), "L4", &["does not say"]);
}

#[test]
fn l4_list_holds_keyed_hashes_and_no_patient_id() {
    let real = study();
    let (a, b) = (guard::training_patients(&real, "one"), guard::training_patients(&real, "two"));
    assert!(!a.to_string().contains("p3"));
    assert_eq!(a["hashes"].as_array().map(Vec::len), Some(10));
    assert!(
        a["hashes"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|hash| !b["hashes"].as_array().expect("a list").contains(hash))
    );
}

#[test]
fn l4_splitting_after_mixing_is_refused() {
    let real = study();
    let plan = Plan::RaiseMinorities { times: 2, cap: usize::MAX };
    let mixed = mix::mix(&real, &drawn(&[0, 40], &real.part(Split::Train)), plan).expect("mix");
    assert_refused(
        split::assign(&mixed, Scheme::IntraPatient, Seed::new(1)),
        "L4",
        &["syn_0", "split the real data first"],
    );
}

#[test]
fn l5_training_part_holds_training_items_only() {
    let real = study();
    let part = TrainingPart::of(&real).expect("not empty");
    assert!(part.split.iter().all(|split| *split == Split::Train));
    assert_eq!(part.len(), 6 * 16);
    assert!(TrainingPart::of(&real.part(Split::Test)).is_err());
    // Oversampling copies training items only, however rare the class is there.
    let out = mix::oversample(&real, Plan::OneToOne { cap: usize::MAX }, Seed::new(1)).expect("copies");
    assert!(
        (real.len()..out.len())
            .all(|i| out.split[i] == Split::Train && !["p6", "p7", "p8", "p9"].contains(&out.patient[i].as_str()))
    );
}

#[test]
fn l6_synthetic_items_outside_training_are_refused() {
    let real = study();
    let plan = Plan::RaiseMinorities { times: 2, cap: usize::MAX };
    let mut mixed = mix::mix(&real, &drawn(&[0, 40], &real.part(Split::Train)), plan).expect("mix");
    for split in [Split::Validation, Split::Test] {
        // Each synthetic item is a patient of its own, so that L2 does not speak first.
        let last = mixed.len() - 1;
        mixed.patient[last] = "syn_new".into();
        mixed.split[last] = split;
        assert_refused(guard::check(&mixed), "L6", &["syn_0", split.name()]);
        let mut synthetic = drawn(&[0, 40], &real.part(Split::Train));
        synthetic.split[0] = split;
        assert_refused(mix::mix(&real, &synthetic, plan), "L6", &["syn_0", split.name()]);
    }
}

#[test]
fn l7_ledger_counts_looks_across_openings_and_survives_a_cut_line() {
    let scratch = Scratch::new("l7");
    let look = |subject: &str, fingerprint: &str| TestLook {
        subject: subject.into(),
        test_fingerprint: fingerprint.into(),
        config_hash: "c".into(),
    };
    let mut ledger = Ledger::open(&scratch.0).expect("new");
    assert_eq!(ledger.record(look("real only", "t1")).expect("first"), 1);
    assert_eq!(ledger.record(look("augmented", "t1")).expect("second"), 2);
    assert_eq!(ledger.record(look("other test set", "t2")).expect("first"), 1);
    let path = scratch.0.join(Ledger::FILE);
    let whole = std::fs::read(&path).expect("bytes");
    std::fs::write(&path, &whole[..whole.len() - 5]).expect("cut");
    let mut ledger = Ledger::open(&scratch.0).expect("the cut line is dropped");
    assert_eq!((ledger.looks().len(), ledger.n_looks("t1")), (2, 2));
    assert_eq!(ledger.record(look("again", "t1")).expect("third"), 3);
    assert_eq!(Ledger::open(&scratch.0).expect("whole").looks().len(), 3);
    std::fs::write(&path, b"not json\n").expect("damage");
    assert_refused(Ledger::open(&scratch.0), "L7", &["test_ledger.jsonl:1"]);
}

#[test]
fn l8_mitbih_is_split_by_the_known_schemes_only() {
    let records: Vec<(&str, &[usize])> = mitdb::RECORDS.iter().map(|record| (*record, &[6usize, 2][..])).collect();
    let mut data = noise(&records, 3);
    for (patient, record) in data.patient.iter_mut().zip(&data.record) {
        *patient = mitdb::patient(record);
    }
    data.provenance = json!({ "source": "mitdb", "synthetic": false });
    for scheme in [Scheme::Inter, Scheme::Published, Scheme::FiveFold { fold: 0 }] {
        assert_refused(split::assign(&data, scheme, Seed::new(1)), "L8", &["102", "paced"]);
    }
    split::assign(&data, Scheme::IntraPatient, Seed::new(1)).expect("paced records may stay there");

    let unpaced: Vec<usize> = (0..data.len()).filter(|&i| !mitdb::PACED.contains(&data.record[i].as_str())).collect();
    let inter = split::split(&data.select(&unpaced), Scheme::Inter, Seed::new(1)).expect("split");
    guard::check(&inter).expect("clean");
    let mut unnamed = inter.clone();
    unnamed.provenance["split"]["scheme"] = json!("random");
    assert_refused(guard::check(&unnamed), "L8", &["random", "intra-patient"]);
    let mut swapped = inter.clone();
    for i in 0..swapped.len() {
        if swapped.record[i] == "100" {
            swapped.split[i] = Split::Train;
        }
    }
    assert_refused(guard::check(&swapped), "L8", &["record 100", "train"]);
    let mut unstamped = split::split(&data, Scheme::IntraPatient, Seed::new(1)).expect("split");
    unstamped.provenance["split"]["stamp"] = json!(null);
    assert_refused(guard::check(&unstamped), "L8", &["stamp"]);
}

#[test]
fn x07_identical_signals_under_two_patients_are_refused_by_the_split() {
    let mut data = study();
    let size = data.sig_len;
    let to = data.len() - 1;
    data.ecg.copy_within(0..size, to * size);
    assert_refused(guard::check(&data), "L3", &["p0", "p9"]);
}

/// Area under the ROC curve by counting pairs.
fn auroc(scores: &[f64], positive: &[bool]) -> f64 {
    let (mut wins, mut pairs) = (0.0, 0.0);
    for i in (0..scores.len()).filter(|&i| positive[i]) {
        for j in (0..scores.len()).filter(|&j| !positive[j]) {
            wins += if scores[i] > scores[j] {
                1.0
            } else if scores[i] == scores[j] {
                0.5
            } else {
                0.0
            };
            pairs += 1.0;
        }
    }
    wins / pairs
}

/// AUROC of the nearest training item's label on the test part.
fn nearest_neighbour_auroc(data: &Dataset) -> f64 {
    let train: Vec<usize> = (0..data.len()).filter(|&i| data.split[i] == Split::Train).collect();
    let test: Vec<usize> = (0..data.len()).filter(|&i| data.split[i] == Split::Test).collect();
    let distance =
        |a: usize, b: usize| -> f32 { data.item(a).iter().zip(data.item(b)).map(|(x, y)| (x - y) * (x - y)).sum() };
    let scores: Vec<f64> = test
        .iter()
        .map(|&i| {
            let nearest = train
                .iter()
                .copied()
                .min_by(|&a, &b| distance(i, a).total_cmp(&distance(i, b)))
                .expect("a training part");
            data.class(nearest).expect("one label") as f64
        })
        .collect();
    let positive: Vec<bool> = test.iter().map(|&i| data.class(i).expect("one label") == 1).collect();
    auroc(&scores, &positive)
}

/// Patients with a shape of their own and a random label each: there is nothing to learn but the person.
fn canary() -> Dataset {
    let names: Vec<String> = (0..60).map(|k| format!("p{k:02}")).collect();
    let mut stream = Seed::new(21).stream();
    let labels: Vec<usize> = stream.permutation(60).into_iter().map(|rank| rank % 2).collect();
    let records: Vec<(&str, &[usize])> = names
        .iter()
        .zip(&labels)
        .map(|(name, label)| (name.as_str(), if *label == 1 { &[0usize, 12][..] } else { &[12, 0][..] }))
        .collect();
    let mut data = noise(&records, 5);
    for patient in 0..60 {
        let shape: Vec<f32> = (0..data.sig_len).map(|_| 3.0 * stream.normal() as f32).collect();
        for item in 0..12 {
            for (t, value) in shape.iter().enumerate() {
                data.ecg[(patient * 12 + item) * data.sig_len + t] += value;
            }
        }
    }
    data
}

#[test]
fn l16_canary_random_label_per_patient_is_at_chance_by_patient_and_perfect_by_beat() {
    let data = canary();
    let by_patient: Vec<f64> = (0..5)
        .map(|fold| {
            nearest_neighbour_auroc(&split::split(&data, Scheme::FiveFold { fold }, Seed::new(1)).expect("split"))
        })
        .collect();
    let mean = by_patient.iter().sum::<f64>() / 5.0;
    // 60 patients vote once each on a coin: the standard error of the AUC is sqrt(1 / 12 x 61 / 900) = 0.075.
    assert!((mean - 0.5).abs() < 2.0 * 0.075, "{by_patient:?}");
    let by_beat = nearest_neighbour_auroc(&split::split(&data, Scheme::IntraPatient, Seed::new(1)).expect("split"));
    assert!(by_beat > 0.99, "{by_beat}: the leak that the stamp warns of must show");
}

#[test]
fn l16_canary_oversampling_after_the_split_stays_at_chance() {
    // Random labels per item: copies made before a split would be recognised in the test part.
    let names: Vec<String> = (0..40).map(|k| format!("p{k:02}")).collect();
    let records: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), &[10usize, 2][..])).collect();
    let data = noise(&records, 6);
    let mut after = split::split(&data, Scheme::FiveFold { fold: 0 }, Seed::new(1)).expect("split");
    after =
        mix::oversample(&after, Plan::RaiseMinorities { times: 10, cap: usize::MAX }, Seed::new(2)).expect("copies");
    guard::check(&after).expect("copies stay in the training part");
    let honest = nearest_neighbour_auroc(&after);
    // 16 positive and 80 negative test items: standard error 0.08.
    assert!((honest - 0.5).abs() < 0.16, "{honest}");
    let before =
        mix::oversample(&data, Plan::RaiseMinorities { times: 10, cap: usize::MAX }, Seed::new(2)).expect("copies");
    let before = split::split(&before, Scheme::IntraPatient, Seed::new(1)).expect("split");
    assert!(nearest_neighbour_auroc(&before) > 0.75);
    // The same order of things is refused once parts claim to be apart.
    let mut claimed = before.clone();
    claimed.provenance["split"] = json!({ "scheme": "patients", "waives": [] });
    assert_refused(guard::check_duplicates(&claimed), "L3", &["repeat a signal"]);
}

#[test]
fn l17_labels_in_record_names_are_reported_and_plain_names_are_not() {
    // Forty patients with one class each, so that a name can give it away.
    let study = |name: &dyn Fn(usize) -> String| {
        let names: Vec<String> = (0..40).map(name).collect();
        let records: Vec<(&str, &[usize])> = names
            .iter()
            .enumerate()
            .map(|(k, name)| (name.as_str(), if k % 2 == 0 { &[6usize, 0][..] } else { &[0, 6][..] }))
            .collect();
        let mut data = noise(&records, 9);
        for i in 0..data.len() {
            data.split[i] = if i / 6 < 20 { Split::Train } else { Split::Test };
        }
        guard::metadata_leaks(&data, Seed::new(1)).expect("checked")
    };
    let hidden = study(&|k| format!("{}{k:02}", if k % 2 == 0 { "n" } else { "af" }));
    assert!(hidden[0].is_suspicious && hidden[0].balanced_accuracy == 1.0, "{:?}", hidden[0]);
    assert!((hidden[0].chance - 0.5).abs() < 0.1, "{:?}", hidden[0]);
    assert!(hidden[1].is_suspicious, "the length tells as much: {:?}", hidden[1]);
    let plain = study(&|k| format!("r{k:02}"));
    assert!(plain[..2].iter().all(|leak| !leak.is_suspicious && leak.p_value > 0.05), "{plain:?}");
}
