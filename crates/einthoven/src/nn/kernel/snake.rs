//! A periodic activation with a frequency for each channel, with gradient.

use std::f64::consts::PI;

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values, values_mut};
use super::fused::{self, FusedOp};
use super::lanes::{Job, Lanes};
use super::memory;

/// Phases up to which [`sine`] is exact to the last places; lines beyond go number by number.
const LARGEST: f64 = 8192.0;

/// `x + sin^2(a x) / a` with a frequency `a` for each channel: `x` is `[batch, channels, length]`, `frequency`
/// `[channels]`.
///
/// # Panics
/// If there is not one frequency for each channel, or no value.
///
/// # Reference
/// Ziyin et al. 2020, "Neural networks fail to learn periodic functions and how to fix it", eq. 3.
pub fn snake(x: Tensor<3>, frequency: Tensor<1>) -> Tensor<3> {
    let ([batch, channels, length], [count]) = (x.dims(), frequency.dims());
    assert!(batch * channels * length > 0, "snake: found no values in {:?}", x.dims());
    assert!(count == channels, "snake: found {count} frequencies, expected {channels}");
    if !fused::runs_here(&x.device(), &[x.dtype(), frequency.dtype()]) {
        return snake_reference(x, frequency);
    }
    Tensor::from_dispatch(fused::run(Snake { channels, length }, vec![x.into_dispatch(), frequency.into_dispatch()]))
}

/// [`snake`] by the framework's own operations: the reference for tests, and what devices other than the CPU run.
pub fn snake_reference(x: Tensor<3>, frequency: Tensor<1>) -> Tensor<3> {
    let frequency = frequency.reshape([1, -1, 1]);
    x.clone() + (x * frequency.clone()).sin().square() / frequency
}

#[derive(Debug)]
struct Snake {
    channels: usize,
    length: usize,
}

impl FusedOp for Snake {
    fn forward(&self, inputs: Vec<FlexTensor>, keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => forward::<f64>(self, &inputs),
            _ => forward::<f32>(self, &inputs),
        };
        (out, if keep { inputs } else { Vec::new() })
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, _wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let [for_x, for_frequency] = match grad.dtype() {
            DType::F64 => gradients::<f64>(self, grad, &kept),
            _ => gradients::<f32>(self, grad, &kept),
        };
        vec![Some(for_x), Some(for_frequency)]
    }
}

fn forward<T: Real>(sizes: &Snake, inputs: &[FlexTensor]) -> FlexTensor {
    let (x, frequencies) = (values::<T>(&inputs[0]), values::<T>(&inputs[1]));
    let (length, record) = (sizes.length, sizes.channels * sizes.length);
    let out = memory::in_pieces_beside(x.len(), record, x.par_chunks(record), |_, out, x| {
        T::run(Forward { length, x, frequencies, out });
    });
    tensor(out, &[x.len() / record, sizes.channels, length])
}

/// For the values, written over `grad`, and for the frequencies.
fn gradients<T: Real>(sizes: &Snake, mut grad: FlexTensor, kept: &[FlexTensor]) -> [FlexTensor; 2] {
    let (x, frequencies) = (values::<T>(&kept[0]), values::<T>(&kept[1]));
    let (length, record) = (sizes.length, sizes.channels * sizes.length);
    let mut parts = vec![T::ZERO; x.len() / length];
    values_mut::<T>(&mut grad)
        .par_chunks_mut(record)
        .zip(x.par_chunks(record))
        .zip(parts.par_chunks_mut(sizes.channels))
        .for_each(|((grad, x), sums)| T::run(Gradient { length, x, frequencies, grad, sums }));
    let mut totals = vec![0.0; sizes.channels];
    for part in parts.chunks_exact(sizes.channels) {
        for (total, value) in totals.iter_mut().zip(part) {
            *total += value.into_f64();
        }
    }
    let totals = totals.into_iter().map(T::from_f64).collect();
    [grad, tensor(totals, &[sizes.channels])]
}

/// One record.
struct Forward<'a, T> {
    length: usize,
    x: &'a [T],
    frequencies: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> Job<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let lines = self.x.chunks_exact(self.length).zip(self.out.chunks_exact_mut(self.length));
        for ((x, out), frequency) in lines.zip(self.frequencies) {
            if is_far::<T, L>(x, *frequency) {
                let frequency = frequency.into_f64();
                for (x, out) in x.iter().zip(out) {
                    let sine = libm::sin(x.into_f64() * frequency);
                    *out = T::from_f64(x.into_f64() + sine * sine / frequency);
                }
                continue;
            }
            let frequency = L::splat(*frequency);
            for (x, out) in x.chunks(L::WIDTH).zip(out.chunks_mut(L::WIDTH)) {
                let x = L::load_or(x, T::ZERO);
                let sine = sine::<T, L>(near::<T, L>(x.mul(frequency)));
                x.add(sine.mul(sine).div(frequency)).store(out);
            }
        }
    }
}

