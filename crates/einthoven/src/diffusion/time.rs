//! The time of a network: the number that it is told for a noise level.
//!
//! The angle of [`NoiseLevel`] is the one time variable; this is where a network's own view of it is kept.

use burn::tensor::Tensor;

use super::grid::{KARRAS_RATIOS, Spacing, angle_grid, karras_grid, rectified_grid};
use super::level::{NoiseLevel, items_tensor};
use super::schedule::{self, NoiseSchedule};
use crate::error::{Error, Result};

/// The number that a network is told for a noise level.
#[derive(Debug, Clone, PartialEq)]
pub enum TimeView {
    /// `1000 * angle / (pi/2)`: from 0 at clean to 1000 at pure noise.
    Angle,
    /// `1000 * (1 - tau)` for the time tau of the rectified path: the same ends, other steps.
    Rectified,
    /// The step number of a discrete schedule, as in published DDPM checkpoints.
    Steps(NoiseSchedule),
    /// The step number, interpolated in the factor of the signal, as in published DiffWave checkpoints.
    StepsByAlpha(NoiseSchedule),
}

impl TimeView {
    /// The view of a schedule by its name; `angle` and `rectified` are continuous, whatever `n_steps` is.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a schedule that does not exist; [`Error::Config`] for one that does not exist with
    /// that number of steps.
    pub fn of_schedule(name: &str, n_steps: usize) -> Result<TimeView> {
        Ok(match name {
            "angle" => TimeView::Angle,
            "rectified" => TimeView::Rectified,
            name => TimeView::Steps(schedule::find(name)?.build(n_steps)?),
        })
    }

    /// Network time of a level.
    pub fn network_time(&self, level: NoiseLevel) -> f64 {
        match self {
            TimeView::Angle => 1000.0 * level.angle() / NoiseLevel::PURE_NOISE.angle(),
            TimeView::Rectified => 1000.0 * (1.0 - level.flow_time()),
            TimeView::Steps(schedule) => schedule.step_of(level),
            TimeView::StepsByAlpha(schedule) => schedule.step_of_alpha(level),
        }
    }

    /// The noisiest level that the view can tell apart.
    pub fn last_level(&self) -> NoiseLevel {
        match self {
            TimeView::Angle | TimeView::Rectified => NoiseLevel::PURE_NOISE,
            TimeView::Steps(schedule) | TimeView::StepsByAlpha(schedule) => schedule.last_level(),
        }
    }

    /// The least noisy level that the view can tell apart.
    fn first_level(&self) -> NoiseLevel {
        match self {
            TimeView::Angle | TimeView::Rectified => NoiseLevel::CLEAN,
            // The constructors refuse an empty schedule.
            TimeView::Steps(schedule) | TimeView::StepsByAlpha(schedule) => schedule.levels()[0],
        }
    }

    /// The level at a share of a continuous view's time, from 0 at clean to 1 at pure noise.
    ///
    /// # Errors
    /// [`Error::Config`] for a view of discrete steps, or a share outside 0 to 1.
    pub fn level(&self, share: f64) -> Result<NoiseLevel> {
        match self {
            TimeView::Angle => NoiseLevel::new(NoiseLevel::PURE_NOISE.angle() * share),
            TimeView::Rectified => NoiseLevel::from_flow_time(1.0 - share),
            TimeView::Steps(_) | TimeView::StepsByAlpha(_) => {
                Err(Error::config("schedule", "has discrete steps, expected a continuous one: angle or rectified"))
            }
        }
    }

    /// Level of a number in [0, 1): uniform over the steps of a schedule or over a continuous time, never clean,
    /// which teaches nothing.
    ///
    /// # Errors
    /// [`Error::Config`] for a number outside.
    pub(crate) fn drawn(&self, uniform: f64) -> Result<NoiseLevel> {
        match self {
            TimeView::Angle | TimeView::Rectified => self.level(1.0 - uniform),
            TimeView::Steps(schedule) | TimeView::StepsByAlpha(schedule) => {
                Ok(schedule.levels()[(uniform * schedule.n_steps() as f64) as usize])
            }
        }
    }

    /// Levels for a sampler of `n_steps` steps, within what the network can tell apart.
    ///
    /// # Errors
    /// [`Error::Config`] for a number of steps that the spacing or the schedule does not have.
    pub fn grid(&self, n_steps: usize, spacing: Spacing) -> Result<Vec<NoiseLevel>> {
        match (spacing, self) {
            (Spacing::Network, TimeView::Angle) => angle_grid(n_steps, NoiseLevel::PURE_NOISE),
            (Spacing::Network, TimeView::Steps(schedule) | TimeView::StepsByAlpha(schedule)) => schedule.grid(n_steps),
            (Spacing::Network, TimeView::Rectified) | (Spacing::Rectified, _) => {
                rectified_grid(n_steps, self.last_level())
            }
            (Spacing::Karras, _) => {
                let (low, high) = KARRAS_RATIOS;
                let first = NoiseLevel::new(libm::atan(high).min(self.last_level().angle()))?;
                let last = NoiseLevel::new(libm::atan(low).max(self.first_level().angle()))?;
                karras_grid(n_steps, first, last)
            }
        }
    }

    /// Network times of one level per item, as a tensor `[batch]` on the device of `x`.
    pub(crate) fn tensor(&self, levels: &[NoiseLevel], x: &Tensor<3>) -> Tensor<1> {
        items_tensor(levels.iter().map(|&level| self.network_time(level) as f32).collect(), &x.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_stay_within_what_a_network_knows() {
        let names = ["angle", "rectified", "linear", "linear-unscaled", "cosine"];
        for (name, spacing) in names
            .iter()
            .flat_map(|name| [Spacing::Network, Spacing::Rectified, Spacing::Karras].map(|spacing| (*name, spacing)))
        {
            let view = TimeView::of_schedule(name, 200).unwrap();
            for n in [1, 2, 7, 50] {
                let grid = view.grid(n, spacing).unwrap();
                assert_eq!(grid.len(), n + 1, "{name} {spacing:?}");
                assert!(grid.windows(2).all(|pair| pair[0] > pair[1]), "{name} {spacing:?} {grid:?}");
                assert!(grid[0] <= view.last_level() && grid[n] == NoiseLevel::CLEAN);
            }
            assert!(view.grid(0, spacing).is_err());
        }
        assert!(TimeView::of_schedule("linear", 200).unwrap().level(0.5).is_err());
    }

    #[test]
    fn a_continuous_time_is_read_back_from_its_level() {
        for view in [TimeView::Angle, TimeView::Rectified] {
            for k in 0..=8 {
                let share = f64::from(k) / 8.0;
                let level = view.level(share).unwrap();
                assert!((view.network_time(level) - 1000.0 * share).abs() < 1e-9, "{view:?} {share}");
                assert_eq!(view.grid(8, Spacing::Network).unwrap()[8 - k as usize], level);
            }
            assert_eq!((view.level(0.0).unwrap(), view.level(1.0).unwrap()), (NoiseLevel::CLEAN, view.last_level()));
            assert!(view.drawn(0.999_999).unwrap() > NoiseLevel::CLEAN);
        }
    }
}
