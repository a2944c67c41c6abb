//! Variability of the heart rate in time and frequency.
//!
//! Takes intervals between normal beats; which beats are normal is the caller's business. Intervals that an ectopic
//! beat ends or begins are left out before, and a gap between the rest is closed by interpolation.
//!
//! # Reference
//! Task Force of the European Society of Cardiology and the North American Society of Pacing and Electrophysiology
//! 1996, Circulation 93:1043-1065.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::signal::spectrum::{Detrend, Welch};

/// Rate of the evenly spaced series whose spectrum is taken, in Hz.
const SERIES_FS_HZ: f64 = 4.0;

/// Statistics of the intervals themselves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TimeDomain {
    /// Mean interval.
    pub mean_nn_ms: f64,
    /// Standard deviation of the intervals (divisor n - 1).
    pub sdnn_ms: f64,
    /// Root mean square of the changes from one interval to the next.
    pub rmssd_ms: f64,
    /// Share of those changes above 50 ms, from 0 to 1.
    pub pnn50: f64,
}

/// Power of the interval series by band.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrequencyDomain {
    /// Very low frequency, 0.003-0.04 Hz, in ms squared.
    pub vlf_ms2: f64,
    /// Low frequency, 0.04-0.15 Hz.
    pub lf_ms2: f64,
    /// High frequency, 0.15-0.4 Hz.
    pub hf_ms2: f64,
    /// Low over high; `None` without any high.
    pub lf_hf: Option<f64>,
}

/// Time-domain variability of intervals in ms; `None` for fewer than three.
pub fn time_domain(nn_ms: &[f64]) -> Option<TimeDomain> {
    let n = nn_ms.len();
    if n < 3 {
        return None;
    }
    let mean = nn_ms.iter().sum::<f64>() / n as f64;
    let squares: f64 = nn_ms.iter().map(|v| (v - mean).powi(2)).sum();
    let changes: Vec<f64> = nn_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let n_changes = changes.len() as f64;
    Some(TimeDomain {
        mean_nn_ms: mean,
        sdnn_ms: (squares / (n - 1) as f64).sqrt(),
        rmssd_ms: (changes.iter().map(|v| v * v).sum::<f64>() / n_changes).sqrt(),
        pnn50: changes.iter().filter(|v| v.abs() > 50.0).count() as f64 / n_changes,
    })
}

/// Frequency-domain variability; `None` where the intervals span less than a minute, which is ten periods of the
/// lowest high frequency.
///
/// # Units
/// `at_s` is when each interval ends, in seconds and in order; `nn_ms` is how long it was.
/// # Errors
/// [`Error::Shape`] unless both have the same length; [`Error::Data`] unless the times rise.
pub fn frequency_domain(at_s: &[f64], nn_ms: &[f64]) -> Result<Option<FrequencyDomain>> {
    if at_s.len() != nn_ms.len() {
        return Err(Error::Shape {
            what: "times of RR intervals".into(),
            expected: vec![nn_ms.len()],
            actual: vec![at_s.len()],
        });
    }
    if at_s.windows(2).any(|pair| !(pair[1] > pair[0])) {
        return Err(Error::data("RR intervals", "found times that do not rise, expected each after the one before"));
    }
    let (Some(&first), Some(&last)) = (at_s.first(), at_s.last()) else { return Ok(None) };
    if last - first < 60.0 {
        return Ok(None);
    }
    let n = ((last - first) * SERIES_FS_HZ).floor() as usize + 1;
    let mut k = 0;
    let series: Vec<f64> = (0..n)
        .map(|i| {
            let t = first + i as f64 / SERIES_FS_HZ;
            while k + 2 < at_s.len() && at_s[k + 1] < t {
                k += 1;
            }
            let share = ((t - at_s[k]) / (at_s[k + 1] - at_s[k])).clamp(0.0, 1.0);
            nn_ms[k] + share * (nn_ms[k + 1] - nn_ms[k])
        })
        .collect();
    let segment_len = (256.0 * SERIES_FS_HZ) as usize;
    let welch = Welch { segment_len, detrend: Detrend::Linear, ..Welch::default() };
    let spectrum = welch.spectrum(&series, SERIES_FS_HZ)?;
    let (lf_ms2, hf_ms2) = (spectrum.band_power(0.04, 0.15), spectrum.band_power(0.15, 0.4));
    let vlf_ms2 = spectrum.band_power(0.003, 0.04);
    Ok(Some(FrequencyDomain { vlf_ms2, lf_ms2, hf_ms2, lf_hf: (hf_ms2 > 0.0).then(|| lf_ms2 / hf_ms2) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_domain_of_alternating_intervals_is_known_in_closed_form() {
        let nn: Vec<f64> = (0..101).map(|k| if k % 2 == 0 { 800.0 } else { 860.0 }).collect();
        let found = time_domain(&nn).expect("enough intervals");
        assert_eq!((found.rmssd_ms, found.pnn50), (60.0, 1.0));
        let mean = (51.0 * 800.0 + 50.0 * 860.0) / 101.0;
        assert!((found.mean_nn_ms - mean).abs() < 1e-9);
        let variance: f64 = (51.0 * (800.0 - mean).powi(2) + 50.0 * (860.0 - mean).powi(2)) / 100.0;
        assert!((found.sdnn_ms - variance.sqrt()).abs() < 1e-9);
        assert_eq!(time_domain(&nn[..2]), None);
    }

    /// Beats whose intervals swing by 20 ms at one frequency: the variance of a sine is half its squared height.
    fn swinging(f_hz: f64) -> (Vec<f64>, Vec<f64>) {
        let (mut t, mut at, mut nn) = (0.0, Vec::new(), Vec::new());
        while t < 600.0 {
            let interval_s = 0.8 + 0.02 * (std::f64::consts::TAU * f_hz * t).sin();
            t += interval_s;
            at.push(t);
            nn.push(interval_s * 1000.0);
        }
        (at, nn)
    }

    #[test]
    fn the_power_of_a_swing_lies_in_its_band() {
        for (f_hz, is_low) in [(0.1, true), (0.25, false)] {
            let (at, nn) = swinging(f_hz);
            let found = frequency_domain(&at, &nn).expect("times rise").expect("ten minutes");
            let (own, other) = if is_low { (found.lf_ms2, found.hf_ms2) } else { (found.hf_ms2, found.lf_ms2) };
            // Interpolation between beats damps a swing of 0.25 Hz by about a fifth in power.
            assert!((140.0..215.0).contains(&own), "{f_hz} Hz: {own} ms2, expected about 200");
            assert!(other < 0.05 * own, "{f_hz} Hz: {other} in the other band");
        }
    }

    #[test]
    fn short_records_have_no_spectrum_and_bad_times_are_refused() {
        assert_eq!(frequency_domain(&[1.0, 2.0, 3.0], &[900.0; 3]).expect("times rise"), None);
        assert!(frequency_domain(&[1.0, 1.0], &[900.0; 2]).is_err());
        assert!(frequency_domain(&[1.0], &[900.0; 2]).is_err());
    }
}
