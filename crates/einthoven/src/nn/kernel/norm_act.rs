//! Normalization, gain and bias, scale and shift, and activation as one operation.
//!
//! The framework runs each step over the whole tensor; together they cost as much as a
//! convolution. Here one pass over a group gives its mean and spread while the group is in the
//! cache, a second writes the result, and the gradient takes two more.

mod affine;
mod group;
mod rms;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{DType, Tensor, activation};
use burn_flex::FlexTensor;

use super::cpu::{Real, is_cpu, is_real, tensor, values};
use super::memory;
pub(super) use affine::{activate, times_slope};

/// The function applied at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The value itself.
    None,
    /// `x * sigmoid(x)`.
    Silu,
}

/// What is divided by what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Norm {
    /// Mean removed and divided by the standard deviation, per record and group of neighboring
    /// channels; the number is added to the variance.
    Group {
        /// Number of groups.
        groups: usize,
        /// Added to the variance.
        eps: f64,
    },
    /// Divided by the root mean square over the channels, per record and sample.
    Rms {
        /// Least Euclidean norm to divide by.
        eps: f64,
    },
}

/// Group normalization with gain and bias per channel, then `y * (1 + scale) + shift`, then the
/// activation.
///
/// `x` is `[batch, channels, length]`, `gain` and `bias` are `[channels]`, `scale` and `shift` are
/// `[batch, channels]`. The variance is the biased one, and `eps` is added to it.
///
/// # Panics
///
/// If a size is 0, the shapes do not fit each other or the groups do not divide the channels.
pub fn group_norm_act(
    x: Tensor<3>,
    groups: usize,
    gain: Tensor<1>,
    bias: Tensor<1>,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
    activation: Activation,
    eps: f64,
) -> Tensor<3> {
    check("group_norm_act", &x, &gain, Some(&bias), scale_shift.as_ref());
    check_groups("group_norm_act", &x, groups);
    if !runs_here(&x, [Some(&gain), Some(&bias)], scale_shift.as_ref()) {
        return group_norm_act_reference(x, groups, gain, bias, scale_shift, activation, eps);
    }
    run(x, gain, bias, scale_shift, Settings { norm: Norm::Group { groups, eps }, activation })
}

/// `added` plus [`group_norm_act`] without scale and shift: the end of a residual block.
///
/// `added` has the shape of `x`.
///
/// # Panics
///
/// As [`group_norm_act`].
pub fn group_norm_act_add(
    x: Tensor<3>,
    groups: usize,
    gain: Tensor<1>,
    bias: Tensor<1>,
    activation: Activation,
    eps: f64,
    added: Tensor<3>,
) -> Tensor<3> {
    check("group_norm_act_add", &x, &gain, Some(&bias), None);
    check_groups("group_norm_act_add", &x, groups);
    assert_eq!(added.dims(), x.dims(), "group_norm_act_add: shape of the term to add");
    if added.dtype() != x.dtype() || !runs_here(&x, [Some(&gain), Some(&bias)], None) {
        return group_norm_act(x, groups, gain, bias, None, activation, eps) + added;
    }
    run_added(x, gain, bias, added, Settings { norm: Norm::Group { groups, eps }, activation })
}

/// [`group_norm_act`] by the framework's own operations: the reference for tests, and what devices
/// other than the CPU run.
pub fn group_norm_act_reference(
    x: Tensor<3>,
    groups: usize,
    gain: Tensor<1>,
    bias: Tensor<1>,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
    activation: Activation,
    eps: f64,
) -> Tensor<3> {
    let [batch, channels, length] = x.dims();
    let x = x.reshape([batch, groups, channels / groups * length]);
    let centered = x.clone() - x.mean_dim(2);
    let variance = (centered.clone() * centered.clone()).mean_dim(2);
    let y = (centered / (variance + eps).sqrt()).reshape([batch, channels, length]);
    let y = y * gain.reshape([1, channels, 1]) + bias.reshape([1, channels, 1]);
    modulate_and_activate(y, scale_shift, activation)
}

/// Normalization by the root mean square over the channels at each sample, times the gain per
/// channel, then `y * (1 + scale) + shift`, then the activation.
///
/// This is `x / max(|x|, eps) * sqrt(channels) * gain` with the Euclidean norm over channels, as in
/// the 1-D U-Net of lucidrains' denoising-diffusion-pytorch, where `eps` is 1e-12. Shapes as in
/// [`group_norm_act`].
///
/// # Panics
///
/// If a size is 0 or the shapes do not fit each other.
pub fn rms_norm(
    x: Tensor<3>,
    gain: Tensor<1>,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
    activation: Activation,
    eps: f64,
) -> Tensor<3> {
    check("rms_norm", &x, &gain, None, scale_shift.as_ref());
    if !runs_here(&x, [Some(&gain), None], scale_shift.as_ref()) {
        return rms_norm_reference(x, gain, scale_shift, activation, eps);
    }
    let bias = Tensor::zeros([x.dims()[1]], (&x.device(), x.dtype()));
    run(x, gain, bias, scale_shift, Settings { norm: Norm::Rms { eps }, activation })
}

