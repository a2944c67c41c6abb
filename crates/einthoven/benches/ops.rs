//! The fused operations one by one, on the shapes of the workloads: `cargo bench --bench ops [-- NAME]`.
//! `RAYON_NUM_THREADS` sets the threads. Each has the framework's own operations beside it.

use burn::tensor::{Device, Tensor, TensorData};
use divan::Bencher;
use einthoven::nn::kernel::{
    Affine, Gate, GateConv, GateOut, Kept, Pointwise, attention, attention_reference, batch_norm_act,
    batch_norm_act_reference, fft_conv, gated_residual, gated_residual_reference, gelu, gelu_reference, glu,
    glu_reference, layer_norm_act, layer_norm_act_reference, linear_attention, linear_attention_reference,
};

fn main() {
    divan::main();
}

/// A forward pass, or a forward and a backward pass.
#[derive(Debug, Clone, Copy)]
enum Mode {
    Forward,
    Train,
}

const MODES: [Mode; 2] = [Mode::Forward, Mode::Train];

impl Mode {
    fn tensor<const D: usize>(self, shape: [usize; D]) -> Tensor<D> {
        let device = match self {
            Mode::Forward => Device::flex(),
            Mode::Train => Device::flex().autodiff(),
        };
        let count: usize = shape.iter().product();
        let values = (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0);
        let tensor = Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), &device);
        match self {
            Mode::Forward => tensor,
            Mode::Train => tensor.require_grad(),
        }
    }

    fn bench(self, bencher: Bencher, op: impl Fn() -> Tensor<3>) {
        bencher.bench_local(|| match self {
            Mode::Forward => drop(op()),
            Mode::Train => drop(op().sum().backward()),
        });
    }
}

/// The beat U-Net: batch, heads, width of a head, samples.
const LEVELS: [usize; 4] = [64, 4, 16, 128];
const MIDDLE: [usize; 4] = [64, 4, 16, 32];
/// W5.
const TRANSFORMER: [usize; 4] = [16, 4, 32, 64];

fn heads(
    mode: Mode,
    bencher: Bencher,
    [batch, heads, width, length]: [usize; 4],
    op: fn(Tensor<3>, usize, usize) -> Tensor<3>,
) {
    let qkv = mode.tensor([batch, 3 * heads * width, length]);
    mode.bench(bencher, || op(qkv.clone(), heads, width));
}

#[divan::bench(args = MODES)]
fn linear_attention_levels(bencher: Bencher, mode: Mode) {
    heads(mode, bencher, LEVELS, linear_attention);
}

#[divan::bench(args = MODES)]
fn linear_attention_levels_stock(bencher: Bencher, mode: Mode) {
    heads(mode, bencher, LEVELS, linear_attention_reference);
}

#[divan::bench(args = MODES)]
fn attention_middle(bencher: Bencher, mode: Mode) {
    heads(mode, bencher, MIDDLE, attention);
}

#[divan::bench(args = MODES)]
fn attention_middle_stock(bencher: Bencher, mode: Mode) {
    heads(mode, bencher, MIDDLE, attention_reference);
}

#[divan::bench(args = MODES)]
fn attention_transformer(bencher: Bencher, mode: Mode) {
    heads(mode, bencher, TRANSFORMER, attention);
}

#[divan::bench(args = MODES)]
fn attention_transformer_stock(bencher: Bencher, mode: Mode) {
    heads(mode, bencher, TRANSFORMER, attention_reference);
}

type GatedOp = fn(Tensor<3>, Tensor<2>, GateConv, Option<Tensor<3>>, GateOut, Gate) -> Tensor<3>;

/// A layer of W1 or W2.
fn gated(mode: Mode, bencher: Bencher, [batch, channels, length]: [usize; 3], op: GatedOp) {
    let state = mode.tensor([batch, 2 * channels, length]);
    let shift = mode.tensor([batch, channels]);
    let conv =
        GateConv { weight: mode.tensor([2 * channels, channels, 3]), bias: mode.tensor([2 * channels]), dilation: 16 };
    let out = GateOut { weight: mode.tensor([2 * channels, channels, 1]), bias: mode.tensor([2 * channels]) };
    mode.bench(bencher, || op(state.clone(), shift.clone(), conv.clone(), None, out.clone(), Gate::First));
}

