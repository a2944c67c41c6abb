//! The fused operations one by one, on the shapes of the workloads: `cargo bench --bench ops [-- NAME]`.
//! `RAYON_NUM_THREADS` sets the threads. Each has the framework's own operations beside it, called stock. Convolution,
//! group and root-mean-square normalization are in `kernels`.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use divan::Bencher;
use einthoven::nn::adamw::{AdamW, AdamWConfig, gradient_norm};
use einthoven::nn::flat_adamw::FlatAdamW;
use einthoven::nn::kernel::{
    Activation, Affine, CauchySum, ChannelStatistics, Conv1dOptions, DepthwiseOptions, DiagonalSystem, Edge,
    FrozenPoles, Gate, GateConv, GateOut, Kept, KernelSpectrum, Pointwise, attention, attention_reference,
    batch_norm_act, batch_norm_act_fixed, batch_norm_act_fixed_reference, batch_norm_act_reference, conv_transpose1d,
    conv_transpose1d_reference, conv1d_grouped, conv1d_grouped_reference, conv1d_joined, conv1d_matrix,
    conv1d_reference, cross_entropy, cross_entropy_reference, depthwise, depthwise_reference, fft_conv,
    fft_conv_reference, gated_output, gated_output_reference, gated_residual, gated_residual_reference, gelu,
    gelu_reference, glu, glu_reference, group_norm_act_add, group_norm_act_reference, layer_norm_act,
    layer_norm_act_reference, linear, linear_attention, linear_attention_reference, linear_reference, max_pool,
    max_pool_reference, rms_norm_add, rms_norm_reference, s4_kernel, s4_kernel_reference, s4d_kernel,
    s4d_kernel_reference, silu, silu_reference, snake, snake_reference, upsample_nearest, upsample_nearest_reference,
};
use einthoven::nn::s4::nodes;
use einthoven::nn::weights::{Weight, Weights};
use realfft::num_complex::Complex64;

fn main() {
    divan::main();
}

/// A forward pass or, to train, a forward and a backward pass, of our operation or the framework's.
#[derive(Clone, Copy)]
struct Run {
    is_training: bool,
    is_stock: bool,
}

const RUNS: [Run; 4] = [
    Run { is_training: false, is_stock: false },
    Run { is_training: false, is_stock: true },
    Run { is_training: true, is_stock: false },
    Run { is_training: true, is_stock: true },
];

impl Display for Run {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_str(if self.is_training { "train" } else { "forward" })?;
        f.write_str(if self.is_stock { ", stock" } else { "" })
    }
}

/// Numbers in [-1, 1) from a hash of their index.
fn noise(count: usize) -> Vec<f32> {
    let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..count as u32).map(value).collect()
}

impl Run {
    fn tensor<const D: usize>(self, shape: [usize; D]) -> Tensor<D> {
        let device = if self.is_training { Device::flex().autodiff() } else { Device::flex() };
        let tensor = Tensor::from_data(TensorData::new(noise(shape.iter().product()), shape), &device);
        if self.is_training { tensor.require_grad() } else { tensor }
    }

    /// Times what `call` makes of ours, the first of `ops`, or of the framework's.
    fn bench<O: Copy, const D: usize>(self, bencher: Bencher, ops: [O; 2], call: impl Fn(O) -> Tensor<D>) {
        let op = ops[usize::from(self.is_stock)];
        bencher.bench_local(|| match self.is_training {
            false => drop(call(op)),
            true => drop(call(op).sum().backward()),
        });
    }
}

/// The beat U-Net: batch, heads, width of a head, samples.
const LEVELS: [usize; 4] = [64, 4, 16, 128];
const MIDDLE: [usize; 4] = [64, 4, 16, 32];
/// W5.
const TRANSFORMER: [usize; 4] = [16, 4, 32, 64];

type HeadsOp = fn(Tensor<3>, usize, usize) -> Tensor<3>;

