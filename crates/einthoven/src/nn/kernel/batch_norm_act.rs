//! Batch normalization, an added signal and an activation as one operation.
//!
//! One piece of work is one channel of all records: its mean and spread need them all. The rows of
//! a channel are added record by record, so the result does not depend on the number of threads.

use std::mem::MaybeUninit;
use std::sync::{Arc, OnceLock};

use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::columns::Columns;
use super::cpu::{Real, tensor, values, values_mut};
use super::fused::{self, FusedOp};
use super::lanes::{Job, Lanes};
use super::memory;
use super::pointwise::{self, Pointwise, activate, for_each_activation, times_slope};

/// Mean and biased variance per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelStatistics {
    /// Mean over records and samples.
    pub mean: Vec<f64>,
    /// Mean squared distance from the mean.
    pub variance: Vec<f64>,
}

/// Parameters per channel.
#[derive(Debug, Clone)]
pub struct Affine {
    /// Factor, `[channels]`.
    pub gain: Tensor<1>,
    /// Term, `[channels]`.
    pub bias: Tensor<1>,
}

/// Mean over records and samples removed, divided by the standard deviation, times the gain and
/// plus the bias, plus `added` where it is given, then the activation. Also returns the statistics,
/// from which a network keeps its running ones.
///
/// `x` and `added` are `[batch, channels, length]`. The variance is the biased one, and `eps` is
/// added to it.
///
/// # Panics
///
/// If the shapes do not fit each other or the tensor is empty.
///
/// # Reference
///
/// Ioffe and Szegedy 2015, algorithm 1.
pub fn batch_norm_act(
    x: Tensor<3>,
    affine: Affine,
    added: Option<Tensor<3>>,
    activation: Pointwise,
    eps: f64,
) -> (Tensor<3>, ChannelStatistics) {
    check(&x, &affine, added.as_ref());
    if !runs_here(&x, &affine, added.as_ref()) {
        return batch_norm_act_reference(x, affine, added, activation, eps);
    }
    let found = Arc::new(OnceLock::new());
    let op = BatchNorm { activation, eps, given: None, found: found.clone() };
    let out = run(op, x, affine, added);
    // The forward pass runs before the call returns and leaves the statistics there.
    let statistics = found.get().cloned().expect("statistics of the pass that has run");
    (out, statistics)
}

/// [`batch_norm_act`] with the statistics of the training data: what a trained network does.
///
/// # Panics
///
/// If the shapes do not fit each other or the tensor is empty.
pub fn batch_norm_act_fixed(
    x: Tensor<3>,
    affine: Affine,
    statistics: &ChannelStatistics,
    added: Option<Tensor<3>>,
    activation: Pointwise,
    eps: f64,
) -> Tensor<3> {
    check(&x, &affine, added.as_ref());
    assert_eq!(
        [statistics.mean.len(), statistics.variance.len()],
        [x.dims()[1]; 2],
        "batch_norm_act: number of statistics"
    );
    if !runs_here(&x, &affine, added.as_ref()) {
        return batch_norm_act_fixed_reference(x, affine, statistics, added, activation, eps);
    }
    let op = BatchNorm { activation, eps, given: Some(statistics.clone()), found: Arc::default() };
    run(op, x, affine, added)
}

/// [`batch_norm_act`] by the framework's own operations: the reference for tests, and what devices
/// other than the CPU run.
pub fn batch_norm_act_reference(
    x: Tensor<3>,
    affine: Affine,
    added: Option<Tensor<3>>,
    activation: Pointwise,
    eps: f64,
) -> (Tensor<3>, ChannelStatistics) {
    let [batch, channels, length] = x.dims();
    let rows = x.clone().swap_dims(0, 1).reshape([channels, batch * length]);
    let mean = rows.clone().mean_dim(1);
    let centered = rows - mean.clone();
    let variance = (centered.clone() * centered).mean_dim(1);
    let list = |tensor: &Tensor<2>| tensor.clone().into_data().convert_dtype(DType::F64).try_into_vec::<f64>();
    // A float tensor can be read as f64 after its conversion to it.
    let statistics = ChannelStatistics {
        mean: list(&mean).expect("values converted to f64"),
        variance: list(&variance).expect("values converted to f64"),
    };
    let [mean, variance] = [mean, variance].map(|tensor| tensor.reshape([1, channels, 1]));
    (finish((x - mean) / (variance + eps).sqrt(), affine, added, activation), statistics)
}

