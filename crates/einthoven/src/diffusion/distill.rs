//! What diffusion networks learn: to denoise, to be a smaller teacher, to take fewer steps.
//!
//! Three [`Learner`]s over the same [`BatchQueue`]. A teacher learns from noise alone. A student of
//! another width also learns the teacher's output (width distillation). A student of fewer steps
//! learns to do in one step what its teacher does in two (progressive distillation); it needs a
//! velocity network, because noise prediction says nothing of the signal at pure noise.

use std::f64::consts::FRAC_PI_2;

use burn::tensor::{Device, Tensor};

use super::batches::BatchQueue;
use super::denoiser::{Backbone, Condition, Denoiser, TimeView};
use super::level::{NoiseLevel, diffuse, items_tensor};
use super::loss::{Objective, squared_error};
use super::network::{Network, NetworkBackbone};
use super::parameterization::Parameterization;
use crate::error::{Error, Result};
use crate::nn::train::Learner;
use crate::nn::weights::Params;

/// Noise levels of a batch: uniform over the steps of a schedule, or over the angle.
fn levels(time: &TimeView, uniform: &[f64]) -> Result<Vec<NoiseLevel>> {
    uniform
        .iter()
        .map(|&u| match time {
            // (0, pi/2]: the clean end teaches nothing.
            TimeView::Angle => NoiseLevel::new((1.0 - u) * FRAC_PI_2),
            TimeView::Steps(schedule) | TimeView::StepsByAlpha(schedule) => {
                Ok(schedule.levels()[(u * schedule.n_steps() as f64) as usize])
            }
        })
        .collect()
}

fn tracked(x: Tensor<3>, device: &Device) -> Tensor<3> {
    x.to_device(&device.clone().autodiff())
}

/// Learns to denoise from noise alone.
pub struct Denoising {
    /// The network.
    pub network: Network,
    /// What its output means and how levels count.
    pub objective: Objective,
    /// Its data.
    pub batches: BatchQueue,
}

impl Learner for Denoising {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let batch = self.batches.take(step);
        let levels = levels(&self.objective.time, &batch.uniform)?;
        let backbone = self.network.with(params.clone());
        let device = self.batches.device();
        let (x0, noise) = (tracked(batch.x0, device), tracked(batch.noise, device));
        let loss = self.objective.loss(&backbone, x0, noise, &levels, &batch.condition)?;
        Ok((loss.mean(), batch.items))
    }
}

/// Learns the data and a teacher's output at once.
///
/// # Reference
/// `dgn-kd` section 6: lambda ||student - teacher||^2 + (1 - lambda) ||student - target||^2, after
/// Hinton et al. 2015; the control student is lambda = 0.
pub struct WidthDistillation {
    /// The student's network.
    pub network: Network,
    /// The teacher, frozen, with the same parameterization and time as the objective.
    pub teacher: NetworkBackbone,
    /// What both outputs mean and how levels count.
    pub objective: Objective,
    /// Weight of the teacher.
    pub lambda: f64,
    /// The student's data.
    pub batches: BatchQueue,
}

impl Learner for WidthDistillation {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let batch = self.batches.take(step);
        let device = &self.batches.device().clone();
        let objective = &self.objective;
        let levels = levels(&objective.time, &batch.uniform)?;
        let x = diffuse(batch.x0.clone(), batch.noise.clone(), &levels)?;
        let time = objective.time.tensor(&levels, &x);
        let target = objective.parameterization.target(batch.x0, batch.noise, &levels)?;
        let student = self.network.with(params.clone());
        let x_tracked = tracked(x.clone(), device);
        let time_tracked = objective.time.tensor(&levels, &x_tracked);
        let raw = student.predict(x_tracked, time_tracked, &batch.condition)?;
        let mut loss = objective.weigh(raw.clone(), tracked(target, device), &levels)?.mean() * (1.0 - self.lambda);
        if self.lambda > 0.0 {
            let taught = self.teacher.predict(x, time, &batch.condition)?;
            loss = loss + objective.weigh(raw, tracked(taught, device), &levels)?.mean() * self.lambda;
        }
        Ok((loss, batch.items))
    }
}