/// `added` plus [`rms_norm`] without scale and shift: the end of an attention layer.
///
/// `added` has the shape of `x`.
///
/// # Panics
///
/// As [`rms_norm`].
pub fn rms_norm_add(x: Tensor<3>, gain: Tensor<1>, activation: Activation, eps: f64, added: Tensor<3>) -> Tensor<3> {
    check("rms_norm_add", &x, &gain, None, None);
    assert_eq!(added.dims(), x.dims(), "rms_norm_add: shape of the term to add");
    if added.dtype() != x.dtype() || !runs_here(&x, [Some(&gain), None], None) {
        return rms_norm(x, gain, None, activation, eps) + added;
    }
    let bias = Tensor::zeros([x.dims()[1]], (&x.device(), x.dtype()));
    run_added(x, gain, bias, added, Settings { norm: Norm::Rms { eps }, activation })
}

/// [`rms_norm`] by the framework's own operations: the reference for tests, and what devices other
/// than the CPU run.
pub fn rms_norm_reference(
    x: Tensor<3>,
    gain: Tensor<1>,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
    activation: Activation,
    eps: f64,
) -> Tensor<3> {
    let channels = x.dims()[1];
    // The least norm is applied to the square, where the gradient at 0 is finite.
    let norm = (x.clone() * x.clone()).sum_dim(1).clamp_min(eps * eps).sqrt();
    let gain = gain.reshape([1, channels, 1]) * (channels as f64).sqrt();
    modulate_and_activate(x / norm * gain, scale_shift, activation)
}

fn modulate_and_activate(
    y: Tensor<3>,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
    activation: Activation,
) -> Tensor<3> {
    let y = match scale_shift {
        Some((scale, shift)) => y * (scale.unsqueeze_dim::<3>(2) + 1.0) + shift.unsqueeze_dim::<3>(2),
        None => y,
    };
    match activation {
        Activation::None => y,
        Activation::Silu => activation::silu(y),
    }
}

fn check(
    op: &str,
    x: &Tensor<3>,
    gain: &Tensor<1>,
    bias: Option<&Tensor<1>>,
    scale_shift: Option<&(Tensor<2>, Tensor<2>)>,
) {
    let [batch, channels, _] = x.dims();
    assert!(!x.dims().contains(&0), "{op}: found shape {:?}, expected no 0", x.dims());
    assert_eq!(gain.dims(), [channels], "{op}: shape of the gain");
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [channels], "{op}: shape of the bias");
    }
    if let Some((scale, shift)) = scale_shift {
        assert_eq!(scale.dims(), [batch, channels], "{op}: shape of the scale");
        assert_eq!(shift.dims(), [batch, channels], "{op}: shape of the shift");
    }
}

fn check_groups(op: &str, x: &Tensor<3>, groups: usize) {
    let channels = x.dims()[1];
    let divides = groups > 0 && channels.is_multiple_of(groups);
    assert!(divides, "{op}: {groups} groups do not divide {channels} channels");
}

/// Whether our loops exist for this device and these number types.
fn runs_here(x: &Tensor<3>, vectors: [Option<&Tensor<1>>; 2], scale_shift: Option<&(Tensor<2>, Tensor<2>)>) -> bool {
    let dtype = x.dtype();
    is_cpu(&x.device())
        && is_real(dtype)
        && vectors.iter().flatten().all(|vector| vector.dtype() == dtype)
        && scale_shift.is_none_or(|(scale, shift)| scale.dtype() == dtype && shift.dtype() == dtype)
}

fn run(
    x: Tensor<3>,
    gain: Tensor<1>,
    bias: Tensor<1>,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
    settings: Settings,
) -> Tensor<3> {
    let (x, gain, bias) = (x.into_dispatch(), gain.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(match scale_shift {
        Some((scale, shift)) => {
            let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
            <Dispatch as NormOps>::norm_modulated(x, gain, bias, scale, shift, settings)
        }
        None => <Dispatch as NormOps>::norm_plain(x, gain, bias, settings),
    })
}

fn run_added(x: Tensor<3>, gain: Tensor<1>, bias: Tensor<1>, added: Tensor<3>, settings: Settings) -> Tensor<3> {
    let (x, gain, bias) = (x.into_dispatch(), gain.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NormOps>::norm_added(x, gain, bias, added.into_dispatch(), settings))
}

/// Which normalization and which activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    norm: Norm,
    activation: Activation,
}

