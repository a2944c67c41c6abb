//! Where the waves of the beats are: what a generator is shown so that PR, QRS and QT are those that it is told.
//!
//! A network that is told a PR in numbers draws one nearer to the usual; shown where P begins, it begins there. Two things
//! that a request does not say are drawn from means over many patients: where in QRS the R peak is, by label, and how much
//! wider the ventricular beats of a record are than its others.

use serde::{Deserialize, Serialize};

use super::rhythm::{Normal, draw, early_beats, normal};
use super::steady::{self, Kind, times};
use crate::dataset::Conditions;
use crate::error::{Error, Result};
use crate::nn::shown_beats::{ShownBeat, ShownWaves};
use crate::seed::{Seed, Stream};

/// Fewest records of which own numbers are taken.
const FEWEST_RECORDS: usize = 20;
/// Label of records whose early beats are ventricular.
const VENTRICULAR: &str = "PVC";
/// Least and largest share of QRS that lies before its R peak.
const R_SHARE: [f64; 2] = [0.15, 0.85];
/// Least and largest width of a ventricular QRS, as a share of the others.
const WIDTH: [f64; 2] = [1.2, 2.2];
/// Shortest time between two waves, s.
const APART_S: f64 = 0.02;

/// The beats of a training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveModel {
    /// Share of QRS before its R peak, of all records.
    pub r_share: Normal,
    /// The same of each label, where there are enough records.
    pub r_share_by_label: Vec<Option<Normal>>,
    /// The ventricular beats, where there are enough records with such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ventricular: Option<Ventricular>,
}

/// The early beats of records with a label that calls them ventricular. No P leads to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ventricular {
    /// The label, by its place.
    pub label: usize,
    /// Width of QRS as a share of the other beats of its record.
    pub width: Normal,
}

/// What the beats of one record show.
struct Shown {
    r_share: f64,
    /// Mean width of its early beats as a share of the others, if it has any.
    early_width: Option<f64>,
}

