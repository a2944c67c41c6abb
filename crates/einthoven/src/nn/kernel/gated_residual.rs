//! The residual layer of DiffWave and of SSSD as one operation: convolution, gate, 1x1 convolution,
//! residual and skip sum.
//!
//! The layers of such a network hand on one tensor, the *state*: the residual signal in its first
//! channels and the sum of the skip signals so far in the others. A layer then has one input and
//! one output, and nothing is cut apart or put together between layers.
//!
//! One piece of work is a block of samples of one record. Its intermediate values never leave the
//! cache. For the gradient it keeps the two halves of the gate and, with the convolution, the residual
//! signal: no gradient needs the skip sum, the conditioner, or the input of the gate.

mod backward;
mod forward;

use burn::tensor::{DType, Tensor, activation};
use burn_flex::FlexTensor;

use super::conv1d::{Conv1dOptions, conv1d_reference};
use super::cpu::{Real, values};
use super::fused::{self, FusedOp};
use super::kept::Kept;
use super::minimal::{self, Chunk, Plan, Run};
use super::tile::LINE;

/// Samples per piece of work: twice three vectors of the widest kind, long enough for the processor to fetch
/// the rest of a row ahead. Fixed, so that a sum does not depend on the batch.
const BLOCK: usize = 96;

/// Which half of the channels opens the gate; the other half goes through tanh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Sigmoid of the first half, as in DiffWave.
    First,
    /// Sigmoid of the second half, as in SSSD.
    Second,
}

/// Parameters of the convolution before the gate.
#[derive(Debug, Clone)]
pub struct GateConv {
    /// `[2 * gated, residual, kernel]`, an odd kernel.
    pub weight: Tensor<3>,
    /// `[2 * gated]`.
    pub bias: Tensor<1>,
    /// Samples between neighboring taps.
    pub dilation: usize,
}

/// Parameters of the 1x1 convolution after the gate.
#[derive(Debug, Clone)]
pub struct GateOut {
    /// `[residual + skip, gated, 1]`; the rows of the residual come first.
    pub weight: Tensor<3>,
    /// `[residual + skip]`.
    pub bias: Tensor<1>,
}

/// One residual layer: `(h, s)` becomes `((h + r) / sqrt 2, s + k)`, where `(r, k)` is the 1x1
/// convolution of `sigmoid(a) * tanh(b)` and `(a, b)` the dilated convolution of `h + shift`, plus
/// the conditioner.
///
/// `state` is `[batch, residual + skip, length]` and holds `h` and `s`; `shift` is
/// `[batch, residual]`, the embedding of the step; `conditioner` is `[batch, 2 * gated, length]`.
/// Beyond its ends `h + shift` counts as zero. `kept` says how gate and `h` are kept for the gradient.
///
/// # Panics
///
/// If the shapes do not fit each other, the kernel is even, or the tensor is empty.
///
/// # Reference
///
/// Kong et al. 2021, "DiffWave", figure 2.
pub fn gated_residual(
    state: Tensor<3>,
    shift: Tensor<2>,
    conv: GateConv,
    conditioner: Option<Tensor<3>>,
    out: GateOut,
    gate: Gate,
    kept: Kept,
) -> Tensor<3> {
    check_conv(&state, &shift, &conv, conditioner.as_ref(), &out);
    let mut types = vec![state.dtype(), shift.dtype(), conv.weight.dtype(), conv.bias.dtype()];
    types.extend([out.weight.dtype(), out.bias.dtype()]);
    types.extend(conditioner.as_ref().map(Tensor::dtype));
    if !fused::runs_here(&state.device(), &types) {
        return gated_residual_reference(state, shift, conv, conditioner, out, gate);
    }
    let layer = Layer { gate, dilation: Some(conv.dilation), kept };
    let mut inputs = vec![state.into_dispatch(), out.weight.into_dispatch(), out.bias.into_dispatch()];
    inputs.extend([shift.into_dispatch(), conv.weight.into_dispatch(), conv.bias.into_dispatch()]);
    inputs.extend(conditioner.map(Tensor::into_dispatch));
    Tensor::from_dispatch(fused::run(layer, inputs))
}

/// The second half of [`gated_residual`], for networks that compute the input of the gate
/// themselves, as SSSD does with its state space layers: `gated` is `[batch, 2 * gated, length]`.
///
/// # Panics
///
/// If the shapes do not fit each other or the tensor is empty.
pub fn gated_output(state: Tensor<3>, gated: Tensor<3>, out: GateOut, gate: Gate, kept: Kept) -> Tensor<3> {
    check_out(&state, gated.dims(), &out);
    assert!(state.dims()[1] >= gated.dims()[1] / 2, "gated_output: as many channels of the state as of the gate");
    if !fused::runs_here(&state.device(), &[state.dtype(), gated.dtype(), out.weight.dtype(), out.bias.dtype()]) {
        return gated_output_reference(state, gated, out, gate);
    }
    let inputs =
        vec![state.into_dispatch(), out.weight.into_dispatch(), out.bias.into_dispatch(), gated.into_dispatch()];
    Tensor::from_dispatch(fused::run(Layer { gate, dilation: None, kept }, inputs))
}

