//! How an operation written as one pass forward and one pass backward becomes part of the
//! framework: it is run on plain memory and put on the gradient tape as a single step.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Backend, Dispatch, DispatchTensor, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{DType, Device};
use burn_flex::FlexTensor;

use super::cpu::{is_cpu, is_real};

/// An operation on tensors of one real type in row-major order.
pub trait FusedOp: Debug + Send + Sync + 'static {
    /// The result, and the tensors that [`FusedOp::gradients`] needs. What is kept is dropped at
    /// once where no gradient is asked for; `keep` says so, and the list may then be empty.
    fn forward(&self, inputs: Vec<FlexTensor>, keep: bool) -> (FlexTensor, Vec<FlexTensor>);

    /// The gradient for each input, in their order; `None` is allowed where `wanted` is false.
    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>>;
}

/// Whether our loops exist for this device and these number types.
pub(super) fn runs_here(device: &Device, types: &[DType]) -> bool {
    is_cpu(device) && types.iter().all(|dtype| is_real(*dtype) && *dtype == types[0])
}

/// Runs `op` on `inputs`.
///
/// # Panics
///
/// If the number of inputs is not between 1 and 7.
pub(super) fn run(op: impl FusedOp, inputs: Vec<DispatchTensor>) -> DispatchTensor {
    let op: Arc<dyn FusedOp> = Arc::new(op);
    let count = inputs.len();
    let mut inputs = inputs.into_iter();
    let mut next = || inputs.next().expect("as many inputs as were counted");
    match count {
        1 => <Dispatch as FusedOps>::fused1(next(), op),
        2 => <Dispatch as FusedOps>::fused2(next(), next(), op),
        3 => <Dispatch as FusedOps>::fused3(next(), next(), next(), op),
        4 => <Dispatch as FusedOps>::fused4(next(), next(), next(), next(), op),
        5 => <Dispatch as FusedOps>::fused5(next(), next(), next(), next(), next(), op),
        6 => <Dispatch as FusedOps>::fused6(next(), next(), next(), next(), next(), next(), op),
        7 => <Dispatch as FusedOps>::fused7(next(), next(), next(), next(), next(), next(), next(), op),
        _ => panic!("an operation on {count} tensors"),
    }
}

/// Operations by the number of tensors that they read.
#[backend_extension(Flex, Autodiff)]
pub trait FusedOps: Backend {
    /// On one tensor.
    fn fused1(a: FloatTensor<Self>, op: Arc<dyn FusedOp>) -> FloatTensor<Self>;
    /// On two tensors.
    fn fused2(a: FloatTensor<Self>, b: FloatTensor<Self>, op: Arc<dyn FusedOp>) -> FloatTensor<Self>;
    /// On three tensors.
    fn fused3(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        op: Arc<dyn FusedOp>,
    ) -> FloatTensor<Self>;
    /// On four tensors.
    fn fused4(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        op: Arc<dyn FusedOp>,
    ) -> FloatTensor<Self>;
    /// On five tensors.
    fn fused5(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        op: Arc<dyn FusedOp>,
    ) -> FloatTensor<Self>;
    /// On six tensors.
    fn fused6(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        op: Arc<dyn FusedOp>,
    ) -> FloatTensor<Self>;
    /// On seven tensors.
    #[allow(clippy::too_many_arguments)]
    fn fused7(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
        f: FloatTensor<Self>,
        g: FloatTensor<Self>,
        op: Arc<dyn FusedOp>,
    ) -> FloatTensor<Self>;
}

macro_rules! arities {
    ($($name:ident($($input:ident),+);)+) => {
        impl FusedOps for Flex {
            $(fn $name($($input: FlexTensor,)+ op: Arc<dyn FusedOp>) -> FlexTensor {
                op.forward(contiguous([$($input),+]), false).0
            })+
        }

        impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
            $(fn $name($($input: FloatTensor<Self>,)+ op: Arc<dyn FusedOp>) -> FloatTensor<Self> {
                record::<C, _>([$($input),+], op)
            })+
        }
    };
}

arities! {
    fused1(a);
    fused2(a, b);
    fused3(a, b, c);
    fused4(a, b, c, d);
    fused5(a, b, c, d, e);
    fused6(a, b, c, d, e, f);
    fused7(a, b, c, d, e, f, g);
}

fn contiguous<const N: usize>(inputs: [FlexTensor; N]) -> Vec<FlexTensor> {
    inputs.into_iter().map(|input| input.to_contiguous()).collect()
}

/// Computes the result and, if an input requires a gradient, puts the step on the tape.
pub(super) fn record<C: CheckpointStrategy, const N: usize>(
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
    op: Arc<dyn FusedOp>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = inputs.each_ref().map(|input| input.node());
    match FusedBackward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (out, kept) = op.forward(contiguous(inputs.map(|input| input.into_primitive())), true);
            prep.finish((op, kept), out)
        }
        OpsKind::UnTracked(prep) => {
            prep.finish(op.forward(contiguous(inputs.map(|input| input.into_primitive())), false).0)
        }
    }
}

/// Gradient step.
#[derive(Debug)]
struct FusedBackward;

impl<const N: usize> Backward<Flex, N> for FusedBackward {
    type State = (Arc<dyn FusedOp>, Vec<FlexTensor>);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (op, kept) = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (node, gradient) in ops.parents.into_iter().zip(op.gradients(grad, kept, &wanted)) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}