fn heads(bencher: Bencher, run: Run, [batch, heads, width, length]: [usize; 4], ops: [HeadsOp; 2]) {
    let qkv = run.tensor([batch, 3 * heads * width, length]);
    run.bench(bencher, ops, |op| op(qkv.clone(), heads, width));
}

#[divan::bench(args = RUNS)]
fn linear_attention_levels(bencher: Bencher, run: Run) {
    heads(bencher, run, LEVELS, [linear_attention, linear_attention_reference]);
}

#[divan::bench(args = RUNS)]
fn attention_middle(bencher: Bencher, run: Run) {
    heads(bencher, run, MIDDLE, [attention, attention_reference]);
}

#[divan::bench(args = RUNS)]
fn attention_transformer(bencher: Bencher, run: Run) {
    heads(bencher, run, TRANSFORMER, [attention, attention_reference]);
}

type GatedOp = fn(Tensor<3>, Tensor<2>, GateConv, Option<Tensor<3>>, GateOut, Gate) -> Tensor<3>;

/// A layer of W1 or W2; ours keeps whole what the gradient needs.
fn gated(bencher: Bencher, run: Run, [batch, channels, length]: [usize; 3]) {
    let state = run.tensor([batch, 2 * channels, length]);
    let shift = run.tensor([batch, channels]);
    let conv =
        GateConv { weight: run.tensor([2 * channels, channels, 3]), bias: run.tensor([2 * channels]), dilation: 16 };
    let out = GateOut { weight: run.tensor([2 * channels, channels, 1]), bias: run.tensor([2 * channels]) };
    let ours: GatedOp = |state, shift, conv, conditioner, out, gate| {
        gated_residual(state, shift, conv, conditioner, out, gate, Kept::Whole)
    };
    run.bench(bencher, [ours, gated_residual_reference], |op| {
        op(state.clone(), shift.clone(), conv.clone(), None, out.clone(), Gate::First)
    });
}

#[divan::bench(args = RUNS)]
fn gated_residual_w1(bencher: Bencher, run: Run) {
    gated(bencher, run, [16, 64, 256]);
}

#[divan::bench(args = RUNS)]
fn gated_residual_w2(bencher: Bencher, run: Run) {
    gated(bencher, run, [4, 128, 1000]);
}

/// The end of a block of SSSD.
#[divan::bench(args = RUNS)]
fn gated_output_sssd(bencher: Bencher, run: Run) {
    let (state, opened) = (run.tensor([4, 256, 1000]), run.tensor([4, 256, 1000]));
    let out = GateOut { weight: run.tensor([256, 128, 1]), bias: run.tensor([256]) };
    let ours: fn(Tensor<3>, Tensor<3>, GateOut, Gate) -> Tensor<3> =
        |state, opened, out, gate| gated_output(state, opened, out, gate, Kept::Whole);
    run.bench(bencher, [ours, gated_output_reference], |op| {
        op(state.clone(), opened.clone(), out.clone(), Gate::Second)
    });
}

#[divan::bench(args = RUNS)]
fn fft_conv_w3(bencher: Bencher, run: Run) {
    let (x, kernel) = (run.tensor([4, 128, 1000]), run.tensor([128, 1000]));
    run.bench(bencher, [fft_conv, fft_conv_reference], |op| op(x.clone(), kernel.clone(), 0));
}

/// As a sampler convolves, its kernels transformed before.
#[divan::bench(args = [RUNS[0]])]
fn fft_conv_fixed_w3(bencher: Bencher, run: Run) {
    let (x, kernel) = (run.tensor([4, 128, 1000]), KernelSpectrum::new(&noise(128 * 1000), 128, 0, 1000));
    run.bench(bencher, [&kernel; 2], |kernel| kernel.convolve(x.clone()));
}

