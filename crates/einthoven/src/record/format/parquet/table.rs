//! Tables as Parquet, a row group at a time: one plain page for each column, no compression.
//!
//! # Reference
//! Apache Parquet format 2.10, README and LogicalTypes ("Nested types: lists").

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Position, Result};
use crate::record::format::notes::input;

use super::MAGIC;
use super::thrift::Writer;

/// Physical types by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool = 0,
    I32 = 1,
    I64 = 2,
    F32 = 4,
    F64 = 5,
    Text = 6,
}

/// A column as it grows: levels, and present values in plain encoding.
pub(crate) struct Column {
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
    /// A column without entries, with `n_lists` lists around each value.
    pub fn new(name: &'static str, kind: Kind, n_lists: u8, is_optional: bool) -> Column {
        let (repetitions, definitions, plain) = (Vec::new(), Vec::new(), Vec::new());
        Column { name, kind, n_lists, is_optional, repetitions, definitions, plain }
    }

    /// Forgets its entries.
    pub fn clear(&mut self) {
        self.repetitions.clear();
        self.definitions.clear();
        self.plain.clear();
    }

    /// Level of a present value: each list adds one, and so does the choice of null.
    fn max_definition(&self) -> u8 {
        self.n_lists + u8::from(self.is_optional)
    }

    /// An entry; without a value the list at that depth is empty, or the value null.
    pub fn entry(&mut self, repetition: u8, value: std::result::Result<&[u8], u8>) {
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
    pub fn list(&mut self, values: impl IntoIterator<Item = Option<Vec<u8>>>) {
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

/// A file that grows.
pub(crate) struct TableWriter<W> {
    out: W,
    path: PathBuf,
    at: usize,
    groups: Vec<Group>,
}

/// A row group: its rows, and start, size and number of entries of each column.
struct Group {
    n_rows: usize,
    chunks: Vec<(usize, usize, usize)>,
}

impl<W: Write> TableWriter<W> {
    /// Begins a file; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(mut out: W, path: &Path) -> Result<TableWriter<W>> {
        out.write_all(MAGIC).map_err(|source| Error::io(path, source))?;
        Ok(TableWriter { out, path: path.to_path_buf(), at: MAGIC.len(), groups: Vec::new() })
    }

    /// Writes `n_rows` rows; every call has the same columns.
    ///
    /// # Errors
    /// Rule D12 for a column beyond 2 GiB; [`Error::Io`].
    pub fn push_group(&mut self, columns: &[Column], n_rows: usize) -> Result<()> {
        let mut chunks = Vec::with_capacity(columns.len());
        for column in columns {
            let start = self.at;
            let body = page_body(column);
            if body.len() > i32::MAX as usize || column.definitions.len() > i32::MAX as usize {
                let (field, found) = (format!("column {}", column.name), format!("{} bytes", body.len()));
                let expected = "at most 2 GiB at a time";
                return Err(Error::from(input("D12", &self.path, Position::File, field, found, expected)));
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
            self.write(&header.bytes)?;
            self.write(&body)?;
            chunks.push((start, self.at - start, column.definitions.len()));
        }
        self.groups.push(Group { n_rows, chunks });
        Ok(())
    }

    /// Writes the metadata, with pairs of keys and values that go along, and gives back what was written to.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self, columns: &[Column], pairs: &[(&str, String)]) -> Result<W> {
        let footer = footer(columns, &self.groups, pairs);
        self.write(&footer)?;
        self.write(&(footer.len() as u32).to_le_bytes())?;
        self.write(MAGIC)?;
        Ok(self.out)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len();
        self.out.write_all(bytes).map_err(|source| Error::io(&self.path, source))
    }
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
fn footer(columns: &[Column], groups: &[Group], pairs: &[(&str, String)]) -> Vec<u8> {
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
    out.i64(3, groups.iter().map(|group| group.n_rows as i64).sum());
    out.list(4, 12, groups.len());
    groups.iter().for_each(|group| group_metadata(columns, group, &mut out));
    if !pairs.is_empty() {
        out.list(5, 12, pairs.len());
        for (key, value) in pairs {
            out.begin();
            out.text(1, key);
            out.text(2, value);
            out.end();
        }
    }
    out.text(6, concat!("einthoven version ", env!("CARGO_PKG_VERSION")));
    out.end();
    out.bytes
}

/// Where the columns of a row group are.
fn group_metadata(columns: &[Column], group: &Group, out: &mut Writer) {
    out.begin();
    out.list(1, 12, columns.len());
    for (column, &(start, size, n_entries)) in columns.iter().zip(&group.chunks) {
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
        out.i64(5, n_entries as i64);
        out.i64(6, size as i64);
        out.i64(7, size as i64);
        out.i64(9, start as i64);
        out.end();
        out.end();
    }
    out.i64(2, group.chunks.iter().map(|chunk| chunk.1 as i64).sum());
    out.i64(3, group.n_rows as i64);
    out.end();
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
