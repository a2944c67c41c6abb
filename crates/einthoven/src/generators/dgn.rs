//! DGN and KD-DGN: class-conditional diffusion of single beats by a 1-D U-Net.
//!
//! Teacher, student and step-distilled student are the same kind of thing: a network, what its
//! output means, and one number per lead that scales it to mV. Only the numbers differ.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Generator, GeneratorSpec, SampleRequest, Sink};
use crate::dataset::Dataset;
use crate::diffusion::{
    Condition, Denoiser, Guided, NetworkDenoiser, NoiseLevel, Parameterization, TimeView, UnetBackbone, angle_grid,
    sampler, schedule,
};
use crate::error::{Error, Result};
use crate::nn::unet1d::{Unet1d, Unet1dConfig};
use crate::nn::weights::{Weights, read};
use crate::run::{StoredType, safetensors, sha256_hex, write_atomic};
use crate::seed::Seed;
use crate::signal;

/// Name in the list.
pub const NAME: &str = "dgn";
/// Feature maps of the first level that are alive at once while a network is applied, roughly.
const LIVE_MAPS: usize = 16;

/// What a model file says beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DgnCard {
    /// Format of this card.
    pub format: u32,
    /// What it is, such as `teacher`.
    pub role: String,
    /// Shape of the network.
    pub network: Unet1dConfig,
    /// What its output means: `noise`, `v` or `x0`.
    pub parameterization: String,
    /// Noise schedule by name; `angle` is continuous.
    pub schedule: String,
    /// Steps of a discrete schedule.
    pub schedule_steps: usize,
    /// Standard deviation of each lead over the training part, mV: the scaling of the network.
    pub scale_mv: Vec<f32>,
    /// Lead names.
    pub leads: Vec<String>,
    /// Points in time.
    pub sig_len: usize,
    /// Sampling rate.
    pub fs_hz: f64,
    /// Class names in the network's order.
    pub label_names: Vec<String>,
    /// Sampler to use unless asked otherwise.
    pub sampler: String,
    /// Denoiser calls to use unless asked otherwise.
    pub steps: usize,
    /// Guidance to use unless asked otherwise.
    pub guidance: f64,
    /// Training data: fingerprint, licence, keyed hashes of its patients.
    pub training_data: Value,
}

/// A beat diffusion model on a device.
pub struct Dgn {
    card: DgnCard,
    weights: Weights,
    hash: String,
    denoiser: NetworkDenoiser<UnetBackbone>,
    device: Device,
}

impl Dgn {
    /// Puts weights and card together.
    ///
    /// # Errors
    /// [`Error::Data`] listing weights that do not fit the network; [`Error::Config`] or
    /// [`Error::Unknown`] for a card that no model can have.
    pub fn new(card: DgnCard, weights: Weights, device: &Device) -> Result<Dgn> {
        let network = Unet1d::new(card.network.clone())?;
        weights.check(&network.params(), &card.role)?;
        if card.scale_mv.len() != card.leads.len() || card.scale_mv.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return Err(Error::config("scale_mv", "expected one positive number per lead"));
        }
        if card.network.classes != card.label_names.len() {
            let reason = format!("{} names for {} classes", card.label_names.len(), card.network.classes);
            return Err(Error::config("label_names", reason));
        }
        let time = match card.schedule.as_str() {
            "angle" => TimeView::Angle,
            name => TimeView::Steps(schedule::find(name)?.build(card.schedule_steps)?),
        };
        let backbone = UnetBackbone { network, params: weights.on(device) };
        let denoiser = NetworkDenoiser::new(backbone, Parameterization::find(&card.parameterization)?, time)?;
        let hash = sha256_hex(&Dgn::bytes(&card, &weights, StoredType::F32)?);
        Ok(Dgn { card, weights, hash, denoiser, device: device.clone() })
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no sound safetensors; [`Error::Data`] for another model.
    pub fn load(path: &Path, device: &Device) -> Result<Dgn> {
        let file = safetensors::read(path)?;
        let name = path.display().to_string();
        let card = file.metadata.get("einthoven.card").ok_or_else(|| {
            Error::data(&name, "has no model card (metadata einthoven.card): not a model of this tool")
        })?;
        let card = serde_json::from_str(card).map_err(|error| Error::data(&name, format!("model card: {error}")))?;
        Dgn::new(card, file.tensors.into(), device)
    }

