//! ECG-ID: 310 twenty-second one-lead records of 90 people, for tests of identity.
//!
//! The folder of a record is its person (`Person_NN/rec_M`), as the database documents. The second channel is a
//! filtered copy of the first; the raw one is the usual lead, `I`. Several recordings of a person, some from
//! different days, make it the set to ask whether a synthetic record can be tied to somebody.
//!
//! # Reference
//! Lugovaya TS, Biometric human identification based on electrocardiogram, Master's thesis, LETI, 2005.

use std::path::Path;

use super::cinc2021::{comment, headers_below, stem};
use super::patients::patient_id;
use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::window::{LeadPolicy, LeadRules};
use crate::dataset::{Dataset, Facts, Split};
use crate::error::Result;

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "ecgid";

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct EcgId;

impl Database for EcgId {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "ECG-ID: 310 one-lead records of 20 s at 500 Hz of 90 people, several of each, for identity tests"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn license(&self) -> &'static str {
        "ODC-By-1.0"
    }

    fn reference(&self) -> &'static str {
        "@mastersthesis{lugovaya2005ecgid, author = {Lugovaya, Tatiana S.}, title = {Biometric human identification based on electrocardiogram}, school = {Electrotechnical University LETI, Saint-Petersburg}, year = {2005}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "Person_NN/rec_M.hea and .dat of release 1.0.0"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/ecgiddb/1.0.0/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["sex"]
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let mut recordings = Vec::new();
        for header in headers_below(folder)? {
            let Some(person) = header.parent().and_then(Path::file_name).map(|name| name.to_string_lossy()) else {
                continue;
            };
            if !person.starts_with("Person_") {
                continue;
            }
            let sex = comment(&header, "Sex")?.unwrap_or_default().to_ascii_lowercase();
            let name = format!("{person}/{}", stem(&header));
            recordings.push(Recording {
                path: name.clone(),
                patient: patient_id(NAME, &person),
                name,
                split: Split::Train,
                codes: vec![(CodeSystem::Own, sex)],
                facts: Facts::default(),
            });
        }
        let read = recordings::read_wfdb(folder);
        let leads = LeadRules {
            policy: LeadPolicy::Named(vec!["I".into()]),
            rename: &[("ECG I", "I"), ("ECG I filtered", "I filtered")],
            ..LeadRules::default()
        };
        recordings::open(self, folder, recordings, options, &Layout { leads, ..Layout::new(&read) })
    }
}
