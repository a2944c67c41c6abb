//! Layer normalization over the channels at each sample, gain and bias, and activation as one
//! operation.
//!
//! One piece of work is one record. A vector holds neighboring samples of one channel, so that mean
//! and spread are sums of vectors and nothing is turned around.

use std::mem::MaybeUninit;

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values, values_mut};
use super::fused::{self, FusedOp};
use super::lanes::{Job, Lanes};
use super::memory;
use super::pointwise::{self, Pointwise, activate, for_each_activation, times_slope};
use super::scratch::Scratch;
use super::tile::LINE;

/// Mean over the channels removed, divided by their standard deviation, times the gain and plus the
/// bias per channel, then the activation; at each sample of each record.
///
/// `x` is `[batch, channels, length]`, `gain` and `bias` are `[channels]`. The variance is the biased
/// one, and `eps` is added to it.
///
/// # Panics
///
/// If the shapes do not fit each other or the tensor is empty.
///
/// # Reference
///
/// Ba et al. 2016, eq. 3.
pub fn layer_norm_act(x: Tensor<3>, gain: Tensor<1>, bias: Tensor<1>, activation: Pointwise, eps: f64) -> Tensor<3> {
    check(&x, &gain, &bias);
    if !fused::runs_here(&x.device(), &[x.dtype(), gain.dtype(), bias.dtype()]) {
        return layer_norm_act_reference(x, gain, bias, activation, eps);
    }
    let inputs = vec![x.into_dispatch(), gain.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(fused::run(LayerNorm { activation, eps }, inputs))
}

/// [`layer_norm_act`] by the framework's own operations: the reference for tests, and what devices
/// other than the CPU run.
pub fn layer_norm_act_reference(
    x: Tensor<3>,
    gain: Tensor<1>,
    bias: Tensor<1>,
    activation: Pointwise,
    eps: f64,
) -> Tensor<3> {
    check(&x, &gain, &bias);
    let channels = x.dims()[1];
    let centered = x.clone() - x.mean_dim(1);
    let variance = (centered.clone() * centered.clone()).mean_dim(1);
    let y = centered / (variance + eps).sqrt();
    pointwise::reference(y * gain.reshape([1, channels, 1]) + bias.reshape([1, channels, 1]), activation)
}

fn check(x: &Tensor<3>, gain: &Tensor<1>, bias: &Tensor<1>) {
    let [batch, channels, length] = x.dims();
    assert!(batch > 0 && channels > 0 && length > 0, "layer_norm_act: a tensor without values");
    assert_eq!(gain.dims(), [channels], "layer_norm_act: shape of the gain");
    assert_eq!(bias.dims(), [channels], "layer_norm_act: shape of the bias");
}

#[derive(Debug)]
struct LayerNorm {
    activation: Pointwise,
    eps: f64,
}

impl FusedOp for LayerNorm {
    fn forward(&self, inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => for_each_activation!(self.activation, forward::<f64>(&inputs, self.eps)),
            _ => for_each_activation!(self.activation, forward::<f32>(&inputs, self.eps)),
        };
        (out, inputs)
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        match grad.dtype() {
            DType::F64 => for_each_activation!(self.activation, gradients::<f64>(grad, &kept, self.eps)),
            _ => for_each_activation!(self.activation, gradients::<f32>(grad, &kept, self.eps)),
        }
    }
}

fn forward<T: Real, const A: u8>(inputs: &[FlexTensor], eps: f64) -> FlexTensor {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let (x, gain, bias) = (values::<T>(&inputs[0]), values::<T>(&inputs[1]), values::<T>(&inputs[2]));
    let mut out = memory::fresh(x.len());
    let record = channels * length;
    out.par_chunks_mut(record)
        .zip(x.par_chunks(record))
        .for_each(|(out, x)| T::run(Forward::<T, A> { x, out, gain, bias, length, eps }));
    // SAFETY: as many values are written as are read.
    let out = unsafe { memory::written(out) };
    tensor(out, &[batch, channels, length])
}

/// Gradients of all inputs, in their order; that of the signal is written over `grad`.
fn gradients<T: Real, const A: u8>(mut grad: FlexTensor, inputs: &[FlexTensor], eps: f64) -> Vec<Option<FlexTensor>> {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let (x, gain, bias) = (values::<T>(&inputs[0]), values::<T>(&inputs[1]), values::<T>(&inputs[2]));
    let mut sums = vec![0.0; batch * 2 * channels];
    let record = channels * length;
    values_mut::<T>(&mut grad)
        .par_chunks_mut(record)
        .zip(x.par_chunks(record))
        .zip(sums.par_chunks_mut(2 * channels))
        .for_each_init(Scratch::new, |scratch, ((grad, x), sums)| {
            T::run(Gradient::<T, A> { x, grad, sums, gain, bias, length, eps, scratch });
        });
    // Records are added in their order.
    let mut totals = vec![0.0; 2 * channels];
    for sums in sums.chunks_exact(2 * channels) {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total += sum;
        }
    }
    let narrow = |values: &[f64]| values.iter().map(|&value| T::from_f64(value)).collect::<Vec<T>>();
    vec![
        Some(grad),
        Some(tensor(narrow(&totals[..channels]), &[channels])),
        Some(tensor(narrow(&totals[channels..]), &[channels])),
    ]
}

