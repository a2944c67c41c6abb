//! The layer forward.

use std::mem::MaybeUninit;

use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::columns::Columns;
use super::super::cpu::{Real, tensor, values};
use super::super::kept::{Kept, Rows, Unwritten};
use super::super::lanes::{Job, Lanes};
use super::super::memory;
use super::super::minimal;
use super::super::scratch::Scratch;
use super::super::tile::{Tiles, multiply, pack_rows};
use super::super::window::window;
use super::{Gate, Layer, Piece, Run, Sizes};

/// The next state and, with `keep`, what the gradient needs: the 1x1 weight and sigmoid and tanh of the two halves, in
/// the order of the halves; with the convolution its weight, the shift and the residual signal too.
pub(super) fn run<T: Real>(layer: &Layer, inputs: &[FlexTensor], keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
    let conv = layer.dilation.map(|_| &inputs[4]);
    let sizes = Sizes::<T>::new(layer, &inputs[0], &inputs[1], conv);
    let Sizes { batch, residual, state, gated, length, .. } = sizes;
    let input = |index: usize| inputs.get(index).map(values::<T>);
    let out_weight = pack_rows(sizes.out_weight, gated);
    let before = match layer.dilation {
        Some(_) => Before::Conv {
            shift: values(&inputs[3]),
            weight: packed(&sizes),
            bias: values(&inputs[5]),
            conditioner: input(6),
        },
        None => Before::Given(values(&inputs[3])),
    };
    let mut out = memory::fresh(batch * state * length);
    let mut gates = keep.then(|| Unwritten::new(layer.kept, batch * 2 * gated * length));
    // A state without skip sum can be kept as it is.
    let is_state_kept = state == residual && layer.kept == Kept::Whole;
    let keeps_signal = keep && conv.is_some() && !is_state_kept;
    let mut signal = keeps_signal.then(|| Unwritten::new(layer.kept, batch * residual * length));
    {
        let shared = Columns::new(&mut out, length);
        let gates = gates.as_mut().map(|gates| gates.rows(length));
        let kept_signal = signal.as_mut().map(|signal| signal.rows(length));
        (0..batch * sizes.pieces()).into_par_iter().for_each_init(Scratch::new, |scratch, index| {
            T::run(Block {
                sizes: &sizes,
                index,
                state: values(&inputs[0]),
                weight: &out_weight,
                bias: values(&inputs[2]),
                before: &before,
                out: &shared,
                gates: gates.as_ref(),
                kept_signal: kept_signal.as_ref(),
                scratch,
            })
        });
    }
    // SAFETY: the blocks are all of the three, and each writes every channel of its samples.
    let (out, gates, signal) = unsafe {
        let gates = gates.map(|gates| gates.written(&[batch, 2 * gated, length]));
        let signal = signal.map(|signal| signal.written(&[batch, residual, length]));
        (tensor(memory::written(out), &[batch, state, length]), gates, signal)
    };
    let mut kept = Vec::new();
    if let Some(gates) = gates {
        kept.extend([inputs[1].clone(), gates]);
        if let Some(conv) = conv {
            kept.extend([conv.clone(), inputs[3].clone(), signal.unwrap_or_else(|| inputs[0].clone())]);
        }
    }
    (out, kept)
}

/// The weight of the convolution, packed for its products.
fn packed<T: Real>(sizes: &Sizes<T>) -> Vec<T> {
    let packed = pack_rows(sizes.conv_weight, sizes.residual * sizes.kernel);
    match sizes.minimal {
        Some(_) => minimal::evaluate_weight(&packed, sizes.residual),
        None => packed,
    }
}

/// Where the input of the gate comes from.
enum Before<'a, T> {
    /// The weight is packed.
    Conv {
        shift: &'a [T],
        weight: Vec<T>,
        bias: &'a [T],
        conditioner: Option<&'a [T]>,
    },
    Given(&'a [T]),
}

