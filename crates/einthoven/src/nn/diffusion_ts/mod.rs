//! The network of Diffusion-TS: a transformer whose decoder takes a signal apart into a trend, a season
//! and a residual.
//!
//! Every decoder block gives a polynomial of time (`trend`), its strongest frequencies (`season`) and the
//! mean of what is left; the network adds them up. The estimate of the clean signal is the sum of the
//! parts, and the parts can be looked at. Published checkpoints load by their own key names; the noise
//! schedule that their state dicts also hold belongs to the process, see `diffusion::import`. Beyond the
//! original: labels and facts, whose embeddings are added to that of the step.
//!
//! # Reference
//! Yuan and Qiao 2024, "Diffusion-TS: interpretable diffusion for general time series generation",
//! arXiv:2403.01742; Y-debug-sys/Diffusion-TS (MIT licence).

mod block;
pub mod dft;
mod season;
mod trend;

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::kernel::gelu;
use super::layer::{conv, conv_unbiased, declare_constant, declare_conv, sinusoidal_embedding};
use super::told::ToldTables;
use super::weights::{Init, ParamSpec, View};
use crate::dataset::condition::Told;
use crate::error::{Error, Result};
use block::Shared;
use season::Season;

/// Added to the variance in layer normalization, as in PyTorch.
pub(super) const EPSILON: f64 = 1e-5;

/// The activation inside the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gelu {
    /// By the distribution function of the standard normal.
    Exact,
    /// With the sigmoid of `1.702 x` in its place.
    Sigmoid,
}

impl Gelu {
    fn apply(self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Gelu::Exact => gelu(x),
            Gelu::Sigmoid => x.clone() * activation::sigmoid(x * 1.702),
        }
    }
}

/// Shape of a [`DiffusionTs`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionTsConfig {
    /// Leads of the signal and of the prediction.
    #[serde(default)]
    pub channels: usize,
    /// Points in time; the network knows no other length.
    pub length: usize,
    /// Blocks of the encoder.
    pub encoder_layers: usize,
    /// Blocks of the decoder.
    pub decoder_layers: usize,
    /// Channels inside; even, and a multiple of `heads`.
    pub width: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Channels between the two maps of a block as a multiple of `width`.
    pub hidden_times: usize,
    /// Taps of the convolution that makes leads of the seasons, around the ends of the signal; odd.
    pub season_kernel: usize,
    /// Activation inside the blocks.
    pub gelu: Gelu,
    /// Whether seasons are divided by the length, as in the inverse of a transform. The original does not divide them; an
    /// untrained network then puts out values that grow with the root of the length, about 100 for 1,000 points.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_unit_seasons: bool,
    /// Number of labels; 0 for a network without, as the original is.
    #[serde(default)]
    pub labels: usize,
    /// What it is told beside labels.
    #[serde(default, skip_serializing_if = "Told::is_empty")]
    pub told: Told,
}

impl DiffusionTsConfig {
    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        // Below three points there is no frequency between none and half the sampling rate.
        let least = [
            ("channels", self.channels, 1),
            ("length", self.length, 3),
            ("decoder_layers", self.decoder_layers, 1),
            ("width", self.width, 4),
            ("heads", self.heads, 1),
            ("hidden_times", self.hidden_times, 1),
            ("season_kernel", self.season_kernel, 1),
        ];
        if let Some((key, value, least)) = least.into_iter().find(|(_, value, least)| value < least) {
            return Err(Error::config(key, format!("found {value}, expected at least {least}")));
        }
        if !self.width.is_multiple_of(2) || !self.width.is_multiple_of(self.heads) {
            let reason = format!("found {}, expected an even multiple of {} heads", self.width, self.heads);
            return Err(Error::config("width", reason));
        }
        if self.season_kernel.is_multiple_of(2) || self.season_kernel / 2 > self.length {
            let longest = 2 * self.length + 1;
            let reason = format!("found {}, expected an odd number of at most {longest}", self.season_kernel);
            return Err(Error::config("season_kernel", reason));
        }
        Ok(())
    }

    /// The tables of labels and facts.
    pub(super) fn tables(&self) -> ToldTables<'_> {
        ToldTables { name: "label_embedding", n_labels: self.labels, is_paired: false, told: &self.told }
    }
}

