//! Records to DICOM: a 12-lead ECG object where the record is one, otherwise a general ECG.
//!
//! Leads of one rate share a multiplex group. A synthetic record has (0008,001C) = YES and the
//! patient SYNTHETIC^ECG; no other name, date or serial number is ever made up. Where the standard
//! calls for a date and none is known, 1900-01-01 stands. Identifiers are hashes of the record.

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{LeadNames, PREFIX, lines, text_of_mark};
use crate::record::format::fit::{decimal_field, fit_leads, rate_groups};
use crate::record::format::guard_overwrite;
use crate::record::format::notes::input;
use crate::record::format::start_time::digits_of;
use crate::record::format::synthetic::{self, Identifiers};
use crate::record::lead::DEFAULT_GAIN;
use crate::record::{Lead, MISSING, Record, Warning, WriteOptions, lead_law};
use crate::run;

use super::{NO_DATE, tag};

/// The stored number of a missing point, named in the padding element.
const PADDING: i16 = i16::MIN;
/// Names the software that wrote a file, as the standard asks; a UUID chosen once.
const IMPLEMENTATION: &str = "2.25.303812458317246301958271330047526613107";

/// Writes a record as a DICOM file, explicit little endian, 16 bits.
///
/// # Errors
/// Rule D12 for points beyond 16 bits, [`Error::Guard`] when the file exists, [`Error::Data`] for a
/// record without points, or with marks that the format cannot count.
pub fn write(record: &Record, path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    guard_overwrite(&[path.to_path_buf()], options.overwrite)?;
    let mut warnings = Vec::new();
    let leads = fit_leads(record, path, options, (-32_767, 32_767), &mut warnings)?;
    if leads.is_empty() || record.sig_len == 0 {
        let reason = "found no points, expected at least one lead with one: a waveform object needs them";
        return Err(Error::data(&record.name, reason));
    }
    let groups = rate_groups(&leads);
    let class = class(record, &leads, &groups);
    limits(class, record, &leads, &groups, path, &mut warnings);
    let identifiers = Identifiers::of(record);
    let mut meta = Elements::default();
    meta.put(0x0002_0001, b"OB", &[0, 1]);
    meta.text(tag::MEDIA_CLASS, b"UI", class);
    meta.text(0x0002_0003, b"UI", &identifiers.uid("instance"));
    meta.text(tag::TRANSFER_SYNTAX, b"UI", tag::EXPLICIT_LITTLE);
    meta.text(0x0002_0012, b"UI", IMPLEMENTATION);
    meta.text(0x0002_0013, b"SH", "EINTHOVEN");
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    let mut length = Elements::default();
    length.put(0x0002_0000, b"UL", &(meta.bytes.len() as u32).to_le_bytes());
    file.extend(length.bytes);
    file.extend(meta.bytes);
    file.extend(data_set(record, &leads, &groups, class, &identifiers, path)?.bytes);
    run::write_atomic(path, &file)?;
    Ok(warnings)
}

/// Elements in the order in which they are put.
#[derive(Default)]
struct Elements {
    bytes: Vec<u8>,
}

impl Elements {
    /// An element; a value of odd length is padded.
    fn put(&mut self, tag: u32, vr: &[u8; 2], value: &[u8]) {
        let length = value.len().next_multiple_of(2);
        self.bytes.extend(((tag >> 16) as u16).to_le_bytes());
        self.bytes.extend((tag as u16).to_le_bytes());
        self.bytes.extend(vr);
        if matches!(vr, b"OB" | b"OW" | b"SQ" | b"UT") {
            self.bytes.extend([0, 0]);
            self.bytes.extend((length as u32).to_le_bytes());
        } else {
            self.bytes.extend((length as u16).to_le_bytes());
        }
        self.bytes.extend(value);
        if value.len() < length {
            self.bytes.push(if matches!(vr, b"UI" | b"OB" | b"OW") { 0 } else { b' ' });
        }
    }

    fn text(&mut self, tag: u32, vr: &[u8; 2], value: &str) {
        self.put(tag, vr, value.as_bytes());
    }

    fn sequence(&mut self, tag: u32, items: Vec<Elements>) {
        let mut bytes = Vec::new();
        for item in items {
            bytes.extend([0xfe, 0xff, 0x00, 0xe0]);
            bytes.extend((item.bytes.len() as u32).to_le_bytes());
            bytes.extend(item.bytes);
        }
        self.put(tag, b"SQ", &bytes);
    }

    /// A sequence of one code.
    fn code(&mut self, tag: u32, value: &str, scheme: &str, meaning: &str) {
        let mut item = Elements::default();
        item.text(tag::CODE, b"SH", value);
        item.text(tag::SCHEME, b"SH", scheme);
        item.text(tag::MEANING, b"LO", meaning);
        self.sequence(tag, vec![item]);
    }
}

