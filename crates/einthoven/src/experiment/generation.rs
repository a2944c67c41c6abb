//! Training one generator of whole records on a database, from a preset that holds a recipe for each.
//!
//! The data are either a prepared data set or a database of the catalogue, brought to the preset's rate, length and
//! leads. Only the training part is learned from. The run is left with one model, ready to be drawn from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::config::Cost;
use super::training::{Course, Trainer, model_path, objective, training_data};
use super::{Preset, RunRequest, device};
use crate::classifiers::beat_cnn::lead_scales;
use crate::config::{Validate, check, load_valid};
use crate::dataset::window::RecordOptions;
use crate::dataset::{Dataset, Preparation, Split, assemble, guard, npz};
use crate::diffusion::batches::Batches;
use crate::diffusion::distill::Denoising;
use crate::diffusion::{Network, NetworkConfig, sampler};
use crate::error::{Error, Result};
use crate::generators;
use crate::generators::diffusion_model::ModelCard;
use crate::nn::adamw::AdamWConfig;
use crate::run::{Progress, Stop};
use crate::seed::Seed;
use crate::signal;

/// Role of the model in its run.
pub const ROLE: &str = "generator";

/// All presets of generators of whole records.
pub static GENERATION_PRESETS: &[Preset] = &[Preset {
    name: "ptbxl-small",
    summary: "generators of 10 s records of eight leads at 100 Hz on PTB-XL, sized for a CPU",
    text: include_str!("../../presets/records/ptbxl-small.toml"),
}];

/// Whether a preset trains a generator of whole records.
pub fn is_generation(preset: &str) -> bool {
    GENERATION_PRESETS.iter().any(|known| known.name == preset)
}

/// A preset of generators of whole records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// What it is for.
    pub title: String,
    /// Expected cost of the costliest recipe.
    pub cost: Cost,
    /// The generator that is trained, one of `recipes`.
    pub generator: String,
    /// The records.
    pub data: RecordData,
    /// How each generator is trained, by its name.
    pub recipes: BTreeMap<String, Recipe>,
}

/// Where the records come from and what becomes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordData {
    /// Database by its name in the catalogue.
    pub database: String,
    /// Label set by name.
    pub labels: String,
    /// Split by name.
    pub split: String,
    /// Cut-off of the high-pass, Hz; 0 for none.
    pub highpass_hz: f64,
    /// Rate, length, leads and what is left out.
    pub records: RecordOptions,
}

/// How a generator is trained and sampled from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its network; leads and labels follow from the data.
    pub network: NetworkConfig,
    /// What the network puts out: `noise`, `v` or `x0`.
    pub parameterization: String,
    /// Noise schedule; `angle` is continuous.
    pub schedule: String,
    /// Steps of a discrete schedule.
    pub schedule_steps: usize,
    /// Share of items whose labels are hidden in training.
    pub label_dropout: f64,
    /// Optimizer steps.
    pub steps: u64,
    /// Records in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
    /// Sampler of the model unless asked otherwise.
    pub sampler: String,
    /// Its denoiser calls.
    pub sampler_steps: usize,
    /// Its guidance weight.
    pub guidance: f64,
}

impl Validate for Generation {
    fn validate(&self) -> Result<()> {
        let known: Vec<&str> = self.recipes.keys().map(String::as_str).collect();
        check(
            "generator",
            known.contains(&self.generator.as_str()),
            &self.generator,
            &format!("one that the preset has a recipe for: {}", known.join(", ")),
        )?;
        let cutoff = self.data.highpass_hz;
        check("data.highpass_hz", (0.0..10.0).contains(&cutoff), cutoff, "0 to below 10")?;
        for (name, recipe) in &self.recipes {
            generators::find(name)?;
            let key = |field: &str| format!("recipes.{name}.{field}");
            objective(&recipe.parameterization, &recipe.schedule, recipe.schedule_steps)?;
            sampler::find(&recipe.sampler)?;
            let dropout = recipe.label_dropout;
            check(&key("label_dropout"), (0.0..1.0).contains(&dropout), dropout, "0 to below 1")?;
            let rate = recipe.optimizer.learning_rate;
            check(&key("optimizer.learning_rate"), rate > 0.0 && rate < 1.0, rate, "above 0 and below 1")?;
            let ema = recipe.optimizer.ema_decay;
            check(&key("optimizer.ema_decay"), (0.0..1.0).contains(&ema), ema, "0 to below 1")?;
            for (field, n) in [
                ("steps", recipe.steps),
                ("batch", recipe.batch as u64),
                ("sampler_steps", recipe.sampler_steps as u64),
            ] {
                check(&key(field), (1..=100_000_000).contains(&n), n, "1 to 100000000")?;
            }
        }
        Ok(())
    }
}

