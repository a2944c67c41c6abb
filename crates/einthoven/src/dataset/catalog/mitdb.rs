//! The MIT-BIH Arrhythmia Database: 48 half-hour records of 47 people, 360 Hz, two leads.
//!
//! Beats are cut from lead MLII, which is found by name: record 114 has it second, 102 and 104 do not
//! have it and are left out. Records of patients with a pacemaker are left out unless the label set
//! keeps them. Amplitudes are mV, neither scaled nor filtered by default.
//!
//! # Reference
//! Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng in Med and Biol
//! 20(3):45-50, 2001; DS1 and DS2: de Chazal et al., IEEE Trans Biomed Eng 51(7):1196-1206, 2004.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Database, OpenOptions, PublishedFile, source_provenance};
use crate::beat::segment;
use crate::dataset::{Dataset, Split, hex};
use crate::error::{Error, Result};
use crate::record::{self, Annotators, ReadOptions};
use crate::signal::filter::SosFilter;

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "mitdb";

/// The 48 records.
pub const RECORDS: [&str; 48] = [
    "100", "101", "102", "103", "104", "105", "106", "107", "108", "109", "111", "112", "113", "114", "115", "116",
    "117", "118", "119", "121", "122", "123", "124", "200", "201", "202", "203", "205", "207", "208", "209", "210",
    "212", "213", "214", "215", "217", "219", "220", "221", "222", "223", "228", "230", "231", "232", "233", "234",
];

/// Records of DS1, the published training half.
pub const DS1: [&str; 22] = [
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122", "124", "201", "203", "205", "207",
    "208", "209", "215", "220", "223", "230",
];

/// Records of DS2, the published test half.
pub const DS2: [&str; 22] = [
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210", "212", "213", "214", "219", "221",
    "222", "228", "231", "232", "233", "234",
];

/// Records with a pacemaker, in neither half.
pub const PACED: [&str; 4] = ["102", "104", "107", "217"];

/// The five DS1 patients that form the validation part.
///
/// Chosen once, by counts alone, so that every class is represented on both sides: together they hold
/// 9,909 N, 204 S, 645 V, 19 F and 2 Q beats, about a fifth of DS1. 208 (90 % of DS1's F) and 209
/// (the most S) stay in training, where most of their class would otherwise be missing.
pub const VALIDATION: [&str; 5] = ["101", "116", "118", "124", "223"];

/// Patient id of a record: one per record, but 201 and 202 are the same man.
pub fn patient(record: &str) -> String {
    format!("{NAME}-{}", if record == "202" { "201" } else { record })
}

/// Lead that beats are cut from.
const LEAD: &str = "MLII";
/// Annotator of the reference annotations.
const ANNOTATOR: &str = "atr";
const FS_HZ: f64 = 360.0;

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Mitdb;

impl Database for Mitdb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "MIT-BIH Arrhythmia Database: 48 half-hour two-lead records of 47 people with 109,494 labelled beats"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn license(&self) -> &'static str {
        "ODC-By-1.0"
    }

    fn reference(&self) -> &'static str {
        "@article{moody2001mitbih, author = {Moody, George B. and Mark, Roger G.}, title = {The impact of the {MIT-BIH} Arrhythmia Database}, journal = {IEEE Engineering in Medicine and Biology Magazine}, volume = {20}, number = {3}, pages = {45--50}, year = {2001}, doi = {10.1109/51.932724}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "a folder with 100.hea, 100.dat and 100.atr to 234.hea, 234.dat and 234.atr"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/mitdb/1.0.0/"
    }

    fn files(&self) -> Vec<PublishedFile> {
        // Each line holds the sum, the size and the name; a line that did not would be missed by the test.
        let line = |line: &'static str| {
            let mut words = line.split_whitespace();
            let (sha256, n_bytes, path) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
            Some(PublishedFile { path, sha256, n_bytes })
        };
        include_str!("mitdb.sums").lines().filter_map(line).collect()
    }

    fn item(&self) -> &'static str {
        "beat"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let wanted: Vec<&str> = if options.records.is_empty() {
            RECORDS.to_vec()
        } else {
            options.records.iter().map(|name| known_record(name)).collect::<Result<_>>()?
        };
        let mut left_out: BTreeMap<&str, &str> = BTreeMap::new();
        let mut names = Vec::new();
        for name in wanted {
            if !options.labels.keeps_paced && PACED.contains(&name) {
                left_out.insert(name, "paced");
            } else {
                names.push(name);
            }
        }
        let published: BTreeMap<&str, &str> = self.files().iter().map(|file| (file.path, file.sha256)).collect();
        let cuts: Vec<Cut> =
            names.par_iter().map(|name| cut_record(folder, name, options, &published)).collect::<Result<_>>()?;

        let mut data = Dataset::new(vec![LEAD.into()], options.window.sig_len, FS_HZ, options.labels.names());
        let mut rr_s = Vec::new();
        let mut records = serde_json::Map::new();
        let mut dropped = Dropped::default();
        let mut is_published = true;
        for (name, cut) in names.iter().zip(cuts) {
            is_published &= cut.is_published;
            let Some(beats) = cut.beats else {
                left_out.insert(name, "no lead MLII");
                continue;
            };
            records.insert(
                (*name).into(),
                json!({ "patient": patient(name), "sha256": cut.sha256, "n_annotated_beats": beats.n_annotated, "n_kept": beats.items.len(), "dropped": beats.dropped.to_json() }),
            );
            dropped.add(&beats.dropped);
            for item in beats.items {
                data.ecg.extend_from_slice(&item.ecg);
                data.labels.extend((0..options.labels.classes.len()).map(|class| u8::from(class == item.class)));
                data.record.push((*name).into());
                data.patient.push(patient(name));
                data.split.push(Split::Train);
                data.index.push(item.r_index);
                rr_s.push(item.rr_s);
            }
        }
        data.rr_s = Some(rr_s);
        data.provenance = source_provenance(self, options);
        data.provenance["lead"] = Value::from(LEAD);
        data.provenance["files_as_published"] = Value::from(is_published);
        data.provenance["left_out_records"] = json!(left_out);
        data.provenance["dropped"] = dropped.to_json();
        data.provenance["records"] = Value::from(records);
        Ok(data)
    }
}

