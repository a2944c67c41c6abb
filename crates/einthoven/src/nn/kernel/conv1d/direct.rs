//! Convolution in single precision without matrix products over memory: sums stay in registers
//! over all input channels and taps, and each signal is copied once, with its padding, unless it can
//! be read where it lies.
//!
//! Every tap reads consecutive values, from an offset of its own (`grid`). The gradient for the
//! signal is the same sum with channels exchanged and taps turned around, once per phase of the
//! stride.

use std::mem::MaybeUninit;

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::cpu::{tensor, values};
use super::super::lanes::{Job, Lanes, Vectorized};
use super::super::memory;
use super::super::scratch::Scratch;
use super::super::tile::{Tiles, Turn, multiply_new, pack_rows, pack_turned};
use super::super::weight_gradient::{self, Extents, Signal, weight_gradient};
use super::Conv1dOptions;
use super::grid::{Grid, Joined};
use super::product::{Sizes, pieces};

/// Channels of the result per piece of work where there are few records, whole tiles.
const CHANNELS: usize = 64;

/// Channels of the result per piece of work: all of a record where there are records enough for every
/// thread, so that the signal is copied once per record. No sum depends on it.
fn piece_channels(batch: usize, channels: usize) -> usize {
    let threads = rayon::current_num_threads();
    if threads == 1 || batch >= 2 * threads { channels } else { CHANNELS }
}

/// Output of the convolution: `[batch, channels_out, length_out]`.
pub(super) fn forward(
    signals: &[FlexTensor],
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    options: Conv1dOptions,
) -> FlexTensor {
    let Sizes { batch, channels_in, channels_out, length_out, kernel, .. } = Sizes::new(signals, weight, options);
    let (x, weight, bias) = (Joined::new(signals), values::<f32>(weight), bias.map(values::<f32>));
    let shifts: Vec<usize> = (0..kernel).map(|tap| tap * options.dilation).collect();
    let grid = Grid::new(&shifts, options.stride, length_out, options.padding as isize);
    let weights = pack_rows(weight, channels_in * kernel);
    let starts = x.starts(&grid);
    let share = piece_channels(batch, channels_out);
    let shares = channels_out.div_ceil(share);

    let count = batch * channels_out * length_out;
    let mut out = memory::fresh::<f32>(count);
    let pieces = pieces(&mut out, channels_out * length_out, share * length_out);
    pieces.into_par_iter().enumerate().for_each_init(Scratch::new, |scratch, (piece, out)| {
        let (record, first) = (piece / shares, piece % shares * share);
        let rows = x.rows(&grid, record, scratch);
        let (weights, bias) = (&weights[first * starts.len()..], bias.map(|bias| &bias[first..]));
        f32::run(Correlate { rows, starts: &starts, weights, bias, out, count: length_out });
    });
    // SAFETY: the pieces are all of the memory, and `Correlate` writes every value of its own.
    let out = unsafe { memory::written(out) };
    tensor(out, &[batch, channels_out, length_out])
}

