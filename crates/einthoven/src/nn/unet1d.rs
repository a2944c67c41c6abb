//! The 1-D U-Net denoiser, in the two forms that are in use.
//!
//! * `Norm::Rms`: the current public 1-D U-Net (lucidrains/denoising-diffusion-pytorch), whose
//!   published checkpoints load by their own key names.
//! * `Norm::Group`: the older form with weight-standardized convolutions and group normalization,
//!   with a class embedding beside the time embedding (BioDiffusion); the network of DGN.
//!
//! Both share one layout: a wide stem; levels of residual blocks, linear attention and a halving
//! convolution; a middle with full attention; the mirror image with skip connections; a head that
//! sees the stem again. Beyond both, a stem stride makes a cheaper network that works on a coarser
//! grid and unfolds channels into time at the end.
//!
//! One file because the two forms share every block.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::kernel::{Activation, group_norm_act, group_norm_act_add, rms_norm, rms_norm_add, silu};
use super::layer::{
    attention, conv, conv_joined, conv_standardized, conv_unbiased, declare_constant, declare_conv, declare_linear,
    fourier_embedding, linear, linear_attention, sinusoidal_embedding, upsample_nearest,
};

use super::shown_beats;
use super::told::{ToldTables, n_rows};
use super::weights::{Init, ParamSpec, View};
use crate::dataset::condition::Told;
use crate::error::{Error, Result};

/// Smallest norm that RMS normalization divides by, as in the published network.
pub(super) const RMS_EPSILON: f64 = 1e-12;

/// Normalization inside the residual blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Unit length over channels, times a gain and the square root of the channel count.
    Rms,
    /// Group normalization after weight-standardized convolutions.
    Group,
}

/// How the time enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeFeatures {
    /// Fixed sines and cosines.
    Sinusoidal,
    /// Sines and cosines of stored frequencies, and the time itself.
    Fourier,
}

/// Shape of a [`Unet1d`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unet1dConfig {
    /// Leads of the signal.
    #[serde(default)]
    pub channels: usize,
    /// Leads of the prediction.
    #[serde(default)]
    pub out_channels: usize,
    /// Channels at the first level.
    pub width: usize,
    /// Channels of the stem.
    pub stem_width: usize,
    /// Channels of each level as multiples of `width`.
    pub multipliers: Vec<usize>,
    /// Residual blocks of each level on the way down (and up).
    pub blocks: usize,
    /// Normalization.
    pub norm: Norm,
    /// Groups of [`Norm::Group`].
    pub groups: usize,
    /// Time features.
    pub time_features: TimeFeatures,
    /// Width of the time features (for Fourier, twice the number of frequencies).
    pub time_width: usize,
    /// Slowest period of the sinusoidal features.
    pub time_theta: f64,
    /// Number of classes; 0 for a network without classes.
    #[serde(default)]
    pub classes: usize,
    /// Heads and head width of linear attention inside the levels.
    pub level_attention: [usize; 2],
    /// Heads and head width of full attention in the middle.
    pub middle_attention: [usize; 2],
    /// Whether the network also takes its own previous estimate.
    pub self_condition: bool,
    /// Points in time that the stem merges into one.
    pub stem_stride: usize,
    /// What it is told beside labels.
    #[serde(default, skip_serializing_if = "Told::is_empty")]
    pub told: Told,
    /// Whether it is shown the times of the beats, as [`shown_beats`] channels after the leads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beats: bool,
    /// Whether it is shown their waves too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waves: bool,
}

impl Unet1dConfig {
    /// The network of DGN for one-lead beats: layout of `dgn-kd` section 5, everything that has a
    /// width scaling with `width`.
    pub fn dgn(width: usize, multipliers: &[usize], classes: usize) -> Unet1dConfig {
        Unet1dConfig {
            channels: 1,
            out_channels: 1,
            width,
            stem_width: width,
            multipliers: multipliers.to_vec(),
            blocks: 2,
            norm: Norm::Group,
            groups: if width.is_multiple_of(8) { 8 } else { 4 },
            time_features: TimeFeatures::Sinusoidal,
            time_width: width,
            time_theta: 10_000.0,
            classes,
            level_attention: [4, width / 2],
            middle_attention: [4, width / 2],
            self_condition: false,
            stem_stride: 1,
            told: Told::default(),
            beats: false,
            waves: false,
        }
    }

