//! What every diffusion generator is: a network, what its output means, and one number per lead that
//! scales it to mV.
//!
//! Teacher, student and step-distilled student, of beats or of whole records, are the same kind of
//! thing; only the numbers differ. A model of the eight independent leads gives all twelve, which
//! then obey the laws of the limb leads by construction.

mod editing;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
pub use editing::Guess;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::long_records::LongRecords;
use super::rhythm::RhythmModel;
use super::steady::{self, Kind, Memory, Steady};
use super::turned;
use super::usual::UsualFacts;
use super::waves::WaveModel;
use super::{Generator, Item, SampleRequest, Sink, model_file, too_short};
use crate::dataset::condition::Told;
use crate::dataset::{Conditions, Dataset};
use crate::diffusion::latent::{LatentDecoder, LatentSpace};
use crate::diffusion::{
    Condition, Denoiser, Guided, Known, Network, NetworkBackbone, NetworkConfig, NetworkDenoiser, Parameterization,
    TimeView, onnx, sampler,
};
use crate::error::{Error, Result};
use crate::nn::shipped;
use crate::nn::shown_beats::{self, ShownBeat};
use crate::nn::told;
use crate::nn::weights::{Weights, host};
use crate::run::{sha256_hex, write_atomic};
use crate::seed::Seed;
use crate::signal;

/// The widest feature maps that are alive at once while a network is applied, roughly.
const LIVE_MAPS: u64 = 16;

/// How much longer than in training a network that takes any length draws at once. Its normalizations and its sight of
/// the ends were trained for one length, so that it is no more than what rounding of a length calls for.
const LONGEST_AT_ONCE: f64 = 1.1;

/// What a model file says beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// Format of this card.
    pub format: u32,
    /// Generator by its name in the list.
    pub generator: String,
    /// What it is, such as `teacher`.
    pub role: String,
    /// Shape of the network.
    pub network: NetworkConfig,
    /// What its output means: `noise`, `v`, `x0` or `flow`.
    pub parameterization: String,
    /// Noise schedule by name; `angle` and `rectified` are continuous.
    pub schedule: String,
    /// Steps of a discrete schedule.
    pub schedule_steps: usize,
    /// Standard deviation of each lead over the training part, mV: the scaling of the network.
    pub scale_mv: Vec<f32>,
    /// Names of the leads that are modelled.
    pub leads: Vec<String>,
    /// Points in time.
    pub sig_len: usize,
    /// Sampling rate.
    pub fs_hz: f64,
    /// Class names in the network's order.
    pub label_names: Vec<String>,
    /// Sampler to use unless asked otherwise.
    pub sampler: String,
    /// Sampler steps to use unless asked otherwise.
    pub steps: usize,
    /// Guidance to use unless asked otherwise.
    pub guidance: f64,
    /// Training data: fingerprint, licence, keyed hashes of its patients.
    pub training_data: Value,
    /// The latents in which the network denoises; it denoises the signal itself if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent: Option<LatentSpace>,
    /// When the beats of its records come, for a network that is shown them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rhythm: Option<RhythmModel>,
    /// Where the waves of its beats are, for a network that is shown them too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waves: Option<WaveModel>,
    /// What it is told of a record where nobody asks for a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<UsualFacts>,
}

/// What is known of items that are drawn.
pub(super) struct KnownPart<'a> {
    /// `[item, lead, time]`, mV.
    pub ecg: &'a [f32],
    /// At each point in time 1 where `ecg` holds, 0 where it does not count, between where known and drawn go over into
    /// each other.
    pub mask: &'a [f32],
    /// As in [`Known::emphasized`].
    pub emphasis: f64,
}

/// A diffusion model on a device.
pub struct DiffusionModel {
    card: ModelCard,
    state: Weights,
    hash: String,
    denoiser: NetworkDenoiser<NetworkBackbone>,
    decoder: Option<LatentDecoder>,
    /// Channels and points of what is denoised.
    denoised: [usize; 2],
    device: Device,
}

