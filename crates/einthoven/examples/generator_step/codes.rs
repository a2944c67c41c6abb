//! The first stage of TimeVQVAE: signals through their codes and back.
//!
//! Codebooks and running statistics follow as in training; codes that nothing falls on are not started again, which
//! depends on chance.

use burn::tensor::{Device, Tensor};
use einthoven::error::Result;
use einthoven::experiment::timevqvae::TimeVqvaeRecipe;
use einthoven::nn::activations::Activations;
use einthoven::nn::running::BatchStatistics;
use einthoven::nn::timevqvae::{Band, Branch, Pass, Tokens, Vqvae, VqvaeConfig};
use einthoven::nn::train::Learner;
use einthoven::nn::weights::{Params, Weights};
use einthoven::run::Tensors;
use serde_json::json;

use super::stored::{Stored, steps, trainee};
use super::worker::Work;
use super::{LEADS, LENGTH, about, mean_square, normal, opened, optimizer, seed};

/// Prefix of what no gradient moves.
const BUFFER: &str = "buffer.";
/// Inputs with the codes of each band.
const TOKENS: [&str; 2] = ["tokens.l", "tokens.h"];

pub fn network(recipe: &TimeVqvaeRecipe) -> Result<Vqvae> {
    Vqvae::new(VqvaeConfig { channels: LEADS, length: LENGTH, ..recipe.vqvae.clone() })
}

/// Weights, codebooks at their start, signals and their codes.
pub fn draw(recipe: &TimeVqvaeRecipe) -> Result<Stored> {
    let network = network(recipe)?;
    let (params, mut buffers) = network.start(seed("weights"));
    let params = opened(params);
    let inputs: Tensors = [normal("x", &[recipe.stage1.batch, LEADS, LENGTH], 1.0)].into();
    let mut stored =
        Stored { about: about(json!(network.config()), &recipe.stage1.optimizer), weights: params, inputs };
    let device = Device::flex();
    let (p, x) = (stored.weights.on(&device), stored.tensor::<3>("x", &device)?);
    network.start_codebooks(&p.root(), &mut buffers, x.clone(), seed("codebooks"))?;
    for (name, tokens) in TOKENS.into_iter().zip(network.tokens(&p.root(), &buffers, x)?) {
        let values: Vec<f32> = tokens.iter().flatten().map(|&code| code as f32).collect();
        stored.inputs.insert(name.into(), (vec![tokens.len(), values.len() / tokens.len()], values));
    }
    let sizes = Band::BOTH.map(|band| network.latent_size(band));
    stored.about["latent_sizes"] = json!(sizes);
    let buffers = buffers.entries.into_iter().map(|(name, weight)| (format!("{BUFFER}{name}"), weight));
    // Sizes that follow from the shape are of no use to a peer, and an array without axes is none to anyone.
    stored.weights.entries.extend(buffers.filter(|(_, weight)| !weight.shape.is_empty()));
    Ok(stored)
}

/// What a gradient moves, and what it does not, completed by what [`draw`] has left out.
fn split(network: &Vqvae, stored: &Stored) -> (Weights, Weights) {
    let mut params = stored.weights.clone();
    params.entries.retain(|name, _| !name.starts_with(BUFFER));
    let (_, mut buffers) = network.start(seed("weights"));
    buffers.entries.extend(stored.below(BUFFER).entries);
    (params, buffers)
}

struct Coding {
    network: Vqvae,
    buffers: Weights,
    x: Tensor<3>,
    found: Option<([Branch; 2], Vec<BatchStatistics>)>,
}

impl Learner for Coding {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let mut pass = Pass::training(&self.buffers, None);
        let branches = self.network.forward(&params.root(), &mut pass, self.x.clone())?;
        let statistics = pass.into_statistics();
        let [low, high] = Band::BOTH.map(|band| self.network.losses(&branches[band as usize], band).total());
        self.found = Some((branches, statistics));
        Ok((low + high, Vec::new()))
    }

    fn applied(&mut self) {
        if let Some((branches, statistics)) = self.found.take() {
            self.network.follow(&mut self.buffers, &branches, &statistics);
        }
    }
}

pub fn train(recipe: &TimeVqvaeRecipe, stored: Stored) -> Result<Work> {
    let network = network(recipe)?;
    let (params, buffers) = split(&network, &stored);
    let specs = network.declared().params;
    let learner = Coding { network, buffers, x: stored.tensor("x", &Device::flex().autodiff())?, found: None };
    Ok(steps(trainee(learner, specs, params, optimizer(&recipe.stage1.optimizer)), Activations::Whole))
}

/// Signals of the codes of both bands, by running statistics as they start.
pub fn forward(recipe: &TimeVqvaeRecipe, stored: Stored) -> Result<Work> {
    let (network, device) = (network(recipe)?, Device::flex());
    let (params, buffers) = split(&network, &stored);
    let params = params.on(&device);
    let [low, high] = TOKENS.map(|name| read_tokens(&stored, name, recipe.stage1.batch));
    let tokens = [low?, high?];
    Ok(Box::new(move || {
        let [low, high] = Band::BOTH
            .map(|band| network.decode_tokens(&params.root(), &buffers, &tokens[band as usize], band, &device));
        Ok(mean_square(low? + high?))
    }))
}

/// Codes of each item of an input.
pub fn read_tokens(stored: &Stored, name: &str, batch: usize) -> Result<Tokens> {
    let values = stored.values(name)?;
    Ok(values.chunks(values.len() / batch).map(|row| row.iter().map(|&code| code as usize).collect()).collect())
}
