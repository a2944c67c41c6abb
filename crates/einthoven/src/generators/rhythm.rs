//! When the heart beats: RR intervals by label and rate, learned from the beats of a training set.
//!
//! A generator that is shown the times of the beats needs times to be shown. They are drawn here from a few numbers for
//! each label, none of which is of a single patient: the rate, how much intervals vary and how much one resembles the
//! next, how often a beat comes early, how early, and how long the pause after it is.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::seed::{Seed, Stream};

/// Fewest records of which a label's own numbers are taken; of fewer, they are those of all.
const FEWEST_RECORDS: usize = 20;
/// Fewest intervals of a record that tell a rhythm.
const FEWEST_INTERVALS: usize = 4;
/// An interval below this share of its record's median is early, unless intervals vary too much to say.
const EARLY: f64 = 0.85;
/// The same in standard deviations of the logarithm.
const EARLY_SD: f64 = 3.0;
/// Smallest and largest standard deviation of the logarithm of an interval: what readings resolve, and fibrillation.
const SPREAD: [f64; 2] = [0.003, 0.35];
/// Shortest interval, s: sooner the ventricles are refractory.
const SHORTEST_S: f64 = 0.25;
/// Standard deviation of the slow part of a rate at rest, as a share of the rate.
const SLOW_SD: f64 = 0.02;
/// Time over which the slow part forgets where it was, s.
const SLOW_MEMORY_S: f64 = 60.0;

/// Mean and standard deviation over records.
pub(super) type Normal = [f64; 2];

/// The rhythm of the records of one label, or of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Logarithm of the mean interval, s.
    pub ln_rr: Normal,
    /// Logarithm of the standard deviation of the logarithm of the intervals that are in time.
    pub ln_spread: Normal,
    /// Correlation of an interval with the next.
    pub correlation: f64,
    /// Share of records with early beats.
    pub early_records: f64,
    /// Share of intervals that are early in such records.
    pub early_beats: f64,
    /// An early interval as a share of the mean interval.
    pub coupling: Normal,
    /// The interval after it as such a share.
    pub pause: Normal,
}

/// The rhythms of a training set by label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RhythmModel {
    /// Of all records.
    pub all: Pace,
    /// Of each label, where there are enough records.
    pub labels: Vec<Option<Pace>>,
}

/// What the intervals of one record show.
struct Shown {
    ln_rr: f64,
    ln_spread: f64,
    /// Sum of products of neighbors and of squares, about the mean.
    products: [f64; 2],
    n: usize,
    early: Vec<f64>,
    pauses: Vec<f64>,
}

impl Shown {
    /// `None` for a record of too few beats.
    fn of(beats_s: &[f64]) -> Option<Shown> {
        let rr: Vec<f64> = beats_s.windows(2).map(|pair| pair[1] - pair[0]).filter(|rr| *rr > 0.0).collect();
        if rr.len() < FEWEST_INTERVALS {
            return None;
        }
        let middle = median(&rr);
        let away: Vec<f64> = rr.iter().map(|rr| libm::log(rr / middle)).collect();
        let is_early = is_early(&rr);
        let timely: Vec<f64> =
            (0..rr.len()).filter(|&k| !is_early[k] && (k == 0 || !is_early[k - 1])).map(|k| away[k]).collect();
        if timely.len() < FEWEST_INTERVALS {
            return None;
        }
        let mean = timely.iter().sum::<f64>() / timely.len() as f64;
        let squares: f64 = timely.iter().map(|ln| (ln - mean).powi(2)).sum();
        let neighbors = timely.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
        let sd = (squares / (timely.len() - 1) as f64).sqrt();
        let early: Vec<usize> = (0..rr.len()).filter(|&k| is_early[k]).collect();
        Some(Shown {
            ln_rr: libm::log(rr.iter().sum::<f64>() / rr.len() as f64),
            ln_spread: libm::log(sd.clamp(SPREAD[0], SPREAD[1])),
            products: [neighbors, squares],
            n: rr.len(),
            early: early.iter().map(|&k| rr[k] / middle).collect(),
            pauses: early
                .iter()
                .filter(|&&k| k + 1 < rr.len() && !is_early[k + 1])
                .map(|&k| rr[k + 1] / middle)
                .collect(),
        })
    }
}

