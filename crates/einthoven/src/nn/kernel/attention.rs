//! Softmax attention for short sequences and small heads.
//!
//! One piece of work is one head of one record. It goes through queries and keys in blocks, so that the weights of a
//! block stay in the nearest cache; the softmax is carried on from keys to keys. The gradient computes the weights again,
//! from two numbers that are kept of each query.

mod forward;
mod gradient;

use burn::tensor::{Tensor, activation};

use super::cpu::Real;
use super::fused;
use super::heads::{Backward, Forward, HeadWork, Heads, OnHeads};
use super::lanes::Lanes;

/// Queries and keys per block, multiples of the line. Fixed, so that sums do not depend on the batch.
const QUERIES: usize = 64;
const KEYS: usize = 128;

/// Softmax attention over time.
///
/// `qkv` is `[batch, 3 * heads * head_width, length]`, queries first; the result is
/// `[batch, heads * head_width, length]`.
///
/// # Panics
///
/// If the channels do not fit or the tensor is empty.
///
/// # Reference
///
/// Vaswani et al. 2017, eq. 1.
pub fn attention(qkv: Tensor<3>, heads: usize, head_width: usize) -> Tensor<3> {
    let heads = Heads::new("attention", qkv.dims(), heads, head_width);
    if !fused::runs_here(&qkv.device(), &[qkv.dtype()]) {
        return reference(qkv, heads);
    }
    Tensor::from_dispatch(fused::run(OnHeads(heads, Attention), vec![qkv.into_dispatch()]))
}

/// [`attention`] by the framework's own operations: the reference for tests, and what devices other
/// than the CPU run.
pub fn attention_reference(qkv: Tensor<3>, heads: usize, head_width: usize) -> Tensor<3> {
    let heads = Heads::new("attention", qkv.dims(), heads, head_width);
    reference(qkv, heads)
}

fn reference(qkv: Tensor<3>, heads: Heads) -> Tensor<3> {
    let [q, k, v] = heads.split(&qkv);
    let q = q * (heads.width as f64).powf(-0.5);
    let weights = activation::softmax(q.transpose().matmul(k), 2);
    // out[e, i] = sum over j of weights[i, j] v[e, j]
    v.matmul(weights.transpose()).reshape([heads.batch, heads.heads * heads.width, heads.length])
}

#[derive(Debug)]
struct Attention;

impl HeadWork for Attention {
    /// The largest score of each query, and the inverse of the sum of its powers.
    const STATISTICS: usize = 2;

    #[inline(always)]
    fn forward<T: Real, L: Lanes<T>>(head: Forward<T>) {
        forward::run::<T, L>(head);
    }

    #[inline(always)]
    fn backward<T: Real, L: Lanes<T>>(head: Backward<T>) {
        gradient::run::<T, L>(head);
    }
}
