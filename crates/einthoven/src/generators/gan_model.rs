//! What every adversarial generator is: a network that turns noise into signals in one pass, and one
//! number per lead that scales them to mV.
//!
//! The network's output lies within -1 to 1, so the scale of a lead is the largest amplitude that it
//! can make. A model of the eight independent leads gives all twelve, which then obey the laws of the
//! limb leads by construction. The critic is of no use after training and is not part of a model.

use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Generator, GeneratorSpec, Item, SampleRequest, Sink, model_file};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::nn::gan::network::{GanNetwork, GanNetworkConfig};
use crate::nn::onnx::{self, Graph};
use crate::nn::weights::{Params, Weights, host};
use crate::run::{sha256_hex, write_atomic};
use crate::seed::{Seed, Stream};

/// The widest feature maps that are alive at once while a network is applied, roughly.
const LIVE_MAPS: u64 = 16;
/// Points of the signals of the published networks.
const PUBLISHED_LEN: usize = 5000;

/// What a model file says beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GanCard {
    /// Format of this card.
    pub format: u32,
    /// Generator by its name in the list.
    pub generator: String,
    /// What it is, such as `generator`.
    pub role: String,
    /// Shape of the network.
    pub network: GanNetworkConfig,
    /// Amplitude of one in the network's output for each lead, mV.
    pub scale_mv: Vec<f32>,
    /// Names of the leads that are modelled.
    pub leads: Vec<String>,
    /// Points in time.
    pub sig_len: usize,
    /// Sampling rate.
    pub fs_hz: f64,
    /// Class names in the network's order; none for a network that is told none.
    pub label_names: Vec<String>,
    /// Training data: fingerprint, licence, keyed hashes of its patients.
    pub training_data: Value,
}

/// An adversarial generator on a device.
pub struct GanModel {
    card: GanCard,
    state: Weights,
    hash: String,
    network: GanNetwork,
    params: Params,
    device: Device,
}

impl GanModel {
    /// Puts card and state together: the weights and, for some networks, running statistics.
    ///
    /// # Errors
    /// [`Error::Data`] listing arrays that do not fit the network; [`Error::Config`] for a card that no
    /// model can have.
    pub fn new(card: GanCard, state: Weights, device: &Device) -> Result<GanModel> {
        if card.scale_mv.len() != card.leads.len() || card.scale_mv.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return Err(Error::config("scale_mv", "expected one positive number per lead"));
        }
        if card.network.n_labels() != card.label_names.len() {
            let reason = format!("{} names for {} classes", card.label_names.len(), card.network.n_labels());
            return Err(Error::config("label_names", reason));
        }
        let network = GanNetwork::new(&card.network, card.sig_len)?;
        let running = network.running();
        state.check(&[network.params(), running.clone()].concat(), &card.role)?;
        let mut weights = state.clone();
        weights.entries.retain(|name, _| !running.iter().any(|spec| &spec.name == name));
        let hash = sha256_hex(&model_file::bytes(&card, &state)?);
        Ok(GanModel { params: weights.on(device), card, state, hash, network, device: device.clone() })
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no sound safetensors; [`Error::Data`] for another model.
    pub fn load(path: &Path, device: &Device) -> Result<GanModel> {
        let (card, state) = model_file::read(path)?;
        let card = model_file::card(path, "an adversarial generator", card)?;
        GanModel::new(card, state, device)
    }

