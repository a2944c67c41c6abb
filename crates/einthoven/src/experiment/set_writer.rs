//! Synthetic sets to files as they are drawn, whole or not at all: NPZ, Parquet, or a folder of NPZ and WFDB records.
//!
//! Items are held for a block of fixed size and then go to the files, so that memory does not depend on their number and
//! the files do not depend on the batch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;

use crate::dataset::{Dataset, Facts, Split, npz, parquet, plus, records};
use crate::delineators::DELINEATORS;
use crate::delineators::facts::measure_each;
use crate::delineators::record::{DetectionLeads, detect_beats};
use crate::error::{Error, Result};
use crate::generators::extent::is_beats;
use crate::generators::{Item, Sink};
use crate::record::{self, Annotation, WriteOptions};
use crate::run::temporary_beside;

/// Amplitudes that are held before they are written, bytes.
pub const BLOCK_BYTES: u64 = 8 << 20;
/// Bytes of an item that stay in memory until the end: names, labels, facts, and their room in vectors.
pub const KEPT_BYTES: u64 = 512;

/// The files of a set that grows.
pub struct SetWriter {
    files: Files,
    block: Dataset,
    /// True beats of items of the block, by index, where the generator knows them.
    beats: BTreeMap<u64, Vec<Annotation>>,
    block_items: usize,
    written: Written,
    /// Whether the items are measured before they are let go.
    is_measured: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// Number of items.
    pub n_items: u64,
    /// Number of items with each label.
    pub counts: Vec<usize>,
    /// What the default delineator reads of each item, where that was asked for.
    pub measured: Vec<Facts>,
}

enum Files {
    Npz(Box<npz::Writer>),
    Parquet { table: Box<parquet::Writer>, staged: Staged },
    Folder { set: Box<npz::Writer>, wfdb: Wfdb, staged: Staged },
}

/// WFDB records of a set.
enum Wfdb {
    /// Beats back to back by class.
    Beats(Box<plus::PlusWriter>),
    /// A record for each item, into this folder.
    Records(PathBuf),
}

/// Refuses a name with the extension of a file that no set is written as; one of digits, as in `drawn-0.5`, is a folder's.
///
/// # Errors
/// [`Error::Config`] naming the extensions that are known.
pub fn check_name(out: &Path) -> Result<()> {
    let Some(extension) = out.extension().and_then(|extension| extension.to_str()) else { return Ok(()) };
    let is_known = ["npz", "parquet"].iter().any(|known| extension.eq_ignore_ascii_case(known));
    if is_known || extension.chars().all(|c| c.is_ascii_digit()) || out.is_dir() {
        return Ok(());
    }
    let reason = format!(
        "found {}, expected X.npz, X.parquet, or a folder, which has no extension; single records are written as other \
         formats by: einthoven convert",
        out.display()
    );
    Err(Error::config("--out", reason))
}

