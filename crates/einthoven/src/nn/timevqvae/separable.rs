//! Blocks of the encoders and decoders of release 1.0.1: depth-wise separable convolutions with normalized weights,
//! and a periodic activation.

use burn::tensor::Tensor;

use super::pass::{Declared, Pass};
use super::planes::{Edge, Planes, conv, depthwise, double, double_depthwise};
use crate::nn::kernel;
use crate::nn::layer::normed_weight;
use crate::nn::weights::{Init, View, Weights};

/// One entry of an encoder or a decoder.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) enum Block {
    /// Halves the width.
    Down { n_in: usize, n_out: usize },
    /// Two convolutions around which the input is led.
    Residual { n_in: usize, n_out: usize },
    /// Doubles the width.
    Up { n_in: usize, n_out: usize },
    /// Doubles the width at the end of a decoder, with nothing after it.
    LastUp { n_in: usize, n_out: usize, is_depthwise: bool },
}

impl Block {
    /// Declares the block; its kernels reach over `rows` rows.
    pub fn declare(&self, out: &mut Declared, name: &str, rows: usize) {
        let snake = |out: &mut Declared, at: &str, channels: usize| {
            // Moved into its range by `start_frequencies`.
            out.param(format!("{name}.{at}.a"), &[1, channels, 1, 1], Init::Uniform(FREQUENCY_SPREAD));
        };
        match *self {
            Block::Down { n_in, n_out } => {
                out.normed(&format!("{name}.block.0"), &[n_in, 1, rows, 4], Some(n_in));
                out.normed(&format!("{name}.block.1"), &[n_out, n_in, 1, 1], Some(n_out));
                out.batch_norm(&format!("{name}.block.2"), n_out);
                snake(out, "block.3", n_out);
            }
            Block::Residual { n_in, n_out } => {
                snake(out, "convs.0", n_in);
                out.normed(&format!("{name}.convs.1"), &[n_in, 1, rows, 3], Some(n_in));
                out.normed(&format!("{name}.convs.2"), &[n_out, n_in, 1, 1], Some(n_out));
                out.batch_norm(&format!("{name}.convs.3"), n_out);
                snake(out, "convs.4", n_out);
                out.normed(&format!("{name}.convs.5"), &[n_out, 1, rows, 3], Some(n_out));
                out.normed(&format!("{name}.convs.6"), &[n_out, n_out, 1, 1], Some(n_out));
                if n_in != n_out {
                    out.affine(&format!("{name}.proj"), &[n_out, n_in, 1, 1], Some(n_out));
                }
            }
            Block::Up { n_in, n_out } => {
                out.normed(&format!("{name}.block.0"), &[n_in, 1, rows, 4], Some(n_in));
                out.normed(&format!("{name}.block.1"), &[n_in, n_out, 1, 1], Some(n_out));
                out.batch_norm(&format!("{name}.block.2"), n_out);
                snake(out, "block.3", n_out);
            }
            Block::LastUp { n_in, n_out, is_depthwise } => {
                let seen = if is_depthwise { 1 } else { n_in };
                out.affine(&format!("{name}.0"), &[n_in, seen, rows, 4], Some(n_in));
                out.affine(&format!("{name}.1"), &[n_in, n_out, 1, 1], Some(n_out));
            }
        }
    }

    /// The block's output.
    pub(super) fn apply(&self, root: &View, pass: &mut Pass, name: &str, x: Planes) -> Planes {
        let p = root.at(name);
        match *self {
            Block::Down { .. } => {
                let p = p.at("block");
                let x = depthwise(&x, normed_weight(&p.at("0")), p.get("0.bias"), 2, Edge::Repeat);
                let x = conv(&x, normed_weight(&p.at("1")), p.get("1.bias"), 1, Edge::Zeros);
                let y = pass.norm(root, &format!("{name}.block.2"), x.values.clone());
                x.with(snake(&p.at("3"), y))
            }
            Block::Residual { n_in, n_out } => {
                let around = if n_in == n_out {
                    x.clone()
                } else {
                    conv(&x, p.get("proj.weight"), p.get("proj.bias"), 1, Edge::Zeros)
                };
                let p = p.at("convs");
                let x = x.with(snake(&p.at("0"), x.values.clone()));
                let x = depthwise(&x, normed_weight(&p.at("1")), p.get("1.bias"), 1, Edge::Zeros);
                let x = conv(&x, normed_weight(&p.at("2")), p.get("2.bias"), 1, Edge::Zeros);
                let y = pass.norm(root, &format!("{name}.convs.3"), x.values.clone());
                let x = x.with(snake(&p.at("4"), y));
                let x = depthwise(&x, normed_weight(&p.at("5")), p.get("5.bias"), 1, Edge::Zeros);
                let x = conv(&x, normed_weight(&p.at("6")), p.get("6.bias"), 1, Edge::Zeros);
                x.with(around.values + pass.hide(x.values.clone()))
            }
            Block::Up { .. } => {
                let p = p.at("block");
                let x = double_depthwise(&x, normed_weight(&p.at("0")), p.get("0.bias"));
                let x = mix(&x, normed_weight(&p.at("1")), p.get("1.bias"));
                let y = pass.norm(root, &format!("{name}.block.2"), x.values.clone());
                x.with(snake(&p.at("3"), y))
            }
            Block::LastUp { is_depthwise, .. } => {
                let (weight, bias) = (p.get("0.weight"), p.get("0.bias"));
                let x = if is_depthwise { double_depthwise(&x, weight, bias) } else { double(&x, weight, bias) };
                mix(&x, p.get("1.weight"), p.get("1.bias"))
            }
        }
    }
}

/// A transposed convolution of one row and one tap, `weight` `[n_in, n_out, 1, 1]`.
fn mix(x: &Planes, weight: Tensor<4>, bias: Tensor<1>) -> Planes {
    conv(x, weight.swap_dims(0, 1), bias, 1, Edge::Zeros)
}

/// The activation with the frequencies under `p`.
fn snake(p: &View, x: Tensor<3>) -> Tensor<3> {
    kernel::snake(x, p.get::<4>("a").flatten(0, 3))
}

/// Where the frequencies start: 0.2 to 0.5.
const FREQUENCY_CENTER: f32 = 0.35;
const FREQUENCY_SPREAD: f64 = 0.15;

/// Moves the drawn frequencies of [`snake`] to where they start.
pub(super) fn start_frequencies(weights: &mut Weights) {
    for (name, weight) in &mut weights.entries {
        if name.ends_with(".a") {
            weight.values.iter_mut().for_each(|value| *value += FREQUENCY_CENTER);
        }
    }
}
