//! Records to Parquet: one row group, one plain page for each column, no compression.
//!
//! # Reference
//! Apache Parquet format 2.10, README and LogicalTypes ("Nested types: lists").

use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{LeadNames, lines, mark_lines};
use crate::record::format::fit::fit_leads;
use crate::record::format::guard_overwrite;
use crate::record::format::notes::input;
use crate::record::format::synthetic;
use crate::record::{Lead, MISSING, Record, Warning, WriteOptions};
use crate::run;

use super::MAGIC;
use super::thrift::Writer;

/// Writes one record.
///
/// # Errors
/// As [`write_records`].
pub fn write(record: &Record, path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    write_records(std::slice::from_ref(record), path, options)
}

/// Writes records, one row each.
///
/// # Errors
/// [`Error::Guard`] when the file exists, [`Error::Io`], [`Error::Shape`] for leads of other length,
/// rule D12 for a column beyond 2 GiB.
pub fn write_records(records: &[Record], path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    guard_overwrite(&[path.to_path_buf()], options.overwrite)?;
    let mut warnings = Vec::new();
    let mut columns = columns();
    for record in records {
        let leads = fit_leads(record, path, options, (-i32::MAX, i32::MAX), &mut warnings)?;
        row(record, &leads, &mut columns);
    }
    let bytes = file(&columns, records.len(), path)?;
    run::write_atomic(path, &bytes)?;
    Ok(warnings)
}

/// Physical types by number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool = 0,
    I32 = 1,
    I64 = 2,
    F64 = 5,
    Text = 6,
}

/// A column as it grows: levels, and present values in plain encoding.
struct Column {
    name: &'static str,
    kind: Kind,
    /// Lists around a value: 0, 1 or 2.
    n_lists: u8,
    /// Whether a value may be null.
    is_optional: bool,
    repetitions: Vec<u8>,
    definitions: Vec<u8>,
    plain: Vec<u8>,
}

impl Column {
    fn new(name: &'static str, kind: Kind, n_lists: u8, is_optional: bool) -> Column {
        let (repetitions, definitions, plain) = (Vec::new(), Vec::new(), Vec::new());
        Column { name, kind, n_lists, is_optional, repetitions, definitions, plain }
    }

    /// Level of a present value: each list adds one, and so does the choice of null.
    fn max_definition(&self) -> u8 {
        self.n_lists + u8::from(self.is_optional)
    }

    /// An entry; without a value the list at that depth is empty, or the value null.
    fn entry(&mut self, repetition: u8, value: std::result::Result<&[u8], u8>) {
        self.repetitions.push(repetition);
        match value {
            Ok(bytes) => {
                self.definitions.push(self.max_definition());
                if self.kind == Kind::Text {
                    self.plain.extend((bytes.len() as u32).to_le_bytes());
                }
                self.plain.extend(bytes);
            }
            Err(definition) => self.definitions.push(definition),
        }
    }

    /// A row of a list column.
    fn list(&mut self, values: impl IntoIterator<Item = Option<Vec<u8>>>) {
        let mut repetition = 0;
        for value in values {
            // A null in a list is one level below a value.
            let level = self.max_definition() - 1;
            self.entry(repetition, value.as_deref().ok_or(level));
            repetition = 1;
        }
        if repetition == 0 {
            self.entry(0, Err(0));
        }
    }
}

/// Number of each column, in the order of the schema.
const RECORD: usize = 0;
const FS_HZ: usize = 1;
const SIG_LEN: usize = 2;
const SYNTHETIC: usize = 3;
const LEADS: usize = 4;
const UNITS: usize = 5;
const GAIN: usize = 6;
const BASELINE: usize = 7;
const RATE: usize = 8;
const ADU: usize = 9;
const DESCRIPTION: usize = 10;

fn columns() -> Vec<Column> {
    vec![
        Column::new("record", Kind::Text, 0, false),
        Column::new("fs_hz", Kind::F64, 0, false),
        Column::new("sig_len", Kind::I64, 0, false),
        Column::new("synthetic", Kind::Bool, 0, false),
        Column::new("leads", Kind::Text, 1, false),
        Column::new("units", Kind::Text, 1, false),
        Column::new("gain_adu_per_unit", Kind::F64, 1, true),
        Column::new("baseline_adu", Kind::I32, 1, false),
        Column::new("samples_per_frame", Kind::I32, 1, false),
        Column::new("adu", Kind::I32, 2, true),
        Column::new("description", Kind::Text, 1, false),
    ]
}

/// Appends a record.
fn row(record: &Record, leads: &[Lead], columns: &mut [Column]) {
    columns[RECORD].entry(0, Ok(record.name.as_bytes()));
    columns[FS_HZ].entry(0, Ok(&record.fs_hz.to_le_bytes()));
    columns[SIG_LEN].entry(0, Ok(&(record.sig_len as i64).to_le_bytes()));
    // Bits are packed when the page is made.
    columns[SYNTHETIC].entry(0, Ok(&[u8::from(synthetic::is_synthetic(record))]));
    columns[LEADS].list(leads.iter().map(|lead| Some(lead.name.clone().into_bytes())));
    columns[UNITS].list(leads.iter().map(|lead| Some(lead.units.clone().into_bytes())));
    columns[GAIN].list(leads.iter().map(|lead| lead.gain_adu_per_unit.map(|gain| gain.to_le_bytes().to_vec())));
    columns[BASELINE].list(leads.iter().map(|lead| Some(lead.baseline_adu.to_le_bytes().to_vec())));
    columns[RATE].list(leads.iter().map(|lead| Some((lead.samples_per_frame as i32).to_le_bytes().to_vec())));
    let described = lines(record, leads, LeadNames::InLines).into_iter().chain(mark_lines(record));
    columns[DESCRIPTION].list(described.map(|line| Some(line.into_bytes())));
    let adu = &mut columns[ADU];
    let mut repetition = 0;
    for lead in leads {
        if lead.adu.is_empty() {
            adu.entry(repetition, Err(1));
        }
        for &point in &lead.adu {
            let bytes = point.to_le_bytes();
            adu.entry(repetition, if point == MISSING { Err(2) } else { Ok(&bytes) });
            repetition = 2;
        }
        repetition = 1;
    }
    if leads.is_empty() {
        adu.entry(0, Err(0));
    }
}

