//! The RR process of ECGSYN: a series of RR intervals with a low- and a high-frequency peak in its
//! spectrum, as in a person at rest.

use std::f64::consts::TAU;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use crate::error::{Error, Result};
use crate::seed::Stream;

/// Spectral model of sinus rhythm.
///
/// `S(f) = s_L^2 N(f; 0.1, 0.01) + s_H^2 N(f; 0.25, 0.01)` with `s_L^2 / s_H^2` the LF/HF ratio: the
/// peaks are the waves of Mayer and of breathing. Amplitudes are `sqrt(S)` and phases uniform; the
/// inverse transform at 1 Hz is scaled to the wanted mean and standard deviation.
///
/// # Reference
/// McSharry, Clifford, Tarassenko, Smith 2003, section II-B.
#[derive(Debug, Clone, PartialEq)]
pub struct RrProcess {
    /// Mean interval, s.
    pub mean_s: f64,
    /// Standard deviation of the series, s.
    pub sd_s: f64,
    /// Power around 0.1 Hz over the power around 0.25 Hz.
    pub lf_hf_ratio: f64,
}

/// Rate of the series from which intervals are read.
const SERIES_FS_HZ: f64 = 1.0;
/// Center of the low-frequency peak.
const LF_HZ: f64 = 0.1;
/// Center of the high-frequency peak.
const HF_HZ: f64 = 0.25;
/// Standard deviation of both peaks.
const WIDTH_HZ: f64 = 0.01;

impl RrProcess {
    /// The instantaneous interval at 0, 1, 2, ... s: at least `n` values (a power of two), with
    /// exactly the wanted mean and standard deviation.
    ///
    /// # Errors
    /// [`Error::Config`] unless the mean is positive, the standard deviation in 0 to a fifth of it
    /// (beyond that the rhythm is no longer a sinus rhythm, and intervals could become negative),
    /// and the ratio not negative.
    pub fn series(&self, n: usize, stream: &mut Stream) -> Result<Vec<f64>> {
        let is_positive = self.mean_s > 0.0 && self.mean_s.is_finite();
        if !is_positive || !(0.0..=self.mean_s / 5.0).contains(&self.sd_s) {
            return Err(Error::config(
                "rr",
                format!(
                    "a mean of {} s with a standard deviation of {} s, expected a positive mean and 0 to a fifth of it",
                    self.mean_s, self.sd_s
                ),
            ));
        }
        if !(self.lf_hf_ratio >= 0.0 && self.lf_hf_ratio.is_finite()) {
            return Err(Error::config("lf_hf_ratio", format!("{}, expected 0 or more", self.lf_hf_ratio)));
        }
        // The peaks are 0.01 Hz wide, so the bins may not be much wider.
        let n = n.next_power_of_two().max(256);
        let inverse = RealFftPlanner::<f64>::new().plan_fft_inverse(n);
        let mut bins = inverse.make_input_vec();
        let last = bins.len() - 1;
        for (k, bin) in bins.iter_mut().enumerate() {
            let phase = TAU * stream.uniform();
            if k > 0 && k < last {
                let f_hz = k as f64 * SERIES_FS_HZ / n as f64;
                let peak = |center: f64| libm::exp(-0.5 * ((f_hz - center) / WIDTH_HZ).powi(2));
                let power = self.lf_hf_ratio * peak(LF_HZ) + peak(HF_HZ);
                *bin = Complex64::from_polar(power.sqrt(), phase);
            }
        }
        let mut series = inverse.make_output_vec();
        inverse
            .process(&mut bins, &mut series)
            .map_err(|reason| Error::config("rr", format!("inverse transform of the spectrum failed: {reason}")))?;
        // The bin of frequency 0 is empty, so the mean is 0 already.
        let sd = (series.iter().map(|v| v * v).sum::<f64>() / n as f64).sqrt();
        series.iter_mut().for_each(|v| *v = self.mean_s + self.sd_s * *v / sd);
        Ok(series)
    }

