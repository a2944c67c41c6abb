//! What models learn from: equal-length ECGs with labels, patients and splits that travel together.
//!
//! A [`Dataset`] comes from a public database ([`catalog`]), from the simulator or from a generator;
//! [`split`] gives its items to training, validation and test, [`guard`] refuses leakage between
//! them, [`mix`] and [`augment`] enlarge the training part, and [`npz`] and [`plus`] store it.
//! Nothing here scales a signal: that belongs to a trained network.

pub mod augment;
pub mod catalog;
pub mod check;
pub mod condition;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod guard;
pub mod label;
pub mod mix;
pub mod npz;
pub mod parquet;
pub mod plus;
mod prepare;
pub mod records;
pub mod split;
pub mod table;
pub mod window;
pub mod wish;

pub use condition::{Conditions, Facts};
pub use prepare::{Preparation, Prepared, assemble, manifest, prepare, store};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Prefix of the record name and of the patient id of every item drawn from a generator.
pub const SYNTHETIC_PREFIX: &str = "syn_";
/// Value of `provenance.kind` of a simulated data set that stands in for real data.
pub const SIMULATED: &str = "simulated";

/// The part of a data set that a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Models may learn from it.
    Train,
    /// Choices may be made on it.
    Validation,
    /// Looked at once, for the result.
    Test,
}

impl Split {
    /// Name as stored in files.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// Equal-length ECGs in mV with everything that must travel with them.
///
/// # Shape
/// `ecg` is `[n, lead, time]`, contiguous; `labels` is `[n, n_labels]`; the per-record vectors have
/// length `n`.
/// # Units
/// mV; never scaled. Scaling belongs to a trained network and lives in its checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Amplitudes, `[n, lead, time]`, mV.
    pub ecg: Vec<f32>,
    /// Lead names in the order of the second axis.
    pub leads: Vec<String>,
    /// Number of points in time of each record.
    pub sig_len: usize,
    /// Sampling rate of every record.
    pub fs_hz: f64,
    /// Label names in the order of the label axis.
    pub label_names: Vec<String>,
    /// Multi-hot labels, `[n, n_labels]`.
    pub labels: Vec<u8>,
    /// Name of the record that each item was cut from.
    pub record: Vec<String>,
    /// Patient of each item: the unit of splitting and of every interval.
    pub patient: Vec<String>,
    /// Part of each item.
    pub split: Vec<Split>,
    /// Position in its record, such as the R annotation, in points of the record.
    pub index: Vec<i64>,
    /// RR interval before and after the beat in seconds, where the source has rhythm.
    pub rr_s: Option<Vec<[f32; 2]>>,
    /// What is known of each item beside its labels, where anything is.
    pub facts: Option<Vec<Facts>>,
    /// Where the data came from: source, licence, version, seed, and `"synthetic": true` when it is.
    pub provenance: serde_json::Value,
}

impl Dataset {
    /// An empty data set with the given axes, to push items into.
    pub fn new(leads: Vec<String>, sig_len: usize, fs_hz: f64, label_names: Vec<String>) -> Dataset {
        Dataset {
            ecg: Vec::new(),
            leads,
            sig_len,
            fs_hz,
            label_names,
            labels: Vec::new(),
            record: Vec::new(),
            patient: Vec::new(),
            split: Vec::new(),
            index: Vec::new(),
            rr_s: None,
            facts: None,
            provenance: serde_json::Value::Null,
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.record.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.record.is_empty()
    }

    /// Number of labels.
    pub fn n_labels(&self) -> usize {
        self.label_names.len()
    }

    /// Item `i`, `[lead, time]`, mV.
    pub fn item(&self, i: usize) -> &[f32] {
        let size = self.leads.len() * self.sig_len;
        &self.ecg[i * size..(i + 1) * size]
    }

    /// The one class of item `i`.
    ///
    /// # Errors
    /// [`Error::Data`] unless exactly one label is set.
    pub fn class(&self, i: usize) -> Result<usize> {
        let n = self.n_labels();
        let row = &self.labels[i * n..(i + 1) * n];
        let mut set = row.iter().enumerate().filter(|(_, on)| **on != 0).map(|(class, _)| class);
        match (set.next(), set.next()) {
            (Some(class), None) => Ok(class),
            _ => Err(Error::data(
                &self.record[i],
                format!(
                    "item {i} has {} labels, expected exactly one; prepare it with a label set that gives one to each",
                    row.iter().filter(|on| **on != 0).count()
                ),
            )),
        }
    }

    /// The classes that item `i` is labelled with, in rising order.
    pub fn labels_of(&self, i: usize) -> impl Iterator<Item = usize> + '_ {
        let n = self.n_labels();
        self.labels[i * n..(i + 1) * n].iter().enumerate().filter(|(_, on)| **on != 0).map(|(class, _)| class)
    }

