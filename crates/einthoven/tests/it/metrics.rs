//! Metrics against the values of outside tools, and against facts about intervals.

use std::path::PathBuf;
use std::slice::from_ref;

use einthoven::Seed;
use einthoven::metrics::bootstrap::{
    BootstrapOptions, IntervalMethod, patient_bootstrap, quantile, score_differences, score_intervals,
};
use einthoven::metrics::classification::{ClassificationInput, Predictions};
use einthoven::metrics::distance::{
    Pairing, Points, frechet_distance, median_distance, mmd_rbf, nearest_neighbors, prdc,
};
use einthoven::metrics::hypothesis::{signed_rank_test, t_test, welch_difference};
use einthoven::metrics::privacy::{
    PrivacyOptions, PrivacySets, adversarial_accuracy, closer_share, distance_attack_auroc, nearest_neighbor_ratios,
    privacy_scores,
};

/// Values of scikit-learn, SciPy, prdc and others: inputs and array results, and scalar results.
/// The recipe and the versions are in `config.json` beside them.
struct Fixture {
    arrays: Vec<u8>,
    values: serde_json::Value,
}

impl Fixture {
    fn load() -> Option<Fixture> {
        let root = std::env::var_os("EINTHOVEN_PARITY").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/parity")),
            PathBuf::from,
        );
        let folder = root.join("metrics");
        if !folder.is_dir() {
            assert!(
                std::env::var("EINTHOVEN_REQUIRE_DATA").as_deref() != Ok("1"),
                "{} is missing and EINTHOVEN_REQUIRE_DATA is 1",
                folder.display()
            );
            println!("skipped: {} is missing", folder.display());
            return None;
        }
        let values = std::fs::read_to_string(folder.join("values.json")).unwrap();
        Some(Fixture {
            arrays: std::fs::read(folder.join("io.safetensors")).unwrap(),
            values: serde_json::from_str(&values).unwrap(),
        })
    }

    /// An array as f64 with its shape.
    fn array(&self, name: &str) -> (Vec<f64>, Vec<usize>) {
        let tensors = safetensors::SafeTensors::deserialize(&self.arrays).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let eight = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).unwrap();
        let values = tensor.data().chunks_exact(8).map(|bytes| match tensor.dtype() {
            safetensors::Dtype::F64 => f64::from_le_bytes(eight(bytes)),
            safetensors::Dtype::I64 => i64::from_le_bytes(eight(bytes)) as f64,
            other => panic!("{name} has type {other:?}"),
        });
        (values.collect(), tensor.shape().to_vec())
    }

    fn value(&self, pointer: &str) -> f64 {
        self.values.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is missing")).as_f64().unwrap()
    }
}

/// The fixture's default tolerance.
#[track_caller]
fn close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() <= 1e-9 + 1e-8 * expected.abs(), "{actual} is not {expected}");
}

fn names(n: usize) -> Vec<String> {
    (0..n)
        .map(|class| ["N", "S", "V", "F", "Q"].get(class).map_or(format!("c{class}"), |name| name.to_string()))
        .collect()
}

#[test]
fn multiclass_scores_agree_with_scikit_learn() {
    let Some(fixture) = Fixture::load() else { return };
    let (classes, _) = fixture.array("cls.mc_true");
    let (probabilities, shape) = fixture.array("cls.mc_prob");
    let classes: Vec<usize> = classes.iter().map(|c| *c as usize).collect();
    let class_names = names(shape[1]);
    let input = ClassificationInput {
        probabilities: &probabilities,
        classes: &classes,
        class_names: &class_names,
        ..Default::default()
    };
    let scores = Predictions::new(input).unwrap().scores();
    close(scores.accuracy, fixture.value("/multiclass/accuracy"));
    close(scores.macro_average.recall, fixture.value("/multiclass/balanced_accuracy"));
    close(scores.macro_average.f1, fixture.value("/multiclass/f1_macro"));
    close(scores.mcc, fixture.value("/multiclass/mcc"));
    close(scores.macro_average.auroc.unwrap(), fixture.value("/multiclass/auroc_ovr_macro"));
    close(scores.log_loss, fixture.value("/multiclass/log_loss"));
    let confusion = serde_json::to_value(&scores.confusion).unwrap();
    for (row, expected) in scores.confusion.iter().zip(fixture.values["multiclass"]["confusion"].as_array().unwrap()) {
        let expected: Vec<f64> = expected.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(*row, expected, "{confusion}");
    }
}

