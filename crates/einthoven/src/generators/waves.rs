//! Where the waves of the beats are: what a generator is shown so that PR, QRS and QT are those that it is told.
//!
//! A network that is told a PR in numbers draws one nearer to the usual; shown where P begins, it begins there. What a
//! request does not say of a beat is drawn from a few numbers for each label, none of which is of a single patient: where
//! in QRS the R peak is, how wide early beats are, and whether P leads to them.

use serde::{Deserialize, Serialize};

use super::rhythm::{self, Normal, draw, normal};
use super::steady::times;
use crate::dataset::Facts;
use crate::error::{Error, Result};
use crate::nn::shown_beats::{ShownBeat, ShownWaves};
use crate::seed::{Seed, Stream};

/// Fewest records of which a label's own numbers are taken; of fewer, they are those of all.
const FEWEST_RECORDS: usize = 20;
/// Least and largest share of QRS that lies before its R peak.
const BEFORE: [f64; 2] = [0.15, 0.85];
/// Least and largest width of an early QRS, as a share of the others'.
const EARLY_WIDTH: [f64; 2] = [0.8, 2.2];
/// Shortest time between two waves, s.
const APART_S: f64 = 0.02;

/// The beats of the records of one label, or of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeatShape {
    /// Share of QRS before its R peak.
    pub before: Normal,
    /// Width of an early QRS as a share of the others of its record.
    pub early_width: Normal,
    /// Share of early beats to which P leads.
    pub early_p: f64,
}

/// The beats of a training set by label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveModel {
    /// Of all records.
    pub all: BeatShape,
    /// Of each label, where there are enough records.
    pub labels: Vec<Option<BeatShape>>,
}

/// What the beats of one record show.
struct Shown {
    before: f64,
    /// Width of each early beat as a share of the others, and whether P leads to it.
    early: Vec<(f64, bool)>,
}

impl Shown {
    /// `None` for a record in time none of whose beats has waves.
    fn of(beats: &[ShownBeat]) -> Option<Shown> {
        let is_early = is_early(&times(beats));
        let width = |waves: &ShownWaves| f64::from(waves.qrs[1] - waves.qrs[0]);
        let of = |early: bool| {
            let each = beats.iter().zip(&is_early).filter(move |(_, is)| **is == early);
            each.filter_map(|(beat, _)| beat.waves).filter(|waves| width(waves) > 0.0)
        };
        let in_time: Vec<ShownWaves> = of(false).collect();
        let mean = |value: &dyn Fn(&ShownWaves) -> f64| in_time.iter().map(value).sum::<f64>() / in_time.len() as f64;
        let usual = mean(&width);
        let early = of(true).map(|waves| (width(&waves) / usual, waves.p_onset.is_some())).collect();
        let before = mean(&|waves| f64::from(-waves.qrs[0]) / width(waves));
        (!in_time.is_empty()).then_some(Shown { before, early })
    }
}

impl BeatShape {
    fn of(records: &[&Shown]) -> BeatShape {
        let early = || records.iter().flat_map(|shown| &shown.early);
        let with_p = early().filter(|(_, has_p)| *has_p).count();
        BeatShape {
            before: normal(records.iter().map(|shown| shown.before)),
            early_width: normal(early().map(|(width, _)| *width)),
            early_p: with_p as f64 / early().count().max(1) as f64,
        }
    }
}

impl WaveModel {
    /// From the beats of records, each with a row of `n_labels` labels.
    ///
    /// # Errors
    /// [`Error::Data`] if no beat has waves.
    pub fn fit(beats: &[Vec<ShownBeat>], labels: &[u8], n_labels: usize) -> Result<WaveModel> {
        let shown: Vec<Option<Shown>> = beats.iter().map(|beats| Shown::of(beats)).collect();
        let of = |has: &dyn Fn(usize) -> bool| {
            let own = (0..shown.len()).filter(|&item| has(item));
            own.filter_map(|item| shown[item].as_ref()).collect::<Vec<_>>()
        };
        let label = |label: usize| {
            let own = of(&|item| labels[item * n_labels + label] != 0);
            (own.len() >= FEWEST_RECORDS).then(|| BeatShape::of(&own))
        };
        let all = of(&|_| true);
        if all.is_empty() {
            return Err(Error::data("beats of the training part", "the waves of none are found"));
        }
        Ok(WaveModel { all: BeatShape::of(&all), labels: (0..n_labels).map(label).collect() })
    }