/// Gradient for the `channels_in` channels of the signal from `first_channel` on:
/// `[batch, channels_in, length]`.
pub(super) fn signal_gradient(
    grad: &FlexTensor,
    weight: &FlexTensor,
    sizes: Sizes,
    [first_channel, channels_in]: [usize; 2],
) -> FlexTensor {
    let Sizes { batch, channels_in: all_channels, channels_out, length, length_out, kernel, options } = sizes;
    let (grad, weight) = (values::<f32>(grad), values::<f32>(weight));
    let Conv1dOptions { stride, padding, dilation } = options;

    // Sample `q * stride + phase - padding` gets `grad[q - shift]` for each tap that starts at
    // `shift * stride + phase`; turned around, the largest shift comes first.
    let phases: Vec<_> = (0..stride)
        .map(|phase| {
            let taps: Vec<usize> = (0..kernel).filter(|tap| tap * dilation % stride == phase).collect();
            let shift = |tap: &usize| tap * dilation / stride;
            let largest = taps.last().map_or(0, shift);
            // The first and the number of `q` whose sample exists.
            let first = padding.saturating_sub(phase).div_ceil(stride);
            let sample = first * stride + phase - padding;
            let count = length.saturating_sub(sample).div_ceil(stride);
            let shifts: Vec<usize> = taps.iter().map(|tap| largest - shift(tap)).collect();
            let grid = Grid::new(&shifts, 1, count, largest as isize - first as isize);
            let weights =
                pack_turned(&weight[first_channel * kernel..], all_channels * kernel, kernel, channels_in, &taps);
            let starts = grid.starts(length_out, channels_out);
            (grid, starts, weights, sample, count)
        })
        .collect();
    let share = piece_channels(batch, channels_in);
    let shares = channels_in.div_ceil(share);

    let total = batch * channels_in * length;
    let mut out = memory::fresh::<f32>(total);
    pieces(&mut out, channels_in * length, share * length).into_par_iter().enumerate().for_each_init(
        || (Scratch::new(), Vec::new()),
        |(scratch, part), (piece, out)| {
            if stride > 1 {
                // Phases without taps leave their samples at zero.
                out.fill(MaybeUninit::new(0.0));
            }
            let (record, first) = (piece / shares, piece % shares * share);
            let grad = &grad[record * channels_out * length_out..][..channels_out * length_out];
            for (grid, starts, weights, sample, count) in &phases {
                if starts.is_empty() || *count == 0 {
                    continue;
                }
                let rows = grid.rows(grad, length_out, scratch);
                let (weights, size) = (&weights[first * starts.len()..], out.len() / length * count);
                if stride == 1 {
                    f32::run(Correlate { rows, starts, weights, bias: None, out: &mut *out, count: *count });
                    continue;
                }
                part.resize(size, MaybeUninit::new(0.0));
                let part = &mut part[..size];
                f32::run(Correlate { rows, starts, weights, bias: None, out: &mut *part, count: *count });
                for (out, part) in out.chunks_exact_mut(length).zip(part.chunks_exact(*count)) {
                    for (out, value) in out[*sample..].iter_mut().step_by(stride).zip(part) {
                        *out = *value;
                    }
                }
            }
        },
    );
    // SAFETY: the pieces are all of the memory. With a stride they were filled; without one the only phase has a tap
    // and reaches every sample, and `Correlate` writes every value of its own.
    let out = unsafe { memory::written(out) };
    tensor(out, &[batch, channels_in, length])
}

/// Gradients for the weight, `[channels_out, channels_in, kernel]`, and for the bias,
/// `[channels_out]`.
pub(super) fn weight_gradients(
    grad: &FlexTensor,
    signals: &[FlexTensor],
    weight: &FlexTensor,
    options: Conv1dOptions,
) -> [FlexTensor; 2] {
    let Sizes { batch, channels_in, channels_out, length, length_out, kernel, .. } =
        Sizes::new(signals, weight, options);
    let Conv1dOptions { stride, padding, dilation } = options;
    let x = Joined::new(signals);
    let width = weight_gradient::width(channels_in);
    let write = |record: usize, to: &mut [f32]| {
        let (before, rest) = to.split_at_mut(padding * width);
        let (mut inside, after) = rest.split_at_mut(length * width);
        before.fill(0.0);
        after.fill(0.0);
        for (from, channels) in x.parts(record) {
            f32::run(Turn { from, pitch: length, length, levels: &[], to: inside, width });
            inside = &mut inside[channels..];
        }
    };
    let taps: Vec<usize> = (0..kernel).map(|tap| tap * dilation).collect();
    let samples = length + 2 * padding;
    let (rows, columns, minimal) = (channels_out, channels_in, None);
    let extents = Extents { batch, rows, columns, length: length_out, taps: &taps, stride, samples, minimal };
    let (weight, bias) = weight_gradient(&extents, values::<f32>(grad), &Signal::Written(&write));
    [tensor(weight, &[channels_out, channels_in, kernel]), tensor(bias, &[channels_out])]
}

/// `out[o][p] = bias[o] + sum over the terms, which are channels and taps, of weight * rows[start + p]`.
struct Correlate<'a> {
    rows: &'a [f32],
    /// Start of each term.
    starts: &'a [usize],
    /// Packed in tiles of outputs.
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    /// All of it is written.
    out: &'a mut [MaybeUninit<f32>],
    /// Positions per output channel.
    count: usize,
}

impl Job<f32> for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<f32>>(self) {
        let Correlate { rows, starts, weights, bias, out, count } = self;
        let terms = starts.len();
        let sizes = [out.len() / count, count, terms];
        multiply_new::<f32, L>(sizes, (out, count), bias, (weights, Tiles::packed(terms)), (rows, |k| starts[k]));
    }
}
