//! The generator of WaveGAN*: a short random vector, unfolded into a signal.
//!
//! It is the decoder of [`super::pulse2pulse`] without skip connections, and was compared with it.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::layer::{STRIDES, check_sizes, decoder, start_kaiming};
use crate::error::{Error, Result};
use crate::nn::layer::{declare_linear, linear};
use crate::nn::weights::{ParamSpec, View};

/// Shape of a [`WaveganStar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveganStarConfig {
    /// Leads of the signal.
    #[serde(default)]
    pub channels: usize,
    /// Channels in the middle of the decoder; from a fifth to five times of it elsewhere.
    pub width: usize,
    /// Numbers of the random vector.
    pub latent: usize,
    /// Points in time where the unfolding begins.
    #[serde(default)]
    pub start: usize,
    /// Factors of the unfolding, the last one first: the strides of the encoder that is not there.
    pub strides: [usize; 6],
}

impl WaveganStarConfig {
    /// The published network.
    pub fn published() -> WaveganStarConfig {
        WaveganStarConfig { channels: 8, width: 50, latent: 100, start: 2, strides: STRIDES }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [("latent", self.latent), ("start", self.start)] {
            if value == 0 {
                return Err(Error::config(key, "found 0, expected at least 1"));
            }
        }
        check_sizes(self.channels, self.width, &self.strides)
    }

    /// Points in time of its signals.
    pub fn sig_len(&self) -> usize {
        self.start * self.strides.iter().product::<usize>()
    }
}

/// The network: a shape, to be applied to parameters.
///
/// # Reference
/// Thambawita et al. 2021, Scientific Reports 11:21896, after Donahue et al. 2019, "Adversarial audio synthesis";
/// `models/wavegan_star.py` of vlbthambawita/Pulse2Pulse.
#[derive(Debug, Clone)]
pub struct WaveganStar {
    config: WaveganStarConfig,
}

impl WaveganStar {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`WaveganStarConfig::validate`].
    pub fn new(config: WaveganStarConfig) -> Result<WaveganStar> {
        config.validate()?;
        Ok(WaveganStar { config })
    }

    /// Its shape.
    pub fn config(&self) -> &WaveganStarConfig {
        &self.config
    }

    /// Name, shape and start of every parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let WaveganStarConfig { channels, width, latent, start, strides } = self.config;
        let mut out = Vec::new();
        declare_linear(&mut out, "fc1", latent, start * 5 * width);
        start_kaiming(&mut out);
        decoder(width, channels, strides, false).iter().for_each(|layer| layer.declare(&mut out));
        out
    }

    /// Signals from random vectors.
    ///
    /// # Shape
    /// `noise` is `[batch, latent]`; the result `[batch, lead, time]` within -1 to 1, the time as in
    /// [`WaveganStarConfig::sig_len`], which is 5,000 points as published.
    /// # Errors
    /// [`Error::Shape`] for vectors of another size.
    pub fn forward(&self, p: &View, noise: Tensor<2>) -> Result<Tensor<3>> {
        self.forward_traced(p, noise, &mut |_, _| {})
    }

    /// As [`WaveganStar::forward`], handing each layer's values before its activation to `trace`.
    ///
    /// # Errors
    /// As [`WaveganStar::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        noise: Tensor<2>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        let WaveganStarConfig { channels, width, latent, start, strides } = self.config;
        let [batch, found] = noise.dims();
        if found != latent {
            let (expected, actual) = (vec![batch, latent], vec![batch, found]);
            return Err(Error::Shape { what: "network input".into(), expected, actual });
        }
        let values = linear(&p.at("fc1"), noise).reshape([batch, 5 * width, start]);
        trace("fc1", &values);
        let mut x = activation::relu(values);
        let [up @ .., last] = decoder(width, channels, strides, false);
        for layer in up {
            let values = layer.apply(p, x, None);
            trace(layer.name, &values);
            x = activation::relu(values);
        }
        let values = last.apply(p, x, None);
        trace(last.name, &values);
        Ok(activation::tanh(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_without_numbers_is_refused() {
        let config = WaveganStarConfig { latent: 0, ..WaveganStarConfig::published() };
        assert_eq!(config.validate().unwrap_err().to_string(), "latent: found 0, expected at least 1");
    }
}
