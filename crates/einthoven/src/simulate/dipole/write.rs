//! Simulated records as files: WFDB with beats and waves as annotations, the noise-free twin, and `truth.json`.
//!
//! Points are whole numbers. I and II are rounded and the other limb leads computed from the rounded ones, the augmented
//! leads at twice the gain, so that the laws of Einthoven and Goldberger hold to the last count.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::record::fiducial::to_annotations;
use crate::record::format::wfdb::RecordWriter;
use crate::record::lead_law::{TWELVE, derive_limb_counts};
use crate::record::{Lead, MISSING, Record, Wave};
use crate::run::{self, Progress, Silent};
use crate::seed::Seed;
use crate::simulate::dipole::record::{Chunk, Simulation};
use crate::simulate::dipole::recorder::Recorder;
use crate::simulate::dipole::request::Request;
use crate::simulate::dipole::truth::{BeatTruth, WaveTruth, beat_annotations, fiducials, uncertainty};

/// Start of the name of every record.
pub const PREFIX: &str = "syn_";
/// Seconds that are made and written at once.
const CHUNK_S: f64 = 60.0;
/// Longest record whose beats and waves are listed in `truth.json`, s; longer ones have them as annotations alone.
const LISTED_S: f64 = 600.0;
/// Gain in counts per mV, as long as the offset is small.
const GAIN: f64 = 1000.0;

/// Annotators of a record: beats, waves across the leads, and waves of each of the twelve.
pub fn annotators() -> Vec<String> {
    let leads = TWELVE.iter().map(|lead| lead.to_ascii_lowercase());
    ["atr", "waves"].into_iter().map(String::from).chain(leads).collect()
}

/// The seed of record `index` of a run.
pub fn record_seed(seed: u64, index: u64) -> Seed {
    Seed::new(seed).purpose("dipole").index(index)
}

/// Writes `n` records and `truth.json` into a folder, and returns the truth.
///
/// # Errors
/// As [`Simulation::new`]; [`Error::Io`], before anything is written when the records will not fit on the disk;
/// [`Error::Data`] for a value that 16 bits cannot hold.
pub fn write_records(request: &Request, n: u64, seed: u64, folder: &Path) -> Result<Value> {
    write_records_with(request, n, seed, folder, &mut Silent)
}

/// As [`write_records`], telling how many minutes of ECG are written.
///
/// # Errors
/// As [`write_records`].
pub fn write_records_with(
    request: &Request,
    n: u64,
    seed: u64,
    folder: &Path,
    progress: &mut (dyn Progress + Send),
) -> Result<Value> {
    request.validate()?;
    let disk = folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    run::require_space(&run::Disk, disk, n.saturating_mul(record_bytes(request)))?;
    // What rhythm and wishes make impossible together shows in the plan of a record.
    Simulation::new(request, record_seed(seed, 0))?;
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    let total = n.saturating_mul(libm::ceil(request.seconds / CHUNK_S) as u64);
    let progress = Mutex::new((0, progress));
    let tick = || {
        // A panic of another thread has its own way out; here the count alone matters.
        let (done, progress) = &mut *progress.lock().unwrap_or_else(PoisonError::into_inner);
        *done += 1;
        progress.update("simulate", *done, total, "minutes");
    };
    let records: Vec<Value> =
        (0..n).into_par_iter().map(|index| write_record(request, seed, index, folder, &tick)).collect::<Result<_>>()?;
    let truth = json!({
        "synthetic": true,
        "generator": "dipole",
        "version": env!("CARGO_PKG_VERSION"),
        "notice": "synthetic, not for clinical use",
        "seed": seed,
        "rhythm": request.condition.name,
        "fs_hz": request.fs_hz,
        "seconds": request.seconds,
        "leads": TWELVE,
        "noise": request.snr_db.map(|_| &request.noise),
        "recorder": request.recorder,
        "records": records,
    });
    let text = serde_json::to_vec(&truth).map_err(|error| Error::data("truth.json", error.to_string()))?;
    run::write_atomic(&folder.join("truth.json"), &text)?;
    Ok(truth)
}

/// Bytes of the points of a record: 16 bits in twelve leads, twice where there is a twin.
fn record_bytes(request: &Request) -> u64 {
    let n_signals = if has_twin(request) { 24 } else { 12 };
    2 * n_signals * request.sig_len() as u64
}

/// Whether a record differs from its noise-free self, which is then written beside it.
fn has_twin(request: &Request) -> bool {
    request.snr_db.is_some() || request.recorder != Recorder::default()
}