/// Learns to do in one step what a teacher does in two deterministic ones.
///
/// # Reference
/// Salimans and Ho 2022, algorithm 2, with the weight max(SNR, 1) of the error of x0.
pub struct StepDistillation<D> {
    /// The student's network, a velocity network told the time by the angle.
    pub network: Network,
    /// The teacher; guidance belongs here and is folded into the student.
    pub teacher: D,
    /// Steps of the student's grid, equally spaced in angle from pure noise.
    pub n_steps: usize,
    /// The student's data; labels are never hidden.
    pub batches: BatchQueue,
}

impl<D: Denoiser> StepDistillation<D> {
    /// The signal that one step from `x` has to aim at in order to land where the teacher lands
    /// after two.
    fn target(&self, x: Tensor<3>, steps: &[usize], condition: &Condition) -> Result<Tensor<3>> {
        let level = |k: f64| NoiseLevel::new(FRAC_PI_2 * k / self.n_steps as f64);
        let from: Vec<NoiseLevel> = steps.iter().map(|&k| level(k as f64)).collect::<Result<_>>()?;
        let middle: Vec<NoiseLevel> = steps.iter().map(|&k| level(k as f64 - 0.5)).collect::<Result<_>>()?;
        let to: Vec<NoiseLevel> = steps.iter().map(|&k| level(k as f64 - 1.0)).collect::<Result<_>>()?;
        let first = self.teacher.denoise_each(x.clone(), &from, condition)?;
        let halfway = diffuse(first.x0, first.noise, &middle)?;
        let second = self.teacher.denoise_each(halfway, &middle, condition)?;
        let landed = diffuse(second.x0, second.noise, &to)?;
        // Solves landed = alpha'' x0 + sigma'' (x - alpha x0) / sigma for x0, item by item. With
        // angles, alpha'' - sigma'' alpha / sigma = sin(t - t'') / sin(t), which never vanishes.
        let coefficient = |of: &dyn Fn(NoiseLevel, NoiseLevel) -> f64| -> Tensor<3> {
            let values: Vec<f32> = from.iter().zip(&to).map(|(&t, &u)| of(t, u) as f32).collect();
            let n_items = values.len();
            items_tensor(values, &x.device()).reshape([n_items, 1, 1])
        };
        let of_landed = coefficient(&|t, u| t.sigma() / libm::sin(t.angle() - u.angle()));
        let of_x = coefficient(&|t, u| u.sigma() / libm::sin(t.angle() - u.angle()));
        Ok(landed * of_landed - x * of_x)
    }
}

impl<D: Denoiser> Learner for StepDistillation<D> {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let batch = self.batches.take(step);
        let device = &self.batches.device().clone();
        let steps: Vec<usize> = batch.uniform.iter().map(|u| 1 + (u * self.n_steps as f64) as usize).collect();
        let from: Vec<NoiseLevel> = steps
            .iter()
            .map(|&k| NoiseLevel::new(FRAC_PI_2 * k as f64 / self.n_steps as f64))
            .collect::<Result<_>>()?;
        let x = diffuse(batch.x0, batch.noise, &from)?;
        let target = tracked(self.target(x.clone(), &steps, &batch.condition)?, device);
        let x = tracked(x, device);
        let student = self.network.with(params.clone());
        let raw = student.predict(x.clone(), TimeView::Angle.tensor(&from, &x), &batch.condition)?;
        let x0 = Parameterization::V.prediction(raw, x, &from)?.x0;
        let weights: Vec<f32> = from.iter().map(|level| level.snr().clamp(1.0, MAX_SNR_WEIGHT) as f32).collect();
        let weights = Tensor::<1>::from_floats(weights.as_slice(), &x0.device());
        Ok(((squared_error(x0, target) * weights).mean(), batch.items))
    }
}

/// The weight max(SNR, 1) grows without bound towards the clean end, where the error of x0 falls
/// just as fast; held here so that rounding in the last steps does not dominate a batch.
const MAX_SNR_WEIGHT: f64 = 1e4;

/// Numbers of steps of the students that halving passes through: n/2, n/4, ... down to 1.
///
/// # Errors
/// [`Error::Config`] unless `n_steps` is a power of two of at least 2.
pub fn halvings(n_steps: usize) -> Result<Vec<usize>> {
    if n_steps < 2 || !n_steps.is_power_of_two() {
        return Err(Error::config("steps", format!("found {n_steps}, expected a power of two of at least 2")));
    }
    let mut out = Vec::new();
    let mut n = n_steps / 2;
    while n > 0 {
        out.push(n);
        n /= 2;
    }
    Ok(out)
}
