//! QRS complexes: their ends from the speed of all leads together, then lead by lead.

use crate::record::Wave;

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
    /// Longest plateau inside a complex, as bundle branch blocks have.
    pub plateau_s: f64,
    /// Share of the speed that is part of the complex when it comes within a plateau's length.
    pub plateau_share: f32,
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
        before_s: 0.16,
        after_s: 0.18,
        onset_share: 0.05,
        offset_share: 0.10,
        quiet_s: 0.016,
        plateau_s: 0.05,
        plateau_share: 0.3,
        own_weight: 0.3,
        own_reach_s: 0.03,
        smallest_r: 0.2,
    };
}

/// Peaks of noise, in units of the speed that a quarter of its points stay below.
const NOISE_PEAK: f32 = 2.0;
/// Share of the complex's speed above which nothing is taken for noise.
const HIGHEST_NOISE: f32 = 0.15;

/// The complexes around R peaks, which are in points of the working rate.
pub(super) fn find(settings: &Settings, leads: &Working, slopes: &[Vec<f32>], peaks: &[usize]) -> Vec<Event> {
    let speed = energy(slopes);
    let rest = resting_speed(&speed);
    let own_rests: Vec<f32> = slopes.iter().map(|slope| resting_speed(slope)).collect();
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
        let common = Ends::of(settings, leads, &speed, rest, [from, to], peak);
        let reach = leads.points(settings.own_reach_s);
        let own: Vec<Landmarks> = (0..leads.mv.len())
            .map(|lead| {
                let own_speed: Vec<f32> = slopes[lead][from..=to].iter().map(|v| v.abs()).collect();
                let own = Ends::of(settings, leads, &own_speed, own_rests[lead], [0, to - from], peak - from);
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
    fn of(
        settings: &Settings,
        leads: &Working,
        speed: &[f32],
        at_rest: f32,
        [from, to]: [usize; 2],
        peak: usize,
    ) -> Ends {
        let near = leads.points(0.06);
        let top_at = highest(speed, peak.saturating_sub(near).max(from), (peak + near).min(to) + 1);
        let top = speed[top_at];
        let rest = |range: std::ops::RangeInclusive<usize>| range.map(|k| speed[k]).fold(f32::INFINITY, f32::min);
        // Noise does not fall below its own level; what never rests has no such level.
        let noise = (NOISE_PEAK * at_rest).min(HIGHEST_NOISE * top);
        let limit = |share: f32, rest: f32| (rest + share * (top - rest)).max(noise);
        let onset_limit = limit(settings.onset_share, rest(from..=top_at));
        let offset_limit = limit(settings.offset_share, rest(top_at..=to));
        Ends {
            onset: end(settings, leads, speed, top_at, from, onset_limit),
            offset: end(settings, leads, speed, top_at, to, offset_limit),
        }
    }
}

/// The first quiet stretch on the way from the fastest point to `last`, unless it is a plateau of the complex; the
/// slowest point if there is none.
fn end(settings: &Settings, leads: &Working, speed: &[f32], top_at: usize, last: usize, limit: f32) -> usize {
    let is_forward = last > top_at;
    let n = top_at.abs_diff(last);
    let at = |k: usize| if is_forward { top_at + k } else { top_at - k };
    let quiet = leads.points(settings.quiet_s).max(2);
    let plateau = leads.points(settings.plateau_s);
    let mut from = 1;
    while let Some(k) = (from..=n).find(|&k| (k..=(k + quiet).min(n)).all(|j| speed[at(j)] <= limit)) {
        let is_part = |j: &usize| speed[at(*j)] > settings.plateau_share * speed[top_at];
        match (k..=(k + plateau).min(n)).rev().find(is_part) {
            Some(j) => from = j + 1,
            None => return at(k),
        }
    }
    at((from.min(n)..=n).min_by(|&a, &b| speed[at(a)].total_cmp(&speed[at(b)])).unwrap_or(n))
}

/// Speed that a quarter of all points stay below: that of the noise between the waves.
pub(super) fn resting_speed(slope: &[f32]) -> f32 {
    let mut speed: Vec<f32> = slope.iter().map(|v| v.abs()).collect();
    let quarter = speed.len() / 4;
    if speed.is_empty() { 0.0 } else { *speed.select_nth_unstable_by(quarter, f32::total_cmp).1 }
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
