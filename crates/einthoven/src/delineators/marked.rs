//! Records whose waves were marked by people, LUDB and QTDB, and which of them nothing may be chosen on.
//!
//! The parts are fixed by name, so that a delineator trained here today and one tuned elsewhere next year are tested on
//! the same people. An excerpt of MIT-BIH's DS2 is a test record wherever it appears.

use std::fs;
use std::path::Path;

use crate::dataset::Split;
use crate::dataset::catalog::{ludb as ludb_catalog, mitdb, patients::patient_id, qtdb as qtdb_catalog};
use crate::error::{Error, Result};
use crate::record::fiducial::from_annotations;
use crate::record::{self, Fiducial, ReadOptions, Wave};

/// A record with the waves that people marked in it.
#[derive(Debug, Clone, PartialEq)]
pub struct MarkedRecord {
    /// Name in its database.
    pub name: String,
    /// Patient, as in the catalogue.
    pub patient: String,
    /// What it may be used for.
    pub split: Split,
    /// Points per second.
    pub fs_hz: f64,
    /// Its leads.
    pub leads: Vec<MarkedLead>,
}

/// A lead with its marked waves.
#[derive(Debug, Clone, PartialEq)]
pub struct MarkedLead {
    /// Name.
    pub name: String,
    /// Amplitudes, mV.
    pub mv: Vec<f32>,
    /// Waves in the order of their peaks.
    pub waves: Vec<Fiducial>,
    /// First and last point of each stretch in which every wave was marked; elsewhere nobody looked.
    pub looked_at: Vec<(usize, usize)>,
}

/// Part of a record of LUDB: those with an even number are for tests, odd ones for development; of these every one that
/// 15 divides is for validation.
///
/// # Errors
/// [`Error::Data`] for a name that is no number.
pub fn ludb_split(name: &str) -> Result<Split> {
    let number: u32 =
        name.parse().map_err(|_| Error::data(name, "found this name in LUDB, expected a record number"))?;
    Ok(match number {
        _ if number.is_multiple_of(2) => Split::Test,
        _ if number.is_multiple_of(15) => Split::Validation,
        _ => Split::Train,
    })
}

/// Records of QTDB that are for tests, beside all excerpts of DS2 of MIT-BIH.
pub const QTDB_TEST: [&str; 3] = ["sel100", "sel213", "sel803"];

/// Part of a record of QTDB.
pub fn qtdb_split(name: &str) -> Split {
    let is_ds2 = mitdb::DS2.iter().any(|record| qtdb_catalog::patient(name) == mitdb::patient(record));
    if is_ds2 || QTDB_TEST.contains(&name) { Split::Test } else { Split::Train }
}

/// The records of a folder of LUDB. Their counts are microvolts: the gains of the headers break Einthoven's law.
///
/// # Errors
/// [`Error::Data`] for a folder without records, or a record without marks; everything that reading returns.
pub fn ludb(folder: &Path) -> Result<Vec<MarkedRecord>> {
    let data = folder.join("data");
    let mut names = record_names(&data)?;
    names.sort_by_key(|name| (name.len(), name.clone()));
    let read = |name: String| {
        let record = record::read(data.join(&name), &ReadOptions::lenient())?;
        let leads = record.leads.iter().map(|lead| {
            let annotator = lead.name.to_lowercase();
            let waves = waves(&record, &annotator)?;
            let looked_at = vec![span(&waves)];
            let mv = lead.adu.iter().map(|&adu| adu as f32 / 1000.0).collect();
            Ok(MarkedLead { name: lead.name.clone(), mv, waves, looked_at })
        });
        Ok(MarkedRecord {
            patient: patient_id(ludb_catalog::NAME, &name),
            split: ludb_split(&name)?,
            fs_hz: record.fs_hz,
            leads: leads.collect::<Result<_>>()?,
            name,
        })
    };
    names.into_iter().map(read).collect()
}

/// The records of a folder of QTDB with the marks of its first reader (`q1c`), which hold for both leads. Only chosen
/// beats are marked, and nothing between them was looked at.
///
/// # Errors
/// As [`ludb`].
pub fn qtdb(folder: &Path) -> Result<Vec<MarkedRecord>> {
    let read = |name: String| {
        let record = record::read(folder.join(&name), &ReadOptions::lenient())?;
        let waves = waves(&record, "q1c")?;
        let looked_at = marked_beats(&waves);
        let leads = record.leads.iter().map(|lead| {
            let (name, waves, looked_at) = (lead.name.clone(), waves.clone(), looked_at.clone());
            Ok(MarkedLead { name, mv: lead.mv()?, waves, looked_at })
        });
        Ok(MarkedRecord {
            patient: qtdb_catalog::patient(&name),
            split: qtdb_split(&name),
            fs_hz: record.fs_hz,
            leads: leads.collect::<Result<_>>()?,
            name,
        })
    };
    record_names(folder)?.into_iter().map(read).collect()
}

/// Names of the headers of a folder, sorted.
fn record_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| Error::io(folder, source))? {
        let path = entry.map_err(|source| Error::io(folder, source))?.path();
        if path.extension().is_some_and(|extension| extension == "hea") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    if names.is_empty() {
        return Err(Error::data(
            folder.display().to_string(),
            "found no .hea file, expected records with marked waves",
        ));
    }
    names.sort();
    Ok(names)
}

fn waves(record: &record::Record, annotator: &str) -> Result<Vec<Fiducial>> {
    let marks = record.annotations.get(annotator);
    let waves = from_annotations(marks.map_or(&[], |marks| marks.as_slice()));
    if waves.is_empty() {
        return Err(Error::data(&record.name, format!("found no marked wave in .{annotator}, expected at least one")));
    }
    Ok(waves)
}

/// From the first mark to the last.
fn span(waves: &[Fiducial]) -> (usize, usize) {
    let from = waves.iter().map(|wave| wave.onset.unwrap_or(wave.peak)).min().unwrap_or(0);
    (from, waves.iter().map(|wave| wave.offset.unwrap_or(wave.peak)).max().unwrap_or(0))
}

/// From the first mark to the last of each beat; a beat ends with its T wave.
fn marked_beats(waves: &[Fiducial]) -> Vec<(usize, usize)> {
    let is_end = |a: &Fiducial, b: &Fiducial| a.wave == Wave::T && b.wave != Wave::T;
    waves.chunk_by(|a, b| !is_end(a, b)).map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_fixed_by_name_and_no_ds2_patient_is_learned_from() {
        assert_eq!(ludb_split("46").unwrap(), Split::Test);
        assert_eq!(ludb_split("45").unwrap(), Split::Validation);
        assert_eq!(ludb_split("47").unwrap(), Split::Train);
        assert!(ludb_split("a").is_err());
        for name in ["sel100", "sel213", "sel803", "sel123", "sel233"] {
            assert_eq!(qtdb_split(name), Split::Test, "{name}");
        }
        for name in ["sele0104", "sel16265", "sel114", "sel30"] {
            assert_eq!(qtdb_split(name), Split::Train, "{name}");
        }
    }

    #[test]
    fn only_marked_beats_were_looked_at() {
        let wave = |wave, peak| Fiducial { wave, onset: Some(peak - 5), peak, offset: Some(peak + 5) };
        let waves = [wave(Wave::P, 10), wave(Wave::Qrs, 40), wave(Wave::T, 90), wave(Wave::Qrs, 300)];
        assert_eq!(marked_beats(&waves), [(5, 95), (295, 305)]);
        assert_eq!(span(&waves), (5, 305));
    }
}
