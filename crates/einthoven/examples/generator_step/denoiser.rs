//! The networks of the diffusion generators: error of a noisy batch against a fixed target.

use burn::tensor::{Device, Tensor};
use einthoven::dataset::Facts;
use einthoven::dataset::condition::{Sex, Told};
use einthoven::diffusion::{Backbone, Condition, Network, NetworkConfig};
use einthoven::error::Result;
use einthoven::experiment::diffusion::DiffusionRecipe;
use einthoven::nn::activations::Activations;
use einthoven::nn::told;
use einthoven::nn::train::Learner;
use einthoven::nn::weights::Params;
use einthoven::run::Tensors;
use serde_json::json;

use super::stored::{Stored, steps, trainee};
use super::worker::Work;
use super::{LABELS, LEADS, LENGTH, about, mean_square, normal, opened, optimizer, seed};

/// Channels and points of what the network denoises: signals, or latents of the recipe's autoencoder.
fn shape(recipe: &DiffusionRecipe) -> Result<[usize; 2]> {
    match &recipe.latent {
        Some(latent) => {
            let c = &latent.autoencoder;
            Ok([c.latent_channels, c.latent_length(LENGTH)?])
        }
        None => Ok([LEADS, LENGTH]),
    }
}

fn network(recipe: &DiffusionRecipe) -> Result<(NetworkConfig, Network)> {
    let told = Told { facts: recipe.conditions.clone(), sites: Vec::new() };
    let config = recipe.network.sized(shape(recipe)?[0], LABELS).with_told(told);
    let network = Network::new(&config, seed("network"))?;
    Ok((config, network))
}

/// Labels and facts of a batch, some of them unknown, as in training.
fn condition(batch: usize) -> Condition {
    let mut stream = seed("condition").stream();
    let (mut labels, mut facts) = (Vec::new(), Vec::new());
    for item in 0..batch {
        labels.push((0..LABELS).map(|_| if item % 4 == 0 { 0.0 } else { stream.below(2) as f32 }).collect());
        let mut some = |low, high| {
            let value = stream.uniform_in(low, high);
            (stream.below(5) > 0).then_some(value)
        };
        facts.push(Facts {
            hr_bpm: some(50.0, 110.0),
            pr_ms: some(120.0, 220.0),
            qrs_ms: some(80.0, 140.0),
            qtc_ms: some(380.0, 480.0),
            axis_deg: some(-60.0, 120.0),
            age_years: some(20.0, 90.0),
            sex: some(0.0, 1.0).map(|value| if value < 0.5 { Sex::Female } else { Sex::Male }),
            site: None,
        });
    }
    let mut condition = Condition::of_labels(labels);
    condition.facts = Some(facts);
    condition
}

/// Weights, noisy signals, network times, what the network is told, and the target.
pub fn draw(recipe: &DiffusionRecipe) -> Result<Stored> {
    let ((config, network), [channels, length]) = (network(recipe)?, shape(recipe)?);
    let batch = recipe.batch;
    let x = [batch, channels, length];
    let mut stream = seed("time").stream();
    let last = (recipe.schedule_steps - 1) as f64;
    let times = (0..batch).map(|_| stream.uniform_in(0.0, last) as f32).collect();
    let condition = condition(batch);
    let labels = condition.label_rows(batch, LABELS)?;
    let rows = labels.chunks(LABELS).zip(condition.facts.iter().flatten());
    let rows: Vec<f32> =
        rows.flat_map(|(labels, facts)| [labels, &told::rows(config.told(), facts)].concat()).collect();
    let mut inputs: Tensors = ["x", "target"].map(|name| normal(name, &x, 1.0)).into();
    inputs.insert("time".into(), (vec![batch], times));
    inputs.insert("told".into(), (vec![batch, rows.len() / batch], rows));
    Ok(Stored {
        about: about(json!(config), &recipe.optimizer),
        weights: opened(network.start(seed("weights"))),
        inputs,
    })
}

/// The batch on a device.
struct Batch {
    x: Tensor<3>,
    time: Tensor<1>,
    condition: Condition,
    target: Tensor<3>,
}

impl Batch {
    fn of(recipe: &DiffusionRecipe, stored: &Stored, device: &Device) -> Result<Batch> {
        Ok(Batch {
            x: stored.tensor("x", device)?,
            time: stored.tensor("time", device)?,
            condition: condition(recipe.batch),
            target: stored.tensor("target", device)?,
        })
    }

    fn error(&self, backbone: &dyn Backbone) -> Result<Tensor<3>> {
        Ok(backbone.predict(self.x.clone(), self.time.clone(), &self.condition)? - self.target.clone())
    }
}

struct FixedTarget {
    network: Network,
    batch: Batch,
}

impl Learner for FixedTarget {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let error = self.batch.error(&self.network.with(params.clone()))?;
        Ok((error.square().mean(), Vec::new()))
    }
}

pub fn train(recipe: &DiffusionRecipe, stored: Stored) -> Result<Work> {
    let (_, network) = network(recipe)?;
    let batch = Batch::of(recipe, &stored, &Device::flex().autodiff())?;
    let specs = network.params();
    let learner = FixedTarget { network, batch };
    Ok(steps(trainee(learner, specs, stored.weights, optimizer(&recipe.optimizer)), Activations::Whole))
}

/// One denoiser call as a sampler makes it: what depends on the weights alone is computed before.
pub fn forward(recipe: &DiffusionRecipe, stored: Stored) -> Result<Work> {
    let (device, (_, network)) = (Device::flex(), network(recipe)?);
    let batch = Batch::of(recipe, &stored, &device)?;
    let backbone = network.prepared(stored.weights.on(&device), batch.x.dims()[2]);
    Ok(Box::new(move || Ok(mean_square(batch.error(&backbone)?))))
}