impl SetWriter {
    /// Files for `n` items with the axes and the provenance of `axes`: `X.npz`, `X.parquet`, or a folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(out: &Path, axes: &Dataset, n: usize, is_measured: bool) -> Result<SetWriter> {
        let has = |wanted: &str| out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted));
        let files = if has("npz") {
            Files::Npz(Box::new(npz::Writer::create(out, axes, n)?))
        } else if has("parquet") {
            let staged = Staged::beside(out);
            Files::Parquet { table: Box::new(parquet::Writer::create(&staged.at, axes)?), staged }
        } else {
            let staged = Staged::beside(out);
            let folder = staged.at.join("wfdb");
            std::fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
            let is_beats = is_beats(axes);
            let name = if is_beats { "beats.npz" } else { "records.npz" };
            let set = npz::Writer::create(&staged.at.join(name), axes, n)?;
            let wfdb = match is_beats {
                true => Wfdb::Beats(Box::new(plus::PlusWriter::new(&folder, axes, &WriteOptions::default()))),
                false => Wfdb::Records(folder),
            };
            Files::Folder { set: Box::new(set), wfdb, staged }
        };
        let item_bytes = 4 * (axes.leads.len() * axes.sig_len) as u64;
        let block_items = (BLOCK_BYTES / item_bytes.max(1)).max(1) as usize;
        let written = Written { counts: vec![0; axes.n_labels()], ..Written::default() };
        Ok(SetWriter { files, block: emptied(axes), beats: BTreeMap::new(), block_items, written, is_measured })
    }

    /// Writes what is still held, and says what there is.
    ///
    /// # Errors
    /// Those of the formats, of the detector, and [`Error::Io`].
    pub fn flushed(&mut self) -> Result<&Written> {
        self.flush()?;
        Ok(&self.written)
    }

    /// Ends the files and gives them their names; `provenance` is that of the axes, with what is known at the end.
    ///
    /// # Errors
    /// As [`SetWriter::flushed`].
    pub fn finish(mut self, provenance: &Value) -> Result<Written> {
        self.flush()?;
        match self.files {
            Files::Npz(set) => set.finish(provenance)?,
            Files::Parquet { table, staged } => {
                table.finish(provenance)?;
                staged.publish()?;
            }
            Files::Folder { set, wfdb, staged } => {
                set.finish(provenance)?;
                if let Wfdb::Beats(writer) = wfdb {
                    writer.finish()?;
                }
                staged.publish()?;
            }
        }
        Ok(self.written)
    }

    /// Adds items that were drawn before, with all that is known of them.
    ///
    /// # Errors
    /// [`Error::Data`] for other axes; as [`SetWriter::flushed`].
    pub fn push(&mut self, data: &Dataset) -> Result<()> {
        for item in 0..data.len() {
            self.block.append(&data.select(&[item]))?;
            if self.block.len() == self.block_items {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let block = &self.block;
        if block.is_empty() {
            return Ok(());
        }
        match &mut self.files {
            Files::Npz(set) => set.push(block)?,
            Files::Parquet { table, .. } => table.push(block)?,
            Files::Folder { set, wfdb, .. } => {
                set.push(block)?;
                match wfdb {
                    Wfdb::Beats(writer) => writer.push(block)?,
                    Wfdb::Records(folder) => write_records(folder, block, &self.beats)?,
                }
            }
        }
        self.written.n_items += block.len() as u64;
        let counts = block.label_counts(Split::Train);
        self.written.counts.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
        if self.is_measured {
            self.written.measured.extend(measure_each(block, &block.ecg, DELINEATORS[0])?);
        }
        self.block = emptied(block);
        self.beats.clear();
        Ok(())
    }
}

impl Sink for SetWriter {
    fn accept(&mut self, items: &[Item], ecg: &[f32]) -> Result<()> {
        let size = self.block.leads.len() * self.block.sig_len;
        for (item, ecg) in items.iter().zip(ecg.chunks(size.max(1))) {
            self.block.accept(std::slice::from_ref(item), ecg)?;
            if self.block.len() == self.block_items {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn annotate(&mut self, item: &Item, beats: &[Annotation]) -> Result<()> {
        self.beats.insert(item.index, beats.to_vec());
        Ok(())
    }
}

/// Axes and provenance without items.
fn emptied(data: &Dataset) -> Dataset {
    let axes = Dataset::new(data.leads.clone(), data.sig_len, data.fs_hz, data.label_names.clone());
    Dataset { provenance: data.provenance.clone(), rr_s: data.rr_s.as_ref().map(|_| Vec::new()), ..axes }
}

/// Writes every item as a record with its beats: those that are true of it, else those that the detector finds.
fn write_records(folder: &Path, data: &Dataset, beats: &BTreeMap<u64, Vec<Annotation>>) -> Result<()> {
    (0..data.len()).into_par_iter().try_for_each(|item| {
        let mut record = records::item_record(data, item)?;
        let known = u64::try_from(data.index[item]).ok().and_then(|index| beats.get(&index));
        let (beats, source) = match known {
            Some(beats) => (beats.clone(), "the generator's truth"),
            None => (detected(&record)?, "found by the detector of this version, all as N"),
        };
        record.annotations.insert(plus::ANNOTATOR.into(), beats);
        record.comments.push(format!("Beats: {source}"));
        let path = folder.join(format!("{}.hea", data.record[item]));
        record::write(&record, &path, &WriteOptions::default()).map(|_| ())
    })
}

/// The beats that the detector finds; none in a record without a lead that changes.
fn detected(record: &record::Record) -> Result<Vec<Annotation>> {
    match detect_beats(record, &DetectionLeads::Default) {
        Err(Error::Data { .. }) => Ok(Vec::new()),
        other => other,
    }
}

/// A file or a folder under a temporary name beside its own; what is left under it in the end is of no use.
struct Staged {
    at: PathBuf,
    out: PathBuf,
}

impl Staged {
    fn beside(out: &Path) -> Staged {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Staged { at: temporary_beside(folder, out.file_name().unwrap_or_default()), out: out.to_path_buf() }
    }

    /// Moves it to its own name; a folder that is there keeps its other files.
    fn publish(self) -> Result<()> {
        publish(&self.at, &self.out).map_err(|source| Error::io(&self.out, source))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // The error at hand matters; what cannot be removed is harmless.
        let _ = std::fs::remove_dir_all(&self.at).or_else(|_| std::fs::remove_file(&self.at));
    }
}

fn publish(from: &Path, to: &Path) -> std::io::Result<()> {
    if !(from.is_dir() && to.is_dir()) {
        return std::fs::rename(from, to);
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        publish(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Conditions;

    #[test]
    fn a_name_of_another_kind_of_file_is_refused_and_folders_may_have_numbers() {
        for name in ["z.npz", "z.NPZ", "z.parquet", "z", "runs.v1/z", "drawn-0.5"] {
            assert!(check_name(Path::new(name)).is_ok(), "{name}");
        }
        for name in ["z.csv", "z.edf", "folder/z.h5"] {
            let error = check_name(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("expected X.npz, X.parquet, or a folder"), "{error}");
        }
    }

    fn drawn(n: u64) -> Vec<(Item, Vec<f32>)> {
        let item = |index: u64| Item { index, conditions: Conditions::of_class((index % 2) as usize) };
        let ecg = |index: u64| (0..500).map(|t| (index as f32 + t as f32 / 40.0).sin()).collect();
        (0..n).map(|index| (item(index), ecg(index))).collect()
    }

    fn axes() -> Dataset {
        let mut axes = Dataset::new(vec!["I".into(), "V2".into()], 250, 100.0, vec!["A".into(), "B".into()]);
        axes.provenance = serde_json::json!({ "synthetic": true, "generator": "test", "seed": 3 });
        axes
    }

    #[test]
    fn a_set_that_was_streamed_has_the_bytes_of_one_that_was_written_whole() {
        let folder = std::env::temp_dir().join(format!("einthoven-set-writer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (streamed, whole) = (folder.join("streamed.npz"), folder.join("whole.npz"));
        let mut data = axes();
        let mut writer = SetWriter::create(&streamed, &data, 5, false).unwrap();
        writer.block_items = 2;
        for (item, ecg) in drawn(5) {
            data.accept(std::slice::from_ref(&item), &ecg).unwrap();
            writer.accept(&[item], &ecg).unwrap();
        }
        assert!(!streamed.exists(), "the name appears with the whole file");
        let written = writer.finish(&data.provenance).unwrap();
        assert_eq!((written.n_items, written.counts), (5, vec![3, 2]));
        npz::write(&whole, &data).unwrap();
        assert!(std::fs::read(&streamed).unwrap() == std::fs::read(&whole).unwrap());
        // One that is given up leaves nothing, whatever its kind.
        for name in ["no.npz", "no.parquet", "no"] {
            let mut writer = SetWriter::create(&folder.join(name), &data, 5, false).unwrap();
            drawn(3).iter().for_each(|(item, ecg)| writer.accept(std::slice::from_ref(item), ecg).unwrap());
            drop(writer);
        }
        let mut left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(left, ["streamed.npz", "whole.npz"]);
    }

    #[test]
    fn records_carry_the_truth_where_it_is_known_and_a_second_set_takes_the_place_of_the_first() {
        let out = std::env::temp_dir().join(format!("einthoven-set-folder-{}", std::process::id()));
        for n in [2, 3] {
            let mut writer = SetWriter::create(&out, &axes(), n, false).unwrap();
            for (item, ecg) in drawn(n as u64) {
                if item.index == 1 {
                    writer.annotate(&item, &[Annotation::new(40, "V"), Annotation::new(140, "N")]).unwrap();
                }
                writer.accept(&[item], &ecg).unwrap();
            }
            writer.finish(&axes().provenance).unwrap();
        }
        let record = |k: usize| {
            let path = out.join(format!("wfdb/syn_00000{k}.hea"));
            record::read(&path, &record::ReadOptions::default()).unwrap()
        };
        let first = record(1);
        let marks: Vec<(i64, &str)> = first.annotations["atr"].iter().map(|a| (a.sample, &*a.symbol)).collect();
        assert_eq!(marks, [(40, "V"), (140, "N")]);
        assert!(record(1).comments.iter().any(|line| line == "Beats: the generator's truth"));
        assert!(record(2).comments.iter().any(|line| line.starts_with("Beats: found by the detector")));
        assert!(out.join("wfdb/syn_000002.atr").is_file());
        let set = npz::read(&out.join("records.npz")).unwrap();
        std::fs::remove_dir_all(&out).unwrap();
        assert_eq!(set.len(), 3);
    }
}