/// [`gated_residual`] by the framework's own operations: the reference for tests, and what devices
/// other than the CPU run.
pub fn gated_residual_reference(
    state: Tensor<3>,
    shift: Tensor<2>,
    conv: GateConv,
    conditioner: Option<Tensor<3>>,
    out: GateOut,
    gate: Gate,
) -> Tensor<3> {
    let [_, residual, kernel] = conv.weight.dims();
    let h = state.clone().narrow(1, 0, residual) + shift.unsqueeze_dim::<3>(2);
    let gated = conv1d_reference(h, conv.weight, Some(conv.bias), Conv1dOptions::same(kernel, conv.dilation));
    let gated = match conditioner {
        Some(conditioner) => gated + conditioner,
        None => gated,
    };
    output_reference(state, gated, out, gate, residual)
}

/// [`gated_output`] by the framework's own operations; the residual has as many channels as the
/// gate.
pub fn gated_output_reference(state: Tensor<3>, gated: Tensor<3>, out: GateOut, gate: Gate) -> Tensor<3> {
    let residual = gated.dims()[1] / 2;
    output_reference(state, gated, out, gate, residual)
}

fn output_reference(state: Tensor<3>, gated: Tensor<3>, out: GateOut, gate: Gate, residual: usize) -> Tensor<3> {
    let channels = gated.dims()[1] / 2;
    let halves = [gated.clone().narrow(1, 0, channels), gated.narrow(1, channels, channels)];
    let [open, signal] = match gate {
        Gate::First => halves,
        Gate::Second => {
            let [signal, open] = halves;
            [open, signal]
        }
    };
    let gated = activation::sigmoid(open) * signal.tanh();
    let out = conv1d_reference(gated, out.weight, Some(out.bias), Conv1dOptions::default());
    let skip = state.dims()[1] - residual;
    let h = (state.clone().narrow(1, 0, residual) + out.clone().narrow(1, 0, residual)) * 0.5f64.sqrt();
    if skip == 0 {
        return h;
    }
    Tensor::cat(vec![h, state.narrow(1, residual, skip) + out.narrow(1, residual, skip)], 1)
}

fn check_conv(state: &Tensor<3>, shift: &Tensor<2>, conv: &GateConv, conditioner: Option<&Tensor<3>>, out: &GateOut) {
    let [batch, channels, length] = state.dims();
    let [gated, residual, kernel] = conv.weight.dims();
    assert!(kernel % 2 == 1 && conv.dilation > 0, "gated_residual: an odd kernel and a dilation of at least 1");
    assert!(residual > 0 && residual <= channels, "gated_residual: channels of the residual and of the state");
    assert_eq!(shift.dims(), [batch, residual], "gated_residual: shape of the shift");
    assert_eq!(conv.bias.dims(), [gated], "gated_residual: shape of the bias");
    if let Some(conditioner) = conditioner {
        assert_eq!(conditioner.dims(), [batch, gated, length], "gated_residual: shape of the conditioner");
    }
    check_out(state, [batch, gated, length], out);
}

fn check_out(state: &Tensor<3>, gated: [usize; 3], out: &GateOut) {
    let [batch, channels, length] = state.dims();
    assert!(batch > 0 && channels > 0 && length > 0, "gated_residual: a tensor without values");
    assert_eq!([gated[0], gated[2]], [batch, length], "gated_residual: shape of the gate");
    assert!(gated[1] > 0 && gated[1].is_multiple_of(2), "gated_residual: the gate has two halves");
    assert_eq!(out.weight.dims(), [channels, gated[1] / 2, 1], "gated_residual: shape of the 1x1 weight");
    assert_eq!(out.bias.dims(), [channels], "gated_residual: shape of the 1x1 bias");
}

/// The operation; with `dilation` the convolution is part of it.
#[derive(Debug)]
struct Layer {
    gate: Gate,
    dilation: Option<usize>,
    kept: Kept,
}

/// Extents and weights of one call.
struct Sizes<'a, T> {
    batch: usize,
    /// Channels of the residual signal.
    residual: usize,
    /// Channels of the state: residual and skip.
    state: usize,
    /// Channels behind the gate.
    gated: usize,
    length: usize,
    kernel: usize,
    dilation: usize,
    gate: Gate,
    /// The convolution with fewer multiplications, where that is faster.
    minimal: Option<Plan>,
    conv_weight: &'a [T],
    out_weight: &'a [T],
}

/// Samples of a record whose gates are computed together.
struct Piece {
    record: usize,
    /// Where the samples stand in a row of intermediate values; other places hold arbitrary numbers.
    runs: Vec<Run>,
    /// Values per row, whole lines.
    width: usize,
    chunk: Option<Chunk>,
}

