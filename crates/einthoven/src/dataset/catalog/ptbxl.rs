//! PTB-XL: 21,8xx ten-second 12-lead records of 18,885 patients, at 100 and 500 Hz, with 71 statements.
//!
//! `strat_fold` gives the parts: folds 1-8 train, 9 validation, 10 test; it keeps patients apart. Both rates
//! are in the folder: an option of at most 100 Hz (or none) opens `filename_lr`, a higher one `filename_hr`.
//! A likelihood of 0 means "not given", so by default every stated code counts. Release 1.0.1 still stores
//! some recordings twice, under two patients even; later releases removed 38 records, and so the later one of
//! two equal recordings is left out here, by name, unless copies are to be refused.
//!
//! # Reference
//! Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, Scientific Data 7:154, 2020.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::patients::{PatientRow, check_table, patient_id};
use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::condition::{Sex, is_age};
use crate::dataset::label::vocabulary::{self, CodeSystem};
use crate::dataset::table::{Row, Table};
use crate::dataset::window::Copies;
use crate::dataset::{Dataset, Facts, Split};
use crate::error::{Error, Result};
use crate::record;

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "ptbxl";
/// Rows of releases 1.0.0 and 1.0.1.
const ROWS_1_0_1: usize = 21_837;
/// Rows of releases 1.0.2 and 1.0.3.
const ROWS_1_0_3: usize = 21_799;
/// Age that later releases write for everybody above 89.
const MASKED_AGE: f64 = 300.0;
/// Rate of `filename_lr`, Hz.
const LOW_RATE_HZ: f64 = 100.0;

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct PtbXl;

impl Database for PtbXl {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "PTB-XL: 12-lead records of 10 s at 100 and 500 Hz with 71 SCP-ECG statements and patient-disjoint folds"
    }

    fn version(&self) -> &'static str {
        "1.0.3"
    }

    fn license(&self) -> &'static str {
        "CC-BY-4.0"
    }

    fn reference(&self) -> &'static str {
        "@article{wagner2020ptbxl, author = {Wagner, Patrick and Strodthoff, Nils and Bousseljot, Ralf-Dieter and Kreiseler, Dieter and Lunze, Fatima I. and Samek, Wojciech and Schaeffter, Tobias}, title = {{PTB-XL}, a large publicly available electrocardiography dataset}, journal = {Scientific Data}, volume = {7}, pages = {154}, year = {2020}, doi = {10.1038/s41597-020-0495-6}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[("X07", "releases before 1.0.2 store recordings twice, some under two patients; the later one is left out")]
    }

    fn layout(&self) -> &'static str {
        "ptbxl_database.csv, records100/ and records500/ of release 1.0.0 to 1.0.3"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/ptb-xl/1.0.3/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &[
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
            "as-given",
        ]
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let table = Table::read(&folder.join("ptbxl_database.csv"))?;
        let is_high = options.whole.fs_hz.is_some_and(|fs_hz| fs_hz > LOW_RATE_HZ);
        let (column, standard) = if is_high { ("filename_hr", "records500") } else { ("filename_lr", "records100") };
        let signals = signals_folder(folder, standard)?;
        let mut found = Found::default();
        let recordings = read_table(&table, column, folder, &signals, options.whole.min_likelihood, &mut found)?;
        let read = |recording: &Recording, read_options: &record::ReadOptions| {
            record::read(signals.join(format!("{}.hea", recording.path)), read_options)
        };
        let layout = Layout { copies: Copies::Drop, ..Layout::new(&read) };
        let mut data = recordings::open(self, folder, recordings, options, &layout)?;
        data.provenance["release"] = release(&table)?;
        data.provenance["min_likelihood"] = options.whole.min_likelihood.into();
        data.provenance["signals_folder"] = signals.file_name().map(|name| name.to_string_lossy().into_owned()).into();
        data.provenance["n_rows_without_file"] = found.n_without_file.into();
        data.provenance["unknown_statements"] = json!(found.unknown);
        data.provenance["parts"] = "strat_fold: 1-8 train, 9 validation, 10 test".into();
        Ok(data)
    }
}

/// What the table had that became no recording or no label.
#[derive(Default)]
struct Found {
    n_without_file: usize,
    unknown: std::collections::BTreeMap<String, usize>,
}

/// `records100`, or the one folder whose name begins so, such as a resampled copy.
fn signals_folder(folder: &Path, standard: &str) -> Result<PathBuf> {
    let exact = folder.join(standard);
    if exact.is_dir() {
        return Ok(exact);
    }
    let entries = std::fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
    let mut others: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(standard)))
        .collect();
    match (others.pop(), others.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => {
            Err(Error::data(NAME, format!("found several folders {standard}*, expected {standard} or one of them")))
        }
        (None, _) => Err(Error::io(exact, std::io::Error::from(std::io::ErrorKind::NotFound))),
    }
}

