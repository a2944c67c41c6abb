//! Shapes of the five beat classes for one patient, as seen by a lead like MLII.
//!
//! Each patient has a conduction (normal, bundle branch block, left axis), a P and a T of their own,
//! ectopic foci of their own, and a kind of Q. The ranges are those of electrocardiography textbooks
//! for lead II, widened until some patients' N look like other patients' V, as they do on wards.

use crate::seed::Stream;
use crate::simulate::beats::BeatClass;
use crate::simulate::wave::{Part, Wave};

/// One patient's shapes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Morphology {
    p: Vec<Wave>,
    /// QRS, ST segment and T wave of the conducted beat.
    conducted: Vec<Wave>,
    supraventricular: Supraventricular,
    /// Ventricular foci; the second is met in a third of the beats.
    foci: Vec<Vec<Wave>>,
    /// Mean share of the ventricular focus in a fusion beat.
    fusion: f64,
    unknown: Unknown,
}

/// How the patient's S beats differ from the conducted beat.
#[derive(Debug, Clone, PartialEq)]
struct Supraventricular {
    /// The P wave of the ectopic focus; empty for a junctional beat without one.
    p: Vec<Wave>,
    /// 0 for a QRS as in N, up to 1 for one that is visibly widened (aberration).
    aberration: f64,
}

/// What the patient's Q beats are.
#[derive(Debug, Clone, PartialEq)]
enum Unknown {
    /// Paced: spike, wide QRS, opposite T.
    Paced(Vec<Wave>),
    /// Unclassifiable: a beat under an artifact of this size, mV.
    Artifact(f64),
}

/// How the ventricles are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduction {
    Normal,
    RightBlock,
    LeftBlock,
    LeftAxis,
}

impl Morphology {
    /// Draws a patient. `has_p` is false in atrial fibrillation; `is_paced` chooses the kind of Q.
    pub(super) fn draw(stream: &mut Stream, has_p: bool, is_paced: bool) -> Morphology {
        let conduction = match stream.uniform() {
            u if u < 0.62 => Conduction::Normal,
            u if u < 0.74 => Conduction::RightBlock,
            u if u < 0.87 => Conduction::LeftBlock,
            _ => Conduction::LeftAxis,
        };
        let p = draw_p(stream);
        let conducted = draw_conducted(stream, conduction);
        let supraventricular = Supraventricular { p: ectopic_p(&p, stream), aberration: stream.uniform().powi(2) };
        let n_foci = if stream.uniform() < 0.35 { 2 } else { 1 };
        let foci = (0..n_foci).map(|_| draw_focus(stream)).collect();
        let fusion = stream.uniform_in(0.4, 0.6);
        let unknown = if is_paced {
            Unknown::Paced(draw_paced(stream, &p))
        } else {
            Unknown::Artifact(stream.uniform_in(0.25, 0.55))
        };
        Morphology { p: if has_p { p } else { Vec::new() }, conducted, supraventricular, foci, fusion, unknown }
    }

    /// Time from the peak of the P wave to R, ms; 0 without a P wave.
    pub(super) fn pr_ms(&self) -> f64 {
        self.p.first().map_or(0.0, |wave| -wave.at_ms)
    }

    /// The P wave of a sinus beat, which also appears when the ventricles do not follow.
    pub(super) fn sinus_p(&self) -> &[Wave] {
        &self.p
    }

