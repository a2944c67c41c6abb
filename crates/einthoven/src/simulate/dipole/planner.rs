//! When beats come, of which kind, and where their P waves are: the rhythm, beat by beat and without end.
//!
//! Intervals are planned in stretches of at most 256. In each the intervals inside the record add up to exactly the
//! wanted mean, so the heart rate is met in a record of any length, and memory does not grow with it.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use crate::error::Result;
use crate::seed::{Seed, Stream};
use crate::simulate::dipole::condition::Rhythm;
use crate::simulate::rr::RrProcess;

/// Intervals planned at once.
const STRETCH: usize = 256;
/// Ratio of low to high frequency at which the process has its low-frequency part alone: the other part comes from the
/// breathing, which also turns the heart.
const LOW_FREQUENCY_ALONE: f64 = 1e12;

/// Where a beat begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The sinus node, or the atria's own rhythm.
    Conducted,
    /// An early focus in the atria.
    AtrialEctopic,
    /// A focus in the ventricles, by number.
    Ventricular(usize),
    /// The AV junction, when nothing else comes.
    JunctionalEscape,
    /// The ventricles, when nothing else comes.
    VentricularEscape,
    /// A pacemaker.
    Paced,
}

/// One beat of the plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlannedBeat {
    /// Number from the first beat inside the record, which is 0; the one before it is -1.
    pub index: i64,
    /// Time of R, s.
    pub r_s: f64,
    /// RR interval before it, s.
    pub rr_s: f64,
    pub origin: Origin,
    /// PR interval where a P wave belongs to the beat, s.
    pub pr_s: Option<f64>,
    /// How long before this beat's own P wave P waves came that were not conducted, s.
    pub blocked_before_s: Vec<f64>,
}

/// What the planner needs to know.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pace {
    pub rhythm: Rhythm,
    /// Mean RR interval, s.
    pub mean_s: f64,
    /// Length of the record, s.
    pub seconds: f64,
    /// PR interval of conducted beats, s.
    pub pr_s: f64,
    /// Earliest time after R at which a ventricular beat may come, s.
    pub refractory_s: f64,
    /// Slow variation as a share of the interval, and variation with breathing.
    pub lf_share: f64,
    pub rsa_share: f64,
    /// Breathing rate in Hz and phase in cycles.
    pub breathing: [f64; 2],
    /// Number of ventricular foci.
    pub n_foci: usize,
}

/// An interval before scaling: `units` of the stretch's unit plus a fixed part.
struct Draft {
    units: f64,
    fixed_s: f64,
    origin: Origin,
    pr_s: Option<f64>,
    n_blocked: usize,
    /// Whether the sinus node's variation applies.
    sways: bool,
}

/// Yields beats in the order of time.
pub(super) struct Planner {
    pace: Pace,
    seed: Seed,
    stream: Stream,
    ready: VecDeque<PlannedBeat>,
    /// Beats that still have to come before the next ectopic one, and where the cycle is.
    countdown: usize,
    phase: usize,
    cycle: usize,
    /// PR interval of the beat before, s.
    last_pr_s: f64,
    last_r_s: f64,
    n_planned: usize,
    n_inside: usize,
    stretch: u64,
}

impl Planner {
    /// Starts with the beat before the record.
    pub fn new(pace: Pace, seed: Seed) -> Planner {
        let mut stream = seed.purpose("rhythm").stream();
        let (mean_s, seconds) = (pace.mean_s, pace.seconds);
        // As many whole intervals as fit, with a rest that is too short for one more, however early.
        let n_inside = (libm::floor(seconds / mean_s - 0.2) as usize).max(1);
        let slack_s = (seconds - n_inside as f64 * mean_s).max(0.0);
        let last_start = (slack_s - 0.02 * mean_s).min(0.72 * mean_s).max(0.0);
        let first_start = (slack_s - 0.45 * mean_s).max(0.05 * mean_s).min(last_start);
        let first_r_s = stream.uniform_in(first_start, last_start);
        let mut planner = Planner {
            last_pr_s: pace.pr_s,
            seed,
            ready: VecDeque::new(),
            countdown: 0,
            phase: 0,
            cycle: 0,
            last_r_s: first_r_s - mean_s,
            n_planned: 0,
            n_inside,
            stretch: 0,
            stream,
            pace,
        };
        planner.cycle = match planner.pace.rhythm {
            Rhythm::Mobitz1 => 4 + planner.stream.below(2),
            Rhythm::Mobitz2 => 3 + planner.stream.below(2),
            _ => 0,
        };
        planner.countdown = 1 + planner.stream.below(3);
        let rhythm = planner.pace.rhythm;
        let (origin, pr_s) = planner.basic();
        for (index, r_s) in [(-1, first_r_s - mean_s), (0, first_r_s)] {
            // Blocked P waves are planned from the first interval on; the beat of index 0 opens the first cycle.
            let pr_s = if rhythm == Rhythm::Mobitz1 { Some(planner.wenckebach_pr(0)) } else { pr_s };
            planner.ready.push_back(PlannedBeat {
                index,
                r_s,
                rr_s: mean_s,
                origin,
                pr_s,
                blocked_before_s: Vec::new(),
            });
        }
        planner.last_pr_s = planner.ready[1].pr_s.unwrap_or(0.0);
        planner.last_r_s = first_r_s;
        planner
    }

