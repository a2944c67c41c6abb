//! Softmax along the rows or the columns of a padded matrix, in place, and its gradient.

use super::cpu::Real;
use super::lanes::Lanes;

/// Replaces each column of `rows` rows by `factor` times its softmax. `values` holds whole lines,
/// `pitch` apart; the first `columns` columns, a multiple of the line, are replaced.
#[inline(always)]
pub(super) fn columns<T: Real, L: Lanes<T>>(values: &mut [T], pitch: usize, columns: usize, factor: T) {
    for at in (0..columns).step_by(L::WIDTH) {
        let mut largest = L::load_or(&values[at..], T::ZERO);
        for row in values.chunks_exact(pitch).skip(1) {
            largest = largest.max(L::load_or(&row[at..], T::ZERO));
        }
        let mut sum = L::splat(T::ZERO);
        for row in values.chunks_exact_mut(pitch) {
            let power = L::load_or(&row[at..], T::ZERO).sub(largest).exp();
            sum = sum.add(power);
            power.store(&mut row[at..]);
        }
        let scale = L::splat(factor).div(sum);
        for row in values.chunks_exact_mut(pitch) {
            L::load_or(&row[at..], T::ZERO).mul(scale).store(&mut row[at..]);
        }
    }
}

/// Turns the gradient for a softmax over columns into that for its argument, in place: `p * (g -
/// sum(p * g))` with `p` the softmax; what [`columns`] gave is `factor * p`, and `grad` is for that.
#[inline(always)]
pub(super) fn columns_gradient<T: Real, L: Lanes<T>>(
    values: &[T],
    grad: &mut [T],
    pitch: usize,
    columns: usize,
    factor: T,
) {
    let inverse = L::splat(T::from_f64(1.0 / factor.into_f64()));
    for at in (0..columns).step_by(L::WIDTH) {
        let mut mean = L::splat(T::ZERO);
        for (p, g) in values.chunks_exact(pitch).zip(grad.chunks_exact(pitch)) {
            mean = L::load_or(&p[at..], T::ZERO).mul_add(L::load_or(&g[at..], T::ZERO), mean);
        }
        let mean = mean.mul(inverse);
        for (p, g) in values.chunks_exact(pitch).zip(grad.chunks_exact_mut(pitch)) {
            L::load_or(&p[at..], T::ZERO).mul(L::load_or(&g[at..], T::ZERO).sub(mean)).store(&mut g[at..]);
        }
    }
}

/// Replaces a row of `count` values by its softmax, and what lies beyond them by zeros.
#[inline(always)]
pub(super) fn row<T: Real, L: Lanes<T>>(values: &mut [T], count: usize) {
    values[count..].fill(T::ZERO);
    let row = &mut values[..count];
    let lowest = T::from_f64(f64::NEG_INFINITY);
    let mut largest = L::splat(lowest);
    for part in row.chunks(L::WIDTH) {
        largest = largest.max(L::load_or(part, lowest));
    }
    let mut lanes = [lowest; super::tile::LINE];
    largest.store(&mut lanes);
    let largest = lanes[1..].iter().fold(lanes[0], |a, b| if b.into_f64() > a.into_f64() { *b } else { a });
    let largest = L::splat(largest);
    let mut sum = L::splat(T::ZERO);
    for part in row.chunks_mut(L::WIDTH) {
        let power = L::load_or(part, T::ZERO).sub(largest).exp();
        power.store(part);
        // Lanes beyond the end of the row must not count.
        sum = sum.add(L::load_or(part, T::ZERO));
    }
    let scale = L::splat(T::from_f64(1.0 / sum.sum().into_f64()));
    for part in row.chunks_mut(L::WIDTH) {
        L::load_or(part, T::ZERO).mul(scale).store(part);
    }
}

/// Turns the gradient for a softmax over a row into that for its argument, in place.
#[inline(always)]
pub(super) fn row_gradient<T: Real, L: Lanes<T>>(values: &[T], grad: &mut [T], count: usize) {
    let mut mean = L::splat(T::ZERO);
    for (p, g) in values[..count].chunks(L::WIDTH).zip(grad[..count].chunks(L::WIDTH)) {
        mean = L::load_or(p, T::ZERO).mul_add(L::load_or(g, T::ZERO), mean);
    }
    let mean = L::splat(mean.sum());
    for (p, g) in values[..count].chunks(L::WIDTH).zip(grad[..count].chunks_mut(L::WIDTH)) {
        L::load_or(p, T::ZERO).mul(L::load_or(g, T::ZERO).sub(mean)).store(g);
    }
}
