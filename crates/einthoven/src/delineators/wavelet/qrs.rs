//! QRS complexes: their ends from the speed of all leads together, then lead by lead.

use crate::record::Wave;
use crate::signal::symmetric::SymmetricFilter;

use super::{Event, Landmarks, Working, boundary, energy, highest};

/// Times in seconds, thresholds as shares of the complex's highest speed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Width of the Gaussian whose slope is the speed.
    pub sigma_s: f64,
    /// How far before the R peak a complex may begin.
    pub before_s: f64,
    /// How far after the R peak it may end.
    pub after_s: f64,
    /// Share of the speed at which it begins.
    pub onset_share: f32,
    /// Share of the speed at which it ends.
    pub offset_share: f32,
    /// The speed must stay below for this long.
    pub quiet_s: f64,
    /// How much a lead's own ends count against the common ones.
    pub own_weight: f32,
    /// How far a lead's own ends may lie from the common ones.
    pub own_reach_s: f64,
    /// Smallest R wave, as a share of the depth of Q or S, that is taken for the peak.
    pub smallest_r: f32,
}

impl Settings {
    /// Chosen on the development records.
    pub const DEFAULT: Settings = Settings {
        sigma_s: 0.006,
        before_s: 0.13,
        after_s: 0.18,
        onset_share: 0.05,
        offset_share: 0.10,
        quiet_s: 0.016,
        own_weight: 0.3,
        own_reach_s: 0.03,
        smallest_r: 0.2,
    };
}

/// The complexes around R peaks, which are in points of the working rate.
pub(super) fn find(settings: &Settings, leads: &Working, peaks: &[usize]) -> Vec<Event> {
    let slopes = leads.filtered(&SymmetricFilter::slope(settings.sigma_s, leads.fs_hz));
    let speed = energy(&slopes);
    let mut end = 0;
    let mut complexes = Vec::with_capacity(peaks.len());
    for (k, &peak) in peaks.iter().enumerate() {
        let before = leads.points(settings.before_s).min((peak - end.min(peak)) / 2 + 1);
        let next = peaks.get(k + 1).copied().unwrap_or(leads.sig_len);
        let from = peak.saturating_sub(before);
        let to = (peak + leads.points(settings.after_s).min((next - peak) / 2)).min(leads.sig_len - 1);
        if to <= from + 2 {
            continue;
        }
        let common = Ends::of(settings, leads, &speed, from, to, peak);
        let reach = leads.points(settings.own_reach_s);
        let own: Vec<Landmarks> = (0..leads.mv.len())
            .map(|lead| {
                let own_speed: Vec<f32> = slopes[lead][from..=to].iter().map(|v| v.abs()).collect();
                let own = Ends::of(settings, leads, &own_speed, 0, to - from, peak - from);
                let near = |own: usize, common: usize| {
                    let own = own.clamp(common.saturating_sub(reach), common + reach);
                    boundary::between(common, own, settings.own_weight)
                };
                let onset = near(own.onset + from, common.onset).max(from);
                let offset = near(own.offset + from, common.offset).min(to).max(onset + 1);
                Landmarks { onset, peak: r_peak(&leads.mv[lead], onset, offset, settings.smallest_r), offset }
            })
            .collect();
        let top = highest(&speed, common.onset, common.offset + 1);
        let across = Landmarks {
            onset: common.onset,
            peak: peak.clamp(common.onset, common.offset),
            offset: common.offset.max(top),
        };
        end = across.offset;
        complexes.push(Event { wave: Wave::Qrs, across, leads: own });
    }
    complexes
}

/// Where the speed leaves its rest and where it returns.
struct Ends {
    onset: usize,
    offset: usize,
}

impl Ends {
    fn of(settings: &Settings, leads: &Working, speed: &[f32], from: usize, to: usize, peak: usize) -> Ends {
        let near = leads.points(0.06);
        let top_at = highest(speed, peak.saturating_sub(near).max(from), (peak + near).min(to) + 1);
        let top = speed[top_at];
        let quiet = leads.points(settings.quiet_s).max(2);
        let rest = |range: std::ops::RangeInclusive<usize>| range.map(|k| speed[k]).fold(f32::INFINITY, f32::min);
        let limit = |share: f32, rest: f32| rest + share * (top - rest);
        let onset_limit = limit(settings.onset_share, rest(from..=top_at));
        let offset_limit = limit(settings.offset_share, rest(top_at..=to));
        let is_quiet = |a: usize, b: usize, limit: f32| (a..=b).all(|k| speed[k] <= limit);
        // The outermost point above the limit, seen from the peak: the walk ends at the first quiet stretch.
        let onset = (from..top_at).rev().find(|&k| is_quiet(k.saturating_sub(quiet).max(from), k, onset_limit));
        let offset = (top_at + 1..=to).find(|&k| is_quiet(k, (k + quiet).min(to), offset_limit));
        Ends { onset: onset.unwrap_or(from), offset: offset.unwrap_or(to) }
    }
}

/// The R peak: the highest point over the line between the ends, or the lowest below it in a complex whose R wave is
/// small beside that or missing.
fn r_peak(lead: &[f32], onset: usize, offset: usize, smallest_r: f32) -> usize {
    let (a, b) = (lead[onset], lead[offset]);
    let n = (offset - onset).max(1) as f32;
    let height = |k: usize| lead[k] - a - (b - a) * (k - onset) as f32 / n;
    let by_height = |p: &usize, q: &usize| height(*p).total_cmp(&height(*q));
    let top = (onset..=offset).max_by(by_height).unwrap_or(onset);
    let bottom = (onset..=offset).min_by(by_height).unwrap_or(onset);
    if height(top) >= -smallest_r * height(bottom) { top } else { bottom }
}
