//! MIT-BIH-PLUS: a synthetic data set as WFDB records with annotations.
//!
//! One record per class holds its beats back to back, so that any WFDB tool can show and score them.
//! The joins are arbitrary: RR intervals in these records mean nothing, and the header says so.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Dataset, SYNTHETIC_PREFIX};
use crate::error::{Error, Result};
use crate::record::format::guard_overwrite;
use crate::record::format::wfdb::RecordWriter;
use crate::record::{Annotation, Lead, Record, WriteOptions, annotation};

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
    let mut writer = PlusWriter::new(folder, data, options);
    writer.push(data)?;
    writer.finish()
}

/// Records that grow, some beats at a time.
pub struct PlusWriter {
    folder: PathBuf,
    /// Axes and provenance.
    axes: Dataset,
    may_overwrite: bool,
    classes: BTreeMap<usize, ClassRecord>,
}

/// The record of a class.
struct ClassRecord {
    writer: RecordWriter,
    symbol: &'static str,
    n_beats: usize,
    /// First and last index that was drawn.
    indexes: [i64; 2],
}

impl PlusWriter {
    /// Writes into a folder beats with the axes and the provenance of `axes`.
    pub fn new(folder: &Path, axes: &Dataset, options: &WriteOptions) -> PlusWriter {
        let shape = Dataset::new(axes.leads.clone(), axes.sig_len, axes.fs_hz, axes.label_names.clone());
        let axes = Dataset { provenance: axes.provenance.clone(), ..shape };
        PlusWriter { folder: folder.into(), axes, may_overwrite: options.overwrite, classes: BTreeMap::new() }
    }

    /// Adds beats to the records of their classes.
    ///
    /// # Errors
    /// As [`write_plus`].
    pub fn push(&mut self, data: &Dataset) -> Result<()> {
        data.validate()?;
        refuse_real(data, 0..data.len(), "MIT-BIH-PLUS")?;
        for (i, class) in data.classes()?.into_iter().enumerate() {
            if !self.classes.contains_key(&class) {
                let record = self.class_record(class, data.index[i])?;
                self.classes.insert(class, record);
            }
            let Some(record) = self.classes.get_mut(&class) else { continue };
            let leads = data.leads.iter().zip(data.item(i).chunks(data.sig_len));
            let leads: Vec<Lead> =
                leads.map(|(name, mv)| Lead::from_mv(name, mv, GAIN_ADU_PER_MV)).collect::<Result<_>>()?;
            let frames: Vec<i32> = (0..data.sig_len).flat_map(|t| leads.iter().map(move |lead| lead.adu[t])).collect();
            let middle = (record.n_beats * data.sig_len + data.sig_len / 2) as i64;
            record.writer.push_frames(&frames)?;
            record.writer.push_annotations(0, &[Annotation::new(middle, record.symbol)])?;
            record.n_beats += 1;
            let [first, last] = record.indexes;
            record.indexes = [first.min(data.index[i]), last.max(data.index[i])];
        }
        Ok(())
    }

    /// Ends the records and returns their header paths.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self) -> Result<Vec<PathBuf>> {
        let each = self.classes.into_iter().map(|(class, mut record)| {
            let label = &self.axes.label_names[class];
            let mut comments = synthetic_comments(&self.axes.provenance, record.indexes);
            comments.push(format!(
                "Beats of class {label} stand back to back every {} points: RR intervals are meaningless",
                self.axes.sig_len
            ));
            record.writer.set_comments(comments);
            record.writer.finish()?;
            Ok(self.folder.join(format!("{}.hea", record_name(label))))
        });
        each.collect()
    }

    fn class_record(&self, class: usize, index: i64) -> Result<ClassRecord> {
        let label = &self.axes.label_names[class];
        let symbol = annotation::code_of(label)
            .map(|code| annotation::SYMBOLS[usize::from(code)])
            .filter(|symbol| annotation::is_beat_symbol(symbol))
            .ok_or_else(|| {
                Error::data("label_names", format!("found \"{label}\", expected a beat symbol of the WFDB annotations"))
            })?;
        std::fs::create_dir_all(&self.folder).map_err(|source| Error::io(&self.folder, source))?;
        let name = record_name(label);
        let file = |extension: &str| self.folder.join(format!("{name}.{extension}"));
        guard_overwrite(&["hea", "dat", ANNOTATOR].map(file), self.may_overwrite)?;
        let mut record = Record::new(&name, self.axes.fs_hz);
        record.leads = self.axes.leads.iter().map(|lead| Lead::new(lead, GAIN_ADU_PER_MV, Vec::new())).collect();
        let writer = RecordWriter::create(&file("hea"), record, &[ANNOTATOR])?;
        Ok(ClassRecord { writer, symbol, n_beats: 0, indexes: [index; 2] })
    }
}

/// Refuses a real one among items; `what` is what only synthetic items are written as.
pub(super) fn refuse_real(data: &Dataset, mut items: Range<usize>, what: &str) -> Result<()> {
    let is_marked = data.provenance["synthetic"] == true;
    match items.find(|&i| !is_marked && !data.is_generated(i)) {
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
