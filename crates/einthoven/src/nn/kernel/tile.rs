//! Small matrix products on one thread, with sums in registers, for operations that compute a few
//! of them per record while everything lies in the cache.
//!
//! A sum runs over its terms in their order, whatever the position of the result, so that a value
//! does not depend on where a tile begins.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::cpu::{Real, View};
use super::lanes::{Job, Lanes};
use super::memory;

/// Values to which rows are padded: the most lanes of a vector.
pub(super) const LINE: usize = 16;

/// Distance between padded rows of `count` values: whole vectors, in an odd number of lines so
/// that rows spread over the cache.
pub(super) fn pitch(count: usize) -> usize {
    (count.div_ceil(LINE) | 1) * LINE
}

/// Copies rows of `count` values into rows `pitch` apart, zeros at their ends.
pub(super) fn pad_rows<T: Real>(from: &[T], count: usize, to: &mut [T], pitch: usize) {
    for (from, to) in from.chunks_exact(count).zip(to.chunks_exact_mut(pitch)) {
        to[..count].copy_from_slice(from);
        to[count..].fill(T::ZERO);
    }
}

/// Rows of a left factor that are used together.
pub(super) const TILE: usize = 8;

/// Terms after which a product goes on to its next rows: as much of the right factor as the nearest cache
/// holds beside the left one.
const TERMS: usize = 128;

/// Where element `(row, term)` of a left factor lies: at `offset + row / TILE * tile + row % TILE * rows +
/// term * terms`.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    offset: usize,
    tile: usize,
    rows: usize,
    terms: usize,
}

impl Tiles {
    /// Rows of `terms` terms, the terms of [`TILE`] rows side by side: what [`pack_rows`] and [`pack_turned`] write.
    pub fn packed(terms: usize) -> Tiles {
        Tiles::packed_planes(terms, 0, 1)
    }

    /// The same in one of `planes` planes that each tile holds one after the other.
    pub fn packed_planes(terms: usize, plane: usize, planes: usize) -> Tiles {
        Tiles { offset: plane * TILE * terms, tile: planes * TILE * terms, rows: 1, terms: TILE }
    }

    #[inline(always)]
    fn row(&self, row: usize) -> usize {
        self.offset + row / TILE * self.tile + row % TILE * self.rows
    }
}

