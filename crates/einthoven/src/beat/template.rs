//! The mean beat of a record: what stands out from it is noise, and where beats are hidden it can stand in for them.

use crate::signal::median::median;

/// Share of an RR interval that belongs to the beat at its end.
const BEFORE_R: f64 = 0.4;
/// Fewest beats that make a template.
const MIN_BEATS: usize = 4;
/// Seconds beside a gap that say how far the record lies from the template there.
const EDGE_S: f64 = 0.2;
/// A normal distribution's standard deviation over its median absolute deviation.
const SD_PER_MAD: f64 = 1.4826;

/// The median beat of each lead, by R peak.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Points before the R peak.
    before: usize,
    /// Amplitudes `[lead][time]`.
    beats: Vec<Vec<f32>>,
    /// Usual interval between two beats, points.
    rr: f64,
    /// What beats differ by from the template, see [`Template::noise_sd`].
    noise_sd: Vec<f64>,
}

/// A template laid into a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct StandIn {
    /// Amplitudes `[lead][time]` within the gap.
    pub ecg: Vec<Vec<f32>>,
    /// How well the same rule meets beats that were recorded: a correlation, from 0 to 1.
    pub confidence: f64,
}

impl Template {
    /// The template of leads that were recorded together; NaN is missing. `None` without four beats that are there
    /// from end to end.
    ///
    /// # Panics
    /// If the leads differ in length.
    pub fn of(leads: &[&[f32]], r_index: &[usize]) -> Option<Template> {
        let sig_len = leads.first()?.len();
        assert!(leads.iter().all(|lead| lead.len() == sig_len), "leads that were recorded together have one length");
        let rr = usual_rr(r_index)?;
        let before = (BEFORE_R * rr) as usize;
        let length = rr as usize;
        let starts: Vec<usize> = r_index
            .iter()
            .filter_map(|r| r.checked_sub(before))
            .filter(|&start| {
                let is_there =
                    |lead: &&[f32]| lead.get(start..start + length).is_some_and(|w| !w.iter().any(|v| v.is_nan()));
                leads.iter().all(is_there)
            })
            .collect();
        if starts.len() < MIN_BEATS {
            return None;
        }
        let of_lead = |lead: &&[f32]| -> (Vec<f32>, f64) {
            let at = |t: usize| starts.iter().map(|start| f64::from(lead[start + t])).collect::<Vec<_>>();
            let beat: Vec<f64> = (0..length).map(|t| median(&at(t))).collect();
            let off: Vec<f64> =
                (0..length).flat_map(|t| at(t).into_iter().map(|v| (v - beat[t]).abs()).collect::<Vec<_>>()).collect();
            (beat.iter().map(|&v| v as f32).collect(), SD_PER_MAD * median(&off))
        };
        let (beats, noise_sd) = leads.iter().map(of_lead).unzip();
        Some(Template { before, beats, rr, noise_sd })
    }

    /// Noise of each lead: the robust standard deviation of its beats about the template, in the unit of the leads.
    ///
    /// What differs from beat to beat for other reasons, such as breathing, counts as noise.
    pub fn noise_sd(&self) -> &[f64] {
        &self.noise_sd
    }

    /// Beats at R peaks in increasing order, over points `from..to`; the ends of a beat are held.
    fn laid(&self, r: &[f64], from: usize, to: usize) -> Vec<Vec<f32>> {
        let place = |t: usize| {
            let t = t as f64;
            // A beat begins some way before its R peak.
            let k = r.partition_point(|&at| at - BEFORE_R * self.rr <= t).max(1) - 1;
            let at = (t - r[k]).round() as i64 + self.before as i64;
            usize::try_from(at).unwrap_or(0)
        };
        let places: Vec<usize> = (from..to).map(place).collect();
        let of_lead = |beat: &Vec<f32>| places.iter().map(|&at| beat[at.min(beat.len() - 1)]).collect();
        self.beats.iter().map(of_lead).collect()
    }

