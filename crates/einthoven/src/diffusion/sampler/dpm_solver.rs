//! DPM-Solver++(2M): a second-order multistep solver at the price of DDIM.

use burn::tensor::Tensor;

use super::super::denoiser::{Condition, Denoiser};
use super::super::level::NoiseLevel;
use super::{Sampler, check_grid};
use crate::error::Result;

/// Second-order multistep DPM-Solver++ on the predicted clean signal.
///
/// # Differs from the paper
/// `-alpha_u (exp(-h) - 1)` is written `sin(t - u) / sin(t)` for the angles t and u of a step,
/// which is finite at pure noise (where h is infinite) and at the clean end. A step that touches
/// an end is first order there: log-SNR is infinite, so no slope against it exists.
#[derive(Debug, Clone, Copy)]
pub struct DpmSolver;

impl Sampler for DpmSolver {
    fn name(&self) -> &'static str {
        "dpm-solver++"
    }
    fn summary(&self) -> &'static str {
        "deterministic, second order, multistep; 8 to 20 steps"
    }
    fn reference(&self) -> &'static str {
        "Lu, Zhou, Bao, Chen, Li, Zhu 2022, DPM-Solver++, arXiv:2211.01095, algorithm 2"
    }
    fn order(&self) -> Option<u32> {
        Some(2)
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
        // Predicted signal of the step before, and that step's h.
        let mut before: Option<(Tensor<3>, f64)> = None;
        for pair in grid.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let x0 = denoiser.denoise(x.clone(), from, condition)?.x0;
            // h of the paper: the step in half log-SNR.
            let h = 0.5 * (to.log_snr() - from.log_snr());
            let slope = match before {
                Some((x0_before, h_before)) if h.is_finite() && h_before.is_finite() => {
                    x0.clone() + (x0.clone() - x0_before) * (h / (2.0 * h_before))
                }
                _ => x0.clone(),
            };
            let x0_factor = libm::sin(from.angle() - to.angle()) / from.sigma();
            x = slope * x0_factor + x * (to.sigma() / from.sigma());
            before = Some((x0, h));
        }
        Ok(x)
    }
}
