//! What the network learns from: marked leads, disturbed and stretched, and simulated ones.
//!
//! A stretch that nobody looked at says nothing. A simulated wave ends where it falls to 5 % of its peak, a reader ends it
//! elsewhere; so the points around a simulated wave's ends say nothing either, and where waves end is learned from readers
//! alone. Item i of a step follows from the seed, the step and i, whatever the number of threads.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::input::{self, FS_HZ};
use crate::config::check;
use crate::delineators::marked::{MarkedLead, MarkedRecord};
use crate::error::{Error, Result};
use crate::nn::delnet::{MaskBatch, N_MASKS};
use crate::record::Wave;
use crate::record::fiducial::Fiducial;
use crate::seed::{Seed, Stream};
use crate::signal::noise::{NoiseKind, add_at_snr};
use crate::simulate::dipole::condition::Effect;
use crate::simulate::dipole::noise::NoiseMix;
use crate::simulate::dipole::{CONDITIONS, Request, SimulatedEcg};

/// Points around the window that its preparation looks at.
const MARGIN: usize = 750;
/// Points beside an end of a marked wave that do not belong to it, although nobody looked further.
const BESIDE: f64 = 8.0;
/// Points around an end of a simulated wave that say nothing.
const UNSURE: f64 = 4.0;
/// Largest stretch of time, as a logarithm.
const STRETCH: f64 = 0.16;
/// Share of pieces that are turned upside down.
const TURNED: f64 = 0.15;
/// Share of marked pieces that lose their highest frequencies.
const BLURRED: f64 = 0.15;
/// Share of marked pieces that get noise.
const DISTURBED: f64 = 0.6;

/// What the items of a step are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LessonConfig {
    /// Points of an item at the network's rate.
    pub points: usize,
    /// Share of simulated items at the first and at the last step; a line between them.
    pub simulated_share: [f64; 2],
    /// Share of the other items that are of QTDB.
    pub qtdb_share: f64,
}

impl LessonConfig {
    /// Checks the ranges, for a network that takes a multiple of some number of points.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self, multiple: usize) -> Result<()> {
        let points = self.points;
        let is_right = points.is_multiple_of(multiple) && (512..=65_536).contains(&points);
        check("lessons.points", is_right, points, &format!("a multiple of {multiple} from 512 to 65536"))?;
        for share in self.simulated_share {
            check("lessons.simulated_share", (0.0..=1.0).contains(&share), share, "0 to 1")?;
        }
        check("lessons.qtdb_share", (0.0..=1.0).contains(&self.qtdb_share), self.qtdb_share, "0 to 1")
    }
}

/// A wave in points of the network's rate and parts of them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mark {
    wave: Wave,
    onset: Option<f64>,
    peak: f64,
    offset: Option<f64>,
}

/// A lead, or a piece of one, at the network's rate.
#[derive(Debug, Clone, PartialEq)]
struct Piece {
    mv: Vec<f64>,
    marks: Vec<Mark>,
    looked_at: Vec<(f64, f64)>,
}

/// Draws batches.
#[derive(Debug, Clone)]
pub struct Lessons {
    config: LessonConfig,
    ludb: Vec<Piece>,
    qtdb: Vec<Piece>,
    n_steps: u64,
    seed: Seed,
}

impl Lessons {
    /// Lessons from these records; only those of the training part may be given.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no leads; [`Error::Config`] for a rate that the network cannot take.
    pub fn new(
        config: LessonConfig,
        ludb: &[MarkedRecord],
        qtdb: &[MarkedRecord],
        n_steps: u64,
        seed: Seed,
    ) -> Result<Lessons> {
        let pieces = |records: &[MarkedRecord], what: &str| -> Result<Vec<Piece>> {
            let leads = records.iter().flat_map(|record| record.leads.iter().map(|lead| Piece::of(lead, record.fs_hz)));
            let pieces = leads.collect::<Result<Vec<_>>>()?;
            match pieces.is_empty() {
                true => Err(Error::data(what, "found no records of the training part, expected at least one")),
                false => Ok(pieces),
            }
        };
        Ok(Lessons { ludb: pieces(ludb, "LUDB")?, qtdb: pieces(qtdb, "QTDB")?, config, n_steps, seed })
    }

