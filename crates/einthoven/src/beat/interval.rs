//! What is measured on a beat whose waves are known: rate, intervals, ST level, amplitudes.
//!
//! Everything that cannot be measured is absent (`None`, null in JSON): no PR without a P wave, no QTc without a rate.
//! The heart's axis is in [`axis`], variability in [`hrv`](super::hrv).

use serde::Serialize;

use super::axis;
use crate::record::{Fiducial, Wave};
use crate::signal;

/// Milliseconds from the end of the QRS complex to the point where the ST level is read.
pub const ST_AFTER_J_MS: f64 = 60.0;

/// Intervals of a record: medians over its beats.
///
/// # Units
/// Milliseconds, beats per minute and degrees.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Intervals {
    /// Heart rate, from the mean RR interval.
    pub hr_bpm: Option<f64>,
    /// Statistics of the RR intervals.
    pub rr: Option<RrStatistics>,
    /// Duration of the P wave.
    pub p_ms: Option<f64>,
    /// Onset of P to onset of QRS.
    pub pr_ms: Option<f64>,
    /// Duration of QRS.
    pub qrs_ms: Option<f64>,
    /// Onset of QRS to the end of T.
    pub qt_ms: Option<f64>,
    /// QT divided by the square root of RR.
    pub qtc_bazett_ms: Option<f64>,
    /// QT divided by the cube root of RR.
    pub qtc_fridericia_ms: Option<f64>,
    /// QT corrected on a line through RR.
    pub qtc_framingham_ms: Option<f64>,
    /// QT corrected on a line through the rate.
    pub qtc_hodges_ms: Option<f64>,
    /// Axis of QRS in the frontal plane, -180 to 180; needs leads I and aVF, or any two limb leads.
    pub axis_deg: Option<f64>,
}

/// RR intervals of a record.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RrStatistics {
    /// Number of intervals.
    pub n: usize,
    /// Mean.
    pub mean_ms: f64,
    /// Median.
    pub median_ms: f64,
    /// Standard deviation (divisor n - 1); `None` for a single interval.
    pub sd_ms: Option<f64>,
    /// Shortest.
    pub min_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

/// What is measured in one lead: medians over its beats, against the level before QRS.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Amplitudes {
    /// Height of P.
    pub p_mv: Option<f64>,
    /// Highest point of QRS; 0 if none lies above the level.
    pub r_mv: Option<f64>,
    /// Lowest point of QRS; 0 if none lies below the level.
    pub qs_mv: Option<f64>,
    /// Height of T.
    pub t_mv: Option<f64>,
    /// Level 60 ms after the end of QRS.
    pub st_mv: Option<f64>,
}

/// A formula that takes QT to a rate of 60 beats per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QtCorrection {
    /// Bazett 1920: QT / RR^(1/2).
    Bazett,
    /// Fridericia 1920: QT / RR^(1/3).
    Fridericia,
    /// Sagie et al. 1992 (Framingham): QT + 154 ms (1 - RR / s).
    Framingham,
    /// Hodges et al. 1983: QT + 1.75 ms (rate - 60).
    Hodges,
}

impl QtCorrection {
    /// The corrected interval in ms, from QT and the mean RR interval in ms.
    pub fn apply(self, qt_ms: f64, rr_ms: f64) -> f64 {
        let rr_s = rr_ms / 1000.0;
        match self {
            QtCorrection::Bazett => qt_ms / rr_s.sqrt(),
            QtCorrection::Fridericia => qt_ms / rr_s.cbrt(),
            QtCorrection::Framingham => qt_ms + 154.0 * (1.0 - rr_s),
            QtCorrection::Hodges => qt_ms + 1.75 * (60.0 / rr_s - 60.0),
        }
    }
}

