//! Classifier-free guidance: a denoiser that exaggerates what the condition changes.

use burn::tensor::Tensor;

use super::denoiser::{Condition, Denoiser, Prediction};
use super::level::NoiseLevel;
use crate::error::{Error, Result};

/// A denoiser with guidance: `noise = noise_null + weight * (noise_class - noise_null)`.
///
/// Weight 0 ignores the condition, 1 follows it, more exaggerates it. At weights 0 and 1 it costs
/// one call of the denoiser, otherwise two. Signal, noise and velocity are linear in each other at
/// a given noisy signal, so it does not matter in which of them the formula is applied.
///
/// # Reference
/// Ho and Salimans 2022, "Classifier-free diffusion guidance", eq. 6 with `weight = 1 + w`.
#[derive(Debug, Clone)]
pub struct Guided<D> {
    /// The denoiser that is guided; it must have seen dropped labels in training.
    pub denoiser: D,
    weight: f64,
}

impl<D: Denoiser> Guided<D> {
    /// Guides `denoiser` with a weight.
    ///
    /// # Errors
    /// [`Error::Config`] unless the weight is finite and not negative.
    pub fn new(denoiser: D, weight: f64) -> Result<Guided<D>> {
        if weight.is_finite() && weight >= 0.0 {
            Ok(Guided { denoiser, weight })
        } else {
            Err(Error::config("guidance", format!("found {weight}, expected a finite weight of at least 0")))
        }
    }
}

impl<D: Denoiser> Denoiser for Guided<D> {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        if self.weight == 1.0 {
            return self.denoiser.denoise_each(x, levels, condition);
        }
        let null = self.denoiser.denoise_each(x.clone(), levels, &condition.unconditional())?;
        if self.weight == 0.0 {
            return Ok(null);
        }
        let class = self.denoiser.denoise_each(x, levels, condition)?;
        let guide = |null: Tensor<3>, class: Tensor<3>| null.clone() + (class - null) * self.weight;
        Ok(Prediction { x0: guide(null.x0, class.x0), noise: guide(null.noise, class.noise) })
    }
}