/// The file.
fn file(columns: &[Column], n_rows: usize, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = MAGIC.to_vec();
    let mut chunks = Vec::with_capacity(columns.len());
    for column in columns {
        let start = bytes.len();
        let body = page_body(column);
        if body.len() > i32::MAX as usize || column.definitions.len() > i32::MAX as usize {
            let (field, found) = (format!("column {}", column.name), format!("{} bytes", body.len()));
            return Err(Error::from(input("D12", path, Position::File, field, found, "at most 2 GiB in a file")));
        }
        let mut header = Writer::default();
        header.begin();
        header.i32(1, 0);
        header.i32(2, body.len() as i32);
        header.i32(3, body.len() as i32);
        header.structure(5);
        header.i32(1, column.definitions.len() as i32);
        // Plain values, levels in runs.
        [(2, 0), (3, 3), (4, 3)].into_iter().for_each(|(id, encoding)| header.i32(id, encoding));
        header.end();
        header.end();
        bytes.extend(header.bytes);
        bytes.extend(body);
        chunks.push((start, bytes.len() - start));
    }
    let footer = footer(columns, &chunks, n_rows);
    bytes.extend(&footer);
    bytes.extend((footer.len() as u32).to_le_bytes());
    bytes.extend(MAGIC);
    Ok(bytes)
}

/// Levels and values.
fn page_body(column: &Column) -> Vec<u8> {
    let mut body = Vec::new();
    for (levels, max) in [(&column.repetitions, column.n_lists), (&column.definitions, column.max_definition())] {
        if max > 0 {
            let runs = runs(levels);
            body.extend((runs.len() as u32).to_le_bytes());
            body.extend(runs);
        }
    }
    if column.kind == Kind::Bool {
        let bits = column.plain.chunks(8);
        body.extend(bits.map(|bits| bits.iter().rev().fold(0u8, |byte, &bit| byte << 1 | bit)));
    } else {
        body.extend(&column.plain);
    }
    body
}

/// Levels as runs of equal ones. All levels here are below four, so that a byte holds each.
fn runs(levels: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    for run in levels.chunk_by(|a, b| a == b) {
        out.varint((run.len() as u64) << 1);
        out.bytes.push(run[0]);
    }
    out.bytes
}

/// The metadata.
fn footer(columns: &[Column], chunks: &[(usize, usize)], n_rows: usize) -> Vec<u8> {
    let mut out = Writer::default();
    out.begin();
    out.i32(1, 1);
    let n_elements: usize = columns.iter().map(|column| 1 + 2 * usize::from(column.n_lists)).sum();
    out.list(2, 12, 1 + n_elements);
    out.begin();
    out.text(4, "record");
    out.i32(5, columns.len() as i32);
    out.end();
    columns.iter().for_each(|column| schema(column, &mut out));
    out.i64(3, n_rows as i64);
    out.list(4, 12, 1);
    out.begin();
    out.list(1, 12, columns.len());
    for (column, &(start, size)) in columns.iter().zip(chunks) {
        out.begin();
        out.i64(2, start as i64);
        out.structure(3);
        out.i32(1, column.kind as i32);
        out.list(2, 5, 2);
        out.element_int(0);
        out.element_int(3);
        let path = std::iter::once(column.name).chain(["list", "element"].repeat(usize::from(column.n_lists)));
        let path: Vec<&str> = path.collect();
        out.list(3, 8, path.len());
        path.iter().for_each(|name| out.element_text(name));
        out.i32(4, 0);
        out.i64(5, column.definitions.len() as i64);
        out.i64(6, size as i64);
        out.i64(7, size as i64);
        out.i64(9, start as i64);
        out.end();
        out.end();
    }
    let total: usize = chunks.iter().map(|chunk| chunk.1).sum();
    out.i64(2, total as i64);
    out.i64(3, n_rows as i64);
    out.end();
    out.text(6, concat!("einthoven version ", env!("CARGO_PKG_VERSION")));
    out.end();
    out.bytes
}

/// Schema elements of a column: `required group (LIST) { repeated group list { element } }`.
fn schema(column: &Column, out: &mut Writer) {
    let (required, optional, repeated) = (0, 1, 2);
    for depth in 0..column.n_lists {
        out.begin();
        out.i32(3, required);
        out.text(4, if depth == 0 { column.name } else { "element" });
        out.i32(5, 1);
        // Converted type LIST, and the logical type that replaced it.
        out.i32(6, 3);
        out.structure(10);
        out.structure(3);
        out.end();
        out.end();
        out.end();
        out.begin();
        out.i32(3, repeated);
        out.text(4, "list");
        out.i32(5, 1);
        out.end();
    }
    out.begin();
    out.i32(1, column.kind as i32);
    out.i32(3, if column.is_optional { optional } else { required });
    out.text(4, if column.n_lists == 0 { column.name } else { "element" });
    if column.kind == Kind::Text {
        // Converted type UTF8, logical type STRING.
        out.i32(6, 0);
        out.structure(10);
        out.structure(1);
        out.end();
        out.end();
    }
    out.end();
}
