//! Linear attention over time, whose cost grows with the length and not with its square.
//!
//! One piece of work is one head of one record: its queries, keys and values stay in the cache
//! from the softmax to the result, and the gradient computes them again instead of storing them.

use burn::tensor::{Tensor, activation};

use super::cpu::{Real, View};
use super::fused;
use super::heads::{Backward, Forward, HeadWork, Heads, OnHeads};
use super::lanes::Lanes;
use super::softmax;
use super::tile::{LINE, dots, multiply, pad_rows, pitch};

/// Linear attention: softmax of the queries over their channels, of the keys over time.
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
/// Shen et al. 2021, "Efficient attention", eq. 3, with queries divided by the root of the width.
pub fn linear_attention(qkv: Tensor<3>, heads: usize, head_width: usize) -> Tensor<3> {
    let heads = Heads::new("linear_attention", qkv.dims(), heads, head_width);
    if !fused::runs_here(&qkv.device(), &[qkv.dtype()]) {
        return reference(qkv, heads);
    }
    Tensor::from_dispatch(fused::run(OnHeads(heads, LinearAttention), vec![qkv.into_dispatch()]))
}

/// [`linear_attention`] by the framework's own operations: the reference for tests, and what
/// devices other than the CPU run.
pub fn linear_attention_reference(qkv: Tensor<3>, heads: usize, head_width: usize) -> Tensor<3> {
    let heads = Heads::new("linear_attention", qkv.dims(), heads, head_width);
    reference(qkv, heads)
}

fn reference(qkv: Tensor<3>, heads: Heads) -> Tensor<3> {
    let [q, k, v] = heads.split(&qkv);
    let q = activation::softmax(q, 1) * (heads.width as f64).powf(-0.5);
    let k = activation::softmax(k, 2);
    // context[d, e] = sum over time of k[d] v[e]
    let context = k.matmul(v.transpose());
    context.transpose().matmul(q).reshape([heads.batch, heads.heads * heads.width, heads.length])
}

#[derive(Debug)]
struct LinearAttention;

impl HeadWork for LinearAttention {
    const STATISTICS: usize = 0;

    #[inline(always)]
    fn forward<T: Real, L: Lanes<T>>(head: Forward<T>) {
        let Forward { heads, qkv: [from_q, from_k, from_v], out, scratch, .. } = head;
        let Heads { width, length, .. } = heads;
        let pitch = pitch(length);
        let size = width * pitch;
        let [q, k, v, context] = scratch.split([size, size, size, (width * width).next_multiple_of(LINE)]);
        pad_rows(from_q, length, q, pitch);
        pad_rows(from_k, length, k, pitch);
        weigh::<T, L>(heads, q, k, pitch);
        // Values are only read: in place, where rows are whole lines.
        let values = if length.is_multiple_of(LINE) {
            (from_v, length)
        } else {
            pad_rows(from_v, length, v, pitch);
            (&*v, pitch)
        };
        // context[e, d]
        let square = View { offset: 0, rows: width, columns: 1 };
        dots::<T, L, false>([width, width, length], (context, square), values, (k, pitch));
        multiply::<T, L, false>([width, length, width], (out, length), (context, square), (q, |d| d * pitch));
    }

    #[inline(always)]
    fn backward<T: Real, L: Lanes<T>>(head: Backward<T>) {
        let Backward { heads, qkv, grad: from_grad, out: [for_q, for_k, for_v], scratch, .. } = head;
        let Heads { width, length, .. } = heads;
        let pitch = pitch(length);
        let (size, square) = (width * pitch, (width * width).next_multiple_of(LINE));
        let padded = length.next_multiple_of(LINE);
        let [q, k, v, grad, part, context, slope] = scratch.split([size, size, size, size, size, square, square]);
        for (from, to) in qkv.into_iter().zip([&mut *q, &mut *k, &mut *v]) {
            pad_rows(from, length, to, pitch);
        }
        pad_rows(from_grad, length, grad, pitch);
        weigh::<T, L>(heads, q, k, pitch);

        // context[e, d], and the gradient for it.
        let by_value = View { offset: 0, rows: width, columns: 1 };
        let by_key = View { offset: 0, rows: 1, columns: width };
        dots::<T, L, false>([width, width, length], (context, by_value), (v, pitch), (k, pitch));
        dots::<T, L, false>([width, width, length], (slope, by_value), (grad, pitch), (q, pitch));

        multiply::<T, L, false>([width, length, width], (for_v, length), (slope, by_value), (k, |d| d * pitch));
        multiply::<T, L, false>([width, padded, width], (part, pitch), (slope, by_key), (v, |e| e * pitch));
        for ((k, part), out) in
            k.chunks_exact(pitch).zip(part.chunks_exact_mut(pitch)).zip(for_k.chunks_exact_mut(length))
        {
            softmax::row_gradient::<T, L>(k, part, length);
            out.copy_from_slice(&part[..length]);
        }
        multiply::<T, L, false>([width, padded, width], (part, pitch), (context, by_key), (grad, |e| e * pitch));
        softmax::columns_gradient::<T, L>(q, part, pitch, padded, heads.factor());
        for (part, out) in part.chunks_exact(pitch).zip(for_q.chunks_exact_mut(length)) {
            out.copy_from_slice(&part[..length]);
        }
    }
}

/// Softmax of the padded queries over their channels, with their factor, and of the keys over time.
#[inline(always)]
fn weigh<T: Real, L: Lanes<T>>(heads: Heads, q: &mut [T], k: &mut [T], pitch: usize) {
    softmax::columns::<T, L>(q, pitch, heads.length.next_multiple_of(LINE), heads.factor());
    for row in k.chunks_exact_mut(pitch) {
        softmax::row::<T, L>(row, heads.length);
    }
}
