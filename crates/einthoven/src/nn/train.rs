//! One training for every network: loss, gradients, clipping, AdamW, moving average.
//!
//! What is learned is a [`Learner`], which maps parameters and a step number to a loss;
//! [`NetworkTrainee`] makes it something that [`crate::run::train`] can drive, checkpoint and resume.

use burn::tensor::{Device, Tensor};
use serde_json::json;

use super::activations::Activations;
use super::adamw::{AdamW, AdamWConfig, gradient_norm};
use super::flat_adamw::FlatAdamW;
use super::kernel::is_cpu;
use super::weights::{ParamSpec, Params, Weights, host};
use crate::error::{Error, Result};
use crate::run::{Outcome, Snapshot, StepReport, Tensors, Trainee};

/// A loss over parameters.
pub trait Learner {
    /// Mean loss of the batch of a step, as one number, and which items it held.
    ///
    /// Everything random follows from the learner's own seed and `step`.
    ///
    /// # Errors
    /// Whatever keeps the loss from being computed.
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)>;

    /// Parameters that are trained along and belong to no model.
    fn companions(&self) -> Vec<ParamSpec> {
        Vec::new()
    }

    /// Called when the batch's update was made, to follow statistics that are not optimized.
    fn applied(&mut self) {}

    /// Further numbers of the last loss for the metrics log, such as parts of it.
    fn notes(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// State that is not optimized, such as running statistics.
    fn buffers(&self) -> Weights {
        Weights::default()
    }

    /// Goes back to earlier [`Learner::buffers`].
    fn set_buffers(&mut self, _buffers: Weights) {}
}

/// Weights and optimizer: on the host, or on the device of the tensors.
enum Pass {
    Host { weights: Weights, optimizer: Box<AdamW> },
    Flat(Box<FlatAdamW>),
}

/// A network in training.
pub struct NetworkTrainee<L> {
    /// What it learns.
    pub learner: L,
    specs: Vec<ParamSpec>,
    pass: Pass,
    n_steps: u64,
    device: Device,
    activations: Activations,
}

/// Prefix of buffers among the weights of a checkpoint.
const BUFFER: &str = "buffer.";

impl<L: Learner> NetworkTrainee<L> {
    /// Begins a training of `n_steps` at these weights.
    ///
    /// On the CPU the optimizer is one pass over host memory, on every other device it is
    /// [`NetworkTrainee::flat`].
    pub fn new(
        learner: L,
        specs: Vec<ParamSpec>,
        weights: Weights,
        optimizer: AdamWConfig,
        n_steps: u64,
        device: &Device,
    ) -> NetworkTrainee<L> {
        if !is_cpu(device) {
            return NetworkTrainee::flat(learner, specs, weights, optimizer, n_steps, device);
        }
        let optimizer = Box::new(AdamW::new(optimizer, &weights));
        let pass = Pass::Host { weights, optimizer };
        NetworkTrainee { learner, specs, pass, n_steps, device: device.clone(), activations: Activations::Whole }
    }

    /// As [`NetworkTrainee::new`], with weights and optimizer on the device whatever it is.
    pub fn flat(
        learner: L,
        specs: Vec<ParamSpec>,
        weights: Weights,
        optimizer: AdamWConfig,
        n_steps: u64,
        device: &Device,
    ) -> NetworkTrainee<L> {
        let pass = FlatAdamW::new(&weights, &AdamW::new(optimizer, &weights), device);
        let pass = Pass::Flat(Box::new(pass));
        NetworkTrainee { learner, specs, pass, n_steps, device: device.clone(), activations: Activations::Whole }
    }

    /// The same, its networks holding activations in this way where they can; on devices other than the CPU whole.
    pub fn holding(self, activations: Activations) -> NetworkTrainee<L> {
        let activations = if is_cpu(&self.device) { activations } else { Activations::Whole };
        NetworkTrainee { activations, ..self }
    }

    /// The weights as they are now, as constants on its device or on that device's gradient tape.
    pub fn params(&self, device: &Device) -> Params {
        match &self.pass {
            Pass::Host { weights, .. } => weights.on(device),
            Pass::Flat(flat) => flat.on(device),
        }
    }

    /// The weights to use: the moving average where one is kept.
    pub fn result(&self) -> Weights {
        match &self.pass {
            Pass::Host { weights, optimizer } => optimizer.averaged(weights).clone(),
            Pass::Flat(flat) => flat.averaged(),
        }
    }
}

