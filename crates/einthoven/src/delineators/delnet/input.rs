//! A lead as the network sees it: at one rate, without baseline, of one size.
//!
//! Every step is local, so that a point's value does not depend on how long the record is: the baseline is the mean
//! around a point, the size the mean deviation around it. The logarithm-like last step brings P waves and QRS complexes
//! closer together. Nothing of it is inverted: only places in time come out.

use crate::error::Result;
use crate::signal::gap::bridged;
use crate::signal::resample::resample;

/// Rate of the network, Hz.
pub const FS_HZ: f64 = 250.0;
/// Length of the mean that is taken for the baseline, s.
const BASELINE_S: f64 = 2.0;
/// Length of the mean that is taken for the size, s.
const SIZE_S: f64 = 4.0;
/// Added to the size, mV: noise of an amplifier stays small when there is nothing else.
const SMALLEST_MV: f64 = 0.005;

/// A lead at the network's rate, in mV; missing points are bridged by lines.
///
/// The point k lies at k / [`FS_HZ`] seconds.
///
/// # Errors
/// [`crate::Error::Config`] for a rate that is in no ratio of whole numbers to the network's.
pub fn at_network_rate(mv: &[f32], fs_hz: f64) -> Result<Vec<f64>> {
    if mv.is_empty() {
        return Ok(Vec::new());
    }
    resample(&bridged(mv), fs_hz, FS_HZ)
}

/// The lead as the network sees it.
pub fn prepared(mv: &[f64]) -> Vec<f32> {
    let mean = around(mv, (BASELINE_S * FS_HZ) as usize / 2);
    let flat: Vec<f64> = mv.iter().zip(&mean).map(|(v, mean)| v - mean).collect();
    let sizes = around(&flat.iter().map(|v| v.abs()).collect::<Vec<f64>>(), (SIZE_S * FS_HZ) as usize / 2);
    flat.iter().zip(&sizes).map(|(v, size)| libm::asinh(v / (size + SMALLEST_MV)) as f32).collect()
}

/// Mean of the points up to `half` away that there are.
fn around(x: &[f64], half: usize) -> Vec<f64> {
    // 53 bits leave room for a sum over a day of millivolts.
    let mut sums = Vec::with_capacity(x.len() + 1);
    sums.push(0.0);
    let mut sum = 0.0;
    for v in x {
        sum += v;
        sums.push(sum);
    }
    (0..x.len())
        .map(|k| {
            let (from, to) = (k.saturating_sub(half), (k + half + 1).min(x.len()));
            (sums[to] - sums[from]) / (to - from) as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_size_make_no_difference_and_points_keep_their_time() {
        let wave = |scale: f32, offset: f32| -> Vec<f32> {
            (0..5000).map(|k| offset + scale * (-0.5 * ((k as f32 - 2000.0) / 10.0).powi(2)).exp()).collect()
        };
        let seen = |mv: Vec<f32>| prepared(&at_network_rate(&mv, 500.0).unwrap());
        let (plain, other) = (seen(wave(1.0, 0.0)), seen(wave(3.0, -40.0)));
        assert_eq!(plain.len(), 2500);
        let peak = (0..2500).max_by(|&a, &b| plain[a].total_cmp(&plain[b])).unwrap();
        assert_eq!(peak, 1000);
        // What is left is the amplifier's share of the size.
        for (a, b) in plain.iter().zip(&other) {
            assert!((a - b).abs() < 0.5, "{a} and {b}");
        }
    }

    #[test]
    fn nothing_becomes_nothing() {
        assert_eq!(at_network_rate(&[], 500.0).unwrap(), Vec::<f64>::new());
        assert!(prepared(&[1.5; 1000]).iter().all(|v| v.abs() < 1e-9));
        assert!(at_network_rate(&[0.0; 4], 360.0).unwrap().len() == 3);
    }
}
