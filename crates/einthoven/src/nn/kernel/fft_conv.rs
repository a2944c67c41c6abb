//! Convolution with a kernel as long as the signal, through the Fourier transform.
//!
//! Each channel has a kernel of its own. The transform of the kernels can be computed once and
//! used for every call ([`KernelSpectrum`]), which is what a sampler does.
//!
//! Even samples of a signal are the real parts of the transform's input, odd ones the imaginary
//! parts, so that a signal of `2 m` samples takes a complex transform of `m` points. Its result is
//! never taken apart into the spectrum of the real signal: in the packed form a convolution is
//! `own[k] * z[k] + mirrored[k] * conj(z[m - k])`, whose two factors follow from the kernel.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftNum, FftPlanner};

use super::columns::Columns;
use super::cpu::{Real, tensor, values};
use super::dft::Waves;
use super::fused::{self, FusedOp};
use super::lanes::{Job, Lanes};
use super::memory;

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

/// [`fft_conv`] through the Fourier transform as a product with its matrix, by the framework's own operations: the
/// reference for tests, and what devices other than the CPU run. Its memory is that of some signals and spectra and of
/// one matrix, `[length, bins]`, for all channels.
pub fn fft_conv_reference(x: Tensor<3>, kernel: Tensor<2>, origin: usize) -> Tensor<3> {
    let Plan { channels, length, before, after, .. } = check(&x, kernel.dims(), origin);
    // So long that no lag reaches a point from beyond an end.
    let period = length + before.max(after);
    let Waves { cosines, sines, shares } = Waves::new(period, length, &kernel.device(), kernel.dtype());
    let ahead = kernel.clone().narrow(1, origin, after + 1);
    let mut kernel_cosines = ahead.clone().matmul(cosines.clone().narrow(0, 0, after + 1));
    let mut kernel_sines = ahead.matmul(sines.clone().narrow(0, 0, after + 1));
    if before > 0 {
        let behind = kernel.narrow(1, origin - before, before).flip([1]);
        kernel_cosines = kernel_cosines + behind.clone().matmul(cosines.clone().narrow(0, 1, before));
        kernel_sines = kernel_sines - behind.matmul(sines.clone().narrow(0, 1, before));
    }
    let [kernel_cosines, kernel_sines] = [kernel_cosines, kernel_sines].map(|part| (part * shares.clone()).unsqueeze());
    let [batch, ..] = x.dims();
    let bins = cosines.dims()[1];
    let x = x.reshape([batch * channels, length]);
    let [x_cosines, x_sines] =
        [&cosines, &sines].map(|waves| x.clone().matmul(waves.clone()).reshape([batch, channels, bins]));
    // By the addition theorems for the cosine and the sine of a lag and a time.
    let of_cosines = x_cosines.clone() * kernel_cosines.clone() - x_sines.clone() * kernel_sines.clone();
    let of_sines = x_sines * kernel_cosines + x_cosines * kernel_sines;
    let back = |amplitudes: Tensor<3>, waves: Tensor<2>| {
        amplitudes.reshape([batch * channels, bins]).matmul(waves.transpose()).reshape([batch, channels, length])
    };
    back(of_cosines, cosines) + back(of_sines, sines)
}

/// Transforms of kernels, for signals of one length, without gradients.
#[derive(Clone)]
pub struct KernelSpectrum {
    plan: Plan,
    factors: Arc<Factors<f32>>,
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
        KernelSpectrum { plan, factors: Arc::new(Factors::new(&plan, kernels)) }
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
        (apply(&self.plan, &inputs[0], &self.factors, false), Vec::new())
    }

    fn gradients(&self, grad: FlexTensor, _: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        vec![Some(apply(&self.plan, &grad, &self.factors, true))]
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
    /// Points of the complex transform: half as many as samples, which are at least the length plus the
    /// longer of the two.
    points: usize,
}

impl Plan {
    fn new(channels: usize, length: usize, taps: usize, origin: usize) -> Plan {
        let (before, after) = (origin.min(length - 1), (taps - 1 - origin).min(length - 1));
        let points = smooth((length + before.max(after)).div_ceil(2));
        Plan { channels, length, taps, origin, before, after, points }
    }
}