/// Kernels of 128 features with 32 modes each, in both directions.
#[divan::bench(args = RUNS)]
fn s4_kernel_sssd(bencher: Bencher, run: Run) {
    let complex = |scale: f64, shift: f64| -> Vec<Complex64> {
        let pairs = noise(2 * 128 * 32);
        let pairs = pairs.chunks_exact(2).map(|pair| [f64::from(pair[0]), f64::from(pair[1])]);
        pairs.map(|[re, im]| Complex64::new(scale * re - shift, 10.0 * scale * im)).collect()
    };
    let poles = FrozenPoles {
        features: 128,
        poles: complex(0.4, 0.5),
        b: complex(1.0, 0.0),
        p: complex(0.3, 0.0),
        q: complex(0.3, 0.0),
        step: vec![0.01; 128],
        nodes: nodes(1000),
        sum: CauchySum::ConjugatePairs,
    };
    let (poles, c) = (Arc::new(poles), run.tensor([2, 128, 32, 2]));
    let stock: fn(Tensor<4>, &Arc<FrozenPoles>) -> Tensor<3> = |c, poles| s4_kernel_reference(c, poles);
    run.bench(bencher, [s4_kernel, stock], |op| op(c.clone(), &poles));
}

#[divan::bench(args = RUNS)]
fn s4d_kernel_sssd(bencher: Bencher, run: Run) {
    let system = DiagonalSystem {
        log_step: run.tensor([128]),
        log_decay: run.tensor([128, 32]),
        frequency: run.tensor([128, 32]),
        c: run.tensor([2, 128, 32, 2]),
    };
    run.bench(bencher, [s4d_kernel, s4d_kernel_reference], |op| op(system.clone(), 1000));
}

fn pointwise(bencher: Bencher, run: Run, shape: [usize; 3], ops: [fn(Tensor<3>) -> Tensor<3>; 2]) {
    let x = run.tensor(shape);
    run.bench(bencher, ops, |op| op(x.clone()));
}

#[divan::bench(args = RUNS)]
fn gelu_w3(bencher: Bencher, run: Run) {
    pointwise(bencher, run, [4, 128, 1000], [gelu, gelu_reference]);
}

#[divan::bench(args = RUNS)]
fn glu_w3(bencher: Bencher, run: Run) {
    pointwise(bencher, run, [4, 256, 1000], [glu, glu_reference]);
}

#[divan::bench(args = RUNS)]
fn silu_w6(bencher: Bencher, run: Run) {
    pointwise(bencher, run, [32, 32, 256], [silu, silu_reference]);
}

#[divan::bench(args = RUNS)]
fn snake_timevqvae(bencher: Bencher, run: Run) {
    let (x, frequency) = (run.tensor([96, 64, 125]), run.tensor([64]));
    run.bench(bencher, [snake, snake_reference], |op| op(x.clone(), frequency.clone()));
}

#[divan::bench(args = RUNS)]
fn layer_norm_w5(bencher: Bencher, run: Run) {
    let (x, gain, bias) = (run.tensor([16, 128, 64]), run.tensor([128]), run.tensor([128]));
    run.bench(bencher, [layer_norm_act, layer_norm_act_reference], |op| {
        op(x.clone(), gain.clone(), bias.clone(), Pointwise::None, 1e-5)
    });
}

/// A normalization of W4, the residual signal and its gains and biases.
fn residual_norm(run: Run) -> (Tensor<3>, Affine) {
    (run.tensor([32, 64, 250]), Affine { gain: run.tensor([64]), bias: run.tensor([64]) })
}

#[divan::bench(args = RUNS)]
fn batch_norm_w4(bencher: Bencher, run: Run) {
    let (x, affine) = residual_norm(run);
    run.bench(bencher, [batch_norm_act, batch_norm_act_reference], |op| {
        op(x.clone(), affine.clone(), Some(x.clone()), Pointwise::Relu, 1e-5).0
    });
}

