//! Records as text tables: one column for each lead, in the lead's unit, one row for each frame.
//!
//! Comment lines at the top carry what a table cannot: the sampling rate (required), the mark for
//! missing points, calibration, annotations and the record's comments, so that writing and reading
//! back is exact. A table from elsewhere needs only `# fs_hz: 360` and a row of lead names; its
//! values are then kept to a thousandth of a unit. Rule X01 of the reliability page.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Position, Result};
use crate::record::annotation::{SYMBOLS, keep_range};
use crate::record::format::guard_overwrite;
use crate::record::format::notes::{Notes, input, quoted, read_file};
use crate::record::format::wfdb::decimal;
use crate::record::lead::DEFAULT_GAIN;
use crate::record::{
    Annotation, Annotators, Counter, Frames, Lead, MISSING, ReadOptions, Record, StorageFormat, Warning, WriteOptions,
};
use crate::run;

/// Gain given to a lead from a table without calibration, in adu per unit.
const TABLE_GAIN: f64 = 1000.0;

/// Reads a record from a table.
///
/// # Errors
/// [`Error::Io`], and rule X01 with line and column.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Record> {
    let mut notes = Notes::new(options);
    let bytes = read_file(path, u64::MAX, "X01")?;
    let body = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(&bytes);
    // The line feed at the end of the last row begins no further one.
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut reader =
        Reader { path, record: Record::new(stem, f64::NAN), calibrations: Vec::new(), missing: None, n_columns: None };
    // What follows the last line break is no line, and with a single column no blank cell either.
    let lines = body.strip_suffix(b"\n").unwrap_or(body);
    for (index, line) in lines.split(|&b| b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        reader.line(index + 1, line, options.caps.line_bytes)?;
    }
    reader.finish(options, &mut notes)
}

/// What has been read of a table.
struct Reader<'a> {
    path: &'a Path,
    record: Record,
    /// Leads without points from the comments, in order.
    calibrations: Vec<Lead>,
    /// The cell that stands for a missing point, if one was declared.
    missing: Option<&'static str>,
    /// Columns, known after the row of names.
    n_columns: Option<usize>,
}

