//! Data sets as NPZ: what `numpy.load` reads without pickles.
//!
//! Keys: `ecg` f4 `[n, lead, time]` mV, `leads`, `fs_hz`, `label_names`, `labels` u1 `[n, label]`
//! multi-hot, `record`, `patient`, `split`, `index`, `rr_s` f4 `[n, 2]` where there is rhythm, `facts` f8
//! `[n, fact]` with `fact_names` (NaN is missing), `sex` and `site` (empty is missing) where anything is known beside
//! labels, and `provenance` (JSON text). Text is fixed-width Unicode. The same data set gives the same bytes: the
//! entries carry no clock.

mod facts;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use super::{Dataset, Split};
use crate::error::{Error, InputError, Position, Result};
use crate::record::format::npz::archive::{CODE, limit_bytes, read_arrays};
pub use crate::record::format::npz::npy;
use npy::{Array, Values};
pub use write::Writer;

/// Writes a data set.
///
/// The file appears whole or not at all: it is written beside `path` and renamed.
///
/// # Errors
/// [`Error::Shape`] if the axes of the data set disagree; [`Error::Io`].
pub fn write(path: &Path, data: &Dataset) -> Result<()> {
    let mut writer = Writer::create(path, data, data.len())?;
    writer.push(data)?;
    writer.finish(&data.provenance)
}

/// Reads a data set that [`write()`] or numpy wrote.
///
/// # Errors
/// [`Error::Input`] `X02` for object arrays, shapes that do not fit the bytes, archives that expand
/// beyond 32 MiB plus eight times their size, names that leave the archive, missing or unknown keys and
/// arrays whose lengths disagree; [`Error::Io`].
pub fn read(path: &Path) -> Result<Dataset> {
    let mut file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    refuse_parquet(&mut file, path)?;
    let length = file.metadata().map_err(|source| Error::Io { path: path.into(), source })?.len();
    let mut arrays = read_arrays(BufReader::new(file), path, limit_bytes(length))?;
    assemble(&mut arrays, path)
}

/// Says of a Parquet table, which `sample` writes for other tools, what is read in its place.
fn refuse_parquet(file: &mut File, path: &Path) -> Result<()> {
    let mut head = Vec::new();
    let read = file.take(4).read_to_end(&mut head).and_then(|_| file.rewind());
    read.map_err(|source| Error::Io { path: path.into(), source })?;
    if head != b"PAR1" {
        return Ok(());
    }
    Err(InputError {
        code: CODE,
        path: path.into(),
        position: Position::File,
        field: "format".into(),
        found: "a Parquet table".into(),
        expected: "a data set as NPZ".into(),
        hint: "tables are for other tools; draw the set into X.npz as well, the same seed gives the same items".into(),
    }
    .into())
}

fn assemble(arrays: &mut BTreeMap<String, Array>, path: &Path) -> Result<Dataset> {
    let fault = |field: &str, found: String, expected: &str| -> Error {
        InputError {
            code: CODE,
            path: path.into(),
            position: Position::File,
            field: field.into(),
            found,
            expected: expected.into(),
            hint: String::new(),
        }
        .into()
    };
    let mut take = |key: &str, n_axes: usize| -> Result<Array> {
        let array = arrays.remove(key).ok_or_else(|| fault(key, "no such array".into(), "the keys of a data set"))?;
        if array.shape.len() != n_axes {
            return Err(fault(key, format!("shape {:?}", array.shape), &format!("{n_axes} axes")));
        }
        Ok(array)
    };
    let text = |key: &str, array: Array| match array.values {
        Values::Text(texts) => Ok(texts),
        other => Err(fault(key, other.kind().into(), "text")),
    };
    let ecg = take("ecg", 3)?;
    let shape = ecg.shape;
    let Values::F32(amplitudes) = ecg.values else {
        return Err(fault("ecg", ecg.values.kind().into(), "f4"));
    };
    let fs_hz = match take("fs_hz", 0)?.values {
        Values::F64(values) => values[0],
        Values::F32(values) => f64::from(values[0]),
        Values::I64(values) => values[0] as f64,
        other => return Err(fault("fs_hz", other.kind().into(), "a number")),
    };
    if !(fs_hz.is_finite() && fs_hz > 0.0) {
        return Err(fault("fs_hz", fs_hz.to_string(), "a positive sampling rate in Hz"));
    }
    let labels = match take("labels", 2)?.values {
        Values::U8(values) => values,
        other => return Err(fault("labels", other.kind().into(), "u1")),
    };
    let index = match take("index", 1)?.values {
        Values::I64(values) => values,
        other => return Err(fault("index", other.kind().into(), "integers")),
    };
    let split = text("split", take("split", 1)?)?
        .iter()
        .map(|name| match name.as_str() {
            "train" => Ok(Split::Train),
            "validation" => Ok(Split::Validation),
            "test" => Ok(Split::Test),
            other => Err(fault("split", format!("\"{other}\""), "train, validation or test")),
        })
        .collect::<Result<Vec<Split>>>()?;
    let provenance = text("provenance", take("provenance", 0)?)?.concat();
    let provenance =
        serde_json::from_str(&provenance).map_err(|error| fault("provenance", error.to_string(), "JSON text"))?;
    let mut data = Dataset {
        ecg: amplitudes,
        leads: text("leads", take("leads", 1)?)?,
        sig_len: shape[2],
        fs_hz,
        label_names: text("label_names", take("label_names", 1)?)?,
        labels,
        record: text("record", take("record", 1)?)?,
        patient: text("patient", take("patient", 1)?)?,
        split,
        index,
        rr_s: None,
        facts: None,
        provenance,
    };
    if let Ok(rr) = take("rr_s", 2) {
        let Values::F32(values) = rr.values else {
            return Err(fault("rr_s", rr.values.kind().into(), "f4"));
        };
        data.rr_s = Some(values.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect());
    }
    data.facts = facts::read(arrays, data.len(), &fault)?;
    if shape[0] != data.len() || shape[1] != data.leads.len() {
        return Err(fault(
            "ecg",
            format!("shape {shape:?}"),
            &format!("[{}, {}, time] as in record and leads", data.len(), data.leads.len()),
        ));
    }
    data.validate().map_err(|error| fault("arrays", error.to_string(), "lengths that agree"))?;
    if let Some(key) = arrays.keys().next() {
        return Err(fault(key, "an unknown array".into(), "the keys of a data set"));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_told_from_a_broken_archive() {
        let path = std::env::temp_dir().join(format!("einthoven-table-{}.parquet", std::process::id()));
        std::fs::write(&path, b"PAR1 and more").unwrap();
        let error = read(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let Error::Input(error) = error else { panic!("{error}") };
        assert_eq!((error.found.as_str(), error.field.as_str()), ("a Parquet table", "format"));
        assert!(error.hint.contains("X.npz"), "{}", error.hint);
    }
}
