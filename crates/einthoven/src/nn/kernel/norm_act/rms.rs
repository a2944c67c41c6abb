//! Normalization by the root mean square over channels: one piece of work is one record.

use std::mem::MaybeUninit;

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::cpu::{Real, tensor, values, values_mut};
use super::super::lanes::{Job, Lanes};
use super::super::memory;
use super::affine::{self, Affine, activate, times_slope};

/// The result, and the reciprocal norm per record and sample.
pub(super) fn forward<T: Real, const SILU: bool>(
    inputs: &[FlexTensor],
    added: Option<&FlexTensor>,
    eps: f64,
) -> (FlexTensor, FlexTensor) {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let x = values::<T>(&inputs[0]);
    let added = added.map(values::<T>);
    let affine = Affine::<T>::new(inputs, (channels as f64).sqrt());
    let piece = (channels * length).max(1);

    let mut inverse = vec![T::ZERO; batch * length];
    let mut out = memory::fresh(x.len());
    out.par_chunks_mut(piece).zip(x.par_chunks(piece)).zip(inverse.par_chunks_mut(length.max(1))).enumerate().for_each(
        |(record, ((out, x), inverse))| {
            let affine = affine.of(record, 0, channels);
            let added = added.map(|added| &added[record * piece..][..out.len()]);
            T::run(Forward::<T, SILU> { x, out, inverse, affine, added, eps });
        },
    );
    // SAFETY: the pieces are all of the memory, and a result is written for each value that is read.
    let out = unsafe { memory::written(out) };
    (tensor(out, &[batch, channels, length]), tensor(inverse, &[batch, length]))
}

/// Gradients of all inputs, in their order; that of the signal is written over `grad`.
pub(super) fn gradients<T: Real, const SILU: bool>(
    mut grad: FlexTensor,
    inputs: &[FlexTensor],
    statistics: &FlexTensor,
    eps: f64,
) -> Vec<FlexTensor> {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let x = values::<T>(&inputs[0]);
    let unit = (channels as f64).sqrt();
    let affine = Affine::<T>::new(inputs, unit);
    let piece = (channels * length).max(1);
    // At the least norm the divisor is constant, so its gradient is left out. Rounded as in `Forward`.
    let largest = T::from_f64(1.0 / T::from_f64(eps).into_f64());

    let mut sums = vec![T::ZERO; batch * channels * 2];
    values_mut::<T>(&mut grad)
        .par_chunks_mut(piece)
        .zip(x.par_chunks(piece))
        .zip(values::<T>(statistics).par_chunks(length.max(1)))
        .zip(sums.par_chunks_mut(2 * channels))
        .enumerate()
        .for_each(|(record, (((grad, x), inverse), sums))| {
            let affine = affine.of(record, 0, channels);
            let mut moment = vec![T::ZERO; length];
            T::run(Gradient::<T, SILU> { x, grad: &mut *grad, sums, inverse, moment: &mut moment, affine });
            for (moment, inverse) in moment.iter_mut().zip(inverse) {
                if inverse.into_f64() >= largest.into_f64() {
                    *moment = T::ZERO;
                }
            }
            T::run(Finish { x, grad, inverse, moment: &moment, factors: affine.0 });
        });
    let mut all = vec![grad];
    all.extend(affine::gradients(inputs, &sums, unit));
    all
}

struct Forward<'a, T, const SILU: bool> {
    x: &'a [T],
    out: &'a mut [MaybeUninit<T>],
    inverse: &'a mut [T],
    affine: (&'a [T], &'a [T]),
    added: Option<&'a [T]>,
    eps: f64,
}