    /// Points in time must be a multiple of this.
    pub fn length_multiple(&self) -> usize {
        self.stem_stride << (self.multipliers.len() - 1)
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("channels", self.channels),
            ("out_channels", self.out_channels),
            ("width", self.width),
            ("stem_width", self.stem_width),
            ("multipliers", self.multipliers.len()),
            ("blocks", self.blocks),
            ("groups", self.groups),
            ("stem_stride", self.stem_stride),
            ("level_attention", self.level_attention[0] * self.level_attention[1]),
            ("middle_attention", self.middle_attention[0] * self.middle_attention[1]),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(Error::config(key, "found 0, expected at least 1"));
            }
        }
        if self.multipliers.contains(&0) {
            return Err(Error::config("multipliers", "found 0, expected at least 1"));
        }
        if self.self_condition && self.beats {
            return Err(Error::config("beats", "found beside self_condition, expected one of both"));
        }
        if self.waves && !self.beats {
            return Err(Error::config("waves", "found without beats, expected both"));
        }
        if self.norm == Norm::Group && !self.width.is_multiple_of(self.groups) {
            return Err(Error::config("groups", format!("{} does not divide width {}", self.groups, self.width)));
        }
        if self.time_features == TimeFeatures::Sinusoidal && (self.time_width < 4 || self.time_width % 2 == 1) {
            return Err(Error::config(
                "time_width",
                format!("found {}, expected an even number of at least 4", self.time_width),
            ));
        }
        Ok(())
    }

    /// Input and output channels of each level.
    fn levels(&self) -> Vec<(usize, usize)> {
        let mut n_in = self.stem_width;
        self.multipliers
            .iter()
            .map(|multiplier| {
                let level = (n_in, self.width * multiplier);
                n_in = level.1;
                level
            })
            .collect()
    }

    /// Channels of the input: leads, and what is shown of the beats.
    pub fn channels_in(&self) -> usize {
        self.channels + if self.beats { shown_beats::n_channels(self.waves) } else { 0 }
    }

    fn embedding_width(&self) -> usize {
        4 * self.width
    }

    /// Whether a vector for classes and facts stands beside that of the time.
    fn is_told(&self) -> bool {
        self.classes > 0 || !self.told.is_empty()
    }

    /// The table of facts; that of the classes has one more row, for none.
    fn tables(&self) -> ToldTables<'_> {
        ToldTables { name: "classes_emb", n_labels: self.classes, is_paired: false, told: &self.told }
    }
}

/// A 1-D U-Net: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct Unet1d {
    config: Unet1dConfig,
}