impl Shown {
    /// `None` for a record none of whose beats in time has waves.
    fn of(beats: &[ShownBeat]) -> Option<Shown> {
        let is_early = early_beats(&times(beats));
        let width = |waves: &ShownWaves| f64::from(waves.qrs[1] - waves.qrs[0]);
        let mean = |early: bool, value: &dyn Fn(&ShownWaves) -> f64| {
            let each = beats.iter().zip(&is_early).filter(|(_, is)| **is == early).filter_map(|(beat, _)| beat.waves);
            let values: Vec<f64> = each.filter(|waves| width(waves) > 0.0).map(|waves| value(&waves)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let usual = mean(false, &width)?;
        Some(Shown {
            r_share: mean(false, &|waves| f64::from(-waves.qrs[0]) / width(waves))?,
            early_width: mean(true, &width).map(|early| early / usual),
        })
    }
}

impl WaveModel {
    /// From the beats of records, each with a row of labels.
    ///
    /// # Errors
    /// [`Error::Data`] if no beat has waves.
    pub fn fit(beats: &[Vec<ShownBeat>], labels: &[u8], label_names: &[String]) -> Result<WaveModel> {
        let shown: Vec<Option<Shown>> = beats.iter().map(|beats| Shown::of(beats)).collect();
        let of = |label: usize| {
            let own = (0..shown.len()).filter(|item| labels[item * label_names.len() + label] != 0);
            own.filter_map(|item| shown[item].as_ref()).collect::<Vec<_>>()
        };
        if shown.iter().all(Option::is_none) {
            return Err(Error::data("beats of the training part", "the waves of none are found"));
        }
        let r_share_of = |records: &[&Shown]| normal(records.iter().map(|shown| shown.r_share));
        let of_label = |label: usize| Some(of(label)).filter(|own| own.len() >= FEWEST_RECORDS);
        let ventricular = label_names.iter().position(|name| name == VENTRICULAR).and_then(|label| {
            let widths: Vec<f64> = of(label).iter().filter_map(|shown| shown.early_width).collect();
            (widths.len() >= FEWEST_RECORDS).then(|| Ventricular { label, width: normal(widths.into_iter()) })
        });
        Ok(WaveModel {
            r_share: r_share_of(&shown.iter().flatten().collect::<Vec<_>>()),
            r_share_by_label: (0..label_names.len()).map(|label| Some(r_share_of(&of_label(label)?))).collect(),
            ventricular,
        })
    }

    /// Beats at these points with the waves of an item's PR, QRS and QTc, at whole points as in training. Without a QRS all
    /// waves are hidden; without a PR there is no P, as in fibrillation, and without a QTc no T.
    pub(super) fn shown(&self, beats: &[f32], item: &Conditions, kind: Kind, fs_hz: f64, seed: Seed) -> Vec<ShownBeat> {
        let (facts, labels) = (&item.facts, &item.labels);
        let Some(qrs_ms) = facts.qrs_ms else { return beats.iter().copied().map(ShownBeat::at).collect() };
        let mut stream = seed.purpose("waves").stream();
        let r_share = draw(self.r_share_of(labels), &mut stream).clamp(R_SHARE[0], R_SHARE[1]);
        let is_in = |label: usize| labels.iter().any(|(other, weight)| *other == label && *weight > 0.0);
        let ventricular = self.ventricular.as_ref().filter(|ventricular| is_in(ventricular.label));
        let width = ventricular.map_or([1.0, 0.0], |ventricular| ventricular.width);
        let width = draw(width, &mut stream).clamp(WIDTH[0], WIDTH[1]);
        let is_ventricular: Vec<bool> =
            steady::early_beats(beats, kind).into_iter().map(|is_early| is_early && ventricular.is_some()).collect();
        let rr_s = match beats {
            [first, .., last] => f64::from(last - first) / fs_hz / (beats.len() - 1) as f64,
            _ => facts.hr_bpm.map_or(1.0, |hr_bpm| 60.0 / hr_bpm),
        };
        let points = |ms: f64| ms * fs_hz / 1000.0;
        let onset = |k: usize| -r_share * points(qrs_ms) * if is_ventricular[k] { width } else { 1.0 };
        let mut whole = |at: f64| whole(at, &mut stream);
        let qrs: Vec<[f32; 2]> =
            (0..beats.len()).map(|k| [whole(onset(k)), whole(onset(k) * (1.0 - 1.0 / r_share))]).collect();
        // Drawn whether it is asked for or not, so that a wish for one wave moves no other.
        let pr = facts.pr_ms.map(points);
        let p_onsets: Vec<f32> = (0..beats.len()).map(|k| whole(onset(k) - pr.unwrap_or(0.0))).collect();
        // Fridericia's formula, by which QTc is measured.
        let qt = facts.qtc_ms.map(|qtc_ms| points(qtc_ms * libm::cbrt(rr_s)));
        let t_offsets: Vec<f32> = (0..beats.len()).map(|k| whole(onset(k) + qt.unwrap_or(0.0))).collect();
        let apart = (APART_S * fs_hz) as f32;
        let beat = |k: usize| {
            // Waves do not reach into the QRS of the neighbors.
            let since = if k == 0 { f32::NEG_INFINITY } else { beats[k - 1] - beats[k] + qrs[k - 1][1] + apart };
            let until = beats.get(k + 1).map_or(f32::INFINITY, |next| next - beats[k] + qrs[k + 1][0] - apart);
            let waves = ShownWaves {
                p_onset: (pr.is_some() && !is_ventricular[k] && p_onsets[k] > since).then_some(p_onsets[k]),
                qrs: qrs[k],
                t_offset: qt.map(|_| t_offsets[k].min(until)).filter(|t| *t > qrs[k][1]),
            };
            ShownBeat { at: beats[k], waves: Some(waves) }
        };
        (0..beats.len()).map(beat).collect()
    }

    /// That of the label which departs most from all records.
    fn r_share_of(&self, labels: &[(usize, f32)]) -> Normal {
        let present = labels.iter().filter(|(_, weight)| *weight > 0.0);
        let known = present.filter_map(|&(label, _)| *self.r_share_by_label.get(label)?);
        let departure = |share: &Normal| (share[0] - self.r_share[0]).abs();
        known.max_by(|a, b| departure(a).total_cmp(&departure(b))).unwrap_or(self.r_share)
    }
}

/// One of the two whole points beside `at`, the nearer one more often, so that beats are on average where they were asked for.
fn whole(at: f64, stream: &mut Stream) -> f32 {
    libm::floor(at + stream.uniform()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Facts;
    use crate::diffusion::Condition;

    const FS_HZ: f64 = 100.0;

    /// Sixty records: plain ones, and those with early beats that are wide.
    fn model() -> WaveModel {
        let record = |item: usize| {
            let mut at = 0.0;
            let beat = |k: usize| {
                let early = item % 2 == 1 && k % 4 == 3;
                at += if early { 50.0 } else { 80.0 };
                let width = if early { 16.0 } else { 10.0 };
                let waves = ShownWaves { p_onset: None, qrs: [-0.4 * width, 0.6 * width], t_offset: Some(35.0) };
                ShownBeat { at, waves: Some(waves) }
            };
            (0..12).map(beat).collect::<Vec<_>>()
        };
        let beats: Vec<_> = (0..60).map(record).collect();
        let labels: Vec<u8> = (0..60).flat_map(|item| [u8::from(item % 2 == 0), u8::from(item % 2 == 1)]).collect();
        WaveModel::fit(&beats, &labels, &["SR", "PVC"].map(String::from)).unwrap()
    }

    fn asked() -> Facts {
        Facts { pr_ms: Some(214.0), qrs_ms: Some(97.0), qtc_ms: Some(400.0), ..Facts::default() }
    }

    fn shown(beats: &[f32], label: usize, facts: Facts) -> Vec<ShownBeat> {
        let item = Conditions { labels: vec![(label, 1.0)], facts };
        let condition = Condition::of_items([&item].into_iter(), 2).unwrap();
        let kind = Kind::of(&["SR", "PVC"].map(String::from), &condition, 0);
        model().shown(beats, &item, kind, FS_HZ, Seed::new(1))
    }

    fn each(shown: &[ShownBeat]) -> Vec<ShownWaves> {
        shown.iter().map(|beat| beat.waves.unwrap()).collect()
    }

    fn mean(values: impl Iterator<Item = f32>) -> f32 {
        let values: Vec<f32> = values.collect();
        values.iter().sum::<f32>() / values.len() as f32
    }

    #[test]
    fn waves_are_where_they_are_asked_for_on_average_over_whole_points() {
        let beats: Vec<f32> = (0..400).map(|k| 100.0 * k as f32).collect();
        let shown = shown(&beats, 0, asked());
        assert!(shown.iter().zip(&beats).all(|(beat, at)| beat.at == *at));
        // Of the first beat no P is cut off by a beat before it.
        let parts = |waves: &ShownWaves| [waves.p_onset.unwrap(), waves.qrs[0], waves.qrs[1], waves.t_offset.unwrap()];
        let all = each(&shown);
        assert!(all.iter().flat_map(parts).all(|point| point.fract() == 0.0));
        let on_average = |of: fn([f32; 4]) -> f32| mean(all.iter().map(|waves| of(parts(waves))));
        // A rounding of two edges has a standard error of 0.03 points here.
        for (found, wanted) in [
            (on_average(|[p, onset, ..]| onset - p), 21.4),
            (on_average(|[_, onset, offset, _]| offset - onset), 9.7),
            (on_average(|[_, onset, _, t]| t - onset), 40.0),
            (on_average(|[_, onset, ..]| -onset / 9.7), 0.4),
        ] {
            assert!((found - wanted).abs() < 0.15, "{found} for {wanted}");
        }
        let short = each(&self::shown(&beats, 0, Facts { pr_ms: Some(120.0), ..asked() }));
        let edges = |waves: &[ShownWaves]| waves.iter().map(|waves| (waves.qrs, waves.t_offset)).collect::<Vec<_>>();
        assert_eq!(edges(&all), edges(&short), "a wish for P moves nothing else");
    }

    #[test]
    fn ventricular_beats_are_wide_and_have_no_p() {
        let beats: Vec<f32> = (0..60).map(|k| 80.0 * k as f32 - if k % 4 == 3 { 30.0 } else { 0.0 }).collect();
        let [plain, ectopic] = [0, 1].map(|label| each(&shown(&beats, label, asked())));
        let early = |all: &[ShownWaves]| mean(all.iter().skip(3).step_by(4).map(|waves| waves.qrs[1] - waves.qrs[0]));
        assert!((early(&ectopic) / early(&plain) - 1.6).abs() < 0.1, "{} {}", early(&ectopic), early(&plain));
        assert!(ectopic.iter().skip(3).step_by(4).all(|waves| waves.p_onset.is_none()));
        assert!(ectopic.iter().skip(2).step_by(4).chain(&plain).all(|waves| waves.p_onset.is_some()));
    }

    #[test]
    fn waves_end_before_the_next_beat_whatever_its_width() {
        for (rr, label) in [(28.0, 0), (40.0, 1)] {
            let beats: Vec<f32> = (0..40).map(|k| rr * k as f32 - if k % 4 == 3 { 0.3 * rr } else { 0.0 }).collect();
            let all = shown(&beats, label, asked());
            for pair in all.windows(2) {
                let (distance, [this, next]) =
                    (pair[1].at - pair[0].at, [pair[0], pair[1]].map(|beat| beat.waves.unwrap()));
                assert!(this.t_offset.is_none_or(|t| t <= distance + next.qrs[0] - 2.0), "T ends before the next QRS");
                assert!(next.p_onset.is_none_or(|p| p > this.qrs[1] - distance), "P begins after the QRS before");
            }
            assert!(all.iter().any(|beat| beat.waves.unwrap().t_offset.is_some()));
        }
    }

    #[test]
    fn few_beats_and_few_facts_show_what_is_known() {
        let rate = Facts { hr_bpm: Some(60.0), ..asked() };
        let one = each(&shown(&[50.0], 0, rate));
        assert!((one[0].t_offset.unwrap() - one[0].qrs[0] - 40.0).abs() <= 1.0, "{one:?}");
        assert!(shown(&[], 0, asked()).is_empty());
        let fibrillation = each(&shown(&[50.0, 130.0], 0, Facts { pr_ms: None, ..asked() }));
        assert!(fibrillation.iter().all(|waves| waves.p_onset.is_none() && waves.t_offset.is_some()));
        assert_eq!(shown(&[50.0, 130.0], 0, Facts::default()), [50.0, 130.0].map(ShownBeat::at));
        let message = WaveModel::fit(&[vec![ShownBeat::at(3.0)]], &[1], &["SR".into()]).unwrap_err().to_string();
        assert!(message.contains("the waves of none"), "{message}");
    }

    #[test]
    fn in_a_window_of_a_record_the_waves_are_those_of_the_record() {
        let beats: Vec<f32> = (0..30).map(|k| 83.0 * k as f32).collect();
        let later: Vec<f32> = beats.iter().map(|at| at - 726.0).collect();
        let [record, window] = [beats, later].map(|beats| shown(&beats, 1, asked()));
        assert!(record.iter().zip(&window).all(|(beat, same)| beat.after(726.0) == *same));
    }
}
