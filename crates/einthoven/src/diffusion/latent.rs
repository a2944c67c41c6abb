//! Diffusion in the latents of an autoencoder: learning the autoencoder, and the way between its latents and signals.
//!
//! A latent is divided by one number per channel, its standard deviation over the training part, so that any backbone sees
//! channels of spread 1, as it sees leads. (Published models multiply all channels by one constant, 0.18215.)

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::batches::BatchQueue;
use super::loss::squared_error;
use crate::error::{Error, Result};
use crate::nn::train::Learner;
use crate::nn::vae1d::{Vae1d, Vae1dConfig};
use crate::nn::weights::{Params, Weights, host};
use crate::seed::Seed;

/// Prefix of the decoder's arrays among those of a model.
const PREFIX: &str = "autoencoder.";
/// Signals that are encoded at once.
const ENCODE_BATCH: usize = 32;

/// Where a model's network lives: the autoencoder and the spread of its latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentSpace {
    /// The autoencoder.
    pub autoencoder: Vae1dConfig,
    /// Standard deviation of each latent channel over the training part.
    pub sd: Vec<f32>,
}

impl LatentSpace {
    /// Channels and points of the latent of a signal.
    ///
    /// # Errors
    /// [`Error::Config`] for a length that the autoencoder cannot halve.
    pub fn shape(&self, sig_len: usize) -> Result<[usize; 2]> {
        Ok([self.autoencoder.latent_channels, self.autoencoder.latent_length(sig_len)?])
    }
}

/// The decoder of a model on a device.
#[derive(Debug, Clone)]
pub struct LatentDecoder {
    network: Vae1d,
    params: Params,
    sd: Vec<f32>,
}

impl LatentDecoder {
    /// Takes the decoder's arrays out of the state of a model.
    ///
    /// # Errors
    /// [`Error::Data`] naming every array that is missing or has another shape; [`Error::Config`] for an autoencoder or a
    /// spread that cannot be.
    pub fn take(space: &LatentSpace, state: &mut Weights, device: &Device) -> Result<LatentDecoder> {
        let network = Vae1d::new(space.autoencoder.clone())?;
        let is_spread = |sd: &f32| sd.is_finite() && *sd > 0.0;
        if space.sd.len() != space.autoencoder.latent_channels || !space.sd.iter().all(is_spread) {
            return Err(Error::config("latent.sd", "expected one positive number per latent channel"));
        }
        let decoder = LatentDecoder::split(state);
        decoder.check(&network.decoder_params(), "decoder of the model")?;
        Ok(LatentDecoder { network, params: decoder.on(device), sd: space.sd.clone() })
    }

    /// Takes the decoder's arrays out of a state, under the names of the network.
    pub fn split(state: &mut Weights) -> Weights {
        let (decoder, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.entries).into_iter().partition(|(name, _)| name.starts_with(PREFIX));
        state.entries = rest.into_iter().collect();
        let decoder = decoder.into_iter().map(|(name, array)| (name[PREFIX.len()..].to_string(), array));
        Weights { entries: decoder.collect() }
    }

    /// The decoder's arrays under the names that [`LatentDecoder::take`] looks for.
    pub fn stored(network: &Vae1d, trained: &Weights) -> Weights {
        let specs = network.decoder_params();
        let array = |name: &String| trained.entries.get(name).map(|array| (format!("{PREFIX}{name}"), array.clone()));
        Weights { entries: specs.iter().filter_map(|spec| array(&spec.name)).collect() }
    }

    /// Signals of latents of spread 1.
    ///
    /// # Shape
    /// `z` is `[batch, latent channel, latent time]`; the result `[batch, lead, time]`.
    /// # Errors
    /// [`Error::Shape`] for other channels.
    pub fn decode(&self, z: Tensor<3>) -> Result<Tensor<3>> {
        let sd = Tensor::<1>::from_floats(self.sd.as_slice(), &z.device()).reshape([1, self.sd.len(), 1]);
        self.network.decode(&self.params.root(), z * sd)
    }
}