impl From<View> for Tiles {
    fn from(view: View) -> Tiles {
        Tiles { offset: view.offset, tile: TILE * view.rows, rows: view.rows, terms: view.columns }
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
enum Start<'a, T> {
    Nothing,
    Target,
    Rows(&'a [T]),
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
    sizes: [usize; 3],
    (out, out_pitch): (&mut [T], usize),
    (left, tiles): (&[T], impl Into<Tiles>),
    (right, starts): (&[T], impl Fn(usize) -> usize + Copy),
) {
    let start = if ADD { Start::Target } else { Start::Nothing };
    let target = (out.as_mut_ptr(), out.len(), out_pitch);
    // SAFETY: the target is borrowed mutably and holds values.
    unsafe { product::<T, L>(sizes, target, start, (left, tiles.into()), (right, starts)) }
}

/// As [`multiply`], to memory that may hold nothing yet, each row beginning at its number in `bias`.
///
/// # Panics
///
/// As [`multiply`].
#[inline(always)]
pub(super) fn multiply_new<T: Real, L: Lanes<T>>(
    sizes: [usize; 3],
    (out, out_pitch): (&mut [MaybeUninit<T>], usize),
    bias: Option<&[T]>,
    (left, tiles): (&[T], impl Into<Tiles>),
    (right, starts): (&[T], impl Fn(usize) -> usize + Copy),
) {
    let start = bias.map_or(Start::Nothing, Start::Rows);
    let target = (out.as_mut_ptr().cast(), out.len(), out_pitch);
    // SAFETY: the target is borrowed mutably, and the sums do not start there.
    unsafe { product::<T, L>(sizes, target, start, (left, tiles.into()), (right, starts)) }
}

/// The product of both functions above.
///
/// # Safety
///
/// `out` can be written, and read if the sums start at the target.
#[inline(always)]
unsafe fn product<T: Real, L: Lanes<T>>(
    [rows, columns, terms]: [usize; 3],
    (out, out_len, out_pitch): (*mut T, usize, usize),
    start: Start<T>,
    (left, tiles): (&[T], Tiles),
    (right, starts): (&[T], impl Fn(usize) -> usize + Copy),
) {
    if rows == 0 || columns == 0 {
        return;
    }
    let padded = columns.next_multiple_of(L::WIDTH);
    assert!((rows - 1) * out_pitch + columns <= out_len, "the target of a product is too short");
    let last_row = (rows.saturating_sub(TILE)..rows).map(|row| tiles.row(row)).max().unwrap_or(0);
    assert!(last_row + (terms.max(1) - 1) * tiles.terms < left.len(), "the left factor of a product is too short");
    if let Start::Rows(bias) = start {
        assert!(rows <= bias.len(), "a product has more rows than numbers to start at");
    }
    for k in 0..terms {
        assert!(starts(k) + padded <= right.len(), "the right factor of a product is too short");
    }
    let (left, right) = (left.as_ptr(), right.as_ptr());
    let mut product = Product { rows, columns, out, out_pitch, left, tiles, right, starts, start, terms: [0, 0] };
    let mut at = 0;
    while at < columns {
        let vectors = match (padded - at) / L::WIDTH {
            1 => 1,
            2 | 4 => 2,
            _ => 3,
        };
        product.start = start;
        let mut term = 0;
        loop {
            product.terms = [term, terms.min(term + TERMS)];
            // SAFETY: the assertions above cover every row, every term and every position below
            // `padded`, which no block exceeds. From the second part on the target was written.
            unsafe {
                match vectors {
                    1 => product.column::<L, 1>(at),
                    2 => product.column::<L, 2>(at),
                    _ => product.column::<L, 3>(at),
                }
            }
            product.start = Start::Target;
            term += TERMS;
            if term >= terms {
                break;
            }
        }
        at += vectors * L::WIDTH;
    }
}

struct Product<'a, T, F> {
    rows: usize,
    columns: usize,
    out: *mut T,
    out_pitch: usize,
    left: *const T,
    tiles: Tiles,
    right: *const T,
    starts: F,
    start: Start<'a, T>,
    /// The first of the terms that are summed, and the one behind the last.
    terms: [usize; 2],
}

impl<T: Real, F: Fn(usize) -> usize + Copy> Product<'_, T, F> {
    /// All rows at `N` vectors of columns from `at` on.
    ///
    /// # Safety
    ///
    /// As for [`Product::block`].
    #[inline(always)]
    unsafe fn column<L: Lanes<T>, const N: usize>(&self, at: usize) {
        // SAFETY: passed on to the caller.
        unsafe {
            if L::WIDTH == 16 {
                for row in (0..self.rows).step_by(8) {
                    self.block::<L, 8, N>(at, row);
                }
            } else {
                for row in (0..self.rows).step_by(4) {
                    self.block::<L, 4, N>(at, row);
                }
            }
        }
    }

    /// `M` rows from `first` on, the last repeated beyond the end but not written twice.
    ///
    /// # Safety
    ///
    /// `left` holds every row and term, `right` holds `at + N * WIDTH` values from the start of
    /// every term, `out` every row up to its columns, with values if the sums start there.
    #[inline(always)]
    unsafe fn block<L: Lanes<T>, const M: usize, const N: usize>(&self, at: usize, first: usize) {
        let rows = M.min(self.rows - first);
        let room = self.columns - at;
        // SAFETY: by the contract of this function, here and below.
        let target = |m: usize, n: usize| unsafe { self.out.add((first + m) * self.out_pitch + at + n * L::WIDTH) };
        let mut sums = [[L::splat(T::ZERO); N]; M];
        match self.start {
            Start::Nothing => {}
            Start::Rows(bias) => {
                for m in 0..rows {
                    sums[m] = [L::splat(bias[first + m]); N];
                }
            }
            Start::Target if rows == M && room >= N * L::WIDTH => {
                for m in 0..M {
                    for n in 0..N {
                        sums[m][n] = unsafe { L::load(target(m, n)) };
                    }
                }
            }
            Start::Target => {
                for m in 0..rows {
                    for n in 0..N {
                        let room = room.saturating_sub(n * L::WIDTH);
                        if room > 0 {
                            let row = unsafe { std::slice::from_raw_parts(target(m, n), room) };
                            sums[m][n] = L::load_or(row, T::ZERO);
                        }
                    }
                }
            }
        }
        let lefts: [usize; M] = std::array::from_fn(|m| self.tiles.row(first + m.min(rows - 1)));
        let (left, right) = (self.left, self.right);
        for k in self.terms[0]..self.terms[1] {
            unsafe {
                let from = right.add((self.starts)(k) + at);
                let values: [L; N] = std::array::from_fn(|n| L::load(from.add(n * L::WIDTH)));
                for (m, sums) in sums.iter_mut().enumerate() {
                    let factor = L::splat(*left.add(lefts[m] + k * self.tiles.terms));
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = value.mul_add(factor, *sum);
                    }
                }
            }
        }
        // By index: an iterator over the sums would move them to memory first.
        if rows == M && room >= N * L::WIDTH {
            for m in 0..M {
                for n in 0..N {
                    unsafe { sums[m][n].write(target(m, n), L::WIDTH) }
                }
            }
        } else {
            for m in 0..rows {
                for n in 0..N {
                    let room = room.saturating_sub(n * L::WIDTH);
                    if room > 0 {
                        unsafe { sums[m][n].write(target(m, n), room) }
                    }
                }
            }
        }
    }
}

