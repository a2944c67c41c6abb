//! TimeVQVAE: signals as codes of two frequency bands, drawn by masked transformers.
//!
//! A model is both stages and one number per lead that scales what they put out to mV. Its state dict is that of the
//! release: stage 1 below `vqvae.`, the transformers under their own names. A model of the eight independent leads gives
//! all twelve, which then obey the laws of the limb leads by construction.

use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Generator, GeneratorSpec, Item, SampleRequest, Sink, model_file};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::nn::layer::with_normed_weights;
use crate::nn::onnx::{self, Graph};
use crate::nn::timevqvae::{
    Band, Decoding, Form, Prior, PriorConfig, SeededDraws, TransformerConfig, Vqvae, VqvaeConfig,
};
use crate::nn::weights::{Params, Weights, host};
use crate::record::lead_law::EIGHT;
use crate::run::{sha256_hex, write_atomic};
use crate::seed::Seed;

/// Name in the list.
pub const NAME: &str = "timevqvae";
/// The only way to draw codes.
pub const SAMPLER: &str = "masked-decoding";
/// Prefix of the arrays of stage 1.
const STAGE1: &str = "vqvae.";
/// The largest arrays that are alive at once while codes are drawn or decoded, roughly.
const LIVE_MAPS: usize = 8;

/// What a model file says beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeVqvaeCard {
    /// Format of this card.
    pub format: u32,
    /// Generator by its name in the list.
    pub generator: String,
    /// What it is, such as `generator`.
    pub role: String,
    /// Shape of stage 1.
    pub vqvae: VqvaeConfig,
    /// Shape of stage 2.
    pub prior: PriorConfig,
    /// How codes are decoded unless asked otherwise.
    pub decoding: Decoding,
    /// Standard deviation of each lead over the training part, mV: the scaling of the network.
    pub scale_mv: Vec<f32>,
    /// Names of the leads that are modelled.
    pub leads: Vec<String>,
    /// Sampling rate.
    pub fs_hz: f64,
    /// Class names in the prior's order.
    pub label_names: Vec<String>,
    /// Training data: fingerprint, licence, keyed hashes of its patients.
    pub training_data: Value,
}

/// Parameters on a device, and what gradients do not move.
struct Stage<N> {
    network: N,
    params: Params,
    buffers: Weights,
}

/// A model on a device.
pub struct TimeVqvaeModel {
    card: TimeVqvaeCard,
    state: Weights,
    hash: String,
    vqvae: Stage<Vqvae>,
    prior: Stage<Prior>,
    device: Device,
}

/// One state dict of the arrays of both stages.
pub fn joined(stage1: impl IntoIterator<Item = Weights>, stage2: impl IntoIterator<Item = Weights>) -> Weights {
    let stage1 = stage1.into_iter().flat_map(|part| part.entries);
    let stage1 = stage1.map(|(name, array)| (format!("{STAGE1}{name}"), array));
    Weights { entries: stage1.chain(stage2.into_iter().flat_map(|part| part.entries)).collect() }
}

/// The arrays of each stage under its own names.
fn parted(state: &Weights) -> [Weights; 2] {
    let (mut stage1, mut stage2) = (Weights::default(), Weights::default());
    for (name, array) in &state.entries {
        match name.strip_prefix(STAGE1) {
            Some(name) => stage1.entries.insert(name.into(), array.clone()),
            None => stage2.entries.insert(name.clone(), array.clone()),
        };
    }
    [stage1, stage2]
}

