//! The gradients of the layer, in three passes: through the gate, through the convolution to the
//! signal, and to the weights.

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::columns::Columns;
use super::super::cpu::{Real, View, tensor, values, values_mut};
use super::super::lanes::{Job, Lanes};
use super::super::tile::{LINE, Scratch, multiply};
use super::{BLOCK, Gate, Layer, Sizes, window};

/// Rows of a weight per piece of work, and samples after which it goes on to the next tap.
const ROWS: usize = 32;
const SAMPLES: usize = 128;

/// Gradients in the order of the inputs. `for_state` holds the gradient of the result and becomes the one
/// for the state.
pub(super) fn run<T: Real>(
    layer: &Layer,
    mut for_state: FlexTensor,
    inputs: &[FlexTensor],
    gates: FlexTensor,
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let sizes = Sizes::<T>::new(layer, inputs);
    let Sizes { batch, residual, state, gated, length, kernel, .. } = sizes;
    let grad = values::<T>(&for_state);
    let pieces = batch * sizes.blocks();

    // Gradient for the input of the gate, and the gated signal with its channels side by side.
    let width = gated.next_multiple_of(LINE);
    let mut slopes = vec![T::ZERO; batch * 2 * gated * length];
    let mut gated_signal = vec![T::ZERO; batch * length * width];
    {
        let slopes = Columns::new(&mut slopes, length);
        let signal = Columns::new(&mut gated_signal, width);
        let gates = values::<T>(&gates);
        (0..pieces).into_par_iter().for_each_init(Scratch::new, |scratch, index| {
            T::run(ThroughGate { sizes: &sizes, index, grad, gates, slopes: &slopes, signal: &signal, scratch })
        });
    }
    drop(gates);
    let root = T::from_f64(0.5f64.sqrt());
    let (mut for_out, mut for_bias) = weight_gradient(
        &WeightSizes { batch, rows: state, columns: gated, length, taps: &[0], width, samples: length },
        grad,
        &gated_signal,
    );
    drop(gated_signal);
    for value in for_out[..residual * gated].iter_mut().chain(&mut for_bias[..residual]) {
        *value = *value * root;
    }
    let mut all = vec![None, Some(tensor(for_out, &[state, gated, 1])), Some(tensor(for_bias, &[state]))];

    if layer.dilation.is_none() {
        for record in values_mut::<T>(&mut for_state).chunks_exact_mut(state * length) {
            for value in &mut record[..residual * length] {
                *value = *value * root;
            }
        }
        all[0] = Some(for_state);
        all.push(Some(tensor(slopes, &[batch, 2 * gated, length])));
        return all;
    }

    let mut sums = vec![T::ZERO; pieces * residual];
    {
        // Weight with the channels of the signal first: [residual, 2 * gated, kernel].
        let mut turned = vec![T::ZERO; sizes.conv_weight.len()];
        for (index, value) in sizes.conv_weight.iter().enumerate() {
            let (channel, tap) = (index / kernel % residual, index % kernel);
            turned[(channel * 2 * gated + index / kernel / residual) * kernel + tap] = *value;
        }
        let out = Columns::new(values_mut::<T>(&mut for_state), length);
        sums.par_chunks_exact_mut(residual).enumerate().for_each_init(Scratch::new, |scratch, (index, sums)| {
            let (weight, slopes) = (&turned, &slopes);
            T::run(ThroughConv { sizes: &sizes, index, weight, slopes, out: &out, sums, scratch })
        });
    }
    let mut for_shift = vec![T::ZERO; batch * residual];
    for (index, sums) in sums.chunks_exact(residual).enumerate() {
        let record = index / sizes.blocks();
        for (total, sum) in for_shift[record * residual..].iter_mut().zip(sums) {
            *total += *sum;
        }
    }

    // Signal plus shift with its channels side by side, between the zeros of the padding.
    let width = residual.next_multiple_of(LINE);
    let samples = length + sizes.dilation * (kernel - 1);
    let before = sizes.dilation * (kernel / 2);
    let mut signal = vec![T::ZERO; batch * samples * width];
    let (given, shift) = (values::<T>(&inputs[0]), values::<T>(&inputs[3]));
    signal.par_chunks_exact_mut(samples * width).enumerate().for_each(|(record, to)| {
        let from = &given[record * state * length..][..residual * length];
        turn(from, length, &shift[record * residual..][..residual], &mut to[before * width..], width);
    });
    let taps: Vec<usize> = (0..kernel).map(|tap| tap * sizes.dilation).collect();
    let weights = WeightSizes { batch, rows: 2 * gated, columns: residual, length, taps: &taps, width, samples };
    let (for_weight, for_bias) = weight_gradient(&weights, &slopes, &signal);

    all[0] = Some(for_state);
    all.push(Some(tensor(for_shift, &[batch, residual])));
    all.push(Some(tensor(for_weight, &[2 * gated, residual, kernel])));
    all.push(Some(tensor(for_bias, &[2 * gated])));
    if wanted.len() == 7 {
        all.push(Some(tensor(slopes, &[batch, 2 * gated, length])));
    }
    all
}

