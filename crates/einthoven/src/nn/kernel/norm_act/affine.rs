//! What both normalizations share: the factor and offset per record and channel, the activation
//! with its slope, and the gradients of gain, bias, scale and shift.

use burn_flex::FlexTensor;

use super::super::cpu::{Real, tensor, values};
use super::super::lanes::Lanes;

/// `y = normalized * factor + offset`, per record and channel.
pub(super) struct Affine<T> {
    factor: Vec<T>,
    offset: Vec<T>,
    channels: usize,
}

impl<T: Real> Affine<T> {
    /// Joins gain, bias and, where they exist, scale and shift; `unit` multiplies the gain.
    pub fn new(inputs: &[FlexTensor], unit: f64) -> Affine<T> {
        let (gain, bias) = (values::<T>(&inputs[1]), values::<T>(&inputs[2]));
        let channels = gain.len();
        let (mut factor, mut offset) = (Vec::new(), Vec::new());
        if let [_, _, _, scale, shift] = inputs {
            let (scale, shift) = (values::<T>(scale), values::<T>(shift));
            for (index, (scale, shift)) in scale.iter().zip(shift).enumerate() {
                let (gain, bias) = (gain[index % channels].into_f64(), bias[index % channels].into_f64());
                let scale = 1.0 + scale.into_f64();
                factor.push(T::from_f64(unit * gain * scale));
                offset.push(T::from_f64(bias * scale + shift.into_f64()));
            }
        } else {
            factor.extend(gain.iter().map(|gain| T::from_f64(unit * gain.into_f64())));
            offset.extend_from_slice(bias);
        }
        Affine { factor, offset, channels }
    }

    /// Factors and offsets of `count` channels of a record from `channel` on.
    pub fn of(&self, record: usize, channel: usize, count: usize) -> (&[T], &[T]) {
        let row = if self.factor.len() == self.channels { 0 } else { record * self.channels };
        let range = row + channel..row + channel + count;
        (&self.factor[range.clone()], &self.offset[range])
    }
}

/// Gradients of gain, bias and, where they exist, scale and shift.
///
/// `sums` holds two numbers per record and channel: the gradient before the activation summed over
/// the samples, and the same times the normalized value.
pub(super) fn gradients<T: Real>(inputs: &[FlexTensor], sums: &[T], unit: f64) -> Vec<FlexTensor> {
    let (gain, bias) = (values::<T>(&inputs[1]), values::<T>(&inputs[2]));
    let channels = gain.len();
    let scale = inputs.get(3).map(|scale| values::<T>(scale));
    let (mut for_gain, mut for_bias) = (vec![0.0; channels], vec![0.0; channels]);
    let (mut for_scale, mut for_shift) = (Vec::new(), Vec::new());
    for (index, pair) in sums.chunks_exact(2).enumerate() {
        let channel = index % channels;
        let (sum, weighted) = (pair[0].into_f64(), unit * pair[1].into_f64());
        let scale = scale.map_or(1.0, |scale| 1.0 + scale[index].into_f64());
        for_gain[channel] += scale * weighted;
        for_bias[channel] += scale * sum;
        if inputs.len() == 5 {
            let value = gain[channel].into_f64() * weighted + bias[channel].into_f64() * sum;
            for_scale.push(T::from_f64(value));
            for_shift.push(pair[0]);
        }
    }
    let narrow = |values: Vec<f64>| values.into_iter().map(T::from_f64).collect::<Vec<T>>();
    let mut all = vec![tensor(narrow(for_gain), &[channels]), tensor(narrow(for_bias), &[channels])];
    if inputs.len() == 5 {
        let shape = [for_scale.len() / channels.max(1), channels];
        all.extend([tensor(for_scale, &shape), tensor(for_shift, &shape)]);
    }
    all
}

/// `h`, or `h * sigmoid(h)`.
#[inline(always)]
pub(in super::super) fn activate<T: Real, L: Lanes<T>, const SILU: bool>(h: L) -> L {
    if SILU {
        let one = L::splat(T::ONE);
        h.div(L::splat(T::ZERO).sub(h).exp().add(one))
    } else {
        h
    }
}

/// Slope of [`activate`] at `h`, times `grad`.
#[inline(always)]
pub(in super::super) fn times_slope<T: Real, L: Lanes<T>, const SILU: bool>(grad: L, h: L) -> L {
    if SILU {
        let one = L::splat(T::ONE);
        let sigmoid = one.div(L::splat(T::ZERO).sub(h).exp().add(one));
        // s (1 + h (1 - s))
        let slope = sigmoid.mul(h.mul_add(one.sub(sigmoid), one));
        grad.mul(slope)
    } else {
        grad
    }
}