/// One record: the gradient for the values is written over `grad`, that for the frequencies to `sums`.
struct Gradient<'a, T> {
    length: usize,
    x: &'a [T],
    frequencies: &'a [T],
    grad: &'a mut [T],
    sums: &'a mut [T],
}

impl<T: Real> Job<T> for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let lines = self.x.chunks_exact(self.length).zip(self.grad.chunks_exact_mut(self.length));
        for ((x, grad), (frequency, sum)) in lines.zip(self.frequencies.iter().zip(self.sums)) {
            let a = frequency.into_f64();
            // Sums of the gradient times x sin(2 a x), and times sin^2(a x).
            let (by_phase, by_size) = if is_far::<T, L>(x, *frequency) {
                let mut sums = (0.0, 0.0);
                for (x, grad) in x.iter().zip(grad) {
                    let (x, slope) = (x.into_f64(), grad.into_f64());
                    let (sine, double) = (libm::sin(x * a), libm::sin(2.0 * x * a));
                    sums.0 += slope * x * double;
                    sums.1 += slope * sine * sine;
                    *grad = T::from_f64(slope * (1.0 + double));
                }
                sums
            } else {
                let mut sums = [L::splat(T::ZERO); 2];
                for (x, grad) in x.chunks(L::WIDTH).zip(grad.chunks_mut(L::WIDTH)) {
                    let (x, slope) = (L::load_or(x, T::ZERO), L::load_or(grad, T::ZERO));
                    let phase = near::<T, L>(x.mul(L::splat(*frequency)));
                    let sine = sine::<T, L>(phase);
                    let double = sine.add(sine).mul(cosine::<T, L>(phase));
                    sums[0] = slope.mul(x).mul_add(double, sums[0]);
                    sums[1] = slope.mul(sine).mul_add(sine, sums[1]);
                    slope.mul_add(double, slope).store(grad);
                }
                (sums[0].sum().into_f64(), sums[1].sum().into_f64())
            };
            *sum = T::from_f64((by_phase - by_size / a) / a);
        }
    }
}

/// Whether a line goes number by number: its phases are too large for [`near`], or it is in double precision.
#[inline(always)]
fn is_far<T: Real, L: Lanes<T>>(x: &[T], frequency: T) -> bool {
    if T::DOUBLE {
        return true;
    }
    let zero = L::splat(T::ZERO);
    let mut largest = zero;
    for part in x.chunks(L::WIDTH) {
        let x = L::load_or(part, T::ZERO);
        largest = largest.max(x).max(zero.sub(x));
    }
    // The sum over the lanes is at least the largest of them.
    let bound = largest.sum().into_f64() * frequency.into_f64().abs();
    bound.is_nan() || bound > LARGEST
}

/// The phase less the nearest multiple of pi, which changes neither the square of its sine nor the sine of twice it.
#[inline(always)]
fn near<T: Real, L: Lanes<T>>(phase: L) -> L {
    // Single precision has no digits after the point from here on.
    let round = number::<T, L>(1.5 * f64::from(1 << 23));
    let turns = number::<T, L>(0.0).sub(phase.mul_add(number::<T, L>(1.0 / PI), round).sub(round));
    // Pi in three parts, the first two so short that their multiples are exact.
    let mut rest = phase;
    for part in [3.140625, 9.675_025_939_941_406e-4, 1.509_957_990_978_376_4e-7] {
        rest = turns.mul_add(number::<T, L>(part), rest);
    }
    rest
}

/// The sine of a phase between minus and plus half pi, by its series: the rest is below 6e-8.
#[inline(always)]
fn sine<T: Real, L: Lanes<T>>(phase: L) -> L {
    let square = phase.mul(phase);
    let rest = series::<T, L, _>(square, [-39916800.0, 362880.0, -5040.0, 120.0, -6.0]);
    rest.mul(square).mul_add(phase, phase)
}

/// The cosine of a phase between minus and plus half pi, by its series: the rest is below 7e-9.
#[inline(always)]
fn cosine<T: Real, L: Lanes<T>>(phase: L) -> L {
    let square = phase.mul(phase);
    series::<T, L, _>(square, [479001600.0, -3628800.0, 40320.0, -720.0, 24.0, -2.0, 1.0])
}

/// A polynomial whose coefficients are one over the given, those of the highest power first.
#[inline(always)]
fn series<T: Real, L: Lanes<T>, const N: usize>(x: L, divisors: [f64; N]) -> L {
    let mut sum = L::splat(T::ZERO);
    for divisor in divisors {
        sum = sum.mul_add(x, number::<T, L>(1.0 / divisor));
    }
    sum
}

/// The same number in every lane.
#[inline(always)]
fn number<T: Real, L: Lanes<T>>(value: f64) -> L {
    L::splat(T::from_f64(value))
}