/// Statistics of intervals between beats, in points at `fs_hz`; `None` for fewer than two beats.
pub fn rr_statistics(peaks: &[usize], fs_hz: f64) -> Option<RrStatistics> {
    let rr: Vec<f64> = peaks.windows(2).map(|pair| (pair[1] - pair[0]) as f64 * 1000.0 / fs_hz).collect();
    let n = rr.len();
    let median_ms = median(rr.clone())?;
    let mean_ms = rr.iter().sum::<f64>() / n as f64;
    let squares: f64 = rr.iter().map(|v| (v - mean_ms).powi(2)).sum();
    Some(RrStatistics {
        n,
        mean_ms,
        median_ms,
        sd_ms: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
        min_ms: rr.iter().copied().fold(f64::INFINITY, f64::min),
        max_ms: rr.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

/// The intervals of one list of waves (a lead's, or the one across leads), without the axis.
///
/// # Units
/// Positions are points at `fs_hz`, the waves in the order of time.
pub fn intervals(waves: &[Fiducial], fs_hz: f64) -> Intervals {
    let ms = |points: usize| points as f64 * 1000.0 / fs_hz;
    let span = |from: Option<usize>, to: Option<usize>| from.zip(to).and_then(|(a, b)| b.checked_sub(a)).map(ms);
    let of = |wave: Wave| waves.iter().filter(move |found| found.wave == wave);
    let durations = |wave: Wave| median(of(wave).filter_map(|found| span(found.onset, found.offset)).collect());
    // A wave belongs to the complex beside it: P to the next one, T to the one before.
    let neighbors = |first: Wave, second: Wave| {
        waves.windows(2).filter(move |pair| pair[0].wave == first && pair[1].wave == second)
    };
    let pr = neighbors(Wave::P, Wave::Qrs).filter_map(|pair| span(pair[0].onset, pair[1].onset)).collect();
    let qt = neighbors(Wave::Qrs, Wave::T).filter_map(|pair| span(pair[0].onset, pair[1].offset)).collect();
    let peaks: Vec<usize> = of(Wave::Qrs).map(|found| found.peak).collect();
    let rr = rr_statistics(&peaks, fs_hz);
    let qt_ms = median(qt);
    let corrected = |formula: QtCorrection| qt_ms.zip(rr).map(|(qt, rr)| formula.apply(qt, rr.mean_ms));
    Intervals {
        hr_bpm: rr.map(|rr| 60_000.0 / rr.mean_ms),
        rr,
        p_ms: durations(Wave::P),
        pr_ms: median(pr),
        qrs_ms: durations(Wave::Qrs),
        qt_ms,
        qtc_bazett_ms: corrected(QtCorrection::Bazett),
        qtc_fridericia_ms: corrected(QtCorrection::Fridericia),
        qtc_framingham_ms: corrected(QtCorrection::Framingham),
        qtc_hodges_ms: corrected(QtCorrection::Hodges),
        axis_deg: None,
    }
}

/// As [`intervals`], with the axis of QRS from the limb leads among `leads`, which are named and in mV.
pub fn intervals_with_axis(waves: &[Fiducial], leads: &[(&str, &[f32])], fs_hz: f64) -> Intervals {
    let complexes: Vec<&Fiducial> = waves.iter().filter(|found| found.wave == Wave::Qrs).collect();
    Intervals { axis_deg: axis::frontal_axis_deg(&complexes, leads), ..intervals(waves, fs_hz) }
}

/// Amplitudes in one lead, whose waves and millivolts are given.
pub fn amplitudes(waves: &[Fiducial], mv: &[f32], fs_hz: f64) -> Amplitudes {
    let value = |at: usize| mv.get(at).copied().filter(|v| v.is_finite()).map(f64::from);
    let mut heights: [Vec<f64>; 5] = Default::default();
    for (k, found) in waves.iter().enumerate().filter(|(_, found)| found.wave == Wave::Qrs) {
        let (Some(onset), Some(offset)) = (found.onset, found.offset) else { continue };
        let Some(level) = value(onset) else { continue };
        let inside = || (onset..=offset).filter_map(value).map(|v| v - level);
        if let Some(before) = k.checked_sub(1).map(|k| &waves[k]).filter(|found| found.wave == Wave::P) {
            heights[0].extend(value(before.peak).map(|v| v - level));
        }
        heights[1].push(inside().fold(0.0, f64::max));
        heights[2].push(inside().fold(0.0, f64::min));
        if let Some(after) = waves.get(k + 1).filter(|found| found.wave == Wave::T) {
            heights[3].extend(value(after.peak).map(|v| v - level));
        }
        heights[4].extend(value(offset + (ST_AFTER_J_MS * fs_hz / 1000.0).round() as usize).map(|v| v - level));
    }
    let [p_mv, r_mv, qs_mv, t_mv, st_mv] = heights.map(median);
    Amplitudes { p_mv, r_mv, qs_mv, t_mv, st_mv }
}

/// Median; `None` of nothing.
pub(crate) fn median(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| signal::median::median(&values))
}