    /// The items with a label, alone or among others; all of them for `None`.
    pub fn items_with(&self, label: Option<usize>) -> Vec<usize> {
        (0..self.len()).filter(|&i| label.is_none_or(|label| self.labels_of(i).any(|of| of == label))).collect()
    }

    /// Number of items of one part with each label; an item with several counts in each.
    pub fn label_counts(&self, split: Split) -> Vec<usize> {
        let mut counts = vec![0; self.n_labels()];
        for i in (0..self.len()).filter(|&i| self.split[i] == split) {
            self.labels_of(i).for_each(|class| counts[class] += 1);
        }
        counts
    }

    /// The class of every item.
    ///
    /// # Errors
    /// [`Error::Data`] unless each item has exactly one label.
    pub fn classes(&self) -> Result<Vec<usize>> {
        (0..self.len()).map(|i| self.class(i)).collect()
    }

    /// The items at `order`, in that order.
    pub fn select(&self, order: &[usize]) -> Dataset {
        let n_labels = self.n_labels();
        let mut out = Dataset::new(self.leads.clone(), self.sig_len, self.fs_hz, self.label_names.clone());
        out.provenance = self.provenance.clone();
        out.rr_s = self.rr_s.as_ref().map(|rr| order.iter().map(|&i| rr[i]).collect());
        out.facts = self.facts.as_ref().map(|facts| order.iter().map(|&i| facts[i].clone()).collect());
        for &i in order {
            out.ecg.extend_from_slice(self.item(i));
            out.labels.extend_from_slice(&self.labels[i * n_labels..(i + 1) * n_labels]);
            out.record.push(self.record[i].clone());
            out.patient.push(self.patient[i].clone());
            out.split.push(self.split[i]);
            out.index.push(self.index[i]);
        }
        out
    }

    /// Whether item `i` was drawn from a generator: its own name says so, or the whole set does.
    ///
    /// A simulated set (`provenance.kind` is [`SIMULATED`]) stands in for real data where none is at
    /// hand: it is marked synthetic as a whole, but its items are the reference and not generated.
    pub fn is_generated(&self, i: usize) -> bool {
        self.record[i].starts_with(SYNTHETIC_PREFIX)
            || (self.provenance["synthetic"] == true && self.provenance["kind"] != SIMULATED)
    }

    /// Number of items of one part in each class.
    ///
    /// # Errors
    /// [`Error::Data`] unless each item has exactly one label.
    pub fn class_counts(&self, split: Split) -> Result<Vec<usize>> {
        let mut counts = vec![0; self.n_labels()];
        for i in (0..self.len()).filter(|&i| self.split[i] == split) {
            counts[self.class(i)?] += 1;
        }
        Ok(counts)
    }

    /// Appends the items of `other`. RR intervals stay only if both sets have them; facts that one lacks are missing.
    ///
    /// # Errors
    /// [`Error::Data`] if leads, length, sampling rate or label names differ.
    pub fn append(&mut self, other: &Dataset) -> Result<()> {
        self.append_beside_ecg(other)?;
        self.ecg.extend_from_slice(&other.ecg);
        Ok(())
    }

