//! Data sets as Parquet, some items at a time: what tables of Python and R read.
//!
//! A row for each item, the fields those of [`npz`](super::npz): `record`, `patient`, `split`, `index`, `labels` (a list of
//! names), `fs_hz`, `sig_len`, `synthetic`, `leads`, `ecg` (a list of points in mV for each lead), the facts `hr_bpm`,
//! `pr_ms`, `qrs_ms`, `qtc_ms`, `axis_deg` and `age_years`, `sex` and `site` (null where nothing is known).
//! `einthoven.label_names` and `einthoven.provenance` are in the metadata of the file, as JSON.
//!
//! The readers of records take such a file too.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Dataset;
use super::condition::{NUMBERS, sex_name};
use crate::error::{Error, Result};
use crate::record::format::parquet::table::{Column, Kind, TableWriter};

/// A file that grows. It is the caller's to give it its name when it is whole.
pub struct Writer {
    path: PathBuf,
    table: TableWriter<BufWriter<File>>,
    columns: Vec<Column>,
    label_names: Vec<String>,
}

/// Columns before those of the facts.
const TEXTS: [&str; 3] = ["record", "patient", "split"];

fn columns() -> Vec<Column> {
    let texts = TEXTS.map(|name| Column::new(name, Kind::Text, 0, false));
    let rest = [
        Column::new("index", Kind::I64, 0, false),
        Column::new("labels", Kind::Text, 1, false),
        Column::new("fs_hz", Kind::F64, 0, false),
        Column::new("sig_len", Kind::I64, 0, false),
        Column::new("synthetic", Kind::Bool, 0, false),
        Column::new("leads", Kind::Text, 1, false),
        Column::new("ecg", Kind::F32, 2, false),
    ];
    let facts = NUMBERS.iter().map(|number| Column::new(number.column, Kind::F64, 0, true));
    let words = ["sex", "site"].map(|name| Column::new(name, Kind::Text, 0, true));
    texts.into_iter().chain(rest).chain(facts).chain(words).collect()
}

impl Writer {
    /// Opens a file for items with the axes of `axes`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, axes: &Dataset) -> Result<Writer> {
        let file = File::create(path).map_err(|source| Error::io(path, source))?;
        let table = TableWriter::new(BufWriter::new(file), path)?;
        Ok(Writer { path: path.into(), table, columns: columns(), label_names: axes.label_names.clone() })
    }

    /// Adds items as a row group.
    ///
    /// # Errors
    /// [`Error::Shape`] if the axes of the items disagree; [`Error::Input`] D12 for more than 2 GiB at a time;
    /// [`Error::Io`].
    pub fn push(&mut self, items: &Dataset) -> Result<()> {
        items.validate()?;
        self.columns.iter_mut().for_each(Column::clear);
        (0..items.len()).for_each(|item| row(items, item, &mut self.columns));
        self.table.push_group(&self.columns, items.len())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self, provenance: &Value) -> Result<()> {
        let pairs = [
            ("einthoven.label_names", json!(self.label_names).to_string()),
            ("einthoven.provenance", provenance.to_string()),
        ];
        let mut out = self.table.finish(&self.columns, &pairs)?;
        out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|source| Error::io(&self.path, source))
    }
}

/// Appends an item, in the order of [`columns`].
fn row(data: &Dataset, item: usize, columns: &mut [Column]) {
    let (texts, rest) = columns.split_at_mut(TEXTS.len());
    let words = [&data.record[item], &data.patient[item], data.split[item].name()];
    texts.iter_mut().zip(words).for_each(|(column, word)| column.entry(0, Ok(word.as_bytes())));
    let [index, labels, fs_hz, sig_len, synthetic, leads, ecg, facts @ ..] = rest else { return };
    index.entry(0, Ok(&data.index[item].to_le_bytes()));
    labels.list(data.labels_of(item).map(|label| Some(data.label_names[label].clone().into_bytes())));
    fs_hz.entry(0, Ok(&data.fs_hz.to_le_bytes()));
    sig_len.entry(0, Ok(&(data.sig_len as i64).to_le_bytes()));
    // Bits are packed when the page is made.
    synthetic.entry(0, Ok(&[u8::from(data.is_generated(item))]));
    leads.list(data.leads.iter().map(|lead| Some(lead.clone().into_bytes())));
    for (lead, points) in data.item(item).chunks(data.sig_len).enumerate() {
        for (t, point) in points.iter().enumerate() {
            let repetition = if t > 0 { 2 } else { u8::from(lead > 0) };
            ecg.entry(repetition, Ok(&point.to_le_bytes()));
        }
    }
    let known = data.facts.as_ref().map(|facts| &facts[item]);
    for (column, number) in facts.iter_mut().zip(&NUMBERS) {
        let value = known.and_then(|known| known.number(number.fact)).map(f64::to_le_bytes);
        column.entry(0, value.as_ref().map(|bytes| &bytes[..]).ok_or(0));
    }
    let sex = known.and_then(|known| known.sex).map(|sex| sex_name(sex).as_bytes());
    let site = known.and_then(|known| known.site.as_deref()).map(str::as_bytes);
    for (column, word) in facts.iter_mut().skip(NUMBERS.len()).zip([sex, site]) {
        column.entry(0, word.ok_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Facts, Split};
    use crate::record::ReadOptions;
    use crate::record::format::parquet::read_records;

    #[test]
    fn items_of_several_groups_come_back_as_records_that_say_they_are_synthetic() {
        let leads = ["I", "II"].map(String::from).to_vec();
        let axes = Dataset::new(leads.clone(), 3, 250.0, vec!["NORM".into(), "AFIB".into()]);
        let path = std::env::temp_dir().join(format!("einthoven-dataset-{}.parquet", std::process::id()));
        let mut writer = Writer::create(&path, &axes).unwrap();
        for k in 0..3i64 {
            let mut item = axes.clone();
            item.ecg = (0..6).map(|t| k as f32 + t as f32 / 8.0).collect();
            item.labels = vec![0, 1];
            (item.record, item.patient) = (vec![format!("syn_{k}")], vec![format!("syn_{k}")]);
            (item.split, item.index) = (vec![Split::Train], vec![k]);
            item.facts = (k == 1).then(|| vec![Facts { hr_bpm: Some(71.5), ..Facts::default() }]);
            writer.push(&item).unwrap();
        }
        writer.finish(&json!({ "synthetic": true })).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let records = read_records(&path, &ReadOptions::default()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(records.len(), 3);
        for (k, record) in records.iter().enumerate() {
            assert_eq!((record.name.as_str(), record.fs_hz, record.sig_len), (format!("syn_{k}").as_str(), 250.0, 3));
            assert!(record.comments.iter().any(|line| line == "Synthetic: yes"));
            let expected: Vec<f32> = (3..6).map(|t| k as f32 + t as f32 / 8.0).collect();
            assert_eq!((record.leads[1].name.as_str(), record.leads[1].mv().unwrap()), ("II", expected));
        }
        let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(has(&bytes, br#"{"synthetic":true}"#) && has(&bytes, &71.5f64.to_le_bytes()) && has(&bytes, b"AFIB"));
    }
}
