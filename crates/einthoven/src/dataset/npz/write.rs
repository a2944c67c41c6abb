//! A data set to NPZ, some items at a time: amplitudes go to the file as they come, and only what stands beside them, a
//! few bytes of names and labels for each item, is kept until the end.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use zip::{CompressionMethod, ZipWriter};

use super::facts;
use super::npy::{self, Values};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::record::format::npz::archive::{BLOCK, options, write_entry};

/// A file that grows, beside its path until it is whole.
pub struct Writer {
    path: PathBuf,
    archive: ZipWriter<BufWriter<File>>,
    n: usize,
    /// All but the amplitudes.
    beside: Dataset,
    partial: Partial,
}

/// The file while it is being written; what is left under this name when a writer ends is of no use.
struct Partial(PathBuf);

impl Partial {
    fn beside(path: &Path) -> Partial {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".partial");
        Partial(path.with_file_name(name))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // A whole file has been renamed by now, and a partial one that cannot be removed is harmless.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Writer {
    /// Opens the file for `n` items with the axes of `axes`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, axes: &Dataset, n: usize) -> Result<Writer> {
        let io = |source| Error::io(path, source);
        let partial = Partial::beside(path);
        let mut archive = ZipWriter::new(BufWriter::new(File::create(&partial.0).map_err(io)?));
        let shape = [n, axes.leads.len(), axes.sig_len];
        // Amplitudes are stored: deflate takes a hundred times as long as the copy and halves them at best. Sizes from
        // 4 GiB on need the 64-bit form of the archive.
        let is_large = 4 * shape.iter().map(|&axis| axis as u64).product::<u64>() >= u64::from(u32::MAX) - 4096;
        archive
            .start_file("ecg.npy", options(CompressionMethod::Stored, is_large))
            .map_err(|error| io(error.into()))?;
        archive.write_all(&npy::header(&shape, &Values::F32(Vec::new()))).map_err(io)?;
        let beside = Dataset {
            rr_s: axes.rr_s.as_ref().map(|_| Vec::new()),
            facts: axes.facts.as_ref().map(|_| Vec::new()),
            ..Dataset::new(axes.leads.clone(), axes.sig_len, axes.fs_hz, axes.label_names.clone())
        };
        Ok(Writer { path: path.to_path_buf(), archive, n, beside, partial })
    }

    /// Adds items of the same axes.
    ///
    /// # Errors
    /// [`Error::Shape`] if the axes of the items disagree among each other, [`Error::Data`] if they differ from those of
    /// the file; [`Error::Io`].
    pub fn push(&mut self, items: &Dataset) -> Result<()> {
        items.validate()?;
        self.beside.append_beside_ecg(items)?;
        let mut block = Vec::with_capacity(4 * BLOCK.min(items.ecg.len()));
        for values in items.ecg.chunks(BLOCK) {
            block.clear();
            block.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            self.archive.write_all(&block).map_err(|source| Error::io(&self.path, source))?;
        }
        Ok(())
    }

    /// Ends the file and gives it its name.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of items than was announced; [`Error::Io`].
    pub fn finish(self, provenance: &Value) -> Result<()> {
        let actual = self.beside.len();
        if actual != self.n {
            return Err(Error::Shape { what: "items".into(), expected: vec![self.n], actual: vec![actual] });
        }
        let Writer { path, archive, beside, partial, .. } = self;
        let written = end(archive, &beside, provenance).and_then(|()| std::fs::rename(&partial.0, &path));
        written.map_err(|source| Error::Io { path, source })
    }
}

/// Writes what stands beside the amplitudes, and waits until all is on the disk.
fn end(mut archive: ZipWriter<BufWriter<File>>, data: &Dataset, provenance: &Value) -> std::io::Result<()> {
    let text = |items: &[String]| Values::Text(items.to_vec());
    let n = data.len();
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
        ("provenance", vec![], Values::Text(vec![provenance.to_string()])),
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
    let mut out = archive.finish()?;
    out.flush()?;
    out.get_ref().sync_all()
}