/// The least number from `least` on that has no prime factor above 3 and, from 8 on, the factor 8. The transforms of
/// other lengths take up to four times as long a point: 1.9 us for 1000 points, 1.2 us for 1024.
fn smooth(least: usize) -> usize {
    let step = if least > 8 { 8 } else { 1 };
    let mut size = least.next_multiple_of(step);
    loop {
        let mut rest = size;
        for factor in [2, 3] {
            while rest.is_multiple_of(factor) {
                rest /= factor;
            }
        }
        if rest == 1 {
            return size;
        }
        size += step;
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
            DType::F64 => apply(&self.0, &inputs[0], &Factors::new(&self.0, values::<f64>(&inputs[1])), false),
            _ => apply(&self.0, &inputs[0], &Factors::new(&self.0, values::<f32>(&inputs[1])), false),
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
    forward: Arc<dyn Fft<T>>,
    back: Arc<dyn Fft<T>>,
    scratch: Vec<Complex<T>>,
}

impl<T: Real + FftNum> Transform<T> {
    fn new(Tables { forward, back, .. }: &Tables<T>) -> Transform<T> {
        let scratch = forward.get_inplace_scratch_len().max(back.get_inplace_scratch_len());
        Transform { forward: forward.clone(), back: back.clone(), scratch: vec![zero(); scratch] }
    }

    /// Packs a signal, with zeros behind it, and transforms it.
    fn forward(&mut self, signal: &[T], points: &mut [Complex<T>]) {
        let pairs = signal.chunks_exact(2);
        let (full, last) = (pairs.len(), pairs.remainder().first());
        for (point, pair) in points.iter_mut().zip(pairs) {
            *point = Complex::new(pair[0], pair[1]);
        }
        points[full..].fill(zero());
        if let Some(last) = last {
            points[full].re = *last;
        }
        self.forward.process_with_scratch(points, &mut self.scratch);
    }

    /// Transforms back and hands out the samples from the first on, times the number of points.
    fn back(&mut self, points: &mut [Complex<T>], out: &mut [T]) {
        self.back.process_with_scratch(points, &mut self.scratch);
        for (out, point) in out.chunks_mut(2).zip(points) {
            out[0] = point.re;
            if let Some(odd) = out.get_mut(1) {
                *odd = point.im;
            }
        }
    }
}

/// What a transform of one size needs.
struct Tables<T> {
    forward: Arc<dyn Fft<T>>,
    back: Arc<dyn Fft<T>>,
    /// [`turns`] of the points, and of twice as many.
    turns: Vec<Complex<T>>,
    half_turns: Vec<Complex<T>>,
}

/// The tables of this number of points, made at its first use: that takes as long as transforming dozens of signals.
fn tables<T: Real + FftNum>(points: usize) -> Arc<Tables<T>> {
    static KNOWN: Mutex<BTreeMap<(usize, bool), Arc<dyn Any + Send + Sync>>> = Mutex::new(BTreeMap::new());
    // A thread that panicked here left whole tables.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let tables = known.entry((points, T::DOUBLE)).or_insert_with(|| {
        let mut planner = FftPlanner::<T>::new();
        let (forward, back) = (planner.plan_fft_forward(points), planner.plan_fft_inverse(points));
        Arc::new(Tables { forward, back, turns: turns(points, points), half_turns: turns(points, 2 * points) })
    });
    tables.clone().downcast().expect("tables of the type that the key names")
}

fn zero<T: Real>() -> Complex<T> {
    Complex { re: T::ZERO, im: T::ZERO }
}

/// `exp(-2 pi i k / count)` for every `k` below the number of points.
fn turns<T: Real>(points: usize, count: usize) -> Vec<Complex<T>> {
    let angle = |k: usize| -std::f64::consts::TAU * k as f64 / count as f64;
    (0..points).map(|k| Complex { re: T::from_f64(angle(k).cos()), im: T::from_f64(angle(k).sin()) }).collect()
}

/// Spectra of the even and of the odd samples of a packed signal, at point `k`.
#[inline(always)]
fn halves<T: Real + FftNum>(point: Complex<T>, mirrored: Complex<T>) -> [Complex<T>; 2] {
    let half = <T as Real>::from_f64(0.5);
    let even = Complex::new((point.re + mirrored.re) * half, (point.im - mirrored.im) * half);
    let odd = Complex::new((point.im + mirrored.im) * half, (mirrored.re - point.re) * half);
    [even, odd]
}

/// What each point and its mirror image are multiplied with, for every channel; the division by the
/// number of points is in it.
struct Factors<T> {
    own: Vec<Complex<T>>,
    mirrored: Vec<Complex<T>>,
}

