//! One smooth hump per QRS complex, whatever its width, shape and polarity.
//!
//! A pair of filters in quadrature has a magnitude without ripples. Two such pairs, one for steep flanks and one for
//! broad complexes, are multiplied: P waves and noise answer to the first, T waves to the second, QRS complexes to both.

use super::{Settings, decimate};
use crate::signal::symmetric::SymmetricFilter;

/// Filters for steep flanks and for broad complexes.
///
/// P waves answer to the first, T waves to the second, QRS complexes of any width to both.
pub(super) struct Filters {
    steep: Quadrature,
    broad: Quadrature,
}

impl Filters {
    pub fn new(settings: &Settings, fs_hz: f64) -> Filters {
        Filters {
            steep: Quadrature::new(settings.center_hz, settings.width_s, fs_hz),
            broad: Quadrature::new(settings.broad_center_hz, settings.broad_width_s, fs_hz / 2.0),
        }
    }

    /// Geometric mean of both magnitudes; the broad one is computed at half the rate.
    pub fn envelope(&self, x: &[f32]) -> Vec<f32> {
        let mut envelope = self.steep.power(x);
        let broad = self.broad.power(&decimate(x, 2));
        let last = broad.len().saturating_sub(1);
        for (k, pair) in envelope.chunks_mut(2).enumerate() {
            let here = broad[k];
            let sides = [broad[k.saturating_sub(1)], broad[(k + 1).min(last)]];
            // Points of a pair lie a quarter of a step before and after its middle.
            for (v, side) in pair.iter_mut().zip(sides) {
                *v = (*v * (0.75 * here + 0.25 * side)).sqrt().sqrt();
            }
        }
        envelope
    }
}

/// A Gaussian-windowed cosine and sine, without response to a constant.
struct Quadrature {
    even: SymmetricFilter,
    odd: SymmetricFilter,
}

impl Quadrature {
    fn new(center_hz: f64, width_s: f64, fs_hz: f64) -> Quadrature {
        let reach_s = 3.0 * width_s;
        let window = |t: f64| (-0.5 * (t / width_s).powi(2)).exp();
        let phase = |t: f64| std::f64::consts::TAU * center_hz * t;
        let lags = (1..=(reach_s * fs_hz).ceil() as usize).map(|lag| lag as f64 / fs_hz);
        let weight = 1.0 + 2.0 * lags.clone().map(window).sum::<f64>();
        let mean = (1.0 + 2.0 * lags.map(|t| window(t) * phase(t).cos()).sum::<f64>()) / weight;
        Quadrature {
            even: SymmetricFilter::even(reach_s, fs_hz, |t| window(t) * (phase(t).cos() - mean) / weight),
            odd: SymmetricFilter::odd(reach_s, fs_hz, |t| window(t) * phase(t).sin() / weight),
        }
    }

    /// Sum of the squares of both responses.
    fn power(&self, x: &[f32]) -> Vec<f32> {
        let (mut even, odd) = (self.even.apply(x), self.odd.apply(x));
        even.iter_mut().zip(&odd).for_each(|(even, odd)| *even = *even * *even + odd * odd);
        even
    }
}

/// Height that is usual around each block: the median of the highest points of the blocks around it.
pub(super) fn usual_heights(settings: &Settings, humps: &[f32], block_len: usize) -> Vec<f32> {
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
pub(super) fn combine(settings: &Settings, mut envelopes: Vec<Vec<f32>>, fs_hz: f64) -> Vec<f32> {
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

pub(super) fn median_of(values: &[f32], scratch: &mut Vec<f32>) -> f32 {
    scratch.clear();
    scratch.extend_from_slice(values);
    let middle = scratch.len() / 2;
    if scratch.is_empty() { 0.0 } else { *scratch.select_nth_unstable_by(middle, f32::total_cmp).1 }
}
