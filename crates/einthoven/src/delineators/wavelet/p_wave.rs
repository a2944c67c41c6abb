//! P waves: small humps before the QRS complex, and only those that repeat.
//!
//! A hump before one QRS complex is no evidence: noise has humps, and so has atrial fibrillation. A P wave has the same
//! shape in the same leads at nearly the same distance, beat after beat. So each beat's stretch before the QRS complex
//! is correlated, over all leads, with the mean of the other beats: in sinus rhythm they agree, in atrial fibrillation
//! the fibrillatory waves cancel in the mean. A record whose beats do not agree has no P waves; in one that does, a
//! beat that disagrees (a premature one, say) has none either.

use super::hump::{Ends, Humps};
use super::{Event, Working, energy, highest};
use crate::record::Wave;

/// Times in seconds, thresholds as shares of the fastest point of the flank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Width of the hump that is looked for.
    pub hump_s: f64,
    /// Width of the Gaussian whose slope is the speed.
    pub sigma_s: f64,
    /// Earliest peak before the onset of the QRS complex.
    pub earliest_s: f64,
    /// Latest peak before the onset of the QRS complex.
    pub latest_s: f64,
    /// The peak comes at least this long after the peak of the T wave.
    pub after_t_s: f64,
    /// Where the peak is expected before the onset of the QRS complex.
    pub expected_s: f64,
    /// How far from there a hump counts half.
    pub spread_s: f64,
    /// Stretch on either side of the peak that is correlated.
    pub reach_s: f64,
    /// Beats on either side that make the mean.
    pub beats_around: usize,
    /// How far a beat's peak may lie from the usual one.
    pub jitter_s: f64,
    /// Median correlation of beats with the mean of the others, below which there are no P waves.
    pub agreement: f32,
    /// How much more agreement is asked for as the rhythm gets irregular: times the median change of the RR interval,
    /// as a share of it.
    pub irregular_agreement: f32,
    /// Agreement that is enough in any rhythm.
    pub certain_agreement: f32,
    /// Correlation with what comes one and two periods before, above which waves are those of atrial flutter.
    pub flutter: f32,
    /// Correlation of one beat below which it has none.
    pub beat_agreement: f32,
    /// Where it begins and ends.
    pub ends: Ends,
}

impl Settings {
    /// Chosen on the development records.
    pub const DEFAULT: Settings = Settings {
        hump_s: 0.024,
        sigma_s: 0.013,
        earliest_s: 0.36,
        latest_s: 0.03,
        after_t_s: 0.06,
        expected_s: 0.12,
        spread_s: 0.15,
        reach_s: 0.06,
        beats_around: 12,
        jitter_s: 0.03,
        agreement: 0.7,
        irregular_agreement: 0.5,
        certain_agreement: 0.93,
        flutter: 0.6,
        beat_agreement: 0.5,
        ends: Ends { onset_share: 0.50, offset_share: 0.70, half_s: 0.10, own_weight: 0.6, own_reach_s: 0.04 },
    };
}

/// Shortest time from the onset of P to its peak, in seconds.
const SHORTEST_FLANK_S: f64 = 0.024;

/// Shortest and longest period of atrial flutter in seconds.
const FLUTTER_S: [f64; 2] = [0.16, 0.32];

/// The P wave before each complex, `None` where there is none.
pub(super) fn find(
    settings: &Settings,
    leads: &Working,
    complexes: &[Event],
    t_waves: &[Option<Event>],
) -> Vec<Option<Event>> {
    let humps = Humps::new(leads, settings.hump_s, settings.sigma_s);
    // Before each complex: where the peak may lie.
    let windows: Vec<Option<(usize, usize)>> = (0..complexes.len())
        .map(|k| {
            let onset = complexes[k].across.onset;
            let after_qrs = k.checked_sub(1).map_or(0, |k| complexes[k].across.offset + leads.points(0.04));
            let after_t = k
                .checked_sub(1)
                .and_then(|k| t_waves[k].as_ref())
                .map_or(0, |t| t.across.peak + leads.points(settings.after_t_s));
            let from = onset.saturating_sub(leads.points(settings.earliest_s)).max(after_qrs).max(after_t);
            let to = onset.saturating_sub(leads.points(settings.latest_s));
            (from + leads.points(0.04) < to).then_some((from, to))
        })
        .collect();
    let stretches = Stretches::cut(settings, leads, complexes, &humps.each, &windows);
    let found: Vec<Option<usize>> = (0..complexes.len())
        .map(|k| {
            stretches.peak(settings, leads, complexes, k).map(|at| nearest_top(&humps.height, at, leads.points(0.012)))
        })
        .collect();
    if is_flutter(settings, leads, complexes, &humps.each, &found) {
        return vec![None; complexes.len()];
    }
    let event = |k: usize, peak: usize| {
        let half = leads.points(settings.ends.half_s);
        // Where the T wave before ends, P begins at the earliest.
        let after_t =
            |t: &Event| t.across.offset.min(peak.saturating_sub(leads.points(SHORTEST_FLANK_S))).max(t.across.peak);
        let start = k.checked_sub(1).map_or(0, |k| t_waves[k].as_ref().map_or(complexes[k].across.offset, after_t));
        let (from, to) = (start.max(peak.saturating_sub(half)).min(peak), complexes[k].across.onset.min(peak + half));
        humps.event(Wave::P, leads, &settings.ends, peak, [from, to])
    };
    found.into_iter().enumerate().map(|(k, peak)| peak.map(|peak| event(k, peak))).collect()
}