/// Writes rows of `length` values, plus a level per row, as columns of rows `width` apart.
fn turn<T: Real>(from: &[T], length: usize, levels: &[T], to: &mut [T], width: usize) {
    // Sixteen rows at a time fill whole cache lines of the target.
    for (block, levels) in levels.chunks(LINE).enumerate() {
        for at in 0..length {
            let line = &mut to[at * width + block * LINE..][..levels.len()];
            for (row, (to, level)) in line.iter_mut().zip(levels).enumerate() {
                *to = from[(block * LINE + row) * length + at];
                *to += *level;
            }
        }
    }
}

struct ThroughGate<'a, T> {
    sizes: &'a Sizes<'a, T>,
    index: usize,
    grad: &'a [T],
    gates: &'a [T],
    slopes: &'a Columns<'a, T>,
    signal: &'a Columns<'a, T>,
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> Job<T> for ThroughGate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Sizes { residual, state, gated, length, .. } = *self.sizes;
        let (record, first, count) = self.sizes.block(self.index);
        let padded = count.next_multiple_of(LINE);
        let [given, product] = self.scratch.split([state * BLOCK, gated * BLOCK]);
        let root = T::from_f64(0.5f64.sqrt());
        for (channel, to) in given.chunks_exact_mut(BLOCK).enumerate() {
            let from = &self.grad[(record * state + channel) * length + first..][..count];
            for (to, value) in to.iter_mut().zip(from) {
                *to = if channel < residual { *value * root } else { *value };
            }
            to[count..].fill(T::ZERO);
        }
        let weight = View { offset: 0, rows: 1, columns: gated };
        let sizes = [gated, padded, state];
        multiply::<T, L, false>(sizes, (product, BLOCK), (self.sizes.out_weight, weight), (&*given, |k| k * BLOCK));

        let one = L::splat(T::ONE);
        for (channel, product) in product.chunks_exact_mut(BLOCK).enumerate() {
            let row = record * 2 * gated + channel;
            let (of_open, of_signal) = match self.sizes.gate {
                Gate::First => (row, row + gated),
                Gate::Second => (row + gated, row),
            };
            let open = &self.gates[of_open * length + first..][..count];
            let signal = &self.gates[of_signal * length + first..][..count];
            // SAFETY: record and samples belong to this piece of work alone, and the rows differ.
            let (for_open, for_signal) =
                unsafe { (self.slopes.piece(of_open, first, count), self.slopes.piece(of_signal, first, count)) };
            for at in (0..count).step_by(L::WIDTH) {
                let (s, t) = (L::load_or(&open[at..], T::ZERO), L::load_or(&signal[at..], T::ZERO));
                let g = L::load_or(&product[at..], T::ZERO);
                let gated = s.mul(t);
                g.mul(gated).mul(one.sub(s)).store(&mut for_open[at..]);
                g.mul(s).mul(one.sub(t.mul(t))).store(&mut for_signal[at..]);
                gated.store(&mut product[at..]);
            }
        }
        for at in 0..count {
            // SAFETY: record and samples belong to this piece of work alone.
            let line = unsafe { self.signal.piece(record * length + first + at, 0, gated) };
            for (channel, to) in line.iter_mut().enumerate() {
                *to = product[channel * BLOCK + at];
            }
        }
    }
}