impl TimeVqvaeModel {
    /// Puts card and state together, see [`joined`].
    ///
    /// # Errors
    /// [`Error::Data`] listing arrays that do not fit the networks; [`Error::Config`] for a card that no model can have.
    pub fn new(card: TimeVqvaeCard, state: Weights, device: &Device) -> Result<TimeVqvaeModel> {
        let (vqvae, prior) = (Vqvae::new(card.vqvae.clone())?, Prior::new(card.prior.clone())?);
        if card.prior != card.prior.sized(&vqvae, card.prior.classes) {
            return Err(Error::config("prior", "its form, positions or codes are not those of stage 1"));
        }
        if card.leads.len() != card.vqvae.channels || card.leads.len() != card.scale_mv.len() {
            let (leads, scales) = (card.leads.len(), card.scale_mv.len());
            let reason = format!("{leads} names and {scales} scales for {} channels", card.vqvae.channels);
            return Err(Error::config("leads", reason));
        }
        if card.scale_mv.iter().any(|scale| !scale.is_finite() || *scale <= 0.0) {
            return Err(Error::config("scale_mv", "expected one positive number per lead"));
        }
        if card.label_names.len() != card.prior.classes {
            let reason = format!("{} names for {} classes", card.label_names.len(), card.prior.classes);
            return Err(Error::config("label_names", reason));
        }
        card.decoding.validate()?;
        let hash = sha256_hex(&model_file::bytes(&card, &state)?);
        let [stage1, stage2] = parted(&state);
        let (params, buffers) = vqvae.declared().split(stage1, "stage 1")?;
        let vqvae = Stage { network: vqvae, params: with_normed_weights(params.on(device)), buffers };
        let (params, buffers) = prior.declared().split(stage2, "stage 2")?;
        let prior = Stage { network: prior, params: with_normed_weights(params.on(device)), buffers };
        Ok(TimeVqvaeModel { card, state, hash, vqvae, prior, device: device.clone() })
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no sound safetensors; [`Error::Data`] for another model.
    pub fn load(path: &Path, device: &Device) -> Result<TimeVqvaeModel> {
        let (card, state) = model_file::read(path)?;
        let card: TimeVqvaeCard = model_file::card(path, NAME, card)?;
        model_file::check_generator(path, &card.generator, NAME)?;
        TimeVqvaeModel::new(card, state, device)
    }

    /// Writes the model file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for weights that are not finite.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, &model_file::bytes(&self.card, &self.state)?)
    }

    /// The prior of the low and of the high band and the decoder as ONNX files, with the card in their metadata, and what
    /// the decoding between them needs as `einthoven.decoding`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for more weights than a file can hold.
    pub fn to_onnx(&self) -> Result<[Vec<u8>; 3]> {
        let card = serde_json::to_string(&self.card).map_err(|error| Error::data("model card", error.to_string()))?;
        let metadata = [
            ("einthoven.card", card),
            ("einthoven.decoding", self.decoding_facts().to_string()),
            ("notice", "its signals are synthetic, not for clinical use".into()),
        ];
        let [stage1, stage2] = parted(&self.state);
        let prior = |band, name| {
            let mut graph = Graph::new(&stage2);
            onnx::timevqvae::prior_graph(&mut graph, &self.prior.network, band);
            graph.to_bytes(name, &metadata)
        };
        let mut decoder = Graph::new(&stage1);
        onnx::timevqvae::decoder_graph(&mut decoder, &self.vqvae.network, &self.card.scale_mv)?;
        Ok([
            prior(Band::Low, "prior of the low band")?,
            prior(Band::High, "prior of the high band")?,
            decoder.to_bytes("decoder", &metadata)?,
        ])
    }

    /// What [`Decoding::run`] does, for whoever runs it elsewhere; pairs are low band, high band.
    fn decoding_facts(&self) -> Value {
        let (c, decoding) = (&self.card.prior, &self.card.decoding);
        json!({
            "steps": decoding.steps,
            "temperatures": decoding.temperatures,
            "guidance": decoding.guidance,
            "positions": c.positions,
            "mask": c.codes,
            "no_class": c.classes,
            "schedule": "cosine",
            "step": "All codes of a band are the mask at first. Step k of n: logits = without + guidance * (with - without), \
                     answers with the class and with no_class (without alone where none is told); draw a code for each masked \
                     position by softmax(logits); its confidence is log(probability + 1e-5) + temperature * (1 - k/n) * \
                     Gumbel noise, that of a code already kept is infinite; mask the floor(positions * cos(pi/2 * k/n)) \
                     least confident again. The high band is asked with the finished codes of the low.",
        })
    }

