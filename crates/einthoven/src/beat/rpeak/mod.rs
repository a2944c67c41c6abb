//! R-peak detection in one lead or several at once.
//!
//! The leads are brought to about 125 Hz and turned into one smooth hump per QRS complex (`humps`). The humps of all
//! leads are added, each in units of its own usual height. What counts as a beat is decided with the heights on both
//! sides in view (`choose`), as the whole record is at hand: no learning period is needed. A record of noise or of
//! ventricular fibrillation has no beats (`rhythm`). Boundaries and waves are the business of the delineators.

mod choose;
mod humps;
mod rhythm;

use crate::error::{Error, Result};
use humps::Filters;

/// Rate to which leads are brought, in Hz, roughly: an integer fraction of their own.
const WORKING_FS_HZ: f64 = 125.0;

/// What the detector goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Center in Hz of the filters that see steep flanks.
    pub center_hz: f64,
    /// Standard deviation of their Gaussian envelope in seconds.
    pub width_s: f64,
    /// Center in Hz of the filters that see broad complexes.
    pub broad_center_hz: f64,
    /// Standard deviation of their Gaussian envelope in seconds.
    pub broad_width_s: f64,
    /// Two beats are at least this far apart, in seconds.
    pub refractory_s: f64,
    /// Blocks whose highest humps say what is usual, in seconds.
    pub block_s: f64,
    /// Blocks on either side that are looked at.
    pub blocks_around: usize,
    /// Rank of the usual height among the blocks' highest humps, from 0 (lowest) to 1.
    pub usual_rank: f64,
    /// Share of the usual height above which a hump is a beat.
    pub threshold: f64,
    /// The same for a hump in a pause that is longer than usual.
    pub search_threshold: f64,
    /// A pause is searched when it is this many times as long as the usual interval.
    pub search_rr: f64,
    /// A smaller hump within this time after a beat may be its T wave, in seconds.
    pub t_wave_s: f64,
    /// Share of the beat's height below which it is one.
    pub t_wave_share: f64,
    /// Usual interval in seconds below which T waves come sooner, with its root.
    pub t_wave_rr_s: f64,
    /// A smaller hump within this time before a beat may be its P wave, in seconds.
    pub p_wave_s: f64,
    /// Share of the beat's height below which it is one.
    pub p_wave_share: f64,
    /// A beat between two that are at most this many usual intervals apart is doubtful.
    pub between_rr: f64,
    /// Share of the lower neighbor's height below which a doubtful beat is none.
    pub between_share: f64,
    /// A hump has the size of the deflection within this time on both sides, in seconds.
    pub size_reach_s: f64,
    /// Share of the usual size below which a low hump of one or two leads is a P wave or noise.
    pub small_share: f64,
    /// The same for any hump of three leads or more.
    pub small_share_of_many: f64,
    /// Share of the usual height below which a small hump is one.
    pub low_share: f64,
    /// Share of the usual size above which a hump is a broad beat, however low.
    pub broad_share: f64,
    /// Share of the usual height that even a broad beat has.
    pub broad_threshold: f64,
    /// A broad beat comes at least this long after the beat before, where no T wave is left, in seconds; it goes with
    /// the root of the interval.
    pub after_t_s: f64,
    /// It comes at least this long before the next beat, where no P wave can be, in seconds.
    pub before_p_s: f64,
    /// Evidence in one or two leads below which there are no beats at all, see `is_rhythm`.
    pub rhythm: f64,
    /// The same in three leads or more.
    pub rhythm_of_many: f64,
    /// Noise of a lead is taken to be at least this share of its usual height.
    pub noise_floor: f64,
    /// Power of a lead's signal-to-noise ratio by which it weighs more than others.
    pub snr_power: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            center_hz: 23.0,
            width_s: 0.020,
            broad_center_hz: 12.0,
            broad_width_s: 0.030,
            refractory_s: 0.2,
            block_s: 1.6,
            blocks_around: 4,
            usual_rank: 0.5,
            threshold: 0.28,
            search_threshold: 0.2,
            search_rr: 1.6,
            t_wave_s: 0.36,
            t_wave_share: 0.5,
            t_wave_rr_s: 0.6,
            p_wave_s: 0.25,
            p_wave_share: 0.5,
            between_rr: 1.3,
            between_share: 0.8,
            size_reach_s: 0.07,
            small_share: 0.22,
            small_share_of_many: 0.3,
            low_share: 0.6,
            broad_share: 0.5,
            broad_threshold: 0.20,
            after_t_s: 0.38,
            before_p_s: 0.4,
            rhythm: 0.4,
            rhythm_of_many: 0.25,
            noise_floor: 0.03,
            snr_power: 2.0,
        }
    }
}

