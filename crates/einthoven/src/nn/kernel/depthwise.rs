//! Convolution channel by channel over the rows and taps of a spectrogram, with gradient.
//!
//! The rows of one channel fit into the nearest cache. They are copied there with what lies beyond their ends and
//! every `stride`-th sample side by side, so that all taps read whole vectors. The result and the gradient for the
//! signal are then sums of lines times a number; the gradient for the weight is a product of two lines for each tap.

use burn::tensor::ops::PadMode;
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values};
use super::fused::{self, FusedOp};
use super::lanes::{Job, Lanes};
use super::memory;
use super::scratch::Scratch;
use super::tile::LINE;

/// Vectors of a line that are summed together.
const BLOCKS: usize = 4;

/// Lengths of lines are rounded up to this: [`BLOCKS`] of the widest vectors.
const STEP: usize = 64;

/// What lies beyond the first and the last row and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Zeros.
    Zeros,
    /// The outermost values again.
    Repeat,
}

/// How a kernel moves over spectrograms.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseOptions {
    /// Rows of each spectrogram.
    pub rows: usize,
    /// Distance along the width between neighboring results.
    pub stride: usize,
    /// What is around a spectrogram: half the kernel's rows, and `(taps - 1) / 2` columns at both ends.
    pub edge: Edge,
}

/// Each channel convolved by kernels of its own.
///
/// # Shape
/// `x` is `[batch * row, channel, width]`, `weight` `[channel, multiple, row, tap]` with an odd number of rows and
/// taps that are a multiple of the stride, `bias` `[channel]`. The result is `[batch * row, channel, positions *
/// multiple]`, with what the kernels of a channel give for one position side by side.
///
/// # Panics
/// If sizes do not match, or the kernel is wider than the signal with its edges.
pub fn depthwise(x: Tensor<3>, weight: Tensor<4>, bias: Tensor<1>, options: DepthwiseOptions) -> Tensor<3> {
    let sizes = Sizes::new(x.dims(), weight.dims(), bias.dims(), options);
    if !fused::runs_here(&x.device(), &[x.dtype(), weight.dtype(), bias.dtype()]) {
        return depthwise_reference(x, weight, bias, options);
    }
    let inputs = vec![x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(fused::run(sizes, inputs))
}

/// [`depthwise`] by the framework's own operations: the reference for tests, and what devices other than the CPU
/// run.
///
/// The sum over the taps is written out: channel by channel, a convolution would be too small to be worth its call.
pub fn depthwise_reference(x: Tensor<3>, weight: Tensor<4>, bias: Tensor<1>, options: DepthwiseOptions) -> Tensor<3> {
    let sizes = Sizes::new(x.dims(), weight.dims(), bias.dims(), options);
    let Sizes { batch, rows, channels, width, multiple, reach, taps, stride, positions, .. } = sizes;
    let (above, before) = (reach / 2, sizes.margin());
    let edge = match options.edge {
        Edge::Zeros => PadMode::Constant(0.0),
        Edge::Repeat => PadMode::Edge,
    };
    let x = x.reshape([batch, rows, channels, width]).swap_dims(1, 2);
    let x = x.pad([(above, above), (before, before)], edge);
    // What an incomplete last stride leaves over is seen by no tap.
    let strides = (width + 2 * before) / stride;
    let shape = [batch, channels, rows + 2 * above, strides, stride];
    let phases: Tensor<5> = x.narrow(3, 0, strides * stride).reshape(shape);
    let mut y = bias.reshape([1, channels, 1, 1, 1]);
    for row in 0..reach {
        for tap in 0..taps {
            let seen = phases.clone().narrow(2, row, rows).narrow(3, tap / stride, positions);
            let factors = weight.clone().narrow(2, row, 1).narrow(3, tap, 1);
            y = y + seen.narrow(4, tap % stride, 1) * factors.reshape([1, channels, 1, 1, multiple]);
        }
    }
    y.swap_dims(1, 2).reshape([batch * rows, channels, positions * multiple])
}

/// Extents of the operation.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Spectrograms.
    batch: usize,
    /// Rows of a spectrogram.
    rows: usize,
    channels: usize,
    /// Columns of a spectrogram.
    width: usize,
    /// Kernels of a channel.
    multiple: usize,
    /// Rows of a kernel.
    reach: usize,
    /// Columns of a kernel.
    taps: usize,
    stride: usize,
    /// Places of a kernel along the width.
    positions: usize,
    edge: Edge,
}

