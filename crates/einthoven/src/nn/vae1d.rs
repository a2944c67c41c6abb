//! A variational autoencoder over time: a signal as a short sequence of a few channels, and back.
//!
//! The default is that of DiffuSETS: four levels of residual pairs, the time axis halved between them, so that 12 leads of
//! 1024 points become 4 channels of 128; one attention in the middle of encoder and decoder.
//!
//! # Reference
//! Lai et al. 2025, "DiffuSETS: 12-lead ECG generation conditioned on clinical text reports and patient-specific
//! information", Patterns (PKUDigitalHealth/DiffuSETS); Kingma and Welling 2014, "Auto-encoding variational Bayes".
//! # Differs from the original
//! The halving convolution pads both ends, and the decoder has pairs where its model has one block more or less.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::kernel::{Activation, attention, group_norm_act, upsample_nearest};
use super::layer::{conv, declare_constant, declare_conv};
use super::weights::{Init, ParamSpec, View};
use crate::error::{Error, Result};

/// Added to the variance of a group.
pub(super) const EPSILON: f64 = 1e-5;
/// Residual blocks of a level.
pub(super) const BLOCKS: usize = 2;
/// Range of the logarithm of the variance, within which its exponential is a number.
const LOG_VARIANCE: (f64, f64) = (-30.0, 20.0);

/// Shape of a [`Vae1d`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vae1dConfig {
    /// Leads of the signal.
    #[serde(default)]
    pub channels: usize,
    /// Channels of the first level.
    pub width: usize,
    /// Channels of each level as multiples of `width`; the time axis is halved between two levels.
    pub multipliers: Vec<usize>,
    /// Channels of the latent.
    pub latent_channels: usize,
    /// Groups of the normalizations.
    pub groups: usize,
}

impl Vae1dConfig {
    /// The autoencoder of DiffuSETS, for a number of leads.
    pub fn diffusets(channels: usize) -> Vae1dConfig {
        Vae1dConfig { channels, width: 128, multipliers: vec![1, 2, 4, 4], latent_channels: 4, groups: 32 }
    }

    /// Points in time that become one of the latent.
    pub fn factor(&self) -> usize {
        1 << self.multipliers.len().saturating_sub(1)
    }

    /// Points in time of the latent of a signal.
    ///
    /// # Errors
    /// [`Error::Config`] for a length that cannot be halved so often.
    pub fn latent_length(&self, sig_len: usize) -> Result<usize> {
        if sig_len == 0 || !sig_len.is_multiple_of(self.factor()) {
            let reason = format!(
                "records of {sig_len} points do not divide by {}, which the levels halve them by",
                self.factor()
            );
            return Err(Error::config("autoencoder.multipliers", reason));
        }
        Ok(sig_len / self.factor())
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("channels", self.channels),
            ("width", self.width),
            ("multipliers", self.multipliers.len()),
            ("multipliers", self.multipliers.iter().copied().min().unwrap_or(0)),
            ("latent_channels", self.latent_channels),
            ("groups", self.groups),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::config(format!("autoencoder.{key}"), "found 0, expected at least 1"));
        }
        if self.multipliers.len() > 16 {
            let reason = format!("found {} levels, expected at most 16", self.multipliers.len());
            return Err(Error::config("autoencoder.multipliers", reason));
        }
        if !self.width.is_multiple_of(self.groups) {
            let reason = format!("{} does not divide width {}", self.groups, self.width);
            return Err(Error::config("autoencoder.groups", reason));
        }
        Ok(())
    }

    /// Channels of each level.
    pub(super) fn widths(&self) -> Vec<usize> {
        self.multipliers.iter().map(|multiplier| self.width * multiplier).collect()
    }
}

/// What an encoder says of a signal: mean and logarithm of the variance, `[batch, latent channel, latent time]` each.
#[derive(Debug, Clone)]
pub struct Posterior {
    /// Mean.
    pub mean: Tensor<3>,
    /// Logarithm of the variance.
    pub log_variance: Tensor<3>,
}