/// R peaks of leads that were recorded together, in points from their start.
///
/// A position is the point of the largest deflection, over all leads, of the QRS complex. Missing points (NaN) are
/// bridged by the last value before them.
///
/// # Units
/// mV, though only ratios matter; `fs_hz` from 100 to 1000 Hz is what the constants were made for.
/// # Errors
/// [`Error::Config`] unless the rate is at least 50 Hz; [`Error::Shape`] unless all leads have the same length.
pub fn r_peaks(leads: &[&[f32]], fs_hz: f64) -> Result<Vec<usize>> {
    r_peaks_with(&Settings::default(), leads, fs_hz)
}

/// As [`r_peaks`], with other settings.
///
/// # Errors
/// As [`r_peaks`].
pub fn r_peaks_with(settings: &Settings, leads: &[&[f32]], fs_hz: f64) -> Result<Vec<usize>> {
    if !(fs_hz >= 50.0 && fs_hz.is_finite()) {
        return Err(Error::config("fs_hz", format!("{fs_hz}, expected at least 50 Hz to find beats")));
    }
    let sig_len = leads.first().map_or(0, |lead| lead.len());
    if let Some(other) = leads.iter().find(|lead| lead.len() != sig_len) {
        return Err(Error::Shape { what: "lead".into(), expected: vec![sig_len], actual: vec![other.len()] });
    }
    let step = ((fs_hz / WORKING_FS_HZ).round() as usize).max(1);
    let work_fs_hz = fs_hz / step as f64;
    let filters = Filters::new(settings, work_fs_hz);
    let slow: Vec<Vec<f32>> = leads.iter().map(|lead| decimate(lead, step)).collect();
    let envelopes: Vec<Vec<f32>> = slow.iter().map(|lead| filters.envelope(lead)).collect();
    let humps = humps::combine(settings, envelopes, work_fs_hz);
    let found = choose::choose(settings, &humps, &slow, work_fs_hz);
    if !rhythm::is_rhythm(settings, &humps, &slow, &found, work_fs_hz) {
        return Ok(Vec::new());
    }
    let weights: Vec<f32> = leads.iter().map(|lead| smoothness(lead)).collect();
    Ok(found.into_iter().map(|at| refine(leads, &weights, at * step + step / 2, fs_hz)).collect())
}

/// Means of `step` consecutive points; the last value before bridges missing ones.
pub(crate) fn decimate(lead: &[f32], step: usize) -> Vec<f32> {
    let mut last = lead.iter().copied().find(|v| v.is_finite()).unwrap_or(0.0);
    let mean = |points: &[f32]| {
        let sum: f32 = points.iter().sum();
        if sum.is_finite() {
            last = points[points.len() - 1];
            return sum / points.len() as f32;
        }
        let mut bridged = 0.0;
        for &point in points {
            last = if point.is_finite() { point } else { last };
            bridged += last;
        }
        bridged / points.len() as f32
    };
    lead.chunks(step).map(mean).collect()
}

/// Inverse square of the mean step from point to point, so that a noisy lead does not move the peaks of the others.
fn smoothness(lead: &[f32]) -> f32 {
    let steps = lead.windows(2).map(|pair| (pair[1] - pair[0]).abs()).filter(|step| step.is_finite());
    let (sum, n) = steps.fold((0f32, 0f32), |(sum, n), step| (sum + step, n + 1.0));
    if sum > 0.0 { (n / sum).powi(2) } else { 0.0 }
}

/// The point of the largest deflection within 60 ms, over all leads with their weights.
fn refine(leads: &[&[f32]], weights: &[f32], at: usize, fs_hz: f64) -> usize {
    let (reach, level_reach) = ((0.06 * fs_hz) as usize, (0.2 * fs_hz) as usize);
    let sig_len = leads.first().map_or(0, |lead| lead.len());
    let (from, to) = (at.saturating_sub(reach), (at + reach + 1).min(sig_len));
    if from + 1 >= to {
        return at.min(sig_len.saturating_sub(1));
    }
    let mut deflection = vec![0f32; to - from];
    for (lead, weight) in leads.iter().zip(weights) {
        // A broad complex fills its own neighborhood; the level is that of a longer stretch.
        let level = &lead[at.saturating_sub(level_reach)..(at + level_reach + 1).min(sig_len)];
        let mean = level.iter().filter(|v| v.is_finite()).sum::<f32>() / level.len() as f32;
        for (sum, &v) in deflection.iter_mut().zip(&lead[from..to]) {
            *sum += if v.is_finite() { weight * (v - mean) * (v - mean) } else { 0.0 };
        }
    }
    let best = (0..deflection.len()).max_by(|&a, &b| deflection[a].total_cmp(&deflection[b]));
    from + best.unwrap_or(0)
}
