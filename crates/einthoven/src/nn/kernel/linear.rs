//! Linear map of rows, with gradients.
//!
//! A matrix product picks its inner loop by the number of rows, which changes the last bits of a
//! row with the batch. Here every sum runs over its terms in their order, one after the other, and
//! vectors lie along the outputs, so that a row has the same bits in any company.

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;

use super::cpu::{Real, tensor, values};
use super::fused::{self, FusedOp};
use super::lanes::{Job, Lanes};
use super::memory;
use super::tile::Turn;

/// Rows of a result that share the loads of the right factor.
const TILE: usize = 8;

/// Rows of a result per piece of work, a multiple of [`TILE`].
const ROWS: usize = 16;

/// `x * weight^T + bias`.
///
/// `x` is `[rows, n_in]`, `weight` is `[n_out, n_in]`, `bias` is `[n_out]`; the result is
/// `[rows, n_out]`.
///
/// # Panics
///
/// If the shapes do not fit each other or an extent is 0.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let ([rows, n_in], [n_out, weight_in]) = (x.dims(), weight.dims());
    assert_eq!(n_in, weight_in, "linear: inputs of the rows and of the weight");
    assert_eq!(bias.dims(), [n_out], "linear: shape of the bias");
    assert!(rows > 0 && n_in > 0 && n_out > 0, "linear: found shape [{rows}, {n_in}] to {n_out}, expected no 0");
    if !fused::runs_here(&x.device(), &[x.dtype(), weight.dtype(), bias.dtype()]) {
        return linear_reference(x, weight, bias);
    }
    let inputs = vec![x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(fused::run(Linear, inputs))
}

/// [`linear`] by the framework's own operations: the reference for tests, and what devices other
/// than the CPU run.
pub fn linear_reference(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x.matmul(weight.transpose()) + bias.unsqueeze_dim::<2>(0)
}

#[derive(Debug)]
struct Linear;

impl FusedOp for Linear {
    fn forward(&self, inputs: Vec<FlexTensor>, keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => forward::<f64>(&inputs),
            _ => forward::<f32>(&inputs),
        };
        (out, if keep { inputs } else { Vec::new() })
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        match grad.dtype() {
            DType::F64 => gradients::<f64>(&grad, &kept, wanted),
            _ => gradients::<f32>(&grad, &kept, wanted),
        }
    }
}

/// Rows and columns of a matrix.
fn extents(matrix: &FlexTensor) -> [usize; 2] {
    let shape = matrix.layout().shape();
    [shape[0], shape[1]]
}

fn forward<T: Real>(inputs: &[FlexTensor]) -> FlexTensor {
    let ([rows, n_in], [n_out, _]) = (extents(&inputs[0]), extents(&inputs[1]));
    let [x, weight, bias] = [&inputs[0], &inputs[1], &inputs[2]].map(values::<T>);
    let turned = transposed(weight, n_in);
    tensor(product(rows, x, [n_in, 1], (&turned, n_out), Some(bias)), &[rows, n_out])
}

fn gradients<T: Real>(grad: &FlexTensor, kept: &[FlexTensor], wanted: &[bool]) -> Vec<Option<FlexTensor>> {
    let ([rows, n_in], [n_out, _]) = (extents(&kept[0]), extents(&kept[1]));
    let [x, weight] = [&kept[0], &kept[1]].map(values::<T>);
    let grad = values::<T>(grad);
    let for_x = wanted[0].then(|| tensor(product(rows, grad, [n_out, 1], (weight, n_in), None), &[rows, n_in]));
    let for_weight = wanted[1].then(|| tensor(product(n_out, grad, [1, n_out], (x, n_in), None), &[n_out, n_in]));
    let for_bias = wanted[2].then(|| {
        let mut out = vec![T::ZERO; n_out];
        for row in grad.chunks_exact(n_out) {
            for (out, value) in out.iter_mut().zip(row) {
                *out += *value;
            }
        }
        tensor(out, &[n_out])
    });
    vec![for_x, for_weight, for_bias]
}

/// A matrix of rows of length `columns`, with rows and columns exchanged.
fn transposed<T: Real>(matrix: &[T], columns: usize) -> Vec<T> {
    let mut out = vec![T::ZERO; matrix.len()];
    let width = matrix.len() / columns;
    T::run(Turn { from: matrix, pitch: columns, length: columns, levels: &[], to: &mut out, width });
    out
}

/// `out[r][c] = start[c] + sum over k of left[r * strides[0] + k * strides[1]] * right[k][c]`, the
/// rows of `out` and `right` having `columns` values.
fn product<T: Real>(
    rows: usize,
    left: &[T],
    strides: [usize; 2],
    (right, columns): (&[T], usize),
    start: Option<&[T]>,
) -> Vec<T> {
    let depth = right.len() / columns;
    memory::in_pieces(rows * columns, ROWS * columns, |piece, out| {
        T::run(Product { out, left: &left[piece * ROWS * strides[0]..], strides, right, start, columns, depth });
    })
}

struct Product<'a, T> {
    out: &'a mut [T],
    left: &'a [T],
    strides: [usize; 2],
    right: &'a [T],
    start: Option<&'a [T]>,
    columns: usize,
    depth: usize,
}

impl<T: Real> Job<T> for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(mut self) {
        let rows = self.out.len() / self.columns;
        let mut row = 0;
        while row < rows {
            let tile = if row + TILE <= rows { TILE } else { 1 };
            let mut at = 0;
            while at < self.columns {
                let vectors = if self.columns - at > L::WIDTH { 2 } else { 1 };
                match (tile, vectors) {
                    (TILE, 2) => self.block::<L, TILE, 2>(row, at),
                    (TILE, _) => self.block::<L, TILE, 1>(row, at),
                    (_, 2) => self.block::<L, 1, 2>(row, at),
                    _ => self.block::<L, 1, 1>(row, at),
                }
                at += vectors * L::WIDTH;
            }
            row += tile;
        }
    }
}

impl<T: Real> Product<'_, T> {
    /// `M` rows from `row` on and `N` vectors of columns from `at` on.
    #[inline(always)]
    fn block<L: Lanes<T>, const M: usize, const N: usize>(&mut self, row: usize, at: usize) {
        let zero = T::ZERO;
        // Lanes beyond the last column hold what follows it, and are not stored.
        let mut start = [L::splat(zero); N];
        if let Some(values) = self.start {
            for (n, start) in start.iter_mut().enumerate() {
                *start = L::load_or(values.get(at + n * L::WIDTH..).unwrap_or(&[]), zero);
            }
        }
        let mut sums = [start; M];
        let left = &self.left[row * self.strides[0]..];
        for k in 0..self.depth {
            let values = &self.right[k * self.columns + at..];
            let mut right = [L::splat(zero); N];
            for (n, right) in right.iter_mut().enumerate() {
                *right = L::load_or(values.get(n * L::WIDTH..).unwrap_or(&[]), zero);
            }
            for (m, sums) in sums.iter_mut().enumerate() {
                let factor = L::splat(left[m * self.strides[0] + k * self.strides[1]]);
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = right.mul_add(factor, *sum);
                }
            }
        }
        // By index: an iterator over the sums would move them to memory first.
        for m in 0..M.min((self.out.len() / self.columns).saturating_sub(row)) {
            let out = &mut self.out[(row + m) * self.columns..][..self.columns];
            for n in 0..N {
                if let Some(out) = out.get_mut(at + n * L::WIDTH..) {
                    sums[m][n].store(out);
                }
            }
        }
    }
}
