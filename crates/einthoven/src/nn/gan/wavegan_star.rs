//! The generator of WaveGAN*: a short random vector, unfolded into a signal.
//!
//! It is the decoder of [`super::pulse2pulse`] without skip connections, and was compared with it.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::layer::{check_sizes, decoder, start_kaiming};
use crate::error::{Error, Result};
use crate::nn::layer::{declare_linear, linear};
use crate::nn::weights::{ParamSpec, View};

/// Points in time where the unfolding begins.
const START: usize = 2;

/// Shape of a [`WaveganStar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveganStarConfig {
    /// Leads of the signal.
    pub channels: usize,
    /// Channels in the middle of the decoder; from a fifth to five times of it elsewhere.
    pub width: usize,
    /// Numbers of the random vector.
    pub latent: usize,
}

impl WaveganStarConfig {
    /// The published network.
    pub fn published() -> WaveganStarConfig {
        WaveganStarConfig { channels: 8, width: 50, latent: 100 }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        if self.latent == 0 {
            return Err(Error::config("latent", "found 0, expected at least 1"));
        }
        check_sizes(self.channels, self.width)
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
        let WaveganStarConfig { channels, width, latent } = self.config;
        let mut out = Vec::new();
        declare_linear(&mut out, "fc1", latent, START * 5 * width);
        start_kaiming(&mut out);
        decoder(width, channels, false).iter().for_each(|layer| layer.declare(&mut out));
        out
    }

    /// Signals from random vectors.
    ///
    /// # Shape
    /// `noise` is `[batch, latent]`; the result `[batch, lead, 5000]` within -1 to 1.
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
        let WaveganStarConfig { channels, width, latent } = self.config;
        let [batch, found] = noise.dims();
        if found != latent {
            let (expected, actual) = (vec![batch, latent], vec![batch, found]);
            return Err(Error::Shape { what: "network input".into(), expected, actual });
        }
        let values = linear(&p.at("fc1"), noise).reshape([batch, 5 * width, START]);
        trace("fc1", &values);
        let mut x = activation::relu(values);
        let [up @ .., last] = decoder(width, channels, false);
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
