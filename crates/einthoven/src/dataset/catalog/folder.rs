//! A user's own records: a folder of files in any record format with a table of labels.
//!
//! `labels.csv` has a column `record` (path below the folder; without an extension it is WFDB). Optional columns:
//! `patient`, `split` (train, validation or test), `sex`, `birth_year`, `labels` (several, apart by semicolons),
//! `item` (position in an NPZ data set), `site`, `hr_bpm`, `pr_ms`, `qrs_ms`, `qtc_ms`, `axis_deg`, `age_years`. Every other column whose cells are 0, 1 or empty is a label of its own;
//! the rest is left alone and named in the provenance. A folder without the table but with one NPZ data set is
//! that data set.

use std::path::{Path, PathBuf};

use super::patients::{PatientRow, check_table};
use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::condition::{NUMBERS, Number, sex_of};
use crate::dataset::label::vocabulary::{self, CodeSystem};
use crate::dataset::table::{Row, Table};
use crate::dataset::{Dataset, Facts, Split, npz};
use crate::error::{Error, Result};
use crate::record::{self, ReadOptions, Record};

/// Name in the catalogue.
pub const NAME: &str = "folder";
/// The table of labels.
pub const TABLE: &str = "labels.csv";
/// Columns that are not labels.
const KNOWN: [&str; 8] = ["record", "patient", "split", "sex", "birth_year", "labels", "item", "site"];
/// Parts a position in an NPZ data set from its path.
const ITEM_MARK: char = '#';

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Folder;

impl Database for Folder {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "your own records: WFDB, CSV or NPZ files with a labels.csv (record, patient, split, labels)"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn license(&self) -> &'static str {
        "as you state it"
    }

    fn reference(&self) -> &'static str {
        "the owner of the files"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "labels.csv and the files that it names; or one NPZ data set"
    }

    fn url(&self) -> &'static str {
        ""
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &[
            "as-given",
            "superclass",
            "subclass",
            "diagnostic",
            "form",
            "rhythm",
            "ptbxl-all",
            "clinical",
            "merged-rhythm",
            "coarse-rhythm",
            "cinc2021",
            "sex",
        ]
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let path = folder.join(TABLE);
        if !path.is_file() {
            return only_npz(folder);
        }
        let table = Table::read(&path)?;
        let mut ignored = Vec::new();
        let recordings = read_table(&table, &mut ignored)?;
        let read = |recording: &Recording, options: &ReadOptions| read_file(folder, recording, options);
        let mut data = recordings::open(self, folder, recordings, options, &Layout::new(&read))?;
        data.provenance["ignored_columns"] = ignored.into();
        Ok(data)
    }
}

/// The one NPZ data set of a folder without a table.
fn only_npz(folder: &Path) -> Result<Dataset> {
    let entries = std::fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    let archives: Vec<&PathBuf> = files.iter().filter(|path| path.extension().is_some_and(|e| e == "npz")).collect();
    match archives[..] {
        [archive] => npz::read(archive),
        _ => Err(Error::data(
            folder.display().to_string(),
            format!(
                "found no {TABLE} and {} .npz files, expected {TABLE} with a column record (and patient, split, labels), \
                 or one .npz data set",
                archives.len()
            ),
        )),
    }
}

