//! DeepFake-ECG: 150,000 synthetic ten-second 8-lead ECGs at 500 Hz, drawn from a Pulse2Pulse GAN.
//!
//! A file `ID.asc` has 5,000 lines of 8 numbers in microvolts: I, II, V1-V6; ask for `aVF` or any other limb lead
//! and it is derived. `*ground_truth.csv` holds the measurements of a commercial program for each id, read by
//! [`ground_truth`]. Everything is synthetic and marked so; it can be trained on, never tested on.
//!
//! # Reference
//! Thambawita et al., DeepFake electrocardiograms using generative adversarial networks are the beginning of the
//! end for privacy issues in medicine, Scientific Reports 11:21896, 2021; files at osf.io/6hved.

use std::path::{Path, PathBuf};

use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::table::Table;
use crate::dataset::{Dataset, Facts, SYNTHETIC_PREFIX, Split};
use crate::error::{Error, InputError, Position, Result};
use crate::record::{ReadOptions, Record, lead_law};

/// Name in the catalogue.
pub const NAME: &str = "deepfake";
/// Column of the measurements that names the file.
const ID: &str = "patid";
/// Points per second.
const FS_HZ: f64 = 500.0;

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct DeepFake;

impl Database for DeepFake {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "DeepFake-ECG: 150,000 synthetic 8-lead ECGs of 10 s at 500 Hz from a GAN, with measurements"
    }

    fn version(&self) -> &'static str {
        "2021"
    }

    fn license(&self) -> &'static str {
        "CC-BY-4.0"
    }

    fn reference(&self) -> &'static str {
        "@article{thambawita2021deepfake, author = {Thambawita, Vajira and Isaksen, Jonas L. and Hicks, Steven A. and Ghouse, Jonas and Ahlberg, Gustav and Linneberg, Allan and Grarup, Niels and Ellervik, Christina and Olesen, Morten Salling and Hansen, Torben and Graff, Claus and Holstein-Rathlou, Niels-Henrik and Strümke, Inga and Hammer, Hugo L. and Maleckar, Mary M. and Halvorsen, Pål and Riegler, Michael A. and Kanters, Jørgen K.}, title = {{DeepFake} electrocardiograms using generative adversarial networks are the beginning of the end for privacy issues in medicine}, journal = {Scientific Reports}, volume = {11}, pages = {21896}, year = {2021}, doi = {10.1038/s41598-021-01295-2}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "ID.asc, at any depth, and *ground_truth.csv"
    }

    fn url(&self) -> &'static str {
        ""
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["as-given"]
    }

    fn usual_split(&self) -> &'static str {
        "whole"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let truth = ground_truth(folder)?;
        let mut measured = std::collections::BTreeSet::new();
        if let Some(table) = &truth {
            let id = table.column(ID)?;
            measured.extend(table.rows.iter().map(|row| row.cells[id].trim().trim_end_matches(".0")));
        }
        let is_normal_set = truth
            .as_ref()
            .is_some_and(|table| table.path.file_name().is_some_and(|name| name.to_string_lossy().contains("normals")));
        let mut recordings = Vec::new();
        for path in files_below(folder, "asc")? {
            let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let below = path.strip_prefix(folder).unwrap_or(&path);
            let label = if is_normal_set && measured.contains(id.as_str()) { "normal" } else { "generated" };
            let name = format!("{SYNTHETIC_PREFIX}{NAME}_{id}");
            recordings.push(Recording {
                path: below.to_string_lossy().into_owned(),
                patient: name.clone(),
                name,
                split: Split::Train,
                codes: vec![(CodeSystem::Own, label.into())],
                facts: Facts::default(),
            });
        }
        let read = |recording: &Recording, _: &ReadOptions| read_asc(&folder.join(&recording.path), &recording.name);
        let mut data = recordings::open(self, folder, recordings, options, &Layout::new(&read))?;
        data.provenance["synthetic"] = true.into();
        data.provenance["generator"] = "Pulse2Pulse GAN, Thambawita et al. 2021".into();
        data.provenance["n_with_ground_truth"] = measured.len().into();
        Ok(data)
    }
}

/// The table of measurements, or `None` if the folder has none: `patid` names the file, `VentRate`, `pr`, `qrs`, `qt` and
/// `avgrrinterval` (ms) are among the others.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] `X01`.
pub fn ground_truth(folder: &Path) -> Result<Option<Table>> {
    let tables = files_below(folder, "csv")?;
    let truth = tables.iter().find(|path| path.to_string_lossy().ends_with("ground_truth.csv"));
    truth.map(|path| Table::read(path)).transpose()
}

/// Files of an extension at any depth, in the order of their paths.
fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|source| Error::io(&folder, source))? {
            let entry = entry.map_err(|source| Error::io(&folder, source))?;
            let kind = entry.file_type().map_err(|source| Error::io(entry.path(), source))?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Reads lines of eight numbers in microvolts.
fn read_asc(path: &Path, name: &str) -> Result<Record> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    let mut leads: Vec<Vec<f32>> = vec![Vec::new(); lead_law::EIGHT.len()];
    for (k, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split([' ', '\t', ',']).filter(|cell| !cell.is_empty()).collect();
        let broken = |field: &str, found: String, expected: &str| InputError {
            code: "X01",
            path: path.into(),
            position: Position::Line(k + 1),
            field: field.into(),
            found,
            expected: expected.into(),
            hint: String::new(),
        };
        if cells.len() != leads.len() {
            return Err(broken("number of leads", cells.len().to_string(), "8: I, II, V1-V6").into());
        }
        for (lead, cell) in leads.iter_mut().zip(cells) {
            match cell.parse::<f32>() {
                Ok(uv) if uv.is_finite() => lead.push(uv / 1000.0),
                _ => return Err(broken("amplitude", format!("\"{cell}\""), "a number of microvolts").into()),
            }
        }
    }
    recordings::record_of_mv(name, FS_HZ, &lead_law::EIGHT, leads)
}
