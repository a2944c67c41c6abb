//! ECGSYN, the dynamical model of the ECG of McSharry et al.

use std::f64::consts::{PI, TAU};

use crate::error::{Error, Result};
use crate::seed::Seed;
use crate::signal::ode::rk4_step;
use crate::simulate::rr::RrProcess;

/// One event on the limit cycle: it pushes the trajectory up or down while it passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Position on the cycle in radians; the R peak is at 0.
    pub theta: f64,
    /// Strength of the push.
    pub a: f64,
    /// Width on the cycle in radians.
    pub b: f64,
}

/// Settings of ECGSYN; the default holds the values of the authors' published code.
///
/// # Reference
/// McSharry, Clifford, Tarassenko, Smith, "A dynamical model for generating synthetic
/// electrocardiogram signals", IEEE Trans. Biomed. Eng. 50(3), 2003.
/// # Differs from the paper
/// The positions of P and T and the respiratory amplitude are those of the published code (P at -70
/// and T at 100 degrees, 0.005), not the ones printed in the paper. The angular velocity changes
/// when the trajectory passes the R peak instead of at a time rounded to the internal grid, so that
/// neither phase nor rhythm drifts against the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Ecgsyn {
    /// Number of beats.
    pub n_beats: usize,
    /// Output rate, Hz.
    pub fs_hz: f64,
    /// Rate at which the equations are integrated: a whole multiple of the output rate.
    pub internal_fs_hz: f64,
    /// Mean heart rate, beats per minute.
    pub hr_bpm: f64,
    /// Standard deviation of the heart rate, beats per minute.
    pub hr_sd_bpm: f64,
    /// Ratio of the powers around 0.1 and 0.25 Hz in the RR spectrum.
    pub lf_hf_ratio: f64,
    /// Half-width of the uniform noise that is added last, mV.
    pub noise_mv: f64,
    /// The events P, Q, R, S and T at 60 beats per minute.
    pub events: [Event; 5],
}

/// What ECGSYN yields.
#[derive(Debug, Clone, PartialEq)]
pub struct EcgsynRecord {
    /// The ECG at the output rate, scaled to -0.4 to 1.2 mV before the noise.
    pub ecg_mv: Vec<f64>,
    /// Positions of the R peaks in points of the output, with their fractions.
    pub r_index: Vec<f64>,
    /// The RR interval that begins at each R peak, s.
    pub rr_s: Vec<f64>,
}

/// Amplitude of the respiratory baseline in the equations, in units before scaling.
const RESPIRATION_AMPLITUDE: f64 = 0.005;
/// Breathing rate of the baseline, equal to the high-frequency peak of the RR process.
const RESPIRATION_HZ: f64 = 0.25;

impl Default for Ecgsyn {
    fn default() -> Ecgsyn {
        let event = |degrees: f64, a, b| Event { theta: degrees.to_radians(), a, b };
        Ecgsyn {
            n_beats: 256,
            fs_hz: 256.0,
            internal_fs_hz: 512.0,
            hr_bpm: 60.0,
            hr_sd_bpm: 1.0,
            lf_hf_ratio: 0.5,
            noise_mv: 0.0,
            events: [
                event(-70.0, 1.2, 0.25),
                event(-15.0, -5.0, 0.1),
                event(0.0, 30.0, 0.1),
                event(15.0, -7.5, 0.1),
                event(100.0, 0.75, 0.4),
            ],
        }
    }
}

impl Ecgsyn {
    /// Simulates a record that starts at an R peak.
    ///
    /// # Errors
    /// [`Error::Config`] unless there is a beat, both rates are positive with a whole ratio, and the
    /// heart rate fits [`RrProcess::series`].
    pub fn simulate(&self, seed: Seed) -> Result<EcgsynRecord> {
        let ratio = self.internal_fs_hz / self.fs_hz;
        let is_whole = (ratio - ratio.round()).abs() < 1e-9 && ratio >= 1.0;
        if !(self.fs_hz > 0.0 && is_whole) {
            return Err(Error::config(
                "internal_fs_hz",
                format!("{} Hz, expected a whole multiple of the output's {} Hz", self.internal_fs_hz, self.fs_hz),
            ));
        }
        if self.n_beats == 0 {
            return Err(Error::config("n_beats", "0 beats, expected at least one"));
        }
        let rr_s = self.rr_process().intervals(self.n_beats, &mut seed.purpose("rr").stream())?;
        let (mut z, r_index) = self.integrate(&rr_s, ratio.round() as usize);

        let (low, high) = z.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let mut stream = seed.purpose("noise").stream();
        for value in &mut z {
            *value = (*value - low) / (high - low) * 1.6 - 0.4 + self.noise_mv * stream.uniform_in(-1.0, 1.0);
        }
        Ok(EcgsynRecord { ecg_mv: z, r_index, rr_s })
    }

