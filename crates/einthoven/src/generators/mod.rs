//! Generators: what makes synthetic ECGs, behind one trait and in one list.

pub mod beats;
pub mod cond_pulse2pulse;
pub mod cond_wavegan_star;
pub mod dgn;
pub mod diffusion_model;
mod diffusion_spec;
pub mod diffusion_ts;
pub mod diffwave;
pub mod dipole;
pub mod dit;
pub mod ecg12;
pub mod extent;
pub mod gan_model;
pub mod latent_diffusion;
mod long_records;
pub(crate) mod model_file;
pub mod pulse2pulse;
pub mod rhythm;
mod shipped_model;
pub mod simulator;
pub mod sssd_ecg;
mod steady;
pub mod time_diffusion;
pub mod timediffusion;
pub mod timevqvae;
mod turned;
pub mod usual;
pub mod wavegan_star;
pub mod waves;

use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;

use crate::dataset::condition::Told;
use crate::dataset::{Conditions, Dataset, Facts, SYNTHETIC_PREFIX, Split};
use crate::error::{Error, Result};
use crate::record::Annotation;
use crate::seed::Seed;

/// One item to draw, or drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Item {
    /// Its index, which names its randomness: item i depends on the seed, i and its conditions alone.
    pub index: u64,
    /// What it is to be like.
    pub conditions: Conditions,
}

impl Item {
    /// Items from index 0 on, of one class each.
    pub fn of_classes(classes: &[usize]) -> Vec<Item> {
        let item = |(index, &class)| Item { index: index as u64, conditions: Conditions::of_class(class) };
        classes.iter().enumerate().map(item).collect()
    }
}

/// Stands for the sampler of generators that have none.
const ONE_PASS: &str = "one-pass";

/// What to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRequest {
    /// The items, in any order of their indexes.
    pub items: Vec<Item>,
    /// Sampler by name; [`SampleRequest::one_pass`] for generators that have none.
    pub sampler: String,
    /// Sampler steps, one denoiser call each, two for some samplers; calls of the prior for codes.
    pub steps: usize,
    /// Guidance weight; 1 follows the label without exaggeration.
    pub guidance: f64,
    /// Items computed at once. It changes time and memory, never a value.
    pub batch: usize,
}

impl SampleRequest {
    /// Items by the deterministic sampler of second order.
    pub fn new(items: Vec<Item>, steps: usize) -> SampleRequest {
        SampleRequest { items, sampler: "dpm-solver++".into(), steps, guidance: 1.0, batch: 64 }
    }

    /// Items of a generator without sampler, steps and guidance.
    pub fn one_pass(items: Vec<Item>) -> SampleRequest {
        SampleRequest { sampler: ONE_PASS.into(), ..SampleRequest::new(items, 1) }
    }

    /// Refuses a sampler, steps and guidance, for generators that have none.
    pub(crate) fn check_one_pass(&self, who: &str) -> Result<()> {
        let choices =
            [("sampler", self.sampler != ONE_PASS), ("steps", self.steps != 1), ("guidance", self.guidance != 1.0)];
        match choices.iter().find(|(_, is_chosen)| *is_chosen) {
            Some((key, _)) => {
                Err(Error::config(*key, format!("{who} makes a signal in one pass and has nothing of the kind")))
            }
            None => Ok(()),
        }
    }

    /// Refuses items that a generator of these labels, told these facts, cannot make, and batches of nothing.
    ///
    /// # Errors
    /// [`Error::Config`] naming what is asked for and what is known.
    pub fn check(&self, label_names: &[String], told: &Told, who: &str) -> Result<()> {
        if self.batch == 0 {
            return Err(Error::config("batch", "found 0, expected at least 1"));
        }
        for Item { conditions, .. } in &self.items {
            if let Some((label, _)) = conditions.labels.iter().find(|(label, _)| *label >= label_names.len()) {
                let reason = match label_names {
                    [] => format!("{who} knows no labels"),
                    names => format!("found label {label}, expected one of {}", names.join(", ")),
                };
                return Err(Error::config("label", reason));
            }
            told.check(&conditions.facts, who)?;
        }
        Ok(())
    }
}

/// Receives items as they are made.
pub trait Sink {
    /// Takes items in the order of the request.
    ///
    /// # Shape
    /// `ecg` is `[n, lead, time]`, mV, one for each of `items`, whose conditions are as asked for or as known better.
    /// # Errors
    /// Whatever keeps the sink from taking them.
    fn accept(&mut self, items: &[Item], ecg: &[f32]) -> Result<()>;

    /// Learns the true beats of the item that is accepted next, from generators that know them; most sinks need none.
    ///
    /// # Units
    /// Positions are points at the rate of the items.
    /// # Errors
    /// Whatever keeps the sink from taking them.
    fn annotate(&mut self, _item: &Item, _beats: &[Annotation]) -> Result<()> {
        Ok(())
    }
}

/// Ready to draw from.
pub trait Generator {
    /// An empty data set with the axes of what this generator makes, and its provenance.
    fn axes(&self) -> Dataset;

    /// The facts that it can be told beside the labels of [`Generator::axes`].
    fn told(&self) -> Told {
        Told::default()
    }

    /// A request with the settings that suit this generator.
    fn request(&self, items: Vec<Item>) -> SampleRequest {
        SampleRequest::new(items, 16)
    }

    /// Bytes that one more item of a batch takes while it is computed, roughly.
    fn working_bytes_per_item(&self) -> u64;

    /// Draws items into a sink, in the order of the request.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a sampler that does not exist; [`Error::Config`] for steps, guidance
    /// or a label outside their range and for a condition that it does not know; whatever the sink returns.
    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()>;