    /// The template laid into the gap `from..to` of the leads that it is of, at the R peaks that the rhythm predicts.
    ///
    /// Between the last beat before the gap and the first one after it, beats are spaced evenly, as many as the usual
    /// interval asks for; at an end of the record they follow in that interval. A straight line brings the template to
    /// the record at both sides. `None` where too few beats tell how well that fits.
    ///
    /// # Reference
    /// Jenkins, Chen, Ng, Mandic 2023, "Improving diffusion models for ECG imputation with an augmented template prior",
    /// arXiv:2310.15742.
    /// # Differs from the paper
    /// The confidence is measured on the whole rule, predicted positions included, not on beats at their own R peaks.
    pub fn stand_in(&self, leads: &[&[f32]], r_index: &[usize], gap: [usize; 2], fs_hz: f64) -> Option<StandIn> {
        let [from, to] = gap;
        let r: Vec<usize> = r_index.iter().copied().filter(|at| !(from..to).contains(at)).collect();
        let split = r.partition_point(|&at| at < from);
        let (before, after) = r.split_at(split);
        let last = before.last().map(|&at| at as f64);
        let next = after.first().map(|&at| at as f64);
        let n_hidden = match (last, next) {
            (Some(last), Some(next)) => ((next - last) / self.rr).round().max(1.0) as usize - 1,
            (None, None) => return None,
            _ => ((to - from) as f64 / self.rr).ceil() as usize,
        };
        let peaks = spaced(last, next, n_hidden, self.rr);
        let confidence = self.confidence(leads, [before, after], n_hidden)?;
        let sig_len = leads.first()?.len();
        let edge = (EDGE_S * fs_hz).round().max(1.0) as usize;
        let around = [from.saturating_sub(edge), (to + edge).min(sig_len)];
        let mut ecg = self.laid(&peaks, around[0], around[1]);
        for (laid, lead) in ecg.iter_mut().zip(leads) {
            let distance = |points: std::ops::Range<usize>| {
                let off = points.map(|t| f64::from(lead[t] - laid[t - around[0]])).filter(|d| !d.is_nan());
                let off: Vec<f64> = off.collect();
                (!off.is_empty()).then(|| median(&off))
            };
            let (start, end) = (distance(around[0]..from), distance(to..around[1]));
            let (start, end) = (start.or(end).unwrap_or(0.0), end.or(start).unwrap_or(0.0));
            let n = (to - from) as f64;
            *laid = (from..to)
                .map(|t| laid[t - around[0]] + (start + (end - start) * (t - from + 1) as f64 / (n + 1.0)) as f32)
                .collect();
        }
        Some(StandIn { ecg, confidence })
    }

    /// Mean correlation of recorded stretches, with as many beats inside as are hidden or as many as there are, with the
    /// template laid by the same rule; `None` without a stretch.
    fn confidence(&self, leads: &[&[f32]], runs: [&[usize]; 2], n_hidden: usize) -> Option<f64> {
        let most = runs.iter().map(|run| run.len()).max().unwrap_or(0).saturating_sub(2);
        let n_inside = n_hidden.min(most);
        let stretches = runs.iter().flat_map(|run| run.windows(n_inside + 2));
        let mut found = Vec::new();
        for stretch in stretches {
            let (first, last) = (stretch[0], stretch[n_inside + 1]);
            let half = (0.5 * self.rr) as usize;
            let [from, to] = [first + half, last.saturating_sub((BEFORE_R * self.rr) as usize)];
            // Without a beat inside, what lies between two beats tells nothing of the rule.
            let [from, to] = if n_inside == 0 { [first, last] } else { [from, to] };
            if from >= to {
                continue;
            }
            let peaks = spaced(Some(first as f64), Some(last as f64), n_inside, self.rr);
            let laid = self.laid(&peaks, from, to);
            let pairs = leads.iter().zip(&laid).flat_map(|(lead, laid)| lead[from..to].iter().zip(laid));
            found.extend(correlation(pairs.map(|(&x, &y)| (f64::from(x), f64::from(y)))));
        }
        (!found.is_empty()).then(|| (found.iter().sum::<f64>() / found.len() as f64).clamp(0.0, 1.0))
    }
}

/// Median distance of neighbouring R peaks, points.
fn usual_rr(r_index: &[usize]) -> Option<f64> {
    let each: Vec<f64> = r_index.windows(2).map(|pair| pair[1] as f64 - pair[0] as f64).collect();
    let rr = median(&each);
    // A beat has a length; NaN without two of them.
    (rr >= 4.0).then_some(rr)
}

/// R peaks from the last one before a gap to the next one after it, with `n_hidden` between; on the side where there is
/// none they follow in the usual interval.
fn spaced(last: Option<f64>, next: Option<f64>, n_hidden: usize, rr: f64) -> Vec<f64> {
    let step = |k: usize| k as f64;
    match (last, next) {
        (Some(last), Some(next)) => {
            let rr = (next - last) / step(n_hidden + 1);
            (0..=n_hidden + 1).map(|k| last + step(k) * rr).collect()
        }
        (Some(last), None) => (0..=n_hidden + 1).map(|k| last + step(k) * rr).collect(),
        (None, Some(next)) => (0..=n_hidden + 1).rev().map(|k| next - step(k) * rr).collect(),
        (None, None) => Vec::new(),
    }
}