    /// The batch of a step.
    ///
    /// # Errors
    /// Whatever the simulator returns.
    pub fn batch(&self, step: u64, n: usize) -> Result<MaskBatch> {
        let [first, last] = self.config.simulated_share;
        let share = first + (last - first) * step as f64 / self.n_steps.max(1) as f64;
        let items: Vec<[Vec<f32>; 3]> = (0..n)
            .into_par_iter()
            .map(|i| self.item(self.seed.purpose("lesson").index(step * n as u64 + i as u64), share))
            .collect::<Result<_>>()?;
        let mut batch = MaskBatch { n, ..MaskBatch::default() };
        for [signal, masks, known] in items {
            batch.signals.extend(signal);
            batch.masks.extend(masks);
            batch.known.extend(known);
        }
        Ok(batch)
    }

    fn item(&self, seed: Seed, simulated_share: f64) -> Result<[Vec<f32>; 3]> {
        let stream = &mut seed.stream();
        let points = self.config.points;
        let is_simulated = stream.uniform() < simulated_share;
        let (before, mut piece) = if is_simulated {
            (MARGIN, simulated(points, seed, stream)?)
        } else {
            let from = if stream.uniform() < self.config.qtdb_share { &self.qtdb } else { &self.ludb };
            let (before, mut piece) = from[stream.below(from.len())].cut(points, stream);
            disturb(&mut piece.mv, stream)?;
            (before, piece)
        };
        if stream.uniform() < TURNED {
            piece.mv.iter_mut().for_each(|v| *v = -*v);
        }
        let size = libm::pow(10.0, stream.uniform_in(-0.5, 0.4));
        piece.mv.iter_mut().for_each(|v| *v *= size);
        let mut signal = input::prepared(&piece.mv);
        signal.drain(..before);
        signal.resize(points, 0.0);
        let (masks, known) = piece.masks(before as f64, points, is_simulated);
        Ok([signal, masks, known])
    }
}

impl Piece {
    fn of(lead: &MarkedLead, fs_hz: f64) -> Result<Piece> {
        let at = |point: usize| point as f64 * FS_HZ / fs_hz;
        let mark =
            |f: &Fiducial| Mark { wave: f.wave, onset: f.onset.map(at), peak: at(f.peak), offset: f.offset.map(at) };
        Ok(Piece {
            mv: input::at_network_rate(&lead.mv, fs_hz)?,
            marks: lead.waves.iter().map(mark).collect(),
            looked_at: lead.looked_at.iter().map(|&(from, to)| (at(from), at(to))).collect(),
        })
    }

    /// A window around a stretch that was looked at, and the number of points before it; most are played faster or slower.
    fn cut(&self, points: usize, stream: &mut Stream) -> (usize, Piece) {
        let stretch = if stream.uniform() < 0.3 { 1.0 } else { libm::exp(stream.uniform_in(-STRETCH, STRETCH)) };
        let (from, to) = self.looked_at[stream.below(self.looked_at.len())];
        let length = points as f64 * stretch;
        let start = stream.uniform_in(from, to) - length * stream.uniform();
        let start = libm::floor(start.min(self.mv.len() as f64 - length).max(0.0));
        let before = ((start / stretch) as usize).min(MARGIN);
        let first = start - before as f64 * stretch;
        let mv: Vec<f64> = (0..before + points + MARGIN)
            .map(|k| first + k as f64 * stretch)
            .take_while(|&at| at <= (self.mv.len() - 1) as f64)
            .map(|at| between(&self.mv, at))
            .collect();
        let new = |at: f64| (at - first) / stretch;
        let marks = self.marks.iter().map(|mark| Mark {
            wave: mark.wave,
            onset: mark.onset.map(new),
            peak: new(mark.peak),
            offset: mark.offset.map(new),
        });
        let looked_at = self.looked_at.iter().map(|&(from, to)| (new(from), new(to))).collect();
        (before, Piece { mv, marks: marks.collect(), looked_at })
    }