impl Sizes {
    fn new(x: [usize; 3], weight: [usize; 4], bias: [usize; 1], options: DepthwiseOptions) -> Sizes {
        let DepthwiseOptions { rows, stride, edge } = options;
        let ([records, channels, width], [kernels, multiple, reach, taps]) = (x, weight);
        assert!(rows > 0 && records > 0 && records.is_multiple_of(rows), "depthwise: {records} lines of {rows} rows");
        assert!(
            kernels == channels && bias[0] == channels && channels > 0,
            "depthwise: {channels} channels, {kernels} kernels, {} biases",
            bias[0]
        );
        assert!(multiple > 0 && reach % 2 == 1, "depthwise: found a kernel of {reach} rows, expected an odd number");
        assert!(
            taps > 0 && stride > 0 && taps.is_multiple_of(stride),
            "depthwise: found {taps} taps and stride {stride}, expected a multiple of the stride"
        );
        let padded = width + 2 * ((taps - 1) / 2);
        assert!(width > 0 && padded >= taps, "depthwise: found {taps} taps for a width of {width}");
        let (batch, positions) = (records / rows, (padded - taps) / stride + 1);
        Sizes { batch, rows, channels, width, multiple, reach, taps, stride, positions, edge }
    }

    /// Columns before a spectrogram.
    fn margin(&self) -> usize {
        (self.taps - 1) / 2
    }

    /// Whole strides that a kernel sees beyond its first.
    fn lead(&self) -> usize {
        (self.taps - 1) / self.stride
    }

    /// Samples of a line that are seen, one of every stride.
    fn seen(&self) -> usize {
        self.positions + self.lead()
    }

    /// Distance between lines: whole steps can be read from each place that a tap starts at.
    fn pitch(&self) -> usize {
        self.seen().next_multiple_of(STEP) + self.lead().next_multiple_of(LINE)
    }

    /// Values of a spectrogram, and of its result.
    fn counts(&self) -> [usize; 2] {
        let lines = self.rows * self.channels;
        [lines * self.width, lines * self.positions * self.multiple]
    }

    /// Number of weights.
    fn weights(&self) -> usize {
        self.channels * self.multiple * self.reach * self.taps
    }

    /// The row that a kernel's row sees from a row.
    fn source(&self, row: usize, kernel_row: usize) -> Option<usize> {
        let (place, above, last) = (row + kernel_row, self.reach / 2, self.rows - 1);
        match self.edge {
            Edge::Zeros => (above..=above + last).contains(&place).then(|| place - above),
            Edge::Repeat => Some(place.saturating_sub(above).min(last)),
        }
    }

    /// Index of the first of the weights of a kernel's row.
    fn weight(&self, channel: usize, kernel: usize, kernel_row: usize) -> usize {
        ((channel * self.multiple + kernel) * self.reach + kernel_row) * self.taps
    }

    /// The places of a phase that are inside the spectrogram, and the column of the first.
    fn inside(&self, phase: usize) -> (usize, usize, usize) {
        let (margin, stride) = (self.margin(), self.stride);
        let place = |column: usize| column.saturating_sub(phase).div_ceil(stride).min(self.seen());
        let (first, end) = (place(margin), place(margin + self.width));
        (first, end.max(first), (first * stride + phase).saturating_sub(margin))
    }

