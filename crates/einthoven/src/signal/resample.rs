//! Other sampling rates: by a polyphase filter for rational ratios, and through the Fourier transform.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use crate::error::{Error, Result};

/// What the polyphase filter meets beyond the ends of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pad {
    /// Zeros, the default of `scipy.signal.resample_poly`; a signal with an offset bends at its ends.
    Zeros,
    /// The line through the first and the last point, which keeps offset and drift.
    Line,
}

/// Largest number up to which a ratio of sampling rates is taken for rational.
const MAX_FACTOR: usize = 100_000;

/// The signal at `up / down` times its rate; `ceil(n up / down)` points, the first one in place.
///
/// # Errors
/// [`Error::Config`] when a factor is 0; [`Error::Data`] for an empty signal.
/// # Reference
/// `scipy.signal.resample_poly` with its default filter: a windowed sinc of `20 max(up, down) + 1`
/// taps, Kaiser window of beta 5.
pub fn resample_poly(x: &[f64], up: usize, down: usize, pad: Pad) -> Result<Vec<f64>> {
    if up == 0 || down == 0 {
        return Err(Error::config("up, down", format!("{up}, {down}; expected positive factors")));
    }
    if x.is_empty() {
        return Err(Error::data("signal", "a signal of no points cannot be resampled"));
    }
    let divisor = gcd(up, down);
    let (up, down) = (up / divisor, down / divisor);
    if up == down {
        return Ok(x.to_vec());
    }
    let half = 10 * up.max(down);
    let filter = lowpass(half, 1.0 / up.max(down) as f64, up as f64);
    let (n, n_out) = (x.len(), (x.len() * up).div_ceil(down));
    let slope = if n > 1 { (x[n - 1] - x[0]) / (n - 1) as f64 } else { 0.0 };
    let beyond = |i: i64| match pad {
        Pad::Zeros => 0.0,
        Pad::Line if i < 0 => x[0] + slope * i as f64,
        Pad::Line => x[n - 1] + slope * (i - n as i64 + 1) as f64,
    };
    let (up, half) = (up as i64, half as i64);
    // y[k] = sum over i of x[i] h[half + k down - i up]
    Ok((0..n_out as i64)
        .map(|k| {
            let center = k * down as i64;
            let first = (center - half).div_euclid(up) + i64::from((center - half).rem_euclid(up) != 0);
            let last = (center + half).div_euclid(up);
            (first..=last)
                .map(|i| {
                    let value = if (0..n as i64).contains(&i) { x[i as usize] } else { beyond(i) };
                    value * filter[(half + center - i * up) as usize]
                })
                .sum()
        })
        .collect())
}

/// The signal at another sampling rate, by [`resample_poly`] with the ends held by a line.
///
/// # Errors
/// [`Error::Config`] unless both rates are positive and their ratio is one of whole numbers up to
/// 100,000; [`Error::Data`] for an empty signal.
pub fn resample(x: &[f64], from_hz: f64, to_hz: f64) -> Result<Vec<f64>> {
    let (up, down) = rational_ratio(from_hz, to_hz)?;
    resample_poly(x, up, down, Pad::Line)
}

/// `up` and `down` in lowest terms so that `from_hz * up / down = to_hz`.
///
/// # Errors
/// As [`resample`].
pub fn rational_ratio(from_hz: f64, to_hz: f64) -> Result<(usize, usize)> {
    let refuse = || {
        Err(Error::config(
            "fs_hz",
            format!("{from_hz} to {to_hz} Hz, expected positive rates in a ratio of whole numbers up to {MAX_FACTOR}"),
        ))
    };
    if !(from_hz > 0.0 && to_hz > 0.0 && from_hz.is_finite() && to_hz.is_finite()) {
        return refuse();
    }
    let ratio = to_hz / from_hz;
    // Convergents of the continued fraction are the best approximations there are.
    let (mut rest, mut before, mut now) = (ratio, (0.0, 1.0), (1.0, 0.0));
    loop {
        let whole = rest.floor();
        let next = (whole * now.0 + before.0, whole * now.1 + before.1);
        if next.0 > MAX_FACTOR as f64 || next.1 > MAX_FACTOR as f64 {
            return refuse();
        }
        // Rates are typed with few digits, so that an honest ratio is met to rounding.
        if next.0 > 0.0 && (next.0 / next.1 / ratio - 1.0).abs() < 1e-12 {
            return Ok((next.0 as usize, next.1 as usize));
        }
        (before, now, rest) = (now, next, 1.0 / (rest - whole));
    }
}

