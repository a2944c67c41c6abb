//! The delineation network: its training as a run that resumes, and what the shipped weights find.

use std::fs;
use std::path::{Path, PathBuf};

use einthoven::dataset::Split;
use einthoven::delineators::{self, Delineator, Leads, marked};
use einthoven::experiment::{DELINEATION_PRESETS, RunRequest, delineation, train};
use einthoven::nn::activations::Activations;
use einthoven::record::Wave;
use einthoven::run::{Progress, Stop};
use einthoven::simulate::dipole::{Request, SimulatedEcg};
use einthoven::{Error, Seed};

use super::folder::{TempFolder, data_folder};

#[test]
fn presets_resolve_and_say_what_they_cost() {
    for preset in DELINEATION_PRESETS {
        let plain = delineation::resolve(preset.name, &[]).unwrap();
        assert!(plain.cost.cpu_minutes > 0.0 && plain.steps > 100, "{}", preset.name);
        for part in ["# Command:", "# Cost:", "# Result:"] {
            assert!(preset.text.contains(part), "{}: no {part}", preset.name);
        }
        for (setting, key) in [
            ("lessons.points=1000", "lessons.points"),
            ("network.kernel=4", "network.kernel"),
            ("optimizer.ema_decay=0.9", "optimizer.ema_decay"),
            ("stepz=3", "stepz"),
        ] {
            let error = delineation::resolve(preset.name, &[setting.to_string()]).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(key), "{error}");
        }
    }
}

