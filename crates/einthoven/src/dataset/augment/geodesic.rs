//! A short way along the geodesic towards another class.

use serde_json::{Value, json};

use super::pool::{move_towards, squared_distance};
use super::transport::matching;
use super::{Augmentation, Item};
use crate::error::Result;
use crate::seed::Stream;

/// Moves an item a little towards its match in another class, so that a classifier meets what lies between.
///
/// Batches of the item's class and of another, drawn in proportion to its size, are matched by entropic
/// transport. The ground cost compares what a reader would: amplitude, spread, steepness, the share of
/// energy in the middle, and the level of the last third, in each lead; and the waveforms with a weight.
/// The way is at most a fifth, so that the item's own label stays true.
///
/// # Differs from the paper
/// Mini-batches; these features instead of delineated ones; the match is shifted by up to 50 ms to fit
/// best before it is blended, and not warped wave by wave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geodesic {
    /// Items in each batch.
    pub batch: usize,
    /// Entropy, as a fraction of the median cost.
    pub epsilon: f64,
    /// Weight of the waveforms beside the features.
    pub waveform_weight: f64,
    /// Largest share of the way.
    pub max_share: f64,
}

/// Features of each lead.
const N_FEATURES: usize = 5;

impl Geodesic {
    /// Batches of 32, a twentieth of the median cost, equal weights, at most a fifth of the way.
    pub const DEFAULT: Geodesic = Geodesic { batch: 32, epsilon: 0.05, waveform_weight: 1.0, max_share: 0.2 };
}

impl Augmentation for Geodesic {
    fn name(&self) -> &'static str {
        "geodesic"
    }

    fn summary(&self) -> &'static str {
        "up to a fifth of the way towards a matched item of another class; the label stays"
    }

    fn reference(&self) -> &'static str {
        "Zhu et al., GeoECG: data augmentation via Wasserstein geodesic perturbation for robust electrocardiogram prediction, MLHC 2022"
    }

    fn settings(&self) -> Value {
        json!({
            "batch": self.batch,
            "epsilon": self.epsilon,
            "waveform_weight": self.waveform_weight,
            "max_share": self.max_share,
        })
    }

    fn mixes_patients(&self) -> bool {
        true
    }

    fn apply(&self, ecg: &mut [f32], item: &Item, stream: &mut Stream) -> Result<()> {
        let pool = item.pool;
        let others: Vec<usize> = (0..pool.n_classes()).filter(|&c| c != item.class).collect();
        let n_others: usize = others.iter().map(|&c| pool.members(c).len()).sum();
        if n_others == 0 {
            // With one class there is no other to move towards.
            return Ok(());
        }
        let mut place = stream.below(n_others);
        let mut towards = item.class;
        for class in others {
            if place < pool.members(class).len() {
                towards = class;
                break;
            }
            place -= pool.members(class).len();
        }
        let from = pool.batch(item.class, self.batch, Some(item.base), stream);
        let to = pool.batch(towards, self.batch, None, stream);
        let cost = self.cost(item, &from, &to);
        let weights = matching(&cost, from.len(), to.len(), self.epsilon)?;
        // One match is drawn by its share: the mean of several would be smoother than any ECG.
        let mut left = stream.uniform();
        let drawn = weights.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        let matched = pool.ecg(to[drawn.unwrap_or(to.len() - 1)]);
        let shift = best_shift(ecg, matched, pool.sig_len(), (0.05 * pool.fs_hz()) as usize);
        move_towards(ecg, &shifted(matched, pool.sig_len(), shift), stream.uniform_in(0.0, self.max_share));
        Ok(())
    }
}

impl Geodesic {
    fn cost(&self, item: &Item, from: &[usize], to: &[usize]) -> Vec<f64> {
        let (pool, n) = (item.pool, item.pool.sig_len());
        let of = |items: &[usize]| -> Vec<Vec<f64>> { items.iter().map(|&i| features(pool.ecg(i), n)).collect() };
        let (a, b) = (of(from), of(to));
        let width = a[0].len();
        // Each feature in units of its spread over both batches.
        let spread: Vec<f64> = (0..width)
            .map(|k| {
                let values: Vec<f64> = a.iter().chain(&b).map(|f| f[k]).collect();
                crate::signal::noise::variance(&values).max(1e-12)
            })
            .collect();
        let distance = |x: &[f64], y: &[f64]| -> f64 {
            (0..width).map(|k| (x[k] - y[k]).powi(2) / spread[k]).sum::<f64>() / width as f64
        };
        let pairs = || (0..from.len()).flat_map(|i| (0..to.len()).map(move |j| (i, j)));
        let wave: Vec<f64> = pairs().map(|(i, j)| squared_distance(pool.ecg(from[i]), pool.ecg(to[j]))).collect();
        let mean = wave.iter().sum::<f64>() / wave.len() as f64;
        let weight = if mean > 0.0 { self.waveform_weight / mean } else { 0.0 };
        pairs().zip(wave).map(|((i, j), wave)| distance(&a[i], &b[j]) + weight * wave).collect()
    }
}

/// Per lead: peak to peak, spread, steepness, share of energy in the middle fifth, level of the last third.
fn features(ecg: &[f32], sig_len: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(ecg.len() / sig_len.max(1) * N_FEATURES);
    for lead in ecg.chunks_exact(sig_len) {
        let x: Vec<f64> = lead.iter().map(|v| f64::from(*v)).collect();
        let level = crate::signal::median::median(&x);
        let energy = |part: &[f64]| part.iter().map(|v| (v - level) * (v - level)).sum::<f64>();
        let (low, high) = x.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let slopes: f64 = x.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
        let total = energy(&x);
        let last = &x[2 * sig_len / 3..];
        out.extend([
            high - low,
            (total / sig_len as f64).sqrt(),
            (slopes / sig_len as f64).sqrt(),
            if total > 0.0 { energy(&x[2 * sig_len / 5..3 * sig_len / 5]) / total } else { 0.0 },
            last.iter().sum::<f64>() / last.len() as f64 - level,
        ]);
    }
    out
}

/// The shift of `other`, at most `most` points either way, at which it fits `ecg` best.
fn best_shift(ecg: &[f32], other: &[f32], sig_len: usize, most: usize) -> i64 {
    let most = most.min(sig_len / 4) as i64;
    let fit = |shift: i64| squared_distance(ecg, &shifted(other, sig_len, shift));
    // From the middle outwards, so that equal fits leave the item where it is.
    let mut shifts: Vec<i64> = (-most..=most).collect();
    shifts.sort_by_key(|shift| shift.abs());
    shifts
        .into_iter()
        .map(|shift| (fit(shift), shift))
        .reduce(|a, b| if b.0 < a.0 { b } else { a })
        .map_or(0, |best| best.1)
}

/// Every lead moved later by `shift` points, its ends held.
fn shifted(ecg: &[f32], sig_len: usize, shift: i64) -> Vec<f32> {
    let last = sig_len as i64 - 1;
    ecg.chunks_exact(sig_len)
        .flat_map(|lead| (0..sig_len as i64).map(move |t| lead[(t - shift).clamp(0, last) as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_copy_is_shifted_back() {
        let wave: Vec<f32> = (0..100).map(|t| (-((t as f32 - 50.0) / 6.0).powi(2)).exp()).collect();
        let late = shifted(&wave, 100, 7);
        assert_eq!(best_shift(&wave, &late, 100, 10), -7);
        assert_eq!(best_shift(&wave, &late, 100, 3), -3);
        assert_eq!(best_shift(&[1.0; 100], &[1.0; 100], 100, 10), 0);
    }
}
