//! Training of TimeVQVAE in its two stages: codes for signals first, then what codes go together.

use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::generation::ROLE;
use super::training::{Trainer, model_path, training_data};
use crate::classifiers::beat_cnn::lead_scales;
use crate::config::check;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::generators::timevqvae::{NAME, TimeVqvaeCard, TimeVqvaeModel, joined};
use crate::nn::adamw::AdamWConfig;
use crate::nn::timevqvae::training::{Completion, Reconstruction, all_tokens};
use crate::nn::timevqvae::{Decoding, Prior, PriorConfig, Tokens, Vqvae, VqvaeConfig};
use crate::nn::train::NetworkTrainee;
use crate::run::Progress;
use crate::signal;

/// Stages of the run, by name.
const STAGES: [&str; 2] = ["vqvae", "prior"];

/// How both stages are trained, and how codes are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeVqvaeRecipe {
    /// Stage 1; leads and length follow from the data.
    pub vqvae: VqvaeConfig,
    /// Stage 2; positions, codes and classes follow from stage 1 and the data.
    pub prior: PriorConfig,
    /// Codes on which fewer positions of a batch fall on average start again at one of them; 0 as published.
    pub dead_below: f32,
    /// Share of items whose label is hidden from the prior.
    pub label_dropout: f64,
    /// Decoding of the model unless asked otherwise.
    pub decoding: Decoding,
    /// Training of stage 1.
    pub stage1: StageRecipe,
    /// Training of stage 2.
    pub stage2: StageRecipe,
}

/// How a stage is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecipe {
    /// Optimizer steps.
    pub steps: u64,
    /// Records in a batch.
    pub batch: usize,
    /// Share of hidden features.
    pub dropout: f64,
    /// Optimizer; without a moving average, which neither codebooks nor running statistics would follow.
    pub optimizer: AdamWConfig,
}

impl TimeVqvaeRecipe {
    /// Checks the ranges; `key` gives the full key of a field.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    pub fn validate(&self, key: &dyn Fn(&str) -> String) -> Result<()> {
        let dropout = self.label_dropout;
        check(&key("label_dropout"), (0.0..1.0).contains(&dropout), dropout, "0 to below 1")?;
        check(&key("dead_below"), (0.0..1e6).contains(&self.dead_below), self.dead_below, "0 to below 1000000")?;
        self.decoding.validate()?;
        for (stage, recipe) in [("stage1", &self.stage1), ("stage2", &self.stage2)] {
            let key = |field: &str| key(&format!("{stage}.{field}"));
            for (field, n) in [("steps", recipe.steps), ("batch", recipe.batch as u64)] {
                check(&key(field), (1..=100_000_000).contains(&n), n, "1 to 100000000")?;
            }
            check(&key("dropout"), (0.0..1.0).contains(&recipe.dropout), recipe.dropout, "0 to below 1")?;
            let ema = recipe.optimizer.ema_decay;
            check(&key("optimizer.ema_decay"), ema == 0.0, ema, "0: codebooks follow the last weights")?;
            recipe.optimizer.validate(|field| key(&format!("optimizer.{field}")))?;
        }
        Ok(())
    }

    /// The networks of both stages for a data set.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for records that they cannot be made for.
    pub fn networks(&self, data: &Dataset) -> Result<(Vqvae, Prior)> {
        let vqvae = Vqvae::new(VqvaeConfig { channels: data.leads.len(), length: data.sig_len, ..self.vqvae.clone() })?;
        let prior = Prior::new(self.prior.sized(&vqvae, data.n_labels()))?;
        Ok((vqvae, prior))
    }
}

