//! Whether there is a rhythm at all.

use super::Settings;
use super::humps::median_of;

/// How much the height of beats over what lies between them, and the irregularity of their intervals, count as evidence
/// of a rhythm beside the correlation of their shapes.
const CONTRAST: f32 = 0.15;
const IRREGULARITY: f32 = 2.0;
/// Irregularity beyond which more of it is no more evidence.
const MOST_IRREGULAR: f32 = 0.5;

/// Whether the humps are beats at all: those of noise or of ventricular fibrillation hardly stand out, have nothing in
/// common and come when they like. A rhythm may lack one of the three, as bigeminy, fibrillating atria or a fast
/// ventricular tachycardia do, but not all.
pub(super) fn is_rhythm(settings: &Settings, humps: &[f32], leads: &[Vec<f32>], beats: &[usize], fs_hz: f64) -> bool {
    let mut scratch = Vec::new();
    let heights: Vec<f32> = beats.iter().map(|&at| humps[at]).collect();
    let between = median_of(humps, &mut scratch);
    if between <= 0.0 {
        return true;
    }
    let contrast = median_of(&heights, &mut scratch) / between;
    let intervals: Vec<f32> = beats.windows(2).map(|pair| (pair[1] - pair[0]) as f32).collect();
    let changes: Vec<f32> = intervals.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let usual = median_of(&intervals, &mut scratch).max(1.0);
    let irregularity = (median_of(&changes, &mut scratch) / usual).min(MOST_IRREGULAR);
    let evidence = CONTRAST * contrast + repetition(leads, beats, fs_hz) - IRREGULARITY * irregularity;
    // The shapes of several leads do not agree by chance.
    let enough = if leads.len() < 3 { settings.rhythm } else { settings.rhythm_of_many };
    evidence > enough as f32
}

/// How alike the beats are: the median correlation of a beat, over all leads, with the sum of the beats around it.
///
/// Near 1 in a regular rhythm; near 0 where the humps are those of noise or of ventricular fibrillation, whose shapes
/// have nothing in common.
fn repetition(leads: &[Vec<f32>], beats: &[usize], fs_hz: f64) -> f32 {
    let (before, after) = ((0.12 * fs_hz) as usize, (0.2 * fs_hz) as usize);
    let len = before + after;
    let shape = |&at: &usize| {
        let from = at.checked_sub(before).filter(|from| from + len <= leads[0].len())?;
        let mut shape = Vec::with_capacity(leads.len() * len);
        for lead in leads {
            let part = &lead[from..from + len];
            let mean = part.iter().sum::<f32>() / len as f32;
            shape.extend(part.iter().map(|v| v - mean));
        }
        let norm = shape.iter().map(|v| v * v).sum::<f32>().sqrt();
        shape.iter_mut().for_each(|v| *v /= norm.max(f32::MIN_POSITIVE));
        Some(shape)
    };
    let shapes: Vec<Vec<f32>> = beats.iter().filter_map(shape).collect();
    let mut agreements = Vec::with_capacity(shapes.len());
    for group in shapes.chunks(16) {
        let mut sum = vec![0f32; leads.len() * len];
        group.iter().for_each(|shape| sum.iter_mut().zip(shape).for_each(|(sum, v)| *sum += v));
        for shape in group {
            let (mut xy, mut yy) = (0f32, 0f32);
            for (v, sum) in shape.iter().zip(&sum) {
                xy += v * (sum - v);
                yy += (sum - v) * (sum - v);
            }
            agreements.push(if yy > 0.0 { xy / yy.sqrt() } else { 0.0 });
        }
    }
    median_of(&agreements, &mut Vec::new())
}