    /// Writes the model file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for weights that are not finite.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, &model_file::bytes(&self.card, &self.state)?)
    }

    /// The model as an ONNX file: noise and labels in, signals of the modelled leads in mV out, with the card in its metadata.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for more weights than the format can hold.
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        let card = serde_json::to_string(&self.card).map_err(|error| Error::data("model card", error.to_string()))?;
        let mut graph = Graph::new(&self.state);
        onnx::gan::graph(&mut graph, &self.network, &self.card.scale_mv);
        let notice = "its signals are synthetic, not for clinical use".to_string();
        graph.to_bytes("generator", &[("einthoven.card", card), ("notice", notice)])
    }

    /// Its card.
    pub fn card(&self) -> &GanCard {
        &self.card
    }

    /// SHA-256 of the model file.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The signals that noise turns into, in the leads that are modelled.
    ///
    /// # Shape
    /// `noise` is `[n, noise]`, as many numbers as the network takes, uniform within -1 to 1 in training; `labels` is
    /// `[n, label]` and says how much each label counts; the result is `[n, lead, time]`, mV.
    /// # Errors
    /// [`Error::Shape`] for noise or labels of another number; [`Error::Data`] for signals that are not finite.
    pub fn signals(&self, noise: &[f32], labels: &[f32]) -> Result<Vec<f32>> {
        self.signals_of(&[], noise, labels)
    }

    fn signals_of(&self, items: &[Item], noise: &[f32], labels: &[f32]) -> Result<Vec<f32>> {
        let output = self.network.forward(&self.params.root(), &self.state, noise, labels, &self.device)?;
        model_file::in_mv(host(output), &self.card.scale_mv, self.card.sig_len, &self.card.role, items)
    }

    fn check(&self, request: &SampleRequest) -> Result<()> {
        request.check(&self.card.label_names, &self.told(), &self.card.generator)?;
        request.check_one_pass(&self.card.generator)?;
        let names = &self.card.label_names;
        match request.items.iter().find(|item| !names.is_empty() && item.conditions.labels.is_empty()) {
            // Labels scale the network's normalizations: without one nothing but a flat line comes out.
            Some(item) => {
                let reason = format!("item {} has none, expected one or more of {}", item.index, names.join(", "));
                Err(Error::config("label", reason))
            }
            None => Ok(()),
        }
    }

    /// How much each label counts for items that were checked, `[n, label]`.
    fn labels(&self, items: &[Item]) -> Vec<f32> {
        let n_labels = self.card.label_names.len();
        let of_item = |item: &Item| {
            let mut row = vec![0.0; n_labels];
            item.conditions.labels.iter().for_each(|&(label, weight)| row[label] += weight);
            row
        };
        items.iter().flat_map(of_item).collect()
    }
}

impl Generator for GanModel {
    fn axes(&self) -> Dataset {
        let card = &self.card;
        let provenance = model_file::provenance(&card.generator, &card.role, &self.hash, &card.training_data);
        model_file::axes(&card.leads, card.sig_len, card.fs_hz, &card.label_names, provenance)
    }

    /// A request without sampler, steps and guidance.
    fn request(&self, items: Vec<Item>) -> SampleRequest {
        SampleRequest::one_pass(items)
    }

    fn working_bytes_per_item(&self) -> u64 {
        LIVE_MAPS * self.card.network.map_bytes(self.card.sig_len)
    }

    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        self.check(request)?;
        // Noise belongs to the model, the seed and the item, and to nothing else.
        let seed = seed.purpose("sample").purpose(&self.hash);
        for items in request.items.chunks(request.batch) {
            let mut streams: Vec<Stream> = items.iter().map(|item| seed.index(item.index).stream()).collect();
            let noise = self.network.draw_noise(&mut streams);
            let ecg = self.signals_of(items, &noise, &self.labels(items))?;
            sink.accept(items, &model_file::all_leads(ecg, &self.card.leads, self.card.sig_len)?)?;
        }
        Ok(())
    }
}

/// An entry of the list for a system whose generators are trained against a critic.
pub struct GanSpec {
    /// Name as typed by users, which is the kind of its network.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// BibTeX of the source.
    pub reference: &'static str,
    /// The network as published.
    pub published: fn() -> GanNetworkConfig,
}

