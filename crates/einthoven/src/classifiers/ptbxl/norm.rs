//! What the normalizations of a network do in one pass: follow the batch, or use what was followed.
//!
//! Trained parameters and running statistics are separate maps, see [`running`].

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::nn::kernel::{Affine, Pointwise, batch_norm_act, batch_norm_act_fixed};
use crate::nn::running::{self, BatchStatistics, EPS, MOMENTUM};
use crate::nn::weights::{View, Weights};
use crate::seed::Stream;

/// How a network is run.
#[derive(Debug)]
pub enum Pass<'a> {
    /// With these running statistics and all features.
    Evaluation(&'a Weights),
    /// With the statistics of the batch.
    Training {
        /// What the normalizations found so far.
        statistics: Vec<BatchStatistics>,
        /// Source of the features that dropout hides; none are hidden without it.
        dropout: Option<&'a mut Stream>,
    },
}

impl<'a> Pass<'a> {
    /// The beginning of a training pass.
    pub fn training(dropout: Option<&'a mut Stream>) -> Pass<'a> {
        Pass::Training { statistics: Vec::new(), dropout }
    }

    /// What the normalizations found in a training pass; nothing after an evaluation.
    pub fn into_statistics(self) -> Vec<BatchStatistics> {
        match self {
            Pass::Evaluation(_) => Vec::new(),
            Pass::Training { statistics, .. } => statistics,
        }
    }

    /// Normalization `name`, then `added` where it is given, then the activation.
    pub(super) fn norm(
        &mut self,
        p: &View,
        name: &str,
        x: Tensor<3>,
        added: Option<Tensor<3>>,
        activation: Pointwise,
    ) -> Result<Tensor<3>> {
        let dims = x.dims();
        let affine = Affine { gain: p.get(&format!("{name}.weight")), bias: p.get(&format!("{name}.bias")) };
        match self {
            Pass::Evaluation(buffers) => {
                let running = running::read(buffers, name, dims[1])?;
                Ok(batch_norm_act_fixed(x, affine, &running, added, activation, EPS))
            }
            Pass::Training { statistics, .. } => {
                let count = dims[0] * dims[2];
                if count < 2 {
                    return Err(Error::Shape {
                        what: format!("input of normalization {name} in training (one value has no spread)"),
                        expected: vec![2, dims[1], dims[2]],
                        actual: dims.to_vec(),
                    });
                }
                let (out, found) = batch_norm_act(x, affine, added, activation, EPS);
                statistics.push(BatchStatistics { name: name.into(), found, count, momentum: MOMENTUM });
                Ok(out)
            }
        }
    }

    /// [`Pass::norm`] of the logits, whose running statistics follow more slowly.
    pub(super) fn final_norm(&mut self, p: &View, name: &str, x: Tensor<3>, momentum: f64) -> Result<Tensor<3>> {
        let out = self.norm(p, name, x, None, Pointwise::None)?;
        if let Pass::Training { statistics, .. } = self
            && let Some(found) = statistics.last_mut()
        {
            found.momentum = momentum;
        }
        Ok(out)
    }

    /// Hides a share of the features and makes the others larger by as much, in training with dropout.
    pub(super) fn hide(&mut self, x: Tensor<2>, share: f64) -> Tensor<2> {
        let Pass::Training { dropout: Some(stream), .. } = self else { return x };
        let [batch, width] = x.dims();
        let keep = 1.0 - share;
        let mask: Vec<f32> =
            (0..batch * width).map(|_| if stream.uniform() < keep { (1.0 / keep) as f32 } else { 0.0 }).collect();
        let mask = Tensor::<1>::from_floats(mask.as_slice(), &x.device()).reshape([batch, width]);
        x * mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::weights::{Weight, host};
    use crate::seed::Seed;
    use burn::tensor::Device;

    fn weights(entries: &[(&str, &[usize], &[f32])]) -> Weights {
        let entry = |(name, shape, values): &(&str, &[usize], &[f32])| {
            (name.to_string(), Weight { shape: shape.to_vec(), values: values.to_vec() })
        };
        Weights { entries: entries.iter().map(entry).collect() }
    }

    #[test]
    fn running_statistics_move_by_a_tenth_and_only_when_told() {
        let device = Device::flex();
        let params = weights(&[("n.weight", &[1], &[1.0]), ("n.bias", &[1], &[0.0])]).on(&device);
        let mut buffers = weights(&[
            ("n.running_mean", &[1], &[1.0]),
            ("n.running_var", &[1], &[1.0]),
            ("n.num_batches_tracked", &[], &[4.0]),
        ]);
        let x = || Tensor::<1>::from_floats([1.0, 3.0, 5.0].as_slice(), &device).reshape([3, 1, 1]);
        let mut pass = Pass::training(None);
        pass.norm(&params.root(), "n", x(), None, Pointwise::None).unwrap();
        let statistics = pass.into_statistics();
        assert_eq!(buffers.entries["n.running_mean"].values, [1.0]);
        running::follow(&mut buffers, &statistics);
        // The mean is 3; the unbiased variance 4, the biased one 8/3.
        let close = |name: &str, expected: f32| {
            let found = buffers.entries[name].values[0];
            assert!((found - expected).abs() < 1e-6, "{name}: {found}, expected {expected}");
        };
        close("n.running_mean", 1.2);
        close("n.running_var", 1.3);
        close("n.num_batches_tracked", 5.0);
    }

    #[test]
    fn what_cannot_be_normalized_is_refused() {
        let device = Device::flex();
        let params = weights(&[("n.weight", &[1], &[1.0]), ("n.bias", &[1], &[0.0])]).on(&device);
        let one = || Tensor::<3>::ones([1, 1, 1], &device);
        let error = Pass::training(None).norm(&params.root(), "n", one(), None, Pointwise::None).unwrap_err();
        assert!(error.to_string().contains("one value has no spread"), "{error}");
        let empty = Weights::default();
        let error = Pass::Evaluation(&empty).norm(&params.root(), "n", one(), None, Pointwise::None).unwrap_err();
        assert_eq!(error.to_string(), "n.running_mean: is missing");
    }

    #[test]
    fn dropout_hides_its_share_and_keeps_the_mean() {
        let device = Device::flex();
        let mut stream = Seed::new(1).stream();
        let x = Tensor::<2>::ones([100, 100], &device);
        let kept = host(Pass::training(Some(&mut stream)).hide(x, 0.25));
        let hidden = kept.iter().filter(|value| **value == 0.0).count() as f64 / kept.len() as f64;
        let mean = kept.iter().map(|&value| f64::from(value)).sum::<f64>() / kept.len() as f64;
        // Five standard errors of a share of 0.25 among 10 000.
        assert!((hidden - 0.25).abs() < 0.022, "{hidden}");
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}
