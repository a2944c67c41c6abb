//! Small matrix products on one thread, with sums in registers, for operations that compute a few
//! of them per record while everything lies in the cache.
//!
//! A sum runs over its terms in their order, whatever the position of the result, so that a value
//! does not depend on where a tile begins.

use super::cpu::{Real, View};
use super::lanes::Lanes;

/// Values to which rows are padded: the most lanes of a vector.
pub(super) const LINE: usize = 16;

/// Distance between padded rows of `count` values: whole vectors, in an odd number of lines so
/// that rows spread over the cache.
pub(super) fn pitch(count: usize) -> usize {
    (count.div_ceil(LINE) | 1) * LINE
}

/// Memory for intermediate values that starts at a cache line and is used again from piece to piece.
pub(super) struct Scratch<T> {
    values: Vec<T>,
}

impl<T: Real> Scratch<T> {
    /// Nothing yet.
    pub fn new() -> Scratch<T> {
        Scratch { values: Vec::new() }
    }

    /// Slices of these lengths, which should be multiples of [`LINE`]; their content is arbitrary.
    pub fn split<const N: usize>(&mut self, lengths: [usize; N]) -> [&mut [T]; N] {
        let total: usize = lengths.iter().sum();
        let line = 64 / size_of::<T>();
        if self.values.len() < total + line {
            self.values = vec![T::ZERO; total + line];
        }
        let start = self.values.as_ptr().align_offset(64).min(line);
        let mut rest = &mut self.values[start..];
        lengths.map(|length| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            part
        })
    }
}

/// Copies rows of `count` values into rows `pitch` apart, zeros at their ends.
pub(super) fn pad_rows<T: Real>(from: &[T], count: usize, to: &mut [T], pitch: usize) {
    for (from, to) in from.chunks_exact(count).zip(to.chunks_exact_mut(pitch)) {
        to[..count].copy_from_slice(from);
        to[count..].fill(T::ZERO);
    }
}

/// `out[row][t] = sum over k of left(row, k) * right[starts(k) + t]` for `t` below `columns`; with
/// `ADD` the sum is added to `out`, after the values that are there.
///
/// `sizes` are rows, columns and terms. `right` must hold whole vectors: `columns` is rounded up
/// to a multiple of [`LINE`] for reading. `out` is written up to `columns` only.
///
/// # Panics
///
/// If an operand is too short.
#[inline(always)]
pub(super) fn multiply<T: Real, L: Lanes<T>, const ADD: bool>(
    [rows, columns, terms]: [usize; 3],
    (out, out_pitch): (&mut [T], usize),
    (left, view): (&[T], View),
    (right, starts): (&[T], impl Fn(usize) -> usize + Copy),
) {
    if rows == 0 || columns == 0 {
        return;
    }
    let padded = columns.next_multiple_of(L::WIDTH);
    assert!((rows - 1) * out_pitch + columns <= out.len(), "the target of a product is too short");
    assert!(view.fits(rows, terms, left.len()), "the left factor of a product is too short");
    for k in 0..terms {
        assert!(starts(k) + padded <= right.len(), "the right factor of a product is too short");
    }
    let mut product = Product { rows, columns, terms, out, out_pitch, left, view, right, starts };
    let mut at = 0;
    while at < columns {
        // SAFETY: the assertions above cover every row, every term and every position below
        // `padded`, which no block exceeds.
        unsafe {
            match (padded - at) / L::WIDTH {
                1 => at += product.column::<L, 1, ADD>(at),
                2 | 4 => at += product.column::<L, 2, ADD>(at),
                _ => at += product.column::<L, 3, ADD>(at),
            }
        }
    }
}

struct Product<'a, T, F> {
    rows: usize,
    columns: usize,
    terms: usize,
    out: &'a mut [T],
    out_pitch: usize,
    left: &'a [T],
    view: View,
    right: &'a [T],
    starts: F,
}

