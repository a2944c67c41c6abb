//! DDIM: predicted signal and predicted noise, mixed anew at the next level.

use burn::tensor::Tensor;

use super::super::denoiser::{Condition, Denoiser};
use super::super::level::NoiseLevel;
use super::{Ancestral, Sampler, check_grid};
use crate::error::{Error, Result};

/// DDIM sampler; `eta` is the share of the ancestral sampler's noise that it adds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ddim {
    eta: f64,
}

impl Ddim {
    /// Without noise: a first-order solver of the probability-flow equation.
    pub const DETERMINISTIC: Ddim = Ddim { eta: 0.0 };

    /// With a share `eta` of fresh noise, from 0 (none) to 1 (as much as the ancestral sampler).
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 <= eta <= 1`.
    pub fn new(eta: f64) -> Result<Ddim> {
        if (0.0..=1.0).contains(&eta) {
            Ok(Ddim { eta })
        } else {
            Err(Error::config("eta", format!("found {eta}, expected 0 to 1")))
        }
    }
}

impl Sampler for Ddim {
    fn name(&self) -> &'static str {
        "ddim"
    }
    fn summary(&self) -> &'static str {
        "deterministic, first order; 10 to 50 steps"
    }
    fn reference(&self) -> &'static str {
        "Song, Meng, Ermon 2021, Denoising diffusion implicit models, arXiv:2010.02502, eq. 12 and 16"
    }
    fn order(&self) -> Option<u32> {
        if self.eta == 0.0 { Some(1) } else { None }
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
            let (from, to) = (pair[0], pair[1]);
            let prediction = denoiser.denoise(x, from, condition)?;
            if to == NoiseLevel::CLEAN {
                return Ok(prediction.x0);
            }
            let fresh_sd = self.eta * Ancestral::new(from, to).noise_sd;
            let kept_sd = (to.sigma().powi(2) - fresh_sd.powi(2)).max(0.0).sqrt();
            x = prediction.x0 * to.alpha() + prediction.noise * kept_sd;
            if fresh_sd > 0.0 {
                x = x + noise(k + 1) * fresh_sd;
            }
        }
        Ok(x)
    }
}
