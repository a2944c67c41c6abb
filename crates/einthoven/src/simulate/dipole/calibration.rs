//! Test waveforms in the manner of IEC 60601-2-25: one whose corners are exact, and an analytic ECG.
//!
//! The standard's own CAL and ANE files are not reproduced: these serve the same purpose, to measure amplitudes and
//! intervals of known size, with shapes of our own.

use crate::record::Wave;
use crate::simulate::dipole::kernel::Extent;

/// A test waveform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Waveform {
    /// Straight lines between corners, the same in the eight independent leads.
    Calibration {
        /// Height of R, mV.
        mv: f64,
    },
    /// The published normal adult without any variation.
    Analytic,
}

/// Corners of one wave of the calibration waveform: time in ms from the onset of P, from R, and from the end of QRS;
/// height as a share of R.
pub(super) fn corners(wave: Wave) -> &'static [(f64, f64)] {
    match wave {
        Wave::P => &[(0.0, 0.0), (20.0, 0.15), (80.0, 0.15), (100.0, 0.0)],
        Wave::Qrs => &[(-50.0, 0.0), (-35.0, -0.2), (-20.0, 0.0), (0.0, 1.0), (20.0, 0.0), (35.0, -0.4), (50.0, 0.0)],
        Wave::T => &[(100.0, 0.0), (150.0, 0.3), (200.0, 0.3), (250.0, 0.0)],
    }
}

/// Height of the line through the corners at a time.
pub(super) fn line(corners: &[(f64, f64)], t_ms: f64) -> f64 {
    let segment = corners.windows(2).find(|pair| (pair[0].0..pair[1].0).contains(&t_ms));
    segment.map_or(0.0, |pair| {
        let ((from, low), (to, high)) = (pair[0], pair[1]);
        low + (high - low) * (t_ms - from) / (to - from)
    })
}

/// The corners are the boundaries. A flat top peaks where it begins.
pub(super) fn corner_extent(corners: &[(f64, f64)], mv: f64) -> Option<Extent> {
    let (first, last) = (corners.first()?, corners.last()?);
    let mut peak = first;
    corners.iter().for_each(|corner| {
        if corner.1.abs() > peak.1.abs() {
            peak = corner
        }
    });
    Some(Extent { onset_ms: first.0, peak_ms: peak.0, offset_ms: last.0, peak_mv: mv * peak.1.abs() })
}

/// Intervals of the calibration waveform: PR, QRS and QT, ms.
pub(super) const INTERVALS_MS: [f64; 3] = [150.0, 100.0, 350.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_corners() {
        let extent = |wave| corner_extent(corners(wave), 2.0).unwrap();
        let (p, qrs, t) = (extent(Wave::P), extent(Wave::Qrs), extent(Wave::T));
        assert!(p.duration_ms() < INTERVALS_MS[0]);
        assert_eq!([qrs.duration_ms(), qrs.duration_ms() + t.offset_ms], INTERVALS_MS[1..]);
        assert_eq!((qrs.peak_mv, p.peak_mv), (2.0, 0.3));
        assert_eq!(line(corners(Wave::Qrs), 10.0), 0.5);
        assert_eq!(line(corners(Wave::Qrs), 60.0), 0.0);
    }
}
