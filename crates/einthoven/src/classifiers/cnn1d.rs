//! The 1-D convolutional beat classifier of the KD-DGN comparison (`dgn-kd` section 9).
//!
//! Four stages of convolution, batch normalization, ReLU and halving max-pool; global mean and
//! maximum; dropout; one linear map. With RR features the intervals before and after the beat enter
//! beside the pooled channels, because prematurity is invisible in a centered window.

use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::nn::kernel::{Conv1dOptions, conv1d, max_pool};
use crate::nn::layer::{declare_constant, declare_conv, declare_linear, linear};
use crate::nn::onnx::{Attribute, Graph};
use crate::nn::weights::{Init, ParamSpec, Params, View, Weight, Weights, host};
use crate::seed::Stream;

/// Shape of the classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cnn1dConfig {
    /// Channels after each stage.
    pub channels: Vec<usize>,
    /// Kernel of each stage, odd.
    pub kernels: Vec<usize>,
    /// Share of pooled features that training hides.
    pub dropout: f64,
    /// Whether the RR intervals before and after the beat are inputs too.
    pub rr_features: bool,
}

impl Default for Cnn1dConfig {
    /// The size of the paper notes.
    fn default() -> Self {
        Cnn1dConfig { channels: vec![32, 64, 128, 128], kernels: vec![7, 5, 5, 3], dropout: 0.5, rr_features: false }
    }
}

impl Cnn1dConfig {
    /// Checks that a network can be built for signals of this length.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self, sig_len: usize) -> Result<()> {
        let stages = self.channels.len();
        if stages == 0 || self.channels.contains(&0) {
            return Err(Error::config("classifier.channels", "expected at least one stage of at least one channel"));
        }
        if self.kernels.len() != stages {
            let reason = format!("found {} kernels for {stages} stages", self.kernels.len());
            return Err(Error::config("classifier.kernels", reason));
        }
        if let Some(even) = self.kernels.iter().find(|k| *k % 2 == 0) {
            return Err(Error::config("classifier.kernels", format!("found {even}, expected odd lengths")));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::config("classifier.dropout", format!("found {}, expected 0 to below 1", self.dropout)));
        }
        if sig_len >> stages == 0 {
            let reason = format!("{stages} halvings leave nothing of {sig_len} points");
            return Err(Error::config("classifier.channels", reason));
        }
        Ok(())
    }
}

/// Number of RR features of one item.
const N_RR_FEATURES: usize = 3;

