//! PTB-XL+: measurements of every PTB-XL record by three programs, without signals.
//!
//! [`features`] reads one program's table by the record numbers of PTB-XL. As a data set it cannot be opened:
//! the signals are PTB-XL's, and its items and these rows meet by `ecg_id`, the record name there.
//!
//! # Reference
//! Strodthoff et al., PTB-XL+, a comprehensive electrocardiographic feature dataset, Scientific Data 10:279, 2023.

use std::path::Path;

use super::{Database, OpenOptions};
use crate::dataset::Dataset;
use crate::dataset::table::Table;
use crate::error::{Error, Result};

/// Name in the catalogue.
pub const NAME: &str = "ptbxl-plus";
/// The programs that measured: the GE 12SL, the University of Glasgow's, and ECGdeli.
pub const SOURCES: [&str; 3] = ["12sl", "unig", "ecgdeli"];

/// Measurements by record.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Name of each measurement, with its unit where the source gives one.
    pub names: Vec<String>,
    /// Record of PTB-XL of each row.
    pub ecg_id: Vec<String>,
    /// `[record, measurement]`; NaN where the program found nothing.
    pub values: Vec<f64>,
}

/// Measurements of one program (see [`SOURCES`]), from `features/SOURCE_features.csv` or the folder itself.
///
/// # Errors
/// [`Error::Unknown`] for another program; [`Error::Io`]; [`Error::Input`] `X01` for a cell that is no number.
pub fn features(folder: &Path, source: &str) -> Result<Features> {
    if !SOURCES.contains(&source) {
        let known = SOURCES.map(String::from).into();
        return Err(Error::Unknown { kind: "feature source", name: source.into(), known });
    }
    let file = format!("{source}_features.csv");
    let nested = folder.join("features").join(&file);
    let table = Table::read(&if nested.is_file() { nested } else { folder.join(file) })?;
    let id = table.column("ecg_id")?;
    let columns: Vec<usize> = (0..table.header.len()).filter(|&column| column != id).collect();
    let mut out = Features {
        names: columns.iter().map(|&column| table.header[column].clone()).collect(),
        ecg_id: Vec::with_capacity(table.rows.len()),
        values: Vec::with_capacity(table.rows.len() * columns.len()),
    };
    for row in &table.rows {
        out.ecg_id.push(row.cells[id].trim().trim_end_matches(".0").into());
        for &column in &columns {
            let is_nan = row.cells[column].trim().eq_ignore_ascii_case("nan");
            let value = if is_nan { None } else { table.number(row, column)? };
            out.values.push(value.unwrap_or(f64::NAN));
        }
    }
    Ok(out)
}

/// The entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct PtbXlPlus;

impl Database for PtbXlPlus {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "PTB-XL+: measurements of every PTB-XL record by 12SL, Glasgow and ECGdeli; features, no signals"
    }

    fn version(&self) -> &'static str {
        "1.0.1"
    }

    fn license(&self) -> &'static str {
        "CC-BY-4.0"
    }

    fn reference(&self) -> &'static str {
        "@article{strodthoff2023ptbxlplus, author = {Strodthoff, Nils and Mehari, Temesgen and Nagel, Claudia and Aston, Philip J. and Sundar, Ashish and Graff, Claus and Kanters, Jørgen K. and Haverkamp, Wilhelm and Dössel, Olaf and Loewe, Axel and Bär, Markus and Schaeffter, Tobias}, title = {{PTB-XL+}, a comprehensive electrocardiographic feature dataset}, journal = {Scientific Data}, volume = {10}, pages = {279}, year = {2023}, doi = {10.1038/s41597-023-02153-8}}"
    }

    fn waivers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn layout(&self) -> &'static str {
        "features/12sl_features.csv, unig_features.csv and ecgdeli_features.csv"
    }

    fn url(&self) -> &'static str {
        "https://physionet.org/files/ptb-xl-plus/1.0.1/"
    }

    fn label_sets(&self) -> &'static [&'static str] {
        &[]
    }

    fn usual_split(&self) -> &'static str {
        "inter"
    }

    fn open(&self, _folder: &Path, _options: &OpenOptions) -> Result<Dataset> {
        Err(Error::Unsupported {
            what: "opening ptbxl-plus as a data set: it holds features and no signals; a data set of ptbxl with ptbxl_plus::features beside it".into(),
        })
    }
}