    /// Its card.
    pub fn card(&self) -> &TimeVqvaeCard {
        &self.card
    }

    /// SHA-256 of the model file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The card's decoding with the steps and the guidance of a request.
    ///
    /// Steps are calls of the prior for both bands together, divided as the card divides them.
    fn decoding(&self, request: &SampleRequest) -> Result<Decoding> {
        if request.sampler != SAMPLER {
            let (name, known) = (request.sampler.clone(), vec![SAMPLER.to_string()]);
            return Err(Error::Unknown { kind: "sampler of timevqvae", name, known });
        }
        if request.steps < 2 {
            let reason = format!("found {}, expected at least one call of the prior for each band", request.steps);
            return Err(Error::config("steps", reason));
        }
        let [low, high] = self.card.decoding.steps;
        let share = request.steps as f64 * low as f64 / (low + high) as f64;
        let low = (share.round() as usize).clamp(1, request.steps - 1);
        let decoding =
            Decoding { steps: [low, request.steps - low], guidance: request.guidance, ..self.card.decoding.clone() };
        decoding.validate()?;
        Ok(decoding)
    }

    /// The class that the prior is told of an item; the number of classes, as in training, for an item without a label.
    fn class(&self, item: &Item) -> Result<usize> {
        if item.conditions.labels.is_empty() { Ok(self.card.prior.classes) } else { item.conditions.class() }
    }

    /// Items of these classes, mV, in the leads that are modelled.
    fn draw(&self, decoding: &Decoding, seed: Seed, items: &[Item], classes: &[usize]) -> Result<Vec<f32>> {
        // Chance belongs to the model, the seed, the item and the step, and to nothing else.
        let indexes = items.iter().map(|item| item.index).collect();
        let mut draws = SeededDraws { seed: seed.purpose("sample").purpose(&self.hash), items: indexes };
        let Stage { network, params, buffers } = &self.prior;
        let told = (!self.card.label_names.is_empty()).then_some(classes);
        let tokens = decoding.run(network, &params.root(), buffers, items.len(), told, &mut draws)?;
        let Stage { network, params, buffers } = &self.vqvae;
        let part = |band| network.decode_tokens(&params.root(), buffers, &tokens[band as usize], band, &self.device);
        let ecg = host(part(Band::Low)? + part(Band::High)?);
        model_file::in_mv(ecg, &self.card.scale_mv, network.output_length(), &self.card.role, items)
    }
}

impl Generator for TimeVqvaeModel {
    fn axes(&self) -> Dataset {
        let card = &self.card;
        let provenance = model_file::provenance(&card.generator, &card.role, &self.hash, &card.training_data);
        let sig_len = self.vqvae.network.output_length();
        model_file::axes(&card.leads, sig_len, card.fs_hz, &card.label_names, provenance)
    }

    /// A request with the card's own steps and guidance.
    fn request(&self, items: Vec<Item>) -> SampleRequest {
        let decoding = &self.card.decoding;
        SampleRequest {
            sampler: SAMPLER.into(),
            guidance: decoding.guidance,
            ..SampleRequest::new(items, decoding.steps.iter().sum())
        }
    }

