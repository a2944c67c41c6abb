//! The detector and the classical delineator on simulated records of known truth: rhythms with broad beats, the whole
//! range of rates and sampling rates, one lead full of hum, and records in which there is nothing to find.

use einthoven::Seed;
use einthoven::beat::interval::{Intervals, intervals};
use einthoven::delineators::record::{DetectionLeads, NO_RHYTHM, delineate_record, detect_beats};
use einthoven::delineators::{DELINEATORS, Delineation, Leads};
use einthoven::record::{Fiducial, Lead, Record, Wave};
use einthoven::simulate::dipole::{Request, SimulatedEcg};

fn simulated(condition: &str, seed: u64, change: impl Fn(&mut Request)) -> SimulatedEcg {
    let mut request = Request::new(condition).unwrap();
    change(&mut request);
    SimulatedEcg::draw(&request, Seed::new(seed)).unwrap()
}

fn delineated(ecg_mv: &[f32], sig_len: usize, fs_hz: f64) -> Delineation {
    let mv: Vec<&[f32]> = ecg_mv.chunks(sig_len).collect();
    DELINEATORS[0].build().unwrap().delineate(&Leads { mv: &mv, fs_hz }).unwrap()
}

fn found(ecg: &SimulatedEcg) -> (Vec<Fiducial>, Intervals) {
    let across = delineated(&ecg.ecg_mv, ecg.sig_len, ecg.fs_hz).across;
    let measured = intervals(&across, ecg.fs_hz);
    (across, measured)
}

/// Beats, missed and extra ones. A beat at the very edge of the record may be found or not.
fn beat_errors(ecg: &SimulatedEcg, waves: &[Fiducial]) -> [usize; 3] {
    let end_s = ecg.sig_len as f64 / ecg.fs_hz - 0.35;
    let is_inside = |t_s: &&f64| (0.25..end_s).contains(*t_s);
    let truth: Vec<f64> = ecg.beats.iter().map(|beat| beat.r_s).collect();
    let beats = waves.iter().filter(|wave| wave.wave == Wave::Qrs);
    let beats: Vec<f64> = beats.map(|wave| wave.peak as f64 / ecg.fs_hz).collect();
    let lacks = |of: &[f64], at: f64| !of.iter().any(|&other| (other - at).abs() <= 0.15);
    let missed = truth.iter().filter(is_inside).filter(|at| lacks(&beats, **at)).count();
    // Two detections of one beat are one too many.
    let doubles = beats.windows(2).filter(|pair| pair[1] - pair[0] < 0.15).count();
    let extra = beats.iter().filter(is_inside).filter(|at| lacks(&truth, **at)).count();
    [truth.len(), missed, extra + doubles]
}

