//! Training one generator of whole records on a database, from a preset that holds a recipe for each.
//!
//! The data are either a prepared data set or a database of the catalogue, brought to the preset's rate, length and
//! leads. Only the training part is learned from. The run is left with one model, ready to be drawn from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::adversarial::{self, GanRecipe};
use super::config::Cost;
use super::distillation::{Distillation, Lineage, STUDENT, TEACHER};
use super::timevqvae::{self, TimeVqvaeRecipe};
use super::training::{Course, Trainer, model_path, objective, training_data};
use super::{Preset, RunRequest, device};
use crate::beat::rpeak::r_peaks;
use crate::classifiers::beat_cnn::lead_scales;
use crate::config::{Validate, check, load_valid};
use crate::dataset::window::RecordOptions;
use crate::dataset::{Dataset, Preparation, Split, assemble, guard, npz};
use crate::diffusion::auxiliary::beats::BeatDecoder;
use crate::diffusion::auxiliary::{Auxiliary, AuxiliaryConfig};
use crate::diffusion::batches::Batches;
use crate::diffusion::{NetworkConfig, sampler};
use crate::error::{Error, Result};
use crate::generators;
use crate::generators::diffusion_model::ModelCard;
use crate::nn::adamw::AdamWConfig;
use crate::run::{Progress, Stop};
use crate::seed::Seed;
use crate::signal;

/// Role of the model in its run, where it has no students; with students it is the teacher.
pub const ROLE: &str = "generator";

/// All presets of generators of whole records.
pub static GENERATION_PRESETS: &[Preset] = &[
    Preset {
        name: "ptbxl-small",
        summary: "generators of 10 s records of eight leads at 100 Hz on PTB-XL, sized for a CPU",
        text: include_str!("../../presets/records/ptbxl-small.toml"),
    },
    Preset {
        name: "ptbxl-small-kd",
        summary: "the same with students: half the width, then 8, 4, 2 and 1 steps",
        text: include_str!("../../presets/records/ptbxl-small-kd.toml"),
    },
];

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

/// How a generator is trained and sampled from, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Recipe {
    /// Diffusion by any network.
    Diffusion(DiffusionRecipe),
    /// TimeVQVAE, in two stages.
    Timevqvae(TimeVqvaeRecipe),
    /// A network against a critic.
    Gan(GanRecipe),
}

/// How a diffusion generator is trained and sampled from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionRecipe {
    /// Its network; leads and labels follow from the data.
    pub network: NetworkConfig,
    /// What the network puts out: `noise`, `v`, `x0` or `flow`.
    pub parameterization: String,
    /// Noise schedule; `angle` and `rectified` are continuous.
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
    /// Its steps.
    pub sampler_steps: usize,
    /// Its guidance weight.
    pub guidance: f64,
    /// Weights of further losses; none unless given.
    #[serde(default)]
    pub auxiliary: AuxiliaryConfig,
    /// Its students; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
}