    /// The next beat.
    ///
    /// # Errors
    /// Whatever the RR process refuses.
    pub fn next(&mut self) -> Result<PlannedBeat> {
        loop {
            if let Some(beat) = self.ready.pop_front() {
                return Ok(beat);
            }
            self.plan_stretch()?;
        }
    }

    /// The most common beat of the rhythm.
    fn basic(&self) -> (Origin, Option<f64>) {
        let pace = &self.pace;
        match pace.rhythm {
            Rhythm::Fibrillation | Rhythm::Flutter(_) | Rhythm::Supraventricular => (Origin::Conducted, None),
            Rhythm::VentricularTachycardia => (Origin::Ventricular(0), None),
            // Below about 42 bpm the junction is silent too.
            Rhythm::Block3 if pace.mean_s > 60.0 / 42.0 => (Origin::VentricularEscape, None),
            Rhythm::Block3 => (Origin::JunctionalEscape, None),
            Rhythm::Paced => (Origin::Paced, None),
            Rhythm::PacedDual => (Origin::Paced, Some(pace.pr_s)),
            _ => (Origin::Conducted, Some(pace.pr_s)),
        }
    }

    fn plan_stretch(&mut self) -> Result<()> {
        let remaining = self.n_inside.saturating_sub(self.n_planned);
        // After the record's end a few more beats are needed, whose P waves and early parts reach into it.
        let n = if remaining > 0 { remaining.min(STRETCH) } else { 8 };
        let drafts: Vec<Draft> = (0..n).map(|_| self.draft()).collect();
        let stretch_seed = self.seed.purpose("rr").index(self.stretch);
        let (mean_s, lf_share) = (self.pace.mean_s, self.pace.lf_share);
        let slow = if lf_share > 0.0 && drafts.iter().any(|draft| draft.sways) {
            RrProcess { mean_s, sd_s: lf_share * mean_s, lf_hf_ratio: LOW_FREQUENCY_ALONE }
                .intervals(n, &mut stretch_seed.stream())?
        } else {
            vec![mean_s; n]
        };
        let [rate_hz, phase] = self.pace.breathing;
        let mut t_s = self.last_r_s;
        let units: Vec<f64> = drafts
            .iter()
            .zip(&slow)
            .map(|(draft, slow_s)| {
                let breath = self.pace.rsa_share * libm::sin(TAU * (rate_hz * t_s + phase));
                t_s += draft.units * mean_s + draft.fixed_s;
                draft.units * if draft.sways { slow_s / mean_s + breath } else { 1.0 }
            })
            .collect();
        let fixed_s: f64 = drafts.iter().map(|draft| draft.fixed_s).sum();
        let unit_s = (n as f64 * mean_s - fixed_s) / units.iter().sum::<f64>();
        for (draft, units) in drafts.into_iter().zip(units) {
            let rr_s = units * unit_s + draft.fixed_s;
            self.last_r_s += rr_s;
            self.n_planned += 1;
            self.ready.push_back(PlannedBeat {
                index: self.n_planned as i64,
                r_s: self.last_r_s,
                rr_s,
                origin: draft.origin,
                pr_s: draft.pr_s,
                blocked_before_s: (1..=draft.n_blocked).map(|k| k as f64 * unit_s).collect(),
            });
        }
        self.stretch += 1;
        Ok(())
    }

