//! A published classifier as a model file: its state dict under the original's names, and a card that says what it is.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Imported, Pass, benchmark, to_onnx};
use crate::error::{Error, Result};
use crate::run::{StoredType, safetensors, sha256_hex, write_atomic};

/// Key of the card in the file's metadata.
pub const CARD: &str = "einthoven.ptbxl";

/// What is known of the numbers that go into a network.
const INPUT: &str = "x is in the units of the training; the benchmark subtracts one mean from all samples, mV, and divides by \
                     one standard deviation (its standard_scaler.pkl)";

/// What a model file says beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkCard {
    /// Format of this card.
    pub format: u32,
    /// Network by its name, such as `xresnet1d101`.
    pub classifier: String,
    /// Arguments of the original's constructor.
    pub arguments: Value,
    /// Names of the leads.
    pub leads: Vec<String>,
    /// Points in time of what it is given; the networks themselves take any number.
    pub sig_len: usize,
    /// Sampling rate.
    pub fs_hz: f64,
    /// Label names in the network's order.
    pub label_names: Vec<String>,
}

/// A published classifier with its card.
pub struct BenchmarkModel {
    card: BenchmarkCard,
    imported: Imported,
}

impl BenchmarkModel {
    /// Puts card and network together.
    ///
    /// # Errors
    /// [`Error::Config`] for names that do not fit the network.
    pub fn new(card: BenchmarkCard, imported: Imported) -> Result<BenchmarkModel> {
        let sizes = [
            ("leads", card.leads.len(), imported.network.n_leads()),
            ("label_names", card.label_names.len(), imported.network.n_classes()),
        ];
        if let Some((key, found, expected)) = sizes.into_iter().find(|(_, found, expected)| found != expected) {
            return Err(Error::config(key, format!("found {found} names, expected {expected}")));
        }
        if card.sig_len == 0 {
            return Err(Error::config("sig_len", "found 0, expected at least 1"));
        }
        Ok(BenchmarkModel { card, imported })
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no sound safetensors; [`Error::Data`] for another model; as [`benchmark`].
    pub fn load(path: &Path) -> Result<BenchmarkModel> {
        let file = safetensors::read(path)?;
        let name = path.display().to_string();
        let card = file.metadata.get(CARD);
        let card = card.ok_or_else(|| Error::data(&name, "has no card of a classifier of the PTB-XL benchmark"))?;
        let card: BenchmarkCard = serde_json::from_str(card).map_err(|error| Error::data(&name, error.to_string()))?;
        let imported = benchmark(&card.classifier, &card.arguments, &file.tensors.into())?;
        BenchmarkModel::new(card, imported)
    }

    /// Writes the model file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for weights that are not finite.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomic(path, &self.bytes()?)
    }

    /// SHA-256 of the model file.
    ///
    /// # Errors
    /// As [`BenchmarkModel::save`].
    pub fn hash(&self) -> Result<String> {
        Ok(sha256_hex(&self.bytes()?))
    }

    /// Its card.
    pub fn card(&self) -> &BenchmarkCard {
        &self.card
    }

    /// The network as an ONNX file, see [`to_onnx`], with the card in its metadata.
    ///
    /// # Errors
    /// As [`to_onnx`]; [`Error::Shape`] for a length that the network cannot take.
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        let Imported { network, params, buffers } = &self.imported;
        let device = Device::flex();
        let flat = Tensor::zeros([1, network.n_leads(), self.card.sig_len], &device);
        network.forward(&params.on(&device).root(), &mut Pass::Evaluation(buffers), flat)?;
        to_onnx(&self.imported, self.card.sig_len, &[(CARD, self.card_text()?), ("input", INPUT.into())])
    }

    fn card_text(&self) -> Result<String> {
        serde_json::to_string(&self.card).map_err(|error| Error::data("model card", error.to_string()))
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let metadata = BTreeMap::from([(CARD.to_string(), self.card_text()?)]);
        let mut all = self.imported.params.clone();
        all.entries.extend(self.imported.buffers.entries.clone());
        safetensors::to_bytes(&all.into(), &metadata, StoredType::F32)
    }
}
