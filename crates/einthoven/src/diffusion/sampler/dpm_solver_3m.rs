//! DPM-Solver++(3M): a third-order multistep solver at the price of DDIM.

use burn::tensor::Tensor;

use super::super::denoiser::{Condition, Denoiser};
use super::super::level::NoiseLevel;
use super::{Sampler, check_grid};
use crate::error::Result;

/// Third-order multistep DPM-Solver++ on the predicted clean signal.
///
/// Through the last three predictions goes a parabola in half log-SNR, which is integrated exactly.
///
/// # Differs from the paper
/// The paper stops at two steps back; the third follows from its eq. 9 by divided differences. At the ends of the grid
/// the order is lower, as it is for [`super::DpmSolver`].
#[derive(Debug, Clone, Copy)]
pub struct DpmSolver3;

impl Sampler for DpmSolver3 {
    fn name(&self) -> &'static str {
        "dpm-solver++3m"
    }
    fn summary(&self) -> &'static str {
        "deterministic, third order, multistep; 20 steps and more"
    }
    fn reference(&self) -> &'static str {
        "Lu, Zhou, Bao, Chen, Li, Zhu 2022, DPM-Solver++, arXiv:2211.01095, eq. 9"
    }
    fn order(&self) -> Option<u32> {
        Some(3)
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
        // Predicted signals of the two steps before, and those steps' h, newest first.
        let mut before: Vec<(Tensor<3>, f64)> = Vec::new();
        for pair in grid.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let x0 = denoiser.denoise(x.clone(), from, condition)?.x0;
            // h of the paper: the step in half log-SNR.
            let h = 0.5 * (to.log_snr() - from.log_snr());
            let x0_factor = libm::sin(from.angle() - to.angle()) / from.sigma();
            x = x0.clone() * x0_factor + x * (to.sigma() / from.sigma());
            let usable = before.iter().take_while(|(_, h_before)| h.is_finite() && h_before.is_finite()).count();
            if usable > 0 {
                let ((x0_1, h_1), older) = (&before[0], before.get(1).filter(|_| usable > 1));
                let mut slope = (x0.clone() - x0_1.clone()) / *h_1;
                // alpha' times the integral of exp(s - h) s, and of exp(s - h) s^2 / 2, over a step s = 0 to h.
                let linear = h + libm::expm1(-h);
                let square = 0.5 * h * h - linear;
                if let Some((x0_2, h_2)) = older {
                    let bend = (slope.clone() - (x0_1.clone() - x0_2.clone()) / *h_2) / (h_1 + h_2);
                    slope = slope + bend.clone() * *h_1;
                    x = x + bend * (2.0 * to.alpha() * square);
                }
                x = x + slope * (to.alpha() * linear);
            }
            before.insert(0, (x0, h));
            before.truncate(2);
        }
        Ok(x)
    }
}
