//! The convolution as one product of matrices, made of the framework's operations: for accelerators.
//!
//! Their matrix units want large products, and memory is wide enough for a copy of the signal per tap.
//! The framework's own convolution takes this way only where it may try out kernels for minutes.

use burn::tensor::{Slice, Tensor};

use super::Conv1dOptions;

/// Values that the partial sums of a weight gradient may take together.
const MAX_PARTIAL: usize = 1 << 22;

/// As [`super::conv1d`], whose shapes have been checked.
///
/// Points in time become rows, taps and channels columns. The rows are cut into parts, because the
/// gradient of the weight adds up over all of them: as one product it would keep a few processors of the
/// card busy, as one per part it keeps many.
pub(super) fn conv1d_matrix(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Option<Tensor<1>>,
    options: Conv1dOptions,
) -> Tensor<3> {
    let [batch, channels_in, length] = x.dims();
    let [channels_out, _, kernel] = weight.dims();
    let length_out = options.output_length(length, kernel);
    let Conv1dOptions { stride, padding, dilation } = options;
    let n_columns = kernel * channels_in;

    let rows = x.swap_dims(1, 2);
    let rows = if padding > 0 {
        let zeros = Tensor::zeros([batch, padding, channels_in], (&rows.device(), rows.dtype()));
        Tensor::cat(vec![zeros.clone(), rows, zeros], 1)
    } else {
        rows
    };
    let tap = |tap: usize| {
        let first = tap * dilation;
        let end = first + (length_out - 1) * stride + 1;
        rows.clone().slice_dim(1, Slice::new(first as isize, Some(end as isize), stride as isize))
    };
    let columns = if kernel == 1 { tap(0) } else { Tensor::cat((0..kernel).map(tap).collect(), 2) };

    let parts = (1..=batch).rev().find(|parts| batch % parts == 0 && parts * n_columns * channels_out <= MAX_PARTIAL);
    let parts = parts.unwrap_or(1);
    let columns = columns.reshape([parts, batch / parts * length_out, n_columns]);
    let weight = weight.permute([2, 1, 0]).reshape([1, n_columns, channels_out]);
    let y = columns.matmul(weight).reshape([batch, length_out, channels_out]);
    let y = match bias {
        Some(bias) => y + bias.reshape([1, 1, channels_out]),
        None => y,
    };
    y.swap_dims(1, 2)
}