impl<T: Real, F: Fn(usize) -> usize + Copy> Product<'_, T, F> {
    /// All rows at `N` vectors of columns from `at` on; returns their number.
    ///
    /// # Safety
    ///
    /// As for [`Product::block`].
    #[inline(always)]
    unsafe fn column<L: Lanes<T>, const N: usize, const ADD: bool>(&mut self, at: usize) -> usize {
        // SAFETY: passed on to the caller.
        unsafe {
            if L::WIDTH == 16 {
                for row in (0..self.rows).step_by(8) {
                    self.block::<L, 8, N, ADD>(at, row);
                }
            } else {
                for row in (0..self.rows).step_by(4) {
                    self.block::<L, 4, N, ADD>(at, row);
                }
            }
        }
        N * L::WIDTH
    }

    /// `M` rows from `first` on, the last repeated beyond the end but not written twice.
    ///
    /// # Safety
    ///
    /// `left` holds every row and term, `right` holds `at + N * WIDTH` values from the start of
    /// every term.
    #[inline(always)]
    unsafe fn block<L: Lanes<T>, const M: usize, const N: usize, const ADD: bool>(&mut self, at: usize, first: usize) {
        let rows = M.min(self.rows - first);
        let mut sums = [[L::splat(T::ZERO); N]; M];
        if ADD {
            for (m, sums) in sums.iter_mut().enumerate().take(rows) {
                let start = (first + m) * self.out_pitch;
                let row = &self.out[start..start + self.columns];
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = L::load_or(row.get(at + n * L::WIDTH..).unwrap_or(&[]), T::ZERO);
                }
            }
        }
        let lefts: [usize; M] = std::array::from_fn(|m| self.view.offset + (first + m.min(rows - 1)) * self.view.rows);
        let (left, right) = (self.left.as_ptr(), self.right.as_ptr());
        for k in 0..self.terms {
            // SAFETY: by the contract of this function.
            unsafe {
                let from = right.add((self.starts)(k) + at);
                let values: [L; N] = std::array::from_fn(|n| L::load(from.add(n * L::WIDTH)));
                for (m, sums) in sums.iter_mut().enumerate() {
                    let factor = L::splat(*left.add(lefts[m] + k * self.view.columns));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = value.mul_add(factor, *sum);
                    }
                }
            }
        }
        // By index: an iterator over the sums would move them to memory first.
        for m in 0..rows {
            let start = (first + m) * self.out_pitch;
            let row = &mut self.out[start..start + self.columns];
            for n in 0..N {
                if let Some(out) = row.get_mut(at + n * L::WIDTH..) {
                    sums[m][n].store(out);
                }
            }
        }
    }
}

/// `out(row, column) = sum over t of left[row][t] * right[column][t]` over padded rows; with `ADD`
/// the sum is added to `out`.
///
/// `sizes` are rows, columns and terms; terms are rounded up to a multiple of [`LINE`], and what
/// lies there must be zero in one of the factors and finite in the other.
///
/// # Panics
///
/// If an operand is too short.
#[inline(always)]
pub(super) fn dots<T: Real, L: Lanes<T>, const ADD: bool>(
    [rows, columns, terms]: [usize; 3],
    (out, view): (&mut [T], View),
    (left, left_pitch): (&[T], usize),
    (right, right_pitch): (&[T], usize),
) {
    if rows == 0 || columns == 0 {
        return;
    }
    let padded = terms.next_multiple_of(L::WIDTH);
    assert!(view.fits(rows, columns, out.len()), "the target of a product is too short");
    assert!((rows - 1) * left_pitch + padded <= left.len(), "the left factor of a product is too short");
    assert!((columns - 1) * right_pitch + padded <= right.len(), "the right factor of a product is too short");
    const M: usize = 4;
    const N: usize = 2;
    for row in (0..rows).step_by(M) {
        let lefts: [usize; M] = std::array::from_fn(|m| (row + m).min(rows - 1) * left_pitch);
        for column in (0..columns).step_by(N) {
            let rights: [usize; N] = std::array::from_fn(|n| (column + n).min(columns - 1) * right_pitch);
            let mut sums = [[L::splat(T::ZERO); N]; M];
            for at in (0..padded).step_by(L::WIDTH) {
                // SAFETY: the assertions above cover every row and column up to `padded`.
                unsafe {
                    let a: [L; M] = std::array::from_fn(|m| L::load(left.as_ptr().add(lefts[m] + at)));
                    let b: [L; N] = std::array::from_fn(|n| L::load(right.as_ptr().add(rights[n] + at)));
                    for m in 0..M {
                        for n in 0..N {
                            sums[m][n] = a[m].mul_add(b[n], sums[m][n]);
                        }
                    }
                }
            }
            for m in 0..M.min(rows - row) {
                for n in 0..N.min(columns - column) {
                    let at = view.offset + (row + m) * view.rows + (column + n) * view.columns;
                    let sum = sums[m][n].sum();
                    if ADD {
                        out[at] += sum;
                    } else {
                        out[at] = sum;
                    }
                }
            }
        }
    }
}