    /// As [`Dataset::append`] for all but the amplitudes, which are kept elsewhere.
    pub(crate) fn append_beside_ecg(&mut self, other: &Dataset) -> Result<()> {
        let mismatch = if self.leads != other.leads {
            Some(("leads", format!("{:?}", self.leads), format!("{:?}", other.leads)))
        } else if self.sig_len != other.sig_len {
            Some(("sig_len", self.sig_len.to_string(), other.sig_len.to_string()))
        } else if self.fs_hz != other.fs_hz {
            Some(("fs_hz", self.fs_hz.to_string(), other.fs_hz.to_string()))
        } else if self.label_names != other.label_names {
            Some(("label_names", format!("{:?}", self.label_names), format!("{:?}", other.label_names)))
        } else {
            None
        };
        if let Some((field, ours, theirs)) = mismatch {
            return Err(Error::data(field, format!("the data sets differ: found {theirs}, expected {ours}")));
        }
        match (&mut self.rr_s, &other.rr_s) {
            (Some(ours), Some(theirs)) => ours.extend_from_slice(theirs),
            (ours, _) => *ours = None,
        }
        if self.facts.is_some() || other.facts.is_some() {
            let n = self.len();
            let ours = self.facts.get_or_insert_with(|| vec![Facts::default(); n]);
            match &other.facts {
                Some(theirs) => ours.extend_from_slice(theirs),
                None => ours.resize(n + other.len(), Facts::default()),
            }
        }
        self.labels.extend_from_slice(&other.labels);
        self.record.extend_from_slice(&other.record);
        self.patient.extend_from_slice(&other.patient);
        self.split.extend_from_slice(&other.split);
        self.index.extend_from_slice(&other.index);
        Ok(())
    }

    /// SHA-256 over everything but the provenance, in hexadecimal: equal for equal content.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut text = |items: &mut dyn Iterator<Item = &str>| {
            for item in items {
                hash.update((item.len() as u64).to_le_bytes());
                hash.update(item.as_bytes());
            }
            hash.update(u64::MAX.to_le_bytes());
        };
        text(&mut self.leads.iter().map(String::as_str));
        text(&mut self.label_names.iter().map(String::as_str));
        text(&mut self.record.iter().map(String::as_str));
        text(&mut self.patient.iter().map(String::as_str));
        text(&mut self.split.iter().map(|split| split.name()));
        hash.update(self.fs_hz.to_le_bytes());
        hash.update((self.sig_len as u64).to_le_bytes());
        hash.update(&self.labels);
        for index in &self.index {
            hash.update(index.to_le_bytes());
        }
        // In blocks, because hashing four bytes at a time costs several times as much.
        let mut block = Vec::with_capacity(4 * 4096);
        for values in self.ecg.chunks(4096) {
            block.clear();
            block.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            hash.update(&block);
        }
        for rr in self.rr_s.iter().flatten().flatten() {
            hash.update(rr.to_le_bytes());
        }
        // A set of which nothing is known keeps the hash that it had before facts were stored.
        for facts in self.facts.iter().flatten() {
            for number in &condition::NUMBERS {
                hash.update(facts.number(number.fact).unwrap_or(f64::NAN).to_le_bytes());
            }
            let words = [facts.sex.map_or("", condition::sex_name), facts.site.as_deref().unwrap_or_default()];
            for word in words {
                hash.update((word.len() as u64).to_le_bytes());
                hash.update(word.as_bytes());
            }
        }
        hex(&hash.finalize())
    }

    /// The items of one part.
    pub fn part(&self, split: Split) -> Dataset {
        let order: Vec<usize> = (0..self.len()).filter(|&i| self.split[i] == split).collect();
        self.select(&order)
    }

    /// Checks that all axes agree.
    ///
    /// # Errors
    /// [`Error::Shape`] naming the first array whose length does not fit.
    pub fn validate(&self) -> Result<()> {
        let n = self.len();
        let lengths = [
            ("ecg", self.ecg.len(), n * self.leads.len() * self.sig_len),
            ("labels", self.labels.len(), n * self.n_labels()),
            ("patient", self.patient.len(), n),
            ("split", self.split.len(), n),
            ("index", self.index.len(), n),
            ("rr_s", self.rr_s.as_ref().map_or(n, Vec::len), n),
            ("facts", self.facts.as_ref().map_or(n, Vec::len), n),
        ];
        for (what, actual, expected) in lengths {
            if actual != expected {
                return Err(Error::Shape { what: what.into(), expected: vec![expected], actual: vec![actual] });
            }
        }
        Ok(())
    }
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
