//! Records to EDF+C: digital numbers as they are, marks and the description as annotations.
//!
//! The patient is never named; a synthetic record has SYNTHETIC in the fields of patient and
//! recording. Missing points are stored as -32768, outside the stated digital range. The last data
//! record is padded with them where the length does not divide into records; the description has the
//! true length.

use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{LeadNames, PREFIX, lines, one_line, text_of_mark};
use crate::record::format::fit::{decimal_field, fit_leads, snapped};
use crate::record::format::guard_overwrite;
use crate::record::format::notes::input;
use crate::record::format::synthetic;
use crate::record::lead::DEFAULT_GAIN;
use crate::record::{Lead, MISSING, Record, Warning, WriteOptions, lead_law};
use crate::run;

use super::header::{ANNOTATIONS, MONTHS};
use super::{MARKER, tal};

/// Data records stay below this, as the format recommends.
const RECORD_BYTES: usize = 61_440;
/// Ends of the digital range that are tried, the widest first: round numbers give round physical ends.
const DIGITAL_ENDS: [i32; 8] = [32_767, 32_000, 30_000, 25_000, 20_000, 16_384, 16_000, 10_000];

/// Writes a record as EDF+C.
///
/// # Errors
/// Rule D12 for points beyond 16 bits or a calibration that does not fit the header's fields,
/// [`Error::Guard`] when the file exists, [`Error::Unsupported`] for the extension of BDF.
pub fn write(record: &Record, path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("bdf")) {
        return Err(Error::Unsupported { what: "writing BDF (write .edf instead)".into() });
    }
    guard_overwrite(&[path.to_path_buf()], options.overwrite)?;
    let mut warnings = Vec::new();
    let leads = fit_leads(record, path, options, (-32_767, 32_767), &mut warnings)?;
    let step = data_record(record, &leads, path, &mut warnings)?;
    let n_records = record.sig_len.div_ceil(step.frames).max(1);
    let areas = annotation_areas(record, &leads, n_records, step.duration_s, path)?;
    let points = areas.first().map_or(0, |area| area.len() / 2);
    let mut bytes = head(record, &leads, &step, n_records, points, path, &mut warnings)?;
    for (index, area) in areas.iter().enumerate() {
        for lead in &leads {
            let spf = lead.samples_per_frame;
            for at in index * step.frames * spf..(index + 1) * step.frames * spf {
                let point = lead.adu.get(at).copied().filter(|&point| point != MISSING);
                // `fit_leads` has bounded every present point.
                let stored = point.map_or(MARKER, |point| point as i16);
                bytes.extend(stored.to_le_bytes());
            }
        }
        bytes.extend(area);
    }
    run::write_atomic(path, &bytes)?;
    Ok(warnings)
}

/// Length of a data record.
struct Step {
    frames: usize,
    duration_s: f64,
    duration: String,
}

/// About a second, of exact duration in eight characters, and a divisor of the record's length where
/// there is one; otherwise the duration that is nearest to exact.
fn data_record(record: &Record, leads: &[Lead], path: &Path, warnings: &mut Vec<Warning>) -> Result<Step> {
    let points: usize = leads.iter().map(|lead| lead.samples_per_frame).sum::<usize>().max(1);
    let most = (RECORD_BYTES / 2 / points).max(1);
    let rounded = |frames: usize| {
        let duration = decimal_field(frames as f64 / record.fs_hz, 8)?;
        let duration_s: f64 = duration.parse().ok().filter(|seconds| *seconds > 0.0)?;
        let error = (snapped(frames as f64 / duration_s) / record.fs_hz - 1.0).abs();
        Some((error, Step { frames, duration_s, duration }))
    };
    let exact = |frames: usize| rounded(frames).filter(|(error, _)| *error == 0.0).map(|(_, step)| step);
    let one_second = (record.fs_hz.round() as usize).clamp(1, most);
    let mut lengths: Vec<usize> = (1..=most).collect();
    lengths.sort_by_key(|frames| frames.abs_diff(one_second));
    // A divisor far below a second would cost an annotation list for each few points.
    let divides = |frames: &&usize| record.sig_len.is_multiple_of(**frames) && 4 * **frames >= one_second;
    let whole = Some(record.sig_len).filter(|len| (1..=one_second).contains(len)).and_then(exact);
    let divisor = whole.or_else(|| lengths.iter().filter(divides).find_map(|&frames| exact(frames)));
    if let Some(step) = divisor.or_else(|| lengths.iter().find_map(|&frames| exact(frames))) {
        return Ok(step);
    }
    let nearest = lengths.into_iter().filter_map(rounded).min_by(|a, b| a.0.total_cmp(&b.0));
    match nearest.filter(|(error, _)| *error < 1e-5) {
        Some((error, step)) => {
            let message = format!("sampling frequency: the header's fields round {} Hz by {error:.1e}", record.fs_hz);
            warnings.push(Warning { code: "D12", path: path.to_path_buf(), position: Position::File, message });
            Ok(step)
        }
        None => {
            let found = format!("{} Hz", record.fs_hz);
            let expected = "a rate at which some data record has a duration of eight characters";
            Err(input("D12", path, Position::File, "sampling frequency", found, expected).into())
        }
    }
}

