//! What diffusion networks learn: to denoise, to be a smaller teacher, to take fewer steps.
//!
//! Three [`Learner`]s over the same [`BatchQueue`]. A teacher learns from noise alone. A student of
//! another width also learns the teacher's output (width distillation). A student of fewer steps
//! learns to do in one step what its teacher does in two (progressive distillation); it cannot predict
//! noise, which says nothing of the signal at pure noise. A fourth is in [`super::consistency`].

use burn::tensor::{Device, Tensor};

use super::auxiliary::Auxiliary;
use super::batches::BatchQueue;
use super::denoiser::{Condition, Denoiser};
use super::level::{NoiseLevel, diffuse, items_tensor};
use super::loss::{Objective, squared_error};
use super::network::{Network, NetworkBackbone};
use super::time::TimeView;
use crate::error::{Error, Result};
use crate::nn::train::Learner;
use crate::nn::weights::{ParamSpec, Params};

/// Noise levels of a batch: uniform over the steps of a schedule, or over a continuous time.
fn levels(time: &TimeView, uniform: &[f64]) -> Result<Vec<NoiseLevel>> {
    uniform.iter().map(|&u| time.drawn(u)).collect()
}

pub(super) fn tracked(x: Tensor<3>, device: &Device) -> Tensor<3> {
    x.to_device(&device.clone().autodiff())
}

/// Learns to denoise from noise alone.
pub struct Denoising {
    /// The network.
    pub network: Network,
    /// What its output means and how levels count.
    pub objective: Objective,
    /// What its estimates of the clean signal are also held to.
    pub auxiliary: Option<Auxiliary>,
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
        let Some(auxiliary) = &self.auxiliary else {
            let loss = self.objective.loss(&backbone, x0, noise, &levels, &batch.condition)?;
            return Ok((loss.mean(), batch.items));
        };
        let x = diffuse(x0.clone(), noise.clone(), &levels)?;
        let raw = self.objective.output(&backbone, x.clone(), &levels, &batch.condition)?;
        let target = self.objective.parameterization.target(x0.clone(), noise, &levels)?;
        let loss = self.objective.weigh(raw.clone(), target, &levels)?;
        let estimate = self.objective.parameterization.prediction(raw, x, &levels)?.x0;
        let extra = auxiliary.loss(estimate, x0, &levels, &batch.items, step, params)?;
        Ok(((loss + extra).mean(), batch.items))
    }

    fn companions(&self) -> Vec<ParamSpec> {
        self.auxiliary.as_ref().map(Auxiliary::params).unwrap_or_default()
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
        let target = objective.parameterization.target(batch.x0, batch.noise, &levels)?;
        let student = self.network.with(params.clone());
        let raw = objective.output(&student, tracked(x.clone(), device), &levels, &batch.condition)?;
        let mut loss = objective.weigh(raw.clone(), tracked(target, device), &levels)?.mean() * (1.0 - self.lambda);
        if self.lambda > 0.0 {
            let taught = objective.output(&self.teacher, x, &levels, &batch.condition)?;
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
    /// The student's network.
    pub network: Network,
    /// What its output means, with a continuous time; how levels count is the method's own.
    pub objective: Objective,
    /// The teacher; guidance belongs here and is folded into the student.
    pub teacher: D,
    /// Steps of the student's grid, equally spaced in its time from pure noise.
    pub n_steps: usize,
    /// The student's data; labels are never hidden.
    pub batches: BatchQueue,
}

impl<D: Denoiser> StepDistillation<D> {
    /// The signal that one step from `x` has to aim at in order to land where the teacher lands
    /// after two.
    fn target(&self, x: Tensor<3>, steps: &[usize], condition: &Condition) -> Result<Tensor<3>> {
        let levels = |back: f64| -> Result<Vec<NoiseLevel>> {
            let share = |&k: &usize| (k as f64 - back) / self.n_steps as f64;
            steps.iter().map(|k| self.objective.time.level(share(k))).collect()
        };
        let (from, middle, to) = (levels(0.0)?, levels(0.5)?, levels(1.0)?);
        let halfway = deterministic_step(&self.teacher, x.clone(), &from, &middle, condition)?;
        let landed = deterministic_step(&self.teacher, halfway, &middle, &to, condition)?;
        Ok(aim(landed, x, &from, &to))
    }
}

impl<D: Denoiser> Learner for StepDistillation<D> {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let batch = self.batches.take(step);
        let steps: Vec<usize> = batch.uniform.iter().map(|u| 1 + (u * self.n_steps as f64) as usize).collect();
        let level = |&k: &usize| self.objective.time.level(k as f64 / self.n_steps as f64);
        let from: Vec<NoiseLevel> = steps.iter().map(level).collect::<Result<_>>()?;
        let x = diffuse(batch.x0, batch.noise, &from)?;
        let target = self.target(x.clone(), &steps, &batch.condition)?;
        let student = self.network.with(params.clone());
        let device = &self.batches.device().clone();
        let loss = aimed_loss(&self.objective, &student, x, target, &from, &batch.condition, device)?;
        Ok((loss, batch.items))
    }
}

