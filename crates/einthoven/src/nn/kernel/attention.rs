//! Softmax attention for short sequences and small heads.
//!
//! One piece of work is one head of one record. It goes through the queries in blocks, so that the
//! weights of a block stay in the cache; they are stored with the queries side by side, which makes
//! the softmax, the scores and the result run over whole vectors. The gradient computes the
//! weights again instead of storing them.

use burn::tensor::{Tensor, activation};

use super::cpu::{Real, View};
use super::fused;
use super::heads::{HeadWork, Heads, OnHeads};
use super::lanes::{Job, Lanes};
use super::softmax;
use super::tile::{LINE, Scratch, Turn, multiply, pad_rows, pitch};

/// Queries per block, a multiple of the line. Fixed, so that sums do not depend on the batch.
const BLOCK: usize = 64;

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
    fn forward<T: Real>(heads: Heads, qkv: [&[T]; 3], out: &mut [T], scratch: &mut Scratch<T>) {
        T::run(Forward { heads, qkv, out, scratch });
    }

    fn backward<T: Real>(heads: Heads, qkv: [&[T]; 3], grad: &[T], out: [&mut [T]; 3], scratch: &mut Scratch<T>) {
        T::run(Gradient { heads, qkv, grad, out, scratch });
    }
}

/// Copies the queries into padded rows, divided by the root of the width.
#[inline(always)]
fn scale_queries<T: Real>(heads: Heads, q: &[T], to: &mut [T], pitch: usize) {
    pad_rows(q, heads.length, to, pitch);
    let factor = T::from_f64((heads.width as f64).powf(-0.5));
    for value in to {
        *value = *value * factor;
    }
}

/// `weights[j][i]` = softmax over the keys `j` of their products with query `first + i`.
#[inline(always)]
fn weigh<T: Real, L: Lanes<T>>(
    heads: Heads,
    q: (&[T], usize),
    k: &[T],
    first: usize,
    padded: usize,
    weights: &mut [T],
) {
    let Heads { width, length, .. } = heads;
    let (q, pitch) = q;
    let key = View { offset: 0, rows: 1, columns: length };
    multiply::<T, L, false>([length, padded, width], (weights, BLOCK), (k, key), (q, |d| d * pitch + first));
    softmax::columns::<T, L>(weights, BLOCK, padded, T::ONE);
}

/// Weights with the queries side by side, turned so that the keys are.
#[inline(always)]
fn turn<T: Real, L: Lanes<T>>(weights: &[T], queries: usize, to: &mut [T], pitch: usize) {
    Turn { from: weights, pitch: BLOCK, length: queries, levels: &[], to, width: pitch }.run::<L>();
}

struct Forward<'a, T> {
    heads: Heads,
    qkv: [&'a [T]; 3],
    out: &'a mut [T],
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> Job<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Heads { width, length, .. } = self.heads;
        let pitch = pitch(length);
        let [q, weights] = self.scratch.split([width * pitch, length * BLOCK]);
        let [from, k, v] = self.qkv;
        scale_queries(self.heads, from, q, pitch);
        let value = View { offset: 0, rows: length, columns: 1 };
        for first in (0..length).step_by(BLOCK) {
            let count = BLOCK.min(length - first);
            weigh::<T, L>(self.heads, (q, pitch), k, first, count.next_multiple_of(LINE), weights);
            multiply::<T, L, false>(
                [width, count, length],
                (&mut self.out[first..], length),
                (v, value),
                (weights, |j| j * BLOCK),
            );
        }
    }
}

struct Gradient<'a, T> {
    heads: Heads,
    qkv: [&'a [T]; 3],
    grad: &'a [T],
    out: [&'a mut [T]; 3],
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> Job<T> for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Heads { width, length, .. } = self.heads;
        let pitch = pitch(length);
        let size = length * BLOCK;
        let [q, grad, weights, slopes, turned] =
            self.scratch.split([width * pitch, width * pitch, size, size, BLOCK * pitch]);
        let [from, k, v] = self.qkv;
        scale_queries(self.heads, from, q, pitch);
        pad_rows(self.grad, length, grad, pitch);
        let [for_q, for_k, for_v] = self.out;
        let factor = T::from_f64((width as f64).powf(-0.5));
        let by_row = View { offset: 0, rows: length, columns: 1 };
        let by_column = View { offset: 0, rows: 1, columns: length };
        for first in (0..length).step_by(BLOCK) {
            let count = BLOCK.min(length - first);
            let padded = count.next_multiple_of(LINE);
            weigh::<T, L>(self.heads, (q, pitch), k, first, padded, weights);
            // Sums over the queries go along the keys: a sum across a vector for each result would cost more.
            let sizes = [width, length, count];
            let queries = View { offset: first, rows: pitch, columns: 1 };
            turn::<T, L>(weights, count, turned, pitch);
            multiply::<T, L, true>(sizes, (for_v, length), (grad, queries), (turned, |i| i * pitch));
            let block = |e| e * pitch + first;
            multiply::<T, L, false>([length, padded, width], (slopes, BLOCK), (v, by_column), (grad, block));
            softmax::columns_gradient::<T, L>(weights, slopes, BLOCK, padded, T::ONE);
            turn::<T, L>(slopes, count, turned, pitch);
            multiply::<T, L, true>(sizes, (for_k, length), (q, queries), (turned, |i| i * pitch));
            let out = &mut for_q[first..];
            multiply::<T, L, false>([width, count, length], (out, length), (k, by_row), (slopes, |j| j * BLOCK));
        }
        for value in for_q {
            *value = *value * factor;
        }
    }
}