/// Packs the rows of a matrix of `terms` columns as [`Tiles::packed`] says, zeros in the place of rows
/// that the last tile lacks.
pub(super) fn pack_rows<T: Real>(matrix: &[T], terms: usize) -> Vec<T> {
    let (count, tile) = ((matrix.len() / terms).next_multiple_of(TILE) * terms, TILE * terms);
    memory::in_pieces_beside(count, tile, matrix.par_chunks(tile), |_, to, from| {
        T::run(Turn { from, pitch: terms, length: terms, levels: &[], to, width: TILE });
    })
}

/// As [`pack_rows`], for a product with the inputs and outputs of a weight exchanged: rows are `step` apart in
/// `weight`, terms are inputs, `pitch` apart, and for each of them the taps.
pub(super) fn pack_turned<T: Real>(weight: &[T], pitch: usize, step: usize, outputs: usize, taps: &[usize]) -> Vec<T> {
    let inputs = weight.len().div_ceil(pitch);
    let tile = TILE * inputs * taps.len();
    memory::in_pieces(outputs.div_ceil(TILE) * tile, tile.max(1), |tile, packed: &mut [T]| {
        let lanes = TILE.min(outputs - tile * TILE);
        let terms = (0..inputs).flat_map(|input| taps.iter().map(move |tap| input * pitch + tap));
        for (packed, term) in packed.chunks_exact_mut(TILE).zip(terms) {
            let from = &weight[term + tile * TILE * step..][..(lanes - 1) * step + 1];
            if step == 1 && lanes == TILE {
                // A copy of fixed size is one instruction.
                packed.copy_from_slice(&from[..TILE]);
                continue;
            }
            for (packed, value) in packed.iter_mut().zip(from.iter().step_by(step)) {
                *packed = *value;
            }
        }
    })
}

/// Writes the rows of `from`, `pitch` apart and of `length` values each, as columns of rows `width` apart,
/// each plus the level of its row where there are levels.
pub(super) struct Turn<'a, T> {
    pub from: &'a [T],
    pub pitch: usize,
    pub length: usize,
    pub levels: &'a [T],
    pub to: &'a mut [T],
    pub width: usize,
}

