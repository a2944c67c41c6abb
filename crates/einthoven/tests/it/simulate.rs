//! The simulated cohort: repeatable, complete, fast, and neither trivial nor impossible to classify.

use einthoven::Seed;
use einthoven::signal::snr::SnrEstimator;
use einthoven::simulate::beats::{BeatClass, BeatCohort, CohortPart, SimulatedBeats, simulate_beats};

fn default_beats(seed: u64) -> SimulatedBeats {
    simulate_beats(&BeatCohort::default(), Seed::new(seed)).unwrap()
}

/// Indices of the beats of one part.
fn part(beats: &SimulatedBeats, part: CohortPart) -> Vec<usize> {
    (0..beats.class.len()).filter(|&i| beats.part[i] == part).collect()
}

fn window(beats: &SimulatedBeats, i: usize) -> &[f32] {
    &beats.ecg[i * beats.sig_len..(i + 1) * beats.sig_len]
}

/// F1 of each class.
fn f1(truth: &[usize], predicted: &[usize]) -> [f64; 5] {
    std::array::from_fn(|class| {
        let count = |f: &dyn Fn(usize, usize) -> bool| truth.iter().zip(predicted).filter(|(t, p)| f(**t, **p)).count();
        let hits = count(&|t, p| t == class && p == class);
        let either = count(&|t, p| (t == class) != (p == class));
        2.0 * hits as f64 / (2 * hits + either).max(1) as f64
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Class of the nearest training beat in the Euclidean sense, after removing each beat's mean.
fn nearest_neighbor(beats: &SimulatedBeats, train: &[usize], test: &[usize]) -> Vec<usize> {
    let centered = |i: usize| -> Vec<f32> {
        let x = window(beats, i);
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        x.iter().map(|v| v - mean).collect()
    };
    let known: Vec<Vec<f32>> = train.iter().map(|&i| centered(i)).collect();
    let nearest = |&i: &usize| {
        let x = centered(i);
        let distances = known.iter().map(|y| x.iter().zip(y).map(|(a, b)| (a - b) * (a - b)).sum::<f32>());
        let best = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
        beats.class[train[best]] as usize
    };
    test.iter().map(nearest).collect()
}

/// A tree of one feature with at most 16 leaves, grown on the training beats with classes weighted
/// equally by `weights`.
fn tree(rows: &mut [(f64, usize)], weights: &[f64; 5], depth: usize, out: &mut Vec<(f64, usize)>) {
    let gini_mass = |counts: &[f64; 5]| {
        let total: f64 = counts.iter().sum();
        if total > 0.0 { total - counts.iter().map(|c| c * c).sum::<f64>() / total } else { 0.0 }
    };
    let mut all = [0.0; 5];
    rows.iter().for_each(|row| all[row.1] += weights[row.1]);
    let majority = (0..5).max_by(|&a, &b| all[a].total_cmp(&all[b])).unwrap();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut left = [0.0; 5];
    let mut best = (gini_mass(&all) - 1e-9, 0);
    for k in 1..rows.len() {
        left[rows[k - 1].1] += weights[rows[k - 1].1];
        let right: [f64; 5] = std::array::from_fn(|c| all[c] - left[c]);
        let impurity = gini_mass(&left) + gini_mass(&right);
        if rows[k].0 > rows[k - 1].0 && impurity < best.0 {
            best = (impurity, k);
        }
    }
    let upper = rows.last().map_or(f64::INFINITY, |row| row.0);
    if depth == 0 || best.1 == 0 {
        out.push((upper, majority));
        return;
    }
    let (low, high) = rows.split_at_mut(best.1);
    tree(low, weights, depth - 1, out);
    tree(high, weights, depth - 1, out);
}

#[test]
fn cohort_repeats_and_depends_on_the_seed_but_not_on_the_threads() {
    let config = BeatCohort { n_patients: 12, beats_per_patient: 40, ..BeatCohort::default() };
    let draw = |seed| simulate_beats(&config, Seed::new(seed)).unwrap();
    let beats = draw(1);
    assert_eq!(beats, draw(1));
    assert_ne!(beats.ecg, draw(2).ecg);
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(beats, one_thread.install(|| draw(1)));
    assert_eq!(beats.class.len(), 480);
    assert_eq!(beats.ecg.len(), 480 * 256);
}

#[test]
fn beats_are_physiological() {
    let beats = default_beats(1);
    assert!(beats.ecg.iter().all(|v| v.is_finite() && v.abs() < 6.0));
    assert!(beats.rr_s.iter().flatten().all(|rr| (0.3..3.0).contains(rr)));
    for i in 1..beats.class.len() {
        if beats.patient[i] == beats.patient[i - 1] {
            assert_eq!(beats.rr_s[i][0], beats.rr_s[i - 1][1]);
            // The annotation jitters by some milliseconds around the deflection.
            let apart_s = (beats.index[i] - beats.index[i - 1]) as f32 / 360.0;
            assert!((apart_s - beats.rr_s[i][0]).abs() < 0.06, "beat {i}");
        }
    }
    // Beats share the points where their windows overlap, as they do when cut from one record.
    let i = (1..beats.class.len())
        .find(|&i| beats.patient[i] == beats.patient[i - 1] && beats.index[i] - beats.index[i - 1] < 200)
        .unwrap();
    let shift = (beats.index[i] - beats.index[i - 1]) as usize;
    assert_eq!(window(&beats, i - 1)[shift..], window(&beats, i)[..256 - shift]);
}

#[test]
fn noise_level_is_that_of_real_beats() {
    let beats = default_beats(1);
    let snr = SnrEstimator::new(beats.fs_hz).unwrap().db_each(&beats.ecg, beats.sig_len);
    let normal: Vec<f64> = snr.iter().zip(&beats.class).filter(|(_, c)| **c == BeatClass::N).map(|(s, _)| *s).collect();
    let mean_db = mean(&normal);
    let sd_db = mean(&normal.iter().map(|s| (s - mean_db).powi(2)).collect::<Vec<_>>()).sqrt();
    println!("N beats: {mean_db:.1} dB, sd {sd_db:.1} dB");
    // N beats of MIT-BIH have 25.6 dB by this definition, with a spread of about 5 dB.
    assert!((20.0..30.0).contains(&mean_db), "{mean_db}");
    assert!((2.0..9.0).contains(&sd_db), "{sd_db}");
}

#[test]
fn one_feature_of_amplitude_or_noise_does_not_tell_the_classes() {
    let beats = default_beats(1);
    let (train, test) = (part(&beats, CohortPart::Train), part(&beats, CohortPart::Test));
    let snr = SnrEstimator::new(beats.fs_hz).unwrap();
    let largest = |x: &[f32]| f64::from(x.iter().copied().fold(f32::MIN, f32::max));
    let smallest = |x: &[f32]| f64::from(x.iter().copied().fold(f32::MAX, f32::min));
    let rms = |x: &[f32]| {
        let mean = x.iter().sum::<f32>() / x.len() as f32;
        f64::from(x.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>()).sqrt()
    };
    let slope = |x: &[f32]| f64::from(x.windows(2).map(|p| (p[1] - p[0]).powi(2)).sum::<f32>()).sqrt();
    let features: [(&str, &dyn Fn(&[f32]) -> f64); 6] = [
        ("largest", &largest),
        ("smallest", &smallest),
        ("range", &|x| largest(x) - smallest(x)),
        ("rms", &rms),
        ("slope", &slope),
        ("snr", &|x| snr.db(x)),
    ];
    let truth: Vec<usize> = test.iter().map(|&i| beats.class[i] as usize).collect();
    for (name, feature) in features {
        let mut rows: Vec<(f64, usize)> =
            train.iter().map(|&i| (feature(window(&beats, i)), beats.class[i] as usize)).collect();
        let balanced: [f64; 5] =
            std::array::from_fn(|class| 1.0 / rows.iter().filter(|row| row.1 == class).count() as f64);
        for weights in [[1.0; 5], balanced] {
            let mut leaves = Vec::new();
            tree(&mut rows, &weights, 4, &mut leaves);
            let leaf = |value: f64| leaves.iter().find(|leaf| value <= leaf.0).unwrap_or(&leaves[leaves.len() - 1]).1;
            let predicted: Vec<usize> = test.iter().map(|&i| leaf(feature(window(&beats, i)))).collect();
            let score = mean(&f1(&truth, &predicted));
            println!("tree on {name}: macro F1 {score:.3}");
            assert!(score < 0.45, "tree on {name}: {score}");
        }
    }
}

#[test]
fn neighbors_of_other_patients_tell_the_classes_but_not_all_of_them() {
    for seed in 1..=2 {
        let beats = default_beats(seed);
        let (train, test) = (part(&beats, CohortPart::Train), part(&beats, CohortPart::Test));
        let truth: Vec<usize> = test.iter().map(|&i| beats.class[i] as usize).collect();
        let scores = f1(&truth, &nearest_neighbor(&beats, &train, &test));
        println!("seed {seed}: macro F1 {:.3}, of each class {scores:.2?}", mean(&scores));
        assert!((0.5..0.9).contains(&mean(&scores)), "{scores:?}");
        // Ventricular beats are what the eye finds first; S hides in its timing.
        assert!(scores[2] > 0.6 && scores[1] < 0.9, "{scores:?}");
    }
}

#[test]
fn five_thousand_beats_take_less_than_half_a_second() {
    let config = BeatCohort { n_patients: 50, beats_per_patient: 100, ..BeatCohort::default() };
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let start = std::time::Instant::now();
    let beats = one_thread.install(|| simulate_beats(&config, Seed::new(1))).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("{} beats in {seconds:.3} s on one thread", beats.class.len());
    // Ten times the goal, so that a busy machine or a build without optimization passes.
    assert!(seconds < 5.0, "{seconds} s");
}

#[test]
fn bad_settings_are_errors_that_name_the_key() {
    let default = BeatCohort::default();
    let cases = [
        ("n_patients", BeatCohort { n_patients: 4, ..default.clone() }),
        ("beats_per_patient", BeatCohort { beats_per_patient: 3, ..default.clone() }),
        ("fs_hz", BeatCohort { fs_hz: f64::NAN, ..default.clone() }),
        ("sig_len", BeatCohort { sig_len: 1000, ..default.clone() }),
        ("class_shares", BeatCohort { class_shares: [0.0, 0.5, 0.5, 0.5, 0.5], ..default.clone() }),
        ("test_share", BeatCohort { test_share: -0.1, ..default.clone() }),
        ("snr_db", BeatCohort { snr_db: [30.0, 10.0], ..default }),
    ];
    for (key, config) in cases {
        let message = simulate_beats(&config, Seed::new(1)).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{key}: ")), "{message}");
    }
}
