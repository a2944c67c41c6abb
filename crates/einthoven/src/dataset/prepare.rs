//! From a folder of records to a guarded data set on disk.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::catalog::{self, OpenOptions};
use super::guard::Waiver;
use super::label::label_set;
use super::split::{self, Scheme};
use super::window::RecordOptions;
use super::{Dataset, Split, guard, hex, npz};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// What [`prepare`] makes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Database by its name in the catalogue.
    pub database: String,
    /// Folder that holds it; a simulated one needs none.
    pub folder: PathBuf,
    /// Label set by name; empty for the database's usual one.
    #[serde(default)]
    pub labels: String,
    /// Split by name; empty for the database's usual one.
    #[serde(default)]
    pub split: String,
    /// Seed of the split, where it has chance, and of a simulated database.
    pub seed: u64,
    /// Cut-off of the high-pass in Hz; none to leave the signals as they are.
    pub high_pass_hz: Option<f64>,
    /// Records by name; all if empty.
    #[serde(default)]
    pub records: Vec<String>,
    /// How whole records become items; databases of beats do not look at it.
    #[serde(default)]
    pub whole: RecordOptions,
}

/// What [`prepare`] made.
#[derive(Debug)]
pub struct Prepared {
    /// The data set.
    pub data: Dataset,
    /// Guard rules that its split waives by name.
    pub waivers: Vec<Waiver>,
    /// `data.npz` in the output folder.
    pub npz: PathBuf,
    /// `manifest.json` in the output folder, written last.
    pub manifest: PathBuf,
}

/// Opens a database, splits it, runs the guard and writes `data.npz` and `manifest.json`.
///
/// # Errors
/// Those of the catalogue entry, of [`split::assign`], of [`guard::check`] and of [`npz::write`].
pub fn prepare(preparation: &Preparation, out: &Path) -> Result<Prepared> {
    store(assemble(preparation)?, out)
}

/// Opens a database and splits it.
///
/// # Errors
/// Those of the catalogue entry and of [`split::assign`].
pub fn assemble(preparation: &Preparation) -> Result<Dataset> {
    let database = catalog::database(&preparation.database)?;
    let split = if preparation.split.is_empty() { database.usual_split() } else { &preparation.split };
    let scheme = Scheme::parse(split)?;
    let usual = OpenOptions::of(database)?;
    let options = OpenOptions {
        labels: if preparation.labels.is_empty() { usual.labels } else { label_set(&preparation.labels)? },
        high_pass_hz: preparation.high_pass_hz,
        records: preparation.records.clone(),
        seed: preparation.seed,
        whole: preparation.whole.clone(),
        ..usual
    };
    let whole = database.open(&preparation.folder, &options)?;
    let mut data = split::split(&whole, scheme, Seed::new(preparation.seed))?;
    drop(whole);
    data.provenance["split"]["seed"] = Value::from(preparation.seed);
    Ok(data)
}

/// Runs the guard on a data set with parts and writes `data.npz` and `manifest.json`.
///
/// # Errors
/// Those of [`guard::check`] and of [`npz::write`].
pub fn store(data: Dataset, out: &Path) -> Result<Prepared> {
    let waivers = guard::check(&data)?;

    std::fs::create_dir_all(out).map_err(|source| Error::Io { path: out.into(), source })?;
    let (npz_path, manifest_path) = (out.join("data.npz"), out.join("manifest.json"));
    npz::write(&npz_path, &data)?;
    let bytes = std::fs::read(&npz_path).map_err(|source| Error::Io { path: npz_path.clone(), source })?;
    let mut content = manifest(&data)?;
    content["file"] = Value::from("data.npz");
    content["file_sha256"] = Value::from(hex(&Sha256::digest(&bytes)));
    // Written beside and renamed: a manifest that exists is whole, and so is the data set before it.
    let part = out.join("manifest.json.partial");
    let text = format!("{content:#}\n");
    let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &manifest_path));
    written.map_err(|source| Error::Io { path: manifest_path.clone(), source })?;
    Ok(Prepared { data, waivers, npz: npz_path, manifest: manifest_path })
}

/// What a reader wants to know of a data set before opening it: counts per part, class and patient, how
/// many patients stand behind each class, the fingerprint and the provenance.
///
/// # Errors
/// [`Error::Shape`] if the axes of the data set disagree.
pub fn manifest(data: &Dataset) -> Result<Value> {
    let mut parts = serde_json::Map::new();
    for part in [Split::Train, Split::Validation, Split::Test] {
        let counts: Value =
            data.label_names.iter().cloned().zip(data.label_counts(part).into_iter().map(Value::from)).collect();
        let patients: std::collections::BTreeSet<&str> =
            (0..data.len()).filter(|&i| data.split[i] == part).map(|i| data.patient[i].as_str()).collect();
        parts.insert(
            part.name().into(),
            json!({
                "n_items": data.split.iter().filter(|split| **split == part).count(),
                "n_patients": patients.len(),
                "class_counts": counts,
                "class_support": split::class_support(data, part)?,
            }),
        );
    }
    Ok(json!({
        "schema_version": 1,
        "n_items": data.len(),
        "leads": data.leads,
        "sig_len": data.sig_len,
        "fs_hz": data.fs_hz,
        "unit": "mV",
        "label_names": data.label_names,
        "has_rr_s": data.rr_s.is_some(),
        "fingerprint_sha256": data.fingerprint(),
        "parts": parts,
        "patients": split::patient_counts(data)?,
        "provenance": data.provenance,
    }))
}