impl DiffusionModel {
    /// Puts card and state together: the weights and, for some networks, arrays that are not trained.
    ///
    /// # Errors
    /// [`Error::Data`] listing weights that do not fit the network; [`Error::Config`] or
    /// [`Error::Unknown`] for a card that no model can have.
    pub fn new(card: ModelCard, state: Weights, device: &Device) -> Result<DiffusionModel> {
        let hash = sha256_hex(&model_file::bytes(&card, &state)?);
        DiffusionModel::identified(card, state, hash, device)
    }

    /// As [`DiffusionModel::new`], under the hash of a model file.
    fn identified(card: ModelCard, state: Weights, hash: String, device: &Device) -> Result<DiffusionModel> {
        let mut weights = state.clone();
        let (denoised, decoder) = match &card.latent {
            Some(space) => (space.shape(card.sig_len)?, Some(LatentDecoder::take(space, &mut weights, device)?)),
            None => ([card.leads.len(), card.sig_len], None),
        };
        let (network, weights) = Network::of_state(&card.network, &weights, &card.role)?;
        if card.scale_mv.len() != card.leads.len() || card.scale_mv.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return Err(Error::config("scale_mv", "expected one positive number per lead"));
        }
        if card.network.n_labels() != card.label_names.len() {
            let reason = format!("{} names for {} classes", card.label_names.len(), card.network.n_labels());
            return Err(Error::config("label_names", reason));
        }
        if card.network.sees_beats() != card.rhythm.is_some() || (card.rhythm.is_some() && card.latent.is_some()) {
            let reason = "expected one for a network of signals that is shown the beats, and none for any other";
            return Err(Error::config("rhythm", reason));
        }
        if card.network.sees_waves() != card.waves.is_some() {
            let reason = "expected some for a network that is shown the waves of beats, and none for any other";
            return Err(Error::config("waves", reason));
        }
        card.network.check_length(denoised[1])?;
        let time = TimeView::of_schedule(&card.schedule, card.schedule_steps)?;
        let backbone = network.prepared(weights.on(device), denoised[1]);
        let denoiser = NetworkDenoiser::new(backbone, Parameterization::find(&card.parameterization)?, time)?;
        Ok(DiffusionModel { card, state, hash, denoiser, decoder, denoised, device: device.clone() })
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no sound safetensors; [`Error::Data`] for another model.
    pub fn load(path: &Path, device: &Device) -> Result<DiffusionModel> {
        let (card, state) = model_file::read(path)?;
        let card = model_file::card(path, "a diffusion generator", card)?;
        DiffusionModel::new(card, state, device)
    }

    /// The model of weights that come with the library.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there are none of this name.
    pub fn shipped(name: &str, device: &Device) -> Result<DiffusionModel> {
        let path = Path::new(name);
        let (card, state) = model_file::parse(shipped::read(name)?, path)?;
        DiffusionModel::new(model_file::card(path, "a diffusion generator", card)?, state, device)
    }

