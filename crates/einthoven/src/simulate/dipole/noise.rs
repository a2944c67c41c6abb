//! Noise at the electrodes, piece by piece.
//!
//! Nine electrodes have noise of their own, so each lead has that of its electrodes and the laws of Einthoven and
//! Goldberger hold with noise too. The kinds and their parameters are those of [`crate::signal::noise`]; what is added
//! here is that a piece continues the one before.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::seed::{Seed, Stream};
use crate::signal::filter::SosFilter;
use crate::signal::noise::{
    MOTION_DECAY_S, MOTION_RATE_HZ, MOTION_RISE_S, add_sine, baseline_sines, mains_harmonics, muscle_band,
};

/// Share of each kind in the power of the noise; only their ratios count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoiseMix {
    /// Breathing and drift of electrodes, 0.05 to 0.5 Hz.
    pub baseline: f64,
    /// Muscle, 20 to 150 Hz.
    pub muscle: f64,
    /// Mains.
    pub mains: f64,
    /// Steps of electrodes that move.
    pub motion: f64,
    /// Amplifier, white.
    pub white: f64,
    /// Mains frequency, Hz.
    pub mains_hz: f64,
}

impl Default for NoiseMix {
    fn default() -> NoiseMix {
        NoiseMix { baseline: 0.45, muscle: 0.25, mains: 0.08, motion: 0.12, white: 0.10, mains_hz: 50.0 }
    }
}

impl NoiseMix {
    /// Kinds by name.
    pub const KINDS: [&'static str; 5] = ["baseline", "muscle", "mains", "motion", "white"];

    /// Equal shares of the named kinds and nothing else.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another name.
    pub fn only(kinds: &[String]) -> Result<NoiseMix> {
        let mut mix = NoiseMix { baseline: 0.0, muscle: 0.0, mains: 0.0, motion: 0.0, white: 0.0, mains_hz: 50.0 };
        for kind in kinds {
            match kind.as_str() {
                "baseline" => mix.baseline = 1.0,
                "muscle" => mix.muscle = 1.0,
                "mains" => mix.mains = 1.0,
                "motion" => mix.motion = 1.0,
                "white" => mix.white = 1.0,
                _ => {
                    let known = NoiseMix::KINDS.iter().map(|kind| (*kind).to_string()).collect();
                    return Err(Error::Unknown { kind: "noise", name: kind.clone(), known });
                }
            }
        }
        Ok(mix)
    }

    fn shares(&self) -> [f64; 5] {
        [self.baseline, self.muscle, self.mains, self.motion, self.white]
    }

    pub(super) fn validate(&self) -> Result<()> {
        let is_valid =
            self.shares().iter().all(|share| (0.0..=1e6).contains(share)) && self.shares().iter().any(|&s| s > 0.0);
        if !is_valid {
            return Err(Error::config("noise", format!("shares {:?}, expected at least one above 0", self.shares())));
        }
        if ![50.0, 60.0].contains(&self.mains_hz) {
            return Err(Error::config("mains", format!("{} Hz, expected 50 or 60 Hz", self.mains_hz)));
        }
        Ok(())
    }
}

/// Right arm, left arm, left leg, then V1 to V6.
const ELECTRODES: usize = 9;
/// Rate at which the baseline is computed; between its points it follows cubic curves.
const KNOT_HZ: f64 = 10.0;

/// Electrodes whose muscle noise is filtered side by side: a filter waits for its last value, three of them in turn do not.
const SIDE_BY_SIDE: usize = 3;
/// Points for which powers of the factors of sudden steps are kept.
const POWERS: usize = 1024;

/// The noise of one record, unscaled.
pub(super) struct ElectrodeNoise {
    fs_hz: f64,
    sizes: [f64; 5],
    band: SosFilter,
    mains: Vec<(f64, f64, f64)>,
    electrodes: Vec<Electrode>,
    steps: Steps,
    /// The electrodes' noise, `[electrode, time]`.
    rows: [Vec<f64>; ELECTRODES],
}

/// What one electrode remembers.
struct Electrode {
    stream: Stream,
    baseline: Vec<(f64, f64, f64)>,
    mains_gain: f64,
    filter: Vec<[f64; 2]>,
    /// Points until the next step, level, and smoothed level.
    wait: u64,
    level: f64,
    smooth: f64,
}

/// How sudden steps go on: each point the level is multiplied by one factor, and the smoothed level is the other factor's
/// share of itself and the rest of the level. Between two steps both are sums of powers, which need no point before them.
struct Steps {
    /// Powers of both factors, from the first on.
    keep: Vec<f64>,
    lag: Vec<f64>,
    /// Share of the level that the smoothed one has of the first factor's powers.
    share: f64,
}

impl Steps {
    fn new(fs_hz: f64) -> Steps {
        let keep = libm::exp(-1.0 / (MOTION_DECAY_S * fs_hz));
        let lag = libm::exp(-1.0 / (MOTION_RISE_S * fs_hz));
        let powers = |factor: f64| {
            let mut power = 1.0;
            std::iter::repeat_with(|| {
                power *= factor;
                power
            })
            .take(POWERS)
            .collect()
        };
        // From the sum of lag^(n - j) keep^j over j = 1 to n; the two times differ, so the factors do.
        Steps { keep: powers(keep), lag: powers(lag), share: (1.0 - lag) * keep / (keep - lag) }
    }

