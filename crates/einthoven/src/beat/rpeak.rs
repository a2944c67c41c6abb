//! R-peak detection in one lead or several at once.
//!
//! The leads are brought to about 125 Hz and passed through a pair of filters in quadrature, whose magnitude is one
//! smooth hump per QRS complex whatever its shape and polarity. The humps of all leads are added, each in units of its
//! own usual height. What counts as a beat is decided with the heights on both sides in view, as the whole record is at
//! hand: no learning period is needed. Boundaries and waves are the business of the delineators.

use crate::error::{Error, Result};
use crate::signal::symmetric::SymmetricFilter;

/// Rate to which leads are brought, in Hz, roughly: an integer fraction of their own.
const WORKING_FS_HZ: f64 = 125.0;

/// What the detector goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Center of the quadrature filters in Hz.
    pub center_hz: f64,
    /// Standard deviation of their Gaussian envelope in seconds.
    pub width_s: f64,
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
    /// A beat between two that are at most this many usual intervals apart is doubtful.
    pub between_rr: f64,
    /// Share of the lower neighbor's height below which a doubtful beat is none.
    pub between_share: f64,
    /// Noise of a lead is taken to be at least this share of its usual height.
    pub noise_floor: f64,
    /// Power of a lead's signal-to-noise ratio by which it weighs more than others.
    pub snr_power: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            center_hz: 17.0,
            width_s: 0.020,
            refractory_s: 0.2,
            block_s: 1.6,
            blocks_around: 4,
            usual_rank: 0.5,
            threshold: 0.30,
            search_threshold: 0.2,
            search_rr: 1.6,
            t_wave_s: 0.36,
            t_wave_share: 0.5,
            between_rr: 1.3,
            between_share: 0.7,
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
    let filters = Quadrature::new(settings, work_fs_hz);
    let envelopes: Vec<Vec<f32>> = leads.iter().map(|lead| filters.envelope(&decimate(lead, step))).collect();
    let humps = combine(settings, envelopes, work_fs_hz);
    let found = choose(settings, &humps, work_fs_hz);
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

/// A Gaussian-windowed cosine and sine, without response to a constant.
struct Quadrature {
    even: SymmetricFilter,
    odd: SymmetricFilter,
}

impl Quadrature {
    fn new(settings: &Settings, fs_hz: f64) -> Quadrature {
        let reach_s = 3.0 * settings.width_s;
        let window = |t: f64| (-0.5 * (t / settings.width_s).powi(2)).exp();
        let phase = |t: f64| std::f64::consts::TAU * settings.center_hz * t;
        let lags = (1..=(reach_s * fs_hz).ceil() as usize).map(|lag| lag as f64 / fs_hz);
        let weight = 1.0 + 2.0 * lags.clone().map(window).sum::<f64>();
        let mean = (1.0 + 2.0 * lags.map(|t| window(t) * phase(t).cos()).sum::<f64>()) / weight;
        Quadrature {
            even: SymmetricFilter::even(reach_s, fs_hz, |t| window(t) * (phase(t).cos() - mean) / weight),
            odd: SymmetricFilter::odd(reach_s, fs_hz, |t| window(t) * phase(t).sin() / weight),
        }
    }

    /// Magnitude of both responses.
    fn envelope(&self, x: &[f32]) -> Vec<f32> {
        let (mut even, odd) = (self.even.apply(x), self.odd.apply(x));
        even.iter_mut().zip(&odd).for_each(|(even, odd)| *even = (*even * *even + odd * odd).sqrt());
        even
    }
}

