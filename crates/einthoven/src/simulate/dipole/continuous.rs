//! Activity that is not made of beats: fibrillating and fluttering atria, fibrillating ventricles.
//!
//! Each source is a function of time alone, so any piece of a record can be computed without those before it.

use std::f64::consts::TAU;

use crate::seed::Stream;
use crate::simulate::dipole::lead_field::LEAD_FIELD;

/// A waveform in a fixed direction.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    /// Its size in the eight leads.
    pub leads: [f64; 8],
    wave: Waveform,
}

#[derive(Debug, Clone, PartialEq)]
enum Waveform {
    /// Sum over l = 1 to 5 of `2 / (l pi) (a + da sin 2 pi f_a t) sin(l phase)`, with
    /// `phase = 2 pi f_0 t + df / f_f sin 2 pi f_f t`.
    Sawtooth { f0_hz: f64, phase: f64, a_mv: f64, swell: [f64; 3], drift: [f64; 3] },
    /// Sines of neighboring frequencies: frequency, phase, size.
    Sines(Vec<(f64, f64, f64)>),
}

impl Source {
    /// f waves of atrial fibrillation: the largest source in front of V1, a weaker one downward.
    ///
    /// # Reference
    /// Stridh, Soernmo 2001; the values are those of Petrenas et al. 2017 and of common practice.
    pub fn fibrillation(stream: &mut Stream) -> Vec<Source> {
        let f0_hz = stream.uniform_in(4.8, 8.0);
        let a_mv = stream.uniform_in(0.035, 0.10);
        [([-0.10, 0.25, -0.95], 1.0), ([0.30, 0.90, 0.25], 0.6)]
            .into_iter()
            .map(|(direction, size): ([f64; 3], f64)| Source {
                leads: project(direction.map(|v| v + 0.1 * stream.normal())),
                wave: Waveform::Sawtooth {
                    f0_hz: f0_hz * stream.uniform_in(0.97, 1.03),
                    phase: stream.uniform(),
                    a_mv: size * a_mv,
                    swell: [0.4 * size * a_mv, stream.uniform_in(0.08, 0.3), stream.uniform()],
                    drift: [stream.uniform_in(0.15, 0.4), stream.uniform_in(0.1, 0.3), stream.uniform()],
                },
            })
            .collect()
    }

    /// F waves of atrial flutter: a sawtooth upward and forward, so negative in II, III and aVF and positive in V1.
    pub fn flutter(f0_hz: f64, at_s: f64, stream: &mut Stream) -> Vec<Source> {
        let direction = [-0.12, -0.95, -0.40].map(|v| v + 0.05 * stream.normal());
        let a_mv = stream.uniform_in(0.14, 0.24);
        let phase = stream.uniform() - f0_hz * at_s;
        vec![Source {
            leads: project(direction),
            wave: Waveform::Sawtooth { f0_hz, phase, a_mv, swell: [0.0; 3], drift: [0.0, 1.0, 0.0] },
        }]
    }

    /// Ventricular fibrillation: large waves of 4 to 7 Hz without order, different along each axis.
    pub fn ventricular_fibrillation(stream: &mut Stream) -> Vec<Source> {
        let f0_hz = stream.uniform_in(4.2, 6.2);
        (0..3)
            .map(|axis| {
                let mut direction = [0.0; 3];
                direction[axis] = stream.uniform_in(0.7, 1.0);
                let sines = (0..5)
                    .map(|_| (f0_hz + 0.7 * stream.normal(), stream.uniform(), stream.uniform_in(0.08, 0.24)))
                    .map(|(f_hz, phase, size): (f64, f64, f64)| (f_hz.clamp(3.0, 8.5), phase, size))
                    .collect();
                Source { leads: project(direction), wave: Waveform::Sines(sines) }
            })
            .collect()
    }

    /// Writes the waveform of the frames from `first` on.
    pub fn fill(&self, first: usize, fs_hz: f64, out: &mut [f64]) {
        match &self.wave {
            Waveform::Sawtooth { f0_hz, phase, a_mv, swell, drift } => {
                for (k, value) in out.iter_mut().enumerate() {
                    let t_s = (first + k) as f64 / fs_hz;
                    let size = a_mv + swell[0] * sine_and_cosine(swell[1] * t_s + swell[2]).0;
                    let sway = drift[0] / drift[1] * sine_and_cosine(drift[1] * t_s + drift[2]).0;
                    *value = size * sawtooth(f0_hz * t_s + phase + sway / TAU);
                }
            }
            Waveform::Sines(sines) => {
                out.fill(0.0);
                for &(f_hz, phase, size) in sines {
                    let start = (phase + f_hz * (first as f64 / fs_hz)).fract();
                    crate::signal::noise::add_sine(out, size, f_hz / fs_hz, start);
                }
            }
        }
    }
}

/// Sine and cosine of an angle in cycles, to 1e-8: far below the grid of the leads, and without a branch, so that several
/// points are computed at once.
fn sine_and_cosine(cycles: f64) -> (f64, f64) {
    // Adding and taking away 3/2 of 2^52 rounds to a whole number.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let turn = cycles - ((cycles + ROUND) - ROUND);
    // The series of a quarter of the angle, which is at most an eighth of a turn, and the angle doubled twice.
    let x = turn * (0.25 * TAU);
    let z = x * x;
    let sine = x * (1.0 + z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0 + z * (1.0 / 362_880.0)))));
    let cosine =
        1.0 + z * (-0.5 + z * (1.0 / 24.0 + z * (-1.0 / 720.0 + z * (1.0 / 40_320.0 - z * (1.0 / 3_628_800.0)))));
    let (sine, cosine) = (2.0 * sine * cosine, cosine * cosine - sine * sine);
    (2.0 * sine * cosine, cosine * cosine - sine * sine)
}

/// Five harmonics of a phase in cycles, the higher ones by the recurrence of Chebyshev.
fn sawtooth(cycles: f64) -> f64 {
    let (sine, cosine) = sine_and_cosine(cycles);
    let (mut before, mut now, mut sum) = (0.0, sine, 0.0);
    for l in 1..=5 {
        sum += 2.0 / (f64::from(l) * std::f64::consts::PI) * now;
        (before, now) = (now, 2.0 * cosine * now - before);
    }
    sum
}

fn project(direction: [f64; 3]) -> [f64; 8] {
    LEAD_FIELD.map(|row| (0..3).map(|k| row[k] * direction[k]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_cosine_are_those_of_the_library() {
        for k in -4000..4000 {
            let cycles = 0.377 * f64::from(k) + 86_400.0;
            let (sine, cosine) = sine_and_cosine(cycles);
            let (exact_sine, exact_cosine) = (TAU * cycles.fract()).sin_cos();
            assert!((sine - exact_sine).abs() < 1e-8 && (cosine - exact_cosine).abs() < 1e-8, "{cycles}");
        }
    }

    #[test]
    fn sawtooth_is_its_series() {
        for phase in [0.0_f64, 0.3, 2.0, 4.4] {
            let series: f64 =
                (1..=5).map(|l| 2.0 / (f64::from(l) * std::f64::consts::PI) * (f64::from(l) * phase).sin()).sum();
            // Five harmonics share the error of sine and cosine.
            assert!((sawtooth(phase / TAU) - series).abs() < 1e-6, "{phase}: {} {series}", sawtooth(phase / TAU));
        }
    }
}
