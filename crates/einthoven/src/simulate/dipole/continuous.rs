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
                    let size = a_mv
                        + if swell[0] > 0.0 { swell[0] * libm::sin(TAU * (swell[1] * t_s + swell[2])) } else { 0.0 };
                    let sway = if drift[0] > 0.0 {
                        drift[0] / drift[1] * libm::sin(TAU * (drift[1] * t_s + drift[2]))
                    } else {
                        0.0
                    };
                    *value = size * sawtooth((f0_hz * t_s + phase).fract() * TAU + sway);
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

/// Five harmonics, the higher ones by the recurrence of Chebyshev.
fn sawtooth(phase: f64) -> f64 {
    let (sine, cosine) = libm::sincos(phase);
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
    fn sawtooth_is_its_series() {
        for phase in [0.0_f64, 0.3, 2.0, 4.4] {
            let series: f64 =
                (1..=5).map(|l| 2.0 / (f64::from(l) * std::f64::consts::PI) * (f64::from(l) * phase).sin()).sum();
            assert!((sawtooth(phase) - series).abs() < 1e-12);
        }
    }
}
