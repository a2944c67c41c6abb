//! The Gaussian error linear unit and the gated linear unit, with gradients.

use std::mem::MaybeUninit;

use burn::tensor::{DType, Tensor, activation};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values};
use super::fused::{self, FusedOp};
use super::lanes::{Job, Lanes};
use super::memory;

/// Values per piece of work.
const PIECE: usize = 1 << 13;

/// `x * P(x)` for each value, `P` the distribution function of the standard normal.
///
/// # Reference
///
/// Hendrycks and Gimpel 2016, the exact form. In single precision `P` comes from Abramowitz and
/// Stegun 1964, 7.1.26, whose error is at most 1e-7.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !fused::runs_here(&x.device(), &[x.dtype()]) {
        return gelu_reference(x);
    }
    Tensor::from_dispatch(fused::run(Gelu, vec![x.into_dispatch()]))
}

/// [`gelu`] by the framework's own operation: the reference for tests, and what devices other than
/// the CPU run.
pub fn gelu_reference<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// The first half of the channels times the sigmoid of the second half.
///
/// `x` is `[batch, 2 * channels, length]`, the result `[batch, channels, length]`.
///
/// # Panics
///
/// If the number of channels is odd or the tensor is empty.
///
/// # Reference
///
/// Dauphin et al. 2017, "Language modeling with gated convolutional networks", section 2.
pub fn glu(x: Tensor<3>) -> Tensor<3> {
    check(&x);
    if !fused::runs_here(&x.device(), &[x.dtype()]) {
        return glu_reference(x);
    }
    Tensor::from_dispatch(fused::run(Glu, vec![x.into_dispatch()]))
}

/// [`glu`] by the framework's own operations: the reference for tests, and what devices other than
/// the CPU run.
pub fn glu_reference(x: Tensor<3>) -> Tensor<3> {
    check(&x);
    let half = x.dims()[1] / 2;
    x.clone().narrow(1, 0, half) * activation::sigmoid(x.narrow(1, half, half))
}

fn check(x: &Tensor<3>) {
    let [batch, channels, length] = x.dims();
    assert!(batch > 0 && channels > 0 && length > 0, "glu: a tensor without values");
    assert!(channels.is_multiple_of(2), "glu: the channels have two halves");
}

pub(super) fn shape(x: &FlexTensor) -> Vec<usize> {
    let shape = x.layout().shape();
    (0..shape.num_dims()).map(|axis| shape[axis]).collect()
}

/// `P(x)`, and `exp(-x^2 / 2)`.
#[inline(always)]
pub(super) fn normal<T: Real, L: Lanes<T>>(x: L) -> (L, L) {
    let (zero, one) = (L::splat(T::ZERO), L::splat(T::ONE));
    // Beyond 13 the bell is below 1e-37; the bound keeps the square finite.
    let bound = L::splat(T::from_f64(13.0));
    let near = bound.min(zero.sub(bound).max(x));
    let bell = near.mul(near).mul(L::splat(T::from_f64(-0.5))).exp();
    if T::DOUBLE {
        let mut lanes = [T::ZERO; super::tile::LINE];
        x.store(&mut lanes);
        for lane in &mut lanes {
            *lane = T::from_f64(0.5 * libm::erfc(-lane.into_f64() * std::f64::consts::FRAC_1_SQRT_2));
        }
        return (L::load_or(&lanes, T::ZERO), bell);
    }
    let size = near.max(zero.sub(near));
    let t = one.div(size.mul_add(L::splat(T::from_f64(0.327_591_1 * std::f64::consts::FRAC_1_SQRT_2)), one));
    let mut sum = L::splat(T::from_f64(0.5 * 1.061_405_429));
    for factor in [-1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592] {
        sum = sum.mul_add(t, L::splat(T::from_f64(0.5 * factor)));
    }
    // The tail below -|x|; the sign of x says on which side of 1/2 the result lies.
    let tail = sum.mul(t).mul(bell);
    let half = L::splat(T::from_f64(0.5));
    let huge = L::splat(T::from_f64(1e30));
    let sign = one.min(zero.sub(one).max(near.mul(huge)));
    (half.sub(tail).mul_add(sign, half), bell)
}

#[derive(Debug)]
struct Gelu;

impl FusedOp for Gelu {
    fn forward(&self, inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => gelu_forward::<f64>(&inputs[0]),
            _ => gelu_forward::<f32>(&inputs[0]),
        };
        (out, inputs)
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        vec![Some(match grad.dtype() {
            DType::F64 => gelu_gradient::<f64>(&grad, &kept[0]),
            _ => gelu_gradient::<f32>(&grad, &kept[0]),
        })]
    }
}

fn gelu_forward<T: Real>(x: &FlexTensor) -> FlexTensor {
    let from = values::<T>(x);
    let mut out = memory::fresh(from.len());
    out.par_chunks_mut(PIECE).zip(from.par_chunks(PIECE)).for_each(|(out, x)| T::run(GeluForward { x, out }));
    // SAFETY: as many values are written as are read.
    let out = unsafe { memory::written(out) };
    tensor(out, &shape(x))
}

