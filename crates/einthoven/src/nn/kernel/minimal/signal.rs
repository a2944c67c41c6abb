//! The signal at the points, and the results from the products there.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::super::cpu::Real;
use super::super::lanes::Lanes;
use super::super::tile::LINE;
use super::super::window::window;
use super::{COLUMNS, Chunk, PITCH, POINTS, RESULTS, ROWS};

/// Samples of a woven chunk with those that its last columns reach.
const REACH: usize = RESULTS * ROW;

/// Values of a row that one sample of each column makes, with those that the last columns reach.
const ROW: usize = COLUMNS + LINE;

impl Chunk {
    /// Evaluates one channel of the signal, plus `level`, zeros beyond its ends: `[COLUMNS]` values for each point,
    /// `plane` apart.
    #[inline(always)]
    pub fn evaluate<T: Real, L: Lanes<T>>(&self, signal: &[T], level: T, to: &mut [T], plane: usize) {
        let dilation = self.plan.dilation;
        // A column begins one tap before its first result.
        let rows = self.gather(signal, -(dilation as isize), level, POINTS);
        let [a, b, c, d, e, f] = &rows;
        // The last two samples of a woven column are the first of the next.
        let (e, f) = if self.is_woven() { (&a[dilation..], &b[dilation..]) } else { (&e[..], &f[..]) };
        for at in (0..self.padded()).step_by(L::WIDTH) {
            let values = at_points::<T, L>([
                L::load_or(&a[at..], T::ZERO),
                L::load_or(&b[at..], T::ZERO),
                L::load_or(&c[at..], T::ZERO),
                L::load_or(&d[at..], T::ZERO),
                L::load_or(&e[at..], T::ZERO),
                L::load_or(&f[at..], T::ZERO),
            ]);
            for point in 0..POINTS {
                values[point].store(&mut to[point * plane + at..][..L::WIDTH]);
            }
        }
    }

    /// Evaluates one row of slopes for the gradient of the weight, the transpose of [`Chunk::interpolate`]:
    /// `[COLUMNS]` values for each point, `plane` apart.
    #[inline(always)]
    pub(super) fn evaluate_slopes<T: Real, L: Lanes<T>>(&self, slopes: &[T], to: &mut [T], plane: usize) {
        let rows = self.gather(slopes, 0, T::ZERO, RESULTS);
        let (small, large) = (L::splat(T::from_f64(FRAC_1_SQRT_2)), L::splat(T::from_f64(SQRT_2)));
        let (half, two) = (L::splat(T::from_f64(0.5)), L::splat(T::from_f64(2.0)));
        for at in (0..self.padded()).step_by(L::WIDTH) {
            let [a, b] = [L::load_or(&rows[0][at..], T::ZERO), L::load_or(&rows[1][at..], T::ZERO)];
            let [c, d] = [L::load_or(&rows[2][at..], T::ZERO), L::load_or(&rows[3][at..], T::ZERO)];
            let near = [c.mul_add(half, a), small.mul(d.mul_add(half, b))];
            let far = [c.mul_add(two, a), large.mul(d.mul_add(two, b))];
            let values = both_signs::<T, L>(a, near, far, d);
            for point in 0..POINTS {
                values[point].store(&mut to[point * plane + at..][..L::WIDTH]);
            }
        }
    }

    /// One row of results from its products, `ROWS * COLUMNS` apart, plus `level`.
    #[inline(always)]
    pub(super) fn interpolate<T: Real, L: Lanes<T>>(&self, products: &[T], level: T, out: &mut [T]) {
        const PLANE: usize = ROWS * COLUMNS;
        let padded = self.padded();
        let mut rows = [T::ZERO; PITCH];
        let is_woven = self.is_woven();
        let to = if is_woven { &mut rows[..] } else { &mut out[..] };
        let level = L::splat(level);
        let (small, large) = (L::splat(T::from_f64(FRAC_1_SQRT_2)), L::splat(T::from_f64(SQRT_2)));
        let (half, two) = (L::splat(T::from_f64(0.5)), L::splat(T::from_f64(2.0)));
        for at in (0..padded).step_by(L::WIDTH) {
            let [zero, a, b, c, d, infinity] = [
                L::load_or(&products[at..], T::ZERO),
                L::load_or(&products[PLANE + at..], T::ZERO),
                L::load_or(&products[2 * PLANE + at..], T::ZERO),
                L::load_or(&products[3 * PLANE + at..], T::ZERO),
                L::load_or(&products[4 * PLANE + at..], T::ZERO),
                L::load_or(&products[5 * PLANE + at..], T::ZERO),
            ];
            // Even powers have the same sign at a point and at its opposite, odd ones the other.
            let (near, near_odd) = (a.add(b), small.mul(a.sub(b)));
            let (far, far_odd) = (c.add(d), large.mul(c.sub(d)));
            let results = [
                zero.add(near).add(far.add(level)),
                near_odd.add(far_odd.add(level)),
                near.mul_add(half, far.mul_add(two, level)),
                near_odd.mul_add(half, far_odd.mul_add(two, infinity.add(level))),
            ];
            for result in 0..RESULTS {
                results[result].store(&mut to[result * padded + at..][..L::WIDTH]);
            }
        }
        if is_woven {
            let (rows, out) = (&rows[..RESULTS * padded], &mut out[..RESULTS * padded]);
            match self.plan.dilation {
                1 => weave::<T, 1>(rows, out),
                2 => weave::<T, 2>(rows, out),
                4 => weave::<T, 4>(rows, out),
                _ => weave::<T, 8>(rows, out),
            }
        }
    }