fn read_table(
    table: &Table,
    file_column: &str,
    folder: &Path,
    signals: &Path,
    min_likelihood: f64,
    found: &mut Found,
) -> Result<Vec<Recording>> {
    let column = |name| table.column(name);
    let (id, patient, sex) = (column("ecg_id")?, column("patient_id")?, column("sex")?);
    let (age, site) = (table.find("age"), table.find("site"));
    let (codes, fold, file) = (column("scp_codes")?, column("strat_fold")?, column(file_column)?);
    let mut people = Vec::with_capacity(table.rows.len());
    let mut recordings = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let patient = patient_id(NAME, &row.cells[patient]);
        people.push(PatientRow { patient: patient.clone(), sex: row.cells[sex].clone(), birth_year: String::new() });
        let path = &row.cells[file];
        // The table's first folder is the standard one, whatever it is called here.
        let below = path.split_once('/').map_or(path.as_str(), |(_, below)| below);
        let is_inside = !below.split('/').any(|part| part == ".." || part.is_empty());
        if !is_inside {
            return Err(table.cell_error(row, file, "a path below the folder of the signals"));
        }
        let stated = statements(&row.cells[codes])
            .ok_or_else(|| table.cell_error(row, codes, "statements with their likelihood, such as {'NORM': 100.0}"))?;
        let codes = stated
            .into_iter()
            .filter(|(code, likelihood)| counts(code, *likelihood, min_likelihood, &mut found.unknown))
            .map(|(code, _)| (CodeSystem::Scp, code))
            .collect();
        if !signals.join(format!("{below}.hea")).is_file() {
            found.n_without_file += 1;
            continue;
        }
        recordings.push(Recording {
            name: row.cells[id].trim().into(),
            path: below.into(),
            patient,
            split: part_of(table, row, fold)?,
            codes,
            facts: Facts {
                // The mask stands for all ages above 89.
                age_years: age.map_or(Ok(None), |age| table.number(row, age))?.filter(|age| is_age(*age)),
                sex: match row.cells[sex].trim() {
                    "0" => Some(Sex::Male),
                    "1" => Some(Sex::Female),
                    _ => None,
                },
                site: site.map(|site| whole(&row.cells[site]).to_string()).filter(|site| !site.is_empty()),
                ..Facts::default()
            },
        });
    }
    check_table(&folder.join("ptbxl_database.csv"), &people)?;
    Ok(recordings)
}

/// A number of a spreadsheet as the whole number that it is: `3.0` is `3`.
fn whole(cell: &str) -> &str {
    let cell = cell.trim();
    cell.strip_suffix(".0").unwrap_or(cell)
}

fn part_of(table: &Table, row: &Row, column: usize) -> Result<Split> {
    match table.number(row, column)? {
        Some(fold) if (1.0..=8.0).contains(&fold) => Ok(Split::Train),
        Some(9.0) => Ok(Split::Validation),
        Some(10.0) => Ok(Split::Test),
        _ => Err(table.cell_error(row, column, "a fold from 1 to 10")),
    }
}

/// Whether a statement becomes a label. Likelihoods belong to diagnoses; 0 means that none was given.
fn counts(
    code: &str,
    likelihood: f64,
    min_likelihood: f64,
    unknown: &mut std::collections::BTreeMap<String, usize>,
) -> bool {
    let Some(statement) = vocabulary::find_statement(code) else {
        *unknown.entry(code.into()).or_default() += 1;
        return false;
    };
    !statement.is_diagnostic || likelihood >= min_likelihood
}

/// Codes and likelihoods of a cell like `{'NORM': 100.0, 'SR': 0.0}`; `None` if it is no such list.
fn statements(cell: &str) -> Option<Vec<(String, f64)>> {
    let inside = cell.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    if inside.is_empty() {
        return Some(Vec::new());
    }
    inside
        .split(',')
        .map(|item| {
            let (code, likelihood) = item.rsplit_once(':')?;
            let code = code.trim();
            let code = code.strip_prefix(['\'', '"'])?.strip_suffix(['\'', '"'])?;
            let likelihood: f64 = likelihood.trim().parse().ok()?;
            likelihood.is_finite().then(|| (code.to_string(), likelihood))
        })
        .collect()
}

/// The release, by the number of rows where the table is whole, by how ages above 89 are written otherwise.
fn release(table: &Table) -> Result<Value> {
    let age = table.column("age")?;
    let mut ages = Vec::new();
    for row in &table.rows {
        ages.extend(table.number(row, age)?);
    }
    let name = match table.rows.len() {
        ROWS_1_0_1 => "1.0.0 or 1.0.1",
        ROWS_1_0_3 => "1.0.2 or 1.0.3",
        _ if ages.contains(&MASKED_AGE) => "1.0.2 or 1.0.3",
        _ if ages.iter().any(|&age| age > 89.0) => "1.0.0 or 1.0.1",
        _ => "unknown",
    };
    let n_rows = table.rows.len();
    let is_whole = n_rows == ROWS_1_0_1 || n_rows == ROWS_1_0_3;
    Ok(json!({ "name": name, "n_rows": n_rows, "is_whole": is_whole }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_statements_are_read_and_others_refused() {
        let read = |cell| statements(cell);
        assert_eq!(read("{'NORM': 100.0, 'LAO/LAE': 0.0}").unwrap()[1], ("LAO/LAE".to_string(), 0.0));
        assert_eq!(read("{'PRC(S)': 0.0}").unwrap()[0].0, "PRC(S)");
        assert_eq!(read("{}").unwrap(), []);
        for broken in ["", "NORM", "{NORM: 1}", "{'NORM'}", "{'NORM': x}", "{'NORM': nan}"] {
            assert!(read(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn likelihoods_bind_diagnoses_only() {
        let mut unknown = std::collections::BTreeMap::new();
        let mut counts = |code, likelihood, least| counts(code, likelihood, least, &mut unknown);
        assert!(counts("IMI", 0.0, 0.0), "0 is not given, not absent");
        assert!(!counts("IMI", 15.0, 50.0) && counts("IMI", 50.0, 50.0));
        assert!(counts("SR", 0.0, 100.0) && counts("PVC", 0.0, 100.0));
        assert!(!counts("XYZ", 100.0, 0.0));
        assert_eq!(unknown["XYZ"], 1);
    }
}
