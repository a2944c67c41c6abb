//! The convolution kernel of a state space layer whose poles are frozen, from its trained output
//! weights, with gradient.
//!
//! With fixed poles the kernel is a linear function of the output weights `C`: each frequency is a
//! sum over the modes of `C` and its conjugate times factors that the poles give. Both passes
//! compute the factors again in double precision; they are too many to be stored for each layer.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;

use super::cpu::{Real, tensor, values};
use super::dft::Waves;
use super::fused::{self, FusedOp};

/// The modes over which the sum of a frequency runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauchySum {
    /// Each stored mode and its conjugate: the formula of the paper.
    ConjugatePairs,
    /// The stored modes alone, as the plain PyTorch fall-back of the original computes it.
    StoredHalf,
}

/// The frozen part of a state space layer: `features` systems of `modes` stored modes.
///
/// # Reference
///
/// Gu et al. 2022, "Efficiently modeling long sequences with structured state spaces", algorithm 1.
#[derive(Debug, Clone, PartialEq)]
pub struct FrozenPoles {
    /// Number of systems.
    pub features: usize,
    /// Poles of the normal part, `[features, modes]`.
    pub poles: Vec<Complex64>,
    /// Input vector, `[features, modes]`.
    pub b: Vec<Complex64>,
    /// Left vector of the low-rank part, `[features, modes]`.
    pub p: Vec<Complex64>,
    /// Right vector of the low-rank part, conjugated as in the original, `[features, modes]`.
    pub q: Vec<Complex64>,
    /// Time step of each system.
    pub step: Vec<f64>,
    /// Nodes on the unit circle, half of an even internal length, and one.
    pub nodes: Vec<Complex64>,
    /// Terms of the sums.
    pub sum: CauchySum,
}

impl FrozenPoles {
    /// Stored modes per system.
    pub fn modes(&self) -> usize {
        self.poles.len() / self.features
    }

    /// Samples of the kernel.
    pub fn length(&self) -> usize {
        2 * (self.nodes.len() - 1)
    }

    /// # Panics
    ///
    /// If the lengths do not fit each other.
    fn check(&self) {
        assert!(self.features > 0 && !self.poles.is_empty() && self.nodes.len() > 1, "s4_kernel: empty system");
        let all = [self.poles.len(), self.b.len(), self.p.len(), self.q.len()];
        assert_eq!(all, [self.features * self.modes(); 4], "s4_kernel: modes of the vectors");
        assert_eq!(self.step.len(), self.features, "s4_kernel: number of time steps");
    }

    /// Calls `visit` with the number of each mode and its two factors at one node of one system:
    /// the kernel there is the sum of `first * C + second * conj(C)`.
    #[inline(always)]
    fn factors(&self, feature: usize, node: Complex64, mut visit: impl FnMut(usize, Complex64, Complex64)) {
        let range = feature * self.modes()..(feature + 1) * self.modes();
        let (poles, b) = (&self.poles[range.clone()], &self.b[range.clone()]);
        let (p, q) = (&self.p[range.clone()], &self.q[range]);
        let step = self.step[feature];
        // 2 / (1 + node) / (g - step * pole) with g = 2 (1 - node) / (1 + node), which has no pole
        // of its own at node -1.
        let (far, near) = (2.0 * (1.0 - node), step * (1.0 + node));
        let inverse = |pole: Complex64| {
            let difference = far - near * pole;
            difference.conj() * (2.0 / difference.norm_sqr())
        };
        let half = 0.5 * (1.0 + node);
        let both = self.sum == CauchySum::ConjugatePairs;
        let (mut qb, mut qp) = (Complex64::ZERO, Complex64::ZERO);
        for mode in 0..poles.len() {
            let direct = inverse(poles[mode]);
            qb += q[mode] * b[mode] * direct;
            qp += q[mode] * p[mode] * direct;
            if both {
                let mirror = inverse(poles[mode].conj());
                qb += (q[mode] * b[mode]).conj() * mirror;
                qp += (q[mode] * p[mode]).conj() * mirror;
            }
        }
        let ratio = qb * half * step / (1.0 + qp * half * step);
        for mode in 0..poles.len() {
            let first = (b[mode] - ratio * p[mode]) * inverse(poles[mode]) * step;
            let second = match both {
                true => (b[mode].conj() - ratio * p[mode].conj()) * inverse(poles[mode].conj()) * step,
                false => Complex64::ZERO,
            };
            visit(mode, first, second);
        }
    }
}