    /// Beats at these points with the waves that `facts` call for, at whole points as in training; early ones have a shape
    /// of their own where `has_ectopic`. Without a width of QRS in `facts` the waves are hidden.
    pub(super) fn shown(
        &self,
        beats: &[f32],
        facts: &Facts,
        labels: &[(usize, f32)],
        has_ectopic: bool,
        fs_hz: f64,
        seed: Seed,
    ) -> Vec<ShownBeat> {
        let Some(qrs_ms) = facts.qrs_ms else { return beats.iter().copied().map(ShownBeat::at).collect() };
        let of_record = self.of(labels);
        let mut stream = seed.purpose("waves").stream();
        let before = draw(of_record.before, &mut stream).clamp(BEFORE[0], BEFORE[1]);
        let early_width = draw(of_record.early_width, &mut stream).clamp(EARLY_WIDTH[0], EARLY_WIDTH[1]);
        let n_intervals = beats.len().saturating_sub(1).max(1) as f64;
        let rr_s =
            beats.last().zip(beats.first()).map_or(1.0, |(last, first)| f64::from(last - first)) / fs_hz / n_intervals;
        let points = |ms: f64| ms * fs_hz / 1000.0;
        // Fridericia's formula, by which QTc is measured.
        let qt = facts.qtc_ms.map(|qtc_ms| points(qtc_ms * libm::cbrt(rr_s)));
        let pr = facts.pr_ms.map(points);
        let is_early = is_early(beats);
        let apart = (APART_S * fs_hz) as f32;
        let mut shown: Vec<ShownBeat> = Vec::with_capacity(beats.len());
        for (k, &at) in beats.iter().enumerate() {
            let is_ectopic = has_ectopic && is_early[k];
            let leads_p = stream.uniform() < of_record.early_p || !is_ectopic;
            let qrs = points(qrs_ms) * if is_ectopic { early_width } else { 1.0 };
            let onset = -before * qrs;
            let edges = [onset, onset + qrs].map(|edge| whole(edge, &mut stream));
            let p_onset = pr.map(|pr| whole(onset - pr, &mut stream));
            let t_end = qt.map(|qt| whole(onset + qt, &mut stream));
            // Waves do not reach into the QRS of the neighbors.
            let since = shown.last().map_or(f32::NEG_INFINITY, |last: &ShownBeat| {
                last.at - at + last.waves.map_or(0.0, |waves| waves.qrs[1]) + apart
            });
            let until = beats.get(k + 1).map_or(f32::INFINITY, |next| next - at + edges[0] - apart);
            let waves = ShownWaves {
                p_onset: p_onset.filter(|p| leads_p && *p > since),
                qrs: edges,
                t_end: t_end.map(|t| t.min(until)).filter(|t| *t > edges[1]),
            };
            shown.push(ShownBeat { at, waves: Some(waves) });
        }
        shown
    }

    /// Each number from the label that departs most from all records in it.
    fn of(&self, labels: &[(usize, f32)]) -> BeatShape {
        let most = |departure: &dyn Fn(&BeatShape) -> f64| {
            let present = labels.iter().filter(|(_, weight)| *weight > 0.0);
            let known = present.filter_map(|&(label, _)| self.labels.get(label)?.as_ref());
            known.max_by(|a, b| departure(a).total_cmp(&departure(b))).unwrap_or(&self.all)
        };
        let before = most(&|shape| (shape.before[0] - self.all.before[0]).abs()).before;
        let early = most(&|shape| (shape.early_width[0] - self.all.early_width[0]).abs());
        BeatShape { before, ..early.clone() }
    }
}

/// Which beats come early; of the first it is not known.
fn is_early(beats: &[f32]) -> Vec<bool> {
    let rr: Vec<f64> = beats.windows(2).map(|pair| f64::from(pair[1] - pair[0])).collect();
    let first = (!beats.is_empty()).then_some(false);
    first.into_iter().chain(rhythm::is_early(&rr)).collect()
}

