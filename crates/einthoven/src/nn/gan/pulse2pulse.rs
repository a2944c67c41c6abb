//! The generator of Pulse2Pulse, which made DeepFake-ECG: a U-net that turns noise as long as the
//! signal into a signal.
//!
//! The original also stores layers that it never runs; [`super::import`] checks and leaves them.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::layer::{STRIDES, check_signal, check_sizes, decoder, encoder, stride_of};
use crate::error::Result;
use crate::nn::weights::{ParamSpec, View};

/// Slope of the encoder's leaky ReLU below zero.
pub(in crate::nn) const SLOPE: f64 = 0.01;

/// Microvolts of one in the output of the published network.
const MICROVOLTS: f32 = 6000.0;

/// Shape of a [`Pulse2Pulse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pulse2PulseConfig {
    /// Leads of noise and signal.
    #[serde(default)]
    pub channels: usize,
    /// Channels in the middle of encoder and decoder; from a fifth to five times of it elsewhere.
    pub width: usize,
    /// Stride of each convolution of the encoder; their product divides the length of a signal.
    pub strides: [usize; 6],
}

impl Pulse2PulseConfig {
    /// The published network: leads I, II and V1 to V6, 5,000 points at 500 Hz.
    pub fn published() -> Pulse2PulseConfig {
        Pulse2PulseConfig { channels: 8, width: 50, strides: STRIDES }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        check_sizes(self.channels, self.width, &self.strides)
    }
}

/// The network: a shape, to be applied to parameters.
///
/// # Reference
/// Thambawita et al. 2021, "DeepFake electrocardiograms using generative adversarial networks are the beginning of
/// the end for privacy issues in medicine", Scientific Reports 11:21896; `models/pulse2pulse.py` of
/// vlbthambawita/Pulse2Pulse.
#[derive(Debug, Clone)]
pub struct Pulse2Pulse {
    config: Pulse2PulseConfig,
}

impl Pulse2Pulse {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`crate::Error::Config`] as in [`Pulse2PulseConfig::validate`].
    pub fn new(config: Pulse2PulseConfig) -> Result<Pulse2Pulse> {
        config.validate()?;
        Ok(Pulse2Pulse { config })
    }

    /// Its shape.
    pub fn config(&self) -> &Pulse2PulseConfig {
        &self.config
    }

    /// Name, shape and start of every parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let Pulse2PulseConfig { channels, width, strides } = self.config;
        let mut out = Vec::new();
        encoder(width, channels, strides).iter().for_each(|layer| layer.declare(&mut out));
        decoder(width, channels, strides, true).iter().for_each(|layer| layer.declare(&mut out));
        out
    }

    /// Signals from noise that is uniform within -1 to 1.
    ///
    /// # Shape
    /// `noise` and the result are `[batch, lead, time]`, the time a multiple of the strides' product, which is
    /// 2,500 points as published; the result lies within -1 to 1.
    /// # Errors
    /// [`crate::Error::Shape`] for other leads or another length.
    pub fn forward(&self, p: &View, noise: Tensor<3>) -> Result<Tensor<3>> {
        self.forward_traced(p, noise, &mut |_, _| {})
    }

    /// As [`Pulse2Pulse::forward`], handing each layer's values before its activation to `trace`.
    ///
    /// # Errors
    /// As [`Pulse2Pulse::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        noise: Tensor<3>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        let Pulse2PulseConfig { channels, width, strides } = self.config;
        let down = encoder(width, channels, strides);
        check_signal(&noise, channels, stride_of(&down))?;
        let (mut x, mut skips) = (noise, Vec::new());
        for layer in down {
            skips.push(x.clone());
            let values = layer.apply(p, x);
            trace(layer.name, &values);
            x = activation::leaky_relu(values, SLOPE);
        }
        let [up @ .., last] = decoder(width, channels, strides, true);
        for layer in up {
            let skip = if layer.has_skip { skips.pop() } else { None };
            let values = layer.apply(p, x, skip);
            trace(layer.name, &values);
            x = activation::relu(values);
        }
        let values = last.apply(p, x, None);
        trace(last.name, &values);
        Ok(activation::tanh(values))
    }
}

/// Whole microvolts of an output, rounded toward zero, as the published package writes them.
///
/// # Reference
/// `deepfakeecg/generate.py` of vlbthambawita/deepfake-ecg.
pub fn microvolts(output: &[f32]) -> Vec<i32> {
    output.iter().map(|value| (value * MICROVOLTS) as i32).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::weights::Weights;
    use crate::seed::Seed;

    #[test]
    fn other_lengths_and_widths_are_refused() {
        let error =
            Pulse2Pulse::new(Pulse2PulseConfig { width: 4, ..Pulse2PulseConfig::published() }).unwrap_err().to_string();
        assert_eq!(error, "width: found 4, expected at least 5");
        let network = Pulse2Pulse::new(Pulse2PulseConfig { channels: 2, width: 5, strides: STRIDES }).unwrap();
        let device = Device::flex();
        let params = Weights::initialize(&network.params(), Seed::new(1)).on(&device);
        let error = network.forward(&params.root(), Tensor::zeros([1, 2, 2600], &device)).unwrap_err().to_string();
        assert!(error.contains("[1, 2, 2600]") && error.contains("[1, 2, 5000]"), "{error}");
        let output = network.forward(&params.root(), Tensor::zeros([1, 2, 2500], &device)).unwrap();
        assert_eq!(output.dims(), [1, 2, 2500]);
    }

    #[test]
    fn microvolts_are_rounded_toward_zero() {
        assert_eq!(microvolts(&[0.25, 0.0002, -0.0002, -0.001]), [1500, 1, -1, -6]);
    }
}