/// Writes one record and returns its truth.
fn write_record(request: &Request, seed: u64, index: u64, folder: &Path, tick: &(dyn Fn() + Sync)) -> Result<Value> {
    let mut simulation = Simulation::new(request, record_seed(seed, index))?;
    let name = format!("{PREFIX}{index:06}");
    let gain = (15.0 * GAIN / (8.0 + request.recorder.dc_offset_mv.abs())).min(GAIN);
    let patient = simulation.patient().clone();
    let comments = |twin: &str| {
        let mut lines = vec![
            "Synthetic: yes".to_string(),
            format!("Generator: einthoven dipole {}", env!("CARGO_PKG_VERSION")),
            format!("Seed: {seed}, index {index}"),
            format!("Condition: {}", request.condition.name),
            "Training data: none: equations".to_string(),
            "Notice: synthetic, not for clinical use".to_string(),
        ];
        if request.condition.waveform.is_none() {
            lines.extend([format!("Age: {:.0}", patient.age_years), format!("Sex: {}", patient.sex.name())]);
        }
        lines.extend((!twin.is_empty()).then(|| format!("Twin: {twin}")));
        lines
    };
    let has_twin = has_twin(request);
    let twin_name = format!("{name}_clean");
    let names = annotators();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let twin_note = if has_twin { format!("{twin_name} has no noise") } else { String::new() };
    let header = |name: &str| folder.join(format!("{name}.hea"));
    let shell = |name: &str, note: &str| empty_record(name, request.fs_hz, gain, comments(note));
    let mut writer = RecordWriter::create(&header(&name), shell(&name, &twin_note), &names)?;
    let mut twin = match has_twin {
        true => Some(RecordWriter::create(&header(&twin_name), shell(&twin_name, &format!("{name} has noise")), &[])?),
        false => None,
    };

    let mut beats: Vec<BeatTruth> = Vec::new();
    let mut listed: Vec<WaveTruth> = Vec::new();
    let mut waiting: Vec<WaveTruth> = Vec::new();
    let sig_len = request.sig_len();
    let mut is_first = true;
    while let Some(chunk) = simulation.next_chunk((CHUNK_S * request.fs_hz) as usize)? {
        writer.push_frames(&counts(&chunk, &chunk.eight_mv, gain))?;
        if let Some(twin) = &mut twin {
            twin.push_frames(&counts(&chunk, &chunk.clean_mv, gain))?;
        }
        let marks = beat_annotations(&chunk.beats, request.fs_hz, is_first.then(|| simulation.truth().rhythm), sig_len);
        writer.push_annotations(0, &marks)?;
        is_first = false;
        waiting.extend(chunk.waves.iter().cloned());
        let is_last = chunk.first + chunk.n == sig_len;
        let cut = if is_last { waiting.len() } else { clean_cut(&waiting) };
        push_waves(&mut writer, &waiting[..cut], request.fs_hz, sig_len)?;
        waiting.drain(..cut);
        if request.seconds <= LISTED_S {
            beats.extend(chunk.beats);
            listed.extend(chunk.waves);
        }
        tick();
    }
    writer.finish()?;
    if let Some(twin) = twin {
        twin.finish()?;
    }
    Ok(json!({
        "record": name,
        "twin": has_twin.then_some(twin_name),
        "index": index,
        "seed": seed,
        "synthetic": true,
        "condition": request.condition.name,
        "patient": patient,
        "intervals": simulation.truth(),
        "uncertainty": uncertainty(request.fs_hz, patient.breathing[2]),
        "rhythm_segments": [{ "start_s": 0.0, "end_s": request.seconds, "rhythm": simulation.truth().rhythm }],
        "beats": beats,
        "fiducials": listed.iter().map(wave_json).collect::<Vec<_>>(),
        "fiducials_note": (request.seconds > LISTED_S).then_some("in the annotation files"),
    }))
}

/// A record with calibrated leads and no points.
fn empty_record(name: &str, fs_hz: f64, gain: f64, comments: Vec<String>) -> Record {
    let mut record = Record::new(name, fs_hz);
    record.comments = comments;
    record.leads = TWELVE
        .iter()
        .map(|lead| Lead::new(*lead, if lead.starts_with('a') { 2.0 * gain } else { gain }, Vec::new()))
        .collect();
    record
}

/// Twelve leads in counts, `[frame, lead]`, from eight in mV.
fn counts(chunk: &Chunk, eight_mv: &[f32], gain: f64) -> Vec<i32> {
    let n = chunk.n;
    // Adding and taking away 3/2 of 2^52 rounds to a whole number, to even in the middle.
    let whole = |v: f64| (v + 6_755_399_441_055_744.0) - 6_755_399_441_055_744.0;
    let count = |mv: f32| if mv.is_nan() { MISSING } else { whole(f64::from(mv) * gain) as i32 };
    let mut out = vec![0; 12 * n];
    let (frames, _) = out.as_chunks_mut::<12>();
    for (t, frame) in frames.iter_mut().enumerate() {
        let (i, ii) = (count(eight_mv[t]), count(eight_mv[n + t]));
        (frame[0], frame[1]) = (i, ii);
        frame[2..6].copy_from_slice(&derive_limb_counts(i, ii));
        (2..8).for_each(|lead| frame[lead + 4] = count(eight_mv[lead * n + t]));
    }
    out
}

/// Number of leading waves that end before the next QRS begins in every lead, so that their marks can be written.
fn clean_cut(waves: &[WaveTruth]) -> usize {
    let mut latest = f64::NEG_INFINITY;
    let mut cut = 0;
    for (k, wave) in waves.iter().enumerate() {
        let times = || wave.leads_s.iter().flatten().chain([&wave.global_s]);
        if wave.wave == Wave::Qrs && times().map(|t| t[0]).fold(f64::INFINITY, f64::min) > latest {
            cut = k;
        }
        latest = times().map(|t| t[2]).fold(latest, f64::max);
    }
    cut
}

fn push_waves(writer: &mut RecordWriter, waves: &[WaveTruth], fs_hz: f64, sig_len: usize) -> Result<()> {
    for annotator in 1..14 {
        let lead = (annotator >= 2).then(|| annotator - 2);
        writer.push_annotations(annotator, &to_annotations(&fiducials(waves, lead, fs_hz, sig_len)))?;
    }
    Ok(())
}

fn wave_json(wave: &WaveTruth) -> Value {
    let [onset_s, peak_s, offset_s] = wave.global_s;
    json!({ "wave": wave.wave, "onset_s": onset_s, "peak_s": peak_s, "offset_s": offset_s })
}