impl Reader<'_> {
    /// A broken rule at a place.
    fn fault(&self, line: usize, column: usize, field: &str, found: String, expected: &str) -> Error {
        input("X01", self.path, Position::LineColumn(line, column), field, found, expected).into()
    }

    /// One line of the file.
    fn line(&mut self, number: usize, line: &[u8], cap: usize) -> Result<()> {
        if line.len() > cap {
            return Err(self.fault(
                number,
                1,
                "line",
                format!("{} bytes", line.len()),
                &format!("at most {cap} bytes"),
            ));
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return Err(self.fault(number, 1, "line", "bytes that are no UTF-8".into(), "UTF-8 text"));
        };
        if let Some(comment) = text.strip_prefix('#') {
            return self.comment(number, comment.trim());
        }
        match self.n_columns {
            None if text.trim().is_empty() => Ok(()),
            None => self.names(number, text),
            // In a single column a blank line may be a missing point; elsewhere it is nothing.
            Some(n) if text.is_empty() && (n > 1 || self.missing != Some("")) => Ok(()),
            Some(n) => self.row(number, text, n),
        }
    }

    /// `key: value` with a known key, or any other comment.
    fn comment(&mut self, number: usize, comment: &str) -> Result<()> {
        let (key, value) = comment.split_once(':').map_or((comment, ""), |(key, value)| (key, value.trim()));
        let parsed: Option<()> = match key {
            "einthoven record" => Some(()),
            "record" => {
                self.record.name = value.to_string();
                Some(())
            }
            "fs_hz" => decimal(value).ok().filter(|fs| *fs > 0.0 && fs.is_normal()).map(|fs| self.record.fs_hz = fs),
            "missing" => [("blank", ""), ("nan", "nan")]
                .iter()
                .find(|(name, _)| *name == value)
                .map(|(_, cell)| self.missing = Some(cell)),
            "base_time" => {
                self.record.base_time = Some(value.to_string());
                Some(())
            }
            "base_date" => {
                self.record.base_date = Some(value.to_string());
                Some(())
            }
            "counter" => value.split_once(' ').and_then(|(frequency, base)| {
                let (frequency_hz, base) = (decimal(frequency).ok()?, decimal(base).ok()?);
                self.record.counter = Some(Counter { frequency_hz, base });
                Some(())
            }),
            "lead" => {
                serde_json::from_str(value).ok().as_ref().and_then(lead_of).map(|lead| self.calibrations.push(lead))
            }
            "annotator" => {
                self.record.annotations.entry(value.to_string()).or_default();
                Some(())
            }
            "annotation" => {
                serde_json::from_str(value).ok().as_ref().and_then(annotation_of).map(|(annotator, mark)| {
                    self.record.annotations.entry(annotator).or_default().push(mark);
                })
            }
            "comment" => {
                self.record.comments.push(value.to_string());
                Some(())
            }
            _ => {
                self.record.comments.push(comment.to_string());
                Some(())
            }
        };
        parsed.ok_or_else(|| self.fault(number, 1, key, quoted(value), "a valid value"))
    }

    /// The row of lead names.
    fn names(&mut self, number: usize, text: &str) -> Result<()> {
        let mut rest = text;
        let mut column = 1;
        loop {
            let (name, used) = if let Some(quoted_part) = rest.strip_prefix('"') {
                let Some((name, used)) = unquote(quoted_part) else {
                    return Err(self.fault(
                        number,
                        column,
                        "lead name",
                        quoted(rest),
                        "a closing quote in the same line",
                    ));
                };
                (name, used + 1)
            } else {
                let end = rest.find(',').unwrap_or(rest.len());
                let name = rest[..end].trim();
                if decimal(name).is_ok() {
                    return Err(self.fault(
                        number,
                        column,
                        "lead name",
                        quoted(name),
                        "a row of lead names before the numbers",
                    ));
                }
                (name.to_string(), end)
            };
            let mut lead = Lead::new(name, TABLE_GAIN, Vec::new());
            lead.format = StorageFormat::F32;
            self.record.leads.push(lead);
            column += used + 1;
            match rest.get(used..).unwrap_or("").strip_prefix(',') {
                Some(next) => rest = next,
                None if rest.len() == used => break,
                None => {
                    return Err(self.fault(
                        number,
                        column,
                        "lead name",
                        quoted(rest),
                        "a comma after the closing quote",
                    ));
                }
            }
        }
        let n = self.record.leads.len();
        if !self.calibrations.is_empty() {
            if self.calibrations.len() != n {
                let expected = format!("{} as the comments describe", self.calibrations.len());
                return Err(self.fault(number, 1, "number of leads", n.to_string(), &expected));
            }
            for (lead, calibration) in self.record.leads.iter_mut().zip(std::mem::take(&mut self.calibrations)) {
                *lead = Lead { name: std::mem::take(&mut lead.name), ..calibration };
            }
        }
        self.n_columns = Some(n);
        Ok(())
    }

    /// A row of numbers.
    fn row(&mut self, number: usize, text: &str, n_columns: usize) -> Result<()> {
        let mut column = 1;
        let mut n = 0;
        for cell in text.split(',') {
            let value = if self.missing == Some(cell) {
                MISSING
            } else {
                match self.record.leads.get(n) {
                    None => {
                        return Err(self.fault(
                            number,
                            column,
                            "row",
                            format!("more than {n} cells"),
                            &format!("{n_columns} cells"),
                        ));
                    }
                    Some(lead) => match decimal(cell.trim()).ok().filter(|value| value.is_finite()) {
                        None => {
                            return Err(self.fault(
                                number,
                                column,
                                "value",
                                quoted(cell),
                                "a number with a decimal point",
                            ));
                        }
                        Some(value) => {
                            let adu =
                                value * lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN) + f64::from(lead.baseline_adu);
                            let adu = adu.round();
                            // The smallest 32-bit number marks missing points and is no value.
                            if adu.abs() >= 2_147_483_648.0 {
                                return Err(self.fault(
                                    number,
                                    column,
                                    "value",
                                    quoted(cell),
                                    "a value within 32 bits at the lead's gain",
                                ));
                            }
                            adu as i32
                        }
                    },
                }
            };
            if let Some(lead) = self.record.leads.get_mut(n) {
                lead.adu.push(value);
            }
            column += cell.chars().count() + 1;
            n += 1;
        }
        if n != n_columns {
            return Err(self.fault(number, column - 1, "row", format!("{n} cells"), &format!("{n_columns} cells")));
        }
        Ok(())
    }

    /// The record, once every line was read.
    fn finish(self, options: &ReadOptions, notes: &mut Notes) -> Result<Record> {
        let fault = |field: &str, found: &str, expected: &str| {
            Err(input("X01", self.path, Position::File, field, found, expected).into())
        };
        let mut record = self.record;
        if record.fs_hz.is_nan() {
            return fault("sampling frequency", "none", "a line such as \"# fs_hz: 360\"");
        }
        if self.n_columns.is_none() {
            return fault("lead names", "none", "a row of lead names");
        }
        record.sig_len = record.leads.first().map_or(0, |lead| lead.adu.len());
        for lead in &mut record.leads {
            if let Some(stated) = lead.checksum {
                lead.checksum_ok = Some(lead.compute_checksum() == stated);
                if lead.checksum_ok == Some(false) {
                    let found = stated.to_string();
                    let expected = format!("{} as computed", lead.compute_checksum());
                    let field = format!("checksum of lead {}", quoted(&lead.name));
                    notes
                        .deviation(input("W23", self.path, Position::File, field, found, expected), "kept the lead")?;
                }
            }
        }
        for marks in record.annotations.values_mut() {
            marks.sort_by_key(|mark| mark.sample);
        }
        match &options.annotators {
            Annotators::All => {}
            Annotators::None => record.annotations.clear(),
            Annotators::Named(names) => record.annotations.retain(|annotator, _| names.contains(annotator)),
        }
        if let Some(range) = options.range.clone() {
            if range.start > range.end || range.end > record.sig_len {
                let reason =
                    format!("found {}..{}, expected frames within 0..{}", range.start, range.end, record.sig_len);
                return Err(Error::config("range", reason));
            }
            record.leads.iter_mut().for_each(|lead| lead.keep_frames(&range));
            record.annotations.values_mut().for_each(|marks| keep_range(marks, &range));
            record.sig_len = range.len();
        }
        record.warnings = std::mem::take(&mut notes.warnings);
        Ok(record)
    }
}

