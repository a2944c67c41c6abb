//! The generator of WaveGAN* told labels: a baseline of SSSD-ECG.
//!
//! One layer shallower than [`super::wavegan_star`], for signals of 1,000 points. Its noise has a row for each point
//! where the unfolding begins, and each convolution is followed by a batch normalization that the labels steer.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::cond_batch_norm::{self, Normalize, check_labels, norm_name, normalize_by_running, steer};
use super::layer::{Up, check_sizes, decoder, start_kaiming};
use crate::error::{Error, Result};
use crate::nn::layer::{declare_linear, linear};
use crate::nn::running::BatchStatistics;
use crate::nn::weights::{ParamSpec, View, Weights};
use crate::seed::Seed;

/// Shape of a [`CondWaveganStar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CondWaveganStarConfig {
    /// Leads of the signal.
    #[serde(default)]
    pub channels: usize,
    /// Channels in the middle of the decoder; from a fifth to five times of it elsewhere.
    pub width: usize,
    /// Number of labels.
    #[serde(default)]
    pub labels: usize,
    /// Random numbers in each row of the noise.
    pub latent: usize,
    /// Rows of the noise, and points in time where the unfolding begins.
    #[serde(default)]
    pub start: usize,
    /// Factors of the unfolding, the last one first.
    pub strides: [usize; 5],
}

impl CondWaveganStarConfig {
    /// The published network: the 71 statements of PTB-XL.
    pub fn published() -> CondWaveganStarConfig {
        CondWaveganStarConfig { channels: 8, width: 50, labels: 71, latent: 1000, start: 8, strides: [5, 1, 5, 1, 5] }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [("labels", self.labels), ("latent", self.latent), ("start", self.start)] {
            if value == 0 {
                return Err(Error::config(key, "found 0, expected at least 1"));
            }
        }
        check_sizes(self.channels, self.width, &self.strides)
    }

    /// Points in time of its signals.
    pub fn sig_len(&self) -> usize {
        self.start * self.strides.iter().product::<usize>()
    }
}

/// The network: a shape, to be applied to parameters.
///
/// # Reference
/// Alcaraz and Strodthoff 2023, "Diffusion-based conditional ECG generation with structured state space models",
/// section 3; `src/baselines/models/cond_wavegan_star.py` of AI4HealthUOL/SSSD-ECG.
#[derive(Debug, Clone)]
pub struct CondWaveganStar {
    config: CondWaveganStarConfig,
}