/// [`batch_norm_act_fixed`] by the framework's own operations.
pub fn batch_norm_act_fixed_reference(
    x: Tensor<3>,
    affine: Affine,
    statistics: &ChannelStatistics,
    added: Option<Tensor<3>>,
    activation: Pointwise,
    eps: f64,
) -> Tensor<3> {
    let channels = x.dims()[1];
    let row = |values: Vec<f64>| Tensor::<1>::from_data(values.as_slice(), (&x.device(), x.dtype()));
    let mean = row(statistics.mean.clone()).reshape([1, channels, 1]);
    let spread = row(statistics.variance.iter().map(|variance| (variance + eps).sqrt()).collect());
    finish((x.clone() - mean) / spread.reshape([1, channels, 1]), affine, added, activation)
}

fn finish(unit: Tensor<3>, affine: Affine, added: Option<Tensor<3>>, activation: Pointwise) -> Tensor<3> {
    let channels = unit.dims()[1];
    let y = unit * affine.gain.reshape([1, channels, 1]) + affine.bias.reshape([1, channels, 1]);
    let y = match added {
        Some(added) => y + added,
        None => y,
    };
    pointwise::reference(y, activation)
}

fn check(x: &Tensor<3>, affine: &Affine, added: Option<&Tensor<3>>) {
    let [batch, channels, length] = x.dims();
    assert!(batch > 0 && channels > 0 && length > 0, "batch_norm_act: a tensor without values");
    assert_eq!(affine.gain.dims(), [channels], "batch_norm_act: shape of the gain");
    assert_eq!(affine.bias.dims(), [channels], "batch_norm_act: shape of the bias");
    if let Some(added) = added {
        assert_eq!(added.dims(), x.dims(), "batch_norm_act: shape of the added signal");
    }
}

fn runs_here(x: &Tensor<3>, affine: &Affine, added: Option<&Tensor<3>>) -> bool {
    let mut types = vec![x.dtype(), affine.gain.dtype(), affine.bias.dtype()];
    types.extend(added.map(Tensor::dtype));
    fused::runs_here(&x.device(), &types)
}

fn run(op: BatchNorm, x: Tensor<3>, affine: Affine, added: Option<Tensor<3>>) -> Tensor<3> {
    let mut inputs = vec![x.into_dispatch(), affine.gain.into_dispatch(), affine.bias.into_dispatch()];
    inputs.extend(added.map(Tensor::into_dispatch));
    Tensor::from_dispatch(fused::run(op, inputs))
}

#[derive(Debug)]
struct BatchNorm {
    activation: Pointwise,
    eps: f64,
    given: Option<ChannelStatistics>,
    found: Arc<OnceLock<ChannelStatistics>>,
}

impl FusedOp for BatchNorm {
    fn forward(&self, inputs: Vec<FlexTensor>, _: bool) -> (FlexTensor, Vec<FlexTensor>) {
        let out = match inputs[0].dtype() {
            DType::F64 => for_each_activation!(self.activation, forward::<f64>(self, &inputs)),
            _ => for_each_activation!(self.activation, forward::<f32>(self, &inputs)),
        };
        (out, inputs)
    }

    fn gradients(&self, grad: FlexTensor, kept: Vec<FlexTensor>, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        match grad.dtype() {
            DType::F64 => for_each_activation!(self.activation, gradients::<f64>(self, grad, &kept, wanted)),
            _ => for_each_activation!(self.activation, gradients::<f32>(self, grad, &kept, wanted)),
        }
    }
}

/// A channel of all records.
#[derive(Clone, Copy)]
struct Rows<'a, T> {
    x: &'a [T],
    added: Option<&'a [T]>,
    channels: usize,
    channel: usize,
    length: usize,
    gain: T,
    bias: T,
    eps: f64,
}