struct Block<'a, T> {
    sizes: &'a Sizes<'a, T>,
    index: usize,
    state: &'a [T],
    /// Of the 1x1 convolution, packed, and its bias.
    weight: &'a [T],
    bias: &'a [T],
    before: &'a Before<'a, T>,
    out: &'a Columns<'a, MaybeUninit<T>>,
    gates: Option<&'a Rows<'a, T>>,
    kept_signal: Option<&'a Rows<'a, T>>,
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> Job<T> for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Sizes { residual, state, gated, length, kernel, .. } = *self.sizes;
        let pitch = self.sizes.pitch();
        let Piece { record, runs, width, chunk } = self.sizes.piece(self.index);
        let room = match chunk {
            Some(_) => minimal::room(residual),
            None => [residual * kernel * pitch, 0],
        };
        let [panel, products, z, product] = self.scratch.split([room[0], room[1], 2 * gated * pitch, state * pitch]);
        let signal = |channel: usize| &self.state[(record * state + channel) * length..][..length];

        match self.before {
            Before::Conv { shift, weight, bias, conditioner } => {
                let level = |channel: usize| shift[record * residual + channel];
                if let Some(chunk) = chunk {
                    chunk.evaluate::<T, L>(residual, |channel| (signal(channel), level(channel)), panel);
                    chunk.convolve::<T, L>(panel, weight, Some(bias), products, z);
                } else {
                    for (row, to) in panel.chunks_exact_mut(pitch).enumerate() {
                        let (channel, tap) = (row / kernel, row % kernel);
                        let from = runs[0].first as isize + self.sizes.shift_of(tap);
                        window(signal(channel), from, level(channel), to);
                    }
                    for (z, bias) in z.chunks_exact_mut(pitch).zip(*bias) {
                        z.fill(*bias);
                    }
                    let terms = residual * kernel;
                    let left = (weight.as_slice(), Tiles::packed(terms));
                    multiply::<T, L, true>([2 * gated, width, terms], (z, pitch), left, (panel, |k| k * pitch));
                }
                if let Some(conditioner) = conditioner {
                    for (channel, z) in z.chunks_exact_mut(pitch).enumerate() {
                        let row = &conditioner[(record * 2 * gated + channel) * length..][..length];
                        for run in &runs {
                            for (z, value) in z[run.at..][..run.count].iter_mut().zip(&row[run.first..]) {
                                *z += *value;
                            }
                        }
                    }
                }
            }
            Before::Given(given) => {
                let Run { first, count, .. } = runs[0];
                for (channel, z) in z.chunks_exact_mut(pitch).enumerate() {
                    let row = &given[(record * 2 * gated + channel) * length + first..][..count];
                    z[..count].copy_from_slice(row);
                    z[count..].fill(T::ZERO);
                }
            }
        }

        // The gated signal replaces the half of the sigmoid.
        let (lower, upper) = z.split_at_mut(gated * pitch);
        let (open, signals) = match self.sizes.gate {
            Gate::First => (lower, upper),
            Gate::Second => (upper, lower),
        };
        for (channel, (a, b)) in open.chunks_exact_mut(pitch).zip(signals.chunks_exact_mut(pitch)).enumerate() {
            for at in (0..width).step_by(L::WIDTH) {
                sigmoid::<T, L>(L::load_or(&a[at..], T::ZERO)).store(&mut a[at..]);
                tanh::<T, L>(L::load_or(&b[at..], T::ZERO)).store(&mut b[at..]);
            }
            if let Some(gates) = self.gates {
                let row = record * 2 * gated + channel;
                let (of_open, of_signal) = match self.sizes.gate {
                    Gate::First => (row, row + gated),
                    Gate::Second => (row + gated, row),
                };
                for run in &runs {
                    // SAFETY: record and samples belong to this piece of work alone.
                    unsafe {
                        gates.write(of_open, run.first, &a[run.at..][..run.count]);
                        gates.write(of_signal, run.first, &b[run.at..][..run.count]);
                    }
                }
            }
            for at in (0..width).step_by(L::WIDTH) {
                L::load_or(&a[at..], T::ZERO).mul(L::load_or(&b[at..], T::ZERO)).store(&mut a[at..]);
            }
        }

        for (row, bias) in product.chunks_exact_mut(pitch).zip(self.bias) {
            row.fill(*bias);
        }
        let left = (self.weight, Tiles::packed(gated));
        multiply::<T, L, true>([state, width, gated], (product, pitch), left, (&*open, |k| k * pitch));
        let half = L::splat(T::from_f64(0.5f64.sqrt()));
        for (channel, product) in product.chunks_exact(pitch).enumerate() {
            for Run { at: place, first, count } in runs.iter().copied() {
                // SAFETY: record and samples belong to this piece of work alone.
                let out = unsafe { self.out.piece(record * state + channel, first, count) };
                let signal = &signal(channel)[first..first + count];
                if let Some(kept) = self.kept_signal.filter(|_| channel < residual) {
                    // SAFETY: as above.
                    unsafe { kept.write(record * residual + channel, first, signal) }
                }
                let product = &product[place..][..count];
                for at in (0..count).step_by(L::WIDTH) {
                    let sum = L::load_or(&product[at..], T::ZERO).add(L::load_or(&signal[at..], T::ZERO));
                    let sum = if channel < residual { sum.mul(half) } else { sum };
                    sum.store_new(&mut out[at..]);
                }
            }
        }
    }
}

#[inline(always)]
fn sigmoid<T: Real, L: Lanes<T>>(x: L) -> L {
    let one = L::splat(T::ONE);
    one.div(L::splat(T::ZERO).sub(x).exp().add(one))
}

#[inline(always)]
fn tanh<T: Real, L: Lanes<T>>(x: L) -> L {
    let one = L::splat(T::ONE);
    // Beyond 20 the result is 1 in either type; the bound keeps the power finite in f64 too.
    let bound = L::splat(T::from_f64(20.0));
    // A lane that is not a number stays one, because it comes second.
    let x = bound.min(L::splat(T::from_f64(-20.0)).max(x));
    let power = x.add(x).exp();
    power.sub(one).div(power.add(one))
}
