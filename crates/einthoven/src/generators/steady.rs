//! Beats of a record that resemble each other as a heart's do.
//!
//! A denoiser that sees a second or two at a time makes every beat of the noise that happens to lie there: the heights of
//! QRS varied three times as much from beat to beat as in patients, while records differed from each other less than
//! patients do. Two small changes of the sampling move what varies from the beats to the record. At every step
//! the estimate of each beat is drawn a little towards the mean of the beats like it ([`Steady`]), and a part of the
//! noise is the same in every beat ([`repeat`]). Both shares were set by comparing with records of the training part.

use burn::tensor::{Tensor, TensorData};

use super::rhythm;
use crate::dataset::Facts;
use crate::diffusion::{Condition, Denoiser, NoiseLevel, Prediction};
use crate::error::Result;
use crate::nn::shown_beats::ShownBeat;
use crate::nn::weights::host;
use crate::seed::Seed;
use crate::signal::median::median;

/// How far a beat is drawn towards the mean at each step.
const SHARE: f32 = 0.35;
/// Share of the noise's variance that is the same in every beat.
const REPEATED: f64 = 0.1;
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
/// Labels of records whose atria do not beat with the ventricles: before QRS nothing is the same from beat to beat.
const FIBRILLATING: [&str; 1] = ["AFIB"];
/// Parts of their beats that are the same, before and after the peak, s: QRS and T.
const REACH_WITHOUT_P_S: [f64; 2] = [0.06, 0.4];

/// A denoiser whose beats resemble each other; in records with ectopic beats the early ones resemble each other, and the
/// others.
///
/// Of a condition without times of beats it is the denoiser itself.
pub(super) struct Steady<D> {
    denoiser: D,
    fs_hz: f64,
    label_names: Vec<String>,
    before: Option<Before>,
}

/// What the labels of a record say of its beats.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    has_early: bool,
    has_p: bool,
}

impl Kind {
    /// Of one item of a condition.
    pub fn of(label_names: &[String], condition: &Condition, item: usize) -> Kind {
        let row = condition.labels.as_ref().map(|rows| &rows[item]);
        let has = |labels: &[&str]| {
            let named = |(name, weight): (&String, &f32)| *weight > 0.0 && labels.contains(&name.as_str());
            row.is_some_and(|row| label_names.iter().zip(row).any(named))
        };
        Kind { has_early: has(&ECTOPIC), has_p: !has(&FIBRILLATING) }
    }

    fn reach_s(self) -> [f64; 2] {
        if self.has_p { REACH_S } else { REACH_WITHOUT_P_S }
    }
}

/// What was drawn of records whose next part is denoised.
struct Before {
    memory: Memory,
    /// How much it holds at each point of the part.
    mask: Vec<f32>,
}

/// Sums over the beats that records have so far: for each lead of each record those of beats in time and of early ones.
#[derive(Clone, Default)]
pub(super) struct Memory(Vec<[Sums; 2]>);

/// Weighted sum of values, and of weights, at each distance from the peak.
type Sums = Vec<[f32; 2]>;

impl<D> Steady<D> {
    pub fn new(denoiser: D, fs_hz: f64, label_names: &[String]) -> Steady<D> {
        Steady { denoiser, fs_hz, label_names: label_names.to_vec(), before: None }
    }

    /// The same for the next part of records, whose beats so far count in the mean; where `mask` is 1 the part is one of
    /// what is there already.
    pub fn going_on(self, memory: Memory, mask: Vec<f32>) -> Steady<D> {
        Steady { before: Some(Before { memory, mask }), ..self }
    }

    /// Adds the beats of signals to what is remembered of their records, where `mask` is not 1.
    ///
    /// # Shape
    /// `x0` is `[item, lead, time]`, in the units that are denoised, and `mask` `[time]`.
    pub fn remember(&self, memory: &mut Memory, x0: &[f32], mask: &[f32], condition: &Condition) {
        let Some(beats) = &condition.beats else { return };
        let n_leads = x0.len() / mask.len() / beats.len();
        memory.0.resize_with(beats.len() * n_leads, Default::default);
        let records = x0.chunks_exact(n_leads * mask.len()).zip(memory.0.chunks_exact_mut(n_leads));
        for (item, (record, memory)) in records.enumerate() {
            let segments = self.segments(&beats[item], condition, item);
            for (lead, sums) in record.chunks_exact(mask.len()).zip(memory) {
                for (group, sums) in sums.iter_mut().enumerate() {
                    add_segments(sums, lead, Some(mask), of_group(&segments, group), self.fs_hz);
                }
            }
        }
    }

