//! The generator of Pulse2Pulse told labels: a baseline of SSSD-ECG.
//!
//! One layer shallower than [`super::pulse2pulse`], for signals of 1,000 points, and each convolution
//! is followed by a batch normalization that the labels steer, the last one included.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::cond_batch_norm::{self, Normalize, check_labels, norm_name, normalize_by_running, steer};
use super::layer::{Down, Up, check_signal, check_sizes, decoder, encoder, stride_of};
use super::pulse2pulse::SLOPE;
use crate::error::{Error, Result};
use crate::nn::running::BatchStatistics;
use crate::nn::weights::{ParamSpec, View, Weights};
use crate::seed::Seed;

/// Shape of a [`CondPulse2Pulse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CondPulse2PulseConfig {
    /// Leads of noise and signal.
    #[serde(default)]
    pub channels: usize,
    /// Channels in the middle of encoder and decoder; from a fifth to five times of it elsewhere.
    pub width: usize,
    /// Number of labels.
    #[serde(default)]
    pub labels: usize,
    /// Stride of each convolution of the encoder; their product divides the length of a signal.
    pub strides: [usize; 5],
}

impl CondPulse2PulseConfig {
    /// The published network: the 71 statements of PTB-XL.
    pub fn published() -> CondPulse2PulseConfig {
        CondPulse2PulseConfig { channels: 8, width: 50, labels: 71, strides: [2, 5, 2, 5, 5] }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if self.labels == 0 {
            return Err(Error::config("labels", "found 0, expected at least 1"));
        }
        check_sizes(self.channels, self.width, &self.strides)
    }
}

/// The network: a shape, to be applied to parameters.
///
/// # Reference
/// Alcaraz and Strodthoff 2023, "Diffusion-based conditional ECG generation with structured state space models",
/// section 3; `src/baselines/models/cond_pulse2pulse.py` of AI4HealthUOL/SSSD-ECG.
#[derive(Debug, Clone)]
pub struct CondPulse2Pulse {
    config: CondPulse2PulseConfig,
}

