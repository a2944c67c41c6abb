//! Signal processing: filters, spectra, sampling rates, peaks.

use einthoven::signal::envelope::envelope;
use einthoven::signal::filter::SosFilter;
use einthoven::signal::median::{Edge, median_filter};
use einthoven::signal::peaks::PeakFinder;
use einthoven::signal::resample::{Pad, resample_fourier, resample_poly};
use einthoven::signal::smooth::savitzky_golay;
use einthoven::signal::spectrum::{Average, Detrend, Scaling, Welch, Window};
use einthoven::signal::stft::Stft;

use super::{Fixture, number_after};

/// Everything about signals.
pub fn check(f: &Fixture) {
    let (x, fs_hz) = (f.array("sig.x"), f.value("/signal/fs"));
    if f.value("/signal/length") as usize != x.len() {
        f.fail("/signal/length is not that of sig.x".into());
    }
    check_filters(f, &x);
    check_spectra(f, &x, fs_hz);
    for name in f.variants("resample_poly.", "") {
        let (ratio, pad) = name.strip_suffix("_line").map_or((name.as_str(), Pad::Zeros), |ratio| (ratio, Pad::Line));
        let (up, down) = ratio.split_once('_').expect("two factors");
        let found = resample_poly(&x, up.parse().unwrap(), down.parse().unwrap(), pad).unwrap();
        f.compare("filters", &format!("resample_poly.{name}"), &found);
    }
    for n in f.variants("resample_fft.", "") {
        let found = resample_fourier(&x, n.parse().unwrap()).unwrap();
        f.compare("filters", &format!("resample_fft.{n}"), &found);
    }
    for width in f.variants("medfilt.", "") {
        let found = median_filter(&x, width.parse().unwrap(), Edge::Zeros);
        f.compare("filters", &format!("medfilt.{width}"), &found);
    }
    for name in f.variants("savgol.", "") {
        let (width, degree) = name.split_once('_').expect("width and degree");
        let found = savitzky_golay(&x, width.parse().unwrap(), degree.parse().unwrap()).unwrap();
        f.compare("filters", &format!("savgol.{name}"), &found);
    }
    let mut level = x.clone();
    Detrend::Linear.apply(&mut level);
    f.compare("filters", "detrend.linear", &level);
    f.compare("filters", "hilbert.envelope", &envelope(&x).unwrap());
    let prominence = f.array("find_peaks.prominence").into_iter().fold(f64::INFINITY, f64::min);
    // Neither the least distance nor the least prominence is stated.
    let found = (1..=fs_hz as usize).map(|distance| {
        let finder = PeakFinder { distance, prominence: prominence * (1.0 - 1e-9), ..PeakFinder::default() };
        let peaks = finder.find(&x);
        vec![peaks.iter().map(|p| p.index as f64).collect(), peaks.iter().map(|p| p.prominence).collect()]
    });
    f.compare_any("default", &["find_peaks.index".into(), "find_peaks.prominence".into()], found);
    for n in f.variants("stft.nperseg", ".re") {
        let z = Stft::new(n.parse().unwrap()).forward(&x).unwrap();
        f.compare("filters", &format!("stft.nperseg{n}.re"), &z.re);
        f.compare("filters", &format!("stft.nperseg{n}.im"), &z.im);
    }
}

fn check_filters(f: &Fixture, x: &[f64]) {
    for name in f.variants("butter.", ".sos") {
        let at = |field: &str| format!("/filters/{name}/{field}");
        let (order, fs_hz) = (f.value(&at("order")) as usize, f.value(&at("fs")));
        let edge = |k: usize| f.value(&at(&format!("cutoff_hz/{k}")));
        let filter = match f.values.pointer(&at("type")).and_then(|kind| kind.as_str()) {
            Some("lowpass") => SosFilter::lowpass(order, f.value(&at("cutoff_hz")), fs_hz),
            Some("highpass") => SosFilter::highpass(order, f.value(&at("cutoff_hz")), fs_hz),
            Some("bandpass") => SosFilter::bandpass(order, edge(0), edge(1), fs_hz),
            Some("bandstop") => SosFilter::bandstop(order, edge(0), edge(1), fs_hz),
            other => panic!("{name}: unknown kind {other:?}"),
        };
        let filter = filter.unwrap();
        f.compare("filters", &format!("butter.{name}.sosfilt"), &filter.apply(x));
        f.compare("filters", &format!("butter.{name}.sosfiltfilt"), &filter.zero_phase(x).unwrap());

        // The outside tool pairs poles and zeros otherwise; its sections must be the same filter.
        let rows: Vec<[f64; 6]> =
            f.array(&format!("butter.{name}.sos")).chunks_exact(6).map(|row| row.try_into().unwrap()).collect();
        let given = SosFilter::from_sections(&rows).unwrap();
        f.compare("filters", &format!("butter.{name}.sosfilt_zi"), given.steady_state().as_flattened());
        f.compare("filters", &format!("butter.{name}.sosfilt"), &given.apply(x));
        f.compare("filters", &format!("butter.{name}.sosfiltfilt"), &given.zero_phase(x).unwrap());
        let gains = |filter: &SosFilter| (0..50).map(|k| filter.gain(f64::from(k) / 100.0, 1.0)).collect::<Vec<_>>();
        if !f.agrees("filters", &gains(&filter), &gains(&given)) {
            f.fail(format!("butter.{name}.sos: another response"));
        }
    }
    let fs_hz = f.value("/signal/fs");
    let notch = SosFilter::notch(f.value("/filters/notch/f0"), f.value("/filters/notch/Q"), fs_hz).unwrap();
    let section = notch.sections()[0];
    f.compare("filters", "notch.b", &section[..3]);
    f.compare("filters", "notch.a", &section[3..]);
    f.compare("filters", "notch.filtfilt", &notch.zero_phase(x).unwrap());
}

fn check_spectra(f: &Fixture, x: &[f64], fs_hz: f64) {
    let spectrum = |welch: &Welch| {
        let spectrum = welch.spectrum(x, fs_hz).unwrap();
        vec![spectrum.f_hz, spectrum.power]
    };
    let default = Welch::default();
    for name in f.variants("welch.", ".p") {
        let names = [format!("welch.{name}.f"), format!("welch.{name}.p")];
        // Overlap and segment that a name does not state are found by trying all.
        let settings: Vec<Welch> = if name == "default" {
            vec![default.clone()]
        } else if let Some(segment_len) = number_after(&name, "hann") {
            vec![Welch { segment_len, ..default.clone() }]
        } else if let Some(segment_len) = number_after::<usize>(&name, "hamming") {
            let (window, detrend, scaling) = (Window::Hamming, Detrend::Linear, Scaling::Spectrum);
            let with =
                |overlap| Welch { window, segment_len, overlap: Some(overlap), detrend, scaling, ..default.clone() };
            (0..segment_len).map(with).collect()
        } else if let Some(fft_len) = number_after::<usize>(&name, "nfft") {
            let (detrend, average) = (Detrend::Nothing, Average::Median);
            let with = |segment_len| Welch { segment_len, fft_len: Some(fft_len), detrend, average, ..default.clone() };
            (8..=fft_len).map(with).collect()
        } else {
            f.fail(format!("welch.{name}: settings unknown"));
            continue;
        };
        f.compare_any("filters", &names, settings.iter().map(spectrum));
    }
    let found = spectrum(&Welch::periodogram(x.len()));
    f.compare("filters", "periodogram.f", &found[0]);
    f.compare("filters", "periodogram.p", &found[1]);
}