impl<T: Real + FftNum> Factors<T> {
    /// With `e` and `o` the spectra of the kernel's even and odd samples, `w = exp(-i a)` and
    /// `a = pi k / points`: `own = e - w o sin a`, `mirrored = i w o cos a`.
    fn new(plan: &Plan, kernels: &[T]) -> Factors<T> {
        let tables = tables::<T>(plan.points);
        let mut own = vec![zero(); plan.channels * plan.points];
        let mut other = own.clone();
        let scale = <T as Real>::from_f64(1.0 / plan.points as f64);
        own.par_chunks_exact_mut(plan.points)
            .zip(other.par_chunks_exact_mut(plan.points))
            .zip(kernels.par_chunks_exact(plan.taps))
            .for_each_init(
                || (Transform::new(&tables), vec![T::ZERO; 2 * plan.points], vec![zero(); plan.points]),
                |(transform, signal, points), ((own, other), kernel)| {
                    signal.fill(T::ZERO);
                    signal[..plan.after + 1].copy_from_slice(&kernel[plan.origin..plan.origin + plan.after + 1]);
                    let before = 2 * plan.points - plan.before;
                    signal[before..].copy_from_slice(&kernel[plan.origin - plan.before..plan.origin]);
                    transform.forward(signal, points);
                    T::run(ToFactors { points, turns: &tables.half_turns, scale, own, other });
                },
            );
        Factors { own, mirrored: other }
    }

    fn channel(&self, plan: &Plan, channel: usize) -> [&[Complex<T>]; 2] {
        let range = channel * plan.points..(channel + 1) * plan.points;
        [&self.own[range.clone()], &self.mirrored[range]]
    }
}

/// The factors of one kernel from its packed spectrum.
struct ToFactors<'a, T> {
    points: &'a [Complex<T>],
    turns: &'a [Complex<T>],
    scale: T,
    own: &'a mut [Complex<T>],
    other: &'a mut [Complex<T>],
}

impl<T: Real + FftNum> Job<T> for ToFactors<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let ToFactors { points, turns, scale, own, other } = self;
        let factors = |point: Complex<T>, image: Complex<T>, turn: Complex<T>| {
            let [even, odd] = halves(point, image);
            let re = (turn.re * odd.re - turn.im * odd.im) * scale;
            let im = (turn.re * odd.im + turn.im * odd.re) * scale;
            // The sine of the angle is minus the imaginary part of the turn.
            let own = Complex::new(even.re * scale + re * turn.im, even.im * scale + im * turn.im);
            (own, Complex::new(-im * turn.re, re * turn.re))
        };
        // The first point is its own image; slices without it let the compiler use vectors.
        (own[0], other[0]) = factors(points[0], points[0], turns[0]);
        let images = points[1..].iter().zip(points[1..].iter().rev()).zip(&turns[1..]);
        for (((point, image), turn), (own, other)) in images.zip(own[1..].iter_mut().zip(&mut other[1..])) {
            (*own, *other) = factors(*point, *image, *turn);
        }
    }
}

/// Multiplies packed spectra with factors, or with those of the kernel turned around.
struct Multiply<'a, T> {
    points: &'a [Complex<T>],
    factors: [&'a [Complex<T>]; 2],
    turned: bool,
    out: &'a mut [Complex<T>],
}

impl<T: Real + FftNum> Job<T> for Multiply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Multiply { points, factors: [own, other], turned, out } = self;
        // Turned around, `own` is conjugated and `mirrored` conjugated and negated.
        let sign = if turned { -T::ONE } else { T::ONE };
        let product = |z: Complex<T>, image: Complex<T>, a: Complex<T>, b: Complex<T>| {
            let (a, b) = (Complex::new(a.re, a.im * sign), Complex::new(b.re * sign, b.im));
            Complex::new(
                a.re * z.re - a.im * z.im + b.re * image.re + b.im * image.im,
                a.re * z.im + a.im * z.re + b.im * image.re - b.re * image.im,
            )
        };
        // As in `ToFactors`.
        out[0] = product(points[0], points[0], own[0], other[0]);
        let images = points[1..].iter().zip(points[1..].iter().rev());
        for (((z, image), (a, b)), out) in images.zip(own[1..].iter().zip(&other[1..])).zip(&mut out[1..]) {
            *out = product(*z, *image, *a, *b);
        }
    }
}

/// Convolution with the kernels of these factors, or with the kernels turned around.
fn apply<T: Real + FftNum>(plan: &Plan, x: &FlexTensor, factors: &Factors<T>, turned: bool) -> FlexTensor {
    let x = values::<T>(x);
    let tables = tables::<T>(plan.points);
    let mut out = memory::fresh(x.len());
    out.par_chunks_exact_mut(plan.length).zip(x.par_chunks_exact(plan.length)).enumerate().for_each_init(
        || (Transform::new(&tables), vec![zero(); plan.points], vec![zero(); plan.points]),
        |(transform, points, products), (row, (out, x))| {
            transform.forward(x, points);
            let factors = factors.channel(plan, row % plan.channels);
            T::run(Multiply { points, factors, turned, out: products });
            transform.back(products, memory::cleared(out));
        },
    );
    // SAFETY: a signal has whole rows, and each was cleared.
    let out = unsafe { memory::written(out) };
    tensor(out, &[x.len() / plan.channels / plan.length, plan.channels, plan.length])
}