/// The parts of an estimate.
///
/// # Shape
/// All `[batch, lead, time]`.
#[derive(Debug, Clone)]
pub struct Components {
    /// Polynomials and means of all blocks.
    pub trend: Tensor<3>,
    /// Strongest frequencies of all blocks.
    pub season: Tensor<3>,
    /// What is left, without its mean over time.
    pub residual: Tensor<3>,
}

impl Components {
    /// The estimate of the clean signal: the sum of the parts.
    pub fn signal(self) -> Tensor<3> {
        self.trend + (self.season + self.residual)
    }
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct DiffusionTs {
    config: DiffusionTsConfig,
    season: Season,
}

impl DiffusionTs {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`DiffusionTsConfig::validate`].
    pub fn new(config: DiffusionTsConfig) -> Result<DiffusionTs> {
        config.validate()?;
        let season = Season::new(config.length, config.has_unit_seasons);
        Ok(DiffusionTs { config, season })
    }

    /// Its shape.
    pub fn config(&self) -> &DiffusionTsConfig {
        &self.config
    }

    /// Cosines and sines `[2 * bin, time]` of the season, their number of frequencies, and how many of them it keeps.
    pub(super) fn season_waves(&self) -> (&[f32], usize, usize) {
        self.season.waves()
    }

    /// Factor of the sum of the waves that are kept.
    pub(super) fn season_factor(&self) -> f64 {
        self.season.factor()
    }

    /// Powers of time for the trend, `[time, power]`.
    pub(super) fn trend_powers(&self) -> Vec<f32> {
        trend::power_values(self.config.length)
    }

    /// Name, shape and start of every parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let mut out = Vec::new();
        declare_conv(&mut out, "model.emb.sequential.1", c.channels, c.width, 3, true);
        declare_conv(&mut out, "model.inverse.sequential.1", c.width, c.channels, 3, true);
        declare_conv(&mut out, "model.combine_s", c.width, c.channels, c.season_kernel, false);
        declare_conv(&mut out, "model.combine_m", c.decoder_layers, 1, 1, false);
        for layer in 0..c.encoder_layers {
            block::declare_encoder(&mut out, &format!("model.encoder.blocks.{layer}"), c);
        }
        for layer in 0..c.decoder_layers {
            block::declare_decoder(&mut out, &format!("model.decoder.blocks.{layer}"), c);
        }
        c.tables().declare(&mut out, c.width);
        for name in ["model.pos_enc.pe", "model.pos_dec.pe"] {
            declare_constant(&mut out, name, &[1, c.length, c.width], Init::Uniform(0.02));
        }
        out
    }

    /// The parts of the estimate of clean signals for noisy ones.
    ///
    /// # Shape
    /// `x` is `[batch, lead, time]` with the length of the network; `time` is `[batch]`, one step number
    /// per item; `labels` is `[batch, label + fact row]` and says how much each counts.
    /// # Errors
    /// [`Error::Shape`] for other leads or another length.
    pub fn forward(&self, p: &View, x: Tensor<3>, time: Tensor<1>, labels: Option<Tensor<2>>) -> Result<Components> {
        self.forward_traced(p, x, time, labels, &mut |_, _| {})
    }

    /// As [`DiffusionTs::forward`], handing named intermediates to `trace`, time last.
    ///
    /// # Errors
    /// As [`DiffusionTs::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        x: Tensor<3>,
        time: Tensor<1>,
        labels: Option<Tensor<2>>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Components> {
        let c = &self.config;
        let [batch, channels, length] = x.dims();
        if [channels, length] != [c.channels, c.length] {
            let (expected, actual) = (vec![batch, c.channels, c.length], vec![batch, channels, length]);
            return Err(Error::Shape { what: "network input".into(), expected, actual });
        }
        let told = sinusoidal_embedding(time, c.width, 10_000.0);
        let told = match labels.and_then(|rows| c.tables().embed(p, rows)) {
            Some(labels) => told + labels,
            None => told,
        };
        let p = p.at("model");
        let device = x.device();
        let shared = Shared {
            config: c,
            step: activation::silu(told),
            powers: trend::powers(c.length, &device),
            season: &self.season,
            waves: self.season.on(&device),
        };
        let embedded = conv(&p.at("emb.sequential.1"), x.clone(), 1, 1);
        trace("emb", &embedded);

        let mut memory = embedded.clone() + position(&p, "pos_enc.pe");
        for layer in 0..c.encoder_layers {
            let p = p.at(&format!("encoder.blocks.{layer}"));
            let show = &mut |normed: &Tensor<3>| trace(&format!("enc{layer}.adaln"), normed);
            memory = block::encode(&p, &shared, memory, show);
        }
        trace("encoder", &memory);

        let (mut trend, mut season) = (x.zeros_like(), embedded.zeros_like());
        let mut x = embedded + position(&p, "pos_dec.pe");
        let mut means = Vec::with_capacity(c.decoder_layers);
        for layer in 0..c.decoder_layers {
            let p = p.at(&format!("decoder.blocks.{layer}"));
            let decoded = block::decode(&p, &shared, x, memory.clone());
            trace(&format!("dec{layer}.trend"), &decoded.trend);
            trace(&format!("dec{layer}.season"), &decoded.season);
            x = decoded.x;
            trend = trend + decoded.trend;
            season = season + decoded.season;
            means.push(decoded.mean);
        }
        let means = Tensor::cat(means, 2);
        trace("decoder.x", &x);
        trace("decoder.mean", &means);
        trace("decoder.trend", &trend);
        trace("decoder.season", &season);

        // The mean of what is left belongs to the trend.
        let residual = conv(&p.at("inverse.sequential.1"), x, 1, 1);
        let left = residual.clone().mean_dim(2);
        let level = conv_unbiased(&p.at("combine_m"), means.swap_dims(1, 2)).swap_dims(1, 2);
        let season = conv_unbiased(&p.at("combine_s"), circular(season, c.season_kernel / 2));
        Ok(Components { trend: level + left.clone() + trend, season, residual: residual - left })
    }
}