impl Pace {
    fn of(records: &[&Shown]) -> Pace {
        let of = |value: &dyn Fn(&Shown) -> f64| normal(records.iter().map(|shown| value(shown)));
        let sum = |k: usize| records.iter().map(|shown| shown.products[k]).sum::<f64>();
        let early: Vec<&&Shown> = records.iter().filter(|shown| !shown.early.is_empty()).collect();
        let n_early: usize = early.iter().map(|shown| shown.early.len()).sum();
        let n: usize = early.iter().map(|shown| shown.n).sum();
        Pace {
            ln_rr: of(&|shown| shown.ln_rr),
            ln_spread: of(&|shown| shown.ln_spread),
            correlation: (sum(0) / sum(1).max(f64::MIN_POSITIVE)).clamp(0.0, 0.95),
            early_records: early.len() as f64 / records.len().max(1) as f64,
            early_beats: n_early as f64 / n.max(1) as f64,
            coupling: normal(early.iter().flat_map(|shown| shown.early.iter().copied())),
            pause: normal(early.iter().flat_map(|shown| shown.pauses.iter().copied())),
        }
    }
}

impl RhythmModel {
    /// The rhythms of records, each with its beats in s and a row of `n_labels` labels.
    ///
    /// # Errors
    /// [`Error::Data`] if no record shows a rhythm.
    pub fn fit(beats_s: &[Vec<f64>], labels: &[u8], n_labels: usize) -> Result<RhythmModel> {
        let shown: Vec<Option<Shown>> = beats_s.iter().map(|beats| Shown::of(beats)).collect();
        let all: Vec<&Shown> = shown.iter().flatten().collect();
        if all.is_empty() {
            return Err(Error::data("beats of the training part", "no record has the beats of a rhythm"));
        }
        let pace = |label: usize| {
            let has = |item: usize| labels[item * n_labels + label] != 0;
            let own: Vec<&Shown> =
                (0..shown.len()).filter(|&item| has(item)).filter_map(|item| shown[item].as_ref()).collect();
            (own.len() >= FEWEST_RECORDS).then(|| Pace::of(&own))
        };
        Ok(RhythmModel { labels: (0..n_labels).map(pace).collect(), all: Pace::of(&all) })
    }

    /// The rhythm of a record of several labels: each number from the label that departs most from all records in it.
    fn pace(&self, labels: &[(usize, f32)]) -> Pace {
        let known = || {
            labels.iter().filter(|(_, weight)| *weight > 0.0).filter_map(|&(label, _)| self.labels.get(label)?.as_ref())
        };
        let most = |departure: &dyn Fn(&Pace) -> f64| {
            known().max_by(|a, b| departure(a).total_cmp(&departure(b))).unwrap_or(&self.all)
        };
        let rate = most(&|pace| (pace.ln_rr[0] - self.all.ln_rr[0]).abs());
        let spread = most(&|pace| (pace.ln_spread[0] - self.all.ln_spread[0]).abs());
        let early = most(&|pace| (pace.early_records - self.all.early_records).abs());
        Pace { ln_rr: rate.ln_rr, ln_spread: spread.ln_spread, correlation: spread.correlation, ..early.clone() }
    }

    /// The times of the beats of a record with these labels, s; with a rate, at exactly this rate over the record.
    pub fn beats(&self, labels: &[(usize, f32)], hr_bpm: Option<f64>, seconds: f64, seed: Seed) -> Vec<f64> {
        let pace = self.pace(labels);
        let mut stream = seed.purpose("rhythm").stream();
        let mean_s = draw(pace.ln_rr, &mut stream);
        let mean_s = hr_bpm.map_or_else(|| libm::exp(mean_s).max(SHORTEST_S), |hr_bpm| 60.0 / hr_bpm);
        let spread = libm::exp(draw(pace.ln_spread, &mut stream)).clamp(SPREAD[0], SPREAD[1]);
        let early = if stream.uniform() < pace.early_records { pace.early_beats } else { 0.0 };
        let memory = libm::exp(-mean_s / SLOW_MEMORY_S);
        let (kept, fresh) = (pace.correlation, (1.0 - pace.correlation * pace.correlation).sqrt());
        let (mut quick, mut slow) = (stream.normal(), stream.normal());
        let mut beats = vec![stream.uniform() * mean_s];
        let mut was_early = false;
        // Beyond the end, so that there are enough when they are drawn closer together.
        let end = 1.5 * seconds + 4.0 * mean_s;
        while beats[beats.len() - 1] < end {
            (quick, slow) = (
                kept * quick + fresh * stream.normal(),
                memory * slow + (1.0 - memory * memory).sqrt() * stream.normal(),
            );
            let now_s = mean_s * libm::exp(spread * quick + SLOW_SD * slow);
            let is_early = !was_early && stream.uniform() < early;
            let share = match (was_early, is_early) {
                (true, _) => draw(pace.pause, &mut stream).clamp(0.9, 2.0),
                (false, true) => draw(pace.coupling, &mut stream).clamp(0.4, EARLY),
                (false, false) => 1.0,
            };
            was_early = is_early;
            beats.push(beats[beats.len() - 1] + (now_s * share).max(SHORTEST_S));
        }
        let within = |beats: &[f64]| beats.iter().take_while(|beat| **beat < seconds).count();
        // Which beats are within changes with their distance, so that it takes a few rounds.
        for _ in 0..8 {
            let n = within(&beats);
            if n < 2 {
                break;
            }
            let factor = mean_s * (n - 1) as f64 / (beats[n - 1] - beats[0]);
            beats.iter_mut().for_each(|beat| *beat *= factor);
        }
        beats.truncate(within(&beats));
        beats
    }
}

