//! The convolution kernel of a diagonal state space layer, with gradients for poles and time steps.
//!
//! The kernel is a sum of decaying oscillations. Both passes run the powers of each pole as a
//! recurrence in double precision, whose error stays small because no pole lies outside the unit
//! circle.

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use realfft::num_complex::Complex64;

use super::cpu::{Real, tensor, values};
use super::fused::{self, FusedOp};

/// Trained parameters of a diagonal state space layer.
#[derive(Debug, Clone)]
pub struct DiagonalSystem {
    /// Logarithm of the time step, `[features]`.
    pub log_step: Tensor<1>,
    /// Logarithm of minus the real part of the poles, `[features, modes]`.
    pub log_decay: Tensor<2>,
    /// Imaginary part of the poles, `[features, modes]`.
    pub frequency: Tensor<2>,
    /// Output weights, real and imaginary parts, `[channels, features, modes, 2]`.
    pub c: Tensor<4>,
}

/// `kernel[l] = 2 Re sum over modes of C (exp(step * pole) - 1) / pole * exp(step * pole * l)`.
///
/// The result is `[channels, features, length]`.
///
/// # Panics
///
/// If the shapes do not fit or there is nothing to compute.
///
/// # Reference
///
/// Gu et al. 2022, "On the parameterization and initialization of diagonal state space models",
/// eq. 5 with zero-order hold.
pub fn s4d_kernel(system: DiagonalSystem, length: usize) -> Tensor<3> {
    check(&system, length);
    let DiagonalSystem { log_step, log_decay, frequency, c } = system;
    if !fused::runs_here(&c.device(), &[c.dtype(), log_step.dtype(), log_decay.dtype(), frequency.dtype()]) {
        return s4d_kernel_reference(DiagonalSystem { log_step, log_decay, frequency, c }, length);
    }
    let inputs =
        vec![log_step.into_dispatch(), log_decay.into_dispatch(), frequency.into_dispatch(), c.into_dispatch()];
    Tensor::from_dispatch(fused::run(S4dKernel { length }, inputs))
}

/// [`s4d_kernel`] by the framework's own operations: the reference for tests, and what devices other
/// than the CPU run. Its memory grows with features, modes and the root of the length.
pub fn s4d_kernel_reference(system: DiagonalSystem, length: usize) -> Tensor<3> {
    check(&system, length);
    let DiagonalSystem { log_step, log_decay, frequency, c } = system;
    let [channels, features, modes, _] = c.dims();
    let step = log_step.exp().reshape([features, 1]);
    let decay = log_decay.exp();
    // The pole is -decay + i frequency.
    let (re, im) = (step.clone() * -decay.clone(), step * frequency.clone());
    let (grown_re, grown_im) = (re.clone().exp() * im.clone().cos() - 1.0, re.clone().exp() * im.clone().sin());
    let size = decay.clone() * decay.clone() + frequency.clone() * frequency.clone();
    // (exp - 1) / pole
    let hold_re = (grown_im.clone() * frequency.clone() - grown_re.clone() * decay.clone()) / size.clone();
    let hold_im = (-grown_im * decay - grown_re * frequency) / size;
    let part = |k: usize| c.clone().narrow(3, k, 1).reshape([channels, features, modes]);
    let (c_re, c_im) = (part(0), part(1));
    let (hold_re, hold_im) = (hold_re.unsqueeze::<3>(), hold_im.unsqueeze::<3>());
    let e_re = c_re.clone() * hold_re.clone() - c_im.clone() * hold_im.clone();
    let e_im = c_re * hold_im + c_im * hold_re;
    // Time `count l + k` as a product of two powers: their number is that of the root of the length.
    let count = (length - 1).isqrt() + 1;
    let powers = |stride: usize| {
        let times: Vec<f64> = (0..count).map(|k| (stride * k) as f64).collect();
        let times = Tensor::<1>::from_data(times.as_slice(), (&c.device(), c.dtype())).reshape([1, 1, count]);
        let size = (re.clone().reshape([features, modes, 1]) * times.clone()).exp();
        let angle = im.clone().reshape([features, modes, 1]) * times;
        (size.clone() * angle.clone().cos(), size * angle.sin())
    };
    let ((far_re, far_im), (near_re, near_im)) = (powers(count), powers(1));
    let [e_re, e_im] = [e_re, e_im].map(|e| e.swap_dims(0, 1).unsqueeze_dim::<4>(2));
    let [far_re, far_im] = [far_re, far_im].map(|far| far.swap_dims(1, 2).unsqueeze_dim::<4>(1));
    // [features, channels, l, modes]
    let left_re = e_re.clone() * far_re.clone() - e_im.clone() * far_im.clone();
    let left_im = e_re * far_im + e_im * far_re;
    let [left_re, left_im] = [left_re, left_im].map(|left| left.reshape([features, channels * count, modes]));
    let kernel = (left_re.matmul(near_re) - left_im.matmul(near_im)) * 2.0;
    kernel.reshape([features, channels, count * count]).narrow(2, 0, length).swap_dims(0, 1)
}

fn check(system: &DiagonalSystem, length: usize) {
    let [channels, features, modes, parts] = system.c.dims();
    assert!(channels > 0 && features > 0 && modes > 0 && length > 0, "s4d_kernel: a tensor without values");
    assert_eq!(parts, 2, "s4d_kernel: real and imaginary part of the output weights");
    assert_eq!(system.log_step.dims(), [features], "s4d_kernel: shape of the time steps");
    assert_eq!(system.log_decay.dims(), [features, modes], "s4d_kernel: shape of the decays");
    assert_eq!(system.frequency.dims(), [features, modes], "s4d_kernel: shape of the frequencies");
}

