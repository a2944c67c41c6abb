//! Samplers: loops over a grid of noise levels that call a denoiser.
//!
//! A sampler knows nothing of networks, schedules, guidance or distillation. Noise is handed in by
//! the caller, so a draw does not depend on batch size or device.

mod ddim;
mod ddpm;
mod dpm_solver;
mod dpm_solver_3m;
mod flow_euler;
mod flow_heun;
mod heun;

use burn::tensor::Tensor;

use super::denoiser::{Condition, Denoiser};
use super::grid::Spacing;
use super::level::NoiseLevel;
use crate::error::{Error, Result};

pub use ddim::Ddim;
pub use ddpm::{Ancestral, Ddpm};
pub use dpm_solver::DpmSolver;
pub use dpm_solver_3m::DpmSolver3;
pub use flow_euler::FlowEuler;
pub use flow_heun::FlowHeun;
pub use heun::Heun;

/// A way from noise to a signal.
pub trait Sampler: Sync {
    /// Name as typed by users.
    fn name(&self) -> &'static str;
    /// One line for listings.
    fn summary(&self) -> &'static str;
    /// Where it comes from.
    fn reference(&self) -> &'static str;
    /// Order of convergence of a deterministic sampler; `None` if it adds noise on its way.
    fn order(&self) -> Option<u32>;
    /// The spacing of the grid that it is made for; it takes any.
    fn spacing(&self) -> Spacing {
        Spacing::Network
    }
    /// Denoiser calls of `n_steps` steps on a grid of its own spacing; guidance may double them.
    fn evaluations(&self, n_steps: usize) -> usize {
        n_steps
    }
    /// Draws signals, one step for each level of the grid but the last.
    ///
    /// `grid` falls strictly and ends clean. `x` is noise at the first level. `noise(k)` is asked
    /// for in update k, counted from 1 (so 0 is free for `x`), at most once per update and only if
    /// the sampler adds noise there.
    ///
    /// # Shape
    /// `x`, the noise and the result are `[batch, lead, time]`, in units of the data's standard
    /// deviation.
    /// # Errors
    /// [`Error::Config`] for another grid; whatever the denoiser returns.
    fn sample(
        &self,
        denoiser: &dyn Denoiser,
        grid: &[NoiseLevel],
        x: Tensor<3>,
        noise: &mut dyn FnMut(usize) -> Tensor<3>,
        condition: &Condition,
    ) -> Result<Tensor<3>>;
}

/// All samplers.
pub const SAMPLERS: &[&dyn Sampler] =
    &[&Ddpm::FREE, &Ddim::DETERMINISTIC, &DpmSolver, &DpmSolver3, &Heun, &FlowEuler, &FlowHeun];

/// The sampler of a name.
///
/// # Errors
/// [`Error::Unknown`] if there is none.
pub fn find(name: &str) -> Result<&'static dyn Sampler> {
    SAMPLERS.iter().copied().find(|sampler| sampler.name() == name).ok_or_else(|| Error::Unknown {
        kind: "sampler",
        name: name.into(),
        known: SAMPLERS.iter().map(|sampler| sampler.name().to_string()).collect(),
    })
}

/// Refuses a grid that does not fall strictly to clean.
fn check_grid(grid: &[NoiseLevel]) -> Result<()> {
    if grid.len() < 2 {
        return Err(Error::config("grid", format!("found {} levels, expected at least 2", grid.len())));
    }
    if grid[grid.len() - 1] != NoiseLevel::CLEAN {
        return Err(Error::config("grid", "the last level must be clean"));
    }
    match grid.windows(2).position(|pair| pair[0] <= pair[1]) {
        Some(k) => Err(Error::config("grid", format!("level {} is not below level {k}", k + 1))),
        None => Ok(()),
    }
}
