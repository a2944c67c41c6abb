//! Group normalization: one piece of work is one group of one record.

use std::mem::MaybeUninit;

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::cpu::{Real, tensor, values, values_mut};
use super::super::lanes::{Job, Lanes};
use super::super::memory;
use super::affine::{self, Affine, activate, times_slope};

/// The result, and mean and reciprocal standard deviation per record and group.
pub(super) fn forward<T: Real, const SILU: bool>(
    inputs: &[FlexTensor],
    added: Option<&FlexTensor>,
    groups: usize,
    eps: f64,
) -> (FlexTensor, FlexTensor) {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let x = values::<T>(&inputs[0]);
    let added = added.map(values::<T>);
    let affine = Affine::<T>::new(inputs, 1.0);
    let per_group = channels / groups;
    let piece = (per_group * length).max(1);

    let mut statistics = vec![T::ZERO; batch * groups * 2];
    let mut out = memory::fresh(x.len());
    out.par_chunks_mut(piece).zip(x.par_chunks(piece)).zip(statistics.par_chunks_mut(2)).enumerate().for_each(
        |(index, ((out, x), statistics))| {
            let affine = affine.of(index / groups, index % groups * per_group, per_group);
            let added = added.map(|added| &added[index * piece..][..out.len()]);
            T::run(Forward::<T, SILU> { x, out, statistics, affine, added, length, eps });
        },
    );
    // SAFETY: the pieces are all of the memory, and a result is written for each value that is read.
    let out = unsafe { memory::written(out) };
    (tensor(out, &[batch, channels, length]), tensor(statistics, &[batch, groups, 2]))
}

/// Gradients of all inputs, in their order; that of the signal is written over `grad`.
pub(super) fn gradients<T: Real, const SILU: bool>(
    mut grad: FlexTensor,
    inputs: &[FlexTensor],
    statistics: &FlexTensor,
    groups: usize,
) -> Vec<FlexTensor> {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let x = values::<T>(&inputs[0]);
    let statistics = values::<T>(statistics);
    let affine = Affine::<T>::new(inputs, 1.0);
    let per_group = channels / groups;
    let piece = (per_group * length).max(1);

    let mut sums = vec![T::ZERO; batch * channels * 2];
    values_mut::<T>(&mut grad)
        .par_chunks_mut(piece)
        .zip(x.par_chunks(piece))
        .zip(sums.par_chunks_mut(2 * per_group))
        .enumerate()
        .for_each(|(index, ((grad, x), sums))| {
            let affine = affine.of(index / groups, index % groups * per_group, per_group);
            let statistics = (statistics[2 * index], statistics[2 * index + 1]);
            T::run(Gradient::<T, SILU> { x, grad, sums, statistics, affine, length });
        });
    let mut all = vec![grad];
    all.extend(affine::gradients(inputs, &sums, 1.0));
    all
}

/// Sum of the values, or of their squared distances from `mean`, in four interleaved partial sums.
#[inline(always)]
fn sum<T: Real, L: Lanes<T>, const SQUARES: bool>(x: &[T], mean: T) -> f64 {
    let mut partial = [L::splat(T::ZERO); 4];
    let mut at = 0;
    while at + 4 * L::WIDTH <= x.len() {
        for (step, partial) in partial.iter_mut().enumerate() {
            *partial = partial.add(term::<T, L, SQUARES>(&x[at + step * L::WIDTH..], mean));
        }
        at += 4 * L::WIDTH;
    }
    while at < x.len() {
        partial[0] = partial[0].add(term::<T, L, SQUARES>(&x[at..], mean));
        at += L::WIDTH;
    }
    let [a, b, c, d] = partial;
    a.add(b).add(c.add(d)).sum().into_f64()
}

/// The first vector of `x` as a term of [`sum`]; lanes beyond the end are zero.
#[inline(always)]
fn term<T: Real, L: Lanes<T>, const SQUARES: bool>(x: &[T], mean: T) -> L {
    if SQUARES {
        let centered = L::load_or(x, mean).sub(L::splat(mean));
        centered.mul(centered)
    } else {
        L::load_or(x, T::ZERO)
    }
}

struct Forward<'a, T, const SILU: bool> {
    x: &'a [T],
    out: &'a mut [MaybeUninit<T>],
    statistics: &'a mut [T],
    affine: (&'a [T], &'a [T]),
    added: Option<&'a [T]>,
    length: usize,
    eps: f64,
}

