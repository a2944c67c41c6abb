//! The leakage guard: rules L1 to L8 of the evaluation protocol, each a function that refuses.
//!
//! | rule | refuses | here |
//! |---|---|---|
//! | L1 | items without a patient id | [`check_patients`] |
//! | L2 | a patient in two parts | [`check_patients_apart`] |
//! | L3 | identical or nearly identical signals across parts | [`check_duplicates`] |
//! | L4 | held-out patients among a generator's training patients | [`check_generator`] |
//! | L5 | fitting outside the training part | [`TrainingPart`] |
//! | L6 | generated items in validation or test | [`check_real_evaluation`] |
//! | L7 | silent second looks at the test part | [`Ledger`] |
//! | L8 | MIT-BIH splits other than the published ones and their clean form | [`check_mitbih`] |
//! | L17 | (warns) labels that metadata alone predict | [`metadata_leaks`] |
//!
//! [`check`] runs all that concern one data set. A split that breaks a rule on purpose names it in
//! `provenance.split.waives`; what was waived is returned, so that reports can show it. A refusal is
//! [`Error::Guard`] with the rule's number (exit code 5).

mod duplicate;
mod ledger;
mod metadata;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::catalog::mitdb;
use super::{Dataset, Split, hex};
use crate::error::{Error, Result};

pub use duplicate::{
    Duplicate, NEAR_IDENTICAL, check_duplicates, check_one_patient_per_signal, duplicates, repeated_signals,
};
pub use ledger::{Ledger, TestLook};
pub use metadata::{MetadataLeak, Question, leaks, metadata_leaks};

/// A rule that a split breaks on purpose, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Waiver {
    /// Rule number, such as `L3`.
    pub rule: String,
    /// Patients to whom the waiver is limited; all if empty.
    #[serde(default)]
    pub patients: Vec<String>,
    /// Why the rule is broken.
    pub reason: String,
}

/// The training part of a data set: the only thing that scalers, thresholds, feature choices,
/// oversampling and networks may be fitted on (rule L5).
///
/// It cannot be made from validation or test items, so a function that asks for it cannot be handed them.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPart {
    data: Dataset,
}

impl TrainingPart {
    /// The training items of a data set.
    ///
    /// # Errors
    /// [`Error::Data`] if there are none.
    pub fn of(data: &Dataset) -> Result<TrainingPart> {
        let data = data.part(Split::Train);
        if data.is_empty() {
            return Err(Error::data("data set", "the training part is empty"));
        }
        Ok(TrainingPart { data })
    }
}

impl std::ops::Deref for TrainingPart {
    type Target = Dataset;

    fn deref(&self) -> &Dataset {
        &self.data
    }
}

/// Runs every rule that concerns one data set and returns the waivers that applied.
///
/// # Errors
/// [`Error::Guard`] with the number of the first rule that is broken and not waived.
pub fn check(data: &Dataset) -> Result<Vec<Waiver>> {
    let waivers = waivers(data)?;
    check_patients(data)?;
    check_patients_apart(data, &waivers)?;
    check_real_evaluation(data)?;
    check_mitbih(data)?;
    for generator in data.provenance["mix"]["generators"].as_array().into_iter().flatten() {
        check_generator_provenance(data, generator)?;
    }
    if !waivers.iter().any(|waiver| waiver.rule == "L3") {
        check_duplicates(data)?;
    }
    Ok(waivers)
}

/// The waivers that the data set's split names.
///
/// # Errors
/// [`Error::Data`] if `provenance.split.waives` is malformed.
pub fn waivers(data: &Dataset) -> Result<Vec<Waiver>> {
    match &data.provenance["split"]["waives"] {
        Value::Null => Ok(Vec::new()),
        list => serde_json::from_value(list.clone()).map_err(|error| {
            Error::data("provenance.split.waives", format!("found {list}, expected a list of waivers: {error}"))
        }),
    }
}

