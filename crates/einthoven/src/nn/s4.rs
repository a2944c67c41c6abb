//! State space layers: long convolutions whose kernels come from a few modes per feature.
//!
//! Two forms. [`FrozenS4`] is the layer of SSSD-ECG in its own layout: the poles are fixed, the
//! output weights are trained. [`S4d`] is diagonal and trains its poles; it is cheaper and the
//! better start for a new network. Both are a kernel, one long convolution and a 1x1 convolution.
//! The recurrent form is left out: only [`FrozenS4::discretize`] knows it, to lengthen a layer.

use std::sync::Arc;

use burn::tensor::Tensor;
use realfft::num_complex::Complex64;

use super::kernel::{
    CauchySum, DiagonalSystem, FrozenPoles, KernelSpectrum, Pointwise, fft_conv, gelu, is_cpu, layer_norm_act,
    s4_kernel, s4d_kernel,
};
use super::layer::{conv, declare_constant, declare_conv};
use super::weights::{Init, ParamSpec, View, Weight, Weights, host};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// A matrix of complex numbers in row-major order.
pub type ComplexMatrix = Vec<Complex64>;

/// The frozen half of an S4 layer of SSSD-ECG: everything but the output weights `C`, the direct
/// weight `D` and the linear map.
///
/// # Reference
/// Gu et al. 2022, "Efficiently modeling long sequences with structured state spaces"; layout of
/// `src/sssd/models/S4Model.py` of AI4HealthUOL/SSSD-ECG.
#[derive(Debug, Clone, PartialEq)]
pub struct FrozenS4 {
    poles: Arc<FrozenPoles>,
}

/// One step of the recurrence `state = a state + b input`, for one feature, over the modes and then
/// their conjugates.
#[derive(Debug, Clone, PartialEq)]
pub struct Discrete {
    /// `[2 * modes, 2 * modes]`.
    pub a: ComplexMatrix,
    /// `[2 * modes]`.
    pub b: Vec<Complex64>,
}

impl FrozenS4 {
    /// Reads the buffers below `prefix` (`...s4_layer.kernel.kernel`).
    ///
    /// # Errors
    /// [`Error::Data`] when a buffer is missing or has another shape.
    pub fn read(weights: &Weights, prefix: &str, sum: CauchySum) -> Result<FrozenS4> {
        let find = |name: &str| {
            let full = format!("{prefix}.{name}");
            weights.entries.get(&full).ok_or_else(|| Error::data(full, "is missing".to_string()))
        };
        let steps = find("log_dt")?;
        let features = steps.values.len();
        let complex = |name: &str| -> Result<Vec<Complex64>> {
            let found = find(name)?;
            if found.shape.last() != Some(&2) || found.values.is_empty() {
                let shape = &found.shape;
                return Err(Error::data(format!("{prefix}.{name}"), format!("has shape {shape:?}, expected pairs")));
            }
            Ok(found.values.chunks_exact(2).map(|pair| Complex64::new(pair[0].into(), pair[1].into())).collect())
        };
        let poles = FrozenPoles {
            features,
            poles: complex("w")?,
            b: complex("B")?,
            p: complex("P")?,
            q: complex("Q")?,
            step: steps.values.iter().map(|&log| f64::from(log).exp()).collect(),
            nodes: complex("omega")?,
            sum,
        };
        let n = poles.poles.len();
        let fits =
            features > 0 && n.is_multiple_of(features) && [poles.b.len(), poles.p.len(), poles.q.len()] == [n; 3];
        if !fits || poles.nodes.len() < 2 {
            let found = [features, n, poles.b.len(), poles.p.len(), poles.q.len(), poles.nodes.len()];
            return Err(Error::data(
                prefix,
                format!("log_dt, w, B, P, Q and omega have {found:?} entries, which do not fit"),
            ));
        }
        Ok(FrozenS4 { poles: Arc::new(poles) })
    }

    /// The systems.
    pub fn poles(&self) -> &Arc<FrozenPoles> {
        &self.poles
    }