/// A learned position of each point in time, `[1, width, time]`.
fn position(p: &View, name: &str) -> Tensor<3> {
    p.get::<3>(name).swap_dims(1, 2)
}

/// `padding` points of the other end at each end.
fn circular(x: Tensor<3>, padding: usize) -> Tensor<3> {
    if padding == 0 {
        return x;
    }
    let length = x.dims()[2];
    Tensor::cat(vec![x.clone().narrow(2, length - padding, padding), x.clone(), x.narrow(2, 0, padding)], 2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::weights::host;

    fn config(channels: usize, layers: [usize; 2], width: usize) -> DiffusionTsConfig {
        DiffusionTsConfig {
            channels,
            length: 24,
            encoder_layers: layers[0],
            decoder_layers: layers[1],
            width,
            heads: 4,
            hidden_times: 4,
            season_kernel: 1,
            gelu: Gelu::Exact,
            has_unit_seasons: false,
            labels: 0,
            told: Told::default(),
        }
    }

    /// Counted from the original for its `Config/stocks.yaml`, `eeg.yaml` and `energy.yaml` (`shapes.json` of the
    /// fixtures).
    #[test]
    fn published_sizes_are_those_of_the_original() {
        let count = |config| -> usize {
            let network = DiffusionTs::new(config).unwrap();
            network.params().iter().map(|p| p.shape.iter().product::<usize>()).sum()
        };
        assert_eq!(count(config(6, [2, 2], 64)), 294_390);
        assert_eq!(count(config(14, [3, 2], 64)), 360_286);
        assert_eq!(count(config(28, [4, 3], 96)), 1_139_752);
    }

    #[test]
    fn networks_that_cannot_be_built_are_refused() {
        let refused = |change: &dyn Fn(&mut DiffusionTsConfig)| {
            let mut config = config(2, [1, 1], 8);
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(refused(&|c| c.length = 2), "length: found 2, expected at least 3");
        assert_eq!(refused(&|c| c.decoder_layers = 0), "decoder_layers: found 0, expected at least 1");
        assert_eq!(refused(&|c| c.heads = 3), "width: found 8, expected an even multiple of 3 heads");
        assert_eq!(refused(&|c| c.season_kernel = 4), "season_kernel: found 4, expected an odd number of at most 49");
    }

    #[test]
    fn circular_padding_joins_the_ends() {
        let x = Tensor::<3>::from_floats([[[1.0, 2.0, 3.0]]], &Device::flex());
        assert_eq!(host(circular(x, 2)), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0]);
    }
}