/// A 12-lead ECG has only the twelve leads, 200 to 1000 Hz and at most 16384 points of each.
fn class(record: &Record, leads: &[Lead], groups: &[Range<usize>]) -> &'static str {
    let is_standard = leads.iter().all(|lead| lead_law::standard_name(&lead.name).is_some());
    let rates = leads.iter().map(|lead| record.lead_fs_hz(lead));
    let is_resting = leads.iter().all(|lead| lead.adu.len() <= 16_384) && leads.len() <= 13 && groups.len() <= 5;
    let fits = is_standard && is_resting && rates.into_iter().all(|fs_hz| (200.0..=1000.0).contains(&fs_hz));
    if fits { tag::TWELVE_LEAD } else { tag::GENERAL_ECG }
}

/// Notes where a general ECG is beyond what its class allows.
fn limits(
    class: &str,
    record: &Record,
    leads: &[Lead],
    groups: &[Range<usize>],
    path: &Path,
    warnings: &mut Vec<Warning>,
) {
    if class != tag::GENERAL_ECG {
        return;
    }
    let outside = leads.iter().map(|lead| record.lead_fs_hz(lead)).find(|fs_hz| !(200.0..=1000.0).contains(fs_hz));
    let rate = outside.map(|fs_hz| format!("{fs_hz} Hz, and the general ECG object is for 200 to 1000 Hz"));
    let size = (leads.len() > 24 || groups.len() > 4)
        .then(|| format!("{} leads at {} rates, and the object is for 24 in 4", leads.len(), groups.len()));
    for message in [rate, size].into_iter().flatten() {
        warnings.push(Warning { code: "C05", path: path.to_path_buf(), position: Position::File, message });
    }
}

/// The object itself.
fn data_set(
    record: &Record,
    leads: &[Lead],
    groups: &[Range<usize>],
    class: &str,
    identifiers: &Identifiers,
    path: &Path,
) -> Result<Elements> {
    let is_synthetic = synthetic::is_synthetic(record);
    let (date, time) = digits_of(record);
    let (day, clock) = (date.as_deref().unwrap_or(NO_DATE), time.as_deref().unwrap_or("000000"));
    let mut out = Elements::default();
    out.text(0x0008_0005, b"CS", "ISO_IR 192");
    out.text(tag::SOP_CLASS, b"UI", class);
    out.text(0x0008_0018, b"UI", &identifiers.uid("instance"));
    if is_synthetic {
        out.text(tag::SYNTHETIC_DATA, b"CS", "YES");
    }
    out.text(0x0008_0020, b"DA", date.as_deref().unwrap_or(""));
    out.text(0x0008_0023, b"DA", day);
    out.text(tag::ACQUISITION_TIME, b"DT", &format!("{day}{clock}"));
    out.text(0x0008_0030, b"TM", time.as_deref().unwrap_or(""));
    out.text(0x0008_0033, b"TM", clock);
    out.text(0x0008_0050, b"SH", "");
    out.text(0x0008_0060, b"CS", "ECG");
    out.text(0x0008_0070, b"LO", if is_synthetic { "Einthoven" } else { "" });
    out.text(0x0008_0090, b"PN", "");
    out.text(tag::PATIENT_NAME, b"PN", &if is_synthetic { format!("{}^ECG", synthetic::PATIENT) } else { "".into() });
    out.text(0x0010_0020, b"LO", if is_synthetic { synthetic::PATIENT } else { "" });
    out.text(0x0010_0030, b"DA", "");
    out.text(0x0010_0040, b"CS", "");
    out.text(0x0020_000D, b"UI", &identifiers.uid("study"));
    out.text(0x0020_000E, b"UI", &identifiers.uid("series"));
    out.text(0x0020_0010, b"SH", "");
    out.text(0x0020_0011, b"IS", "1");
    out.text(0x0020_0013, b"IS", "1");
    out.sequence(0x0040_0555, Vec::new());
    out.sequence(tag::ANNOTATIONS, annotations(record, leads)?);
    let origin = if is_synthetic { "DERIVED" } else { "ORIGINAL" };
    let items = groups.iter().map(|group| waveform(record, &leads[group.clone()], origin, path));
    out.sequence(tag::WAVEFORMS, items.collect::<Result<Vec<Elements>>>()?);
    Ok(out)
}

