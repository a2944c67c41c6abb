//! Labels, patients and folds: the table beside the records, or else the headers' comments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Facts, Problem, Severity};
use crate::dataset::guard::{Question, leaks};
use crate::dataset::label::vocabulary::{canonical_snomed, find_statement};
use crate::dataset::table::{Row, Table, read_rows};
use crate::error::{Error, Result};
use crate::record::lead_law::standard_name;
use crate::seed::Seed;

/// Columns by the names that tables give them, the more telling first.
const RECORD: &[&str] = &["record", "record_name", "filename", "file", "path", "name", "id", "ecg_id", "study_id"];
const PATIENT: &[&str] = &["patient_id", "patient", "subject_id", "subject", "person"];
const FOLD: &[&str] = &["strat_fold", "fold", "split"];
const LABEL: &[&str] = &["scp_codes", "label", "labels", "snomed_dx", "dx", "diagnosis", "rhythm", "rhythms", "class"];
const FIXED: &[&str] = &["sex", "birth_year", "birth_date"];
/// Columns of a table that lists codes.
const CODE: &[&str] = &["snomed_ct", "snomedctcode", "code", "snomed ct code", ""];

/// Records of a class, and in all, from which metadata are asked about the label.
const ENOUGH_OF_CLASS: usize = 10;
const ENOUGH: usize = 40;

/// What is known of each record beside its signal, in the order of the facts.
pub(super) struct Labels {
    rows: Vec<Option<Known>>,
    /// Where the labels stand, in words; `None` when there are none.
    source: Option<&'static str>,
    known_codes: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    patient: Option<String>,
    fold: Option<String>,
    codes: Vec<String>,
}

impl Labels {
    pub fn patient(&self, k: usize) -> Option<String> {
        self.rows[k].as_ref()?.patient.clone()
    }

    pub fn fold(&self, k: usize) -> Option<String> {
        self.rows[k].as_ref()?.fold.clone()
    }

    /// Reads the tables of a folder and reports what is wrong within them.
    pub fn find(folder: &Path, facts: &[Facts], problems: &mut Vec<Problem>) -> Result<Labels> {
        let mut labels = Labels { rows: vec![None; facts.len()], source: None, known_codes: BTreeSet::new() };
        let mut by_stem: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (k, fact) in facts.iter().enumerate() {
            by_stem.entry(stem(&fact.name)).or_default().push(k);
        }
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .map_err(|source| Error::io(folder, source))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")))
            .filter(|path| !facts.iter().any(|fact| fact.path == *path))
            .collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let table = match table(&path, &by_stem) {
                Ok(table) => table,
                Err(Error::Input(error)) => {
                    let message = Error::Input(error).to_string();
                    problems.push(Problem::new("table", Severity::Warning, message));
                    continue;
                }
                Err(error) => return Err(error),
            };
            labels.add(&name, &table, &by_stem, problems);
        }
        if labels.source.is_none() {
            for (row, fact) in labels.rows.iter_mut().zip(facts) {
                let codes = dx_of(&fact.comments);
                if !codes.is_empty() {
                    labels.source = Some("the headers' comments");
                    row.get_or_insert_default().codes = codes;
                }
            }
        }
        Ok(labels)
    }

    fn add(&mut self, name: &str, table: &Table, by_stem: &BTreeMap<String, Vec<usize>>, problems: &mut Vec<Problem>) {
        let column = |names: &[&str]| names.iter().find_map(|name| position(table, name));
        // Whatever columns name records: PTB-XL has two files for each row.
        let mut record: Vec<usize> = (0..table.header.len())
            .filter(|&k| {
                let header = table.header[k].to_lowercase();
                RECORD.contains(&header.as_str()) || header.starts_with("filename")
            })
            .collect();
        let files = |row: &Row, column: usize| by_stem.get(&stem(row.cells[column].trim()));
        record.retain(|&k| table.rows.iter().any(|row| files(row, k).is_some()));
        if record.is_empty() {
            if let Some(code) = column(CODE) {
                let codes = table.rows.iter().map(|row| row.cells[code].trim().to_string());
                self.known_codes.extend(codes.filter(|code| !code.is_empty()));
            }
            return;
        }
        let (patient, fold, label) = (column(PATIENT), column(FOLD), column(LABEL));
        if label.is_some() {
            self.source = Some("a table");
        }
        let text = |row: &Row, column: Option<usize>| {
            column.map(|k| row.cells[k].trim().to_string()).filter(|cell| !cell.is_empty())
        };
        let mut n_without = 0;
        let mut folds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let fixed: Vec<usize> = FIXED.iter().filter_map(|name| position(table, name)).collect();
        let mut constants: BTreeMap<(String, usize), BTreeSet<String>> = BTreeMap::new();
        for row in &table.rows {
            let known = Known {
                patient: text(row, patient),
                fold: text(row, fold),
                codes: text(row, label).map(|cell| codes_of(&cell)).unwrap_or_default(),
            };
            n_without += usize::from(patient.is_some() && known.patient.is_none());
            if let (Some(patient), Some(fold)) = (&known.patient, &known.fold) {
                folds.entry(patient.clone()).or_default().insert(fold.clone());
            }
            for &column in &fixed {
                if let (Some(patient), Some(value)) = (&known.patient, text(row, Some(column))) {
                    constants.entry((patient.clone(), column)).or_default().insert(value);
                }
            }
            let named: BTreeSet<usize> = record.iter().filter_map(|&k| files(row, k)).flatten().copied().collect();
            for k in named {
                let merged = self.rows[k].get_or_insert_default();
                merged.patient = merged.patient.take().or_else(|| known.patient.clone());
                merged.fold = merged.fold.take().or_else(|| known.fold.clone());
                merged.codes.extend(known.codes.iter().cloned());
            }
        }
        if n_without > 0 {
            let message = format!("{name}: {n_without} of {} rows name no patient", table.rows.len());
            problems.push(Problem::new("patient-missing", Severity::Warning, message));
        }
        for (patient, folds) in folds.iter().filter(|(_, folds)| folds.len() > 1) {
            let folds: Vec<&str> = folds.iter().map(String::as_str).collect();
            let message = format!("{name}: patient {patient} is in folds {}", folds.join(", "));
            problems.push(Problem::new("patient-in-folds", Severity::Error, message));
        }
        for ((patient, column), values) in constants.iter().filter(|(_, values)| values.len() > 1) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let message = format!("{name}: patient {patient} has {} {}", table.header[*column], values.join(" and "));
            problems.push(Problem::new("patient-differs", Severity::Error, message));
        }
    }
}

