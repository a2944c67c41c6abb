//! Noise on a clean signal at a stated ratio, from records of noise or from [`super::noise`].
//!
//! The ratio in dB has two definitions in use; they differ by several dB for the same picture:
//!
//! | definition | signal power | noise power |
//! |---|---|---|
//! | [`SnrDefinition::Power`] | variance of the clean signal | variance of the added noise |
//! | [`SnrDefinition::QrsAmplitude`] | peak-to-peak amplitude of the QRS complexes, squared, over 8 | squared RMS of the noise over seconds, trimmed |
//!
//! The second one is that of the program `nst` with which EC57 has detectors tested under noise. In
//! both, the added noise has the stated ratio exactly, measured on that very piece.

use super::noise::{add_at_snr, variance};
use super::resample::resample;
use crate::error::{Error, Result};
use crate::seed::Stream;

/// What a ratio of signal to noise compares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SnrDefinition {
    /// Variances.
    Power,
    /// QRS amplitude against noise, as in the noise stress test.
    QrsAmplitude {
        /// Mean peak-to-peak amplitude of the QRS complexes, as [`qrs_amplitude`] measures it.
        peak_to_peak: f64,
    },
}

/// Adds noise so that the ratio is `snr_db`.
///
/// # Errors
/// [`Error::Shape`] when the lengths differ; [`Error::Data`] when signal or noise has no power, since no
/// gain gives the ratio.
pub fn mix_at_snr(signal: &mut [f64], noise: &[f64], snr_db: f64, definition: SnrDefinition, fs_hz: f64) -> Result<()> {
    if signal.len() != noise.len() {
        return Err(Error::Shape {
            what: "noise to add".into(),
            expected: vec![signal.len()],
            actual: vec![noise.len()],
        });
    }
    let (signal_power, noise_power) = match definition {
        SnrDefinition::Power => (variance(signal), variance(noise)),
        SnrDefinition::QrsAmplitude { peak_to_peak } => {
            (peak_to_peak * peak_to_peak / 8.0, noise_rms(noise, fs_hz).powi(2))
        }
    };
    // Written so that NaN is refused as well.
    if !(signal_power > 0.0 && noise_power > 0.0 && snr_db.is_finite()) {
        return Err(Error::data(
            "noise",
            format!("{snr_db} dB of power {signal_power} over {noise_power}, expected positive powers"),
        ));
    }
    match definition {
        SnrDefinition::Power => add_at_snr(signal, noise, snr_db),
        SnrDefinition::QrsAmplitude { .. } => {
            let gain = (signal_power / noise_power).sqrt() * libm::pow(10.0, -snr_db / 20.0);
            signal.iter_mut().zip(noise).for_each(|(s, n)| *s += gain * n);
        }
    }
    Ok(())
}

/// Ratio of the variances of a clean signal and of what was added to it, dB; infinite where nothing was.
///
/// # Panics
/// If the lengths differ.
pub fn snr_of_known_db(clean: &[f64], noisy: &[f64]) -> f64 {
    assert_eq!(clean.len(), noisy.len(), "clean and noisy signal have one length");
    let added: Vec<f64> = noisy.iter().zip(clean).map(|(x, s)| x - s).collect();
    10.0 * libm::log10(variance(clean) / variance(&added))
}

/// A piece of `n` points of recorded noise at the wanted rate, from a random place on.
///
/// # Errors
/// [`Error::Data`] when the record is shorter than the piece or has missing points there;
/// [`Error::Config`] for rates as in [`resample`].
pub fn recorded_noise(
    record: &[f64],
    record_fs_hz: f64,
    n: usize,
    fs_hz: f64,
    stream: &mut Stream,
) -> Result<Vec<f64>> {
    // Some points more, so that the filter's edges can be cut off.
    let margin = 32;
    let needed = ((n as f64 * record_fs_hz / fs_hz).ceil() as usize).saturating_add(2 * margin);
    if record.len() < needed {
        return Err(Error::data(
            "noise record",
            format!("{} points at {record_fs_hz} Hz, expected at least {needed}", record.len()),
        ));
    }
    let start = stream.below(record.len() - needed + 1);
    let piece = &record[start..start + needed];
    if !piece.iter().all(|v| v.is_finite()) {
        return Err(Error::data("noise record", format!("points are missing between {start} and {}", start + needed)));
    }
    let resampled = resample(piece, record_fs_hz, fs_hz)?;
    let skip = (margin as f64 * fs_hz / record_fs_hz) as usize;
    Ok(resampled[skip..skip + n].to_vec())
}

