//! The 1-D U-Net that marks P, QRS and T in one lead, point by point.
//!
//! It is made of convolutions, fixed normalizations and maxima of neighbors and of nothing else, so what it says of a
//! point depends on the points within [`DelNetConfig::reach`] alone: a long lead may be cut into windows that overlap by
//! as much, and they agree wherever they meet. A strided stem merges neighboring points and the head takes them apart
//! again, which halves the cost of the widest levels.
//!
//! # Reference
//! Jimenez-Perez, Alcaine and Camara 2021, "Delineation of the electrocardiogram with a mixed-quality-annotations dataset
//! using convolutional neural networks", Sci Rep 11:863 (ECG-DelNet), after Ronneberger et al. 2015.
//! # Differs from the paper
//! One lead; a strided stem; widths grow by about the square root of 2 a level, so that each level costs the same.

mod learner;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};

pub use learner::{MaskBatch, MaskLearner};

use super::kernel::{
    Affine, ChannelStatistics, Conv1dOptions, Pointwise, batch_norm_act, batch_norm_act_fixed, conv1d, conv1d_joined,
    max_pool, upsample_nearest,
};
use super::layer::{declare_constant, declare_conv};
use super::running::{self, BatchStatistics, EPS, MOMENTUM};
use super::weights::{Init, ParamSpec, Params, View, Weights, host};
use crate::config::check;
use crate::error::Result;
use crate::seed::Seed;

/// Masks of the output, in the order of [`crate::record::Wave::ALL`].
pub const N_MASKS: usize = 3;

/// Shape of a [`DelNet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelNetConfig {
    /// Channels of each level; each is half as long as the one above.
    pub widths: Vec<usize>,
    /// Length of every convolution but the last, odd.
    pub kernel: usize,
    /// Points that the stem merges into one.
    pub stem_stride: usize,
}

impl DelNetConfig {
    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let widths = format!("{:?}", self.widths);
        let is_right =
            (1..=8).contains(&self.widths.len()) && self.widths.iter().all(|width| (1..=512).contains(width));
        check("network.widths", is_right, widths, "1 to 8 levels of 1 to 512 channels")?;
        let kernel = self.kernel;
        check("network.kernel", kernel % 2 == 1 && kernel <= 31, kernel, "an odd length up to 31")?;
        let stride = self.stem_stride;
        check("network.stem_stride", (1..=4).contains(&stride), stride, "1 to 4")
    }

    /// A signal must have a multiple of this many points.
    pub fn length_multiple(&self) -> usize {
        self.stem_stride << (self.widths.len() - 1)
    }

    /// Points on each side that the masks of a point depend on, rounded up to a whole [`Self::length_multiple`].
    pub fn reach(&self) -> usize {
        let half = self.kernel / 2;
        let last = self.widths.len() - 1;
        // Two convolutions on the way down and two on the way up; merging and repeating move by less than a point each.
        let level = |level: usize| ((if level == last { 2 } else { 4 }) * half + 2) * (self.stem_stride << level);
        let reach = half + self.stem_stride + (0..=last).map(level).sum::<usize>();
        reach.next_multiple_of(self.length_multiple())
    }
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct DelNet {
    config: DelNetConfig,
}

/// What the normalizations do in a pass.
enum Pass<'a> {
    /// Use what was followed in training.
    Use(&'a BTreeMap<String, ChannelStatistics>),
    /// Use the batch, and write down what it was.
    Learn(Vec<BatchStatistics>),
}

impl DelNet {
    /// A network of a shape.
    ///
    /// # Errors
    /// As [`DelNetConfig::validate`].
    pub fn new(config: DelNetConfig) -> Result<DelNet> {
        config.validate()?;
        Ok(DelNet { config })
    }

    /// Its shape.
    pub fn config(&self) -> &DelNetConfig {
        &self.config
    }

    /// Name, inputs, outputs of every normalized convolution in the order of the pass.
    fn convolutions(&self) -> Vec<(String, usize, usize)> {
        let widths = &self.config.widths;
        let mut out = vec![("stem".to_string(), 1, widths[0])];
        for (level, &width) in widths.iter().enumerate() {
            let above = widths[level.saturating_sub(1)];
            out.push((format!("down{level}.0"), above, width));
            out.push((format!("down{level}.1"), width, width));
        }
        for level in (0..widths.len() - 1).rev() {
            out.push((format!("up{level}.0"), widths[level + 1] + widths[level], widths[level]));
            out.push((format!("up{level}.1"), widths[level], widths[level]));
        }
        out
    }