    /// Adds the next points of an electrode, at most [`POWERS`], none of them after the next step.
    fn add(&self, electrode: &mut Electrode, size: f64, out: &mut [f64]) {
        let slow = self.share * electrode.level;
        let fast = electrode.smooth - slow;
        for ((value, keep), lag) in out.iter_mut().zip(&self.keep).zip(&self.lag) {
            *value += size * (slow * keep + fast * lag);
        }
        let last = out.len() - 1;
        electrode.smooth = slow * self.keep[last] + fast * self.lag[last];
        electrode.level *= self.keep[last];
    }
}

impl ElectrodeNoise {
    pub fn new(mix: &NoiseMix, fs_hz: f64, seed: Seed) -> Result<ElectrodeNoise> {
        let (band, band_power) = muscle_band(fs_hz)?;
        let mut sizes = mix.shares().map(libm::sqrt);
        sizes[1] /= libm::sqrt(band_power);
        sizes[3] /= libm::sqrt(MOTION_RATE_HZ * MOTION_DECAY_S / 2.0);
        let mut shared = seed.purpose("mains").stream();
        let mains_hz = mix.mains_hz + 0.02 * shared.normal();
        let mains = mains_harmonics(mains_hz, fs_hz)
            .into_iter()
            .map(|(harmonic, size)| (harmonic * mains_hz, shared.uniform(), size))
            .collect();
        let electrodes = (0..ELECTRODES as u64)
            .map(|k| {
                let mut stream = seed.purpose("electrode").index(k).stream();
                let baseline = baseline_sines(&mut stream);
                let mains_gain = stream.normal();
                let wait = steps_until_next(fs_hz, &mut stream);
                Electrode { baseline, mains_gain, filter: Vec::new(), wait, level: 0.0, smooth: 0.0, stream }
            })
            .collect();
        let rows = std::array::from_fn(|_| Vec::new());
        Ok(ElectrodeNoise { fs_hz, sizes, band, mains, electrodes, steps: Steps::new(fs_hz), rows })
    }

    /// The next `n` frames of the eight leads; pieces must be asked for in order, `first` being their first frame.
    pub fn next(&mut self, first: usize, n: usize, out: &mut [Vec<f64>; 8]) {
        let mut mains = vec![0.0; n];
        if self.sizes[2] > 0.0 {
            for &(f_hz, phase, size) in &self.mains {
                let start = (phase + f_hz * (first as f64 / self.fs_hz)).fract();
                add_sine(&mut mains, self.sizes[2] * size, f_hz / self.fs_hz, start);
            }
        }
        self.muscle(n);
        for k in 0..ELECTRODES {
            self.electrode(k, first, &mains);
        }
        // I = LA - RA, II = LL - RA, V = V - (RA + LA + LL) / 3.
        let [right_arm, left_arm, left_leg, chest @ ..] = &self.rows;
        let limbs = right_arm.iter().zip(left_arm).zip(left_leg);
        let terminal: Vec<f64> = limbs.map(|((ra, la), ll)| (ra + la + ll) / 3.0).collect();
        let less = |lead: &mut Vec<f64>, electrode: &[f64], reference: &[f64]| {
            lead.clear();
            lead.extend(electrode.iter().zip(reference).map(|(v, r)| v - r));
        };
        let [i, ii, v @ ..] = out;
        less(i, left_arm, right_arm);
        less(ii, left_leg, right_arm);
        v.iter_mut().zip(chest).for_each(|(lead, electrode)| less(lead, electrode, &terminal));
    }