/// Ours, with what the gradient needs kept whole.
const GATED: GatedOp = |state, shift, conv, conditioner, out, gate| {
    gated_residual(state, shift, conv, conditioner, out, gate, Kept::Whole)
};

#[divan::bench(args = MODES)]
fn gated_residual_w1(bencher: Bencher, mode: Mode) {
    gated(mode, bencher, [16, 64, 256], GATED);
}

#[divan::bench(args = MODES)]
fn gated_residual_w1_stock(bencher: Bencher, mode: Mode) {
    gated(mode, bencher, [16, 64, 256], gated_residual_reference);
}

#[divan::bench(args = MODES)]
fn gated_residual_w2(bencher: Bencher, mode: Mode) {
    gated(mode, bencher, [4, 128, 1000], GATED);
}

#[divan::bench(args = MODES)]
fn gated_residual_w2_stock(bencher: Bencher, mode: Mode) {
    gated(mode, bencher, [4, 128, 1000], gated_residual_reference);
}

/// W3. The reference is a matrix of the square of the length and is left out.
#[divan::bench(args = MODES)]
fn fft_conv_w3(bencher: Bencher, mode: Mode) {
    let (x, kernel) = (mode.tensor([4, 128, 1000]), mode.tensor([128, 1000]));
    mode.bench(bencher, || fft_conv(x.clone(), kernel.clone(), 0));
}

fn pointwise(mode: Mode, bencher: Bencher, shape: [usize; 3], op: fn(Tensor<3>) -> Tensor<3>) {
    let x = mode.tensor(shape);
    mode.bench(bencher, || op(x.clone()));
}

#[divan::bench(args = MODES)]
fn gelu_w3(bencher: Bencher, mode: Mode) {
    pointwise(mode, bencher, [4, 128, 1000], gelu);
}

#[divan::bench(args = MODES)]
fn gelu_w3_stock(bencher: Bencher, mode: Mode) {
    pointwise(mode, bencher, [4, 128, 1000], gelu_reference);
}

#[divan::bench(args = MODES)]
fn glu_w3(bencher: Bencher, mode: Mode) {
    pointwise(mode, bencher, [4, 256, 1000], glu);
}

#[divan::bench(args = MODES)]
fn glu_w3_stock(bencher: Bencher, mode: Mode) {
    pointwise(mode, bencher, [4, 256, 1000], glu_reference);
}

type LayerNormOp = fn(Tensor<3>, Tensor<1>, Tensor<1>, Pointwise, f64) -> Tensor<3>;

fn layer_norm(mode: Mode, bencher: Bencher, op: LayerNormOp) {
    let (x, gain, bias) = (mode.tensor([16, 128, 64]), mode.tensor([128]), mode.tensor([128]));
    mode.bench(bencher, || op(x.clone(), gain.clone(), bias.clone(), Pointwise::None, 1e-5));
}

#[divan::bench(args = MODES)]
fn layer_norm_w5(bencher: Bencher, mode: Mode) {
    layer_norm(mode, bencher, layer_norm_act);
}

#[divan::bench(args = MODES)]
fn layer_norm_w5_stock(bencher: Bencher, mode: Mode) {
    layer_norm(mode, bencher, layer_norm_act_reference);
}

fn batch_norm(mode: Mode, bencher: Bencher, stock: bool) {
    let (x, gain, bias) = (mode.tensor([32, 64, 250]), mode.tensor([64]), mode.tensor([64]));
    let op = if stock { batch_norm_act_reference } else { batch_norm_act };
    mode.bench(bencher, || {
        let affine = Affine { gain: gain.clone(), bias: bias.clone() };
        op(x.clone(), affine, Some(x.clone()), Pointwise::Relu, 1e-5).0
    });
}

#[divan::bench(args = MODES)]
fn batch_norm_w4(bencher: Bencher, mode: Mode) {
    batch_norm(mode, bencher, false);
}

#[divan::bench(args = MODES)]
fn batch_norm_w4_stock(bencher: Bencher, mode: Mode) {
    batch_norm(mode, bencher, true);
}