    /// Longest signal without lengthening.
    pub fn length(&self) -> usize {
        self.poles.length()
    }

    /// Kernels `[channels, features, length]` for output weights `[channels, features, modes, 2]`.
    pub fn kernels(&self, c: Tensor<4>) -> Tensor<3> {
        s4_kernel(c, &self.poles)
    }

    /// The recurrence of one feature by the bilinear rule.
    pub fn discretize(&self, feature: usize) -> Discrete {
        let poles = &self.poles;
        let range = feature * poles.modes()..(feature + 1) * poles.modes();
        let both = |values: &[Complex64]| -> Vec<Complex64> {
            let half = &values[range.clone()];
            half.iter().copied().chain(half.iter().map(Complex64::conj)).collect()
        };
        let (w, p, q, b) = (both(&poles.poles), both(&poles.p), both(&poles.q), both(&poles.b));
        let (n, half) = (w.len(), 0.5 * poles.step[feature]);
        // A = diag(w) - p q^T; then (I - A step/2)^-1 (I + A step/2) and (I - A step/2)^-1 b step.
        let entry = |row: usize, column: usize| {
            let diagonal = if row == column { w[row] } else { Complex64::ZERO };
            (diagonal - p[row] * q[column]) * half
        };
        let mut left: Vec<Vec<Complex64>> = Vec::with_capacity(n);
        for row in 0..n {
            let unit = |column: usize| if row == column { Complex64::ONE } else { Complex64::ZERO };
            let mut line: Vec<_> = (0..n).map(|column| unit(column) - entry(row, column)).collect();
            line.extend((0..n).map(|column| unit(column) + entry(row, column)));
            line.push(b[row] * (2.0 * half));
            left.push(line);
        }
        solve(&mut left);
        Discrete {
            a: left.iter().flat_map(|line| line[n..2 * n].iter().copied()).collect(),
            b: left.iter().map(|line| line[2 * n]).collect(),
        }
    }

    /// Number of systems.
    pub fn features(&self) -> usize {
        self.poles.features
    }

    /// Stored modes of each system.
    pub fn modes(&self) -> usize {
        self.poles.modes()
    }

    /// The same layer for twice the length: new nodes, and the output weights that go with them.
    ///
    /// `c` is `[channels, features, modes, 2]`, row-major. The weights hold `C (I - A^length)`; times
    /// `I + A^length` they hold it for twice the length.
    pub fn doubled(&self, c: &[f32]) -> (FrozenS4, Vec<f32>) {
        let nodes = published_nodes(2 * self.length());
        (FrozenS4 { poles: Arc::new(FrozenPoles { nodes, ..(*self.poles).clone() }) }, self.with_power(c, 1.0))
    }

    /// Output weights `C` as they are stored: `C (I - A^length)`.
    ///
    /// # Shape
    /// `c` and the result are `[channels, features, modes, 2]`, row-major.
    pub fn corrected(&self, c: &[f32]) -> Vec<f32> {
        self.with_power(c, -1.0)
    }

    /// `C + factor C A^length`.
    fn with_power(&self, c: &[f32], factor: f64) -> Vec<f32> {
        let (features, modes) = (self.features(), self.modes());
        let mut sum = c.to_vec();
        for feature in 0..features {
            let power = matrix_power(&self.discretize(feature).a, 2 * modes, self.length());
            for channel in 0..c.len() / (features * modes * 2) {
                let at = (channel * features + feature) * modes * 2;
                let half = c[at..at + 2 * modes].chunks_exact(2);
                let half: Vec<Complex64> =
                    half.map(|pair| Complex64::new(f64::from(pair[0]), f64::from(pair[1]))).collect();
                let full: Vec<Complex64> = half.iter().copied().chain(half.iter().map(Complex64::conj)).collect();
                for mode in 0..modes {
                    let product: Complex64 =
                        full.iter().enumerate().map(|(row, c)| c * power[row * 2 * modes + mode]).sum();
                    let value = half[mode] + factor * product;
                    sum[at + 2 * mode] = value.re as f32;
                    sum[at + 2 * mode + 1] = value.im as f32;
                }
            }
        }
        sum
    }
}