    /// Share of each point that lies in a wave, and where that is known, both `[mask, time]`, from a first point on.
    fn masks(&self, first: f64, points: usize, is_simulated: bool) -> (Vec<f32>, Vec<f32>) {
        let mut masks = vec![0.0; N_MASKS * points];
        let mut known = vec![0.0; N_MASKS * points];
        let end = (self.mv.len() as f64 - first).min(points as f64);
        let fill = |row: &mut [f32], from: f64, to: f64, value: f32| {
            let (from, to) = (libm::ceil(from - first).max(0.0), libm::floor(to - first).min(end - 1.0));
            if from <= to {
                row[from as usize..=to as usize].fill(value);
            }
        };
        for (channel, wave) in Wave::ALL.into_iter().enumerate() {
            let known = &mut known[channel * points..(channel + 1) * points];
            self.looked_at.iter().for_each(|&(from, to)| fill(known, from, to, 1.0));
            let mask = &mut masks[channel * points..(channel + 1) * points];
            for (k, mark) in self.marks.iter().enumerate().filter(|(_, mark)| mark.wave == wave) {
                let before = k.checked_sub(1).map_or(mark.peak, |k| self.marks[k].offset.unwrap_or(self.marks[k].peak));
                let after = self.marks.get(k + 1).map_or(mark.peak, |next| next.onset.unwrap_or(next.peak));
                match mark.onset {
                    Some(onset) if is_simulated => fill(known, onset - UNSURE, onset + UNSURE, 0.0),
                    Some(onset) => fill(known, onset - BESIDE, onset, 1.0),
                    None => fill(known, before.min(mark.peak), mark.peak, 0.0),
                }
                match mark.offset {
                    Some(offset) if is_simulated => fill(known, offset - UNSURE, offset + UNSURE, 0.0),
                    Some(offset) => fill(known, offset, offset + BESIDE, 1.0),
                    None => fill(known, mark.peak, after.max(mark.peak), 0.0),
                }
                let (from, to) = (mark.onset.unwrap_or(mark.peak) - first, mark.offset.unwrap_or(mark.peak) - first);
                let last = (libm::ceil(to + 0.5).max(0.0) as usize).min(points);
                for (k, share) in mask.iter_mut().enumerate().take(last).skip(libm::floor(from - 0.5).max(0.0) as usize)
                {
                    let inside = (k as f64 + 0.5).min(to) - (k as f64 - 0.5).max(from);
                    *share = (f64::from(*share) + inside.max(0.0)).min(1.0) as f32;
                }
            }
            if is_simulated && wave == Wave::P {
                // A P wave inside a T wave is there, and nobody could see it.
                for t in self.marks.iter().filter(|mark| mark.wave == Wave::T) {
                    let (Some(from), Some(to)) = (t.onset, t.offset) else { continue };
                    let hidden = |p: &&Mark| p.wave == Wave::P && (from..=to).contains(&p.peak);
                    for p in self.marks.iter().filter(hidden) {
                        let (from, to) = (p.onset.unwrap_or(p.peak), p.offset.unwrap_or(p.peak));
                        fill(known, from - UNSURE, to + UNSURE, 0.0);
                    }
                }
            }
        }
        (masks, known)
    }
}

/// The value between points, by a cubic through four of them.
///
/// # Reference
/// Catmull and Rom 1974.
fn between(x: &[f64], at: f64) -> f64 {
    let k = at as usize;
    let t = at - k as f64;
    if t == 0.0 {
        return x[k];
    }
    let value = |k: usize| x[k.min(x.len() - 1)];
    let [a, b, c, d] = [x[k.saturating_sub(1)], x[k], value(k + 1), value(k + 2)];
    b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
}

