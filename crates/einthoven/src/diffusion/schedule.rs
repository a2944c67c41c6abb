//! Noise schedules: which noise levels a discrete formulation of T steps visits.
//!
//! A schedule is a list of betas and what follows from it, in f64. Networks trained with step
//! numbers need it to know what a number means; samplers see only grids of [`NoiseLevel`].

use std::f64::consts::FRAC_PI_2;

use super::level::NoiseLevel;
use crate::error::{Error, Result};

/// A noise schedule that users choose by name.
pub trait ScheduleSpec: Sync {
    /// Name as typed by users.
    fn name(&self) -> &'static str;
    /// One line for listings.
    fn summary(&self) -> &'static str;
    /// Where it comes from.
    fn reference(&self) -> &'static str;
    /// The schedule of `n_steps` steps.
    ///
    /// # Errors
    /// [`Error::Config`] if the schedule does not exist for that number of steps.
    fn build(&self, n_steps: usize) -> Result<NoiseSchedule>;
}

/// All noise schedules.
pub const SCHEDULES: &[&dyn ScheduleSpec] =
    &[&Linear, &Cosine, &LinearZeroTerminal, &Angle, &Rectified, &LinearUnscaled, &DiffwaveBetas];

/// The noise schedule of a name.
///
/// # Errors
/// [`Error::Unknown`] if there is none.
pub fn find(name: &str) -> Result<&'static dyn ScheduleSpec> {
    SCHEDULES.iter().copied().find(|schedule| schedule.name() == name).ok_or_else(|| Error::Unknown {
        kind: "noise schedule",
        name: name.into(),
        known: SCHEDULES.iter().map(|schedule| schedule.name().to_string()).collect(),
    })
}

/// Beta rises linearly, from 1e-4 to 0.02 for 1000 steps and scaled by 1000/T for others.
pub struct Linear;

impl ScheduleSpec for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn summary(&self) -> &'static str {
        "beta from 1e-4 to 0.02 for 1000 steps, scaled by 1000/T for others"
    }
    fn reference(&self) -> &'static str {
        "Ho, Jain, Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239"
    }
    fn build(&self, n_steps: usize) -> Result<NoiseSchedule> {
        // Scaling keeps the terminal noise where it is with 1000 steps. It needs more than 20.
        let scale = 1000.0 / n_steps as f64;
        NoiseSchedule::linear(n_steps, 1e-4 * scale, 0.02 * scale)
    }
}

/// alpha_bar follows a squared cosine with offset 0.008; betas are cut at 0.999.
pub struct Cosine;

impl ScheduleSpec for Cosine {
    fn name(&self) -> &'static str {
        "cosine"
    }
    fn summary(&self) -> &'static str {
        "alpha_bar is a squared cosine with offset 0.008, beta at most 0.999"
    }
    fn reference(&self) -> &'static str {
        "Nichol, Dhariwal 2021, Improved denoising diffusion probabilistic models, arXiv:2102.09672, eq. 17"
    }
    fn build(&self, n_steps: usize) -> Result<NoiseSchedule> {
        NoiseSchedule::cosine(n_steps, 0.008)
    }
}

/// The linear schedule, rescaled so that its last step is pure noise.
pub struct LinearZeroTerminal;

impl ScheduleSpec for LinearZeroTerminal {
    fn name(&self) -> &'static str {
        "linear-zero-terminal"
    }
    fn summary(&self) -> &'static str {
        "linear, rescaled to zero terminal SNR"
    }
    fn reference(&self) -> &'static str {
        "Lin, Liu, Li, Yang 2024, Common diffusion noise schedules and sample steps are flawed, arXiv:2305.08891, algorithm 1"
    }
    fn build(&self, n_steps: usize) -> Result<NoiseSchedule> {
        Linear.build(n_steps)?.zero_terminal()
    }
}

/// Equal steps of the angle up to pure noise: the cosine schedule without offset or cut.
pub struct Angle;