#[divan::bench(args = RUNS)]
fn batch_norm_fixed_w4(bencher: Bencher, run: Run) {
    let (x, affine) = residual_norm(run);
    let statistics = ChannelStatistics { mean: vec![0.1; 64], variance: vec![0.5; 64] };
    run.bench(bencher, [batch_norm_act_fixed, batch_norm_act_fixed_reference], |op| {
        op(x.clone(), affine.clone(), &statistics, Some(x.clone()), Pointwise::Relu, 1e-5)
    });
}

/// The end of a block of the beat U-Net.
#[divan::bench(args = RUNS)]
fn group_norm_add_unet(bencher: Bencher, run: Run) {
    let (x, added) = (run.tensor([64, 32, 256]), run.tensor([64, 32, 256]));
    let (gain, bias) = (run.tensor([32]), run.tensor([32]));
    type Op = fn(Tensor<3>, usize, Tensor<1>, Tensor<1>, Activation, f64, Tensor<3>) -> Tensor<3>;
    let stock: Op = |x, groups, gain, bias, activation, eps, added| {
        group_norm_act_reference(x, groups, gain, bias, None, activation, eps) + added
    };
    run.bench(bencher, [group_norm_act_add, stock], |op| {
        op(x.clone(), 8, gain.clone(), bias.clone(), Activation::Silu, 1e-5, added.clone())
    });
}

#[divan::bench(args = RUNS)]
fn rms_norm_add_unet(bencher: Bencher, run: Run) {
    let (x, added, gain) = (run.tensor([64, 32, 256]), run.tensor([64, 32, 256]), run.tensor([32]));
    let stock: fn(Tensor<3>, Tensor<1>, Activation, f64, Tensor<3>) -> Tensor<3> =
        |x, gain, activation, eps, added| rms_norm_reference(x, gain, None, activation, eps) + added;
    run.bench(bencher, [rms_norm_add, stock], |op| op(x.clone(), gain.clone(), Activation::None, 1e-12, added.clone()));
}

/// The modulation of a block of a diffusion transformer.
#[divan::bench(args = RUNS)]
fn linear_dit(bencher: Bencher, run: Run) {
    let (x, weight, bias) = (run.tensor([64, 128]), run.tensor([768, 128]), run.tensor([768]));
    run.bench(bencher, [linear, linear_reference], |op| op(x.clone(), weight.clone(), bias.clone()));
}

/// The first step after a skip connection of W6.
#[divan::bench(args = RUNS)]
fn conv1d_joined_w6(bencher: Bencher, run: Run) {
    let (x, skip) = (run.tensor([32, 64, 256]), run.tensor([32, 32, 256]));
    let (weight, bias) = (run.tensor([32, 96, 3]), run.tensor([32]));
    type Op = fn(Tensor<3>, Tensor<3>, Tensor<3>, Tensor<1>, Conv1dOptions) -> Tensor<3>;
    let stock: Op =
        |x, skip, weight, bias, options| conv1d_reference(Tensor::cat(vec![x, skip], 1), weight, Some(bias), options);
    run.bench(bencher, [conv1d_joined, stock], |op| {
        op(x.clone(), skip.clone(), weight.clone(), bias.clone(), Conv1dOptions::same(3, 1))
    });
}

/// What accelerators run, here on the CPU.
#[divan::bench(args = RUNS)]
fn conv1d_matrix_w6(bencher: Bencher, run: Run) {
    let (x, weight, bias) = (run.tensor([32, 64, 128]), run.tensor([64, 64, 3]), run.tensor([64]));
    run.bench(bencher, [conv1d_matrix, conv1d_reference], |op| {
        op(x.clone(), weight.clone(), Some(bias.clone()), Conv1dOptions::same(3, 1))
    });
}

