//! Any of the generators by its configuration: what a trainer, a model and its file hold.
//!
//! To those who use it a generator is one thing: so many uniform numbers and the weights of the labels
//! go in, signals come out. Which network it is, and whether it follows batch statistics, stays here.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::cond_pulse2pulse::{CondPulse2Pulse, CondPulse2PulseConfig};
use super::cond_wavegan_star::{CondWaveganStar, CondWaveganStarConfig};
use super::pulse2pulse::{Pulse2Pulse, Pulse2PulseConfig};
use super::wavegan_star::{WaveganStar, WaveganStarConfig};
use crate::error::{Error, Result};
use crate::nn::running::BatchStatistics;
use crate::nn::weights::{ParamSpec, View, Weights};
use crate::seed::{Seed, Stream};

/// Shape of a generator, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum GanNetworkConfig {
    /// U-net without labels.
    #[serde(rename = "pulse2pulse")]
    Pulse2Pulse(Pulse2PulseConfig),
    /// U-net that is told labels.
    #[serde(rename = "cond-pulse2pulse")]
    CondPulse2Pulse(CondPulse2PulseConfig),
    /// Decoder of a random vector.
    #[serde(rename = "wavegan-star")]
    WaveganStar(WaveganStarConfig),
    /// Decoder of random vectors that is told labels.
    #[serde(rename = "cond-wavegan-star")]
    CondWaveganStar(CondWaveganStarConfig),
}

impl GanNetworkConfig {
    /// Its kind, which is also the name of its generator.
    pub fn kind(&self) -> &'static str {
        match self {
            GanNetworkConfig::Pulse2Pulse(_) => "pulse2pulse",
            GanNetworkConfig::CondPulse2Pulse(_) => "cond-pulse2pulse",
            GanNetworkConfig::WaveganStar(_) => "wavegan-star",
            GanNetworkConfig::CondWaveganStar(_) => "cond-wavegan-star",
        }
    }

    /// The same shape for signals of these leads and points in time, and for a number of labels where it is told any.
    pub fn sized(&self, n_leads: usize, n_labels: usize, sig_len: usize) -> GanNetworkConfig {
        let mut sized = self.clone();
        // A stride of 0 is refused when the network is built.
        let start = |strides: &[usize]| sig_len / strides.iter().product::<usize>().max(1);
        match &mut sized {
            GanNetworkConfig::Pulse2Pulse(c) => c.channels = n_leads,
            GanNetworkConfig::CondPulse2Pulse(c) => (c.channels, c.labels) = (n_leads, n_labels),
            GanNetworkConfig::WaveganStar(c) => (c.channels, c.start) = (n_leads, start(&c.strides)),
            GanNetworkConfig::CondWaveganStar(c) => {
                (c.channels, c.labels, c.start) = (n_leads, n_labels, start(&c.strides));
            }
        }
        sized
    }

    /// Points in time of its signals, where the shape itself says; others unfold any multiple of their strides.
    pub fn own_len(&self) -> Option<usize> {
        match self {
            GanNetworkConfig::WaveganStar(c) => Some(c.sig_len()),
            GanNetworkConfig::CondWaveganStar(c) => Some(c.sig_len()),
            GanNetworkConfig::Pulse2Pulse(_) | GanNetworkConfig::CondPulse2Pulse(_) => None,
        }
    }

    /// Number of labels that it is told.
    pub fn n_labels(&self) -> usize {
        match self {
            GanNetworkConfig::CondPulse2Pulse(c) => c.labels,
            GanNetworkConfig::CondWaveganStar(c) => c.labels,
            GanNetworkConfig::Pulse2Pulse(_) | GanNetworkConfig::WaveganStar(_) => 0,
        }
    }

    /// Bytes of the widest feature maps of one item, which its computation takes some times over.
    pub fn map_bytes(&self, sig_len: usize) -> u64 {
        let (channels, width) = match self {
            GanNetworkConfig::Pulse2Pulse(c) => (c.channels, c.width),
            GanNetworkConfig::CondPulse2Pulse(c) => (c.channels, c.width),
            GanNetworkConfig::WaveganStar(c) => (c.channels, c.width),
            GanNetworkConfig::CondWaveganStar(c) => (c.channels, c.width),
        };
        // The layer before the last has a fifth of the width at full length, twice with its skip connection.
        (4 * channels.max(width / 2) * sig_len) as u64
    }
}

/// A generator for signals of one length, without its weights.
#[derive(Debug, Clone)]
pub struct GanNetwork {
    kind: Kind,
    sig_len: usize,
}

