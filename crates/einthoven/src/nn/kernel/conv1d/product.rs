//! Convolution and its gradients as one strided matrix product per kernel tap.
//!
//! Tap `t` reads sample `position * stride + t * dilation - padding` for output `position`. The
//! positions whose sample exists form one range, so each tap is a product of full matrices over
//! that range and the zeros of the padding are never touched.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::cpu::{Real, View, add_product, tensor, values};
use super::Conv1dOptions;

/// Channels per piece of work. Fixed, so that pieces do not depend on batch size or threads.
const CHANNELS: usize = 64;

/// Records whose weight gradients are added by one task before the tasks' sums are added in order.
const RECORDS: usize = 4;

/// The sizes of one convolution.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub batch: usize,
    pub channels_in: usize,
    pub channels_out: usize,
    pub length: usize,
    pub length_out: usize,
    pub kernel: usize,
    pub options: Conv1dOptions,
}

impl Sizes {
    /// Of the convolution whose signal gradient is the transposed convolution of `x` to `length`
    /// samples.
    pub fn transposed(x: &FlexTensor, weight: &FlexTensor, length: usize, options: Conv1dOptions) -> Sizes {
        let (x, weight) = (x.layout().shape(), weight.layout().shape());
        Sizes {
            batch: x[0],
            channels_in: weight[1],
            channels_out: weight[0],
            length,
            length_out: x[2],
            kernel: weight[2],
            options,
        }
    }

    /// For a signal whose channels are those of `signals`, one tensor after the other.
    pub fn new(signals: &[FlexTensor], weight: &FlexTensor, options: Conv1dOptions) -> Sizes {
        let (x, weight) = (signals[0].layout().shape(), weight.layout().shape());
        Sizes {
            batch: x[0],
            channels_in: weight[1],
            channels_out: weight[0],
            length: x[2],
            length_out: options.output_length(x[2], weight[2]),
            kernel: weight[2],
            options,
        }
    }

    /// The outputs that tap `tap` reaches: first output, first sample, number of outputs.
    fn range(&self, tap: usize) -> Option<(usize, usize, usize)> {
        let Conv1dOptions { stride, padding, dilation } = self.options;
        let shift = tap * dilation;
        let first = padding.saturating_sub(shift).div_ceil(stride);
        let sample = (first * stride + shift).checked_sub(padding)?;
        if sample >= self.length || first >= self.length_out {
            return None;
        }
        let count = ((self.length - 1 - sample) / stride + 1).min(self.length_out - first);
        Some((first, sample, count))
    }
}

/// The weight as `[kernel, channels_out, channels_in]`, so that one tap is one dense matrix.
fn taps_first<T: Real>(weight: &[T], sizes: Sizes) -> Vec<T> {
    let matrix = sizes.channels_out * sizes.channels_in;
    let mut taps = vec![T::ZERO; weight.len()];
    for (index, values) in weight.chunks_exact(sizes.kernel).enumerate() {
        for (tap, value) in values.iter().enumerate() {
            taps[tap * matrix + index] = *value;
        }
    }
    taps
}

/// Output of the convolution: `[batch, channels_out, length_out]`.
pub(super) fn forward<T: Real>(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    options: Conv1dOptions,
) -> FlexTensor {
    let sizes = Sizes::new(std::slice::from_ref(x), weight, options);
    let Sizes { batch, channels_in, channels_out, length, length_out, kernel, .. } = sizes;
    let bias = bias.map(values::<T>);
    let x = values::<T>(x);
    let taps = taps_first(values::<T>(weight), sizes);
    let blocks = channels_out.div_ceil(CHANNELS);

    let mut out = vec![T::ZERO; batch * channels_out * length_out];
    pieces(&mut out, channels_out * length_out, CHANNELS * length_out).into_par_iter().enumerate().for_each(
        |(piece, out)| {
            let (record, block) = (piece / blocks, piece % blocks);
            let channels = out.len() / length_out;
            let first_channel = block * CHANNELS;
            let x = &x[record * channels_in * length..][..channels_in * length];
            if let Some(bias) = bias {
                for (out, bias) in out.chunks_exact_mut(length_out).zip(&bias[first_channel..]) {
                    out.fill(*bias);
                }
            }
            for tap in 0..kernel {
                let Some((first, sample, count)) = sizes.range(tap) else { continue };
                let offset = (tap * channels_out + first_channel) * channels_in;
                add_product(
                    [channels, count, channels_in],
                    (out, View { offset: first, rows: length_out, columns: 1 }),
                    (&taps, View { offset, rows: channels_in, columns: 1 }),
                    (x, View { offset: sample, rows: length, columns: options.stride }),
                );
            }
        },
    );
    tensor(out, &[batch, channels_out, length_out])
}