/// Copies the files of some records.
fn copy(from: &Path, to: &Path, names: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if names.iter().any(|name| path.file_stem().is_some_and(|stem| stem == *name)) {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Two records for learning and one that must not be looked at, as a small LUDB and QTDB.
pub fn small_data(folder: &TempFolder) -> Option<PathBuf> {
    let (ludb, qtdb) = (data_folder("ludb")?, data_folder("qtdb")?);
    let root = folder.path().join("data");
    copy(&ludb.join("data"), &root.join("ludb/data"), &["1", "2", "15"]);
    copy(&qtdb, &root.join("qtdb"), &["sele0104", "sel100"]);
    Some(root)
}

/// Asks to stop after a number of steps.
struct StopAfter(u64, Stop);

impl Progress for StopAfter {
    fn update(&mut self, _stage: &str, done: u64, _total: u64, _note: &str) {
        if done == self.0 {
            self.1.request(2);
        }
    }
}

#[test]
fn a_training_that_was_stopped_ends_with_the_same_weights_and_only_its_own_subjects() {
    let folder = TempFolder::new("delnet");
    let Some(data) = small_data(&folder) else { return };
    let settings: Vec<String> =
        ["steps=6", "batch=2", "lessons.points=512", "network.widths=[4, 6]"].map(String::from).to_vec();
    let request = |out: &'static str| (folder.path().join(out), &settings, &data);
    let run = |(out, overrides, data): &(PathBuf, &Vec<String>, &PathBuf), stop_after: u64| {
        let stop = Stop::never();
        let request = RunRequest {
            preset: "delnet",
            generator: None,
            overrides,
            data: Some(data),
            out,
            seed: 7,
            device: "cpu",
            command: String::new(),
            probe: None,
            max_memory_bytes: None,
            activations: Activations::Whole,
        };
        train(&request, &stop.clone(), &mut StopAfter(stop_after, stop))
    };
    let whole = run(&request("whole"), 100).unwrap();
    let stopped = request("stopped");
    assert!(matches!(run(&stopped, 3), Err(Error::Interrupted { .. })));
    let resumed = run(&stopped, 100).unwrap();
    let bytes = fs::read(&whole[0]).unwrap();
    assert_eq!(bytes, fs::read(&resumed[0]).unwrap());
    // Record 2 is for tests, 15 for validation, sel100 a patient of DS2.
    let header = String::from_utf8_lossy(&bytes[..4096.min(bytes.len())]).into_owned();
    assert!(header.contains("ludb/1") && header.contains("qtdb/sele0104"), "{header}");
    assert!(!header.contains("ludb/2") && !header.contains("ludb/15") && !header.contains("sel100"), "{header}");

    let ecg = SimulatedEcg::draw(&Request::new("sinus").unwrap(), Seed::new(1)).unwrap();
    let mv: Vec<&[f32]> = ecg.ecg_mv.chunks(ecg.sig_len).collect();
    let trained = delineators::find("delnet").unwrap().load(&whole[0]).unwrap();
    assert_eq!(trained.delineate(&Leads { mv: &mv, fs_hz: 500.0 }).unwrap().leads.len(), 12);

    let error = delineators::find("wavelet").unwrap().load(&whole[0]).map(drop).unwrap_err().to_string();
    assert!(error.contains("has no weights"), "{error}");
    let foreign = folder.file("foreign.safetensors", [2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']);
    let error = delineators::find("delnet").unwrap().load(&foreign).map(drop).unwrap_err().to_string();
    assert!(error.contains("foreign.safetensors") && error.contains("no card"), "{error}");
}

fn shipped() -> Box<dyn Delineator> {
    delineators::find("delnet").unwrap().build().unwrap()
}

fn count(waves: &[einthoven::record::Fiducial], wave: Wave) -> usize {
    waves.iter().filter(|found| found.wave == wave).count()
}

#[test]
fn waves_of_simulated_records_are_found_at_any_rate_and_absent_ones_are_not() {
    let net = shipped();
    for fs_hz in [100.0, 250.0, 360.0, 1000.0] {
        for (condition, has_p) in [("sinus", true), ("af", false)] {
            let request = Request { fs_hz, snr_db: Some(25.0), ..Request::new(condition).unwrap() };
            let ecg = SimulatedEcg::draw(&request, Seed::new(2)).unwrap();
            let mv: Vec<&[f32]> = ecg.ecg_mv.chunks(ecg.sig_len).collect();
            let found = net.delineate(&Leads { mv: &mv, fs_hz }).unwrap();
            assert_eq!(found, net.delineate(&Leads { mv: &mv, fs_hz }).unwrap());
            let n_beats = ecg.beats.len();
            for waves in found.leads.iter().chain([&found.across]) {
                let n = Wave::ALL.map(|wave| count(waves, wave));
                assert!(n[1].abs_diff(n_beats) <= 1, "{condition} at {fs_hz} Hz: {n:?} of {n_beats} beats");
                assert!(waves.is_sorted_by_key(|wave| wave.peak) && waves.last().unwrap().peak < ecg.sig_len);
            }
            let n_p: usize = found.leads.iter().map(|waves| count(waves, Wave::P)).sum();
            match has_p {
                true => assert!(n_p >= 10 * (n_beats - 2), "{n_p} P waves at {fs_hz} Hz"),
                false => assert!(n_p <= n_beats, "{n_p} P waves in fibrillation at {fs_hz} Hz"),
            }
        }
    }
}

/// Records of LUDB that nothing was chosen on; waves count between the first and the last mark.
#[test]
fn ludb_waves_are_found_in_test_subjects() {
    let Some(ludb) = data_folder("ludb") else { return };
    let folder = TempFolder::new("delnet-ludb");
    copy(&ludb.join("data"), &folder.path().join("data"), &["2", "6", "8", "10", "12", "14", "18", "20", "22"]);
    let (net, mut n) = (shipped(), [[0usize; 3]; 3]);
    for record in marked::ludb(folder.path()).unwrap() {
        assert_eq!(record.split, Split::Test);
        let mv: Vec<&[f32]> = record.leads.iter().map(|lead| lead.mv.as_slice()).collect();
        let found = net.delineate(&Leads { mv: &mv, fs_hz: record.fs_hz }).unwrap();
        for (lead, found) in record.leads.iter().zip(&found.leads) {
            let (from, to) = lead.looked_at[0];
            for (k, wave) in Wave::ALL.into_iter().enumerate() {
                let truth = lead.waves.iter().filter(|t| t.wave == wave);
                let inside = found.iter().filter(|f| f.wave == wave && (from..=to).contains(&f.peak));
                let is_met = |at: usize| inside.clone().any(|f| f.peak.abs_diff(at) <= 75);
                n[k][0] += truth.clone().count();
                n[k][1] += inside.clone().count();
                n[k][2] += truth.filter(|t| is_met(t.peak)).count();
            }
        }
    }
    for ([n_true, n_found, n_matched], least) in n.into_iter().zip([0.93, 0.99, 0.97]) {
        let f1 = 2.0 * n_matched as f64 / (n_true + n_found) as f64;
        assert!(n_true > 200 && f1 > least, "F1 {f1} over {n_true} waves, expected {least}");
    }
}
