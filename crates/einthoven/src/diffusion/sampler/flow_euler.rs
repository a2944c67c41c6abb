//! Flow Euler: equal straight steps along the velocity of the rectified path.

use burn::tensor::Tensor;

use super::super::denoiser::{Condition, Denoiser};
use super::super::grid::Spacing;
use super::super::level::NoiseLevel;
use super::{Ddim, Sampler};
use crate::error::Result;

/// First-order solver of the flow equation, deterministic.
///
/// A straight step along `x0 - noise` keeps both, and so does DDIM: on one grid they are the same formula, which is
/// therefore not written twice. What is particular is the grid, of equal steps of the rectified path's time.
#[derive(Debug, Clone, Copy)]
pub struct FlowEuler;

impl Sampler for FlowEuler {
    fn name(&self) -> &'static str {
        "flow-euler"
    }
    fn summary(&self) -> &'static str {
        "deterministic, first order, equal steps of the flow's time; 10 to 25 steps"
    }
    fn reference(&self) -> &'static str {
        "Liu, Gong, Liu 2023, Flow straight and fast: learning to generate and transfer data with rectified flow, \
         arXiv:2209.03003, eq. 1"
    }
    fn order(&self) -> Option<u32> {
        Some(1)
    }
    fn spacing(&self) -> Spacing {
        Spacing::Rectified
    }
    fn sample(
        &self,
        denoiser: &dyn Denoiser,
        grid: &[NoiseLevel],
        x: Tensor<3>,
        noise: &mut dyn FnMut(usize) -> Tensor<3>,
        condition: &Condition,
    ) -> Result<Tensor<3>> {
        Ddim::DETERMINISTIC.sample(denoiser, grid, x, noise, condition)
    }
}
