//! Largest of neighboring samples, with gradient.

use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values};
use super::fused::{self, FusedOp};
use super::memory;

/// Rows (channels of a record) per piece of work.
const ROWS: usize = 64;

/// The largest of every `width` samples: `[batch, channels, length]` becomes
/// `[batch, channels, length / width]`; samples beyond the last whole window are left out.
///
/// The gradient goes to the first of equal samples.
///
/// # Panics
///
/// If a size is 0, or `width` is 0 or larger than the length.
pub fn max_pool(x: Tensor<3>, width: usize) -> Tensor<3> {
    assert!(!x.dims().contains(&0), "max_pool: found shape {:?}, expected no 0", x.dims());
    let length = x.dims()[2];
    assert!((1..=length).contains(&width), "max_pool: found a width of {width}, expected 1 to {length}");
    if !fused::runs_here(&x.device(), &[x.dtype()]) {
        return max_pool_reference(x, width);
    }
    Tensor::from_dispatch(fused::run(MaxPool { width }, vec![x.into_dispatch()]))
}

/// [`max_pool`] by the framework's own operation: the reference for tests, and what devices other than
/// the CPU run.
pub fn max_pool_reference(x: Tensor<3>, width: usize) -> Tensor<3> {
    burn::tensor::module::max_pool1d(x, MaxPoolOptions::new([width]).with_stride([width]))
}

#[derive(Debug)]
struct MaxPool {
    width: usize,
}

impl FusedOp for MaxPool {
    fn forward(&self, inputs: Vec<FlexTensor>, keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => largest::<f64>(&inputs[0], self.width),
            _ => largest::<f32>(&inputs[0], self.width),
        };
        (out, if keep { inputs } else { Vec::new() })
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        vec![wanted[0].then(|| match grad.dtype() {
            DType::F64 => spread::<f64>(&grad, &kept[0], self.width),
            _ => spread::<f32>(&grad, &kept[0], self.width),
        })]
    }
}

/// Place of the first of the largest values.
fn place<T: Real + PartialOrd>(window: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in window.iter().enumerate().skip(1) {
        if *value > window[best] {
            best = index;
        }
    }
    best
}

fn largest<T: Real + PartialOrd>(x: &FlexTensor, width: usize) -> FlexTensor {
    let shape = x.layout().shape();
    let (length, length_out) = (shape[2], shape[2] / width);
    let shape = [shape[0], shape[1], length_out];
    let x = values::<T>(x);
    let pieces = x.par_chunks(ROWS * length);
    let out = memory::in_pieces_beside(shape.iter().product(), ROWS * length_out, pieces, |_, out: &mut [T], x| {
        for (out, x) in out.chunks_exact_mut(length_out).zip(x.chunks_exact(length)) {
            if width == 2 {
                // With the width known, the compiler writes vectors.
                for (out, pair) in out.iter_mut().zip(x.chunks_exact(2)) {
                    *out = if pair[1] > pair[0] { pair[1] } else { pair[0] };
                }
            } else {
                for (out, window) in out.iter_mut().zip(x.chunks_exact(width)) {
                    *out = window[place(window)];
                }
            }
        }
    });
    tensor(out, &shape)
}

fn spread<T: Real + PartialOrd>(grad: &FlexTensor, x: &FlexTensor, width: usize) -> FlexTensor {
    let shape = x.layout().shape();
    let shape = [shape[0], shape[1], shape[2]];
    let (length, length_out) = (shape[2], shape[2] / width);
    let (grad, x) = (values::<T>(grad), values::<T>(x));
    let rows = grad.par_chunks(ROWS * length_out).zip(x.par_chunks(ROWS * length));
    let out = memory::in_pieces_beside(x.len(), ROWS * length, rows, |_, out: &mut [T], (grad, x)| {
        let rows = grad.chunks_exact(length_out).zip(x.chunks_exact(length));
        for (out, (grad, x)) in out.chunks_exact_mut(length).zip(rows) {
            if width == 2 {
                for (out, (grad, pair)) in out.chunks_exact_mut(2).zip(grad.iter().zip(x.chunks_exact(2))) {
                    let second = pair[1] > pair[0];
                    out[0] = if second { T::ZERO } else { *grad };
                    out[1] = if second { *grad } else { T::ZERO };
                }
            } else {
                for (out, (grad, window)) in out.chunks_exact_mut(width).zip(grad.iter().zip(x.chunks_exact(width))) {
                    out[place(window)] = *grad;
                }
            }
        }
    });
    tensor(out, &shape)
}
