//! Convolution with a kernel as long as the signal, through the real Fourier transform.
//!
//! Each channel has a kernel of its own. The transform of the kernels can be computed once and
//! used for every call ([`KernelSpectrum`]), which is what a sampler does.

use std::fmt;
use std::sync::Arc;

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, FftNum, RealFftPlanner, RealToComplex};

use super::cpu::{Real, tensor, values};
use super::fused::{self, FusedOp};

/// Convolution of each channel with its kernel: `y[t] = sum over j of kernel[j] * x[t - (j - origin)]`.
///
/// `x` is `[batch, channels, length]`, zero beyond its ends; `kernel` is `[channels, taps]`, of any
/// length; `origin` is the tap that acts on the same sample, so that 0 is a causal kernel. The
/// result has the shape of `x`.
///
/// # Panics
///
/// If the shapes do not fit, a tensor is empty, or `origin` is no tap.
pub fn fft_conv(x: Tensor<3>, kernel: Tensor<2>, origin: usize) -> Tensor<3> {
    let plan = check(&x, kernel.dims(), origin);
    if !fused::runs_here(&x.device(), &[x.dtype(), kernel.dtype()]) {
        return fft_conv_reference(x, kernel, origin);
    }
    Tensor::from_dispatch(fused::run(FftConv(plan), vec![x.into_dispatch(), kernel.into_dispatch()]))
}

/// [`fft_conv`] as a product with the matrix that the kernel stands for, by the framework's own
/// operations: the reference for tests, and what devices other than the CPU run. Its memory grows
/// with the square of the length.
pub fn fft_conv_reference(x: Tensor<3>, kernel: Tensor<2>, origin: usize) -> Tensor<3> {
    let plan = check(&x, kernel.dims(), origin);
    let Plan { channels, length, .. } = plan;
    // Lags from -(length - 1) to length - 1, zeros where the kernel has none.
    let lags = 2 * length - 1;
    let (before, after) = (origin.min(length - 1), (kernel.dims()[1] - 1 - origin).min(length - 1));
    let kept = kernel.narrow(1, origin - before, before + after + 1);
    let zeros = |count: usize| Tensor::<2>::zeros([channels, count], (&kept.device(), kept.dtype()));
    let mut parts = Vec::new();
    if before < length - 1 {
        parts.push(zeros(length - 1 - before));
    }
    parts.push(kept.clone());
    if after < length - 1 {
        parts.push(zeros(length - 1 - after));
    }
    let all = Tensor::cat(parts, 1);
    debug_assert_eq!(all.dims()[1], lags);
    // Row `s` of the matrix holds lags `-s` to `length - 1 - s`.
    let rows = (0..length).map(|s| all.clone().narrow(1, length - 1 - s, length).unsqueeze_dim::<3>(1));
    let matrix = Tensor::cat(rows.collect(), 1);
    x.swap_dims(0, 1).matmul(matrix).swap_dims(0, 1)
}

/// Transforms of kernels, for signals of one length, without gradients.
#[derive(Clone)]
pub struct KernelSpectrum {
    plan: Plan,
    spectrum: Arc<Vec<Complex<f32>>>,
}

impl fmt::Debug for KernelSpectrum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelSpectrum").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl KernelSpectrum {
    /// Transforms kernels `[channels, taps]`, row-major, for signals of `length` samples; `origin` as
    /// in [`fft_conv`].
    ///
    /// # Panics
    ///
    /// If the kernels are empty or `origin` is no tap.
    pub fn new(kernels: &[f32], channels: usize, origin: usize, length: usize) -> KernelSpectrum {
        assert!(channels > 0 && length > 0 && !kernels.is_empty(), "fft_conv: a tensor without values");
        let taps = kernels.len() / channels;
        assert!(origin < taps && taps * channels == kernels.len(), "fft_conv: shape of the kernel");
        let plan = Plan::new(channels, length, taps, origin);
        KernelSpectrum { plan, spectrum: Arc::new(spectra(&plan, kernels)) }
    }

    /// The convolution; `x` is `[batch, channels, length]` of `f32` on the CPU, without a tape.
    ///
    /// # Panics
    ///
    /// If `x` has another shape or lies elsewhere.
    pub fn convolve(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, channels, length] = x.dims();
        assert!(batch > 0, "fft_conv: a tensor without values");
        assert_eq!([channels, length], [self.plan.channels, self.plan.length], "fft_conv: shape of the signal");
        assert!(
            fused::runs_here(&x.device(), &[x.dtype(), DType::F32]),
            "fft_conv: transformed kernels work on f32 signals on the CPU"
        );
        Tensor::from_dispatch(fused::run(self.clone(), vec![x.into_dispatch()]))
    }
}

