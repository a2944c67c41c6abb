//! The pass forward, with the softmax carried on from keys to keys.

use super::super::cpu::{Real, View};
use super::super::heads::{Forward, Heads};
use super::super::lanes::Lanes;
use super::super::tile::{LINE, multiply, pad_rows, pitch};
use super::{KEYS, QUERIES};

/// Result, and of each query the largest score, then of each the inverse of the sum of the powers.
#[inline(always)]
pub(super) fn run<T: Real, L: Lanes<T>>(head: Forward<T>) {
    let Forward { heads, qkv: [from, k, v], out: result, statistics, scratch } = head;
    let Heads { width, length, .. } = heads;
    let pitch = pitch(length);
    let [q, weights, sums, largest, total] =
        scratch.split([width * pitch, KEYS * QUERIES, width * QUERIES, QUERIES, QUERIES]);
    pad_rows(from, length, q, pitch);
    let factor = heads.factor();
    q.iter_mut().for_each(|value| *value = *value * factor);
    let (all_largest, all_inverse) = statistics.split_at_mut(length);
    for first in (0..length).step_by(QUERIES) {
        let count = QUERIES.min(length - first);
        let padded = count.next_multiple_of(LINE);
        for key in (0..length).step_by(KEYS) {
            let keys = KEYS.min(length - key);
            let by_key = View { offset: key, rows: 1, columns: length };
            let queries = |d| d * pitch + first;
            multiply::<T, L, false>([keys, padded, width], (weights, QUERIES), (k, by_key), (q, queries));
            let weights = &mut weights[..keys * QUERIES];
            for at in (0..padded).step_by(L::WIDTH) {
                carry_on::<T, L>(weights, sums, [&mut largest[at..], &mut total[at..]], at, key == 0);
            }
            let by_value = View { offset: key, rows: length, columns: 1 };
            let (sizes, powers) = ([width, padded, keys], |j| j * QUERIES);
            if key == 0 {
                multiply::<T, L, false>(sizes, (sums, QUERIES), (v, by_value), (weights, powers));
            } else {
                multiply::<T, L, true>(sizes, (sums, QUERIES), (v, by_value), (weights, powers));
            }
        }
        for at in (0..count).step_by(L::WIDTH) {
            let room = (count - at).min(L::WIDTH);
            let inverse = L::splat(T::ONE).div(L::load_or(&total[at..], T::ONE));
            inverse.store(&mut all_inverse[first + at..][..room]);
            L::load_or(&largest[at..], T::ZERO).store(&mut all_largest[first + at..][..room]);
            for (sums, out) in sums.chunks_exact(QUERIES).zip(result.chunks_exact_mut(length)) {
                L::load_or(&sums[at..], T::ZERO).mul(inverse).store(&mut out[first + at..][..room]);
            }
        }
    }
}

/// Turns the scores of more keys into powers, for the queries of one vector; what was summed for the keys before is
/// brought to the new largest score.
///
/// # Reference
/// Milakov and Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3.
#[inline(always)]
fn carry_on<T: Real, L: Lanes<T>>(
    weights: &mut [T],
    sums: &mut [T],
    [largest, total]: [&mut [T]; 2],
    at: usize,
    begins: bool,
) {
    let mut most = L::load_or(&weights[at..], T::ZERO);
    for row in weights.chunks_exact(QUERIES).skip(1) {
        most = most.max(L::load_or(&row[at..], T::ZERO));
    }
    let mut sum = L::splat(T::ZERO);
    if !begins {
        let before = L::load_or(largest, T::ZERO);
        most = most.max(before);
        let shrunk = before.sub(most).exp();
        sum = L::load_or(total, T::ZERO).mul(shrunk);
        for row in sums.chunks_exact_mut(QUERIES) {
            L::load_or(&row[at..], T::ZERO).mul(shrunk).store(&mut row[at..]);
        }
    }
    for row in weights.chunks_exact_mut(QUERIES) {
        let power = L::load_or(&row[at..], T::ZERO).sub(most).exp();
        sum = sum.add(power);
        power.store(&mut row[at..]);
    }
    most.store(largest);
    sum.store(total);
}
