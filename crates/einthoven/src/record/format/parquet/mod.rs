//! Parquet: one row for each record, lists for leads and points.
//!
//! Columns: `record`, `fs_hz`, `sig_len`, `synthetic`, and for each lead an element of `leads`,
//! `units`, `gain_adu_per_unit` (null when uncalibrated), `baseline_adu`, `samples_per_frame` and
//! `adu`, whose elements are lists of points (null when missing); `description` has the lines that a
//! record has besides. Millivolts are `(adu - baseline_adu) / gain_adu_per_unit` for leads in mV. A
//! file from elsewhere needs `fs_hz`, `leads` and `adu` with the calibration, or `ecg`, a list of
//! lists in mV.
//!
//! `thrift` reads the metadata, `column` the pages, [`write()`] is the way back, by tables of any columns (`table`). Read are plain and
//! dictionary pages, uncompressed or Snappy.
//!
//! # Reference
//! Apache Parquet format 2.10.

mod column;
mod snappy;
pub(crate) mod table;
mod thrift;
mod write;

use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{Description, PREFIX};
use crate::record::format::finish::finish;
use crate::record::format::notes::{Notes, input, read_file};
use crate::record::format::synthetic;
use crate::record::{Lead, MISSING, ReadOptions, Record, StorageFormat};

use column::{Chunk, Column, Fault, Leaf, Values, read_chunk};
use thrift::Value;
pub use write::{write, write_records};

const MAGIC: &[u8; 4] = b"PAR1";
/// Gain given to leads that come as millivolts alone, in adu per mV.
const TABLE_GAIN: f64 = 1000.0;
/// Columns that a record is made of; others are not read.
const COLUMNS: [&str; 11] = [
    "record",
    "fs_hz",
    "sig_len",
    "synthetic",
    "leads",
    "units",
    "gain_adu_per_unit",
    "baseline_adu",
    "samples_per_frame",
    "adu",
    "description",
];
/// Points in mV, where there are no digital ones.
const ECG: &str = "ecg";

/// Reads the one record of a file.
///
/// # Errors
/// As [`read_records`], and rule Q06 for a file with no or several rows.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Record> {
    let mut records = read_records(path, options)?;
    match (records.pop(), records.len()) {
        (Some(record), 0) => Ok(record),
        (last, n) => {
            let found = format!("{}", n + usize::from(last.is_some()));
            let mut error = input("Q06", path, Position::File, "number of rows", found, "one record");
            error.hint =
                "as a record, a table has one row; sets of records are read from X.npz, as sample and prepare write \
                          them"
                    .into();
            Err(error.into())
        }
    }
}

