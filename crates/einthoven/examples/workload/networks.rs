//! The six networks of the measurements, as functions of named weights.

use burn::tensor::{Tensor, activation};
use einthoven::error::{Error, Result};
use einthoven::nn::kernel::{
    Activation, Affine, ChannelStatistics, Conv1dOptions, Gate, GateConv, GateOut, Pointwise, attention,
    batch_norm_act, batch_norm_act_fixed, conv1d, fft_conv, gated_residual, gelu, glu, group_norm_act, layer_norm_act,
    silu,
};
use einthoven::nn::layer::{conv, declare_constant, declare_conv, declare_linear, linear, upsample_nearest};
use einthoven::nn::recompute::recomputed;
use einthoven::nn::weights::{Init, ParamSpec, View};
use serde::{Deserialize, Serialize};

/// One workload with its sizes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workload {
    /// W1 to W6.
    pub name: String,
    /// Records.
    pub batch: usize,
    /// Channels of the signal.
    pub channels: usize,
    /// Samples, or tokens.
    pub length: usize,
    /// Channels of the network, at its widest part or at its first level.
    pub width: usize,
}

/// What a workload reads.
#[derive(Clone)]
pub struct Inputs {
    /// `[batch, channels, length]`.
    pub x: Tensor<3>,
    /// `[batch, 128]`, for the networks that know a step.
    pub embedding: Option<Tensor<2>>,
}

/// Layers and dilation cycle of W1 and W2.
fn diffwave(name: &str) -> (usize, usize) {
    if name == "W1" { (10, 8) } else { (12, 10) }
}

/// Convolutions of the stem of W4: channels in, channels out, stride.
const STEM: [[usize; 3]; 3] = [[12, 32, 2], [32, 32, 1], [32, 64, 2]];
/// Stages of W4, in parts of the width.
const STAGES: [f64; 4] = [1.0, 1.5, 2.0, 2.5];
const GROUPS: usize = 8;

impl Workload {
    /// A workload at its own sizes.
    pub fn named(name: &str) -> Result<Workload> {
        let [batch, channels, length, width] = match name {
            "W1" => [16, 1, 256, 64],
            "W2" => [4, 8, 1000, 128],
            "W3" => [4, 128, 1000, 128],
            "W4" => [32, 12, 1000, 64],
            "W5" => [16, 128, 64, 128],
            "W6" => [32, 1, 256, 32],
            _ => return Err(Error::config("workload", format!("found {name}, expected W1 to W6"))),
        };
        let channels = if matches!(name, "W3" | "W5") { width } else { channels };
        Ok(Workload { name: name.to_string(), batch, channels, length, width })
    }

    /// Channels of W3 and W5 are those of the network.
    fn channels(&self) -> usize {
        if matches!(self.name.as_str(), "W3" | "W5") { self.width } else { self.channels }
    }

    /// Names and shapes of the inputs and the target.
    pub fn inputs(&self) -> Vec<(&'static str, Vec<usize>)> {
        let x = vec![self.batch, self.channels(), self.length];
        let target = if self.name == "W4" { vec![self.batch, 5, 1] } else { x.clone() };
        let mut all = vec![("x", x), ("target", target)];
        if matches!(self.name.as_str(), "W1" | "W2" | "W6") {
            all.push(("embedding", vec![self.batch, 128]));
        }
        all
    }