#[derive(Debug, Clone)]
pub(in crate::nn) enum Kind {
    Pulse2Pulse(Pulse2Pulse),
    CondPulse2Pulse(CondPulse2Pulse),
    WaveganStar(WaveganStar),
    CondWaveganStar(CondWaveganStar),
}

impl GanNetwork {
    /// Checks the shape, and that it makes signals of `sig_len` points.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn new(config: &GanNetworkConfig, sig_len: usize) -> Result<GanNetwork> {
        let (kind, strides, fits) = match config {
            GanNetworkConfig::Pulse2Pulse(c) => {
                let stride: usize = c.strides.iter().product();
                (Kind::Pulse2Pulse(Pulse2Pulse::new(*c)?), c.strides.as_slice(), sig_len.is_multiple_of(stride))
            }
            GanNetworkConfig::CondPulse2Pulse(c) => {
                let stride: usize = c.strides.iter().product();
                (Kind::CondPulse2Pulse(CondPulse2Pulse::new(*c)?), c.strides.as_slice(), sig_len.is_multiple_of(stride))
            }
            GanNetworkConfig::WaveganStar(c) => {
                (Kind::WaveganStar(WaveganStar::new(*c)?), c.strides.as_slice(), sig_len == c.sig_len())
            }
            GanNetworkConfig::CondWaveganStar(c) => {
                (Kind::CondWaveganStar(CondWaveganStar::new(*c)?), c.strides.as_slice(), sig_len == c.sig_len())
            }
        };
        if sig_len == 0 || !fits {
            let product: usize = strides.iter().product();
            let reason = format!("found {strides:?} for signals of {sig_len} points, which {product} has to divide");
            return Err(Error::config("strides", reason));
        }
        Ok(GanNetwork { kind, sig_len })
    }

    /// Which network it is.
    pub(in crate::nn) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Points in time of its signals.
    pub(in crate::nn) fn sig_len(&self) -> usize {
        self.sig_len
    }

    /// Name, shape and start of every trained parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        match &self.kind {
            Kind::Pulse2Pulse(network) => network.params(),
            Kind::CondPulse2Pulse(network) => network.params(),
            Kind::WaveganStar(network) => network.params(),
            Kind::CondWaveganStar(network) => network.params(),
        }
    }

    /// Name, shape and start of the running statistics, which are not trained.
    pub fn running(&self) -> Vec<ParamSpec> {
        match &self.kind {
            Kind::CondPulse2Pulse(network) => network.running(),
            Kind::CondWaveganStar(network) => network.running(),
            Kind::Pulse2Pulse(_) | Kind::WaveganStar(_) => Vec::new(),
        }
    }

    /// Start values of every trained parameter.
    pub fn start(&self, seed: Seed) -> Weights {
        match &self.kind {
            Kind::CondPulse2Pulse(network) => network.start(seed),
            Kind::CondWaveganStar(network) => network.start(seed),
            Kind::Pulse2Pulse(_) | Kind::WaveganStar(_) => Weights::initialize(&self.params(), seed),
        }
    }

    /// Shape of the noise of one item.
    fn noise_shape(&self) -> [usize; 2] {
        match &self.kind {
            Kind::Pulse2Pulse(network) => [network.config().channels, self.sig_len],
            Kind::CondPulse2Pulse(network) => [network.config().channels, self.sig_len],
            Kind::WaveganStar(network) => [1, network.config().latent],
            Kind::CondWaveganStar(network) => [network.config().start, network.config().latent],
        }
    }

    /// Numbers of noise for one item.
    pub fn n_noise(&self) -> usize {
        self.noise_shape().iter().product()
    }

    /// Number of labels that it is told.
    pub fn n_labels(&self) -> usize {
        match &self.kind {
            Kind::CondPulse2Pulse(network) => network.config().labels,
            Kind::CondWaveganStar(network) => network.config().labels,
            Kind::Pulse2Pulse(_) | Kind::WaveganStar(_) => 0,
        }
    }

    /// Noise of one item for each stream: uniform within -1 to 1.
    pub fn draw_noise(&self, streams: &mut [Stream]) -> Vec<f32> {
        let n = self.n_noise();
        let each = streams.iter_mut().flat_map(|stream| (0..n).map(|_| stream.uniform_in(-1.0, 1.0) as f32));
        each.collect()
    }

    /// Signals by the running statistics.
    ///
    /// # Shape
    /// `noise` is `[n, noise]`, `labels` `[n, label]` and says how much each label counts; the result
    /// is `[n, lead, time]` within -1 to 1.
    /// # Errors
    /// [`Error::Shape`] for noise or labels of another number; [`Error::Data`] for running statistics
    /// that are not those of [`GanNetwork::running`].
    pub fn forward(
        &self,
        p: &View,
        running: &Weights,
        noise: &[f32],
        labels: &[f32],
        device: &Device,
    ) -> Result<Tensor<3>> {
        let (noise, labels) = self.inputs(noise, labels, device)?;
        match &self.kind {
            Kind::Pulse2Pulse(network) => network.forward(p, noise),
            Kind::CondPulse2Pulse(network) => network.forward(p, running, noise, labels),
            Kind::WaveganStar(network) => network.forward(p, noise.squeeze_dim(1)),
            Kind::CondWaveganStar(network) => network.forward(p, running, noise, labels),
        }
    }

    /// As [`GanNetwork::forward`] by the statistics of the batch itself, which come with the result.
    ///
    /// # Errors
    /// [`Error::Shape`] as in [`GanNetwork::forward`].
    pub fn forward_training(
        &self,
        p: &View,
        noise: &[f32],
        labels: &[f32],
        device: &Device,
    ) -> Result<(Tensor<3>, Vec<BatchStatistics>)> {
        let (noise, labels) = self.inputs(noise, labels, device)?;
        match &self.kind {
            Kind::Pulse2Pulse(network) => Ok((network.forward(p, noise)?, Vec::new())),
            Kind::CondPulse2Pulse(network) => network.forward_training(p, noise, labels),
            Kind::WaveganStar(network) => Ok((network.forward(p, noise.squeeze_dim(1))?, Vec::new())),
            Kind::CondWaveganStar(network) => network.forward_training(p, noise, labels),
        }
    }

    fn inputs(&self, noise: &[f32], labels: &[f32], device: &Device) -> Result<(Tensor<3>, Tensor<2>)> {
        let [rows, columns] = self.noise_shape();
        let (size, n_labels) = (rows * columns, self.n_labels());
        let n = noise.len() / size;
        for (what, values, expected) in [("noise", noise, [n, size]), ("labels", labels, [n, n_labels])] {
            if values.len() != expected[0] * expected[1] || n == 0 {
                return Err(Error::Shape {
                    what: what.into(),
                    expected: expected.to_vec(),
                    actual: vec![values.len()],
                });
            }
        }
        let noise = Tensor::from_data(TensorData::new(noise.to_vec(), [n, rows, columns]), device);
        // A network without labels reads none, and a tensor has no empty axis.
        let labels = match n_labels {
            0 => Tensor::zeros([n, 1], device),
            _ => Tensor::from_data(TensorData::new(labels.to_vec(), [n, n_labels]), device),
        };
        Ok((noise, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: &str) -> GanNetworkConfig {
        let json = match kind {
            "cond-pulse2pulse" => r#"{ "kind": "cond-pulse2pulse", "width": 5, "strides": [2, 2, 1, 1, 5] }"#,
            "pulse2pulse" => r#"{ "kind": "pulse2pulse", "width": 5, "strides": [2, 2, 1, 1, 5, 1] }"#,
            "cond-wavegan-star" => {
                r#"{ "kind": "cond-wavegan-star", "width": 5, "latent": 3, "strides": [2, 2, 1, 1, 5] }"#
            }
            _ => r#"{ "kind": "wavegan-star", "width": 5, "latent": 3, "strides": [2, 2, 1, 1, 5, 1] }"#,
        };
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_kind_makes_signals_of_the_length_that_it_is_sized_for() {
        let device = Device::flex();
        let kinds = [("pulse2pulse", 0), ("cond-pulse2pulse", 4), ("wavegan-star", 0), ("cond-wavegan-star", 4)];
        for (kind, n_labels) in kinds {
            let sized = config(kind).sized(3, 4, 60);
            assert_eq!((sized.kind(), sized.n_labels()), (kind, n_labels));
            let network = GanNetwork::new(&sized, 60).unwrap();
            let params = network.start(Seed::new(1)).on(&device);
            let running = Weights::initialize(&network.running(), Seed::new(1));
            let mut streams = [Seed::new(2).stream(), Seed::new(3).stream()];
            let noise = network.draw_noise(&mut streams);
            let labels = vec![1.0; 2 * n_labels];
            let out = network.forward(&params.root(), &running, &noise, &labels, &device).unwrap();
            assert_eq!(out.dims(), [2, 3, 60], "{kind}");
            let error = network.forward(&params.root(), &running, &noise[1..], &labels, &device).unwrap_err();
            assert!(error.to_string().starts_with("noise"), "{error}");
            let error = GanNetwork::new(&config(kind).sized(3, 4, 70), 70).unwrap_err().to_string();
            assert!(error.contains("70 points, which 20 has to divide"), "{error}");
        }
    }
}