/// Reads all records of a file, one for each row.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] with Q01 (no Parquet file), Q02 (metadata), Q03 (columns), Q04
/// (pages), Q05 (an encoding or compression that is not read).
pub fn read_records(path: &Path, options: &ReadOptions) -> Result<Vec<Record>> {
    let mut notes = Notes::new(options);
    let bytes = read_file(path, u64::MAX, "Q01")?;
    let columns = columns(&bytes, options).map_err(|fault| {
        let at = Position::Byte(fault.at as u64);
        Error::from(input(fault.code, path, at, fault.field, fault.found, fault.expected))
    })?;
    let missing = |name: &str| {
        let found = format!("no column \"{name}\" that can be read");
        Error::from(input("Q03", path, Position::File, "columns", found, "fs_hz, leads, and adu or ecg"))
    };
    let find = |name: &str| columns.iter().find(|column| column.leaf.name == name);
    let fs_hz = find("fs_hz").and_then(single_numbers).ok_or_else(|| missing("fs_hz"))?;
    let names = find("leads").and_then(text_lists).ok_or_else(|| missing("leads"))?;
    let points = find("adu").or_else(|| find(ECG)).and_then(point_lists).ok_or_else(|| missing("adu"))?;
    let is_digital = find("adu").is_some();
    let numbers = |name: &str| find(name).and_then(number_lists);
    let (gains, baselines, rates) =
        (numbers("gain_adu_per_unit"), numbers("baseline_adu"), numbers("samples_per_frame"));
    let units = find("units").and_then(text_lists);
    let titles = find("record").and_then(single_texts);
    let descriptions = find("description").and_then(text_lists);
    let marks = find("synthetic").and_then(single_numbers);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut records = Vec::with_capacity(points.len());
    for (row, points) in points.into_iter().enumerate() {
        let fault = |field: &str, found: String, expected: &str| {
            Error::from(input("Q03", path, Position::File, format!("{field} of row {row}"), found, expected))
        };
        let title = titles.as_ref().and_then(|titles| titles.get(row).cloned()).filter(|title| !title.is_empty());
        let title = title.unwrap_or_else(|| stem.to_string());
        let rate = fs_hz.get(row).copied().unwrap_or(f64::NAN);
        if !(rate > 0.0 && rate.is_normal()) {
            return Err(fault("fs_hz", rate.to_string(), "a positive rate in Hz"));
        }
        let mut record = Record::new(&title, rate);
        let names = names.get(row).map_or(&[][..], Vec::as_slice);
        if names.len() != points.len() || names.len() > options.caps.signals {
            let expected = format!("{} as the row has lists of points", points.len());
            return Err(fault("leads", names.len().to_string(), &expected));
        }
        for (index, points) in points.into_iter().enumerate() {
            let of = |column: &Option<Vec<Vec<f64>>>| column.as_ref()?.get(row)?.get(index).copied();
            let mut lead = Lead::new(&names[index], TABLE_GAIN, Vec::new());
            lead.format = StorageFormat::F32;
            lead.adu = match points {
                Points::Digital(points) => points,
                Points::Millivolts(points) => quantized(&points).map_err(|(at, value)| {
                    let field = format!("ecg of lead {index}, point {at},");
                    fault(&field, value.to_string(), "a finite value in mV, or null")
                })?,
            };
            if is_digital {
                let gain = of(&gains).unwrap_or(f64::NAN);
                let baseline = of(&baselines).unwrap_or(0.0);
                if !(gain.is_nan() || gain.is_normal()) || !(baseline.abs() < 2_147_483_648.0) {
                    let found = format!("gain {gain}, baseline {baseline}");
                    return Err(fault("calibration", found, "a gain other than 0, and 32 bits"));
                }
                lead.gain_adu_per_unit = Some(gain).filter(|gain| !gain.is_nan());
                lead.baseline_adu = baseline as i32;
            }
            if let Some(unit) = units.as_ref().and_then(|units| units.get(row)?.get(index)) {
                lead.units = unit.clone();
            }
            let spf = of(&rates).unwrap_or(1.0);
            if !(1.0..=1e6).contains(&spf) || !lead.adu.len().is_multiple_of(spf as usize) {
                return Err(fault("samples_per_frame", spf.to_string(), "a divisor of the number of points"));
            }
            lead.samples_per_frame = spf as usize;
            let frames = lead.adu.len() / lead.samples_per_frame;
            if index > 0 && frames != record.sig_len {
                let expected = format!("{} as the first lead", record.sig_len);
                return Err(fault(&format!("length of lead {index}"), frames.to_string(), &expected));
            }
            record.sig_len = frames;
            lead.initial_adu = lead.adu.first().copied().filter(|&point| point != MISSING).unwrap_or(0);
            record.leads.push(lead);
        }
        let mut description = Description::new(&title);
        for line in descriptions.iter().filter_map(|lists| lists.get(row)).flatten() {
            description.prefixed(&format!("{PREFIX}{line}"), ("Q03", path, Position::File), &mut notes);
        }
        description.apply(&mut record, ("Q03", path, Position::File), &mut notes);
        if marks.as_ref().is_some_and(|marks| marks.get(row) == Some(&1.0)) {
            synthetic::keep_mark(&mut record);
        }
        let mut own = Notes::new(options);
        own.warnings = std::mem::take(&mut notes.warnings);
        records.push(finish(record, path, options, own)?);
    }
    Ok(records)
}

/// Points of a lead.
enum Points {
    Digital(Vec<i32>),
    Millivolts(Vec<f64>),
}

/// Millivolts at a thousandth; the error is the first point that has none.
fn quantized(mv: &[f64]) -> std::result::Result<Vec<i32>, (usize, f64)> {
    let mut points = Vec::with_capacity(mv.len());
    for (at, &value) in mv.iter().enumerate() {
        let adu = (value * TABLE_GAIN).round();
        if adu.abs() >= 2_147_483_647.0 {
            return Err((at, value));
        }
        points.push(if adu.is_nan() { MISSING } else { adu as i32 });
    }
    Ok(points)
}