impl<T: Real, const SILU: bool> Job<T> for Forward<'_, T, SILU> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Forward { x, out, inverse, affine: (factors, offsets), added, eps } = self;
        let length = inverse.len();
        for x in x.chunks_exact(length) {
            for (x, squares) in x.chunks(L::WIDTH).zip(inverse.chunks_mut(L::WIDTH)) {
                let x = L::load_or(x, T::ZERO);
                x.mul_add(x, L::load_or(squares, T::ZERO)).store(squares);
            }
        }
        let (one, eps) = (L::splat(T::ONE), L::splat(T::from_f64(eps)));
        for inverse in inverse.chunks_mut(L::WIDTH) {
            one.div(eps.max(L::load_or(inverse, T::ONE).sqrt())).store(inverse);
        }
        let rows = x.chunks_exact(length).zip(out.chunks_exact_mut(length));
        for (channel, ((x, out), (factor, offset))) in rows.zip(factors.iter().zip(offsets)).enumerate() {
            let (factor, offset) = (L::splat(*factor), L::splat(*offset));
            let x = x.chunks(L::WIDTH).zip(inverse.chunks(L::WIDTH)).zip(out.chunks_mut(L::WIDTH));
            match added {
                Some(added) => {
                    for (((x, inverse), out), added) in x.zip(added[channel * length..].chunks(L::WIDTH)) {
                        let unit = L::load_or(x, T::ZERO).mul(L::load_or(inverse, T::ZERO));
                        let y = activate::<T, L, SILU>(unit.mul_add(factor, offset));
                        y.add(L::load_or(added, T::ZERO)).store_new(out);
                    }
                }
                None => {
                    for ((x, inverse), out) in x {
                        let unit = L::load_or(x, T::ZERO).mul(L::load_or(inverse, T::ZERO));
                        activate::<T, L, SILU>(unit.mul_add(factor, offset)).store_new(out);
                    }
                }
            }
        }
    }
}

/// Leaves the gradient before the activation in `grad`, its sums per channel in `sums`, and the sum
/// over channels of gradient times unit vector in `moment`.
struct Gradient<'a, T, const SILU: bool> {
    x: &'a [T],
    grad: &'a mut [T],
    sums: &'a mut [T],
    inverse: &'a [T],
    moment: &'a mut [T],
    affine: (&'a [T], &'a [T]),
}

impl<T: Real, const SILU: bool> Job<T> for Gradient<'_, T, SILU> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Gradient { x, grad, sums, inverse, moment, affine: (factors, offsets) } = self;
        let length = inverse.len();
        let rows = x.chunks_exact(length).zip(grad.chunks_exact_mut(length));
        for (((x, grad), (factor, offset)), sums) in rows.zip(factors.iter().zip(offsets)).zip(sums.chunks_exact_mut(2))
        {
            let (factor, offset) = (L::splat(*factor), L::splat(*offset));
            let (mut sum, mut weighted) = (L::splat(T::ZERO), L::splat(T::ZERO));
            let given = x.chunks(L::WIDTH).zip(inverse.chunks(L::WIDTH));
            for ((x, inverse), (grad, moment)) in given.zip(grad.chunks_mut(L::WIDTH).zip(moment.chunks_mut(L::WIDTH)))
            {
                let unit = L::load_or(x, T::ZERO).mul(L::load_or(inverse, T::ZERO));
                let g = times_slope::<T, L, SILU>(L::load_or(grad, T::ZERO), unit.mul_add(factor, offset));
                let product = g.mul(unit);
                sum = sum.add(g);
                weighted = weighted.add(product);
                product.mul_add(factor, L::load_or(moment, T::ZERO)).store(moment);
                g.store(grad);
            }
            sums.copy_from_slice(&[sum.sum(), weighted.sum()]);
        }
    }
}

/// Turns the gradient before the activation into the gradient for the signal:
/// `inverse * (g * factor - unit * moment)`.
struct Finish<'a, T> {
    x: &'a [T],
    grad: &'a mut [T],
    inverse: &'a [T],
    moment: &'a [T],
    factors: &'a [T],
}

impl<T: Real> Job<T> for Finish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Finish { x, grad, inverse, moment, factors } = self;
        let length = inverse.len();
        let rows = x.chunks_exact(length).zip(grad.chunks_exact_mut(length));
        for ((x, grad), factor) in rows.zip(factors) {
            let factor = L::splat(*factor);
            let given = x.chunks(L::WIDTH).zip(inverse.chunks(L::WIDTH)).zip(moment.chunks(L::WIDTH));
            for (((x, inverse), moment), grad) in given.zip(grad.chunks_mut(L::WIDTH)) {
                let inverse = L::load_or(inverse, T::ZERO);
                let unit = L::load_or(x, T::ZERO).mul(inverse);
                let along = unit.mul(L::load_or(moment, T::ZERO));
                L::load_or(grad, T::ZERO).mul(factor).sub(along).mul(inverse).store(grad);
            }
        }
    }
}
