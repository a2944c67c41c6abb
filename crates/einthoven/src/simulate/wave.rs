//! Gaussian waves on the time axis: the dynamical model in closed form.
//!
//! Without the relaxation term each event of the model integrates to a Gaussian of the phase
//! (Sameni, Clifford et al. 2007). Centers and widths are kept in milliseconds instead of radians,
//! so that a QRS lasts as long at any heart rate.

/// Which part of the beat a wave belongs to: it decides how the wave follows the heart rate and
/// how much it varies from beat to beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Atrial wave.
    P,
    /// Ventricular depolarization and pacing spikes: the same at any heart rate.
    Qrs,
    /// ST segment and T wave: move and narrow with the square root of the RR interval.
    T,
}

/// One Gaussian wave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wave {
    pub part: Part,
    /// Center relative to the R annotation, at an RR interval of 1 s, ms.
    pub at_ms: f64,
    /// Standard deviation, ms.
    pub sd_ms: f64,
    /// Height, mV.
    pub mv: f64,
}

impl Wave {
    pub(super) fn new(part: Part, at_ms: f64, sd_ms: f64, mv: f64) -> Wave {
        Wave { part, at_ms, sd_ms, mv }
    }
}

/// Standard deviations after which a wave is cut off; 0.04 % of its height is left there.
const REACH: f64 = 4.0;

/// Adds a wave to a record at the sampling rate `fs_hz`; what lies outside of it is left out.
pub(super) fn add_wave(record: &mut [f64], fs_hz: f64, center_s: f64, sd_s: f64, mv: f64) {
    let (center, sd) = (center_s * fs_hz, sd_s * fs_hz);
    let first = libm::ceil(center - REACH * sd).max(0.0) as usize;
    let last = (libm::floor(center + REACH * sd) + 1.0).clamp(0.0, record.len() as f64) as usize;
    if first >= last {
        return;
    }
    // exp(-(u + d)^2 / 2) follows from exp(-u^2 / 2) by a factor that itself shrinks by a constant
    // factor: two multiplications a point instead of an exponential.
    let step = 1.0 / sd;
    let u = (first as f64 - center) * step;
    let mut value = mv * libm::exp(-0.5 * u * u);
    let mut factor = libm::exp(-u * step - 0.5 * step * step);
    let shrink = libm::exp(-step * step);
    for point in &mut record[first..last] {
        *point += value;
        value *= factor;
        factor *= shrink;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wave_is_a_gaussian_and_stays_inside() {
        for (center_s, sd_s) in [(0.5, 0.04), (0.013, 0.011), (0.99, 0.06), (0.7, 0.0016), (-3.0, 0.1), (9.0, 0.1)] {
            let mut record = vec![0.0; 360];
            add_wave(&mut record, 360.0, center_s, sd_s, 1.5);
            for (i, found) in record.iter().enumerate() {
                let u = (i as f64 / 360.0 - center_s) / sd_s;
                let expected = if u.abs() <= REACH { 1.5 * (-0.5 * u * u).exp() } else { 0.0 };
                assert!((found - expected).abs() < 1e-9, "point {i} of {center_s}: {found} instead of {expected}");
            }
        }
    }
}