impl GeneratorSpec for GanSpec {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn reference(&self) -> &'static str {
        self.reference
    }

    fn conditions(&self) -> Vec<&'static str> {
        if (self.published)().n_labels() > 0 { vec!["label"] } else { Vec::new() }
    }

    fn n_weights(&self) -> Option<usize> {
        let network = (self.published)();
        let params = GanNetwork::new(&network, network.own_len().unwrap_or(PUBLISHED_LEN)).ok()?.params();
        Some(params.iter().map(|spec| spec.shape.iter().product::<usize>()).sum())
    }

    fn default_config(&self) -> Value {
        json!({ "network": (self.published)() })
    }

    fn build(&self, _config: &Value, model: Option<&Path>, device: &Device) -> Result<Box<dyn Generator>> {
        let path = model_file::trained(model, self.name)?;
        let model = GanModel::load(path, device)?;
        model_file::check_generator(path, &model.card().generator, self.name)?;
        Ok(Box::new(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::{GeneratorSpec, cond_pulse2pulse, cond_wavegan_star, pulse2pulse, wavegan_star};
    use crate::record::lead_law::EIGHT;

    #[test]
    fn every_published_network_has_a_number_of_weights() {
        for spec in [&pulse2pulse::SPEC, &cond_pulse2pulse::SPEC, &wavegan_star::SPEC, &cond_wavegan_star::SPEC] {
            assert!(spec.n_weights().is_some_and(|n| n > 100_000), "{}: {:?}", spec.name, spec.n_weights());
        }
    }

    fn model(kind: &str) -> GanModel {
        let (config, labels) = match kind {
            "cond-pulse2pulse" => (r#"{ "kind": "cond-pulse2pulse", "width": 20, "strides": [2, 2, 1, 1, 5] }"#, 2),
            "cond-wavegan-star" => {
                (r#"{ "kind": "cond-wavegan-star", "width": 20, "latent": 7, "strides": [2, 2, 1, 1, 5] }"#, 2)
            }
            "pulse2pulse" => (r#"{ "kind": "pulse2pulse", "width": 20, "strides": [2, 2, 1, 1, 5, 1] }"#, 0),
            _ => (r#"{ "kind": "wavegan-star", "width": 20, "latent": 7, "strides": [2, 2, 1, 1, 5, 1] }"#, 0),
        };
        let config: GanNetworkConfig = serde_json::from_str(config).unwrap();
        let network = config.sized(8, labels, 40);
        let shape = GanNetwork::new(&network, 40).unwrap();
        let mut state = shape.start(Seed::new(1));
        state.entries.extend(Weights::initialize(&shape.running(), Seed::new(1)).entries);
        let card = GanCard {
            format: 1,
            generator: kind.into(),
            role: "generator".into(),
            network,
            scale_mv: vec![3.0; 8],
            leads: EIGHT.map(String::from).to_vec(),
            sig_len: 40,
            fs_hz: 100.0,
            label_names: ["a", "b"].iter().take(labels).map(|name| (*name).to_string()).collect(),
            training_data: json!({ "training_patients": { "key": "none", "hashes": [] } }),
        };
        GanModel::new(card, state, &Device::flex()).unwrap()
    }

    #[test]
    fn an_item_has_the_same_bits_in_every_batch_and_the_file_draws_what_the_model_draws() {
        let folder = std::env::temp_dir().join(format!("einthoven-gan-model-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for kind in ["pulse2pulse", "cond-pulse2pulse", "wavegan-star", "cond-wavegan-star"] {
            let model = model(kind);
            let path = folder.join(format!("{kind}.safetensors"));
            model.save(&path).unwrap();
            let stored = crate::generators::open(&path, &Device::flex()).unwrap();
            let is_told = kind.starts_with("cond-");
            let items = |classes: &[usize]| {
                let mut items = Item::of_classes(classes);
                if !is_told {
                    items.iter_mut().for_each(|item| item.conditions.labels.clear());
                }
                items
            };
            let whole = model.sample(&model.request(items(&[0, 1, 1, 0])), Seed::new(5)).unwrap();
            assert_eq!((whole.leads.len(), whole.len(), &whole.provenance["generator"]), (12, 4, &json!(kind)));
            assert!(whole.item(0) != whole.item(3), "{kind}: two items are alike");
            for (first, batch) in [(0, 1), (1, 2), (3, 1)] {
                let rest = items(&[0, 1, 1, 0])[first..].to_vec();
                let request = SampleRequest { batch, ..model.request(rest) };
                let part = stored.sample(&request, Seed::new(5)).unwrap();
                assert!(part.ecg == whole.ecg[first * 12 * 40..], "{kind} from {first}");
            }
            let other = model.sample(&model.request(Item::of_classes(&[1, 1, 1, 0])), Seed::new(5));
            match (is_told, other) {
                (true, Ok(other)) => assert_ne!(other.item(0), whole.item(0), "{kind}: a label counts"),
                (false, Err(error)) => assert!(error.to_string().contains("knows no labels"), "{error}"),
                (_, other) => panic!("{kind}: {other:?}"),
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn requests_for_what_it_has_not_are_refused() {
        let model = model("cond-pulse2pulse");
        let refused = |request: SampleRequest| model.sample(&request, Seed::new(1)).unwrap_err().to_string();
        let plain = || model.request(Item::of_classes(&[0]));
        for (request, expected) in [
            (SampleRequest { steps: 8, ..plain() }, "steps: cond-pulse2pulse makes a signal in one pass"),
            (SampleRequest { sampler: "ddim".into(), ..plain() }, "sampler: cond-pulse2pulse"),
            (SampleRequest { guidance: 2.0, ..plain() }, "guidance: cond-pulse2pulse"),
            (SampleRequest { batch: 0, ..plain() }, "batch: found 0"),
            (model.request(Item::of_classes(&[2])), "label: found label 2, expected one of a, b"),
            (model.request(vec![Item::default()]), "label: item 0 has none, expected one or more of a, b"),
        ] {
            let error = refused(request);
            assert!(error.starts_with(expected), "{error}");
        }
        let error = model.signals(&[0.0; 8 * 40], &[1.0]).unwrap_err().to_string();
        assert!(error.starts_with("labels"), "{error}");
    }
}