/// Which of the beats at these points come early; of the first it is not known.
pub(super) fn early_beats(beats: &[f32]) -> Vec<bool> {
    let rr: Vec<f64> = beats.windows(2).map(|pair| f64::from(pair[1] - pair[0])).collect();
    let first = (!beats.is_empty()).then_some(false);
    first.into_iter().chain(is_early(&rr)).collect()
}

/// Which of some intervals are early, as an ectopic beat's is; of intervals that vary much hardly any.
fn is_early(rr: &[f64]) -> Vec<bool> {
    if rr.is_empty() {
        return Vec::new();
    }
    let middle = median(rr);
    let spread = 1.4826 * median(&rr.iter().map(|rr| libm::log(rr / middle).abs()).collect::<Vec<f64>>());
    let latest = EARLY.min(libm::exp(-EARLY_SD * spread)) * middle;
    rr.iter().map(|rr| *rr < latest).collect()
}

/// Beats of a signal with those of its gaps, points: where nothing is known they are filled in, evenly and about as far
/// apart as elsewhere.
pub fn through_gaps(found: &[usize], is_known: &[bool]) -> Vec<f32> {
    let known: Vec<f64> = found.iter().filter(|&&at| is_known[at]).map(|&at| at as f64).collect();
    let rr: Vec<f64> = known
        .windows(2)
        .filter(|pair| is_known[pair[0] as usize..pair[1] as usize].iter().all(|known| *known))
        .map(|pair| pair[1] - pair[0])
        .collect();
    let (false, Some(&first), Some(&last)) = (rr.is_empty(), known.first(), known.last()) else {
        return known.into_iter().map(|at| at as f32).collect();
    };
    let usual = median(&rr);
    let n = is_known.len() as f64;
    let mut out = Vec::with_capacity(known.len());
    let has_gap = |from: f64, to: f64| is_known[from as usize..to as usize].iter().any(|known| !known);
    if has_gap(0.0, first) {
        let before = libm::floor(first / usual) as usize;
        out.extend((1..=before).rev().map(|k| first - k as f64 * usual));
    }
    for pair in known.windows(2) {
        out.push(pair[0]);
        if has_gap(pair[0], pair[1]) {
            let n_intervals = ((pair[1] - pair[0]) / usual).round().max(1.0);
            out.extend((1..n_intervals as usize).map(|k| pair[0] + (pair[1] - pair[0]) * k as f64 / n_intervals));
        }
    }
    out.push(last);
    if has_gap(last, n) {
        out.extend((1..).map(|k| last + f64::from(k) * usual).take_while(|at| *at < n));
    }
    out.into_iter().map(|at| at as f32).collect()
}

pub(super) fn draw([mean, sd]: Normal, stream: &mut Stream) -> f64 {
    mean + sd * stream.normal()
}

