//! T waves: the largest slow hump after each QRS complex.

use super::hump::{Ends, Humps};
use super::{Event, Working};
use crate::record::Wave;

/// Times in seconds, thresholds as shares of the fastest point of the flank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Width of the hump that is looked for.
    pub hump_s: f64,
    /// Width of the Gaussian whose slope is the speed.
    pub sigma_s: f64,
    /// The peak comes at least this long after the QRS complex ends.
    pub after_qrs_s: f64,
    /// Latest peak after the onset of the QRS complex in a heart that beats once per second; it goes with the root of
    /// the RR interval.
    pub latest_s: f64,
    /// Where the peak is expected after the QRS onset in such a heart.
    pub expected_s: f64,
    /// How far from there a hump counts half.
    pub spread_s: f64,
    /// Where it begins and ends.
    pub ends: Ends,
    /// Smallest share of the median hump of the record that is a T wave.
    pub smallest: f32,
}

impl Settings {
    /// Chosen on the development records.
    pub const DEFAULT: Settings = Settings {
        hump_s: 0.040,
        sigma_s: 0.016,
        after_qrs_s: 0.05,
        latest_s: 0.50,
        expected_s: 0.30,
        spread_s: 0.12,
        ends: Ends { onset_share: 0.45, offset_share: 0.40, half_s: 0.20, own_weight: 0.6, own_reach_s: 0.06 },
        smallest: 0.1,
    };
}

/// The T wave of each complex, `None` where there is none.
pub(super) fn find(settings: &Settings, leads: &Working, complexes: &[Event]) -> Vec<Option<Event>> {
    let humps = Humps::new(leads, settings.hump_s, settings.sigma_s);
    let hump = &humps.height;
    let peaks: Vec<Option<usize>> = (0..complexes.len())
        .map(|k| {
            let here = complexes[k].across;
            let next = complexes.get(k + 1).map_or(leads.sig_len, |event| event.across.onset);
            let last_rr = |k: usize| complexes[k].across.peak - complexes[k - 1].across.peak;
            let rr = match (k + 1 < complexes.len(), k > 0) {
                (true, _) => last_rr(k + 1),
                (false, true) => last_rr(k),
                (false, false) => leads.points(1.0),
            };
            let stretch = (rr as f64 / leads.fs_hz).clamp(0.25, 1.6).sqrt();
            let from = here.offset + leads.points(settings.after_qrs_s * stretch);
            let to =
                (here.onset + leads.points(settings.latest_s * stretch)).min(next.saturating_sub(leads.points(0.04)));
            if from + 2 >= to {
                return None;
            }
            let expected = here.onset as f64 + settings.expected_s * stretch * leads.fs_hz;
            let spread = settings.spread_s * stretch * leads.fs_hz;
            let weight = |at: usize| (1.0 / (1.0 + ((at as f64 - expected) / spread).powi(2))) as f32;
            let is_top =
                |at: usize| at > 0 && at + 1 < hump.len() && hump[at] >= hump[at - 1] && hump[at] > hump[at + 1];
            let tops = (from..to).filter(|&at| is_top(at));
            tops.max_by(|&a, &b| (hump[a] * weight(a)).total_cmp(&(hump[b] * weight(b))))
        })
        .collect();
    let mut heights: Vec<f32> = peaks.iter().flatten().map(|&at| hump[at]).collect();
    heights.sort_by(f32::total_cmp);
    let usual = heights.get(heights.len() / 2).copied().unwrap_or(0.0);
    let event = |k: usize, peak: usize| {
        let start = complexes[k].across.offset;
        let next = complexes.get(k + 1).map_or(leads.sig_len - 1, |event| event.across.onset);
        let half = leads.points(settings.ends.half_s);
        let (from, to) = (start.max(peak.saturating_sub(half)), next.min(peak + half));
        humps.event(Wave::T, leads, &settings.ends, peak, [from, to])
    };
    let is_enough = |at: &usize| hump[*at] >= settings.smallest * usual;
    peaks.into_iter().enumerate().map(|(k, peak)| peak.filter(is_enough).map(|peak| event(k, peak))).collect()
}
