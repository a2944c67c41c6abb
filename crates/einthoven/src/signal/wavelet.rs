//! Discrete wavelet transform, and denoising by soft thresholds.

use super::median::median;
use crate::error::{Error, Result};

/// An orthogonal wavelet, given by its low-pass filter for analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wavelet {
    /// Daubechies' extremal phase with four vanishing moments.
    Db4,
    /// Daubechies' least asymmetric with eight vanishing moments; looks most like a QRS complex.
    Sym8,
}

/// Coefficients of a transform over several levels.
#[derive(Debug, Clone, PartialEq)]
pub struct Decomposition {
    /// What the levels left over: the slow part.
    pub approximation: Vec<f64>,
    /// Details of each level, the finest first.
    pub details: Vec<Vec<f64>>,
    /// Points of the signal.
    pub sig_len: usize,
}

/// Taps of Daubechies 1992, tables 6.1 and 6.3, as in PyWavelets 1.8 (`Wavelet(name).dec_lo`).
const DB4: [f64; 8] = [
    -0.010597401785069032,
    0.0328830116668852,
    0.030841381835560764,
    -0.18703481171909309,
    -0.027983769416859854,
    0.6308807679298589,
    0.7148465705529157,
    0.2303778133088965,
];
const SYM8: [f64; 16] = [
    -0.0033824159510061256,
    -0.0005421323317911481,
    0.03169508781149298,
    0.007607487324917605,
    -0.1432942383508097,
    -0.061273359067658524,
    0.4813596512583722,
    0.7771857517005235,
    0.3644418948353314,
    -0.05194583810770904,
    -0.027219029917056003,
    0.049137179673607506,
    0.003808752013890615,
    -0.01495225833704823,
    -0.0003029205147213668,
    0.0018899503327594609,
];

impl Wavelet {
    fn lowpass(self) -> &'static [f64] {
        match self {
            Wavelet::Db4 => &DB4,
            Wavelet::Sym8 => &SYM8,
        }
    }

    /// The quadrature mirror of the low-pass.
    fn highpass(self) -> Vec<f64> {
        let mirrored = self.lowpass().iter().rev().enumerate();
        mirrored.map(|(k, tap)| if k % 2 == 0 { -tap } else { *tap }).collect()
    }

    /// Splits a signal into details of `levels` levels and the rest. Ends are mirrored with the end
    /// point doubled.
    ///
    /// # Errors
    /// [`Error::Data`] for an empty signal; [`Error::Config`] without levels.
    /// # Reference
    /// Mallat 1989; `pywt.wavedec` with mode `symmetric`.
    pub fn decompose(self, x: &[f64], levels: usize) -> Result<Decomposition> {
        if x.is_empty() {
            return Err(Error::data("signal", "a signal of no points has no wavelet transform"));
        }
        if levels == 0 {
            return Err(Error::config("levels", "0, expected at least one level"));
        }
        let (low, high) = (self.lowpass(), self.highpass());
        let (mut rest, mut details) = (x.to_vec(), Vec::with_capacity(levels));
        for _ in 0..levels {
            details.push(analyze(&rest, &high));
            rest = analyze(&rest, low);
        }
        Ok(Decomposition { approximation: rest, details, sig_len: x.len() })
    }

    /// The signal that a decomposition stands for.
    ///
    /// # Errors
    /// [`Error::Shape`] when the lengths of the levels do not fit each other.
    pub fn compose(self, parts: &Decomposition) -> Result<Vec<f64>> {
        let (low, high) = (self.lowpass(), self.highpass());
        let mut rest = parts.approximation.clone();
        for (level, detail) in parts.details.iter().enumerate().rev() {
            let fits = rest.len() == detail.len();
            // Without the point that an odd length had too many.
            let n = if level == 0 { parts.sig_len } else { parts.details[level - 1].len() };
            if !fits || (n + low.len() - 1) / 2 != detail.len() {
                return Err(Error::Shape {
                    what: format!("details of level {}", level + 1),
                    expected: vec![rest.len()],
                    actual: vec![detail.len()],
                });
            }
            rest = synthesize(&rest, detail, low, &high, n);
        }
        Ok(rest)
    }

    /// The signal without what white noise leaves in the details: each is drawn towards 0 by the
    /// universal threshold, whose noise level is estimated from the finest details.
    ///
    /// # Errors
    /// As [`Wavelet::decompose`].
    /// # Reference
    /// Donoho and Johnstone 1994, `sd sqrt(2 ln n)` with `sd` the median absolute detail over 0.6745.
    pub fn denoise(self, x: &[f64], levels: usize) -> Result<Vec<f64>> {
        let mut parts = self.decompose(x, levels)?;
        let sizes: Vec<f64> = parts.details[0].iter().map(|d| d.abs()).collect();
        let threshold = median(&sizes) / 0.6745 * libm::sqrt(2.0 * libm::log(x.len() as f64));
        for detail in parts.details.iter_mut().flatten() {
            *detail = detail.signum() * (detail.abs() - threshold).max(0.0);
        }
        self.compose(&parts)
    }
}

