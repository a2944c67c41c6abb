//! Batch normalization whose gain and bias follow from the labels.
//!
//! The running statistics are kept under their original names beside the weights, see [`running`].

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::nn::kernel::{Affine, Pointwise, batch_norm_act, batch_norm_act_fixed, linear};
use crate::nn::layer::declare_constant;
use crate::nn::running::{self, BatchStatistics, EPS, MOMENTUM};
use crate::nn::weights::{Init, ParamSpec, View, Weights};
use crate::seed::Seed;

/// One layer's normalization: the values by its name, made mean 0 and variance 1.
pub(super) type Normalize<'a> = dyn FnMut(&str, Tensor<3>) -> Result<Tensor<3>> + 'a;

/// Name of the normalization after a layer: `bn_conv1` for `conv_1`.
pub(in crate::nn) fn norm_name(layer: &str) -> String {
    format!("bn_{}", layer.replace('_', ""))
}

/// Refuses labels that are not `[batch, label]`.
pub(super) fn check_labels(labels: &Tensor<2>, batch: usize, n_labels: usize) -> Result<()> {
    let (expected, actual) = ([batch, n_labels], labels.dims());
    if actual == expected {
        return Ok(());
    }
    Err(Error::Shape { what: "labels".into(), expected: expected.to_vec(), actual: actual.to_vec() })
}

/// A layer's values, normalized and steered by the labels; both forms are handed to `trace`.
pub(super) fn steer(
    p: &View,
    layer: &str,
    values: Tensor<3>,
    labels: &Tensor<2>,
    normalize: &mut Normalize,
    trace: &mut dyn FnMut(&str, &Tensor<3>),
) -> Result<Tensor<3>> {
    trace(layer, &values);
    let name = norm_name(layer);
    let values = modulate(&p.at(&name), normalize(&name, values)?, labels.clone());
    trace(&name, &values);
    Ok(values)
}

/// Name of the normalization without labels, which has the running statistics.
pub(in crate::nn) fn running_name(name: &str) -> String {
    format!("{name}.bn")
}

/// Declares the embedding of the labels: a gain and then a bias per channel in each row.
pub(super) fn declare(out: &mut Vec<ParamSpec>, name: &str, labels: usize, channels: usize) {
    declare_constant(out, &format!("{name}.embed.weight"), &[labels, 2 * channels], Init::Normal(0.02));
}

/// Start values of every parameter of a network with these normalizations.
pub(super) fn initialized(params: &[ParamSpec], norms: impl Iterator<Item = (String, usize)>, seed: Seed) -> Weights {
    let mut weights = Weights::initialize(params, seed);
    norms.for_each(|(name, _)| start(&mut weights, &name));
    weights
}

/// Name, shape and start of the running statistics of normalizations, by name and number of channels.
pub(super) fn running_of(norms: impl Iterator<Item = (String, usize)>) -> Vec<ParamSpec> {
    let mut out = Vec::new();
    norms.for_each(|(name, channels)| running::declare(&mut out, &running_name(&name), channels));
    out
}

/// What `run` gives when it normalizes by the statistics of the batch itself, which come with the result.
///
/// # Errors
/// Those of `run`.
pub(super) fn by_batch(
    run: impl FnOnce(&mut Normalize) -> Result<Tensor<3>>,
) -> Result<(Tensor<3>, Vec<BatchStatistics>)> {
    let mut batch = Vec::new();
    let output = run(&mut |name, x| {
        let (x, moments) = normalize_by_batch(name, x);
        batch.push(moments);
        Ok(x)
    })?;
    Ok((output, batch))
}

/// Sets the embedding to its start: gains around one as drawn, biases of zero.
fn start(weights: &mut Weights, name: &str) {
    if let Some(embedding) = weights.entries.get_mut(&format!("{name}.embed.weight")) {
        for row in embedding.values.chunks_mut(embedding.shape[1]) {
            let (gains, biases) = row.split_at_mut(embedding.shape[1] / 2);
            gains.iter_mut().for_each(|gain| *gain += 1.0);
            biases.fill(0.0);
        }
    }
}

/// Mean 0 and variance 1 per channel by the batch's own statistics, which are handed on.
fn normalize_by_batch(name: &str, x: Tensor<3>) -> (Tensor<3>, BatchStatistics) {
    let [batch, _, length] = x.dims();
    let plain = plain(&x);
    let (x, found) = batch_norm_act(x, plain, None, Pointwise::None, EPS);
    (x, BatchStatistics { name: running_name(name), found, count: batch * length, momentum: MOMENTUM })
}

/// Mean 0 and variance 1 per channel by the running statistics.
///
/// # Errors
/// As [`running::read`].
pub(super) fn normalize_by_running(name: &str, x: Tensor<3>, buffers: &Weights) -> Result<Tensor<3>> {
    let statistics = running::read(buffers, &running_name(name), x.dims()[1])?;
    let plain = plain(&x);
    Ok(batch_norm_act_fixed(x, plain, &statistics, None, Pointwise::None, EPS))
}

/// Gain 1 and bias 0: those of the labels come after.
fn plain(x: &Tensor<3>) -> Affine {
    let (device, channels) = (x.device(), x.dims()[1]);
    Affine { gain: Tensor::ones([channels], &device), bias: Tensor::zeros([channels], &device) }
}

/// Gain and bias of the labels on a normalized signal.
///
/// # Shape
/// `x` and the result are `[batch, channel, time]`; `labels` is `[batch, label]` and says how much each label counts.
/// # Reference
/// de Vries et al. 2017, "Modulating early visual processing by language"; `models/cond_batchnorm.py` among the
/// baselines of AI4HealthUOL/SSSD-ECG.
fn modulate(p: &View, x: Tensor<3>, labels: Tensor<2>) -> Tensor<3> {
    let channels = x.dims()[1];
    let embedding: Tensor<2> = p.at("embed").get("weight");
    let none = Tensor::zeros([2 * channels], &embedding.device());
    let both = linear(labels, embedding.transpose(), none).unsqueeze_dim::<3>(2);
    x * both.clone().narrow(1, 0, channels) + both.narrow(1, channels, channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_start_at_gain_one_and_bias_zero() {
        let mut specs = Vec::new();
        declare(&mut specs, "norm", 40, 3);
        let mut weights = Weights::initialize(&specs, Seed::new(1));
        start(&mut weights, "norm");
        for row in weights.entries["norm.embed.weight"].values.chunks(6) {
            assert!(row[..3].iter().all(|gain| (gain - 1.0).abs() < 0.12), "{row:?}");
            assert_eq!(row[3..], [0.0; 3]);
        }
    }
}
