//! Beats and waves: the detector, the delineator, the comparison of EC57 and the measurements, on signals of known
//! truth and on the annotated databases.

use einthoven::Seed;
use einthoven::beat::ec57::{Class, Comparison, FolderComparison, LEARNING_S, compare, compare_folder};
use einthoven::beat::interval::{QtCorrection, amplitudes, intervals, rr_statistics};
use einthoven::beat::rpeak::r_peaks;
use einthoven::dataset::Split;
use einthoven::dataset::label::AAMI;
use einthoven::delineators::marked::ludb_split;
use einthoven::delineators::record::{DetectionLeads, delineate_record, detect_beats};
use einthoven::delineators::{DELINEATORS, Delineator, Leads, wavelet};
use einthoven::record::annotation::is_beat_symbol;
use einthoven::record::fiducial::from_annotations;
use einthoven::record::format::wfdb;
use einthoven::record::{Annotation, Fiducial, Lead, ReadOptions, Record, Wave, WriteOptions, read};

use super::folder::{TempFolder, data_folder};

/// A lead made of bells: P, Q, R, S and T at stated times around each beat.
struct Heart {
    beats_s: Vec<f64>,
    has_p: bool,
    fs_hz: f64,
    seconds: f64,
}

impl Heart {
    fn steady(bpm: f64, fs_hz: f64, seconds: f64) -> Heart {
        let rr = 60.0 / bpm;
        let n = ((seconds - 0.8) / rr) as usize;
        Heart { beats_s: (0..n).map(|k| 0.4 + k as f64 * rr).collect(), has_p: true, fs_hz, seconds }
    }

    fn lead(&self, gain: f64, noise_mv: f64, seed: u64) -> Vec<f32> {
        let mut stream = Seed::new(seed).stream();
        let bells = [(0.12, -0.16, 0.022), (-0.1, -0.025, 0.008), (1.0, 0.0, 0.010), (-0.2, 0.028, 0.009)];
        (0..(self.seconds * self.fs_hz) as usize)
            .map(|k| {
                let t = k as f64 / self.fs_hz;
                let mut mv = 0.15 * (std::f64::consts::TAU * 0.2 * t).sin() + noise_mv * stream.normal();
                for (beat, at) in self.beats_s.iter().enumerate().filter(|(_, at)| (t - **at).abs() < 1.0) {
                    let next = self.beats_s.get(beat + 1).or(self.beats_s.get(beat.wrapping_sub(1)));
                    let stretch = next.map_or(1.0, |next| (next - at).abs()).min(1.2).sqrt();
                    let bell = |height: f64, center: f64, width: f64| {
                        height * (-0.5 * ((t - at - center) / width).powi(2)).exp()
                    };
                    let from = usize::from(!self.has_p);
                    mv += bells[from..].iter().map(|&(h, c, w)| gain * bell(h, c, w)).sum::<f64>();
                    mv += gain * bell(0.3, 0.28 * stretch, 0.045 * stretch);
                }
                mv as f32
            })
            .collect()
    }
}

/// Beats without a detection within 50 ms, and detections without a beat.
fn errors(heart: &Heart, found: &[usize]) -> (usize, usize) {
    let near = |a: f64, b: f64| (a - b).abs() < 0.05;
    let found: Vec<f64> = found.iter().map(|&at| at as f64 / heart.fs_hz).collect();
    let missed = heart.beats_s.iter().filter(|&&beat| !found.iter().any(|&at| near(at, beat))).count();
    let extra = found.iter().filter(|&&at| !heart.beats_s.iter().any(|&beat| near(at, beat))).count();
    (missed, extra)
}