#[divan::bench(args = RUNS)]
fn conv1d_grouped_w2(bencher: Bencher, run: Run) {
    let (x, weight, bias) = (run.tensor([4, 128, 1000]), run.tensor([128, 32, 3]), run.tensor([128]));
    run.bench(bencher, [conv1d_grouped, conv1d_grouped_reference], |op| {
        op(x.clone(), weight.clone(), Some(bias.clone()), Conv1dOptions::same(3, 1), 4)
    });
}

/// A layer of the gradient of a critic for its signal.
#[divan::bench(args = RUNS)]
fn conv_transpose1d_critic(bencher: Bencher, run: Run) {
    let (x, weight, bias) = (run.tensor([32, 64, 250]), run.tensor([64, 32, 25]), run.tensor([32]));
    let options = Conv1dOptions { stride: 4, padding: 11, dilation: 1 };
    run.bench(bencher, [conv_transpose1d, conv_transpose1d_reference], |op| {
        op(x.clone(), weight.clone(), bias.clone(), options, 1)
    });
}

/// Spectrograms of four rows.
#[divan::bench(args = RUNS)]
fn depthwise_timevqvae(bencher: Bencher, run: Run) {
    let (x, weight, bias) = (run.tensor([128, 64, 125]), run.tensor([64, 1, 3, 4]), run.tensor([64]));
    let options = DepthwiseOptions { rows: 4, stride: 2, edge: Edge::Repeat };
    run.bench(bencher, [depthwise, depthwise_reference], |op| op(x.clone(), weight.clone(), bias.clone(), options));
}

#[divan::bench(args = RUNS)]
fn upsample_nearest_w6(bencher: Bencher, run: Run) {
    let x = run.tensor([32, 64, 128]);
    run.bench(bencher, [upsample_nearest, upsample_nearest_reference], |op| op(x.clone(), 2));
}

#[divan::bench(args = RUNS)]
fn max_pool_delnet(bencher: Bencher, run: Run) {
    let x = run.tensor([12, 32, 1250]);
    run.bench(bencher, [max_pool, max_pool_reference], |op| op(x.clone(), 2));
}

/// Two of three positions of codes are learned from.
#[divan::bench(args = RUNS)]
fn cross_entropy_timevqvae(bencher: Bencher, run: Run) {
    let scores = run.tensor([64, 512, 64]);
    let classes: Vec<Option<usize>> = (0..64 * 64).map(|at| (at % 3 != 1).then_some(7 * at % 512)).collect();
    run.bench(bencher, [cross_entropy, cross_entropy_reference], |op| op(scores.clone(), &classes));
}

/// Weights as many as those of W6, with a moving average.
fn weights() -> (Weights, AdamW) {
    let weight = || Weight { shape: vec![128, 64, 3], values: noise(128 * 64 * 3) };
    let weights = Weights { entries: (0..31).map(|k| (format!("conv{k}"), weight())).collect() };
    let optimizer = AdamW::new(AdamWConfig { ema_decay: 0.999, ..AdamWConfig::default() }, &weights);
    (weights, optimizer)
}

/// The norm of the gradient and the update.
#[divan::bench]
fn adamw_w6(bencher: Bencher) {
    let (mut weights, mut optimizer) = weights();
    let gradients = weights.entries.iter().map(|(name, weight)| (name.clone(), weight.values.clone())).collect();
    bencher.bench_local(|| optimizer.update(&mut weights, &gradients, gradient_norm(&gradients), 1000));
}

/// The same by the framework's own operations, as accelerators do it.
#[divan::bench]
fn adamw_w6_stock(bencher: Bencher) {
    let (weights, optimizer) = weights();
    let mut optimizer = FlatAdamW::new(&weights, &optimizer, &Device::flex());
    let gradient =
        Tensor::<1>::from_data(TensorData::new(noise(weights.n_values()), [weights.n_values()]), &Device::flex());
    bencher.bench_local(|| {
        let norm = optimizer.norm(gradient.clone()).into_scalar::<f32>();
        optimizer.update(gradient.clone(), norm.into(), 1000);
    });
}
