//! Envelope of an oscillating signal.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use crate::error::{Error, Result};

/// Magnitude of the analytic signal, as if the signal were one period of an endless one.
///
/// # Errors
/// [`Error::Data`] for an empty signal.
/// # Reference
/// Gabor 1946; `abs(scipy.signal.hilbert(x))`.
pub fn envelope(x: &[f64]) -> Result<Vec<f64>> {
    if x.is_empty() {
        return Err(Error::data("signal", "a signal of no points has no envelope"));
    }
    let n = x.len();
    let failed = |reason: realfft::FftError| Error::data("signal", reason.to_string());
    let mut planner = RealFftPlanner::<f64>::new();
    let (forward, inverse) = (planner.plan_fft_forward(n), planner.plan_fft_inverse(n));
    let (mut input, mut bins, mut shifted) = (x.to_vec(), forward.make_output_vec(), inverse.make_output_vec());
    forward.process(&mut input, &mut bins).map_err(failed)?;
    for (k, bin) in bins.iter_mut().enumerate() {
        // A quarter of a period later; 0 and half the rate have no such partner.
        let has_partner = k > 0 && 2 * k != n;
        *bin = if has_partner { Complex64::new(bin.im, -bin.re) } else { Complex64::new(0.0, 0.0) };
    }
    inverse.process(&mut bins, &mut shifted).map_err(failed)?;
    Ok(x.iter().zip(shifted).map(|(re, im)| re.hypot(im / n as f64)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modulated_sine_has_its_modulation_as_envelope() {
        let turn = std::f64::consts::TAU / 400.0;
        let swell = |t: f64| 1.0 + 0.5 * (3.0 * turn * t).cos();
        let x: Vec<f64> = (0..400).map(f64::from).map(|t| swell(t) * (40.0 * turn * t).sin()).collect();
        for (t, value) in envelope(&x).unwrap().into_iter().enumerate() {
            assert!((value - swell(t as f64)).abs() < 1e-12, "{t}");
        }
        assert!(envelope(&[]).is_err());
    }
}