    fn working_bytes_per_item(&self) -> u64 {
        let (prior, vqvae) = (&self.card.prior, &self.card.vqvae);
        let of_band = |band: usize| {
            let transformer = &prior.transformers[band];
            let scores = transformer.heads * prior.positions[band];
            // Features of a position, its scores for the others, and its logits, which are alive a few times over.
            prior.positions[band] * (4 * transformer.width + scores + prior.codes[band])
        };
        let planes = 2 * vqvae.channels.max(vqvae.first_width);
        let decoded = planes * (vqvae.n_fft / 2 + 1) * 8 * vqvae.length / vqvae.n_fft;
        (4 * LIVE_MAPS * of_band(0).max(of_band(1)).max(decoded)) as u64
    }

    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        request.check(&self.card.label_names, &self.told(), NAME)?;
        let classes: Vec<usize> = request.items.iter().map(|item| self.class(item)).collect::<Result<_>>()?;
        let decoding = self.decoding(request)?;
        for (items, classes) in request.items.chunks(request.batch).zip(classes.chunks(request.batch)) {
            let ecg = self.draw(&decoding, seed, items, classes)?;
            let ecg = model_file::all_leads(ecg, &self.card.leads, self.vqvae.network.output_length())?;
            sink.accept(items, &ecg)?;
        }
        Ok(())
    }
}

/// The prior for an ECG, before it is sized.
fn ecg_prior() -> PriorConfig {
    let transformer = || TransformerConfig { width: 256, layers: 6, heads: 4, ff_multiple: 4, has_rms_norm: true };
    PriorConfig {
        form: Form::Release,
        positions: [0; 2],
        codes: [0; 2],
        embedding: 128,
        classes: 0,
        transformers: [transformer(), transformer()],
    }
}

/// Entry of the list.
pub struct Spec;

