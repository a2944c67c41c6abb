//! The QT Database: 105 fifteen-minute two-lead records at 250 Hz with boundaries marked by hand.
//!
//! Records come from several databases and name their leads differently, so leads go by position. A window is
//! labelled with the beats in it (`.atr`). Fifteen records are excerpts of MIT-BIH Arrhythmia records and carry
//! that database's patient ids, so that a study of both keeps the persons apart.
//!
//! # Reference
//! Laguna et al., A Database for Evaluation of Algorithms for Measurement of QT and Other Waveform Intervals in
//! the ECG, Computers in Cardiology 24:673-676, 1997.

use std::path::Path;

use super::cinc2021::{headers_below, stem};
use super::patients::patient_id;
use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions, mitdb};
use crate::dataset::window::{LeadPolicy, LeadRules};
use crate::dataset::{Dataset, Facts, Split};
use crate::error::Result;

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "qtdb";

/// Patient of a record: that of MIT-BIH Arrhythmia for its excerpts (`sel` and the number of a record there).
pub fn patient(record: &str) -> String {
    match record.strip_prefix("sel").filter(|number| mitdb::RECORDS.contains(number)) {
        Some(number) => mitdb::patient(number),
        None => patient_id(NAME, record),
    }
}

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Qtdb;

impl Database for Qtdb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "QT Database: 105 two-lead records of 15 min at 250 Hz, P, QRS and T boundaries by hand, beats labelled"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn license(&self) -> &'static str {
        "ODC-By-1.0"
    }

    fn reference(&self) -> &'static str {
        "@inproceedings{laguna1997qtdb, author = {Laguna, Pablo and Mark, Roger G. and Goldberger, Ary L. and Moody, George B.}, title = {A database for evaluation of algorithms for measurement of {QT} and other waveform intervals in the {ECG}}, booktitle = {Computers in Cardiology}, volume = {24}, pages = {673--676}, year = {1997}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "selNNN.hea, .dat, .atr and .q1c of release 1.0.0"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/qtdb/1.0.0/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["aami"]
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let recording = |name: &str| Recording {
            name: name.into(),
            path: name.into(),
            patient: patient(name),
            split: Split::Train,
            codes: Vec::new(),
            facts: Facts::default(),
        };
        let recordings: Vec<Recording> = headers_below(folder)?
            .iter()
            .filter(|path| path.parent() == Some(folder))
            // The sudden-death records (sel30-sel52, sel17152) have no beat labels of their own.
            .filter(|path| path.with_extension("atr").is_file())
            .map(|path| recording(stem(path)))
            .collect();
        let read = recordings::read_wfdb(folder);
        let policy = LeadPolicy::ByPosition(vec!["ECG1".into(), "ECG2".into()]);
        let leads = LeadRules { policy, ..LeadRules::default() };
        let layout = Layout { leads, beats: Some("atr"), ..Layout::new(&read) };
        recordings::open(self, folder, recordings, options, &layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_of_mitbih_carry_its_patients() {
        assert_eq!((patient("sel100"), patient("sel213")), ("mitdb-100".into(), "mitdb-213".into()));
        assert_eq!((patient("sele0104"), patient("sel16265")), ("qtdb-sele0104".into(), "qtdb-sel16265".into()));
        // sel803 is a supraventricular record, and sel30 a sudden death: no records of MIT-BIH Arrhythmia.
        assert_eq!((patient("sel803"), patient("sel30")), ("qtdb-sel803".into(), "qtdb-sel30".into()));
    }
}
