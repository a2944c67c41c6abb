//! One-dimensional convolution with gradients.
//!
//! The framework computes the weight gradient as a convolution whose kernel is as long as the
//! signal, which leaves matrix products a few rows wide. Here every pass works on shifted views of
//! the signal, without copying it into columns: in single precision in registers (`direct`), in
//! double precision as one matrix product per tap (`product`).

mod direct;
mod grid;
mod grouped;
mod matrix;
mod product;
mod transposed;

use std::slice;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{DType, Tensor, ops::ConvOptions};
use burn_flex::FlexTensor;

use super::cpu::{is_cpu, is_real};
use super::fused::{self, FusedOp};
use product::Sizes;

pub use grouped::{conv1d_grouped, conv1d_grouped_reference};
pub use transposed::{conv_transpose1d, conv_transpose1d_reference};

/// How a convolution walks over the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv1dOptions {
    /// Samples between neighboring outputs, at least 1.
    pub stride: usize,
    /// Zeros added at each end of the signal.
    pub padding: usize,
    /// Samples between neighboring kernel taps, at least 1.
    pub dilation: usize,
}

impl Default for Conv1dOptions {
    /// Stride 1, no padding, dilation 1.
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1 }
    }
}

impl Conv1dOptions {
    /// Options that keep the length of the signal, for a kernel of odd length `kernel`.
    pub fn same(kernel: usize, dilation: usize) -> Self {
        Self { stride: 1, padding: dilation * (kernel.max(1) - 1) / 2, dilation }
    }

    /// Length of the output for a signal and a kernel of these lengths; 0 when the kernel does not
    /// fit into the padded signal.
    pub fn output_length(&self, length: usize, kernel: usize) -> usize {
        let reach = self.dilation * (kernel.max(1) - 1) + 1;
        let padded = length + 2 * self.padding;
        if padded < reach { 0 } else { (padded - reach) / self.stride + 1 }
    }
}

/// Convolution (cross-correlation) of `x` with `weight`.
///
/// `x` is `[batch, channels_in, length]`, `weight` is `[channels_out, channels_in, kernel]`, `bias`
/// is `[channels_out]`; the result is `[batch, channels_out, output_length]`. Gradients are computed
/// for the inputs that require them and for no others, except that weight and bias share one pass.
///
/// # Panics
///
/// If a size is 0, the shapes do not fit each other, or stride or dilation is 0.
pub fn conv1d(x: Tensor<3>, weight: Tensor<3>, bias: Option<Tensor<1>>, options: Conv1dOptions) -> Tensor<3> {
    check(&x, &weight, bias.as_ref(), options);
    let same_type = weight.dtype() == x.dtype() && bias.as_ref().is_none_or(|bias| bias.dtype() == x.dtype());
    if !is_cpu(&x.device()) {
        return on_accelerator(x, weight, bias, options);
    }
    if !is_real(x.dtype()) || !same_type {
        return conv1d_reference(x, weight, bias, options);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as Conv1dOps>::conv1d_biased(x, weight, bias.into_dispatch(), options),
        None => <Dispatch as Conv1dOps>::conv1d_plain(x, weight, options),
    })
}

fn check(x: &Tensor<3>, weight: &Tensor<3>, bias: Option<&Tensor<1>>, options: Conv1dOptions) {
    let ([batch, channels_in, length], [channels_out, weight_in, kernel]) = (x.dims(), weight.dims());
    assert!(
        batch > 0 && channels_in > 0 && length > 0 && channels_out > 0,
        "conv1d: found shape [{batch}, {channels_in}, {length}] to {channels_out} channels, expected no 0"
    );
    assert!(options.stride > 0 && options.dilation > 0, "conv1d: stride and dilation are at least 1");
    assert_eq!(channels_in, weight_in, "conv1d: channels of the signal and of the weight");
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [channels_out], "conv1d: shape of the bias");
    }
    assert!(
        kernel > 0 && options.output_length(length, kernel) > 0,
        "conv1d: a kernel of {kernel} taps does not fit a signal of {length} samples with {options:?}"
    );
}