/// `out[k] = sum over j of taps[j] x[2 k + 1 - j]`.
fn analyze(x: &[f64], taps: &[f64]) -> Vec<f64> {
    let n = x.len() as i64;
    let mirrored = |i: i64| {
        let place = i.rem_euclid(2 * n);
        x[if place < n { place } else { 2 * n - 1 - place } as usize]
    };
    let n_out = (x.len() + taps.len() - 1) / 2;
    let sum = |k: usize| -> f64 {
        let newest = 2 * k + 1;
        if newest + 1 >= taps.len() && newest < x.len() {
            let window = &x[newest + 1 - taps.len()..=newest];
            return window.iter().rev().zip(taps).map(|(v, tap)| v * tap).sum();
        }
        taps.iter().enumerate().map(|(j, tap)| tap * mirrored(newest as i64 - j as i64)).sum()
    };
    (0..n_out).map(sum).collect()
}

/// The transpose of [`analyze`] on both bands, which is its inverse for an orthogonal wavelet.
fn synthesize(approximation: &[f64], detail: &[f64], low: &[f64], high: &[f64], n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n];
    for (k, (a, d)) in approximation.iter().zip(detail).enumerate() {
        for j in 0..low.len() {
            let Some(target) = (2 * k + 1).checked_sub(j).and_then(|i| out.get_mut(i)) else { continue };
            *target += a * low[j] + d * high[j];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn compose_gives_the_signal_back() {
        let mut stream = Seed::new(8).stream();
        for n in [1, 2, 7, 16, 100, 501] {
            let x: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            for wavelet in [Wavelet::Db4, Wavelet::Sym8] {
                let back = wavelet.compose(&wavelet.decompose(&x, 4).unwrap()).unwrap();
                let error = back.iter().zip(&x).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                // The tables have about twelve digits.
                assert!(back.len() == n && error < 1e-10, "{wavelet:?} {n}: {error}");
            }
        }
    }

    #[test]
    fn polynomials_leave_no_detail() {
        let x: Vec<f64> = (0..200).map(|t| f64::from(t) / 50.0).map(|t| 1.0 - t + t * t * t).collect();
        for wavelet in [Wavelet::Db4, Wavelet::Sym8] {
            let detail = &wavelet.decompose(&x, 1).unwrap().details[0];
            assert!(detail[10..90].iter().all(|d| d.abs() < 1e-8), "{wavelet:?}");
        }
    }

    #[test]
    fn denoising_brings_a_noisy_wave_closer_to_itself() {
        let clean: Vec<f64> = (0..1000).map(|t| (-(f64::from(t % 250) - 125.0).powi(2) / 300.0).exp()).collect();
        let mut stream = Seed::new(4).stream();
        let noisy: Vec<f64> = clean.iter().map(|v| v + 0.05 * stream.normal()).collect();
        let error = |x: &[f64]| x.iter().zip(&clean).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        let denoised = Wavelet::Sym8.denoise(&noisy, 4).unwrap();
        assert!(error(&denoised) < 0.25 * error(&noisy), "{} of {}", error(&denoised), error(&noisy));
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(Wavelet::Db4.decompose(&[], 1).is_err());
        assert!(Wavelet::Db4.decompose(&[1.0], 0).is_err());
        let mut parts = Wavelet::Db4.decompose(&[1.0; 30], 2).unwrap();
        parts.details[0].pop();
        assert!(matches!(Wavelet::Db4.compose(&parts), Err(Error::Shape { .. })));
    }
}