    /// The waves of one beat before its own variation.
    pub(super) fn beat(&self, class: BeatClass, stream: &mut Stream) -> Vec<Wave> {
        match class {
            BeatClass::N => self.p.iter().chain(&self.conducted).copied().collect(),
            BeatClass::S => {
                let widening = 1.0 + self.supraventricular.aberration * stream.uniform_in(0.1, 0.5);
                let aberrant = self.conducted.iter().map(|wave| match wave.part {
                    Part::Qrs => Wave { sd_ms: wave.sd_ms * widening, ..*wave },
                    _ => Wave { mv: wave.mv * (2.0 - widening), ..*wave },
                });
                self.supraventricular.p.iter().copied().chain(aberrant).collect()
            }
            BeatClass::V => self.focus(stream).to_vec(),
            BeatClass::F => {
                let share = (self.fusion + 0.1 * stream.normal()).clamp(0.2, 0.8);
                let scaled = |waves: &[Wave], by: f64| -> Vec<Wave> {
                    waves.iter().map(|wave| Wave { mv: wave.mv * by, ..*wave }).collect()
                };
                let mut waves = self.p.clone();
                waves.extend(scaled(&self.conducted, 1.0 - share));
                waves.extend(scaled(&self.foci[0], share));
                waves
            }
            BeatClass::Q => match &self.unknown {
                Unknown::Paced(waves) => waves.clone(),
                Unknown::Artifact(mv) => self.disturbed(*mv, stream),
            },
        }
    }

    fn focus(&self, stream: &mut Stream) -> &[Wave] {
        let other = self.foci.len() > 1 && stream.uniform() < 0.33;
        &self.foci[usize::from(other)]
    }

    /// A conducted or ventricular beat under a burst of random waves: nobody can tell which it was.
    fn disturbed(&self, mv: f64, stream: &mut Stream) -> Vec<Wave> {
        let is_ventricular = stream.uniform() < 0.3;
        let mut waves = if is_ventricular { self.focus(stream).to_vec() } else { self.conducted.clone() };
        let size = stream.uniform_in(0.5, 0.9);
        waves.iter_mut().for_each(|wave| wave.mv *= size);
        for _ in 0..14 {
            let at_ms = stream.uniform_in(-330.0, 330.0);
            let sd_ms = stream.uniform_in(4.0, 30.0);
            waves.push(Wave::new(Part::Qrs, at_ms, sd_ms, mv * stream.normal()));
        }
        waves
    }
}

fn log_normal(stream: &mut Stream, median: f64, spread: f64) -> f64 {
    median * libm::exp(spread * stream.normal())
}

fn draw_p(stream: &mut Stream) -> Vec<Wave> {
    let mv = log_normal(stream, 0.13, 0.35).min(0.3);
    let at_ms = -stream.uniform_in(125.0, 195.0);
    let sd_ms = stream.uniform_in(15.0, 22.0);
    if stream.uniform() < 0.2 {
        // A notched P: the left atrium follows the right one late.
        vec![Wave::new(Part::P, at_ms - 18.0, sd_ms * 0.8, mv), Wave::new(Part::P, at_ms + 22.0, sd_ms * 0.8, 0.8 * mv)]
    } else {
        vec![Wave::new(Part::P, at_ms, sd_ms, mv)]
    }
}

/// P of an atrial focus: other height and distance; retrograde or absent when the focus is junctional.
fn ectopic_p(p: &[Wave], stream: &mut Stream) -> Vec<Wave> {
    let kind = stream.uniform();
    let (size, at_ms) = if kind < 0.15 {
        return Vec::new();
    } else if kind < 0.35 {
        (-stream.uniform_in(0.5, 1.0), -stream.uniform_in(80.0, 110.0))
    } else {
        let at_ms = p.first().map_or(-150.0, |wave| wave.at_ms) * stream.uniform_in(0.75, 1.2);
        (stream.uniform_in(-0.6, 0.9), at_ms)
    };
    let height = p.first().map_or(0.12, |wave| wave.mv);
    vec![Wave::new(Part::P, at_ms, stream.uniform_in(13.0, 20.0), size * height)]
}