    /// Copies a line with its edges, phase after phase.
    fn spread<T: Real>(&self, line: &[T], to: &mut [T]) {
        let (seen, pitch) = (self.seen(), self.pitch());
        let [before, after] = match self.edge {
            Edge::Zeros => [T::ZERO; 2],
            Edge::Repeat => [line[0], line[line.len() - 1]],
        };
        for (phase, to) in to.chunks_exact_mut(pitch).enumerate() {
            let (first, end, column) = self.inside(phase);
            to[..first].fill(before);
            if self.stride == 1 {
                to[first..end].copy_from_slice(&line[column..column + end - first]);
            } else if end > first {
                for (to, value) in to[first..end].iter_mut().zip(line[column..].iter().step_by(self.stride)) {
                    *to = *value;
                }
            }
            to[end..seen].fill(after);
            to[seen..].fill(T::ZERO);
        }
    }

    /// Adds the gradient for a phase to that for its line.
    fn merge<T: Real>(&self, phase: usize, from: &[T], line: &mut [T]) {
        let (first, end, column) = self.inside(phase);
        if end > first {
            for (to, value) in line[column..].iter_mut().step_by(self.stride).zip(&from[first..end]) {
                *to += *value;
            }
        }
        if self.edge == Edge::Repeat {
            from[..first].iter().for_each(|value| line[0] += *value);
            from[end..self.seen()].iter().for_each(|value| line[self.width - 1] += *value);
        }
    }
}

impl FusedOp for Sizes {
    fn forward(&self, inputs: Vec<FlexTensor>, keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => forward::<f64>(self, &inputs),
            _ => forward::<f32>(self, &inputs),
        };
        let mut kept = inputs;
        kept.truncate(if keep { 2 } else { 0 });
        (out, kept)
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        match grad.dtype() {
            DType::F64 => gradients::<f64>(self, &grad, &kept, wanted),
            _ => gradients::<f32>(self, &grad, &kept, wanted),
        }
    }
}

fn forward<T: Real>(sizes: &Sizes, inputs: &[FlexTensor]) -> FlexTensor {
    let [count, count_out] = sizes.counts();
    let [x, weight, bias] = [0, 1, 2].map(|index| values::<T>(&inputs[index]));
    let out = memory::in_pieces_beside(sizes.batch * count_out, count_out, x.par_chunks(count), |_, out, x| {
        T::run(Forward { sizes, x, weight, bias, out, scratch: &mut Scratch::new() });
    });
    tensor(out, &[sizes.batch * sizes.rows, sizes.channels, sizes.positions * sizes.multiple])
}

fn gradients<T: Real>(
    sizes: &Sizes,
    grad: &FlexTensor,
    kept: &[FlexTensor],
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let [count, count_out] = sizes.counts();
    let (grad, x, weight) = (values::<T>(grad), values::<T>(&kept[0]), values::<T>(&kept[1]));
    let has_weight = wanted[1] || wanted[2];
    let size = sizes.weights() + sizes.channels;
    let mut parts = vec![T::ZERO; sizes.batch * size];
    let records = parts.par_chunks_mut(size).zip(grad.par_chunks(count_out).zip(x.par_chunks(count)));
    let backward = |for_x: &mut [T], (sums, (grad, x))| {
        let (sums, scratch) = (has_weight.then_some(sums), &mut Scratch::new());
        T::run(Backward { sizes, grad, x, weight, for_x, sums, scratch });
    };
    let for_x = if wanted[0] {
        Some(memory::in_pieces_beside(x.len(), count, records, |_, for_x, record| backward(for_x, record)))
    } else {
        records.for_each(|record| backward(&mut [], record));
        None
    };
    let mut totals = vec![0.0; size];
    for part in parts.chunks_exact(size) {
        for (total, value) in totals.iter_mut().zip(part) {
            *total += value.into_f64();
        }
    }
    let totals: Vec<T> = totals.into_iter().map(T::from_f64).collect();
    let (for_weight, for_bias) = totals.split_at(sizes.weights());
    let &Sizes { batch, rows, channels, width, multiple, reach, taps, .. } = sizes;
    vec![
        for_x.map(|for_x| tensor(for_x, &[batch * rows, channels, width])),
        wanted[1].then(|| tensor(for_weight.to_vec(), &[channels, multiple, reach, taps])),
        wanted[2].then(|| tensor(for_bias.to_vec(), &[channels])),
    ]
}