/// The bytes of the annotation channel, of the same length for each data record.
fn annotation_areas(
    record: &Record,
    leads: &[Lead],
    n_records: usize,
    duration_s: f64,
    path: &Path,
) -> Result<Vec<Vec<u8>>> {
    let described = lines(record, leads, LeadNames::InLines).into_iter().map(|line| (0, PREFIX.to_string() + &line));
    let mut marks: Vec<(i64, String)> = described.collect();
    let n_lines = marks.len();
    for (annotator, list) in &record.annotations {
        marks.extend(list.iter().map(|mark| (mark.sample, text_of_mark(annotator, mark))));
    }
    // Stable, so that the lines stay in front and marks of one time in their order.
    marks[n_lines..].sort_by_key(|(sample, _)| *sample);
    let mut texts = Vec::with_capacity(marks.len());
    for (sample, text) in &marks {
        if text.contains(['\0', '\x14', '\x15']) || *sample < 0 {
            let reason = format!("mark at {sample}: found {text:?}, expected a time from 0 and no control characters");
            return Err(Error::data(path.display().to_string(), reason));
        }
        texts.push(tal::encode(*sample as f64 / record.fs_hz, text));
    }
    let starts: Vec<Vec<u8>> = (0..n_records).map(|index| tal::encode(index as f64 * duration_s, "")).collect();
    // The smallest area into which everything goes in order, found by halving.
    let (mut too_small, mut enough) = (0, starts.iter().chain(&texts).map(Vec::len).sum::<usize>() + 1);
    while enough - too_small > 1 {
        let size = (enough + too_small) / 2;
        if pack(&starts, &texts, size).is_some() {
            enough = size;
        } else {
            too_small = size;
        }
    }
    let size = enough.next_multiple_of(2);
    // A larger area holds all the more.
    Ok(pack(&starts, &texts, size).unwrap_or_default())
}

/// Lists in areas of one size, each after the start of its data record; `None` if they do not fit.
fn pack(starts: &[Vec<u8>], texts: &[Vec<u8>], size: usize) -> Option<Vec<Vec<u8>>> {
    let mut areas = Vec::with_capacity(starts.len());
    let mut rest = texts;
    for start in starts {
        let mut area = start.clone();
        if area.len() > size {
            return None;
        }
        while let Some((next, others)) = rest.split_first().filter(|(next, _)| area.len() + next.len() <= size) {
            area.extend(next);
            rest = others;
        }
        area.resize(size, 0);
        areas.push(area);
    }
    rest.is_empty().then_some(areas)
}

/// Calibration as the header states it.
struct Range {
    digital: (i32, i32),
    physical: (String, String),
}

/// A digital range whose physical ends fit eight characters, exactly where that can be.
fn range(lead: &Lead, path: &Path, warnings: &mut Vec<Warning>) -> Result<Range> {
    let gain = lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN);
    let (low, high) = lead.range_adu().unwrap_or((0, 0));
    let reach = low.abs().max(high.abs());
    let mut nearest: Option<(f64, Range)> = None;
    for end in DIGITAL_ENDS.into_iter().filter(|&end| end >= reach) {
        let physical = |digital: i32| decimal_field((f64::from(digital) - f64::from(lead.baseline_adu)) / gain, 8);
        let (Some(bottom), Some(top)) = (physical(-end), physical(end)) else { continue };
        let (Ok(low_unit), Ok(high_unit)) = (bottom.parse::<f64>(), top.parse::<f64>()) else { continue };
        let read_gain = snapped(f64::from(2 * end) / (high_unit - low_unit));
        let read_baseline = f64::from(-end) - low_unit * read_gain;
        let shift = (read_baseline - f64::from(lead.baseline_adu)).abs() / f64::from(end);
        let error = (read_gain / gain - 1.0).abs().max(shift);
        if nearest.as_ref().is_none_or(|(least, _)| error < *least) {
            nearest = Some((error, Range { digital: (-end, end), physical: (bottom, top) }));
        }
    }
    match nearest.filter(|(error, _)| *error < 5e-5) {
        Some((error, range)) => {
            if error > 1e-7 {
                let message = format!("lead {}: the header's fields round its calibration by {error:.1e}", lead.name);
                warnings.push(Warning { code: "D12", path: path.to_path_buf(), position: Position::File, message });
            }
            Ok(range)
        }
        None => {
            let field = format!("calibration of lead {}", lead.name);
            let found = format!("gain {gain}, baseline {}", lead.baseline_adu);
            Err(input("D12", path, Position::File, field, found, "physical ends of eight characters").into())
        }
    }
}

