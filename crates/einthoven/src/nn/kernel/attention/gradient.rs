//! The pass backward, which computes the weights again from the statistics of the pass forward.

use super::super::cpu::{Real, View};
use super::super::heads::{Backward, Heads};
use super::super::lanes::{Job, Lanes};
use super::super::tile::{LINE, Turn, multiply, pad_rows, pitch};
use super::{KEYS, QUERIES};

/// Gradients for queries, keys and values.
#[inline(always)]
pub(super) fn run<T: Real, L: Lanes<T>>(head: Backward<T>) {
    let Backward { heads, qkv: [from, k, v], result, statistics, grad, out: [for_q, for_k, for_v], scratch } = head;
    let Heads { width, length, .. } = heads;
    let pitch = pitch(length);
    let (size, block) = (width * pitch, QUERIES * KEYS);
    let [q, padded_k, padded_v, weights, slopes, turned] = scratch.split([size, size, size, block, block, block]);
    let factor = heads.factor();
    for (to, from) in q.iter_mut().zip(from) {
        *to = *from * factor;
    }
    pad_rows(k, length, padded_k, pitch);
    pad_rows(v, length, padded_v, pitch);
    let (largest, inverse) = statistics.split_at(length);
    let mut means = [T::ZERO; QUERIES];
    for first in (0..length).step_by(QUERIES) {
        let count = QUERIES.min(length - first);
        // The weighted mean of a query's slopes is the product of its result and the gradient for it.
        means.fill(T::ZERO);
        for (grad, out) in grad.chunks_exact(length).zip(result.chunks_exact(length)) {
            for (mean, (grad, out)) in means.iter_mut().zip(grad[first..].iter().zip(&out[first..])) {
                *mean += *grad * *out;
            }
        }
        let by_query = View { offset: first, rows: 1, columns: length };
        let by_channel = View { offset: first, rows: length, columns: 1 };
        for key in (0..length).step_by(KEYS) {
            let keys = KEYS.min(length - key);
            let padded = keys.next_multiple_of(LINE);
            let (row, channel) = (|i| i * KEYS, |d| d * pitch + key);
            let (by_row, by_sum) = ([count, padded, width], [width, keys, count]);
            multiply::<T, L, false>(by_row, (weights, KEYS), (q, by_query), (padded_k, channel));
            multiply::<T, L, false>(by_row, (slopes, KEYS), (grad, by_query), (padded_v, channel));
            for i in 0..count {
                let [largest, inverse, mean] =
                    [largest[first + i], inverse[first + i], means[i]].map(|value| L::splat(value));
                let rows = weights[row(i)..][..padded].chunks_exact_mut(L::WIDTH);
                for (weight, slope) in rows.zip(slopes[row(i)..].chunks_exact_mut(L::WIDTH)) {
                    let power = L::load_or(weight, T::ZERO).sub(largest).exp().mul(inverse);
                    power.store(weight);
                    power.mul(L::load_or(slope, T::ZERO).sub(mean)).store(slope);
                }
            }
            multiply::<T, L, true>(by_sum, (&mut for_v[key..], length), (grad, by_channel), (weights, row));
            multiply::<T, L, true>(by_sum, (&mut for_k[key..], length), (q, by_channel), (slopes, row));
            let from = &slopes[..count * KEYS];
            Turn { from, pitch: KEYS, length: keys, levels: &[], to: turned, width: QUERIES }.run::<L>();
            let by_key = View { offset: key, rows: length, columns: 1 };
            let (out, across) = (&mut for_q[first..], |j| j * QUERIES);
            multiply::<T, L, true>([width, count, keys], (out, length), (k, by_key), (turned, across));
        }
    }
    for value in for_q {
        *value = *value * factor;
    }
}