/// Correlation of pairs of which both are there; `None` where either does not vary.
pub fn correlation(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = pairs.filter(|(x, y)| !x.is_nan() && !y.is_nan()).collect();
    let n = pairs.len() as f64;
    let (mx, my) = pairs.iter().fold((0.0, 0.0), |(sx, sy), (x, y)| (sx + x / n, sy + y / n));
    let [mut xx, mut yy, mut xy] = [0.0; 3];
    for (x, y) in &pairs {
        (xx, yy, xy) = (xx + (x - mx).powi(2), yy + (y - my).powi(2), xy + (x - mx) * (y - my));
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    const FS_HZ: f64 = 100.0;

    /// Two leads of beats at R peaks, with noise and a drift.
    fn record(r: &[usize], n: usize, noise: [f64; 2], drift: f64) -> Vec<Vec<f32>> {
        let mut stream = Seed::new(3).stream();
        let beat = |t: f64| (-(t / 2.0).powi(2)).exp() + 0.3 * (-((t - 25.0) / 6.0).powi(2)).exp();
        let mut lead = |size: f64, noise: f64| -> Vec<f32> {
            let at = |t: usize| r.iter().map(|&r| beat(t as f64 - r as f64)).sum::<f64>() * size + drift * t as f64;
            (0..n).map(|t| (at(t) + noise * stream.normal()) as f32).collect()
        };
        vec![lead(1.0, noise[0]), lead(-0.5, noise[1])]
    }

    fn even(n: usize, rr: usize) -> Vec<usize> {
        (0..).map(|k| 40 + k * rr).take_while(|r| *r < n).collect()
    }

    fn slices(leads: &[Vec<f32>]) -> Vec<&[f32]> {
        leads.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn noise_is_measured_lead_by_lead() {
        let r = even(3000, 80);
        let leads = record(&r, 3000, [0.1, 0.02], 0.0);
        let template = Template::of(&slices(&leads), &r).unwrap();
        for (found, true_sd) in template.noise_sd().iter().zip([0.1, 0.02]) {
            assert!((found / true_sd - 1.0).abs() < 0.08, "{found} for {true_sd}");
        }
        assert_eq!(Template::of(&slices(&leads), &r[..3]), None);
        assert_eq!(Template::of(&slices(&leads), &[]), None);
    }

    #[test]
    fn hidden_beats_of_an_even_rhythm_are_met_and_the_drift_goes_on() {
        let (n, gap) = (1000, [400, 610]);
        let r = even(n, 80);
        let whole = record(&r, n, [0.0, 0.0], 0.0005);
        let mut leads = whole.clone();
        leads.iter_mut().for_each(|lead| lead[gap[0]..gap[1]].fill(f32::NAN));
        let seen: Vec<usize> = r.iter().copied().filter(|at| !(gap[0]..gap[1]).contains(at)).collect();
        let template = Template::of(&slices(&leads), &seen).unwrap();
        let found = template.stand_in(&slices(&leads), &seen, gap, FS_HZ).unwrap();
        assert!(found.confidence > 0.9, "{}", found.confidence);
        for (lead, laid) in whole.iter().zip(&found.ecg) {
            let most = lead[gap[0]..gap[1]].iter().zip(laid).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(most < 0.06, "{most}");
        }
        // To the end of the record, and from its start.
        for gap in [[700, n], [0, 300]] {
            let seen: Vec<usize> = r.iter().copied().filter(|at| !(gap[0]..gap[1]).contains(at)).collect();
            let found = template.stand_in(&slices(&whole), &seen, gap, FS_HZ).unwrap();
            let pairs = whole[0][gap[0]..gap[1]].iter().zip(&found.ecg[0]).map(|(&x, &y)| (f64::from(x), f64::from(y)));
            assert!(correlation(pairs).unwrap() > 0.9, "{gap:?}");
        }
    }

    #[test]
    fn an_uneven_rhythm_is_not_trusted() {
        let mut stream = Seed::new(1).stream();
        let mut r = vec![40];
        while r[r.len() - 1] < 2900 {
            r.push(r[r.len() - 1] + stream.uniform_in(45.0, 130.0) as usize);
        }
        let leads = record(&r, 3000, [0.0, 0.0], 0.0);
        let template = Template::of(&slices(&leads), &r).unwrap();
        let found = template.stand_in(&slices(&leads), &r, [1500, 1700], FS_HZ).unwrap();
        assert!(found.confidence < 0.5, "{}", found.confidence);
        assert_eq!(template.stand_in(&slices(&leads), &[], [1500, 1700], FS_HZ), None);
    }
}