/// What one record gives.
struct Cut {
    /// SHA-256 of its files by extension.
    sha256: BTreeMap<&'static str, String>,
    is_published: bool,
    /// `None` if the record has no lead MLII.
    beats: Option<Beats>,
}

struct Beats {
    n_annotated: usize,
    items: Vec<Item>,
    dropped: Dropped,
}

struct Item {
    ecg: Vec<f32>,
    class: usize,
    r_index: i64,
    rr_s: [f32; 2],
}

/// Annotated beats that are not in the data set, by reason.
#[derive(Default)]
struct Dropped {
    /// The window crosses an edge of the record.
    edge: usize,
    /// The window has missing points.
    missing: usize,
    /// The label set does not hold the symbol.
    label: BTreeMap<String, usize>,
}

impl Dropped {
    fn add(&mut self, other: &Dropped) {
        self.edge += other.edge;
        self.missing += other.missing;
        for (symbol, count) in &other.label {
            *self.label.entry(symbol.clone()).or_default() += count;
        }
    }

    fn to_json(&self) -> Value {
        json!({ "window_crosses_edge": self.edge, "missing_points": self.missing, "symbol_not_in_label_set": self.label })
    }
}

fn known_record(name: &str) -> Result<&'static str> {
    RECORDS.iter().find(|record| **record == name).copied().ok_or_else(|| Error::Unknown {
        kind: "record of mitdb",
        name: name.into(),
        known: RECORDS.iter().map(|record| (*record).into()).collect(),
    })
}

fn cut_record(folder: &Path, name: &str, options: &OpenOptions, published: &BTreeMap<&str, &str>) -> Result<Cut> {
    let mut sha256 = BTreeMap::new();
    let mut is_published = true;
    for extension in ["hea", "dat", ANNOTATOR] {
        let file = format!("{name}.{extension}");
        let path = folder.join(&file);
        let bytes = std::fs::read(&path).map_err(|source| Error::Io { path, source })?;
        let sum = hex(&Sha256::digest(&bytes));
        is_published &= published.get(file.as_str()) == Some(&sum.as_str());
        sha256.insert(extension, sum);
    }
    let read_options = ReadOptions { annotators: Annotators::Named(vec![ANNOTATOR.into()]), ..ReadOptions::strict() };
    let record = record::read(folder.join(format!("{name}.hea")), &read_options)?;
    if !record.leads.iter().any(|lead| lead.name == LEAD) {
        return Ok(Cut { sha256, is_published, beats: None });
    }
    if record.fs_hz != FS_HZ {
        return Err(Error::data(name, format!("found a sampling rate of {} Hz, expected {FS_HZ}", record.fs_hz)));
    }
    let mut mv = record.lead(LEAD)?.mv()?;
    if let Some(cutoff_hz) = options.high_pass_hz {
        let signal: Vec<f64> = mv.iter().map(|&x| f64::from(x)).collect();
        let filtered = SosFilter::highpass(2, cutoff_hz, FS_HZ)?.zero_phase(&signal)?;
        mv = filtered.into_iter().map(|x| x as f32).collect();
    }
    let annotations = record.annotations.get(ANNOTATOR).map_or(&[][..], Vec::as_slice);
    let marks: Vec<_> = annotations.iter().filter(|annotation| annotation.is_beat()).collect();
    let r_index: Vec<i64> = marks.iter().map(|mark| mark.sample).collect();
    let rr_s = segment::rr_s(&r_index, FS_HZ);
    let mut beats = Beats { n_annotated: marks.len(), items: Vec::new(), dropped: Dropped::default() };
    for (mark, rr_s) in marks.iter().zip(rr_s) {
        let Some(class) = options.labels.class(&mark.symbol) else {
            *beats.dropped.label.entry(mark.symbol.to_string()).or_default() += 1;
            continue;
        };
        match options.window.cut(&mv, mark.sample) {
            None => beats.dropped.edge += 1,
            Some(ecg) if ecg.iter().any(|x| x.is_nan()) => beats.dropped.missing += 1,
            Some(ecg) => beats.items.push(Item { ecg: ecg.to_vec(), class, r_index: mark.sample, rr_s }),
        }
    }
    Ok(Cut { sha256, is_published, beats: Some(beats) })
}