fn read_table(table: &Table, ignored: &mut Vec<String>) -> Result<Vec<Recording>> {
    let file = table.column("record")?;
    let [patient, split, sex, birth_year, labels, item] =
        ["patient", "split", "sex", "birth_year", "labels", "item"].map(|name| table.find(name));
    let site = table.find("site");
    let numbers: Vec<(&Number, usize)> = NUMBERS.iter().filter_map(|n| Some((n, table.find(n.column)?))).collect();
    let is_flag = |column: usize| table.rows.iter().all(|row| matches!(row.cells[column].trim(), "" | "0" | "1"));
    let mut flags = Vec::new();
    for (column, name) in
        table.header.iter().enumerate().filter(|(column, name)| {
            !KNOWN.contains(&name.as_str()) && !numbers.iter().any(|(_, number)| number == column)
        })
    {
        if is_flag(column) { flags.push((column, name)) } else { ignored.push(name.clone()) }
    }
    let text = |row: &Row, column: Option<usize>| column.map_or("", |column| row.cells[column].trim()).to_string();
    let (mut people, mut recordings) = (Vec::new(), Vec::<Recording>::new());
    for row in &table.rows {
        let path = row.cells[file].trim();
        let is_inside = !path.is_empty() && !Path::new(path).is_absolute() && !path.contains('\\');
        if !is_inside || path.split('/').any(|part| part == "..") || path.contains(':') {
            return Err(table.cell_error(row, file, "a path below the folder"));
        }
        let item = text(row, item);
        let name = if item.is_empty() { path.to_string() } else { format!("{path}{ITEM_MARK}{item}") };
        if recordings.iter().any(|other| other.name == name) {
            return Err(table.cell_error(row, file, "each record once"));
        }
        let split = match (split, text(row, split).as_str()) {
            (_, "" | "train") => Split::Train,
            (_, "validation") => Split::Validation,
            (_, "test") => Split::Test,
            (Some(column), _) => return Err(table.cell_error(row, column, "train, validation or test")),
            (None, _) => Split::Train,
        };
        let mut codes: Vec<(CodeSystem, String)> = Vec::new();
        for label in text(row, labels).split(';').map(str::trim).filter(|label| !label.is_empty()) {
            codes.push((system_of(label), label.into()));
        }
        for (_, name) in flags.iter().filter(|(column, _)| row.cells[*column].trim() == "1") {
            codes.push((system_of(name), (*name).clone()));
        }
        let who = PatientRow {
            patient: text(row, patient),
            sex: text(row, sex).to_ascii_lowercase(),
            birth_year: text(row, birth_year),
        };
        if matches!(who.sex.as_str(), "female" | "male") && !codes.iter().any(|(_, code)| *code == who.sex) {
            codes.push((CodeSystem::Own, who.sex.clone()));
        }
        let site = Some(text(row, site)).filter(|site| !site.is_empty());
        let mut facts = Facts { sex: sex_of(&who.sex), site, ..Facts::default() };
        for &(number, column) in &numbers {
            let value = table.number(row, column)?;
            if value.is_some_and(|value| number.check(value).is_err()) {
                let [low, high] = number.possible;
                return Err(table.cell_error(row, column, &format!("{low} to {high} {}", number.unit)));
            }
            facts.set_number(number.fact, value);
        }
        recordings.push(Recording { path: name.clone(), name, patient: who.patient.clone(), split, codes, facts });
        people.push(who);
    }
    check_table(&table.path, &people)?;
    Ok(recordings)
}

/// Whose code a label is: a statement of PTB-XL, a number of SNOMED CT, or a word of the user's.
fn system_of(label: &str) -> CodeSystem {
    if vocabulary::find_statement(label).is_some() {
        CodeSystem::Scp
    } else if vocabulary::canonical_snomed(label).is_some() {
        CodeSystem::Snomed
    } else {
        CodeSystem::Own
    }
}

fn read_file(folder: &Path, recording: &Recording, options: &ReadOptions) -> Result<Record> {
    let (path, item) = match recording.path.split_once(ITEM_MARK) {
        Some((path, item)) => (path, Some(item)),
        None => (recording.path.as_str(), None),
    };
    let path = folder.join(path);
    if path.extension().is_some_and(|extension| extension == "npz") {
        let data = npz::read(&path)?;
        let item = match item.map(str::parse::<usize>) {
            None if data.len() == 1 => 0,
            Some(Ok(item)) if item < data.len() => item,
            _ => {
                let found = item.unwrap_or("no item");
                let reason =
                    format!("found {found}, expected a column item from 0 to {}", data.len().saturating_sub(1));
                return Err(Error::data(&recording.name, reason));
            }
        };
        let leads = data.item(item).chunks(data.sig_len).map(<[f32]>::to_vec).collect();
        let names: Vec<&str> = data.leads.iter().map(String::as_str).collect();
        return recordings::record_of_mv(&recording.name, data.fs_hz, &names, leads);
    }
    record::read(&path, options)
}