    /// One interval and the beat at its end.
    fn draft(&mut self) -> Draft {
        let (origin, pr_s) = self.basic();
        let plain = Draft { units: 1.0, fixed_s: 0.0, origin, pr_s, n_blocked: 0, sways: true };
        let regular = |plain: Draft, sd: f64, stream: &mut Stream| Draft {
            units: 1.0 + sd * stream.normal(),
            sways: false,
            ..plain
        };
        match self.pace.rhythm {
            Rhythm::Sinus | Rhythm::Bradycardia | Rhythm::Tachycardia | Rhythm::SinusArrhythmia | Rhythm::Block1 => {
                plain
            }
            Rhythm::Fibrillation => {
                // Independent log-normal intervals: the AV node passes waves at random.
                let units = libm::exp(0.24 * self.stream.normal()).clamp(0.55, 1.8);
                Draft { units, sways: false, ..plain }
            }
            Rhythm::Flutter(_) => Draft { sways: false, ..plain },
            Rhythm::Supraventricular => regular(plain, 0.004, &mut self.stream),
            Rhythm::VentricularTachycardia => regular(plain, 0.012, &mut self.stream),
            Rhythm::Block3 => regular(plain, 0.006, &mut self.stream),
            Rhythm::Paced | Rhythm::PacedDual => Draft { sways: false, ..plain },
            Rhythm::VentricularFibrillation => Draft { sways: false, pr_s: None, ..plain },
            Rhythm::AtrialPremature => self.draft_atrial(plain),
            Rhythm::VentricularPremature
            | Rhythm::Multifocal
            | Rhythm::Bigeminy
            | Rhythm::Trigeminy
            | Rhythm::Couplets => self.draft_ventricular(plain),
            Rhythm::Mobitz1 => self.draft_wenckebach(plain),
            Rhythm::Mobitz2 => {
                self.phase = (self.phase + 1) % (self.cycle - 1);
                let is_after_drop = self.phase == 0;
                Draft {
                    units: if is_after_drop { 2.0 } else { 1.0 },
                    n_blocked: usize::from(is_after_drop),
                    sways: false,
                    ..plain
                }
            }
        }
    }

    fn draft_atrial(&mut self, plain: Draft) -> Draft {
        match self.phase {
            0 if self.countdown > 0 => {
                self.countdown -= 1;
                plain
            }
            0 => {
                self.phase = 1;
                let units = self.stream.uniform_in(0.62, 0.76);
                let pr_s = plain.pr_s.map(|pr_s| 0.94 * pr_s);
                Draft { units, origin: Origin::AtrialEctopic, pr_s, sways: false, ..plain }
            }
            _ => {
                // The early beat resets the sinus node, so the pause is a little longer than one interval.
                self.phase = 0;
                self.countdown = 2 + self.stream.below(4);
                Draft { units: self.stream.uniform_in(1.05, 1.15), ..plain }
            }
        }
    }

    fn draft_ventricular(&mut self, plain: Draft) -> Draft {
        let rhythm = self.pace.rhythm;
        let earliest = self.pace.refractory_s / self.pace.mean_s;
        let n_early = if rhythm == Rhythm::Couplets { 2 } else { 1 };
        if self.phase == 0 && self.countdown > 0 {
            self.countdown -= 1;
            return plain;
        }
        if self.phase < n_early {
            self.phase += 1;
            let focus = if rhythm == Rhythm::Multifocal { self.cycle % self.pace.n_foci.max(1) } else { 0 };
            self.cycle += 1;
            let units = self.stream.uniform_in(0.56, 0.64).max(earliest).min(0.9);
            return Draft { units, origin: Origin::Ventricular(focus), pr_s: None, sways: false, ..plain };
        }
        // The sinus node was not reset: the beat after the pause comes two intervals after the one before.
        self.phase = 0;
        self.countdown = match rhythm {
            Rhythm::Bigeminy => 0,
            Rhythm::Trigeminy => 1,
            Rhythm::Couplets => 2 + self.stream.below(2),
            _ => 1 + self.stream.below(3),
        };
        let early = 0.6_f64.max(earliest).min(0.9);
        Draft { units: 2.0 - early, sways: false, ..plain }
    }

    fn draft_wenckebach(&mut self, plain: Draft) -> Draft {
        self.phase = (self.phase + 1) % (self.cycle - 1);
        let pr_s = self.wenckebach_pr(self.phase);
        let fixed_s = pr_s - self.last_pr_s;
        self.last_pr_s = pr_s;
        let is_after_drop = self.phase == 0;
        Draft {
            units: if is_after_drop { 2.0 } else { 1.0 },
            fixed_s,
            pr_s: Some(pr_s),
            n_blocked: usize::from(is_after_drop),
            sways: false,
            ..plain
        }
    }

    /// PR grows by ever smaller steps, so that RR shrinks before the pause.
    fn wenckebach_pr(&self, phase: usize) -> f64 {
        self.pace.pr_s + [0.0, 0.070, 0.100, 0.115, 0.125][phase.min(4)]
    }
}
