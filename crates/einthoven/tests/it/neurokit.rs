//! R peaks, waves and variability beside those of NeuroKit2, on its own simulated signals.
//!
//! Runs every folder of the parity fixtures whose name begins with `neurokit`; rates, lengths and tolerances come from its
//! files. Wave boundaries rest on many rules of thumb: as `config.json` asks, their distributions are compared, here the
//! medians around R, each with the nearest of NeuroKit's methods. What NeuroKit computes and we deliberately do not, or
//! otherwise, is printed with the reason (see DESIGN.md).

use std::path::Path;

use einthoven::beat::hrv::time_domain;
use einthoven::beat::interval::rr_statistics;
use einthoven::beat::rpeak::r_peaks;
use einthoven::delineators::{DELINEATORS, Leads};
use einthoven::record::{Fiducial, Wave};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::folder::parity_folder;

/// What is not compared, and why.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "clean.*, pantompkins1985 to kalidas2017",
        "the cleaning and the beats of other detectors; ours filters inside and is held against the `neurokit` beats",
    ),
    ("quality.averageQRS, quality_zhao2018", "grades by rules of thumb; `quality` gives the indexes they are made of"),
    ("rate", "a rate between the beats by interpolation; ours is one number over the record"),
    (
        "hrv_frequency_welch",
        "power in other units over less than a minute, for which we give none; time-domain numbers beside those of the \
         Task Force 1996 are not computed either",
    ),
    ("ECG_Q_Peaks, ECG_S_Peaks", "we mark the peak of a QRS complex once"),
];

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The places in a list of results; a landmark that was not found is null there.
fn places(list: &Value) -> Vec<Option<f64>> {
    list.as_array().into_iter().flatten().map(Value::as_f64).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Median distance of landmarks from the R peak nearest to each, ms.
fn around_r(landmarks: impl Iterator<Item = f64>, r: &[f64], fs_hz: f64) -> Option<f64> {
    let from_r = |at: f64| r.iter().map(|r| at - r).min_by(|a, b| a.abs().total_cmp(&b.abs()));
    median(landmarks.filter_map(from_r).map(|points| 1000.0 * points / fs_hz).collect())
}

type Place = fn(&Fiducial) -> Option<usize>;

/// Landmarks that both sides have: wave, where on it, and NeuroKit's name.
const LANDMARKS: [(Wave, Place, &str); 9] = [
    (Wave::P, |wave| wave.onset, "ECG_P_Onsets"),
    (Wave::P, |wave| Some(wave.peak), "ECG_P_Peaks"),
    (Wave::P, |wave| wave.offset, "ECG_P_Offsets"),
    (Wave::Qrs, |wave| wave.onset, "ECG_R_Onsets"),
    (Wave::Qrs, |wave| wave.offset, "ECG_R_Offsets"),
    (Wave::T, |wave| wave.onset, "ECG_T_Onsets"),
    (Wave::T, |wave| Some(wave.peak), "ECG_T_Peaks"),
    (Wave::T, |wave| wave.offset, "ECG_T_Offsets"),
    (Wave::Qrs, |wave| Some(wave.peak), "ECG_R_Peaks"),
];

/// One signal of a folder: its name, points and results.
struct Signal<'a> {
    name: &'a str,
    ecg: Vec<f32>,
    fs_hz: f64,
    results: &'a Value,
    tolerance: &'a Value,
}

