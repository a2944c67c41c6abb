//! Signal-to-noise ratio of a beat without a reference.

use crate::error::Result;
use crate::signal::filter::SosFilter;

/// Cut-off of the clean estimate.
const CUTOFF_HZ: f64 = 40.0;
/// Order of the low-pass, run forward and backward.
const ORDER: usize = 4;

/// Estimates the SNR of beats of one sampling rate.
///
/// `SNR = 10 log10(sum s^2 / sum (x - s)^2)` in dB, where `x` is the beat with its mean removed and
/// `s`, the clean estimate, is `x` through a Butterworth low-pass of order 4 at 40 Hz, run forward
/// and backward. So noise means everything above 40 Hz, and baseline wander counts as signal. A
/// smoother beat has a higher SNR: two sets of beats are alike when their SNRs are *equal*, and a
/// higher value is no better than a lower one.
///
/// # Differs from the paper
/// The paper that compares generators by SNR leaves it undefined. A band-pass from 0.5 Hz would
/// be the usual choice for long records, but on a beat of 0.7 s the high-pass part measures the
/// transients at the edges.
#[derive(Debug, Clone)]
pub struct SnrEstimator {
    lowpass: SosFilter,
}

impl SnrEstimator {
    /// Designs the filter.
    ///
    /// # Errors
    /// [`crate::Error::Config`] unless the sampling rate is above 80 Hz.
    pub fn new(fs_hz: f64) -> Result<SnrEstimator> {
        Ok(SnrEstimator { lowpass: SosFilter::lowpass(ORDER, CUTOFF_HZ, fs_hz)? })
    }

    /// SNR of one beat in dB; infinite for a beat without anything above 40 Hz.
    ///
    /// NaN where it is undefined: a constant beat, a missing point, or 15 points or fewer.
    pub fn db(&self, beat: &[f32]) -> f64 {
        self.db_in(beat, &mut Vec::new(), &mut Vec::new())
    }

    /// SNR of each beat of `[n, time]`, in dB.
    ///
    /// # Panics
    /// If `sig_len` is 0.
    pub fn db_each(&self, beats: &[f32], sig_len: usize) -> Vec<f64> {
        let (mut x, mut work) = (Vec::new(), Vec::new());
        beats.chunks_exact(sig_len).map(|beat| self.db_in(beat, &mut x, &mut work)).collect()
    }

    fn db_in(&self, beat: &[f32], x: &mut Vec<f64>, work: &mut Vec<f64>) -> f64 {
        let mean = beat.iter().map(|&v| f64::from(v)).sum::<f64>() / beat.len() as f64;
        x.clear();
        x.extend(beat.iter().map(|&v| f64::from(v) - mean));
        if self.lowpass.zero_phase_in(x, work).is_err() {
            return f64::NAN;
        }
        let clean = &work[self.lowpass.pad_len()..][..x.len()];
        let signal: f64 = clean.iter().map(|s| s * s).sum();
        let noise: f64 = x.iter().zip(clean).map(|(x, s)| (x - s) * (x - s)).sum();
        10.0 * libm::log10(signal / noise)
    }
}

/// SNR of one beat in dB, by the definition of [`SnrEstimator`], which is the faster way for many.
///
/// NaN where it is undefined: in addition to the cases of [`SnrEstimator::db`], at a sampling rate
/// of 80 Hz or less.
pub fn snr_db(beat: &[f32], fs_hz: f64) -> f64 {
    SnrEstimator::new(fs_hz).map_or(f64::NAN, |estimator| estimator.db(beat))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn agrees_with_scipy() {
        // scipy 1.17.1, on the beat below rounded to float32 and its mean removed: c = sosfiltfilt(
        // butter(4, 40, "low", fs=360, output="sos"), x); 10 log10(sum c^2 / sum (x - c)^2).
        let beat: Vec<f32> = (0..256)
            .map(f64::from)
            .map(|n| {
                let wave = |at: f64, sd: f64| (-0.5 * ((n - at) / sd).powi(2)).exp();
                wave(128.0, 4.0) - 0.2 * wave(140.0, 4.0) + 0.3 * wave(220.0, 14.0) + 0.02 * (2.1 * n).sin()
            })
            .map(|v| v as f32)
            .collect();
        // The sum that is rounded to float32 may be ordered differently there: 1 part in 10^7.
        assert!((snr_db(&beat, 360.0) - 21.82284772397186).abs() < 1e-5, "{}", snr_db(&beat, 360.0));
    }

    #[test]
    fn recovers_a_known_ratio_and_ignores_offset_and_scale() {
        // Wide waves, so that nothing of the signal lies above 40 Hz; noise at 120 Hz and over.
        let mut stream = Seed::new(2).stream();
        let noise: Vec<f64> = (0..2048).map(|_| stream.normal()).collect();
        let noise = SosFilter::highpass(8, 100.0, 360.0).unwrap().apply(&noise);
        let signal: Vec<f64> = (0..2048).map(|n| (f64::from(n) * 0.05).sin()).collect();
        let power = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>();
        for expected in [0.0, 10.0, 25.0] {
            let scale = (power(&signal) / power(&noise) / 10.0_f64.powf(expected / 10.0)).sqrt();
            let beat: Vec<f32> = signal.iter().zip(&noise).map(|(s, n)| (5.0 + 2.0 * (s + scale * n)) as f32).collect();
            // The noise's edges leak a little below 40 Hz.
            assert!((snr_db(&beat, 360.0) - expected).abs() < 0.1, "{}", snr_db(&beat, 360.0));
        }
    }

    #[test]
    fn undefined_is_nan() {
        assert!(snr_db(&[1.0; 256], 360.0).is_nan());
        assert!(snr_db(&[0.5; 8], 360.0).is_nan());
        assert!(snr_db(&[0.5, 1.0], 80.0).is_nan());
        let mut gap = [0.0_f32; 256];
        gap[3] = f32::NAN;
        assert!(snr_db(&gap, 360.0).is_nan());
    }
}
