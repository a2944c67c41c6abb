//! Blocks of the encoders and decoders as of the paper: plain convolutions over three rows.

use burn::tensor::activation::leaky_relu;

use super::pass::{Declared, Pass};
use super::planes::{Edge, Planes, conv, double};
use crate::nn::weights::View;

/// Slope of the activation below zero.
pub(in crate::nn) const SLOPE: f64 = 0.01;

/// One entry of an encoder or a decoder.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) enum Block {
    /// Halves the width.
    Down { n_in: usize, n_out: usize },
    /// Two convolutions around which the input is led, and a normalization after both; an encoder has one
    /// between the convolutions as well.
    Residual { width: usize, has_inner_norm: bool },
    /// Doubles the width.
    Up { n_in: usize, n_out: usize },
    /// Doubles the width at the end of a decoder, with nothing after it.
    LastUp { n_in: usize, n_out: usize },
}

impl Block {
    /// Declares the block.
    pub fn declare(&self, out: &mut Declared, name: &str) {
        match *self {
            Block::Down { n_in, n_out } => {
                out.affine(&format!("{name}.block.0"), &[n_out, n_in, 3, 4], Some(n_out));
                out.batch_norm(&format!("{name}.block.1"), n_out);
            }
            Block::Residual { width, has_inner_norm } => {
                out.affine(&format!("{name}.0.convs.1"), &[width, width, 3, 3], Some(width));
                if has_inner_norm {
                    out.batch_norm(&format!("{name}.0.convs.2"), width);
                }
                let second = second_conv(has_inner_norm);
                out.affine(&format!("{name}.0.{second}"), &[width, width, 1, 1], Some(width));
                out.batch_norm(&format!("{name}.1"), width);
            }
            Block::Up { n_in, n_out } => {
                out.affine(&format!("{name}.block.0"), &[n_in, n_out, 3, 4], Some(n_out));
                out.batch_norm(&format!("{name}.block.1"), n_out);
            }
            Block::LastUp { n_in, n_out } => out.affine(name, &[n_in, n_out, 3, 4], Some(n_out)),
        }
    }

    /// The block's output.
    pub(super) fn apply(&self, root: &View, pass: &mut Pass, name: &str, x: Planes) -> Planes {
        let p = root.at(name);
        match *self {
            Block::Down { .. } => {
                let x = conv(&x, p.get("block.0.weight"), p.get("block.0.bias"), 2, Edge::Repeat);
                let y = pass.norm(root, &format!("{name}.block.1"), x.values.clone());
                x.with(leaky_relu(y, SLOPE))
            }
            Block::Residual { has_inner_norm, .. } => {
                let p = p.at("0");
                let y = x.with(leaky_relu(x.values.clone(), SLOPE));
                let y = conv(&y, p.get("convs.1.weight"), p.get("convs.1.bias"), 1, Edge::Zeros);
                let y = match has_inner_norm {
                    true => y.with(pass.norm(root, &format!("{name}.0.convs.2"), y.values.clone())),
                    false => y,
                };
                let y = y.with(leaky_relu(y.values.clone(), SLOPE));
                let second = p.at(second_conv(has_inner_norm));
                let y = conv(&y, second.get("weight"), second.get("bias"), 1, Edge::Zeros);
                x.with(pass.norm(root, &format!("{name}.1"), x.values.clone() + y.values))
            }
            Block::Up { .. } => {
                let x = double(&x, p.get("block.0.weight"), p.get("block.0.bias"));
                let y = pass.norm(root, &format!("{name}.block.1"), x.values.clone());
                x.with(leaky_relu(y, SLOPE))
            }
            Block::LastUp { .. } => double(&x, p.get("weight"), p.get("bias")),
        }
    }
}

/// Name of a residual block's second convolution: an inner normalization moves it by one.
pub(in crate::nn) fn second_conv(has_inner_norm: bool) -> &'static str {
    if has_inner_norm { "convs.4" } else { "convs.3" }
}
