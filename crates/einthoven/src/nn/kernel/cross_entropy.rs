//! Cross entropy of scores over channels, with gradient.

use burn::tensor::{DType, Int, Tensor, TensorData, activation};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::cpu::{Real, tensor, values, values_mut};
use super::fused::{self, FusedOp};
use super::lanes::{Job, Lanes};

/// Mean of `log(sum of exp(score)) - score of the class` over the positions that have a class.
///
/// `scores` is `[batch, class, position]`; `classes` has an entry for each position, record after record. The result has
/// one value.
///
/// # Panics
/// If there is not one entry for each position, a class is none of the channels, or no position has one.
pub fn cross_entropy(scores: Tensor<3>, classes: &[Option<usize>]) -> Tensor<1> {
    let op = CrossEntropy::new(scores.dims(), classes);
    if !fused::runs_here(&scores.device(), &[scores.dtype()]) {
        return op.reference(scores);
    }
    Tensor::from_dispatch(fused::run(op, vec![scores.into_dispatch()]))
}

/// [`cross_entropy`] by the framework's own operations: the reference for tests, and what devices other than the CPU run.
pub fn cross_entropy_reference(scores: Tensor<3>, classes: &[Option<usize>]) -> Tensor<1> {
    CrossEntropy::new(scores.dims(), classes).reference(scores)
}

#[derive(Debug)]
struct CrossEntropy {
    /// Channels and positions.
    record: [usize; 2],
    classes: Vec<Option<usize>>,
    /// Positions that have a class.
    count: usize,
}

impl CrossEntropy {
    fn new([batch, channels, positions]: [usize; 3], classes: &[Option<usize>]) -> CrossEntropy {
        let (found, expected) = (classes.len(), batch * positions);
        assert!(found == expected, "cross_entropy: found classes of {found} positions, expected {expected}");
        let known = || classes.iter().flatten();
        assert!(known().all(|class| *class < channels), "cross_entropy: a class is none of {channels} channels");
        assert!(known().next().is_some(), "cross_entropy: no position has a class");
        CrossEntropy { record: [channels, positions], classes: classes.to_vec(), count: known().count() }
    }

    fn reference(&self, scores: Tensor<3>) -> Tensor<1> {
        let [channels, positions] = self.record;
        let places = self.classes.iter().enumerate().filter_map(|(at, class)| {
            let (record, position) = (at / positions, at % positions);
            class.map(|class| ((record * channels + class) * positions + position) as i64)
        });
        let places: Vec<i64> = places.collect();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [self.count]), &scores.device());
        let n_values = scores.shape().num_elements();
        activation::log_softmax(scores, 1).reshape([n_values]).select(0, places).mean().neg()
    }

    /// The loss, and the largest score and the sum of the powers of each position.
    fn forward<T: Real>(&self, scores: &FlexTensor) -> [FlexTensor; 2] {
        let scores = values::<T>(scores);
        let [channels, positions] = self.record;
        let mut sums = vec![T::ZERO; 2 * self.classes.len()];
        let losses: Vec<f64> = sums
            .par_chunks_mut(2 * positions)
            .zip(scores.par_chunks(channels * positions))
            .zip(self.classes.par_chunks(positions))
            .map(|((sums, scores), classes)| {
                T::run(Powers { positions, scores, sums });
                let loss = |(t, class): (usize, &Option<usize>)| {
                    let score = scores[(*class)? * positions + t].into_f64();
                    Some(libm::log(sums[positions + t].into_f64()) + sums[t].into_f64() - score)
                };
                classes.iter().enumerate().filter_map(loss).sum()
            })
            .collect();
        let mean = losses.iter().sum::<f64>() / self.count as f64;
        [tensor(vec![T::from_f64(mean)], &[1]), tensor(sums, &[self.classes.len(), 2])]
    }

    /// The gradient for the scores, written over them.
    fn gradient<T: Real>(&self, grad: &FlexTensor, mut scores: FlexTensor, sums: &FlexTensor) -> FlexTensor {
        let [channels, positions] = self.record;
        let share = T::from_f64(values::<T>(grad)[0].into_f64() / self.count as f64);
        values_mut::<T>(&mut scores)
            .par_chunks_mut(channels * positions)
            .zip(values::<T>(sums).par_chunks(2 * positions))
            .zip(self.classes.par_chunks(positions))
            .for_each(|((scores, sums), classes)| T::run(Gradient { positions, scores, sums, classes, share }));
        scores
    }
}

impl FusedOp for CrossEntropy {
    fn forward(&self, mut inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let scores = inputs.remove(0);
        let [loss, sums] = match scores.dtype() {
            DType::F64 => self.forward::<f64>(&scores),
            _ => self.forward::<f32>(&scores),
        };
        (loss, vec![scores, sums])
    }

    fn gradients(&self, grad: FlexTensor, mut kept: Vec<FlexTensor>, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let scores = kept.remove(0);
        let gradient = match grad.dtype() {
            DType::F64 => self.gradient::<f64>(&grad, scores, &kept[0]),
            _ => self.gradient::<f32>(&grad, scores, &kept[0]),
        };
        vec![Some(gradient)]
    }
}

/// Largest score and sum of the powers of the others to it, at each position of a record.
struct Powers<'a, T> {
    positions: usize,
    scores: &'a [T],
    sums: &'a mut [T],
}

impl<T: Real> Job<T> for Powers<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let rows = || self.scores.chunks_exact(self.positions);
        let (all_largest, totals) = self.sums.split_at_mut(self.positions);
        for at in (0..self.positions).step_by(L::WIDTH) {
            let mut largest = L::load_or(&self.scores[at..self.positions], T::ZERO);
            for row in rows().skip(1) {
                largest = largest.max(L::load_or(&row[at..], T::ZERO));
            }
            let mut total = L::splat(T::ZERO);
            for row in rows() {
                total = total.add(L::load_or(&row[at..], T::ZERO).sub(largest).exp());
            }
            largest.store(&mut all_largest[at..]);
            total.store(&mut totals[at..]);
        }
    }
}

struct Gradient<'a, T> {
    positions: usize,
    scores: &'a mut [T],
    sums: &'a [T],
    classes: &'a [Option<usize>],
    /// What each position that has a class counts.
    share: T,
}

impl<T: Real> Job<T> for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let (all_largest, totals) = self.sums.split_at(self.positions);
        let share = |class: &Option<usize>| if class.is_some() { self.share } else { T::ZERO };
        let shares: Vec<T> = self.classes.iter().map(share).collect();
        for at in (0..self.positions).step_by(L::WIDTH) {
            let largest = L::load_or(&all_largest[at..], T::ZERO);
            let factor = L::load_or(&shares[at..], T::ZERO).div(L::load_or(&totals[at..], T::ONE));
            for row in self.scores.chunks_exact_mut(self.positions) {
                let power = L::load_or(&row[at..], T::ZERO).sub(largest).exp();
                power.mul(factor).store(&mut row[at..]);
            }
        }
        for (t, class) in self.classes.iter().enumerate() {
            if let Some(class) = class {
                self.scores[class * self.positions + t] += T::from_f64(-self.share.into_f64());
            }
        }
    }
}
