//! Group normalization: one piece of work is one group of one record.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::cpu::{Real, tensor, values};
use super::super::lanes::{Job, Lanes};
use super::affine::{self, Affine, activate, times_slope};

/// The result, and mean and reciprocal standard deviation per record and group.
pub(super) fn forward<T: Real, const SILU: bool>(
    inputs: &[FlexTensor],
    groups: usize,
    eps: f64,
) -> (FlexTensor, FlexTensor) {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let x = values::<T>(&inputs[0]);
    let affine = Affine::<T>::new(inputs, 1.0);
    let per_group = channels / groups;
    let piece = (per_group * length).max(1);

    let mut out = vec![T::ZERO; x.len()];
    let mut statistics = vec![T::ZERO; batch * groups * 2];
    out.par_chunks_mut(piece).zip(x.par_chunks(piece)).zip(statistics.par_chunks_mut(2)).enumerate().for_each(
        |(index, ((out, x), statistics))| {
            let affine = affine.of(index / groups, index % groups * per_group, per_group);
            T::run(Forward::<T, SILU> { x, out, statistics, affine, length, eps });
        },
    );
    (tensor(out, &[batch, channels, length]), tensor(statistics, &[batch, groups, 2]))
}

/// Gradients of all inputs, in their order.
pub(super) fn gradients<T: Real, const SILU: bool>(
    grad: &FlexTensor,
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

    let mut out = vec![T::ZERO; x.len()];
    let mut sums = vec![T::ZERO; batch * channels * 2];
    out.par_chunks_mut(piece)
        .zip(x.par_chunks(piece))
        .zip(values::<T>(grad).par_chunks(piece))
        .zip(sums.par_chunks_mut(2 * per_group))
        .enumerate()
        .for_each(|(index, (((out, x), grad), sums))| {
            let affine = affine.of(index / groups, index % groups * per_group, per_group);
            let statistics = (statistics[2 * index], statistics[2 * index + 1]);
            T::run(Gradient::<T, SILU> { x, grad, out, sums, statistics, affine, length });
        });
    let mut all = vec![tensor(out, &[batch, channels, length])];
    all.extend(affine::gradients(inputs, &sums, 1.0));
    all
}

/// Sum of `term` over the vectors of a slice of `len` values, in four interleaved partial sums.
#[inline(always)]
fn sum<T: Real, L: Lanes<T>>(len: usize, term: impl Fn(usize) -> L) -> f64 {
    let mut partial = [L::splat(T::ZERO); 4];
    let mut at = 0;
    while at + 4 * L::WIDTH <= len {
        for (step, partial) in partial.iter_mut().enumerate() {
            *partial = partial.add(term(at + step * L::WIDTH));
        }
        at += 4 * L::WIDTH;
    }
    while at < len {
        partial[0] = partial[0].add(term(at));
        at += L::WIDTH;
    }
    let [a, b, c, d] = partial;
    a.add(b).add(c.add(d)).sum().into_f64()
}

struct Forward<'a, T, const SILU: bool> {
    x: &'a [T],
    out: &'a mut [T],
    statistics: &'a mut [T],
    affine: (&'a [T], &'a [T]),
    length: usize,
    eps: f64,
}

impl<T: Real, const SILU: bool> Job<T> for Forward<'_, T, SILU> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Forward { x, out, statistics, affine: (factors, offsets), length, eps } = self;
        let count = x.len() as f64;
        let mean = T::from_f64(sum::<T, L>(x.len(), |at| L::load_or(&x[at..], T::ZERO)) / count);
        let means = L::splat(mean);
        let squares = sum::<T, L>(x.len(), |at| {
            let centered = L::load_or(&x[at..], mean).sub(means);
            centered.mul(centered)
        });
        let inverse = 1.0 / (squares / count + eps).sqrt();
        statistics.copy_from_slice(&[mean, T::from_f64(inverse)]);

        let rows = x.chunks_exact(length).zip(out.chunks_exact_mut(length));
        for ((x, out), (factor, offset)) in rows.zip(factors.iter().zip(offsets)) {
            let factor = L::splat(T::from_f64(factor.into_f64() * inverse));
            let offset = L::splat(*offset);
            for (x, out) in x.chunks(L::WIDTH).zip(out.chunks_mut(L::WIDTH)) {
                let h = L::load_or(x, T::ZERO).sub(means).mul_add(factor, offset);
                activate::<T, L, SILU>(h).store(out);
            }
        }
    }
}

struct Gradient<'a, T, const SILU: bool> {
    x: &'a [T],
    grad: &'a [T],
    out: &'a mut [T],
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
        let Gradient { x, grad, out, sums, statistics: (mean, inverse), affine: (factors, offsets), length } = self;
        let means = L::splat(mean);
        let inverse = inverse.into_f64();
        let (mut plain, mut weighted) = (0.0, 0.0);
        let rows = x.chunks_exact(length).zip(grad.chunks_exact(length)).zip(out.chunks_exact_mut(length));
        for ((((x, grad), out), (factor, offset)), sums) in
            rows.zip(factors.iter().zip(offsets)).zip(sums.chunks_exact_mut(2))
        {
            let scaled = L::splat(T::from_f64(factor.into_f64() * inverse));
            let offset = L::splat(*offset);
            let (mut sum, mut moment) = (L::splat(T::ZERO), L::splat(T::ZERO));
            for ((x, grad), out) in x.chunks(L::WIDTH).zip(grad.chunks(L::WIDTH)).zip(out.chunks_mut(L::WIDTH)) {
                let centered = L::load_or(x, mean).sub(means);
                let h = centered.mul_add(scaled, offset);
                let g = times_slope::<T, L, SILU>(L::load_or(grad, T::ZERO), h);
                sum = sum.add(g);
                moment = g.mul_add(centered, moment);
                g.store(out);
            }
            let (sum, moment) = (sum.sum().into_f64(), moment.sum().into_f64() * inverse);
            sums.copy_from_slice(&[T::from_f64(sum), T::from_f64(moment)]);
            plain += factor.into_f64() * sum;
            weighted += factor.into_f64() * moment;
        }

        let count = x.len() as f64;
        let slope = L::splat(T::from_f64(-weighted / count * inverse * inverse));
        let level = L::splat(T::from_f64(-plain / count * inverse));
        let rows = x.chunks_exact(length).zip(out.chunks_exact_mut(length));
        for ((x, out), factor) in rows.zip(factors) {
            let factor = L::splat(T::from_f64(factor.into_f64() * inverse));
            for (x, out) in x.chunks(L::WIDTH).zip(out.chunks_mut(L::WIDTH)) {
                let centered = L::load_or(x, mean).sub(means);
                let g = L::load_or(out, T::ZERO);
                g.mul_add(factor, centered.mul_add(slope, level)).store(out);
            }
        }
    }
}
