//! Convolution in single precision without matrix products over memory: sums stay in registers
//! over all input channels and taps, and each signal is copied once, with its padding.
//!
//! A copied row holds one channel at one phase of the stride: with stride 2, even samples in one
//! row and odd ones in the next. Every tap then reads consecutive values, from an offset of its own
//! ([`Grid`]). The gradient for the signal is the same sum with channels exchanged and taps turned
//! around, once per phase of the stride.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::cpu::{tensor, values};
use super::super::lanes::{Job, Lanes, Vectorized};
use super::Conv1dOptions;
use super::product::{Sizes, pieces};

/// Output channels whose weights lie side by side.
const TILE: usize = 8;

/// Output channels per piece of work, a multiple of [`TILE`]. Fixed, so that pieces do not depend
/// on batch size or threads.
const CHANNELS: usize = 64;

/// Samples over which one task sums a weight gradient before the tasks' sums are added in order.
const SAMPLES: usize = 1024;

/// Numbers in a cache line, and the most lanes of a vector.
const LINE: usize = 16;

/// A cache line of numbers, so that buffers start at the start of one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

// SAFETY: sixteen `f32` of 4 bytes fill the 64 bytes of the line, and any bits are valid.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above; the line has no padding and no pointers.
unsafe impl bytemuck::Pod for Line {}

/// `lines` cache lines of zeros.
fn buffer(lines: usize) -> Vec<Line> {
    vec![Line([0.0; LINE]); lines]
}

/// Where each channel, phase and tap lies in a copied signal.
struct Grid {
    /// Rows per channel.
    phases: usize,
    /// Distance between rows, an odd number of cache lines so that rows spread over the cache.
    pitch: usize,
    /// Start of each tap relative to the first row of a channel.
    taps: Vec<usize>,
    /// Zeros before the signal; negative when its first samples are left out.
    left: isize,
}

impl Grid {
    /// For taps that start `shifts` samples after the first of `count` outputs `phases` apart.
    fn new(shifts: &[usize], phases: usize, count: usize, left: isize) -> Grid {
        let reach = shifts.iter().max().map_or(0, |shift| shift / phases) + count.next_multiple_of(LINE);
        let pitch = (reach.div_ceil(LINE) | 1) * LINE;
        let taps = shifts.iter().map(|shift| shift % phases * pitch + shift / phases).collect();
        Grid { phases, pitch, taps, left }
    }

    fn channel(&self) -> usize {
        self.phases * self.pitch
    }

    /// Copies the channels of `signal`, of `length` samples each, into `rows`.
    fn copy(&self, signal: &[f32], length: usize, rows: &mut [f32]) {
        for (signal, rows) in signal.chunks_exact(length).zip(rows.chunks_exact_mut(self.channel())) {
            for (phase, row) in rows.chunks_exact_mut(self.pitch).enumerate() {
                // Value `j` of the row is sample `j * phases + phase - left`.
                let first = self.left - phase as isize;
                let zeros = first.max(0).unsigned_abs().div_ceil(self.phases).min(row.len());
                let (before, row) = row.split_at_mut(zeros);
                before.fill(0.0);
                let start = ((zeros * self.phases) as isize - first).unsigned_abs().min(length);
                let count = (length - start).div_ceil(self.phases).min(row.len());
                let (inside, after) = row.split_at_mut(count);
                if self.phases == 1 {
                    inside.copy_from_slice(&signal[start..start + count]);
                } else {
                    for (value, sample) in inside.iter_mut().zip(signal[start..].iter().step_by(self.phases)) {
                        *value = *sample;
                    }
                }
                after.fill(0.0);
            }
        }
    }
}

/// Weights in the order in which [`Correlate`] reads them: tiles of output channels; in a tile
/// input channels; in these taps; in these the tile's channels, zeros beyond the last.
fn pack(outputs: usize, inputs: usize, taps: usize, weight: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let mut packed = Vec::with_capacity(outputs.next_multiple_of(TILE) * inputs * taps);
    for tile in (0..outputs).step_by(TILE) {
        for input in 0..inputs {
            for tap in 0..taps {
                for output in tile..tile + TILE {
                    packed.push(if output < outputs { weight(output, input, tap) } else { 0.0 });
                }
            }
        }
    }
    packed
}

