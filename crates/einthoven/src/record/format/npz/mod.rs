//! Records as NPZ: what `numpy.load` reads without pickles.
//!
//! Keys: `fs_hz`, `leads`, `units`, `gain_adu_per_unit`, `baseline_adu`, `samples_per_frame`, `adu`
//! (the digital points, one lead after the other, missing ones as -2147483648), `ecg` f4
//! `[lead, time]` mV where all leads are voltages of one rate (NaN where missing), and `description`,
//! the lines that a record has besides. An array set from elsewhere needs `ecg`, `leads` and `fs_hz`;
//! its values are then kept to a thousandth of a millivolt. Data sets have other keys and their own
//! module.

pub(crate) mod archive;
pub mod npy;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

use zip::{ZipArchive, ZipWriter};

use crate::error::{Error, Position, Result};
use crate::record::format::description::{Description, LeadNames, PREFIX, lines, mark_lines};
use crate::record::format::finish::finish;
use crate::record::format::fit::fit_leads;
use crate::record::format::guard_overwrite;
use crate::record::format::notes::{Notes, input, read_file};
use crate::record::lead::DEFAULT_GAIN;
use crate::record::{Lead, MISSING, ReadOptions, Record, StorageFormat, Warning, WriteOptions};
use crate::run;

use archive::{CODE, limit_bytes, read_arrays, write_entry};
use npy::{Array, Values};

/// Gain given to leads that come as millivolts alone, in adu per mV.
const ARRAY_GAIN: f64 = 1000.0;

/// Whether an archive holds a record and not a data set: it has no labels.
pub fn is_record(path: &Path) -> bool {
    let archive = File::open(path).ok().and_then(|file| ZipArchive::new(BufReader::new(file)).ok());
    archive.is_some_and(|archive| {
        archive.index_for_name("labels.npy").is_none() && archive.index_for_name("fs_hz.npy").is_some()
    })
}

/// Reads a record from an archive of arrays.
///
/// # Errors
/// [`Error::Io`]; rule X02, as for data sets.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Record> {
    let mut notes = Notes::new(options);
    let bytes = read_file(path, u64::MAX, CODE)?;
    let limit = limit_bytes(bytes.len() as u64);
    let mut arrays = Arrays { found: read_arrays(Cursor::new(bytes), path, limit)?, path };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut record = Record::new(stem.clone(), arrays.number("fs_hz")?);
    if !(record.fs_hz.is_normal() && record.fs_hz > 0.0) {
        return Err(arrays.fault("fs_hz", record.fs_hz.to_string(), "a positive sampling rate in Hz"));
    }
    let names = arrays.texts("leads")?;
    if names.len() > options.caps.signals {
        let expected = format!("at most {}", options.caps.signals);
        return Err(arrays.fault("leads", names.len().to_string(), &expected));
    }
    if arrays.found.contains_key("adu") {
        arrays.digital(names, &mut record)?;
    } else {
        arrays.physical(names, &mut record)?;
    }
    let mut description = Description::new(&stem);
    if arrays.found.contains_key("description") {
        for line in arrays.text("description")?.lines() {
            description.prefixed(&format!("{PREFIX}{line}"), (CODE, path, Position::File), &mut notes);
        }
    }
    description.apply(&mut record, (CODE, path, Position::File), &mut notes);
    finish(record, path, options, notes)
}

/// The arrays of an archive that have not been taken yet.
struct Arrays<'a> {
    found: BTreeMap<String, Array>,
    path: &'a Path,
}