    /// Writes the model file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for weights that are not finite.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, &model_file::bytes(&self.card, &self.state)?)
    }

    /// The network as an ONNX file and, for a model of latents, its decoder as another; the card is in their metadata.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming what cannot be exported.
    pub fn to_onnx(&self) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
        let card = serde_json::to_string(&self.card).map_err(|error| Error::data("model card", error.to_string()))?;
        let mut metadata = vec![
            ("einthoven.card", card),
            ("notice", "signals drawn with it are synthetic, not for clinical use".into()),
        ];
        if !self.told().is_empty() {
            metadata.push(("einthoven.fact_rows", json!(told::row_names(&self.told())).to_string()));
        }
        if self.card.network.sees_beats() {
            let names = shown_beats::names(self.card.network.sees_waves());
            metadata.push(("einthoven.beat_rows", json!(names).to_string()));
        }
        if self.decoder.is_none() && self.denoised[1] != self.card.sig_len {
            let reason = format!(
                "{} points are denoised, of which the first {} are the signal",
                self.denoised[1], self.card.sig_len
            );
            metadata.push(("einthoven.length", reason));
        }
        let mut weights = self.state.clone();
        let decoder_weights = LatentDecoder::split(&mut weights);
        let (network, _) = Network::of_state(&self.card.network, &weights, &self.card.role)?;
        let denoiser = onnx::denoiser(&network, &weights, self.denoised[1], &metadata)?;
        let decoder = self.card.latent.as_ref();
        let decoder = decoder.map(|space| onnx::decoder(space, &decoder_weights, self.card.sig_len, &metadata));
        Ok((denoiser, decoder.transpose()?))
    }

    /// Its card.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Its state: the weights, and the arrays that are not trained.
    pub fn state(&self) -> &Weights {
        &self.state
    }

    /// SHA-256 of the model file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The network as a denoiser, in units of the training part's standard deviation.
    pub fn denoiser(&self) -> &NetworkDenoiser<NetworkBackbone> {
        &self.denoiser
    }

    /// The device that it draws on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Bytes of the weights as f32: the size that the comparison of sizes means.
    pub fn n_bytes(&self) -> usize {
        4 * self.state.n_values()
    }

    /// Signals in units of the training part's standard deviation.
    ///
    /// # Shape
    /// `[n, lead, time]`, mV, to the same shape.
    pub fn scaled(&self, ecg: &[f32]) -> Vec<f32> {
        signal::scaled(ecg, &self.card.scale_mv, self.card.sig_len)
    }

    /// The same model for signals of another length, by the same weights and with the same identity, and so the same noise.
    ///
    /// A network that had nothing to fill up in training has not learned to see past a filled end: it draws up to the next
    /// length that needs none.
    ///
    /// # Errors
    /// [`Error::Config`] for a length that its latents cannot have.
    pub(super) fn of_length(&self, sig_len: usize) -> Result<DiffusionModel> {
        let card = ModelCard { sig_len, ..self.card.clone() };
        let mut model = DiffusionModel::identified(card, self.state.clone(), self.hash.clone(), &self.device)?;
        let multiple = self.card.network.length_multiple();
        if self.decoder.is_none() && self.denoised[1].is_multiple_of(multiple) {
            model.denoised[1] = sig_len.next_multiple_of(multiple);
        }
        Ok(model)
    }

    /// The beats of items of `sig_len` points, at whole points as in training; `None` for a network that is not shown any.
    pub(super) fn beats(&self, items: &[Item], sig_len: usize, seed: Seed) -> Option<Vec<Vec<f32>>> {
        let (rhythm, fs_hz) = (self.card.rhythm.as_ref()?, self.card.fs_hz);
        let of = |item: &Item| {
            let Conditions { labels, facts } = &item.conditions;
            let beats = rhythm.beats(labels, facts.hr_bpm, sig_len as f64 / fs_hz, self.own(seed).index(item.index));
            beats.into_iter().map(|at| (at * fs_hz).round() as f32).collect()
        };
        Some(items.iter().map(of).collect())
    }

    /// The network as it draws: guided, its beats like each other.
    pub(super) fn guided(&self, guidance: f64) -> Result<Steady<Guided<&NetworkDenoiser<NetworkBackbone>>>> {
        let guided = Guided::new(&self.denoiser, guidance)?;
        Ok(Steady::new(guided, self.card.fs_hz, &self.card.label_names))
    }

    /// What is told of items; the rate of those whose beats are shown is that of the beats. The waves are hidden.
    fn condition(&self, items: &[Item], beats: Option<Vec<Vec<f32>>>) -> Result<Condition> {
        let labels = Condition::of_items(items.iter().map(|item| &item.conditions), self.card.label_names.len())?;
        let hidden = |beats: Vec<f32>| beats.into_iter().map(ShownBeat::at).collect();
        let beats = beats.map(|items| items.into_iter().map(hidden).collect());
        let mut condition = Condition { beats, ..labels };
        for (facts, beats) in condition.facts.iter_mut().flatten().zip(condition.beats.iter().flatten()) {
            let within = steady::times(beats);
            let within: Vec<f32> =
                within.into_iter().filter(|at| (0.0..self.card.sig_len as f32).contains(at)).collect();
            if let [first, .., last] = within[..] {
                facts.hr_bpm = Some(60.0 * self.card.fs_hz * (within.len() - 1) as f64 / f64::from(last - first));
            }
        }
        Ok(condition)
    }

    /// Shows the waves that the facts of items call for.
    fn show_waves(&self, items: &[Item], condition: &mut Condition, of_record: Seed) {
        let Some(model) = &self.card.waves else { return };
        let kinds: Vec<Kind> = (0..items.len()).map(|item| Kind::of(&self.card.label_names, condition, item)).collect();
        for ((item, kind), beats) in items.iter().zip(kinds).zip(condition.beats.iter_mut().flatten()) {
            let seed = of_record.index(item.index);
            *beats = model.shown(&steady::times(beats), &item.conditions, kind, self.card.fs_hz, seed);
        }
    }

    /// Items with what is usual of their labels where nothing is asked for.
    fn with_usual(&self, items: &[Item], of_record: Seed) -> Vec<Item> {
        let mut items = items.to_vec();
        if let Some(usual) = &self.card.usual {
            for item in &mut items {
                item.conditions.facts = usual.told(&item.conditions, of_record.index(item.index));
            }
        }
        items
    }

    /// The randomness of this model: it is no other model's.
    fn own(&self, seed: Seed) -> Seed {
        seed.purpose("sample").purpose(&self.hash)
    }
}