/// Mean and reciprocal standard deviation of the channels at the samples from `at` on.
#[inline(always)]
fn statistics<T: Real, L: Lanes<T>>(x: &[T], length: usize, at: usize, eps: f64) -> (L, L) {
    let channels = L::splat(T::from_f64(1.0 / (x.len() / length) as f64));
    let mut sum = L::splat(T::ZERO);
    for row in x.chunks_exact(length) {
        sum = sum.add(L::load_or(&row[at..], T::ZERO));
    }
    let mean = sum.mul(channels);
    let mut squares = L::splat(T::ZERO);
    for row in x.chunks_exact(length) {
        let centered = L::load_or(&row[at..], T::ZERO).sub(mean);
        squares = centered.mul_add(centered, squares);
    }
    let spread = squares.mul_add(channels, L::splat(T::from_f64(eps))).sqrt();
    (mean, L::splat(T::ONE).div(spread))
}

struct Forward<'a, T, const A: u8> {
    x: &'a [T],
    out: &'a mut [MaybeUninit<T>],
    gain: &'a [T],
    bias: &'a [T],
    length: usize,
    eps: f64,
}

impl<T: Real, const A: u8> Job<T> for Forward<'_, T, A> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Forward { x, out, gain, bias, length, eps } = self;
        for at in (0..length).step_by(L::WIDTH) {
            let (mean, inverse) = statistics::<T, L>(x, length, at, eps);
            let rows = x.chunks_exact(length).zip(out.chunks_exact_mut(length));
            for ((x, out), (gain, bias)) in rows.zip(gain.iter().zip(bias)) {
                let unit = L::load_or(&x[at..], T::ZERO).sub(mean).mul(inverse);
                let h = unit.mul_add(L::splat(*gain), L::splat(*bias));
                activate::<T, L, A>(h).store_new(&mut out[at..]);
            }
        }
    }
}

struct Gradient<'a, T, const A: u8> {
    x: &'a [T],
    /// Holds the gradient for the result and gets the one for the signal.
    grad: &'a mut [T],
    sums: &'a mut [f64],
    gain: &'a [T],
    bias: &'a [T],
    length: usize,
    eps: f64,
    scratch: &'a mut Scratch<T>,
}

impl<T: Real, const A: u8> Job<T> for Gradient<'_, T, A> {
    type Output = ();

    /// With `u` the normalized value and `g` the gradient before the activation, the gradient for
    /// `x` is `inverse * (g * gain - mean(g * gain) - u * mean(g * gain * u))`.
    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Gradient { x, grad, sums, gain, bias, length, eps, scratch } = self;
        let channels = gain.len();
        let share = L::splat(T::from_f64(1.0 / channels as f64));
        let [for_gain, for_bias] = scratch.split([channels * LINE, channels * LINE]);
        for_gain.fill(T::ZERO);
        for_bias.fill(T::ZERO);
        for at in (0..length).step_by(L::WIDTH) {
            let (mean, inverse) = statistics::<T, L>(x, length, at, eps);
            let (mut plain, mut weighted) = (L::splat(T::ZERO), L::splat(T::ZERO));
            for channel in 0..channels {
                let row = channel * length + at..(channel + 1) * length;
                let unit = L::load_or(&x[row.clone()], T::ZERO).sub(mean).mul(inverse);
                let factor = L::splat(gain[channel]);
                let h = unit.mul_add(factor, L::splat(bias[channel]));
                let g = times_slope::<T, L, A>(L::load_or(&grad[row.clone()], T::ZERO), h);
                let place = channel * LINE..(channel + 1) * LINE;
                g.mul_add(unit, L::load_or(&for_gain[place.clone()], T::ZERO)).store(&mut for_gain[place.clone()]);
                g.add(L::load_or(&for_bias[place.clone()], T::ZERO)).store(&mut for_bias[place]);
                let g = g.mul(factor);
                plain = plain.add(g);
                weighted = g.mul_add(unit, weighted);
                g.store(&mut grad[row]);
            }
            let (plain, weighted) = (plain.mul(share), weighted.mul(share));
            for channel in 0..channels {
                let row = channel * length + at..(channel + 1) * length;
                let unit = L::load_or(&x[row.clone()], T::ZERO).sub(mean).mul(inverse);
                let g = L::load_or(&grad[row.clone()], T::ZERO).sub(plain);
                g.sub(unit.mul(weighted)).mul(inverse).store(&mut grad[row]);
            }
        }
        let (first, second) = sums.split_at_mut(channels);
        for (sums, lanes) in [(first, for_gain), (second, for_bias)] {
            for (sum, lanes) in sums.iter_mut().zip(lanes.chunks_exact(LINE)) {
                *sum = lanes.iter().map(|lane| lane.into_f64()).sum();
            }
        }
    }
}
