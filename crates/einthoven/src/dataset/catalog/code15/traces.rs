//! The traces of CODE-15: HDF5 files with the datasets `exam_id` and `tracings`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use hdf5_reader::{FileStorage, Hdf5File, SliceInfo, SliceInfoElem};

use crate::dataset::Dataset;
use crate::dataset::catalog::recordings::{self, Layout, Recording};
use crate::dataset::catalog::{Database, OpenOptions};
use crate::dataset::window::Windows;
use crate::error::{Error, InputError, Position, Result};
use crate::record::{ReadOptions, Record, lead_law};

/// Points per second.
const FS_HZ: f64 = 400.0;
/// Length that every exam has, s.
const SECONDS: f64 = 7.0;
const N_LEADS: usize = 12;

/// Opens the exams whose files are there.
pub(super) fn open(
    database: &dyn Database,
    folder: &Path,
    recordings: Vec<Recording>,
    options: &OpenOptions,
) -> Result<Dataset> {
    let mut files: BTreeMap<String, TraceFile> = BTreeMap::new();
    let recordings = recordings::selected(database, recordings, options)?;
    let n_all = recordings.len();
    let mut there = Vec::new();
    for recording in recordings {
        if !files.contains_key(&recording.path) {
            let path = folder.join(&recording.path);
            if !path.is_file() {
                continue;
            }
            files.insert(recording.path.clone(), TraceFile::open(&path)?);
        }
        if files[&recording.path].rows.contains_key(&recording.name) {
            there.push(recording);
        }
    }
    let n_without_trace = n_all - there.len();
    let read = |recording: &Recording, _: &ReadOptions| files[&recording.path].read(&recording.name);
    let layout = Layout { seconds: SECONDS, ..Layout::new(&read) };
    let mut options = options.clone();
    if options.whole.seconds.is_none() {
        options.whole.windows = Windows::First;
    }
    let mut data = recordings::open(database, folder, there, &options, &layout)?;
    data.provenance["n_exams_without_trace"] = n_without_trace.into();
    Ok(data)
}

/// An open file of traces.
struct TraceFile {
    path: std::path::PathBuf,
    tracings: hdf5_reader::Dataset,
    /// Row of each exam.
    rows: HashMap<String, u64>,
    sig_len: usize,
}

impl TraceFile {
    fn open(path: &Path) -> Result<TraceFile> {
        let broken = |field: &str, found: String, expected: &str| {
            Error::from(InputError {
                code: "X04",
                path: path.into(),
                position: Position::File,
                field: field.into(),
                found,
                expected: expected.into(),
                hint: String::new(),
            })
        };
        let fault = |field: &'static str| move |error: hdf5_reader::error::Error| (field, error.to_string());
        let open = || -> std::result::Result<_, (&'static str, String)> {
            // Plain reads: a mapped file that shrinks would end the process.
            let storage = FileStorage::open(path).map_err(fault("file"))?;
            let file = Hdf5File::from_storage(Arc::new(storage)).map_err(fault("file"))?;
            let ids = file.dataset("/exam_id").map_err(fault("exam_id"))?;
            let ids: Vec<i64> = ids.read_array::<i64>().map_err(fault("exam_id"))?.into_iter().collect();
            let tracings = file.dataset("/tracings").map_err(fault("tracings"))?;
            Ok((ids, tracings))
        };
        let (ids, tracings) =
            open().map_err(|(field, found)| broken(field, found, "a readable HDF5 file of traces"))?;
        let shape = tracings.shape().to_vec();
        let [n, sig_len, n_leads] = shape[..] else {
            return Err(broken("tracings", format!("shape {shape:?}"), "[exam, time, 12]"));
        };
        if n_leads != N_LEADS as u64 || (n as usize) < ids.len() {
            return Err(broken("tracings", format!("shape {shape:?}"), &format!("[{}, time, 12]", ids.len())));
        }
        // The last row of a published file is padding with exam 0.
        let rows = ids.iter().zip(0u64..).filter(|(id, _)| **id != 0).map(|(id, row)| (id.to_string(), row)).collect();
        Ok(TraceFile { path: path.into(), tracings, rows, sig_len: sig_len as usize })
    }

    fn read(&self, exam: &str) -> Result<Record> {
        let all = SliceInfoElem::Slice { start: 0, end: u64::MAX, step: 1 };
        let selection = SliceInfo { selections: vec![SliceInfoElem::Index(self.rows[exam]), all.clone(), all] };
        let values: Vec<f32> = match self.tracings.read_slice::<f32>(&selection) {
            Ok(values) => values.into_iter().collect(),
            Err(error) => return Err(Error::data(format!("{}: exam {exam}", self.path.display()), error.to_string())),
        };
        if values.len() != self.sig_len * N_LEADS {
            let reason = format!("found {} values, expected {}", values.len(), self.sig_len * N_LEADS);
            return Err(Error::data(format!("{}: exam {exam}", self.path.display()), reason));
        }
        // Padding is a run of frames in which all leads are exactly 0, on both sides.
        let is_padding = |frame: &&[f32]| frame.iter().all(|&x| x == 0.0);
        let frames: Vec<&[f32]> = values.chunks_exact(N_LEADS).collect();
        let start = frames.iter().take_while(|frame| is_padding(frame)).count();
        let n_tail = frames.iter().rev().take_while(|frame| is_padding(frame)).count();
        let end = frames.len().saturating_sub(n_tail).max(start);
        let leads = (0..N_LEADS).map(|k| frames[start..end].iter().map(|frame| frame[k]).collect()).collect();
        recordings::record_of_mv(exam, FS_HZ, &lead_law::TWELVE, leads)
    }
}