impl Generator for DiffusionModel {
    fn axes(&self) -> Dataset {
        let card = &self.card;
        let provenance = model_file::provenance(&card.generator, &card.role, &self.hash, &card.training_data);
        model_file::axes(&card.leads, card.sig_len, card.fs_hz, &card.label_names, provenance)
    }

    fn told(&self) -> Told {
        self.card.network.told().clone()
    }

    /// A request with the card's own sampler, steps and guidance.
    fn request(&self, items: Vec<Item>) -> SampleRequest {
        SampleRequest {
            sampler: self.card.sampler.clone(),
            guidance: self.card.guidance,
            ..SampleRequest::new(items, self.card.steps)
        }
    }

    fn working_bytes_per_item(&self) -> u64 {
        let decoded = self.card.latent.as_ref().map_or(0, |space| 4 * space.autoencoder.width * self.card.sig_len);
        LIVE_MAPS * self.card.network.map_bytes(self.denoised[1]).max(decoded as u64)
    }

    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        request.check(&self.card.label_names, &self.told(), &self.card.generator)?;
        let guided = self.guided(request.guidance)?;
        for items in request.items.chunks(request.batch) {
            let beats = self.beats(items, self.card.sig_len, seed);
            let ecg = self.draw(&guided, request, [seed; 2], items, beats)?;
            sink.accept(items, &self.finished(ecg, items, self.card.sig_len)?)?;
        }
        Ok(())
    }

    /// A little longer by the network at once, where it takes any length, else window by window.
    fn lengthened(self: Box<Self>, sig_len: usize) -> Result<Box<dyn Generator>> {
        if self.decoder.is_some() {
            return Err(too_short(self.as_ref()));
        }
        if sig_len as f64 <= LONGEST_AT_ONCE * self.card.sig_len as f64 && self.card.network.longest().is_none() {
            return Ok(Box::new(self.of_length(sig_len)?));
        }
        Ok(Box::new(LongRecords::new(*self, sig_len)?))
    }
}

