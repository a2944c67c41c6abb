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
use super::Conv1dOptions;
use super::grid::{Grid, Joined, TILE, pack, sized};
use super::product::{Sizes, pieces};

/// Output channels whose weights are used together, a multiple of [`TILE`]: as many as stay in the
/// cache while the loop goes along the signal.
const CHANNELS: usize = 64;

/// Samples over which one task sums a weight gradient before the tasks' sums are added in order.
const SAMPLES: usize = 1024;

/// Channels of the result per piece of work: all of a record where there are records enough for every
/// thread, so that the signal is copied once per record. No sum depends on it.
fn piece_channels(batch: usize, channels: usize) -> usize {
    if batch >= 2 * rayon::current_num_threads() { channels } else { CHANNELS }
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
    let weights =
        pack(channels_out, channels_in, kernel, |out, input, tap| weight[(out * channels_in + input) * kernel + tap]);
    let share = piece_channels(batch, channels_out);
    let shares = channels_out.div_ceil(share);

    let count = batch * channels_out * length_out;
    let mut out: Vec<f32> = Vec::with_capacity(count);
    let memory = &mut out.spare_capacity_mut()[..count];
    pieces(memory, channels_out * length_out, share * length_out).into_par_iter().enumerate().for_each_init(
        Vec::new,
        |rows, (piece, out)| {
            let (record, first) = (piece / shares, piece % shares * share);
            let (rows, pitch) = x.rows(&grid, record, 1, rows);
            for (block, out) in out.chunks_mut(CHANNELS * length_out).enumerate() {
                let channel = first + block * CHANNELS;
                f32::run(Correlate {
                    rows,
                    channels: channels_in,
                    channel: pitch,
                    taps: &grid.taps,
                    weights: &weights[channel * channels_in * kernel..],
                    bias: bias.map(|bias| &bias[channel..]),
                    out,
                    count: length_out,
                });
            }
        },
    );
    // SAFETY: the pieces are all of the memory, and `Correlate` writes every value of its own.
    unsafe { out.set_len(count) };
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
            let weights = pack(channels_in, channels_out, taps.len(), |out, input, tap| {
                weight[(input * all_channels + first_channel + out) * kernel + taps[tap]]
            });
            (grid, weights, sample, count, taps.len())
        })
        .collect();
    let share = piece_channels(batch, channels_in);
    let shares = channels_in.div_ceil(share);

    let total = batch * channels_in * length;
    let mut out: Vec<f32> = Vec::with_capacity(total);
    let memory = &mut out.spare_capacity_mut()[..total];
    pieces(memory, channels_in * length, share * length).into_par_iter().enumerate().for_each_init(
        || (Vec::new(), Vec::new()),
        |(buffer, part), (piece, out)| {
            if stride > 1 {
                // Phases without taps leave their samples at zero.
                out.fill(MaybeUninit::new(0.0));
            }
            let (record, first) = (piece / shares, piece % shares * share);
            let grad = &grad[record * channels_out * length_out..][..channels_out * length_out];
            for (grid, weights, sample, count, taps) in &phases {
                if *taps == 0 || *count == 0 {
                    continue;
                }
                let (rows, pitch) = grid.rows(grad, length_out, buffer);
                for (block, out) in out.chunks_mut(CHANNELS * length).enumerate() {
                    let (channel, channels) = (first + block * CHANNELS, out.len() / length);
                    if stride > 1 {
                        part.resize(channels * count, MaybeUninit::new(0.0));
                    }
                    f32::run(Correlate {
                        rows,
                        channels: channels_out,
                        channel: pitch,
                        taps: &grid.taps,
                        weights: &weights[channel * channels_out * taps..],
                        bias: None,
                        out: if stride > 1 { &mut part[..channels * count] } else { &mut *out },
                        count: *count,
                    });
                    if stride > 1 {
                        for (out, part) in out.chunks_exact_mut(length).zip(part.chunks_exact(*count)) {
                            for (out, value) in out[*sample..].iter_mut().step_by(stride).zip(part) {
                                *out = *value;
                            }
                        }
                    }
                }
            }
        },
    );
    // SAFETY: the pieces are all of the memory. With a stride they were filled; without one the only phase has a tap
    // and reaches every sample, and `Correlate` writes every value of its own.
    unsafe { out.set_len(total) };
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
    let (grad, x) = (values::<f32>(grad), Joined::new(signals));
    let shifts: Vec<usize> = (0..kernel).map(|tap| tap * options.dilation).collect();
    let signals = Grid::new(&shifts, options.stride, length_out, options.padding as isize);
    let grads = Grid::new(&[0], 1, length_out, 0);
    let right_pitch = if signals.is_plain(length) { length } else { signals.channel() };
    let columns: Vec<usize> = (0..channels_in)
        .flat_map(|channel| signals.taps.iter().map(move |tap| (channel, tap)))
        .map(|(channel, tap)| channel * right_pitch + tap)
        .collect();

    let records = (SAMPLES / length_out).max(1);
    let groups = batch.div_ceil(records);
    let share = piece_channels(groups, channels_out);
    let shares = channels_out.div_ceil(share);
    let sums: Vec<(Vec<f32>, Vec<f32>)> = (0..groups * shares)
        .into_par_iter()
        .map_init(
            || (Vec::new(), Vec::new()),
            |(left, right), task| {
                let (first, channel) = (task / shares * records, task % shares * share);
                let records = records.min(batch - first);
                let channels = share.min(channels_out - channel);
                let mut sum = vec![0.0; channels * columns.len()];
                let mut bias = vec![0.0; channels];

                let grad = &grad[(first * channels_out + channel) * length_out..];
                let in_place = grads.is_plain(length_out) && channels.is_multiple_of(4);
                let (left, left_record, left_pitch) = if in_place {
                    (grad, channels_out * length_out, length_out)
                } else {
                    let rows = channels.next_multiple_of(4) * grads.pitch;
                    let left = sized(left, records * rows);
                    for (record, left) in left.chunks_exact_mut(rows).enumerate() {
                        let from = record * channels_out * length_out;
                        grads.copy(&grad[from..from + channels * length_out], length_out, left);
                        left[channels * grads.pitch..].fill(0.0);
                    }
                    (&*left, rows, grads.pitch)
                };
                let (right, _) = x.rows(&signals, first, records, right);
                let right_record = channels_in * right_pitch;
                f32::run(RowSums { left, records, left_record, pitch: left_pitch, count: length_out, sums: &mut bias });
                for (block, sum) in sum.chunks_mut(CHANNELS * columns.len()).enumerate() {
                    f32::run(Outer {
                        left: &left[block * CHANNELS * left_pitch..],
                        right,
                        records,
                        left_record,
                        right_record,
                        pitch: left_pitch,
                        columns: &columns,
                        count: length_out,
                        sum,
                    });
                }
                (sum, bias)
            },
        )
        .collect();

    let mut out = vec![0.0; channels_out * channels_in * kernel];
    let mut bias = vec![0.0; channels_out];
    for (task, (sum, part)) in sums.iter().enumerate() {
        let channel = task % shares * share;
        for (out, value) in out[channel * columns.len()..].iter_mut().zip(sum) {
            *out += *value;
        }
        for (out, value) in bias[channel..].iter_mut().zip(part) {
            *out += *value;
        }
    }
    [tensor(out, &[channels_out, channels_in, kernel]), tensor(bias, &[channels_out])]
}