/// `level` plus a sum of stretches of `lines`, each from its place on times its factor; `to` is whole steps.
#[inline(always)]
fn sum<T: Real, L: Lanes<T>>(terms: &[(usize, T)], level: T, lines: &[T], to: &mut [T]) {
    let size = BLOCKS * L::WIDTH;
    for (at, to) in to.chunks_exact_mut(size).enumerate() {
        let mut sums = [L::splat(level); BLOCKS];
        for (place, factor) in terms {
            let (from, factor) = (&lines[place + at * size..][..size], L::splat(*factor));
            for (block, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the slice holds a vector for each block.
                let values = unsafe { L::load(from.as_ptr().add(block * L::WIDTH)) };
                *sum = values.mul_add(factor, *sum);
            }
        }
        for (block, sum) in sums.into_iter().enumerate() {
            sum.store(&mut to[block * L::WIDTH..]);
        }
    }
}

/// One spectrogram.
struct Forward<'a, T> {
    sizes: &'a Sizes,
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    out: &'a mut [T],
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> Job<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let &Sizes { rows, channels, width, multiple, reach, taps, stride, positions, .. } = self.sizes;
        let (pitch, width_out) = (self.sizes.pitch(), positions * multiple);
        let [lines, line] = self.scratch.split([rows * stride * pitch, positions.next_multiple_of(STEP)]);
        let mut terms = Vec::with_capacity(reach * taps);
        for channel in 0..channels {
            for (row, to) in lines.chunks_exact_mut(stride * pitch).enumerate() {
                self.sizes.spread(&self.x[(row * channels + channel) * width..][..width], to);
            }
            for row in 0..rows {
                let out = &mut self.out[(row * channels + channel) * width_out..][..width_out];
                for kernel in 0..multiple {
                    terms.clear();
                    for kernel_row in 0..reach {
                        let Some(source) = self.sizes.source(row, kernel_row) else { continue };
                        let weight = &self.weight[self.sizes.weight(channel, kernel, kernel_row)..][..taps];
                        terms.extend(
                            weight.iter().enumerate().map(|(tap, weight)| {
                                ((source * stride + tap % stride) * pitch + tap / stride, *weight)
                            }),
                        );
                    }
                    sum::<T, L>(&terms, self.bias[channel], lines, line);
                    if multiple == 1 {
                        out.copy_from_slice(&line[..positions]);
                    } else {
                        for (to, value) in out[kernel..].iter_mut().step_by(multiple).zip(&line[..positions]) {
                            *to = *value;
                        }
                    }
                }
            }
        }
    }
}

/// The gradients that one spectrogram gives.
struct Backward<'a, T> {
    sizes: &'a Sizes,
    grad: &'a [T],
    x: &'a [T],
    weight: &'a [T],
    /// Zeros; empty if not wanted.
    for_x: &'a mut [T],
    /// For the weight and the bias.
    sums: Option<&'a mut [T]>,
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> Job<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(mut self) {
        let sizes = self.sizes;
        let &Sizes { rows, channels, width, multiple, stride, positions, .. } = sizes;
        let (pitch, lead, width_out) = (sizes.pitch(), sizes.lead(), positions * multiple);
        let room = [rows * multiple * pitch, rows * stride * pitch, sizes.seen().next_multiple_of(STEP)];
        let [slopes, lines, line] = self.scratch.split(room);
        slopes.fill(T::ZERO);
        let mut terms = Vec::new();
        for channel in 0..channels {
            for row in 0..rows {
                let grad = &self.grad[(row * channels + channel) * width_out..][..width_out];
                for kernel in 0..multiple {
                    let to = &mut slopes[(row * multiple + kernel) * pitch + lead..][..positions];
                    if multiple == 1 {
                        to.copy_from_slice(grad);
                    } else {
                        for (to, value) in to.iter_mut().zip(grad[kernel..].iter().step_by(multiple)) {
                            *to = *value;
                        }
                    }
                }
            }
            for (row, target) in self.for_x.chunks_exact_mut(width * channels).enumerate() {
                for phase in 0..stride {
                    terms.clear();
                    push_reverse(sizes, self.weight, [channel, row, phase], &mut terms);
                    sum::<T, L>(&terms, T::ZERO, slopes, line);
                    sizes.merge(phase, line, &mut target[channel * width..][..width]);
                }
            }
            let Some(sums) = &mut self.sums else { continue };
            for (row, to) in lines.chunks_exact_mut(stride * pitch).enumerate() {
                sizes.spread(&self.x[(row * channels + channel) * width..][..width], to);
            }
            let (for_weight, for_bias) = sums.split_at_mut(sizes.weights());
            products::<T, L>(sizes, slopes, lines, &mut for_weight[sizes.weight(channel, 0, 0)..]);
            let mut total = L::splat(T::ZERO);
            for part in slopes.chunks(L::WIDTH) {
                total = total.add(L::load_or(part, T::ZERO));
            }
            for_bias[channel] = total.sum();
        }
    }
}