/// Gradient for the signal: `[batch, channels_in, length]`.
pub(super) fn signal_gradient<T: Real>(grad: &FlexTensor, weight: &FlexTensor, sizes: Sizes) -> FlexTensor {
    let Sizes { batch, channels_in, channels_out, length, length_out, kernel, options } = sizes;
    let grad = values::<T>(grad);
    let taps = taps_first(values::<T>(weight), sizes);
    let blocks = channels_in.div_ceil(CHANNELS);

    let mut out = vec![T::ZERO; batch * channels_in * length];
    pieces(&mut out, channels_in * length, CHANNELS * length).into_par_iter().enumerate().for_each(|(piece, out)| {
        let (record, block) = (piece / blocks, piece % blocks);
        let channels = out.len() / length;
        let grad = &grad[record * channels_out * length_out..][..channels_out * length_out];
        for tap in 0..kernel {
            let Some((first, sample, count)) = sizes.range(tap) else { continue };
            let offset = tap * channels_out * channels_in + block * CHANNELS;
            add_product(
                [channels, count, channels_out],
                (out, View { offset: sample, rows: length, columns: options.stride }),
                (&taps, View { offset, rows: 1, columns: channels_in }),
                (grad, View { offset: first, rows: length_out, columns: 1 }),
            );
        }
    });
    tensor(out, &[batch, channels_in, length])
}

/// Gradient for the weight: `[channels_out, channels_in, kernel]`.
pub(super) fn weight_gradient<T: Real>(
    grad: &FlexTensor,
    x: &FlexTensor,
    weight: &FlexTensor,
    options: Conv1dOptions,
) -> FlexTensor {
    let sizes = Sizes::new(std::slice::from_ref(x), weight, options);
    let Sizes { channels_in, channels_out, length, length_out, kernel, .. } = sizes;
    let (grad, x) = (values::<T>(grad), values::<T>(x));
    let matrix = channels_out * channels_in;

    let sums: Vec<Vec<T>> = x
        .par_chunks(RECORDS * channels_in * length)
        .zip(grad.par_chunks(RECORDS * channels_out * length_out))
        .map(|(x, grad)| {
            let mut sum = vec![T::ZERO; kernel * matrix];
            let records = x.chunks_exact(channels_in * length).zip(grad.chunks_exact(channels_out * length_out));
            for (x, grad) in records {
                for tap in 0..kernel {
                    let Some((first, sample, count)) = sizes.range(tap) else { continue };
                    add_product(
                        [channels_out, channels_in, count],
                        (&mut sum, View { offset: tap * matrix, rows: channels_in, columns: 1 }),
                        (grad, View { offset: first, rows: length_out, columns: 1 }),
                        (x, View { offset: sample, rows: options.stride, columns: length }),
                    );
                }
            }
            sum
        })
        .collect();

    let mut out = vec![T::ZERO; matrix * kernel];
    for sum in &sums {
        for tap in 0..kernel {
            for (out, value) in out[tap..].iter_mut().step_by(kernel).zip(&sum[tap * matrix..][..matrix]) {
                *out += *value;
            }
        }
    }
    tensor(out, &[channels_out, channels_in, kernel])
}

/// Gradient for the bias: `[channels_out]`.
pub(super) fn bias_gradient<T: Real>(grad: &FlexTensor) -> FlexTensor {
    let shape = grad.layout().shape();
    let (channels, length) = (shape[1], shape[2]);
    let grad = values::<T>(grad);
    let of_channel = |channel: usize| {
        let mut total = T::ZERO;
        for record in grad.chunks_exact(channels * length) {
            total += sum(&record[channel * length..][..length]);
        }
        total
    };
    tensor((0..channels).into_par_iter().map(of_channel).collect(), &[channels])
}

/// Sum in sixteen interleaved partial sums, which vectorizes and has one fixed order.
fn sum<T: Real>(values: &[T]) -> T {
    let mut partial = [T::ZERO; 16];
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (partial, value) in partial.iter_mut().zip(chunk) {
            *partial += *value;
        }
    }
    for (partial, value) in partial.iter_mut().zip(rest) {
        *partial += *value;
    }
    let mut width = 16;
    while width > 1 {
        width /= 2;
        for index in 0..width {
            let upper = partial[index + width];
            partial[index] += upper;
        }
    }
    partial[0]
}

/// Cuts each record of `out` into pieces of `piece` values; the last of a record may be shorter.
pub(super) fn pieces<T>(out: &mut [T], record: usize, piece: usize) -> Vec<&mut [T]> {
    out.chunks_mut(record.max(1)).flat_map(|record| record.chunks_mut(piece.max(1))).collect()
}