/// Learns an autoencoder: to give the signal back, with latents that are not far from a standard normal.
pub struct Autoencoding {
    /// The autoencoder.
    pub network: Vae1d,
    /// Weight of the divergence beside the summed squared error.
    pub kl_weight: f64,
    /// Its data.
    pub batches: BatchQueue,
    /// Seed of the draws from the posterior.
    pub seed: Seed,
}

impl Learner for Autoencoding {
    /// Summed squared error and weighted divergence of an item, per value of the signal, which keeps the loss and its
    /// gradient of one size whatever the length.
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let batch = self.batches.take(step);
        let device = self.batches.device().clone().autodiff();
        let x = batch.x0.to_device(&device);
        let [_, leads, length] = x.dims();
        let posterior = self.network.encode(&params.root(), x.clone())?;
        let shape = posterior.mean.dims();
        let mut noise = vec![0.0; shape.iter().product()];
        self.seed.purpose("latent").index(step).stream().fill_normal(&mut noise);
        let noise = Tensor::from_data(TensorData::new(noise, shape), &device);
        let decoded = self.network.decode(&params.root(), posterior.sample(noise))?;
        let divergence = posterior.divergence() * (self.kl_weight / (leads * length) as f64);
        Ok(((squared_error(decoded, x) + divergence).mean(), batch.items))
    }
}

/// Latents of signals and their spread.
#[derive(Debug, Clone)]
pub struct Latents {
    /// `[n, latent channel, latent time]`, means of the posteriors divided by the spread.
    pub values: Vec<f32>,
    /// Standard deviation of each channel before that.
    pub sd: Vec<f32>,
}

