//! The short-time Fourier transform and its inverse.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use super::spectrum::Window;
use crate::error::{Error, Result};

/// Settings of the transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stft {
    /// Taper of each segment.
    pub window: Window,
    /// Points in a segment.
    pub segment_len: usize,
    /// Points that neighboring segments share.
    pub overlap: usize,
}

/// A complex spectrogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrogram {
    /// Frequencies from 0 to half the sampling rate: `segment_len / 2 + 1`.
    pub n_bins: usize,
    /// Segments.
    pub n_frames: usize,
    /// Real parts, `[n_bins, n_frames]`, in the signal's unit: a sine of amplitude 1 peaks at 1/2.
    pub re: Vec<f64>,
    /// Imaginary parts, `[n_bins, n_frames]`.
    pub im: Vec<f64>,
    /// Points of the signal that was transformed.
    pub sig_len: usize,
}

impl Stft {
    /// Hann segments that share half their points, which can be inverted.
    pub fn new(segment_len: usize) -> Stft {
        Stft { window: Window::Hann, segment_len, overlap: segment_len / 2 }
    }

    /// Spectrogram of a signal. Half a segment of zeros is put before and after it, and zeros after
    /// that until the segments fit.
    ///
    /// # Errors
    /// [`Error::Data`] for an empty signal; [`Error::Config`] unless the segment has two points or more
    /// and the overlap is smaller.
    /// # Reference
    /// `scipy.signal.stft` with its defaults but for the settings.
    pub fn forward(&self, x: &[f64]) -> Result<Spectrogram> {
        let step = self.step()?;
        if x.is_empty() {
            return Err(Error::data("signal", "a signal of no points has no spectrogram"));
        }
        let (len, lead_in) = (self.segment_len, self.segment_len / 2);
        let n_frames = (x.len() + 2 * lead_in).saturating_sub(len).div_ceil(step) + 1;
        let mut padded = vec![0.0; (n_frames - 1) * step + len];
        padded[lead_in..lead_in + x.len()].copy_from_slice(x);

        let taper = self.window.values(len);
        let scale = 1.0 / taper.iter().sum::<f64>();
        let fft = RealFftPlanner::<f64>::new().plan_fft_forward(len);
        let (mut segment, mut bins) = (fft.make_input_vec(), fft.make_output_vec());
        let n_bins = bins.len();
        let mut out = Spectrogram {
            n_bins,
            n_frames,
            re: vec![0.0; n_bins * n_frames],
            im: vec![0.0; n_bins * n_frames],
            sig_len: x.len(),
        };
        for frame in 0..n_frames {
            let points = &padded[frame * step..frame * step + len];
            segment.iter_mut().zip(points).zip(&taper).for_each(|((s, x), w)| *s = x * w * scale);
            fft.process(&mut segment, &mut bins).map_err(refused)?;
            for (k, bin) in bins.iter().enumerate() {
                out.re[k * n_frames + frame] = bin.re;
                out.im[k * n_frames + frame] = bin.im;
            }
        }
        Ok(out)
    }