impl FusedOp for KernelSpectrum {
    fn forward(&self, inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        (apply(&self.plan, &inputs[0], &self.spectrum, false), Vec::new())
    }

    fn gradients(&self, grad: FlexTensor, _: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        vec![Some(apply(&self.plan, &grad, &self.spectrum, true))]
    }
}

/// Extents of one convolution.
#[derive(Debug, Clone, Copy)]
struct Plan {
    channels: usize,
    length: usize,
    taps: usize,
    origin: usize,
    /// Taps before and after the origin that reach a signal of this length.
    before: usize,
    after: usize,
    /// Length of the transform, at least the length plus the longer of the two.
    size: usize,
}

impl Plan {
    fn new(channels: usize, length: usize, taps: usize, origin: usize) -> Plan {
        let (before, after) = (origin.min(length - 1), (taps - 1 - origin).min(length - 1));
        Plan { channels, length, taps, origin, before, after, size: smooth(length + before.max(after)) }
    }

    /// Values of a transform.
    fn bins(&self) -> usize {
        self.size / 2 + 1
    }
}

/// The least even number from `least` on that has no prime factor above 5: such transforms are fast.
fn smooth(least: usize) -> usize {
    let mut size = least.next_multiple_of(2);
    loop {
        let mut rest = size;
        for factor in [2, 3, 5] {
            while rest.is_multiple_of(factor) {
                rest /= factor;
            }
        }
        if rest == 1 {
            return size;
        }
        size += 2;
    }
}

fn check(x: &Tensor<3>, [kernel_channels, taps]: [usize; 2], origin: usize) -> Plan {
    let [batch, channels, length] = x.dims();
    assert!(batch > 0 && channels > 0 && length > 0 && taps > 0, "fft_conv: a tensor without values");
    assert_eq!(kernel_channels, channels, "fft_conv: channels of the signal and of the kernel");
    assert!(origin < taps, "fft_conv: the origin is one of the taps");
    Plan::new(channels, length, taps, origin)
}

#[derive(Debug)]
struct FftConv(Plan);

impl FusedOp for FftConv {
    fn forward(&self, inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => apply(&self.0, &inputs[0], &spectra(&self.0, values::<f64>(&inputs[1])), false),
            _ => apply(&self.0, &inputs[0], &spectra(&self.0, values::<f32>(&inputs[1])), false),
        };
        (out, inputs)
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        match grad.dtype() {
            DType::F64 => gradients::<f64>(&self.0, &grad, &kept, wanted),
            _ => gradients::<f32>(&self.0, &grad, &kept, wanted),
        }
    }
}

/// The transforms of one thread.
struct Transform<T> {
    forward: Arc<dyn RealToComplex<T>>,
    back: Arc<dyn ComplexToReal<T>>,
    signal: Vec<T>,
    bins: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
}

impl<T: Real + FftNum> Transform<T> {
    fn new(forward: &Arc<dyn RealToComplex<T>>, back: &Arc<dyn ComplexToReal<T>>) -> Transform<T> {
        let scratch = forward.get_scratch_len().max(back.get_scratch_len());
        Transform {
            signal: forward.make_input_vec(),
            bins: forward.make_output_vec(),
            scratch: vec![Complex::new(T::ZERO, T::ZERO); scratch],
            forward: forward.clone(),
            back: back.clone(),
        }
    }

    /// Transforms the signal that `write` puts into a buffer of zeros.
    fn forward(&mut self, write: impl FnOnce(&mut [T])) -> &mut [Complex<T>] {
        self.signal.fill(T::ZERO);
        write(&mut self.signal);
        let length = self.forward.get_scratch_len();
        let done = self.forward.process_with_scratch(&mut self.signal, &mut self.bins, &mut self.scratch[..length]);
        // The buffers were made for this transform, so their lengths fit.
        done.expect("buffers of the length of the transform");
        &mut self.bins
    }

    /// Transforms the bins back, without the division by the size.
    fn back(&mut self) -> &[T] {
        // A real signal has real first and last bins; rounding leaves them some imaginary part.
        self.bins[0].im = T::ZERO;
        let last = self.bins.len() - 1;
        self.bins[last].im = T::ZERO;
        let length = self.back.get_scratch_len();
        let done = self.back.process_with_scratch(&mut self.bins, &mut self.signal, &mut self.scratch[..length]);
        // As above, and the imaginary parts that it refuses are zero.
        done.expect("buffers of the length of the transform");
        &self.signal
    }
}

type Pair<T> = (Arc<dyn RealToComplex<T>>, Arc<dyn ComplexToReal<T>>);