impl<'a, T: Real> Sizes<'a, T> {
    /// `state` is any tensor of its shape, `conv` the weight of the convolution.
    fn new(layer: &Layer, state: &FlexTensor, out: &'a FlexTensor, conv: Option<&'a FlexTensor>) -> Sizes<'a, T> {
        let (state, gated) = (state.layout().shape(), out.layout().shape()[1]);
        let conv_shape = conv.map(|conv| conv.layout().shape());
        let (dilation, kernel) = (layer.dilation.unwrap_or(1), conv_shape.map_or(0, |shape| shape[2]));
        let plan = Plan { dilation, length: state[2] };
        let minimal =
            conv_shape.filter(|_| kernel == minimal::TAPS).and_then(|shape| plan.worthwhile([shape[1], shape[0]]));
        Sizes {
            batch: state[0],
            residual: conv_shape.map_or(gated, |shape| shape[1]),
            state: state[1],
            gated,
            length: state[2],
            kernel,
            dilation,
            gate: layer.gate,
            minimal,
            conv_weight: conv.map_or(&[], values),
            out_weight: values(out),
        }
    }

    /// Pieces per record.
    fn blocks(&self) -> usize {
        self.length.div_ceil(BLOCK)
    }

    /// Record, first sample and number of samples of piece `index`.
    fn block(&self, index: usize) -> (usize, usize, usize) {
        let (record, block) = (index / self.blocks(), index % self.blocks());
        let first = block * BLOCK;
        (record, first, BLOCK.min(self.length - first))
    }

    /// Pieces per record of what goes through the convolution.
    fn pieces(&self) -> usize {
        self.minimal.map_or(self.blocks(), |plan| plan.chunks())
    }

    /// Piece `index` of what goes through the convolution.
    fn piece(&self, index: usize) -> Piece {
        let Some(plan) = self.minimal else {
            let (record, first, count) = self.block(index);
            let width = count.next_multiple_of(LINE);
            return Piece { record, runs: vec![Run { at: 0, first, count }], width, chunk: None };
        };
        let chunk = plan.chunk(index % self.pieces());
        Piece { record: index / self.pieces(), runs: chunk.runs(), width: chunk.width(), chunk: Some(chunk) }
    }

    /// Distance between rows of intermediate values of a [`Piece`].
    fn pitch(&self) -> usize {
        self.minimal.map_or(BLOCK, |_| minimal::PITCH)
    }

    /// First sample that tap `tap` reads for output 0, negative before the signal.
    fn shift_of(&self, tap: usize) -> isize {
        (tap * self.dilation) as isize - (self.dilation * (self.kernel / 2)) as isize
    }
}

impl FusedOp for Layer {
    /// The inputs are state, 1x1 weight and bias, then either the input of the gate or shift,
    /// convolution weight and bias and, where there is one, the conditioner.
    fn forward(&self, inputs: Vec<FlexTensor>, keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        match inputs[0].dtype() {
            DType::F64 => forward::run::<f64>(self, &inputs, keep),
            _ => forward::run::<f32>(self, &inputs, keep),
        }
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        match grad.dtype() {
            DType::F64 => backward::run::<f64>(self, grad, kept, wanted),
            _ => backward::run::<f32>(self, grad, kept, wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cpu::tensor;
    use super::*;

    /// Shapes and types of what a layer of batch 2, length 5, 3 residual and some skip channels keeps.
    fn kept(dilation: Option<usize>, n_skip: usize, kept: Kept) -> Vec<(Vec<usize>, DType)> {
        let gated = if dilation.is_some() { 4 } else { 3 };
        let state = 3 + n_skip;
        let mut shapes = vec![vec![2, state, 5], vec![state, gated, 1], vec![state]];
        match dilation {
            Some(_) => {
                shapes.extend([vec![2, 3], vec![2 * gated, 3, 3], vec![2 * gated], vec![2, 2 * gated, 5]]);
            }
            None => shapes.push(vec![2, 2 * gated, 5]),
        }
        let ones = |shape: &Vec<usize>| tensor(vec![1.0f32; shape.iter().product()], shape);
        let layer = Layer { gate: Gate::First, dilation, kept };
        let (_, kept) = layer.forward(shapes.iter().map(ones).collect(), true);
        kept.iter().map(|kept| (kept.layout().shape().to_vec(), kept.dtype())).collect()
    }

    #[test]
    fn a_layer_keeps_weights_gates_and_the_residual_signal_alone() {
        for (how, dtype) in [(Kept::Whole, DType::F32), (Kept::Bf16, DType::BF16)] {
            for n_skip in [0, 2] {
                let out = (vec![3 + n_skip, 4, 1], DType::F32);
                let conv = (vec![8, 3, 3], DType::F32);
                let expected = [out, (vec![2, 8, 5], dtype), conv, (vec![2, 3], DType::F32), (vec![2, 3, 5], dtype)];
                assert_eq!(kept(Some(2), n_skip, how), expected);
                let expected = [(vec![3 + n_skip, 3, 1], DType::F32), (vec![2, 6, 5], dtype)];
                assert_eq!(kept(None, n_skip, how), expected);
            }
        }
    }
}