struct ThroughConv<'a, T> {
    sizes: &'a Sizes<'a, T>,
    index: usize,
    /// `[residual, 2 * gated, kernel]`.
    weight: &'a [T],
    slopes: &'a [T],
    /// Holds the gradient for the next state.
    out: &'a Columns<'a, T>,
    sums: &'a mut [T],
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> Job<T> for ThroughConv<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Sizes { residual, state, gated, length, kernel, .. } = *self.sizes;
        let (record, first, count) = self.sizes.block(self.index);
        let terms = 2 * gated * kernel;
        let [panel, product] = self.scratch.split([terms * BLOCK, residual * BLOCK]);
        for (row, to) in panel.chunks_exact_mut(BLOCK).enumerate() {
            let slopes = &self.slopes[(record * 2 * gated + row / kernel) * length..][..length];
            window(slopes, first, -self.sizes.shift_of(row % kernel), T::ZERO, to);
        }
        let weight = View { offset: 0, rows: terms, columns: 1 };
        let sizes = [residual, count, terms];
        multiply::<T, L, false>(sizes, (product, BLOCK), (self.weight, weight), (&*panel, |k| k * BLOCK));
        let root = L::splat(T::from_f64(0.5f64.sqrt()));
        for (channel, (product, sum)) in product.chunks_exact(BLOCK).zip(self.sums).enumerate() {
            // SAFETY: record and samples belong to this piece of work alone.
            let out = unsafe { self.out.piece(record * state + channel, first, count) };
            let mut total = L::splat(T::ZERO);
            for at in (0..count).step_by(L::WIDTH) {
                let value = L::load_or(&product[at..count], T::ZERO);
                total = total.add(value);
                L::load_or(&out[at..], T::ZERO).mul_add(root, value).store(&mut out[at..]);
            }
            *sum = total.sum();
        }
    }
}

/// Extents of a weight gradient.
struct WeightSizes<'a> {
    batch: usize,
    rows: usize,
    columns: usize,
    length: usize,
    /// First sample of each tap.
    taps: &'a [usize],
    /// Distance between samples of the turned signal, and their number per record.
    width: usize,
    samples: usize,
}

/// `weight[row][column][tap]` = sum over records and samples of `slopes[row][t] * signal[t +
/// tap][column]`, and the sums of the slopes per row.
fn weight_gradient<T: Real>(sizes: &WeightSizes, slopes: &[T], signal: &[T]) -> (Vec<T>, Vec<T>) {
    let WeightSizes { rows, columns, taps, .. } = *sizes;
    let parts: Vec<(Vec<T>, Vec<T>)> = (0..rows.div_ceil(ROWS))
        .into_par_iter()
        .map(|part| {
            let first = part * ROWS;
            let count = ROWS.min(rows - first);
            let mut weight = vec![T::ZERO; taps.len() * count * columns];
            let mut bias = vec![T::ZERO; count];
            T::run(ToWeight { sizes, first, count, slopes, signal, weight: &mut weight, bias: &mut bias });
            (weight, bias)
        })
        .collect();
    let mut weight = Vec::with_capacity(rows * columns * taps.len());
    let mut bias = Vec::with_capacity(rows);
    for (part, sums) in parts {
        let count = sums.len();
        for row in 0..count {
            for column in 0..columns {
                weight.extend((0..taps.len()).map(|tap| part[(tap * count + row) * columns + column]));
            }
        }
        bias.extend(sums);
    }
    (weight, bias)
}

struct ToWeight<'a, T> {
    sizes: &'a WeightSizes<'a>,
    first: usize,
    count: usize,
    slopes: &'a [T],
    signal: &'a [T],
    weight: &'a mut [T],
    bias: &'a mut [T],
}

impl<T: Real> Job<T> for ToWeight<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let WeightSizes { batch, rows, columns, length, taps, width, samples } = *self.sizes;
        let view = View { offset: 0, rows: length, columns: 1 };
        let mut totals = vec![0.0; self.count];
        for record in 0..batch {
            let slopes = &self.slopes[(record * rows + self.first) * length..][..self.count * length];
            let signal = &self.signal[record * samples * width..][..samples * width];
            for (total, row) in totals.iter_mut().zip(slopes.chunks_exact(length)) {
                let mut sum = L::splat(T::ZERO);
                for part in row.chunks(L::WIDTH) {
                    sum = sum.add(L::load_or(part, T::ZERO));
                }
                *total += sum.sum().into_f64();
            }
            for at in (0..length).step_by(SAMPLES) {
                let terms = SAMPLES.min(length - at);
                for (tap, weight) in taps.iter().zip(self.weight.chunks_exact_mut(self.count * columns)) {
                    multiply::<T, L, true>(
                        [self.count, columns, terms],
                        (weight, columns),
                        (&slopes[at..], view),
                        (signal, |t| (at + t + tap) * width),
                    );
                }
            }
        }
        for (bias, total) in self.bias.iter_mut().zip(totals) {
            *bias = T::from_f64(total);
        }
    }
}
