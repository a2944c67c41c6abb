//! Beats of a record that resemble each other as a heart's do.
//!
//! A denoiser that sees a second or two at a time makes every beat of the noise that happens to lie there: the heights of
//! QRS varied three times as much from beat to beat as in patients, while records differed from each other less than
//! patients do. Two small changes of the sampling move what varies from the beats to the record. At every step
//! the estimate of each beat is drawn a little towards the mean of the beats like it ([`Steady`]), and a part of the
//! noise is the same in every beat ([`repeat`]). Both shares were set by comparing with records of the training part.

use burn::tensor::{Tensor, TensorData};

use crate::dataset::Facts;
use crate::diffusion::{Condition, Denoiser, NoiseLevel, Prediction};
use crate::error::Result;
use crate::nn::weights::host;
use crate::seed::Seed;
use crate::signal::median::median;

/// How far a beat is drawn towards the mean at each step.
const SHARE: f32 = 0.35;
/// Share of the noise's variance that is the same in every beat.
const REPEATED: f64 = 0.1;
/// How much more than an estimate a known value counts in the mean.
const KNOWN_WEIGHT: f32 = 4.0;
/// Parts of a beat before and after its peak that are compared, s: from the P wave to the end of T.
const REACH_S: [f64; 2] = [0.25, 0.4];
/// The same as shares of the intervals to the neighboring beats, beyond which it does not reach.
const REACH_SHARE: [f64; 2] = [0.4, 0.6];
/// Time over which its ends fade, s.
const FADE_S: f64 = 0.08;
/// A beat is early if the interval before it is less than this share of the median one.
const EARLY: f64 = 0.88;
/// Labels of records in which early beats have a shape of their own.
const ECTOPIC: [&str; 2] = ["PVC", "PAC"];

/// A denoiser whose beats resemble each other; in records with ectopic beats the early ones resemble each other, and the
/// others.
///
/// Of a condition without times of beats it is the denoiser itself.
pub(super) struct Steady<D> {
    denoiser: D,
    fs_hz: f64,
    /// Numbers of the labels that say so.
    ectopic: Vec<usize>,
    known: Option<KnownSignal>,
}

/// What is known of the signals and how much it counts, both as the denoised signals are laid out.
struct KnownSignal {
    signal: Vec<f32>,
    mask: Vec<f32>,
}

impl<D> Steady<D> {
    pub fn new(denoiser: D, fs_hz: f64, label_names: &[String]) -> Steady<D> {
        let is_ectopic = |(_, name): &(usize, &String)| ECTOPIC.contains(&name.as_str());
        let ectopic = label_names.iter().enumerate().filter(is_ectopic).map(|(label, _)| label).collect();
        Steady { denoiser, fs_hz, ectopic, known: None }
    }

    /// The same for signals of which a part is known where `mask` is 1: beats are drawn towards the known ones first of all.
    ///
    /// # Shape
    /// Both `[item, lead, time]`, in the units that are denoised.
    pub fn knowing(self, signal: Vec<f32>, mask: Vec<f32>) -> Steady<D> {
        Steady { known: Some(KnownSignal { signal, mask }), ..self }
    }

    fn has_ectopic(&self, condition: &Condition, item: usize) -> bool {
        let row = condition.labels.as_ref().map(|rows| &rows[item]);
        row.is_some_and(|row| self.ectopic.iter().any(|label| row[*label] > 0.0))
    }
}

impl<D: Denoiser> Denoiser for Steady<D> {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        let free = self.denoiser.denoise_each(x.clone(), levels, condition)?;
        let Some(beats) = &condition.beats else { return Ok(free) };
        let (shape, device) = (free.x0.dims(), free.x0.device());
        let mut x0 = host(free.x0);
        let length = shape[2];
        for (item, beats) in beats.iter().enumerate() {
            let waves = waves(beats, self.fs_hz, self.has_ectopic(condition, item));
            for lead in 0..shape[1] {
                let at = (item * shape[1] + lead) * length..;
                let known =
                    self.known.as_ref().map(|known| [&known.signal, &known.mask].map(|all| &all[at.clone()][..length]));
                let lead = &mut x0[at][..length];
                for is_early in [false, true] {
                    draw_together(lead, known, waves.iter().filter(|wave| wave.is_early == is_early), self.fs_hz);
                }
            }
        }
        Prediction::from_x0(Tensor::from_data(TensorData::new(x0, shape), &device), x, levels)
    }
}

/// The part of a beat that is compared.
struct Wave {
    /// Peak, points; it may lie outside the signal.
    peak: isize,
    /// Points before and after it.
    reach: [isize; 2],
    is_early: bool,
}