/// Half of the unit circle in steps of `-2 pi / length`, both ends included.
pub fn nodes(length: usize) -> Vec<Complex64> {
    let angle = |node: usize| -std::f64::consts::TAU * node as f64 / length as f64;
    (0..=length / 2).map(|node| Complex64::from_polar(1.0, angle(node))).collect()
}

/// The same nodes as the original computes them where it doubles a length: powers of the first one in single precision, by
/// logarithm and exponential. They are off by 1e-5 at 2000 points, which moves a kernel by more than the precision of its
/// weights, so a published layer answers to long signals as its original does only with these.
///
/// # Reference
/// `_omega` in `src/sssd/models/S4Model.py` of AI4HealthUOL/SSSD-ECG.
fn published_nodes(length: usize) -> Vec<Complex64> {
    let single = |value: f64| f64::from(value as f32);
    let angle = -std::f64::consts::TAU / length as f64;
    let (re, im) = (single(libm::cos(angle)), single(libm::sin(angle)));
    let logarithm = [single(libm::log(libm::hypot(re, im))), single(libm::atan2(im, re))];
    let node = |power: usize| {
        let [size, angle] = logarithm.map(|part| single(power as f64 * part));
        let size = libm::exp(size);
        Complex64::new(single(size * libm::cos(angle)), single(size * libm::sin(angle)))
    };
    (0..=length / 2).map(node).collect()
}

/// Gauss-Jordan elimination with row exchange: turns the left square of the lines into the unit
/// matrix.
fn solve(lines: &mut [Vec<Complex64>]) {
    for column in 0..lines.len() {
        let size = |row: &usize| lines[*row][column].norm_sqr();
        // There is at least the row of the column itself.
        let best = (column..lines.len()).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(column);
        lines.swap(column, best);
        let inverse = lines[column][column].inv();
        for value in &mut lines[column] {
            *value *= inverse;
        }
        let pivot = lines[column].clone();
        for (row, line) in lines.iter_mut().enumerate() {
            let factor = line[column];
            if row != column && factor != Complex64::ZERO {
                for (value, pivot) in line.iter_mut().zip(&pivot) {
                    *value -= factor * pivot;
                }
            }
        }
    }
}

/// A square matrix of `n` rows to the power `exponent`, by squaring.
fn matrix_power(matrix: &[Complex64], n: usize, mut exponent: usize) -> ComplexMatrix {
    let multiply = |a: &[Complex64], b: &[Complex64]| -> ComplexMatrix {
        let entry = |row: usize, column: usize| (0..n).map(|k| a[row * n + k] * b[k * n + column]).sum();
        (0..n * n).map(|index| entry(index / n, index % n)).collect()
    };
    let mut result: ComplexMatrix =
        (0..n * n).map(|index| if index % (n + 1) == 0 { Complex64::ONE } else { Complex64::ZERO }).collect();
    let mut square = matrix.to_vec();
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply(&result, &square);
        }
        square = multiply(&square, &square);
        exponent >>= 1;
    }
    result
}

/// Joins a causal kernel and, where there are two channels, one that runs backward, and adds the
/// direct weights at lag 0.
///
/// # Shape
/// `kernels` is `[channels, features, length]` with one or two channels, `direct` `[features]`; the
/// result is `[features, taps]` with the number of the tap at lag 0. The first sample of the backward
/// kernel acts on lag -1.
pub fn join_kernels(kernels: Tensor<3>, direct: Tensor<1>) -> (Tensor<2>, usize) {
    let [channels, features, length] = kernels.dims();
    let causal: Tensor<2> = kernels.clone().narrow(0, 0, 1).squeeze_dim(0);
    let first = causal.clone().narrow(1, 0, 1) + direct.reshape([features, 1]);
    let mut parts = Vec::new();
    let mut origin = 0;
    if channels == 2 {
        let backward: Tensor<2> = kernels.narrow(0, 1, 1).squeeze_dim(0);
        parts.push(backward.flip([1]));
        origin = length;
    }
    parts.push(first);
    if length > 1 {
        parts.push(causal.narrow(1, 1, length - 1));
    }
    (Tensor::cat(parts, 1), origin)
}