    /// Writes the model file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for weights that are not finite.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, &Dgn::bytes(&self.card, &self.weights, StoredType::F32)?)
    }

    fn bytes(card: &DgnCard, weights: &Weights, stored: StoredType) -> Result<Vec<u8>> {
        let card = serde_json::to_string(card).map_err(|error| Error::data("model card", error.to_string()))?;
        let metadata = BTreeMap::from([("einthoven.card".to_string(), card)]);
        safetensors::to_bytes(&weights.clone().into(), &metadata, stored)
    }

    /// Its card.
    pub fn card(&self) -> &DgnCard {
        &self.card
    }

    /// Its weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// SHA-256 of the model file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The network as a denoiser, in units of the training part's standard deviation.
    pub fn denoiser(&self) -> &NetworkDenoiser<UnetBackbone> {
        &self.denoiser
    }

    /// The device that it draws on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Bytes of the weights as f32: the size that the comparison of sizes means.
    pub fn n_bytes(&self) -> usize {
        4 * self.weights.n_values()
    }

    /// Signals in units of the training part's standard deviation.
    ///
    /// # Shape
    /// `[n, lead, time]`, mV, to the same shape.
    pub fn scaled(&self, ecg: &[f32]) -> Vec<f32> {
        signal::scaled(ecg, &self.card.scale_mv, self.card.sig_len)
    }

    fn grid(&self, steps: usize) -> Result<Vec<NoiseLevel>> {
        match self.denoiser.time() {
            TimeView::Angle => angle_grid(steps, NoiseLevel::PURE_NOISE),
            TimeView::Steps(schedule) => schedule.grid(steps),
        }
    }

    fn check(&self, request: &SampleRequest) -> Result<()> {
        if request.batch == 0 {
            return Err(Error::config("batch", "found 0, expected at least 1"));
        }
        if let Some(class) = request.classes.iter().find(|&&class| class >= self.card.label_names.len()) {
            let reason = format!("found class {class}, expected one of {}", self.card.label_names.join(", "));
            return Err(Error::config("classes", reason));
        }
        Ok(())
    }
}

impl Generator for Dgn {
    fn axes(&self) -> Dataset {
        let card = &self.card;
        let mut data = Dataset::new(card.leads.clone(), card.sig_len, card.fs_hz, card.label_names.clone());
        data.provenance = json!({
            "synthetic": true,
            "generator": NAME,
            "role": card.role,
            "version": env!("CARGO_PKG_VERSION"),
            "model_sha256": self.hash,
            "training_data": card.training_data,
            "training_patients": card.training_data["training_patients"],
            "notice": "synthetic, not for clinical use",
        });
        data
    }

    /// A request with the card's own sampler, steps and guidance.
    fn request(&self, classes: Vec<usize>) -> SampleRequest {
        SampleRequest {
            sampler: self.card.sampler.clone(),
            guidance: self.card.guidance,
            ..SampleRequest::new(classes, self.card.steps)
        }
    }

    fn working_bytes_per_item(&self) -> u64 {
        // The first level holds the widest maps in time; its skips and the block in hand live at once.
        let network = &self.card.network;
        let points = self.card.sig_len / network.stem_stride.max(1);
        (LIVE_MAPS * 4 * network.width * points) as u64
    }

    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        self.check(request)?;
        let sampler = sampler::find(&request.sampler)?;
        let grid = self.grid(request.steps)?;
        let guided = Guided::new(&self.denoiser, request.guidance)?;
        let (n_leads, sig_len) = (self.card.leads.len(), self.card.sig_len);
        let size = n_leads * sig_len;
        // Noise belongs to the model, the seed, the item and the step, and to nothing else.
        let seed = seed.purpose("sample").purpose(&self.hash);
        let mut first = request.first;
        for classes in request.classes.chunks(request.batch) {
            let shape = [classes.len(), n_leads, sig_len];
            let normal = |step: usize| {
                let mut noise = vec![0.0f32; classes.len() * size];
                for (item, values) in noise.chunks_mut(size).enumerate() {
                    seed.index(first + item as u64).index(step as u64).stream().fill_normal(values);
                }
                Tensor::<3>::from_data(TensorData::new(noise, shape), &self.device)
            };
            let condition = Condition::of_classes(classes);
            let denoiser: &dyn Denoiser = &guided;
            let x = sampler.sample(denoiser, &grid, normal(0), &mut |step| normal(step), &condition)?;
            let mut ecg = read(x)?;
            for (lead, scale) in ecg.chunks_mut(sig_len).zip(self.card.scale_mv.iter().cycle()) {
                lead.iter_mut().for_each(|v| *v *= scale);
            }
            if ecg.iter().any(|v| !v.is_finite()) {
                return Err(Error::data(&self.card.role, format!("items from {first} on came out not finite")));
            }
            sink.accept(first, classes, &ecg)?;
            first += classes.len() as u64;
        }
        Ok(())
    }
}

/// Entry of the list.
pub struct Spec;

impl GeneratorSpec for Spec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "class-conditional beat diffusion (DGN) and its distilled students (KD-DGN)"
    }

    fn reference(&self) -> &'static str {
        "@article{ge2025dgn, author={Ge, Beining and Chen, Nuo and Jin, Peng and Su, Xin and Lu, Xiaochun}, \
         title={Research on ECG Pathological Signal Classification Empowered by Diffusion Generative Data}, \
         journal={Journal of Electronics and Information Technology}, year={2025}, doi={10.11999/JEIT250404}}"
    }

    fn default_config(&self) -> Value {
        json!({})
    }

    fn build(&self, _config: &Value, model: Option<&Path>, device: &Device) -> Result<Box<dyn Generator>> {
        match model {
            Some(path) => Ok(Box::new(Dgn::load(path, device)?)),
            None => Err(Error::config("model", "dgn draws from a trained model: name its model file or its run")),
        }
    }
}