/// Kernels of the systems with output weights `c`.
///
/// `c` is `[channels, features, modes, 2]`, real and imaginary parts, already times `I - A^length` as
/// in the original; the result is `[channels, features, length]`.
///
/// # Panics
///
/// If the shapes do not fit.
pub fn s4_kernel(c: Tensor<4>, poles: &Arc<FrozenPoles>) -> Tensor<3> {
    poles.check();
    let [channels, features, modes, parts] = c.dims();
    assert!(channels > 0, "s4_kernel: a tensor without values");
    assert_eq!([features, modes, parts], [poles.features, poles.modes(), 2], "s4_kernel: shape of the weights");
    if !fused::runs_here(&c.device(), &[c.dtype()]) {
        return s4_kernel_reference(c, poles);
    }
    Tensor::from_dispatch(fused::run(S4Kernel(poles.clone()), vec![c.into_dispatch()]))
}

/// [`s4_kernel`] by the framework's own operations: the reference for tests, and what devices other than the CPU run.
/// Its memory is some times `modes * nodes` numbers per feature.
pub fn s4_kernel_reference(c: Tensor<4>, poles: &FrozenPoles) -> Tensor<3> {
    let [channels, features, modes, _] = c.dims();
    let (nodes, length) = (poles.nodes.len(), poles.length());
    let place = (&c.device(), c.dtype());
    // Time steps go into what they multiply.
    let scaled = |values: &[Complex64]| -> Vec<Complex64> {
        values.iter().enumerate().map(|(at, value)| value * poles.step[at / modes]).collect()
    };
    let (b, p) = (scaled(&poles.b), scaled(&poles.p));
    let of_modes = |values: Vec<Complex64>| Parts::new(values.into_iter(), [features, 1, modes], place);
    let times_q = |values: &[Complex64]| of_modes(poles.q.iter().zip(values).map(|(q, value)| q * value).collect());
    let (qb, qp) = (times_q(&b), times_q(&p));
    let part = |k: usize| c.clone().narrow(3, k, 1).reshape([channels, features, modes]).swap_dims(0, 1);
    let c = Parts { re: part(0), im: part(1) };
    let numerators = Parts::joined(vec![c.times(&of_modes(b)), c.times(&of_modes(p)), qb, qp]);

    let sums = cauchy_sums(numerators, &scaled(&poles.poles), poles);
    let [cb, cp] = [0, channels].map(|from| sums.rows(from, channels));
    let [qb, qp] = [2 * channels, 2 * channels + 1].map(|row| sums.rows(row, 1));
    let half = Parts::new(poles.nodes.iter().map(|node| 0.5 * (1.0 + node)), [1, 1, nodes], place);
    let low_rank = qp.times(&half);
    let ratio = qb.times(&half).times(&Parts { re: low_rank.re + 1.0, im: low_rank.im }.inverse());
    let removed = cp.times(&ratio);
    let bins = Parts { re: cb.re - removed.re, im: cb.im - removed.im };

    let waves = Waves::new(length, length, place.0, place.1);
    let back = |part: Tensor<3>, wave: Tensor<2>| {
        (part.reshape([features * channels, nodes]) * waves.shares.clone()).matmul(wave.transpose())
    };
    let kernels = back(bins.re, waves.cosines.clone()) - back(bins.im, waves.sines.clone());
    kernels.reshape([features, channels, length]).swap_dims(0, 1)
}

