//! Which humps are beats, decided with the heights and the intervals on both sides in view.
//!
//! Height, which says how steep a wave is, decides first; size, which says how large it is, then takes small P waves out
//! and brings broad ventricular beats in, where neither a T wave nor a P wave can lie.

use super::humps::{median_of, usual_heights};
use super::{Settings, smoothness};

/// The humps that are beats.
pub(super) fn choose(settings: &Settings, humps: &[f32], leads: &[Vec<f32>], fs_hz: f64) -> Vec<usize> {
    let block_len = (settings.block_s * fs_hz) as usize;
    let usual = usual_heights(settings, humps, block_len);
    let refractory = (settings.refractory_s * fs_hz) as usize;
    let is_above = |at: usize, share: f64| humps[at] > share as f32 * usual[at / block_len];
    let tops: Vec<usize> = (1..humps.len().saturating_sub(1))
        .filter(|&at| humps[at] > humps[at - 1] && humps[at] >= humps[at + 1])
        .filter(|&at| is_above(at, settings.broad_threshold))
        .collect();
    let sizes = sizes(leads, &tops, (settings.size_reach_s * fs_hz) as usize);
    let high: Vec<usize> = tops.iter().copied().filter(|&at| is_above(at, settings.threshold)).collect();
    // How soon T waves come depends on the rate, which is known only once there are beats.
    let beats = drop_waves(settings, &high, humps, fs_hz, &[]);
    let beats = drop_waves(settings, &high, humps, fs_hz, &beats);
    let beats = drop_small(settings, &beats, humps, &sizes, leads.len() > 2);
    let beats = drop_doubtful(settings, &beats, humps);
    let beats = add_broad(settings, &beats, &tops, &sizes, fs_hz);
    let candidates: Vec<usize> = tops.into_iter().filter(|&at| is_above(at, settings.search_threshold)).collect();
    search_pauses(settings, &beats, &candidates, humps, refractory)
}

/// Size of the deflection around each top, over all leads; 0 elsewhere.
///
/// Height says how steep a wave is, and size how large: a broad beat is large and not steep, a P wave may be as steep as
/// a broad beat and is not large.
fn sizes(leads: &[Vec<f32>], tops: &[usize], reach: usize) -> Vec<f32> {
    let mut sizes = vec![0f32; leads.first().map_or(0, Vec::len)];
    for lead in leads {
        let weight = smoothness(lead);
        for &at in tops {
            let part = &lead[at.saturating_sub(reach)..(at + reach + 1).min(lead.len())];
            let (low, high) = part.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
            sizes[at] += weight * (high - low) * (high - low);
        }
    }
    sizes.iter_mut().for_each(|size| *size = size.sqrt());
    sizes
}

/// Leaves out humps that are much smaller than the beats around them.
///
/// To one or two leads a beat may point, so that it is small and yet steep; many leads see every beat from the side.
fn drop_small(settings: &Settings, beats: &[usize], humps: &[f32], sizes: &[f32], are_many: bool) -> Vec<usize> {
    let is_beat = |&(k, &at): &(usize, &usize)| {
        let share = if are_many { settings.small_share_of_many } else { settings.small_share };
        sizes[at] > share as f32 * usual_beat(beats, k, sizes)
            || !are_many && humps[at] > settings.low_share as f32 * usual_beat(beats, k, humps)
    };
    beats.iter().enumerate().filter(is_beat).map(|(_, &at)| at).collect()
}

/// Value of the larger beats around beat `k`: the fourth of five, since P waves may still be twice as many as beats.
fn usual_beat(beats: &[usize], k: usize, values: &[f32]) -> f32 {
    let mut around: Vec<f32> =
        beats[k.saturating_sub(8)..(k + 9).min(beats.len())].iter().map(|&at| values[at]).collect();
    let rank = (around.len() - 1) * 4 / 5;
    *around.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// Adds the largest hump between two beats that is large enough for a beat and where no P or T wave can be.
fn add_broad(settings: &Settings, beats: &[usize], tops: &[usize], sizes: &[f32], fs_hz: f64) -> Vec<usize> {
    let mut all: Vec<usize> = Vec::with_capacity(beats.len());
    for (k, &beat) in beats.iter().enumerate() {
        all.push(beat);
        let Some(&next) = beats.get(k + 1) else { break };
        let rr_s = (next - beat) as f64 / fs_hz;
        let from = beat + (settings.after_t_s * rr_s.min(1.0).sqrt() * fs_hz) as usize;
        let to = next.saturating_sub((settings.before_p_s * fs_hz) as usize);
        let inside = &tops[tops.partition_point(|&at| at < from)..];
        let inside = &inside[..inside.partition_point(|&at| at <= to)];
        let Some(largest) = inside.iter().copied().max_by(|&a, &b| sizes[a].total_cmp(&sizes[b])) else { continue };
        if sizes[largest] > settings.broad_share as f32 * usual_beat(beats, k, sizes) {
            all.push(largest);
        }
    }
    all
}

/// Leaves out what is too close to a higher hump to be a beat: its other flank, its T or its P wave.
///
/// `known` are beats found before, whose intervals say how soon a T wave comes.
fn drop_waves(settings: &Settings, high: &[usize], humps: &[f32], fs_hz: f64, known: &[usize]) -> Vec<usize> {
    let refractory = (settings.refractory_s * fs_hz) as usize;
    let p_wave = (settings.p_wave_s * fs_hz) as usize;
    let mut scratch = Vec::new();
    let mut beats: Vec<usize> = Vec::with_capacity(high.len());
    let mut t_wave = (settings.t_wave_s * fs_hz) as usize;
    let mut next_known = 0;
    for &at in high {
        while next_known < known.len() && known[next_known] <= at {
            next_known += 1;
            let around = &known[next_known.saturating_sub(9)..(next_known + 8).min(known.len())];
            let intervals: Vec<f32> = around.windows(2).map(|pair| (pair[1] - pair[0]) as f32).collect();
            let usual_s = f64::from(median_of(&intervals, &mut scratch)) / fs_hz;
            let sooner = if usual_s > 0.0 { (usual_s / settings.t_wave_rr_s).sqrt().min(1.0) } else { 1.0 };
            t_wave = (settings.t_wave_s * sooner * fs_hz) as usize;
        }
        match beats.last().copied() {
            Some(last) if at - last < refractory => {
                if humps[at] > humps[last] {
                    beats.pop();
                    beats.push(at);
                }
            }
            Some(last) if at - last < t_wave && humps[at] < settings.t_wave_share as f32 * humps[last] => {}
            Some(last) if at - last < p_wave && humps[last] < settings.p_wave_share as f32 * humps[at] => {
                beats.pop();
                beats.push(at);
            }
            _ => beats.push(at),
        }
    }
    beats
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