    fn segments(&self, beats: &[ShownBeat], condition: &Condition, item: usize) -> Vec<Segment> {
        segments(&times(beats), self.fs_hz, Kind::of(&self.label_names, condition, item))
    }
}

impl<D: Denoiser> Denoiser for Steady<D> {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        let free = self.denoiser.denoise_each(x.clone(), levels, condition)?;
        let Some(beats) = &condition.beats else { return Ok(free) };
        let (shape, device) = (free.x0.dims(), free.x0.device());
        let mut x0 = host(free.x0);
        let mask = self.before.as_ref().map(|before| &before.mask[..]);
        for (item, record) in x0.chunks_exact_mut(shape[1] * shape[2]).enumerate() {
            let segments = self.segments(&beats[item], condition, item);
            for (lead, values) in record.chunks_exact_mut(shape[2]).enumerate() {
                let memory = self.before.as_ref().and_then(|before| before.memory.0.get(item * shape[1] + lead));
                for group in 0..2 {
                    let sums = memory.map(|groups| groups[group].clone()).unwrap_or_default();
                    draw_together(values, mask, sums, of_group(&segments, group), self.fs_hz);
                }
            }
        }
        Prediction::from_x0(Tensor::from_data(TensorData::new(x0, shape), &device), x, levels)
    }
}

/// The part of a beat that is compared.
struct Segment {
    /// Peak, points; it may lie outside the signal.
    peak: isize,
    /// Points before and after it.
    reach: [isize; 2],
    is_early: bool,
}

/// Where beats are, points.
pub(super) fn times(beats: &[ShownBeat]) -> Vec<f32> {
    beats.iter().map(|beat| beat.at).collect()
}

/// Which of the beats at these points are early ones with a shape of their own; of the first it is not known. Frequent ones are
/// early too, unless the rhythm is that of fibrillation.
pub(super) fn early_beats(beats: &[f32], kind: Kind) -> Vec<bool> {
    if !kind.has_early || beats.len() < 2 {
        return vec![false; beats.len()];
    }
    if !kind.has_p {
        return rhythm::early_beats(beats);
    }
    let intervals: Vec<f64> = beats.windows(2).map(|pair| f64::from(pair[1] - pair[0])).collect();
    let latest = EARLY * median(&intervals);
    std::iter::once(false).chain(intervals.into_iter().map(|interval| interval < latest)).collect()
}

fn segments(beats: &[f32], fs_hz: f64, kind: Kind) -> Vec<Segment> {
    let intervals: Vec<f64> = beats.windows(2).map(|pair| f64::from(pair[1] - pair[0])).collect();
    let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else { return Vec::new() };
    let is_early = early_beats(beats, kind);
    let segment = |(k, beat): (usize, &f32)| {
        let before = if k == 0 { first } else { &intervals[k - 1] };
        let after = intervals.get(k).unwrap_or(last);
        let reach =
            |side: usize, interval: f64| (kind.reach_s()[side] * fs_hz).min(REACH_SHARE[side] * interval) as isize;
        Segment { peak: beat.round() as isize, reach: [reach(0, *before), reach(1, *after)], is_early: is_early[k] }
    };
    beats.iter().enumerate().map(segment).collect()
}

/// The segments in time, group 0, or the early ones.
fn of_group(segments: &[Segment], group: usize) -> impl Iterator<Item = &Segment> + Clone {
    segments.iter().filter(move |segment| usize::from(segment.is_early) == group)
}

/// Each point of a segment: its place in the mean, its point of the lead, and how much it counts.
fn points(segment: &Segment, fs_hz: f64) -> impl Iterator<Item = (usize, usize, f32)> {
    let ([before, after], peak) = (segment.reach, segment.peak);
    let longest = (REACH_S[0] * fs_hz) as isize;
    let fade = (FADE_S * fs_hz).max(1.0) as f32;
    (-before..=after).filter_map(move |offset| {
        let point = usize::try_from(peak + offset).ok()?;
        let inside = (offset + before + 1).min(after - offset + 1) as f32;
        Some(((offset + longest) as usize, point, (inside / (fade + 1.0)).min(1.0)))
    })
}