/// What the gradient for a phase of a row is a sum of.
fn push_reverse<T: Real>(
    sizes: &Sizes,
    weight: &[T],
    [channel, source, phase]: [usize; 3],
    terms: &mut Vec<(usize, T)>,
) {
    for row in 0..sizes.rows {
        for kernel_row in (0..sizes.reach).filter(|kernel_row| sizes.source(row, *kernel_row) == Some(source)) {
            for kernel in 0..sizes.multiple {
                let first = sizes.weight(channel, kernel, kernel_row);
                let line = (row * sizes.multiple + kernel) * sizes.pitch() + sizes.lead();
                let taps = (phase..sizes.taps).step_by(sizes.stride);
                terms.extend(taps.map(|tap| (line - tap / sizes.stride, weight[first + tap])));
            }
        }
    }
}

/// The gradient for the weights of a channel.
#[inline(always)]
fn products<T: Real, L: Lanes<T>>(sizes: &Sizes, slopes: &[T], lines: &[T], to: &mut [T]) {
    for kernel in 0..sizes.multiple {
        for kernel_row in 0..sizes.reach {
            let to = &mut to[sizes.weight(0, kernel, kernel_row)..][..sizes.taps];
            for first in (0..sizes.taps).step_by(4) {
                let (at, to) = ([kernel, kernel_row, first], &mut to[first..]);
                match to.len() {
                    1 => taps::<T, L, 1>(sizes, at, slopes, lines, to),
                    2 => taps::<T, L, 2>(sizes, at, slopes, lines, to),
                    3 => taps::<T, L, 3>(sizes, at, slopes, lines, to),
                    _ => taps::<T, L, 4>(sizes, at, slopes, lines, to),
                }
            }
        }
    }
}

/// The gradient for `N` neighboring taps.
#[inline(always)]
fn taps<T: Real, L: Lanes<T>, const N: usize>(
    sizes: &Sizes,
    [kernel, kernel_row, first]: [usize; 3],
    slopes: &[T],
    lines: &[T],
    to: &mut [T],
) {
    let (pitch, stride, lead) = (sizes.pitch(), sizes.stride, sizes.lead());
    let mut sums = [L::splat(T::ZERO); N];
    for row in 0..sizes.rows {
        let Some(source) = sizes.source(row, kernel_row) else { continue };
        let slopes = &slopes[(row * sizes.multiple + kernel) * pitch + lead..];
        let places: [usize; N] = std::array::from_fn(|index| {
            let tap = first + index;
            (source * stride + tap % stride) * pitch + tap / stride
        });
        for at in (0..sizes.positions).step_by(L::WIDTH) {
            let slope = L::load_or(&slopes[at..], T::ZERO);
            for (sum, place) in sums.iter_mut().zip(places) {
                *sum = L::load_or(&lines[place + at..], T::ZERO).mul_add(slope, *sum);
            }
        }
    }
    for (to, sum) in to.iter_mut().zip(sums) {
        *to = sum.sum();
    }
}