/// Whether the waves go on through the whole interval between the complexes, as those of atrial flutter do.
///
/// A third wave can only be seen where the interval has room for it: flutter with 2:1 conduction passes for P waves.
fn is_flutter(
    settings: &Settings,
    leads: &Working,
    complexes: &[Event],
    humps: &[Vec<f32>],
    found: &[Option<usize>],
) -> bool {
    let reach = leads.points(settings.reach_s);
    let correlation = |a: usize, b: usize| {
        let (mut xy, mut xx, mut yy) = (0f32, 0f32, 0f32);
        for lead in humps {
            for (x, y) in lead[a - reach..=a + reach].iter().zip(&lead[b - reach..=b + reach]) {
                xy += x * y;
                xx += x * x;
                yy += y * y;
            }
        }
        if xx * yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
    };
    let periods = leads.points(FLUTTER_S[0])..=leads.points(FLUTTER_S[1]);
    periods.step_by(leads.points(0.008).max(1)).any(|period| {
        let mut each: Vec<f32> = (1..complexes.len())
            .filter_map(|k| {
                let peak = found[k].filter(|peak| peak + reach < leads.sig_len)?;
                let first = complexes[k - 1].across.offset + reach;
                let two = peak.checked_sub(2 * period).filter(|two| *two > first)?;
                Some(correlation(peak, peak - period).min(correlation(peak, two)))
            })
            .collect();
        let middle = each.len() / 2;
        each.len() > 2 && *each.select_nth_unstable_by(middle, f32::total_cmp).1 > settings.flutter
    })
}

/// The highest point within `reach`.
fn nearest_top(hump: &[f32], at: usize, reach: usize) -> usize {
    highest(hump, at.saturating_sub(reach), at + reach + 1)
}

/// What the hump filter says in the stretch before each complex, all aligned at its onset.
struct Stretches {
    /// By complex: `[lead, time]`, zeros where no P wave may lie; empty if the complex has no stretch.
    values: Vec<Vec<f32>>,
    n_leads: usize,
    /// Points of a stretch, which ends at the onset.
    len: usize,
    /// By complex: the first point of the stretch at which a peak may lie.
    from: Vec<usize>,
    /// By complex: RR interval before it.
    rr: Vec<usize>,
}

impl Stretches {
    fn cut(
        settings: &Settings,
        leads: &Working,
        complexes: &[Event],
        humps: &[Vec<f32>],
        windows: &[Option<(usize, usize)>],
    ) -> Stretches {
        let len = leads.points(settings.earliest_s + 0.08);
        let mut from = vec![len; complexes.len()];
        let mut values: Vec<Vec<f32>> = (0..complexes.len())
            .map(|k| {
                let onset = complexes[k].across.onset;
                let (Some((first, _)), Some(start)) = (windows[k], onset.checked_sub(len)) else { return Vec::new() };
                from[k] = first - start;
                let skip = from[k].saturating_sub(leads.points(0.03));
                let mut values = vec![0f32; humps.len() * len];
                for (to, lead) in values.chunks_mut(len).zip(humps) {
                    to[skip..].copy_from_slice(&lead[start + skip..onset]);
                }
                values
            })
            .collect();
        // An artifact in one beat must not speak for all.
        let norm = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
        let mut norms: Vec<f32> = values.iter().filter(|v| !v.is_empty()).map(|v| norm(v)).collect();
        norms.sort_by(f32::total_cmp);
        let usual = norms.get(norms.len() / 2).copied().unwrap_or(0.0);
        for stretch in &mut values {
            let own = norm(stretch);
            if own > usual {
                stretch.iter_mut().for_each(|v| *v *= usual / own);
            }
        }
        let rr = (0..complexes.len())
            .map(|k| k.checked_sub(1).map_or(0, |before| complexes[k].across.peak - complexes[before].across.peak))
            .collect();
        Stretches { values, n_leads: humps.len(), len, from, rr }
    }

