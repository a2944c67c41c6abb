//! MIMIC-IV-ECG: 800,035 ten-second 12-lead records at 500 Hz of 161,352 patients, with machine reports.
//!
//! `record_list.csv` names records and subjects, `machine_measurements.csv` the sentences of the machine. Only
//! this open part is read or fetched; the clinical part that it links to needs credentials and is left alone.
//! The files hold their leads as I II III aVR aVF aVL V1-V6: leads go by name here, in the standard order, so
//! that the exchange of aVF and aVL harms nobody. Sentences become statements by how they begin.
//!
//! # Reference
//! Gow et al., MIMIC-IV-ECG: Diagnostic Electrocardiogram Matched Subset, PhysioNet, 2023, version 1.0.

use std::collections::BTreeMap;
use std::path::Path;

use super::patients::patient_id;
use super::recordings::{self, Layout, Recording};
use super::{Database, OpenOptions};
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::table::Table;
use crate::dataset::{Dataset, Facts, Split};
use crate::error::Result;

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "mimic-iv-ecg";

/// How sentences of the machine begin, and the SCP statement that they make; the first that fits counts. A
/// sentence that begins otherwise, such as with "Possible" or "Probable", makes none.
const SENTENCES: [(&str, &str); 25] = [
    ("sinus rhythm", "SR"),
    ("normal sinus rhythm", "SR"),
    ("sinus bradycardia", "SBRAD"),
    ("marked sinus bradycardia", "SBRAD"),
    ("sinus tachycardia", "STACH"),
    ("sinus arrhythmia", "SARRH"),
    ("atrial fibrillation", "AFIB"),
    ("atrial flutter", "AFLT"),
    ("supraventricular tachycardia", "SVTAC"),
    ("atrial pacing", "PACE"),
    ("ventricular pacing", "PACE"),
    ("electronic ventricular pacemaker", "PACE"),
    ("a-v dual-paced", "PACE"),
    ("left bundle branch block", "CLBBB"),
    ("right bundle branch block", "CRBBB"),
    ("incomplete right bundle branch block", "IRBBB"),
    ("incomplete left bundle branch block", "ILBBB"),
    ("left anterior fascicular block", "LAFB"),
    ("left posterior fascicular block", "LPFB"),
    ("1st degree a-v block", "1AVB"),
    ("left ventricular hypertrophy", "LVH"),
    ("right ventricular hypertrophy", "RVH"),
    ("prolonged qt interval", "LNGQT"),
    ("low qrs voltages", "LVOLT"),
    ("normal ecg", "NORM"),
];

/// The statement that a sentence of the machine makes.
pub fn statement(sentence: &str) -> Option<&'static str> {
    let sentence = sentence.trim().to_ascii_lowercase();
    // "Normal ECG except for rate" and the like are not normal.
    if sentence.starts_with("normal ecg") && sentence.trim_end_matches('.') != "normal ecg" {
        return None;
    }
    SENTENCES.iter().find(|(begin, _)| sentence.starts_with(begin)).map(|(_, code)| *code)
}

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct MimicIvEcg;

impl Database for MimicIvEcg {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "MIMIC-IV-ECG: 800,035 12-lead records of 10 s at 500 Hz of 161,352 patients with machine reports (open part)"
    }

    fn version(&self) -> &'static str {
        "1.0"
    }

    fn license(&self) -> &'static str {
        "ODbL-1.0"
    }

    fn reference(&self) -> &'static str {
        "@misc{gow2023mimicivecg, author = {Gow, Brian and Pollard, Tom and Nathanson, Larry A. and Johnson, Alistair and Moody, Benjamin and Fernandes, Chrystinne and Greenbaum, Nathaniel and Waks, Jonathan W. and Eslami, Parastou and Carbonati, Tanner and Chaudhari, Ashish and Herbst, Elizabeth and Moukheiber, Dana and Berkowitz, Seth and Mark, Roger and Horng, Steven}, title = {{MIMIC-IV-ECG}: Diagnostic Electrocardiogram Matched Subset}, howpublished = {PhysioNet}, year = {2023}, doi = {10.13026/4nqg-sb35}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "record_list.csv, machine_measurements.csv and files/pNNNN/pNNNNNNNN/sNNNNNNNN/ of version 1.0"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/mimic-iv-ecg/1.0/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["merged-rhythm", "coarse-rhythm", "rhythm", "superclass", "ptbxl-all"]
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let list = Table::read(&folder.join("record_list.csv"))?;
        let column = |name| list.column(name);
        let (subject, study, path) = (column("subject_id")?, column("study_id")?, column("path")?);
        let mut codes = statements_by_study(&folder.join("machine_measurements.csv"))?;
        let mut recordings = Vec::with_capacity(list.rows.len());
        let mut n_without_file = 0usize;
        for row in &list.rows {
            let below = row.cells[path].trim();
            if below.starts_with('/') || below.split('/').any(|part| part == ".." || part.is_empty()) {
                return Err(list.cell_error(row, path, "a path below the folder of the database"));
            }
            if !folder.join(format!("{below}.hea")).is_file() {
                n_without_file += 1;
                continue;
            }
            let study = row.cells[study].trim();
            recordings.push(Recording {
                name: study.into(),
                path: below.into(),
                patient: patient_id(NAME, &row.cells[subject]),
                split: Split::Train,
                codes: codes.remove(study).unwrap_or_default(),
                facts: Facts::default(),
            });
        }
        let read = recordings::read_wfdb(folder);
        let mut data = recordings::open(self, folder, recordings, options, &Layout::new(&read))?;
        data.provenance["n_rows_without_file"] = n_without_file.into();
        Ok(data)
    }
}

/// Statements of every study, each once.
fn statements_by_study(path: &Path) -> Result<BTreeMap<String, Vec<(CodeSystem, String)>>> {
    let table = Table::read(path)?;
    let study = table.column("study_id")?;
    let reports: Vec<usize> = (0..table.header.len()).filter(|&k| table.header[k].starts_with("report_")).collect();
    let mut out = BTreeMap::new();
    for row in &table.rows {
        let mut codes: Vec<(CodeSystem, String)> = Vec::new();
        for code in reports.iter().filter_map(|&k| statement(&row.cells[k])) {
            if !codes.iter().any(|(_, have)| have == code) {
                codes.push((CodeSystem::Scp, code.into()));
            }
        }
        out.insert(row.cells[study].trim().to_string(), codes);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::label::vocabulary::find_statement;

    #[test]
    fn sentences_become_statements_by_their_beginning() {
        assert!(SENTENCES.iter().all(|(_, code)| find_statement(code).is_some()));
        for (sentence, code) in [
            ("Sinus rhythm", Some("SR")),
            ("Sinus rhythm with PAC(s)", Some("SR")),
            ("Atrial fibrillation with rapid ventricular response", Some("AFIB")),
            ("Possible atrial flutter", None),
            ("Normal ECG", Some("NORM")),
            ("Normal ECG except for rate", None),
            ("Abnormal ECG", None),
            ("Incomplete RBBB", None),
            ("", None),
        ] {
            assert_eq!(statement(sentence), code, "{sentence}");
        }
    }
}
