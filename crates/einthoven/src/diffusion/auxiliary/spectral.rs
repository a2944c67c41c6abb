//! Log spectra over several windows: what an error of time points forgives and an eye does not.

use burn::tensor::{Tensor, TensorData};

use super::super::level::check_same_shape;
use crate::error::{Error, Result};
use crate::nn::timevqvae::stft::Stft;

/// Lengths of the windows, s.
const WINDOWS_S: [f64; 3] = [0.32, 0.64, 1.28];
/// Bands lie between these frequencies, Hz: what an ECG holds. The mel scale is straight there, so that equal steps of
/// frequency are equal steps of mel to 3 %.
const BANDS_HZ: (f64, f64) = (0.5, 45.0);
/// Most bands of a window; no more than it has frequencies.
const MOST_BANDS: usize = 32;
/// Added to the power of a band, in squares of the data's standard deviation: less is silence.
const FLOOR: f64 = 1e-3;

/// Powers of a signal in bands, window by window.
#[derive(Debug, Clone)]
pub struct Spectra {
    stft: Stft,
    /// `[bin, band]`, triangles whose weights sum to 1.
    bands: Vec<f32>,
    n_bands: usize,
}

impl Spectra {
    /// The spectra of every window that fits into signals of `sig_len` points.
    ///
    /// # Errors
    /// [`Error::Config`] if none does.
    pub fn all(fs_hz: f64, sig_len: usize) -> Result<Vec<Spectra>> {
        // Windows are multiples of four points, and longer than one frequency of interest.
        let n_fft = |seconds: f64| 4 * (seconds * fs_hz / 4.0).round() as usize;
        let spectra: Vec<Spectra> = WINDOWS_S
            .iter()
            .map(|&seconds| n_fft(seconds))
            .filter(|&n_fft| n_fft >= 8 && n_fft / 2 < sig_len)
            .filter_map(|n_fft| Spectra::new(n_fft, fs_hz))
            .collect();
        if spectra.is_empty() {
            let reason = format!("no window of 0.32 to 1.28 s fits into {sig_len} points at {fs_hz} Hz");
            return Err(Error::config("auxiliary.spectral", reason));
        }
        Ok(spectra)
    }

    /// One window; `None` if it tells no two frequencies of interest apart.
    fn new(n_fft: usize, fs_hz: f64) -> Option<Spectra> {
        let stft = Stft::hann(n_fft);
        let (n_bins, spacing_hz) = (stft.bins(), fs_hz / n_fft as f64);
        let frequency = |bin: usize| bin as f64 * spacing_hz;
        let of_interest = (0..n_bins).filter(|&bin| (BANDS_HZ.0..=BANDS_HZ.1).contains(&frequency(bin)));
        let n_bands = of_interest.count().min(MOST_BANDS);
        if n_bands < 2 {
            return None;
        }
        let low_hz = BANDS_HZ.0.max(spacing_hz);
        let high_hz = BANDS_HZ.1.min(frequency(n_bins - 1));
        let step_hz = (high_hz - low_hz) / (n_bands - 1) as f64;
        // As wide as a bin at least, so that no band is empty.
        let reach_hz = step_hz.max(spacing_hz);
        let mut bands = vec![0.0; n_bins * n_bands];
        for band in 0..n_bands {
            let center_hz = low_hz + band as f64 * step_hz;
            let weight = |bin: usize| (1.0 - (frequency(bin) - center_hz).abs() / reach_hz).max(0.0);
            let sum: f64 = (0..n_bins).map(weight).sum();
            (0..n_bins).for_each(|bin| bands[bin * n_bands + band] = (weight(bin) / sum) as f32);
        }
        Some(Spectra { stft, bands, n_bands })
    }

    /// Logarithms of the power in each band, `[batch * lead * frame, band]`.
    fn log_power(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, leads, _] = x.dims();
        let waves = self.stft.forward(x);
        let [_, _, bins, frames] = waves.dims();
        // Real and imaginary part of a lead are neighbors.
        let power = waves.square().reshape([batch * leads, 2, bins * frames]).sum_dim(1);
        let power = power.reshape([batch * leads, bins, frames]).swap_dims(1, 2);
        let power = power.reshape([batch * leads * frames, bins]);
        let bands = TensorData::new(self.bands.clone(), [bins, self.n_bands]);
        (power.clone().matmul(Tensor::from_data(bands, &power.device())) + FLOOR).log()
    }
}