/// `sums[row]` = sum over records and positions of `left[record][row][p]`.
struct RowSums<'a> {
    left: &'a [f32],
    records: usize,
    left_record: usize,
    pitch: usize,
    count: usize,
    sums: &'a mut [f32],
}

impl Job<f32> for RowSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<f32>>(self) {
        for (row, sum) in self.sums.iter_mut().enumerate() {
            let mut lanes = L::splat(0.0);
            for record in 0..self.records {
                let values = &self.left[record * self.left_record + row * self.pitch..][..self.count];
                for values in values.chunks(L::WIDTH) {
                    lanes = lanes.add(L::load_or(values, 0.0));
                }
            }
            *sum = lanes.sum();
        }
    }
}

/// `out[o][p] = bias[o] + sum over channels and taps of weight * rows[channel][tap + p]`.
struct Correlate<'a> {
    rows: &'a [f32],
    /// Input channels, and the distance between them in `rows`.
    channels: usize,
    channel: usize,
    taps: &'a [usize],
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
    fn run<L: Lanes<f32>>(mut self) {
        let last = self.taps.iter().max().map_or(0, |tap| *tap);
        let reach = (self.channels - 1) * self.channel + last + self.count.next_multiple_of(L::WIDTH);
        let outputs = self.out.len() / self.count;
        assert!(reach <= self.rows.len(), "a tap reaches beyond the copied signal");
        assert!(
            outputs.next_multiple_of(TILE) * self.channels * self.taps.len() <= self.weights.len(),
            "the packed weights are too short"
        );
        let mut at = 0;
        while at < self.count {
            let left = (self.count - at).div_ceil(L::WIDTH);
            let vectors = match left {
                1 => 1,
                2 | 4 => 2,
                _ => 3,
            };
            for tile in (0..outputs).step_by(TILE) {
                // SAFETY: the assertions above cover every position below `count`, rounded up to
                // whole vectors, and every tile; `at + vectors * WIDTH` does not exceed that.
                unsafe {
                    match vectors {
                        1 => self.tile::<L, 1>(at, tile),
                        2 => self.tile::<L, 2>(at, tile),
                        _ => self.tile::<L, 3>(at, tile),
                    }
                }
            }
            at += vectors * L::WIDTH;
        }
    }
}