impl<'a, T: Real> Rows<'a, T> {
    fn new(inputs: &'a [FlexTensor], channel: usize, eps: f64) -> Rows<'a, T> {
        let shape = inputs[0].layout().shape();
        Rows {
            x: values(&inputs[0]),
            added: inputs.get(3).map(values),
            channels: shape[1],
            channel,
            length: shape[2],
            gain: values::<T>(&inputs[1])[channel],
            bias: values::<T>(&inputs[2])[channel],
            eps,
        }
    }

    /// Row and range of each record.
    fn records(self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        let records = self.x.len() / (self.channels * self.length);
        (0..records).map(move |record| {
            let row = record * self.channels + self.channel;
            (row, row * self.length..(row + 1) * self.length)
        })
    }
}

fn forward<T: Real, const A: u8>(op: &BatchNorm, inputs: &[FlexTensor]) -> FlexTensor {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let mut out = memory::fresh(batch * channels * length);
    let statistics: Vec<(f64, f64)> = {
        let out = Columns::new(&mut out, length);
        let given = |channel: usize| op.given.as_ref().map(|given| (given.mean[channel], given.variance[channel]));
        (0..channels)
            .into_par_iter()
            .map(|channel| {
                let rows = Rows::<T>::new(inputs, channel, op.eps);
                T::run(Forward::<T, A> { rows, given: given(channel), out: &out })
            })
            .collect()
    };
    // SAFETY: each channel writes all of its rows.
    let out = unsafe { memory::written(out) };
    // Set once: each call of the public function has an operation of its own.
    let _ = op.found.set(ChannelStatistics {
        mean: statistics.iter().map(|statistics| statistics.0).collect(),
        variance: statistics.iter().map(|statistics| statistics.1).collect(),
    });
    tensor(out, &[batch, channels, length])
}

/// Gradients of all inputs, in their order. That before the activation is written over `grad`: it is the added
/// signal's; where that wants none, the signal's own takes its place.
fn gradients<T: Real, const A: u8>(
    op: &BatchNorm,
    mut grad: FlexTensor,
    inputs: &[FlexTensor],
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let shape = inputs[0].layout().shape();
    let [batch, channels, length] = [shape[0], shape[1], shape[2]];
    let mut out = wanted.get(3).is_some_and(|wanted| *wanted).then(|| memory::fresh(batch * channels * length));
    let sums: Vec<(T, T)> = {
        let inner = Columns::new(values_mut::<T>(&mut grad), length);
        let out = out.as_mut().map(|out| Columns::new(out, length));
        let statistics = op.given.as_ref().or(op.found.get());
        (0..channels)
            .into_par_iter()
            .map(|channel| {
                let rows = Rows::<T>::new(inputs, channel, op.eps);
                // Given by the caller, or set by the forward pass, without which there is no gradient.
                let statistics = statistics.expect("statistics of the forward pass");
                T::run(Gradient::<T, A> {
                    rows,
                    statistics: (statistics.mean[channel], statistics.variance[channel]),
                    is_fixed: op.given.is_some(),
                    inner: &inner,
                    out: out.as_ref(),
                })
            })
            .collect()
    };
    // SAFETY: each channel writes all of its rows.
    let out = out.map(|out| tensor(unsafe { memory::written(out) }, &[batch, channels, length]));
    let (for_signal, for_added) = match out {
        Some(out) => (out, Some(grad)),
        None => (grad, None),
    };
    vec![
        Some(for_signal),
        Some(tensor(sums.iter().map(|sums| sums.0).collect::<Vec<T>>(), &[channels])),
        Some(tensor(sums.iter().map(|sums| sums.1).collect::<Vec<T>>(), &[channels])),
        for_added,
    ]
}

struct Forward<'a, T, const A: u8> {
    rows: Rows<'a, T>,
    given: Option<(f64, f64)>,
    out: &'a Columns<'a, MaybeUninit<T>>,
}