impl Arrays<'_> {
    fn fault(&self, field: &str, found: String, expected: &str) -> Error {
        input(CODE, self.path, Position::File, field, found, expected).into()
    }

    fn take(&mut self, key: &str, n_axes: usize) -> Result<Array> {
        let Some(array) = self.found.remove(key) else {
            return Err(self.fault(key, "no such array".into(), "the keys of a record"));
        };
        if array.shape.len() != n_axes {
            return Err(self.fault(key, format!("shape {:?}", array.shape), &format!("{n_axes} axes")));
        }
        Ok(array)
    }

    fn texts(&mut self, key: &str) -> Result<Vec<String>> {
        match self.take(key, 1)?.values {
            Values::Text(texts) => Ok(texts),
            other => Err(self.fault(key, other.kind().into(), "text")),
        }
    }

    fn text(&mut self, key: &str) -> Result<String> {
        match self.take(key, 0)?.values {
            Values::Text(texts) => Ok(texts.concat()),
            other => Err(self.fault(key, other.kind().into(), "text")),
        }
    }

    fn numbers(&mut self, key: &str, n_axes: usize) -> Result<Vec<f64>> {
        match self.take(key, n_axes)?.values {
            Values::F64(values) => Ok(values),
            Values::F32(values) => Ok(values.into_iter().map(f64::from).collect()),
            Values::I64(values) => Ok(values.into_iter().map(|value| value as f64).collect()),
            other => Err(self.fault(key, other.kind().into(), "numbers")),
        }
    }

    fn number(&mut self, key: &str) -> Result<f64> {
        // An array without axes has one value.
        Ok(self.numbers(key, 0)?[0])
    }

    fn integers(&mut self, key: &str) -> Result<Vec<i64>> {
        match self.take(key, 1)?.values {
            Values::I64(values) => Ok(values),
            other => Err(self.fault(key, other.kind().into(), "integers")),
        }
    }

    /// Leads from digital points and their calibration.
    fn digital(&mut self, names: Vec<String>, record: &mut Record) -> Result<()> {
        let n = names.len();
        let units = self.texts("units")?;
        let gains = self.numbers("gain_adu_per_unit", 1)?;
        let baselines = self.integers("baseline_adu")?;
        let spf = self.integers("samples_per_frame")?;
        let adu = self.integers("adu")?;
        for (key, len) in [
            ("units", units.len()),
            ("gain_adu_per_unit", gains.len()),
            ("baseline_adu", baselines.len()),
            ("samples_per_frame", spf.len()),
        ] {
            if len != n {
                return Err(self.fault(key, len.to_string(), &format!("{n} as in leads")));
            }
        }
        let in_frame =
            spf.iter().try_fold(0usize, |sum, &n| sum.checked_add(usize::try_from(n).ok().filter(|&n| n > 0)?));
        let Some(in_frame) = in_frame else {
            return Err(self.fault("samples_per_frame", format!("{spf:?}"), "positive numbers"));
        };
        if n == 0 && !adu.is_empty() || n > 0 && !adu.len().is_multiple_of(in_frame) {
            let expected = format!("a multiple of {in_frame}, the points of a frame");
            return Err(self.fault("adu", format!("{} points", adu.len()), &expected));
        }
        record.sig_len = adu.len().checked_div(in_frame).unwrap_or(0);
        let mut rest = adu.as_slice();
        for (index, name) in names.into_iter().enumerate() {
            // Positive and summed above, so it fits.
            let n_points = record.sig_len * spf[index] as usize;
            let (points, others) = rest.split_at(n_points);
            rest = others;
            let points: Option<Vec<i32>> = points.iter().map(|&point| i32::try_from(point).ok()).collect();
            let (Some(points), Ok(baseline)) = (points, i32::try_from(baselines[index])) else {
                return Err(self.fault("adu", "a number beyond 32 bits".into(), "32-bit points and baselines"));
            };
            let gain = gains[index];
            if !(gain.is_nan() || gain.is_normal()) {
                return Err(self.fault("gain_adu_per_unit", gain.to_string(), "a number other than 0, or NaN"));
            }
            let mut lead = Lead::new(name, gain, points);
            lead.gain_adu_per_unit = Some(gain).filter(|gain| !gain.is_nan());
            lead.baseline_adu = baseline;
            lead.units = units[index].clone();
            lead.samples_per_frame = spf[index] as usize;
            lead.format = StorageFormat::F32;
            record.leads.push(lead);
        }
        Ok(())
    }

    /// Leads from millivolts.
    fn physical(&mut self, names: Vec<String>, record: &mut Record) -> Result<()> {
        let shape = self.found.get("ecg").map_or_else(Vec::new, |array| array.shape.clone());
        let mv = self.numbers("ecg", 2)?;
        if shape[0] != names.len() {
            let expected = format!("[{}, time] as in leads", names.len());
            return Err(self.fault("ecg", format!("shape {shape:?}"), &expected));
        }
        record.sig_len = shape[1];
        for (index, name) in names.into_iter().enumerate() {
            let mut points = Vec::with_capacity(record.sig_len);
            for (at, &value) in mv[index * record.sig_len..][..record.sig_len].iter().enumerate() {
                let adu = (value * ARRAY_GAIN).round();
                if adu.abs() >= 2_147_483_647.0 {
                    let field = format!("ecg of lead {index}, point {at}");
                    return Err(self.fault(&field, value.to_string(), "a finite value in mV, or NaN"));
                }
                points.push(if adu.is_nan() { MISSING } else { adu as i32 });
            }
            let mut lead = Lead::new(name, ARRAY_GAIN, points);
            lead.format = StorageFormat::F32;
            record.leads.push(lead);
        }
        Ok(())
    }
}

