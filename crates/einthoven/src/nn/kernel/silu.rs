//! The activation `x * sigmoid(x)` alone, with gradient.

use std::mem::MaybeUninit;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::{DType, Tensor, activation};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, is_cpu, is_real, tensor, values, values_mut};
use super::lanes::{Job, Lanes};
use super::memory;
use super::norm_act::{activate, times_slope};

/// Values per piece of work.
const PIECE: usize = 1 << 14;

/// `x * sigmoid(x)` for each value.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !is_cpu(&x.device()) || !is_real(x.dtype()) {
        return silu_reference(x);
    }
    Tensor::from_dispatch(<Dispatch as SiluOps>::silu(x.into_dispatch()))
}

/// [`silu`] by the framework's own operation: the reference for tests, and what devices other than
/// the CPU run.
pub fn silu_reference<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}

/// The activation on backend tensors.
#[backend_extension(Flex, Autodiff)]
pub trait SiluOps: Backend {
    /// `x * sigmoid(x)` for each value.
    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl SiluOps for Flex {
    fn silu(x: FlexTensor) -> FlexTensor {
        let x = x.to_contiguous();
        match x.dtype() {
            DType::F64 => forward::<f64>(&x),
            _ => forward::<f32>(&x),
        }
    }
}

impl<C: CheckpointStrategy> SiluOps for Autodiff<Flex, C> {
    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match SiluBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let saved = prep.checkpoint(&x);
                prep.finish(saved, <Flex as SiluOps>::silu(x.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(<Flex as SiluOps>::silu(x.into_primitive())),
        }
    }
}

/// Gradient step.
#[derive(Debug)]
struct SiluBackward;

impl Backward<Flex, 1> for SiluBackward {
    type State = NodeId;

    fn backward(self, ops: Ops<NodeId, 1>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let x = checkpointer.retrieve_node_output::<FlexTensor>(ops.state).to_contiguous();
        let [parent] = ops.parents;
        if let Some(node) = parent {
            let gradient = match x.dtype() {
                DType::F64 => gradient::<f64>(grad, &x),
                _ => gradient::<f32>(grad, &x),
            };
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

fn forward<T: Real>(x: &FlexTensor) -> FlexTensor {
    let values = values::<T>(x);
    let mut out = memory::fresh(values.len());
    out.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE)).for_each(|(out, x)| T::run(Forward { x, out }));
    // SAFETY: as many values are written as are read.
    let out = unsafe { memory::written(out) };
    tensor(out, &dims(x))
}

/// The gradient for the values, written over `grad`.
fn gradient<T: Real>(mut grad: FlexTensor, x: &FlexTensor) -> FlexTensor {
    values_mut::<T>(&mut grad)
        .par_chunks_mut(PIECE)
        .zip(values::<T>(x).par_chunks(PIECE))
        .for_each(|(grad, x)| T::run(Gradient { x, grad }));
    grad
}

fn dims(x: &FlexTensor) -> Vec<usize> {
    let shape = x.layout().shape();
    (0..shape.num_dims()).map(|axis| shape[axis]).collect()
}

struct Forward<'a, T> {
    x: &'a [T],
    out: &'a mut [MaybeUninit<T>],
}

impl<T: Real> Job<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        for (x, out) in self.x.chunks(L::WIDTH).zip(self.out.chunks_mut(L::WIDTH)) {
            activate::<T, L, true>(L::load_or(x, T::ZERO)).store_new(out);
        }
    }
}

struct Gradient<'a, T> {
    x: &'a [T],
    grad: &'a mut [T],
}

impl<T: Real> Job<T> for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        for (x, grad) in self.x.chunks(L::WIDTH).zip(self.grad.chunks_mut(L::WIDTH)) {
            times_slope::<T, L, true>(L::load_or(grad, T::ZERO), L::load_or(x, T::ZERO)).store(grad);
        }
    }
}