/// Adds the correlation of two packed signals: the spectrum of its even lags, and those of the two
/// products that the odd lags consist of.
struct Correlate<'a, T> {
    signal: &'a [Complex<T>],
    grad: &'a [Complex<T>],
    sums: [&'a mut [Complex<T>]; 3],
}

impl<T: Real + FftNum> Job<T> for Correlate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let Correlate { signal, grad, sums: [even, ahead, behind] } = self;
        let products = |x: [Complex<T>; 2], grad: [Complex<T>; 2]| {
            let ([e, o], [ge, go]) = (halves(x[0], x[1]), halves(grad[0], grad[1]));
            [e.conj() * ge + o.conj() * go, e.conj() * go, o.conj() * ge]
        };
        // As in `ToFactors`.
        let first = products([signal[0]; 2], [grad[0]; 2]);
        for (sum, product) in [&mut even[0], &mut ahead[0], &mut behind[0]].into_iter().zip(first) {
            *sum = *sum + product;
        }
        let x = signal[1..].iter().zip(signal[1..].iter().rev());
        let grads = grad[1..].iter().zip(grad[1..].iter().rev());
        let sums = even[1..].iter_mut().zip(&mut ahead[1..]).zip(&mut behind[1..]);
        for (((x, x_image), (grad, grad_image)), ((even, ahead), behind)) in x.zip(grads).zip(sums) {
            let products = products([*x, *x_image], [*grad, *grad_image]);
            *even = *even + products[0];
            *ahead = *ahead + products[1];
            *behind = *behind + products[2];
        }
    }
}

fn gradients<T: Real + FftNum>(
    plan: &Plan,
    grad: &FlexTensor,
    kept: &[FlexTensor],
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let factors = || Factors::new(plan, values::<T>(&kept[1]));
    if !wanted[1] {
        return vec![wanted[0].then(|| apply(plan, grad, &factors(), true)), None];
    }
    let factors = wanted[0].then(factors);
    let (grad, x) = (values::<T>(grad), values::<T>(&kept[0]));
    let tables = tables::<T>(plan.points);
    let Plan { channels, length, points: n, .. } = *plan;
    let mut for_signal = memory::fresh(if wanted[0] { x.len() } else { 0 });
    let mut for_kernel = memory::fresh(channels * plan.taps);
    let rows = Columns::new(&mut for_signal, length);
    let scale = <T as Real>::from_f64(1.0 / n as f64);
    for_kernel.par_chunks_exact_mut(plan.taps).enumerate().for_each_init(
        || (Transform::new(&tables), vec![T::ZERO; 2 * n], vec![zero(); 6 * n]),
        |(transform, lags, memory), (channel, out)| {
            let mut parts = memory.chunks_exact_mut(n);
            let [signal, grads, products, even, ahead, behind]: [&mut [Complex<T>]; 6] =
                std::array::from_fn(|_| parts.next().expect("memory for six spectra"));
            for sum in [&mut *even, &mut *ahead, &mut *behind] {
                sum.fill(zero());
            }
            // Records are added in their order.
            for record in 0..x.len() / (channels * length) {
                let row = record * channels + channel;
                transform.forward(&x[row * length..][..length], signal);
                transform.forward(&grad[row * length..][..length], grads);
                T::run(Correlate { signal, grad: grads, sums: [even, ahead, behind] });
                if let Some(factors) = &factors {
                    let factors = factors.channel(plan, channel);
                    T::run(Multiply { points: grads, factors, turned: true, out: products });
                    // SAFETY: a row belongs to one channel, and a channel to one piece of work.
                    transform.back(products, memory::cleared(unsafe { rows.piece(row, 0, length) }));
                }
            }
            // A sample of the signal that is odd meets the next even one of the gradient.
            for (((even, ahead), behind), turn) in even.iter_mut().zip(&*ahead).zip(&*behind).zip(&tables.turns) {
                let odd = *ahead + turn.conj() * *behind;
                *even = Complex::new(even.re - odd.im, even.im + odd.re) * scale;
            }
            transform.back(even, lags);
            let kernel = &mut memory::cleared(out)[plan.origin - plan.before..plan.origin + plan.after + 1];
            let (negative, positive) = kernel.split_at_mut(plan.before);
            positive.copy_from_slice(&lags[..positive.len()]);
            negative.copy_from_slice(&lags[2 * n - plan.before..]);
        },
    );
    let batch = x.len() / (channels * length);
    // SAFETY: each channel cleared its kernel and, where they are wanted, its rows of all records.
    let (for_signal, for_kernel) =
        unsafe { (wanted[0].then(|| memory::written(for_signal)), memory::written(for_kernel)) };
    vec![
        for_signal.map(|for_signal| tensor(for_signal, &[batch, channels, length])),
        Some(tensor(for_kernel, &[channels, plan.taps])),
    ]
}