#[test]
fn scores_with_ties_agree_with_scikit_learn_label_by_label() {
    let Some(fixture) = Fixture::load() else { return };
    let (truth, shape) = fixture.array("cls.y_true");
    let (score, _) = fixture.array("cls.score");
    let class_names = names(2);
    let (mut auroc, mut precision) = (0.0, 0.0);
    for label in 0..shape[1] {
        let column = |values: &[f64]| values.iter().skip(label).step_by(shape[1]).copied().collect::<Vec<f64>>();
        // The label is class 0, so that a score of exactly 0.5 calls it, as in the fixture.
        let classes: Vec<usize> = column(&truth).iter().map(|y| usize::from(*y == 0.0)).collect();
        let probabilities: Vec<f64> = column(&score).iter().flat_map(|s| [*s, 1.0 - s]).collect();
        let input = ClassificationInput {
            probabilities: &probabilities,
            classes: &classes,
            class_names: &class_names,
            ..Default::default()
        };
        let scores = Predictions::new(input).unwrap().scores();
        let class = &scores.per_class[0];
        let each = |name: &str| fixture.value(&format!("/multilabel/{name}/{label}"));
        close(class.auroc.unwrap(), each("auroc_each"));
        close(class.auprc.unwrap(), each("average_precision_each"));
        close(scores.brier / 2.0, each("brier_each"));
        close(scores.mcc, each("mcc_each"));
        close(scores.log_loss, each("log_loss_each_clipped_1e_15"));
        auroc += class.auroc.unwrap() / shape[1] as f64;
        precision += class.precision / shape[1] as f64;
    }
    close(auroc, fixture.value("/multilabel/auroc_macro"));
    close(precision, fixture.value("/multilabel/precision_macro"));
}

/// Predictions on `beats` beats of each of `patients` patients who differ in how well they are told
/// apart; every beat is repeated `copies` times.
fn simulated(patients: usize, beats: usize, copies: usize, skill: f64, seed: u64) -> Predictions {
    let class_names = names(3);
    let mut stream = Seed::new(seed).purpose("simulated").stream();
    let (mut probabilities, mut classes, mut owner) = (Vec::new(), Vec::new(), Vec::new());
    for patient in 0..patients {
        let own_skill = skill + 0.5 * stream.normal();
        for _ in 0..beats {
            let class = stream.below(3);
            let raw: Vec<f64> =
                (0..3).map(|c| (stream.normal() + if c == class { own_skill } else { 0.0 }).exp()).collect();
            let sum: f64 = raw.iter().sum();
            for _ in 0..copies {
                probabilities.extend(raw.iter().map(|p| p / sum));
                classes.push(class);
                owner.push(patient);
            }
        }
    }
    let input = ClassificationInput {
        probabilities: &probabilities,
        classes: &classes,
        class_names: &class_names,
        patients: &owner,
        ..Default::default()
    };
    Predictions::new(input).unwrap()
}

#[test]
fn l12_every_beat_ten_times_does_not_shrink_an_interval() {
    let options = BootstrapOptions { replicates: 300, ..Default::default() };
    let once = score_intervals(&[simulated(12, 20, 1, 1.0, 1)], Seed::new(5), options).unwrap();
    let ten_times = score_intervals(&[simulated(12, 20, 10, 1.0, 1)], Seed::new(5), options).unwrap();
    assert!(once.len() > 20);
    for (a, b) in once.iter().zip(&ten_times) {
        let width = a.interval.ci_high - a.interval.ci_low;
        assert!(width > 0.0, "{} has no width", a.name);
        let change = (b.interval.ci_high - b.interval.ci_low) - width;
        assert!(change.abs() < 1e-9, "{}: the interval changed by {change}", a.name);
        assert_eq!(a.insufficient, b.insufficient);
    }
}

#[test]
fn l12_patient_intervals_cover_and_beat_intervals_do_not() {
    // 30 patients with 50 beats each; the patient's own level has the same variance as a beat (ICC 0.5).
    let (mut by_patient, mut by_beat) = (0, 0);
    let trials = 200;
    for trial in 0..trials {
        let mut stream = Seed::new(77).index(trial).stream();
        let (mut mean, mut within) = (Vec::new(), 0.0);
        for _ in 0..30 {
            let level = stream.normal();
            let beats: Vec<f64> = (0..50).map(|_| level + stream.normal()).collect();
            mean.push(beats.iter().sum::<f64>() / 50.0);
            within += beats.iter().map(|b| b * b).sum::<f64>();
        }
        let bootstrap = patient_bootstrap(30, 400, Seed::new(1).index(trial), |w| {
            vec![mean.iter().zip(w).map(|(m, w)| m * w).sum::<f64>() / w.iter().sum::<f64>()]
        })
        .unwrap();
        let interval = bootstrap.interval(0, 0.95, IntervalMethod::Percentile);
        by_patient += u32::from(interval.ci_low <= 0.0 && 0.0 <= interval.ci_high);
        // The normal interval that takes 1,500 beats for independent.
        let half = 1.96 * (within / 1500.0 - interval.value.powi(2)).sqrt() / 1500f64.sqrt();
        by_beat += u32::from(interval.value.abs() <= half);
    }
    let share = |count: u32| f64::from(count) / trials as f64;
    // The percentile interval of 30 units is known to cover about 93 %; 0.02 is one standard error.
    assert!((0.88..=0.99).contains(&share(by_patient)), "{}", share(by_patient));
    assert!(share(by_beat) < 0.6, "{}", share(by_beat));
}