impl Posterior {
    /// A latent for standard normal `noise` of the same shape.
    pub fn sample(&self, noise: Tensor<3>) -> Tensor<3> {
        self.mean.clone() + (self.log_variance.clone() * 0.5).exp() * noise
    }

    /// Divergence from the standard normal of each item, summed over the latent, in nats: `[batch]`.
    ///
    /// # Reference
    /// Kingma and Welling 2014, appendix B.
    pub fn divergence(&self) -> Tensor<1> {
        let variance = self.log_variance.clone().exp();
        let each = (self.mean.clone().square() + variance - self.log_variance.clone() - 1.0) * 0.5;
        each.flatten::<2>(1, 2).sum_dim(1).squeeze_dim::<1>(1)
    }
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct Vae1d {
    config: Vae1dConfig,
}

impl Vae1d {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`Vae1dConfig::validate`].
    pub fn new(config: Vae1dConfig) -> Result<Vae1d> {
        config.validate()?;
        Ok(Vae1d { config })
    }

    /// Its shape.
    pub fn config(&self) -> &Vae1dConfig {
        &self.config
    }

    /// Name, shape and start of every parameter of both halves.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut out = self.encoder_params();
        out.extend(self.decoder_params());
        out
    }

    fn encoder_params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let mut out = Vec::new();
        declare_conv(&mut out, "encoder.in", c.channels, c.width, 3, true);
        let widths = c.widths();
        let (mut n_in, last) = (c.width, widths.len() - 1);
        for (level, &width) in widths.iter().enumerate() {
            for block in 0..BLOCKS {
                declare_block(&mut out, &format!("encoder.levels.{level}.{block}"), n_in, width);
                n_in = width;
            }
            if level < last {
                declare_conv(&mut out, &format!("encoder.levels.{level}.down"), width, width, 3, true);
            }
        }
        declare_middle(&mut out, "encoder.middle", n_in);
        declare_norm(&mut out, "encoder.norm", n_in);
        declare_conv(&mut out, "encoder.out", n_in, 2 * c.latent_channels, 3, true);
        declare_conv(&mut out, "encoder.moments", 2 * c.latent_channels, 2 * c.latent_channels, 1, true);
        out
    }

    /// Name, shape and start of every parameter of the decoder, which is all that drawing needs.
    pub fn decoder_params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let mut out = Vec::new();
        let widths = c.widths();
        let mut n_in = widths[widths.len() - 1];
        declare_conv(&mut out, "decoder.latent", c.latent_channels, c.latent_channels, 1, true);
        declare_conv(&mut out, "decoder.in", c.latent_channels, n_in, 3, true);
        declare_middle(&mut out, "decoder.middle", n_in);
        for (level, &width) in widths.iter().enumerate().rev() {
            for block in 0..BLOCKS {
                declare_block(&mut out, &format!("decoder.levels.{level}.{block}"), n_in, width);
                n_in = width;
            }
            if level > 0 {
                declare_conv(&mut out, &format!("decoder.levels.{level}.up"), width, width, 3, true);
            }
        }
        declare_norm(&mut out, "decoder.norm", n_in);
        declare_conv(&mut out, "decoder.out", n_in, c.channels, 3, true);
        out
    }

    /// What the latent of signals may be.
    ///
    /// # Shape
    /// `x` is `[batch, lead, time]` with `time` a multiple of [`Vae1dConfig::factor`].
    /// # Errors
    /// [`Error::Shape`] for other leads or a length that cannot be halved so often.
    pub fn encode(&self, p: &View, x: Tensor<3>) -> Result<Posterior> {
        let c = &self.config;
        let [batch, channels, length] = x.dims();
        if channels != c.channels || length == 0 || !length.is_multiple_of(c.factor()) {
            return Err(Error::Shape {
                what: format!("autoencoder input (length must be a multiple of {})", c.factor()),
                expected: vec![batch, c.channels, length.next_multiple_of(c.factor()).max(c.factor())],
                actual: vec![batch, channels, length],
            });
        }
        let p = p.at("encoder");
        let mut x = conv(&p.at("in"), x, 1, 1);
        let last = c.multipliers.len() - 1;
        for level in 0..=last {
            let p = p.at(&format!("levels.{level}"));
            for block in 0..BLOCKS {
                x = self.block(&p.at(&block.to_string()), x);
            }
            if level < last {
                x = conv(&p.at("down"), x, 2, 1);
            }
        }
        let x = self.norm(&p.at("norm"), self.middle(&p.at("middle"), x), Activation::Silu);
        let moments = conv(&p.at("moments"), conv(&p.at("out"), x, 1, 1), 1, 0);
        let n = c.latent_channels;
        let (least, most) = LOG_VARIANCE;
        Ok(Posterior {
            mean: moments.clone().narrow(1, 0, n),
            log_variance: moments.narrow(1, n, n).clamp(least, most),
        })
    }

    /// The signals of latents.
    ///
    /// # Shape
    /// `z` is `[batch, latent channel, latent time]`; the result `[batch, lead, factor * latent time]`.
    /// # Errors
    /// [`Error::Shape`] for other channels.
    pub fn decode(&self, p: &View, z: Tensor<3>) -> Result<Tensor<3>> {
        let c = &self.config;
        let [batch, channels, length] = z.dims();
        if channels != c.latent_channels || length == 0 {
            let expected = vec![batch, c.latent_channels, length.max(1)];
            return Err(Error::Shape { what: "latent".into(), expected, actual: vec![batch, channels, length] });
        }
        let p = p.at("decoder");
        let x = conv(&p.at("in"), conv(&p.at("latent"), z, 1, 0), 1, 1);
        let mut x = self.middle(&p.at("middle"), x);
        for level in (0..c.multipliers.len()).rev() {
            let p = p.at(&format!("levels.{level}"));
            for block in 0..BLOCKS {
                x = self.block(&p.at(&block.to_string()), x);
            }
            if level > 0 {
                x = conv(&p.at("up"), upsample_nearest(x, 2), 1, 1);
            }
        }
        Ok(conv(&p.at("out"), self.norm(&p.at("norm"), x, Activation::Silu), 1, 1))
    }

    /// Two normalized convolutions beside a direct way.
    fn block(&self, p: &View, x: Tensor<3>) -> Tensor<3> {
        let inner = conv(&p.at("conv1"), self.norm(&p.at("norm1"), x.clone(), Activation::Silu), 1, 1);
        let inner = conv(&p.at("conv2"), self.norm(&p.at("norm2"), inner, Activation::Silu), 1, 1);
        let is_same = inner.dims()[1] == x.dims()[1];
        inner + if is_same { x } else { conv(&p.at("direct"), x, 1, 0) }
    }

    /// A block, attention of one head, a block.
    fn middle(&self, p: &View, x: Tensor<3>) -> Tensor<3> {
        let x = self.block(&p.at("0"), x);
        let width = x.dims()[1];
        let told = p.at("attention");
        let qkv = conv(&told.at("qkv"), self.norm(&told.at("norm"), x.clone(), Activation::None), 1, 0);
        let x = x + conv(&told.at("out"), attention(qkv, 1, width), 1, 0);
        self.block(&p.at("1"), x)
    }

    fn norm(&self, p: &View, x: Tensor<3>, activation: Activation) -> Tensor<3> {
        group_norm_act(x, self.config.groups, p.get("weight"), p.get("bias"), None, activation, EPSILON)
    }
}

