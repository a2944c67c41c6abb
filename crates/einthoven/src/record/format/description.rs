//! What the points of a record cannot say, as lines of text `key: value`.
//!
//! Every format has its own place for names, units and rates, and none has one for all that a
//! [`Record`] holds: converter range, annotation subtypes, comments, the number of points before
//! padding. The writers therefore add these lines where the format allows free text, and the readers
//! take them back. The format's own fields remain the authority: [`Description::apply`] believes a
//! line only as far as the two agree, so that a file edited elsewhere is read as it is now.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::Position;
use crate::record::annotation::SYMBOLS;
use crate::record::format::notes::Notes;
use crate::record::format::wfdb::decimal;
use crate::record::lead::DEFAULT_GAIN;
use crate::record::{Annotation, Counter, Lead, Record, StorageFormat};

/// Begins each line in formats whose free text also has other uses.
pub(crate) const PREFIX: &str = "einthoven: ";
/// Annotator of marks that carry their symbol alone.
pub(crate) const PLAIN_ANNOTATOR: &str = "atr";

/// What has been read of the lines.
pub(crate) struct Description {
    /// Everything but leads; the rate is NaN until a line states it.
    pub record: Record,
    /// Leads without points, in order.
    pub leads: Vec<Lead>,
    /// Frames of the record before any padding.
    pub sig_len: Option<usize>,
    /// Number of lines with a known key.
    pub n_lines: usize,
}

impl Description {
    /// Nothing read yet; the name stands until a line gives another.
    pub fn new(name: &str) -> Description {
        Description { record: Record::new(name, f64::NAN), leads: Vec::new(), sig_len: None, n_lines: 0 }
    }

    /// Takes a line. `Some(false)` for an unknown key, `None` for a value that the key does not allow.
    pub fn line(&mut self, key: &str, value: &str) -> Option<bool> {
        let record = &mut self.record;
        match key {
            "record" => record.name = value.to_string(),
            "fs_hz" => record.fs_hz = decimal(value).ok().filter(|fs| *fs > 0.0 && fs.is_normal())?,
            "sig_len" => self.sig_len = Some(value.parse().ok()?),
            "base_time" => record.base_time = Some(value.to_string()),
            "base_date" => record.base_date = Some(value.to_string()),
            "counter" => {
                let (frequency, base) = value.split_once(' ')?;
                record.counter = Some(Counter { frequency_hz: decimal(frequency).ok()?, base: decimal(base).ok()? });
            }
            "lead" => self.leads.push(serde_json::from_str(value).ok().as_ref().and_then(lead_of)?),
            "annotator" => {
                record.annotations.entry(value.to_string()).or_default();
            }
            "annotation" => {
                let (annotator, mark) = serde_json::from_str(value).ok().as_ref().and_then(annotation_of)?;
                record.annotations.entry(annotator).or_default().push(mark);
            }
            "comment" => record.comments.push(value.to_string()),
            _ => return Some(false),
        }
        self.n_lines += 1;
        Some(true)
    }

    /// Takes a text that may be a line with [`PREFIX`]; whether it was one. A broken value is noted.
    pub fn prefixed(&mut self, text: &str, at: (&'static str, &Path, Position), notes: &mut Notes) -> bool {
        let Some(line) = text.strip_prefix(PREFIX) else { return false };
        let (key, value) = line.split_once(':').map_or((line, ""), |(key, value)| (key, value.trim()));
        if self.line(key, value) != Some(true) {
            let (code, path, position) = at;
            notes.warn(code, path, position, format!("description: \"{key}\" has no valid value; ignored"));
        }
        true
    }

    /// Completes a record that was read from the format's own fields.
    ///
    /// Names, times, comments and marks come from the lines where there are any. Leads get their
    /// exact calibration and length when number, rate, unit, gain and baseline agree; otherwise the
    /// format's own fields stand, and a warning says so.
    pub fn apply(self, record: &mut Record, at: (&'static str, &Path, Position), notes: &mut Notes) {
        if self.n_lines == 0 {
            return;
        }
        let stated = self.record;
        record.name = stated.name;
        record.comments.splice(0..0, stated.comments);
        record.counter = stated.counter;
        record.base_time = stated.base_time.or(record.base_time.take());
        record.base_date = stated.base_date.or(record.base_date.take());
        for (annotator, marks) in stated.annotations {
            record.annotations.entry(annotator).or_default().extend(marks);
        }
        let agrees = self.sig_len.is_some_and(|sig_len| {
            !stated.fs_hz.is_nan()
                && record.leads.len() == self.leads.len()
                && record.leads.iter().zip(&self.leads).all(|(own, described)| {
                    let spf = described.samples_per_frame;
                    let rates = (record.fs_hz * own.samples_per_frame as f64, stated.fs_hz * spf as f64);
                    is_near(rates.0, rates.1)
                        && sig_len.checked_mul(spf).is_some_and(|points| points <= own.adu.len())
                        && same_calibration(own, described)
                })
        });
        if !agrees {
            if !self.leads.is_empty() {
                let message = "description: it no longer agrees with the file's own fields, which stand";
                notes.warn(at.0, at.1, at.2, message);
            }
            return;
        }
        record.fs_hz = stated.fs_hz;
        // `agrees` holds only with a stated length.
        record.sig_len = self.sig_len.unwrap_or(record.sig_len);
        for (own, mut described) in record.leads.iter_mut().zip(self.leads) {
            described.adu = std::mem::take(&mut own.adu);
            described.adu.truncate(record.sig_len * described.samples_per_frame);
            *own = described;
        }
    }
}

/// Whether two calibrations differ by no more than the rounding of a format's fields.
fn same_calibration(own: &Lead, described: &Lead) -> bool {
    let gain = |lead: &Lead| lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN);
    let distance = (i64::from(own.baseline_adu) - i64::from(described.baseline_adu)).abs();
    own.mv_per_unit() == described.mv_per_unit() && is_near(gain(own), gain(described)) && distance <= 16
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs()
}

/// Whether lines of leads carry the name and the points per frame; tables have both elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeadNames {
    InLines,
    Elsewhere,
}

