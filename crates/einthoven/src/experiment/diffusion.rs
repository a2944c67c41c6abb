//! Training a diffusion generator of whole records and its students: the recipe, and the course of it within a run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::distillation::{Distillation, Lineage, STUDENT, TEACHER};
use super::generation::ROLE;
use super::latents::{Latent, LatentRecipe};
use super::pretraining::Pretraining;
use super::shown_beats::{measure_in_all_leads, peaks, shown};
use super::training::{Course, Trainer, model_path, objective, training_data};
use crate::classifiers::beat_cnn::lead_scales;
use crate::config::check;
use crate::dataset::Dataset;
use crate::dataset::condition::{Fact, Told};
use crate::diffusion::auxiliary::beats::BeatDecoder;
use crate::diffusion::auxiliary::{Auxiliary, AuxiliaryConfig};
use crate::diffusion::batches::Batches;
use crate::diffusion::{NetworkConfig, sampler};
use crate::error::{Error, Result};
use crate::generators::diffusion_model::ModelCard;
use crate::generators::rhythm::RhythmModel;
use crate::generators::usual::UsualFacts;
use crate::generators::waves::WaveModel;
use crate::nn::adamw::AdamWConfig;
use crate::nn::weights::Weights;
use crate::run::Progress;
use crate::seed::Seed;
use crate::signal;

/// What the waves of the beats are shown by.
const WAVES: [Fact; 3] = [Fact::Pr, Fact::Qrs, Fact::Qtc];

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
    /// Share of items of which everything is hidden in training, for guidance.
    pub label_dropout: f64,
    /// What the network is told beside labels.
    #[serde(default)]
    pub conditions: Vec<Fact>,
    /// Share of items whose labels are hidden, and of those of which each of `conditions` is, one by one.
    #[serde(default)]
    pub condition_dropout: f64,
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
    /// The autoencoder in whose latents the network denoises; it denoises the signal itself if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent: Option<LatentRecipe>,
    /// Simulated records to begin with; it begins with the real ones if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretraining: Option<Pretraining>,
    /// Weights of further losses; none unless given.
    #[serde(default)]
    pub auxiliary: AuxiliaryConfig,
    /// Its students; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
}

impl DiffusionRecipe {
    /// Checks what can be checked before there are data; `key` is where the recipe stands.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key; [`Error::Unknown`] for a schedule, a sampler or an output that does not exist.
    pub fn validate(&self, key: impl Fn(&str) -> String) -> Result<()> {
        objective(&self.parameterization, &self.schedule, self.schedule_steps)?;
        sampler::find(&self.sampler)?;
        let dropout = self.label_dropout;
        check(&key("label_dropout"), (0.0..1.0).contains(&dropout), dropout, "0 to below 1")?;
        let dropout = self.condition_dropout;
        check(&key("condition_dropout"), (0.0..1.0).contains(&dropout), dropout, "0 to below 1")?;
        self.optimizer.validate(|field| key(&format!("optimizer.{field}")))?;
        for (field, n) in
            [("steps", self.steps), ("batch", self.batch as u64), ("sampler_steps", self.sampler_steps as u64)]
        {
            check(&key(field), (1..=100_000_000).contains(&n), n, "1 to 100000000")?;
        }
        self.auxiliary.validate(&key("auxiliary"))?;
        if let Some(students) = &self.distillation {
            students.validate(&key("distillation"), &self.parameterization, &self.schedule)?;
        }
        if let Some(latent) = &self.latent {
            latent.validate(&key("latent"))?;
        }
        if let Some(pretraining) = &self.pretraining {
            pretraining.validate(&key("pretraining"))?;
        }
        if self.latent.is_some() && self.pretraining.is_some() {
            return Err(Error::config(key("pretraining"), "found simulated records, expected none beside latents"));
        }
        if let Some(students) = &self.distillation {
            let student = students.student.as_ref().map_or(&self.network, |c| &c.network);
            for (field, of_student, of_teacher) in [
                ("beats", student.sees_beats(), self.network.sees_beats()),
                ("waves", student.sees_waves(), self.network.sees_waves()),
            ] {
                if of_student != of_teacher {
                    let reason = format!("the teacher or the student is shown the {field}, expected both or none");
                    return Err(Error::config(key(&format!("distillation.student.network.{field}")), reason));
                }
            }
        }
        if let (true, Some(fact)) =
            (self.network.sees_waves(), WAVES.iter().find(|fact| !self.conditions.contains(fact)))
        {
            let reason = format!("found no {}, expected what the waves are shown by: pr, qrs and qtc", fact.name());
            return Err(Error::config(key("conditions"), reason));
        }
        if self.latent.is_some() && self.network.sees_beats() {
            return Err(Error::config(key("network.beats"), "found beats of signals, expected none beside latents"));
        }
        if self.latent.is_some() && !self.auxiliary.is_off() {
            return Err(Error::config(key("auxiliary"), "found losses of signals, expected none beside latents"));
        }
        Ok(())
    }