fn declare_norm(out: &mut Vec<ParamSpec>, name: &str, channels: usize) {
    declare_constant(out, &format!("{name}.weight"), &[channels], Init::Ones);
    declare_constant(out, &format!("{name}.bias"), &[channels], Init::Zeros);
}

fn declare_block(out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize) {
    declare_norm(out, &format!("{name}.norm1"), n_in);
    declare_conv(out, &format!("{name}.conv1"), n_in, n_out, 3, true);
    declare_norm(out, &format!("{name}.norm2"), n_out);
    declare_conv(out, &format!("{name}.conv2"), n_out, n_out, 3, true);
    if n_in != n_out {
        declare_conv(out, &format!("{name}.direct"), n_in, n_out, 1, true);
    }
}

fn declare_middle(out: &mut Vec<ParamSpec>, name: &str, width: usize) {
    declare_block(out, &format!("{name}.0"), width, width);
    declare_norm(out, &format!("{name}.attention.norm"), width);
    declare_conv(out, &format!("{name}.attention.qkv"), width, 3 * width, 1, true);
    declare_conv(out, &format!("{name}.attention.out"), width, width, 1, true);
    declare_block(out, &format!("{name}.1"), width, width);
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::weights::{Weights, host};
    use crate::seed::Seed;

    /// 12 x 1024 becomes 4 x 128 and comes back; every declared parameter has a part in it.
    #[test]
    fn the_latent_of_the_paper_is_4_by_128() {
        let config = Vae1dConfig::diffusets(12);
        assert_eq!((config.latent_length(1024).unwrap(), config.latent_channels), (128, 4));
        let small = Vae1d::new(Vae1dConfig { width: 8, groups: 4, ..config }).unwrap();
        let params = Weights::initialize(&small.params(), Seed::new(1)).on(&Device::flex());
        let x = Tensor::<3>::ones([2, 12, 1024], &Device::flex());
        let posterior = small.encode(&params.root(), x).unwrap();
        assert_eq!((posterior.mean.dims(), posterior.log_variance.dims()), ([2, 4, 128], [2, 4, 128]));
        assert_eq!(small.decode(&params.root(), posterior.mean).unwrap().dims(), [2, 12, 1024]);
    }

    /// The divergence of a normal of mean m and standard deviation s is (m^2 + s^2 - 1) / 2 - ln s.
    #[test]
    fn divergence_and_draws_are_those_of_the_normal() {
        let device = Device::flex();
        let tensor = |values: [f32; 4]| Tensor::<3>::from_data(TensorData::new(values.to_vec(), [2, 1, 2]), &device);
        let sd = [1.0f32, 2.0, 0.5, 1.0];
        let posterior =
            Posterior { mean: tensor([0.0, 1.0, -2.0, 0.0]), log_variance: tensor(sd.map(|s| 2.0 * s.ln())) };
        let each = |m: f64, s: f64| (m * m + s * s - 1.0) / 2.0 - s.ln();
        let found = host(posterior.divergence());
        assert!((f64::from(found[0]) - each(1.0, 2.0)).abs() < 1e-6, "{found:?}");
        assert!((f64::from(found[1]) - each(-2.0, 0.5)).abs() < 1e-6, "{found:?}");
        let drawn = host(posterior.sample(tensor([1.0, -1.0, 2.0, 0.0])));
        for (found, expected) in drawn.iter().zip([1.0, -1.0, -1.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{drawn:?}");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let config = Vae1dConfig { channels: 1, width: 4, multipliers: vec![1, 1], latent_channels: 2, groups: 2 };
        let error = config.latent_length(7).unwrap_err().to_string();
        assert_eq!(
            error,
            "autoencoder.multipliers: records of 7 points do not divide by 2, which the levels halve them by"
        );
        let refused = |change: &dyn Fn(&mut Vae1dConfig)| {
            let mut config = config.clone();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(refused(&|c| c.groups = 3), "autoencoder.groups: 3 does not divide width 4");
        assert_eq!(refused(&|c| c.multipliers = vec![]), "autoencoder.multipliers: found 0, expected at least 1");
        assert_eq!(refused(&|c| c.multipliers = vec![1, 0]), "autoencoder.multipliers: found 0, expected at least 1");
    }
}
