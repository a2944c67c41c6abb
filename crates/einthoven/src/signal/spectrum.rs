//! Welch's estimate of the power spectral density.

use realfft::RealFftPlanner;

use crate::error::{Error, Result};

/// Taper of each segment, periodic as in `scipy.signal.get_window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// No taper.
    Boxcar,
    /// Raised cosine.
    Hann,
    /// Raised cosine on a pedestal of 0.08.
    Hamming,
}

/// What is taken off each segment before the taper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detrend {
    /// Nothing.
    Nothing,
    /// The mean.
    Constant,
    /// The least-squares line.
    Linear,
}

/// Unit of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Power per Hz.
    Density,
    /// Power of a sine at its peak.
    Spectrum,
}

/// How the segments' periodograms become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Average {
    /// Mean.
    Mean,
    /// Median, corrected for its bias; robust against a few bad segments.
    Median,
}

/// Settings of Welch's method; the default is the one of `scipy.signal.welch`.
///
/// # Reference
/// Welch 1967; bias of the median after Allen et al. 2012, appendix B.
#[derive(Debug, Clone, PartialEq)]
pub struct Welch {
    /// Taper of each segment.
    pub window: Window,
    /// Points in a segment; a shorter signal is one segment.
    pub segment_len: usize,
    /// Points that neighboring segments share; half a segment when `None`.
    pub overlap: Option<usize>,
    /// Points of the transform, zeros appended; the segment's length when `None`.
    pub fft_len: Option<usize>,
    /// What is taken off each segment.
    pub detrend: Detrend,
    /// Unit of the result.
    pub scaling: Scaling,
    /// How the segments are averaged.
    pub average: Average,
}

/// A one-sided spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Frequencies from 0 to half the sampling rate.
    pub f_hz: Vec<f64>,
    /// Power at each frequency, in the signal's unit squared (per Hz, as a density).
    pub power: Vec<f64>,
}

impl Default for Welch {
    fn default() -> Welch {
        Welch {
            window: Window::Hann,
            segment_len: 256,
            overlap: None,
            fft_len: None,
            detrend: Detrend::Constant,
            scaling: Scaling::Density,
            average: Average::Mean,
        }
    }
}

impl Welch {
    /// Settings of the periodogram of `n` points: one segment, no taper.
    pub fn periodogram(n: usize) -> Welch {
        Welch { window: Window::Boxcar, segment_len: n, ..Welch::default() }
    }

    /// Spectrum of a signal.
    ///
    /// # Errors
    /// [`Error::Data`] for an empty signal; [`Error::Config`] unless the overlap is below and the
    /// transform not below the segment's length, and unless the sampling rate is positive.
    pub fn spectrum(&self, x: &[f64], fs_hz: f64) -> Result<Spectrum> {
        let segment_len = self.segment_len.min(x.len());
        if segment_len == 0 {
            return Err(Error::data("signal", "a spectrum of no points is undefined"));
        }
        let overlap = self.overlap.unwrap_or(segment_len / 2);
        if overlap >= segment_len {
            return Err(Error::config("overlap", format!("{overlap}, expected less than the segment's {segment_len}")));
        }
        let fft_len = self.fft_len.unwrap_or(segment_len);
        if fft_len < segment_len {
            return Err(Error::config("fft_len", format!("{fft_len}, expected at least the segment's {segment_len}")));
        }
        // Written so that NaN is refused as well.
        if !(fs_hz > 0.0) {
            return Err(Error::config("fs_hz", format!("{fs_hz}, expected a positive sampling rate")));
        }

        let taper = self.window.values(segment_len);
        let scale = match self.scaling {
            Scaling::Density => 1.0 / (fs_hz * taper.iter().map(|w| w * w).sum::<f64>()),
            Scaling::Spectrum => 1.0 / taper.iter().sum::<f64>().powi(2),
        };
        let fft = RealFftPlanner::<f64>::new().plan_fft_forward(fft_len);
        let mut buffer = fft.make_input_vec();
        let mut bins = fft.make_output_vec();
        let mut scratch = fft.make_scratch_vec();
        let n_bins = bins.len();

        let mut segments: Vec<Vec<f64>> = Vec::new();
        for segment in x.windows(segment_len).step_by(segment_len - overlap) {
            buffer[..segment_len].copy_from_slice(segment);
            // The transform uses its input as scratch, so the zeros have to be put back.
            buffer[segment_len..].fill(0.0);
            self.detrend.apply(&mut buffer[..segment_len]);
            buffer.iter_mut().zip(&taper).for_each(|(value, w)| *value *= w);
            fft.process_with_scratch(&mut buffer, &mut bins, &mut scratch)
                .map_err(|reason| Error::config("fft_len", reason.to_string()))?;
            segments.push(
                bins.iter()
                    .enumerate()
                    .map(|(k, bin)| {
                        // Every bin but zero and Nyquist also stands for its negative frequency.
                        let is_single = k == 0 || (fft_len.is_multiple_of(2) && k == n_bins - 1);
                        bin.norm_sqr() * scale * if is_single { 1.0 } else { 2.0 }
                    })
                    .collect(),
            );
        }
        let power = (0..n_bins)
            .map(|k| {
                let values: Vec<f64> = segments.iter().map(|segment| segment[k]).collect();
                self.average.of(values)
            })
            .collect();
        let f_hz = (0..n_bins).map(|k| k as f64 * fs_hz / fft_len as f64).collect();
        Ok(Spectrum { f_hz, power })
    }
}