    /// Sample `i` of every column side by side, one row for each of the first `n` samples that begin `shift` after the first
    /// result; of a woven chunk [`RESULTS`] rows alone, which go on into the next column.
    #[inline(always)]
    fn gather<T: Real>(&self, signal: &[T], shift: isize, level: T, n: usize) -> [[T; ROW]; POINTS] {
        let mut rows = [[T::ZERO; ROW]; POINTS];
        if !self.is_woven() {
            for (step, row) in rows.iter_mut().enumerate().take(n) {
                for run in self.stretches(step) {
                    window(signal, run.first as isize + shift, level, &mut row[run.at..run.at + run.count]);
                }
            }
            return rows;
        }
        let dilation = self.plan.dilation;
        let mut samples = [T::ZERO; REACH];
        let samples = &mut samples[..RESULTS * (self.padded() + if n > RESULTS { dilation } else { 0 })];
        window(signal, self.begin() as isize + shift, level, samples);
        match dilation {
            1 => unweave::<T, 1>(samples, &mut rows),
            2 => unweave::<T, 2>(samples, &mut rows),
            4 => unweave::<T, 4>(samples, &mut rows),
            _ => unweave::<T, 8>(samples, &mut rows),
        }
        rows
    }
}

/// What six samples of a tile count at each point.
#[inline(always)]
pub(super) fn at_points<T: Real, L: Lanes<T>>([a, b, c, d, e, f]: [L; POINTS]) -> [L; POINTS] {
    let (small, large) = (L::splat(T::from_f64(FRAC_1_SQRT_2)), L::splat(T::from_f64(SQRT_2)));
    let [half, two, ends] = [L::splat(T::from_f64(-0.5)), L::splat(T::from_f64(-2.0)), L::splat(T::from_f64(-2.5))];
    let near = [c.mul_add(two, e), small.mul(b.mul_add(two, d))];
    let far = [c.mul_add(half, e), large.mul(b.mul_add(half, d))];
    both_signs::<T, L>(c.mul_add(ends, a.add(e)), near, far, d.mul_add(ends, b.add(f)))
}

/// Values at all points from those at the ends and the even and odd parts at the others.
#[inline(always)]
fn both_signs<T: Real, L: Lanes<T>>(zero: L, near: [L; 2], far: [L; 2], infinity: L) -> [L; POINTS] {
    let [near, near_odd] = near;
    let [far, far_odd] = far;
    [zero, near.add(near_odd), near.sub(near_odd), far.add(far_odd), far.sub(far_odd), infinity]
}

/// Parts samples into rows: row `i` has the `D` samples from `i * D` on of each `RESULTS * D`.
#[inline(always)]
fn unweave<T: Real, const D: usize>(samples: &[T], rows: &mut [[T; ROW]; POINTS]) {
    let [a, b, c, d, ..] = rows;
    let [a, b, c, d] = [a, b, c, d].map(|row| row.as_chunks_mut::<D>().0);
    let groups = samples.as_chunks::<D>().0.as_chunks::<RESULTS>().0;
    for ((((group, a), b), c), d) in groups.iter().zip(a).zip(b).zip(c).zip(d) {
        [*a, *b, *c, *d] = *group;
    }
}

/// The reverse of [`unweave`], from rows one after the other.
#[inline(always)]
fn weave<T: Real, const D: usize>(rows: &[T], out: &mut [T]) {
    let size = rows.len() / RESULTS;
    let row = |index: usize| rows[index * size..][..size].as_chunks::<D>().0;
    let groups = out.as_chunks_mut::<D>().0.as_chunks_mut::<RESULTS>().0;
    for ((((group, a), b), c), d) in groups.iter_mut().zip(row(0)).zip(row(1)).zip(row(2)).zip(row(3)) {
        *group = [*a, *b, *c, *d];
    }
}
