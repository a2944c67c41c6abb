//! The stack of temporal blocks of the public package `timediffusion`: causal convolutions of two taps whose
//! dilation doubles from block to block until the last one sees the whole signal.
//!
//! A block is two weight-normalized convolutions, each followed by ReLU; their result goes to the skip sum, and
//! with the block's input added and rectified to the next block. A map of one tap reads the prediction off the last
//! block and the sum. Keys of the stack are those of the package's `TimeDiffusionProjector`.
//!
//! # Reference
//! timetoai/TimeDiffusion (package `timediffusion`), `models.py` and `layers.py`; the blocks after Bai et al. 2018, "An
//! empirical evaluation of generic convolutional and recurrent networks for sequence modeling".
//! # Differs from the original
//! The package fits one series, knows neither noise level nor labels, and repeats `x - network(x)`. Here the network is
//! told both, and facts: their embedding shifts the input of every block, our choice after DiffWave. Its training drops
//! 5 % of the first block's values; nothing is dropped here. Weights start as PyTorch draws them, which the package's own start
//! comes down to: it writes to the weights that their normalization then computes anew.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::kernel::{Conv1dOptions, conv1d, silu};
use super::layer::{
    conv, declare_conv, declare_linear, declare_normed_conv, linear, normed_weight, sinusoidal_embedding, start_lengths,
};
use super::told::ToldTables;
use super::weights::{ParamSpec, View, Weights};
use crate::dataset::condition::Told;
use crate::error::{Error, Result};
use crate::seed::Seed;

/// Places of the two convolutions among a block's layers: the package also counts the cut and the ReLU between them.
pub(super) const CONVOLUTIONS: [&str; 2] = ["net.0", "net.3"];

/// Shape of a [`TemporalBlocks`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemporalBlocksConfig {
    /// Leads of the signal and of the prediction.
    #[serde(default)]
    pub channels: usize,
    /// Channels of every block; the package's `conv_filters`.
    pub width: usize,
    /// Last exponent of the dilation: blocks of dilation 1, 2, 4 up to `2^max_degree` follow the first one, which has one
    /// tap. The package takes that of the next power of two above the length, at most 13.
    pub max_degree: usize,
    /// Sines and cosines of the noise level; even.
    pub time_width: usize,
    /// Width of the embedding of noise level, labels and facts.
    pub embedding_width: usize,
    /// Number of labels; 0 for a network without.
    #[serde(default)]
    pub labels: usize,
    /// What it is told beside labels.
    #[serde(default, skip_serializing_if = "Told::is_empty")]
    pub told: Told,
}

impl TemporalBlocksConfig {
    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in
            [("channels", self.channels), ("width", self.width), ("embedding_width", self.embedding_width)]
        {
            if value == 0 {
                return Err(Error::config(key, "found 0, expected at least 1"));
            }
        }
        if self.max_degree > 20 {
            return Err(Error::config("max_degree", format!("found {}, expected at most 20", self.max_degree)));
        }
        if self.time_width < 4 || self.time_width % 2 == 1 {
            let reason = format!("found {}, expected an even number of at least 4", self.time_width);
            return Err(Error::config("time_width", reason));
        }
        Ok(())
    }

    /// The tables of labels and facts.
    pub(super) fn tables(&self) -> ToldTables<'_> {
        ToldTables { name: "label_embedding", n_labels: self.labels, is_paired: false, told: &self.told }
    }

    /// Taps and dilation of each block.
    pub(super) fn blocks(&self) -> Vec<(usize, usize)> {
        [(1, 1)].into_iter().chain((0..=self.max_degree).map(|degree| (2, 1 << degree))).collect()
    }
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct TemporalBlocks {
    config: TemporalBlocksConfig,
}