impl Recipe {
    /// Role of the model that learns from the data alone.
    pub fn first_role(&self) -> &'static str {
        if self.distillation().is_some() { TEACHER } else { ROLE }
    }

    /// Role of the model that is drawn from unless another is named.
    pub fn best_role(&self) -> String {
        self.distillation().map_or_else(|| ROLE.into(), Distillation::best_role)
    }

    fn distillation(&self) -> Option<&Distillation> {
        match self {
            Recipe::Diffusion(recipe) => recipe.distillation.as_ref(),
            Recipe::Timevqvae(_) | Recipe::Gan(_) => None,
        }
    }
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
            let recipe = match recipe {
                Recipe::Diffusion(recipe) => recipe,
                Recipe::Timevqvae(recipe) => {
                    recipe.validate(&key)?;
                    continue;
                }
                Recipe::Gan(recipe) => {
                    recipe.validate(name, &key)?;
                    continue;
                }
            };
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
            recipe.auxiliary.validate(&key("auxiliary"))?;
            if let Some(students) = &recipe.distillation {
                students.validate(&key("distillation"), &recipe.parameterization, &recipe.schedule)?;
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

/// Trains the generator of a request and its students, and returns their model files; the same request again goes on
/// where it stopped.
///
/// # Errors
/// [`Error::Interrupted`] and [`Error::Limit`] after a checkpoint; [`Error::Guard`] for a leak or a folder in use;
/// [`Error::Data`] for missing amplitudes; everything that reading returns.
pub fn train(request: &RunRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
    let config = resolve(request.preset, request.generator, request.overrides)?;
    let recipe = &config.recipes[&config.generator];
    let device = device(request.device)?;
    let seed = Seed::new(request.seed);
    let data = open(&config.data, request.data, request.seed)?;
    guard::check(&data)?;
    // Records that the networks cannot be made for are refused before there is a folder.
    match recipe {
        Recipe::Diffusion(_) => {}
        Recipe::Timevqvae(recipe) => drop(recipe.networks(&data)?),
        Recipe::Gan(recipe) => drop(recipe.networks(&data)?),
    }
    let run = request.open_run(&config, &data)?;
    let part = data.part(Split::Train);
    drop(data);
    if part.is_empty() {
        return Err(Error::data("training part", "is empty"));
    }
    progress.tell(&format!("{}: {} records of the training part", config.generator, part.len()));
    let trainer = Trainer {
        run: &run,
        stop,
        device: &device,
        seed,
        probe: request.probe,
        max_memory_bytes: request.max_memory_bytes,
    };
    match recipe {
        Recipe::Diffusion(recipe) => return train_diffusion(&config.generator, recipe, part, trainer, progress),
        Recipe::Timevqvae(recipe) => timevqvae::train(recipe, &part, &trainer, progress)?,
        Recipe::Gan(recipe) => adversarial::train(&config.generator, recipe, &part, &trainer, progress)?,
    }
    Ok(vec![model_path(&run, ROLE)])
}

/// The auxiliary losses of a recipe, with the beats of the training part where they are needed.
fn auxiliary(part: &Dataset, card: &ModelCard, recipe: &DiffusionRecipe) -> Result<Option<Auxiliary>> {
    let c = recipe.auxiliary;
    if c.is_off() {
        return Ok(None);
    }
    let decoder = match c.needs_beats() {
        true => {
            let peaks = |item: usize| {
                let leads: Vec<&[f32]> = part.item(item).chunks(part.sig_len).collect();
                r_peaks(&leads, part.fs_hz)
            };
            let r_index = (0..part.len()).map(peaks).collect::<Result<_>>()?;
            Some(BeatDecoder::new(r_index, &part.leads, &card.scale_mv, part.fs_hz, part.sig_len)?)
        }
        false => None,
    };
    Auxiliary::new(c, part.fs_hz, part.sig_len, decoder).map(Some)
}

fn train_diffusion(
    generator: &str,
    recipe: &DiffusionRecipe,
    part: Dataset,
    trainer: Trainer,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>> {
    let run = trainer.run;
    let card = card(generator, recipe, &part)?;
    let items = batches(&part, &card.scale_mv, recipe, trainer.seed, trainer.device);
    let auxiliary = auxiliary(&part, &card, recipe)?;
    let (n_leads, n_labels) = (part.leads.len(), part.n_labels());
    drop(part);
    let lineage = Lineage { trainer, card, items, label_dropout: recipe.label_dropout };
    let course = Course { n_steps: recipe.steps, batch: recipe.batch, optimizer: &recipe.optimizer, start: None };
    let first = lineage.first(course, auxiliary, progress)?;
    let mut all = vec![first];
    if let Some(c) = recipe.distillation.as_ref().and_then(|students| students.student.as_ref()) {
        let course = Course { n_steps: c.steps, batch: c.batch, optimizer: &c.optimizer, start: None };
        let network = c.network.sized(n_leads, n_labels);
        let student = lineage.student(STUDENT, &network, (&all[0].model, c.lambda), course, progress)?;
        all.push(student);
    }
    // Students of few steps begin at the lightest model there is.
    let begin = &all[all.len() - 1].model;
    let mut few = Vec::new();
    if let Some(students) = &recipe.distillation {
        if let Some(c) = &students.few_step {
            few.extend(lineage.halved(begin, c, progress)?);
        }
        if let Some(c) = &students.consistency {
            few.extend(lineage.consistent(begin, c, progress)?);
        }
    }
    all.extend(few.into_iter().map(|(_, trained)| trained));
    Ok(all.iter().map(|trained| model_path(run, &trained.model.card().role)).collect())
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

fn batches(part: &Dataset, scale_mv: &[f32], recipe: &DiffusionRecipe, seed: Seed, device: &Device) -> Batches {
    Batches {
        signals: signal::scaled(&part.ecg, scale_mv, part.sig_len).into(),
        n_leads: part.leads.len(),
        sig_len: part.sig_len,
        classes: vec![0; part.len()],
        labels: Some(part.labels.iter().map(|&label| f32::from(label)).collect()),
        batch: recipe.batch,
        class_exponent: 1.0,
        label_dropout: recipe.label_dropout,
        seed,
        device: device.clone(),
    }
}

fn card(generator: &str, recipe: &DiffusionRecipe, part: &Dataset) -> Result<ModelCard> {
    Ok(ModelCard {
        format: 1,
        generator: generator.into(),
        role: recipe.first_role().into(),
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