    /// The muscle noise of all electrodes into `rows`; zeros where there is none.
    fn muscle(&mut self, n: usize) {
        let muscle = self.sizes[1];
        for (row, electrode) in self.rows.iter_mut().zip(&mut self.electrodes) {
            row.clear();
            row.resize(n, 0.0);
            if muscle > 0.0 {
                fill_for_filter(&mut electrode.stream, muscle, row);
            }
        }
        if muscle > 0.0 {
            let (rows, _) = self.rows.as_chunks_mut::<SIDE_BY_SIDE>();
            let (electrodes, _) = self.electrodes.as_chunks_mut::<SIDE_BY_SIDE>();
            for (rows, electrodes) in rows.iter_mut().zip(electrodes) {
                let rows = rows.each_mut().map(Vec::as_mut_slice);
                self.band.apply_next_to_each(rows, electrodes.each_mut().map(|electrode| &mut electrode.filter));
            }
        }
    }

    /// Adds the other kinds to the noise of one electrode.
    fn electrode(&mut self, k: usize, first: usize, mains: &[f64]) {
        let [baseline, _, _, motion, white] = self.sizes;
        let electrode = &mut self.electrodes[k];
        let out = &mut self.rows[k];
        if white > 0.0 {
            add_normal(&mut electrode.stream, white, out);
        }
        if motion > 0.0 {
            let mut rest = &mut out[..];
            while !rest.is_empty() {
                if electrode.wait == 0 {
                    electrode.level += electrode.stream.normal();
                    electrode.wait = steps_until_next(self.fs_hz, &mut electrode.stream);
                }
                let n = rest.len().min(POWERS).min(usize::try_from(electrode.wait).unwrap_or(usize::MAX));
                let (now, later) = rest.split_at_mut(n);
                self.steps.add(electrode, motion, now);
                electrode.wait -= n as u64;
                rest = later;
            }
        }
        let gain = electrode.mains_gain;
        out.iter_mut().zip(mains).for_each(|(value, m)| *value += gain * m);
        if baseline > 0.0 {
            add_baseline(&electrode.baseline, baseline, first, self.fs_hz, out);
        }
    }
}

/// Points until the next sudden step: the waiting time of a Poisson process.
fn steps_until_next(fs_hz: f64, stream: &mut Stream) -> u64 {
    libm::ceil(-libm::log(1.0 - stream.uniform()) * fs_hz / MOTION_RATE_HZ) as u64 + 1
}

/// Two values of mean 0 and variance 1 from one draw: sums of four bytes, which end at 3.4 standard deviations.
///
/// Twelve times cheaper than exact normals. Behind a filter the difference is gone; in amplifier noise nobody can see it.
fn pair(stream: &mut Stream) -> [f64; 2] {
    let bits = stream.next_u64();
    let byte = |k: u32| (bits >> (8 * k)) & 255;
    // The variance of a byte is (256^2 - 1) / 12.
    let scale = 0.006_766_060_105_691_07;
    let centered = |sum: u64| (sum as f64 - 510.0) * scale;
    [centered(byte(0) + byte(1) + byte(2) + byte(3)), centered(byte(4) + byte(5) + byte(6) + byte(7))]
}

/// Fills with values of mean 0 and standard deviation `size` for the filter of muscle noise: sums of two bytes, four of
/// them from one draw. What leaves the filter is a sum of many, and as good as normal.
fn fill_for_filter(stream: &mut Stream, size: f64, out: &mut [f64]) {
    // The variance of a byte is (256^2 - 1) / 12.
    let scale = size / libm::sqrt(2.0 * 65_535.0 / 12.0);
    for values in out.chunks_mut(4) {
        let bits = stream.next_u64();
        for (k, value) in values.iter_mut().enumerate() {
            let byte = |at: usize| ((bits >> (8 * at)) & 255) as i32;
            *value = scale * f64::from(byte(2 * k) + byte(2 * k + 1) - 255);
        }
    }
}

fn add_normal(stream: &mut Stream, size: f64, out: &mut [f64]) {
    for values in out.chunks_mut(2) {
        let drawn = pair(stream);
        values.iter_mut().zip(drawn).for_each(|(value, v)| *value += size * v);
    }
}

/// Adds the sines of the baseline, computed at knots and joined by cubic curves.
fn add_baseline(sines: &[(f64, f64, f64)], size: f64, first: usize, fs_hz: f64, out: &mut [f64]) {
    let stride = libm::round(fs_hz / KNOT_HZ).max(1.0) as usize;
    // Each sine turns by a fixed angle from knot to knot, which is a product instead of a sine. A piece is short, so
    // rounding has no time to grow.
    let k = (first / stride) as i64;
    let mut phasors: Vec<[f64; 4]> = sines
        .iter()
        .map(|&(f_hz, phase, a)| {
            let cycles = f_hz * stride as f64 / fs_hz;
            let start = (phase + cycles * (k - 1) as f64).rem_euclid(1.0);
            let (sine, cosine) = libm::sincos(std::f64::consts::TAU * start);
            let (turn_sine, turn_cosine) = libm::sincos(std::f64::consts::TAU * cycles);
            [a * sine, a * cosine, turn_sine, turn_cosine]
        })
        .collect();
    let mut next_knot = || {
        let mut sum = 0.0;
        for [sine, cosine, turn_sine, turn_cosine] in &mut phasors {
            sum += *sine;
            (*sine, *cosine) =
                (*sine * *turn_cosine + *cosine * *turn_sine, *cosine * *turn_cosine - *sine * *turn_sine);
        }
        sum
    };
    let mut window: [f64; 4] = std::array::from_fn(|_| next_knot());
    let places: Vec<f64> = (0..stride).map(|within| within as f64 / stride as f64).collect();
    let mut from = first % stride;
    let mut rest = out;
    while !rest.is_empty() {
        // Catmull and Rom: through the knots, with the slope of their neighbors.
        let [a, b, c, d] = window;
        let slope = 0.5 * (c - a);
        let next_slope = 0.5 * (d - b);
        let bend = 3.0 * (c - b) - 2.0 * slope - next_slope;
        let twist = 2.0 * (b - c) + slope + next_slope;
        let n = rest.len().min(stride - from);
        let (now, later) = rest.split_at_mut(n);
        for (value, u) in now.iter_mut().zip(&places[from..]) {
            *value += size * (b + u * (slope + u * (bend + u * twist)));
        }
        window = [window[1], window[2], window[3], next_knot()];
        from = 0;
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::noise::variance;

    #[test]
    fn cheap_normals_have_mean_zero_and_unit_variance() {
        let mut stream = Seed::new(1).stream();
        let x: Vec<f64> = (0..100_000).flat_map(|_| pair(&mut stream)).collect();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        // Four standard errors.
        assert!(mean.abs() < 0.009 && (variance(&x) - 1.0).abs() < 0.013, "{mean} {}", variance(&x));
    }

    #[test]
    fn each_kind_has_the_power_of_its_share() {
        for kind in NoiseMix::KINDS {
            let mix = NoiseMix::only(&[kind.to_string()]).unwrap();
            let powers: Vec<f64> = (0..30)
                .map(|i| {
                    let mut noise = ElectrodeNoise::new(&mix, 500.0, Seed::new(3).index(i)).unwrap();
                    let mut leads = Default::default();
                    noise.next(0, 10_000, &mut leads);
                    // Lead I is the difference of two electrodes of power 1 each.
                    leads[0].iter().map(|v| v * v).sum::<f64>() / 10_000.0
                })
                .collect();
            let mean = powers.iter().sum::<f64>() / 30.0;
            let sd = (powers.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / 30.0).sqrt();
            assert!((mean - 2.0).abs() < 0.12 + 4.0 * sd / 30.0_f64.sqrt(), "{kind}: {mean} with sd {sd}");
        }
    }

    #[test]
    fn baseline_follows_its_sines() {
        let sines = [(0.5, 0.2, 1.0), (0.07, 0.9, 2.0)];
        let mut out = vec![0.0; 3000];
        add_baseline(&sines, 1.0, 777, 500.0, &mut out);
        for (k, value) in out.iter().enumerate() {
            let t_s = (777 + k) as f64 / 500.0;
            let exact: f64 = sines.iter().map(|(f, p, a)| a * (std::f64::consts::TAU * (f * t_s + p)).sin()).sum();
            // Twenty knots a period leave a cubic within a thousandth.
            assert!((value - exact).abs() < 5e-3, "{k}: {value} {exact}");
        }
    }
}