fn waves(beats: &[f32], fs_hz: f64, has_early: bool) -> Vec<Wave> {
    let intervals: Vec<f64> = beats.windows(2).map(|pair| f64::from(pair[1] - pair[0])).collect();
    let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else { return Vec::new() };
    let usual = median(&intervals);
    let wave = |(k, beat): (usize, &f32)| {
        let before = if k == 0 { first } else { &intervals[k - 1] };
        let after = intervals.get(k).unwrap_or(last);
        let reach = |side: usize, interval: f64| (REACH_S[side] * fs_hz).min(REACH_SHARE[side] * interval) as isize;
        Wave {
            peak: beat.round() as isize,
            reach: [reach(0, *before), reach(1, *after)],
            is_early: has_early && *before < EARLY * usual,
        }
    };
    beats.iter().enumerate().map(wave).collect()
}

/// Draws the waves of one lead towards their mean at each distance from the peak. What is known of the lead, signal and mask,
/// stands for its estimate in the mean.
fn draw_together<'a>(
    lead: &mut [f32],
    known: Option<[&[f32]; 2]>,
    waves: impl Iterator<Item = &'a Wave> + Clone,
    fs_hz: f64,
) {
    let longest = REACH_S.map(|seconds| (seconds * fs_hz) as isize);
    let fade = (FADE_S * fs_hz).max(1.0) as f32;
    // Each point of a wave: its place in the mean, its point of the lead, and how much it counts.
    let points = |wave: &'a Wave| {
        let [before, after] = wave.reach;
        (-before..=after).filter_map(move |offset| {
            let point = usize::try_from(wave.peak + offset).ok()?;
            let inside = (offset + before + 1).min(after - offset + 1) as f32;
            Some(((offset + longest[0]) as usize, point, (inside / (fade + 1.0)).min(1.0)))
        })
    };
    let mut sums = vec![[0.0f32; 2]; (longest[0] + longest[1] + 1) as usize];
    for (place, point, weight) in waves.clone().flat_map(points) {
        if let Some(value) = lead.get(point) {
            let (value, weight) = match known {
                Some([signal, mask]) => {
                    (value + mask[point] * (signal[point] - value), weight * (1.0 + (KNOWN_WEIGHT - 1.0) * mask[point]))
                }
                None => (*value, weight),
            };
            sums[place][0] += weight * value;
            sums[place][1] += weight;
        }
    }
    for (place, point, weight) in waves.flat_map(points) {
        if let Some(value) = lead.get_mut(point) {
            let [sum, total] = sums[place];
            *value += SHARE * weight * (sum / total - *value);
        }
    }
}

/// Whether noise that repeats in every beat becomes this item. It looks like a part of the signal, and what is asked for in
/// numbers would be met less well.
pub(super) fn may_repeat(facts: &Facts) -> bool {
    [facts.pr_ms, facts.qrs_ms, facts.qtc_ms, facts.axis_deg].iter().all(Option::is_none)
}