fn draw_conducted(stream: &mut Stream, conduction: Conduction) -> Vec<Wave> {
    use Part::Qrs;
    let r = log_normal(stream, 1.1, 0.3).clamp(0.45, 2.4);
    let mut waves = Vec::new();
    let mut qrs = |at_ms, sd_ms, mv| waves.push(Wave::new(Qrs, at_ms, sd_ms, mv));
    match conduction {
        Conduction::Normal => {
            qrs(-stream.uniform_in(24.0, 31.0), stream.uniform_in(7.0, 9.0), -r * stream.uniform_in(0.0, 0.16));
            qrs(0.0, stream.uniform_in(9.0, 13.0), r);
            qrs(stream.uniform_in(25.0, 33.0), stream.uniform_in(8.0, 12.0), -r * stream.uniform_in(0.0, 0.4));
        }
        Conduction::RightBlock => {
            qrs(-stream.uniform_in(24.0, 30.0), stream.uniform_in(7.0, 9.0), -r * stream.uniform_in(0.0, 0.12));
            qrs(0.0, stream.uniform_in(9.0, 12.0), r);
            // The wide terminal S of the late right ventricle.
            qrs(stream.uniform_in(46.0, 62.0), stream.uniform_in(16.0, 22.0), -r * stream.uniform_in(0.2, 0.5));
        }
        Conduction::LeftBlock => {
            // A broad, notched R without a Q.
            let apart_ms = stream.uniform_in(32.0, 48.0);
            qrs(0.0, stream.uniform_in(15.0, 20.0), 0.75 * r);
            qrs(apart_ms, stream.uniform_in(16.0, 22.0), 0.75 * r * stream.uniform_in(0.7, 1.1));
        }
        Conduction::LeftAxis => {
            // A small r and a deep S, on which the annotation sits.
            qrs(-stream.uniform_in(24.0, 30.0), stream.uniform_in(8.0, 10.0), r * stream.uniform_in(0.2, 0.5));
            qrs(0.0, stream.uniform_in(10.0, 14.0), -r * stream.uniform_in(0.6, 1.0));
        }
    }
    let is_block = conduction == Conduction::LeftBlock;
    let t = match stream.uniform() {
        _ if is_block => -stream.uniform_in(0.15, 0.4),
        u if u < 0.13 => -stream.uniform_in(0.1, 0.3),
        u if u < 0.24 => stream.uniform_in(0.02, 0.08),
        _ => stream.uniform_in(0.12, 0.45),
    };
    let st = if is_block { 0.3 * t } else { 0.035 * stream.normal() };
    waves.extend(draw_repolarization(stream, st, t, if is_block { 1.1 } else { 1.0 }));
    waves
}

/// ST segment and an asymmetric T: its slow rise is a second, earlier wave.
fn draw_repolarization(stream: &mut Stream, st_mv: f64, t_mv: f64, lengthening: f64) -> [Wave; 3] {
    let at_ms = lengthening * stream.uniform_in(275.0, 330.0);
    let sd_ms = lengthening * stream.uniform_in(34.0, 44.0);
    [
        Wave::new(Part::T, 0.45 * at_ms, 40.0, st_mv),
        Wave::new(Part::T, at_ms - 1.3 * sd_ms, 1.25 * sd_ms, 0.4 * t_mv),
        Wave::new(Part::T, at_ms, sd_ms, 0.85 * t_mv),
    ]
}

/// A ventricular focus: wide, without P, its T opposite to the QRS.
fn draw_focus(stream: &mut Stream) -> Vec<Wave> {
    let polarity = if stream.uniform() < 0.62 { 1.0 } else { -1.0 };
    let mv = polarity * log_normal(stream, 1.45, 0.28).clamp(0.7, 2.8);
    // One in eight foci lies in the fascicles and makes a QRS hardly wider than a conducted one.
    let width = if stream.uniform() < 0.12 { 0.6 } else { stream.uniform_in(0.85, 1.2) };
    let mut waves = vec![Wave::new(Part::Qrs, 0.0, 26.0 * width, mv)];
    match stream.uniform() {
        // One deflection with a shoulder on either side.
        u if u < 0.4 => {
            let side = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
            let at_ms = side * width * stream.uniform_in(38.0, 52.0);
            waves.push(Wave::new(Part::Qrs, at_ms, 22.0 * width, mv * stream.uniform_in(0.3, 0.65)));
        }
        // A small opposite deflection first.
        u if u < 0.65 => {
            let at_ms = -width * stream.uniform_in(48.0, 60.0);
            waves.push(Wave::new(Part::Qrs, at_ms, 16.0 * width, -mv * stream.uniform_in(0.15, 0.4)));
        }
        // A second phase, as wide as the first.
        _ => {
            let at_ms = width * stream.uniform_in(62.0, 82.0);
            waves.push(Wave::new(Part::Qrs, at_ms, 28.0 * width, -mv * stream.uniform_in(0.3, 0.75)));
        }
    }
    waves.extend(opposite_t(stream, &waves.clone()));
    waves
}