impl CondWaveganStar {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`CondWaveganStarConfig::validate`].
    pub fn new(config: CondWaveganStarConfig) -> Result<CondWaveganStar> {
        config.validate()?;
        Ok(CondWaveganStar { config })
    }

    /// Its shape.
    pub fn config(&self) -> &CondWaveganStarConfig {
        &self.config
    }

    /// The decoder of the unconditional network without its first layer.
    pub(in crate::nn) fn layers(&self) -> [Up; 5] {
        let CondWaveganStarConfig { channels, width, strides: [a, b, c, d, e], .. } = self.config;
        // The sixth belongs to the layer that is left out.
        let [_, up @ ..] = decoder(width, channels, [a, b, c, d, e, 1], false);
        up
    }

    fn norms(&self) -> impl Iterator<Item = (String, usize)> {
        self.layers().into_iter().map(|layer| (norm_name(layer.name), layer.n_out))
    }

    /// Name, shape and start of every parameter; [`CondWaveganStar::start`] starts the embeddings.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut out = Vec::new();
        declare_linear(&mut out, "fc1", self.config.latent, 5 * self.config.width);
        start_kaiming(&mut out);
        self.layers().iter().for_each(|layer| layer.declare(&mut out));
        for (name, channels) in self.norms() {
            cond_batch_norm::declare(&mut out, &name, self.config.labels, channels);
        }
        out
    }

    /// Start values of every parameter.
    pub fn start(&self, seed: Seed) -> Weights {
        cond_batch_norm::initialized(&self.params(), self.norms(), seed)
    }

    /// Name, shape and start of the running statistics, which [`crate::nn::running::follow`] moves.
    pub fn running(&self) -> Vec<ParamSpec> {
        cond_batch_norm::running_of(self.norms())
    }

    /// Signals from noise that is uniform within -1 to 1, by the running statistics.
    ///
    /// # Shape
    /// `noise` is `[batch, start, latent]`, `labels` `[batch, label]` and says how much each label counts; the result
    /// is `[batch, lead, time]` within -1 to 1, the time as in [`CondWaveganStarConfig::sig_len`].
    /// # Errors
    /// [`Error::Shape`] for noise or labels of another number; [`Error::Data`] for running statistics that are not those
    /// of [`CondWaveganStar::running`].
    pub fn forward(&self, p: &View, running: &Weights, noise: Tensor<3>, labels: Tensor<2>) -> Result<Tensor<3>> {
        self.forward_traced(p, running, noise, labels, &mut |_, _| {})
    }

    /// As [`CondWaveganStar::forward`], handing each layer's values before and after its normalization to `trace`.
    ///
    /// # Errors
    /// As [`CondWaveganStar::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        running: &Weights,
        noise: Tensor<3>,
        labels: Tensor<2>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        self.run(p, noise, labels, &mut |name, x| normalize_by_running(name, x, running), trace)
    }

    /// As [`CondWaveganStar::forward`] by the statistics of the batch itself, which come with the result.
    ///
    /// # Errors
    /// [`Error::Shape`] as in [`CondWaveganStar::forward`].
    pub fn forward_training(
        &self,
        p: &View,
        noise: Tensor<3>,
        labels: Tensor<2>,
    ) -> Result<(Tensor<3>, Vec<BatchStatistics>)> {
        cond_batch_norm::by_batch(|normalize| self.run(p, noise, labels, normalize, &mut |_, _| {}))
    }

    fn run(
        &self,
        p: &View,
        noise: Tensor<3>,
        labels: Tensor<2>,
        normalize: &mut Normalize,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        let CondWaveganStarConfig { width, latent, start, .. } = self.config;
        let (batch, actual) = (noise.dims()[0], noise.dims());
        if actual != [batch, start, latent] {
            let (expected, actual) = (vec![batch, start, latent], actual.to_vec());
            return Err(Error::Shape { what: "network input".into(), expected, actual });
        }
        check_labels(&labels, batch, self.config.labels)?;
        // The rows are laid one after the other and read as channels, as the original does: no transposition.
        let rows = linear(&p.at("fc1"), noise.reshape([batch * start, latent]));
        let values = rows.reshape([batch, 5 * width, start]);
        trace("fc1", &values);
        let mut x = activation::relu(values);
        let [up @ .., last] = self.layers();
        for layer in up {
            x = activation::relu(steer(p, layer.name, layer.apply(p, x, None), &labels, normalize, trace)?);
        }
        Ok(activation::tanh(steer(p, last.name, last.apply(p, x, None), &labels, normalize, trace)?))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::gan::wavegan_star::{WaveganStar, WaveganStarConfig};
    use crate::nn::running;
    use crate::nn::weights::host;

    const CONFIG: CondWaveganStarConfig =
        CondWaveganStarConfig { channels: 2, width: 5, labels: 2, latent: 3, start: 4, strides: [5, 1, 2, 1, 3] };

    fn noise(device: &Device) -> Tensor<3> {
        let values: Vec<f32> = (0..12).map(|k| (k as f32 * 0.7).sin()).collect();
        Tensor::from_data(burn::tensor::TensorData::new(values, [1, 4, 3]), device)
    }

    /// With normalizations that change nothing it is the unconditional network whose first layers pass on what they
    /// get: a linear map in blocks, and a convolution that is one in the middle.
    #[test]
    fn without_labels_to_tell_it_is_the_unconditional_network() {
        let device = Device::flex();
        let network = CondWaveganStar::new(CONFIG).unwrap();
        let mut weights = network.start(Seed::new(1));
        let mut running = Weights::initialize(&network.running(), Seed::new(1));
        for (name, weight) in weights.entries.iter_mut().filter(|(name, _)| name.ends_with("embed.weight")) {
            let half = weight.shape[1] / 2;
            weight.values = (0..weight.values.len()).map(|k| f32::from(u8::from(k % (2 * half) < half))).collect();
            let variance = running.entries.get_mut(&format!("{}bn.running_var", name.trim_end_matches("embed.weight")));
            variance.unwrap().values.fill((1.0 - running::EPS) as f32);
        }
        let labels = Tensor::<2>::from_data([[1.0f32, 0.0]], &device);
        let found = network.forward(&weights.on(&device).root(), &running, noise(&device), labels).expect("a signal");

        let [a, b, c, d, e] = CONFIG.strides;
        let plain = WaveganStarConfig { channels: 2, width: 5, latent: 12, start: 4, strides: [a, b, c, d, e, 1] };
        let plain = WaveganStar::new(plain).unwrap();
        let mut state = Weights::initialize(&plain.params(), Seed::new(2));
        for (name, weight) in state.entries.iter_mut() {
            match (name.as_str(), weights.entries.get(name)) {
                ("fc1.weight", Some(rows)) => {
                    let value = |out: usize, at: usize| {
                        if at / 3 == out / 25 { rows.values[(out % 25) * 3 + at % 3] } else { 0.0 }
                    };
                    weight.values = (0..100 * 12).map(|k| value(k / 12, k % 12)).collect();
                }
                ("fc1.bias", Some(rows)) => weight.values = rows.values.repeat(4),
                (_, Some(own)) => weight.values.clone_from(&own.values),
                (name, None) if name.ends_with("weight") => {
                    let is_one = |k: usize| k % 25 == 12 && k / 25 % 25 == k / 625;
                    weight.values = (0..625 * 25).map(|k| f32::from(u8::from(is_one(k)))).collect();
                }
                (_, None) => weight.values.fill(0.0),
            }
        }
        let expected = plain.forward(&state.on(&device).root(), noise(&device).reshape([1, 12])).expect("a signal");
        assert_eq!((found.dims(), CONFIG.sig_len()), ([1, 2, 120], 120));
        let (found, expected) = (host(found), host(expected));
        assert!(expected.iter().any(|v| v.abs() > 1e-3));
        assert!(found.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-5), "{found:?} {expected:?}");
    }

    #[test]
    fn labels_count_and_another_number_of_them_is_refused() {
        let device = Device::flex();
        let network = CondWaveganStar::new(CONFIG).unwrap();
        let params = network.start(Seed::new(1)).on(&device);
        let running = Weights::initialize(&network.running(), Seed::new(1));
        let run = |labels: Vec<f32>| {
            let n = labels.len();
            let labels = Tensor::<2>::from_data(burn::tensor::TensorData::new(labels, [1, n]), &device);
            network.forward(&params.root(), &running, noise(&device), labels).map(host)
        };
        assert_ne!(run(vec![1.0, 0.0]).unwrap(), run(vec![0.0, 1.0]).unwrap());
        assert_eq!(run(vec![1.0; 3]).unwrap_err().to_string(), "labels: found shape [1, 3], expected [1, 2]");
        let zero = CondWaveganStarConfig { latent: 0, ..CONFIG };
        assert_eq!(zero.validate().unwrap_err().to_string(), "latent: found 0, expected at least 1");
    }
}