    /// The same generator for records of `sig_len` points at its own rate, which are more than it makes now.
    ///
    /// # Errors
    /// [`Error::Config`] for a generator that makes no longer ones.
    fn lengthened(self: Box<Self>, _sig_len: usize) -> Result<Box<dyn Generator>> {
        Err(too_short(self.as_ref()))
    }

    /// Draws items into a data set that says it is synthetic.
    ///
    /// # Errors
    /// As [`Generator::sample_into`].
    fn sample(&self, request: &SampleRequest, seed: Seed) -> Result<Dataset> {
        let mut data = self.axes();
        self.sample_into(request, seed, &mut data)?;
        data.validate()?;
        Ok(data)
    }
}

/// The model of a generator whose weights come along, for items as long as it draws them.
///
/// # Errors
/// [`Error::Unknown`] for any other name.
pub fn shipped(name: &str, device: &Device) -> Result<diffusion_model::DiffusionModel> {
    let all = [&beats::SPEC, &ecg12::SPEC];
    let spec = all.iter().find(|spec| spec.name == name).ok_or_else(|| Error::Unknown {
        kind: "generator that comes with its weights",
        name: name.into(),
        known: all.iter().map(|spec| spec.name.to_string()).collect(),
    })?;
    spec.model(device)
}

/// Says that a generator makes no longer records than it does, and which generators do.
fn too_short(generator: &(impl Generator + ?Sized)) -> Error {
    let axes = generator.axes();
    let who = axes.provenance["generator"].as_str().unwrap_or("the generator");
    let seconds = axes.sig_len as f64 / axes.fs_hz;
    let reason = format!(
        "{who} makes at most {seconds} s; longer records come from dipole, and from models of diffwave, time-diffusion, \
         sssd-ecg, dit, diffusion-ts and timediffusion"
    );
    Error::config("seconds", reason)
}

impl Sink for Dataset {
    /// Each label that counts at all is set.
    fn accept(&mut self, items: &[Item], ecg: &[f32]) -> Result<()> {
        self.ecg.extend_from_slice(ecg);
        if self.facts.is_none() && items.iter().any(|item| !item.conditions.facts.is_empty()) {
            self.facts = Some(vec![Facts::default(); self.len()]);
        }
        if let Some(facts) = &mut self.facts {
            facts.extend(items.iter().map(|item| item.conditions.facts.clone()));
        }
        for Item { index, conditions } in items {
            let is_set = |label| conditions.labels.iter().any(|&(of, weight)| of == label && weight > 0.0);
            self.labels.extend((0..self.label_names.len()).map(|label| u8::from(is_set(label))));
            // Each item is a patient of its own: nobody's heart beats twice in a synthetic set.
            self.record.push(format!("{SYNTHETIC_PREFIX}{index:06}"));
            self.patient.push(format!("{SYNTHETIC_PREFIX}{index:06}"));
            self.split.push(Split::Train);
            self.index.push(*index as i64);
        }
        Ok(())
    }
}

/// An entry of the list.
pub trait GeneratorSpec: Sync {
    /// Name as typed by users.
    fn name(&self) -> &'static str;
    /// One line for listings.
    fn summary(&self) -> &'static str;
    /// BibTeX of the source.
    fn reference(&self) -> &'static str;
    /// What its items can be asked for: `label`, and the names of facts; a trained model knows those of its training.
    fn conditions(&self) -> Vec<&'static str> {
        vec!["label"]
    }
    /// Weights of the published network for one-lead beats or records of eight leads, without labels where it can be; `None` where
    /// nothing is trained.
    fn n_weights(&self) -> Option<usize> {
        None
    }
    /// Complete default configuration.
    fn default_config(&self) -> Value;
    /// A generator from a stored model file, or from the configuration alone where it needs none.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown key; [`Error::Io`] or [`Error::Data`] for the file.
    fn build(&self, config: &Value, model: Option<&Path>, device: &Device) -> Result<Box<dyn Generator>>;
}

/// All generators.
pub static GENERATORS: &[&dyn GeneratorSpec] = &[
    &dgn::SPEC,
    &diffwave::SPEC,
    &time_diffusion::SPEC,
    &sssd_ecg::SPEC,
    &dit::SPEC,
    &latent_diffusion::SPEC,
    &diffusion_ts::SPEC,
    &timediffusion::SPEC,
    &timevqvae::Spec,
    &pulse2pulse::SPEC,
    &cond_pulse2pulse::SPEC,
    &wavegan_star::SPEC,
    &cond_wavegan_star::SPEC,
    &beats::SPEC,
    &ecg12::SPEC,
    &simulator::Spec,
    &dipole::Spec,
];

/// The trained generator of a model file, by the name that its card says.
///
/// # Errors
/// [`Error::Unknown`] for a name that is not in the list; [`Error::Data`] for a file that is no model; everything that
/// [`GeneratorSpec::build`] returns.
pub fn open(path: &Path, device: &Device) -> Result<Box<dyn Generator>> {
    let (card, _) = model_file::read(path)?;
    let spec = find(card["generator"].as_str().unwrap_or_default())?;
    spec.build(&spec.default_config(), Some(path), device)
}

/// The generator of a name.
///
/// # Errors
/// [`Error::Unknown`] if there is none.
pub fn find(name: &str) -> Result<&'static dyn GeneratorSpec> {
    GENERATORS.iter().copied().find(|spec| spec.name() == name).ok_or_else(|| Error::Unknown {
        kind: "generator",
        name: name.into(),
        known: GENERATORS.iter().map(|spec| spec.name().to_string()).collect(),
    })
}
