//! One side of the comparison in `scripts/bench-generators`: every generator of the preset `ptbxl-small`, its own
//! networks and batches, a training step or a pass on demand.
//!
//! `generator_step write NAME FILE` stores weights, a batch and what else is drawn in training: noise levels, mixing,
//! masks. `generator_step train FILE` and `generator_step forward FILE` do the work as `worker` describes.
//! Names are those of the recipes; `latent-diffusion-autoencoder` and `timevqvae-prior` are the other stages of two.

mod autoencoder;
mod codes;
mod denoiser;
mod gan;
mod prior;
#[path = "../stored/mod.rs"]
mod stored;
#[path = "../worker/mod.rs"]
mod worker;

use std::path::Path;

use burn::tensor::Tensor;
use einthoven::error::{Error, Result};
use einthoven::experiment::generation::{Recipe, resolve};
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::weights::{Weights, host};
use einthoven::seed::Seed;
use serde_json::{Value, json};

use stored::{Stored, constant};
use worker::{Work, serve, start};

/// Leads and points of a record, as the preset has them.
const LEADS: usize = 8;
const LENGTH: usize = 1000;
/// Superclasses of PTB-XL.
const LABELS: usize = 5;

fn main() -> Result<()> {
    start(|words, idle_kib| match words {
        ["write", name, file] => write(name, file.as_ref()),
        ["train", file] => serve(work(file.as_ref(), true)?, idle_kib),
        ["forward", file] => serve(work(file.as_ref(), false)?, idle_kib),
        _ => Err(Error::config("arguments", "expected write NAME FILE, train FILE or forward FILE")),
    })
}

/// The recipe of a name and which of its stages is meant; empty for the one of the recipe's own name.
fn recipe(name: &str) -> Result<(Recipe, &str)> {
    let stages = ["-autoencoder", "-prior"];
    let stage = stages.into_iter().find(|stage| name.ends_with(stage)).unwrap_or_default();
    let mut preset = resolve("ptbxl-small", None, &[])?;
    let recipe = preset.recipes.remove(name.strip_suffix(stage).unwrap_or(name));
    let recipe = recipe.ok_or_else(|| Error::config("name", format!("found {name}, which is no recipe")))?;
    Ok((recipe, stage))
}

fn no_stage(name: &str) -> Error {
    Error::config("name", format!("found {name}, which is no stage of its recipe"))
}

fn write(name: &str, path: &Path) -> Result<()> {
    let (recipe, stage) = recipe(name)?;
    let mut stored = match (&recipe, stage) {
        (Recipe::Diffusion(recipe), "") => denoiser::draw(recipe)?,
        (Recipe::Diffusion(recipe), "-autoencoder") => autoencoder::draw(recipe)?,
        (Recipe::Gan(recipe), "") => gan::draw(recipe)?,
        (Recipe::Timevqvae(recipe), "") => codes::draw(recipe)?,
        (Recipe::Timevqvae(recipe), "-prior") => prior::draw(recipe)?,
        _ => return Err(no_stage(name)),
    };
    stored.about["name"] = name.into();
    stored.write(path)
}

fn work(path: &Path, trains: bool) -> Result<Work> {
    let stored = Stored::load(path)?;
    let name = stored.about["name"].as_str().unwrap_or_default().to_string();
    let (recipe, stage) = recipe(&name)?;
    match (&recipe, stage, trains) {
        (Recipe::Diffusion(recipe), "", true) => denoiser::train(recipe, stored),
        (Recipe::Diffusion(recipe), "", false) => denoiser::forward(recipe, stored),
        (Recipe::Diffusion(recipe), "-autoencoder", true) => autoencoder::train(recipe, stored),
        (Recipe::Diffusion(recipe), "-autoencoder", false) => autoencoder::forward(recipe, stored),
        (Recipe::Gan(recipe), "", true) => gan::train(recipe, stored),
        (Recipe::Gan(recipe), "", false) => gan::forward(recipe, stored),
        (Recipe::Timevqvae(recipe), "", true) => codes::train(recipe, stored),
        (Recipe::Timevqvae(recipe), "", false) => codes::forward(recipe, stored),
        (Recipe::Timevqvae(recipe), "-prior", true) => prior::train(recipe, stored),
        (Recipe::Timevqvae(recipe), "-prior", false) => prior::forward(recipe, stored),
        _ => Err(no_stage(&name)),
    }
}

/// Where everything that is drawn comes from.
fn seed(purpose: &str) -> Seed {
    Seed::new(1).purpose(purpose)
}

/// Standard normal numbers times `scale`.
fn normal(name: &str, shape: &[usize], scale: f32) -> (String, (Vec<usize>, Vec<f32>)) {
    let mut values = vec![0.0; shape.iter().product()];
    seed(name).stream().fill_normal(&mut values);
    values.iter_mut().for_each(|value| *value *= scale);
    (name.to_string(), (shape.to_vec(), values))
}

/// Start values; arrays that start at zero would hide what is behind them, and are drawn too.
fn opened(mut weights: Weights) -> Weights {
    for (name, weight) in &mut weights.entries {
        if weight.values.iter().all(|&value| value == 0.0) {
            weight.values = normal(name, &weight.shape, 0.05).1.1;
        }
    }
    weights
}

/// The settings of a recipe's optimizer at its full rate.
fn optimizer(recipe: &AdamWConfig) -> AdamWConfig {
    constant(recipe.learning_rate, recipe)
}

/// What a peer has to know: a network and its optimizer.
fn about(network: Value, recipe: &AdamWConfig) -> Value {
    json!({ "network": network, "optimizer": optimizer(recipe) })
}

/// Mean square, by which passes are compared.
fn mean_square<const D: usize>(x: Tensor<D>) -> f64 {
    f64::from(host(x.square().mean())[0])
}