impl ScheduleSpec for Angle {
    fn name(&self) -> &'static str {
        "angle"
    }
    fn summary(&self) -> &'static str {
        "equal steps of the angle; ends in pure noise"
    }
    fn reference(&self) -> &'static str {
        "Salimans, Ho 2022, Progressive distillation for fast sampling of diffusion models, arXiv:2202.00512"
    }
    fn build(&self, n_steps: usize) -> Result<NoiseSchedule> {
        let n = n_steps as f64;
        let alpha_bar = (1..=n_steps).map(|t| {
            // Not left to the cosine, whose value at pi/2 is not quite 0.
            if t == n_steps { 0.0 } else { libm::cos(FRAC_PI_2 * t as f64 / n).powi(2) }
        });
        NoiseSchedule::from_alpha_bar(alpha_bar.collect())
    }
}

/// Equal steps along the straight line from signal to noise, as flow matching has them.
pub struct Rectified;

impl ScheduleSpec for Rectified {
    fn name(&self) -> &'static str {
        "rectified"
    }
    fn summary(&self) -> &'static str {
        "equal steps of the straight path of flow matching; ends in pure noise"
    }
    fn reference(&self) -> &'static str {
        "Liu, Gong, Liu 2023, Flow straight and fast: learning to generate and transfer data with rectified flow, arXiv:2209.03003"
    }
    fn build(&self, n_steps: usize) -> Result<NoiseSchedule> {
        let alpha_bar = (1..=n_steps).map(|t| {
            let time = (n_steps - t) as f64 / n_steps as f64;
            Ok(NoiseLevel::from_flow_time(time)?.alpha().powi(2))
        });
        NoiseSchedule::from_alpha_bar(alpha_bar.collect::<Result<_>>()?)
    }
}

/// Beta from 1e-4 to 0.02 whatever the number of steps. With the 200 of SSSD-ECG a third of the signal is left at the
/// end: published checkpoints need it, new trainings do not.
pub struct LinearUnscaled;

impl ScheduleSpec for LinearUnscaled {
    fn name(&self) -> &'static str {
        "linear-unscaled"
    }
    fn summary(&self) -> &'static str {
        "beta from 1e-4 to 0.02 whatever the steps, as SSSD-ECG with 200"
    }
    fn reference(&self) -> &'static str {
        "Lopez Alcaraz, Strodthoff 2023, Diffusion-based conditional ECG generation with structured state space models, arXiv:2301.08227"
    }
    fn build(&self, n_steps: usize) -> Result<NoiseSchedule> {
        NoiseSchedule::linear(n_steps, 1e-4, 0.02)
    }
}

/// Beta from 1e-4 to 0.05, as DiffWave with 50 steps.
pub struct DiffwaveBetas;

impl ScheduleSpec for DiffwaveBetas {
    fn name(&self) -> &'static str {
        "diffwave"
    }
    fn summary(&self) -> &'static str {
        "beta from 1e-4 to 0.05 whatever the steps, as DiffWave with 50"
    }
    fn reference(&self) -> &'static str {
        "Kong, Ping, Huang, Zhao, Catanzaro 2021, DiffWave: a versatile diffusion model for audio synthesis, arXiv:2009.09761"
    }
    fn build(&self, n_steps: usize) -> Result<NoiseSchedule> {
        NoiseSchedule::linear(n_steps, 1e-4, 0.05)
    }
}

/// A discrete noise schedule; step numbers run from 0 (least noise) to T - 1.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    betas: Vec<f64>,
    alpha_bar: Vec<f64>,
    levels: Vec<NoiseLevel>,
}

/// Coefficients of the posterior `q(x[t-1] | x[t], x0)`, one per step.
///
/// # Reference
/// Ho et al. 2020, eq. 7.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// Factor of x0 in the mean.
    pub mean_x0: Vec<f64>,
    /// Factor of x\[t\] in the mean.
    pub mean_x: Vec<f64>,
    /// Variance; 0 at step 0.
    pub variance: Vec<f64>,
    /// Logarithm of the variance, which is raised to 1e-20 first because it is 0 at step 0.
    pub log_variance_clipped: Vec<f64>,
}