    fn rr_process(&self) -> RrProcess {
        RrProcess {
            mean_s: 60.0 / self.hr_bpm,
            // First order of 60 / HR around the mean.
            sd_s: 60.0 * self.hr_sd_bpm / (self.hr_bpm * self.hr_bpm),
            lf_hf_ratio: self.lf_hf_ratio,
        }
    }

    /// Events at the mean heart rate: a faster heart has wider waves on the cycle (narrower ones in
    /// time), and P and T move apart from R by the square root of that.
    fn events_at_rate(&self) -> [Event; 5] {
        let h = libm::sqrt(self.hr_bpm / 60.0);
        let moves = [libm::sqrt(h), h, 1.0, h, libm::sqrt(h)];
        std::array::from_fn(|i| {
            let event = self.events[i];
            Event { theta: event.theta * moves[i], b: event.b * h, ..event }
        })
    }

    /// The third coordinate at the output rate, before scaling, and the times of the R peaks.
    fn integrate(&self, rr_s: &[f64], decimation: usize) -> (Vec<f64>, Vec<f64>) {
        let events = self.events_at_rate();
        let h = 1.0 / self.internal_fs_hz;
        let mut state = [1.0, 0.0, 0.04];
        let mut beat = 0;
        let mut z = Vec::new();
        let mut r_index = vec![0.0];
        for step in 0.. {
            if step % decimation == 0 {
                z.push(state[2]);
            }
            let omega = TAU / rr_s[beat];
            let next = rk4_step(|t, y| derivative(t, y, omega, &events), step as f64 * h, &state, h);
            // The R peak is where y rises through 0; x is positive there.
            if state[1] < 0.0 && next[1] >= 0.0 {
                beat += 1;
                if beat == rr_s.len() {
                    break;
                }
                let part = state[1] / (state[1] - next[1]);
                r_index.push((step as f64 + part) / decimation as f64);
            }
            state = next;
        }
        (z, r_index)
    }
}

/// Right-hand side of the model at angular velocity `omega` (McSharry et al. 2003, eq. 1).
fn derivative(t: f64, &[x, y, z]: &[f64; 3], omega: f64, events: &[Event; 5]) -> [f64; 3] {
    let alpha = 1.0 - libm::sqrt(x * x + y * y);
    let theta = libm::atan2(y, x);
    let push: f64 = events
        .iter()
        .map(|event| {
            let distance = wrap(theta - event.theta);
            event.a * distance * libm::exp(-0.5 * (distance / event.b).powi(2))
        })
        .sum();
    let baseline = RESPIRATION_AMPLITUDE * libm::sin(TAU * RESPIRATION_HZ * t);
    [alpha * x - omega * y, alpha * y + omega * x, -push - (z - baseline)]
}

