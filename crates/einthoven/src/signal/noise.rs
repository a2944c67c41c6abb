//! Noise of the kinds that disturb ECGs, from a given stream of random numbers.
//!
//! Each kind is a stationary process of mean 0 and *expected* power 1, so that a piece of it is as
//! strong as the noise is there, and scaling by the wanted power is all that a simulator has to do.
//! [`add_at_snr`] scales by the power that the piece really has.

use std::f64::consts::TAU;

use crate::error::Result;
use crate::seed::Stream;
use crate::signal::filter::SosFilter;

/// A kind of noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoiseKind {
    /// Breathing and slow electrode drift: components from 0.05 to 0.5 Hz, the slower the larger.
    BaselineWander,
    /// Mains interference with two harmonics, its amplitude and phase drifting slowly.
    Powerline {
        /// Mains frequency, 50 or 60 Hz.
        f_hz: f64,
    },
    /// Muscle activity: Gaussian noise from 20 to 150 Hz (or 0.45 of the sampling rate), in bouts.
    Muscle,
    /// Electrode motion: steps that decay within about half a second.
    ElectrodeMotion,
    /// Amplifier noise: white and Gaussian.
    White,
}

impl NoiseKind {
    /// A piece of `n` points with mean 0 and expected power 1.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for muscle noise at a sampling rate of 45 Hz or less.
    pub fn generate(self, n: usize, fs_hz: f64, stream: &mut Stream) -> Result<Vec<f64>> {
        Ok(match self {
            NoiseKind::BaselineWander => baseline_wander(n, fs_hz, stream),
            NoiseKind::Powerline { f_hz } => powerline(n, fs_hz, f_hz, stream),
            NoiseKind::Muscle => muscle(n, fs_hz, stream)?,
            NoiseKind::ElectrodeMotion => electrode_motion(n, fs_hz, stream),
            NoiseKind::White => (0..n).map(|_| stream.normal()).collect(),
        })
    }
}

/// Adds noise to a signal so that the ratio of their powers, means removed, is `snr_db`. A signal
/// or a noise without power is left alone, because no scale gives the ratio.
///
/// # Panics
/// If the lengths differ.
pub fn add_at_snr(signal: &mut [f64], noise: &[f64], snr_db: f64) {
    assert_eq!(signal.len(), noise.len(), "signal and noise have one length");
    let (signal_power, noise_power) = (variance(signal), variance(noise));
    if signal_power > 0.0 && noise_power > 0.0 {
        let scale = (signal_power / noise_power).sqrt() * libm::pow(10.0, -snr_db / 20.0);
        signal.iter_mut().zip(noise).for_each(|(s, n)| *s += scale * n);
    }
}

/// Mean squared distance from the mean; 0 for no points.
pub fn variance(x: &[f64]) -> f64 {
    let n = x.len().max(1) as f64;
    let mean = x.iter().sum::<f64>() / n;
    x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n
}

/// Sines of the baseline: frequency in Hz, phase in cycles, and size, with a power of 1 together.
pub(crate) fn baseline_sines(stream: &mut Stream) -> Vec<(f64, f64, f64)> {
    let components: Vec<(f64, f64, f64)> = (0..8)
        .map(|_| (stream.uniform_in(0.05, 0.5), stream.uniform(), stream.normal().abs()))
        .map(|(f_hz, phase, size)| (f_hz, phase, size * libm::sqrt(0.05 / f_hz)))
        .collect();
    let power: f64 = components.iter().map(|(_, _, a)| a * a / 2.0).sum();
    let scale = 1.0 / power.sqrt();
    components.into_iter().map(|(f_hz, phase, size)| (f_hz, phase, scale * size)).collect()
}

fn baseline_wander(n: usize, fs_hz: f64, stream: &mut Stream) -> Vec<f64> {
    let mut out = vec![0.0; n];
    for (f_hz, phase, size) in baseline_sines(stream) {
        add_sine(&mut out, size, f_hz / fs_hz, phase);
    }
    out
}