/// Mean peak-to-peak amplitude in the 100 ms around each R peak, without the largest and the
/// smallest 5 %; NaN without a complete window.
///
/// # Reference
/// Moody, Muldrow and Mark 1984; the programs `sigamp` and `nst` of the WFDB package.
pub fn qrs_amplitude(x: &[f64], r_indexes: &[usize], fs_hz: f64) -> f64 {
    let half = (0.05 * fs_hz).round() as usize;
    let windows = r_indexes.iter().filter_map(|&r| x.get(r.checked_sub(half)?..r + half + 1));
    trimmed_mean(windows.map(|w| {
        let (low, high) = w.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        high - low
    }))
}

/// Mean over whole seconds of the RMS about the second's mean, without the largest and the smallest 5 %.
///
/// A signal shorter than a second is one piece.
/// # Reference
/// As [`qrs_amplitude`].
pub fn noise_rms(x: &[f64], fs_hz: f64) -> f64 {
    let second = (fs_hz.round().max(1.0) as usize).min(x.len()).max(1);
    trimmed_mean(x.chunks_exact(second).map(|piece| variance(piece).sqrt()))
}

fn trimmed_mean(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let cut = values.len() / 20;
    let kept = &values[cut..values.len() - cut];
    kept.iter().sum::<f64>() / kept.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::signal::noise::NoiseKind;

    fn beats(n: usize) -> Vec<f64> {
        (0..n).map(|t| 2.0 * (-((t % 300) as f64 - 150.0).powi(2) / 60.0).exp()).collect()
    }

    #[test]
    fn both_ratios_are_met_exactly() {
        let clean = beats(6000);
        let peaks: Vec<usize> = (0..20).map(|k| 150 + 300 * k).collect();
        let peak_to_peak = qrs_amplitude(&clean, &peaks, 360.0);
        // 50 ms from its peak the wave has fallen to 2 exp(-18^2 / 60).
        assert!((peak_to_peak - 2.0 * (1.0 - (-324.0_f64 / 60.0).exp())).abs() < 1e-12);
        let noise = NoiseKind::ElectrodeMotion.generate(6000, 360.0, &mut Seed::new(2).stream()).unwrap();
        for snr_db in [-6.0, 0.0, 24.0] {
            let mut noisy = clean.clone();
            mix_at_snr(&mut noisy, &noise, snr_db, SnrDefinition::Power, 360.0).unwrap();
            assert!((snr_of_known_db(&clean, &noisy) - snr_db).abs() < 1e-9);
            let mut noisy = clean.clone();
            mix_at_snr(&mut noisy, &noise, snr_db, SnrDefinition::QrsAmplitude { peak_to_peak }, 360.0).unwrap();
            let added: Vec<f64> = noisy.iter().zip(&clean).map(|(x, s)| x - s).collect();
            let ratio = 10.0 * (peak_to_peak.powi(2) / 8.0 / noise_rms(&added, 360.0).powi(2)).log10();
            assert!((ratio - snr_db).abs() < 1e-9, "{ratio}");
        }
    }

    #[test]
    fn a_sine_has_the_rms_that_one_knows() {
        let x: Vec<f64> = (0..3600).map(|t| 5.0 + (std::f64::consts::TAU * f64::from(t) / 36.0).sin()).collect();
        assert!((noise_rms(&x, 360.0) - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn recorded_noise_keeps_its_waves_at_another_rate() {
        let record: Vec<f64> = (0..20_000).map(|t| (std::f64::consts::TAU * f64::from(t) / 72.0).sin()).collect();
        let piece = recorded_noise(&record, 360.0, 2500, 250.0, &mut Seed::new(1).stream()).unwrap();
        assert_eq!(piece.len(), 2500);
        // 5 Hz: a period of 50 points at 250 Hz.
        assert!((0..2450).all(|t| (piece[t] - piece[t + 50]).abs() < 5e-3));
        let again = recorded_noise(&record, 360.0, 2500, 250.0, &mut Seed::new(1).stream()).unwrap();
        assert_eq!(piece, again);
    }

    #[test]
    fn what_has_no_ratio_is_refused() {
        let mut flat = vec![1.0; 100];
        assert!(mix_at_snr(&mut flat, &[0.0; 100], 3.0, SnrDefinition::Power, 360.0).is_err());
        assert!(mix_at_snr(&mut flat, &[0.0; 99], 3.0, SnrDefinition::Power, 360.0).is_err());
        assert!(recorded_noise(&[0.0; 100], 360.0, 100, 360.0, &mut Seed::new(1).stream()).is_err());
        let mut gap = vec![0.0; 200];
        gap[80..120].fill(f64::NAN);
        assert!(recorded_noise(&gap, 360.0, 130, 360.0, &mut Seed::new(1).stream()).is_err());
    }
}