impl TemporalBlocks {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`TemporalBlocksConfig::validate`].
    pub fn new(config: TemporalBlocksConfig) -> Result<TemporalBlocks> {
        config.validate()?;
        Ok(TemporalBlocks { config })
    }

    /// Its shape.
    pub fn config(&self) -> &TemporalBlocksConfig {
        &self.config
    }

    /// Name, shape and start of every parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let mut out = Vec::new();
        let mut n_in = c.channels;
        for (block, (taps, _)) in c.blocks().into_iter().enumerate() {
            let name = format!("tcn.{block}");
            declare_normed_conv(&mut out, &format!("{name}.{}", CONVOLUTIONS[0]), n_in, c.width, taps);
            declare_normed_conv(&mut out, &format!("{name}.{}", CONVOLUTIONS[1]), c.width, c.width, taps);
            if n_in != c.width {
                declare_conv(&mut out, &format!("{name}.downsample"), n_in, c.width, 1, true);
            }
            declare_linear(&mut out, &format!("told.{block}"), c.embedding_width, n_in);
            n_in = c.width;
        }
        declare_conv(&mut out, "last", c.width, c.channels, 1, true);
        declare_linear(&mut out, "level.0", c.time_width, c.embedding_width);
        declare_linear(&mut out, "level.2", c.embedding_width, c.embedding_width);
        c.tables().declare(&mut out, c.embedding_width);
        out
    }

    /// Start values of every parameter.
    pub fn start(&self, seed: Seed) -> Weights {
        let mut weights = Weights::initialize(&self.params(), seed);
        start_lengths(&mut weights);
        weights
    }

    /// Prediction for noisy signals.
    ///
    /// # Shape
    /// `x` and the result are `[batch, lead, time]`; `time` is `[batch]`, one network time per item; `labels` is
    /// `[batch, label + fact row]` and says how much each counts.
    /// # Errors
    /// [`Error::Shape`] for other leads.
    pub fn forward(&self, p: &View, x: Tensor<3>, time: Tensor<1>, labels: Option<Tensor<2>>) -> Result<Tensor<3>> {
        let c = &self.config;
        let [batch, channels, length] = x.dims();
        if channels != c.channels {
            let (expected, actual) = (vec![batch, c.channels, length], vec![batch, channels, length]);
            return Err(Error::Shape { what: "network input".into(), expected, actual });
        }
        let level = silu(linear(&p.at("level.0"), sinusoidal_embedding(time, c.time_width, 10_000.0)));
        let told = linear(&p.at("level.2"), level);
        let told = silu(match labels.and_then(|rows| c.tables().embed(p, rows)) {
            Some(labels) => told + labels,
            None => told,
        });
        let mut x = x;
        let mut skips: Option<Tensor<3>> = None;
        for (block, (taps, dilation)) in c.blocks().into_iter().enumerate() {
            let shift = linear(&p.at(&format!("told.{block}")), told.clone()).unsqueeze_dim::<3>(2);
            let p = p.at(&format!("tcn.{block}"));
            x = x + shift;
            let inner = causal(&p.at(CONVOLUTIONS[0]), x.clone(), taps, dilation);
            let inner = causal(&p.at(CONVOLUTIONS[1]), inner, taps, dilation);
            let direct = if x.dims()[1] == c.width { x } else { conv(&p.at("downsample"), x, 1, 0) };
            x = activation::relu(inner.clone() + direct);
            skips = Some(match skips {
                Some(skips) => skips + inner,
                None => inner,
            });
        }
        // There is always the first block.
        let x = skips.into_iter().fold(x, |x, skips| x + skips);
        Ok(conv(&p.at("last"), x, 1, 0))
    }
}

/// Convolution that sees the present and the past alone, then ReLU.
fn causal(p: &View, x: Tensor<3>, taps: usize, dilation: usize) -> Tensor<3> {
    let length = x.dims()[2];
    let padding = (taps - 1) * dilation;
    let options = Conv1dOptions { stride: 1, padding, dilation };
    // Zeros stand at both ends: what they made of the future is cut off.
    activation::relu(conv1d(x, normed_weight(p), Some(p.get("bias")), options).narrow(2, 0, length))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::weights::host;

    fn network() -> TemporalBlocks {
        let config = TemporalBlocksConfig {
            channels: 2,
            width: 6,
            max_degree: 3,
            time_width: 8,
            embedding_width: 4,
            labels: 2,
            told: Told::default(),
        };
        TemporalBlocks::new(config).unwrap()
    }

    /// Counted by hand for the package's default of 128 filters, one channel and 1000 points (2^10 above the length): 17 280
    /// in the first block, 66 048 in each of eleven others, 129 at the end.
    #[test]
    fn the_stack_has_the_size_of_the_package() {
        let config = TemporalBlocksConfig {
            channels: 1,
            width: 128,
            max_degree: 10,
            time_width: 128,
            embedding_width: 128,
            labels: 0,
            told: Told::default(),
        };
        let params = TemporalBlocks::new(config).unwrap().params();
        let stack = params.iter().filter(|p| p.name.starts_with("tcn.") || p.name.starts_with("last."));
        let n_values: usize = stack.map(|p| p.shape.iter().product::<usize>()).sum();
        assert_eq!(n_values, 17_280 + 11 * 66_048 + 129);
    }

    /// Dilations 1, 2, 4, 8, twice each: a point is seen by itself and the 30 points after it, and by none before it.
    #[test]
    fn the_future_is_not_seen_and_the_past_as_far_as_the_dilations_reach() {
        let device = Device::flex();
        let network = network();
        let params = network.start(Seed::new(2)).on(&device);
        let run = |at: Option<usize>| {
            let mut values: Vec<f32> = (0..80).map(|i| ((i * 7) % 11) as f32 * 0.2 - 1.0).collect();
            if let Some(at) = at {
                values[at] += 5.0;
            }
            let x = Tensor::<3>::from_data(TensorData::new(values, [1, 2, 40]), &device);
            host(network.forward(&params.root(), x, Tensor::from_floats([500.0], &device), None).unwrap())
        };
        let (plain, moved) = (run(None), run(Some(3)));
        let changed: Vec<usize> = (0..40).filter(|&t| plain[t] != moved[t] || plain[40 + t] != moved[40 + t]).collect();
        assert_eq!(changed.first(), Some(&3));
        assert!(changed.last().is_some_and(|&last| last > 20 && last <= 33), "{changed:?}");
    }

    #[test]
    fn networks_that_cannot_be_built_are_refused() {
        let refused = |change: &dyn Fn(&mut TemporalBlocksConfig)| {
            let mut config = network().config().clone();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(refused(&|c| c.width = 0), "width: found 0, expected at least 1");
        assert_eq!(refused(&|c| c.max_degree = 21), "max_degree: found 21, expected at most 20");
        assert_eq!(refused(&|c| c.time_width = 3), "time_width: found 3, expected an even number of at least 4");
    }
}
