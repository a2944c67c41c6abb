//! The dipole simulator: laws, requests measured from the signal, rhythms, chunks, threads, files.

use std::path::PathBuf;

use einthoven::Seed;
use einthoven::record::lead_law::TWELVE;
use einthoven::record::{ReadOptions, Wave, fiducial, read};
use einthoven::simulate::dipole::condition::CONDITIONS;
use einthoven::simulate::dipole::lead_field::LEAD_FIELD;
use einthoven::simulate::dipole::truth::BeatTruth;
use einthoven::simulate::dipole::{Request, SimulatedEcg, Simulation, write};

fn request(condition: &str) -> Request {
    Request::new(condition).unwrap()
}

fn draw(condition: &str, seed: u64) -> SimulatedEcg {
    SimulatedEcg::draw(&request(condition), Seed::new(seed)).unwrap()
}

fn lead<'a>(ecg: &'a SimulatedEcg, name: &str) -> &'a [f32] {
    let k = TWELVE.iter().position(|lead| *lead == name).unwrap();
    &ecg.clean_mv[k * ecg.sig_len..][..ecg.sig_len]
}

/// Length of the heart's vector at each point, from the eight leads by least squares.
fn vector_length(ecg: &SimulatedEcg) -> Vec<f64> {
    let names = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"];
    let mut normal = [[0.0; 3]; 3];
    for row in LEAD_FIELD {
        (0..3).for_each(|a| (0..3).for_each(|b| normal[a][b] += row[a] * row[b]));
    }
    // Inverse by cofactors.
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        normal[r1][c1] * normal[r2][c2] - normal[r1][c2] * normal[r2][c1]
    };
    let determinant: f64 = (0..3).map(|c| normal[0][c] * minor(0, c)).sum();
    (0..ecg.sig_len)
        .map(|t| {
            let mut seen = [0.0; 3];
            for (row, name) in LEAD_FIELD.iter().zip(names) {
                (0..3).for_each(|a| seen[a] += row[a] * f64::from(lead(ecg, name)[t]));
            }
            let axis = |a: usize| (0..3).map(|b| minor(b, a) * seen[b]).sum::<f64>() / determinant;
            (0..3).map(|a| axis(a) * axis(a)).sum::<f64>().sqrt()
        })
        .collect()
}

/// Walks from a peak to both sides until the curve falls below 5 % of it.
fn edges(length: &[f64], peak: usize) -> (usize, usize) {
    let level = 0.05 * length[peak];
    let first = (0..peak).rev().find(|&t| length[t] < level).unwrap_or(0);
    let last = (peak..length.len()).find(|&t| length[t] < level).unwrap_or(length.len() - 1);
    (first, last)
}

fn highest(length: &[f64], from: usize, to: usize) -> usize {
    (from..to).max_by(|&a, &b| length[a].total_cmp(&length[b])).unwrap()
}

