//! Signal processing against golden values of scipy and PyWavelets, and the speed of the SNR of beats.
//!
//! The golden values lie in `tests/golden/signal_processing.json`, made by `signal_processing.py` beside it; the larger
//! reference folders are in `reference`.

use einthoven::Seed;
use einthoven::record::{ReadOptions, read};
use einthoven::signal::baseline::median_baseline;
use einthoven::signal::filter::SosFilter;
use einthoven::signal::median::{Edge, median_filter};
use einthoven::signal::mixing::{SnrDefinition, mix_at_snr, recorded_noise, snr_of_known_db};
use einthoven::signal::quality::quality;
use einthoven::signal::resample::{Pad, resample, resample_fourier, resample_poly};
use einthoven::signal::snr::SnrEstimator;
use einthoven::signal::spline::{CubicSpline, SplineEnd};
use einthoven::signal::stft::Stft;
use einthoven::signal::wavelet::Wavelet;

use crate::folder::data_folder;

#[test]
fn snr_of_twenty_thousand_beats_takes_about_a_tenth_of_a_second() {
    let mut beats = vec![0.0_f32; 20_000 * 256];
    Seed::new(1).stream().fill_normal(&mut beats);
    let estimator = SnrEstimator::new(360.0).unwrap();
    let start = std::time::Instant::now();
    let snr = estimator.db_each(&beats, 256);
    let seconds = start.elapsed().as_secs_f64();
    println!("SNR of 20,000 beats: {seconds:.3} s");
    assert!(snr.iter().all(|db| db.is_finite()));
    // A loose bound, so that a busy machine or a build without optimization passes.
    assert!(seconds < 10.0, "{seconds} s");
}

/// Golden values of scipy and PyWavelets.
struct Golden(serde_json::Value);

impl Golden {
    fn open() -> Golden {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/signal_processing.json");
        Golden(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn array(&self, name: &str) -> Vec<f64> {
        let values = self.0["arrays"][name].as_array().unwrap_or_else(|| panic!("no {name}"));
        values.iter().map(|v| v.as_f64().unwrap()).collect()
    }

    /// Compares every fifth value.
    fn compare(&self, name: &str, found: &[f64]) {
        let step = self.0["step"].as_u64().unwrap() as usize;
        let expected = self.array(name);
        assert_eq!(found.len().div_ceil(step), expected.len(), "{name}: {} points", found.len());
        for (k, (f, e)) in found.iter().step_by(step).zip(expected).enumerate() {
            // Both sides compute in f64; a filter of order seven loses some digits on the way.
            assert!((f - e).abs() <= 1e-9 + 1e-8 * e.abs(), "{name}, point {}: {f} instead of {e}", k * step);
        }
    }
}

#[test]
fn filters_and_baselines_agree_with_golden_values() {
    let golden = Golden::open();
    let (x, fs_hz) = (golden.array("x"), 250.0);
    for (name, filter) in [
        ("lowpass", SosFilter::lowpass(7, 40.0, fs_hz)),
        ("highpass", SosFilter::highpass(2, 0.5, fs_hz)),
        ("bandpass", SosFilter::bandpass(3, 5.0, 15.0, fs_hz)),
        ("bandstop", SosFilter::bandstop(4, 48.0, 52.0, fs_hz)),
    ] {
        golden.compare(&format!("zero_phase.{name}"), &filter.unwrap().zero_phase(&x).unwrap());
    }
    golden.compare("notch", &SosFilter::notch(50.0, 30.0, fs_hz).unwrap().zero_phase(&x).unwrap());
    golden.compare("median_nearest.51", &median_filter(&x, 51, Edge::Nearest));
    golden.compare("median_baseline", &median_baseline(&x, fs_hz));
    let at = golden.array("spline.knots");
    for (name, end) in [("not-a-knot", SplineEnd::NotAKnot), ("natural", SplineEnd::Natural)] {
        let value = at.iter().map(|&k| x[k as usize]).collect();
        let spline = CubicSpline::new(at.clone(), value, end).unwrap();
        golden.compare(&format!("spline.{name}"), &(10..491).map(|t| spline.value(f64::from(t))).collect::<Vec<_>>());
    }
}

#[test]
fn other_rates_agree_with_golden_values() {
    let golden = Golden::open();
    let x = golden.array("x");
    golden.compare("resample_poly.2_5_line", &resample(&x, 250.0, 100.0).unwrap());
    golden.compare("resample_poly.18_25_line", &resample(&x, 500.0, 360.0).unwrap());
    golden.compare("resample_poly.3_2", &resample_poly(&x, 6, 4, Pad::Zeros).unwrap());
    golden.compare("resample_fourier.200", &resample_fourier(&x, 200).unwrap());
    golden.compare("resample_fourier.700", &resample_fourier(&x, 700).unwrap());
}

#[test]
fn time_frequency_transforms_agree_with_golden_values() {
    let golden = Golden::open();
    let x = golden.array("x");
    let stft = Stft { overlap: 75, ..Stft::new(100) };
    let mut z = stft.forward(&x).unwrap();
    golden.compare("stft.re", &z.re);
    golden.compare("stft.im", &z.im);
    z.re.iter_mut().chain(&mut z.im).for_each(|v| *v *= 0.5);
    golden.compare("istft", &stft.inverse(&z).unwrap());
    for (name, wavelet) in [("db4", Wavelet::Db4), ("sym8", Wavelet::Sym8)] {
        let parts = wavelet.decompose(&x, 4).unwrap();
        golden.compare(&format!("{name}.approximation"), &parts.approximation);
        for (k, detail) in parts.details.iter().enumerate() {
            golden.compare(&format!("{name}.detail{}", k + 1), detail);
        }
        golden.compare(&format!("{name}.denoised"), &wavelet.denoise(&x, 4).unwrap());
    }
}

#[test]
fn quality_indexes_agree_with_golden_values() {
    let golden = Golden::open();
    let found = serde_json::to_value(quality(&golden.array("x"), 250.0).unwrap()).unwrap();
    for (name, expected) in golden.0["quality"].as_object().unwrap() {
        let (found, expected) = (found[name].as_f64().unwrap(), expected.as_f64().unwrap());
        assert!((found - expected).abs() < 1e-9 * expected.abs(), "{name}: {found} instead of {expected}");
    }
}

#[test]
fn records_of_noise_mix_at_the_stated_ratio() {
    let Some(folder) = data_folder("nstdb") else { return };
    for name in ["bw", "ma"] {
        let record = read(folder.join(name), &ReadOptions::default()).unwrap();
        let noise: Vec<f64> = record.leads[0].mv().unwrap().into_iter().map(f64::from).collect();
        let clean: Vec<f64> = (0..5000).map(|t| (-((t % 400) as f64 - 200.0).powi(2) / 90.0).exp()).collect();
        let mut stream = Seed::new(7).purpose(name).stream();
        let piece = recorded_noise(&noise, record.fs_hz, clean.len(), 500.0, &mut stream).unwrap();
        for snr_db in [-6.0, 6.0, 24.0] {
            let mut noisy = clean.clone();
            mix_at_snr(&mut noisy, &piece, snr_db, SnrDefinition::Power, 500.0).unwrap();
            assert!((snr_of_known_db(&clean, &noisy) - snr_db).abs() < 1e-9, "{name} at {snr_db} dB");
        }
    }
}
