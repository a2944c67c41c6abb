//! The first stage of a generator in latents: signals through the autoencoder and back.

use burn::tensor::{Device, Tensor};
use einthoven::diffusion::loss::squared_error;
use einthoven::error::{Error, Result};
use einthoven::experiment::diffusion::DiffusionRecipe;
use einthoven::nn::activations::Activations;
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::train::Learner;
use einthoven::nn::vae1d::{Vae1d, Vae1dConfig};
use einthoven::nn::weights::{Params, Weights};
use serde_json::json;

use super::stored::{Stored, steps, trainee};
use super::worker::Work;
use super::{LEADS, LENGTH, about, mean_square, normal, opened, optimizer, seed};

/// The autoencoder's part of a recipe.
struct Stage {
    network: Vae1d,
    kl_weight: f64,
    batch: usize,
    optimizer: AdamWConfig,
}

fn stage(recipe: &DiffusionRecipe) -> Result<Stage> {
    let latent = recipe.latent.as_ref();
    let latent = latent.ok_or_else(|| Error::config("latent", "found none, expected an autoencoder in the recipe"))?;
    let network = Vae1d::new(Vae1dConfig { channels: LEADS, ..latent.autoencoder.clone() })?;
    Ok(Stage { network, kl_weight: latent.kl_weight, batch: latent.batch, optimizer: latent.optimizer.clone() })
}

/// Weights, signals and the noise of the posterior.
pub fn draw(recipe: &DiffusionRecipe) -> Result<Stored> {
    let Stage { network, kl_weight, batch, optimizer } = stage(recipe)?;
    let c = network.config();
    let latent = [batch, c.latent_channels, c.latent_length(LENGTH)?];
    let mut about = about(json!(c), &optimizer);
    about["kl_weight"] = kl_weight.into();
    Ok(Stored {
        about,
        weights: opened(Weights::initialize(&network.params(), seed("weights"))),
        inputs: [normal("x", &[batch, LEADS, LENGTH], 1.0), normal("noise", &latent, 1.0)].into(),
    })
}

struct Autoencoding {
    network: Vae1d,
    kl_weight: f64,
    x: Tensor<3>,
    noise: Tensor<3>,
}

impl Learner for Autoencoding {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let posterior = self.network.encode(&params.root(), self.x.clone())?;
        let decoded = self.network.decode(&params.root(), posterior.sample(self.noise.clone()))?;
        let divergence = posterior.divergence() * (self.kl_weight / (LEADS * LENGTH) as f64);
        Ok(((squared_error(decoded, self.x.clone()) + divergence).mean(), Vec::new()))
    }
}

pub fn train(recipe: &DiffusionRecipe, stored: Stored) -> Result<Work> {
    let (stage, device) = (stage(recipe)?, Device::flex().autodiff());
    let specs = stage.network.params();
    let (x, noise) = (stored.tensor("x", &device)?, stored.tensor("noise", &device)?);
    let learner = Autoencoding { network: stage.network, kl_weight: stage.kl_weight, x, noise };
    Ok(steps(trainee(learner, specs, stored.weights, optimizer(&stage.optimizer)), Activations::Whole))
}

/// Signals of a batch of latents.
pub fn forward(recipe: &DiffusionRecipe, stored: Stored) -> Result<Work> {
    let (network, device) = (stage(recipe)?.network, Device::flex());
    let (params, latent) = (stored.weights.on(&device), stored.tensor::<3>("noise", &device)?);
    Ok(Box::new(move || Ok(mean_square(network.decode(&params.root(), latent.clone())?))))
}