/// A quoted name up to its closing quote, and the bytes used with it.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if c != '"' {
            name.push(c);
        } else if characters.next_if(|&(_, next)| next == '"').is_some() {
            name.push('"');
        } else {
            return Some((name, at + 1));
        }
    }
    None
}

/// A lead without points from its comment.
fn lead_of(value: &Value) -> Option<Lead> {
    let integer = |key: &str| i32::try_from(value.get(key)?.as_i64()?).ok();
    let mut lead = Lead::new("", TABLE_GAIN, Vec::new());
    lead.units = value.get("units")?.as_str()?.to_string();
    lead.gain_adu_per_unit = match value.get("gain_adu_per_unit")? {
        Value::Null => None,
        gain => Some(gain.as_f64().filter(|gain| gain.is_normal())?),
    };
    lead.baseline_adu = integer("baseline_adu")?;
    lead.adc_zero_adu = integer("adc_zero_adu")?;
    lead.adc_resolution_bits = u8::try_from(integer("adc_resolution_bits")?).ok().filter(|&bits| bits <= 64)?;
    lead.initial_adu = integer("initial_adu")?;
    lead.block_size = integer("block_size")?;
    lead.checksum = integer("checksum").map(|sum| sum as i16);
    lead.format = StorageFormat::from_number(u32::try_from(integer("storage_format")?).ok()?)?;
    Some(lead)
}

/// An annotator and its annotation from their comment.
fn annotation_of(value: &Value) -> Option<(String, Annotation)> {
    let integer = |key: &str| value.get(key).map_or(Some(0), Value::as_i64);
    let symbol = value.get("symbol")?.as_str()?;
    let aux = match (value.get("aux"), value.get("aux_latin1")) {
        (Some(text), _) => text.as_str()?.as_bytes().to_vec(),
        (None, Some(text)) => text.as_str()?.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>()?,
        (None, None) => Vec::new(),
    };
    let mark = Annotation {
        sample: value.get("sample")?.as_i64().filter(|&sample| sample >= 0)?,
        symbol: match SYMBOLS.iter().find(|known| **known == symbol) {
            Some(known) => Cow::Borrowed(known),
            None => Cow::Owned(symbol.to_string()),
        },
        subtype: i8::try_from(integer("subtype")?).ok()?,
        channel: u8::try_from(integer("channel")?).ok()?,
        num: i8::try_from(integer("num")?).ok()?,
        aux,
    };
    Some((value.get("annotator")?.as_str()?.to_string(), mark))
}

