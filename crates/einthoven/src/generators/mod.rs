//! Generators: what makes synthetic ECGs, behind one trait and in one list.

pub mod cond_pulse2pulse;
pub mod dgn;
pub mod diffusion_model;
pub mod diffusion_ts;
pub mod diffwave;
pub mod dipole;
pub mod dit;
pub mod gan_model;
pub mod latent_diffusion;
mod model_file;
pub mod pulse2pulse;
pub mod simulator;
pub mod sssd_ecg;
pub mod time_diffusion;
pub mod timediffusion;
pub mod timevqvae;
pub mod wavegan_star;

use std::path::Path;

use burn::tensor::Device;
use serde_json::Value;

use crate::dataset::{Dataset, SYNTHETIC_PREFIX, Split};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// What to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRequest {
    /// Index of the first item; item i depends on the seed and i alone.
    pub first: u64,
    /// Class of each item; a generator without labels takes their number and nothing else.
    pub classes: Vec<usize>,
    /// Sampler by name; generators without a network ignore it.
    pub sampler: String,
    /// Sampler steps, one denoiser call each, two for some samplers; calls of the prior for codes.
    pub steps: usize,
    /// Guidance weight; 1 follows the label without exaggeration.
    pub guidance: f64,
    /// Items computed at once. It changes time and memory, never a value.
    pub batch: usize,
}

impl SampleRequest {
    /// Items `0..classes.len()` by the deterministic sampler of second order.
    pub fn new(classes: Vec<usize>, steps: usize) -> SampleRequest {
        SampleRequest { first: 0, classes, sampler: "dpm-solver++".into(), steps, guidance: 1.0, batch: 64 }
    }
}

/// Receives items as they are made.
pub trait Sink {
    /// Takes consecutive items.
    ///
    /// # Shape
    /// `ecg` is `[n, lead, time]`, mV; `first` is the index of the first; `classes` has one per item.
    /// # Errors
    /// Whatever keeps the sink from taking them.
    fn accept(&mut self, first: u64, classes: &[usize], ecg: &[f32]) -> Result<()>;
}

/// Ready to draw from.
pub trait Generator {
    /// An empty data set with the axes of what this generator makes, and its provenance.
    fn axes(&self) -> Dataset;

    /// A request with the settings that suit this generator.
    fn request(&self, classes: Vec<usize>) -> SampleRequest {
        SampleRequest::new(classes, 16)
    }

    /// Bytes that one more item of a batch takes while it is computed, roughly.
    fn working_bytes_per_item(&self) -> u64;

    /// Draws items into a sink, in order.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a sampler that does not exist; [`Error::Config`] for steps, guidance
    /// or a class outside their range; whatever the sink returns.
    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()>;

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

impl Sink for Dataset {
    fn accept(&mut self, first: u64, classes: &[usize], ecg: &[f32]) -> Result<()> {
        self.ecg.extend_from_slice(ecg);
        for (offset, &class) in classes.iter().enumerate() {
            let index = first + offset as u64;
            self.labels.extend((0..self.label_names.len()).map(|label| u8::from(label == class)));
            // Each item is a patient of its own: nobody's heart beats twice in a synthetic set.
            self.record.push(format!("{SYNTHETIC_PREFIX}{index:06}"));
            self.patient.push(format!("{SYNTHETIC_PREFIX}{index:06}"));
            self.split.push(Split::Train);
            self.index.push(index as i64);
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
