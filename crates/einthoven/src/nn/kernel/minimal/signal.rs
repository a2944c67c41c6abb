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

/// One channel of a chunk: its samples, and sample `i` of every column side by side in row `i`.
pub(super) struct Gathered<T> {
    samples: [T; REACH],
    rows: [[T; ROW]; POINTS],
}

impl<T: Real> Gathered<T> {
    /// Nothing yet; to be used for one channel after the other.
    pub fn new() -> Gathered<T> {
        Gathered { samples: [T::ZERO; REACH], rows: [[T::ZERO; ROW]; POINTS] }
    }
}

impl Chunk {
    /// Evaluates `channels` channels, each plus its level, zeros beyond their ends: `[POINTS, channels, COLUMNS]`.
    #[inline(always)]
    pub fn evaluate<'a, T: Real, L: Lanes<T>>(
        &self,
        channels: usize,
        channel: impl Fn(usize) -> (&'a [T], T),
        to: &mut [T],
    ) {
        let (dilation, plane) = (self.plan.dilation, channels * COLUMNS);
        let mut gathered = Gathered::new();
        for index in 0..channels {
            let (signal, level) = channel(index);
            // A column begins one tap before its first result.
            let rows = self.gather(signal, -(dilation as isize), level, POINTS, &mut gathered);
            let [a, b, c, d, e, f] = rows;
            // The last two samples of a woven column are the first of the next.
            let (e, f) = if self.is_woven() { (&a[dilation..], &b[dilation..]) } else { (&e[..], &f[..]) };
            let to = &mut to[index * COLUMNS..];
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
    }

    /// Evaluates one row of slopes for the gradient of the weight, the transpose of [`Chunk::interpolate`]:
    /// `[COLUMNS]` values for each point, `plane` apart.
    #[inline(always)]
    pub(super) fn evaluate_slopes<T: Real, L: Lanes<T>>(
        &self,
        slopes: &[T],
        to: &mut [T],
        plane: usize,
        gathered: &mut Gathered<T>,
    ) {
        let rows = self.gather(slopes, 0, T::ZERO, RESULTS, gathered);
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

    /// One row of results from its products, `ROWS * COLUMNS` apart, plus `level`; `rows` is room for them before they
    /// are woven.
    #[inline(always)]
    pub(super) fn interpolate<T: Real, L: Lanes<T>>(
        &self,
        products: &[T],
        level: T,
        rows: &mut [T; PITCH],
        out: &mut [T],
    ) {
        const PLANE: usize = ROWS * COLUMNS;
        let padded = self.padded();
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

    /// One row for each of the first `n` samples of every column, which begin `shift` after the first result; of a woven
    /// chunk [`RESULTS`] rows alone, which go on into the next column.
    #[inline(always)]
    fn gather<'a, T: Real>(
        &self,
        signal: &[T],
        shift: isize,
        level: T,
        n: usize,
        Gathered { samples, rows }: &'a mut Gathered<T>,
    ) -> &'a [[T; ROW]; POINTS] {
        if !self.is_woven() {
            for (step, row) in rows.iter_mut().enumerate().take(n) {
                for run in self.stretches(step) {
                    window(signal, run.first as isize + shift, level, &mut row[run.at..run.at + run.count]);
                }
            }
            return rows;
        }
        let dilation = self.plan.dilation;
        let samples = &mut samples[..RESULTS * (self.padded() + if n > RESULTS { dilation } else { 0 })];
        window(signal, self.begin() as isize + shift, level, samples);
        match dilation {
            1 => unweave::<T, 1>(samples, rows),
            2 => unweave::<T, 2>(samples, rows),
            4 => unweave::<T, 4>(samples, rows),
            _ => unweave::<T, 8>(samples, rows),
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