impl<T: Real, const SILU: bool> Job<T> for Forward<'_, T, SILU> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Forward { x, out, statistics, affine: (factors, offsets), added, length, eps } = self;
        let count = x.len() as f64;
        let mean = T::from_f64(sum::<T, L, false>(x, T::ZERO) / count);
        let means = L::splat(mean);
        let squares = sum::<T, L, true>(x, mean);
        let inverse = 1.0 / (squares / count + eps).sqrt();
        statistics.copy_from_slice(&[mean, T::from_f64(inverse)]);

        let rows = x.chunks_exact(length).zip(out.chunks_exact_mut(length));
        for (channel, ((x, out), (factor, offset))) in rows.zip(factors.iter().zip(offsets)).enumerate() {
            let factor = L::splat(T::from_f64(factor.into_f64() * inverse));
            let offset = L::splat(*offset);
            let x = x.chunks(L::WIDTH).zip(out.chunks_mut(L::WIDTH));
            // No closure: one that is called twice is not inlined, and then has no vectors.
            match added {
                Some(added) => {
                    for ((x, out), added) in x.zip(added[channel * length..].chunks(L::WIDTH)) {
                        let h = L::load_or(x, T::ZERO).sub(means).mul_add(factor, offset);
                        activate::<T, L, SILU>(h).add(L::load_or(added, T::ZERO)).store_new(out);
                    }
                }
                None => {
                    for (x, out) in x {
                        let h = L::load_or(x, T::ZERO).sub(means).mul_add(factor, offset);
                        activate::<T, L, SILU>(h).store_new(out);
                    }
                }
            }
        }
    }
}

/// Replaces the gradient for the result by that for the signal.
struct Gradient<'a, T, const SILU: bool> {
    x: &'a [T],
    grad: &'a mut [T],
    sums: &'a mut [T],
    statistics: (T, T),
    affine: (&'a [T], &'a [T]),
    length: usize,
}

impl<T: Real, const SILU: bool> Job<T> for Gradient<'_, T, SILU> {
    type Output = ();

    /// With `u` the normalized value, `h = u * factor + offset` and `g` the gradient for `h`, the
    /// gradient for `x` is `inverse * (g * factor - mean(g * factor) - u * mean(g * factor * u))`,
    /// the means over the group.
    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Gradient { x, grad, sums, statistics: (mean, inverse), affine: (factors, offsets), length } = self;
        let means = L::splat(mean);
        let inverse = inverse.into_f64();
        let (mut plain, mut weighted) = (0.0, 0.0);
        let rows = x.chunks_exact(length).zip(grad.chunks_exact_mut(length));
        for (((x, grad), (factor, offset)), sums) in rows.zip(factors.iter().zip(offsets)).zip(sums.chunks_exact_mut(2))
        {
            let scaled = L::splat(T::from_f64(factor.into_f64() * inverse));
            let offset = L::splat(*offset);
            let (mut sum, mut moment) = (L::splat(T::ZERO), L::splat(T::ZERO));
            for (x, grad) in x.chunks(L::WIDTH).zip(grad.chunks_mut(L::WIDTH)) {
                let centered = L::load_or(x, mean).sub(means);
                let h = centered.mul_add(scaled, offset);
                let g = times_slope::<T, L, SILU>(L::load_or(grad, T::ZERO), h);
                sum = sum.add(g);
                moment = g.mul_add(centered, moment);
                g.store(grad);
            }
            let (sum, moment) = (sum.sum().into_f64(), moment.sum().into_f64() * inverse);
            sums.copy_from_slice(&[T::from_f64(sum), T::from_f64(moment)]);
            plain += factor.into_f64() * sum;
            weighted += factor.into_f64() * moment;
        }

        let count = x.len() as f64;
        let slope = L::splat(T::from_f64(-weighted / count * inverse * inverse));
        let level = L::splat(T::from_f64(-plain / count * inverse));
        let rows = x.chunks_exact(length).zip(grad.chunks_exact_mut(length));
        for ((x, grad), factor) in rows.zip(factors) {
            let factor = L::splat(T::from_f64(factor.into_f64() * inverse));
            for (x, grad) in x.chunks(L::WIDTH).zip(grad.chunks_mut(L::WIDTH)) {
                let centered = L::load_or(x, mean).sub(means);
                let g = L::load_or(grad, T::ZERO);
                g.mul_add(factor, centered.mul_add(slope, level)).store(grad);
            }
        }
    }
}