/// At each node the sum over the modes of `v 2 / (g - w)` and, where both count, of its mirror image, as in
/// [`FrozenPoles::factors`].
///
/// With its mirror image a mode is `(a g - b) / (g^2 - c g + d)` with real `a` to `d`, so that the sums are products of
/// real numbers and one complex matrix.
///
/// # Shape
/// `v` is `[features, row, modes]`, `poles` `[features, modes]`, already times the time step; the result is
/// `[features, row, node]`.
fn cauchy_sums(v: Parts, poles: &[Complex64], frozen: &FrozenPoles) -> Parts {
    let [features, rows, modes] = v.re.dims();
    let nodes = frozen.nodes.len();
    let place = (&v.re.device(), v.re.dtype());
    let of_nodes =
        |value: fn(&Complex64) -> Complex64| Parts::new(frozen.nodes.iter().map(value), [1, 1, nodes], place);
    let of_modes = |value: fn(&Complex64) -> f64| {
        let values: Vec<f64> = poles.iter().map(value).collect();
        Tensor::<1>::from_data(values.as_slice(), place).reshape([features, modes, 1])
    };
    // Far and near as there, both over two.
    let far = of_nodes(|node| 1.0 - node);
    let near = of_nodes(|node| 0.5 * (1.0 + node));
    let (far_far, far_near, near_near) = (far.times(&far), far.times(&near), near.times(&near));
    let (twice, square) = (of_modes(|pole| 2.0 * pole.re), of_modes(Complex64::norm_sqr));
    let part =
        |far_far: Tensor<3>, far_near, near_near| far_far - twice.clone() * far_near + square.clone() * near_near;
    let inverse =
        Parts { re: part(far_far.re, far_near.re, near_near.re), im: part(far_far.im, far_near.im, near_near.im) }
            .inverse();
    let matrix = Tensor::cat(vec![inverse.re, inverse.im], 2);

    let v = match frozen.sum {
        CauchySum::ConjugatePairs => v,
        CauchySum::StoredHalf => Parts::joined(vec![v.clone(), Parts { re: -v.im, im: v.re }]),
    };
    let pole = Parts::new(poles.iter().copied(), [features, 1, modes], place);
    let constant = v.re.clone() * pole.re + v.im * pole.im;
    let pair = |values: Tensor<3>| {
        let sums = values.matmul(matrix.clone());
        Parts { re: sums.clone().narrow(2, 0, nodes), im: sums.narrow(2, nodes, nodes) }
    };
    let (linear, constant) = (pair(v.re).times(&far), pair(constant).times(&near));
    let sums = Parts { re: linear.re - constant.re, im: linear.im - constant.im };
    match frozen.sum {
        CauchySum::ConjugatePairs => Parts { re: sums.re * 2.0, im: sums.im * 2.0 },
        // Half the pairs of `v` less `i` times half those of `i v`: what is left are the modes alone.
        CauchySum::StoredHalf => {
            let (plain, turned) = (sums.rows(0, rows), sums.rows(rows, rows));
            Parts { re: plain.re + turned.im, im: plain.im - turned.re }
        }
    }
}

/// Complex numbers by their parts.
#[derive(Clone)]
struct Parts {
    re: Tensor<3>,
    im: Tensor<3>,
}

impl Parts {
    fn new(values: impl Iterator<Item = Complex64>, shape: [usize; 3], place: (&Device, DType)) -> Parts {
        let (re, im): (Vec<f64>, Vec<f64>) = values.map(|value| (value.re, value.im)).unzip();
        let [re, im] = [re, im].map(|part| Tensor::<1>::from_data(part.as_slice(), place).reshape(shape));
        Parts { re, im }
    }

    fn times(&self, other: &Parts) -> Parts {
        let product = |a: &Tensor<3>, b: &Tensor<3>| a.clone() * b.clone();
        Parts {
            re: product(&self.re, &other.re) - product(&self.im, &other.im),
            im: product(&self.re, &other.im) + product(&self.im, &other.re),
        }
    }

    fn inverse(self) -> Parts {
        let size = self.re.clone().square() + self.im.clone().square();
        Parts { re: self.re / size.clone(), im: -self.im / size }
    }

    /// Rows are the second axis.
    fn rows(&self, from: usize, count: usize) -> Parts {
        Parts { re: self.re.clone().narrow(1, from, count), im: self.im.clone().narrow(1, from, count) }
    }

    fn joined(all: Vec<Parts>) -> Parts {
        let (re, im) = all.into_iter().map(|parts| (parts.re, parts.im)).unzip();
        Parts { re: Tensor::cat(re, 1), im: Tensor::cat(im, 1) }
    }
}

#[derive(Debug)]
struct S4Kernel(Arc<FrozenPoles>);

