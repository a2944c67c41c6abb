//! The Noise Stress Test Database: half an hour each of baseline wander, electrode motion and muscle artifact.
//!
//! A source of noise, not of hearts: [`noise`] gives one kind for mixing at a stated signal-to-noise ratio. The
//! headers state gain 0, so amplitudes mean nothing until they are scaled; a data set of it has the format's
//! nominal 200 adu per unit and says so. There are no patients: each kind stands for itself.
//!
//! # Reference
//! Moody et al., A noise stress test for arrhythmia detectors, Computers in Cardiology 11:381-384, 1984.

use std::path::Path;

use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::window::LeadRules;
use crate::dataset::{Dataset, Facts, Split};
use crate::error::{Error, Result};
use crate::record::{self, Annotators, ReadOptions};

/// Name in the catalogue.
pub const NAME: &str = "nstdb";
/// The kinds of noise: baseline wander, electrode motion, muscle artifact.
pub const KINDS: [&str; 3] = ["bw", "em", "ma"];

/// One kind of noise as recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Points per second.
    pub fs_hz: f64,
    /// `[channel][time]`, in adu: to be scaled to a signal-to-noise ratio.
    pub adu: Vec<Vec<f64>>,
}

/// Both channels of a kind of noise.
///
/// # Errors
/// [`Error::Unknown`] for a kind that is none of [`KINDS`]; [`Error::Io`] and [`Error::Input`] of the reader;
/// [`Error::Data`] if points are missing.
pub fn noise(folder: &Path, kind: &str) -> Result<Noise> {
    if !KINDS.contains(&kind) {
        let known = KINDS.map(String::from).into();
        return Err(Error::Unknown { kind: "noise", name: kind.into(), known });
    }
    let options = ReadOptions { annotators: Annotators::None, ..ReadOptions::strict() };
    let record = record::read(folder.join(format!("{kind}.hea")), &options)?;
    if let Some(lead) = record.leads.iter().find(|lead| lead.n_missing() > 0) {
        return Err(Error::data(kind, format!("found {} missing points, expected none", lead.n_missing())));
    }
    let adu = record.leads.iter().map(|lead| lead.adu.iter().map(|&adu| f64::from(adu)).collect()).collect();
    Ok(Noise { fs_hz: record.fs_hz, adu })
}

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Nstdb;

impl Database for Nstdb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "MIT-BIH Noise Stress Test Database: baseline wander, electrode motion, muscle artifact, 30 min each, as a noise source"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn license(&self) -> &'static str {
        "ODC-By-1.0"
    }

    fn reference(&self) -> &'static str {
        "@inproceedings{moody1984noise, author = {Moody, George B. and Muldrow, W. E. and Mark, Roger G.}, title = {A noise stress test for arrhythmia detectors}, booktitle = {Computers in Cardiology}, volume = {11}, pages = {381--384}, year = {1984}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[("W11", "the noise records state gain 0: their amplitudes are to be scaled, not believed")]
    }

    fn layout(&self) -> &'static str {
        "bw, em and ma as .hea and .dat of release 1.0.0"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/nstdb/1.0.0/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["noise"]
    }

    fn usual_split(&self) -> &'static str {
        "whole"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let recording = |kind: &str| Recording {
            name: kind.into(),
            path: kind.into(),
            patient: format!("{NAME}-{kind}"),
            split: Split::Train,
            codes: vec![(CodeSystem::Own, kind.into())],
            facts: Facts::default(),
        };
        let there = KINDS.into_iter().filter(|kind| folder.join(format!("{kind}.hea")).is_file());
        let recordings = there.map(recording).collect();
        let read = recordings::read_wfdb(folder);
        let leads = LeadRules { allows_uncalibrated: true, ..LeadRules::default() };
        let mut data = recordings::open(self, folder, recordings, options, &Layout { leads, ..Layout::new(&read) })?;
        data.provenance["amplitude"] = "arbitrary: uncalibrated, 200 adu per unit".into();
        Ok(data)
    }
}