    /// The signal whose spectrogram is nearest to the given one in the least-squares sense; the
    /// original when it is a spectrogram of these settings.
    ///
    /// # Errors
    /// [`Error::Shape`] when the spectrogram has other axes than these settings make; [`Error::Config`] when a
    /// point has no weight under any segment, so that it cannot be recovered.
    /// # Reference
    /// Griffin and Lim 1984, eq. 6; `scipy.signal.istft`.
    pub fn inverse(&self, z: &Spectrogram) -> Result<Vec<f64>> {
        let step = self.step()?;
        let (len, lead_in) = (self.segment_len, self.segment_len / 2);
        let expected = vec![len / 2 + 1, (z.sig_len + 2 * lead_in).saturating_sub(len).div_ceil(step) + 1];
        let n_values = z.n_bins * z.n_frames;
        if expected != [z.n_bins, z.n_frames] || z.re.len() != n_values || z.im.len() != n_values {
            let actual = vec![z.n_bins, z.n_frames];
            return Err(Error::Shape { what: "spectrogram".into(), expected, actual });
        }
        let taper = self.window.values(len);
        let fft = RealFftPlanner::<f64>::new().plan_fft_inverse(len);
        let (mut bins, mut segment) = (fft.make_input_vec(), fft.make_output_vec());
        let scale = taper.iter().sum::<f64>() / len as f64;
        let n_padded = (z.n_frames - 1) * step + len;
        let (mut sum, mut weight) = (vec![0.0; n_padded], vec![0.0; n_padded]);
        for frame in 0..z.n_frames {
            for (k, bin) in bins.iter_mut().enumerate() {
                let at = k * z.n_frames + frame;
                // A real signal has no imaginary part at 0 and at half its rate.
                let is_real = k == 0 || 2 * k == len;
                *bin = Complex64::new(z.re[at], if is_real { 0.0 } else { z.im[at] });
            }
            fft.process(&mut bins, &mut segment).map_err(refused)?;
            for (i, (value, w)) in segment.iter().zip(&taper).enumerate() {
                sum[frame * step + i] += value * scale * w;
                weight[frame * step + i] += w * w;
            }
        }
        let range = lead_in..lead_in + z.sig_len;
        if weight[range.clone()].iter().any(|w| *w < 1e-10) {
            return Err(Error::config("overlap", "some points lie under no segment, so that they are lost"));
        }
        Ok(range.map(|i| sum[i] / weight[i]).collect())
    }

    fn step(&self) -> Result<usize> {
        if self.segment_len < 2 || self.overlap >= self.segment_len {
            return Err(Error::config(
                "overlap",
                format!(
                    "{} of {} points, expected fewer than the segment's two or more",
                    self.overlap, self.segment_len
                ),
            ));
        }
        Ok(self.segment_len - self.overlap)
    }
}

fn refused(reason: realfft::FftError) -> Error {
    Error::config("segment_len", reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn inverse_gives_the_signal_back_whatever_the_lengths() {
        let mut stream = Seed::new(3).stream();
        for (n, segment_len, overlap) in [(600, 64, 32), (601, 64, 48), (100, 33, 20), (10, 64, 32), (1, 8, 4)] {
            let x: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            for window in [Window::Hann, Window::Hamming] {
                let stft = Stft { window, segment_len, overlap };
                let back = stft.inverse(&stft.forward(&x).unwrap()).unwrap();
                assert_eq!(back.len(), n);
                let error = back.iter().zip(&x).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(error < 1e-12, "{n} {segment_len} {overlap} {window:?}: {error}");
            }
        }
    }

    #[test]
    fn a_sine_peaks_at_half_its_amplitude() {
        let x: Vec<f64> = (0..512).map(|t| 3.0 * (std::f64::consts::TAU * f64::from(t) / 8.0).cos()).collect();
        let z = Stft::new(64).forward(&x).unwrap();
        let at = 8 * z.n_frames + z.n_frames / 2;
        assert!((z.re[at].hypot(z.im[at]) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn bad_settings_are_errors() {
        assert!(Stft::new(64).forward(&[]).is_err());
        assert!(Stft { overlap: 64, ..Stft::new(64) }.forward(&[0.0; 100]).is_err());
        let mut z = Stft::new(64).forward(&[0.0; 100]).unwrap();
        // A Hann taper without overlap is zero at the segments' ends.
        let gaps = Stft { overlap: 0, ..Stft::new(64) };
        let lost = gaps.forward(&[0.0; 100]).unwrap();
        assert!(gaps.inverse(&lost).unwrap_err().to_string().contains("lost"));
        z.n_frames += 1;
        assert!(matches!(Stft::new(64).inverse(&z), Err(Error::Shape { .. })));
    }
}