/// The operation on backend tensors.
#[backend_extension(Flex, Autodiff)]
pub trait NormOps: Backend {
    /// With gain and bias.
    fn norm_plain(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self>;
    /// With gain, bias and a term to add to the result.
    fn norm_added(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        added: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self>;
    /// With gain, bias, scale and shift.
    fn norm_modulated(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self>;
}

impl NormOps for Flex {
    fn norm_plain(x: FlexTensor, gain: FlexTensor, bias: FlexTensor, settings: Settings) -> FlexTensor {
        forward(&[x, gain, bias], settings).0
    }

    fn norm_added(
        x: FlexTensor,
        gain: FlexTensor,
        bias: FlexTensor,
        added: FlexTensor,
        settings: Settings,
    ) -> FlexTensor {
        forward(&[x, gain, bias, added], settings).0
    }

    fn norm_modulated(
        x: FlexTensor,
        gain: FlexTensor,
        bias: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        settings: Settings,
    ) -> FlexTensor {
        forward(&[x, gain, bias, scale, shift], settings).0
    }
}

/// Number of inputs when the last is a term to add to the result.
const WITH_TERM: usize = 4;

/// The result, and the statistics that the gradient needs. `inputs` are signal, gain, bias and,
/// where they exist, scale and shift or the term to add.
fn forward(inputs: &[FlexTensor], settings: Settings) -> (FlexTensor, FlexTensor) {
    let inputs: Vec<FlexTensor> = inputs.iter().map(FlexTensor::to_contiguous).collect();
    match inputs[0].dtype() {
        DType::F64 => forward_as::<f64>(&inputs, settings),
        _ => forward_as::<f32>(&inputs, settings),
    }
}

fn forward_as<T: Real>(inputs: &[FlexTensor], settings: Settings) -> (FlexTensor, FlexTensor) {
    let silu = settings.activation == Activation::Silu;
    let (inputs, added) = match inputs.len() {
        WITH_TERM => (&inputs[..WITH_TERM - 1], Some(&inputs[WITH_TERM - 1])),
        _ => (inputs, None),
    };
    match (settings.norm, silu) {
        (Norm::Group { groups, eps }, true) => group::forward::<T, true>(inputs, added, groups, eps),
        (Norm::Group { groups, eps }, false) => group::forward::<T, false>(inputs, added, groups, eps),
        (Norm::Rms { eps }, true) => rms::forward::<T, true>(inputs, added, eps),
        (Norm::Rms { eps }, false) => rms::forward::<T, false>(inputs, added, eps),
    }
}

/// Gradients of all inputs, in their order.
fn gradients<T: Real>(
    grad: FlexTensor,
    inputs: &[FlexTensor],
    statistics: &FlexTensor,
    settings: Settings,
) -> Vec<FlexTensor> {
    let silu = settings.activation == Activation::Silu;
    match (settings.norm, silu) {
        (Norm::Group { groups, .. }, true) => group::gradients::<T, true>(grad, inputs, statistics, groups),
        (Norm::Group { groups, .. }, false) => group::gradients::<T, false>(grad, inputs, statistics, groups),
        (Norm::Rms { eps }, true) => rms::gradients::<T, true>(grad, inputs, statistics, eps),
        (Norm::Rms { eps }, false) => rms::gradients::<T, false>(grad, inputs, statistics, eps),
    }
}

impl<C: CheckpointStrategy> NormOps for Autodiff<Flex, C> {
    fn norm_plain(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self> {
        record::<C, 3>([x, gain, bias], settings)
    }

    fn norm_added(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        added: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self> {
        record::<C, WITH_TERM>([x, gain, bias, added], settings)
    }

    fn norm_modulated(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self> {
        record::<C, 5>([x, gain, bias, scale, shift], settings)
    }
}

/// Computes the result and, if an input requires a gradient, puts the step on the tape.
fn record<C: CheckpointStrategy, const N: usize>(
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
    settings: Settings,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = inputs.each_ref().map(|input| input.node());
    let prep = NormBackward.prepare::<C>(nodes).compute_bound().stateful();
    match prep {
        OpsKind::Tracked(mut prep) => {
            // The gradient of a term to add does not depend on the term.
            let kept = if N == WITH_TERM { N - 1 } else { N };
            let saved = inputs[..kept].iter().map(|input| prep.checkpoint(input)).collect();
            let (out, statistics) = forward(&inputs.map(|input| input.into_primitive()), settings);
            prep.finish((saved, statistics, settings), out)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(&inputs.map(|input| input.into_primitive()), settings).0),
    }
}

/// The gradient for the term to add: `grad` itself is written over.
fn copied(grad: &FlexTensor) -> FlexTensor {
    let shape = grad.layout().shape();
    let shape = [shape[0], shape[1], shape[2]];
    match grad.dtype() {
        DType::F64 => tensor(memory::copied(values::<f64>(grad)), &shape),
        _ => tensor(memory::copied(values::<f32>(grad)), &shape),
    }
}

/// Gradient step.
#[derive(Debug)]
struct NormBackward;

impl<const N: usize> Backward<Flex, N> for NormBackward {
    type State = (Vec<NodeId>, FlexTensor, Settings);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (saved, statistics, settings) = ops.state;
        let inputs: Vec<FlexTensor> =
            saved.into_iter().map(|id| checkpointer.retrieve_node_output::<FlexTensor>(id).to_contiguous()).collect();
        let for_term = (N == WITH_TERM).then(|| copied(&grad));
        let mut all = match grad.dtype() {
            DType::F64 => gradients::<f64>(grad, &inputs, &statistics, settings),
            _ => gradients::<f32>(grad, &inputs, &statistics, settings),
        };
        all.extend(for_term);
        for (node, gradient) in ops.parents.into_iter().zip(all) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}