    /// Parameters.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut out = Vec::new();
        let w = self.width;
        match self.name.as_str() {
            "W1" | "W2" => {
                declare_conv(&mut out, "input", self.channels, w, 1, true);
                declare_linear(&mut out, "step.0", 128, 512);
                declare_linear(&mut out, "step.1", 512, 512);
                for layer in 0..diffwave(&self.name).0 {
                    declare_linear(&mut out, &format!("layers.{layer}.step"), 512, w);
                    declare_conv(&mut out, &format!("layers.{layer}.conv"), w, 2 * w, 3, true);
                    declare_conv(&mut out, &format!("layers.{layer}.out"), w, 2 * w, 1, true);
                }
                declare_conv(&mut out, "skip", w, w, 1, true);
                declare_conv(&mut out, "output", w, self.channels, 1, true);
            }
            "W3" => {
                for layer in 0..4 {
                    declare_constant(&mut out, &format!("layers.{layer}.kernel"), &[w, self.length], Init::Zeros);
                    declare_conv(&mut out, &format!("layers.{layer}.mix"), w, 2 * w, 1, true);
                }
            }
            "W4" => {
                for (index, [n_in, n_out, _]) in STEM.into_iter().enumerate() {
                    declare_conv(&mut out, &format!("stem.{index}"), n_in, self.scaled(n_out), 5, true);
                    declare_norm(&mut out, &format!("stem.{index}.norm"), self.scaled(n_out));
                }
                let mut n_in = w;
                for (stage, part) in STAGES.into_iter().enumerate() {
                    let n_out = (w as f64 * part) as usize;
                    for block in 0..2 {
                        let name = format!("stages.{stage}.{block}");
                        for (index, n_in) in [n_in, n_out].into_iter().enumerate() {
                            declare_conv(&mut out, &format!("{name}.{index}"), n_in, n_out, 5, true);
                            declare_norm(&mut out, &format!("{name}.{index}.norm"), n_out);
                        }
                        if n_in != n_out {
                            declare_conv(&mut out, &format!("{name}.shortcut"), n_in, n_out, 1, true);
                        }
                        n_in = n_out;
                    }
                }
                declare_linear(&mut out, "output", n_in, 5);
            }
            "W5" => {
                for layer in 0..4 {
                    let name = format!("layers.{layer}");
                    declare_norm(&mut out, &format!("{name}.norm1"), w);
                    declare_conv(&mut out, &format!("{name}.qkv"), w, 3 * w, 1, true);
                    declare_conv(&mut out, &format!("{name}.out"), w, w, 1, true);
                    declare_norm(&mut out, &format!("{name}.norm2"), w);
                    declare_conv(&mut out, &format!("{name}.up"), w, 4 * w, 1, true);
                    declare_conv(&mut out, &format!("{name}.down"), 4 * w, w, 1, true);
                }
            }
            _ => {
                declare_conv(&mut out, "input", self.channels, w, 3, true);
                declare_linear(&mut out, "step.0", 128, 128);
                declare_linear(&mut out, "step.1", 128, 128);
                let mut n = w;
                for level in 0..3 {
                    declare_block(&mut out, &format!("down.{level}.0"), n, w << level);
                    declare_block(&mut out, &format!("down.{level}.1"), w << level, w << level);
                    n = w << level;
                    if level < 2 {
                        declare_conv(&mut out, &format!("down.{level}.half"), n, n, 3, true);
                    }
                }
                declare_block(&mut out, "middle", n, n);
                for level in (0..3).rev() {
                    declare_block(&mut out, &format!("up.{level}"), 2 * (w << level), w << level);
                    if level > 0 {
                        declare_conv(&mut out, &format!("up.{level}.double"), w << level, w << (level - 1), 3, true);
                    }
                }
                declare_norm(&mut out, "norm", w);
                declare_conv(&mut out, "output", w, self.channels, 3, true);
            }
        }
        out
    }

    /// Channels of the stem of W4 when the width changes.
    fn scaled(&self, channels: usize) -> usize {
        channels * self.width / 64
    }

    /// The network; the result is `[batch, channels, length]`, or `[batch, 5, 1]` for W4.
    pub fn forward(&self, p: &View, inputs: Inputs, is_training: bool) -> Tensor<3> {
        match self.name.as_str() {
            "W1" | "W2" => self.diffwave(p, inputs),
            "W3" => long_convolutions(p, inputs.x),
            "W4" => resnet(p, inputs.x, is_training),
            "W5" => transformer(p, inputs.x),
            _ => unet(p, inputs),
        }
    }

    fn diffwave(&self, p: &View, inputs: Inputs) -> Tensor<3> {
        let (layers, cycle) = diffwave(&self.name);
        let step = embed(p, inputs.embedding);
        let h = activation::relu(conv(&p.at("input"), inputs.x, 1, 0));
        let mut state = Tensor::cat(vec![h.clone(), h.zeros_like()], 1);
        // As the library's network does: by fours where they are recomputed.
        let part = if p.recomputes() { 4 } else { 1 };
        for first in (0..layers).step_by(part) {
            let part = first..layers.min(first + part);
            let names: Vec<String> = part.clone().map(|layer| format!("layers.{layer}")).collect();
            let shifts = names.iter().map(|name| linear(&p.at(name).at("step"), step.clone())).collect();
            state = recomputed(p, &names, state, shifts, move |p, state, shifts| {
                part.clone().zip(shifts).fold(state, |state, (layer, shift)| {
                    let p = p.at(&format!("layers.{layer}"));
                    let (c, o) = (p.at("conv"), p.at("out"));
                    let dilation = 1 << (layer % cycle);
                    let conv = GateConv { weight: c.get("weight"), bias: c.get("bias"), dilation };
                    let out = GateOut { weight: o.get("weight"), bias: o.get("bias") };
                    gated_residual(state, shift, conv, None, out, Gate::First, p.kept())
                })
            });
        }
        let skip = state.narrow(1, self.width, self.width) * (1.0 / (layers as f64).sqrt());
        conv(&p.at("output"), activation::relu(conv(&p.at("skip"), skip, 1, 0)), 1, 0)
    }
}

fn declare_norm(out: &mut Vec<ParamSpec>, name: &str, channels: usize) {
    declare_constant(out, &format!("{name}.gain"), &[channels], Init::Ones);
    declare_constant(out, &format!("{name}.bias"), &[channels], Init::Zeros);
}

fn declare_block(out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize) {
    declare_norm(out, &format!("{name}.norm1"), n_in);
    declare_conv(out, &format!("{name}.conv1"), n_in, n_out, 3, true);
    declare_linear(out, &format!("{name}.step"), 128, n_out);
    declare_norm(out, &format!("{name}.norm2"), n_out);
    declare_conv(out, &format!("{name}.conv2"), n_out, n_out, 3, true);
    if n_in != n_out {
        declare_conv(out, &format!("{name}.shortcut"), n_in, n_out, 1, true);
    }
}