#[derive(Debug)]
struct S4dKernel {
    length: usize,
}

impl FusedOp for S4dKernel {
    fn forward(&self, inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => forward::<f64>(&inputs, self.length),
            _ => forward::<f32>(&inputs, self.length),
        };
        (out, inputs)
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        match grad.dtype() {
            DType::F64 => gradients::<f64>(&grad, &kept, self.length),
            _ => gradients::<f32>(&grad, &kept, self.length),
        }
    }
}

/// One mode: step, pole, `exp(step * pole)` and `(exp(step * pole) - 1) / pole`.
struct Mode {
    step: f64,
    pole: Complex64,
    factor: Complex64,
    hold: Complex64,
}

impl Mode {
    fn new<T: Real>(inputs: &[FlexTensor], feature: usize, index: usize) -> Mode {
        let value = |input: usize, index: usize| values::<T>(&inputs[input])[index].into_f64();
        let step = value(0, feature).exp();
        let pole = Complex64::new(-value(1, index).exp(), value(2, index));
        let factor = (pole * step).exp();
        Mode { step, pole, factor, hold: (factor - 1.0) / pole }
    }
}

fn forward<T: Real>(inputs: &[FlexTensor], length: usize) -> FlexTensor {
    let shape = inputs[3].layout().shape();
    let [channels, features, modes] = [shape[0], shape[1], shape[2]];
    let c = values::<T>(&inputs[3]);
    let mut out = vec![T::ZERO; channels * features * length];
    out.par_chunks_exact_mut(length).enumerate().for_each(|(row, out)| {
        let feature = row % features;
        let mut kernel = vec![0.0; length];
        for mode in 0..modes {
            let system = Mode::new::<T>(inputs, feature, feature * modes + mode);
            let at = (row * modes + mode) * 2;
            let mut term = 2.0 * Complex64::new(c[at].into_f64(), c[at + 1].into_f64()) * system.hold;
            for value in &mut kernel {
                *value += term.re;
                term *= system.factor;
            }
        }
        for (out, value) in out.iter_mut().zip(kernel) {
            *out = T::from_f64(value);
        }
    });
    tensor(out, &[channels, features, length])
}

/// With `E = C hold` and `a = step * pole`, the kernel is `2 Re sum of E exp(a l)`; the chain rule
/// goes through `E` and `a` to the four parameters.
fn gradients<T: Real>(grad: &FlexTensor, inputs: &[FlexTensor], length: usize) -> Vec<Option<FlexTensor>> {
    let shape = inputs[3].layout().shape();
    let [channels, features, modes] = [shape[0], shape[1], shape[2]];
    let (c, grad) = (values::<T>(&inputs[3]), values::<T>(grad));
    let parts: Vec<(f64, Vec<[f64; 2]>, Vec<Complex64>)> = (0..features)
        .into_par_iter()
        .map(|feature| {
            let mut for_step = 0.0;
            let mut for_poles = Vec::with_capacity(modes);
            let mut for_c = vec![Complex64::ZERO; channels * modes];
            for mode in 0..modes {
                let Mode { step, pole, factor, hold } = Mode::new::<T>(inputs, feature, feature * modes + mode);
                let (mut by_exponent, mut by_pole) = (Complex64::ZERO, Complex64::ZERO);
                for channel in 0..channels {
                    let row = channel * features + feature;
                    let at = (row * modes + mode) * 2;
                    let c = Complex64::new(c[at].into_f64(), c[at + 1].into_f64());
                    let (mut plain, mut timed, mut power) = (Complex64::ZERO, Complex64::ZERO, Complex64::ONE);
                    for (l, grad) in grad[row * length..(row + 1) * length].iter().enumerate() {
                        let term = power * (2.0 * grad.into_f64());
                        plain += term;
                        timed += term * l as f64;
                        power *= factor;
                    }
                    for_c[channel * modes + mode] = plain * hold;
                    by_exponent += timed * c * hold + plain * c * factor / pole;
                    by_pole -= plain * c * hold / pole;
                }
                for_step += (by_exponent * pole).re * step;
                let for_pole = by_exponent * step + by_pole;
                for_poles.push([for_pole.re * pole.re, -for_pole.im]);
            }
            (for_step, for_poles, for_c)
        })
        .collect();
    let narrow = |values: &mut dyn Iterator<Item = f64>| values.map(T::from_f64).collect::<Vec<T>>();
    let for_step = narrow(&mut parts.iter().map(|part| part.0));
    let for_decay = narrow(&mut parts.iter().flat_map(|part| part.1.iter().map(|pair| pair[0])));
    let for_frequency = narrow(&mut parts.iter().flat_map(|part| part.1.iter().map(|pair| pair[1])));
    let mut for_c = Vec::with_capacity(c.len());
    for channel in 0..channels {
        for (_, _, part) in &parts {
            let part = &part[channel * modes..(channel + 1) * modes];
            for_c.extend(part.iter().flat_map(|sum| [T::from_f64(sum.re), T::from_f64(-sum.im)]));
        }
    }
    vec![
        Some(tensor(for_step, &[features])),
        Some(tensor(for_decay, &[features, modes])),
        Some(tensor(for_frequency, &[features, modes])),
        Some(tensor(for_c, &[channels, features, modes, 2])),
    ]
}
