//! Ancestral sampling: step by step through the posterior, with fresh noise.

use burn::tensor::Tensor;

use super::super::denoiser::{Condition, Denoiser};
use super::super::level::NoiseLevel;
use super::{Sampler, check_grid};
use crate::error::Result;

/// Ancestral sampler of DDPM, between any two levels of a grid.
#[derive(Debug, Clone, Copy)]
pub struct Ddpm {
    /// The state is held within plus and minus this after each update; infinite for no bound.
    pub bound: f64,
}

impl Ddpm {
    /// Without a bound.
    pub const FREE: Ddpm = Ddpm { bound: f64::INFINITY };
}

/// The posterior of a cleaner level given a noisier one and the clean signal.
///
/// `next = x0_factor * x0 + x_factor * x + noise_sd * noise`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ancestral {
    /// Factor of the clean signal.
    pub x0_factor: f64,
    /// Factor of the noisy signal.
    pub x_factor: f64,
    /// Standard deviation of the fresh noise; 0 when the next level is clean.
    pub noise_sd: f64,
}

impl Ancestral {
    /// Posterior of level `to` given level `from > to`.
    ///
    /// # Reference
    /// Ho et al. 2020, eq. 7, for two levels t and u that need not be neighbours. The share of
    /// variance replaced on the way, `1 - (alpha_t / alpha_u)^2`, is written
    /// `sin(t - u) sin(t + u) / cos^2(u)`, which loses no digits and holds at pure noise.
    pub fn new(from: NoiseLevel, to: NoiseLevel) -> Ancestral {
        let (t, u) = (from.angle(), to.angle());
        let replaced = libm::sin(t - u) * libm::sin(t + u) / to.alpha().powi(2);
        let ratio = to.sigma() / from.sigma();
        Ancestral {
            x0_factor: to.alpha() * replaced / from.sigma().powi(2),
            x_factor: from.alpha() / to.alpha() * ratio.powi(2),
            noise_sd: replaced.sqrt() * ratio,
        }
    }
}

impl Sampler for Ddpm {
    fn name(&self) -> &'static str {
        "ddpm"
    }
    fn summary(&self) -> &'static str {
        "ancestral: fresh noise in every step; needs hundreds of steps"
    }
    fn reference(&self) -> &'static str {
        "Ho, Jain, Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239, algorithm 2"
    }
    fn order(&self) -> Option<u32> {
        None
    }
    fn sample(
        &self,
        denoiser: &dyn Denoiser,
        grid: &[NoiseLevel],
        mut x: Tensor<3>,
        noise: &mut dyn FnMut(usize) -> Tensor<3>,
        condition: &Condition,
    ) -> Result<Tensor<3>> {
        check_grid(grid)?;
        for (k, pair) in grid.windows(2).enumerate() {
            let x0 = denoiser.denoise(x.clone(), pair[0], condition)?.x0;
            let step = Ancestral::new(pair[0], pair[1]);
            x = x0 * step.x0_factor + x * step.x_factor;
            if step.noise_sd > 0.0 {
                x = x + noise(k + 1) * step.noise_sd;
            }
            if self.bound.is_finite() {
                x = x.clamp(-self.bound, self.bound);
            }
        }
        Ok(x)
    }
}