impl Signal<'_> {
    fn check(&self, failures: &mut Vec<String>) -> usize {
        let theirs: Vec<f64> = places(&self.results["rpeaks"]["neurokit"]).into_iter().flatten().collect();
        self.check_peaks(&theirs, failures)
            + self.check_variability(&theirs, failures)
            + self.check_waves(&theirs, failures)
    }

    /// Every beat of theirs is one of ours within the tolerance, and the other way round; at the ends either may stop early.
    fn check_peaks(&self, theirs: &[f64], failures: &mut Vec<String>) -> usize {
        let points = self.tolerance["rpeaks_samples"].as_f64().expect("a tolerance of R peaks");
        let found = r_peaks(&[&self.ecg], self.fs_hz).expect("a signal with beats");
        let ours: Vec<f64> = found.iter().map(|&at| at as f64).collect();
        let has = |list: &[f64], at: f64| list.iter().any(|other| (other - at).abs() <= points);
        let inside = |at: &&f64| **at >= 0.5 * self.fs_hz && **at <= self.ecg.len() as f64 - 0.5 * self.fs_hz;
        for (from, to, whose) in [(theirs, &ours[..], "NeuroKit"), (&ours, theirs, "Einthoven")] {
            let lonely: Vec<&f64> = from.iter().filter(inside).filter(|at| !has(to, **at)).collect();
            if !lonely.is_empty() {
                failures.push(format!("{}: beats of {whose} alone: {lonely:?}", self.name));
            }
        }
        println!("{}: {} R peaks, {} of NeuroKit", self.name, ours.len(), theirs.len());
        1
    }

    /// Variability of their own beats; theirs counts the changes above 50 ms over the intervals, ours over the changes.
    fn check_variability(&self, theirs: &[f64], failures: &mut Vec<String>) -> usize {
        let expected = &self.results["hrv_time"];
        let nn_ms: Vec<f64> = theirs.windows(2).map(|pair| 1000.0 * (pair[1] - pair[0]) / self.fs_hz).collect();
        let beats: Vec<usize> = theirs.iter().map(|&at| at as usize).collect();
        let (time, rr) = (time_domain(&nn_ms).expect("beats"), rr_statistics(&beats, self.fs_hz).expect("beats"));
        let n = nn_ms.len() as f64;
        let numbers = [
            ("HRV_MeanNN", time.mean_nn_ms),
            ("HRV_SDNN", time.sdnn_ms),
            ("HRV_RMSSD", time.rmssd_ms),
            ("HRV_pNN50", 100.0 * time.pnn50 * (n - 1.0) / n),
            ("HRV_MedianNN", rr.median_ms),
            ("HRV_MinNN", rr.min_ms),
            ("HRV_MaxNN", rr.max_ms),
        ];
        let known: Vec<_> =
            numbers.into_iter().filter_map(|(key, ours)| Some((key, ours, expected[key].as_f64()?))).collect();
        for (key, ours, theirs) in &known {
            if (ours - theirs).abs() > 1e-6 * theirs.abs().max(1.0) {
                failures.push(format!("{}: {key}: {ours} instead of {theirs}", self.name));
            }
        }
        known.len()
    }

    fn check_waves(&self, r: &[f64], failures: &mut Vec<String>) -> usize {
        let allowed_ms = self.tolerance["delineate_ms"].as_f64().expect("a tolerance of waves");
        let leads = Leads { mv: &[&self.ecg], fs_hz: self.fs_hz };
        let waves = DELINEATORS[0].build().expect("no weights").delineate(&leads).expect("a signal").across;
        let methods = self.results["delineate"].as_object().expect("methods of delineation");
        let mut n = 0;
        for (wave, place, key) in LANDMARKS {
            let of_wave = waves.iter().filter(|found| found.wave == wave);
            let ours = around_r(of_wave.filter_map(place).map(|at| at as f64), r, self.fs_hz);
            let theirs: Vec<(&String, f64)> = methods
                .iter()
                .filter_map(|(method, of)| {
                    Some((method, around_r(places(&of[key]).into_iter().flatten(), r, self.fs_hz)?))
                })
                .collect();
            if theirs.is_empty() {
                continue;
            }
            println!("{}: {key}: {ours:?} ms around R, {theirs:?}", self.name);
            let is_near = |(_, theirs): &(&String, f64)| ours.is_some_and(|ours| (ours - theirs).abs() <= allowed_ms);
            if !theirs.iter().any(is_near) {
                failures.push(format!("{}: {key}: {ours:?} ms around R instead of {theirs:?}", self.name));
            }
            n += 1;
        }
        n
    }
}

#[test]
fn beats_waves_and_variability_are_those_of_neurokit() {
    let Some(parity) = parity_folder() else { return };
    let mut folders: Vec<_> = std::fs::read_dir(parity).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with("neurokit"));
    folders.sort();
    let mut failures = Vec::new();
    for folder in &folders {
        let (config, results) = (json(&folder.join("config.json")), json(&folder.join("results.json")));
        let bytes = std::fs::read(folder.join("io.safetensors")).unwrap();
        let arrays = SafeTensors::deserialize(&bytes).unwrap();
        let mut n = 0;
        for (name, results) in results.as_object().expect("signals by name") {
            let raw = arrays.tensor(&format!("{name}.raw")).unwrap();
            assert_eq!(raw.dtype(), Dtype::F64, "{name}");
            let points = raw.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap()) as f32);
            let fs_hz = results["simulate"]["sampling_rate"].as_f64().expect("a rate");
            let signal = Signal { name, ecg: points.collect(), fs_hz, results, tolerance: &config["tolerance"] };
            n += signal.check(&mut failures);
        }
        println!("{}: {n} comparisons", folder.display());
    }
    OTHERWISE.iter().for_each(|(what, why)| println!("not compared: {what}: {why}"));
    println!("{} folder(s) of neurokit", folders.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