/// Mean absolute error of log powers, over bands, frames and leads, and over the windows.
///
/// # Shape
/// From two `[batch, lead, time]` to `[batch]`.
/// # Errors
/// [`Error::Shape`] if the shapes differ.
/// # Reference
/// Yamamoto, Song, Kim 2020, "Parallel WaveGAN", eq. 6, with bands and without the linear term.
pub fn spectral_loss(spectra: &[Spectra], estimate: Tensor<3>, x0: Tensor<3>) -> Result<Tensor<1>> {
    check_same_shape("estimate", &estimate, &x0)?;
    let batch = x0.dims()[0];
    let of_window = |window: &Spectra| {
        let error = (window.log_power(estimate.clone()) - window.log_power(x0.clone())).abs();
        let n_each = error.dims().iter().product::<usize>() / batch;
        error.reshape([batch, n_each]).mean_dim(1).reshape([batch])
    };
    let zero = Tensor::<1>::zeros([batch], &estimate.device());
    Ok(spectra.iter().map(of_window).fold(zero, |sum, loss| sum + loss) / spectra.len() as f64)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::tests::{check_gradient, normal};
    use super::*;
    use crate::nn::weights::host;

    #[test]
    fn windows_fit_the_signal_and_no_band_is_empty() {
        for (fs_hz, sig_len, n_windows) in [(100.0, 1000, 3), (100.0, 40, 2), (360.0, 256, 3), (500.0, 5000, 3)] {
            let spectra = Spectra::all(fs_hz, sig_len).unwrap();
            assert_eq!(spectra.len(), n_windows, "{fs_hz} Hz, {sig_len} points");
            for window in &spectra {
                for band in 0..window.n_bands {
                    let sum: f32 = window.bands.iter().skip(band).step_by(window.n_bands).sum();
                    assert!((sum - 1.0).abs() < 1e-5);
                }
            }
        }
        assert!(Spectra::all(100.0, 10).is_err());
    }

    /// Twice the amplitude is four times the power in every band, wherever it is above the floor.
    #[test]
    fn a_louder_signal_is_off_by_the_logarithm_of_its_power() {
        let x = normal([2, 2, 200], 1) * 30.0;
        let spectra = Spectra::all(100.0, 200).unwrap();
        for loss in host(spectral_loss(&spectra, x.clone() * 2.0, x).unwrap()) {
            assert!((loss - 4f32.ln()).abs() < 1e-3, "{loss}");
        }
    }

    /// A shift in time costs an error of points much and one of powers little.
    #[test]
    fn a_tone_is_recognized_when_it_is_late() {
        let tone = |hz: f64, late: f64| {
            let wave = |t: usize| (std::f64::consts::TAU * hz * (t as f64 / 100.0 - late)).sin() as f32;
            Tensor::<3>::from_data(TensorData::new((0..400).map(wave).collect(), [1, 1, 400]), &Device::flex())
        };
        let spectra = Spectra::all(100.0, 400).unwrap();
        let loss = |a, b| host(spectral_loss(&spectra, a, b).unwrap())[0];
        let (late, other) = (loss(tone(8.0, 0.06), tone(8.0, 0.0)), loss(tone(12.0, 0.0), tone(8.0, 0.0)));
        assert!(late < 0.1 * other, "{late} and {other}");
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        // Louder than the estimate in nearly every band: where powers agree, the loss has a kink.
        let (x0, spectra) = (normal([2, 2, 80], 2) * 8.0, Spectra::all(100.0, 80).unwrap());
        let loss = |x: Tensor<3>| {
            let x0 = x0.clone().to_device(&x.device());
            spectral_loss(&spectra, x, x0).unwrap()
        };
        check_gradient(loss, normal([2, 2, 80], 3));
    }
}