impl CondPulse2Pulse {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`CondPulse2PulseConfig::validate`].
    pub fn new(config: CondPulse2PulseConfig) -> Result<CondPulse2Pulse> {
        config.validate()?;
        Ok(CondPulse2Pulse { config })
    }

    /// Its shape.
    pub fn config(&self) -> &CondPulse2PulseConfig {
        &self.config
    }

    /// Encoder and decoder: those of the unconditional network without the layers in between.
    pub(in crate::nn) fn layers(&self) -> ([Down; 5], [Up; 5]) {
        let CondPulse2PulseConfig { channels, width, strides: [a, b, c, d, e], .. } = self.config;
        // The sixth belongs to the layers that are left out.
        let strides = [a, b, c, d, e, 1];
        let [down @ .., _] = encoder(width, channels, strides);
        let [_, up @ ..] = decoder(width, channels, strides, true);
        (down, up)
    }

    /// Names of the normalizations with their channels.
    fn norms(&self) -> impl Iterator<Item = (String, usize)> {
        let (down, up) = self.layers();
        let layers = down.map(|layer| (layer.name, layer.n_out)).into_iter();
        layers.chain(up.map(|layer| (layer.name, layer.n_out))).map(|(name, channels)| (norm_name(name), channels))
    }

    /// Name, shape and start of every parameter; [`CondPulse2Pulse::start`] starts the embeddings.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut out = Vec::new();
        let (down, up) = self.layers();
        down.iter().for_each(|layer| layer.declare(&mut out));
        up.iter().for_each(|layer| layer.declare(&mut out));
        for (name, channels) in self.norms() {
            cond_batch_norm::declare(&mut out, &name, self.config.labels, channels);
        }
        out
    }

    /// Start values of every parameter.
    pub fn start(&self, seed: Seed) -> Weights {
        cond_batch_norm::initialized(&self.params(), self.norms(), seed)
    }

    /// Name, shape and start of the running statistics, which [`crate::nn::running::follow`] moves.
    pub fn running(&self) -> Vec<ParamSpec> {
        cond_batch_norm::running_of(self.norms())
    }

    /// Signals from noise that is uniform within -1 to 1, by the running statistics.
    ///
    /// # Shape
    /// `noise` and the result are `[batch, lead, time]`, the time a multiple of the strides' product, which is 500
    /// points as published; `labels` is `[batch, label]` and says how much each label counts; the result lies within
    /// -1 to 1.
    /// # Errors
    /// [`Error::Shape`] for other leads, labels or another length; [`Error::Data`] for running
    /// statistics that are not those of [`CondPulse2Pulse::running`].
    pub fn forward(&self, p: &View, running: &Weights, noise: Tensor<3>, labels: Tensor<2>) -> Result<Tensor<3>> {
        self.forward_traced(p, running, noise, labels, &mut |_, _| {})
    }

    /// As [`CondPulse2Pulse::forward`], handing each layer's values before and after its
    /// normalization to `trace`.
    ///
    /// # Errors
    /// As [`CondPulse2Pulse::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        running: &Weights,
        noise: Tensor<3>,
        labels: Tensor<2>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        self.run(p, noise, labels, &mut |name, x| normalize_by_running(name, x, running), trace)
    }

    /// As [`CondPulse2Pulse::forward`] by the statistics of the batch itself, which come with the result.
    ///
    /// # Errors
    /// [`Error::Shape`] as in [`CondPulse2Pulse::forward`].
    pub fn forward_training(
        &self,
        p: &View,
        noise: Tensor<3>,
        labels: Tensor<2>,
    ) -> Result<(Tensor<3>, Vec<BatchStatistics>)> {
        cond_batch_norm::by_batch(|normalize| self.run(p, noise, labels, normalize, &mut |_, _| {}))
    }

    fn run(
        &self,
        p: &View,
        noise: Tensor<3>,
        labels: Tensor<2>,
        normalize: &mut Normalize,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        let (down, [up @ .., last]) = self.layers();
        check_signal(&noise, self.config.channels, stride_of(&down))?;
        check_labels(&labels, noise.dims()[0], self.config.labels)?;
        let mut steered = |layer: &str, values: Tensor<3>| steer(p, layer, values, &labels, normalize, trace);
        let (mut x, mut skips) = (noise, Vec::new());
        for layer in down {
            x = activation::leaky_relu(steered(layer.name, layer.apply(p, x))?, SLOPE);
            skips.push(x.clone());
        }
        // The first layer up joins the end of the encoder with itself, as the original does.
        for layer in up {
            x = activation::relu(steered(layer.name, layer.apply(p, x, skips.pop()))?);
        }
        Ok(activation::tanh(steered(last.name, last.apply(p, x, None))?))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn labels_of_another_number_and_foreign_statistics_are_refused() {
        let network =
            CondPulse2Pulse::new(CondPulse2PulseConfig { channels: 2, width: 5, labels: 3, strides: [2, 5, 2, 5, 5] })
                .unwrap();
        let device = Device::flex();
        let params = network.start(Seed::new(1)).on(&device);
        let mut running = Weights::initialize(&network.running(), Seed::new(1));
        let noise = || Tensor::<3>::ones([2, 2, 500], &device);
        let run = |running: &Weights, labels: usize| {
            network.forward(&params.root(), running, noise(), Tensor::ones([2, labels], &device))
        };
        assert_eq!(run(&running, 3).unwrap().dims(), [2, 2, 500]);
        let error = run(&running, 4).unwrap_err().to_string();
        assert_eq!(error, "labels: found shape [2, 4], expected [2, 3]");
        running.entries.remove("bn_deconv5.bn.running_var");
        let error = run(&running, 3).unwrap_err().to_string();
        assert_eq!(error, "bn_deconv5.bn.running_var: is missing");
    }
}