#[test]
fn broad_beats_count_and_the_p_and_t_waves_beside_them_do_not() {
    let mut failed = Vec::new();
    for condition in [
        "bigeminy",
        "trigeminy",
        "couplets",
        "pvc",
        "pvc-multifocal",
        "av-block-3",
        "lbbb",
        "paced",
        "paced-dual",
        "low-voltage",
        "long-qt",
        "wpw",
        "vt",
    ] {
        let mut sums = [0; 3];
        for seed in 0..8 {
            let ecg = simulated(condition, seed, |_| ());
            sums.iter_mut().zip(beat_errors(&ecg, &found(&ecg).0)).for_each(|(sum, n)| *sum += n);
        }
        let [n, missed, extra] = sums;
        // Other patients than the settings were tried on. P waves that fuse with the smooth beats of a ventricular
        // tachycardia may still be taken for them.
        let percent = if condition == "vt" { 5 } else { 2 };
        if 100 * missed > percent * n || 100 * extra > percent * n {
            failed.push(format!("{condition}: {missed} missed, {extra} extra of {n}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn beats_and_intervals_are_right_at_any_rate_and_sampling_rate() {
    let mut failed = Vec::new();
    for fs_hz in [100.0, 250.0, 500.0, 1000.0] {
        for bpm in [40.0, 60.0, 90.0, 110.0, 120.0, 140.0, 160.0, 190.0, 220.0] {
            for seed in 0..3 {
                let ecg = simulated("sinus", seed, |request| (request.fs_hz, request.hr_bpm) = (fs_hz, Some(bpm)));
                let (waves, measured) = found(&ecg);
                let place = format!("{bpm} bpm at {fs_hz} Hz, seed {seed}");
                let errors = beat_errors(&ecg, &waves);
                let off = |value: Option<f64>, truth: Option<f64>| value.zip(truth).map(|(a, b)| a - b);
                let rate = off(measured.hr_bpm, Some(bpm));
                if errors[1..] != [0, 0] || rate.is_none_or(|bpm| bpm.abs() > 1.0) {
                    failed.push(format!("{place}: beats {errors:?}, rate off by {rate:?}"));
                }
                // The truth's boundary is where a wave has 5 % of its peak, the delineator's where the deflection
                // begins: up to 20 ms between them, and two points.
                let tolerance_ms = 25.0 + 2000.0 / fs_hz;
                let pr = off(measured.pr_ms, ecg.truth.pr_ms.delivered);
                // From 130 bpm on the P wave may lie on the flank of the T wave before and be absent.
                if bpm < 125.0 && pr.is_none_or(|ms| ms.abs() > tolerance_ms) {
                    failed.push(format!("{place}: PR off by {pr:?} ms"));
                }
                let qt = off(measured.qt_ms, ecg.truth.qt_ms.delivered);
                let allowed_ms = if bpm < 125.0 { tolerance_ms } else { tolerance_ms + 20.0 };
                // At 220 bpm and 100 Hz there are five points from the end of QRS to the T wave.
                if bpm < 200.0 && qt.is_none() || qt.is_some_and(|ms| ms.abs() > allowed_ms) {
                    failed.push(format!("{place}: QT off by {qt:?} ms"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn hum_or_noise_in_one_lead_leaves_the_complexes_of_all_leads_alone() {
    let mut failed = Vec::new();
    for seed in 0..4 {
        let ecg = simulated("sinus", seed, |_| ());
        let clean = delineated(&ecg.ecg_mv, ecg.sig_len, ecg.fs_hz);
        let mut stream = Seed::new(seed).stream();
        let kinds: [(&str, &mut dyn FnMut(usize) -> f64); 3] = [
            ("50 Hz", &mut |k| 0.4 * (std::f64::consts::TAU * 50.0 * k as f64 / 500.0).sin()),
            ("60 Hz", &mut |k| 0.4 * (std::f64::consts::TAU * 60.0 * k as f64 / 500.0).sin()),
            ("white noise", &mut |_| 0.2 * stream.normal()),
        ];
        for (kind, noise) in kinds {
            // Two leads as a recorder may have them, a raw one and a clean one, and all twelve.
            for rows in [vec![0, 1], (0..12).collect::<Vec<usize>>()] {
                let mut mv: Vec<Vec<f32>> =
                    rows.iter().map(|&row| ecg.ecg_mv.chunks(ecg.sig_len).nth(row).unwrap().into()).collect();
                mv[0].iter_mut().enumerate().for_each(|(k, v)| *v += noise(k) as f32);
                let spoiled = delineated(&mv.concat(), ecg.sig_len, ecg.fs_hz);
                let qrs_ms = |waves: &[Fiducial]| intervals(waves, ecg.fs_hz).qrs_ms.unwrap();
                for (row, waves) in spoiled.leads.iter().enumerate() {
                    let (a, b) = (qrs_ms(waves), qrs_ms(&clean.leads[row]));
                    // The spoiled lead itself shows its ends less sharply.
                    let allowed_ms = if row == 0 { 44.0 } else { 24.0 };
                    if (a - b).abs() > allowed_ms {
                        failed.push(format!("{kind}, {} leads, lead {row}: {a} ms, clean {b} ms", rows.len()));
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn nothing_is_measured_where_there_is_no_rhythm() {
    let mut records: Vec<(String, Vec<f32>)> =
        (0..12).map(|seed| (format!("vf {seed}"), simulated("vf", seed, |_| ()).ecg_mv)).collect();
    for seed in 0..6 {
        let mut stream = Seed::new(seed).stream();
        records.push((format!("white noise {seed}"), (0..60_000).map(|_| 0.1 * stream.normal() as f32).collect()));
        let mut level = 0.0;
        let wander = (0..60_000).map(|_| {
            level = 0.999 * level + 0.01 * stream.normal();
            level as f32
        });
        records.push((format!("wander {seed}"), wander.collect()));
    }
    for (name, ecg_mv) in records {
        let mut record = Record::new(&name, 500.0);
        let lead = |mv: &[f32]| Lead::from_mv("II", mv, 1000.0).unwrap();
        record.leads = ecg_mv.chunks(5000).take(1).map(lead).collect();
        record.sig_len = 5000;
        // A single lead cannot tell fibrillation from a noisy tachycardia for certain; noise it can.
        if !name.starts_with("vf") {
            let beats = detect_beats(&record, &DetectionLeads::Default).unwrap();
            assert!(beats.is_empty(), "{name}: {} beats in one lead", beats.len());
        }
        record.leads = ecg_mv.chunks(5000).map(lead).collect();
        let result = delineate_record(&record, DELINEATORS[0].build().unwrap().as_ref()).unwrap();
        assert_eq!((result.fiducials.len(), result.notes.as_slice()), (0, &[NO_RHYTHM][..]), "{name}");
        assert_eq!(result.intervals, Intervals::default(), "{name}");
        assert_eq!(delineated(&ecg_mv, 5000, 500.0), Delineation { across: vec![], leads: vec![vec![]; 12] }, "{name}");
    }
    let ecg = simulated("vt", 1, |_| ());
    assert!(found(&ecg).1.hr_bpm.is_some(), "a fast rhythm of broad beats is one");
}