#[test]
fn l15_differences_are_paired() {
    let options = BootstrapOptions { replicates: 300, ..Default::default() };
    let base = simulated(15, 20, 1, 1.0, 3);
    let same = score_differences(from_ref(&base), from_ref(&base), Seed::new(1), options).unwrap();
    for difference in &same {
        assert_eq!((difference.interval.ci_low, difference.interval.ci_high), (0.0, 0.0), "{}", difference.name);
        assert_eq!(difference.p_value, 1.0);
    }
    let other = simulated(15, 20, 1, 1.0, 4);
    assert!(score_differences(&[base], &[other], Seed::new(1), options).is_err(), "other items cannot be paired");
}

#[test]
fn bootstrap_is_the_same_for_any_number_of_threads() {
    let runs = [simulated(8, 15, 1, 1.0, 1)];
    let options = BootstrapOptions { replicates: 64, method: IntervalMethod::Bca, ..Default::default() };
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| score_intervals(&runs, Seed::new(2), options).unwrap())
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn l13_few_patients_are_called_insufficient() {
    let options = BootstrapOptions { replicates: 50, ..Default::default() };
    let few = score_intervals(&[simulated(9, 10, 1, 1.0, 1)], Seed::new(1), options).unwrap();
    assert!(few.iter().all(|score| score.insufficient.as_deref().is_some_and(|why| why.contains("9 patients"))));
    let enough = score_intervals(&[simulated(12, 10, 1, 1.0, 1)], Seed::new(1), options).unwrap();
    assert!(enough.iter().all(|score| score.insufficient.is_none()));
}

/// The cost of the intervals that a report needs; run with `--ignored --nocapture` in release.
#[test]
#[ignore = "measures time"]
fn bootstrap_of_fifty_thousand_beats_takes_seconds() {
    let runs = [simulated(22, 2273, 1, 1.0, 1)];
    let start = std::time::Instant::now();
    let scores = score_intervals(&runs, Seed::new(1), BootstrapOptions::default()).unwrap();
    println!("{} scores, 2000 replicates, 50006 beats: {:.2} s", scores.len(), start.elapsed().as_secs_f64());
}

#[test]
fn distances_agree_with_the_outside_tools() {
    let Some(fixture) = Fixture::load() else { return };
    let (train, shape) = fixture.array("vec.X");
    let (synthetic, _) = fixture.array("vec.Y");
    let (held_out, _) = fixture.array("vec.holdout");
    let points = |values| Points::new(values, shape[1]).unwrap();
    let (x, y, h) = (points(&train), points(&synthetic), points(&held_out));

    for (name, queries, references, k, pairing) in [
        ("nn.synthetic_to_train_2nn", y, x, 2, Pairing::Distinct),
        ("nn.synthetic_to_holdout_1nn", y, h, 1, Pairing::Distinct),
        ("nn.train_self_1nn", x, x, 1, Pairing::SameSet),
        ("nn.train_to_synthetic_1nn", x, y, 1, Pairing::Distinct),
        ("nn.holdout_to_synthetic_1nn", h, y, 1, Pairing::Distinct),
        ("nn.synthetic_self_1nn", y, y, 1, Pairing::SameSet),
    ] {
        let found = nearest_neighbors(queries, references, k, pairing).unwrap();
        let (expected, _) = fixture.array(name);
        assert_eq!(found.distance.len(), expected.len(), "{name}");
        found.distance.iter().zip(expected).for_each(|(a, b)| close(*a, b));
    }

    for (gamma, expected) in fixture.values["mmd"]["rbf_by_gamma"].as_object().unwrap() {
        let mmd = mmd_rbf(x, y, gamma.parse().unwrap()).unwrap();
        close(mmd.biased, expected["mmd2_biased"].as_f64().unwrap());
        close(mmd.unbiased, expected["mmd2_unbiased"].as_f64().unwrap());
    }
    close(median_distance(x, y).unwrap(), fixture.value("/mmd/median_pairwise_distance_of_pooled_sample"));

    // The tolerance that the fixture states for matrix roots.
    let near = |a: f64, b: f64| assert!((a - b).abs() <= 1e-6 + 1e-6 * b.abs(), "{a} is not {b}");
    near(frechet_distance(x, y).unwrap(), fixture.value("/frechet/distance"));
    let rows = fixture.value("/frechet/distance_rank_deficient_vs_first_rows/rows") as usize;
    // The first rows of the first set itself.
    let few = points(&train[..rows * shape[1]]);
    near(frechet_distance(x, few).unwrap(), fixture.value("/frechet/distance_rank_deficient_vs_first_rows/value"));

    for (k, expected) in fixture.values["prdc"].as_object().unwrap() {
        let found = prdc(x, y, k.strip_prefix('k').unwrap().parse().unwrap()).unwrap();
        for (name, value) in [
            ("precision", found.precision),
            ("recall", found.recall),
            ("density", found.density),
            ("coverage", found.coverage),
        ] {
            close(value, expected[name].as_f64().unwrap());
        }
    }
}

