//! Estimates of the slow baseline under an ECG, to be taken off it.
//!
//! Three ways: running medians, which need no beats; a spline through points that are known to be
//! isoelectric; and a high-pass, which is [`super::filter::SosFilter::highpass`] with zero phase.

use super::median::{Edge, median, median_filter};
use super::spline::{CubicSpline, SplineEnd};
use crate::error::{Error, Result};

/// Baseline by two running medians: 200 ms removes QRS and P, 600 ms of the rest removes T.
///
/// # Shape
/// One value for each point of `x`, in its unit.
/// # Reference
/// de Chazal, O'Dwyer and Reilly 2004, section II-B.
pub fn median_baseline(x: &[f64], fs_hz: f64) -> Vec<f64> {
    let width = |seconds: f64| ((seconds * fs_hz).round().max(1.0) as usize) | 1;
    median_filter(&median_filter(x, width(0.2), Edge::Nearest), width(0.6), Edge::Nearest)
}

/// Baseline by a cubic spline through isoelectric points, such as those before each QRS.
///
/// The level at a point is the median of the `2 * half_width + 1` points around it, so that noise
/// does not bend the curve. Before the first and after the last point the baseline is level.
///
/// # Errors
/// [`Error::Data`] with fewer than two points, points that do not rise, or points beyond the signal.
/// # Reference
/// Meyer and Keiser 1977.
pub fn spline_baseline(x: &[f64], isoelectric: &[usize], half_width: usize) -> Result<Vec<f64>> {
    if let Some(beyond) = isoelectric.iter().find(|&&at| at >= x.len()) {
        return Err(Error::data("isoelectric points", format!("{beyond}, expected below {}", x.len())));
    }
    let level = |&at: &usize| median(&x[at.saturating_sub(half_width)..(at + half_width + 1).min(x.len())]);
    let at = isoelectric.iter().map(|&at| at as f64).collect();
    let spline = CubicSpline::new(at, isoelectric.iter().map(level).collect(), SplineEnd::NotAKnot)?;
    Ok((0..x.len()).map(|t| spline.value(t as f64)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// Ten seconds at 250 Hz: narrow beats once a second on a slow wave of 0.5 mV.
    fn beats_on_a_wave() -> (Vec<f64>, Vec<f64>) {
        let wave: Vec<f64> = (0..2500).map(|t| 0.5 * (TAU * 0.15 * f64::from(t) / 250.0).sin()).collect();
        let beat = |t: usize| (-((t % 250) as f64 - 125.0).powi(2) / 50.0).exp();
        (wave.iter().enumerate().map(|(t, w)| w + beat(t)).collect(), wave)
    }

    fn largest_error(found: &[f64], truth: &[f64], from: usize, to: usize) -> f64 {
        found[from..to].iter().zip(&truth[from..to]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn both_find_a_slow_wave_under_beats() {
        let (x, wave) = beats_on_a_wave();
        // Under a beat the medians lean upwards; the same in scipy errs by 0.066 mV here.
        assert!(largest_error(&median_baseline(&x, 250.0), &wave, 100, 2400) < 0.07);
        let isoelectric: Vec<usize> = (0..10).map(|k| 250 * k + 50).collect();
        let spline = spline_baseline(&x, &isoelectric, 3).unwrap();
        // Between the outermost knots, where the curve's ends are guessed, it errs by up to 0.011 mV.
        assert!(largest_error(&spline, &wave, 300, 2050) < 0.01);
    }

    #[test]
    fn points_beyond_the_signal_are_errors() {
        assert!(spline_baseline(&[0.0; 10], &[2, 10], 1).is_err());
        assert!(spline_baseline(&[0.0; 10], &[2], 1).is_err());
    }
}