/// Output of the convolution: `[batch, channels_out, length_out]`.
pub(super) fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    options: Conv1dOptions,
) -> FlexTensor {
    let sizes = Sizes::new(x, weight, options);
    let Sizes { batch, channels_in, channels_out, length, length_out, kernel, .. } = sizes;
    let (x, weight, bias) = (values::<f32>(x), values::<f32>(weight), bias.map(values::<f32>));
    let shifts: Vec<usize> = (0..kernel).map(|tap| tap * options.dilation).collect();
    let grid = Grid::new(&shifts, options.stride, length_out, options.padding as isize);
    let weights =
        pack(channels_out, channels_in, kernel, |out, input, tap| weight[(out * channels_in + input) * kernel + tap]);
    let blocks = channels_out.div_ceil(CHANNELS);

    let mut out = vec![0.0; batch * channels_out * length_out];
    pieces(&mut out, channels_out * length_out, CHANNELS * length_out).into_par_iter().enumerate().for_each_init(
        || buffer(channels_in * grid.channel() / LINE),
        |rows, (piece, out)| {
            let (record, channel) = (piece / blocks, piece % blocks * CHANNELS);
            let rows: &mut [f32] = bytemuck::cast_slice_mut(rows);
            grid.copy(&x[record * channels_in * length..][..channels_in * length], length, rows);
            f32::run(Correlate {
                rows,
                channels: channels_in,
                channel: grid.channel(),
                taps: &grid.taps,
                weights: &weights[channel * channels_in * kernel..],
                bias: bias.map(|bias| &bias[channel..]),
                out,
                count: length_out,
            });
        },
    );
    tensor(out, &[batch, channels_out, length_out])
}

