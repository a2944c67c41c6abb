//! What a pass through a network uses and leaves behind beside values: statistics of its normalizations, and
//! the hiding of values in training.
//!
//! Trained parameters are looked up by [`View`]; running statistics and codebooks, which no gradient moves, are
//! arrays on the host under the names of the original's state dict.

use burn::tensor::{Tensor, TensorData};

use crate::error::Result;
use crate::nn::kernel::{Affine, ChannelStatistics, Pointwise, batch_norm_act, batch_norm_act_fixed};
use crate::nn::layer::{declare_affine, declare_constant, declare_normed};
use crate::nn::running::{self, BatchStatistics, EPS, MOMENTUM};
use crate::nn::weights::{Init, ParamSpec, View, Weights};
use crate::seed::Stream;

/// Parameters and buffers of a network.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Moved by gradients.
    pub params: Vec<ParamSpec>,
    /// Moved by the network's own rules.
    pub buffers: Vec<ParamSpec>,
}

impl Declared {
    /// Adds an array that gradients move.
    pub(super) fn param(&mut self, name: String, shape: &[usize], init: Init) {
        declare_constant(&mut self.params, &name, shape, init);
    }

    /// Adds an array that they do not move.
    pub(super) fn buffer(&mut self, name: String, shape: &[usize], init: Init) {
        declare_constant(&mut self.buffers, &name, shape, init);
    }

    /// Adds a weight and, where `n_bias` is its length, a bias.
    pub(super) fn affine(&mut self, name: &str, shape: &[usize], n_bias: Option<usize>) {
        declare_affine(&mut self.params, name, shape, n_bias);
    }

    /// As [`Declared::affine`], the weight being a direction and a length for each entry of its first axis.
    pub(super) fn normed(&mut self, name: &str, shape: &[usize], n_bias: Option<usize>) {
        declare_normed(&mut self.params, name, shape, n_bias);
    }

    /// Adds the gain and the bias of a normalization.
    pub(super) fn norm(&mut self, name: &str, channels: usize) {
        self.param(format!("{name}.weight"), &[channels], Init::Ones);
        self.param(format!("{name}.bias"), &[channels], Init::Zeros);
    }

    /// Adds a batch normalization with its running statistics.
    pub(super) fn batch_norm(&mut self, name: &str, channels: usize) {
        self.norm(name, channels);
        running::declare(&mut self.buffers, name, channels);
    }

    /// Parameters and buffers of a state dict, each checked.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) under the name `what`, listing every array that is missing, extra or has
    /// another shape.
    pub fn split(&self, state: Weights, what: &str) -> Result<(Weights, Weights)> {
        let is_buffer = |name: &String| self.buffers.iter().any(|buffer| &buffer.name == name);
        let (buffers, params) = state.entries.into_iter().partition(|(name, _)| is_buffer(name));
        let (params, buffers) = (Weights { entries: params }, Weights { entries: buffers });
        params.check(&self.params, what)?;
        buffers.check(&self.buffers, what)?;
        Ok((params, buffers))
    }
}

/// Hides values in training and enlarges the others to match.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// Share of values that are hidden, below 1.
    pub share: f64,
    /// Draws which ones.
    pub stream: Stream,
}

/// One pass through a network.
#[derive(Debug)]
pub struct Pass<'a> {
    buffers: &'a Weights,
    training: Option<Training>,
}

#[derive(Debug)]
struct Training {
    dropout: Option<Dropout>,
    statistics: Vec<BatchStatistics>,
}

impl<'a> Pass<'a> {
    /// A trained network in use: running statistics, nothing hidden.
    pub fn evaluation(buffers: &'a Weights) -> Pass<'a> {
        Pass { buffers, training: None }
    }

    /// A training step: statistics of the batch.
    pub fn training(buffers: &'a Weights, dropout: Option<Dropout>) -> Pass<'a> {
        Pass { buffers, training: Some(Training { dropout, statistics: Vec::new() }) }
    }

    /// The network's buffers.
    pub fn buffers(&self) -> &'a Weights {
        self.buffers
    }

    /// Whether this is a training step.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// Statistics of the batch, for [`running::follow`]; none outside training.
    pub fn into_statistics(self) -> Vec<BatchStatistics> {
        self.training.map_or_else(Vec::new, |training| training.statistics)
    }

    /// Batch normalization under a full name.
    ///
    /// # Panics
    /// When the network asks for statistics that are not in its own list.
    pub(super) fn norm(&mut self, root: &View, name: &str, x: Tensor<3>) -> Tensor<3> {
        let p = root.at(name);
        let affine = Affine { gain: p.get("weight"), bias: p.get("bias") };
        let [batch, _, length] = x.dims();
        match &mut self.training {
            Some(training) => {
                let (y, found) = batch_norm_act(x, affine, None, Pointwise::None, EPS);
                let count = batch * length;
                training.statistics.push(BatchStatistics { name: name.into(), found, count, momentum: MOMENTUM });
                y
            }
            None => {
                let [mean, variance] = ["running_mean", "running_var"].map(|what| {
                    let values = buffer(self.buffers, &format!("{name}.{what}"));
                    values.iter().map(|&value| f64::from(value)).collect()
                });
                let statistics = ChannelStatistics { mean, variance };
                batch_norm_act_fixed(x, affine, &statistics, None, Pointwise::None, EPS)
            }
        }
    }

    /// Hides values in training; otherwise the values themselves.
    pub(super) fn hide<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        let dropout = self.training.as_mut().and_then(|training| training.dropout.as_mut());
        let Some(Dropout { share, stream }) = dropout else { return x };
        let kept = (1.0 / (1.0 - *share)) as f32;
        let n_values: usize = x.dims().iter().product();
        let mask: Vec<f32> = (0..n_values).map(|_| if stream.uniform() < *share { 0.0 } else { kept }).collect();
        let mask = Tensor::from_data(TensorData::new(mask, x.dims()), &x.device());
        x * mask
    }
}

/// Values of a buffer.
///
/// # Panics
/// When the network asks for one that is not in its own list.
pub(super) fn buffer<'a>(buffers: &'a Weights, name: &str) -> &'a [f32] {
    match buffers.entries.get(name) {
        Some(buffer) => &buffer.values,
        None => panic!("the network reads buffer {name}, which it does not declare"),
    }
}
