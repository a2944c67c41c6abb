//! Metrics against facts about intervals; the values of outside tools are in `reference`.

use std::slice::from_ref;

use einthoven::Seed;
use einthoven::metrics::bootstrap::{BootstrapOptions, IntervalMethod, patient_bootstrap};
use einthoven::metrics::classification::{ClassificationInput, Predictions};
use einthoven::metrics::distance::{Pairing, Points, nearest_neighbors};
use einthoven::metrics::score_bootstrap::{ScoreBootstrap, ScoreInterval};

fn names(n: usize) -> Vec<String> {
    (0..n)
        .map(|class| ["N", "S", "V", "F", "Q"].get(class).map_or(format!("c{class}"), |name| name.to_string()))
        .collect()
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

fn score_intervals(runs: &[Predictions], seed: Seed, options: BootstrapOptions) -> Vec<ScoreInterval> {
    ScoreBootstrap::new(runs, seed, options).unwrap().intervals()
}

#[test]
fn l12_every_beat_ten_times_does_not_shrink_an_interval() {
    let options = BootstrapOptions { replicates: 300, ..Default::default() };
    let once = score_intervals(&[simulated(12, 20, 1, 1.0, 1)], Seed::new(5), options);
    let ten_times = score_intervals(&[simulated(12, 20, 10, 1.0, 1)], Seed::new(5), options);
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
    let bootstrap = ScoreBootstrap::new(from_ref(&base), Seed::new(1), options).unwrap();
    let same = bootstrap.differences_to(&bootstrap).unwrap();
    for difference in &same {
        assert_eq!((difference.interval.ci_low, difference.interval.ci_high), (0.0, 0.0), "{}", difference.name);
        assert_eq!(difference.p_value, 1.0);
    }
    let other = [simulated(15, 20, 1, 1.0, 4)];
    let other = ScoreBootstrap::new(&other, Seed::new(1), options).unwrap();
    assert!(bootstrap.differences_to(&other).is_err(), "other items cannot be paired");
    let drawn_otherwise = ScoreBootstrap::new(from_ref(&base), Seed::new(2), options).unwrap();
    assert!(bootstrap.differences_to(&drawn_otherwise).is_err(), "other draws cannot be paired");
}

#[test]
fn bootstrap_is_the_same_for_any_number_of_threads() {
    let runs = [simulated(8, 15, 1, 1.0, 1)];
    let options = BootstrapOptions { replicates: 200, method: IntervalMethod::Bca, ..Default::default() };
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| score_intervals(&runs, Seed::new(2), options))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn l13_few_patients_are_called_insufficient() {
    let options = BootstrapOptions { replicates: 50, ..Default::default() };
    let few = score_intervals(&[simulated(9, 10, 1, 1.0, 1)], Seed::new(1), options);
    assert!(few.iter().all(|score| score.insufficient.as_deref().is_some_and(|why| why.contains("9 patients"))));
    let enough = score_intervals(&[simulated(12, 10, 1, 1.0, 1)], Seed::new(1), options);
    assert!(enough.iter().all(|score| score.insufficient.is_none()));
}

/// The cost of the intervals that a report needs; run with `--ignored --nocapture` in release.
#[test]
#[ignore = "measures time"]
fn bootstrap_of_fifty_thousand_beats_takes_seconds() {
    let runs = [simulated(22, 2273, 1, 1.0, 1)];
    let start = std::time::Instant::now();
    let scores = score_intervals(&runs, Seed::new(1), BootstrapOptions::default());
    println!("{} scores, 2000 replicates, 50006 beats: {:.2} s", scores.len(), start.elapsed().as_secs_f64());
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