impl<T: Real, const A: u8> Job<T> for Forward<'_, T, A> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run<L: Lanes<T>>(self) -> (f64, f64) {
        let rows = self.rows;
        let count = (rows.x.len() / rows.channels) as f64;
        let (mean, variance) = match self.given {
            Some(given) => given,
            None => {
                let mut sum = 0.0;
                for (_, range) in rows.records() {
                    let mut lanes = L::splat(T::ZERO);
                    for x in rows.x[range].chunks(L::WIDTH) {
                        lanes = lanes.add(L::load_or(x, T::ZERO));
                    }
                    sum += lanes.sum().into_f64();
                }
                let mean = T::from_f64(sum / count);
                let mut squares = 0.0;
                for (_, range) in rows.records() {
                    let mut lanes = L::splat(T::ZERO);
                    for x in rows.x[range].chunks(L::WIDTH) {
                        let centered = L::load_or(x, mean).sub(L::splat(mean));
                        lanes = centered.mul_add(centered, lanes);
                    }
                    squares += lanes.sum().into_f64();
                }
                (mean.into_f64(), squares / count)
            }
        };
        let factor = T::from_f64(rows.gain.into_f64() / (variance + rows.eps).sqrt());
        let (factor, bias, means) = (L::splat(factor), L::splat(rows.bias), L::splat(T::from_f64(mean)));
        for (row, range) in rows.records() {
            // SAFETY: the rows of a channel belong to this piece of work alone.
            let out = unsafe { self.out.piece(row, 0, rows.length) };
            let added = rows.added.map(|added| &added[range.clone()]);
            let x = &rows.x[range];
            for at in (0..rows.length).step_by(L::WIDTH) {
                let mut h = L::load_or(&x[at..], T::ZERO).sub(means).mul_add(factor, bias);
                if let Some(added) = added {
                    h = h.add(L::load_or(&added[at..], T::ZERO));
                }
                activate::<T, L, A>(h).store_new(&mut out[at..]);
            }
        }
        (mean, variance)
    }
}

struct Gradient<'a, T, const A: u8> {
    rows: Rows<'a, T>,
    statistics: (f64, f64),
    is_fixed: bool,
    /// Holds the gradient for the result and gets the one before the activation.
    inner: &'a Columns<'a, T>,
    /// For the gradient of the signal, if not to be written over `inner`.
    out: Option<&'a Columns<'a, MaybeUninit<T>>>,
}

impl<T: Real, const A: u8> Job<T> for Gradient<'_, T, A> {
    type Output = (T, T);

    /// As for layer normalization, with means over records and samples; fixed statistics do not
    /// depend on the signal and leave `inverse * gain * g`. Returns the gradients of gain and bias.
    #[inline(always)]
    fn run<L: Lanes<T>>(self) -> (T, T) {
        let rows = self.rows;
        let count = (rows.x.len() / rows.channels) as f64;
        let (mean, variance) = self.statistics;
        let inverse = 1.0 / (variance + rows.eps).sqrt();
        let gain = rows.gain.into_f64();
        let (means, bias) = (L::splat(T::from_f64(mean)), L::splat(rows.bias));
        let factor = L::splat(T::from_f64(gain * inverse));
        let (mut sum, mut moment) = (0.0, 0.0);
        for (row, range) in rows.records() {
            // SAFETY: the rows of a channel belong to this piece of work alone.
            let inner = unsafe { self.inner.piece(row, 0, rows.length) };
            let added = rows.added.map(|added| &added[range.clone()]);
            let x = &rows.x[range];
            let (mut plain, mut weighted) = (L::splat(T::ZERO), L::splat(T::ZERO));
            for at in (0..rows.length).step_by(L::WIDTH) {
                let centered = L::load_or(&x[at..], T::ZERO).sub(means);
                let mut h = centered.mul_add(factor, bias);
                if let Some(added) = added {
                    h = h.add(L::load_or(&added[at..], T::ZERO));
                }
                let g = times_slope::<T, L, A>(L::load_or(&inner[at..], T::ZERO), h);
                plain = plain.add(g);
                weighted = g.mul_add(centered, weighted);
                g.store(&mut inner[at..]);
            }
            sum += plain.sum().into_f64();
            moment += weighted.sum().into_f64() * inverse;
        }
        let (level, slope) = match self.is_fixed {
            true => (0.0, 0.0),
            false => (-gain * inverse * sum / count, -gain * inverse * inverse * moment / count),
        };
        let (level, slope) = (L::splat(T::from_f64(level)), L::splat(T::from_f64(slope)));
        for (row, range) in rows.records() {
            // SAFETY: as above; both rows are pieces of different slices.
            let inner = unsafe { self.inner.piece(row, 0, rows.length) };
            let mut out = self.out.map(|out| unsafe { out.piece(row, 0, rows.length) });
            let x = &rows.x[range];
            for at in (0..rows.length).step_by(L::WIDTH) {
                let centered = L::load_or(&x[at..], T::ZERO).sub(means);
                let g = L::load_or(&inner[at..], T::ZERO).mul_add(factor, centered.mul_add(slope, level));
                match &mut out {
                    Some(out) => g.store_new(&mut out[at..]),
                    None => g.store(&mut inner[at..]),
                }
            }
        }
        (T::from_f64(moment), T::from_f64(sum))
    }
}