impl<L: Learner> Trainee for NetworkTrainee<L> {
    fn step(&mut self, step: u64) -> Result<StepReport> {
        let (params, config, updates) = match &self.pass {
            Pass::Host { weights, optimizer } => (weights.tracked(&self.device), &optimizer.config, optimizer.updates),
            Pass::Flat(flat) => (flat.tracked(), flat.config(), flat.updates()),
        };
        let params = params.holding(self.activations);
        let lr = config.rate(updates, self.n_steps);
        let (loss, items) = self.learner.loss(&params, step)?;
        let extra = self.learner.notes();
        let mut report = StepReport { lr, items, loss: f64::NAN, grad_norm: f64::NAN, extra, ..StepReport::default() };
        let applied = match &mut self.pass {
            Pass::Host { weights, optimizer } => {
                host_step(weights, optimizer, &params, loss, self.n_steps, &mut report)
            }
            Pass::Flat(flat) => flat_step(flat, params, loss, self.n_steps, &mut report),
        };
        if applied {
            self.learner.applied();
        } else {
            report.outcome = Outcome::NonFinite;
        }
        Ok(report)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let (weights, optimizer) = match &self.pass {
            Pass::Host { weights, optimizer } => (weights.clone(), optimizer.as_ref().clone()),
            Pass::Flat(flat) => (flat.weights(), flat.state()),
        };
        let mut weights: Tensors = weights.into();
        let buffers: Tensors = self.learner.buffers().into();
        weights.extend(buffers.into_iter().map(|(name, tensor)| (format!("{BUFFER}{name}"), tensor)));
        Ok(Snapshot {
            weights,
            ema: optimizer.average.map(Tensors::from).unwrap_or_default(),
            first_moment: optimizer.first.into(),
            second_moment: optimizer.second.into(),
            state: json!({ "updates": optimizer.updates }),
        })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let config = match &self.pass {
            Pass::Host { optimizer, .. } => optimizer.config.clone(),
            Pass::Flat(flat) => flat.config().clone(),
        };
        let (buffers, weights): (Tensors, Tensors) =
            snapshot.weights.clone().into_iter().partition(|(name, _)| name.starts_with(BUFFER));
        let checked = |tensors: &Tensors, what: &str| -> Result<Weights> {
            let weights = Weights::from(tensors.clone());
            weights.check(&self.specs, what)?;
            Ok(weights)
        };
        let weights = checked(&weights, "checkpoint weights")?;
        let first = checked(&snapshot.first_moment, "checkpoint first moments")?;
        let second = checked(&snapshot.second_moment, "checkpoint second moments")?;
        let average = if config.ema_decay > 0.0 { Some(checked(&snapshot.ema, "checkpoint average")?) } else { None };
        let updates = snapshot.state["updates"]
            .as_u64()
            .ok_or_else(|| Error::data("checkpoint", "has no number of updates in its state"))?;
        let buffers: Tensors =
            buffers.into_iter().map(|(name, tensor)| (name[BUFFER.len()..].to_string(), tensor)).collect();
        self.learner.set_buffers(buffers.into());
        let optimizer = AdamW { first, second, average, updates, config };
        self.pass = match &self.pass {
            Pass::Host { .. } => Pass::Host { weights, optimizer: Box::new(optimizer) },
            Pass::Flat(_) => Pass::Flat(Box::new(FlatAdamW::new(&weights, &optimizer, &self.device))),
        };
        Ok(())
    }
}

/// The rest of a step after the loss; `false` leaves the weights as they are.
fn host_step(
    weights: &mut Weights,
    optimizer: &mut AdamW,
    params: &Params,
    loss: Tensor<1>,
    n_steps: u64,
    report: &mut StepReport,
) -> bool {
    let value: f32 = loss.clone().into_scalar();
    report.loss = f64::from(value);
    if !value.is_finite() {
        return false;
    }
    let gradients = params.gradients(loss.backward());
    report.grad_norm = gradient_norm(&gradients);
    if !report.grad_norm.is_finite() {
        return false;
    }
    optimizer.update(weights, &gradients, report.grad_norm, n_steps);
    true
}

/// As [`host_step`]; loss and norm are read together, after all of the backward pass was started.
fn flat_step(flat: &mut FlatAdamW, params: Params, loss: Tensor<1>, n_steps: u64, report: &mut StepReport) -> bool {
    let gradients = loss.backward();
    let gradient = flat.join_gradients(params, gradients);
    let norm = flat.norm(gradient.clone());
    let numbers = host(Tensor::cat(vec![loss.without_autodiff(), norm], 0));
    report.loss = f64::from(numbers[0]);
    if !numbers[0].is_finite() {
        return false;
    }
    report.grad_norm = f64::from(numbers[1]);
    if !numbers[1].is_finite() {
        return false;
    }
    flat.update(gradient, report.grad_norm, n_steps);
    true
}

/// Relative difference of loss or gradient norm above which a device is refused.
const DEVICE_TOLERANCE: f64 = 1e-3;

/// Takes the first step on the CPU and on a device, and refuses a device that computes something else.
///
/// Drivers and kernel compilers of accelerators have errors that show at certain sizes only and make no
/// noise; a training on wrong numbers would not fail, it would be wrong.
///
/// # Errors
/// [`Error::Unsupported`] with both numbers; whatever a step returns.
pub fn check_device<L: Learner>(trainee: impl Fn(&Device) -> Result<NetworkTrainee<L>>, device: &Device) -> Result<()> {
    if is_cpu(device) {
        return Ok(());
    }
    same_step(&trainee(&Device::flex())?.step(0)?, &trainee(device)?.step(0)?)
}

/// Refuses a device whose step has another loss or gradient than the CPU's, as [`check_device`] does.
pub(super) fn same_step(cpu: &StepReport, other: &StepReport) -> Result<()> {
    let pairs = [("loss", cpu.loss, other.loss), ("gradient norm", cpu.grad_norm, other.grad_norm)];
    for (what, expected, found) in pairs {
        if !((found - expected).abs() <= DEVICE_TOLERANCE * expected.abs()) {
            let what = format!(
                "this network on this device: its first step has a {what} of {found}, on the CPU {expected} \
                 (use --device cpu, another batch or another driver)"
            );
            return Err(Error::Unsupported { what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_with_other_numbers_is_refused() {
        let step = |loss, grad_norm| StepReport { loss, grad_norm, ..StepReport::default() };
        same_step(&step(1.0476, 3.0), &step(1.0477, 3.001)).unwrap();
        let error = same_step(&step(1.0476, 3.0), &step(0.2568, 3.0)).unwrap_err().to_string();
        assert!(error.contains("loss of 0.2568") && error.contains("1.0476"), "{error}");
        assert!(same_step(&step(1.0, 3.0), &step(1.0, f64::NAN)).is_err());
    }
}
