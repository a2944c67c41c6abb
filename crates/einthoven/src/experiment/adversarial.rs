//! Training an adversarial generator of whole records: its recipe, and the course of it within a run.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::generation::ROLE;
use super::training::{Trainer, model_path, training_data};
use crate::classifiers::beat_cnn::lead_scales;
use crate::config::check;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::generators::gan_model::{GanCard, GanModel};
use crate::nn::adamw::AdamWConfig;
use crate::nn::gan::critic::{Critic, CriticConfig};
use crate::nn::gan::network::{GanNetwork, GanNetworkConfig};
use crate::nn::gan::training::{Examples, GanCourse, GanTrainee};
use crate::run::Progress;
use crate::signal;

/// How an adversarial generator is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GanRecipe {
    /// Its network; leads and labels follow from the data.
    pub network: GanNetworkConfig,
    /// Its critic; leads and length follow from the data.
    pub critic: CriticConfig,
    /// Largest amplitude that the network can make, in standard deviations of each lead.
    pub span_sd: f64,
    /// Weight of the gradient penalty.
    pub penalty: f64,
    /// Steps of the critic for each one of the generator.
    pub critic_steps: u64,
    /// Steps of the critic.
    pub steps: u64,
    /// Records in a batch.
    pub batch: usize,
    /// Optimizer of each of the two.
    pub optimizer: AdamWConfig,
}

impl GanRecipe {
    /// Checks what can be checked before there are data; `key` is where the recipe stands.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self, generator: &str, key: impl Fn(&str) -> String) -> Result<()> {
        let kind = self.network.kind();
        check(&key("network.kind"), kind == generator, kind, generator)?;
        let span = self.span_sd;
        check(&key("span_sd"), (1.0..=1000.0).contains(&span), span, "1 to 1000")?;
        let penalty = self.penalty;
        check(&key("penalty"), (0.0..=1e6).contains(&penalty), penalty, "0 to 1000000")?;
        self.optimizer.validate(|field| key(&format!("optimizer.{field}")))?;
        for (field, n) in [("critic_steps", self.critic_steps), ("steps", self.steps), ("batch", self.batch as u64)] {
            check(&key(field), (1..=100_000_000).contains(&n), n, "1 to 100000000")?;
        }
        let (steps, critic_steps) = (self.steps, self.critic_steps);
        check(
            &key("steps"),
            steps >= critic_steps,
            steps,
            &format!("at least {critic_steps}, one step of the generator"),
        )
    }
}

impl GanRecipe {
    /// The network and its critic for records like these.
    ///
    /// # Errors
    /// [`Error::Config`] for a network that does not make records of this length.
    pub(super) fn networks(&self, data: &Dataset) -> Result<(GanNetworkConfig, GanNetwork, Critic)> {
        let (n_leads, sig_len) = (data.leads.len(), data.sig_len);
        let config = self.network.sized(n_leads, data.n_labels(), sig_len);
        let network = GanNetwork::new(&config, sig_len)?;
        Ok((config, network, Critic::new(self.critic.sized(n_leads, sig_len))?))
    }
}

/// Trains a generator on the training part and leaves its model in the run.
///
/// # Errors
/// [`Error::Config`] for a network that does not make records of this length; [`Error::Data`] for a part without
/// records to learn from; everything that training returns.
pub(super) fn train(
    generator: &str,
    recipe: &GanRecipe,
    part: &Dataset,
    trainer: &Trainer,
    progress: &mut dyn Progress,
) -> Result<()> {
    let (n_leads, sig_len) = (part.leads.len(), part.sig_len);
    let (config, network, critic) = recipe.networks(part)?;
    let is_told = config.n_labels() > 0;
    let labeled;
    let part = match is_told {
        // Labels scale the network's normalizations: without one nothing but a flat line comes out.
        true => {
            let has_label =
                |item: &usize| part.labels.chunks(part.n_labels()).nth(*item).is_some_and(|row| row.contains(&1));
            labeled = part.select(&(0..part.len()).filter(has_label).collect::<Vec<_>>());
            &labeled
        }
        false => part,
    };
    if part.is_empty() {
        return Err(Error::data("training part", "holds no record with a label"));
    }
    let scale_mv: Vec<f32> = lead_scales(part)?.iter().map(|sd| sd * recipe.span_sd as f32).collect();
    let examples = Examples {
        signals: signal::scaled(&part.ecg, &scale_mv, sig_len).into(),
        labels: if is_told { part.labels.iter().map(|&label| f32::from(label)).collect() } else { [].into() },
        shape: [n_leads, sig_len],
        batch: recipe.batch,
        seed: trainer.seed.purpose("training").purpose(ROLE),
        device: trainer.device.clone(),
    };
    let course = GanCourse {
        n_steps: recipe.steps,
        critic_steps: recipe.critic_steps,
        penalty: recipe.penalty,
        optimizer: recipe.optimizer.clone(),
    };
    let trainee = |batch: usize, device: &Device, start: &str| {
        let examples = Examples { batch, device: device.clone(), ..examples.clone() };
        GanTrainee::new(&network, &critic, examples, &course, trainer.seed.purpose(start).purpose(ROLE))
    };
    trainer.tell_activations_are_whole(ROLE, progress);
    let (trainee, _) = trainer.train_stage(
        ROLE,
        recipe.steps,
        recipe.batch,
        // The first step in which both learn.
        recipe.critic_steps - 1,
        |batch| trainee(batch, trainer.device, "start"),
        || GanTrainee::check_device(|device| trainee(recipe.batch, device, "device check"), trainer.device),
        progress,
    )?;
    let card = GanCard {
        format: 1,
        generator: generator.into(),
        role: ROLE.into(),
        network: config,
        scale_mv,
        leads: part.leads.clone(),
        sig_len,
        fs_hz: part.fs_hz,
        label_names: if is_told { part.label_names.clone() } else { Vec::new() },
        training_data: training_data(part),
    };
    GanModel::new(card, trainee.result(), trainer.device)?.save(&model_path(trainer.run, ROLE))
}