/// T wave opposite to the net area of a wide QRS.
fn opposite_t(stream: &mut Stream, qrs: &[Wave]) -> [Wave; 3] {
    let area: f64 = qrs.iter().map(|wave| wave.mv * wave.sd_ms).sum();
    let height = qrs.iter().map(|wave| wave.mv.abs()).fold(0.0, f64::max);
    let t = -area.signum() * height * stream.uniform_in(0.2, 0.38);
    draw_repolarization(stream, 0.35 * t, t, 1.12)
}

fn draw_paced(stream: &mut Stream, p: &[Wave]) -> Vec<Wave> {
    // From the apex of the right ventricle the wave runs away from lead II.
    let polarity = if stream.uniform() < 0.75 { -1.0 } else { 1.0 };
    let mv = polarity * stream.uniform_in(0.7, 1.6);
    let sd_ms = stream.uniform_in(24.0, 32.0);
    let spike_mv = if stream.uniform() < 0.5 { 1.0 } else { -1.0 } * stream.uniform_in(0.3, 0.9);
    let mut qrs = vec![Wave::new(Part::Qrs, 0.0, sd_ms, mv)];
    if stream.uniform() < 0.5 {
        qrs.push(Wave::new(Part::Qrs, sd_ms * 1.8, sd_ms, mv * stream.uniform_in(0.2, 0.5)));
    }
    let t = opposite_t(stream, &qrs);
    let mut waves = if stream.uniform() < 0.5 { p.to_vec() } else { Vec::new() };
    waves.push(Wave::new(Part::Qrs, -2.1 * sd_ms - stream.uniform_in(8.0, 16.0), 1.7, spike_mv));
    waves.extend(qrs);
    waves.extend(t);
    waves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn classes_have_the_marks_by_which_they_are_read() {
        for i in 0..200 {
            let mut stream = Seed::new(1).index(i).stream();
            let patient = Morphology::draw(&mut stream, true, true);
            let parts = |class, stream: &mut Stream| {
                let waves = patient.beat(class, stream);
                let has_p = waves.iter().any(|wave| wave.part == Part::P);
                let area = |part| waves.iter().filter(|w| w.part == part).map(|w| w.mv * w.sd_ms).sum::<f64>();
                (has_p, area(Part::Qrs), area(Part::T))
            };
            assert!(parts(BeatClass::N, &mut stream).0 && parts(BeatClass::F, &mut stream).0);
            let (has_p, qrs, t) = parts(BeatClass::V, &mut stream);
            assert!(!has_p && qrs * t < 0.0, "V has no P and an opposite T");
            let narrowest = patient.beat(BeatClass::Q, &mut stream).iter().map(|w| w.sd_ms).fold(f64::MAX, f64::min);
            assert!(narrowest < 2.0, "a paced beat has a spike");
        }
    }

    #[test]
    fn fibrillation_has_no_p() {
        let mut stream = Seed::new(1).stream();
        let patient = Morphology::draw(&mut stream, false, false);
        assert!(patient.beat(BeatClass::N, &mut stream).iter().all(|wave| wave.part != Part::P));
        assert_eq!(patient.pr_ms(), 0.0);
    }
}