fn embed(p: &View, embedding: Option<Tensor<2>>) -> Tensor<2> {
    let embedding = embedding.expect("a workload with a step has an embedding among its inputs");
    silu(linear(&p.at("step.1"), silu(linear(&p.at("step.0"), embedding))))
}

fn long_convolutions(p: &View, mut x: Tensor<3>) -> Tensor<3> {
    for layer in 0..4 {
        let p = p.at(&format!("layers.{layer}"));
        let y = gelu(fft_conv(x.clone(), p.get("kernel"), 0));
        x = x + glu(conv(&p.at("mix"), y, 1, 0));
    }
    x
}

fn resnet(p: &View, mut x: Tensor<3>, is_training: bool) -> Tensor<3> {
    let normalize = |p: &View, x: Tensor<3>, added: Option<Tensor<3>>| {
        let affine = Affine { gain: p.get("gain"), bias: p.get("bias") };
        if is_training {
            return batch_norm_act(x, affine, added, Pointwise::Relu, 1e-5).0;
        }
        let channels = x.dims()[1];
        let statistics = ChannelStatistics { mean: vec![0.0; channels], variance: vec![1.0; channels] };
        batch_norm_act_fixed(x, affine, &statistics, added, Pointwise::Relu, 1e-5)
    };
    for (index, [_, _, stride]) in STEM.into_iter().enumerate() {
        let p = p.at(&format!("stem.{index}"));
        x = normalize(&p.at("norm"), conv(&p, x, stride, 2), None);
    }
    for stage in 0..STAGES.len() {
        for block in 0..2 {
            let p = p.at(&format!("stages.{stage}.{block}"));
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let y = normalize(&p.at("0.norm"), conv(&p.at("0"), x.clone(), stride, 2), None);
            let shortcut = if stride == 2 { conv(&p.at("shortcut"), x, stride, 0) } else { x };
            x = normalize(&p.at("1.norm"), conv(&p.at("1"), y, 1, 2), Some(shortcut));
        }
    }
    linear(&p.at("output"), x.mean_dim(2).squeeze_dim(2)).unsqueeze_dim(2)
}

fn transformer(p: &View, mut x: Tensor<3>) -> Tensor<3> {
    for layer in 0..4 {
        let name = format!("layers.{layer}");
        let names = [name.clone()];
        x = recomputed(p, &names, x, Vec::new(), move |p, x, _| transformer_layer(&p.at(&name), x));
    }
    x
}

fn transformer_layer(p: &View, x: Tensor<3>) -> Tensor<3> {
    const HEADS: usize = 4;
    let width = x.dims()[1] / HEADS;
    let norm = |p: View, x: Tensor<3>| layer_norm_act(x, p.get("gain"), p.get("bias"), Pointwise::None, 1e-5);
    let qkv = conv(&p.at("qkv"), norm(p.at("norm1"), x.clone()), 1, 0);
    let x = x + conv(&p.at("out"), attention(qkv, HEADS, width), 1, 0);
    let up = gelu(conv(&p.at("up"), norm(p.at("norm2"), x.clone()), 1, 0));
    x + conv(&p.at("down"), up, 1, 0)
}

fn group_norm(p: &View, x: Tensor<3>) -> Tensor<3> {
    group_norm_act(x, GROUPS, p.get("gain"), p.get("bias"), None, Activation::Silu, 1e-5)
}

fn block(p: &View, x: Tensor<3>, step: &Tensor<2>) -> Tensor<3> {
    let h = conv(&p.at("conv1"), group_norm(&p.at("norm1"), x.clone()), 1, 1);
    let h = h + linear(&p.at("step"), step.clone()).unsqueeze_dim::<3>(2);
    let h = conv(&p.at("conv2"), group_norm(&p.at("norm2"), h), 1, 1);
    let changes = x.dims()[1] != h.dims()[1];
    h + if changes { conv(&p.at("shortcut"), x, 1, 0) } else { x }
}

fn unet(p: &View, inputs: Inputs) -> Tensor<3> {
    let step = embed(p, inputs.embedding);
    let mut x = conv(&p.at("input"), inputs.x, 1, 1);
    let mut skips = Vec::new();
    for level in 0..3 {
        x = block(&p.at(&format!("down.{level}.0")), x, &step);
        x = block(&p.at(&format!("down.{level}.1")), x, &step);
        skips.push(x.clone());
        if level < 2 {
            let p = p.at(&format!("down.{level}.half"));
            let options = Conv1dOptions { stride: 2, padding: 1, dilation: 1 };
            x = conv1d(x, p.get("weight"), Some(p.get("bias")), options);
        }
    }
    x = block(&p.at("middle"), x, &step);
    for (level, skip) in skips.into_iter().enumerate().rev() {
        x = block(&p.at(&format!("up.{level}")), Tensor::cat(vec![x, skip], 1), &step);
        if level > 0 {
            x = conv(&p.at(&format!("up.{level}.double")), upsample_nearest(x, 2), 1, 1);
        }
    }
    conv(&p.at("output"), group_norm(&p.at("norm"), x), 1, 1)
}