/// The long convolution of a trained layer for signals of one length: what a sampler computes once.
#[derive(Debug, Clone)]
pub enum LongConv {
    /// Kernels whose transform is known, on the CPU.
    Transformed(KernelSpectrum),
    /// Taps as of [`join_kernels`], on any other device.
    Taps(Tensor<2>, usize),
}

impl LongConv {
    /// That of kernels and direct weights as in [`join_kernels`].
    pub fn new(kernels: Tensor<3>, direct: Tensor<1>) -> LongConv {
        let [_, features, length] = kernels.dims();
        let (taps, origin) = join_kernels(kernels, direct);
        match is_cpu(&taps.device()) {
            true => LongConv::Transformed(KernelSpectrum::new(&host(taps), features, origin, length)),
            false => LongConv::Taps(taps, origin),
        }
    }

    fn convolve(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            LongConv::Transformed(spectrum) => spectrum.convolve(x),
            LongConv::Taps(taps, origin) => fft_conv(x, taps.clone(), *origin),
        }
    }
}

/// The block of the original: convolution with direct term, GELU, linear map.
///
/// # Shape
/// `p` holds `D` `[1, features]`, `output_linear.weight` `[features, features]` and
/// `output_linear.bias` `[features, 1]`; `kernels` is `[channels, features, >= time]`; `x` and the
/// result are `[batch, features, time]`.
pub fn s4_block(p: &View, kernels: Tensor<3>, x: Tensor<3>) -> Tensor<3> {
    let [_, features, time] = x.dims();
    let (taps, origin) = join_kernels(kernels.narrow(2, 0, time), p.get::<2>("D").reshape([features]));
    mix(p, gelu(fft_conv(x, taps, origin)))
}

/// [`s4_block`] with a convolution that is known, without gradients of its kernels.
pub fn s4_block_cached(p: &View, long: &LongConv, x: Tensor<3>) -> Tensor<3> {
    mix(p, gelu(long.convolve(x)))
}

fn mix(p: &View, y: Tensor<3>) -> Tensor<3> {
    let linear = p.at("output_linear");
    let weight = linear.get::<2>("weight").unsqueeze_dim::<3>(2);
    let bias = linear.get::<2>("bias");
    let features = bias.dims()[0];
    super::kernel::conv1d(y, weight, Some(bias.reshape([features])), super::kernel::Conv1dOptions::default())
}

/// The layer of SSSD-ECG: block, skip connection, layer normalization over the features.
///
/// # Shape
/// `p` holds `s4_layer.*` as in [`s4_block`] and, when the layer has one, `norm_layer.weight` and
/// `norm_layer.bias`; `x` and the result are `[batch, features, time]`.
pub fn s4_layer(p: &View, kernels: Tensor<3>, x: Tensor<3>, has_norm: bool) -> Tensor<3> {
    let y = s4_block(&p.at("s4_layer"), kernels, x.clone());
    residual_norm(p, x, y, has_norm)
}

/// The end of a layer: `x + y` and, when the layer has one, `norm_layer` over the features.
///
/// # Shape
/// All `[batch, features, time]`.
pub fn residual_norm(p: &View, x: Tensor<3>, y: Tensor<3>, has_norm: bool) -> Tensor<3> {
    if !has_norm {
        return x + y;
    }
    let norm = p.at("norm_layer");
    layer_norm_act(x + y, norm.get("weight"), norm.get("bias"), Pointwise::None, 1e-5)
}

/// A diagonal state space layer with trained poles.
///
/// # Reference
/// Gu et al. 2022, "On the parameterization and initialization of diagonal state space models".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct S4d {
    /// Channels of the signal.
    pub features: usize,
    /// Modes per feature; each stands for itself and its conjugate.
    pub modes: usize,
    /// Whether a second kernel runs backward in time.
    pub is_bidirectional: bool,
}

