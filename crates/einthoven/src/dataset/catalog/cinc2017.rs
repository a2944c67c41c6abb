//! The PhysioNet/CinC Challenge 2017: one lead of a hand-held device, 300 Hz, 9 to 61 s, four classes.
//!
//! Headers carry ISO dates, end their lines in CR LF and have 0 as checksum, which is waived by name. The labels
//! are those of `REFERENCE.csv`; `REFERENCE-v3.csv`, the revision of November 2017, is used where it is there.
//! No persons are named (rule L1).
//!
//! # Reference
//! Clifford et al., AF Classification from a Short Single Lead ECG Recording: the PhysioNet/Computing in
//! Cardiology Challenge 2017, Computing in Cardiology 44, 2017.

use std::path::Path;

use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::{Dataset, Facts, Split, table};
use crate::error::{Error, Result};

/// Name in the catalogue.
pub const NAME: &str = "cinc2017";

/// Tables of labels, the better first.
const TABLES: [&str; 2] = ["REFERENCE-v3.csv", "REFERENCE.csv"];

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Cinc2017;

impl Database for Cinc2017 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "PhysioNet/CinC Challenge 2017: 8,528 single-lead records of 9-61 s at 300 Hz: normal, AF, other, noisy"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn license(&self) -> &'static str {
        "ODC-By-1.0"
    }

    fn reference(&self) -> &'static str {
        "@inproceedings{clifford2017af, author = {Clifford, Gari D. and Liu, Chengyu and Moody, Benjamin and Lehman, Li-wei H. and Silva, Ikaro and Li, Qiao and Johnson, A. E. and Mark, Roger G.}, title = {{AF} classification from a short single lead {ECG} recording: the {PhysioNet}/Computing in Cardiology Challenge 2017}, booktitle = {Computing in Cardiology}, volume = {44}, year = {2017}, doi = {10.22489/CinC.2017.065-469}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("W23", "the checksum field is 0 in every header"),
            ("W32", "the record line carries an ISO date where the format has dd/mm/yyyy"),
        ]
    }

    fn layout(&self) -> &'static str {
        "ANNNNN.hea and .mat with REFERENCE.csv or REFERENCE-v3.csv, in one folder (unpack training2017.zip)"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/challenge-2017/1.0.0/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["cinc2017"]
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let name = TABLES.into_iter().find(|name| folder.join(name).is_file()).unwrap_or(TABLES[1]);
        let path = folder.join(name);
        let mut recordings = Vec::new();
        // The table has no header line.
        for row in table::read_rows(&path)? {
            let [record, label] = &row.cells[..] else {
                return Err(Error::data(
                    NAME,
                    format!(
                        "{}:{}: found {} cells, expected record and label",
                        path.display(),
                        row.line,
                        row.cells.len()
                    ),
                ));
            };
            recordings.push(Recording {
                name: record.trim().into(),
                path: record.trim().into(),
                patient: String::new(),
                split: Split::Train,
                codes: vec![(CodeSystem::Own, label.trim().into())],
                facts: Facts::default(),
            });
        }
        let read = recordings::read_wfdb(folder);
        let mut data = recordings::open(self, folder, recordings, options, &Layout::new(&read))?;
        data.provenance["labels_file"] = name.into();
        Ok(data)
    }
}
