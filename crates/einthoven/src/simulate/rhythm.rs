//! The order of a simulated patient's beats and the intervals between them.

use crate::error::Result;
use crate::seed::{Seed, Stream};
use crate::simulate::beats::BeatClass;
use crate::simulate::rr::RrProcess;

/// What sets the pace of a patient's N beats.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pace {
    /// Sinus rhythm.
    Sinus(RrProcess),
    /// Atrial fibrillation: independent log-normal intervals.
    Fibrillation {
        /// Mean interval, s.
        mean_s: f64,
        /// Standard deviation of the intervals' logarithm.
        spread: f64,
    },
}

/// How early the patient's ectopic beats come, as a share of the interval that they interrupt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Coupling {
    pub s: f64,
    pub v: f64,
}

/// Shortest interval in s; below it the ventricles are refractory.
const SHORTEST_S: f64 = 0.32;

/// The beats in random order, an N beat first and last.
pub(super) fn shuffle(counts: [usize; 5], stream: &mut Stream) -> Vec<BeatClass> {
    let beats: Vec<BeatClass> =
        BeatClass::ALL.iter().zip(counts).flat_map(|(class, n)| std::iter::repeat_n(*class, n)).collect();
    let mut order = vec![BeatClass::N];
    order.extend(stream.permutation(beats.len()).into_iter().map(|i| beats[i]));
    order.push(BeatClass::N);
    order
}

/// The interval before each beat, s; the first is measured from the record's start.
pub(super) fn intervals(order: &[BeatClass], pace: &Pace, coupling: Coupling, seed: Seed) -> Result<Vec<f64>> {
    let mut stream = seed.purpose("rr").stream();
    let base = match pace {
        Pace::Sinus(process) => process.intervals(order.len(), &mut stream)?,
        Pace::Fibrillation { mean_s, spread } => {
            (0..order.len()).map(|_| mean_s * libm::exp(spread * stream.normal())).collect()
        }
    };
    let is_sinus = matches!(pace, Pace::Sinus(_));
    let mut stream = seed.purpose("coupling").stream();
    // What the beat before leaves to wait: the pause after an ectopic beat.
    let mut pause_s = 0.0;
    let intervals = order.iter().zip(base).map(|(class, base_s)| {
        let early = match class {
            BeatClass::N => 1.0,
            BeatClass::S => coupling.s + 0.05 * stream.normal(),
            BeatClass::V => coupling.v + 0.04 * stream.normal(),
            // The sinus impulse was on its way when the ventricular one came.
            BeatClass::F => stream.uniform_in(0.88, 1.0),
            BeatClass::Q => 0.95 + 0.03 * stream.normal(),
        };
        let early = early.clamp(0.35, 1.0);
        // A pause belongs to a beat on time; an ectopic beat cuts it short.
        let rr_s = (base_s * early + if *class == BeatClass::N { pause_s } else { 0.0 }).max(SHORTEST_S);
        pause_s = match class {
            // Fully compensatory: the sinus goes on undisturbed.
            BeatClass::V if is_sinus => base_s - base_s * early,
            // The sinus is reset and takes a little longer.
            BeatClass::S if is_sinus => 0.1 * base_s,
            BeatClass::V | BeatClass::S => 0.15 * base_s,
            _ => 0.0,
        };
        rr_s
    });
    Ok(intervals.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ectopic_beats_come_early_and_the_pause_after_v_compensates() {
        let order = shuffle([200, 20, 20, 10, 0], &mut Seed::new(1).stream());
        assert_eq!(order.len(), 252);
        let pace = Pace::Sinus(RrProcess { mean_s: 0.8, sd_s: 0.0, lf_hf_ratio: 0.5 });
        let coupling = Coupling { s: 0.7, v: 0.6 };
        let rr_s = intervals(&order, &pace, coupling, Seed::new(1)).unwrap();
        let mut n_pauses = 0;
        for k in 1..order.len() {
            match (order[k - 1], order[k]) {
                (BeatClass::N, BeatClass::N) => assert!((rr_s[k] - 0.8).abs() < 1e-12),
                (BeatClass::N, BeatClass::V) => assert!(rr_s[k] < 0.65, "{}", rr_s[k]),
                (BeatClass::N, BeatClass::S) => assert!(rr_s[k] < 0.75, "{}", rr_s[k]),
                (BeatClass::V, BeatClass::N) => {
                    assert!((rr_s[k - 1] + rr_s[k] - 1.6).abs() < 1e-9);
                    n_pauses += 1;
                }
                _ => {}
            }
        }
        assert!(n_pauses > 5);
        assert!(rr_s.iter().all(|&rr| rr >= SHORTEST_S));
    }
}