/// Mean and standard deviation; ones without spread where there is nothing.
pub(super) fn normal(values: impl Iterator<Item = f64>) -> Normal {
    let values: Vec<f64> = values.collect();
    if values.is_empty() {
        return [1.0, 0.0];
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    [mean, (squares / values.len() as f64).sqrt()]
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: f64 = 10.0;

    /// Beats at intervals that vary by `spread`, the early ones of `early` at 0.6 of it with a pause after them.
    fn record(rr_s: f64, spread: f64, early: f64, seed: u64) -> Vec<f64> {
        let mut stream = Seed::new(seed).stream();
        let mut beats = vec![stream.uniform() * rr_s];
        while beats[beats.len() - 1] < SECONDS {
            let last = beats[beats.len() - 1];
            let next = rr_s * (spread * stream.normal()).exp();
            if stream.uniform() < early {
                beats.extend([last + 0.6 * rr_s, last + 2.0 * rr_s]);
            } else {
                beats.push(last + next);
            }
        }
        beats
    }

    /// 60 records each of a steady rhythm, of a slow one, of a wild one and of one with early beats; all have label 4.
    fn model() -> RhythmModel {
        let kinds = [(0.8, 0.02, 0.0), (1.2, 0.02, 0.0), (0.75, 0.2, 0.0), (0.8, 0.02, 0.2)];
        let beats: Vec<Vec<f64>> =
            (0..240).map(|i| kinds[i / 60]).zip(0..).map(|((rr, sd, early), i)| record(rr, sd, early, i)).collect();
        let labels: Vec<u8> =
            (0..240).flat_map(|i| (0..5).map(move |label| u8::from(label == i / 60 || label == 4))).collect();
        RhythmModel::fit(&beats, &labels, 5).unwrap()
    }

    fn shown(model: &RhythmModel, labels: &[usize], hr_bpm: Option<f64>) -> Vec<Vec<f64>> {
        let labels: Vec<(usize, f32)> = labels.iter().map(|&label| (label, 1.0)).collect();
        (0..100).map(|i| model.beats(&labels, hr_bpm, SECONDS, Seed::new(7).index(i))).collect()
    }

    fn rr(beats: &[f64]) -> Vec<f64> {
        beats.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn drawn_rhythms_are_those_of_their_labels() {
        let model = model();
        let spread = |labels: &[usize]| {
            let of = |beats: &Vec<f64>| Shown::of(beats).map_or(0.0, |shown| shown.ln_spread.exp());
            shown(&model, labels, None).iter().map(of).sum::<f64>() / 100.0
        };
        assert!((0.014..0.03).contains(&spread(&[0, 4])), "{}", spread(&[0, 4]));
        assert!((0.14..0.26).contains(&spread(&[2])), "{}", spread(&[2]));
        assert!((0.14..0.26).contains(&spread(&[4, 2, 0])), "the label that departs most decides");
        let early = |labels: &[usize]| {
            let count = |beats: &Vec<f64>| rr(beats).iter().filter(|rr| **rr < 0.6).count();
            shown(&model, labels, Some(75.0)).iter().map(count).sum::<usize>()
        };
        assert!(early(&[0]) == 0 && early(&[3]) > 100, "{} {}", early(&[0]), early(&[3]));
        let rate = |labels: &[usize]| {
            let of = |beats: &Vec<f64>| 60.0 / (rr(beats).iter().sum::<f64>() / rr(beats).len() as f64);
            shown(&model, labels, None).iter().map(of).sum::<f64>() / 100.0
        };
        assert!((rate(&[0]) - 75.0).abs() < 3.0 && (rate(&[1]) - 50.0).abs() < 3.0, "{} {}", rate(&[0]), rate(&[1]));
    }

    #[test]
    fn a_rate_is_met_and_times_depend_on_their_seed_alone() {
        let model = model();
        for hr_bpm in [40.0, 72.5, 130.0, 180.0] {
            for beats in shown(&model, &[2], Some(hr_bpm)) {
                let rr = rr(&beats);
                let found = 60.0 * rr.len() as f64 / rr.iter().sum::<f64>();
                assert!((found / hr_bpm - 1.0).abs() < 0.08, "{found} for {hr_bpm}");
                assert!(beats.iter().all(|beat| (0.0..SECONDS).contains(beat)) && rr.iter().all(|rr| *rr > 0.0));
            }
        }
        assert_eq!(shown(&model, &[0], None), shown(&model, &[0], None));
    }

    #[test]
    fn gaps_are_filled_with_beats_at_the_usual_distance() {
        let mut is_known = vec![true; 1000];
        is_known[320..560].fill(false);
        is_known[900..].fill(false);
        // A beat that was found in a gap was not seen.
        let found = [50, 130, 210, 290, 400, 610, 690, 770, 850];
        let beats = through_gaps(&found, &is_known);
        assert_eq!(beats, [50.0, 130.0, 210.0, 290.0, 370.0, 450.0, 530.0, 610.0, 690.0, 770.0, 850.0, 930.0]);
        is_known[..100].fill(false);
        assert_eq!(through_gaps(&found, &is_known)[..3], [50.0, 130.0, 210.0]);
        assert_eq!(through_gaps(&[10], &[true; 20]), [10.0]);
    }

    #[test]
    fn labels_of_few_records_have_the_rhythm_of_all() {
        let beats: Vec<Vec<f64>> = (0..30).map(|i| record(0.8, 0.02, 0.0, i)).collect();
        let labels: Vec<u8> = (0..30).map(|i| u8::from(i < 19)).collect();
        let model = RhythmModel::fit(&beats, &labels, 1).unwrap();
        assert_eq!(model.labels, [None]);
        assert!(!model.beats(&[(0, 1.0)], None, 10.0, Seed::new(1)).is_empty());
        let message = RhythmModel::fit(&[vec![1.0, 2.0]], &[1], 1).unwrap_err().to_string();
        assert!(message.contains("no record has the beats of a rhythm"), "{message}");
    }
}
