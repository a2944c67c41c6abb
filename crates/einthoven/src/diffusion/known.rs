//! Filling in: a denoiser that is told part of the signal.
//!
//! At every level the estimate of the clean signal is replaced by what is known where it is known, and the noise follows
//! from the noisy signal. Any sampler then ends at the known points exactly, and the rest is drawn to fit them.

use burn::tensor::Tensor;

use super::denoiser::{Condition, Denoiser, Prediction};
use super::level::{NoiseLevel, check_same_shape, per_item};
use crate::error::Result;

/// A denoiser of signals that are known in part.
///
/// # Reference
/// Wang, Yu, Zhang 2023, "Zero-shot image restoration using denoising diffusion null-space model", eq. 13, for a mask.
#[derive(Debug, Clone)]
pub struct Known<D> {
    denoiser: D,
    signal: Tensor<3>,
    mask: Tensor<3>,
    emphasis: f64,
}

impl<D: Denoiser> Known<D> {
    /// Holds `denoiser` to `signal` where `mask` is 1; where it is 0 the signal's values do not count.
    ///
    /// # Shape
    /// Both `[batch, lead, time]`, as the signals that will be denoised.
    /// # Errors
    /// [`crate::Error::Shape`] if the two differ.
    pub fn new(denoiser: D, signal: Tensor<3>, mask: Tensor<3>) -> Result<Known<D>> {
        check_same_shape("mask", &mask, &signal)?;
        Ok(Known { denoiser, signal: signal * mask.clone(), mask, emphasis: 1.0 })
    }

    /// The same, with the correction of the estimate taken `emphasis` times at pure noise, and less and less towards the
    /// clean end, where it is taken once.
    ///
    /// Replacing alone gives what is known no more say than what is drawn beside it: both harden at the same pace, and of
    /// pulse trains that continue a known half, half got another phase. At 2, none of 224 did.
    pub fn emphasized(self, emphasis: f64) -> Known<D> {
        Known { emphasis, ..self }
    }
}

impl<D: Denoiser> Denoiser for Known<D> {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        check_same_shape("noisy signal", &x, &self.signal)?;
        let free = self.denoiser.denoise_each(x.clone(), levels, condition)?.x0;
        let times = per_item(levels, |level| 1.0 + (self.emphasis - 1.0) * level.sigma(), &x)?;
        let x0 = free.clone() - free * self.mask.clone() * times.clone() + self.signal.clone() * times;
        Prediction::from_x0(x0, x, levels)
    }
}