    /// Name, shape and start of every parameter that training moves.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut out = Vec::new();
        for (name, n_in, n_out) in self.convolutions() {
            declare_conv(&mut out, &format!("{name}.conv"), n_in, n_out, self.config.kernel, false);
            declare_constant(&mut out, &format!("{name}.norm.weight"), &[n_out], Init::Ones);
            declare_constant(&mut out, &format!("{name}.norm.bias"), &[n_out], Init::Zeros);
        }
        declare_conv(&mut out, "head", self.config.widths[0], N_MASKS * self.config.stem_stride, 1, true);
        out
    }

    /// Running statistics of the normalizations as they start.
    pub fn buffers(&self) -> Weights {
        let mut specs = Vec::new();
        self.convolutions().iter().for_each(|(name, _, n_out)| running::declare(&mut specs, &norm(name), *n_out));
        Weights::initialize(&specs, Seed::new(0))
    }

    /// Convolution, normalization and activation.
    fn block(&self, p: &View, name: &str, x: Tensor<3>, skip: Option<Tensor<3>>, pass: &mut Pass) -> Tensor<3> {
        let weight: Tensor<3> = p.get(&format!("{name}.conv.weight"));
        let stride = if name == "stem" { self.config.stem_stride } else { 1 };
        let options = Conv1dOptions { stride, ..Conv1dOptions::same(self.config.kernel, 1) };
        let x = match skip {
            Some(skip) => {
                // The normalization takes any bias away again.
                let no_bias = Tensor::zeros([weight.dims()[0]], &x.device());
                conv1d_joined(x, skip, weight, no_bias, options)
            }
            None => conv1d(x, weight, None, options),
        };
        let p = p.at(&norm(name));
        let affine = Affine { gain: p.get("weight"), bias: p.get("bias") };
        let [batch, _, length] = x.dims();
        match pass {
            Pass::Use(statistics) => batch_norm_act_fixed(x, affine, &statistics[name], None, Pointwise::Relu, EPS),
            Pass::Learn(statistics) => {
                let (x, found) = batch_norm_act(x, affine, None, Pointwise::Relu, EPS);
                let count = batch * length;
                statistics.push(BatchStatistics { name: norm(name), found, count, momentum: MOMENTUM });
                x
            }
        }
    }

    /// Logits `[batch, mask, time]` of signals `[batch, 1, time]`.
    fn logits(&self, p: &View, x: Tensor<3>, pass: &mut Pass) -> Tensor<3> {
        let last = self.config.widths.len() - 1;
        let mut skips = Vec::with_capacity(last);
        let mut x = self.block(p, "stem", x, None, pass);
        for level in 0..=last {
            x = self.block(p, &format!("down{level}.0"), x, None, pass);
            x = self.block(p, &format!("down{level}.1"), x, None, pass);
            if level < last {
                skips.push(x.clone());
                x = max_pool(x, 2);
            }
        }
        for (level, skip) in skips.into_iter().enumerate().rev() {
            x = self.block(p, &format!("up{level}.0"), upsample_nearest(x, 2), Some(skip), pass);
            x = self.block(p, &format!("up{level}.1"), x, None, pass);
        }
        let head = p.at("head");
        let x = conv1d(x, head.get("weight"), Some(head.get("bias")), Conv1dOptions::default());
        let [batch, _, length] = x.dims();
        let stride = self.config.stem_stride;
        x.reshape([batch, N_MASKS, stride, length]).swap_dims(2, 3).reshape([batch, N_MASKS, length * stride])
    }

    /// Logits of a training batch, and what its normalizations found.
    fn train_logits(&self, params: &Params, x: Tensor<3>) -> (Tensor<3>, Vec<BatchStatistics>) {
        let mut pass = Pass::Learn(Vec::new());
        let logits = self.logits(&params.root(), x, &mut pass);
        match pass {
            Pass::Learn(statistics) => (logits, statistics),
            Pass::Use(_) => (logits, Vec::new()),
        }
    }
}

/// Name of the normalization behind a convolution.
fn norm(name: &str) -> String {
    format!("{name}.norm")
}

/// A trained network on a device.
#[derive(Debug, Clone)]
pub struct TrainedDelNet {
    network: DelNet,
    params: Params,
    statistics: BTreeMap<String, ChannelStatistics>,
    device: Device,
}

impl TrainedDelNet {
    /// Binds weights and running statistics, in one map as a model file has them.
    ///
    /// # Errors
    /// [`crate::Error::Data`] for names or shapes that are not the network's.
    pub fn new(network: DelNet, mut weights: Weights, device: &Device, what: &str) -> Result<TrainedDelNet> {
        let mut statistics = BTreeMap::new();
        for (name, _, n_out) in network.convolutions() {
            statistics.insert(name.clone(), running::read(&weights, &norm(&name), n_out)?);
        }
        weights.entries.retain(|name, _| !name.contains(".running_"));
        weights.check(&network.params(), what)?;
        Ok(TrainedDelNet { params: weights.on(device), network, statistics, device: device.clone() })
    }

