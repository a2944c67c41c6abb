//! The noise level: how much of a noisy signal is signal.
//!
//! A noisy signal is `x = alpha * x0 + sigma * noise` with `alpha^2 + sigma^2 = 1`
//! (variance-preserving diffusion), so one angle in [0, pi/2] with `alpha = cos(angle)` and
//! `sigma = sin(angle)` says it all. It is finite at both ends, which log-SNR is not: pi/2 is pure
//! noise, the zero terminal SNR of Lin et al. 2024, "Common diffusion noise schedules and sample
//! steps are flawed". Salimans and Ho 2022 use the same angle for the velocity parameterization.

use std::f64::consts::FRAC_PI_2;

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};

/// A noise level, held as the angle between signal and noise.
///
/// # Units
/// Radians, from 0 (clean) to pi/2 (pure noise).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct NoiseLevel {
    angle: f64,
}

impl NoiseLevel {
    /// No noise: alpha 1, sigma 0.
    pub const CLEAN: NoiseLevel = NoiseLevel { angle: 0.0 };
    /// No signal: alpha 0, sigma 1.
    pub const PURE_NOISE: NoiseLevel = NoiseLevel { angle: FRAC_PI_2 };

    /// Level at an angle in radians.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 <= angle <= pi/2`.
    pub fn new(angle: f64) -> Result<NoiseLevel> {
        if (0.0..=FRAC_PI_2).contains(&angle) {
            Ok(NoiseLevel { angle })
        } else {
            Err(Error::config("noise level", format!("found angle {angle}, expected 0 to pi/2")))
        }
    }

    /// Level at `alpha_bar = alpha^2`, the cumulative product of discrete formulations.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 <= alpha_bar <= 1`.
    pub fn from_alpha_bar(alpha_bar: f64) -> Result<NoiseLevel> {
        if (0.0..=1.0).contains(&alpha_bar) {
            NoiseLevel::new(libm::atan2((1.0 - alpha_bar).sqrt(), alpha_bar.sqrt()))
        } else {
            Err(Error::config("noise level", format!("found alpha_bar {alpha_bar}, expected 0 to 1")))
        }
    }

    /// Level at a log signal-to-noise ratio `ln(alpha^2 / sigma^2)`; both infinities are levels.
    ///
    /// # Errors
    /// [`Error::Config`] if `log_snr` is not a number.
    pub fn from_log_snr(log_snr: f64) -> Result<NoiseLevel> {
        NoiseLevel::new(libm::atan(libm::exp(-0.5 * log_snr)))
    }

    /// Level at a time of the rectified path `time * x0 + (1 - time) * noise`, from 0 (noise) to 1 (clean).
    ///
    /// The path is this variance-preserving one, divided by `alpha + sigma`: a point of the one is a point of the
    /// other at the same ratio of signal to noise.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 <= time <= 1`.
    /// # Reference
    /// Liu, Gong, Liu 2023, "Flow straight and fast: learning to generate and transfer data with rectified flow".
    pub fn from_flow_time(time: f64) -> Result<NoiseLevel> {
        if (0.0..=1.0).contains(&time) {
            NoiseLevel::new(libm::atan2(1.0 - time, time))
        } else {
            Err(Error::config("noise level", format!("found flow time {time}, expected 0 to 1")))
        }
    }

    /// Angle in radians.
    pub fn angle(self) -> f64 {
        self.angle
    }

    /// Factor of the signal; exactly 0 at pure noise.
    pub fn alpha(self) -> f64 {
        // The cosine of the nearest double to pi/2 is 6e-17, which would hide the pole.
        if self.angle == FRAC_PI_2 { 0.0 } else { libm::cos(self.angle) }
    }

    /// Factor of the noise; exactly 0 at the clean end.
    pub fn sigma(self) -> f64 {
        libm::sin(self.angle)
    }

    /// Time of the rectified path, from 0 at pure noise to 1 at the clean end.
    pub fn flow_time(self) -> f64 {
        self.alpha() / self.path_factor()
    }

    /// `alpha + sigma`, by which the rectified path is smaller than this one.
    pub fn path_factor(self) -> f64 {
        self.alpha() + self.sigma()
    }

    /// Signal-to-noise ratio `alpha^2 / sigma^2`; infinite at the clean end.
    pub fn snr(self) -> f64 {
        (self.alpha() / self.sigma()).powi(2)
    }

    /// `ln(alpha^2 / sigma^2)`; infinite at both ends, with the right sign.
    pub fn log_snr(self) -> f64 {
        2.0 * (libm::log(self.alpha()) - libm::log(self.sigma()))
    }
}