/// One of the two whole points beside `at`, the nearer one more often, so that beats are on average where they were asked for.
fn whole(at: f64, stream: &mut Stream) -> f32 {
    libm::floor(at + stream.uniform()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const FS_HZ: f64 = 100.0;

    /// Sixty records: plain ones of label 0, and those of label 1 with early beats that are wide and have no P.
    fn model() -> WaveModel {
        let record = |item: usize| {
            let ectopic = item % 2 == 1;
            let mut at = 0.0;
            let beat = |k: usize| {
                let early = ectopic && k % 4 == 3;
                at += if early { 50.0 } else { 80.0 };
                let (width, p_onset) = if early { (16.0, None) } else { (10.0, Some(-20.0)) };
                let waves = ShownWaves { p_onset, qrs: [-0.4 * width, 0.6 * width], t_end: Some(35.0) };
                ShownBeat { at, waves: Some(waves) }
            };
            (0..12).map(beat).collect::<Vec<_>>()
        };
        let beats: Vec<_> = (0..60).map(record).collect();
        let labels: Vec<u8> = (0..60).flat_map(|item| [u8::from(item % 2 == 0), u8::from(item % 2 == 1)]).collect();
        WaveModel::fit(&beats, &labels, 2).unwrap()
    }

    fn asked() -> Facts {
        Facts { pr_ms: Some(214.0), qrs_ms: Some(97.0), qtc_ms: Some(400.0), ..Facts::default() }
    }

    fn mean(values: impl Iterator<Item = f32>) -> f32 {
        let values: Vec<f32> = values.collect();
        values.iter().sum::<f32>() / values.len() as f32
    }

    #[test]
    fn waves_are_where_they_are_asked_for_on_average_over_whole_points() {
        let beats: Vec<f32> = (0..400).map(|k| 100.0 * k as f32).collect();
        let shown = model().shown(&beats, &asked(), &[(0, 1.0)], false, FS_HZ, Seed::new(1));
        assert!(shown.iter().zip(&beats).all(|(beat, at)| beat.at == *at));
        let waves: Vec<ShownWaves> = shown.iter().map(|beat| beat.waves.unwrap()).collect();
        let parts = |waves: &ShownWaves| [waves.p_onset.unwrap(), waves.qrs[0], waves.qrs[1], waves.t_end.unwrap()];
        assert!(waves.iter().flat_map(parts).all(|point| point.fract() == 0.0));
        let each = |of: fn([f32; 4]) -> f32| mean(waves.iter().map(|waves| of(parts(waves))));
        // A rounding of two edges has a standard error of 0.03 points here.
        for (found, wanted) in [
            (each(|[p, onset, ..]| onset - p), 21.4),
            (each(|[_, onset, offset, _]| offset - onset), 9.7),
            (each(|[_, onset, _, t]| t - onset), 40.0),
            (each(|[_, onset, ..]| -onset / 9.7), 0.4),
        ] {
            assert!((found - wanted).abs() < 0.15, "{found} for {wanted}");
        }
    }

    #[test]
    fn early_beats_of_an_ectopic_record_are_wide_and_have_no_p() {
        let beats: Vec<f32> = (0..60).map(|k| 80.0 * k as f32 - if k % 4 == 3 { 30.0 } else { 0.0 }).collect();
        let drawn = |label: usize| model().shown(&beats, &asked(), &[(label, 1.0)], label == 1, FS_HZ, Seed::new(2));
        let [plain, ectopic] = [drawn(0), drawn(1)];
        let width = |beat: &ShownBeat| beat.waves.map(|waves| waves.qrs[1] - waves.qrs[0]).unwrap();
        let early = |shown: &[ShownBeat]| mean(shown.iter().skip(3).step_by(4).map(width));
        assert!((early(&ectopic) / early(&plain) - 1.6).abs() < 0.1, "{} {}", early(&ectopic), early(&plain));
        let has_p = |beat: &ShownBeat| beat.waves.unwrap().p_onset.is_some();
        assert!(ectopic.iter().skip(3).step_by(4).all(|beat| !has_p(beat)));
        assert!(plain.iter().all(has_p) && ectopic.iter().skip(2).step_by(4).all(has_p));
    }

    #[test]
    fn waves_end_before_the_next_beat_and_what_is_not_told_is_not_shown() {
        let beats: Vec<f32> = (0..20).map(|k| 28.0 * k as f32).collect();
        let shown = model().shown(&beats, &asked(), &[], false, FS_HZ, Seed::new(3));
        for pair in shown.windows(2) {
            let [this, next] = [pair[0], pair[1]].map(|beat| beat.waves.unwrap());
            assert!(this.t_end.unwrap() <= 28.0 + next.qrs[0] + 1.0, "T ends before the next QRS");
            assert!(next.p_onset.is_none_or(|p| p > this.qrs[1] - 28.0), "P begins after the QRS before");
        }
        let fibrillation = Facts { pr_ms: None, ..asked() };
        let shown = model().shown(&beats, &fibrillation, &[], false, FS_HZ, Seed::new(3));
        assert!(shown.iter().all(|beat| beat.waves.unwrap().p_onset.is_none()));
        let nothing = model().shown(&beats, &Facts::default(), &[], false, FS_HZ, Seed::new(3));
        assert!(nothing.iter().all(|beat| beat.waves.is_none()));
        let message = WaveModel::fit(&[vec![ShownBeat::at(3.0)]], &[1], 1).unwrap_err().to_string();
        assert!(message.contains("the waves of none"), "{message}");
    }
}
