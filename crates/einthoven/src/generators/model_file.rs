//! A trained generator as a file: its weights, and a card that says what they are.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Item;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::nn::weights::Weights;
use crate::record::lead_law::{EIGHT, TWELVE, twelve_from};
use crate::run::safetensors::TensorFile;
use crate::run::{StoredType, safetensors};

/// Key of the card in the file's metadata.
const CARD: &str = "einthoven.card";

/// Card and state of a model file.
///
/// # Errors
/// [`Error::Input`] for a file that is no sound safetensors; [`Error::Data`] for one without a card.
pub(super) fn read(path: &Path) -> Result<(Value, Weights)> {
    parse(safetensors::read(path)?, path)
}

/// Card and state of a file that was read; `path` names it in messages.
///
/// # Errors
/// [`Error::Data`] for one without a card.
pub(super) fn parse(file: TensorFile, path: &Path) -> Result<(Value, Weights)> {
    let name = path.display().to_string();
    let card = file.metadata.get(CARD).ok_or_else(|| {
        Error::data(&name, format!("has no model card (metadata {CARD}): not a generator of this tool"))
    })?;
    let card = serde_json::from_str(card).map_err(|error| Error::data(&name, format!("model card: {error}")))?;
    Ok((card, file.tensors.into()))
}

/// The card as that of one kind of model, which `kind` names in the message.
///
/// # Errors
/// [`Error::Data`] for the card of another kind.
pub(super) fn card<C: DeserializeOwned>(path: &Path, kind: &str, card: Value) -> Result<C> {
    let generator = card["generator"].as_str().unwrap_or("?").to_string();
    serde_json::from_value(card).map_err(|error| {
        let reason = format!("is a model of {generator}, expected one of {kind} (model card: {error})");
        Error::data(path.display().to_string(), reason)
    })
}

/// The bytes of a model file.
///
/// # Errors
/// [`Error::Data`] for weights that are not finite.
pub(super) fn bytes(card: &impl Serialize, state: &Weights) -> Result<Vec<u8>> {
    let card = serde_json::to_string(card).map_err(|error| Error::data("model card", error.to_string()))?;
    let metadata = BTreeMap::from([(CARD.to_string(), card)]);
    safetensors::to_bytes(&state.clone().into(), &metadata, StoredType::F32)
}

/// Where the items of a model come from, for the data set that they are drawn into.
pub(super) fn provenance(generator: &str, role: &str, hash: &str, training_data: &Value) -> Value {
    json!({
        "synthetic": true,
        "generator": generator,
        "role": role,
        "version": env!("CARGO_PKG_VERSION"),
        "model_sha256": hash,
        "training_data": training_data,
        "training_patients": training_data["training_patients"],
        "notice": "synthetic, not for clinical use",
    })
}

/// Whether leads are eight that determine the twelve.
fn gives_twelve(leads: &[String]) -> bool {
    leads.len() == EIGHT.len() && twelve_from(leads, &[0.0; EIGHT.len()]).is_ok()
}

/// An empty data set of the leads that a model gives, twelve where those that are modelled determine them.
pub(crate) fn axes(leads: &[String], sig_len: usize, fs_hz: f64, label_names: &[String], provenance: Value) -> Dataset {
    let leads = if gives_twelve(leads) { TWELVE.map(String::from).to_vec() } else { leads.to_vec() };
    Dataset { provenance, ..Dataset::new(leads, sig_len, fs_hz, label_names.to_vec()) }
}

/// Signals in mV from those in units of the scale of each lead; `role` and the first item are for the message.
///
/// # Shape
/// `ecg` is `[n, lead, time]`, `scale_mv` `[lead]`.
/// # Errors
/// [`Error::Data`] for signals that are not finite.
pub(super) fn in_mv(
    mut ecg: Vec<f32>,
    scale_mv: &[f32],
    sig_len: usize,
    role: &str,
    items: &[Item],
) -> Result<Vec<f32>> {
    for (lead, scale) in ecg.chunks_mut(sig_len).zip(scale_mv.iter().cycle()) {
        lead.iter_mut().for_each(|v| *v *= scale);
    }
    if ecg.iter().any(|v| !v.is_finite()) {
        let first = items.first().map_or(0, |item| item.index);
        return Err(Error::data(role, format!("items from {first} on came out not finite")));
    }
    Ok(ecg)
}

/// All twelve leads of items in mV where those that are modelled determine them, else these.
///
/// # Errors
/// [`Error::Shape`] for items of another size.
pub(crate) fn all_leads(ecg: Vec<f32>, leads: &[String], sig_len: usize) -> Result<Vec<f32>> {
    if !gives_twelve(leads) {
        return Ok(ecg);
    }
    let items = ecg.chunks(leads.len() * sig_len).map(|item| twelve_from(leads, item));
    Ok(items.collect::<Result<Vec<_>>>()?.concat())
}

/// The model file of a generator that cannot do without.
///
/// # Errors
/// [`Error::Config`] where none is named.
pub(super) fn trained<'a>(model: Option<&'a Path>, generator: &str) -> Result<&'a Path> {
    model.ok_or_else(|| {
        let reason = format!("{generator} draws from a trained model: name its model file or its run");
        Error::config("model", reason)
    })
}

/// Refuses the model of another generator.
///
/// # Errors
/// [`Error::Data`] with both names.
pub(super) fn check_generator(path: &Path, found: &str, expected: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::data(path.display().to_string(), format!("is a model of {found}, expected one of {expected}")))
}
