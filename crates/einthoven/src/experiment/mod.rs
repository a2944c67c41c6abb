//! Experiments: a preset, from data to report, as one resumable run.
//!
//! `prepare`, `train`, `sample`, `mix`, `evaluate` and `report` in a row. Every stage leaves what the
//! next one needs in the run folder; a second call with the same folder goes on where the first
//! stopped.

pub mod adversarial;
mod budget;
mod classification;
pub mod config;
pub mod delineation;
pub mod diffusion;
pub mod distillation;
mod editing;
pub mod efficiency;
mod evaluate;
mod exact;
mod export;
pub mod generation;
pub mod import;
mod import_classifier;
mod import_gan;
mod import_state;
mod latents;
mod models;
mod pretraining;
mod quality;
mod report;
mod sampling;
mod set_writer;
mod shown_beats;
mod side_by_side;
mod source;
mod synthesis;
pub mod timevqvae;
mod training;
mod training_report;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;

pub use config::{DataConfig, Experiment};
pub use delineation::DELINEATION_PRESETS;
pub use distillation::Distillation;
pub use editing::{
    Acquaintance, Checked, DenoiseRequest, Denoised, DenoisedLead, Drawing, EditRequest, Edited, ImputeRequest,
    Imputed, OnRecord, Prior, Snr, denoise, edit, impute,
};
pub use efficiency::MemoryProbe;
pub use evaluate::{EvaluateRequest, evaluate};
pub use export::{ExportRequest, export};
pub use generation::GENERATION_PRESETS;
pub use import::{IMPORTS, ImportRequest, import};
pub use sampling::{DrawRequest, Drawn, run_model, sample};
use training::Trainer;
pub use training::model_path;
pub use training_report::training_report;

pub use crate::nn::device::device;

use crate::config::{load_valid, to_toml};
use crate::dataset::catalog::{self, OpenOptions, simulated};
use crate::dataset::split::{Scheme, generator_training, split};
use crate::dataset::window::RecordOptions;
use crate::dataset::{self, Dataset, Prepared, Split, label};
use crate::delineators::DELINEATORS;
use crate::delineators::facts::add_measured;
use crate::error::{Error, Result};
use crate::generators::diffusion_model::DiffusionModel;
use crate::generators::{Generator, Item, SampleRequest, dgn};
use crate::nn::activations::Activations;
use crate::report::Report;
use crate::run::{Progress, Run, RunInfo, Stop};
use crate::seed::Seed;
use crate::simulate::beats::BeatCohort;

/// A preset: an experiment under a name.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Name as typed by users.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// The experiment as TOML.
    pub text: &'static str,
}

/// All presets of beat experiments.
pub static PRESETS: &[Preset] = &[
    Preset {
        name: "quickstart",
        summary: "the whole chain on simulated beats, no download, under five minutes on two cores",
        text: include_str!("../../presets/quickstart.toml"),
    },
    Preset {
        name: "kd-dgn-small",
        summary: "DGN and KD-DGN on MIT-BIH, sized for a CPU: under 45 minutes on two cores",
        text: include_str!("../../presets/kd-dgn-small.toml"),
    },
    Preset {
        name: "kd-dgn",
        summary: "DGN and KD-DGN on MIT-BIH at paper size (17 M and 8 M parameters): for a GPU",
        text: include_str!("../../presets/kd-dgn.toml"),
    },
];

/// Every preset: beat experiments, then generators of whole records, then delineators.
pub fn all_presets() -> impl Iterator<Item = &'static Preset> {
    PRESETS.iter().chain(GENERATION_PRESETS).chain(DELINEATION_PRESETS)
}

/// The preset of a name.
///
/// # Errors
/// [`Error::Unknown`] if there is none.
pub fn preset(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| Error::Unknown {
        kind: "preset",
        name: name.into(),
        known: all_presets().map(|preset| preset.name.to_string()).collect(),
    })
}

/// What a user asks of a run.
pub struct RunRequest<'a> {
    /// Preset by name.
    pub preset: &'a str,
    /// Generator by name, for presets that have several.
    pub generator: Option<&'a str>,
    /// `key=value` settings on top of the preset.
    pub overrides: &'a [String],
    /// Folder of the database; `None` for presets that need none.
    pub data: Option<&'a Path>,
    /// Run folder.
    pub out: &'a Path,
    /// Seed of the run.
    pub seed: u64,
    /// Device by name, as [`device`] knows it.
    pub device: &'a str,
    /// The command line, for the report.
    pub command: String,
    /// Counts memory: for the estimate before a training and for the generators' peaks.
    pub probe: Option<&'a dyn MemoryProbe>,
    /// Memory that the process may use; what the machine has free if not set.
    pub max_memory_bytes: Option<u64>,
    /// How denoisers hold values for the backward pass.
    pub activations: Activations,
}