/// Height that is usual around each block: the median of the highest points of the blocks around it.
fn usual_heights(settings: &Settings, humps: &[f32], block_len: usize) -> Vec<f32> {
    let highest: Vec<f32> = humps.chunks(block_len).map(|block| block.iter().copied().fold(0.0, f32::max)).collect();
    // A short last block may hold no beat at all.
    let n = if humps.len().is_multiple_of(block_len) || highest.len() == 1 { highest.len() } else { highest.len() - 1 };
    (0..highest.len())
        .map(|k| {
            let k = k.min(n - 1);
            let mut around: Vec<f32> =
                highest[k.saturating_sub(settings.blocks_around)..(k + settings.blocks_around + 1).min(n)].into();
            around.sort_by(f32::total_cmp);
            around[((around.len() - 1) as f64 * settings.usual_rank).round() as usize]
        })
        .collect()
}

/// Root of the summed squares of the leads' envelopes, each in units of its noise, so that the clean leads decide.
fn combine(settings: &Settings, mut envelopes: Vec<Vec<f32>>, fs_hz: f64) -> Vec<f32> {
    if envelopes.len() < 2 {
        return envelopes.pop().unwrap_or_default();
    }
    let mut sum = vec![0f32; envelopes[0].len()];
    let block_len = (settings.block_s * fs_hz) as usize;
    let mut scratch = Vec::with_capacity(block_len);
    for envelope in &envelopes {
        let medians: Vec<f32> = envelope.chunks(block_len).map(|block| median_of(block, &mut scratch)).collect();
        let usual = usual_heights(settings, envelope, block_len);
        for (k, (sum, block)) in sum.chunks_mut(block_len).zip(envelope.chunks(block_len)).enumerate() {
            let around = settings.blocks_around;
            let around = &medians[k.saturating_sub(around)..(k + around + 1).min(medians.len())];
            let noise = median_of(around, &mut scratch).max(settings.noise_floor as f32 * usual[k]);
            let snr = usual[k] / noise;
            let weight = if noise > 0.0 { snr.powf(settings.snr_power as f32) / (noise * noise) } else { 0.0 };
            sum.iter_mut().zip(block).for_each(|(sum, v)| *sum += weight * v * v);
        }
    }
    sum.into_iter().map(f32::sqrt).collect()
}

fn median_of(values: &[f32], scratch: &mut Vec<f32>) -> f32 {
    scratch.clear();
    scratch.extend_from_slice(values);
    let middle = scratch.len() / 2;
    if scratch.is_empty() { 0.0 } else { *scratch.select_nth_unstable_by(middle, f32::total_cmp).1 }
}

/// The humps that are beats.
fn choose(settings: &Settings, humps: &[f32], fs_hz: f64) -> Vec<usize> {
    let block_len = (settings.block_s * fs_hz) as usize;
    let usual = usual_heights(settings, humps, block_len);
    let usual_at = |at: usize| usual[at / block_len];
    let refractory = (settings.refractory_s * fs_hz) as usize;
    let t_wave = (settings.t_wave_s * fs_hz) as usize;
    let candidates: Vec<usize> = (1..humps.len().saturating_sub(1))
        .filter(|&at| humps[at] > humps[at - 1] && humps[at] >= humps[at + 1])
        .filter(|&at| humps[at] > settings.search_threshold as f32 * usual_at(at))
        .collect();
    let mut beats: Vec<usize> = Vec::new();
    for &at in candidates.iter().filter(|&&at| humps[at] > settings.threshold as f32 * usual_at(at)) {
        match beats.last().copied() {
            Some(last) if at - last < refractory => {
                if humps[at] > humps[last] {
                    beats.pop();
                    beats.push(at);
                }
            }
            Some(last) if at - last < t_wave && humps[at] < settings.t_wave_share as f32 * humps[last] => {}
            _ => beats.push(at),
        }
    }
    let beats = drop_doubtful(settings, &beats, humps);
    search_pauses(settings, &beats, &candidates, humps, refractory)
}