/// Adds noise of some kinds, and blurs what a low-pass would blur.
fn disturb(mv: &mut [f64], stream: &mut Stream) -> Result<()> {
    if stream.uniform() < BLURRED {
        let half = 1 + stream.below(3);
        let sharp = mv.to_vec();
        for (k, value) in mv.iter_mut().enumerate() {
            let around = &sharp[k.saturating_sub(half)..(k + half + 1).min(sharp.len())];
            *value = around.iter().sum::<f64>() / around.len() as f64;
        }
    }
    if stream.uniform() >= DISTURBED {
        return Ok(());
    }
    let f_hz = if stream.uniform() < 0.5 { 50.0 } else { 60.0 };
    let kinds = [
        (NoiseKind::BaselineWander, [-5.0, 20.0]),
        (NoiseKind::Powerline { f_hz }, [8.0, 30.0]),
        (NoiseKind::Muscle, [8.0, 30.0]),
        (NoiseKind::ElectrodeMotion, [3.0, 25.0]),
        (NoiseKind::White, [10.0, 30.0]),
    ];
    for (kind, [low, high]) in kinds {
        if stream.uniform() < 0.35 {
            let noise = kind.generate(mv.len(), FS_HZ, stream)?;
            add_at_snr(mv, &noise, stream.uniform_in(low, high));
        }
    }
    Ok(())
}