/// One step of DDIM by a denoiser, for items that each have levels of their own.
pub(super) fn deterministic_step<D: Denoiser + ?Sized>(
    denoiser: &D,
    x: Tensor<3>,
    from: &[NoiseLevel],
    to: &[NoiseLevel],
    condition: &Condition,
) -> Result<Tensor<3>> {
    let prediction = denoiser.denoise_each(x, from, condition)?;
    diffuse(prediction.x0, prediction.noise, to)
}

/// The clean signal at which one deterministic step from `x` lands where it should.
///
/// Solves `landed = alpha' x0 + sigma' (x - alpha x0) / sigma` for x0, item by item. With angles,
/// `alpha' - sigma' alpha / sigma = sin(t - t') / sin(t)`, which never vanishes.
pub(super) fn aim(landed: Tensor<3>, x: Tensor<3>, from: &[NoiseLevel], to: &[NoiseLevel]) -> Tensor<3> {
    let coefficient = |of: &dyn Fn(NoiseLevel, NoiseLevel) -> f64| -> Tensor<3> {
        let values: Vec<f32> = from.iter().zip(to).map(|(&t, &u)| of(t, u) as f32).collect();
        let n_items = values.len();
        items_tensor(values, &x.device()).reshape([n_items, 1, 1])
    };
    let of_landed = coefficient(&|t, u| t.sigma() / libm::sin(t.angle() - u.angle()));
    let of_x = coefficient(&|t, u| u.sigma() / libm::sin(t.angle() - u.angle()));
    landed * of_landed - x * of_x
}

/// Mean error, weighted by max(SNR, 1), of a student's clean signal against the one that it should aim at.
pub(super) fn aimed_loss(
    objective: &Objective,
    student: &NetworkBackbone,
    x: Tensor<3>,
    target: Tensor<3>,
    from: &[NoiseLevel],
    condition: &Condition,
    device: &Device,
) -> Result<Tensor<1>> {
    let (x, target) = (tracked(x, device), tracked(target, device));
    let raw = objective.output(student, x.clone(), from, condition)?;
    let x0 = objective.parameterization.prediction(raw, x, from)?.x0;
    let weights: Vec<f32> = from.iter().map(|level| level.snr().clamp(1.0, MAX_SNR_WEIGHT) as f32).collect();
    let weights = Tensor::<1>::from_floats(weights.as_slice(), &x0.device());
    Ok((squared_error(x0, target) * weights).mean())
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

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::super::denoiser::Prediction;
    use super::*;
    use crate::nn::weights::host;
    use crate::seed::Seed;

    /// The signal that is aimed at leads where it should, from pure noise and to the clean end too.
    #[test]
    fn one_step_lands_where_it_is_aimed() {
        let level = |angle: f64| NoiseLevel::new(angle).unwrap();
        let from = [NoiseLevel::PURE_NOISE, NoiseLevel::PURE_NOISE, level(0.9), level(0.1)];
        let to = [level(1.2), NoiseLevel::CLEAN, level(0.3), NoiseLevel::CLEAN];
        let normal = |seed: u64| {
            let mut values = vec![0.0f32; 4 * 2 * 8];
            Seed::new(seed).stream().fill_normal(&mut values);
            Tensor::<3>::from_data(TensorData::new(values, [4, 2, 8]), &Device::flex())
        };
        let (x, landed) = (normal(1), normal(2));
        let x0 = aim(landed.clone(), x.clone(), &from, &to);
        let prediction = Prediction::from_x0(x0, x, &from).unwrap();
        let found = host(diffuse(prediction.x0, prediction.noise, &to).unwrap());
        for (found, wanted) in found.iter().zip(host(landed)) {
            assert!((found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()), "{found} and {wanted}");
        }
    }
}