impl RunRequest<'_> {
    /// The run folder of these settings on these data, begun or gone on with.
    fn open_run(&self, config: &impl Serialize, data_fingerprint: String) -> Result<Run> {
        let info = RunInfo {
            preset: self.preset.into(),
            config: to_toml(config)?,
            seed: self.seed,
            device: self.device.into(),
            data_fingerprint,
            is_bf16: self.activations == Activations::Bf16,
        };
        Run::create_or_open(self.out, &info)
    }

    /// What trains the networks of that run.
    fn trainer<'a>(&'a self, run: &'a Run, stop: &'a Stop, device: &'a Device) -> Trainer<'a> {
        let RunRequest { seed, probe, max_memory_bytes, activations, .. } = *self;
        Trainer { run, stop, device, seed: Seed::new(seed), probe, max_memory_bytes, activations }
    }
}

/// The experiment that a request resolves to.
///
/// # Errors
/// [`Error::Unknown`] for a preset that does not exist; [`Error::Config`] for a wrong setting.
pub fn resolve(preset_name: &str, overrides: &[String]) -> Result<Experiment> {
    let preset = preset(preset_name)?;
    load_valid(preset.text, preset.name, overrides)
}

/// What a preset is expected to cost.
///
/// # Errors
/// As [`resolve`].
pub fn cost(preset_name: &str, overrides: &[String]) -> Result<config::Cost> {
    if generation::is_generation(preset_name) {
        return Ok(generation::resolve(preset_name, None, overrides)?.cost);
    }
    if delineation::is_delineation(preset_name) {
        return Ok(delineation::resolve(preset_name, overrides)?.cost);
    }
    Ok(resolve(preset_name, overrides)?.cost)
}

/// The beats of an experiment, before any split.
///
/// # Errors
/// [`Error::Config`] without a folder where one is needed; everything that reading returns.
pub fn load_data(config: &DataConfig, folder: Option<&Path>, seed: Seed) -> Result<Dataset> {
    let c = config;
    if c.source == "simulated" {
        let cohort = BeatCohort {
            n_patients: c.simulated_patients,
            beats_per_patient: c.simulated_beats_per_patient,
            ..BeatCohort::default()
        };
        return simulated::load(&cohort, seed.purpose("cohort"));
    }
    let folder = folder.ok_or_else(|| {
        Error::config(
            "--data",
            format!(
                "this preset needs the folder of {}: name it with --data DIR, or get it with: einthoven fetch {}",
                c.source, c.source
            ),
        )
    })?;
    let options = OpenOptions {
        labels: label::label_set(&c.labels)?,
        high_pass_hz: (c.highpass_hz > 0.0).then_some(c.highpass_hz),
        ..OpenOptions::default()
    };
    catalog::database(&c.source)?.open(folder, &options)
}

/// What a user asks of [`prepare`].
pub struct PrepareRequest<'a> {
    /// Preset, whose data section is used, or database of the catalogue.
    pub name: &'a str,
    /// `key=value` settings on top of the preset.
    pub overrides: &'a [String],
    /// Folder of the database; `None` for presets that need none.
    pub data: Option<&'a Path>,
    /// Split by name; `None` for the usual one of the database, or `inter`.
    pub split: Option<&'a str>,
    /// Label set by name; `None` for that of the preset, or `aami`.
    pub labels: Option<&'a str>,
    /// Cut-off of the high-pass, Hz, 0 for none; `None` for that of the preset, or 0.
    pub high_pass_hz: Option<f64>,
    /// Records by name; all if empty. Only for databases of whole records.
    pub records: &'a [String],
    /// How whole records become items. Only for databases of whole records.
    pub whole: RecordOptions,
    /// Whether the default delineator reads heart rate, PR, QRS, QTc and axis on each item. Only for whole records.
    pub measure: bool,
    /// Seed of the run.
    pub seed: u64,
    /// Folder to write into.
    pub out: &'a Path,
}