    /// The peak before complex `k`, if its beat agrees with the others around it.
    fn peak(&self, settings: &Settings, leads: &Working, complexes: &[Event], k: usize) -> Option<usize> {
        if self.values[k].is_empty() {
            return None;
        }
        let around = k.saturating_sub(settings.beats_around)..(k + settings.beats_around + 1).min(self.values.len());
        let set: Vec<usize> = around.filter(|&j| !self.values[j].is_empty()).collect();
        let mut sum = vec![0f32; self.n_leads * self.len];
        for &j in &set {
            sum.iter_mut().zip(&self.values[j]).for_each(|(sum, v)| *sum += v);
        }
        let mean = energy(&sum.chunks(self.len).map(<[f32]>::to_vec).collect::<Vec<_>>());
        let expected = self.len - leads.points(settings.expected_s).min(self.len);
        let spread = settings.spread_s * leads.fs_hz;
        let weighted: Vec<f32> = mean
            .iter()
            .enumerate()
            .map(|(at, v)| v / (1.0 + ((at as f64 - expected as f64) / spread).powi(2)) as f32)
            .collect();
        let mut starts: Vec<usize> = set.iter().map(|&j| self.from[j]).collect();
        starts.sort_unstable();
        let end = self.len - leads.points(settings.latest_s);
        // What rises up to the complex is its own foot, and no wave.
        let is_top = |at: usize| at > 0 && weighted[at] >= weighted[at - 1] && weighted[at] > weighted[at + 1];
        // The foot of a wave bends the other way than its peak.
        let is_hump = |at: usize| {
            (0..self.n_leads)
                .map(|lead| {
                    let value = |&j: &usize, back: usize| leads.mv[lead][complexes[j].across.onset - back];
                    let height: f32 = set.iter().map(|j| value(j, self.len - at) - value(j, 0)).sum();
                    sum[lead * self.len + at] * height
                })
                .sum::<f32>()
                > 0.0
        };
        let tops = (starts[starts.len() / 2]..end.min(self.len - 1)).filter(|&at| is_top(at) && is_hump(at));
        let place = tops.max_by(|&a, &b| weighted[a].total_cmp(&weighted[b]))?;
        let reach = leads.points(settings.reach_s);
        let others: Vec<f32> =
            set.iter().filter(|&&j| j != k).map(|&j| self.agreement(j, 0, place, reach, &sum)).collect();
        let mut sorted = others.clone();
        sorted.sort_by(f32::total_cmp);
        let agreement = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0);
        let limit = (settings.agreement + settings.irregular_agreement * self.irregularity(&set))
            .min(settings.certain_agreement);
        if agreement < limit {
            return None;
        }
        let jitter = leads.points(settings.jitter_s) as isize;
        let (own, shift) = (-jitter..=jitter)
            .map(|shift| (self.agreement(k, shift, place, reach, &sum), shift))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.abs().cmp(&a.1.abs())))?;
        let at = (complexes[k].across.onset - self.len + place) as isize + shift;
        usize::try_from(at).ok().filter(|_| own >= settings.beat_agreement)
    }

    /// Correlation of a stretch, moved by `shift`, with the sum of the others around a place.
    fn agreement(&self, j: usize, shift: isize, place: usize, reach: usize, sum: &[f32]) -> f32 {
        let (from, to) = (place.saturating_sub(reach), (place + reach + 1).min(self.len));
        let (mut xy, mut xx, mut yy) = (0f32, 0f32, 0f32);
        for lead in 0..self.n_leads {
            let row = &self.values[j][lead * self.len..(lead + 1) * self.len];
            let sums = &sum[lead * self.len..(lead + 1) * self.len];
            for at in from..to {
                let moved = (at as isize + shift) as usize;
                let Some(&x) = row.get(moved) else { continue };
                let y = sums[at] - row[at];
                xy += x * y;
                xx += x * x;
                yy += y * y;
            }
        }
        if xx * yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
    }

    /// Median change from one RR interval to the next, as a share of the median interval.
    fn irregularity(&self, set: &[usize]) -> f32 {
        let mut intervals: Vec<usize> = set.iter().map(|&j| self.rr[j]).filter(|&rr| rr > 0).collect();
        let mut changes: Vec<usize> = intervals.windows(2).map(|pair| pair[0].abs_diff(pair[1])).collect();
        if changes.len() < 2 {
            return 0.0;
        }
        changes.sort_unstable();
        intervals.sort_unstable();
        changes[changes.len() / 2] as f32 / intervals[intervals.len() / 2] as f32
    }
}