/// The signal with `n_out` points over the same duration, as if it were one period of an endless one.
///
/// # Errors
/// [`Error::Data`] for an empty signal; [`Error::Config`] when no points are asked for.
/// # Reference
/// `scipy.signal.resample`.
pub fn resample_fourier(x: &[f64], n_out: usize) -> Result<Vec<f64>> {
    let n = x.len();
    if n == 0 {
        return Err(Error::data("signal", "a signal of no points cannot be resampled"));
    }
    if n_out == 0 {
        return Err(Error::config("n_out", "0, expected at least one point"));
    }
    let mut planner = RealFftPlanner::<f64>::new();
    let failed = |reason: realfft::FftError| Error::config("n_out", reason.to_string());
    let forward = planner.plan_fft_forward(n);
    let (mut input, mut bins) = (x.to_vec(), forward.make_output_vec());
    forward.process(&mut input, &mut bins).map_err(failed)?;

    let inverse = planner.plan_fft_inverse(n_out);
    let (mut kept, mut out) = (inverse.make_input_vec(), inverse.make_output_vec());
    let shared = n.min(n_out);
    kept[..=shared / 2].copy_from_slice(&bins[..=shared / 2]);
    if shared.is_multiple_of(2) && n != n_out {
        // The bin at half the lower rate stands for two frequencies in the longer signal, one in the shorter.
        kept[shared / 2] *= if n_out < n { 2.0 } else { 0.5 };
    }
    // A real signal has no imaginary part at 0 and at half its rate.
    let n_kept = kept.len();
    kept[0] = Complex64::new(kept[0].re, 0.0);
    if n_out.is_multiple_of(2) {
        kept[n_kept - 1] = Complex64::new(kept[n_kept - 1].re, 0.0);
    }
    inverse.process(&mut kept, &mut out).map_err(failed)?;
    Ok(out.into_iter().map(|v| v / n as f64).collect())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Kaiser-windowed sinc of `2 half + 1` taps, cut-off as a fraction of half the rate, with `gain` at 0.
fn lowpass(half: usize, cutoff: f64, gain: f64) -> Vec<f64> {
    const BETA: f64 = 5.0;
    let bound = bessel_i0(BETA);
    let taps: Vec<f64> = (0..=2 * half)
        .map(|k| {
            let t = k as f64 - half as f64;
            let place = t / half as f64;
            let window = bessel_i0(BETA * (1.0 - place * place).max(0.0).sqrt()) / bound;
            let phase = std::f64::consts::PI * cutoff * t;
            window * if t == 0.0 { 1.0 } else { libm::sin(phase) / phase }
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| gain * tap / sum).collect()
}

/// Modified Bessel function of order 0, by its series; all terms are positive.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > 1e-17 * sum {
        term *= (x / (2.0 * k)) * (x / (2.0 * k));
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    #[test]
    fn rates_of_the_field_have_the_ratios_that_one_expects() {
        for (from_hz, to_hz, expected) in [
            (360.0, 500.0, (25, 18)),
            (500.0, 100.0, (1, 5)),
            (128.0, 125.0, (125, 128)),
            (102.4, 500.0, (625, 128)),
            (250.0, 250.0, (1, 1)),
            (1000.0, 257.0, (257, 1000)),
            (0.1, 0.3, (3, 1)),
        ] {
            assert_eq!(rational_ratio(from_hz, to_hz).unwrap(), expected, "{from_hz} to {to_hz}");
        }
        assert!(rational_ratio(100.0, 100.0 * 2.0_f64.sqrt()).is_err());
        assert!(rational_ratio(0.0, 100.0).is_err());
        assert!(rational_ratio(100.0, f64::NAN).is_err());
    }

    #[test]
    fn a_slow_sine_stays_itself_at_any_rate() {
        let sine =
            |fs_hz: f64, n: usize| -> Vec<f64> { (0..n).map(|t| 1.5 + (TAU * 5.0 * t as f64 / fs_hz).sin()).collect() };
        let x = sine(360.0, 3600);
        for to_hz in [100.0, 250.0, 500.0, 1000.0] {
            let y = resample(&x, 360.0, to_hz).unwrap();
            let expected = sine(to_hz, (10.0 * to_hz) as usize);
            assert_eq!(y.len(), expected.len());
            // The filter's ripple is 50 dB down; the ends see the line instead of the sine.
            let edge = to_hz as usize / 4;
            for t in edge..y.len() - edge {
                assert!((y[t] - expected[t]).abs() < 5e-3, "{to_hz} Hz, point {t}: {} {}", y[t], expected[t]);
            }
            // Ten seconds hold whole periods, which is what the Fourier way assumes.
            let fourier = resample_fourier(&x, expected.len()).unwrap();
            for t in 0..fourier.len() {
                assert!((fourier[t] - expected[t]).abs() < 1e-9, "{to_hz} Hz, point {t}");
            }
        }
    }

    #[test]
    fn bad_requests_are_errors() {
        assert!(resample_poly(&[], 1, 2, Pad::Zeros).is_err());
        assert!(resample_poly(&[1.0], 0, 2, Pad::Zeros).is_err());
        assert!(resample_fourier(&[], 2).is_err());
        assert!(resample_fourier(&[1.0], 0).is_err());
        assert_eq!(resample_poly(&[1.0, 2.0], 3, 3, Pad::Zeros).unwrap(), [1.0, 2.0]);
    }
}