impl DiffusionModel {
    /// Items by a denoiser of this model, mV, in the leads that are modelled, with their beats as of
    /// [`DiffusionModel::beats`].
    ///
    /// The seeds are those of these signals and of the records that they are part of.
    pub(super) fn draw(
        &self,
        denoiser: &dyn Denoiser,
        request: &SampleRequest,
        [seed, of_record]: [Seed; 2],
        items: &[Item],
        beats: Option<Vec<Vec<f32>>>,
    ) -> Result<Vec<f32>> {
        // Noise belongs to the model, the seed, the item and the step, and to nothing else.
        let (seed, of_record) = (self.own(seed), self.own(of_record));
        let (n_items, told) = (items.len(), self.with_usual(items, of_record));
        let mut condition = self.condition(&told, beats)?;
        self.show_waves(&told, &mut condition, of_record);
        let [channels, length] = self.denoised;
        let (size, shape) = (channels * length, [n_items, channels, length]);
        let fs_hz = self.card.fs_hz;
        // The beats with which an item's noise repeats.
        let repeated = |(k, item): (usize, &Item)| {
            let beats = condition.beats.as_ref().filter(|_| steady::may_repeat(&item.conditions.facts))?;
            Some((steady::times(&beats[k]), Kind::of(&self.card.label_names, &condition, k)))
        };
        let repeated: Vec<Option<(Vec<f32>, Kind)>> = items.iter().enumerate().map(repeated).collect();
        let normal = |step: usize| {
            let mut noise = vec![0.0f32; n_items * size];
            for ((item, repeated), values) in items.iter().zip(&repeated).zip(noise.chunks_mut(size)) {
                seed.index(item.index).index(step as u64).stream().fill_normal(values);
                if let Some((beats, kind)) = repeated {
                    let seed = of_record.index(item.index).index(step as u64);
                    steady::repeat(values, length, beats, fs_hz, *kind, seed);
                }
            }
            Tensor::<3>::from_data(TensorData::new(noise, shape), &self.device)
        };
        let sampler = sampler::find(&request.sampler)?;
        let grid = self.denoiser.time().grid(request.steps, sampler.spacing())?;
        let clean = sampler.sample(denoiser, &grid, normal(0), &mut |step| normal(step), &condition)?;
        let ecg = host(match &self.decoder {
            Some(decoder) => decoder.decode(clean)?,
            None => clean.narrow(2, 0, self.card.sig_len),
        });
        model_file::in_mv(ecg, &self.card.scale_mv, self.card.sig_len, &self.card.role, items)
    }

    /// Drawn records of a length, mV, turned to the axis that was asked for, in all leads that follow.
    pub(super) fn finished(&self, mut ecg: Vec<f32>, items: &[Item], sig_len: usize) -> Result<Vec<f32>> {
        let (leads, fs_hz) = (&self.card.leads, self.card.fs_hz);
        for (record, item) in ecg.chunks_mut(leads.len() * sig_len).zip(items) {
            turned::turn(record, leads, sig_len, fs_hz, &item.conditions.facts)?;
        }
        model_file::all_leads(ecg, leads, sig_len)
    }

    /// The next part of records, of which a part may be known, in the leads that are modelled; its beats are like those
    /// of `memory`, which has them too then.
    ///
    /// # Shape
    /// The result is `[item, lead, time]`, mV.
    /// # Errors
    /// As [`Generator::sample_into`].
    pub(super) fn draw_next(
        &self,
        part: Option<KnownPart>,
        memory: &mut Memory,
        request: &SampleRequest,
        seeds: [Seed; 2],
        items: &[Item],
        beats: Option<Vec<Vec<f32>>>,
    ) -> Result<Vec<f32>> {
        let [n_leads, length] = [self.card.leads.len(), self.card.sig_len];
        // What is drawn beyond the part is not known.
        let extended = |values: &[f32]| {
            let row = |row: &[f32]| [row, &vec![0.0; self.denoised[1] - length]].concat();
            values.chunks(length).flat_map(row).collect::<Vec<f32>>()
        };
        let tensor = |values: Vec<f32>| {
            let shape = [items.len(), n_leads, self.denoised[1]];
            Tensor::<3>::from_data(TensorData::new(extended(&values), shape), &self.device)
        };
        let (steady, unknown) = (self.guided(request.guidance)?, vec![0.0; length]);
        let mask = part.as_ref().map_or(&unknown[..], |part| part.mask);
        let drawn = match &part {
            // A beginning is what the model draws without more to come.
            None => self.draw(&steady, request, seeds, items, beats.clone())?,
            Some(part) => {
                let steady = self.guided(request.guidance)?.going_on(memory.clone(), extended(mask));
                let known = (tensor(self.scaled(part.ecg)), tensor(mask.repeat(items.len() * n_leads)));
                let known = Known::new(steady, known.0, known.1)?.emphasized(part.emphasis);
                self.draw(&known, request, seeds, items, beats.clone())?
            }
        };
        steady.remember(memory, &self.scaled(&drawn), mask, &self.condition(items, beats)?);
        Ok(drawn)
    }
}
