//! Parameterizations: what a network puts out, and how to read signal and noise from it.

use burn::tensor::Tensor;

use super::denoiser::Prediction;
use super::level::{NoiseLevel, check_same_shape, per_item};
use crate::error::{Error, Result};

/// What the raw output of a network means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameterization {
    /// The noise. Says nothing about the signal at pure noise, where it is refused.
    Noise,
    /// The velocity `v = alpha * noise - sigma * x0`, which is safe at both ends.
    ///
    /// # Reference
    /// Salimans and Ho 2022, appendix D.
    V,
    /// The clean signal.
    X0,
    /// The velocity `x0 - noise` of the rectified path, on which the network is also shown its signals.
    ///
    /// # Reference
    /// Lipman et al. 2023, "Flow matching for generative modeling", with the path of Liu, Gong and Liu 2023.
    Flow,
}

impl Parameterization {
    /// All parameterizations.
    pub const ALL: [Parameterization; 4] =
        [Parameterization::Noise, Parameterization::V, Parameterization::X0, Parameterization::Flow];

    /// Name as typed by users.
    pub fn name(self) -> &'static str {
        match self {
            Parameterization::Noise => "noise",
            Parameterization::V => "v",
            Parameterization::X0 => "x0",
            Parameterization::Flow => "flow",
        }
    }

    /// The parameterization of a name.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is none.
    pub fn find(name: &str) -> Result<Parameterization> {
        Parameterization::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| Error::Unknown {
            kind: "parameterization",
            name: name.into(),
            known: Parameterization::ALL.iter().map(|known| known.name().to_string()).collect(),
        })
    }

    /// Refuses a level at which the output does not determine the signal.
    ///
    /// # Errors
    /// [`Error::Config`] for noise prediction at pure noise.
    pub fn check(self, level: NoiseLevel) -> Result<()> {
        if self == Parameterization::Noise && level.alpha() == 0.0 {
            return Err(Error::config(
                "parameterization",
                "noise prediction says nothing about the signal at zero SNR; use v or x0, or a schedule that ends before pure noise",
            ));
        }
        Ok(())
    }

    /// What the network is shown of the noisy signal `x`: its point on the rectified path for a flow, else `x`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `levels` is not one per item.
    pub fn input(self, x: Tensor<3>, levels: &[NoiseLevel]) -> Result<Tensor<3>> {
        match self {
            Parameterization::Flow => {
                let of_x = per_item(levels, |level| 1.0 / level.path_factor(), &x)?;
                Ok(x * of_x)
            }
            Parameterization::Noise | Parameterization::V | Parameterization::X0 => Ok(x),
        }
    }

    /// Clean signal and noise from a network's raw output for the noisy signal `x`.
    ///
    /// # Shape
    /// `raw` and `x` are `[batch, lead, time]`; `levels` is one per item.
    /// # Errors
    /// [`Error::Shape`] if shapes differ; [`Error::Config`] as [`Parameterization::check`].
    pub fn prediction(self, raw: Tensor<3>, x: Tensor<3>, levels: &[NoiseLevel]) -> Result<Prediction> {
        check_same_shape("network output", &raw, &x)?;
        match self {
            Parameterization::Noise => {
                levels.iter().try_for_each(|&level| self.check(level))?;
                let of_x = per_item(levels, |level| 1.0 / level.alpha(), &x)?;
                let of_noise = per_item(levels, |level| level.sigma() / level.alpha(), &x)?;
                Ok(Prediction { x0: x * of_x - raw.clone() * of_noise, noise: raw })
            }
            Parameterization::V => {
                let alpha = per_item(levels, NoiseLevel::alpha, &x)?;
                let sigma = per_item(levels, NoiseLevel::sigma, &x)?;
                let x0 = x.clone() * alpha.clone() - raw.clone() * sigma.clone();
                Ok(Prediction { x0, noise: x * sigma + raw * alpha })
            }
            Parameterization::X0 => Prediction::from_x0(raw, x, levels),
            Parameterization::Flow => {
                let on_path = self.input(x, levels)?;
                let time = per_item(levels, NoiseLevel::flow_time, &raw)?;
                let left = per_item(levels, |level| 1.0 - level.flow_time(), &raw)?;
                Ok(Prediction { x0: on_path.clone() + raw.clone() * left, noise: on_path - raw * time })
            }
        }
    }

    /// What the network should put out for a known clean signal and noise.
    ///
    /// # Shape
    /// All `[batch, lead, time]`; `levels` is one per item.
    /// # Errors
    /// [`Error::Shape`] if shapes differ.
    pub fn target(self, x0: Tensor<3>, noise: Tensor<3>, levels: &[NoiseLevel]) -> Result<Tensor<3>> {
        check_same_shape("noise", &noise, &x0)?;
        match self {
            Parameterization::Noise => Ok(noise),
            Parameterization::V => {
                let alpha = per_item(levels, NoiseLevel::alpha, &x0)?;
                let sigma = per_item(levels, NoiseLevel::sigma, &x0)?;
                Ok(noise * alpha - x0 * sigma)
            }
            Parameterization::X0 => Ok(x0),
            Parameterization::Flow => Ok(x0 - noise),
        }
    }
}
