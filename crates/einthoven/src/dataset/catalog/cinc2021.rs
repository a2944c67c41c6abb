//! The layout of the PhysioNet/CinC Challenges 2020 and 2021: CPSC, PTB, PTB-XL, Georgia, Chapman, Ningbo.
//!
//! Records are WFDB headers beside MATLAB files, sorted into folders of their source; the diagnoses are SNOMED
//! CT codes in the comment `Dx`. The challenge names no patients (rule L1: state one record for each, or do not
//! split), and mixes rates (St. Petersburg 257 Hz, PTB 1000 Hz, the rest 500 Hz) and lengths. Its PTB-XL part
//! repeats PTB-XL, so the two must not be in two parts of one study.
//!
//! # Reference
//! Reyna et al., Will Two Do? Varying Dimensions in Electrocardiography: The PhysioNet/Computing in Cardiology
//! Challenge 2021, Computing in Cardiology 48, 2021; Perez Alday et al., Physiol. Meas. 41:124003, 2020.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::condition::{is_age, sex_of};
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::{Dataset, Facts, Split};
use crate::error::{Error, Result};
use crate::record::ReadOptions;
use crate::record::format::wfdb;

/// Name in the catalogue.
pub const NAME: &str = "cinc2021";

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Cinc2021;

impl Database for Cinc2021 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "PhysioNet/CinC Challenge 2020/2021: CPSC, PTB, PTB-XL, Georgia, Chapman, Ningbo with SNOMED CT codes"
    }

    fn version(&self) -> &'static str {
        "1.0.3"
    }

    fn license(&self) -> &'static str {
        "CC-BY-4.0"
    }

    fn reference(&self) -> &'static str {
        "@inproceedings{reyna2021will, author = {Reyna, Matthew A. and Sadr, Nadi and Perez Alday, Erick A. and Gu, Annie and Shah, Amit J. and Robichaux, Chad and Rad, Ali Bahrami and Elola, Andoni and Seyedi, Salman and Ansari, Sardar and Ghanbari, Hamid and Li, Qiao and Sharma, Ashish and Clifford, Gari D.}, title = {Will Two Do? Varying Dimensions in Electrocardiography: The {PhysioNet}/Computing in Cardiology Challenge 2021}, booktitle = {Computing in Cardiology}, volume = {48}, pages = {1--4}, year = {2021}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "folders of sources with NAME.hea and NAME.mat, at any depth"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/challenge-2021/1.0.3/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        SNOMED_SETS
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let recordings = coded_recordings(folder, |_| true, |_| String::new())?;
        let mut sources = std::collections::BTreeMap::<String, usize>::new();
        for recording in &recordings {
            let source = recording.path.split('/').find(|part| !matches!(*part, "training" | ".")).unwrap_or("");
            *sources.entry(source.into()).or_default() += 1;
        }
        let read = recordings::read_wfdb(folder);
        let mut data = recordings::open(self, folder, recordings, options, &Layout::new(&read))?;
        data.provenance["sources"] = serde_json::json!(sources);
        Ok(data)
    }
}

/// Label sets that SNOMED CT codes can fill.
pub(super) const SNOMED_SETS: &[&str] =
    &["cinc2021", "merged-rhythm", "coarse-rhythm", "superclass", "diagnostic", "rhythm", "ptbxl-all", "as-given"];

/// Every record below a folder whose name is wanted, with the SNOMED CT codes of its comment `Dx`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] of a broken header; [`Error::Data`] for two records of one name.
pub(super) fn coded_recordings(
    folder: &Path,
    is_wanted: impl Fn(&str) -> bool + Sync,
    patient: impl Fn(&str) -> String + Sync,
) -> Result<Vec<Recording>> {
    let headers: Vec<PathBuf> = headers_below(folder)?.into_iter().filter(|path| is_wanted(stem(path))).collect();
    let recordings: Vec<Recording> = headers
        .par_iter()
        .map(|path| {
            let codes = comment(path, "Dx")?.unwrap_or_default();
            let codes = codes.split([',', ';', ' ']).map(str::trim).filter(|code| !code.is_empty());
            let name = stem(path);
            let below = path.strip_prefix(folder).unwrap_or(path).with_extension("");
            Ok(Recording {
                name: name.into(),
                path: below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"),
                patient: patient(name),
                split: Split::Train,
                codes: codes.map(|code| (CodeSystem::Snomed, code.to_string())).collect(),
                facts: Facts {
                    // Headers write NaN and other words where it is not known.
                    age_years: comment(path, "Age")?.and_then(|age| age.trim().parse().ok()).filter(|age| is_age(*age)),
                    sex: comment(path, "Sex")?.and_then(|sex| sex_of(sex.trim())),
                    ..Facts::default()
                },
            })
        })
        .collect::<Result<_>>()?;
    let mut names = std::collections::BTreeMap::new();
    for recording in &recordings {
        if let Some(other) = names.insert(&recording.name, &recording.path) {
            return Err(Error::data(
                &recording.name,
                format!("found two records of this name: {other} and {}", recording.path),
            ));
        }
    }
    Ok(recordings)
}

/// The value of a comment of the form `Key: value`, with or without a blank after the mark.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] of a broken header.
pub(super) fn comment(header: &Path, key: &str) -> Result<Option<String>> {
    let (header, _) = wfdb::read_header(header, &ReadOptions::lenient())?;
    Ok(header.comments.iter().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(key).then(|| value.trim().to_string())
    }))
}

/// Header files at any depth, in the order of their paths. Links are not followed.
///
/// # Errors
/// [`Error::Io`] naming the folder that cannot be listed.
pub(super) fn headers_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![folder.to_path_buf()];
    let mut headers = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|source| Error::io(&folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| Error::io(&folder, source))?;
            let kind = entry.file_type().map_err(|source| Error::io(entry.path(), source))?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "hea") {
                headers.push(path);
            }
        }
    }
    headers.sort();
    Ok(headers)
}

/// Name of a record by its header.
pub(super) fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("")
}
