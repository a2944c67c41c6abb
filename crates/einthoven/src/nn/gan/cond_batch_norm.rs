//! Batch normalization whose gain and bias follow from the labels.
//!
//! The running statistics are no parameters: they are kept under their original names beside the
//! weights, followed during training and read afterwards.

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::nn::kernel::{Affine, ChannelStatistics, Pointwise, batch_norm_act, batch_norm_act_fixed, linear};
use crate::nn::layer::declare_constant;
use crate::nn::weights::{Init, ParamSpec, View, Weights};

/// Added to the variance.
const EPS: f64 = 1e-5;
/// Share of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;
/// Running statistics by their names, each with its start.
const RUNNING: [(&str, Init); 2] = [("running_mean", Init::Zeros), ("running_var", Init::Ones)];

/// What one normalization met in a training batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchMoments {
    /// Name of the normalization.
    pub name: String,
    /// Mean and biased variance per channel.
    pub statistics: ChannelStatistics,
    /// Values that each of them is taken over.
    pub count: usize,
}

/// Declares the embedding of the labels: a gain and then a bias per channel in each row.
pub(super) fn declare(out: &mut Vec<ParamSpec>, name: &str, labels: usize, channels: usize) {
    declare_constant(out, &format!("{name}.embed.weight"), &[labels, 2 * channels], Init::Normal(0.02));
}

/// Declares the running statistics and the number of batches behind them.
pub(super) fn declare_running(out: &mut Vec<ParamSpec>, name: &str, channels: usize) {
    RUNNING.iter().for_each(|(array, init)| declare_constant(out, &format!("{name}.bn.{array}"), &[channels], *init));
    declare_constant(out, &format!("{name}.bn.num_batches_tracked"), &[], Init::Zeros);
}

/// Sets the embedding to its start: gains around one as drawn, biases of zero.
pub(super) fn start(weights: &mut Weights, name: &str) {
    if let Some(embedding) = weights.entries.get_mut(&format!("{name}.embed.weight")) {
        for row in embedding.values.chunks_mut(embedding.shape[1]) {
            let (gains, biases) = row.split_at_mut(embedding.shape[1] / 2);
            gains.iter_mut().for_each(|gain| *gain += 1.0);
            biases.fill(0.0);
        }
    }
}

/// Mean 0 and variance 1 per channel by the batch's own statistics, which are handed on.
pub(super) fn normalize_by_batch(name: &str, x: Tensor<3>) -> (Tensor<3>, BatchMoments) {
    let [batch, _, length] = x.dims();
    let plain = plain(&x);
    let (x, statistics) = batch_norm_act(x, plain, None, Pointwise::None, EPS);
    (x, BatchMoments { name: name.to_string(), statistics, count: batch * length })
}

/// Mean 0 and variance 1 per channel by the running statistics.
///
/// # Errors
/// [`Error::Data`] for statistics that are missing or of another number.
pub(super) fn normalize_by_running(name: &str, x: Tensor<3>, running: &Weights) -> Result<Tensor<3>> {
    let channels = x.dims()[1];
    let [mean, variance] = RUNNING.map(|(array, _)| {
        let full = format!("{name}.bn.{array}");
        let found = running.entries.get(&full).ok_or_else(|| Error::data(&full, "is missing"))?;
        if found.values.len() != channels {
            return Err(Error::data(full, format!("has {} values, expected {channels}", found.values.len())));
        }
        Ok(found.values.iter().map(|&value| f64::from(value)).collect())
    });
    let statistics = ChannelStatistics { mean: mean?, variance: variance? };
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
pub(super) fn modulate(p: &View, x: Tensor<3>, labels: Tensor<2>) -> Tensor<3> {
    let channels = x.dims()[1];
    let embedding: Tensor<2> = p.at("embed").get("weight");
    let none = Tensor::zeros([2 * channels], &embedding.device());
    let both = linear(labels, embedding.transpose(), none).unsqueeze_dim::<3>(2);
    x * both.clone().narrow(1, 0, channels) + both.narrow(1, channels, channels)
}

/// Moves running statistics towards those of a batch, whose variance is made unbiased first.
pub fn follow(running: &mut Weights, batch: &[BatchMoments]) {
    for BatchMoments { name, statistics, count } in batch {
        let unbiased = *count as f64 / (*count as f64 - 1.0).max(1.0);
        for ((array, _), (values, factor)) in
            RUNNING.iter().zip([(&statistics.mean, 1.0), (&statistics.variance, unbiased)])
        {
            if let Some(stored) = running.entries.get_mut(&format!("{name}.bn.{array}")) {
                for (stored, value) in stored.values.iter_mut().zip(values) {
                    *stored = ((1.0 - MOMENTUM) * f64::from(*stored) + MOMENTUM * factor * value) as f32;
                }
            }
        }
        if let Some(batches) = running.entries.get_mut(&format!("{name}.bn.num_batches_tracked")) {
            batches.values.iter_mut().for_each(|batches| *batches += 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn running_statistics_move_a_tenth_of_the_way() {
        let mut specs = Vec::new();
        declare_running(&mut specs, "norm", 2);
        let mut running = Weights::initialize(&specs, Seed::new(1));
        let statistics = ChannelStatistics { mean: vec![1.0, -2.0], variance: vec![3.0, 6.0] };
        follow(&mut running, &[BatchMoments { name: "norm".into(), statistics, count: 3 }]);
        let of = |name: &str| running.entries[name].values.clone();
        assert_eq!(of("norm.bn.running_mean"), [0.1, -0.2]);
        // The unbiased variances are 4.5 and 9.
        assert_eq!(of("norm.bn.running_var"), [1.35, 1.8]);
        assert_eq!(of("norm.bn.num_batches_tracked"), [1.0]);
    }

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
