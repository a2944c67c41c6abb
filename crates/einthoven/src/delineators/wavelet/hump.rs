//! P and T waves as humps: how they stand out, and where one whose peak is known begins and ends.

use crate::record::Wave;
use crate::signal::symmetric::SymmetricFilter;

use super::{Event, Landmarks, Working, boundary, energy, highest};

/// How the ends of a hump are found; times in seconds, thresholds as shares of the fastest point of the flank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ends {
    /// Share of the speed at which it begins.
    pub onset_share: f32,
    /// Share of the speed at which it ends.
    pub offset_share: f32,
    /// How far an end may lie from the peak.
    pub half_s: f64,
    /// How much a lead's own ends count against the common ones.
    pub own_weight: f32,
    /// How far a lead's own peak may lie from the common one.
    pub own_reach_s: f64,
}

/// Speed that makes a flank, as a share of a hump's height over its width.
const ENOUGH: f32 = 0.45;

/// The leads seen through filters of a hump's width.
pub(super) struct Humps {
    /// Width that is looked for, in seconds.
    hump_s: f64,
    /// In each lead.
    pub each: Vec<Vec<f32>>,
    /// Over all leads.
    pub height: Vec<f32>,
    /// Speed in each lead.
    speeds: Vec<Vec<f32>>,
    /// Speed over all leads.
    speed: Vec<f32>,
}

impl Humps {
    /// For humps of width `hump_s`; `sigma_s` is the width of the Gaussian whose slope is the speed.
    pub fn new(leads: &Working, hump_s: f64, sigma_s: f64) -> Humps {
        let each = leads.filtered(&SymmetricFilter::hump(hump_s, leads.fs_hz));
        let mut speeds = leads.filtered(&SymmetricFilter::slope(sigma_s, leads.fs_hz));
        let (height, speed) = (energy(&each), energy(&speeds));
        speeds.iter_mut().flatten().for_each(|v| *v = v.abs());
        Humps { hump_s, each, height, speeds, speed }
    }

    /// The wave with this common peak, whose ends lie within `from` and `to`.
    pub fn event(&self, wave: Wave, leads: &Working, ends: &Ends, peak: usize, [from, to]: [usize; 2]) -> Event {
        let flanks = |speed: &[f32], peak: usize, height: f32| {
            // A bell of this height and width reaches about half of height over width.
            let enough = ENOUGH * height / self.hump_s as f32;
            let onset = boundary::flank_end(speed, peak, from, ends.onset_share, 0.5, enough);
            (onset, boundary::flank_end(speed, peak, to, ends.offset_share, 0.5, enough))
        };
        let (onset, offset) = flanks(&self.speed, peak, self.height[peak]);
        let reach = leads.points(ends.own_reach_s);
        let own = self.each.iter().zip(&self.speeds).map(|(hump, speed)| {
            let height: Vec<f32> = hump[from..=to].iter().map(|v| v.abs()).collect();
            let top = highest(&height, peak.saturating_sub(reach).max(from) - from, (peak + reach).min(to) + 1 - from);
            let own_peak = boundary::between(peak, top + from, ends.own_weight);
            let (own_onset, own_offset) = flanks(speed, own_peak, hump[own_peak].abs());
            let onset = boundary::between(onset, own_onset, ends.own_weight).min(own_peak);
            let offset = boundary::between(offset, own_offset, ends.own_weight).max(own_peak);
            Landmarks { onset, peak: own_peak, offset }
        });
        Event { wave, across: Landmarks { onset, peak, offset }, leads: own.collect() }
    }
}