    /// `n` successive intervals in s: each beat takes the series' value at its own time.
    ///
    /// # Errors
    /// As [`RrProcess::series`].
    pub fn intervals(&self, n: usize, stream: &mut Stream) -> Result<Vec<f64>> {
        // Rises to the occasion of a run of long intervals; indices wrap beyond it anyway, which is
        // smooth because the series is periodic.
        let series = self.series(libm::ceil(1.3 * n as f64 * self.mean_s * SERIES_FS_HZ).max(1.0) as usize, stream)?;
        let mut t_s = 0.0;
        let intervals = (0..n).map(|_| {
            let position = t_s * SERIES_FS_HZ;
            let (i, part) = (position as usize, position.fract());
            let rr_s = series[i % series.len()] * (1.0 - part) + series[(i + 1) % series.len()] * part;
            t_s += rr_s;
            rr_s
        });
        Ok(intervals.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::signal::spectrum::Welch;

    #[test]
    fn spectrum_has_both_peaks_with_the_requested_ratio() {
        for ratio in [0.5, 2.0] {
            let process = RrProcess { mean_s: 0.9, sd_s: 0.05, lf_hf_ratio: ratio };
            let series = process.series(16_384, &mut Seed::new(3).stream()).unwrap();
            let spectrum = Welch { segment_len: 512, ..Welch::default() }.spectrum(&series, 1.0).unwrap();
            let peak_in = |low: f64, high: f64| {
                let bins = spectrum.f_hz.iter().zip(&spectrum.power).filter(|(f, _)| **f > low && **f < high);
                *bins.max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
            };
            // The peaks' standard deviation is 0.01 Hz and 32 averaged segments leave a fifth of
            // noise, so the largest bin lies within about half of it.
            assert!((peak_in(0.05, 0.17) - 0.1).abs() < 0.008, "{}", peak_in(0.05, 0.17));
            assert!((peak_in(0.18, 0.35) - 0.25).abs() < 0.008, "{}", peak_in(0.18, 0.35));
            let found = spectrum.band_power(0.05, 0.17) / spectrum.band_power(0.18, 0.35);
            assert!((found / ratio - 1.0).abs() < 0.1, "{found} instead of {ratio}");
            let outside = spectrum.band_power(0.3, 0.51) / spectrum.band_power(0.0, 0.51);
            assert!(outside < 0.01, "{outside}");
        }
    }

    #[test]
    fn mean_and_spread_are_as_requested() {
        let process = RrProcess { mean_s: 0.8, sd_s: 0.04, lf_hf_ratio: 0.5 };
        let series = process.series(1000, &mut Seed::new(1).stream()).unwrap();
        let mean = series.iter().sum::<f64>() / series.len() as f64;
        let sd = (series.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / series.len() as f64).sqrt();
        assert!((mean - 0.8).abs() < 1e-12 && (sd - 0.04).abs() < 1e-12, "{mean} {sd}");
        let intervals = process.intervals(1000, &mut Seed::new(1).stream()).unwrap();
        let mean = intervals.iter().sum::<f64>() / 1000.0;
        // Long intervals are met less often per second, a bias of sd^2 / mean = 0.002.
        assert!((mean - 0.8).abs() < 0.005, "{mean}");
    }

    #[test]
    fn impossible_rhythms_are_errors() {
        let with = |mean_s, sd_s, lf_hf_ratio| {
            RrProcess { mean_s, sd_s, lf_hf_ratio }.intervals(10, &mut Seed::new(1).stream())
        };
        assert!(with(0.8, 0.0, 0.5).is_ok());
        assert!(with(0.8, 0.3, 0.5).is_err());
        assert!(with(-0.8, 0.0, 0.5).is_err());
        assert!(with(f64::NAN, 0.0, 0.5).is_err());
        assert!(with(0.8, 0.01, -1.0).is_err());
    }
}