/// Harmonics of the mains that a recorder of this rate lets through, each with its size, with a power of 1 together.
pub(crate) fn mains_harmonics(f_hz: f64, fs_hz: f64) -> Vec<(f64, f64)> {
    let sizes: Vec<(f64, f64)> = [(1.0, 1.0), (2.0, 0.15), (3.0, 0.25)]
        .into_iter()
        // A harmonic above half the sampling rate would fold down; the recorder's filter stops it.
        .filter(|(harmonic, _)| *harmonic == 1.0 || harmonic * f_hz < 0.5 * fs_hz)
        .collect();
    let power: f64 = sizes.iter().map(|(_, a)| a * a / 2.0).sum();
    sizes.into_iter().map(|(harmonic, size)| (harmonic, size / power.sqrt())).collect()
}

fn powerline(n: usize, fs_hz: f64, f_hz: f64, stream: &mut Stream) -> Vec<f64> {
    // The mains frequency is held within some hundredths of a hertz.
    let f_hz = f_hz + 0.02 * stream.normal();
    let mut out = vec![0.0; n];
    for (harmonic, size) in mains_harmonics(f_hz, fs_hz) {
        add_sine(&mut out, size, harmonic * f_hz / fs_hz, stream.uniform());
    }
    // Slow change of coupling by a fifth; 1 + m^2 / 2 is the power that it adds.
    let (rate, phase) = (stream.uniform_in(0.05, 0.3) / fs_hz, stream.uniform());
    let mut swell = vec![0.0; n];
    add_sine(&mut swell, 0.2, rate, phase);
    let scale = 1.0 / libm::sqrt(1.02);
    out.iter_mut().zip(&swell).for_each(|(value, m)| *value *= scale * (1.0 + m));
    out
}

/// The band of muscle activity, and the power that it leaves of white noise of power 1.
pub(crate) fn muscle_band(fs_hz: f64) -> Result<(SosFilter, f64)> {
    let high_hz = (0.45 * fs_hz).min(150.0);
    let band = SosFilter::bandpass(2, 20.0, high_hz, fs_hz)?;
    // White noise has its power spread evenly up to half the rate, so the mean squared gain over
    // the frequencies is what the band lets through.
    let n_bins = 64_usize;
    let gain = |k: usize| band.gain((k as f64 + 0.5) / n_bins as f64 * 0.5 * fs_hz, fs_hz);
    let power = (0..n_bins).map(|k| gain(k) * gain(k)).sum::<f64>() / n_bins as f64;
    Ok((band, power))
}

fn muscle(n: usize, fs_hz: f64, stream: &mut Stream) -> Result<Vec<f64>> {
    let (band, power) = muscle_band(fs_hz)?;
    // The filter's start-up is cut off: a tenth of a second is several periods of 20 Hz.
    let warm_up = (0.1 * fs_hz) as usize + 1;
    let white: Vec<f64> = (0..n + warm_up).map(|_| stream.normal()).collect();
    let mut out = band.apply(&white)[warm_up..].to_vec();
    let (rate, phase) = (stream.uniform_in(0.1, 0.5) / fs_hz, stream.uniform());
    let mut bout = vec![0.0; n];
    add_sine(&mut bout, 0.6, rate, phase);
    let scale = 1.0 / libm::sqrt(power * 1.18);
    out.iter_mut().zip(&bout).for_each(|(value, m)| *value *= scale * (1.0 + m));
    Ok(out)
}

/// Steps of an electrode per second, the time in which one decays, and the time in which it rises.
pub(crate) const MOTION_RATE_HZ: f64 = 0.7;
pub(crate) const MOTION_DECAY_S: f64 = 0.25;
pub(crate) const MOTION_RISE_S: f64 = 0.01;

fn electrode_motion(n: usize, fs_hz: f64, stream: &mut Stream) -> Vec<f64> {
    // Shot noise: steps at 0.7 per second through an exponential decay. Its power is
    // rate * decay / 2 times the mean square of the steps (Campbell's theorem).
    let (rate_hz, decay_s) = (MOTION_RATE_HZ, MOTION_DECAY_S);
    let scale = 1.0 / libm::sqrt(rate_hz * decay_s / 2.0);
    let keep = libm::exp(-1.0 / (decay_s * fs_hz));
    let warm_up = (6.0 * decay_s * fs_hz) as usize;
    let (mut level, mut smooth) = (0.0, 0.0);
    let mut out = Vec::with_capacity(n);
    for i in 0..n + warm_up {
        if stream.uniform() < rate_hz / fs_hz {
            level += stream.normal();
        }
        level *= keep;
        // Skin is no switch: the step rises within about 10 ms.
        smooth += (level - smooth) * (1.0 - libm::exp(-1.0 / (MOTION_RISE_S * fs_hz)));
        if i >= warm_up {
            out.push(scale * smooth);
        }
    }
    out
}

