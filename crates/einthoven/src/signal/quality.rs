//! Signal quality indexes: numbers that tell a usable lead from noise, without looking for beats.
//!
//! The index of agreement between two beat detectors (bSQI) belongs to the detectors and is not here.

use serde::Serialize;

use super::spectrum::Welch;
use crate::error::{Error, Result};

/// Quality of one lead.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// Kurtosis of the amplitudes; 3 for Gaussian noise, above 5 for a clean ECG (kSQI).
    pub kurtosis: f64,
    /// Skewness of the amplitudes (sSQI).
    pub skewness: f64,
    /// Power from 5 to 15 Hz over that from 5 to 40 Hz: the share of the QRS complexes (pSQI).
    pub qrs_power_share: f64,
    /// Power from 1 to 40 Hz over that from 0 to 40 Hz; near 1 for a steady baseline (basSQI).
    pub baseline_power_share: f64,
    /// Share of points in flat runs of at least 0.2 s.
    pub flat_share: f64,
    /// Share of points at the smallest or largest value, where that is held for three points or more.
    pub clipped_share: f64,
}

/// Quality of a lead, in any unit.
///
/// Kurtosis, skewness and the shares of power are NaN for a constant lead.
///
/// # Errors
/// [`Error::Data`] with fewer than two seconds or missing points; [`Error::Config`] below 80 Hz.
/// # Reference
/// Li, Mark and Clifford 2008 (kSQI, sSQI, pSQI); Clifford et al. 2012 (basSQI, flat lines).
pub fn quality(x: &[f64], fs_hz: f64) -> Result<Quality> {
    if !(fs_hz >= 80.0) {
        return Err(Error::config("fs_hz", format!("{fs_hz} Hz, expected at least 80 Hz, twice the band's upper end")));
    }
    if (x.len() as f64) < 2.0 * fs_hz || !x.iter().all(|v| v.is_finite()) {
        return Err(Error::data("lead", format!("{} points, expected at least two seconds without gaps", x.len())));
    }
    // Bins of half a hertz or less, so that 0 to 1 Hz is more than one of them.
    let segment_len = (2.0 * fs_hz).round() as usize;
    let spectrum = Welch { segment_len, ..Welch::default() }.spectrum(x, fs_hz)?;
    let band = |low_hz: f64, high_hz: f64| spectrum.band_power(low_hz, high_hz);
    let [variance, third, fourth] = central_moments(x);
    Ok(Quality {
        kurtosis: fourth / (variance * variance),
        skewness: third / variance.powf(1.5),
        qrs_power_share: band(5.0, 15.0) / band(5.0, 40.0),
        baseline_power_share: band(1.0, 40.0) / band(0.0, 40.0),
        flat_share: flat_share(x, (0.2 * fs_hz).round() as usize),
        clipped_share: clipped_share(x),
    })
}

/// Second to fourth central moment.
fn central_moments(x: &[f64]) -> [f64; 3] {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let mut sums = [0.0; 3];
    for value in x {
        let d = value - mean;
        sums[0] += d * d;
        sums[1] += d * d * d;
        sums[2] += d * d * d * d;
    }
    sums.map(|sum| sum / n)
}

fn flat_share(x: &[f64], least: usize) -> f64 {
    let runs = x.chunk_by(|a, b| a == b).map(<[f64]>::len);
    runs.filter(|&n| n >= least.max(2)).sum::<usize>() as f64 / x.len() as f64
}

fn clipped_share(x: &[f64]) -> f64 {
    let (low, high) = x.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    if low == high {
        // A constant lead is flat, not clipped.
        return 0.0;
    }
    let runs = x.chunk_by(|a, b| a == b).filter(|run| run.len() >= 3 && (run[0] == low || run[0] == high));
    runs.map(<[f64]>::len).sum::<usize>() as f64 / x.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::signal::noise::NoiseKind;

    fn ecg() -> Vec<f64> {
        let wave = |t: f64, at: f64, width: f64| (-((t - at) / width).powi(2)).exp();
        (0..5000)
            .map(|t| f64::from(t % 400))
            .map(|t| wave(t, 150.0, 7.0) - 0.2 * wave(t, 165.0, 7.0) + 0.25 * wave(t, 280.0, 25.0))
            .collect()
    }

    #[test]
    fn an_ecg_is_told_from_noise() {
        let good = quality(&ecg(), 500.0).unwrap();
        assert!(good.kurtosis > 5.0 && good.skewness > 1.0, "{good:?}");
        assert!(good.qrs_power_share > 0.5 && good.baseline_power_share > 0.6, "{good:?}");
        let noise =
            |kind: NoiseKind| quality(&kind.generate(5000, 500.0, &mut Seed::new(1).stream()).unwrap(), 500.0).unwrap();
        let muscle = noise(NoiseKind::Muscle);
        assert!(muscle.qrs_power_share < 0.3 && muscle.kurtosis < 5.0, "{muscle:?}");
        assert!(noise(NoiseKind::BaselineWander).baseline_power_share < 0.3);
        let white = noise(NoiseKind::White);
        // The standard errors are 0.07 and 0.035.
        assert!((white.kurtosis - 3.0).abs() < 0.3 && white.skewness.abs() < 0.15, "{white:?}");
    }

    #[test]
    fn flat_and_clipped_stretches_are_counted() {
        let mut x = ecg();
        x[1000..1500].fill(0.125);
        let flat = quality(&x, 500.0).unwrap();
        assert!((flat.flat_share - 0.1).abs() < 0.01, "{flat:?}");
        let clipped: Vec<f64> = ecg().into_iter().map(|v| v.min(0.5)).collect();
        let n_clipped = clipped.iter().filter(|v| **v == 0.5).count();
        assert_eq!(quality(&clipped, 500.0).unwrap().clipped_share, n_clipped as f64 / 5000.0);
        assert_eq!(quality(&ecg(), 500.0).unwrap().clipped_share, 0.0);
        let constant = quality(&[1.0; 1000], 500.0).unwrap();
        assert!(constant.kurtosis.is_nan() && constant.flat_share == 1.0 && constant.clipped_share == 0.0);
    }

    #[test]
    fn short_and_gappy_leads_are_errors() {
        assert!(quality(&[0.0; 100], 500.0).is_err());
        assert!(quality(&[f64::NAN; 2000], 500.0).is_err());
        assert!(quality(&[0.0; 2000], 50.0).is_err());
    }
}