/// Adds the segments of a lead to sums, where `mask` is not 1.
fn add_segments<'a>(
    sums: &mut Sums,
    lead: &[f32],
    mask: Option<&[f32]>,
    segments: impl Iterator<Item = &'a Segment>,
    fs_hz: f64,
) {
    let n_places: isize = REACH_S.map(|seconds| (seconds * fs_hz) as isize).iter().sum();
    sums.resize(n_places as usize + 1, [0.0; 2]);
    for (place, point, weight) in segments.flat_map(|segment| points(segment, fs_hz)) {
        if let Some(value) = lead.get(point) {
            let weight = weight * (1.0 - mask.map_or(0.0, |mask| mask[point]));
            sums[place][0] += weight * value;
            sums[place][1] += weight;
        }
    }
}

/// Draws the segments of one lead towards their mean at each distance from the peak; `sums` are those of beats before, and where
/// `mask` is 1 the lead is one of these.
fn draw_together<'a>(
    lead: &mut [f32],
    mask: Option<&[f32]>,
    mut sums: Sums,
    segments: impl Iterator<Item = &'a Segment> + Clone,
    fs_hz: f64,
) {
    add_segments(&mut sums, lead, mask, segments.clone(), fs_hz);
    for (place, point, weight) in segments.flat_map(|segment| points(segment, fs_hz)) {
        let [sum, total] = sums[place];
        if let (Some(value), true) = (lead.get_mut(point), total > 0.0) {
            *value += SHARE * weight * (sum / total - *value);
        }
    }
}

/// Whether noise that repeats in every beat becomes this item. It looks like a part of the signal, and what is asked for in
/// numbers would be met less well.
pub(super) fn may_repeat(facts: &Facts) -> bool {
    [facts.pr_ms, facts.qrs_ms, facts.qtc_ms, facts.axis_deg].iter().all(Option::is_none)
}