/// Writes the data set of a preset or database as `data.npz` and `manifest.json`, with the same parts
/// that a run with the same seed has.
///
/// # Errors
/// [`Error::Unknown`] for a name that is neither; [`Error::Config`] without a folder where one is
/// needed; [`Error::Guard`] for a leak; everything that reading returns.
pub fn prepare(request: &PrepareRequest) -> Result<Prepared> {
    if let (Some(setting), Ok(_)) = (request.overrides.first(), catalog::database(request.name)) {
        let reason =
            format!("found {setting}, expected none: {} is a database, and a preset has settings", request.name);
        return Err(Error::config("--set", reason));
    }
    if let Ok(database) = catalog::database(request.name)
        && database.item() == catalog::recordings::ITEM
    {
        return prepare_records(request);
    }
    if !request.records.is_empty() || request.measure || request.whole != RecordOptions::default() {
        return Err(Error::config(
            request.name,
            "it has beats: seconds, rate, leads, records, copies and measuring are for whole records only",
        ));
    }
    let mut config = match PRESETS.iter().find(|preset| preset.name == request.name) {
        Some(preset) => resolve(preset.name, request.overrides)?.data,
        None => DataConfig::of_database(catalog::database(request.name).map_err(|_| {
            Error::Unknown {
                kind: "preset or database",
                name: request.name.into(),
                known: PRESETS
                    .iter()
                    .map(|p| p.name)
                    .chain(catalog::DATABASES.iter().map(|d| d.name()))
                    .map(String::from)
                    .collect(),
            }
        })?),
    };
    if let Some(labels) = request.labels {
        config.labels = labels.into();
    }
    if let Some(cutoff_hz) = request.high_pass_hz {
        config.highpass_hz = cutoff_hz;
    }
    let seed = Seed::new(request.seed);
    let scheme = Scheme::parse(request.split.unwrap_or("inter"))?;
    let mut data = split(&load_data(&config, request.data, seed)?, scheme, seed.purpose("split"))?;
    data.provenance["split"]["seed"] = request.seed.into();
    dataset::store(data, request.out)
}

/// The data set of a database of whole records.
fn prepare_records(request: &PrepareRequest) -> Result<Prepared> {
    let folder = request
        .data
        .ok_or_else(|| Error::config("--data", format!("name the folder of {} with --data DIR", request.name)))?;
    let preparation = dataset::Preparation {
        database: request.name.into(),
        folder: folder.into(),
        labels: request.labels.unwrap_or_default().into(),
        split: request.split.unwrap_or_default().into(),
        seed: request.seed,
        high_pass_hz: request.high_pass_hz.filter(|&cutoff_hz| cutoff_hz != 0.0),
        records: request.records.to_vec(),
        whole: request.whole.clone(),
    };
    if !request.measure {
        return dataset::prepare(&preparation, request.out);
    }
    let mut data = dataset::assemble(&preparation)?;
    add_measured(&mut data, DELINEATORS[0])?;
    dataset::store(data, request.out)
}

/// An experiment at work: its data are read, its run folder is held.
struct Started {
    config: Experiment,
    device: Device,
    seed: Seed,
    data: Dataset,
    /// One generator serves every split, because its training part lies in the training part of each.
    generator_part: Dataset,
    run: Run,
}

impl Started {
    fn new(request: &RunRequest) -> Result<Started> {
        let config = resolve(request.preset, request.overrides)?;
        let device = device(request.device)?;
        let seed = Seed::new(request.seed);
        let data = load_data(&config.data, request.data, seed)?;
        let run = request.open_run(&config, data.fingerprint())?;
        let generator_part = data.select(&generator_training(&data, seed.purpose("split"))?);
        Ok(Started { config, device, seed, data, generator_part, run })
    }