/// Trains both stages and stores the model of the run.
///
/// # Errors
/// As `Trainer::fit`.
pub fn train(recipe: &TimeVqvaeRecipe, part: &Dataset, trainer: &Trainer, progress: &mut dyn Progress) -> Result<()> {
    let (vqvae, prior) = recipe.networks(part)?;
    let scale_mv = lead_scales(part)?;
    let signals: Arc<[f32]> = signal::scaled(&part.ecg, &scale_mv, part.sig_len).into();

    let of_stage1 = reconstruct(recipe, &vqvae, Arc::clone(&signals), trainer, progress)?;
    let (params, buffers) = (of_stage1.result(), of_stage1.learner.buffers);
    let on_device = params.on(trainer.device);
    let tokens = all_tokens(&vqvae, &on_device.root(), &buffers, &signals, trainer.device)?;
    let used = tokens.each_ref().map(|tokens| {
        let mut codes: Vec<usize> = tokens.iter().flatten().copied().collect();
        codes.sort_unstable();
        codes.dedup();
        codes.len()
    });
    let [low, high] = vqvae.config().codes;
    progress
        .tell(&format!("{NAME}: {} of {low} codes of the low band in use, {} of {high} of the high", used[0], used[1]));
    let of_stage2 = complete(recipe, &prior, Arc::new(tokens), part, trainer, progress)?;

    let state = joined([params, buffers], [of_stage2.result(), of_stage2.learner.buffers]);
    let card = TimeVqvaeCard {
        format: 1,
        generator: NAME.into(),
        role: ROLE.into(),
        vqvae: vqvae.config().clone(),
        prior: prior.config().clone(),
        decoding: recipe.decoding.clone(),
        scale_mv,
        leads: part.leads.clone(),
        fs_hz: part.fs_hz,
        label_names: part.label_names.clone(),
        training_data: training_data(part),
    };
    trainer.run.stage(ROLE)?;
    TimeVqvaeModel::new(card, state, trainer.device)?.save(&model_path(trainer.run, ROLE))
}

/// Stage 1: signals through their codes and back.
fn reconstruct(
    recipe: &TimeVqvaeRecipe,
    network: &Vqvae,
    signals: Arc<[f32]>,
    trainer: &Trainer,
    progress: &mut dyn Progress,
) -> Result<NetworkTrainee<Reconstruction>> {
    let (role, stage) = (STAGES[0], &recipe.stage1);
    let (weights, buffers) = network.start(trainer.seed.purpose("start").purpose(role));
    let seed = trainer.seed.purpose("training").purpose(role);
    let learner = |batch, device: &Device| {
        let (signals, device) = (Arc::clone(&signals), device.clone());
        let mut learner = Reconstruction::new(network.clone(), buffers.clone(), signals, batch, seed, device);
        (learner.dropout, learner.dead_below) = (stage.dropout, recipe.dead_below);
        learner
    };
    let course = (stage.steps, stage.batch, &stage.optimizer);
    Ok(trainer.learn(role, (network.declared().params, weights), course, learner, progress)?.0)
}

/// Stage 2: codes that were hidden, from those that were not and a label.
fn complete(
    recipe: &TimeVqvaeRecipe,
    network: &Prior,
    tokens: Arc<[Tokens; 2]>,
    part: &Dataset,
    trainer: &Trainer,
    progress: &mut dyn Progress,
) -> Result<NetworkTrainee<Completion>> {
    let (role, stage) = (STAGES[1], &recipe.stage2);
    let (weights, buffers) = network.start(trainer.seed.purpose("start").purpose(role));
    let seed = trainer.seed.purpose("training").purpose(role);
    let n_labels = part.n_labels();
    let of_item = |item: usize| {
        let row = &part.labels[item * n_labels..(item + 1) * n_labels];
        row.iter().enumerate().filter(|(_, is_set)| **is_set != 0).map(|(label, _)| label).collect()
    };
    let labels: Arc<[Vec<usize>]> = (0..part.len()).map(of_item).collect();
    let learner = |batch, _: &Device| {
        let (tokens, labels) = (Arc::clone(&tokens), Arc::clone(&labels));
        let mut learner = Completion::new(network.clone(), buffers.clone(), tokens, labels, batch, seed);
        (learner.dropout, learner.label_dropout) = (stage.dropout, recipe.label_dropout);
        learner
    };
    let course = (stage.steps, stage.batch, &stage.optimizer);
    Ok(trainer.learn(role, (network.declared().params, weights), course, learner, progress)?.0)
}
