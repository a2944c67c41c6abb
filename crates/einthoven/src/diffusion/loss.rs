//! The training loss: squared error of the network's output, weighted by noise level.

use burn::tensor::Tensor;

use super::denoiser::{Backbone, Condition, raw_output};
use super::level::{NoiseLevel, diffuse, items_tensor};
use super::parameterization::Parameterization;
use super::time::TimeView;
use crate::error::{Error, Result};

/// How much the error of the clean signal counts at each noise level.
///
/// The weight is stated for the squared error of x0; an equal error of the noise counts 1/SNR of
/// it and one of the velocity `1 / (1 + SNR)`, so each is plain mean squared error in one of the
/// parameterizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighting {
    /// SNR: plain error of the noise (Ho et al. 2020).
    Noise,
    /// max(SNR, 1): for few steps, where the noisiest levels must count (Salimans and Ho 2022, section 4).
    TruncatedSnr,
    /// 1 + SNR: plain error of the velocity.
    Velocity,
    /// (1 + sqrt(SNR))^2: plain error of the velocity of the rectified path (Lipman et al. 2023).
    Flow,
    /// 1: plain error of the clean signal, for networks that put it out (Yuan and Qiao 2024, eq. 8 without its weight).
    Signal,
}

impl Weighting {
    /// Factor of the squared error of a network's raw output at a level.
    ///
    /// # Errors
    /// [`Error::Config`] where it is infinite: an output that does not tell the signal (noise at
    /// pure noise), or x0 at the clean end.
    pub fn factor(self, parameterization: Parameterization, level: NoiseLevel) -> Result<f64> {
        let signal = level.alpha().powi(2);
        let noise = level.sigma().powi(2);
        // Multiplied through by sigma^2, every weight is finite: signal, max(signal, noise), 1, (alpha + sigma)^2.
        let weight = match self {
            Weighting::Noise => signal,
            Weighting::TruncatedSnr => signal.max(noise),
            Weighting::Velocity => 1.0,
            Weighting::Flow => level.path_factor().powi(2),
            Weighting::Signal => noise,
        };
        let unit = match parameterization {
            Parameterization::Noise if self == Weighting::Noise => return Ok(1.0),
            Parameterization::X0 if self == Weighting::Signal => return Ok(1.0),
            Parameterization::Noise => signal,
            Parameterization::V => 1.0,
            Parameterization::X0 => noise,
            Parameterization::Flow => level.path_factor().powi(2),
        };
        if unit == 0.0 {
            return Err(Error::config(
                "weighting",
                format!("the {} weight is infinite at angle {}", parameterization.name(), level.angle()),
            ));
        }
        Ok(weight / unit)
    }
}

/// What a denoising network is trained for.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// What the network puts out.
    pub parameterization: Parameterization,
    /// How noise levels count.
    pub weighting: Weighting,
    /// How the network is told the level.
    pub time: TimeView,
}

impl Objective {
    /// Loss of each item for noise levels and noise that the caller has drawn.
    ///
    /// # Shape
    /// `x0` and `noise` are `[batch, lead, time]`, `levels` one per item; the result is `[batch]`.
    /// # Errors
    /// [`Error::Shape`] if shapes differ; [`Error::Config`] as [`Weighting::factor`].
    /// # Reference
    /// Ho et al. 2020, eq. 14; Salimans and Ho 2022, section 4 and appendix D.
    pub fn loss<B: Backbone + ?Sized>(
        &self,
        backbone: &B,
        x0: Tensor<3>,
        noise: Tensor<3>,
        levels: &[NoiseLevel],
        condition: &Condition,
    ) -> Result<Tensor<1>> {
        condition.check(x0.dims()[0])?;
        let x = diffuse(x0.clone(), noise.clone(), levels)?;
        let raw = self.output(backbone, x, levels, condition)?;
        let target = self.parameterization.target(x0, noise, levels)?;
        self.weigh(raw, target, levels)
    }

    /// What a network puts out for noisy signals.
    ///
    /// # Errors
    /// As [`Backbone::predict`].
    pub fn output<B: Backbone + ?Sized>(
        &self,
        backbone: &B,
        x: Tensor<3>,
        levels: &[NoiseLevel],
        condition: &Condition,
    ) -> Result<Tensor<3>> {
        raw_output(backbone, self.parameterization, &self.time, x, levels, condition)
    }

    /// Weighted mean squared error of each item, for a raw output and its target; distillation
    /// brings a target of its own.
    ///
    /// # Errors
    /// As [`Objective::loss`].
    pub fn weigh(&self, raw: Tensor<3>, target: Tensor<3>, levels: &[NoiseLevel]) -> Result<Tensor<1>> {
        super::level::check_same_shape("network output", &raw, &target)?;
        let factors: Vec<f32> = levels
            .iter()
            .map(|&level| self.weighting.factor(self.parameterization, level).map(|factor| factor as f32))
            .collect::<Result<_>>()?;
        let factors = items_tensor(factors, &raw.device());
        Ok(squared_error(raw, target) * factors)
    }
}

/// Mean squared error of each item.
///
/// # Shape
/// From two `[batch, lead, time]` of equal shape to `[batch]`.
pub fn squared_error(a: Tensor<3>, b: Tensor<3>) -> Tensor<1> {
    (a - b).square().flatten::<2>(1, 2).mean_dim(1).squeeze_dim::<1>(1)
}