#[test]
fn tests_of_means_and_ranks_agree_with_scipy() {
    let Some(fixture) = Fixture::load() else { return };
    let (a, _) = fixture.array("one.a");
    let (b, _) = fixture.array("one.b");
    // SciPy's sign is first minus second.
    let test = t_test(welch_difference(&b, &a).unwrap(), 0.95);
    close(test.t, fixture.value("/one_dimensional/welch_t/t"));
    close(test.difference.df, fixture.value("/one_dimensional/welch_t/df"));
    close(test.p_value, fixture.value("/one_dimensional/welch_t/p"));
    let signed = signed_rank_test(&b[..20], &a[..20]).unwrap();
    close(signed.w, fixture.value("/one_dimensional/wilcoxon_exact_first20/w"));
    close(signed.p_value, fixture.value("/one_dimensional/wilcoxon_exact_first20/p"));
}

/// The size of the privacy tests of a paper-sized run.
#[test]
#[ignore = "measures time"]
fn neighbours_of_two_thousand_in_fifty_thousand_take_seconds() {
    let dim = 256;
    let mut stream = Seed::new(1).stream();
    let mut draw = |n: usize| (0..n * dim).map(|_| stream.normal()).collect::<Vec<f64>>();
    let (queries, references) = (draw(2000), draw(50_000));
    let (q, r) = (Points::new(&queries, dim).unwrap(), Points::new(&references, dim).unwrap());
    let start = std::time::Instant::now();
    let found = nearest_neighbors(q, r, 50, Pairing::Distinct).unwrap();
    println!("50 nearest of 2000 in 50000 x 256: {:.2} s", start.elapsed().as_secs_f64());
    assert_eq!(found.distance.len(), 100_000);
}

#[test]
fn privacy_measures_agree_with_the_outside_tools() {
    let Some(fixture) = Fixture::load() else { return };
    let (train, shape) = fixture.array("vec.X");
    let (synthetic, _) = fixture.array("vec.Y");
    let (held_out, _) = fixture.array("vec.holdout");
    let points = |values| Points::new(values, shape[1]).unwrap();
    let (x, y, h) = (points(&train), points(&synthetic), points(&held_out));
    let to_train = nearest_neighbors(y, x, 2, Pairing::Distinct).unwrap();
    let to_held_out = nearest_neighbors(y, h, 1, Pairing::Distinct).unwrap().distance;
    let mut nearest = to_train.nearest();
    let share = closer_share(&nearest, &to_held_out);
    close(share, fixture.value("/privacy/share_closer_to_train_than_holdout"));
    nearest.sort_by(f64::total_cmp);
    close(quantile(&nearest, 0.05), fixture.value("/privacy/dcr_5th_percentile"));
    close(quantile(&nearest, 0.5), fixture.value("/privacy/dcr_median"));
    let ratios = nearest_neighbor_ratios(&to_train.distance, 2);
    close(ratios.iter().sum::<f64>() / ratios.len() as f64, fixture.value("/privacy/nndr_mean"));
    let rows = fixture.value("/privacy/nn_adversarial_accuracy/rows_used") as usize * shape[1];
    let accuracy = adversarial_accuracy(points(&train[..rows]), points(&synthetic[..rows])).unwrap();
    close(accuracy, fixture.value("/privacy/nn_adversarial_accuracy/value"));
    let members = nearest_neighbors(x, y, 1, Pairing::Distinct).unwrap().distance;
    let strangers = nearest_neighbors(h, y, 1, Pairing::Distinct).unwrap().distance;
    close(
        distance_attack_auroc(&members, &strangers).unwrap(),
        fixture.value("/privacy/distance_membership_attack_auroc"),
    );

    // The table behind the exchange gives the same shares as the plain functions.
    let alone = |n: usize| (0..n).collect::<Vec<usize>>();
    let (train_patients, held_out_patients) = (alone(x.len()), alone(h.len()));
    let sets = PrivacySets {
        train: x,
        train_patients: &train_patients,
        held_out: h,
        held_out_patients: &held_out_patients,
        synthetic: y,
    };
    let scores = privacy_scores(sets, PrivacyOptions { near_copy: 0.0, exchanges: 9 }, Seed::new(1)).unwrap();
    close(scores.closer_share.train, share);
    assert!(!scores.is_truncated);
}