impl S4d {
    fn channels(&self) -> usize {
        1 + usize::from(self.is_bidirectional)
    }

    /// Declares the parameters; [`S4d::start`] sets those that do not start at a plain number.
    pub fn declare(&self, out: &mut Vec<ParamSpec>, name: &str) {
        let S4d { features, modes, .. } = *self;
        declare_constant(out, &format!("{name}.log_step"), &[features], Init::Zeros);
        declare_constant(out, &format!("{name}.log_decay"), &[features, modes], Init::Zeros);
        declare_constant(out, &format!("{name}.frequency"), &[features, modes], Init::Zeros);
        let c = [self.channels(), features, modes, 2];
        declare_constant(out, &format!("{name}.c"), &c, Init::Normal(0.5f64.sqrt()));
        declare_constant(out, &format!("{name}.direct"), &[features], Init::Normal(1.0));
        declare_conv(out, &format!("{name}.mix"), features, features, 1, true);
    }

    /// Poles at `-1/2 + i pi n`, time steps log-uniform between 0.001 and 0.1.
    pub fn start(&self, weights: &mut Weights, name: &str, seed: Seed) {
        let mut stream = seed.purpose(&format!("{name}.log_step")).stream();
        let (low, high) = (0.001f64.ln(), 0.1f64.ln());
        let steps = (0..self.features).map(|_| stream.uniform_in(low, high) as f32).collect();
        let modes = |value: &dyn Fn(usize) -> f64| {
            let values = (0..self.features * self.modes).map(|index| value(index % self.modes) as f32).collect();
            Weight { shape: vec![self.features, self.modes], values }
        };
        let started = [
            ("log_step", Weight { shape: vec![self.features], values: steps }),
            ("log_decay", modes(&|_| 0.5f64.ln())),
            ("frequency", modes(&|mode| std::f64::consts::PI * mode as f64)),
        ];
        for (parameter, weight) in started {
            weights.entries.insert(format!("{name}.{parameter}"), weight);
        }
    }

    /// Kernels `[channels, features, length]`.
    pub fn kernels(&self, p: &View, length: usize) -> Tensor<3> {
        let system = DiagonalSystem {
            log_step: p.get("log_step"),
            log_decay: p.get("log_decay"),
            frequency: p.get("frequency"),
            c: p.get("c"),
        };
        s4d_kernel(system, length)
    }

    /// Convolution with direct term, GELU, 1x1 convolution.
    ///
    /// # Shape
    /// `x` and the result are `[batch, features, time]`.
    pub fn forward(&self, p: &View, x: Tensor<3>) -> Tensor<3> {
        let (taps, origin) = join_kernels(self.kernels(p, x.dims()[2]), p.get("direct"));
        conv(&p.at("mix"), gelu(fft_conv(x, taps, origin)), 1, 0)
    }

    /// [`S4d::forward`] with a convolution that is known, without gradients of its kernels.
    pub fn forward_cached(&self, p: &View, long: &LongConv, x: Tensor<3>) -> Tensor<3> {
        conv(&p.at("mix"), gelu(long.convolve(x)), 1, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_nodes_are_those_of_the_original() {
        // exp(-2 pi i / length) as complex64, to the power of arange(length / 2 + 1): PyTorch 2.15 on a CPU.
        for (length, power, re, im) in [
            (2000, 377, 0.376_869_17, -0.926_261_5),
            (2000, 777, -0.764_464_3, -0.644_651_2),
            (2000, 1000, -0.999_987_6, 3.258e-7),
            (1000, 500, -1.000_005, -1.51e-7),
            (14, 3, 0.222_520_84, -0.974_927_84),
        ] {
            // Units in the last place of both, which the exact nodes miss by up to forty times as much.
            let error = (published_nodes(length)[power] - Complex64::new(re, im)).norm();
            assert!(error < 3e-7, "{length} {power}: {error}");
            let exact = (nodes(length)[power] - Complex64::new(re, im)).norm();
            assert!(length < 100 || exact > 4e-6, "{length} {power}: {exact}");
        }
    }
}
