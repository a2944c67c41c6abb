//! Repetition of samples: the nearest-neighbour way up between levels, with gradient.
//!
//! The way down is a strided convolution (`conv1d`).

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values};
use super::fused::{self, FusedOp};
use super::memory;

/// Samples of the shorter side per piece of work.
const PIECE: usize = 1 << 13;

/// Each sample `factor` times: `[batch, channels, length]` becomes `[batch, channels, length * factor]`.
///
/// # Panics
///
/// If `factor` or a size is 0.
pub fn upsample_nearest(x: Tensor<3>, factor: usize) -> Tensor<3> {
    assert!(!x.dims().contains(&0), "upsample_nearest: found shape {:?}, expected no 0", x.dims());
    assert!(factor > 0, "upsample_nearest: found factor 0, expected at least 1");
    if !fused::runs_here(&x.device(), &[x.dtype()]) {
        return upsample_nearest_reference(x, factor);
    }
    Tensor::from_dispatch(fused::run(Repeat { factor }, vec![x.into_dispatch()]))
}

/// [`upsample_nearest`] by the framework's own operations: the reference for tests, and what
/// devices other than the CPU run.
pub fn upsample_nearest_reference(x: Tensor<3>, factor: usize) -> Tensor<3> {
    let [batch, channels, length] = x.dims();
    x.reshape([batch, channels, length, 1]).repeat_dim(3, factor).reshape([batch, channels, length * factor])
}

#[derive(Debug)]
struct Repeat {
    factor: usize,
}

impl FusedOp for Repeat {
    fn forward(&self, inputs: Vec<FlexTensor>, _keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => repeat::<f64>(&inputs[0], self.factor),
            _ => repeat::<f32>(&inputs[0], self.factor),
        };
        (out, Vec::new())
    }

    fn gradients(&self, grad: FlexTensor, _kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        vec![wanted[0].then(|| match grad.dtype() {
            DType::F64 => merge::<f64>(&grad, self.factor),
            _ => merge::<f32>(&grad, self.factor),
        })]
    }
}

fn repeat<T: Real>(x: &FlexTensor, factor: usize) -> FlexTensor {
    let shape = x.layout().shape();
    let shape = [shape[0], shape[1], shape[2] * factor];
    let x = values::<T>(x);
    let out = memory::in_pieces_beside(x.len() * factor, PIECE * factor, x.par_chunks(PIECE), |_, out, x| {
        if factor == 2 {
            // With the factor known, the compiler writes vectors.
            for (out, value) in out.chunks_exact_mut(2).zip(x) {
                out[0] = *value;
                out[1] = *value;
            }
        } else {
            for (out, value) in out.chunks_exact_mut(factor).zip(x) {
                out.fill(*value);
            }
        }
    });
    tensor(out, &shape)
}

/// Sums of `factor` neighbors.
fn merge<T: Real>(grad: &FlexTensor, factor: usize) -> FlexTensor {
    let shape = grad.layout().shape();
    let shape = [shape[0], shape[1], shape[2] / factor];
    let grad = values::<T>(grad);
    let pieces = grad.par_chunks(PIECE * factor);
    let out = memory::in_pieces_beside(grad.len() / factor, PIECE, pieces, |_, out: &mut [T], grad| {
        if factor == 2 {
            for (out, pair) in out.iter_mut().zip(grad.chunks_exact(2)) {
                *out = pair[0];
                *out += pair[1];
            }
        } else {
            for (out, values) in out.iter_mut().zip(grad.chunks_exact(factor)) {
                for value in values {
                    *out += *value;
                }
            }
        }
    });
    tensor(out, &shape)
}
