//! The gradients of the layer, in three passes: through the gate, through the convolution to the
//! signal, and to the weights.

use std::mem::MaybeUninit;

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::columns::Columns;
use super::super::cpu::{Real, tensor, values, values_mut};
use super::super::kept::Values;
use super::super::lanes::{Job, Lanes};
use super::super::memory;
use super::super::minimal;
use super::super::scratch::Scratch;
use super::super::tile::{LINE, Tiles, Turn, multiply, pack_turned};
use super::super::weight_gradient::{self, Extents, Signal, weight_gradient};
use super::super::window::window;
use super::{BLOCK, Gate, Layer, Piece, Run, Sizes};

/// Gradients in the order of the inputs. `for_state` holds the gradient of the result and becomes the one
/// for the state. `kept` is what [`super::forward::run`] left.
pub(super) fn run<T: Real>(
    layer: &Layer,
    mut for_state: FlexTensor,
    kept: Vec<FlexTensor>,
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let mut kept = kept.into_iter();
    let mut next = || kept.next().expect("the forward pass kept as many tensors");
    let (out_weight, gates) = (next(), next());
    let conv = layer.dilation.map(|_| [next(), next(), next()]);
    let sizes = Sizes::<T>::new(layer, &for_state, &out_weight, conv.as_ref().map(|[weight, ..]| weight));
    let Sizes { batch, residual, state, gated, length, kernel, .. } = sizes;
    let grad = values::<T>(&for_state);
    let pieces = batch * sizes.blocks();

    // Gradient for the input of the gate, and the gated signal with its channels side by side.
    let width = weight_gradient::width(gated);
    let mut slopes = memory::fresh(batch * 2 * gated * length);
    let mut gated_signal = memory::fresh(batch * length * width);
    {
        let slopes = Columns::new(&mut slopes, length);
        let signal = Columns::new(&mut gated_signal, length * width);
        let gates = &Values::new(&gates);
        let weight = pack_turned(sizes.out_weight, gated, 1, gated, &[0]);
        (0..pieces).into_par_iter().for_each_init(Scratch::new, |scratch, index| {
            let (weight, slopes, signal) = (&weight, &slopes, &signal);
            T::run(ThroughGate { sizes: &sizes, index, weight, grad, gates, slopes, signal, scratch })
        });
    }
    // SAFETY: the pieces are all blocks, and each writes every channel of its samples in both.
    let (slopes, gated_signal) = unsafe { (memory::written(slopes), memory::written(gated_signal)) };
    drop(gates);
    let root = T::from_f64(0.5f64.sqrt());
    let (rows, columns, samples) = (state, gated, length);
    let extents = Extents { batch, rows, columns, length, taps: &[0], stride: 1, samples, minimal: None };
    let (mut for_out, mut for_bias) = weight_gradient(&extents, grad, &Signal::Turned(&gated_signal));
    drop(gated_signal);
    for value in for_out[..residual * gated].iter_mut().chain(&mut for_bias[..residual]) {
        *value = *value * root;
    }
    let mut all = vec![None, Some(tensor(for_out, &[state, gated, 1])), Some(tensor(for_bias, &[state]))];

    let Some([_, shift, signal]) = &conv else {
        values_mut::<T>(&mut for_state).par_chunks_exact_mut(state * length).for_each(|record| {
            for value in &mut record[..residual * length] {
                *value = *value * root;
            }
        });
        all[0] = Some(for_state);
        all.push(Some(tensor(slopes, &[batch, 2 * gated, length])));
        return all;
    };

    let mut sums = vec![T::ZERO; batch * sizes.pieces() * residual];
    {
        let weight = packed(&sizes);
        let out = Columns::new(values_mut::<T>(&mut for_state), length);
        sums.par_chunks_exact_mut(residual).enumerate().for_each_init(Scratch::new, |scratch, (index, sums)| {
            let (weight, slopes) = (&weight, &slopes);
            T::run(ThroughConv { sizes: &sizes, index, weight, slopes, out: &out, sums, scratch })
        });
    }
    let mut for_shift = vec![T::ZERO; batch * residual];
    for (index, sums) in sums.chunks_exact(residual).enumerate() {
        let record = index / sizes.pieces();
        for (total, sum) in for_shift[record * residual..].iter_mut().zip(sums) {
            *total += *sum;
        }
    }

    // Signal plus shift with its channels side by side, between the zeros of the padding.
    let width = weight_gradient::width(residual);
    let before = sizes.dilation * (kernel / 2);
    let (signal, shift) = (Values::new(signal), values::<T>(shift));
    let write = |record: usize, to: &mut [T]| {
        let (zeros, rest) = to.split_at_mut(before * width);
        let (inside, after) = rest.split_at_mut(length * width);
        zeros.fill(T::ZERO);
        after.fill(T::ZERO);
        let count = residual * length;
        let mut room = signal.room(count);
        let from = signal.get(record * count..(record + 1) * count, &mut room);
        let levels = &shift[record * residual..][..residual];
        T::run(Turn { from, pitch: length, length, levels, to: inside, width });
    };
    let taps: Vec<usize> = (0..kernel).map(|tap| tap * sizes.dilation).collect();
    let samples = length + sizes.dilation * (kernel - 1);
    let (rows, columns, minimal) = (2 * gated, residual, sizes.minimal);
    let extents = Extents { batch, rows, columns, length, taps: &taps, stride: 1, samples, minimal };
    let (for_weight, for_bias) = weight_gradient(&extents, &slopes, &Signal::Written(&write));

    all[0] = Some(for_state);
    all.push(Some(tensor(for_shift, &[batch, residual])));
    all.push(Some(tensor(for_weight, &[2 * gated, residual, kernel])));
    all.push(Some(tensor(for_bias, &[2 * gated])));
    if wanted.len() == 7 {
        all.push(Some(tensor(slopes, &[batch, 2 * gated, length])));
    }
    all
}

