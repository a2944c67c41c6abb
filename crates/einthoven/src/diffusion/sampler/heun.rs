//! Heun: a step of Euler along the noise, corrected by the slope at its end.

use burn::tensor::Tensor;

use super::super::denoiser::{Condition, Denoiser};
use super::super::grid::Spacing;
use super::super::level::NoiseLevel;
use super::{Sampler, check_grid};
use crate::error::Result;

/// Second-order single-step solver of the probability-flow equation, deterministic.
///
/// # Differs from the paper
/// The state is `alpha` times that of the paper, whose sigma is `sigma / alpha` here and whose slope is the predicted
/// noise. A step from pure noise, where that ratio is infinite, is left at first order, as the last one is in the paper.
#[derive(Debug, Clone, Copy)]
pub struct Heun;

impl Sampler for Heun {
    fn name(&self) -> &'static str {
        "heun"
    }
    fn summary(&self) -> &'static str {
        "deterministic, second order, two calls a step, on the grid of Karras et al.; 10 to 20 steps"
    }
    fn reference(&self) -> &'static str {
        "Karras, Aittala, Aila, Laine 2022, Elucidating the design space of diffusion-based generative models, \
         arXiv:2206.00364, algorithm 1"
    }
    fn order(&self) -> Option<u32> {
        Some(2)
    }
    fn spacing(&self) -> Spacing {
        Spacing::Karras
    }
    fn evaluations(&self, n_steps: usize) -> usize {
        (2 * n_steps).saturating_sub(1)
    }
    fn sample(
        &self,
        denoiser: &dyn Denoiser,
        grid: &[NoiseLevel],
        mut x: Tensor<3>,
        _noise: &mut dyn FnMut(usize) -> Tensor<3>,
        condition: &Condition,
    ) -> Result<Tensor<3>> {
        check_grid(grid)?;
        for pair in grid.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let here = denoiser.denoise(x.clone(), from, condition)?;
            if to == NoiseLevel::CLEAN {
                return Ok(here.x0);
            }
            let euler = here.x0 * to.alpha() + here.noise.clone() * to.sigma();
            if from.alpha() == 0.0 {
                x = euler;
                continue;
            }
            let there = denoiser.denoise(euler, to, condition)?;
            let slope = (here.noise + there.noise) * 0.5;
            // alpha' (tan(angle') - tan(angle)), without the difference of two large numbers.
            let stride = libm::sin(to.angle() - from.angle()) / from.alpha();
            x = x * (to.alpha() / from.alpha()) + slope * stride;
        }
        Ok(x)
    }
}