impl Correlate<'_> {
    /// As many channels at once as there are registers for their sums.
    ///
    /// # Safety
    ///
    /// As for [`Correlate::block`].
    #[inline(always)]
    unsafe fn tile<L: Lanes<f32>, const N: usize>(&mut self, at: usize, tile: usize) {
        // SAFETY: passed on to the caller.
        unsafe {
            if L::WIDTH == 16 {
                self.block::<L, 8, N>(at, tile, 0);
            } else {
                self.block::<L, 4, N>(at, tile, 0);
                self.block::<L, 4, N>(at, tile, 4);
            }
        }
    }

    /// `N` vectors of positions from `at` on, of `M` output channels from `tile + lane` on.
    ///
    /// # Safety
    ///
    /// `rows` holds `at + N * WIDTH` values after the start of every tap of every channel, and
    /// `weights` holds the tile's weights.
    #[inline(always)]
    unsafe fn block<L: Lanes<f32>, const M: usize, const N: usize>(&mut self, at: usize, tile: usize, lane: usize) {
        let mut sums = [[L::splat(0.0); N]; M];
        if let Some(bias) = self.bias {
            for (sums, bias) in sums.iter_mut().zip(bias.iter().skip(tile + lane)) {
                *sums = [L::splat(*bias); N];
            }
        }
        let mut weights = self.weights[tile * self.channels * self.taps.len() + lane..].as_ptr();
        let mut row = self.rows[at..].as_ptr();
        for channel in 0..self.channels {
            for tap in self.taps {
                // SAFETY: by the contract of this function.
                unsafe {
                    let from = row.add(*tap);
                    let values: [L; N] = std::array::from_fn(|n| L::load(from.add(n * L::WIDTH)));
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let weight = L::splat(*weights.add(m));
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = value.mul_add(weight, *sum);
                        }
                    }
                    weights = weights.wrapping_add(TILE);
                }
            }
            if channel + 1 < self.channels {
                row = row.wrapping_add(self.channel);
            }
        }
        // By index: an iterator over the sums would move them to memory first.
        let first = tile + lane;
        let outputs = (self.out.len() / self.count).saturating_sub(first);
        for m in 0..M.min(outputs) {
            let out = &mut self.out[(first + m) * self.count..][..self.count];
            for n in 0..N {
                if let Some(out) = out.get_mut(at + n * L::WIDTH..) {
                    sums[m][n].store_new(out);
                }
            }
        }
    }
}

/// `sum[row][column]` = sum over records and positions of `left[record][row][p]` times
/// `right[record][column + p]`.
struct Outer<'a> {
    left: &'a [f32],
    right: &'a [f32],
    records: usize,
    /// Distances between records.
    left_record: usize,
    right_record: usize,
    /// Distance between rows of `left`, which come in multiples of four per record.
    pitch: usize,
    columns: &'a [usize],
    count: usize,
    sum: &'a mut [f32],
}

impl Job<f32> for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<f32>>(mut self) {
        let reach = self.count.next_multiple_of(L::WIDTH);
        let last = self.columns.iter().max().map_or(0, |column| *column);
        let rows = (self.sum.len() / self.columns.len()).next_multiple_of(4);
        let records = self.records - 1;
        assert!(
            reach <= self.pitch && records * self.left_record + rows * self.pitch <= self.left.len(),
            "gradients are too short"
        );
        assert!(
            records * self.right_record + last + reach <= self.right.len(),
            "a tap reaches beyond the copied signal"
        );
        // SAFETY: the assertions cover every row, column and record, with positions rounded up to
        // whole vectors.
        unsafe { if L::WIDTH == 16 { self.tiles::<L, 4, 6>() } else { self.tiles::<L, 2, 4>() } }
    }
}

impl Outer<'_> {
    /// Sums of `M` rows and `N` columns at a time; beyond the last column it is repeated.
    ///
    /// # Safety
    ///
    /// `left` and `right` hold `count` values, rounded up to whole vectors, after the start of
    /// every row and column of every record; rows come in multiples of four.
    #[inline(always)]
    unsafe fn tiles<L: Lanes<f32>, const M: usize, const N: usize>(&mut self) {
        let width = self.columns.len();
        let rows = self.sum.len() / width;
        let (left_record, right_record) = (self.left_record, self.right_record);
        for first_column in (0..width).step_by(N) {
            let columns: [usize; N] = std::array::from_fn(|n| self.columns[(first_column + n).min(width - 1)]);
            for first_row in (0..rows).step_by(M) {
                let mut sums = [[L::splat(0.0); N]; M];
                for record in 0..self.records {
                    let left = self.left[record * left_record + first_row * self.pitch..].as_ptr();
                    let right = self.right[record * right_record..].as_ptr();
                    for at in (0..self.count).step_by(L::WIDTH) {
                        // SAFETY: by the contract of this function.
                        unsafe {
                            let left: [L; M] = std::array::from_fn(|m| L::load(left.add(m * self.pitch + at)));
                            for n in 0..N {
                                let right = L::load(right.add(columns[n] + at));
                                for m in 0..M {
                                    sums[m][n] = left[m].mul_add(right, sums[m][n]);
                                }
                            }
                        }
                    }
                }
                for m in 0..M.min(rows - first_row) {
                    for n in 0..N.min(width - first_column) {
                        self.sum[(first_row + m) * width + first_column + n] += sums[m][n].sum();
                    }
                }
            }
        }
    }
}
