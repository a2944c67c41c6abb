//! Where in its beat a signal is, at each point: what a network is shown of the times of the beats.
//!
//! A network that is shown the phase puts every beat where it was asked for, so that rate and rhythm are those of the
//! times and need not be learned.

use std::f64::consts::TAU;

/// Channels: sine and cosine of the phase, and a pulse at each beat.
pub const CHANNELS: usize = 3;
/// Standard deviation of a pulse, points.
const PULSE: f64 = 2.0;

/// The channels for beats at these points, which are in rising order and may lie outside the signal.
///
/// The phase goes from 0 at one beat to one turn at the next, before the first and after the last beat as fast as between
/// the two nearest. Of fewer than two beats no phase is known, and sine and cosine are 0.
///
/// # Shape
/// `[CHANNELS, n]`.
pub fn channels(beats: &[f32], n: usize) -> Vec<f32> {
    let mut out = vec![0.0; CHANNELS * n];
    let (phases, pulses) = out.split_at_mut(2 * n);
    let (sines, cosines) = phases.split_at_mut(n);
    if beats.len() > 1 {
        let mut k = 0;
        for (t, (sine, cosine)) in sines.iter_mut().zip(cosines).enumerate() {
            while k + 2 < beats.len() && beats[k + 1] <= t as f32 {
                k += 1;
            }
            let [from, to] = [f64::from(beats[k]), f64::from(beats[k + 1])];
            let phase = TAU * (t as f64 - from) / (to - from).max(1.0);
            (*sine, *cosine) = (libm::sin(phase) as f32, libm::cos(phase) as f32);
        }
    }
    let reach = 5.0 * PULSE;
    for beat in beats.iter().map(|&beat| f64::from(beat)) {
        let from = libm::ceil(beat - reach).max(0.0) as usize;
        let to = libm::floor(beat + reach + 1.0).clamp(0.0, n as f64) as usize;
        for (t, pulse) in pulses.iter_mut().enumerate().take(to).skip(from) {
            *pulse += libm::exp(-0.5 * ((t as f64 - beat) / PULSE).powi(2)) as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_is_zero_at_every_beat_and_goes_on_beyond_the_ends() {
        let n = 200;
        let rows = channels(&[30.0, 70.0, 130.0], n);
        let (sine, cosine, pulse) = (&rows[..n], &rows[n..2 * n], &rows[2 * n..]);
        for at in [30, 70, 130] {
            assert!(sine[at].abs() < 1e-6 && (cosine[at] - 1.0).abs() < 1e-6 && (pulse[at] - 1.0).abs() < 1e-6, "{at}");
        }
        assert!((cosine[50] + 1.0).abs() < 1e-6 && (cosine[100] + 1.0).abs() < 1e-6, "half way is half a turn");
        assert!((cosine[10] + 1.0).abs() < 1e-6 && (cosine[190] - 1.0).abs() < 1e-6, "as fast as between the nearest");
        assert!((pulse[72] - (-0.5f32).exp()).abs() < 1e-6 && pulse[90] == 0.0);
    }

    #[test]
    fn beats_outside_count_for_the_phase_and_few_beats_have_none() {
        let n = 50;
        let rows = channels(&[-20.0, 60.0], n);
        assert!((rows[n + 20] + 1.0).abs() < 1e-6 && rows[2 * n..].iter().all(|pulse| *pulse < 1e-4));
        assert!(channels(&[10.0], n)[..2 * n].iter().all(|value| *value == 0.0));
        assert_eq!(channels(&[], n), vec![0.0; CHANNELS * n]);
    }
}