impl<T: Real> Job<T> for Turn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Turn { from, pitch, length, levels, to, width } = self;
        let rows = from.len() / pitch;
        assert!(length <= pitch, "rows are longer than the distance between them");
        assert!(rows <= width && (length - 1) * width + rows <= to.len(), "rows do not fit into columns");
        let level = |row: usize| levels.get(row).copied().unwrap_or(T::ZERO);
        // Whole cache lines of the rows are used up before the next.
        for line in (0..length).step_by(LINE) {
            for row in (0..rows).step_by(8) {
                for at in (line..length.min(line + LINE)).step_by(8) {
                    if row + 8 <= rows && at + 8 <= length {
                        let levels = std::array::from_fn(|lane| level(row + lane));
                        // SAFETY: eight rows and eight values of each lie in both, by the assertion.
                        unsafe {
                            let (from, to) =
                                (from.as_ptr().add(row * pitch + at), to.as_mut_ptr().add(at * width + row));
                            L::turn(from, &levels, to, [pitch, width]);
                        }
                        continue;
                    }
                    for row in row..rows.min(row + 8) {
                        for at in at..length.min(at + 8) {
                            let mut value = from[row * pitch + at];
                            value += level(row);
                            to[at * width + row] = value;
                        }
                    }
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

#[cfg(test)]
mod tests {
    use super::super::lanes::{Portable, Vectorized};
    use super::*;

    fn noise(count: usize, salt: u32) -> Vec<f32> {
        let word = |index: u32| (index.wrapping_add(salt)).wrapping_mul(2_654_435_761);
        (0..count as u32).map(|index| (word(index) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    struct Both<'a> {
        sizes: [usize; 3],
        left: &'a [f32],
        right: &'a [f32],
        pitch: usize,
        /// From a strided left factor, added to what is there; from a packed one, to a number per row.
        outs: [&'a mut [f32]; 2],
    }

    impl Job<f32> for Both<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes<f32>>(self) {
            let [rows, columns, terms] = self.sizes;
            let [added, new] = self.outs;
            let view = View { offset: 0, rows: terms, columns: 1 };
            let right = (self.right, |k| k * self.pitch);
            multiply::<f32, L, true>(self.sizes, (added, columns), (self.left, view), right);
            let packed = pack_rows(self.left, terms);
            let bias: Vec<f32> = (0..rows).map(|row| row as f32).collect();
            let mut out = super::super::memory::fresh(rows * columns);
            let left = (packed.as_slice(), Tiles::packed(terms));
            multiply_new::<f32, L>(self.sizes, (&mut out, columns), Some(&bias), left, right);
            for (to, value) in new.iter_mut().zip(out) {
                // SAFETY: a product writes every value of its target.
                *to = unsafe { value.assume_init() };
            }
        }
    }

    #[test]
    fn products_of_every_shape_agree_with_sums_of_their_terms() {
        let shapes = [[1, 1, 1], [8, 48, 128], [9, 49, 129], [3, 64, 300], [17, 100, 5], [24, 33, 256]];
        for (case, [rows, columns, terms]) in shapes.into_iter().enumerate() {
            let pitch = pitch(columns);
            let (left, right) = (noise(rows * terms, 1), noise(terms * pitch, 2));
            let run = |kind: usize| {
                let (mut added, mut new) = (vec![0.5; rows * columns], vec![f32::NAN; rows * columns]);
                let outs = [added.as_mut_slice(), new.as_mut_slice()];
                let job = Both { sizes: [rows, columns, terms], left: &left, right: &right, pitch, outs };
                if kind == 0 {
                    job.run::<Portable<f32>>()
                } else {
                    f32::run(job)
                }
                (added, new)
            };
            for (kind, (added, new)) in [run(0), run(1)].into_iter().enumerate() {
                for row in 0..rows {
                    for column in 0..columns {
                        let product =
                            |k: usize| f64::from(left[row * terms + k]) * f64::from(right[k * pitch + column]);
                        let sum: f64 = (0..terms).map(product).sum();
                        let at = row * columns + column;
                        let off = [f64::from(added[at]) - sum - 0.5, f64::from(new[at]) - sum - row as f64];
                        assert!(off.iter().all(|off| off.abs() < 1e-4), "case {case}, kind {kind}, {row} {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_become_columns_whatever_their_number_and_length() {
        for (rows, pitch, length) in [(1, 1, 1), (8, 8, 8), (13, 40, 37), (16, 16, 9), (5, 20, 3)] {
            let (from, levels) = (noise(rows * pitch, 3), noise(rows, 4));
            let width = rows + 3;
            for kind in 0..2 {
                let mut to = vec![9.0; length * width];
                let turn = Turn { from: &from, pitch, length, levels: &levels, to: &mut to, width };
                if kind == 0 {
                    turn.run::<Portable<f32>>()
                } else {
                    f32::run(turn)
                }
                for (index, value) in to.iter().enumerate() {
                    let (at, row) = (index / width, index % width);
                    let expected = if row < rows { from[row * pitch + at] + levels[row] } else { 9.0 };
                    assert_eq!(*value, expected, "{rows} rows of {length}, kind {kind}, {at} {row}");
                }
            }
        }
    }

    #[test]
    fn a_weight_is_packed_with_inputs_and_outputs_exchanged() {
        // [inputs, outputs, kernel] with outputs 2 to 12 of 14, and the taps 2 and 0 of 3.
        let (inputs, outputs, kernel) = (3, 14, 3);
        let weight = noise(inputs * outputs * kernel, 5);
        let packed = pack_turned(&weight[2 * kernel..], outputs * kernel, kernel, 11, &[2, 0]);
        assert_eq!(packed.len(), 2 * TILE * inputs * 2);
        for (index, value) in packed.iter().enumerate() {
            let (output, term) = (index / (TILE * 6) * TILE + index % TILE, index / TILE % 6);
            let (input, tap) = (term / 2, [2, 0][term % 2]);
            let expected = if output < 11 { weight[(input * outputs + 2 + output) * kernel + tap] } else { 0.0 };
            assert_eq!(*value, expected, "output {output}, input {input}, tap {tap}");
        }
    }
}