#[test]
fn beats_are_found_from_40_to_220_bpm_at_100_to_1000_hz_in_either_polarity() {
    for fs_hz in [100.0, 128.0, 200.0, 250.0, 300.0, 360.0, 500.0, 1000.0] {
        for bpm in [40.0, 75.0, 140.0, 220.0] {
            // At 220 bpm the bells of P and T lie on each other, as they do in a heart.
            let heart = Heart::steady(bpm, fs_hz, 20.0);
            for gain in [1.0, -0.4] {
                let lead = heart.lead(gain, 0.02, 7);
                let found = r_peaks(&[&lead], fs_hz).unwrap();
                assert_eq!(errors(&heart, &found), (0, 0), "{bpm} bpm at {fs_hz} Hz, gain {gain}");
            }
        }
    }
}

#[test]
fn a_lead_of_noise_or_of_missing_points_does_not_spoil_the_others() {
    let heart = Heart::steady(70.0, 360.0, 30.0);
    let clean = heart.lead(1.0, 0.02, 1);
    let mut stream = Seed::new(2).stream();
    let noise: Vec<f32> = clean.iter().map(|_| stream.normal() as f32).collect();
    let mut holes = heart.lead(0.8, 0.02, 3);
    holes[2000..5000].fill(f32::NAN);
    let found = r_peaks(&[&clean, &noise, &holes], 360.0).unwrap();
    let (missed, extra) = errors(&heart, &found);
    // The noise is as high as the R peaks: one burst of it in 30 s may pass for a beat where two leads are left.
    assert!(missed == 0 && extra <= 1, "missed {missed}, extra {extra}");
}

#[test]
fn silence_and_shortness_have_no_beats_and_bad_requests_are_named() {
    assert_eq!(r_peaks(&[&[0.0; 3600]], 360.0).unwrap(), Vec::<usize>::new());
    assert_eq!(r_peaks(&[&[f32::NAN; 3600]], 360.0).unwrap(), Vec::<usize>::new());
    for n in 0..5 {
        assert!(r_peaks(&[&vec![1.0; n]], 360.0).unwrap().is_empty(), "{n} points");
    }
    for method in DELINEATORS {
        for lead in (0..5).map(|n| vec![1.0; n]).chain([vec![-0.5; 3600], vec![f32::NAN; 3600]]) {
            let leads = Leads { mv: &[&lead], fs_hz: 360.0 };
            let found = method.build().unwrap().delineate(&leads).unwrap();
            assert!(found.across.is_empty() && found.leads[0].is_empty(), "{}: {found:?}", method.name());
        }
    }
    assert!(r_peaks(&[], 360.0).unwrap().is_empty());
    let message = r_peaks(&[&[0.0; 10]], 20.0).unwrap_err().to_string();
    assert!(message.contains("fs_hz: 20, expected at least 50 Hz"), "{message}");
    let message = r_peaks(&[&[0.0; 10], &[0.0; 9]], 360.0).unwrap_err().to_string();
    assert!(message.contains("found shape [9], expected [10]"), "{message}");
}

#[test]
fn each_delineator_finds_the_waves_of_a_known_heart_and_no_p_wave_where_there_is_none() {
    for spec in DELINEATORS {
        let delineator = spec.build().unwrap();
        for has_p in [true, false] {
            let heart = Heart { has_p, ..Heart::steady(66.0, 500.0, 10.0) };
            let leads = [heart.lead(1.0, 0.01, 1), heart.lead(0.5, 0.01, 2), heart.lead(-0.8, 0.01, 3)];
            let mv: Vec<&[f32]> = leads.iter().map(Vec::as_slice).collect();
            let found = delineator.delineate(&Leads { mv: &mv, fs_hz: 500.0 }).unwrap();
            for (lead, waves) in found.leads.iter().enumerate() {
                let centers = [(Wave::P, -0.16), (Wave::Qrs, 0.0), (Wave::T, 0.28 * (60.0f64 / 66.0).sqrt())];
                for (wave, center) in centers {
                    let of: Vec<&Fiducial> = waves.iter().filter(|found| found.wave == wave).collect();
                    if wave == Wave::P && !has_p {
                        // The network expects a P wave before a regular beat, as its card says.
                        let is_honest = of.is_empty() || spec.name() == "delnet";
                        assert!(is_honest, "{}, lead {lead}: P waves out of nothing", spec.name());
                        continue;
                    }
                    // The first and the last beat may be cut by the edges.
                    let inner = &heart.beats_s[1..heart.beats_s.len() - 1];
                    for beat in inner {
                        let at = (beat + center) * 500.0;
                        // Of an inverted complex the peak is the deepest point, or the small R behind it.
                        let near = of.iter().filter(|found| (found.peak as f64 - at).abs() < 20.0);
                        assert_eq!(near.count(), 1, "{}, lead {lead}, {wave:?} at {at}", spec.name());
                    }
                    assert!(of.len() <= heart.beats_s.len());
                    assert!(of.iter().all(|found| found.onset <= Some(found.peak) && Some(found.peak) <= found.offset));
                }
            }
        }
    }
}