/// Encodes a training part.
///
/// # Shape
/// `signals` is `[n, lead, time]` in units of the training part's standard deviation.
/// # Errors
/// [`Error::Data`] for a latent channel that is constant, which the divergence can drive an unused one to.
pub fn encode_all(
    network: &Vae1d,
    params: &Params,
    signals: &[f32],
    sig_len: usize,
    device: &Device,
) -> Result<Latents> {
    let c = network.config();
    let size = c.channels * sig_len;
    let mut values = Vec::with_capacity(signals.len() / size * c.latent_channels * c.latent_length(sig_len)?);
    for chunk in signals.chunks(ENCODE_BATCH * size) {
        let shape = [chunk.len() / size, c.channels, sig_len];
        let x = Tensor::<3>::from_data(TensorData::new(chunk.to_vec(), shape), device);
        values.extend(host(network.encode(&params.root(), x)?.mean));
    }
    let length = c.latent_length(sig_len)?;
    let sd = (0..c.latent_channels).map(|channel| {
        let of_channel =
            values.chunks(length).skip(channel).step_by(c.latent_channels).flatten().map(|&v| f64::from(v));
        let (n, sum, squares) =
            of_channel.fold((0.0, 0.0, 0.0), |(n, sum, squares), v| (n + 1.0, sum + v, squares + v * v));
        let sd = (squares / n - (sum / n).powi(2)).sqrt();
        // Not greater than 0 is also what is not a number.
        if !(sd > 1e-6) || !sd.is_finite() {
            let reason = format!("latent channel {channel} says nothing (its spread is {sd:e}): lower kl_weight");
            return Err(Error::data("autoencoder", reason));
        }
        Ok(sd as f32)
    });
    let sd = sd.collect::<Result<Vec<f32>>>()?;
    for (row, sd) in values.chunks_mut(length).zip(sd.iter().cycle()) {
        row.iter_mut().for_each(|v| *v /= sd);
    }
    Ok(Latents { values, sd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::batches::Batches;
    use crate::nn::adamw::AdamWConfig;
    use crate::nn::train::NetworkTrainee;
    use crate::run::Trainee;

    fn network() -> Vae1d {
        let config = Vae1dConfig { channels: 1, width: 8, multipliers: vec![1, 1, 1], latent_channels: 2, groups: 2 };
        Vae1d::new(config).unwrap()
    }

    /// Sines of a few phases and heights.
    fn signals() -> Vec<f32> {
        let wave = |item: usize, t: usize| (t as f32 * 0.4 + item as f32).sin() * (1.0 + 0.2 * item as f32);
        (0..8).flat_map(|item| (0..32).map(move |t| wave(item, t))).collect()
    }

    #[test]
    fn a_short_training_lowers_the_error_and_its_latents_have_spread_one() {
        let (network, device) = (network(), Device::flex());
        let batches = Batches {
            signals: signals().into(),
            n_leads: 1,
            sig_len: 32,
            classes: vec![0; 8],
            labels: None,
            facts: None,
            batch: 4,
            class_exponent: 1.0,
            label_dropout: 0.0,
            beats: None,
            fact_dropout: 0.0,
            seed: Seed::new(1),
            device: device.clone(),
        };
        let learner =
            Autoencoding { network: network.clone(), kl_weight: 1e-3, batches: batches.into(), seed: Seed::new(2) };
        let start = Weights::initialize(&network.params(), Seed::new(3));
        let optimizer = AdamWConfig { learning_rate: 1e-2, warmup_steps: 0, ema_decay: 0.0, ..AdamWConfig::default() };
        let mut trainee = NetworkTrainee::new(learner, network.params(), start, optimizer, 60, &device);
        let losses: Vec<f64> = (0..60).map(|step| trainee.step(step).unwrap().loss).collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert!(mean(&losses[55..]) < 0.5 * mean(&losses[..5]), "{losses:?}");

        let trained = trainee.result();
        let latents = encode_all(&network, &trained.on(&device), &signals(), 32, &device).unwrap();
        assert_eq!((latents.values.len(), latents.sd.len()), (8 * 2 * 8, 2));
        for channel in 0..2 {
            let of_channel: Vec<f64> =
                latents.values.chunks(8).skip(channel).step_by(2).flatten().map(|&v| f64::from(v)).collect();
            let mean = of_channel.iter().sum::<f64>() / of_channel.len() as f64;
            let variance = of_channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / of_channel.len() as f64;
            assert!((variance - 1.0).abs() < 1e-3, "{variance}");
        }

        // A model holds the decoder beside its network, and the decoder undoes the division.
        let mut state = LatentDecoder::stored(&network, &trained);
        state.entries.insert("backbone".into(), trained.entries["encoder.in.bias"].clone());
        let space = LatentSpace { autoencoder: network.config().clone(), sd: latents.sd.clone() };
        let decoder = LatentDecoder::take(&space, &mut state, &device).unwrap();
        assert_eq!(state.entries.keys().collect::<Vec<_>>(), ["backbone"]);
        let one = Tensor::<3>::from_data(TensorData::new(latents.values[..16].to_vec(), [1, 2, 8]), &device);
        let x = Tensor::<3>::from_data(TensorData::new(signals()[..32].to_vec(), [1, 1, 32]), &device);
        let params = trained.on(&device);
        let mean = network.encode(&params.root(), x).unwrap().mean;
        let direct = host(network.decode(&params.root(), mean).unwrap());
        for (a, b) in host(decoder.decode(one).unwrap()).iter().zip(direct) {
            assert!((a - b).abs() < 1e-4, "{a} and {b}");
        }
        let error = LatentDecoder::take(&space, &mut Weights::default(), &device).unwrap_err().to_string();
        assert!(error.contains("decoder.in.weight is missing"), "{error}");
    }

    #[test]
    fn a_latent_that_says_nothing_is_refused() {
        let network = network();
        let mut weights = Weights::initialize(&network.params(), Seed::new(3));
        for name in ["encoder.moments.weight", "encoder.moments.bias"] {
            weights.entries.get_mut(name).unwrap().values.fill(0.0);
        }
        let device = Device::flex();
        let error = encode_all(&network, &weights.on(&device), &signals(), 32, &device).unwrap_err().to_string();
        assert!(error.contains("latent channel 0 says nothing"), "{error}");
    }
}