fn transforms<T: Real + FftNum>(plan: &Plan) -> Pair<T> {
    let mut planner = RealFftPlanner::<T>::new();
    (planner.plan_fft_forward(plan.size), planner.plan_fft_inverse(plan.size))
}

/// Transforms of the kernels, divided by the size, with the origin at sample 0.
fn spectra<T: Real + FftNum>(plan: &Plan, kernels: &[T]) -> Vec<Complex<T>> {
    let (forward, back) = transforms::<T>(plan);
    let mut out = vec![Complex::new(T::ZERO, T::ZERO); plan.channels * plan.bins()];
    let scale = <T as Real>::from_f64(1.0 / plan.size as f64);
    out.par_chunks_exact_mut(plan.bins()).zip(kernels.par_chunks_exact(plan.taps)).for_each_init(
        || Transform::new(&forward, &back),
        |transform, (out, kernel)| {
            let bins = transform.forward(|signal| {
                signal[..plan.after + 1].copy_from_slice(&kernel[plan.origin..plan.origin + plan.after + 1]);
                signal[plan.size - plan.before..].copy_from_slice(&kernel[plan.origin - plan.before..plan.origin]);
            });
            for (out, bin) in out.iter_mut().zip(bins) {
                *out = Complex::new(bin.re * scale, bin.im * scale);
            }
        },
    );
    out
}

/// Convolution with the kernels of these transforms, or with the kernels turned around.
fn apply<T: Real + FftNum>(plan: &Plan, x: &FlexTensor, spectra: &[Complex<T>], turned: bool) -> FlexTensor {
    let x = values::<T>(x);
    let (forward, back) = transforms::<T>(plan);
    let mut out = vec![T::ZERO; x.len()];
    out.par_chunks_exact_mut(plan.length).zip(x.par_chunks_exact(plan.length)).enumerate().for_each_init(
        || Transform::new(&forward, &back),
        |transform, (row, (out, x))| {
            let bins = transform.forward(|signal| signal[..plan.length].copy_from_slice(x));
            let kernel = &spectra[row % plan.channels * plan.bins()..][..plan.bins()];
            for (bin, kernel) in bins.iter_mut().zip(kernel) {
                *bin = *bin * if turned { kernel.conj() } else { *kernel };
            }
            out.copy_from_slice(&transform.back()[..plan.length]);
        },
    );
    tensor(out, &[x.len() / plan.channels / plan.length, plan.channels, plan.length])
}

fn gradients<T: Real + FftNum>(
    plan: &Plan,
    grad: &FlexTensor,
    kept: &[FlexTensor],
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let for_signal = wanted[0].then(|| apply(plan, grad, &spectra(plan, values::<T>(&kept[1])), true));
    if !wanted[1] {
        return vec![for_signal, None];
    }
    // Correlation of signal and gradient, summed over the records in their order.
    let (grad, x) = (values::<T>(grad), values::<T>(&kept[0]));
    let (forward, back) = transforms::<T>(plan);
    let mut for_kernel = vec![T::ZERO; plan.channels * plan.taps];
    let scale = <T as Real>::from_f64(1.0 / plan.size as f64);
    let record = plan.channels * plan.length;
    for_kernel.par_chunks_exact_mut(plan.taps).enumerate().for_each_init(
        || {
            let sum = vec![Complex::new(T::ZERO, T::ZERO); plan.bins()];
            (Transform::new(&forward, &back), sum.clone(), sum)
        },
        |(transform, signal, sum), (channel, out)| {
            sum.fill(Complex::new(T::ZERO, T::ZERO));
            for first in (0..x.len()).step_by(record) {
                let row = first + channel * plan.length..first + (channel + 1) * plan.length;
                signal.copy_from_slice(transform.forward(|to| to[..plan.length].copy_from_slice(&x[row.clone()])));
                let grads = transform.forward(|to| to[..plan.length].copy_from_slice(&grad[row]));
                for ((sum, signal), grad) in sum.iter_mut().zip(&*signal).zip(grads) {
                    *sum = *sum + signal.conj() * *grad;
                }
            }
            transform.bins.copy_from_slice(sum);
            let lags = transform.back();
            let kernel = &mut out[plan.origin - plan.before..plan.origin + plan.after + 1];
            let (negative, positive) = kernel.split_at_mut(plan.before);
            for (to, lag) in positive.iter_mut().zip(lags) {
                *to = *lag * scale;
            }
            for (to, lag) in negative.iter_mut().zip(&lags[plan.size - plan.before..]) {
                *to = *lag * scale;
            }
        },
    );
    vec![for_signal, Some(tensor(for_kernel, &[plan.channels, plan.taps]))]
}
