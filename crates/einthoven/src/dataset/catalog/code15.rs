//! CODE-15: 345,779 exams of 233,770 patients, 12 leads at 400 Hz, 7 or 10 s, six abnormalities.
//!
//! `exams.csv` has labels, patients and the file of each trace. The traces are HDF5 (`exams_partN.hdf5`, datasets
//! `exam_id` and `tracings` `[n, 4096, 12]` in mV, padded with zeros on both sides), which the optional feature
//! `hdf5` reads; without it the table is read and the traces are refused. The usual item is 7 s long, the length
//! that every exam has; a longer exam gives its first 7 s.
//!
//! # Reference
//! Ribeiro et al., CODE-15%: a large scale annotated dataset of 12-lead ECGs, Zenodo, 2021; Ribeiro et al.,
//! Automatic diagnosis of the 12-lead ECG using a deep neural network, Nature Communications 11:1760, 2020.

use std::path::Path;

use super::patients::{PatientRow, check_table, patient_id};
use super::recordings::Recording;
use super::{Database, OpenOptions};
use crate::dataset::condition::{Sex, is_age, sex_name};
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::table::Table;
use crate::dataset::{Dataset, Facts, Split};
use crate::error::{Error, Result};

#[cfg(feature = "hdf5")]
mod traces;

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "code15";

/// Columns of `exams.csv` that are labels, and the SCP statements that they mean.
const LABELS: [(&str, &str); 7] = [
    ("1dAVb", "1AVB"),
    ("RBBB", "CRBBB"),
    ("LBBB", "CLBBB"),
    ("SB", "SBRAD"),
    ("ST", "STACH"),
    ("AF", "AFIB"),
    ("normal_ecg", "NORM"),
];

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Code15;

impl Database for Code15 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "CODE-15: 345,779 12-lead exams of 7 or 10 s at 400 Hz of 233,770 patients with six abnormalities (HDF5)"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn license(&self) -> &'static str {
        "CC-BY-4.0"
    }

    fn reference(&self) -> &'static str {
        "@article{ribeiro2020automatic, author = {Ribeiro, Antônio H. and Ribeiro, Manoel Horta and Paixão, Gabriela M. M. and Oliveira, Derick M. and Gomes, Paulo R. and Canazart, Jéssica A. and Ferreira, Milton P. S. and Andersson, Carl R. and Macfarlane, Peter W. and Meira Jr., Wagner and Schön, Thomas B. and Ribeiro, Antonio Luiz P.}, title = {Automatic diagnosis of the 12-lead {ECG} using a deep neural network}, journal = {Nature Communications}, volume = {11}, pages = {1760}, year = {2020}, doi = {10.1038/s41467-020-15432-4}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "exams.csv and exams_partN.hdf5 of Zenodo record 4916206, unpacked"
    }

    fn url(&self) -> &'static str {
        ""
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &["code15", "merged-rhythm", "coarse-rhythm", "sex"]
    }

    fn usual_split(&self) -> &'static str {
        "five-fold"
    }

    fn open(&self, folder: &Path, options: &OpenOptions) -> Result<Dataset> {
        let recordings = exams(folder)?;
        open_traces(self, folder, recordings, options)
    }
}

/// The exams of `exams.csv`: names, patients, labels and, as path, the file of the trace.
fn exams(folder: &Path) -> Result<Vec<Recording>> {
    let table = Table::read(&folder.join("exams.csv"))?;
    let column = |name| table.column(name);
    let (exam, patient) = (column("exam_id")?, column("patient_id")?);
    let (sex, file) = (column("is_male")?, column("trace_file")?);
    let age = table.find("age");
    let labels = LABELS.map(|(name, code)| (table.find(name), code));
    for (name, _) in &LABELS[..6] {
        column(name)?;
    }
    let mut people = Vec::with_capacity(table.rows.len());
    let mut recordings = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let is_true = |column: usize| match row.cells[column].trim() {
            "True" | "true" | "1" => Ok(true),
            "False" | "false" | "0" | "" => Ok(false),
            _ => Err(table.cell_error(row, column, "True or False")),
        };
        let patient = patient_id(NAME, &row.cells[patient]);
        people.push(PatientRow { patient: patient.clone(), sex: row.cells[sex].clone(), birth_year: String::new() });
        let sex = if is_true(sex)? { Sex::Male } else { Sex::Female };
        let mut codes = vec![(CodeSystem::Own, sex_name(sex).to_string())];
        let age_years = age.map_or(Ok(None), |age| table.number(row, age))?.filter(|age| is_age(*age));
        for (column, code) in labels {
            if column.map_or(Ok(false), is_true)? {
                codes.push((CodeSystem::Scp, code.into()));
            }
        }
        let path = row.cells[file].trim();
        if path.is_empty() || path.contains(['/', '\\']) || path == ".." {
            return Err(table.cell_error(row, file, "the name of a file beside exams.csv"));
        }
        let name = row.cells[exam].trim().to_string();
        let facts = Facts { age_years, sex: Some(sex), ..Facts::default() };
        recordings.push(Recording { name, path: path.into(), patient, split: Split::Train, codes, facts });
    }
    check_table(&table.path, &people)?;
    Ok(recordings)
}

#[cfg(feature = "hdf5")]
fn open_traces(
    database: &dyn Database,
    folder: &Path,
    recordings: Vec<Recording>,
    options: &OpenOptions,
) -> Result<Dataset> {
    traces::open(database, folder, recordings, options)
}

#[cfg(not(feature = "hdf5"))]
fn open_traces(_: &dyn Database, _: &Path, recordings: Vec<Recording>, _: &OpenOptions) -> Result<Dataset> {
    Err(Error::Unsupported {
        what: format!(
            "reading HDF5, which holds the traces of the {} exams of code15, in this build (build with --features hdf5)",
            recordings.len()
        ),
    })
}