/// Adds `size * sin(2 pi (cycles_per_point * i + phase))` by rotating a phasor, because a sine for
/// each point would be most of the cost.
pub(crate) fn add_sine(out: &mut [f64], size: f64, cycles_per_point: f64, phase: f64) {
    let (turn_sine, turn_cosine) = libm::sincos(TAU * cycles_per_point);
    // Rounding makes the phasor drift by about 1e-16 per point; each block starts afresh.
    for (block, chunk) in out.chunks_mut(4096).enumerate() {
        let cycles = (cycles_per_point * (block * 4096) as f64 + phase).fract();
        let (mut sine, mut cosine) = libm::sincos(TAU * cycles);
        for value in chunk {
            *value += size * sine;
            (sine, cosine) = (sine * turn_cosine + cosine * turn_sine, cosine * turn_cosine - sine * turn_sine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::signal::spectrum::Welch;

    const KINDS: [NoiseKind; 5] = [
        NoiseKind::BaselineWander,
        NoiseKind::Powerline { f_hz: 60.0 },
        NoiseKind::Muscle,
        NoiseKind::ElectrodeMotion,
        NoiseKind::White,
    ];

    #[test]
    fn expected_power_is_one() {
        for kind in KINDS {
            let (n_draws, n) = (60, 36_000);
            let powers: Vec<f64> = (0..n_draws)
                .map(|i| kind.generate(n, 360.0, &mut Seed::new(1).index(i).stream()).unwrap())
                .map(|x| x.iter().map(|v| v * v).sum::<f64>() / n as f64)
                .collect();
            let mean = powers.iter().sum::<f64>() / n_draws as f64;
            let sd = (powers.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n_draws as f64).sqrt();
            // Four standard errors, and 4 % for the smoothed steps.
            let tolerance = 0.04 + 4.0 * sd / (n_draws as f64).sqrt();
            assert!((mean - 1.0).abs() < tolerance, "{kind:?}: {mean} with sd {sd}");
        }
    }

    #[test]
    fn each_kind_has_its_power_in_its_band() {
        let bands = [(0.0, 0.7), (59.5, 60.5), (15.0, 170.0), (0.0, 10.0), (0.0, 181.0)];
        for (kind, (low_hz, high_hz)) in KINDS.into_iter().zip(bands) {
            let x = kind.generate(100_000, 360.0, &mut Seed::new(4).stream()).unwrap();
            let spectrum = Welch { segment_len: 8192, ..Welch::default() }.spectrum(&x, 360.0).unwrap();
            let share = spectrum.band_power(low_hz, high_hz) / spectrum.band_power(0.0, 181.0);
            assert!(share > 0.9, "{kind:?}: {share} of the power from {low_hz} to {high_hz} Hz");
        }
    }

    #[test]
    fn stated_ratio_is_met_exactly() {
        let clean: Vec<f64> = (0..1000).map(|n| 0.7 + (f64::from(n) * 0.1).sin()).collect();
        let noise = NoiseKind::Muscle.generate(1000, 360.0, &mut Seed::new(9).stream()).unwrap();
        let mut noisy = clean.clone();
        add_at_snr(&mut noisy, &noise, 12.0);
        let added: Vec<f64> = noisy.iter().zip(&clean).map(|(x, s)| x - s).collect();
        let ratio = 10.0 * (variance(&clean) / variance(&added)).log10();
        assert!((ratio - 12.0).abs() < 1e-9, "{ratio}");
        let mut flat = vec![1.0; 10];
        add_at_snr(&mut flat, &noise[..10], 12.0);
        assert_eq!(flat, vec![1.0; 10]);
    }
}