/// The header.
fn head(
    record: &Record,
    leads: &[Lead],
    step: &Step,
    n_records: usize,
    annotation_points: usize,
    path: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<u8>> {
    let is_synthetic = synthetic::is_synthetic(record);
    let n = leads.len() + 1;
    let date = record.base_date.as_deref().and_then(date_fields);
    let start = date.as_ref().map_or("X", |date| &date.1);
    let mut text = pad("0", 8);
    let patient = format!("{} X X X", synthetic::PATIENT);
    text += &pad(if is_synthetic { &patient } else { "X X X X" }, 80);
    let code = if is_synthetic { synthetic::PATIENT } else { "X" };
    let technician = if is_synthetic { synthetic::WARNING.replace(' ', "_") } else { "X".into() };
    text += &pad(&format!("Startdate {start} {code} {technician} einthoven"), 80);
    text += &pad(date.as_ref().map_or("01.01.85", |date| &date.0), 8);
    text += &pad(&time_field(record.base_time.as_deref()), 8);
    text += &pad(&(256 * (n + 1)).to_string(), 8);
    text += &pad("EDF+C", 44);
    text += &pad(&n_records.to_string(), 8);
    text += &pad(&step.duration, 8);
    text += &pad(&n.to_string(), 4);
    let ranges = leads.iter().map(|lead| range(lead, path, warnings)).collect::<Result<Vec<Range>>>()?;
    let mut column = |width: usize, of: &dyn Fn(&Lead, &Range) -> String, of_annotations: &str| {
        for (lead, range) in leads.iter().zip(&ranges) {
            text += &pad(&of(lead, range), width);
        }
        text += &pad(of_annotations, width);
    };
    column(16, &|lead, _| label(&lead.name), ANNOTATIONS);
    column(80, &|_, _| String::new(), "");
    column(8, &|lead, _| lead.units.replace(['\u{b5}', '\u{3bc}'], "u"), "");
    column(8, &|_, range| range.physical.0.clone(), "-1");
    column(8, &|_, range| range.physical.1.clone(), "1");
    column(8, &|_, range| range.digital.0.to_string(), "-32768");
    column(8, &|_, range| range.digital.1.to_string(), "32767");
    column(80, &|_, _| String::new(), "");
    column(8, &|lead, _| (step.frames * lead.samples_per_frame).to_string(), &annotation_points.to_string());
    column(32, &|_, _| String::new(), "");
    Ok(text.into_bytes())
}

/// A field of fixed width in ASCII; what is not becomes a question mark.
fn pad(text: &str, width: usize) -> String {
    let shown = one_line(text).chars().take(width).map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>();
    format!("{shown:width$}")
}

/// The label of a lead: a standard ECG lead has its type in front.
fn label(name: &str) -> String {
    match lead_law::standard_name(name) {
        Some(standard) => format!("ECG {standard}"),
        None => name.to_string(),
    }
}

/// `dd/mm/yyyy` as `dd.mm.yy` and `dd-MMM-yyyy`.
fn date_fields(date: &str) -> Option<(String, String)> {
    let numbers = date.split('/').map(|part| part.parse().ok()).collect::<Option<Vec<usize>>>()?;
    let [day, month, year] = numbers.try_into().ok()?;
    let name = MONTHS.get(month.checked_sub(1)?)?;
    let is_sound = (1..=31).contains(&day) && (1000..=9999).contains(&year);
    is_sound.then(|| (format!("{day:02}.{month:02}.{:02}", year % 100), format!("{day:02}-{name}-{year:04}")))
}

/// `hh:mm:ss` as `hh.mm.ss`; midnight where there is none.
fn time_field(time: Option<&str>) -> String {
    let whole = time.and_then(|time| time.split('.').next()).unwrap_or("");
    let numbers: Vec<u8> = whole.split(':').filter_map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [hour, minute, second] if hour < 24 && minute < 60 && second < 60 => {
            format!("{hour:02}.{minute:02}.{second:02}")
        }
        _ => "00.00.00".into(),
    }
}