impl NoiseSchedule {
    /// Schedule of given betas: the share of variance that each step replaces by noise.
    ///
    /// # Errors
    /// [`Error::Config`] unless there is at least one, all lie in (0, 1], and only the last is 1.
    pub fn from_betas(betas: Vec<f64>) -> Result<NoiseSchedule> {
        let alpha_bar = betas.iter().scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(*product)
        });
        let alpha_bar = alpha_bar.collect();
        NoiseSchedule::checked(betas, alpha_bar)
    }

    /// Schedule of given cumulative products `alpha_bar`, from the least noise to the most.
    ///
    /// # Errors
    /// [`Error::Config`] unless they fall strictly within [0, 1).
    pub fn from_alpha_bar(alpha_bar: Vec<f64>) -> Result<NoiseSchedule> {
        let before = std::iter::once(&1.0).chain(&alpha_bar);
        let betas = alpha_bar.iter().zip(before).map(|(now, before)| 1.0 - now / before).collect();
        NoiseSchedule::checked(betas, alpha_bar)
    }

    /// Betas equally spaced from `first` to `last`.
    ///
    /// # Errors
    /// [`Error::Config`] if a beta leaves (0, 1].
    /// # Reference
    /// Ho et al. 2020, section 4.
    pub fn linear(n_steps: usize, first: f64, last: f64) -> Result<NoiseSchedule> {
        let gap = (last - first) / n_steps.saturating_sub(1).max(1) as f64;
        NoiseSchedule::from_betas((0..n_steps).map(|t| first + gap * t as f64).collect())
    }

    /// `alpha_bar` proportional to `cos^2(pi/2 * (t/T + offset) / (1 + offset))`, betas at most 0.999.
    ///
    /// # Errors
    /// [`Error::Config`] if `n_steps` is 0.
    /// # Reference
    /// Nichol and Dhariwal 2021, eq. 17.
    pub fn cosine(n_steps: usize, offset: f64) -> Result<NoiseSchedule> {
        let n = n_steps as f64;
        let signal = |t: usize| libm::cos((t as f64 / n + offset) / (1.0 + offset) * FRAC_PI_2).powi(2);
        let beta = |t: usize| (1.0 - signal(t + 1) / signal(t)).min(0.999);
        NoiseSchedule::from_betas((0..n_steps).map(beta).collect())
    }

    /// The same schedule shifted and scaled so that its last step is pure noise and its first stays.
    ///
    /// # Errors
    /// [`Error::Config`] for a schedule of one step, which has nothing to keep.
    /// # Reference
    /// Lin et al. 2024, algorithm 1.
    pub fn zero_terminal(&self) -> Result<NoiseSchedule> {
        let n_steps = self.n_steps();
        if n_steps < 2 {
            return Err(Error::config("steps", "zero terminal SNR needs at least 2 steps"));
        }
        let (first, last) = (self.alpha_bar[0].sqrt(), self.alpha_bar[n_steps - 1].sqrt());
        let rescaled = |alpha_bar: &f64| ((alpha_bar.sqrt() - last) * first / (first - last)).powi(2);
        NoiseSchedule::from_alpha_bar(self.alpha_bar.iter().map(rescaled).collect())
    }

    fn checked(betas: Vec<f64>, alpha_bar: Vec<f64>) -> Result<NoiseSchedule> {
        if betas.is_empty() {
            return Err(Error::config("steps", "a noise schedule needs at least one step"));
        }
        for (t, &beta) in betas.iter().enumerate() {
            let is_last = t + 1 == betas.len();
            if !(beta > 0.0 && (beta < 1.0 || is_last && beta == 1.0)) {
                let range = if is_last { "(0, 1]" } else { "(0, 1)" };
                let n = betas.len();
                return Err(Error::config(
                    "steps",
                    format!("step {t} of {n} has beta {beta}, expected a value in {range}; use more steps"),
                ));
            }
        }
        let levels = alpha_bar.iter().map(|&value| NoiseLevel::from_alpha_bar(value)).collect::<Result<_>>()?;
        Ok(NoiseSchedule { betas, alpha_bar, levels })
    }

    /// Number of steps T.
    pub fn n_steps(&self) -> usize {
        self.betas.len()
    }

    /// Share of variance that each step replaces by noise.
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// Share of signal variance left after each step.
    pub fn alpha_bar(&self) -> &[f64] {
        &self.alpha_bar
    }

    /// Noise level of each step.
    pub fn levels(&self) -> &[NoiseLevel] {
        &self.levels
    }

    /// The noisiest level, that of step T - 1.
    pub fn last_level(&self) -> NoiseLevel {
        // The constructors refuse an empty schedule.
        self.levels[self.levels.len() - 1]
    }

    /// Step number of a level: exact for the schedule's own levels, interpolated in angle between
    /// them, and held constant beyond both ends.
    pub fn step_of(&self, level: NoiseLevel) -> f64 {
        self.interpolated(level, NoiseLevel::angle)
    }

    /// As [`NoiseSchedule::step_of`], interpolated in the factor of the signal.
    pub fn step_of_alpha(&self, level: NoiseLevel) -> f64 {
        self.interpolated(level, |level| -level.alpha())
    }

    /// Step number, linear between the schedule's levels in a measure that rises with the noise.
    fn interpolated(&self, level: NoiseLevel, measure: impl Fn(NoiseLevel) -> f64) -> f64 {
        let above = self.levels.partition_point(|known| known.angle() < level.angle());
        if above == 0 {
            return 0.0;
        }
        if above == self.levels.len() {
            return (above - 1) as f64;
        }
        let (low, high) = (measure(self.levels[above - 1]), measure(self.levels[above]));
        (above - 1) as f64 + (measure(level) - low) / (high - low)
    }

    /// Posterior coefficients of each step.
    pub fn posterior(&self) -> Posterior {
        let mut posterior =
            Posterior { mean_x0: vec![], mean_x: vec![], variance: vec![], log_variance_clipped: vec![] };
        let mut before = 1.0;
        for (&beta, &now) in self.betas.iter().zip(&self.alpha_bar) {
            let variance = beta * (1.0 - before) / (1.0 - now);
            posterior.mean_x0.push(beta * before.sqrt() / (1.0 - now));
            posterior.mean_x.push((1.0 - before) * (1.0 - beta).sqrt() / (1.0 - now));
            posterior.variance.push(variance);
            posterior.log_variance_clipped.push(libm::log(variance.max(1e-20)));
            before = now;
        }
        posterior
    }

    /// Levels for `n_evaluations` denoiser calls, equally spaced in step number, then clean.
    ///
    /// The result has `n_evaluations + 1` levels; with T of them it visits every step.
    ///
    /// # Errors
    /// [`Error::Config`] unless `1 <= n_evaluations <= T`.
    /// # Reference
    /// Spacing from -1 to T - 1 as in the DDIM loop of lucidrains/denoising-diffusion-pytorch.
    pub fn grid(&self, n_evaluations: usize) -> Result<Vec<NoiseLevel>> {
        let mut grid: Vec<NoiseLevel> =
            self.grid_steps(n_evaluations)?.into_iter().map(|step| self.levels[step]).collect();
        grid.push(NoiseLevel::CLEAN);
        Ok(grid)
    }

    /// Step numbers of [`NoiseSchedule::grid`], from T - 1 down, without the clean end.
    ///
    /// # Errors
    /// As [`NoiseSchedule::grid`].
    pub fn grid_steps(&self, n_evaluations: usize) -> Result<Vec<usize>> {
        let n_steps = self.n_steps();
        if n_evaluations == 0 || n_evaluations > n_steps {
            return Err(Error::config("steps", format!("found {n_evaluations}, expected 1 to {n_steps}")));
        }
        // In f32, from whichever end is nearer and rounded once, as `torch.linspace` does it: where an exact
        // position is whole, its rounding decides which step a published checkpoint was shown.
        let gap = n_steps as f32 / n_evaluations as f32;
        let n_points = n_evaluations + 1;
        let position = |k: usize| {
            if k < n_points / 2 {
                gap.mul_add(k as f32, -1.0)
            } else {
                (-gap).mul_add((n_points - k - 1) as f32, (n_steps - 1) as f32)
            }
        };
        Ok((1..n_points).rev().map(|k| position(k) as usize).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_adds_noise_at_every_step() {
        for spec in SCHEDULES {
            for n_steps in [21, 50, 1000] {
                let schedule = spec.build(n_steps).unwrap();
                assert_eq!(schedule.n_steps(), n_steps);
                assert!(schedule.levels().windows(2).all(|pair| pair[0] < pair[1]), "{}", spec.name());
                // The two published ones have fewer steps than their betas were made for.
                let is_published = ["linear-unscaled", "diffwave"].contains(&spec.name());
                assert!(is_published || schedule.last_level().alpha() < 0.01, "{} ends too clean", spec.name());
                for (t, &level) in schedule.levels().iter().enumerate() {
                    assert_eq!(schedule.step_of(level), t as f64, "{}", spec.name());
                }
            }
            assert_eq!(find(spec.name()).unwrap().name(), spec.name());
            assert!(!spec.reference().is_empty() && !spec.summary().is_empty());
            assert!(matches!(spec.build(0), Err(Error::Config { .. })));
        }
        assert!(matches!(find("kosine"), Err(Error::Unknown { .. })));
    }

    #[test]
    fn zero_terminal_ends_in_pure_noise_and_keeps_the_first_step() {
        for spec in [&Linear as &dyn ScheduleSpec, &Cosine] {
            let plain = spec.build(100).unwrap();
            let rescaled = plain.zero_terminal().unwrap();
            assert_eq!(rescaled.last_level(), NoiseLevel::PURE_NOISE);
            assert_eq!(rescaled.betas()[99], 1.0);
            assert!((rescaled.alpha_bar()[0] - plain.alpha_bar()[0]).abs() < 1e-15);
        }
        assert_eq!(Angle.build(10).unwrap().last_level(), NoiseLevel::PURE_NOISE);
    }

    #[test]
    fn linear_refuses_betas_above_one() {
        assert!(matches!(Linear.build(19), Err(Error::Config { .. })));
        // Twenty steps scale the last beta to 1: pure noise, which is a level like any other.
        assert!(Linear.build(20).unwrap().last_level().alpha() < 1e-8);
    }

    #[test]
    fn grids_descend_and_end_clean() {
        let schedule = Cosine.build(50).unwrap();
        for n in 1..=50 {
            let grid = schedule.grid(n).unwrap();
            assert_eq!(grid.len(), n + 1);
            assert_eq!((grid[0], grid[n]), (schedule.last_level(), NoiseLevel::CLEAN));
            assert!(grid.windows(2).all(|pair| pair[0] > pair[1]));
        }
        // torch.linspace(-1, 49, 6).int() and torch.linspace(-1, 49, 51).int(), reversed.
        assert_eq!(schedule.grid_steps(5).unwrap(), [49, 39, 29, 19, 9]);
        assert_eq!(schedule.grid_steps(50).unwrap(), (0..50).rev().collect::<Vec<_>>());
        // torch.linspace(-1, 15, 15) and torch.linspace(-1, 98, 40): 6 and 31 only where a product is not rounded by itself.
        assert_eq!(Cosine.build(16).unwrap().grid_steps(14).unwrap()[4..9], [10, 9, 8, 6, 5]);
        assert_eq!(Cosine.build(99).unwrap().grid_steps(39).unwrap()[24..28], [37, 34, 31, 29]);
        assert!(schedule.grid(51).is_err() && schedule.grid(0).is_err());
    }

    #[test]
    fn step_numbers_interpolate_in_angle_and_saturate() {
        let schedule = Cosine.build(10).unwrap();
        let between = 0.5 * (schedule.levels()[3].angle() + schedule.levels()[4].angle());
        assert!((schedule.step_of(NoiseLevel::new(between).unwrap()) - 3.5).abs() < 1e-12);
        assert_eq!(schedule.step_of(NoiseLevel::CLEAN), 0.0);
        assert_eq!(schedule.step_of(NoiseLevel::PURE_NOISE), 9.0);
    }
}