/// PR, QRS and QT in ms and the axis in degrees of a record with separate waves, measured from its leads.
fn measured(ecg: &SimulatedEcg) -> [f64; 4] {
    let length = vector_length(ecg);
    let per_ms = ecg.fs_hz / 1000.0;
    let (i, avf) = (lead(ecg, "I"), lead(ecg, "aVF"));
    let mut sums = [0.0; 3];
    let mut net = [0.0; 2];
    let inner = &ecg.beats[1..ecg.beats.len() - 1];
    for beat in inner {
        let r = (beat.r_s * ecg.fs_hz) as usize;
        let r = highest(&length, r - (20.0 * per_ms) as usize, r + (20.0 * per_ms) as usize);
        let (on, off) = edges(&length, r);
        let p = highest(&length, on - (260.0 * per_ms) as usize, on - (25.0 * per_ms) as usize);
        let (p_on, _) = edges(&length, p);
        let t = highest(&length, off + (60.0 * per_ms) as usize, off + (400.0 * per_ms) as usize);
        let (_, t_off) = edges(&length, t);
        let ms = |from: usize, to: usize| (to as f64 - from as f64) / per_ms;
        [ms(p_on, on), ms(on, off), ms(on, t_off)].iter().zip(&mut sums).for_each(|(value, sum)| *sum += value);
        net[0] += i[on..off].iter().map(|&v| f64::from(v)).sum::<f64>();
        net[1] += avf[on..off].iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    let mean = sums.map(|sum| sum / inner.len() as f64);
    [mean[0], mean[1], mean[2], (net[1] * 2.0 / 3.0_f64.sqrt()).atan2(net[0]).to_degrees()]
}

#[test]
fn every_condition_obeys_the_laws_is_finite_and_repeats() {
    for entry in CONDITIONS {
        let mut request = request(entry.name);
        request.snr_db = Some(15.0);
        let ecg = SimulatedEcg::draw(&request, Seed::new(5)).unwrap();
        assert_eq!(ecg, SimulatedEcg::draw(&request, Seed::new(5)).unwrap(), "{}", entry.name);
        assert!(ecg.ecg_mv.iter().all(|v| v.is_finite() && v.abs() < 8.0), "{}", entry.name);
        for signal in [&ecg.ecg_mv, &ecg.clean_mv] {
            let lead = |k: usize, t: usize| signal[k * ecg.sig_len + t];
            for t in 0..ecg.sig_len {
                let [i, ii, iii, avr, avl, avf] = std::array::from_fn(|k| lead(k, t));
                // Leads lie on a binary grid, so the laws hold to the last bit.
                assert_eq!(iii, ii - i, "{} at {t}", entry.name);
                assert_eq!(avr, -(i + ii) / 2.0, "{} at {t}", entry.name);
                assert_eq!((avl, avf), (i - ii / 2.0, ii - i / 2.0), "{} at {t}", entry.name);
            }
        }
        let snr_db = ecg.truth.snr_db.delivered.unwrap();
        assert!((snr_db - 15.0).abs() < 1e-6, "{}: {snr_db}", entry.name);
        let measured = 10.0
            * (power(&ecg.clean_mv, &vec![0.0; ecg.clean_mv.len()], ecg.sig_len)
                / power(&ecg.ecg_mv, &ecg.clean_mv, ecg.sig_len))
            .log10();
        assert!((measured - 15.0).abs() < 0.01, "{}: {measured}", entry.name);
    }
}

/// Power of the difference of two records over their eight independent leads.
fn power(a: &[f32], b: &[f32], sig_len: usize) -> f64 {
    [0, 1, 6, 7, 8, 9, 10, 11]
        .into_iter()
        .map(|k| {
            let difference: Vec<f64> =
                (k * sig_len..(k + 1) * sig_len).map(|t| f64::from(a[t]) - f64::from(b[t])).collect();
            let mean = difference.iter().sum::<f64>() / sig_len as f64;
            difference.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / sig_len as f64
        })
        .sum()
}

#[test]
fn requests_are_met_as_measured_from_the_noise_free_leads() {
    let mut worst = [0.0_f64; 5];
    let mut n = 0;
    for hr_bpm in [48.0, 62.0, 75.0] {
        for pr_ms in [140.0, 170.0, 200.0] {
            for qrs_ms in [80.0, 104.0, 128.0] {
                for qtc_ms in [385.0, 430.0] {
                    let axis_deg = [-60.0, -15.0, 30.0, 75.0, 120.0, 165.0][n % 6];
                    let mut request = request("sinus");
                    (request.hr_bpm, request.pr_ms, request.qrs_ms) = (Some(hr_bpm), Some(pr_ms), Some(qrs_ms));
                    (request.qtc_ms, request.axis_deg, request.fs_hz) = (Some(qtc_ms), Some(axis_deg), 1000.0);
                    let ecg = SimulatedEcg::draw(&request, Seed::new(n as u64)).unwrap();
                    n += 1;
                    let truth = &ecg.truth;
                    for (value, wanted, tolerance) in [
                        (truth.hr_bpm, hr_bpm, 0.01),
                        (truth.pr_ms, pr_ms, 0.1),
                        (truth.qrs_ms, qrs_ms, 0.2),
                        (truth.qtc_fridericia_ms, qtc_ms, 0.3),
                        (truth.axis_deg, axis_deg, 0.5),
                    ] {
                        let difference = value.difference.unwrap();
                        assert!(difference.abs() <= tolerance, "{wanted}: {value:?}");
                        assert!((value.delivered.unwrap() - wanted - difference).abs() < 1e-9);
                    }
                    let beats = &ecg.beats;
                    let hr = 60.0 * (beats.len() - 1) as f64 / (beats[beats.len() - 1].r_s - beats[0].r_s);
                    let [pr, qrs, qt, axis] = measured(&ecg);
                    let qtc = qt / (60.0 / hr).cbrt();
                    let turn = (axis - axis_deg + 540.0).rem_euclid(360.0) - 180.0;
                    let misses = [hr - hr_bpm, pr - pr_ms, qrs - qrs_ms, qtc - qtc_ms, turn];
                    worst.iter_mut().zip(misses).for_each(|(worst, miss)| *worst = worst.max(miss.abs()));
                    println!("{hr_bpm} {pr_ms} {qrs_ms} {qtc_ms} {axis_deg}: misses {misses:.2?}");
                    // Points of 1 ms on both sides, the feet of neighboring waves, and breathing for the axis.
                    let allowed = [0.01, 4.0, 4.0, 5.0, 5.0];
                    assert!(misses.iter().zip(allowed).all(|(miss, most)| miss.abs() <= most), "{misses:?}");
                }
            }
        }
    }
    println!("{n} combinations, largest differences {worst:.2?} (bpm, ms, ms, ms, degrees)");
}

#[test]
fn impossible_requests_are_refused_in_one_line_that_names_the_setting() {
    type Change = fn(&mut Request);
    let cases: [(&str, &str, Change, &str); 12] = [
        ("sinus", "fs", |r| r.fs_hz = 50.0, "expected 100 to 1000 Hz"),
        ("sinus", "seconds", |r| r.seconds = 1.0, "expected 5 to"),
        ("sinus", "hr", |r| r.hr_bpm = Some(f64::NAN), "expected 25 to 250 bpm"),
        ("bradycardia", "hr", |r| r.hr_bpm = Some(80.0), "expected 20 to 59.9 bpm"),
        ("af", "pr", |r| r.pr_ms = Some(160.0), "has no such value"),
        ("vf", "hr", |r| r.hr_bpm = Some(160.0), "has no such value"),
        ("av-block-1", "pr", |r| r.pr_ms = Some(160.0), "expected 200.1 to 450 ms"),
        ("lbbb", "qrs", |r| r.qrs_ms = Some(90.0), "expected 120 to 220 ms"),
        ("sinus", "qtc", |r| (r.hr_bpm, r.qtc_ms) = (Some(200.0), Some(600.0)), "so that T ends before the next beat"),
        ("sinus", "qrs", |r| (r.qrs_ms, r.qtc_ms) = (Some(200.0), Some(280.0)), "for ST and T"),
        ("sinus", "pr", |r| (r.hr_bpm, r.pr_ms) = (Some(180.0), Some(300.0)), "so that P begins after the beat before"),
        ("reversal-la-ra", "axis", |r| r.axis_deg = Some(60.0), "axis"),
    ];
    for (condition, key, change, part) in cases {
        let mut request = request(condition);
        change(&mut request);
        let message = SimulatedEcg::draw(&request, Seed::new(1)).unwrap_err().to_string();
        assert!(message.contains(key) && message.contains(part) && !message.contains('\n'), "{condition}: {message}");
    }
}

fn rr_of(beats: &[BeatTruth]) -> Vec<f64> {
    beats.windows(2).map(|pair| pair[1].r_s - pair[0].r_s).collect()
}

fn cv(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt() / mean
}

fn count(ecg: &SimulatedEcg, wave: Wave) -> usize {
    ecg.waves.iter().filter(|w| w.wave == wave).count()
}

fn minutes(condition: &str, seconds: f64) -> SimulatedEcg {
    let request = Request { seconds, ..request(condition) };
    SimulatedEcg::draw(&request, Seed::new(3)).unwrap()
}

#[test]
fn rhythms_have_what_defines_them() {
    let symbols = |ecg: &SimulatedEcg| ecg.beats.iter().map(|beat| beat.symbol).collect::<String>();
    let af = minutes("af", 120.0);
    assert_eq!(count(&af, Wave::P), 0);
    let rr = rr_of(&af.beats);
    assert!((0.15..0.35).contains(&cv(&rr)), "{}", cv(&rr));
    let mean = rr.iter().sum::<f64>() / rr.len() as f64;
    let lag: f64 = rr.windows(2).map(|p| (p[0] - mean) * (p[1] - mean)).sum::<f64>()
        / rr.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    // Without memory: two standard errors of the correlation of neighbors.
    assert!(lag.abs() < 2.5 / (rr.len() as f64).sqrt(), "{lag}");

    let sinus = minutes("sinus", 60.0);
    assert!(cv(&rr_of(&sinus.beats)) < 0.08 && count(&sinus, Wave::P).abs_diff(sinus.beats.len()) <= 1);
    let arrhythmia = rr_of(&minutes("sinus-arrhythmia", 60.0).beats);
    let span = arrhythmia.iter().fold(f64::MIN, |a, &b| a.max(b)) - arrhythmia.iter().fold(f64::MAX, |a, &b| a.min(b));
    assert!(span > 0.12, "{span}");

    let wenckebach = minutes("mobitz-1", 60.0);
    let pr: Vec<f64> = wenckebach.beats.iter().map(|beat| beat.pr_ms.unwrap()).collect();
    let grows = pr.windows(2).filter(|p| p[1] > p[0] + 5.0).count();
    let drops = pr.windows(2).filter(|p| p[1] < p[0] - 50.0).count();
    assert_eq!(grows + drops, pr.len() - 1);
    assert!(drops >= 8 && count(&wenckebach, Wave::P) >= wenckebach.beats.len() + drops - 1);
    let second = minutes("mobitz-2", 60.0);
    assert!(second.beats.windows(2).all(|b| (b[1].pr_ms.unwrap() - b[0].pr_ms.unwrap()).abs() < 1e-6));
    assert!(count(&second, Wave::P) > second.beats.len() + 8);
    assert!(draw("av-block-1", 1).beats.iter().all(|beat| beat.pr_ms.unwrap() > 200.0));
    let third = minutes("av-block-3", 60.0);
    assert!(third.beats.iter().all(|beat| beat.pr_ms.is_none()) && count(&third, Wave::P) > third.beats.len() + 10);

    let vt = draw("vt", 2);
    assert!(vt.truth.hr_bpm.delivered.unwrap() > 100.0 && vt.truth.qrs_ms.delivered.unwrap() >= 120.0);
    assert!(vt.beats.iter().all(|beat| beat.symbol == "V"));
    let svt = draw("svt", 2);
    assert!(svt.truth.hr_bpm.delivered.unwrap() >= 130.0 && svt.truth.qrs_ms.delivered.unwrap() < 120.0);
    assert_eq!(count(&svt, Wave::P), 0);
    let vf = draw("vf", 2);
    assert!(vf.beats.is_empty() && vf.waves.is_empty() && lead(&vf, "II").iter().any(|v| v.abs() > 0.2));

    let bigeminy = symbols(&draw("bigeminy", 1));
    assert!(bigeminy.contains("VNVNVN") && !bigeminy.contains("VV"), "{bigeminy}");
    assert!(symbols(&minutes("couplets", 30.0)).contains("NVVN"));
    assert!(symbols(&minutes("pac", 30.0)).contains("NAN"));
    for (condition, symbol) in [("lbbb", "L"), ("rbbb", "R"), ("paced", "/")] {
        assert!(draw(condition, 1).beats.iter().all(|beat| beat.symbol == symbol), "{condition}");
    }
    let pvc = minutes("pvc", 60.0);
    let early: Vec<&BeatTruth> = pvc.beats.iter().filter(|beat| beat.symbol == "V").collect();
    assert!(early.len() > 8 && early.iter().all(|beat| beat.qrs_ms >= 120.0 && beat.pr_ms.is_none()));
    // The pause is compensatory: the sinus beat comes where it would have come.
    let whole = pvc.beats.windows(3).filter(|b| b[1].symbol == "V").map(|b| b[2].r_s - b[0].r_s);
    let usual = pvc.beats.windows(2).filter(|b| b[0].symbol == "N" && b[1].symbol == "N").map(|b| b[1].rr_s);
    let mean_of = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let (whole, usual) = (mean_of(whole.collect()), mean_of(usual.collect()));
    assert!((whole / usual - 2.0).abs() < 0.1, "{whole} {usual}");
    let wpw = draw("wpw", 1).truth;
    assert!(wpw.pr_ms.delivered.unwrap() < 120.0 && wpw.qrs_ms.delivered.unwrap() > 110.0);
    assert!(draw("long-qt", 1).truth.qtc_fridericia_ms.delivered.unwrap() > 470.0);
}

/// Value of a lead some milliseconds after the end of QRS, mean over the beats, above the level before P.
fn st_mv(ecg: &SimulatedEcg, name: &str, after_ms: f64) -> f64 {
    let signal = lead(ecg, name);
    let ends: Vec<f64> = ecg.waves.iter().filter(|w| w.wave == Wave::Qrs).map(|w| w.global_s[2]).collect();
    let inner = &ends[1..ends.len() - 1];
    inner.iter().map(|end_s| f64::from(signal[((end_s + 1e-3 * after_ms) * ecg.fs_hz) as usize])).sum::<f64>()
        / inner.len() as f64
}

/// Largest and smallest value of a lead within the QRS of the inner beats.
fn swing(ecg: &SimulatedEcg, name: &str) -> (f32, f32) {
    let signal = lead(ecg, name);
    let waves = ecg.waves.iter().filter(|w| w.wave == Wave::Qrs);
    let spans = waves.map(|w| ((w.global_s[0] * ecg.fs_hz).max(0.0) as usize, (w.global_s[2] * ecg.fs_hz) as usize));
    spans
        .filter(|span| span.1 < signal.len())
        .flat_map(|(from, to)| &signal[from..to])
        .fold((0.0, 0.0), |(low, high), &v| (v.min(low), v.max(high)))
}

#[test]
fn shapes_show_their_signs_in_the_right_leads() {
    for seed in 1..=4 {
        let anterior = draw("mi-anterior-acute", seed);
        assert!(st_mv(&anterior, "V2", 40.0) > 0.1 && st_mv(&anterior, "V3", 40.0) > 0.1);
        assert!(st_mv(&anterior, "III", 40.0) < 0.02);
        let inferior = draw("mi-inferior-acute", seed);
        assert!(st_mv(&inferior, "III", 40.0) > 0.1 && st_mv(&inferior, "aVF", 40.0) > 0.1);
        assert!(st_mv(&inferior, "aVL", 40.0) < -0.05);
        let lateral = draw("mi-lateral-acute", seed);
        assert!(st_mv(&lateral, "V6", 40.0) > 0.08 && st_mv(&lateral, "III", 40.0) < -0.05);
        assert!(st_mv(&draw("mi-posterior-acute", seed), "V2", 40.0) < -0.1);
        let ischemia = draw("ischemia", seed);
        assert!(st_mv(&ischemia, "V5", 40.0) < -0.08 && st_mv(&ischemia, "aVR", 40.0) > 0.03);

        let sinus = draw("sinus", seed);
        let r = |name| swing(&sinus, name).1;
        assert!(r("V1") < r("V3") && r("V3") < r("V4"), "R grows from V1 to V4");
        assert!(swing(&sinus, "V1").0 < -r("V1") && r("V6") > -swing(&sinus, "V6").0);
        let lbbb = draw("lbbb", seed);
        let (low, high) = swing(&lbbb, "V1");
        assert!(-low > 3.0 * high && swing(&lbbb, "V6").1 > 0.4, "deep S in V1, R in V6");
        assert!(st_mv(&lbbb, "V6", 180.0) < 0.0 && st_mv(&lbbb, "V2", 180.0) > 0.0, "T against QRS");
        assert!(swing(&draw("rbbb", seed), "V1").1 > 0.25, "R' in V1");
        assert!(swing(&draw("rvh", seed), "V1").1 > 0.4);
        let lvh = draw("lvh", seed);
        assert!(swing(&lvh, "V5").1 - swing(&lvh, "V1").0 > 1.8);
        let low = draw("low-voltage", seed);
        for (k, name) in TWELVE.iter().enumerate() {
            let (bottom, top) = swing(&low, name);
            // Breathing and the beats' own variation lie above the placed shape.
            assert!(top - bottom < if k < 6 { 0.52 } else { 1.05 }, "{name}");
        }
        let reversed = draw("reversal-la-ra", seed);
        assert!(lead(&reversed, "I").iter().zip(lead(&sinus, "I")).all(|(a, b)| (a + b).abs() < 1e-4));
    }
}

#[test]
fn chunks_and_threads_do_not_change_a_bit() {
    let mut request = request("pvc+rbbb");
    (request.snr_db, request.seconds, request.recorder.low_pass_hz) = (Some(12.0), 75.0, Some(150.0));
    let whole = SimulatedEcg::draw(&request, Seed::new(9)).unwrap();
    let mut simulation = Simulation::new(&request, Seed::new(9)).unwrap();
    let (mut leads, mut beats, mut waves) = (vec![Vec::new(); 8], Vec::new(), Vec::new());
    let sizes = [1usize, 700, 1024, 5000, 3, 9999];
    let mut k = 0;
    while let Some(chunk) = simulation.next_chunk(sizes[k % sizes.len()]).unwrap() {
        k += 1;
        (0..8).for_each(|lead| leads[lead].extend_from_slice(&chunk.eight_mv[lead * chunk.n..(lead + 1) * chunk.n]));
        beats.extend(chunk.beats);
        waves.extend(chunk.waves);
    }
    let eight: Vec<f32> = leads.concat();
    assert!(einthoven::record::lead_law::twelve_from_eight(&eight) == whole.ecg_mv);
    assert_eq!((beats, waves), (whole.beats.clone(), whole.waves.clone()));
    assert_eq!(simulation.truth(), whole.truth);
    let one = rayon_pool(1).install(|| SimulatedEcg::draw(&request, Seed::new(9)).unwrap());
    assert!(one == whole);
}

fn rayon_pool(n: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap()
}

#[test]
fn a_day_keeps_its_heart_rate_and_any_rate_works() {
    for fs_hz in [100.0, 250.0, 360.0, 1000.0] {
        let mut request = request("sinus");
        (request.fs_hz, request.hr_bpm, request.pr_ms) = (fs_hz, Some(71.0), Some(155.0));
        let truth = SimulatedEcg::draw(&request, Seed::new(4)).unwrap().truth;
        // Shapes are fitted on a grid of their own, so the rate changes nothing.
        assert!(truth.hr_bpm.difference.unwrap().abs() < 0.01 && truth.pr_ms.difference.unwrap().abs() < 0.1);
    }
    let mut request = request("sinus");
    (request.fs_hz, request.hr_bpm, request.seconds) = (100.0, Some(64.0), 2.0 * 3600.0);
    let mut simulation = Simulation::new(&request, Seed::new(4)).unwrap();
    let mut n = 0;
    while let Some(chunk) = simulation.next_chunk(60_000).unwrap() {
        n += chunk.n;
    }
    assert_eq!(n, 720_000);
    assert!(simulation.truth().hr_bpm.difference.unwrap().abs() < 0.01);
    assert!(simulation.truth().n_beats.abs_diff(7680) <= 2, "{}", simulation.truth().n_beats);
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("einthoven-dipole-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn files_hold_the_laws_the_beats_the_waves_and_the_mark() {
    let folder = scratch("files");
    let mut request = request("av-block-1");
    (request.snr_db, request.seconds) = (Some(18.0), 130.0);
    let truth = write::write_records(&request, 2, 7, &folder).unwrap();
    let ecg = SimulatedEcg::draw(&request, write::record_seed(7, 1)).unwrap();
    let record = read(folder.join("syn_000001.hea"), &ReadOptions::strict()).unwrap();
    assert_eq!(record.comments[0], "Synthetic: yes");
    assert!(record.comments.iter().any(|line| line == "Seed: 7, index 1"));
    assert_eq!(record.leads.iter().map(|lead| lead.name.as_str()).collect::<Vec<_>>(), TWELVE);
    let adu = |k: usize, t: usize| i64::from(record.leads[k].adu[t]);
    for t in 0..record.sig_len {
        let (i, ii) = (adu(0, t), adu(1, t));
        // The augmented leads have twice the gain.
        assert_eq!([adu(2, t), adu(3, t), adu(4, t), adu(5, t)], [ii - i, -i - ii, 2 * i - ii, 2 * ii - i]);
    }
    for (k, lead) in record.leads.iter().enumerate() {
        let mv = lead.mv().unwrap();
        let far = mv.iter().zip(&ecg.ecg_mv[k * ecg.sig_len..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 0.0011, "{}: {far}", lead.name);
    }
    let beats: Vec<_> = record.annotations["atr"].iter().filter(|mark| mark.is_beat()).collect();
    assert_eq!(beats.len(), ecg.beats.len());
    assert!(beats.iter().zip(&ecg.beats).all(|(mark, beat)| mark.sample == (beat.r_s * 500.0).round() as i64));
    assert_eq!(record.annotations["atr"][0].aux_text(), "(BI");
    for (k, name) in TWELVE.iter().enumerate() {
        let found = fiducial::from_annotations(&record.annotations[&name.to_ascii_lowercase()]);
        let expected: Vec<_> = ecg.waves.iter().filter_map(|w| w.leads_s[k].map(|times| (w.wave, times))).collect();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (fiducial, (wave, times)) in found.iter().zip(expected) {
            assert_eq!((fiducial.wave, fiducial.peak), (wave, (times[1] * 500.0).round() as usize));
        }
    }
    let twin = read(folder.join("syn_000001_clean.hea"), &ReadOptions::strict()).unwrap();
    let mv = twin.leads[1].mv().unwrap();
    assert!(mv.iter().zip(lead(&ecg, "II")).all(|(a, b)| (a - b).abs() < 0.0006));
    let stored: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
    assert_eq!(stored["records"][1]["beats"].as_array().unwrap().len(), ecg.beats.len());
    assert_eq!((&stored["synthetic"], &stored["records"][1]["record"]), (&true.into(), &"syn_000001".into()));
    assert_eq!(stored["records"][0]["seed"], truth["records"][0]["seed"]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn recorder_options_do_what_they_say() {
    let mut request = request("cal-1mv");
    request.hr_bpm = Some(60.0);
    let plain = SimulatedEcg::draw(&request, Seed::new(1)).unwrap();
    let top = lead(&plain, "V3").iter().copied().fold(f32::MIN, f32::max);
    assert!((top - 1.0).abs() < 0.06 && lead(&plain, "III").iter().all(|v| *v == 0.0), "{top}");
    assert_eq!(plain.truth.qrs_ms.delivered.map(f64::round), Some(100.0));
    request.recorder.dc_offset_mv = 5.0;
    request.recorder.saturation_mv = Some(5.5);
    request.recorder.lead_off = Some((einthoven::simulate::dipole::recorder::Electrode::V2, 2.0, 4.0));
    let ecg = SimulatedEcg::draw(&request, Seed::new(1)).unwrap();
    let recorded = |k: usize, t: usize| ecg.ecg_mv[k * ecg.sig_len + t];
    assert!((0..ecg.sig_len).all(|t| recorded(6, t) <= 5.5) && (0..ecg.sig_len).any(|t| recorded(6, t) == 5.5));
    assert!(recorded(7, 1500).is_nan() && !recorded(7, 500).is_nan() && !recorded(6, 1500).is_nan());
}

#[test]
fn golden_bits() {
    use sha2::{Digest, Sha256};
    let mut request = request("sinus");
    request.snr_db = Some(20.0);
    let ecg = SimulatedEcg::draw(&request, Seed::new(1)).unwrap();
    let mut hash = Sha256::new();
    ecg.ecg_mv.iter().for_each(|v| hash.update(v.to_le_bytes()));
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    // Pure arithmetic and libm: the same on every machine. A change of the simulator changes it, knowingly.
    assert_eq!(hash, "2cf35eaf586a2f8e");
}
