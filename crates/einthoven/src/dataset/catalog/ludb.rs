//! LUDB: 200 ten-second 12-lead records of 200 people at 500 Hz, waves marked in every lead.
//!
//! Each lead has a gain of its own in the header, and the millivolts that they give break Einthoven's law; the
//! counts keep it and are microvolts. So amplitudes are counts / 1000, by name. Rhythms come from `ludb.csv`,
//! whose cells hold line breaks. The marks of waves are read with the record (`i`, `ii`, ... `v6`).
//!
//! # Reference
//! Kalyakulina et al., LUDB: A New Open-Access Validation Tool for Electrocardiogram Delineation Algorithms,
//! IEEE Access 8:186181-186190, 2020.

use std::path::Path;

use super::patients::patient_id;
use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::condition::{is_age, sex_name, sex_of};
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::table::Table;
use crate::dataset::window::LeadRules;
use crate::dataset::{Dataset, Facts, Split};
use crate::error::Result;

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "ludb";

/// Rhythms of the table as SCP statements. An irregular sinus rhythm is a sinus arrhythmia; a wandering
/// pacemaker is no statement of PTB-XL.
const RHYTHMS: [(&str, &str); 7] = [
    ("Sinus rhythm", "SR"),
    ("Sinus bradycardia", "SBRAD"),
    ("Sinus tachycardia", "STACH"),
    ("Sinus arrhythmia", "SARRH"),
    ("Irregular sinus rhythm", "SARRH"),
    ("Atrial fibrillation", "AFIB"),
    ("Atrial flutter", "AFLT"),
];

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Ludb;

impl Database for Ludb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "LUDB: 200 12-lead records of 10 s at 500 Hz with P, QRS and T marked by cardiologists in each lead"
    }

    fn version(&self) -> &'static str {
        "1.0.1"
    }

    fn license(&self) -> &'static str {
        "ODC-By-1.0"
    }

    fn reference(&self) -> &'static str {
        "@article{kalyakulina2020ludb, author = {Kalyakulina, Alena I. and Yusipov, Igor I. and Moskalenko, Viktor A. and Nikolskiy, Alexander V. and Kosonogov, Konstantin A. and Osipov, Grigory V. and Zolotykh, Nikolai Yu. and Ivanchenko, Mikhail V.}, title = {{LUDB}: A New Open-Access Validation Tool for Electrocardiogram Delineation Algorithms}, journal = {IEEE Access}, volume = {8}, pages = {186181--186190}, year = {2020}, doi = {10.1109/ACCESS.2020.3029211}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "data/N.hea, data/N.dat and ludb.csv of release 1.0.1"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/ludb/1.0.1/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["rhythm", "merged-rhythm", "coarse-rhythm", "sex"]
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let table = Table::read(&folder.join("ludb.csv"))?;
        let column = |name| table.column(name);
        let (id, sex, rhythms, pacing) = (column("ID")?, column("Sex")?, column("Rhythms")?, column("Cardiac pacing")?);
        let age = table.find("Age");
        let mut recordings = Vec::with_capacity(table.rows.len());
        for row in &table.rows {
            let name = row.cells[id].trim();
            let said = row.cells[rhythms].lines().map(str::trim);
            let mut codes: Vec<(CodeSystem, String)> = said
                .filter_map(|said| RHYTHMS.iter().find(|(words, _)| said.split(',').next() == Some(*words)))
                .map(|(_, code)| (CodeSystem::Scp, (*code).to_string()))
                .collect();
            if !row.cells[pacing].trim().is_empty() {
                codes.push((CodeSystem::Scp, "PACE".into()));
            }
            let sex = sex_of(row.cells[sex].trim());
            codes.extend(sex.map(|sex| (CodeSystem::Own, sex_name(sex).to_string())));
            // Ages above 89 are masked by a word.
            let age_years = age.and_then(|age| row.cells[age].trim().parse().ok()).filter(|age| is_age(*age));
            recordings.push(Recording {
                name: name.into(),
                path: format!("data/{name}"),
                // One record for each subject, as the database states.
                patient: patient_id(NAME, name),
                split: Split::Train,
                codes,
                facts: Facts { age_years, sex, ..Facts::default() },
            });
        }
        let read = recordings::read_wfdb(folder);
        let leads = LeadRules { gain_adu_per_mv: Some(1000.0), ..LeadRules::default() };
        recordings::open(self, folder, recordings, options, &Layout { leads, ..Layout::new(&read) })
    }
}
