//! Queries, keys and values as they lie in one tensor, `[batch, 3 * heads * head_width, length]`.

use std::fmt::Debug;

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values};
use super::fused::FusedOp;
use super::tile::Scratch;

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub batch: usize,
    pub heads: usize,
    pub width: usize,
    pub length: usize,
}

impl Heads {
    /// # Panics
    ///
    /// If the tensor is empty or its channels are not three times the heads.
    pub fn new(op: &str, [batch, channels, length]: [usize; 3], heads: usize, width: usize) -> Heads {
        assert!(batch > 0 && heads > 0 && width > 0 && length > 0, "{op}: a tensor without values");
        assert_eq!(channels, 3 * heads * width, "{op}: channels of queries, keys and values");
        Heads { batch, heads, width, length }
    }

    /// Queries, keys and values as `[batch * heads, width, length]`.
    pub fn split(&self, qkv: &Tensor<3>) -> [Tensor<3>; 3] {
        let channels = self.heads * self.width;
        [0, 1, 2].map(|part| {
            let part = qkv.clone().narrow(1, part * channels, channels);
            part.reshape([self.batch * self.heads, self.width, self.length])
        })
    }

    /// Values per head.
    fn piece(&self) -> usize {
        self.width * self.length
    }

    /// Queries, keys and values of head `index` of all records, each `[width, length]`.
    fn of<'a, T>(&self, qkv: &'a [T], index: usize) -> [&'a [T]; 3] {
        let (record, head) = (index / self.heads, index % self.heads);
        let start = record * 3 * self.heads + head;
        [0, 1, 2].map(|part| &qkv[(start + part * self.heads) * self.piece()..][..self.piece()])
    }

    /// Runs `work` on the queries, keys and values of each head and the place of its result.
    fn forward<T: Real>(
        &self,
        qkv: &FlexTensor,
        work: impl Fn([&[T]; 3], &mut [T], &mut Scratch<T>) + Sync,
    ) -> FlexTensor {
        let qkv = values::<T>(qkv);
        let mut out = vec![T::ZERO; self.batch * self.heads * self.piece()];
        out.par_chunks_mut(self.piece())
            .enumerate()
            .for_each_init(Scratch::new, |scratch, (index, out)| work(self.of(qkv, index), out, scratch));
        tensor(out, &[self.batch, self.heads * self.width, self.length])
    }

    /// Runs `work` on the queries, keys and values of each head, the gradient for its result, and
    /// the places of the three gradients, which hold zeros.
    fn backward<T: Real>(
        &self,
        qkv: &FlexTensor,
        grad: &FlexTensor,
        work: impl Fn([&[T]; 3], &[T], [&mut [T]; 3], &mut Scratch<T>) + Sync,
    ) -> FlexTensor {
        let (qkv, grad) = (values::<T>(qkv), values::<T>(grad));
        let mut out = vec![T::ZERO; qkv.len()];
        let mut pieces = Vec::with_capacity(self.batch * self.heads);
        let part = self.heads * self.piece();
        for record in out.chunks_exact_mut(3 * part) {
            let (q, rest) = record.split_at_mut(part);
            let (k, v) = rest.split_at_mut(part);
            let heads = q.chunks_exact_mut(self.piece()).zip(k.chunks_exact_mut(self.piece()));
            pieces.extend(heads.zip(v.chunks_exact_mut(self.piece())).map(|((q, k), v)| [q, k, v]));
        }
        pieces
            .into_par_iter()
            .zip(grad.par_chunks(self.piece()))
            .enumerate()
            .for_each_init(Scratch::new, |scratch, (index, (out, grad))| work(self.of(qkv, index), grad, out, scratch));
        tensor(out, &[self.batch, 3 * self.heads * self.width, self.length])
    }
}

/// What an attention does with one head of one record.
pub(super) trait HeadWork: Debug + Send + Sync + 'static {
    /// From queries, keys and values, each `[width, length]`, to the result.
    fn forward<T: Real>(heads: Heads, qkv: [&[T]; 3], out: &mut [T], scratch: &mut Scratch<T>);

    /// From these and the gradient for the result to the three gradients, whose places hold zeros.
    fn backward<T: Real>(heads: Heads, qkv: [&[T]; 3], grad: &[T], out: [&mut [T]; 3], scratch: &mut Scratch<T>);
}

/// An attention as an operation on the tensor of queries, keys and values.
#[derive(Debug)]
pub(super) struct OnHeads<W>(pub Heads, pub W);

impl<W: HeadWork> OnHeads<W> {
    fn run<T: Real>(&self, qkv: &FlexTensor) -> FlexTensor {
        self.0.forward::<T>(qkv, |qkv, out, scratch| W::forward(self.0, qkv, out, scratch))
    }

    fn gradient<T: Real>(&self, qkv: &FlexTensor, grad: &FlexTensor) -> FlexTensor {
        self.0.backward::<T>(qkv, grad, |qkv, grad, out, scratch| W::backward(self.0, qkv, grad, out, scratch))
    }
}

impl<W: HeadWork> FusedOp for OnHeads<W> {
    fn forward(&self, mut inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let qkv = inputs.remove(0);
        let out = match qkv.dtype() {
            DType::F64 => self.run::<f64>(&qkv),
            _ => self.run::<f32>(&qkv),
        };
        (out, vec![qkv])
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let gradient = match grad.dtype() {
            DType::F64 => self.gradient::<f64>(&kept[0], &grad),
            _ => self.gradient::<f32>(&kept[0], &grad),
        };
        vec![Some(gradient)]
    }
}