/// Makes a part of the noise of one item, `[channel, time]`, the same at the same distance from every beat.
pub(super) fn repeat(noise: &mut [f32], length: usize, beats: &[f32], fs_hz: f64, seed: Seed) {
    let [first, second, ..] = beats else { return };
    let before = (REACH_S[0] * fs_hz) as f32;
    // The beat before the first one that is known.
    let starts: Vec<isize> = std::iter::once(2.0 * first - second)
        .chain(beats.iter().copied())
        .map(|at| (at - before).round() as isize)
        .collect();
    let places: Vec<usize> = (0..length as isize)
        .map(|t| {
            let k = starts.partition_point(|start| *start <= t);
            (t - starts[k.saturating_sub(1)]).clamp(0, length as isize - 1) as usize
        })
        .collect();
    let (own, shared) = ((1.0 - REPEATED).sqrt() as f32, REPEATED.sqrt() as f32);
    let mut beat = vec![0.0f32; length];
    let mut stream = seed.purpose("beat").stream();
    for channel in noise.chunks_exact_mut(length) {
        stream.fill_normal(&mut beat);
        for (value, place) in channel.iter_mut().zip(&places) {
            *value = own * *value + shared * beat[*place];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FS_HZ: f64 = 100.0;

    /// A record whose beats have these heights, and are triangles of 100 ms.
    fn record(beats: &[f32], heights: &[f32], length: usize) -> Vec<f32> {
        let mut lead = vec![0.0; length];
        for (beat, height) in beats.iter().zip(heights) {
            for (t, value) in lead.iter_mut().enumerate() {
                *value += height * (1.0 - (t as f32 - beat).abs() / 5.0).max(0.0);
            }
        }
        lead
    }

    fn together(lead: &mut [f32], beats: &[f32], has_early: bool) {
        let waves = waves(beats, FS_HZ, has_early);
        for is_early in [false, true] {
            draw_together(lead, None, waves.iter().filter(|wave| wave.is_early == is_early), FS_HZ);
        }
    }

    #[test]
    fn equal_beats_stay_and_others_come_nearer_to_their_mean() {
        let beats = [50.0, 130.0, 210.0, 290.0];
        let mut same = record(&beats, &[1.0; 4], 400);
        let before = same.clone();
        together(&mut same, &beats, false);
        assert!(same.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-6));
        let mut lead = record(&beats, &[0.8, 1.0, 1.2, 1.4], 400);
        together(&mut lead, &beats, false);
        for (beat, height) in beats.iter().zip([0.8, 1.0, 1.2, 1.4]) {
            let expected = height + SHARE * (1.1 - height);
            assert!((lead[*beat as usize] - expected).abs() < 1e-5, "{} for {expected}", lead[*beat as usize]);
        }
        assert_eq!(lead[..20], before[..20], "far from any beat nothing changes");
    }

    #[test]
    fn known_beats_count_more_than_estimates_and_what_is_estimated_of_them_not_at_all() {
        let beats = [50.0, 130.0, 210.0, 290.0];
        let signal = record(&beats[..2], &[1.0; 2], 400);
        let mask: Vec<f32> = (0..400).map(|t| f32::from(u8::from(t < 170))).collect();
        let mut lead = record(&beats, &[3.0, 3.0, 2.0, 2.0], 400);
        let waves = waves(&beats, FS_HZ, false);
        draw_together(&mut lead, Some([&signal, &mask]), waves.iter(), FS_HZ);
        let mean = (2.0 * KNOWN_WEIGHT + 2.0 * 2.0) / (2.0 * KNOWN_WEIGHT + 2.0);
        assert!((lead[210] - (2.0 + SHARE * (mean - 2.0))).abs() < 1e-5, "{}", lead[210]);
    }

    #[test]
    fn early_beats_are_compared_among_themselves_where_they_are_ectopic() {
        let beats = [40.0, 120.0, 200.0, 250.0, 360.0, 440.0, 490.0, 600.0, 680.0];
        let early: Vec<bool> = waves(&beats, FS_HZ, true).iter().map(|wave| wave.is_early).collect();
        assert_eq!(early, [false, false, false, true, false, false, true, false, false]);
        let heights = [1.0, 1.0, 1.0, -2.0, 1.0, 1.0, -1.0, 1.0, 1.0];
        let mut lead = record(&beats, &heights, 750);
        together(&mut lead, &beats, true);
        assert!((lead[120] - 1.0).abs() < 1e-5 && (lead[250] - (-2.0 + SHARE * 0.5)).abs() < 1e-5);
        let mut lead = record(&beats, &heights, 750);
        together(&mut lead, &beats, false);
        assert!((lead[120] - (1.0 + SHARE * (4.0 / 9.0 - 1.0))).abs() < 1e-5, "{}", lead[120]);
    }

    #[test]
    fn labels_say_whether_a_record_has_ectopic_beats() {
        let names = ["SR", "PVC", "AFIB", "PAC"].map(String::from);
        let steady = Steady::new((), FS_HZ, &names);
        let rows = vec![vec![1.0, 0.0, 0.0, 0.0], vec![1.0, 0.5, 0.0, 0.0], vec![0.0, 0.0, 1.0, 0.0]];
        let condition = Condition { labels: Some(rows), ..Condition::none() };
        assert_eq!([0, 1, 2].map(|item| steady.has_ectopic(&condition, item)), [false, true, false]);
        assert!(!steady.has_ectopic(&Condition::none(), 0));
    }

    #[test]
    fn beats_outside_the_signal_and_close_together_are_no_trouble() {
        let mut lead = vec![1.0; 100];
        for beats in [vec![], vec![50.0], vec![-300.0, -20.0, 5.0, 99.0, 130.0], vec![10.0, 11.0, 12.0, 13.0]] {
            together(&mut lead, &beats, true);
            repeat(&mut lead.clone(), 100, &beats, FS_HZ, Seed::new(1));
        }
        assert!(lead.iter().all(|value| (value - 1.0).abs() < 1e-6));
    }

    #[test]
    fn noise_keeps_its_variance_and_repeats_with_the_beats() {
        let (length, beats) = (1000, [20.0, 110.0, 190.0, 285.0, 370.0, 460.0, 550.0, 640.0, 730.0, 820.0, 900.0]);
        let (mut square, mut product, mut n, mut pairs) = (0.0, 0.0, 0.0, 0.0);
        for item in 0..400 {
            let seed = Seed::new(3).index(item);
            let mut noise = vec![0.0f32; 2 * length];
            seed.stream().fill_normal(&mut noise);
            repeat(&mut noise, length, &beats, FS_HZ, seed);
            for channel in noise.chunks(length) {
                square += channel.iter().map(|value| f64::from(value * value)).sum::<f64>();
                n += length as f64;
                for offset in -20..30 {
                    product += f64::from(channel[(110 + offset) as usize] * channel[(640 + offset) as usize]);
                    pairs += 1.0;
                }
            }
        }
        assert!((square / n - 1.0).abs() < 0.02, "{}", square / n);
        assert!((product / pairs - REPEATED).abs() < 0.02, "{}", product / pairs);
    }
}
