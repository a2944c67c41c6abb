//! One training for every network: loss, gradients, clipping, AdamW, moving average.
//!
//! What is learned is a [`Learner`], which maps parameters and a step number to a loss;
//! [`NetworkTrainee`] makes it something that [`crate::run::train`] can drive, checkpoint and resume.

use burn::tensor::{Device, Tensor};
use serde_json::json;

use super::adamw::{AdamW, AdamWConfig, gradient_norm};
use super::weights::{ParamSpec, Params, Weights};
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

    /// Called when the batch's update was made, to follow statistics that are not optimized.
    fn applied(&mut self) {}

    /// State that is not optimized, such as running statistics.
    fn buffers(&self) -> Weights {
        Weights::default()
    }

    /// Goes back to earlier [`Learner::buffers`].
    fn set_buffers(&mut self, _buffers: Weights) {}
}

/// A network in training.
pub struct NetworkTrainee<L> {
    /// What it learns.
    pub learner: L,
    specs: Vec<ParamSpec>,
    weights: Weights,
    optimizer: AdamW,
    n_steps: u64,
    device: Device,
}

/// Prefix of buffers among the weights of a checkpoint.
const BUFFER: &str = "buffer.";

impl<L: Learner> NetworkTrainee<L> {
    /// Begins a training of `n_steps` at these weights.
    pub fn new(
        learner: L,
        specs: Vec<ParamSpec>,
        weights: Weights,
        optimizer: AdamWConfig,
        n_steps: u64,
        device: &Device,
    ) -> NetworkTrainee<L> {
        let optimizer = AdamW::new(optimizer, &weights);
        NetworkTrainee { learner, specs, weights, optimizer, n_steps, device: device.clone() }
    }

    /// The weights to use: the moving average where one is kept.
    pub fn result(&self) -> Weights {
        self.optimizer.averaged(&self.weights).clone()
    }
}

impl<L: Learner> Trainee for NetworkTrainee<L> {
    fn step(&mut self, step: u64) -> Result<StepReport> {
        let params = self.weights.tracked(&self.device);
        let (loss, items) = self.learner.loss(&params, step)?;
        let value: f32 = loss.clone().into_scalar();
        let lr = self.optimizer.config.rate(self.optimizer.updates, self.n_steps);
        let mut report = StepReport { loss: f64::from(value), lr, items, grad_norm: f64::NAN, ..StepReport::default() };
        if !value.is_finite() {
            report.outcome = Outcome::NonFinite;
            return Ok(report);
        }
        let gradients = params.gradients(&loss.backward());
        report.grad_norm = gradient_norm(&gradients);
        if !report.grad_norm.is_finite() {
            report.outcome = Outcome::NonFinite;
            return Ok(report);
        }
        self.optimizer.update(&mut self.weights, &gradients, report.grad_norm, self.n_steps);
        self.learner.applied();
        Ok(report)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let mut weights: Tensors = self.weights.clone().into();
        let buffers: Tensors = self.learner.buffers().into();
        weights.extend(buffers.into_iter().map(|(name, tensor)| (format!("{BUFFER}{name}"), tensor)));
        Ok(Snapshot {
            weights,
            ema: self.optimizer.average.clone().map(Tensors::from).unwrap_or_default(),
            first_moment: self.optimizer.first.clone().into(),
            second_moment: self.optimizer.second.clone().into(),
            state: json!({ "updates": self.optimizer.updates }),
        })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
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
        let average = match self.optimizer.average {
            Some(_) => Some(checked(&snapshot.ema, "checkpoint average")?),
            None => None,
        };
        let updates = snapshot.state["updates"]
            .as_u64()
            .ok_or_else(|| Error::data("checkpoint", "has no number of updates in its state"))?;
        let buffers: Tensors =
            buffers.into_iter().map(|(name, tensor)| (name[BUFFER.len()..].to_string(), tensor)).collect();
        self.learner.set_buffers(buffers.into());
        self.weights = weights;
        self.optimizer = AdamW { first, second, average, updates, config: self.optimizer.config.clone() };
        Ok(())
    }
}