impl Unet1d {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`Unet1dConfig::validate`].
    pub fn new(config: Unet1dConfig) -> Result<Unet1d> {
        config.validate()?;
        Ok(Unet1d { config })
    }

    /// Its shape.
    pub fn config(&self) -> &Unet1dConfig {
        &self.config
    }

    /// Name, shape and start of every parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let mut out = Vec::new();
        let stem_in = if c.self_condition { 2 * c.channels } else { c.channels_in() };
        declare_conv(&mut out, "init_conv", stem_in, c.stem_width, 7, true);

        let time_in = match c.time_features {
            TimeFeatures::Sinusoidal => c.time_width,
            TimeFeatures::Fourier => {
                declare_constant(&mut out, "time_mlp.0.weights", &[c.time_width / 2], Init::Normal(1.0));
                c.time_width / 2 * 2 + 1
            }
        };
        declare_linear(&mut out, "time_mlp.1", time_in, c.embedding_width());
        declare_linear(&mut out, "time_mlp.3", c.embedding_width(), c.embedding_width());
        if c.classes > 0 {
            // The last row is the absent class.
            declare_constant(&mut out, "classes_emb.weight", &[c.classes + 1, c.width], Init::Normal(1.0));
        }
        c.tables().declare_facts(&mut out, c.width, 1.0);
        if c.is_told() {
            declare_linear(&mut out, "classes_mlp.0", c.width, c.embedding_width());
            declare_linear(&mut out, "classes_mlp.2", c.embedding_width(), c.embedding_width());
        }

        let levels = c.levels();
        let last = levels.len() - 1;
        for (i, &(n_in, n_out)) in levels.iter().enumerate() {
            for b in 0..c.blocks {
                self.declare_block(&mut out, &format!("downs.{i}.{b}"), n_in, n_in);
            }
            self.declare_level_attention(&mut out, &format!("downs.{i}.{}", c.blocks), n_in);
            let kernel = if i < last { 4 } else { 3 };
            declare_conv(&mut out, &format!("downs.{i}.{}", c.blocks + 1), n_in, n_out, kernel, true);
        }
        let middle = levels[last].1;
        self.declare_block(&mut out, "mid_block1", middle, middle);
        let [heads, head_width] = c.middle_attention;
        self.declare_norm(&mut out, "mid_attn.fn.norm", middle);
        declare_conv(&mut out, "mid_attn.fn.fn.to_qkv", middle, 3 * heads * head_width, 1, false);
        declare_conv(&mut out, "mid_attn.fn.fn.to_out", heads * head_width, middle, 1, true);
        self.declare_block(&mut out, "mid_block2", middle, middle);

        for (i, &(n_in, n_out)) in levels.iter().rev().enumerate() {
            for b in 0..c.blocks {
                self.declare_block(&mut out, &format!("ups.{i}.{b}"), n_out + n_in, n_out);
            }
            self.declare_level_attention(&mut out, &format!("ups.{i}.{}", c.blocks), n_out);
            let suffix = if i < last { ".1" } else { "" };
            declare_conv(&mut out, &format!("ups.{i}.{}{suffix}", c.blocks + 1), n_out, n_in, 3, true);
        }
        self.declare_block(&mut out, "final_res_block", 2 * c.stem_width, c.stem_width);
        declare_conv(&mut out, "final_conv", c.stem_width, c.out_channels * c.stem_stride, 1, true);
        out
    }

    fn declare_norm(&self, out: &mut Vec<ParamSpec>, name: &str, channels: usize) {
        declare_constant(out, &format!("{name}.g"), &[1, channels, 1], Init::Ones);
    }

    fn declare_block(&self, out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize) {
        let c = &self.config;
        let embedding = c.embedding_width() * if c.is_told() { 2 } else { 1 };
        declare_linear(out, &format!("{name}.mlp.1"), embedding, 2 * n_out);
        for (block, n_in) in [("block1", n_in), ("block2", n_out)] {
            declare_conv(out, &format!("{name}.{block}.proj"), n_in, n_out, 3, true);
            match c.norm {
                Norm::Rms => self.declare_norm(out, &format!("{name}.{block}.norm"), n_out),
                Norm::Group => {
                    declare_constant(out, &format!("{name}.{block}.norm.weight"), &[n_out], Init::Ones);
                    declare_constant(out, &format!("{name}.{block}.norm.bias"), &[n_out], Init::Zeros);
                }
            }
        }
        if n_in != n_out {
            declare_conv(out, &format!("{name}.res_conv"), n_in, n_out, 1, true);
        }
    }

    fn declare_level_attention(&self, out: &mut Vec<ParamSpec>, name: &str, channels: usize) {
        let [heads, head_width] = self.config.level_attention;
        self.declare_norm(out, &format!("{name}.fn.norm"), channels);
        declare_conv(out, &format!("{name}.fn.fn.to_qkv"), channels, 3 * heads * head_width, 1, false);
        declare_conv(out, &format!("{name}.fn.fn.to_out.0"), heads * head_width, channels, 1, true);
        self.declare_norm(out, &format!("{name}.fn.fn.to_out.1"), channels);
    }

    /// Prediction for noisy signals.
    ///
    /// # Shape
    /// `x` is `[batch, lead, time]` with `time` a multiple of [`Unet1dConfig::length_multiple`], its channels of the beats
    /// after the leads; the result has leads only; `time` is `[batch]`, one network time per item; `labels` is
    /// `[batch, class + fact row]`, how much each counts, zeros over all classes for "no class"; `previous` is the
    /// network's earlier estimate where it takes one (zeros when absent).
    /// # Errors
    /// [`Error::Shape`] for a length that the levels cannot halve.
    pub fn forward(
        &self,
        p: &View,
        x: Tensor<3>,
        time: Tensor<1>,
        labels: &[f32],
        previous: Option<Tensor<3>>,
    ) -> Result<Tensor<3>> {
        self.forward_traced(p, x, time, labels, previous, &mut |_, _| {})
    }

    /// As [`Unet1d::forward`], handing named intermediates to `trace`.
    ///
    /// # Errors
    /// As [`Unet1d::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        x: Tensor<3>,
        time: Tensor<1>,
        labels: &[f32],
        previous: Option<Tensor<3>>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        let c = &self.config;
        let [batch, channels, length] = x.dims();
        let n_told = c.classes + n_rows(&c.told);
        if labels.len() != batch * n_told {
            let (expected, actual) = (vec![batch, n_told], vec![labels.len()]);
            return Err(Error::Shape { what: "labels of the network".into(), expected, actual });
        }
        let n_channels = c.channels_in();
        if channels != n_channels || !length.is_multiple_of(c.length_multiple()) {
            return Err(Error::Shape {
                what: format!("network input (length must be a multiple of {})", c.length_multiple()),
                expected: vec![batch, n_channels, length.next_multiple_of(c.length_multiple())],
                actual: vec![batch, channels, length],
            });
        }
        let x = if c.self_condition {
            let previous = previous.unwrap_or_else(|| x.zeros_like());
            Tensor::cat(vec![previous, x], 1)
        } else {
            x
        };
        let stem = conv(&p.at("init_conv"), x, c.stem_stride, 3);
        trace("init_conv", &stem);
        let embedding = self.embed(p, time, labels, batch, trace);

        let mut x = stem.clone();
        let mut skips = Vec::new();
        let last = c.multipliers.len() - 1;
        for i in 0..=last {
            let level = p.at(&format!("downs.{i}"));
            for b in 0..c.blocks {
                x = self.block(&level.at(&b.to_string()), x, None, &embedding);
                if i == 0 && b == 0 {
                    trace("down0.block1", &x);
                }
                if b + 1 < c.blocks {
                    skips.push(x.clone());
                }
            }
            x = self.level_attention(&level.at(&c.blocks.to_string()), x);
            if i == 0 {
                trace("down0.linear_attention", &x);
            }
            skips.push(x.clone());
            let down = level.at(&(c.blocks + 1).to_string());
            x = if i < last { conv(&down, x, 2, 1) } else { conv(&down, x, 1, 1) };
        }

        x = self.block(&p.at("mid_block1"), x, None, &embedding);
        let middle = p.at("mid_attn.fn");
        let [heads, head_width] = c.middle_attention;
        let qkv = conv_unbiased(&middle.at("fn.to_qkv"), self.norm(&middle.at("norm"), x.clone()));
        x = x + conv(&middle.at("fn.to_out"), attention(qkv, heads, head_width), 1, 0);
        trace("mid_attention", &x);
        x = self.block(&p.at("mid_block2"), x, None, &embedding);

        for i in 0..=last {
            let level = p.at(&format!("ups.{i}"));
            for b in 0..c.blocks {
                let skip = skips.pop().expect("each block on the way up has its skip from the way down");
                x = self.block(&level.at(&b.to_string()), x, Some(skip), &embedding);
            }
            x = self.level_attention(&level.at(&c.blocks.to_string()), x);
            let up = level.at(&(c.blocks + 1).to_string());
            x = if i < last { conv(&up.at("1"), upsample_nearest(x, 2), 1, 1) } else { conv(&up, x, 1, 1) };
            if i == 0 {
                trace("up0.upsample", &x);
            }
        }
        let x = self.block(&p.at("final_res_block"), x, Some(stem), &embedding);
        let x = conv(&p.at("final_conv"), x, 1, 0);
        Ok(unfold_time(x, c.out_channels, c.stem_stride))
    }

    /// One vector per item for the noise level and the class, after the last activation.
    fn embed(
        &self,
        p: &View,
        time: Tensor<1>,
        labels: &[f32],
        batch: usize,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Tensor<2> {
        let c = &self.config;
        let features = match c.time_features {
            TimeFeatures::Sinusoidal => sinusoidal_embedding(time, c.time_width, c.time_theta),
            TimeFeatures::Fourier => fourier_embedding(time, p.get("time_mlp.0.weights")),
        };
        trace("time_embedding_raw", &features.clone().unsqueeze_dim(2));
        let hidden = activation::gelu(linear(&p.at("time_mlp.1"), features));
        let time = linear(&p.at("time_mlp.3"), hidden);
        trace("time_mlp", &time.clone().unsqueeze_dim(2));
        let told = c.tables().embed_or_none(p, labels, batch);
        silu(match told {
            Some(told) => {
                let hidden = activation::gelu(linear(&p.at("classes_mlp.0"), told));
                Tensor::cat(vec![time, linear(&p.at("classes_mlp.2"), hidden)], 1)
            }
            None => time,
        })
    }

    /// Residual block: two convolutions with normalization and SiLU; the embedding scales and
    /// shifts the first. It sees the channels of `x` and of the skip connection, where there is one.
    fn block(&self, p: &View, x: Tensor<3>, skip: Option<Tensor<3>>, embedding: &Tensor<2>) -> Tensor<3> {
        let scale_shift = linear(&p.at("mlp.1"), embedding.clone());
        let [_, twice] = scale_shift.dims();
        let n_out = twice / 2;
        let scale = scale_shift.clone().narrow(1, 0, n_out);
        let shift = scale_shift.narrow(1, n_out, n_out);
        let n_in = x.dims()[1] + skip.as_ref().map_or(0, |skip| skip.dims()[1]);
        let first = p.at("block1");
        let h = self.normalize(&first, self.project(&first, x.clone(), skip.clone()), Some((scale, shift)));
        let x = if n_in == n_out && skip.is_none() { x } else { conv_joined(&p.at("res_conv"), x, skip, 0) };
        let second = p.at("block2");
        self.normalize_add(&second, self.project(&second, h, None), x)
    }

    /// The convolution of half a block.
    fn project(&self, p: &View, x: Tensor<3>, skip: Option<Tensor<3>>) -> Tensor<3> {
        match self.config.norm {
            Norm::Rms => conv_joined(&p.at("proj"), x, skip, 1),
            Norm::Group => conv_standardized(&p.at("proj"), x, skip, 1),
        }
    }

    /// Normalization, scale and shift, and SiLU of half a block.
    fn normalize(&self, p: &View, x: Tensor<3>, scale_shift: Option<(Tensor<2>, Tensor<2>)>) -> Tensor<3> {
        let p = p.at("norm");
        match self.config.norm {
            Norm::Rms => rms_norm(x, gain(&p), scale_shift, Activation::Silu, RMS_EPSILON),
            Norm::Group => {
                let (gain, bias) = (p.get("weight"), p.get("bias"));
                group_norm_act(x, self.config.groups, gain, bias, scale_shift, Activation::Silu, 1e-5)
            }
        }
    }

    /// As [`Unet1d::normalize`] without scale and shift, plus `added`.
    fn normalize_add(&self, p: &View, x: Tensor<3>, added: Tensor<3>) -> Tensor<3> {
        let p = p.at("norm");
        match self.config.norm {
            Norm::Rms => rms_norm_add(x, gain(&p), Activation::Silu, RMS_EPSILON, added),
            Norm::Group => {
                let (gain, bias) = (p.get("weight"), p.get("bias"));
                group_norm_act_add(x, self.config.groups, gain, bias, Activation::Silu, 1e-5, added)
            }
        }
    }

    fn level_attention(&self, p: &View, x: Tensor<3>) -> Tensor<3> {
        let [heads, head_width] = self.config.level_attention;
        let p = p.at("fn");
        let qkv = conv_unbiased(&p.at("fn.to_qkv"), self.norm(&p.at("norm"), x.clone()));
        let out = conv(&p.at("fn.to_out.0"), linear_attention(qkv, heads, head_width), 1, 0);
        rms_norm_add(out, gain(&p.at("fn.to_out.1")), Activation::None, RMS_EPSILON, x)
    }

    /// The normalization around attention, the same in both forms: unit length over channels.
    fn norm(&self, p: &View, x: Tensor<3>) -> Tensor<3> {
        rms_norm(x, gain(p), None, Activation::None, RMS_EPSILON)
    }
}