impl GeneratorSpec for Spec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "TimeVQVAE: codes of two frequency bands, drawn by masked transformers, of whole records by label"
    }

    fn reference(&self) -> &'static str {
        "@inproceedings{lee2023timevqvae, author={Lee, Daesoo and Malacarne, Sara and Aune, Erlend}, title={Vector \
         Quantized Time Series Generation with a Bidirectional Prior Model}, booktitle={International Conference on \
         Artificial Intelligence and Statistics}, year={2023}}"
    }

    /// Of both stages, for ten seconds at 100 Hz.
    fn n_weights(&self) -> Option<usize> {
        let vqvae = Vqvae::new(VqvaeConfig::ecg(EIGHT.len(), 1000)).ok()?;
        let prior = Prior::new(ecg_prior().sized(&vqvae, 0)).ok()?;
        let params = [vqvae.declared().params, prior.declared().params].concat();
        Some(params.iter().map(|spec| spec.shape.iter().product::<usize>()).sum())
    }

    /// The networks for an ECG, before they are sized for the leads, the length and the labels of a data set.
    fn default_config(&self) -> Value {
        json!({
            "vqvae": VqvaeConfig::ecg(0, 0),
            "prior": ecg_prior(),
            "decoding": Decoding::published(Form::Release),
        })
    }

    fn build(&self, _config: &Value, model: Option<&Path>, device: &Device) -> Result<Box<dyn Generator>> {
        Ok(Box::new(TimeVqvaeModel::load(model_file::trained(model, NAME)?, device)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(form: Form, leads: &[&str], label_names: &[&str]) -> TimeVqvaeModel {
        let base = match form {
            Form::Paper => VqvaeConfig { code_width: 12, ..VqvaeConfig::paper(leads.len(), 66) },
            Form::Release => VqvaeConfig { code_width: 4, ..VqvaeConfig::release(leads.len(), 66) },
        };
        let config = VqvaeConfig { width: 12, target_widths: [8, 16], codes: [9, 7], encoder_blocks: 1, ..base };
        let vqvae = Vqvae::new(config.clone()).unwrap();
        let transformer = || TransformerConfig { width: 16, layers: 1, heads: 2, ff_multiple: 1, has_rms_norm: true };
        let prior = PriorConfig {
            form,
            positions: [0; 2],
            codes: [0; 2],
            embedding: 8,
            classes: 0,
            transformers: [transformer(), transformer()],
        };
        let prior = prior.sized(&vqvae, label_names.len());
        let (params, mut buffers) = vqvae.start(Seed::new(5));
        // Codebooks that wait for their first batch are all zero, and every draw would be alike.
        for (name, buffer) in buffers.entries.iter_mut().filter(|(name, _)| name.ends_with("embed")) {
            buffer.values.iter_mut().for_each(|value| *value = 0.0);
            Seed::new(8).purpose(name).stream().fill_normal(&mut buffer.values);
        }
        let stage2 = Prior::new(prior.clone()).unwrap().start(Seed::new(6));
        let card = TimeVqvaeCard {
            format: 1,
            generator: NAME.into(),
            role: "generator".into(),
            vqvae: config,
            prior,
            decoding: Decoding { steps: [4, 3], temperatures: [4.0, 1.0], guidance: 1.7 },
            scale_mv: vec![0.2; leads.len()],
            leads: leads.iter().map(|lead| lead.to_string()).collect(),
            fs_hz: 100.0,
            label_names: label_names.iter().map(|name| name.to_string()).collect(),
            training_data: json!({}),
        };
        TimeVqvaeModel::new(card, joined([params, buffers], [stage2.0, stage2.1]), &Device::flex()).unwrap()
    }

    #[test]
    fn items_do_not_depend_on_the_batch_and_twelve_leads_obey_their_laws() {
        let eight = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"];
        for form in [Form::Paper, Form::Release] {
            let model = model(form, &eight, &["NORM", "MI"]);
            let request = model.request(Item::of_classes(&[0, 1, 0, 1, 1]));
            assert_eq!((request.steps, request.guidance), (7, 1.7));
            let all = model.sample(&request, Seed::new(1)).unwrap();
            // In the paper's form a whole number of segments, which start two points apart.
            assert_eq!((all.leads.len(), all.sig_len), (12, 66));
            assert_ne!(all.item(1), all.item(3));
            let single = SampleRequest { batch: 1, items: request.items[3..].to_vec(), ..request.clone() };
            let single = model.sample(&single, Seed::new(1)).unwrap();
            assert_eq!(single.ecg, all.ecg[3 * 12 * 66..]);
            for (i, (ii, iii)) in all.item(0)[..66].iter().zip(all.item(0)[66..].iter().zip(&all.item(0)[2 * 66..])) {
                assert!((i + iii - ii).abs() < 1e-5);
            }
            let other = SampleRequest { items: Item::of_classes(&[1; 5]), ..request.clone() };
            let other = model.sample(&other, Seed::new(1)).unwrap();
            assert_ne!(other.item(0), all.item(0), "the class is told");
            let mut items = request.items.clone();
            items.iter_mut().for_each(|item| item.conditions.labels.clear());
            let untold = model.sample(&SampleRequest { items, ..request.clone() }, Seed::new(1)).unwrap();
            assert_eq!(untold.labels, [0; 10]);
            assert!(untold.ecg != all.ecg && untold.ecg != other.ecg, "no class is told");
            let mut both = request;
            both.items[0].conditions.labels = vec![(0, 1.0), (1, 1.0)];
            let error = model.sample(&both, Seed::new(1)).unwrap_err().to_string();
            assert_eq!(error, "label: found 2 labels, expected one whole label");
        }
    }

    #[test]
    fn steps_are_divided_and_what_does_not_fit_is_refused() {
        let model = model(Form::Release, &["MLII"], &[]);
        let request = model.request(vec![Item::default()]);
        assert_eq!(model.decoding(&SampleRequest { steps: 14, ..request.clone() }).unwrap().steps, [8, 6]);
        assert_eq!(model.decoding(&SampleRequest { steps: 2, ..request.clone() }).unwrap().steps, [1, 1]);
        for (request, reason) in [
            (SampleRequest { steps: 1, ..request.clone() }, "at least one call"),
            (SampleRequest { sampler: "ddim".into(), ..request.clone() }, SAMPLER),
            (SampleRequest { guidance: f64::NAN, ..request.clone() }, "finite"),
        ] {
            let error = model.sample(&request, Seed::new(1)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(model.sample(&request, Seed::new(1)).unwrap().leads, ["MLII"]);
    }
}