impl Spectrum {
    /// Sum of the power over the bins in `[low_hz, high_hz)`, times the bins' width; the variance
    /// in the band when the spectrum is a density.
    pub fn band_power(&self, low_hz: f64, high_hz: f64) -> f64 {
        let width_hz = match self.f_hz[..] {
            [first, second, ..] => second - first,
            _ => 0.0,
        };
        let in_band = self.f_hz.iter().zip(&self.power).filter(|(f, _)| **f >= low_hz && **f < high_hz);
        in_band.map(|(_, p)| p).sum::<f64>() * width_hz
    }
}

impl Window {
    /// The taper's values, periodic with period `n`.
    pub fn values(self, n: usize) -> Vec<f64> {
        let pedestal = match self {
            Window::Boxcar => return vec![1.0; n],
            Window::Hann => 0.5,
            Window::Hamming => 0.54,
        };
        if n == 1 {
            return vec![1.0];
        }
        (0..n).map(|i| pedestal - (1.0 - pedestal) * libm::cos(std::f64::consts::TAU * i as f64 / n as f64)).collect()
    }
}

impl Detrend {
    /// Takes the trend off in place.
    pub fn apply(self, x: &mut [f64]) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let middle = (n - 1.0) / 2.0;
        let slope = match self {
            Detrend::Nothing => return,
            Detrend::Constant => 0.0,
            // A line through one point is that point.
            Detrend::Linear if x.len() < 2 => 0.0,
            Detrend::Linear => {
                let moment: f64 = x.iter().enumerate().map(|(i, value)| (i as f64 - middle) * value).sum();
                moment / (n * (n * n - 1.0) / 12.0)
            }
        };
        for (i, value) in x.iter_mut().enumerate() {
            *value -= mean + slope * (i as f64 - middle);
        }
    }
}

impl Average {
    fn of(self, mut values: Vec<f64>) -> f64 {
        let n = values.len();
        match self {
            Average::Mean => values.iter().sum::<f64>() / n as f64,
            Average::Median => {
                values.sort_by(f64::total_cmp);
                let median = 0.5 * (values[(n - 1) / 2] + values[n / 2]);
                // Expected median of n draws from the exponential distribution of mean 1.
                let bias = 1.0
                    + (1..=(n - 1) / 2).map(|i| i as f64).map(|i| 1.0 / (2.0 * i + 1.0) - 1.0 / (2.0 * i)).sum::<f64>();
                median / bias
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn odd_segment_agrees_with_scipy() {
        // scipy 1.17.1: n = arange(64); y = sin(0.3 n) + 0.5 cos(1.1 n) + 0.01 n;
        // welch(y, 360, nperseg=33)[1][[0, 1, 2, 8, 16]].
        let y: Vec<f64> = (0..64).map(f64::from).map(|n| (0.3 * n).sin() + 0.5 * (1.1 * n).cos() + 0.01 * n).collect();
        let welch = Welch { segment_len: 33, ..Welch::default() };
        let found = welch.spectrum(&y, 360.0).unwrap();
        assert_eq!(found.power.len(), 17);
        let golden = [
            0.0037810987982954767,
            0.02463288808466139,
            0.023918800313852878,
            3.535912600501763e-06,
            6.648000644887701e-11,
        ];
        for (k, expected) in [0, 1, 2, 8, 16].into_iter().zip(golden) {
            // The smallest bin is twelve orders below the largest, so it has four digits left.
            assert!((found.power[k] - expected).abs() < 1e-13 + 1e-9 * expected, "bin {k}: {}", found.power[k]);
        }
    }

    #[test]
    fn density_of_white_noise_integrates_to_its_variance() {
        let mut stream = Seed::new(5).stream();
        let x: Vec<f64> = (0..50_000).map(|_| 2.0 * stream.normal()).collect();
        for average in [Average::Mean, Average::Median] {
            let spectrum = Welch { average, ..Welch::default() }.spectrum(&x, 360.0).unwrap();
            let variance = spectrum.band_power(0.0, 181.0);
            // The standard error is 4 sqrt(2 / 50,000) = 0.025; detrending removes 1 in 128.
            assert!((variance - 4.0).abs() < 0.13, "{average:?}: {variance}");
        }
    }

    #[test]
    fn a_sine_has_its_power_at_its_frequency() {
        let x: Vec<f64> = (0..1024).map(|n| 3.0 * (std::f64::consts::TAU * f64::from(n) / 16.0).sin()).collect();
        let welch = Welch { scaling: Scaling::Spectrum, ..Welch::default() };
        let spectrum = welch.spectrum(&x, 160.0).unwrap();
        let peak = spectrum.power.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert_eq!(spectrum.f_hz[peak.0], 10.0);
        assert!((peak.1 - 4.5).abs() < 1e-9, "{}", peak.1);
    }

    #[test]
    fn bad_settings_are_errors() {
        assert!(Welch::default().spectrum(&[], 1.0).is_err());
        assert!(Welch::default().spectrum(&[1.0; 300], f64::NAN).is_err());
        assert!(Welch { overlap: Some(256), ..Welch::default() }.spectrum(&[1.0; 300], 1.0).is_err());
        assert!(Welch { fft_len: Some(128), ..Welch::default() }.spectrum(&[1.0; 300], 1.0).is_err());
    }
}
