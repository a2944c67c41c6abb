//! The mark of synthetic records, and identifiers that reveal nothing.
//!
//! A synthetic record says so in its comments (`Synthetic: yes`, generator, model hash, seed,
//! index); the writers repeat it in the fields of their format, and the readers bring it back when a
//! file has lost its comments. Identifiers are hashes: no clock, host or person is in them.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::record::Record;

/// The comment that marks a synthetic record.
pub(crate) const MARK: &str = "Synthetic: yes";
/// What stands in fields for the patient of a synthetic record.
pub(crate) const PATIENT: &str = "SYNTHETIC";
/// What a synthetic record must not be used for.
pub(crate) const WARNING: &str = "Not for clinical use";

/// Whether the record says that it is synthetic.
pub(crate) fn is_synthetic(record: &Record) -> bool {
    record.comments.iter().any(|comment| {
        let (key, value) = comment.split_once(':').unwrap_or((comment, ""));
        key.trim().eq_ignore_ascii_case("synthetic") && value.trim().eq_ignore_ascii_case("yes")
    })
}

/// Adds the mark to a record whose file bears it elsewhere.
pub(crate) fn keep_mark(record: &mut Record) {
    if !is_synthetic(record) {
        record.comments.push(MARK.to_string());
    }
}

/// Value of a comment `key: value`.
fn stated<'a>(record: &'a Record, key: &str) -> Option<&'a str> {
    let pairs = record.comments.iter().filter_map(|comment| comment.split_once(':'));
    pairs.filter(|(found, _)| found.trim() == key).map(|(_, value)| value.trim()).next()
}

/// Hash of what identifies the record: model, seed and index where they are stated, and the points,
/// so that no two records share it.
fn fingerprint(record: &Record) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"einthoven record v1");
    for key in ["Generator", "Model hash", "Seed", "Index"] {
        hash.update(stated(record, key).unwrap_or("").as_bytes());
        hash.update([0]);
    }
    hash.update(record.fs_hz.to_le_bytes());
    for lead in &record.leads {
        hash.update((lead.adu.len() as u64).to_le_bytes());
        for points in lead.adu.chunks(4096) {
            let bytes: Vec<u8> = points.iter().flat_map(|point| point.to_le_bytes()).collect();
            hash.update(bytes);
        }
    }
    hash.finalize().into()
}

/// Identifiers of one record for several purposes.
pub(crate) struct Identifiers([u8; 32]);

impl Identifiers {
    /// Those of a record.
    pub fn of(record: &Record) -> Identifiers {
        Identifiers(fingerprint(record))
    }

    /// A version 8 UUID (free content) for a purpose.
    fn uuid(&self, purpose: &str) -> u128 {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(purpose.as_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        let head = bytes[..16].iter().fold(0u128, |number, &byte| number << 8 | u128::from(byte));
        let (version, variant) = (0xf << 76, 0x3 << 62);
        head & !version & !variant | 0x8 << 76 | 0x2 << 62
    }

    /// As a DICOM UID: the arc of UUIDs, which needs no registration.
    pub fn uid(&self, purpose: &str) -> String {
        format!("2.25.{}", self.uuid(purpose))
    }

    /// In the form of RFC 9562.
    pub fn uuid_text(&self, purpose: &str) -> String {
        let hex = format!("{:032x}", self.uuid(purpose));
        let mut text = String::new();
        for (index, part) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
            let dash = if index > 0 { "-" } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{dash}{}", &hex[part]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Lead;

    #[test]
    fn identifiers_follow_from_model_seed_index_and_points_alone() {
        let mut record = Record::new("a", 360.0);
        record.leads.push(Lead::new("I", 200.0, vec![1, 2, 3]));
        record.comments = vec![MARK.into(), "Seed: 1".into(), "Index: 7".into()];
        let uid = |record: &Record| Identifiers::of(record).uid("instance");
        let first = uid(&record);
        assert!(first.len() <= 64 && first.starts_with("2.25."), "{first}");
        record.name = "b".into();
        assert_eq!(uid(&record), first);
        record.comments[2] = "Index: 8".into();
        assert_ne!(uid(&record), first);
        record.comments[2] = "Index: 7".into();
        record.leads[0].adu[1] = 5;
        assert_ne!(uid(&record), first);
        assert_ne!(Identifiers::of(&record).uid("series"), uid(&record));
        let text = Identifiers::of(&record).uuid_text("instance");
        assert_eq!((text.len(), &text[14..15]), (36, "8"), "{text}");
    }

    #[test]
    fn the_mark_is_read_whatever_its_case_and_added_once() {
        let mut record = Record::new("a", 360.0);
        assert!(!is_synthetic(&record));
        record.comments.push(" synthetic: YES".into());
        keep_mark(&mut record);
        assert!(is_synthetic(&record));
        assert_eq!(record.comments.len(), 1);
    }
}