/// Writes a record as an archive of arrays.
///
/// # Errors
/// [`Error::Guard`] when the file exists, [`Error::Io`], [`Error::Shape`] for leads of other length.
pub fn write(record: &Record, path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    guard_overwrite(&[path.to_path_buf()], options.overwrite)?;
    let mut warnings = Vec::new();
    let leads = fit_leads(record, path, options, (-i32::MAX, i32::MAX), &mut warnings)?;
    let bytes = entries(record, &leads).map_err(|source| Error::io(path, source))?;
    run::write_atomic(path, &bytes)?;
    Ok(warnings)
}

/// The archive in memory.
fn entries(record: &Record, leads: &[Lead]) -> std::io::Result<Vec<u8>> {
    let n = leads.len();
    let texts = |of: fn(&Lead) -> &String| Values::Text(leads.iter().map(|lead| of(lead).clone()).collect());
    let integers = |of: fn(&Lead) -> i64| Values::I64(leads.iter().map(of).collect());
    let described: Vec<String> =
        lines(record, leads, LeadNames::InLines).into_iter().chain(mark_lines(record)).collect();
    let adu: Vec<i32> = leads.iter().flat_map(|lead| &lead.adu).copied().collect();
    let mut arrays = vec![
        ("fs_hz", vec![], Values::F64(vec![record.fs_hz])),
        ("leads", vec![n], texts(|lead| &lead.name)),
        ("units", vec![n], texts(|lead| &lead.units)),
        (
            "gain_adu_per_unit",
            vec![n],
            Values::F64(leads.iter().map(|lead| lead.gain_adu_per_unit.unwrap_or(f64::NAN)).collect()),
        ),
        ("baseline_adu", vec![n], integers(|lead| lead.baseline_adu.into())),
        ("samples_per_frame", vec![n], integers(|lead| lead.samples_per_frame as i64)),
        ("adu", vec![adu.len()], Values::I32(adu)),
        ("description", vec![], Values::Text(vec![described.join("\n")])),
    ];
    if let Some(mv) = millivolts(leads) {
        arrays.push(("ecg", vec![n, record.sig_len], Values::F32(mv)));
    }
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, shape, values) in &arrays {
        write_entry(&mut archive, name, shape, values)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// All leads in mV, when they are voltages of one rate.
fn millivolts(leads: &[Lead]) -> Option<Vec<f32>> {
    let mut mv = Vec::new();
    for lead in leads {
        let scale = lead.mv_per_unit().filter(|_| lead.samples_per_frame == 1)?;
        let factor = scale / lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN);
        let value = |point: i32| ((f64::from(point) - f64::from(lead.baseline_adu)) * factor) as f32;
        mv.extend(lead.adu.iter().map(|&point| if point == MISSING { f32::NAN } else { value(point) }));
    }
    Some(mv)
}