fn gelu_gradient<T: Real>(grad: &FlexTensor, x: &FlexTensor) -> FlexTensor {
    let (from, grad) = (values::<T>(x), values::<T>(grad));
    let mut out = memory::fresh(from.len());
    out.par_chunks_mut(PIECE)
        .zip(from.par_chunks(PIECE))
        .zip(grad.par_chunks(PIECE))
        .for_each(|((out, x), grad)| T::run(GeluGradient { x, grad, out }));
    // SAFETY: as many values are written as are read.
    let out = unsafe { memory::written(out) };
    tensor(out, &shape(x))
}

struct GeluForward<'a, T> {
    x: &'a [T],
    out: &'a mut [MaybeUninit<T>],
}

impl<T: Real> Job<T> for GeluForward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        for (x, out) in self.x.chunks(L::WIDTH).zip(self.out.chunks_mut(L::WIDTH)) {
            let x = L::load_or(x, T::ZERO);
            x.mul(normal::<T, L>(x).0).store_new(out);
        }
    }
}

struct GeluGradient<'a, T> {
    x: &'a [T],
    grad: &'a [T],
    out: &'a mut [MaybeUninit<T>],
}

impl<T: Real> Job<T> for GeluGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        // P(x) + x p(x), with p the density.
        let factor = L::splat(T::from_f64(1.0 / std::f64::consts::TAU.sqrt()));
        let bound = L::splat(T::from_f64(13.0));
        let given = self.x.chunks(L::WIDTH).zip(self.grad.chunks(L::WIDTH));
        for ((x, grad), out) in given.zip(self.out.chunks_mut(L::WIDTH)) {
            let x = L::load_or(x, T::ZERO);
            let (below, bell) = normal::<T, L>(x);
            let near = bound.min(L::splat(T::ZERO).sub(bound).max(x));
            near.mul(bell).mul_add(factor, below).mul(L::load_or(grad, T::ZERO)).store_new(out);
        }
    }
}

#[derive(Debug)]
struct Glu;

impl FusedOp for Glu {
    fn forward(&self, inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => glu_forward::<f64>(&inputs[0]),
            _ => glu_forward::<f32>(&inputs[0]),
        };
        (out, inputs)
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        vec![Some(match grad.dtype() {
            DType::F64 => glu_gradient::<f64>(&grad, &kept[0]),
            _ => glu_gradient::<f32>(&grad, &kept[0]),
        })]
    }
}

/// One piece of work is one record.
fn glu_forward<T: Real>(x: &FlexTensor) -> FlexTensor {
    let shape = shape(x);
    let half = shape[1] / 2 * shape[2];
    let mut out = memory::fresh(shape[0] * half);
    out.par_chunks_mut(half)
        .zip(values::<T>(x).par_chunks(2 * half))
        .for_each(|(out, x)| T::run(GluForward { x, out }));
    // SAFETY: each record writes a value for each pair that it reads.
    let out = unsafe { memory::written(out) };
    tensor(out, &[shape[0], shape[1] / 2, shape[2]])
}

fn glu_gradient<T: Real>(grad: &FlexTensor, x: &FlexTensor) -> FlexTensor {
    let shape = shape(x);
    let half = shape[1] / 2 * shape[2];
    let mut out = memory::fresh(shape[0] * 2 * half);
    out.par_chunks_mut(2 * half)
        .zip(values::<T>(x).par_chunks(2 * half))
        .zip(values::<T>(grad).par_chunks(half))
        .for_each(|((out, x), grad)| T::run(GluGradient { x, grad, out }));
    // SAFETY: each record writes both values of each pair.
    let out = unsafe { memory::written(out) };
    tensor(out, &shape)
}

#[inline(always)]
fn sigmoid<T: Real, L: Lanes<T>>(x: L) -> L {
    let one = L::splat(T::ONE);
    one.div(L::splat(T::ZERO).sub(x).exp().add(one))
}

struct GluForward<'a, T> {
    x: &'a [T],
    out: &'a mut [MaybeUninit<T>],
}

impl<T: Real> Job<T> for GluForward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let (signal, gate) = self.x.split_at(self.out.len());
        let given = signal.chunks(L::WIDTH).zip(gate.chunks(L::WIDTH));
        for ((signal, gate), out) in given.zip(self.out.chunks_mut(L::WIDTH)) {
            L::load_or(signal, T::ZERO).mul(sigmoid::<T, L>(L::load_or(gate, T::ZERO))).store_new(out);
        }
    }
}

struct GluGradient<'a, T> {
    x: &'a [T],
    grad: &'a [T],
    out: &'a mut [MaybeUninit<T>],
}

impl<T: Real> Job<T> for GluGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let (signal, gate) = self.x.split_at(self.grad.len());
        let (for_signal, for_gate) = self.out.split_at_mut(self.grad.len());
        let one = L::splat(T::ONE);
        let given = signal.chunks(L::WIDTH).zip(gate.chunks(L::WIDTH)).zip(self.grad.chunks(L::WIDTH));
        let outs = for_signal.chunks_mut(L::WIDTH).zip(for_gate.chunks_mut(L::WIDTH));
        for (((signal, gate), grad), (for_signal, for_gate)) in given.zip(outs) {
            let open = sigmoid::<T, L>(L::load_or(gate, T::ZERO));
            let passed = L::load_or(grad, T::ZERO).mul(open);
            passed.store_new(for_signal);
            passed.mul(L::load_or(signal, T::ZERO)).mul(one.sub(open)).store_new(for_gate);
        }
    }
}
