//! The second stage of TimeVQVAE: codes that are hidden, from those that are not and a class.
//!
//! What is hidden is fixed here; features are not hidden beside it (the recipe's dropout), which depends on chance.

use burn::tensor::{Device, Tensor};
use einthoven::error::Result;
use einthoven::experiment::timevqvae::TimeVqvaeRecipe;
use einthoven::nn::activations::Activations;
use einthoven::nn::running::{self, BatchStatistics};
use einthoven::nn::timevqvae::{Lesson, Pass, Prior, Query, Tokens, shown};
use einthoven::nn::train::Learner;
use einthoven::nn::weights::{Params, Weights};
use einthoven::run::Tensors;
use serde_json::json;

use super::codes::{self, read_tokens};
use super::stored::{Stored, steps, trainee};
use super::worker::Work;
use super::{LABELS, about, mean_square, opened, optimizer, seed};

fn network(recipe: &TimeVqvaeRecipe) -> Result<Prior> {
    Prior::new(recipe.prior.sized(&codes::network(recipe)?, LABELS))
}

/// Weights, codes, which of them are shown, and classes.
pub fn draw(recipe: &TimeVqvaeRecipe) -> Result<Stored> {
    let network = network(recipe)?;
    let (c, batch) = (network.config(), recipe.stage2.batch);
    let mut stream = seed("codes").stream();
    let mut inputs = Tensors::new();
    for (band, letter) in ["l", "h"].into_iter().enumerate() {
        let n = c.positions[band];
        let tokens = (0..batch * n).map(|_| stream.below(c.codes[band]) as f32).collect();
        inputs.insert(format!("tokens.{letter}"), (vec![batch, n], tokens));
        let mut row = || {
            let scores: Vec<f32> = (0..n).map(|_| stream.uniform() as f32).collect();
            shown(stream.uniform(), &scores)
        };
        let rows = (0..batch).flat_map(|_| row()).map(|is_shown| f32::from(u8::from(is_shown))).collect();
        inputs.insert(format!("shown.{letter}"), (vec![batch, n], rows));
    }
    let classes = (0..batch).map(|_| stream.below(LABELS + 1) as f32).collect();
    inputs.insert("classes".into(), (vec![batch], classes));
    let weights = opened(network.start(seed("weights")).0);
    Ok(Stored { about: about(json!(c), &recipe.stage2.optimizer), weights, inputs })
}

/// A batch of codes.
struct Batch {
    tokens: [Tokens; 2],
    shown: [Vec<Vec<bool>>; 2],
    classes: Vec<usize>,
}

impl Batch {
    fn of(recipe: &TimeVqvaeRecipe, stored: &Stored) -> Result<Batch> {
        let read = |name: &str| read_tokens(stored, name, recipe.stage2.batch);
        let shown = |name: &str| -> Result<Vec<Vec<bool>>> {
            Ok(read(name)?.into_iter().map(|row| row.into_iter().map(|is_shown| is_shown != 0).collect()).collect())
        };
        Ok(Batch {
            tokens: [read("tokens.l")?, read("tokens.h")?],
            shown: [shown("shown.l")?, shown("shown.h")?],
            classes: stored.values("classes")?.iter().map(|&class| class as usize).collect(),
        })
    }
}

struct Completing {
    network: Prior,
    buffers: Weights,
    batch: Batch,
    found: Vec<BatchStatistics>,
}

impl Learner for Completing {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let Batch { tokens, shown, classes } = &self.batch;
        let mut pass = Pass::training(&self.buffers, None);
        let lesson = Lesson { tokens: [&tokens[0], &tokens[1]], shown: [&shown[0], &shown[1]], classes: Some(classes) };
        let [low, high] = self.network.losses(&params.root(), &mut pass, lesson, 1.0)?;
        self.found = pass.into_statistics();
        Ok((low + high, Vec::new()))
    }

    fn applied(&mut self) {
        running::follow(&mut self.buffers, &std::mem::take(&mut self.found));
    }
}

pub fn train(recipe: &TimeVqvaeRecipe, stored: Stored) -> Result<Work> {
    let (network, batch) = (network(recipe)?, Batch::of(recipe, &stored)?);
    let (specs, buffers) = (network.declared().params, network.start(seed("weights")).1);
    let learner = Completing { network, buffers, batch, found: Vec::new() };
    Ok(steps(trainee(learner, specs, stored.weights, optimizer(&recipe.stage2.optimizer)), Activations::Whole))
}

/// Logits of all codes of both bands, as each step of the decoding asks for those of one, by running statistics as they
/// start.
pub fn forward(recipe: &TimeVqvaeRecipe, stored: Stored) -> Result<Work> {
    let (network, batch) = (network(recipe)?, Batch::of(recipe, &stored)?);
    let (params, buffers) = (stored.weights.on(&Device::flex()), network.start(seed("weights")).1);
    Ok(Box::new(move || {
        let (p, mut pass) = (params.root(), Pass::evaluation(&buffers));
        let of_low = Query { low: &batch.tokens[0], high: None, classes: Some(&batch.classes) };
        let of_high = Query { high: Some(&batch.tokens[1]), ..of_low };
        let [low, high] = [of_low, of_high].map(|query| network.logits(&p, &mut pass, query));
        Ok(mean_square(low?) + mean_square(high?))
    }))
}