/// Writes a record as a table. Leads with several points per frame are averaged over the frame.
///
/// # Errors
/// [`Error::Guard`] when the file exists, [`Error::Io`], [`Error::Shape`] for leads of different
/// length.
pub fn write(record: &Record, path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    guard_overwrite(&[path.to_path_buf()], options.overwrite)?;
    let mut warnings = Vec::new();
    let mut leads = Vec::with_capacity(record.leads.len());
    for lead in &record.leads {
        let expected = record.sig_len.saturating_mul(lead.samples_per_frame);
        if lead.adu.len() != expected {
            return Err(Error::Shape {
                what: format!("lead {}", lead.name),
                expected: vec![expected],
                actual: vec![lead.adu.len()],
            });
        }
        let mut lead = lead.clone();
        if lead.samples_per_frame > 1 {
            let message = format!(
                "lead {}: {} points per frame averaged, a table has one rate",
                lead.name, lead.samples_per_frame
            );
            warnings.push(Warning { code: "W19", path: path.to_path_buf(), position: Position::File, message });
            lead.average_frames(Frames::Average);
        }
        leads.push(lead);
    }
    let mut text = head(record, &leads);
    let columns: Vec<Vec<f64>> = leads.iter().map(Lead::physical).collect();
    for point in 0..if leads.is_empty() { 0 } else { record.sig_len } {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            if !column[point].is_nan() {
                // The shortest text that reads back as the same number; a string takes any.
                let _ = write!(text, "{}", column[point]);
            }
        }
        text.push('\n');
    }
    run::write_atomic(path, text.as_bytes())?;
    Ok(warnings)
}

/// Comments and the row of names.
fn head(record: &Record, leads: &[Lead]) -> String {
    // Line breaks would end a comment; nothing else can break one.
    let one_line = |text: &str| text.replace(['\n', '\r'], " ");
    let mut text = format!(
        "# einthoven record: 1\n# record: {}\n# fs_hz: {}\n# missing: blank\n",
        one_line(&record.name),
        record.fs_hz
    );
    if let Some(counter) = record.counter {
        text += &format!("# counter: {} {}\n", counter.frequency_hz, counter.base);
    }
    for (key, value) in [("base_time", &record.base_time), ("base_date", &record.base_date)] {
        if let Some(value) = value {
            text += &format!("# {key}: {}\n", one_line(value));
        }
    }
    for comment in &record.comments {
        text += &format!("# comment: {}\n", one_line(comment));
    }
    for lead in leads {
        let value = json!({
            "units": lead.units,
            "gain_adu_per_unit": lead.gain_adu_per_unit,
            "baseline_adu": lead.baseline_adu,
            "adc_zero_adu": lead.adc_zero_adu,
            "adc_resolution_bits": lead.adc_resolution_bits,
            "initial_adu": lead.initial_adu,
            "block_size": lead.block_size,
            "storage_format": lead.format.number(),
            // Rescaling to one gain, or averaging, changes the sum.
            "checksum": if lead.gain_changes.is_empty() { Some(lead.compute_checksum()) } else { None },
        });
        text += &format!("# lead: {value}\n");
    }
    for (annotator, marks) in &record.annotations {
        text += &format!("# annotator: {}\n", one_line(annotator));
        for mark in marks {
            let mut value = json!({ "annotator": annotator, "sample": mark.sample, "symbol": mark.symbol });
            for (key, number) in
                [("subtype", mark.subtype.into()), ("channel", i64::from(mark.channel)), ("num", mark.num.into())]
            {
                if number != 0 {
                    value[key] = number.into();
                }
            }
            if !mark.aux.is_empty() {
                let key = if std::str::from_utf8(&mark.aux).is_ok() { "aux" } else { "aux_latin1" };
                value[key] = mark.aux_text().into();
            }
            text += &format!("# annotation: {value}\n");
        }
    }
    let names: Vec<String> = leads.iter().map(|lead| name_cell(&one_line(&lead.name))).collect();
    text + &names.join(",") + "\n"
}

/// A lead name as a cell, quoted where it would not read back as it is.
fn name_cell(name: &str) -> String {
    let is_plain = !name.is_empty() && name.trim() == name && !name.contains([',', '"', '#']) && decimal(name).is_err();
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