/// The wanted columns of a file.
fn columns(bytes: &[u8], options: &ReadOptions) -> std::result::Result<Vec<Column>, Fault> {
    let fault = |code, at: usize, field: &str, found: String, expected: &str| Fault {
        code,
        at,
        field: field.into(),
        found,
        expected: expected.into(),
    };
    let n = bytes.len();
    if n < 12 || &bytes[..4] != MAGIC || &bytes[n - 4..] != MAGIC {
        return Err(fault("Q01", 0, "magic", "no PAR1 at both ends".into(), "a Parquet file"));
    }
    let length = u32::from_le_bytes([bytes[n - 8], bytes[n - 7], bytes[n - 6], bytes[n - 5]]) as usize;
    if length > n - 12 || length as u64 > options.caps.header_bytes {
        let expected = format!("at most {}", ((n - 12) as u64).min(options.caps.header_bytes));
        return Err(fault("Q02", n - 8, "length of the metadata", length.to_string(), &expected));
    }
    let mut at = 0;
    let start = n - 8 - length;
    let broken = |found: &str| fault("Q02", start, "metadata", found.into(), "a schema and row groups");
    let footer = thrift::parse(&bytes[start..n - 8], &mut at).ok_or_else(|| broken("bytes that are none"))?;
    let leaves = leaves(footer.list(2)).ok_or_else(|| broken("a schema that is none"))?;
    let mut budget = options.caps.decompressed_points;
    let mut columns: Vec<Column> = Vec::new();
    for (index, leaf) in leaves.into_iter().enumerate() {
        let is_wanted = COLUMNS.contains(&leaf.name.as_str()) || leaf.name == ECG;
        let Some(values) = Values::new(leaf.kind) else { continue };
        if !is_wanted || columns.iter().any(|column| column.leaf.name == leaf.name) {
            continue;
        }
        let mut column = Column { leaf, definitions: Vec::new(), repetitions: Vec::new(), values };
        for group in footer.list(4) {
            let data = group.list(1).get(index).and_then(|chunk| chunk.field(3));
            let chunk =
                data.and_then(|data| chunk(data, start)).ok_or_else(|| broken("a column chunk outside the file"))?;
            read_chunk(bytes, &chunk, &mut column, &mut budget)?;
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Where a chunk lies, within the bytes before the metadata.
fn chunk(data: &Value, end: usize) -> Option<Chunk> {
    let offset = |id| data.int(id).and_then(|offset| usize::try_from(offset).ok());
    let first = offset(9)?;
    // A dictionary stands before the data; some writers put 0 where there is none.
    let start = offset(11).filter(|&dictionary| dictionary >= 4 && dictionary < first).unwrap_or(first);
    let stop = start.checked_add(offset(7)?)?;
    let n_values = u64::try_from(data.int(5)?).ok()?;
    (start >= 4 && stop <= end).then_some(Chunk { start, end: stop, n_values, codec: data.int(4)? })
}

/// The leaves of a schema in the order of the chunks.
fn leaves(schema: &[Value]) -> Option<Vec<Leaf>> {
    let mut rest = schema.iter();
    let root = rest.next()?;
    let mut leaves = Vec::new();
    let base = Leaf { name: String::new(), kind: 0, max_definition: 0, lists: Vec::new() };
    for _ in 0..root.int(5)? {
        subtree(&mut rest, &base, 0, &mut leaves)?;
    }
    Some(leaves)
}

/// Leaves below the next element of a schema.
fn subtree(rest: &mut std::slice::Iter<Value>, above: &Leaf, depth: usize, leaves: &mut Vec<Leaf>) -> Option<()> {
    let element = rest.next().filter(|_| depth < 16)?;
    let mut leaf = above.clone();
    if depth == 0 {
        leaf.name = element.text(4)?.to_string();
    }
    match element.int(3)? {
        0 => {}
        1 => leaf.max_definition += 1,
        _ => {
            leaf.max_definition += 1;
            leaf.lists.push(leaf.max_definition);
        }
    }
    match element.int(5).filter(|&n| n > 0) {
        Some(n) => {
            for _ in 0..n {
                subtree(rest, &leaf, depth + 1, leaves)?;
            }
        }
        None => {
            leaf.kind = element.int(1)?;
            leaves.push(leaf);
        }
    }
    Some(())
}

impl Column {
    /// Calls `each(repetition level, definition level, value index)` for every entry.
    fn entries(&self) -> impl Iterator<Item = (u32, u32, Option<usize>)> + '_ {
        let mut next = 0;
        self.repetitions.iter().zip(&self.definitions).map(move |(&repetition, &definition)| {
            let is_present = definition == self.leaf.max_definition;
            next += usize::from(is_present);
            (repetition, definition, is_present.then(|| next - 1))
        })
    }

    /// One value for each row, by index.
    fn single<T>(&self, of: impl Fn(Option<usize>) -> T) -> Option<Vec<T>> {
        self.leaf.lists.is_empty().then(|| self.entries().map(|(_, _, index)| of(index)).collect())
    }

    /// A list for each row.
    fn lists<T>(&self, of: impl Fn(Option<usize>) -> T) -> Option<Vec<Vec<T>>> {
        let &[element] = self.leaf.lists.as_slice() else { return None };
        let mut rows: Vec<Vec<T>> = Vec::new();
        for (repetition, definition, index) in self.entries() {
            if repetition == 0 {
                rows.push(Vec::new());
            }
            if definition >= element {
                rows.last_mut()?.push(of(index));
            }
        }
        Some(rows)
    }
}

/// A number as f64; NaN where there is none.
fn number(values: &Values, index: Option<usize>) -> f64 {
    let Some(index) = index else { return f64::NAN };
    match values {
        Values::Bool(values) => values.get(index).map_or(f64::NAN, |&value| f64::from(u8::from(value))),
        Values::I32(values) => values.get(index).map_or(f64::NAN, |&value| f64::from(value)),
        Values::I64(values) => values.get(index).map_or(f64::NAN, |&value| value as f64),
        Values::F32(values) => values.get(index).map_or(f64::NAN, |&value| f64::from(value)),
        Values::F64(values) => values.get(index).copied().unwrap_or(f64::NAN),
        Values::Bytes(_) => f64::NAN,
    }
}

/// A text; empty where there is none.
fn text(values: &Values, index: Option<usize>) -> String {
    match (values, index) {
        (Values::Bytes(values), Some(index)) => {
            values.get(index).map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned())
        }
        _ => String::new(),
    }
}

fn single_numbers(column: &Column) -> Option<Vec<f64>> {
    column.single(|index| number(&column.values, index))
}

fn single_texts(column: &Column) -> Option<Vec<String>> {
    column.single(|index| text(&column.values, index))
}

fn number_lists(column: &Column) -> Option<Vec<Vec<f64>>> {
    column.lists(|index| number(&column.values, index))
}

fn text_lists(column: &Column) -> Option<Vec<Vec<String>>> {
    matches!(column.values, Values::Bytes(_)).then(|| column.lists(|index| text(&column.values, index)))?
}

/// For each row, a list of points for each lead.
fn point_lists(column: &Column) -> Option<Vec<Vec<Points>>> {
    let &[outer, inner] = column.leaf.lists.as_slice() else { return None };
    let is_digital = column.leaf.name != ECG;
    let digital = |index: Option<usize>| match (&column.values, index) {
        (Values::I32(values), Some(index)) => values.get(index).copied(),
        (Values::I64(values), Some(index)) => values.get(index).and_then(|&value| i32::try_from(value).ok()),
        (_, None) => Some(MISSING),
        _ => None,
    };
    let mut rows: Vec<Vec<Points>> = Vec::new();
    for (repetition, definition, index) in column.entries() {
        if repetition == 0 {
            rows.push(Vec::new());
        }
        let row = rows.last_mut()?;
        if repetition <= 1 && definition >= outer {
            row.push(if is_digital { Points::Digital(Vec::new()) } else { Points::Millivolts(Vec::new()) });
        }
        if definition >= inner {
            match row.last_mut()? {
                Points::Digital(points) => points.push(digital(index)?),
                Points::Millivolts(points) => points.push(number(&column.values, index)),
            }
        }
    }
    Some(rows)
}
