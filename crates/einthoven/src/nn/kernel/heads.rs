//! Queries, keys and values as they lie in one tensor, `[batch, 3 * heads * head_width, length]`.

use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values};
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
    pub fn forward<T: Real>(
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
    pub fn backward<T: Real>(
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