/// The angle within half a turn of 0.
fn wrap(angle: f64) -> f64 {
    angle - TAU * libm::floor((angle + PI) / TAU)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heart_rate_has_the_requested_mean_and_spread() {
        let config = Ecgsyn { n_beats: 400, hr_bpm: 75.0, hr_sd_bpm: 2.0, ..Ecgsyn::default() };
        let record = config.simulate(Seed::new(2)).unwrap();
        assert_eq!(record.r_index.len(), 400);
        // Measured on the R peaks of the trajectory, not on the intervals that were asked for.
        let hr: Vec<f64> = record.r_index.windows(2).map(|r| 60.0 * config.fs_hz / (r[1] - r[0])).collect();
        let mean = hr.iter().sum::<f64>() / hr.len() as f64;
        let sd = (hr.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / hr.len() as f64).sqrt();
        // The spread over 400 beats of a narrow-band process is known to about a tenth.
        assert!((mean - 75.0).abs() < 0.3, "{mean}");
        assert!((sd - 2.0).abs() < 0.3, "{sd}");
    }

    #[test]
    fn shape_does_not_depend_on_the_sampling_rate() {
        let at = |fs_hz: f64, internal_fs_hz: f64| {
            let config = Ecgsyn { n_beats: 20, hr_sd_bpm: 3.0, fs_hz, internal_fs_hz, ..Ecgsyn::default() };
            config.simulate(Seed::new(4)).unwrap()
        };
        let (coarse, fine) = (at(250.0, 500.0), at(500.0, 2000.0));
        let worst = coarse.ecg_mv.iter().zip(fine.ecg_mv.iter().step_by(2)).map(|(a, b)| (a - b).abs());
        let worst = worst.fold(0.0, f64::max);
        // The record's extremes, to which it is scaled, are met at other points in time: the R peak
        // falls off by up to (0.002 s / 0.016 s)^2 / 2 = 0.8 % within half a point of 250 Hz.
        assert!(worst < 0.02, "{worst} mV");
    }

    #[test]
    fn trajectory_agrees_with_the_integral_of_the_linear_equation() {
        // At constant rate the cycle is exact and z solves z' = g(t) - z, so that
        // z(t) = exp(-t) (z(0) + integral of exp(s) g(s)); the midpoint rule on a fine grid shares
        // nothing with the Runge-Kutta steps.
        let config = Ecgsyn { n_beats: 2, hr_bpm: 80.0, hr_sd_bpm: 0.0, ..Ecgsyn::default() };
        let rr_s = [0.75; 2];
        let (z, r_index) = config.integrate(&rr_s, 2);
        assert!((r_index[1] / config.fs_hz - 0.75).abs() < 1e-7, "{}", r_index[1]);
        let events = config.events_at_rate();
        let fine = 64;
        let h = 1.0 / (config.fs_hz * f64::from(fine));
        let mut integral = 0.04;
        for (i, found) in z.iter().enumerate().skip(1) {
            for k in 0..fine {
                let s = ((i - 1) as f64 * f64::from(fine) + f64::from(k) + 0.5) * h;
                let theta = TAU * s / 0.75;
                let on_cycle = [theta.cos(), theta.sin(), 0.0];
                integral += h * s.exp() * derivative(s, &on_cycle, 0.0, &events)[2];
            }
            let expected = integral * (-(i as f64) / config.fs_hz).exp();
            assert!((found - expected).abs() < 2e-6, "point {i}: {found} instead of {expected}");
        }
    }

    #[test]
    fn waves_stand_where_the_model_puts_them() {
        let config = Ecgsyn { n_beats: 3, hr_sd_bpm: 0.0, fs_hz: 1000.0, internal_fs_hz: 1000.0, ..Ecgsyn::default() };
        let record = config.simulate(Seed::new(1)).unwrap();
        // The second beat; 1 degree is 1/360 s at 60 beats per minute.
        let beat = &record.ecg_mv[500..1500];
        let largest = |range: std::ops::Range<usize>| range.max_by(|&i, &j| beat[i].total_cmp(&beat[j])).unwrap();
        let (p, r, t) = (largest(200..420), largest(420..580), largest(600..950));
        assert!((r as f64 - 500.0).abs() <= 2.0, "R at {r}");
        assert!((p as f64 - (500.0 - 70.0 / 0.36)).abs() < 20.0, "P at {p}");
        assert!((t as f64 - (500.0 + 100.0 / 0.36)).abs() < 20.0, "T at {t}");
        // The record is scaled to its first R peak, which stands on the start value's transient.
        assert!((beat[r] - 1.2).abs() < 0.05, "{}", beat[r]);
        assert!(beat[t] > 0.1 && beat[p] > 0.0, "T {} and P {} mV", beat[t], beat[p]);
    }

    #[test]
    fn bad_settings_are_errors() {
        let seed = Seed::new(1);
        assert!(Ecgsyn { internal_fs_hz: 500.0, ..Ecgsyn::default() }.simulate(seed).is_err());
        assert!(Ecgsyn { n_beats: 0, ..Ecgsyn::default() }.simulate(seed).is_err());
        assert!(Ecgsyn { hr_sd_bpm: 30.0, ..Ecgsyn::default() }.simulate(seed).is_err());
    }
}