/// RR features of one item: logarithms of both intervals and of their ratio, which is what tells a
/// premature beat.
pub(super) fn rr_features(rr_s: [f32; 2]) -> [f32; N_RR_FEATURES] {
    let [before, after] = rr_s.map(|rr| rr.max(1e-3));
    [(before / 0.8).ln(), (after / 0.8).ln(), (before / after).ln()]
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct Cnn1d {
    config: Cnn1dConfig,
    n_leads: usize,
    n_classes: usize,
}

/// One step's batch mean and variance of every normalization.
pub type BatchStatistics = Vec<(Vec<f32>, Vec<f32>)>;

impl Cnn1d {
    /// Network for signals `[n_leads, sig_len]` and a number of classes.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`Cnn1dConfig::validate`].
    pub fn new(config: Cnn1dConfig, n_leads: usize, sig_len: usize, n_classes: usize) -> Result<Cnn1d> {
        config.validate(sig_len)?;
        Ok(Cnn1d { config, n_leads, n_classes })
    }

    /// Its shape.
    pub fn config(&self) -> &Cnn1dConfig {
        &self.config
    }

    /// Name, shape and start of every parameter that training moves.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut out = Vec::new();
        let mut n_in = self.n_leads;
        for (i, (&channels, &kernel)) in self.config.channels.iter().zip(&self.config.kernels).enumerate() {
            declare_conv(&mut out, &format!("stage{i}.conv"), n_in, channels, kernel, false);
            declare_constant(&mut out, &format!("stage{i}.norm.weight"), &[channels], Init::Ones);
            declare_constant(&mut out, &format!("stage{i}.norm.bias"), &[channels], Init::Zeros);
            n_in = channels;
        }
        let rr = if self.config.rr_features { N_RR_FEATURES } else { 0 };
        declare_linear(&mut out, "head", 2 * n_in + rr, self.n_classes);
        out
    }

    /// Running statistics of the normalizations, which training follows but does not optimize.
    pub fn buffers(&self) -> Weights {
        let mut out = Weights::default();
        for (i, &channels) in self.config.channels.iter().enumerate() {
            for (name, value) in [("mean", 0.0), ("variance", 1.0)] {
                let weight = Weight { shape: vec![channels], values: vec![value; channels] };
                out.entries.insert(format!("stage{i}.norm.running_{name}"), weight);
            }
        }
        out
    }

    /// Logits of a training batch, with dropout drawn from `stream`.
    ///
    /// # Shape
    /// `x` is `[batch, lead, time]` in units of the training part's standard deviation; `rr`
    /// `[batch, 3]`; the result `[batch, class]`.
    pub fn train_logits(
        &self,
        params: &Params,
        x: Tensor<3>,
        rr: Option<Tensor<2>>,
        stream: &mut Stream,
    ) -> (Tensor<2>, BatchStatistics) {
        let p = params.root();
        let mut statistics = Vec::new();
        let features = self.features(&p, x, &mut |p, i, x| {
            let norm = p.at(&format!("stage{i}.norm"));
            let out = batch_norm_train(x, norm.get("weight"), norm.get("bias"), 1e-5);
            statistics.push((host(out.mean), host(out.variance)));
            out.output
        });
        let [batch, width] = features.dims();
        let keep = 1.0 - self.config.dropout;
        let mask: Vec<f32> =
            (0..batch * width).map(|_| if stream.uniform() < keep { (1.0 / keep) as f32 } else { 0.0 }).collect();
        let mask = Tensor::<1>::from_floats(mask.as_slice(), &features.device()).reshape([batch, width]);
        (self.head(&p, features * mask, rr), statistics)
    }

    /// Logits with the running statistics.
    ///
    /// # Shape
    /// As [`Cnn1d::train_logits`].
    pub fn logits(&self, params: &Params, buffers: &Params, x: Tensor<3>, rr: Option<Tensor<2>>) -> Tensor<2> {
        let p = params.root();
        let b = buffers.root();
        let features = self.features(&p, x, &mut |p, i, x| {
            let (norm, running) = (p.at(&format!("stage{i}.norm")), b.at(&format!("stage{i}.norm")));
            let (gain, bias) = (norm.get("weight"), norm.get("bias"));
            batch_norm(x, gain, bias, running.get("running_mean"), running.get("running_variance"), 1e-5)
        });
        self.head(&p, features, rr)
    }

    /// Probabilities with the running statistics as a graph, for signals of a length.
    pub fn graph(&self, g: &mut Graph, sig_len: usize) {
        let mut x = g.input("x", &[self.n_leads, sig_len]);
        let rr = self.config.rr_features.then(|| g.input("rr", &[N_RR_FEATURES]));
        for (i, &kernel) in self.config.kernels.iter().enumerate() {
            x = g.conv(&format!("stage{i}.conv"), &x, 1, kernel / 2);
            let norm = ["weight", "bias", "running_mean", "running_variance"]
                .map(|name| g.weight(&format!("stage{i}.norm.{name}"), None));
            let [gain, bias, mean, variance] = &norm;
            x = g.op("BatchNormalization", &[&x, gain, bias, mean, variance], &[("epsilon", Attribute::Float(1e-5))]);
            x = g.relu(&x);
            let halves = [("kernel_shape", Attribute::Ints(vec![2])), ("strides", Attribute::Ints(vec![2]))];
            x = g.op("MaxPool", &[&x], &halves);
        }
        let over_time = [("axes", Attribute::Ints(vec![2])), ("keepdims", Attribute::Int(0))];
        let (mean, most) = (g.op("ReduceMean", &[&x], &over_time), g.op("ReduceMax", &[&x], &over_time));
        let pooled: Vec<_> = [&mean, &most].into_iter().chain(&rr).collect();
        let features = g.concat(&pooled, 1);
        let logits = g.linear("head", &features);
        let probabilities = g.softmax(&logits, 1);
        g.output("probabilities", &probabilities, &[self.n_classes]);
    }

    fn features(
        &self,
        p: &View,
        mut x: Tensor<3>,
        norm: &mut dyn FnMut(&View, usize, Tensor<3>) -> Tensor<3>,
    ) -> Tensor<2> {
        for (i, &kernel) in self.config.kernels.iter().enumerate() {
            let options = Conv1dOptions { stride: 1, padding: kernel / 2, dilation: 1 };
            x = conv1d(x, p.get(&format!("stage{i}.conv.weight")), None, options);
            x = activation::relu(norm(p, i, x));
            x = max_pool(x, 2);
        }
        Tensor::cat(vec![x.clone().mean_dim(2), x.max_dim(2)], 1).squeeze_dim(2)
    }

    fn head(&self, p: &View, features: Tensor<2>, rr: Option<Tensor<2>>) -> Tensor<2> {
        let features = match rr {
            Some(rr) if self.config.rr_features => Tensor::cat(vec![features, rr], 1),
            _ => features,
        };
        linear(&p.at("head"), features)
    }
}

/// Follows batch statistics with momentum 0.1 and the unbiased variance, as PyTorch does.
pub(super) fn follow_statistics(buffers: &mut Weights, statistics: &BatchStatistics, values_per_channel: &[usize]) {
    for (i, (mean, variance)) in statistics.iter().enumerate() {
        let n = values_per_channel[i] as f32;
        let unbiased: Vec<f32> = variance.iter().map(|v| v * n / (n - 1.0).max(1.0)).collect();
        for (name, values) in [("mean", mean), ("variance", &unbiased)] {
            if let Some(running) = buffers.entries.get_mut(&format!("stage{i}.norm.running_{name}")) {
                for (running, value) in running.values.iter_mut().zip(values) {
                    *running += 0.1 * (value - *running);
                }
            }
        }
    }
}
