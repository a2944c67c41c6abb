//! Records as text tables: one column for each lead, in the lead's unit, one row for each frame.
//!
//! Comment lines at the top carry what a table cannot: the sampling rate (required), the mark for
//! missing points, calibration, annotations and the record's comments, so that writing and reading
//! back is exact. A table from elsewhere needs only `# fs_hz: 360` and a row of lead names; its
//! values are then kept to a thousandth of a unit. Rule X01 of the reliability page.

use std::fmt::Write;
use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{Description, LeadNames, lines, mark_lines, one_line};
use crate::record::format::finish::finish;
use crate::record::format::guard_overwrite;
use crate::record::format::notes::{Notes, input, quoted, read_file};
use crate::record::format::wfdb::decimal;
use crate::record::lead::DEFAULT_GAIN;
use crate::record::{Frames, Lead, MISSING, ReadOptions, Record, StorageFormat, Warning, WriteOptions};
use crate::run;

/// Gain given to a lead from a table without calibration, in adu per unit.
const TABLE_GAIN: f64 = 1000.0;

/// Reads a record from a table.
///
/// # Errors
/// [`Error::Io`], and rule X01 with line and column.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Record> {
    let notes = Notes::new(options);
    let bytes = read_file(path, u64::MAX, "X01")?;
    let body = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(&bytes);
    // The line feed at the end of the last row begins no further one.
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut reader =
        Reader { path, described: Description::new(&stem), leads: Vec::new(), missing: None, n_columns: None };
    // What follows the last line break is no line, and with a single column no blank cell either.
    let lines = body.strip_suffix(b"\n").unwrap_or(body);
    for (index, line) in lines.split(|&b| b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        reader.line(index + 1, line, options.caps.line_bytes)?;
    }
    finish(reader.record()?, path, options, notes)
}

/// What has been read of a table.
struct Reader<'a> {
    path: &'a Path,
    /// What the comments say.
    described: Description,
    /// Leads by the row of names, with their points.
    leads: Vec<Lead>,
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
        let parsed = match key {
            "einthoven record" => Some(()),
            "missing" => [("blank", ""), ("nan", "nan")]
                .iter()
                .find(|(name, _)| *name == value)
                .map(|(_, cell)| self.missing = Some(cell)),
            _ => self.described.line(key, value).map(|is_known| {
                if !is_known {
                    self.described.record.comments.push(comment.to_string());
                }
            }),
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
            self.leads.push(lead);
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
        let n = self.leads.len();
        if !self.described.leads.is_empty() {
            if self.described.leads.len() != n {
                let expected = format!("{} as the comments describe", self.described.leads.len());
                return Err(self.fault(number, 1, "number of leads", n.to_string(), &expected));
            }
            for (lead, calibration) in self.leads.iter_mut().zip(std::mem::take(&mut self.described.leads)) {
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
                match self.leads.get(n) {
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
            if let Some(lead) = self.leads.get_mut(n) {
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
    fn record(self) -> Result<Record> {
        let fault = |field: &str, found: &str, expected: &str| {
            Err(input("X01", self.path, Position::File, field, found, expected).into())
        };
        let mut record = self.described.record;
        if record.fs_hz.is_nan() {
            return fault("sampling frequency", "none", "a line such as \"# fs_hz: 360\"");
        }
        if self.n_columns.is_none() {
            return fault("lead names", "none", "a row of lead names");
        }
        record.sig_len = self.leads.first().map_or(0, |lead| lead.adu.len());
        record.leads = self.leads;
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
    let mut text = "# einthoven record: 1\n# missing: blank\n".to_string();
    for line in lines(record, leads, LeadNames::Elsewhere).into_iter().chain(mark_lines(record)) {
        text += &format!("# {line}\n");
    }
    let names: Vec<String> = leads.iter().map(|lead| name_cell(&one_line(&lead.name))).collect();
    text + &names.join(",") + "\n"
}

/// A lead name as a cell, quoted where it would not read back as it is.
fn name_cell(name: &str) -> String {
    let is_plain = !name.is_empty() && name.trim() == name && !name.contains([',', '"', '#']) && decimal(name).is_err();
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