impl FusedOp for S4Kernel {
    fn forward(&self, inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => forward::<f64>(&self.0, &inputs[0]),
            _ => forward::<f32>(&self.0, &inputs[0]),
        };
        (out, Vec::new())
    }

    fn gradients(&self, grad: FlexTensor, _: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        vec![Some(match grad.dtype() {
            DType::F64 => gradient::<f64>(&self.0, &grad),
            _ => gradient::<f32>(&self.0, &grad),
        })]
    }
}

fn forward<T: Real>(poles: &FrozenPoles, c: &FlexTensor) -> FlexTensor {
    let (features, modes, length) = (poles.features, poles.modes(), poles.length());
    let c = values::<T>(c);
    let channels = c.len() / (features * modes * 2);
    let back = RealFftPlanner::<f64>::new().plan_fft_inverse(length);
    // One piece of work is one feature.
    let kernels: Vec<Vec<f64>> = (0..features)
        .into_par_iter()
        .map(|feature| {
            let weight = |channel: usize, mode: usize| {
                let at = ((channel * features + feature) * modes + mode) * 2;
                Complex64::new(c[at].into_f64(), c[at + 1].into_f64())
            };
            let weights: Vec<Complex64> =
                (0..channels).flat_map(|channel| (0..modes).map(move |mode| weight(channel, mode))).collect();
            let mut bins = vec![Complex64::ZERO; channels * poles.nodes.len()];
            for (bin, node) in poles.nodes.iter().enumerate() {
                poles.factors(feature, *node, |mode, first, second| {
                    for channel in 0..channels {
                        let c = weights[channel * modes + mode];
                        bins[channel * poles.nodes.len() + bin] += first * c + second * c.conj();
                    }
                });
            }
            let mut kernels = vec![0.0; channels * length];
            for (bins, kernel) in bins.chunks_exact_mut(poles.nodes.len()).zip(kernels.chunks_exact_mut(length)) {
                bins[0].im = 0.0;
                bins[poles.nodes.len() - 1].im = 0.0;
                // The buffers have the lengths of the transform and real ends.
                back.process(bins, kernel).expect("buffers of the length of the transform");
            }
            kernels
        })
        .collect();
    let mut out = Vec::with_capacity(channels * features * length);
    for channel in 0..channels {
        for kernels in &kernels {
            let kernel = &kernels[channel * length..(channel + 1) * length];
            out.extend(kernel.iter().map(|value| T::from_f64(value / length as f64)));
        }
    }
    tensor(out, &[channels, features, length])
}

fn gradient<T: Real>(poles: &FrozenPoles, grad: &FlexTensor) -> FlexTensor {
    let (features, modes, length) = (poles.features, poles.modes(), poles.length());
    let grad = values::<T>(grad);
    let channels = grad.len() / (features * length);
    let transform = RealFftPlanner::<f64>::new().plan_fft_forward(length);
    let sums: Vec<Vec<Complex64>> = (0..features)
        .into_par_iter()
        .map(|feature| {
            let nodes = poles.nodes.len();
            let mut bins = vec![Complex64::ZERO; channels * nodes];
            for (channel, bins) in bins.chunks_exact_mut(nodes).enumerate() {
                let from = &grad[(channel * features + feature) * length..][..length];
                let mut signal: Vec<f64> = from.iter().map(|value| value.into_f64()).collect();
                // The buffers have the lengths of the transform.
                transform.process(&mut signal, bins).expect("buffers of the length of the transform");
                for bin in &mut bins[1..nodes - 1] {
                    *bin *= 2.0;
                }
            }
            let mut sums = vec![Complex64::ZERO; channels * modes];
            for (bin, node) in poles.nodes.iter().enumerate() {
                poles.factors(feature, *node, |mode, first, second| {
                    for channel in 0..channels {
                        let g = bins[channel * nodes + bin];
                        sums[channel * modes + mode] += g.conj() * first + g * second.conj();
                    }
                });
            }
            sums
        })
        .collect();
    let mut out = Vec::with_capacity(channels * features * modes * 2);
    for channel in 0..channels {
        for sums in &sums {
            for sum in &sums[channel * modes..(channel + 1) * modes] {
                out.extend([sum.re, -sum.im].map(|value| T::from_f64(value / length as f64)));
            }
        }
    }
    tensor(out, &[channels, features, modes, 2])
}
