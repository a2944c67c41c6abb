//! What a network is shown of the beats of a signal: where in its beat each point is, and in which of its waves.
//!
//! A network that is shown the phase puts every beat where it was asked for, so that rate and rhythm are those of the
//! times and need not be learned; one that is shown the waves does so with PR, QRS and QT.

use std::f64::consts::TAU;

/// Channels of the times: sine and cosine of the phase, and a pulse at each beat.
const TIME_CHANNELS: usize = 3;
/// Channels of the waves: the PR interval, QRS, and ST-T up to the end of T.
const WAVE_CHANNELS: usize = 3;
/// What each channel holds.
const NAMES: [&str; TIME_CHANNELS + WAVE_CHANNELS] =
    ["sine of the phase", "cosine of the phase", "R peak", "PR interval", "QRS", "ST-T"];
/// Standard deviation of a pulse, points.
const PULSE: f64 = 2.0;

/// A beat, in points of a signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShownBeat {
    /// R peak; it may lie outside the signal.
    pub at: f32,
    /// Its waves, unless they are hidden.
    pub waves: Option<ShownWaves>,
}

/// Where the waves of a beat begin and end, points after its R peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShownWaves {
    /// Onset of P, where there is one.
    pub p_onset: Option<f32>,
    /// Onset and offset of QRS.
    pub qrs: [f32; 2],
    /// Offset of T, where there is one.
    pub t_offset: Option<f32>,
}

impl ShownBeat {
    /// A beat whose waves are hidden.
    pub fn at(at: f32) -> ShownBeat {
        ShownBeat { at, waves: None }
    }

    /// The same beat in a signal that begins `start` points later.
    pub fn after(self, start: f32) -> ShownBeat {
        ShownBeat { at: self.at - start, ..self }
    }
}

/// How many channels there are.
pub fn n_channels(with_waves: bool) -> usize {
    TIME_CHANNELS + if with_waves { WAVE_CHANNELS } else { 0 }
}

/// What each channel holds, in their order.
pub fn names(with_waves: bool) -> &'static [&'static str] {
    &NAMES[..n_channels(with_waves)]
}

/// The channels for beats in rising order, those of the waves after those of the times.
///
/// The phase goes from 0 at one beat to one turn at the next, before the first and after the last beat as fast as between
/// the two nearest. Of fewer than two beats no phase is known, and sine and cosine are 0. In the channel of a wave a point
/// has the share of it that the wave covers.
///
/// # Shape
/// `[n_channels(with_waves), n]`.
pub fn channels(beats: &[ShownBeat], n: usize, with_waves: bool) -> Vec<f32> {
    let mut out = vec![0.0; n_channels(with_waves) * n];
    let (phases, rest) = out.split_at_mut(2 * n);
    let (pulses, waves) = rest.split_at_mut(n);
    add_phases(phases, beats, n);
    for beat in beats {
        add_pulse(pulses, f64::from(beat.at));
    }
    if with_waves {
        add_waves(waves, beats, n);
    }
    out
}

fn add_phases(phases: &mut [f32], beats: &[ShownBeat], n: usize) {
    let (sines, cosines) = phases.split_at_mut(n);
    if beats.len() < 2 {
        return;
    }
    let mut k = 0;
    for (t, (sine, cosine)) in sines.iter_mut().zip(cosines).enumerate() {
        while k + 2 < beats.len() && beats[k + 1].at <= t as f32 {
            k += 1;
        }
        let [from, to] = [f64::from(beats[k].at), f64::from(beats[k + 1].at)];
        let phase = TAU * (t as f64 - from) / (to - from).max(1.0);
        (*sine, *cosine) = (libm::sin(phase) as f32, libm::cos(phase) as f32);
    }
}

fn add_pulse(pulses: &mut [f32], beat: f64) {
    let (reach, n) = (5.0 * PULSE, pulses.len() as f64);
    let from = libm::ceil(beat - reach).max(0.0) as usize;
    let to = libm::floor(beat + reach + 1.0).clamp(0.0, n) as usize;
    for (t, pulse) in pulses.iter_mut().enumerate().take(to).skip(from) {
        *pulse += libm::exp(-0.5 * ((t as f64 - beat) / PULSE).powi(2)) as f32;
    }
}

fn add_waves(waves: &mut [f32], beats: &[ShownBeat], n: usize) {
    for (beat, of_beat) in beats.iter().filter_map(|beat| Some((beat.at, beat.waves?))) {
        let [onset, offset] = of_beat.qrs;
        let spans = [of_beat.p_onset.map(|p| [p, onset]), Some([onset, offset]), of_beat.t_offset.map(|t| [offset, t])];
        for (channel, [from, to]) in waves.chunks_exact_mut(n).zip(spans).filter_map(|(c, span)| Some((c, span?))) {
            let [from, to] = [beat + from, beat + to];
            // A point stands for half a point on both sides of it.
            let first = libm::floorf(from + 0.5).max(0.0) as usize;
            let end = libm::ceilf(to + 0.5).clamp(0.0, n as f32) as usize;
            for (t, value) in channel.iter_mut().enumerate().take(end).skip(first) {
                let covered = to.min(t as f32 + 0.5) - from.max(t as f32 - 0.5);
                *value = value.max(covered.clamp(0.0, 1.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(beats: &[f32], n: usize) -> Vec<f32> {
        channels(&beats.iter().copied().map(ShownBeat::at).collect::<Vec<_>>(), n, false)
    }

    #[test]
    fn the_phase_is_zero_at_every_beat_and_goes_on_beyond_the_ends() {
        let n = 200;
        let rows = times(&[30.0, 70.0, 130.0], n);
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
        let rows = times(&[-20.0, 60.0], n);
        assert!((rows[n + 20] + 1.0).abs() < 1e-6 && rows[2 * n..].iter().all(|pulse| *pulse < 1e-4));
        assert!(times(&[10.0], n)[..2 * n].iter().all(|value| *value == 0.0));
        assert_eq!(times(&[], n), vec![0.0; 3 * n]);
    }

    #[test]
    fn waves_cover_their_points_and_hidden_ones_none() {
        let n = 100;
        let waves = ShownWaves { p_onset: Some(-20.0), qrs: [-4.5, 5.0], t_offset: Some(35.0) };
        let beats = [ShownBeat { at: 30.0, waves: Some(waves) }, ShownBeat::at(80.0)];
        let rows = channels(&beats, n, true);
        assert_eq!(rows[..3 * n], channels(&beats, n, false), "the times stay");
        let length = |channel: usize| rows[(3 + channel) * n..(4 + channel) * n].iter().sum::<f32>();
        assert_eq!([length(0), length(1), length(2)], [15.5, 9.5, 30.0]);
        let qrs = &rows[4 * n..5 * n];
        assert_eq!(qrs[24..37], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0]);
        // Of a beat at the edge what lies inside; without P and T, QRS alone.
        let without = ShownWaves { p_onset: None, t_offset: None, ..waves };
        let rows = channels(&[ShownBeat { at: 2.0, waves: Some(without) }], n, true);
        assert_eq!([3, 4, 5].map(|channel| rows[channel * n..(channel + 1) * n].iter().sum::<f32>()), [0.0, 7.5, 0.0]);
    }
}
