//! Training one generator of whole records on a database, from a preset that holds a recipe for each.
//!
//! The data are either a prepared data set or a database of the catalogue, brought to the preset's rate, length and
//! leads. Only the training part is learned from. The run is left with one model, ready to be drawn from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::adversarial::{self, GanRecipe};
use super::config::Cost;
use super::diffusion::{self, DiffusionRecipe};
use super::timevqvae::{self, TimeVqvaeRecipe};
use super::training::model_path;
use super::{Preset, RunRequest, device};
use crate::config::{Validate, check, load_valid};
use crate::dataset::window::RecordOptions;
use crate::dataset::{Dataset, Preparation, Split, assemble, guard, npz};
use crate::error::{Error, Result};
use crate::generators;
use crate::run::{Progress, Stop};

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
    Preset {
        name: "ecg12",
        summary: "the shipped generator of twelve-lead records: simulated records first, then PTB-XL, then a small student",
        text: include_str!("../../presets/records/ecg12.toml"),
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
    Diffusion(Box<DiffusionRecipe>),
    /// TimeVQVAE, in two stages.
    Timevqvae(Box<TimeVqvaeRecipe>),
    /// A network against a critic.
    Gan(Box<GanRecipe>),
}

impl Recipe {
    /// Role of the model that is drawn from unless another is named.
    pub fn best_role(&self) -> String {
        match self {
            Recipe::Diffusion(recipe) => recipe.best_role(),
            Recipe::Timevqvae(_) | Recipe::Gan(_) => ROLE.into(),
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
            match recipe {
                Recipe::Diffusion(recipe) => recipe.validate(key)?,
                Recipe::Timevqvae(recipe) => recipe.validate(&key)?,
                Recipe::Gan(recipe) => recipe.validate(name, key)?,
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
    let data = open(&config.data, request.data, request.seed)?;
    guard::check(&data)?;
    // Records that the networks cannot be made for are refused before there is a folder.
    match recipe {
        Recipe::Diffusion(_) => {}
        Recipe::Timevqvae(recipe) => recipe.networks(&data).map(drop)?,
        Recipe::Gan(recipe) => recipe.networks(&data).map(drop)?,
    }
    let run = request.open_run(&config, data.fingerprint())?;
    let part = data.part(Split::Train);
    drop(data);
    if part.is_empty() {
        return Err(Error::data("training part", "is empty"));
    }
    progress.tell(&format!("{}: {} records of the training part", config.generator, part.len()));
    let trainer = request.trainer(&run, stop, &device);
    match recipe {
        Recipe::Diffusion(recipe) => return diffusion::train(&config.generator, recipe, part, trainer, progress),
        Recipe::Timevqvae(recipe) => timevqvae::train(recipe, &part, &trainer, progress)?,
        Recipe::Gan(recipe) => adversarial::train(&config.generator, recipe, &part, &trainer, progress)?,
    }
    Ok(vec![model_path(&run, ROLE)])
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