/// Labels that are absent, unknown, or told by what surrounds the signal.
pub(super) fn look(facts: &[Facts], labels: &Labels, problems: &mut Vec<Problem>) {
    let Some(source) = labels.source else {
        if facts.iter().all(|fact| fact.n_annotations == 0) {
            let message = "found no table of labels, no labels in comments and no annotations";
            problems.push(Problem::new("label-missing", Severity::Info, message));
        }
        return;
    };
    if source != "a table" {
        let message = format!("labels stand only in {source}");
        problems.push(Problem::new("label-in-metadata", Severity::Info, message));
    }
    let codes = |k: usize| labels.rows[k].as_ref().map_or(&[][..], |known| &known.codes);
    let without: Vec<&str> =
        (0..facts.len()).filter(|&k| codes(k).is_empty()).map(|k| facts[k].name.as_str()).collect();
    if let Some(first) = without.first() {
        let message =
            format!("{} of {} records have no label in {source}, such as {first}", without.len(), facts.len());
        problems.push(Problem::new("label-missing", Severity::Warning, message));
    }
    // Words of a folder's own are not judged: only a list beside them, or labels that mostly are codes, say what is known.
    let is_code = |code: &str| find_statement(code).is_some() || canonical_snomed(code).is_some();
    let all: Vec<&String> = (0..facts.len()).flat_map(codes).collect();
    let are_codes = 2 * all.iter().filter(|code| is_code(code)).count() > all.len();
    if are_codes || !labels.known_codes.is_empty() {
        let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
        for code in all.into_iter().filter(|code| !labels.known_codes.contains(*code) && !is_code(code)) {
            *unknown.entry(code).or_insert(0) += 1;
        }
        for (code, n) in unknown {
            let message = format!(
                "\"{code}\" labels {n} records and is no SCP-ECG statement, no SNOMED CT code of the challenges, and in no table of codes of the folder"
            );
            problems.push(Problem::new("label-unknown", Severity::Warning, message));
        }
    }
    metadata(facts, labels, problems);
}