/// Convolution of a signal whose channels are those of `x` and then those of `skip`, without joining
/// them in memory: the first step after a skip connection.
///
/// Shapes as for [`conv1d`], the weight having the channels of both.
///
/// # Panics
///
/// As [`conv1d`], and if `x` and `skip` differ in batch or length.
pub fn conv1d_joined(
    x: Tensor<3>,
    skip: Tensor<3>,
    weight: Tensor<3>,
    bias: Tensor<1>,
    options: Conv1dOptions,
) -> Tensor<3> {
    let ([batch, channels, length], [skip_batch, skip_channels, skip_length]) = (x.dims(), skip.dims());
    let [channels_out, weight_in, kernel] = weight.dims();
    assert!(
        batch > 0 && channels > 0 && skip_channels > 0 && length > 0 && channels_out > 0,
        "conv1d_joined: found shape [{batch}, {channels} + {skip_channels}, {length}] to {channels_out} channels, \
         expected no 0"
    );
    assert_eq!([batch, length], [skip_batch, skip_length], "conv1d_joined: batch and length of both signals");
    assert_eq!(channels + skip_channels, weight_in, "conv1d_joined: channels of the signals and of the weight");
    let walks = options.stride > 0 && options.dilation > 0;
    let fits = kernel > 0 && walks && options.output_length(length, kernel) > 0;
    let same_type = [skip.dtype(), weight.dtype(), bias.dtype()].iter().all(|dtype| *dtype == DType::F32);
    if !is_cpu(&x.device()) || x.dtype() != DType::F32 || !same_type || !fits {
        return conv1d(Tensor::cat(vec![x, skip], 1), weight, Some(bias), options);
    }
    assert_eq!(bias.dims(), [channels_out], "conv1d_joined: shape of the bias");
    let inputs = [x.into_dispatch(), skip.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(fused::run(JoinedConv { options }, inputs.into()))
}

/// [`conv1d_joined`] in single precision.
#[derive(Debug)]
struct JoinedConv {
    options: Conv1dOptions,
}

impl FusedOp for JoinedConv {
    fn forward(&self, inputs: Vec<FlexTensor>, keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = direct::forward(&inputs[..2], &inputs[2], Some(&inputs[3]), self.options);
        (out, if keep { inputs } else { Vec::new() })
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let (signals, weight) = (&kept[..2], &kept[2]);
        let [first, second] = [&signals[0], &signals[1]].map(|signal| signal.layout().shape()[1]);
        let sizes = Sizes::new(signals, weight, self.options);
        let for_signal =
            |index: usize, range| wanted[index].then(|| direct::signal_gradient(&grad, weight, sizes, range));
        let mut all = vec![for_signal(0, [0, first]), for_signal(1, [first, second])];
        if wanted[2] || wanted[3] {
            all.extend(direct::weight_gradients(&grad, signals, weight, self.options).map(Some));
        } else {
            all.extend([None, None]);
        }
        all
    }
}

/// The convolution on other devices than the CPU: the framework's own where it may choose among kernels.
fn on_accelerator(x: Tensor<3>, weight: Tensor<3>, bias: Option<Tensor<1>>, options: Conv1dOptions) -> Tensor<3> {
    if cfg!(feature = "autotune") {
        conv1d_reference(x, weight, bias, options)
    } else {
        matrix::conv1d_matrix(x, weight, bias, options)
    }
}

/// [`conv1d`] as one product of matrices: what accelerators run.
///
/// # Panics
///
/// As [`conv1d`].
pub fn conv1d_matrix(x: Tensor<3>, weight: Tensor<3>, bias: Option<Tensor<1>>, options: Conv1dOptions) -> Tensor<3> {
    check(&x, &weight, bias.as_ref(), options);
    matrix::conv1d_matrix(x, weight, bias, options)
}

/// The same convolution by the framework's own operation: the reference for tests.
pub fn conv1d_reference(x: Tensor<3>, weight: Tensor<3>, bias: Option<Tensor<1>>, options: Conv1dOptions) -> Tensor<3> {
    let options = ConvOptions::new([options.stride], [options.padding], [options.dilation], 1);
    burn::tensor::module::conv1d(x, weight, bias, options)
}

/// The convolution on backend tensors.
#[backend_extension(Flex, Autodiff)]
pub trait Conv1dOps: Backend {
    /// Without bias.
    fn conv1d_plain(x: FloatTensor<Self>, weight: FloatTensor<Self>, options: Conv1dOptions) -> FloatTensor<Self>;
    /// With bias.
    fn conv1d_biased(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Conv1dOptions,
    ) -> FloatTensor<Self>;
}

impl Conv1dOps for Flex {
    fn conv1d_plain(x: FlexTensor, weight: FlexTensor, options: Conv1dOptions) -> FlexTensor {
        forward(x, weight, None, options)
    }

    fn conv1d_biased(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, options: Conv1dOptions) -> FlexTensor {
        forward(x, weight, Some(bias), options)
    }
}

fn forward(x: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>, options: Conv1dOptions) -> FlexTensor {
    let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
    let bias = bias.map(|bias| bias.to_contiguous());
    match x.dtype() {
        DType::F64 => product::forward::<f64>(&x, &weight, bias.as_ref(), options),
        _ => direct::forward(&[x], &weight, bias.as_ref(), options),
    }
}

impl<C: CheckpointStrategy> Conv1dOps for Autodiff<Flex, C> {
    fn conv1d_plain(x: FloatTensor<Self>, weight: FloatTensor<Self>, options: Conv1dOptions) -> FloatTensor<Self> {
        match Conv1dBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight), options);
                prep.finish(state, forward(x.into_primitive(), weight.into_primitive(), None, options))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(forward(x.into_primitive(), weight.into_primitive(), None, options))
            }
        }
    }

    fn conv1d_biased(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: Conv1dOptions,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        match Conv1dBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight), options);
                let bias = Some(bias.into_primitive());
                prep.finish(state, forward(x.into_primitive(), weight.into_primitive(), bias, options))
            }
            OpsKind::UnTracked(prep) => {
                let bias = Some(bias.into_primitive());
                prep.finish(forward(x.into_primitive(), weight.into_primitive(), bias, options))
            }
        }
    }
}