/// L1: every item names its patient.
///
/// # Errors
/// [`Error::Guard`] `L1` naming the first item without a patient.
pub fn check_patients(data: &Dataset) -> Result<()> {
    match data.patient.iter().position(|patient| patient.trim().is_empty()) {
        None => Ok(()),
        Some(i) => Err(Error::Guard {
            code: "L1",
            reason: format!(
                "item {i} of record \"{}\" has no patient id; if each record is another patient, state one-record-per-patient",
                data.record[i]
            ),
        }),
    }
}

/// Takes each record as one patient where no patient is named, and stores that this was stated.
pub fn state_one_record_per_patient(data: &mut Dataset) {
    for (patient, record) in data.patient.iter_mut().zip(&data.record) {
        if patient.trim().is_empty() {
            patient.clone_from(record);
        }
    }
    if !data.provenance.is_object() {
        data.provenance = json!({});
    }
    data.provenance["one_record_per_patient"] = Value::from(true);
}

/// L2: no patient is in two parts.
///
/// # Errors
/// [`Error::Guard`] `L2` listing the patients that are, except those whom a waiver of L2 names (or all,
/// if it names none).
pub fn check_patients_apart(data: &Dataset, waivers: &[Waiver]) -> Result<()> {
    let mut parts: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for (patient, split) in data.patient.iter().zip(&data.split) {
        parts.entry(patient).or_default().insert(*split);
    }
    let is_waived = |patient: &str| {
        waivers.iter().any(|waiver| {
            waiver.rule == "L2" && (waiver.patients.is_empty() || waiver.patients.iter().any(|p| p == patient))
        })
    };
    let shared: Vec<&str> = parts
        .iter()
        .filter(|(patient, parts)| parts.len() > 1 && !is_waived(patient))
        .map(|(patient, _)| *patient)
        .collect();
    if shared.is_empty() {
        return Ok(());
    }
    Err(Error::Guard {
        code: "L2",
        reason: format!("{} in more than one part: {}", count(shared.len(), "patient"), first_few(&shared)),
    })
}

/// L6: validation and test hold reference items only.
///
/// # Errors
/// [`Error::Guard`] `L6` naming the first generated item outside the training part.
pub fn check_real_evaluation(data: &Dataset) -> Result<()> {
    match (0..data.len()).find(|&i| data.split[i] != Split::Train && data.is_generated(i)) {
        None => Ok(()),
        Some(i) => Err(Error::Guard {
            code: "L6",
            reason: format!(
                "item {i} ({}) is synthetic and in the {} part; synthetic items are for training only",
                data.record[i],
                data.split[i].name()
            ),
        }),
    }
}

/// L8: MIT-BIH is split by DS1 and DS2 or by patient folds, without paced records, or by beat under
/// the name `intra-patient` and its stamp.
///
/// Does nothing for another source.
///
/// # Errors
/// [`Error::Guard`] `L8` naming what differs.
pub fn check_mitbih(data: &Dataset) -> Result<()> {
    if data.provenance["source"] != mitdb::NAME {
        return Ok(());
    }
    let refuse = |reason: String| Err(Error::Guard { code: "L8", reason });
    let scheme = data.provenance["split"]["scheme"].as_str().unwrap_or("");
    if scheme == "intra-patient" {
        return match data.provenance["split"]["stamp"] == "not comparable" {
            true => Ok(()),
            false => refuse("the beat-random split lacks its stamp \"not comparable\"".into()),
        };
    }
    let is_published = scheme == "inter" || scheme == "published";
    if !is_published && !scheme.starts_with("five-fold:") {
        return refuse(format!(
            "found split \"{scheme}\", expected inter, published or five-fold (a beat-random split goes by the name intra-patient)"
        ));
    }
    for i in (0..data.len()).filter(|&i| !data.is_generated(i)) {
        let record = data.record[i].as_str();
        if mitdb::PACED.contains(&record) {
            return refuse(format!("record {record} is paced and must be left out"));
        }
        let is_test = data.split[i] == Split::Test;
        if is_published && is_test != mitdb::DS2.contains(&record) {
            return refuse(format!("record {record} is in the {} part, against DS1 and DS2", data.split[i].name()));
        }
        if scheme == "inter" && record == "201" {
            return refuse(
                "record 201 is the person of record 202 in DS2 and is left out of the split \"inter\"".into(),
            );
        }
    }
    Ok(())
}