    /// Role of the model that learns from the data alone.
    fn first_role(&self) -> &'static str {
        if self.distillation.is_some() { TEACHER } else { ROLE }
    }

    /// Role of the model that is drawn from unless another is named.
    pub fn best_role(&self) -> String {
        self.distillation.as_ref().map_or_else(|| ROLE.into(), Distillation::best_role)
    }
}

/// Trains the generator and its students, and returns their model files.
///
/// # Errors
/// As [`super::generation::train`].
pub(super) fn train(
    generator: &str,
    recipe: &DiffusionRecipe,
    mut part: Dataset,
    trainer: Trainer,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>> {
    let run = trainer.run;
    let told = told(recipe, &mut part, progress)?;
    let mut card = card(generator, recipe, told.clone(), &part)?;
    let mut items = batches(&part, &card.scale_mv, recipe, trainer.seed, trainer.device);
    let sees_beats = recipe.network.sees_beats();
    let beats = match sees_beats || recipe.auxiliary.needs_beats() {
        true => {
            progress.tell(&format!("finding the beats of {} records", part.len()));
            peaks(&part)?
        }
        false => Vec::new(),
    };
    if sees_beats {
        let in_s = |beats: &Vec<usize>| beats.iter().map(|&at| at as f64 / part.fs_hz).collect();
        let beats_s: Vec<Vec<f64>> = beats.iter().map(in_s).collect();
        card.rhythm = Some(RhythmModel::fit(&beats_s, &part.labels, part.n_labels())?);
        let shown = shown(&recipe.network, &part, &beats)?;
        if recipe.network.sees_waves() {
            if let Some(fact) = WAVES.iter().find(|fact| !told.facts.contains(fact)) {
                let reason = format!("{} is known of no record, expected it where waves are shown", fact.name());
                return Err(Error::data("training part", reason));
            }
            card.waves = Some(WaveModel::fit(&shown, &part.labels, &part.label_names)?);
        }
        items.beats = Some(shown.into());
    }
    let facts = part.facts.as_deref().unwrap_or_default();
    card.usual = UsualFacts::fit(facts, &part.labels, part.n_labels(), &told.facts);
    let auxiliary = auxiliary(&part, beats, &card, recipe)?;
    let simulated = match &recipe.pretraining {
        Some(pretraining) => {
            progress.tell(&format!("simulating {} records to begin with", pretraining.n));
            let records = pretraining.records(&part, trainer.seed)?;
            card.training_data["pretraining"] = records.provenance.clone();
            let mut items = batches(&records, &card.scale_mv, recipe, trainer.seed, trainer.device);
            if sees_beats {
                items.beats = Some(shown(&recipe.network, &records, &peaks(&records)?)?.into());
            }
            Some((pretraining, items))
        }
        None => None,
    };
    let n_labels = part.n_labels();
    drop(part);
    let mut beside = Weights::default();
    if let Some(latent) = &recipe.latent {
        let Latent { space, decoder, signals } = latent.train(&trainer, &items, progress)?;
        let [channels, length] = space.shape(items.sig_len)?;
        items = Batches { signals: signals.into(), n_leads: channels, sig_len: length, ..items };
        card.network = recipe.network.sized(channels, n_labels).with_told(told.clone());
        card.latent = Some(space);
        beside = decoder;
    }
    let n_channels = items.n_leads;
    let lineage = Lineage { trainer, card, items, label_dropout: recipe.label_dropout, beside };
    let start = match simulated {
        Some((pretraining, items)) => Some(pretraining.learn(&lineage, items, progress)?),
        None => None,
    };
    let course = Course { n_steps: recipe.steps, batch: recipe.batch, optimizer: &recipe.optimizer, start };
    let first = lineage.first(course, auxiliary, progress)?;
    let mut all = vec![first];
    if let Some(c) = recipe.distillation.as_ref().and_then(|students| students.student.as_ref()) {
        let course = Course { n_steps: c.steps, batch: c.batch, optimizer: &c.optimizer, start: None };
        let network = c.network.sized(n_channels, n_labels).with_told(told);
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

/// The facts of a recipe that the data know, with their sites; what an ECG shows is measured where they do not say it.
fn told(recipe: &DiffusionRecipe, part: &mut Dataset, progress: &mut dyn Progress) -> Result<Told> {
    let known = part.known_facts();
    let is_shown = |fact: &Fact| fact.number().is_some_and(|number| number.tolerance.is_some());
    if recipe.conditions.iter().any(|fact| is_shown(fact) && !known.contains(fact)) {
        progress.tell(&format!("measuring intervals and axis of {} records", part.len()));
        measure_in_all_leads(part)?;
    }
    let known = part.known_facts();
    let (facts, missing): (Vec<Fact>, Vec<Fact>) =
        recipe.conditions.iter().copied().partition(|fact| known.contains(fact));
    for fact in missing {
        progress.tell(&format!("{} is known of no record: the generator is not told it", fact.name()));
    }
    let sites: BTreeSet<&String> = part.facts.iter().flatten().filter_map(|facts| facts.site.as_ref()).collect();
    let sites = if facts.contains(&Fact::Site) { sites.into_iter().cloned().collect() } else { Vec::new() };
    Ok(Told { facts, sites })
}

/// The auxiliary losses of a recipe, with the beats of the training part where they are needed.
fn auxiliary(
    part: &Dataset,
    beats: Vec<Vec<usize>>,
    card: &ModelCard,
    recipe: &DiffusionRecipe,
) -> Result<Option<Auxiliary>> {
    let c = recipe.auxiliary;
    if c.is_off() {
        return Ok(None);
    }
    let decoder = match c.needs_beats() {
        true => Some(BeatDecoder::new(beats, &part.leads, &card.scale_mv, part.fs_hz, part.sig_len)?),
        false => None,
    };
    Auxiliary::new(c, part.fs_hz, part.sig_len, decoder).map(Some)
}

fn batches(part: &Dataset, scale_mv: &[f32], recipe: &DiffusionRecipe, seed: Seed, device: &Device) -> Batches {
    Batches {
        signals: signal::scaled(&part.ecg, scale_mv, part.sig_len).into(),
        n_leads: part.leads.len(),
        sig_len: part.sig_len,
        classes: vec![0; part.len()],
        labels: Some(part.labels.iter().map(|&label| f32::from(label)).collect()),
        facts: part.facts.as_ref().filter(|_| !recipe.conditions.is_empty()).map(|facts| facts.clone().into()),
        beats: None,
        batch: recipe.batch,
        class_exponent: 1.0,
        label_dropout: recipe.label_dropout,
        fact_dropout: recipe.condition_dropout,
        seed,
        device: device.clone(),
    }
}

fn card(generator: &str, recipe: &DiffusionRecipe, told: Told, part: &Dataset) -> Result<ModelCard> {
    Ok(ModelCard {
        format: 1,
        generator: generator.into(),
        role: recipe.first_role().into(),
        network: recipe.network.sized(part.leads.len(), part.n_labels()).with_told(told),
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
        latent: None,
        rhythm: None,
        waves: None,
        usual: None,
    })
}