/// Gain per channel of a normalization by the root mean square.
fn gain(p: &View) -> Tensor<1> {
    let gain: Tensor<3> = p.get("g");
    let [_, channels, _] = gain.dims();
    gain.reshape([channels])
}

/// Turns `[batch, channel * factor, time]` into `[batch, channel, time * factor]`.
fn unfold_time(x: Tensor<3>, channels: usize, factor: usize) -> Tensor<3> {
    if factor == 1 {
        return x;
    }
    let [batch, _, length] = x.dims();
    x.reshape([batch, channels, factor, length]).swap_dims(2, 3).reshape([batch, channels, length * factor])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(config: Unet1dConfig) -> usize {
        let params = Unet1d::new(config).unwrap().params();
        params.iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// Parameter counts of dgn-kd section 5, which hold the attention heads at 4 x 32.
    #[test]
    fn sizes_are_those_of_the_paper_notes() {
        for (width, multipliers, millions) in
            [(64, &[1, 2, 4, 8][..], 17.01), (44, &[1, 2, 4, 8], 8.27), (32, &[1, 2, 4], 1.55), (24, &[1, 2, 4], 0.92)]
        {
            let mut config = Unet1dConfig::dgn(width, multipliers, 5);
            config.level_attention = [4, 32];
            config.middle_attention = [4, 32];
            let found = count(config) as f64 / 1e6;
            assert!((found - millions).abs() < 0.006, "width {width}: {found} M, notes say {millions} M");
        }
    }

    /// With heads that scale with the width, the student is below half of the teacher.
    #[test]
    fn student_a_is_at_most_half_of_the_teacher() {
        let size = |width| count(Unet1dConfig::dgn(width, &[1, 2, 4, 8], 5)) as f64;
        assert!(size(44) / size(64) < 0.5);
    }

    #[test]
    fn a_width_that_groups_do_not_divide_is_refused() {
        let mut config = Unet1dConfig::dgn(44, &[1, 2], 5);
        config.groups = 8;
        assert_eq!(config.validate().unwrap_err().to_string(), "groups: 8 does not divide width 44");
    }
}