/// The preset that a request resolves to, with its generator chosen.
///
/// # Errors
/// [`Error::Unknown`] for a preset that does not exist; [`Error::Config`] for a wrong setting.
pub fn resolve(preset: &str, generator: Option<&str>, overrides: &[String]) -> Result<Generation> {
    let preset = GENERATION_PRESETS.iter().find(|known| known.name == preset).ok_or_else(|| Error::Unknown {
        kind: "preset of whole records",
        name: preset.into(),
        known: GENERATION_PRESETS.iter().map(|known| known.name.to_string()).collect(),
    })?;
    let chosen = generator.map(|name| format!("generator={name}"));
    let overrides: Vec<String> = chosen.into_iter().chain(overrides.iter().cloned()).collect();
    load_valid(preset.text, preset.name, &overrides)
}

/// Trains the generator of a request and returns its model file; the same request again goes on where it stopped.
///
/// # Errors
/// [`Error::Interrupted`] and [`Error::Limit`] after a checkpoint; [`Error::Guard`] for a leak or a folder in use;
/// [`Error::Data`] for missing amplitudes; everything that reading returns.
pub fn train(request: &RunRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<PathBuf> {
    let config = resolve(request.preset, request.generator, request.overrides)?;
    let recipe = &config.recipes[&config.generator];
    let device = device(request.device)?;
    let seed = Seed::new(request.seed);
    let data = open(&config.data, request.data, request.seed)?;
    guard::check(&data)?;
    let run = request.open_run(&config, data.fingerprint())?;
    let part = data.part(Split::Train);
    drop(data);
    let card = card(&config.generator, recipe, &part)?;
    let batches = batches(&part, &card.scale_mv, recipe, seed, &device);
    progress.tell(&format!("{}: {} records of the training part", config.generator, part.len()));

    let network = Network::new(&card.network, seed.purpose("network"))?;
    let objective = objective(&recipe.parameterization, &recipe.schedule, recipe.schedule_steps)?;
    let learner = |batch, device: &Device| Denoising {
        network: network.clone(),
        objective: objective.clone(),
        batches: Batches { batch, device: device.clone(), ..batches.clone() }.into(),
    };
    let trainer = Trainer {
        run: &run,
        stop,
        device: &device,
        seed,
        probe: request.probe,
        max_memory_bytes: request.max_memory_bytes,
    };
    let course = Course { n_steps: recipe.steps, batch: recipe.batch, optimizer: &recipe.optimizer, start: None };
    trainer.fit(&network, card, course, |batch| learner(batch, &device), |b, d| Ok(learner(b, d)), progress)?;
    Ok(model_path(&run, ROLE))
}

/// The data set: a prepared one where the folder holds one, else the database of the preset.
fn open(config: &RecordData, folder: Option<&Path>, seed: u64) -> Result<Dataset> {
    let Some(folder) = folder else {
        let database = &config.database;
        let reason = format!(
            "this preset needs the folder of {database}, or a folder that prepare made: name it with --data DIR, or get \
             it with: einthoven fetch {database}"
        );
        return Err(Error::config("--data", reason));
    };
    let data = match folder.join("data.npz") {
        prepared if prepared.is_file() => npz::read(&prepared)?,
        _ => assemble(&Preparation {
            database: config.database.clone(),
            folder: folder.into(),
            labels: config.labels.clone(),
            split: config.split.clone(),
            seed,
            high_pass_hz: (config.highpass_hz > 0.0).then_some(config.highpass_hz),
            records: Vec::new(),
            whole: config.records.clone(),
        })?,
    };
    if let Some(item) = data.ecg.iter().position(|v| !v.is_finite()).map(|at| at / (data.leads.len() * data.sig_len)) {
        return Err(Error::data(&data.record[item], "has missing amplitudes, which a generator cannot learn from"));
    }
    Ok(data)
}

fn batches(part: &Dataset, scale_mv: &[f32], recipe: &Recipe, seed: Seed, device: &Device) -> Batches {
    Batches {
        signals: signal::scaled(&part.ecg, scale_mv, part.sig_len).into(),
        n_leads: part.leads.len(),
        sig_len: part.sig_len,
        classes: vec![0; part.len()],
        labels: Some(part.labels.iter().map(|&label| f32::from(label)).collect()),
        batch: recipe.batch,
        class_exponent: 1.0,
        label_dropout: recipe.label_dropout,
        seed: seed.purpose("training").purpose(ROLE),
        device: device.clone(),
    }
}

fn card(generator: &str, recipe: &Recipe, part: &Dataset) -> Result<ModelCard> {
    if part.is_empty() {
        return Err(Error::data("training part", "is empty"));
    }
    Ok(ModelCard {
        format: 1,
        generator: generator.into(),
        role: ROLE.into(),
        network: recipe.network.sized(part.leads.len(), part.n_labels()),
        parameterization: recipe.parameterization.clone(),
        schedule: recipe.schedule.clone(),
        schedule_steps: recipe.schedule_steps,
        scale_mv: lead_scales(part)?,
        leads: part.leads.clone(),
        sig_len: part.sig_len,
        fs_hz: part.fs_hz,
        label_names: part.label_names.clone(),
        sampler: recipe.sampler.clone(),
        steps: recipe.sampler_steps,
        guidance: recipe.guidance,
        training_data: training_data(part),
    })
}