/// One lead of a simulated record of any condition, with noise and a recorder's band; the window begins at [`MARGIN`].
fn simulated(points: usize, seed: Seed, stream: &mut Stream) -> Result<Piece> {
    let conditions: Vec<&str> = CONDITIONS
        .iter()
        .filter(|entry| !matches!(entry.effect, Effect::Waveform(_)))
        .map(|entry| entry.name)
        .collect();
    let mut request = Request::new(conditions[stream.below(conditions.len())])?;
    request.fs_hz = FS_HZ;
    request.seconds = ((points + 2 * MARGIN) as f64 / FS_HZ).max(5.0);
    if stream.uniform() < 0.5 {
        request.hr_bpm = Some(libm::exp(stream.uniform_in(libm::log(40.0), libm::log(220.0))));
        // Not every condition has every rate.
        request.hr_bpm = request.hr_bpm.filter(|_| request.validate().is_ok());
    }
    if stream.uniform() < 0.75 {
        request.snr_db = Some(stream.uniform_in(2.0, 30.0));
        let mut share = || stream.uniform() * stream.uniform();
        request.noise = NoiseMix {
            baseline: share(),
            muscle: share(),
            mains: 0.5 * share(),
            motion: 0.5 * share(),
            white: share(),
            mains_hz: 50.0,
        };
        if stream.uniform() < 0.5 {
            request.noise.mains_hz = 60.0;
        }
    }
    if stream.uniform() < 0.3 {
        request.recorder.low_pass_hz = Some(stream.uniform_in(25.0, 100.0));
    }
    if stream.uniform() < 0.3 {
        request.recorder.high_pass_hz = Some(stream.uniform_in(0.05, 0.6));
    }
    let lead = stream.below(12);
    let ecg = match SimulatedEcg::draw(&request, seed.purpose("simulated")) {
        // A drawn patient may not be able to have the drawn rate; any rate will do.
        Err(Error::Config { .. }) if request.hr_bpm.take().is_some() => {
            SimulatedEcg::draw(&request, seed.purpose("simulated"))?
        }
        drawn => drawn?,
    };
    let mut marks: Vec<Mark> = Vec::new();
    for truth in &ecg.waves {
        let Some([onset, peak, offset]) = truth.leads_s[lead].map(|times| times.map(|t_s| t_s * FS_HZ)) else {
            continue;
        };
        if let Some(last) = marks.last_mut()
            && (last.wave, truth.wave) == (Wave::P, Wave::Qrs)
        {
            // A P wave that runs into its QRS complex ends there.
            last.offset = last.offset.map(|end| end.min(onset.max(last.peak)));
        }
        marks.push(Mark { wave: truth.wave, onset: Some(onset), peak, offset: Some(offset) });
    }
    Ok(Piece {
        mv: ecg.ecg_mv[lead * ecg.sig_len..(lead + 1) * ecg.sig_len].iter().map(|&v| f64::from(v)).collect(),
        looked_at: vec![(0.0, ecg.sig_len as f64)],
        marks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;

    fn record(looked_at: Vec<(usize, usize)>, waves: Vec<Fiducial>) -> MarkedRecord {
        let mv = (0..5000).map(|k| (k as f32 * 0.01).sin()).collect();
        let lead = MarkedLead { name: "II".into(), mv, waves, looked_at };
        MarkedRecord { name: "1".into(), patient: "p".into(), split: Split::Train, fs_hz: 500.0, leads: vec![lead] }
    }

    fn lessons(share: f64) -> Lessons {
        let wave = |wave, onset, peak, offset| Fiducial { wave, onset, peak, offset };
        let waves = vec![
            wave(Wave::P, Some(1000), 1040, Some(1080)),
            wave(Wave::Qrs, Some(1160), 1200, Some(1240)),
            wave(Wave::T, None, 1500, Some(1600)),
        ];
        let records = [record(vec![(1000, 1600)], waves)];
        let config = LessonConfig { points: 1024, simulated_share: [share; 2], qtdb_share: 0.5 };
        config.validate(32).unwrap();
        Lessons::new(config, &records, &records, 10, Seed::new(3)).unwrap()
    }

    #[test]
    fn what_nobody_looked_at_says_nothing() {
        let piece = &lessons(0.0).ludb[0];
        // At 250 Hz: P 500 to 540, QRS 580 to 620, T from an unknown onset over 750 to 800.
        let (masks, known) = piece.masks(400.0, 500, false);
        let at = |values: &[f32], channel: usize, point: usize| values[channel * 500 + point - 400];
        for (channel, inside, outside) in [(0, [501, 520, 539], [495, 545]), (1, [581, 600, 619], [575, 625])] {
            for (points, share) in [(&inside[..], 1.0), (&outside[..], 0.0)] {
                for &point in points {
                    assert_eq!((at(&masks, channel, point), at(&known, channel, point)), (share, 1.0), "{point}");
                }
            }
        }
        assert_eq!((at(&masks, 0, 500), at(&masks, 0, 540)), (0.5, 0.5));
        // Between QRS and the peak of T the T wave begins somewhere.
        assert_eq!((at(&known, 2, 600), at(&known, 2, 700), at(&known, 2, 780)), (1.0, 0.0, 1.0));
        for channel in 0..N_MASKS {
            assert_eq!((at(&known, channel, 450), at(&known, channel, 850)), (0.0, 0.0));
        }
    }

    #[test]
    fn items_follow_from_the_seed_and_hold_every_kind_of_truth() {
        for share in [0.0, 1.0] {
            let lessons = lessons(share);
            let batch = lessons.batch(3, 6).unwrap();
            assert_eq!(batch, lessons.batch(3, 6).unwrap());
            assert_ne!(batch, lessons.batch(4, 6).unwrap());
            // Item 4 of a batch of 6 at step 3 is item 22: step 11 of batches of 2.
            let same = lessons.batch(11, 2).unwrap();
            assert_eq!(same.signals[..1024], batch.signals[4 * 1024..5 * 1024]);
            assert_eq!((batch.signals.len(), batch.masks.len(), batch.known.len()), (6 * 1024, 18 * 1024, 18 * 1024));
            assert!(batch.signals.iter().all(|v| v.is_finite() && v.abs() < 12.0));
            assert!(batch.masks.iter().chain(&batch.known).all(|v| (0.0..=1.0).contains(v)));
            assert!(batch.masks.contains(&1.0) && batch.known.contains(&1.0) && batch.known.contains(&0.0));
        }
    }

    #[test]
    fn every_condition_can_be_learned_from() {
        for item in 0..120 {
            let seed = Seed::new(8).index(item);
            simulated(512, seed, &mut seed.stream()).unwrap();
        }
    }

    #[test]
    fn stretched_marks_stay_at_their_waves() {
        let lessons = lessons(0.0);
        let whole = &lessons.ludb[0];
        for item in 0..20 {
            let (before, piece) = whole.cut(1024, &mut Seed::new(2).index(item).stream());
            assert!(before <= MARGIN);
            for (old, new) in whole.marks.iter().zip(&piece.marks) {
                let (old, new) = (between(&whole.mv, old.peak), new.peak);
                if new >= 0.0 && new < (piece.mv.len() - 1) as f64 {
                    assert!((between(&piece.mv, new) - old).abs() < 1e-3);
                }
            }
        }
    }
}