fn marks(list: &[(i64, &'static str)]) -> Vec<Annotation> {
    list.iter().map(|&(at, symbol)| Annotation::new(at, symbol)).collect()
}

#[test]
fn ec57_pairs_within_150_ms_and_counts_the_rest_as_bxb_does() {
    // At 1000 Hz the window is 150 points. The pairs are worked out by hand.
    let reference = marks(&[(1000, "N"), (2000, "V"), (3000, "A"), (4000, "F"), (5000, "/"), (6000, "N")]);
    let test = marks(&[(1150, "N"), (2151, "V"), (2990, "N"), (4000, "V"), (5000, "Q"), (5900, "S"), (6020, "V")]);
    let counts = compare(&reference, &test, 1000.0, 10_000, 0.0);
    let pairs = |a: Class, b: Class| counts.0[a as usize][b as usize];
    assert_eq!(pairs(Class::N, Class::N), 1, "exactly 150 ms still match");
    assert_eq!((pairs(Class::V, Class::O), pairs(Class::O, Class::V)), (1, 1), "151 ms do not");
    assert_eq!(pairs(Class::S, Class::N), 1);
    assert_eq!(pairs(Class::F, Class::V), 1);
    assert_eq!(pairs(Class::Q, Class::Q), 1);
    assert_eq!((pairs(Class::N, Class::V), pairs(Class::O, Class::S)), (1, 1), "the nearer detection is the partner");
    let figures = counts.figures();
    assert_eq!(figures.qrs_sensitivity, Some(5.0 / 6.0));
    assert_eq!(figures.qrs_positive_predictivity, Some(5.0 / 7.0));
    assert_eq!(figures.v_sensitivity, Some(0.0));
    // Called V: the detection at 2151 and the N at 6020; the fusion beat counts neither for nor against.
    assert_eq!(figures.v_positive_predictivity, Some(0.0));
    assert_eq!(figures.s_sensitivity, Some(0.0));
}

#[test]
fn ec57_leaves_out_the_learning_period_and_flutter() {
    let reference =
        marks(&[(100, "N"), (299_990, "N"), (300_010, "N"), (400_000, "["), (400_500, "N"), (401_000, "]")]);
    let test = marks(&[(299_995, "N"), (400_100, "N"), (400_200, "N"), (402_000, "N")]);
    let counts = compare(&reference, &test, 1000.0, 500_000, LEARNING_S);
    // The last detection of the learning period belongs to the first beat after it; beats inside flutter are none.
    assert_eq!((counts.n_reference(), counts.n_missed(), counts.n_extra()), (1, 0, 1));
    let nothing = compare(&[], &[], 360.0, 1000, 0.0);
    assert_eq!(nothing.figures().qrs_sensitivity, None);
}

#[test]
fn ec57_gives_beats_in_a_shutdown_to_x() {
    let mut shut = Annotation::new(2000, "~");
    shut.subtype = 0x30;
    let open = Annotation::new(4000, "~");
    let mut test = marks(&[(1000, "N"), (5000, "N")]);
    test.splice(1..1, [shut, open]);
    let reference = marks(&[(1000, "N"), (3000, "N"), (5000, "N")]);
    let counts = compare(&reference, &test, 1000.0, 6000, 0.0);
    assert_eq!(counts.0[Class::N as usize][Class::X as usize], 1);
    assert_eq!(counts.n_missed(), 1);
}

#[test]
fn ec57_gross_weighs_beats_and_average_weighs_records() {
    let beats = |n: i64| (1..=n).map(|k| Annotation::new(k * 1000, "N")).collect::<Vec<_>>();
    let all = compare(&beats(90), &beats(90), 1000.0, 100_000, 0.0);
    let half = compare(&beats(10), &beats(5), 1000.0, 100_000, 0.0);
    let result = Comparison::of(vec![("a".into(), all), ("b".into(), half)]);
    assert_eq!(result.gross.qrs_sensitivity, Some(0.95));
    assert_eq!(result.average.qrs_sensitivity, Some(0.75));
    assert_eq!(result.average.v_sensitivity, None);
}

#[test]
fn ec57_classes_agree_with_the_label_set_but_for_escape_beats() {
    for symbol in einthoven::record::annotation::SYMBOLS {
        assert_eq!(Class::of(symbol).is_some(), is_beat_symbol(symbol), "{symbol}");
        if let Some(class) = AAMI.class(symbol) {
            let name = format!("{:?}", Class::of(symbol).unwrap());
            let is_escape = matches!(symbol, "e" | "j");
            assert_eq!(name == AAMI.classes[class].0, !is_escape, "{symbol}");
        }
    }
}

#[test]
fn ec57_reads_a_folder_and_names_the_file_that_is_missing() {
    let folder = TempFolder::new("ec57");
    let mut record = Record::new("r1", 250.0);
    record.leads.push(Lead::new("II", 200.0, vec![0; 5000]));
    record.sig_len = 5000;
    record.annotations.insert("atr".into(), marks(&[(500, "N"), (1000, "V"), (1500, "N")]));
    wfdb::write(&record, &folder.path().join("r1.hea"), &WriteOptions::default()).unwrap();
    let what = FolderComparison { reference: "atr".into(), test: "qrs".into(), test_folder: None, learning_s: 0.0 };
    let message = compare_folder(folder.path(), &what).unwrap_err().to_string();
    assert!(message.contains("r1.qrs"), "{message}");
    let detected = marks(&[(501, "N"), (1003, "N")]);
    wfdb::write_annotations(folder.path(), "r1", "qrs", &detected, false).unwrap();
    let result = compare_folder(folder.path(), &what).unwrap();
    assert_eq!(result.gross.qrs_sensitivity, Some(2.0 / 3.0));
    assert_eq!(result.gross.v_sensitivity, Some(0.0));
    assert_eq!(result.records[0].record, "r1");
    let again = wfdb::write_annotations(folder.path(), "r1", "qrs", &detected, false).unwrap_err();
    assert_eq!(again.code(), Some("overwrite"));
    assert_eq!(wfdb::write_annotations(folder.path(), "r1", "hea", &detected, true).unwrap_err().code(), Some("A12"));
    assert_eq!(wfdb::write_annotations(folder.path(), "r1", "../x", &detected, true).unwrap_err().code(), Some("A12"));
    let nothing = FolderComparison { reference: "man".into(), ..what };
    let message = compare_folder(folder.path(), &nothing).unwrap_err().to_string();
    assert!(message.contains("found no record with an annotation file .man"), "{message}");
}

#[test]
fn intervals_are_medians_and_absent_without_their_waves() {
    let wave = |wave, onset, peak, offset| Fiducial { wave, onset: Some(onset), peak, offset: Some(offset) };
    let beat = |at: usize| {
        [
            wave(Wave::P, at - 80, at - 60, at - 30),
            wave(Wave::Qrs, at - 20, at, at + 25),
            wave(Wave::T, at + 80, at + 140, at + 180),
        ]
    };
    let waves: Vec<Fiducial> = [500, 900, 1300].into_iter().flat_map(beat).collect();
    let found = intervals(&waves, 500.0);
    assert_eq!(
        (found.p_ms, found.pr_ms, found.qrs_ms, found.qt_ms),
        (Some(100.0), Some(120.0), Some(90.0), Some(400.0))
    );
    assert_eq!(found.hr_bpm, Some(75.0));
    // RR is 800 ms: the formulas written out.
    assert_eq!(found.qtc_bazett_ms, Some(400.0 / 0.8f64.sqrt()));
    assert_eq!(found.qtc_fridericia_ms, Some(400.0 / 0.8f64.cbrt()));
    let near = |value: Option<f64>, expected: f64| assert!((value.unwrap() - expected).abs() < 1e-9, "{value:?}");
    near(found.qtc_framingham_ms, 400.0 + 154.0 * 0.2);
    near(found.qtc_hodges_ms, 400.0 + 1.75 * 15.0);
    for formula in [QtCorrection::Bazett, QtCorrection::Fridericia, QtCorrection::Framingham, QtCorrection::Hodges] {
        assert!((formula.apply(400.0, 1000.0) - 400.0).abs() < 1e-9, "at 60 bpm nothing is corrected");
    }
    let without_p: Vec<Fiducial> = waves.iter().copied().filter(|found| found.wave != Wave::P).collect();
    let found = intervals(&without_p, 500.0);
    assert_eq!((found.p_ms, found.pr_ms, found.qt_ms), (None, None, Some(400.0)));
    assert_eq!(intervals(&[], 500.0), Default::default());
    assert_eq!(serde_json::to_value(intervals(&[], 500.0)).unwrap()["pr_ms"], serde_json::Value::Null);
    assert_eq!(rr_statistics(&[10], 500.0), None);
    let mut mv = vec![0.1f32; 1600];
    for at in [500, 900, 1300] {
        (mv[at - 60], mv[at], mv[at + 10], mv[at + 140], mv[at + 55]) = (0.2, 1.1, -0.4, 0.4, 0.15);
    }
    let found = amplitudes(&waves, &mv, 500.0);
    for (value, expected) in
        [(found.p_mv, 0.1), (found.r_mv, 1.0), (found.qs_mv, -0.5), (found.t_mv, 0.3), (found.st_mv, 0.05)]
    {
        assert!((value.unwrap() - expected).abs() < 1e-6, "{value:?}, expected {expected}");
    }
}

#[test]
fn a_record_is_delineated_in_its_own_points_and_unusable_leads_are_named() {
    let heart = Heart::steady(60.0, 1000.0, 12.0);
    let mut record = Record::new("twelve-seconds", 1000.0);
    for (name, gain) in [("I", 0.5), ("II", 1.0)] {
        record.leads.push(Lead::from_mv(name, &heart.lead(gain, 0.005, 5), 1000.0).unwrap());
    }
    record.leads.push(Lead::new("flat", 1000.0, vec![5; 12_000]));
    record.leads.push(Lead { units: "mmHg".into(), ..record.leads[0].clone() });
    record.sig_len = 12_000;
    let found = delineate_record(&record, DELINEATORS[0].build().unwrap().as_ref()).unwrap();
    assert_eq!(found.leads.iter().map(|lead| lead.lead.as_str()).collect::<Vec<_>>(), ["I", "II"]);
    let reasons: Vec<&str> = found.left_out.iter().map(|lead| lead.reason).collect();
    assert_eq!(reasons, ["all its points are equal", "its unit is not a voltage"]);
    assert!((found.intervals.hr_bpm.unwrap() - 60.0).abs() < 0.5);
    // R is twice as high in II as in I: the vector lies at 90 degrees, where I would be 0, less what I shows.
    assert!((found.intervals.axis_deg.unwrap() - 60.0).abs() < 3.0, "{:?}", found.intervals.axis_deg);
    assert_eq!(found.hrv_frequency, None);
    let beats = detect_beats(&record, &DetectionLeads::Named("II".into())).unwrap();
    assert_eq!(errors(&heart, &beats.iter().map(|mark| mark.sample as usize).collect::<Vec<_>>()), (0, 0));
    assert!(detect_beats(&record, &DetectionLeads::Named("V9".into())).is_err());
    record.leads.drain(..2);
    assert!(detect_beats(&record, &DetectionLeads::Default).is_err());
}

/// Some records of MIT-BIH that the settings were not chosen on.
#[test]
fn mitdb_beats_are_found_in_records_outside_development() {
    let Some(folder) = data_folder("mitdb") else { return };
    let mut records = Vec::new();
    for name in ["100", "113", "117", "210", "233"] {
        let record = read(folder.join(name), &ReadOptions::strict()).unwrap();
        let beats = detect_beats(&record, &DetectionLeads::Default).unwrap();
        let counts = compare(&record.annotations["atr"], &beats, record.fs_hz, record.sig_len, LEARNING_S);
        records.push((name.to_string(), counts));
    }
    let gross = Comparison::of(records).gross;
    assert!(gross.qrs_sensitivity.unwrap() > 0.997, "{gross:?}");
    assert!(gross.qrs_positive_predictivity.unwrap() > 0.997, "{gross:?}");
}

/// Records of LUDB that the settings were not chosen on; waves count between the first and the last mark.
#[test]
fn ludb_waves_are_found_in_records_outside_development() {
    let Some(folder) = data_folder("ludb") else { return };
    let delineator = wavelet::WaveletDelineator::default();
    let (mut n_true, mut n_found, mut n_matched) = ([0; 3], [0; 3], [0; 3]);
    for number in [2u32, 6, 8, 10, 12, 14, 16, 18, 20, 22] {
        let path = folder.join("data").join(format!("{number}.hea"));
        if ludb_split(&number.to_string()).unwrap() != Split::Test || !path.is_file() {
            continue;
        }
        let record = read(&path, &ReadOptions::lenient()).unwrap();
        let millivolts: Vec<Vec<f32>> =
            record.leads.iter().map(|lead| lead.adu.iter().map(|&adu| adu as f32 / 1000.0).collect()).collect();
        let mv: Vec<&[f32]> = millivolts.iter().map(Vec::as_slice).collect();
        let found = delineator.delineate(&Leads { mv: &mv, fs_hz: record.fs_hz }).unwrap();
        for (lead, waves) in record.leads.iter().zip(&found.leads) {
            let truth = from_annotations(&record.annotations[&lead.name.to_lowercase()]);
            let span = truth[0].onset.unwrap_or(truth[0].peak)..=truth.last().and_then(|t| t.offset).unwrap_or(5000);
            for (k, wave) in Wave::ALL.into_iter().enumerate() {
                let truth: Vec<usize> = truth.iter().filter(|t| t.wave == wave).map(|t| t.peak).collect();
                let found: Vec<usize> =
                    waves.iter().filter(|f| f.wave == wave && span.contains(&f.peak)).map(|f| f.peak).collect();
                n_true[k] += truth.len();
                n_found[k] += found.len();
                n_matched[k] += truth.iter().filter(|&&t| found.iter().any(|&f| f.abs_diff(t) <= 75)).count();
            }
        }
    }
    for k in 0..3 {
        let f1 = 2.0 * n_matched[k] as f64 / (n_true[k] + n_found[k]) as f64;
        assert!(n_true[k] > 300 && f1 > 0.9, "{:?}: F1 {f1} over {} waves", Wave::ALL[k], n_true[k]);
    }
}