/// Gradient step; the parents are signal, weight and, where there is one, bias.
#[derive(Debug)]
struct Conv1dBackward;

impl<const N: usize> Backward<Flex, N> for Conv1dBackward {
    type State = (NodeId, NodeId, Conv1dOptions);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (x, weight, options) = ops.state;
        let x = checkpointer.retrieve_node_output::<FlexTensor>(x).to_contiguous();
        let weight = checkpointer.retrieve_node_output::<FlexTensor>(weight).to_contiguous();
        let double = x.dtype() == DType::F64;
        let wanted = |parent: usize| ops.parents.get(parent).and_then(|node| node.as_ref());
        if let Some(node) = wanted(0) {
            let sizes = Sizes::new(slice::from_ref(&x), &weight, options);
            let gradient = if double {
                product::signal_gradient::<f64>(&grad, &weight, sizes)
            } else {
                direct::signal_gradient(&grad, &weight, sizes, [0, sizes.channels_in])
            };
            grads.register::<Flex>(node.id, gradient);
        }
        let (for_weight, for_bias) = (wanted(1), wanted(2));
        if for_weight.is_none() && for_bias.is_none() {
            return;
        }
        let both = if double {
            [product::weight_gradient::<f64>(&grad, &x, &weight, options), product::bias_gradient::<f64>(&grad)]
        } else {
            direct::weight_gradients(&grad, &[x], &weight, options)
        };
        for (node, gradient) in [for_weight, for_bias].into_iter().zip(both) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}