/// Makes a part of the noise of one item, `[channel, time]`, the same at the same distance from every beat; where there is no P
/// wave, only as far as QRS and T reach.
pub(super) fn repeat(noise: &mut [f32], length: usize, beats: &[f32], fs_hz: f64, kind: Kind, seed: Seed) {
    let [first, second, ..] = beats else { return };
    let [before, after] = kind.reach_s().map(|seconds| (seconds * fs_hz) as f32);
    let end = if kind.has_p { length } else { (before + after) as usize };
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
        for (value, &place) in channel.iter_mut().zip(&places).filter(|(_, place)| **place < end) {
            *value = own * *value + shared * beat[place];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FS_HZ: f64 = 100.0;
    const PLAIN: Kind = Kind { has_early: false, has_p: true };
    const EARLY: Kind = Kind { has_early: true, has_p: true };
    const FIBRILLATION: Kind = Kind { has_early: false, has_p: false };

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

    fn together(lead: &mut [f32], beats: &[f32], kind: Kind) {
        let segments = segments(beats, FS_HZ, kind);
        for group in 0..2 {
            draw_together(lead, None, Sums::new(), of_group(&segments, group), FS_HZ);
        }
    }

    #[test]
    fn equal_beats_stay_and_others_come_nearer_to_their_mean() {
        let beats = [50.0, 130.0, 210.0, 290.0];
        let mut same = record(&beats, &[1.0; 4], 400);
        let before = same.clone();
        together(&mut same, &beats, PLAIN);
        assert!(same.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-6));
        let mut lead = record(&beats, &[0.8, 1.0, 1.2, 1.4], 400);
        together(&mut lead, &beats, PLAIN);
        for (beat, height) in beats.iter().zip([0.8, 1.0, 1.2, 1.4]) {
            let expected = height + SHARE * (1.1 - height);
            assert!((lead[*beat as usize] - expected).abs() < 1e-5, "{} for {expected}", lead[*beat as usize]);
        }
        assert_eq!(lead[..20], before[..20], "far from any beat nothing changes");
    }

    #[test]
    fn beats_go_on_as_those_before_and_estimates_of_known_points_do_not_count() {
        // Six beats of height 1 were drawn; of the next part the first beat is one of them, and the others are estimated at 2.
        let steady = Steady::new((), FS_HZ, &[]);
        let before = [50.0, 130.0, 210.0, 290.0, 370.0, 450.0];
        let condition = Condition { beats: Some(vec![before.map(ShownBeat::at).to_vec()]), ..Condition::none() };
        let mut memory = Memory::default();
        steady.remember(&mut memory, &record(&before, &[1.0; 6], 500), &[0.0; 500], &condition);
        let beats = [50.0, 130.0, 210.0];
        let mask: Vec<f32> = (0..300).map(|t| f32::from(u8::from(t < 90))).collect();
        let mut lead = record(&beats, &[7.0, 2.0, 2.0], 300);
        draw_together(
            &mut lead,
            Some(&mask),
            memory.0[0][0].clone(),
            of_group(&segments(&beats, FS_HZ, PLAIN), 0),
            FS_HZ,
        );
        let mean = (6.0 * 1.0 + 2.0 * 2.0) / 8.0;
        assert!((lead[210] - (2.0 + SHARE * (mean - 2.0))).abs() < 1e-5, "{}", lead[210]);
        // What is known is remembered once.
        let condition = Condition { beats: Some(vec![beats.map(ShownBeat::at).to_vec()]), ..Condition::none() };
        steady.remember(&mut memory, &lead, &mask, &condition);
        let [sum, total] = memory.0[0][0][(REACH_S[0] * FS_HZ) as usize];
        assert!((total - 8.0).abs() < 1e-5 && (sum - 6.0 - lead[130] - lead[210]).abs() < 1e-4, "{sum} {total}");
    }

    #[test]
    fn early_beats_are_compared_among_themselves_where_they_are_ectopic() {
        let beats = [40.0, 120.0, 200.0, 250.0, 360.0, 440.0, 490.0, 600.0, 680.0];
        let early: Vec<bool> = segments(&beats, FS_HZ, EARLY).iter().map(|segment| segment.is_early).collect();
        assert_eq!(early, [false, false, false, true, false, false, true, false, false]);
        let heights = [1.0, 1.0, 1.0, -2.0, 1.0, 1.0, -1.0, 1.0, 1.0];
        let mut lead = record(&beats, &heights, 750);
        together(&mut lead, &beats, EARLY);
        assert!((lead[120] - 1.0).abs() < 1e-5 && (lead[250] - (-2.0 + SHARE * 0.5)).abs() < 1e-5);
        let mut lead = record(&beats, &heights, 750);
        together(&mut lead, &beats, PLAIN);
        assert!((lead[120] - (1.0 + SHARE * (4.0 / 9.0 - 1.0))).abs() < 1e-5, "{}", lead[120]);
    }

    #[test]
    fn labels_say_what_beats_a_record_has() {
        let names = ["SR", "PVC", "AFIB", "PAC"].map(String::from);
        let rows = vec![vec![1.0, 0.0, 0.0, 0.0], vec![1.0, 0.5, 0.0, 0.0], vec![0.0, 0.0, 1.0, 0.0]];
        let condition = Condition { labels: Some(rows), ..Condition::none() };
        let kinds = [0, 1, 2].map(|item| Kind::of(&names, &condition, item));
        assert_eq!(kinds.map(|kind| kind.has_early), [false, true, false]);
        assert_eq!(kinds.map(|kind| kind.has_p), [true, true, false]);
        let untold = Kind::of(&names, &Condition::none(), 0);
        assert!(untold.has_p && !untold.has_early);
    }

    #[test]
    fn in_fibrillation_what_lies_before_qrs_stays_as_it_is() {
        let beats = [100.0, 200.0, 300.0];
        let mut lead: Vec<f32> = (0..400).map(|t| (t as f32 * 0.37).sin()).collect();
        let before = lead.clone();
        together(&mut lead, &beats, FIBRILLATION);
        assert_eq!(lead[75..94], before[75..94]);
        assert!((lead[100] - before[100]).abs() > 1e-3 || (lead[200] - before[200]).abs() > 1e-3);
        let mut noise = before.clone();
        repeat(&mut noise, 400, &beats, FS_HZ, FIBRILLATION, Seed::new(1));
        assert_eq!(noise[150..194], before[150..194]);
        assert!(noise[194..240].iter().zip(&before[194..240]).all(|(a, b)| a != b));
    }

    #[test]
    fn beats_outside_the_signal_and_close_together_are_no_trouble() {
        let mut lead = vec![1.0; 100];
        for beats in [vec![], vec![50.0], vec![-300.0, -20.0, 5.0, 99.0, 130.0], vec![10.0, 11.0, 12.0, 13.0]] {
            together(&mut lead, &beats, EARLY);
            repeat(&mut lead.clone(), 100, &beats, FS_HZ, PLAIN, Seed::new(1));
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
            repeat(&mut noise, length, &beats, FS_HZ, PLAIN, seed);
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