/// The lines of a record, without its marks.
pub(crate) fn lines(record: &Record, leads: &[Lead], names: LeadNames) -> Vec<String> {
    let mut lines = vec![format!("record: {}", one_line(&record.name)), format!("fs_hz: {}", record.fs_hz)];
    if names == LeadNames::InLines {
        lines.push(format!("sig_len: {}", record.sig_len));
    }
    if let Some(counter) = record.counter {
        lines.push(format!("counter: {} {}", counter.frequency_hz, counter.base));
    }
    for (key, value) in [("base_time", &record.base_time), ("base_date", &record.base_date)] {
        if let Some(value) = value {
            lines.push(format!("{key}: {}", one_line(value)));
        }
    }
    lines.extend(record.comments.iter().map(|comment| format!("comment: {}", one_line(comment))));
    for lead in leads {
        let mut value = json!({
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
        if names == LeadNames::InLines {
            value["name"] = lead.name.clone().into();
            value["samples_per_frame"] = lead.samples_per_frame.into();
        }
        lines.push(format!("lead: {value}"));
    }
    lines.extend(record.annotations.keys().map(|annotator| format!("annotator: {}", one_line(annotator))));
    lines
}

/// The lines of all marks, for formats without a place of their own for them.
pub(crate) fn mark_lines(record: &Record) -> impl Iterator<Item = String> + '_ {
    let marks =
        record.annotations.iter().flat_map(|(annotator, marks)| marks.iter().map(move |mark| (annotator, mark)));
    marks.map(|(annotator, mark)| {
        let mut value = json!({ "annotator": annotator, "sample": mark.sample, "symbol": mark.symbol });
        details(mark, &mut value);
        format!("annotation: {value}")
    })
}

/// A mark as a text beside its time: the symbol, and in braces what else there is to say.
pub(crate) fn text_of_mark(annotator: &str, mark: &Annotation) -> String {
    let mut value = json!({});
    if annotator != PLAIN_ANNOTATOR {
        value["annotator"] = annotator.into();
    }
    details(mark, &mut value);
    if mark.symbol.trim() != mark.symbol || mark.symbol.is_empty() {
        // Blanks at the ends of a text do not survive in every format.
        value["symbol"] = mark.symbol.to_string().into();
        return format!("_ {value}");
    }
    let is_plain = value.as_object().is_some_and(serde_json::Map::is_empty);
    if is_plain { mark.symbol.to_string() } else { format!("{} {value}", mark.symbol) }
}

/// The annotator and the mark of a text by [`text_of_mark`].
pub(crate) fn mark_of_text(text: &str, sample: i64) -> Option<(String, Annotation)> {
    let (symbol, details) = text.split_once(" {").map_or((text, "{}".into()), |(symbol, rest)| {
        (symbol, Cow::Owned(format!("{{{rest}"))) as (&str, Cow<'static, str>)
    });
    let mut value: Value = serde_json::from_str(&details).ok()?;
    if value.get("symbol").is_none() {
        value["symbol"] = symbol.into();
    }
    value["sample"] = sample.into();
    if value.get("annotator").is_none() {
        value["annotator"] = PLAIN_ANNOTATOR.into();
    }
    annotation_of(&value)
}

/// A note from elsewhere as a mark: the text stands beside the comment symbol.
pub(crate) fn note(sample: i64, text: &str) -> Annotation {
    Annotation { aux: text.as_bytes().to_vec(), ..Annotation::new(sample, "\"") }
}

/// Text without line breaks and other control characters, which would end a line or a field.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// What a mark has besides time and symbol.
fn details(mark: &Annotation, value: &mut Value) {
    let numbers = [("subtype", mark.subtype.into()), ("channel", i64::from(mark.channel)), ("num", mark.num.into())];
    for (key, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        value[key] = number.into();
    }
    if !mark.aux.is_empty() {
        let key = if std::str::from_utf8(&mark.aux).is_ok() { "aux" } else { "aux_latin1" };
        value[key] = mark.aux_text().into();
    }
}

/// A lead without points from its line.
fn lead_of(value: &Value) -> Option<Lead> {
    let integer = |key: &str| i32::try_from(value.get(key)?.as_i64()?).ok();
    let mut lead = Lead::new(value.get("name").and_then(Value::as_str).unwrap_or(""), DEFAULT_GAIN, Vec::new());
    lead.units = value.get("units")?.as_str()?.to_string();
    lead.gain_adu_per_unit = match value.get("gain_adu_per_unit")? {
        Value::Null => None,
        gain => Some(gain.as_f64().filter(|gain| gain.is_normal())?),
    };
    lead.samples_per_frame = match value.get("samples_per_frame") {
        Some(n) => n.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0)?,
        None => 1,
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

/// An annotator and its mark from their line.
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