/// Leaves out low humps between two beats that are one usual interval apart: T waves, P waves and noise.
fn drop_doubtful(settings: &Settings, beats: &[usize], humps: &[f32]) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::with_capacity(beats.len());
    let mut scratch = Vec::new();
    for (k, &at) in beats.iter().enumerate() {
        let (Some(&before), Some(&after)) = (kept.last(), beats.get(k + 1)) else {
            kept.push(at);
            continue;
        };
        let lower = humps[before].min(humps[after]);
        if humps[at] >= settings.between_share as f32 * lower {
            kept.push(at);
            continue;
        }
        // Intervals between the beats around that are beyond doubt.
        let around = &beats[k.saturating_sub(16)..(k + 17).min(beats.len())];
        let heights: Vec<f32> = around.iter().map(|&at| humps[at]).collect();
        let sure = 0.6 * median_of(&heights, &mut scratch);
        let sure: Vec<usize> = around.iter().copied().filter(|&at| humps[at] >= sure).collect();
        let intervals: Vec<f32> = sure.windows(2).map(|pair| (pair[1] - pair[0]) as f32).collect();
        let usual = median_of(&intervals, &mut scratch);
        if (after - before) as f32 > settings.between_rr as f32 * usual {
            kept.push(at);
        }
    }
    kept
}

/// Adds the highest hump of each pause that is too long, while there is one.
fn search_pauses(
    settings: &Settings,
    beats: &[usize],
    candidates: &[usize],
    humps: &[f32],
    refractory: usize,
) -> Vec<usize> {
    let mut all: Vec<usize> = Vec::with_capacity(beats.len());
    for (k, &beat) in beats.iter().enumerate() {
        all.push(beat);
        let Some(&next) = beats.get(k + 1) else { break };
        let around = &beats[k.saturating_sub(8)..(k + 10).min(beats.len())];
        let mut intervals: Vec<usize> = around.windows(2).map(|pair| pair[1] - pair[0]).collect();
        intervals.sort_unstable();
        let usual = intervals[intervals.len() / 2];
        if ((next - beat) as f64) < settings.search_rr * usual as f64 {
            continue;
        }
        let from = candidates.partition_point(|&at| at < beat + 3 * refractory / 2);
        let to = candidates.partition_point(|&at| at + 3 * refractory / 2 <= next);
        let missed = candidates[from.min(to)..to].iter().copied().max_by(|&a, &b| humps[a].total_cmp(&humps[b]));
        let lower = humps[beat].min(humps[next]);
        all.extend(missed.filter(|&at| humps[at] > settings.search_threshold as f32 * lower));
    }
    all
}

/// Inverse square of the mean step from point to point, so that a noisy lead does not move the peaks of the others.
fn smoothness(lead: &[f32]) -> f32 {
    let steps = lead.windows(2).map(|pair| (pair[1] - pair[0]).abs()).filter(|step| step.is_finite());
    let (sum, n) = steps.fold((0f32, 0f32), |(sum, n), step| (sum + step, n + 1.0));
    if sum > 0.0 { (n / sum).powi(2) } else { 0.0 }
}

/// The point of the largest deflection within 60 ms, over all leads with their weights.
fn refine(leads: &[&[f32]], weights: &[f32], at: usize, fs_hz: f64) -> usize {
    let reach = (0.06 * fs_hz) as usize;
    let sig_len = leads.first().map_or(0, |lead| lead.len());
    let (from, to) = (at.saturating_sub(reach), (at + reach + 1).min(sig_len));
    if from + 1 >= to {
        return at.min(sig_len.saturating_sub(1));
    }
    let mut deflection = vec![0f32; to - from];
    for (lead, weight) in leads.iter().zip(weights) {
        let part = &lead[from..to];
        // The middle of the range that most points keep to stands for the level.
        let mean = part.iter().filter(|v| v.is_finite()).sum::<f32>() / part.len() as f32;
        for (sum, &v) in deflection.iter_mut().zip(part) {
            *sum += if v.is_finite() { weight * (v - mean) * (v - mean) } else { 0.0 };
        }
    }
    let best = (0..deflection.len()).max_by(|&a, &b| deflection[a].total_cmp(&deflection[b]));
    from + best.unwrap_or(0)
}