    fn models(&self, request: &RunRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<models::Models> {
        let Started { config, device, generator_part: data, run, .. } = self;
        models::Models::train(config, data, request.trainer(run, stop, device), progress)
    }
}

/// Trains the networks of a preset and returns their model files; [`run`] with the same request
/// goes on from there.
///
/// # Errors
/// As [`run`].
pub fn train(request: &RunRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
    if generation::is_generation(request.preset) {
        return generation::train(request, stop, progress);
    }
    if delineation::is_delineation(request.preset) {
        return Ok(vec![delineation::train(request, stop, progress)?]);
    }
    if let Some(other) = request.generator.filter(|name| *name != dgn::SPEC.name) {
        let reason = format!("found {other}, but {} trains {}", request.preset, dgn::SPEC.name);
        return Err(Error::config("--generator", reason));
    }
    let started = Started::new(request)?;
    let models = started.models(request, stop, progress)?;
    let few_step = models.few_step.iter().map(|(_, trained)| trained);
    let all = [&models.teacher, &models.student, &models.control].into_iter().chain(few_step);
    Ok(all.map(|trained| model_path(&started.run, &trained.model.card().role)).collect())
}

/// Runs an experiment to its report.
///
/// # Errors
/// [`Error::Interrupted`] and [`Error::Limit`] after a checkpoint; [`Error::Guard`] for a leak or a
/// folder in use; everything that the stages return.
pub fn run(request: &RunRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<(Report, PathBuf)> {
    if generation::is_generation(request.preset) || delineation::is_delineation(request.preset) {
        let reason = format!("{} trains one network and has no report: einthoven train", request.preset);
        return Err(Error::config("preset", reason));
    }
    let started = Started::new(request)?;
    let Started { config, device, seed, data, generator_part, run } = &started;
    let seed = *seed;
    let splits: Vec<(String, Dataset)> = config
        .classifier
        .splits
        .iter()
        .map(|name| Ok((name.clone(), split(data, Scheme::parse(name)?, seed.purpose("split"))?)))
        .collect::<Result<_>>()?;

    let models = started.models(request, stop, progress)?;
    let few_step = models
        .few_step
        .iter()
        .find(|(steps, _)| *steps == config.few_step.chosen)
        .map(|(_, trained)| &trained.model)
        .ok_or_else(|| Error::config("few_step.chosen", "is none of the halvings"))?;

    let parts: Vec<&Dataset> = splits.iter().map(|(_, data)| data).collect();
    let quality_wanted = synthesis::balanced(
        &{
            let mut marked = generator_part.clone();
            marked.split.fill(Split::Train);
            marked.class_counts(Split::Train)?
        },
        config.quality.beats_per_class,
    );
    let wanted = synthesis::wanted(config, &parts)?;
    let draw =
        |model: &DiffusionModel, what: &str, classes: &[usize], progress: &mut dyn Progress| -> Result<Dataset> {
            let request = SampleRequest { batch: config.synthesis.batch, ..model.request(Item::of_classes(classes)) };
            let stage = format!("{what} {}", model.card().role);
            synthesis::draw(model, &request, seed.purpose(what), &stage, stop, progress)
        };
    let plus = [&models.teacher.model, &models.student.model, few_step]
        .into_iter()
        .map(|model| draw(model, "beats by", &wanted, progress))
        .collect::<Result<Vec<_>>>()?;
    synthesis::write(&plus[1], &run.dir().join("synthetic"), request.seed)?;

    let mut judged = Vec::new();
    for model in [&models.teacher.model, &models.student.model, &models.control.model, few_step] {
        judged.push((model.card().role.clone(), draw(model, "quality of", &quality_wanted, progress)?));
    }
    let inter = splits.iter().find(|(name, _)| name != "intra-patient").or(splits.first());
    let held_out = inter.map_or_else(|| generator_part.clone(), |(_, data)| data.part(Split::Test));
    let sides = quality::Sides { train: generator_part, held_out: &held_out, sets: &judged };
    let quality = quality::judge(config.quality.snr_margin_db, sides, seed, progress)?;
    let efficiency = quality::efficiency(config, &models, few_step, request.probe, seed, progress)?;

    let synthetic = classification::SyntheticSets { dgn: &plus[0], kd_dgn: &plus[1], few_step: &plus[2] };
    let classification = classification::Classification { config, run, stop, device, seed };
    let comparisons = splits
        .iter()
        .map(|(name, data)| classification.compare(name, data, &synthetic, progress))
        .collect::<Result<Vec<_>>>()?;

    let report = report::build(&report::Findings {
        config,
        request,
        run,
        data,
        generator_part,
        splits: &splits,
        models: &models,
        judged: &judged,
        quality: &quality,
        efficiency: &efficiency,
        comparisons: &comparisons,
    })?;
    let page = run.dir().join("report.html");
    run.write("report.json", report.to_json().as_bytes())?;
    run.write("report.html", report.to_html().as_bytes())?;
    Ok((report, page))
}