/// Noisy signal `alpha * x0 + sigma * noise`, with a level for each item.
///
/// The same formula is a deterministic DDIM step when `x0` and `noise` are predictions.
///
/// # Shape
/// `x0`, `noise` and the result are `[batch, lead, time]`.
/// # Errors
/// [`Error::Shape`] if the shapes differ or `levels` is not one per item.
/// # Reference
/// Ho et al. 2020, "Denoising diffusion probabilistic models", eq. 4.
pub fn diffuse(x0: Tensor<3>, noise: Tensor<3>, levels: &[NoiseLevel]) -> Result<Tensor<3>> {
    check_same_shape("noise", &noise, &x0)?;
    let alpha = per_item(levels, NoiseLevel::alpha, &x0)?;
    let sigma = per_item(levels, NoiseLevel::sigma, &x0)?;
    Ok(x0 * alpha + noise * sigma)
}

/// A coefficient of each item's level as a tensor `[batch, 1, 1]` that fits `x`.
pub(crate) fn per_item(
    levels: &[NoiseLevel],
    coefficient: impl Fn(NoiseLevel) -> f64,
    x: &Tensor<3>,
) -> Result<Tensor<3>> {
    let n_items = x.dims()[0];
    if levels.len() != n_items {
        return Err(Error::Shape { what: "noise levels".into(), expected: vec![n_items], actual: vec![levels.len()] });
    }
    let values = levels.iter().map(|&level| coefficient(level) as f32).collect();
    Ok(items_tensor(values, &x.device()).reshape([n_items, 1, 1]))
}

/// A number per item as a tensor `[batch]`.
pub(crate) fn items_tensor(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let n_items = values.len();
    Tensor::from_data(TensorData::new(values, [n_items]), device)
}

/// Refuses two tensors of different shape, naming the first.
pub(crate) fn check_same_shape(what: &str, actual: &Tensor<3>, expected: &Tensor<3>) -> Result<()> {
    if actual.dims() == expected.dims() {
        return Ok(());
    }
    Err(Error::Shape { what: what.into(), expected: expected.dims().to_vec(), actual: actual.dims().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_exact() {
        assert_eq!((NoiseLevel::CLEAN.alpha(), NoiseLevel::CLEAN.sigma()), (1.0, 0.0));
        assert_eq!((NoiseLevel::PURE_NOISE.alpha(), NoiseLevel::PURE_NOISE.sigma()), (0.0, 1.0));
        assert_eq!(NoiseLevel::CLEAN.log_snr(), f64::INFINITY);
        assert_eq!(NoiseLevel::PURE_NOISE.log_snr(), f64::NEG_INFINITY);
        assert_eq!(NoiseLevel::from_alpha_bar(0.0).unwrap(), NoiseLevel::PURE_NOISE);
        assert_eq!(NoiseLevel::from_alpha_bar(1.0).unwrap(), NoiseLevel::CLEAN);
        assert_eq!(NoiseLevel::from_flow_time(0.0).unwrap(), NoiseLevel::PURE_NOISE);
        assert_eq!(NoiseLevel::from_flow_time(1.0).unwrap(), NoiseLevel::CLEAN);
        assert!(NoiseLevel::from_flow_time(1.01).is_err());
        assert_eq!(NoiseLevel::from_log_snr(f64::NEG_INFINITY).unwrap(), NoiseLevel::PURE_NOISE);
        assert_eq!(NoiseLevel::from_log_snr(f64::INFINITY).unwrap(), NoiseLevel::CLEAN);
        for bad in [-1e-9, FRAC_PI_2 + 1e-5, f64::NAN] {
            assert!(matches!(NoiseLevel::new(bad), Err(Error::Config { .. })), "{bad}");
        }
    }

    #[test]
    fn views_round_trip() {
        for k in 1..100 {
            let level = NoiseLevel::new(FRAC_PI_2 * f64::from(k) / 100.0).unwrap();
            assert!((level.alpha().powi(2) + level.sigma().powi(2) - 1.0).abs() < 1e-15);
            let back = NoiseLevel::from_log_snr(level.log_snr()).unwrap();
            assert!((back.angle() - level.angle()).abs() < 1e-14);
            let back = NoiseLevel::from_alpha_bar(level.alpha().powi(2)).unwrap();
            // 1 - alpha_bar loses digits where the noise is small.
            assert!((back.angle() - level.angle()).abs() < 1e-13);
            let back = NoiseLevel::from_flow_time(level.flow_time()).unwrap();
            assert!((back.angle() - level.angle()).abs() < 1e-14);
        }
    }
}
