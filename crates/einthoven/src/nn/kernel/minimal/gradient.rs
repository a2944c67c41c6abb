//! The gradient of the weight: per column what each tap gets from four slopes, by the same points. What is
//! added up over columns and records are the products; the taps follow from their sums.

use super::super::cpu::{Real, View};
use super::super::lanes::{Job, Lanes};
use super::super::tile::{LINE, multiply};
use super::signal::{Gathered, at_points};
use super::{COLUMNS, Chunk, POINTS, Plan, ROWS, TAPS, evaluation};

/// Chunks whose columns are added up in one product.
const CHUNKS: usize = 2;

/// Values of room for [`add_record`] on a turned signal of this width.
pub(in super::super) fn room(width: usize) -> [usize; 2] {
    [POINTS * CHUNKS * COLUMNS * width, POINTS * ROWS * CHUNKS * COLUMNS]
}

/// Adds what one record gives to `sums`, `[POINTS, rows, columns]`.
///
/// `slopes` is `[rows, plan.length]`, `signal` the turned one with its padding, `[samples, width]`; the room is that of
/// [`room`].
#[inline(always)]
pub(in super::super) fn add_record<T: Real, L: Lanes<T>>(
    plan: &Plan,
    [rows, columns]: [usize; 2],
    slopes: &[T],
    (signal, width): (&[T], usize),
    sums: &mut [T],
    [evaluated, spread]: [&mut [T]; 2],
) {
    const PITCH: usize = CHUNKS * COLUMNS;
    let mut gathered = Gathered::new();
    for begin in (0..plan.chunks()).step_by(CHUNKS) {
        let end = plan.chunks().min(begin + CHUNKS);
        let mut terms = 0;
        for index in begin..end {
            let chunk = plan.chunk(index);
            let to = &mut evaluated[(index - begin) * COLUMNS * width..];
            chunk.evaluate_turned::<T, L>(signal, width, to, PITCH * width);
            terms += chunk.columns;
        }
        for first in (0..rows).step_by(ROWS) {
            let count = ROWS.min(rows - first);
            for row in 0..count {
                let slopes = &slopes[(first + row) * plan.length..][..plan.length];
                for index in begin..end {
                    let to = &mut spread[row * PITCH + (index - begin) * COLUMNS..];
                    plan.chunk(index).evaluate_slopes::<T, L>(slopes, to, ROWS * PITCH, &mut gathered);
                }
            }
            for (point, sums) in sums.chunks_exact_mut(rows * columns).enumerate() {
                let view = View { offset: point * ROWS * PITCH, rows: PITCH, columns: 1 };
                let right = &evaluated[point * PITCH * width..][..PITCH * width];
                multiply::<T, L, true>(
                    [count, columns, terms],
                    (&mut sums[first * columns..][..count * columns], columns),
                    (&*spread, view),
                    (right, |column| column * width),
                );
            }
        }
    }
}

impl Chunk {
    /// Evaluates all channels of a signal that lies turned: `[COLUMNS, width]` for each point, `plane` apart.
    #[inline(always)]
    fn evaluate_turned<T: Real, L: Lanes<T>>(&self, signal: &[T], width: usize, to: &mut [T], plane: usize) {
        let samples = signal.len() / width;
        for run in self.stretches(0) {
            for column in 0..run.count {
                let first = run.first + column;
                // Beyond its end the signal is zero.
                let row = |step: usize| match first + step * self.plan.dilation {
                    sample if sample < samples => &signal[sample * width..][..width],
                    _ => &[],
                };
                let [a, b, c, d, e, f] = [row(0), row(1), row(2), row(3), row(4), row(5)];
                let to = &mut to[(run.at + column) * width..];
                for at in (0..width).step_by(L::WIDTH) {
                    let values = at_points::<T, L>([
                        L::load_or(a.get(at..).unwrap_or_default(), T::ZERO),
                        L::load_or(b.get(at..).unwrap_or_default(), T::ZERO),
                        L::load_or(c.get(at..).unwrap_or_default(), T::ZERO),
                        L::load_or(d.get(at..).unwrap_or_default(), T::ZERO),
                        L::load_or(e.get(at..).unwrap_or_default(), T::ZERO),
                        L::load_or(f.get(at..).unwrap_or_default(), T::ZERO),
                    ]);
                    for point in 0..POINTS {
                        values[point].store(&mut to[point * plane + at..][..L::WIDTH]);
                    }
                }
            }
        }
    }
}

/// The gradient of each tap from `sums`, `[POINTS, n]`: `[n, taps]`.
pub(in super::super) struct FromPoints<'a, T> {
    pub sums: &'a [T],
    pub weight: &'a mut [T],
}

impl<T: Real> Job<T> for FromPoints<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let factors = evaluation::<T>();
        let size = self.sums.len() / POINTS;
        let mut rows = [[T::ZERO; LINE]; TAPS];
        for (line, weight) in self.weight.chunks_mut(LINE * TAPS).enumerate() {
            for at in (0..LINE).step_by(L::WIDTH) {
                for (tap, row) in rows.iter_mut().enumerate() {
                    let mut sum = L::splat(T::ZERO);
                    for (point, factors) in factors.iter().enumerate() {
                        let sums = &self.sums[point * size..][..size];
                        let sums = sums.get(line * LINE + at..).unwrap_or_default();
                        sum = L::load_or(sums, T::ZERO).mul_add(L::splat(factors[tap]), sum);
                    }
                    sum.store(&mut row[at..]);
                }
            }
            for (place, weight) in weight.chunks_exact_mut(TAPS).enumerate() {
                for (weight, row) in weight.iter_mut().zip(&rows) {
                    *weight = row[place];
                }
            }
        }
    }
}