/// Key of the list of a generator whose training patients nobody knows, as of published checkpoints.
pub const UNKNOWN_KEY: &str = "unknown";

/// Keyed hashes of a generator's training patients, for the provenance of what it draws (rule L4).
///
/// HMAC-SHA-256 with a stated key: whoever holds patient ids can test them against the list, and two
/// lists with different keys cannot be joined.
pub fn training_patients(training: &Dataset, key: &str) -> Value {
    let patients: BTreeSet<&str> = training.patient.iter().map(String::as_str).collect();
    let hashes: BTreeSet<String> = patients.into_iter().map(|patient| keyed_hash(key, patient)).collect();
    json!({ "key": key, "hashes": hashes })
}

/// Whether a patient is on the list of a generator's training patients; `None` where its maker did not say whom it
/// learned from.
pub fn is_training_patient(training_patients: &Value, patient: &str) -> Option<bool> {
    let key = training_patients["key"].as_str().filter(|key| *key != UNKNOWN_KEY)?;
    let hash = keyed_hash(key, patient);
    Some(training_patients["hashes"].as_array()?.iter().any(|known| known.as_str() == Some(hash.as_str())))
}

/// L4: no held-out patient of `real` was among the training patients of the generator behind `synthetic`.
///
/// # Errors
/// [`Error::Guard`] `L4` listing those who were, or saying that the synthetic set does not carry the
/// list. A split that waives L2 for everybody (beat-random) is exempt: its parts share all patients.
pub fn check_generator(real: &Dataset, synthetic: &Dataset) -> Result<()> {
    check_generator_provenance(real, &synthetic.provenance)
}

fn check_generator_provenance(real: &Dataset, generator: &Value) -> Result<()> {
    let waivers = waivers(real)?;
    if waivers.iter().any(|waiver| waiver.rule == "L2" && waiver.patients.is_empty()) {
        return Ok(());
    }
    let list = &generator["training_patients"];
    let (Some(key), Some(hashes)) = (list["key"].as_str(), list["hashes"].as_array()) else {
        return Err(Error::Guard {
            code: "L4",
            reason: "the synthetic set does not say which patients its generator was trained on".into(),
        });
    };
    let hashes: BTreeSet<&str> = hashes.iter().filter_map(Value::as_str).collect();
    let held_out: BTreeSet<&str> = (0..real.len())
        .filter(|&i| real.split[i] != Split::Train && !real.is_generated(i))
        .map(|i| real.patient[i].as_str())
        .collect();
    let is_waived = |patient: &str| {
        waivers.iter().any(|waiver| waiver.rule == "L2" && waiver.patients.iter().any(|p| p == patient))
    };
    let seen: Vec<&str> = held_out
        .into_iter()
        .filter(|patient| hashes.contains(keyed_hash(key, patient).as_str()) && !is_waived(patient))
        .collect();
    if seen.is_empty() {
        return Ok(());
    }
    Err(Error::Guard {
        code: "L4",
        reason: format!(
            "the generator was trained on {} of validation or test: {}",
            count(seen.len(), "patient"),
            first_few(&seen)
        ),
    })
}

/// HMAC-SHA-256 in hexadecimal (RFC 2104).
fn keyed_hash(key: &str, message: &str) -> String {
    const BLOCK: usize = 64;
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key.as_bytes()));
    } else {
        block[..key.len()].copy_from_slice(key.as_bytes());
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
    hex(&outer)
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn first_few(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_hash_is_hmac_sha256() {
        // RFC 4231, test case 2.
        assert_eq!(
            keyed_hash("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        // Test case 6 uses a key longer than a block, of bytes that are not UTF-8; a long text key must still work.
        assert_ne!(keyed_hash(&"k".repeat(65), "x"), keyed_hash(&"k".repeat(66), "x"));
    }
}
