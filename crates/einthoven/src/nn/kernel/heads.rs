//! Queries, keys and values as they lie in one tensor, `[batch, 3 * heads * head_width, length]`.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values};
use super::fused::FusedOp;
use super::lanes::{Job, Lanes};
use super::memory;
use super::scratch::Scratch;

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

    /// What queries are multiplied by: the inverse of the root of their width.
    #[inline(always)]
    pub fn factor<T: Real>(&self) -> T {
        T::from_f64((self.width as f64).powf(-0.5))
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

    /// Result and statistics of `W`.
    fn forward<T: Real, W: HeadWork>(&self, qkv: &FlexTensor) -> [FlexTensor; 2] {
        let qkv = values::<T>(qkv);
        let (n_heads, n_statistics) = (self.batch * self.heads, self.statistics::<W>());
        let mut statistics = vec![T::ZERO; n_heads * n_statistics];
        let beside = statistics.par_chunks_mut(n_statistics);
        let out = memory::in_pieces_beside(n_heads * self.piece(), self.piece(), beside, |index, out, statistics| {
            let (qkv, scratch) = (self.of(qkv, index), &mut Scratch::new());
            T::run(OnVectors::<_, W>(Forward { heads: *self, qkv, out, statistics, scratch }, PhantomData));
        });
        let shape = [self.batch, self.heads * self.width, self.length];
        [tensor(out, &shape), tensor(statistics, &[n_heads, n_statistics])]
    }

    /// Gradient of `W` for queries, keys and values, from these, its result and its statistics.
    fn backward<T: Real, W: HeadWork>(&self, kept: &[FlexTensor], grad: &FlexTensor) -> FlexTensor {
        let [qkv, result, statistics] = [0, 1, 2].map(|k| values::<T>(&kept[k]));
        let mut out = memory::fresh(qkv.len());
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
            .zip(values::<T>(grad).par_chunks(self.piece()))
            .zip(result.par_chunks(self.piece()).zip(statistics.par_chunks(self.statistics::<W>())))
            .enumerate()
            .for_each_init(Scratch::new, |scratch, (index, ((out, grad), (result, statistics)))| {
                let (qkv, out) = (self.of(qkv, index), out.map(memory::cleared));
                let head = Backward { heads: *self, qkv, result, statistics, grad, out, scratch };
                T::run(OnVectors::<_, W>(head, PhantomData));
            });
        // SAFETY: the pieces are all of the memory, and each was cleared.
        let out = unsafe { memory::written(out) };
        tensor(out, &[self.batch, 3 * self.heads * self.width, self.length])
    }

    /// Numbers that are kept of a head; one at least, so that each has a piece.
    fn statistics<W: HeadWork>(&self) -> usize {
        (W::STATISTICS * self.length).max(1)
    }
}

/// One head of one record in the pass forward; arrays are `[width, length]`.
pub(super) struct Forward<'a, T> {
    pub heads: Heads,
    /// Queries, keys and values.
    pub qkv: [&'a [T]; 3],
    /// For the result.
    pub out: &'a mut [T],
    /// For what is kept for the pass backward, `[STATISTICS, length]`.
    pub statistics: &'a mut [T],
    pub scratch: &'a mut Scratch<T>,
}

/// One head of one record in the pass backward; arrays are `[width, length]`.
pub(super) struct Backward<'a, T> {
    pub heads: Heads,
    /// Queries, keys and values.
    pub qkv: [&'a [T]; 3],
    /// What the pass forward gave.
    pub result: &'a [T],
    /// What it kept, `[STATISTICS, length]`.
    pub statistics: &'a [T],
    /// Gradient for the result.
    pub grad: &'a [T],
    /// For the gradients for queries, keys and values, of zeros.
    pub out: [&'a mut [T]; 3],
    pub scratch: &'a mut Scratch<T>,
}

/// What an attention does with one head of one record.
pub(super) trait HeadWork: Debug + Send + Sync + 'static {
    /// Numbers that are kept of each point for the pass backward.
    const STATISTICS: usize;

    /// Result and statistics. Implementations of both are `#[inline(always)]`, as those of [`Job::run`].
    fn forward<T: Real, L: Lanes<T>>(head: Forward<T>);

    /// The three gradients.
    fn backward<T: Real, L: Lanes<T>>(head: Backward<T>);
}

/// A pass of an attention as work for every kind of vector.
struct OnVectors<H, W>(H, PhantomData<W>);

impl<T: Real, W: HeadWork> Job<T> for OnVectors<Forward<'_, T>, W> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        W::forward::<T, L>(self.0);
    }
}

impl<T: Real, W: HeadWork> Job<T> for OnVectors<Backward<'_, T>, W> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        W::backward::<T, L>(self.0);
    }
}

/// An attention as an operation on the tensor of queries, keys and values.
#[derive(Debug)]
pub(super) struct OnHeads<W>(pub Heads, pub W);

impl<W: HeadWork> FusedOp for OnHeads<W> {
    fn forward(&self, mut inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let qkv = inputs.remove(0);
        let [out, statistics] = match qkv.dtype() {
            DType::F64 => self.0.forward::<f64, W>(&qkv),
            _ => self.0.forward::<f32, W>(&qkv),
        };
        (out.clone(), vec![qkv, out, statistics])
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let gradient = match grad.dtype() {
            DType::F64 => self.0.backward::<f64, W>(&kept, &grad),
            _ => self.0.backward::<f32, W>(&kept, &grad),
        };
        vec![Some(gradient)]
    }
}
