//! A part of a network as one step of the gradient tape that keeps its inputs alone and computes everything between
//! them and its result again in the backward pass.
//!
//! The framework's own gradient checkpointing recomputes single cheap operations of its own. It leaves ours, which keep
//! nearly all of a network's memory, as they are.

use std::fmt::{Debug, Formatter};
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::cpu::tensor;
use super::fused::{FusedOp, record};

/// A tensor on the tape.
type Taped = FloatTensor<Autodiff<Flex>>;

/// `part` of `inputs`, recorded as one step.
///
/// The inputs that `part` is given are on no tape in the forward pass and on a tape of their own in the backward pass;
/// it must compute the same from the same inputs, and read no other tensor that needs a gradient.
///
/// # Panics
///
/// If the tensors are not on the CPU, or more than 64.
pub(in crate::nn) fn recompute(
    inputs: Vec<Tensor<1>>,
    part: impl Fn(Vec<Tensor<1>>) -> Tensor<1> + Send + Sync + 'static,
) -> Tensor<1> {
    let op = Arc::new(Recomputed { n_inputs: inputs.len(), part: Box::new(part) });
    let inputs: Vec<Taped> = inputs
        .into_iter()
        .map(|input| input.autodiff().try_into_primitive::<Autodiff<Flex>>().expect("a tensor on the CPU"))
        .collect();
    let out = match inputs.len() {
        0..=16 => record::<NoCheckpointing, 16>(filled(inputs), op),
        17..=64 => record::<NoCheckpointing, 64>(filled(inputs), op),
        count => panic!("a part of a network that reads {count} tensors"),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(out)
}

/// The tape takes arrays: the list is filled up with constants.
fn filled<const N: usize>(mut inputs: Vec<Taped>) -> [Taped; N] {
    inputs.resize_with(N, || Taped::new(tensor(vec![0.0f32], &[1])));
    inputs.try_into().unwrap_or_else(|_| unreachable!("a list was given the length of the array"))
}

type Part = dyn Fn(Vec<Tensor<1>>) -> Tensor<1> + Send + Sync;

struct Recomputed {
    /// Inputs before those that fill up the array.
    n_inputs: usize,
    part: Box<Part>,
}

impl Debug for Recomputed {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        f.debug_struct("Recomputed").field("n_inputs", &self.n_inputs).finish_non_exhaustive()
    }
}

impl FusedOp for Recomputed {
    fn forward(&self, mut inputs: Vec<FlexTensor>, _keep: bool) -> (FlexTensor, Vec<FlexTensor>) {
        inputs.truncate(self.n_inputs);
        let out = (self.part)(inputs.iter().cloned().map(constant).collect());
        (plain(out).to_contiguous(), inputs)
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let leaf = |(input, &is_wanted): (FlexTensor, &bool)| match is_wanted {
            true => constant(input).autodiff().require_grad(),
            false => constant(input),
        };
        let leaves: Vec<Tensor<1>> = kept.into_iter().zip(wanted).map(leaf).collect();
        let out = (self.part)(leaves.clone());
        // The derivative of this sum is `grad` at the result, and 1 times `grad` is exact.
        let mut gradients = (out * constant(grad)).sum().backward();
        leaves.iter().map(|leaf| leaf.grad_remove(&mut gradients).map(|found| plain(found).to_contiguous())).collect()
    }
}

fn constant(values: FlexTensor) -> Tensor<1> {
    Tensor::from_primitive::<Flex>(values)
}

fn plain(values: Tensor<1>) -> FlexTensor {
    values.without_autodiff().try_into_primitive::<Flex>().expect("a part of a network stays on the CPU")
}
