//! MIT-BIH-PLUS: a synthetic data set as WFDB records with annotations.
//!
//! One record per class holds its beats back to back, so that any WFDB tool can show and score them.
//! The joins are arbitrary: RR intervals in these records mean nothing, and the header says so.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Dataset, SYNTHETIC_PREFIX};
use crate::error::{Error, Result};
use crate::record::{self, Annotation, Lead, Record, WriteOptions, annotation};

/// Gain of the records: one count is 1 uV.
pub const GAIN_ADU_PER_MV: f64 = 1000.0;
/// Annotator of the labels.
pub const ANNOTATOR: &str = "atr";

/// Writes one record per class that has items, `syn_CLASS.hea` with its signal and `.atr` files, and
/// returns the header paths.
///
/// Beat `k` of a class is at points `sig_len * k` and on; its annotation is in the middle of it, at
/// 128 + 256 k for the usual window. Missing points stay missing.
///
/// # Errors
/// [`Error::Data`] if an item is not synthetic, has not exactly one label, or if a label is no WFDB
/// annotation symbol; [`Error::Input`] `D12` for amplitudes beyond 32.767 mV; [`Error::Guard`] for a
/// file that exists and may not be overwritten; [`Error::Io`].
pub fn write_plus(folder: &Path, data: &Dataset, options: &WriteOptions) -> Result<Vec<PathBuf>> {
    data.validate()?;
    refuse_real(data, "MIT-BIH-PLUS")?;
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); data.n_labels()];
    for (i, class) in data.classes()?.into_iter().enumerate() {
        members[class].push(i);
    }
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    let mut paths = Vec::new();
    for (class, members) in members.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
        let path = folder.join(format!("{}.hea", record_name(&data.label_names[class])));
        record::write(&class_record(data, class, members)?, &path, options)?;
        paths.push(path);
    }
    Ok(paths)
}

/// Refuses a set with a real item; `what` is what only synthetic items are written as.
pub(super) fn refuse_real(data: &Dataset, what: &str) -> Result<()> {
    let is_marked = data.provenance["synthetic"] == true;
    match (0..data.len()).find(|&i| !is_marked && !data.is_generated(i)) {
        Some(i) => {
            Err(Error::data(&data.record[i], format!("item {i} is real: only synthetic items are written as {what}")))
        }
        None => Ok(()),
    }
}

/// The lines by which a synthetic record says what it is; `indexes` are the first and the last drawn.
///
/// What the provenance does not name is left out rather than guessed.
pub fn synthetic_comments(provenance: &Value, indexes: [i64; 2]) -> Vec<String> {
    let mut lines = vec!["Synthetic: yes".to_string()];
    let training = &provenance["training_data"];
    // A generator without a network says in words that it was trained on nothing.
    let source = if training.is_string() { training } else { &training["source"] };
    let fields = [
        ("Generator", &provenance["generator"]),
        ("Model hash", &provenance["model_sha256"]),
        ("Seed", &provenance["seed"]),
        ("Training data", source),
        ("Fingerprint of the training data", &training["fingerprint"]),
        ("License of the training data", &training["license"]),
    ];
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(text) => lines.push(format!("{name}: {}", text.replace(['\n', '\r'], " "))),
            other => lines.push(format!("{name}: {other}")),
        }
    }
    lines.push(format!("Index: {} to {}", indexes[0], indexes[1]));
    lines.push("Not for clinical use".into());
    lines
}

/// Name of a class's record. A symbol that cannot be in a file name is written in words.
fn record_name(label: &str) -> String {
    format!("{SYNTHETIC_PREFIX}{}", if label == "/" { "paced" } else { label })
}

fn class_record(data: &Dataset, class: usize, members: &[usize]) -> Result<Record> {
    let label = &data.label_names[class];
    let symbol = annotation::code_of(label)
        .map(|code| annotation::SYMBOLS[usize::from(code)])
        .filter(|symbol| annotation::is_beat_symbol(symbol))
        .ok_or_else(|| {
            Error::data("label_names", format!("found \"{label}\", expected a beat symbol of the WFDB annotations"))
        })?;
    let mut record = Record::new(record_name(label), data.fs_hz);
    record.sig_len = members.len() * data.sig_len;
    for (k, name) in data.leads.iter().enumerate() {
        let mv: Vec<f32> =
            members.iter().flat_map(|&i| &data.item(i)[k * data.sig_len..(k + 1) * data.sig_len]).copied().collect();
        record.leads.push(Lead::from_mv(name, &mv, GAIN_ADU_PER_MV)?);
    }
    let middle = |k: usize| (k * data.sig_len + data.sig_len / 2) as i64;
    record
        .annotations
        .insert(ANNOTATOR.into(), (0..members.len()).map(|k| Annotation::new(middle(k), symbol)).collect());
    let drawn = members.iter().map(|&i| data.index[i]);
    let indexes = [drawn.clone().min().unwrap_or(0), drawn.max().unwrap_or(0)];
    record.comments = synthetic_comments(&data.provenance, indexes);
    record.comments.push(format!(
        "Beats of class {label} stand back to back every {} points: RR intervals are meaningless",
        data.sig_len
    ));
    Ok(record)
}
