//! Data sets as NPZ: what `numpy.load` reads without pickles.
//!
//! Keys: `ecg` f4 `[n, lead, time]` mV, `leads`, `fs_hz`, `label_names`, `labels` u1 `[n, label]`
//! multi-hot, `record`, `patient`, `split`, `index`, `rr_s` f4 `[n, 2]` where there is rhythm, `facts` f8
//! `[n, fact]` with `fact_names` (NaN is missing), `sex` and `site` (empty is missing) where anything is known beside
//! labels, and `provenance` (JSON text). Text is fixed-width Unicode. The same data set gives the same bytes: the
//! entries carry no clock.

mod facts;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use zip::{CompressionMethod, ZipWriter};

use super::{Dataset, Split};
use crate::error::{Error, InputError, Position, Result};
use crate::record::format::npz::archive::{BLOCK, CODE, limit_bytes, options, read_arrays, write_entry};
pub use crate::record::format::npz::npy;
use npy::{Array, Values};

/// Writes a data set.
///
/// The file appears whole or not at all: it is written beside `path` and renamed.
///
/// # Errors
/// [`Error::Shape`] if the axes of the data set disagree; [`Error::Io`].
pub fn write(path: &Path, data: &Dataset) -> Result<()> {
    data.validate()?;
    let io = |source| Error::Io { path: path.to_path_buf(), source };
    let part = partial(path);
    let file = File::create(&part).map_err(io)?;
    let written = write_entries(BufWriter::new(file), data).and_then(|mut out| {
        out.flush()?;
        out.get_ref().sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&part, path));
    renamed.map_err(|source| {
        // The error of the write is what matters; a partial file that cannot be removed is harmless.
        let _ = std::fs::remove_file(&part);
        io(source)
    })
}

/// Reads a data set that [`write()`] or numpy wrote.
///
/// # Errors
/// [`Error::Input`] `X02` for object arrays, shapes that do not fit the bytes, archives that expand
/// beyond 32 MiB plus eight times their size, names that leave the archive, missing or unknown keys and
/// arrays whose lengths disagree; [`Error::Io`].
pub fn read(path: &Path) -> Result<Dataset> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    let length = file.metadata().map_err(|source| Error::Io { path: path.into(), source })?.len();
    let mut arrays = read_arrays(BufReader::new(file), path, limit_bytes(length))?;
    assemble(&mut arrays, path)
}

/// Path of the file while it is being written.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    path.with_file_name(name)
}

fn write_entries<W: Write + Seek>(out: W, data: &Dataset) -> std::io::Result<W> {
    let text = |items: &[String]| Values::Text(items.to_vec());
    let n = data.len();
    let mut archive = ZipWriter::new(out);
    let ecg_shape = [n, data.leads.len(), data.sig_len];
    // Amplitudes are stored: deflate takes a hundred times as long as the copy and halves them at best.
    write_f32(&mut archive, "ecg", &ecg_shape, &data.ecg)?;
    let split: Vec<String> = data.split.iter().map(|split| split.name().to_string()).collect();
    let small: [(&str, Vec<usize>, Values); 9] = [
        ("leads", vec![data.leads.len()], text(&data.leads)),
        ("fs_hz", vec![], Values::F64(vec![data.fs_hz])),
        ("label_names", vec![data.n_labels()], text(&data.label_names)),
        ("labels", vec![n, data.n_labels()], Values::U8(data.labels.clone())),
        ("record", vec![n], text(&data.record)),
        ("patient", vec![n], text(&data.patient)),
        ("split", vec![n], Values::Text(split)),
        ("index", vec![n], Values::I64(data.index.clone())),
        ("provenance", vec![], Values::Text(vec![data.provenance.to_string()])),
    ];
    for (name, shape, values) in &small {
        write_entry(&mut archive, name, shape, values)?;
    }
    if let Some(rr_s) = &data.rr_s {
        write_entry(&mut archive, "rr_s", &[n, 2], &Values::F32(rr_s.iter().flatten().copied().collect()))?;
    }
    if let Some(facts) = &data.facts {
        facts::write(&mut archive, facts)?;
    }
    Ok(archive.finish()?)
}

/// Writes floats without a copy of the whole array.
fn write_f32<W: Write + Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    shape: &[usize],
    values: &[f32],
) -> std::io::Result<()> {
    // Sizes from 4 GiB on need the 64-bit form of the archive.
    let is_large = values.len() as u64 * 4 >= u64::from(u32::MAX) - 4096;
    archive.start_file(format!("{name}.npy"), options(CompressionMethod::Stored, is_large))?;
    archive.write_all(&npy::header(shape, &Values::F32(Vec::new())))?;
    let mut block = Vec::with_capacity(4 * BLOCK);
    for values in values.chunks(BLOCK) {
        block.clear();
        block.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        archive.write_all(&block)?;
    }
    Ok(())
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