/// Gradient for the signal: `[batch, channels_in, length]`.
pub(super) fn signal_gradient(
    grad: &FlexTensor,
    x: &FlexTensor,
    weight: &FlexTensor,
    options: Conv1dOptions,
) -> FlexTensor {
    let sizes = Sizes::new(x, weight, options);
    let Sizes { batch, channels_in, channels_out, length, length_out, kernel, .. } = sizes;
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
                weight[(input * channels_in + out) * kernel + taps[tap]]
            });
            (grid, weights, sample, count, taps.len())
        })
        .collect();
    let largest = phases.iter().map(|(grid, ..)| grid.channel()).max().unwrap_or(LINE);
    let blocks = channels_in.div_ceil(CHANNELS);

    let mut out = vec![0.0; batch * channels_in * length];
    pieces(&mut out, channels_in * length, CHANNELS * length).into_par_iter().enumerate().for_each_init(
        || (buffer(channels_out * largest / LINE), Vec::new()),
        |(rows, part), (piece, out)| {
            let (record, channel) = (piece / blocks, piece % blocks * CHANNELS);
            let grad = &grad[record * channels_out * length_out..][..channels_out * length_out];
            let rows: &mut [f32] = bytemuck::cast_slice_mut(rows);
            for (grid, weights, sample, count, taps) in &phases {
                if *taps == 0 || *count == 0 {
                    continue;
                }
                let rows = &mut rows[..channels_out * grid.channel()];
                grid.copy(grad, length_out, rows);
                let channels = out.len() / length;
                if stride > 1 {
                    part.resize(channels * count, 0.0);
                }
                f32::run(Correlate {
                    rows,
                    channels: channels_out,
                    channel: grid.channel(),
                    taps: &grid.taps,
                    weights: &weights[channel * channels_out * taps..],
                    bias: None,
                    out: if stride > 1 { &mut part[..channels * count] } else { out },
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
        },
    );
    tensor(out, &[batch, channels_in, length])
}

/// Gradient for the weight: `[channels_out, channels_in, kernel]`.
pub(super) fn weight_gradient(
    grad: &FlexTensor,
    x: &FlexTensor,
    weight: &FlexTensor,
    options: Conv1dOptions,
) -> FlexTensor {
    let sizes = Sizes::new(x, weight, options);
    let Sizes { batch, channels_in, channels_out, length, length_out, kernel, .. } = sizes;
    let (grad, x) = (values::<f32>(grad), values::<f32>(x));
    let shifts: Vec<usize> = (0..kernel).map(|tap| tap * options.dilation).collect();
    let signals = Grid::new(&shifts, options.stride, length_out, options.padding as isize);
    let grads = Grid::new(&[0], 1, length_out, 0);
    let columns: Vec<usize> = (0..channels_in)
        .flat_map(|channel| signals.taps.iter().map(move |tap| (channel, tap)))
        .map(|(channel, tap)| channel * signals.channel() + tap)
        .collect();

    let records = (SAMPLES / length_out).max(1);
    let blocks = channels_out.div_ceil(CHANNELS);
    let tasks = batch.div_ceil(records) * blocks;
    let sums: Vec<Vec<f32>> = (0..tasks)
        .into_par_iter()
        .map_init(
            || (Vec::new(), Vec::new()),
            |(left, right), task| {
                let (first, channel) = (task / blocks * records, task % blocks * CHANNELS);
                let records = records.min(batch - first);
                let channels = CHANNELS.min(channels_out - channel);
                let rows = channels.next_multiple_of(4) * grads.pitch;
                let signal = channels_in * signals.channel();
                left.resize(records * rows / LINE, Line([0.0; LINE]));
                right.resize(records * signal / LINE, Line([0.0; LINE]));
                let left: &mut [f32] = bytemuck::cast_slice_mut(left);
                let right: &mut [f32] = bytemuck::cast_slice_mut(right);
                for record in 0..records {
                    let from = ((first + record) * channels_out + channel) * length_out;
                    let left = &mut left[record * rows..][..rows];
                    grads.copy(&grad[from..from + channels * length_out], length_out, left);
                    left[channels * grads.pitch..].fill(0.0);
                    let from = (first + record) * channels_in * length;
                    let right = &mut right[record * signal..][..signal];
                    signals.copy(&x[from..from + channels_in * length], length, right);
                }
                let mut sum = vec![0.0; channels * columns.len()];
                f32::run(Outer {
                    left: &left[..records * rows],
                    right: &right[..records * signal],
                    records,
                    pitch: grads.pitch,
                    columns: &columns,
                    count: length_out,
                    sum: &mut sum,
                });
                sum
            },
        )
        .collect();

    let mut out = vec![0.0; channels_out * channels_in * kernel];
    for (task, sum) in sums.iter().enumerate() {
        let from = task % blocks * CHANNELS * columns.len();
        for (out, value) in out[from..].iter_mut().zip(sum) {
            *out += *value;
        }
    }
    tensor(out, &[channels_out, channels_in, kernel])
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
    out: &'a mut [f32],
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
        let first = tile + lane;
        for (out, sums) in self.out.chunks_exact_mut(self.count).skip(first).zip(sums) {
            for (n, sum) in sums.into_iter().enumerate() {
                let from = at + n * L::WIDTH;
                if from < out.len() {
                    sum.store(&mut out[from..]);
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
        assert!(reach <= self.pitch && rows * self.pitch * self.records <= self.left.len(), "gradients are too short");
        assert!(last + reach <= self.right.len() / self.records, "a tap reaches beyond the copied signal");
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
        let (left_record, right_record) = (self.left.len() / self.records, self.right.len() / self.records);
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
                for (row, sums) in self.sum.chunks_exact_mut(width).skip(first_row).zip(sums) {
                    for (sum, lanes) in row[first_column..].iter_mut().zip(sums) {
                        *sum += lanes.sum();
                    }
                }
            }
        }
    }
}