    /// Its shape.
    pub fn config(&self) -> &DelNetConfig {
        &self.network.config
    }

    /// How sure the network is at each point that it lies in a wave, 0 to 1.
    ///
    /// Each signal has the same bits whatever the others are.
    ///
    /// # Shape
    /// `signals` is `[n, time]`, the result `[n, mask, time]`; the time must be a multiple of
    /// [`DelNetConfig::length_multiple`].
    ///
    /// # Panics
    /// If it is not.
    pub fn probabilities(&self, signals: Vec<f32>, sig_len: usize) -> Vec<f32> {
        assert!(sig_len.is_multiple_of(self.network.config.length_multiple()), "a length of {sig_len} points");
        let shape = [signals.len() / sig_len, 1, sig_len];
        let x = Tensor::<3>::from_data(TensorData::new(signals, shape), &self.device);
        let logits = self.network.logits(&self.params.root(), x, &mut Pass::Use(&self.statistics));
        host(activation::sigmoid(logits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::weights::Weight;

    fn small() -> DelNetConfig {
        DelNetConfig { widths: vec![4, 6, 8], kernel: 5, stem_stride: 2 }
    }

    /// A network whose running statistics are not those that it starts with.
    fn trained(config: DelNetConfig) -> TrainedDelNet {
        let network = DelNet::new(config).unwrap();
        let mut weights = Weights::initialize(&network.params(), Seed::new(3));
        let mut stream = Seed::new(4).stream();
        for (name, mut buffer) in network.buffers().entries {
            if name.contains(".running_") {
                buffer.values.iter_mut().for_each(|v| *v = stream.uniform_in(0.05, 0.2) as f32);
                weights.entries.insert(name, buffer);
            }
        }
        TrainedDelNet::new(network, weights, &Device::flex(), "test").unwrap()
    }

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; n];
        Seed::new(seed).stream().fill_normal(&mut values);
        values
    }

    #[test]
    fn nothing_beyond_the_reach_counts_and_something_near_it_does() {
        let net = trained(small());
        let (reach, n) = (net.config().reach(), 1024);
        assert_eq!(reach % net.config().length_multiple(), 0);
        let signal = noise(n, 1);
        let masks = net.probabilities(signal.clone(), n);
        let mut furthest = 0;
        for at in [500, 501, 506, 511] {
            let mut changed = signal.clone();
            changed[at] += 50.0;
            let other = net.probabilities(changed, n);
            for (k, (a, b)) in masks.iter().zip(&other).enumerate() {
                let distance = (k % n).abs_diff(at);
                assert!(a == b || distance <= reach, "point {} noticed a change at {at}, reach {reach}", k % n);
                furthest = if a == b { furthest } else { furthest.max(distance) };
            }
        }
        assert!(furthest > reach / 3, "a reach of {reach} is far more than the {furthest} points that matter");
    }

    #[test]
    fn a_signal_has_the_same_bits_in_any_batch() {
        let net = trained(small());
        let n = 256;
        let all = net.probabilities(noise(7 * n, 2), n);
        for (k, one) in noise(7 * n, 2).chunks(n).enumerate() {
            assert_eq!(net.probabilities(one.to_vec(), n), all[k * N_MASKS * n..(k + 1) * N_MASKS * n]);
        }
        assert!(all.iter().all(|p| (0.0..=1.0).contains(p)));
    }

    #[test]
    fn foreign_weights_and_impossible_shapes_are_refused() {
        let network = DelNet::new(small()).unwrap();
        let weights = Weights::initialize(&network.params(), Seed::new(3));
        let error = TrainedDelNet::new(network.clone(), weights.clone(), &Device::flex(), "file").unwrap_err();
        assert_eq!(error.to_string(), "stem.norm.running_mean: is missing");
        let mut all = weights;
        all.entries.extend(network.buffers().entries);
        all.entries.retain(|name, _| !name.ends_with("num_batches_tracked"));
        all.entries.insert("odd".into(), Weight { shape: vec![1], values: vec![0.0] });
        let error = TrainedDelNet::new(network, all, &Device::flex(), "file").unwrap_err().to_string();
        assert_eq!(error, "file: odd is not part of the network");
        for (config, key) in [
            (DelNetConfig { widths: vec![], ..small() }, "network.widths"),
            (DelNetConfig { kernel: 4, ..small() }, "network.kernel"),
            (DelNetConfig { stem_stride: 0, ..small() }, "network.stem_stride"),
        ] {
            assert!(DelNet::new(config).unwrap_err().to_string().starts_with(key));
        }
    }
}