/// L17: asks of each kind of metadata whether it tells the first label of a record.
fn metadata(facts: &[Facts], labels: &Labels, problems: &mut Vec<Problem>) {
    let first = |k: usize| labels.rows[k].as_ref().and_then(|known| known.codes.first().cloned());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    (0..facts.len()).filter_map(first).for_each(|code| *counts.entry(code).or_insert(0) += 1);
    let names: Vec<&String> = counts.iter().filter(|(_, n)| **n >= ENOUGH_OF_CLASS).map(|(code, _)| code).collect();
    let class = |k: usize| first(k).and_then(|code| names.iter().position(|name| **name == code));
    let items: Vec<usize> = (0..facts.len()).filter(|&k| class(k).is_some()).collect();
    if names.len() < 2 || items.len() < ENOUGH {
        return;
    }
    let classes: Vec<usize> = items.iter().filter_map(|&k| class(k)).collect();
    let mut patients: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, &k) in items.iter().enumerate() {
        patients.entry(labels.patient(k).unwrap_or_else(|| stem(&facts[k].name))).or_default().push(i);
    }
    // Every second patient is learned from, the others are asked about.
    let train: Vec<usize> = patients.values().step_by(2).flatten().copied().collect();
    let asked: Vec<Vec<usize>> = patients.into_values().skip(1).step_by(2).collect();
    let question = Question { classes: &classes, n_labels: names.len(), train: &train, patients: &asked };
    let leads =
        |fact: &Facts| fact.leads.iter().map(|lead| standard_name(lead).unwrap_or(lead)).collect::<Vec<_>>().join(" ");
    let features: [(&'static str, &dyn Fn(&Facts) -> String); 6] = [
        ("folder and letters of the record name", &|fact| fact.name.chars().filter(|c| !c.is_ascii_digit()).collect()),
        ("length of the record name", &|fact| fact.name.len().to_string()),
        ("order of the leads", &leads),
        ("sampling rate", &|fact| fact.fs_hz.to_string()),
        ("length of the record", &|fact| fact.sig_len.to_string()),
        ("header comments", &|fact| fact.comments.join("|")),
    ];
    for (feature, value) in features {
        let values: Vec<String> = items.iter().map(|&k| value(&facts[k])).collect();
        let leak = leaks(feature, &values, &question, Seed::new(0));
        if leak.is_suspicious {
            let message = format!(
                "{feature} alone predicts the label: balanced accuracy {:.2} against {:.2} by chance (p = {:.3})",
                leak.balanced_accuracy, leak.chance, leak.p_value
            );
            problems.push(Problem::new("label-in-metadata", Severity::Warning, message));
        }
    }
}

/// A table with a header; one without, whose first cell names a record, gets the columns record and label.
fn table(path: &Path, by_stem: &BTreeMap<String, Vec<usize>>) -> Result<Table> {
    let rows = read_rows(path)?;
    let is_bare =
        rows.first().is_some_and(|row| row.cells.len() == 2 && by_stem.contains_key(&stem(row.cells[0].trim())));
    match is_bare && rows.iter().all(|row| row.cells.len() == 2) {
        true => Ok(Table { path: path.into(), header: vec!["record".into(), "label".into()], rows }),
        false => Table::read(path),
    }
}

fn position(table: &Table, name: &str) -> Option<usize> {
    table.header.iter().position(|column| column.to_lowercase() == name)
}

/// Name of a file without folder and extension.
fn stem(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= 4 => stem.into(),
        _ => name.into(),
    }
}

/// Codes of a cell: a dictionary as PTB-XL writes it, or a list apart by semicolons or commas.
fn codes_of(cell: &str) -> Vec<String> {
    if cell.starts_with('{') {
        // 'NORM': 80.0, 'SR': 0.0: every second piece between quotes is a key.
        return cell.split('\'').skip(1).step_by(2).map(String::from).collect();
    }
    cell.split([';', ',', '|']).map(str::trim).filter(|code| !code.is_empty()).map(String::from).collect()
}

/// Codes of the comment that the CinC challenges begin with `Dx:`.
fn dx_of(comments: &[String]) -> Vec<String> {
    comments.iter().find_map(|comment| comment.trim().strip_prefix("Dx:")).map(codes_of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_from_the_ways_in_which_they_are_written() {
        assert_eq!(codes_of("{'NORM': 100.0, 'SR': 0.0}"), ["NORM", "SR"]);
        assert_eq!(codes_of("164889003;59118001"), ["164889003", "59118001"]);
        assert_eq!(codes_of("N"), ["N"]);
        assert_eq!(dx_of(&["Age: 3".into(), " Dx: 1,2".into()]), ["1", "2"]);
        assert!(codes_of("{}").is_empty());
    }

    #[test]
    fn stems_leave_out_folders_and_extensions() {
        assert_eq!(stem("records100/00000/00001_lr"), "00001_lr");
        assert_eq!(stem("a\\b\\c.hea"), "c");
        assert_eq!(stem("100"), "100");
    }
}