/// The description and the marks, as texts.
fn annotations(record: &Record, leads: &[Lead]) -> Result<Vec<Elements>> {
    let mut items = Vec::new();
    let mut put = |text: &str, position: Option<u32>| {
        let mut item = Elements::default();
        // Group 1, all of its channels.
        item.put(tag::REFERENCED_CHANNELS, b"US", &[1, 0, 0, 0]);
        if let Some(position) = position {
            item.text(tag::TEMPORAL_TYPE, b"CS", "POINT");
            item.put(tag::POSITIONS, b"UL", &position.to_le_bytes());
        }
        if text.len() > usize::from(u16::MAX) - 1 {
            let reason = format!("found a text of {} bytes, expected at most 65534", text.len());
            return Err(Error::data(&record.name, reason));
        }
        item.text(tag::TEXT, b"ST", text);
        items.push(item);
        Ok(())
    };
    for line in lines(record, leads, LeadNames::InLines) {
        put(&format!("{PREFIX}{line}"), None)?;
    }
    let spf = leads.first().map_or(1, |lead| lead.samples_per_frame) as i64;
    for (annotator, marks) in &record.annotations {
        for mark in marks {
            let position = mark.sample.checked_mul(spf).and_then(|at| u32::try_from(at.checked_add(1)?).ok());
            let Some(position) = position.filter(|&position| position > 0) else {
                let reason = format!("mark at {}: expected a position within 32 bits", mark.sample);
                return Err(Error::data(&record.name, reason));
            };
            put(&text_of_mark(annotator, mark), Some(position))?;
        }
    }
    Ok(items)
}

/// A multiplex group of leads with one rate.
fn waveform(record: &Record, leads: &[Lead], origin: &str, path: &Path) -> Result<Elements> {
    let n_points = leads[0].adu.len();
    let fs_hz = record.lead_fs_hz(&leads[0]);
    let size = n_points * leads.len() * 2;
    if size >= u32::MAX as usize {
        let (field, expected) = ("waveform data", "less than 4 GiB in a multiplex group");
        return Err(input("D12", path, Position::File, field, format!("{size} bytes"), expected).into());
    }
    let mut out = Elements::default();
    out.text(0x003A_0004, b"CS", origin);
    out.put(tag::N_CHANNELS, b"US", &(leads.len() as u16).to_le_bytes());
    out.put(tag::N_POINTS, b"UL", &(n_points as u32).to_le_bytes());
    out.text(tag::FS_HZ, b"DS", &number(fs_hz));
    out.text(tag::GROUP_LABEL, b"SH", "RHYTHM");
    out.sequence(tag::CHANNELS, leads.iter().map(channel).collect());
    out.put(tag::BITS_ALLOCATED, b"US", &16u16.to_le_bytes());
    out.text(tag::INTERPRETATION, b"CS", "SS");
    out.put(tag::PADDING, b"OW", &PADDING.to_le_bytes());
    let mut data = Vec::with_capacity(size);
    for index in 0..n_points {
        for lead in leads {
            let point = lead.adu[index];
            // `fit_leads` has bounded every present point.
            let stored = if point == MISSING { PADDING } else { point as i16 };
            data.extend(stored.to_le_bytes());
        }
    }
    out.put(tag::DATA, b"OW", &data);
    Ok(out)
}

/// The definition of a channel.
fn channel(lead: &Lead) -> Elements {
    let gain = lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN);
    let mut out = Elements::default();
    let label: String = lead.name.chars().filter(|c| !c.is_control() && *c != '\\').take(16).collect();
    out.text(tag::CHANNEL_LABEL, b"SH", &label);
    let standard = lead_law::standard_name(&lead.name);
    let code = tag::LEAD_CODES.iter().find(|(name, _)| Some(*name) == standard);
    // 2:0 is the code of a lead that has none.
    let code = code.map_or("2:0".to_string(), |(_, code)| format!("2:{code}"));
    let meaning = standard
        .map_or_else(|| if label.is_empty() { "unspecified".into() } else { label }, |name| format!("Lead {name}"));
    out.code(tag::SOURCE, &code, "MDC", &meaning);
    out.text(tag::SENSITIVITY, b"DS", &number(1.0 / gain));
    let units: String =
        lead.units.replace(['\u{b5}', '\u{3bc}'], "u").chars().filter(char::is_ascii_graphic).take(16).collect();
    let units = if units.is_empty() { "1".to_string() } else { units };
    out.code(tag::UNITS, &units, "UCUM", &units);
    out.text(tag::CORRECTION, b"DS", "1");
    out.text(tag::BASELINE, b"DS", &number(-f64::from(lead.baseline_adu) / gain));
    out.text(tag::SKEW, b"DS", "0");
    out.put(tag::BITS_STORED, b"US", &16u16.to_le_bytes());
    out
}

/// A decimal text of at most 16 characters, as exact as that allows.
fn number(value: f64) -> String {
    let error = |text: &str| text.parse::<f64>().map_or(f64::INFINITY, |read| (read - value).abs());
    let plain = decimal_field(value + 0.0, 16);
    let scientific = (0..=9).rev().map(|digits| format!("{value:.digits$e}")).find(|text| text.len() <= 16);
    let candidates = plain.into_iter().chain(scientific);
    candidates.min_by(|a, b| error(a).total_cmp(&error(b))).unwrap_or_else(|| "0".into())
}
