//! Filters and spectra against the values of scipy in the parity fixtures, and their speed.

use std::path::PathBuf;

use einthoven::Seed;
use einthoven::signal::filter::SosFilter;
use einthoven::signal::snr::SnrEstimator;
use einthoven::signal::spectrum::{Average, Detrend, Scaling, Welch, Window};
use safetensors::SafeTensors;

/// Named f64 arrays of `metrics/io.safetensors`, or nothing where the fixtures are absent.
struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    fn open() -> Option<Golden> {
        let folder = std::env::var_os("EINTHOVEN_PARITY").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/parity")),
            PathBuf::from,
        );
        let path = folder.join("metrics/io.safetensors");
        match std::fs::read(&path) {
            Ok(bytes) => Some(Golden { bytes }),
            Err(_) if std::env::var("EINTHOVEN_REQUIRE_DATA").is_ok_and(|v| v == "1") => {
                panic!("{} is missing and EINTHOVEN_REQUIRE_DATA is set", path.display())
            }
            Err(_) => {
                println!("skipped: {} is missing", path.display());
                None
            }
        }
    }

    fn array(&self, name: &str) -> Vec<f64> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let bytes = tensors.tensor(name).unwrap().data();
        bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// The fixture's tolerance for filters (config.json): 1e-8 + 1e-7 |expected|.
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= 1e-8 + 1e-7 * e.abs(), "{what}, point {i}: {f} instead of {e}");
    }
}

#[test]
fn butterworth_filters_agree_with_scipy() {
    let Some(golden) = Golden::open() else { return };
    let x = golden.array("sig.x");
    let fs_hz = 100.0;
    // Settings as in values.json, "filters".
    let filters = [
        ("lowpass4", SosFilter::lowpass(4, 15.0, fs_hz)),
        ("highpass3", SosFilter::highpass(3, 0.6, fs_hz)),
        ("bandpass2", SosFilter::bandpass(2, 0.5, 40.0, fs_hz)),
        ("bandstop2", SosFilter::bandstop(2, 18.0, 24.0, fs_hz)),
        ("bandpass5", SosFilter::bandpass(5, 3.0, 30.0, fs_hz)),
    ];
    for (name, filter) in filters {
        let filter = filter.unwrap();
        assert_close(name, &filter.apply(&x), &golden.array(&format!("butter.{name}.sosfilt")));
        assert_close(name, &filter.zero_phase(&x).unwrap(), &golden.array(&format!("butter.{name}.sosfiltfilt")));
    }
}

#[test]
fn welch_spectra_agree_with_scipy() {
    let Some(golden) = Golden::open() else { return };
    let x = golden.array("sig.x");
    let default = Welch::default();
    // Found by trying scipy's options until its result equals the fixture's.
    let settings = [
        ("welch.default", default.clone()),
        ("welch.hann128_half", Welch { segment_len: 128, ..default.clone() }),
        (
            "welch.hamming100_linear_spectrum",
            Welch {
                window: Window::Hamming,
                segment_len: 100,
                overlap: Some(30),
                detrend: Detrend::Linear,
                scaling: Scaling::Spectrum,
                ..default.clone()
            },
        ),
        (
            "welch.no_detrend_nfft256_median",
            Welch {
                segment_len: 120,
                fft_len: Some(256),
                detrend: Detrend::Nothing,
                average: Average::Median,
                ..default.clone()
            },
        ),
        ("periodogram", Welch { window: Window::Boxcar, segment_len: 600, ..default }),
    ];
    for (name, welch) in settings {
        let spectrum = welch.spectrum(&x, 100.0).unwrap();
        assert_close(name, &spectrum.f_hz, &golden.array(&format!("{name}.f")));
        assert_close(name, &spectrum.power, &golden.array(&format!("{name}.p")));
    }
}

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
