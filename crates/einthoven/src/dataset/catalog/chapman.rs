//! Chapman-Shaoxing and Ningbo: 45,152 ten-second 12-lead records at 500 Hz, one for each patient.
//!
//! Both layouts are read: that of the database itself (`WFDBRecords/NN/NNN/JSNNNNN`) and the folders
//! `chapman_shaoxing` and `ningbo` of the challenge of 2021. The codes are SNOMED CT. The database states that
//! it holds one record for each patient, so the record's name is the patient's id.
//!
//! # Reference
//! Zheng et al., A 12-lead electrocardiogram database for arrhythmia research covering more than 10,000
//! patients, Scientific Data 7:48, 2020; Zheng et al., A large scale 12-lead electrocardiogram database for
//! arrhythmia study, PhysioNet, 2022.

use std::path::Path;

use super::cinc2021::coded_recordings;
use super::patients::patient_id;
use super::recordings::{self, Layout};
use super::{Database, OpenOptions};
use crate::dataset::Dataset;
use crate::error::Result;

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "chapman";

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Chapman;

impl Database for Chapman {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "Chapman-Shaoxing and Ningbo: 45,152 12-lead records of 10 s at 500 Hz, one per patient, rhythms and more"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn license(&self) -> &'static str {
        "CC-BY-4.0"
    }

    fn reference(&self) -> &'static str {
        "@article{zheng2020chapman, author = {Zheng, Jianwei and Zhang, Jianming and Danioko, Sidy and Yao, Hai and Guo, Hangyuan and Rakovski, Cyril}, title = {A 12-lead electrocardiogram database for arrhythmia research covering more than 10,000 patients}, journal = {Scientific Data}, volume = {7}, pages = {48}, year = {2020}, doi = {10.1038/s41597-020-0386-x}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "WFDBRecords/NN/NNN/JSNNNNN.hea and .mat, or the folders chapman_shaoxing and ningbo of the challenge"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/ecg-arrhythmia/1.0.0/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["merged-rhythm", "coarse-rhythm", "cinc2021", "superclass", "diagnostic", "rhythm", "as-given"]
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let recordings = coded_recordings(folder, |name| name.starts_with("JS"), |name| patient_id(NAME, name))?;
        let read = recordings::read_wfdb(folder);
        recordings::open(self, folder, recordings, options, &Layout::new(&read))
    }
}