/// The weight of the convolution, packed for the product with a gradient.
fn packed<T: Real>(sizes: &Sizes<T>) -> Vec<T> {
    let Sizes { residual, gated, kernel, minimal, .. } = *sizes;
    let taps: Vec<usize> = match minimal {
        // Turned around, the last tap comes first.
        Some(_) => (0..kernel).rev().collect(),
        None => (0..kernel).collect(),
    };
    let packed = pack_turned(sizes.conv_weight, residual * kernel, kernel, residual, &taps);
    match minimal {
        Some(_) => minimal::evaluate_weight(&packed, 2 * gated),
        None => packed,
    }
}

struct ThroughGate<'a, T> {
    sizes: &'a Sizes<'a, T>,
    index: usize,
    /// Of the 1x1 convolution, packed for the product with a gradient.
    weight: &'a [T],
    grad: &'a [T],
    gates: &'a Values<'a, T>,
    slopes: &'a Columns<'a, MaybeUninit<T>>,
    /// One row per record: its samples, channels side by side.
    signal: &'a Columns<'a, MaybeUninit<T>>,
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> Job<T> for ThroughGate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Sizes { residual, state, gated, length, .. } = *self.sizes;
        let (record, first, count) = self.sizes.block(self.index);
        let padded = count.next_multiple_of(LINE);
        let [given, product, opens, signals] = self.scratch.split([state * BLOCK, gated * BLOCK, BLOCK, BLOCK]);
        let root = T::from_f64(0.5f64.sqrt());
        for (channel, to) in given.chunks_exact_mut(BLOCK).enumerate() {
            let from = &self.grad[(record * state + channel) * length + first..][..count];
            for (to, value) in to.iter_mut().zip(from) {
                *to = if channel < residual { *value * root } else { *value };
            }
            to[count..].fill(T::ZERO);
        }
        let left = (self.weight, Tiles::packed(state));
        multiply::<T, L, false>([gated, padded, state], (product, BLOCK), left, (&*given, |k| k * BLOCK));

        let one = L::splat(T::ONE);
        for (channel, product) in product.chunks_exact_mut(BLOCK).enumerate() {
            let row = record * 2 * gated + channel;
            let (of_open, of_signal) = match self.sizes.gate {
                Gate::First => (row, row + gated),
                Gate::Second => (row + gated, row),
            };
            let span = |row: usize| row * length + first..row * length + first + count;
            let open = self.gates.get(span(of_open), opens);
            let signal = self.gates.get(span(of_signal), signals);
            // SAFETY: record and samples belong to this piece of work alone, and the rows differ.
            let (for_open, for_signal) =
                unsafe { (self.slopes.piece(of_open, first, count), self.slopes.piece(of_signal, first, count)) };
            for at in (0..count).step_by(L::WIDTH) {
                let (s, t) = (L::load_or(&open[at..], T::ZERO), L::load_or(&signal[at..], T::ZERO));
                let g = L::load_or(&product[at..], T::ZERO);
                let gated = s.mul(t);
                g.mul(gated).mul(one.sub(s)).store_new(&mut for_open[at..]);
                g.mul(s).mul(one.sub(t.mul(t))).store_new(&mut for_signal[at..]);
                gated.store(&mut product[at..]);
            }
        }
        let width = weight_gradient::width(gated);
        // SAFETY: record and samples belong to this piece of work alone.
        let to = memory::cleared(unsafe { self.signal.piece(record, first * width, count * width) });
        Turn { from: product, pitch: BLOCK, length: count, levels: &[], to, width }.run::<L>();
    }
}

struct ThroughConv<'a, T> {
    sizes: &'a Sizes<'a, T>,
    index: usize,
    /// Of the convolution, packed for the product with a gradient.
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
        let pitch = self.sizes.pitch();
        let Piece { record, runs, width, chunk } = self.sizes.piece(self.index);
        let terms = 2 * gated * kernel;
        let slopes = |channel: usize| &self.slopes[(record * 2 * gated + channel) * length..][..length];
        let room = match chunk {
            Some(_) => minimal::room(2 * gated),
            None => [terms * pitch, 0],
        };
        let [panel, products, product] = self.scratch.split([room[0], room[1], residual * pitch]);
        if let Some(chunk) = chunk {
            chunk.evaluate::<T, L>(2 * gated, |channel| (slopes(channel), T::ZERO), panel);
            chunk.convolve::<T, L>(panel, self.weight, None, products, product);
        } else {
            for (row, to) in panel.chunks_exact_mut(pitch).enumerate() {
                let from = runs[0].first as isize - self.sizes.shift_of(row % kernel);
                window(slopes(row / kernel), from, T::ZERO, to);
            }
            let left = (self.weight, Tiles::packed(terms));
            multiply::<T, L, false>([residual, width, terms], (product, pitch), left, (&*panel, |k| k * pitch));
        }
        let root = L::splat(T::from_f64(0.5f64.sqrt()));
        for (channel, (product, sum)) in product.chunks_exact(pitch).zip(self.sums).enumerate() {
            let mut total = L::splat(T::ZERO);
            for Run { at: place, first, count } in runs.iter().copied() {
                // SAFETY: record and samples belong to this piece of work alone.
                let out = unsafe { self.out.piece(record * state + channel, first, count) };
                let product = &product[place..][..count];
                for at in (0..count).step_by(L::WIDTH) {
                    let value = L::load_or(&product[at..], T::ZERO);
                    total = total.add(value);
                    L::load_or(&out[at..], T::ZERO).mul_add(root, value).store(&mut out[at..]);
                }
            }
            *sum = total.sum();
        }
    }
}
