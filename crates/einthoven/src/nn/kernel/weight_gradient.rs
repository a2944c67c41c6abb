//! The gradient of a weight that slides over a signal: of a convolution, and of the gated layer.
//!
//! Each record's signal is turned first, channels side by side. Each tap is then a product of matrices whose
//! vectors lie along the channels, and a stride or a dilation is only another distance between rows.

use rayon::prelude::*;

use super::cpu::{Real, View};
use super::lanes::{Job, Lanes};
use super::memory;
use super::minimal::{self, POINTS, Plan};
use super::scratch::Scratch;
use super::tile::{self, multiply};

/// Positions over which one task sums at least before the tasks' sums are added in order.
const GROUP: usize = 512;

/// Most tasks that a batch is parted into: each holds a weight of its own until all are added.
const GROUPS: usize = 16;

/// Positions after which a product goes on to the next tap.
const POSITIONS: usize = 128;

/// Rows whose groups are added by one task, whole tiles.
const PART: usize = 32;

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
    /// With fewer multiplications, where that is faster.
    pub minimal: Option<Plan>,
}

impl Extents<'_> {
    /// Matrices that are summed: one per tap, or one per point.
    fn planes(&self) -> usize {
        self.minimal.map_or(self.taps.len(), |_| POINTS)
    }
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
    let Extents { batch, rows, columns, length, taps, samples, minimal, .. } = *extents;
    let planes = extents.planes();
    let records = (GROUP / length).max(batch.div_ceil(GROUPS)).max(1);
    let groups = batch.div_ceil(records);
    let share = rows.div_ceil(shares(groups)).next_multiple_of(PART);
    let shares = rows.div_ceil(share);
    let record_size = samples * width(columns);
    let parts: Vec<(Vec<T>, Vec<f64>)> = (0..groups * shares)
        .into_par_iter()
        .map_init(Scratch::new, |scratch, task| {
            let (first_record, first) = (task / shares * records, task % shares * share);
            let count = share.min(rows - first);
            let mut weight = vec![T::ZERO; planes * count * columns];
            let mut bias = vec![0.0; count];
            let turned_size = if matches!(signal, Signal::Written(_)) { record_size } else { 0 };
            let [evaluated, spread] = minimal.map_or([0, 0], |_| minimal::gradient_room(width(columns)));
            let [turned, evaluated, spread] = scratch.split([turned_size, evaluated, spread]);
            for record in first_record..batch.min(first_record + records) {
                let signal = match signal {
                    Signal::Turned(all) => &all[record * record_size..][..record_size],
                    Signal::Written(write) => {
                        write(record, turned);
                        &*turned
                    }
                };
                let slopes = &slopes[(record * rows + first) * length..][..count * length];
                let room = [&mut *evaluated, &mut *spread];
                T::run(AddRecord { extents, slopes, signal, weight: &mut weight, bias: &mut bias, room });
            }
            (weight, bias)
        })
        .collect();

    // Groups are added in their order.
    let piece = PART * columns * taps.len();
    let weight = memory::in_pieces(rows * columns * taps.len(), piece, |part, weight: &mut [T]| {
        let (share_index, first) = (part * PART / share, part * PART % share);
        let count = share.min(rows - share_index * share);
        let size = weight.len() / taps.len();
        let mut scratch = Scratch::new();
        let [total] = scratch.split([planes * size]);
        total.fill(T::ZERO);
        for (plane, total) in total.chunks_exact_mut(size).enumerate() {
            for (sum, _) in parts.iter().skip(share_index).step_by(shares) {
                for (total, value) in total.iter_mut().zip(&sum[(plane * count + first) * columns..][..size]) {
                    *total += *value;
                }
            }
        }
        if minimal.is_some() {
            T::run(minimal::FromPoints { sums: total, weight });
            return;
        }
        for (tap, total) in total.chunks_exact(size).enumerate() {
            for (to, value) in weight[tap..].iter_mut().step_by(taps.len()).zip(total) {
                *to = *value;
            }
        }
    });
    let mut bias = vec![0.0; rows];
    for (task, (_, sums)) in parts.iter().enumerate() {
        for (total, value) in bias[task % shares * share..].iter_mut().zip(sums) {
            *total += *value;
        }
    }
    (weight, bias.into_iter().map(T::from_f64).collect())
}

/// Pieces that each group of records is cut into, so that every thread has work. No sum depends on it.
fn shares(groups: usize) -> usize {
    let threads = rayon::current_num_threads();
    if groups >= 2 * threads || groups.is_multiple_of(threads) { 1 } else { (2 * threads).div_ceil(groups) }
}

/// Adds what one record gives: `weight` is `[planes, rows, columns]`.
struct AddRecord<'a, T> {
    extents: &'a Extents<'a>,
    slopes: &'a [T],
    signal: &'a [T],
    weight: &'a mut [T],
    bias: &'a mut [f64],
    /// As [`minimal::gradient_room`] says.
    room: [&'a mut [T]; 2],
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
        if let Some(plan) = &self.extents.minimal {
            let sizes = [rows, columns];
            minimal::add_record::<T, L>(plan, sizes, self.slopes, (self.signal, width), self.weight, self.room);
            return;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_agree_with_the_sum_on_any_number_of_threads() {
        let (batch, rows, columns, length, stride, taps) = (3, 70, 5, 300, 2, [0, 3]);
        let samples = (length - 1) * stride + 4;
        let extents = Extents { batch, rows, columns, length, taps: &taps, stride, samples, minimal: None };
        let noise = |count: usize, salt: usize| -> Vec<f64> {
            (0..count).map(|index| ((index * 7919 + salt) % 1009) as f64 / 504.5 - 1.0).collect()
        };
        let (slopes, turned) = (noise(batch * rows * length, 1), noise(batch * samples * width(columns), 2));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| weight_gradient(&extents, &slopes, &Signal::Turned(&turned)))
        };
        let (weight, bias) = run(1);
        for row in 0..rows {
            let slope = |record: usize, at: usize| slopes[(record * rows + row) * length + at];
            let pairs = || (0..batch).flat_map(|record| (0..length).map(move |at| (record, at)));
            let sum: f64 = pairs().map(|(record, at)| slope(record, at)).sum();
            assert!((sum - bias[row]).abs() < 1e-9, "bias {row}");
            for column in 0..columns {
                for (tap, start) in taps.into_iter().enumerate() {
                    let signal =
                        |record, at| turned[(record * samples + at * stride + start) * width(columns) + column];
                    let sum: f64 = pairs().map(|(record, at)| slope(record, at) * signal(record, at)).sum();
                    let found = weight[(row * columns + column) * 2 + tap];
                    assert!((sum - found).abs() < 1e-9, "row {row}, column {column}, tap {tap}");
                }
            }
        }
        for threads in [2, 3, 5] {
            assert!(run(threads) == (weight.clone(), bias.clone()), "{threads} threads");
        }
    }
}
