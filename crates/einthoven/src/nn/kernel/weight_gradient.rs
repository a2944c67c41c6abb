//! The gradient of a weight that slides over a signal: of a convolution, and of the gated layer.
//!
//! Each record's signal is turned first, channels side by side. Each tap is then a product of matrices whose
//! vectors lie along the channels, and a stride or a dilation is only another distance between rows.

use rayon::prelude::*;

use super::cpu::{Real, View};
use super::lanes::{Job, Lanes};
use super::tile::{self, Scratch, multiply};

/// Positions over which one task sums before the tasks' sums are added in order.
const GROUP: usize = 512;

/// Positions after which a product goes on to the next tap.
const POSITIONS: usize = 128;

/// Rows that are summed together.
const ROWS: usize = 4;

/// Extents of a weight gradient.
pub(super) struct Extents<'a> {
    /// Records.
    pub batch: usize,
    /// Channels of the result of the layer.
    pub rows: usize,
    /// Channels of its signal.
    pub columns: usize,
    /// Positions of the result.
    pub length: usize,
    /// The turned sample that each tap reads for position 0.
    pub taps: &'a [usize],
    /// Turned samples between neighboring positions.
    pub stride: usize,
    /// Turned samples per record.
    pub samples: usize,
}

/// Distance between the samples of a turned signal of this many channels.
pub(super) fn width(columns: usize) -> usize {
    tile::pitch(columns)
}

/// The signal of each record, `[samples, width]`; what lies beyond the channels does not count.
pub(super) enum Signal<'a, T> {
    /// As it lies in memory, record after record.
    Turned(&'a [T]),
    /// Written by a function when its turn comes.
    Written(&'a (dyn Fn(usize, &mut [T]) + Sync)),
}

/// `weight[row][column][tap]` = sum over records and positions of `slopes[row][p] * signal[p * stride +
/// tap][column]`, and the sums of the slopes per row. `slopes` is `[batch, rows, length]`.
pub(super) fn weight_gradient<T: Real>(extents: &Extents, slopes: &[T], signal: &Signal<T>) -> (Vec<T>, Vec<T>) {
    let Extents { batch, rows, columns, length, taps, samples, .. } = *extents;
    let records = (GROUP / length).max(1);
    let groups = batch.div_ceil(records);
    let share = rows.div_ceil(shares(groups)).next_multiple_of(tile::TILE);
    let shares = rows.div_ceil(share);
    let record_size = samples * width(columns);
    let parts: Vec<(Vec<T>, Vec<f64>)> = (0..groups * shares)
        .into_par_iter()
        .map_init(Scratch::new, |scratch, task| {
            let (first_record, first) = (task / shares * records, task % shares * share);
            let count = share.min(rows - first);
            let mut weight = vec![T::ZERO; taps.len() * count * columns];
            let mut bias = vec![0.0; count];
            for record in first_record..batch.min(first_record + records) {
                let signal = match signal {
                    Signal::Turned(all) => &all[record * record_size..][..record_size],
                    Signal::Written(write) => {
                        let [turned] = scratch.split([record_size]);
                        write(record, turned);
                        turned
                    }
                };
                let slopes = &slopes[(record * rows + first) * length..][..count * length];
                T::run(AddRecord { extents, slopes, signal, weight: &mut weight, bias: &mut bias });
            }
            (weight, bias)
        })
        .collect();

    // Groups are added in their order; parts of a group are rows of the result.
    let mut weight = vec![T::ZERO; rows * columns * taps.len()];
    let mut bias = vec![0.0; rows];
    let block = share * taps.len() * columns;
    weight.par_chunks_mut(block).zip(bias.par_chunks_mut(share)).enumerate().for_each(|(part, (weight, bias))| {
        let mut total = vec![T::ZERO; weight.len()];
        for (sum, sums) in parts.iter().skip(part).step_by(shares) {
            for (total, value) in total.iter_mut().zip(sum) {
                *total += *value;
            }
            for (total, value) in bias.iter_mut().zip(sums) {
                *total += *value;
            }
        }
        let matrix = total.len() / taps.len();
        for (tap, total) in total.chunks_exact(matrix).enumerate() {
            for (to, value) in weight[tap..].iter_mut().step_by(taps.len()).zip(total) {
                *to = *value;
            }
        }
    });
    (weight, bias.into_iter().map(T::from_f64).collect())
}

/// Pieces that each group of records is cut into, so that every thread has work. No sum depends on it.
fn shares(groups: usize) -> usize {
    let threads = rayon::current_num_threads();
    if groups >= 2 * threads || groups.is_multiple_of(threads) { 1 } else { (2 * threads).div_ceil(groups) }
}

/// Adds what one record gives: `weight` is `[taps, rows, columns]`.
struct AddRecord<'a, T> {
    extents: &'a Extents<'a>,
    slopes: &'a [T],
    signal: &'a [T],
    weight: &'a mut [T],
    bias: &'a mut [f64],
}

impl<T: Real> Job<T> for AddRecord<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Extents { columns, length, taps, stride, .. } = *self.extents;
        let (rows, width) = (self.bias.len(), width(columns));
        // Several rows at a time, because each addition waits for the one before.
        for (totals, part) in self.bias.chunks_mut(ROWS).zip(self.slopes.chunks(ROWS * length)) {
            let mut sums = [L::splat(T::ZERO); ROWS];
            for at in (0..length).step_by(L::WIDTH) {
                for (row, sum) in sums.iter_mut().enumerate().take(totals.len()) {
                    *sum = sum.add(L::load_or(&part[row * length..][at..length], T::ZERO));
                }
            }
            for (row, total) in totals.iter_mut().enumerate() {
                *total += sums[row].sum().into_f64();
            }
        }
        let view = View { offset: 0, rows: length, columns: 1 };
        for at in (0..length).step_by(POSITIONS) {
            let terms = POSITIONS.min(length - at);
            for (tap, weight) in taps.iter().zip(self.weight.chunks_exact_mut(rows * columns)) {
                multiply::<T, L, true>(
                    [rows, columns, terms],
                    (weight, columns),
                    (&self.slopes[at..], view),
                    (self.signal, |t| ((at + t) * stride + tap) * width),
                );
            }
        }
    }
}
