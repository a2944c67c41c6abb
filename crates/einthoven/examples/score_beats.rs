//! Scores the beat detector and the delineators on annotated databases and prints the tables as JSON.
//!
//!     cargo run --release -p einthoven --no-default-features --features fetch --example score_beats -- DATA > scores.json
//!
//! DATA holds `mitdb`, `ludb` and `qtdb`. A second argument names a folder with predictions of a peer, which are then
//! scored by the same rules: `mitdb/RECORD.txt` with one beat per line, `ludb/RECORD.json` and `qtdb/RECORD.json` with,
//! lead by lead, waves as `[wave, onset, peak, offset]`. Records that the peer was not run on are left out; with `ours`
//! as third argument our own methods are scored on just those records.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use einthoven::beat::ec57::{Comparison, Counts, LEARNING_S, compare};
use einthoven::delineators::record::{DetectionLeads, detect_beats};
use einthoven::delineators::{DELINEATORS, Leads, wavelet};
use einthoven::record::fiducial::from_annotations;
use einthoven::record::{Annotation, Fiducial, ReadOptions, Record, Wave, read};
use einthoven::{Error, Result};
use serde_json::{Value, json};

/// The records of de Chazal's test half.
const DS2: &str = "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234";

/// MIT-BIH records on which the detector's settings were chosen.
const MITDB_DEVELOPMENT: &str = "101 106 108 109 112 114 116 119 201 203 207 208";

/// Two standard deviations that the CSE working party allows between a program and its referees, in ms: onset and
/// offset of P, QRS and T; there is none for the onset of T.
const CSE_TWO_SD_MS: [(&str, Option<f64>, Option<f64>); 3] =
    [("P", Some(10.2), Some(12.7)), ("QRS", Some(6.5), Some(11.6)), ("T", None, Some(30.6))];

/// Largest distance of two peaks that are the same wave, in seconds.
const TOLERANCE_S: f64 = 0.15;

/// A folder with predictions, and whether only its choice of records is wanted.
#[derive(Clone, Copy)]
struct Peer<'a> {
    folder: &'a Path,
    is_ours: bool,
}

impl Peer<'_> {
    /// The file of a record's predictions, if the peer was run on it.
    fn file(&self, database: &str, name: &str) -> Option<PathBuf> {
        let end = if database == "mitdb" { "txt" } else { "json" };
        Some(self.folder.join(database).join(format!("{name}.{end}"))).filter(|path| path.is_file())
    }
}

/// The records of a database with the predictions to score; `None` asks for ours.
fn records(folder: &Path, database: &str, peer: Option<Peer>) -> Result<Vec<(String, Option<PathBuf>)>> {
    let each = names(folder)?.into_iter().filter_map(|name| match peer {
        None => Some((name, None)),
        Some(peer) => peer.file(database, &name).map(|path| (name, Some(path).filter(|_| !peer.is_ours))),
    });
    Ok(each.collect())
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let data = PathBuf::from(args.next().unwrap_or("../shared/data".into()));
    let folder = args.next().map(PathBuf::from);
    let is_ours = args.next().is_some_and(|whose| whose == "ours");
    let peer = folder.as_deref().map(|folder| Peer { folder, is_ours });
    let tables = json!({
        "mitdb": beats(&data.join("mitdb"), peer)?,
        "ludb": ludb(&data.join("ludb"), peer)?,
        "qtdb": qtdb(&data.join("qtdb"), peer)?,
    });
    println!("{tables:#}");
    Ok(())
}

/// Nanoseconds this thread has spent on a processor, where the system says; the clock's otherwise.
fn cpu_ns() -> f64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = told.and_then(|text| text.split_whitespace().next().and_then(|ns| ns.parse().ok()));
    spent.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_nanos() as f64))
}

/// Milliseconds per call over five calls, and the last result. The system counts in steps of some milliseconds, so only
/// means over many records mean anything.
fn timed<T>(work: impl Fn() -> Result<T>) -> Result<(f64, T)> {
    let start = cpu_ns();
    for _ in 0..4 {
        work()?;
    }
    let last = work()?;
    Ok(((cpu_ns() - start) / 5e6, last))
}

/// Mean; null in JSON when there is nothing.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::io(path, source))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let text = text(&folder.join("RECORDS"))?;
    Ok(text.split_whitespace().map(|line| line.rsplit('/').next().unwrap_or(line).to_string()).collect())
}

fn beats(folder: &Path, peer: Option<Peer>) -> Result<Value> {
    let mut all: Vec<(String, Counts)> = Vec::new();
    let mut times = Vec::new();
    for (name, prediction) in records(folder, "mitdb", peer)? {
        let record = read(folder.join(&name), &ReadOptions::strict())?;
        let found: Vec<Annotation> = match prediction {
            Some(path) => {
                let lines = text(&path)?;
                lines.lines().filter_map(|line| line.parse().ok()).map(|at| Annotation::new(at, "N")).collect()
            }
            None => {
                let (ms, found) = timed(|| detect_beats(&record, &DetectionLeads::Default))?;
                times.push(ms);
                found
            }
        };
        all.push((name, compare(&record.annotations["atr"], &found, record.fs_hz, record.sig_len, LEARNING_S)));
    }
    let part = |keep: &dyn Fn(&str) -> bool| {
        let part = Comparison::of(all.iter().filter(|(name, _)| keep(name)).cloned().collect());
        json!({ "n_records": part.records.len(), "n_beats": part.counts.n_reference(), "n_missed": part.counts.n_missed(),
                "n_extra": part.counts.n_extra(), "gross": part.gross, "average": part.average })
    };
    let is_in = |list: &str, name: &str| list.split(' ').any(|one| one == name);
    let whole = Comparison::of(all.clone());
    let each: Vec<Value> = whole
        .records
        .iter()
        .map(|r| json!({ "record": r.record, "n_beats": r.n_reference, "n_missed": r.n_missed, "n_extra": r.n_extra }))
        .collect();
    Ok(json!({
        "development_records": MITDB_DEVELOPMENT,
        "cpu_ms_per_record_mean": mean(&times),
        "all": part(&|_| true),
        "ds2": part(&|name| is_in(DS2, name)),
        "without_development": part(&|name| !is_in(MITDB_DEVELOPMENT, name)),
        "records": each,
    }))
}

/// Errors of one wave, in ms, and what was matched.
#[derive(Default)]
struct Score {
    n_matched: usize,
    n_missed: usize,
    n_extra: usize,
    onset: Vec<f64>,
    peak: Vec<f64>,
    offset: Vec<f64>,
}

impl Score {
    fn add(&mut self, truth: &[&Fiducial], found: &[&Fiducial], fs_hz: f64) {
        let mut is_used = vec![false; found.len()];
        for wave in truth {
            let free = (0..found.len()).filter(|&k| !is_used[k]);
            let best = free.min_by_key(|&k| found[k].peak.abs_diff(wave.peak));
            let is_near = |k: &usize| found[*k].peak.abs_diff(wave.peak) as f64 <= TOLERANCE_S * fs_hz;
            let Some(k) = best.filter(is_near) else {
                self.n_missed += 1;
                continue;
            };
            is_used[k] = true;
            self.n_matched += 1;
            let error = |found: usize, truth: usize| (found as f64 - truth as f64) * 1000.0 / fs_hz;
            self.peak.push(error(found[k].peak, wave.peak));
            self.onset.extend(found[k].onset.zip(wave.onset).map(|(a, b)| error(a, b)));
            self.offset.extend(found[k].offset.zip(wave.offset).map(|(a, b)| error(a, b)));
        }
        self.n_extra += is_used.iter().filter(|used| !**used).count();
    }

    fn table(&self, (name, cse_onset, cse_offset): (&str, Option<f64>, Option<f64>)) -> Value {
        let error = |errors: &[f64], cse: Option<f64>| {
            let n = errors.len() as f64;
            let mean = errors.iter().sum::<f64>() / n;
            let sd = (errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / n).sqrt();
            let value = |v: f64| v.is_finite().then_some(v);
            json!({ "n": errors.len(), "mean_ms": value(mean), "sd_ms": value(sd), "cse_two_sd_ms": cse })
        };
        let (matched, missed, extra) = (self.n_matched as f64, self.n_missed as f64, self.n_extra as f64);
        json!({
            "wave": name, "n": self.n_matched + self.n_missed, "n_missed": self.n_missed, "n_extra": self.n_extra,
            "sensitivity": matched / (matched + missed), "positive_predictivity": matched / (matched + extra),
            "f1": 2.0 * matched / (2.0 * matched + missed + extra),
            "onset": error(&self.onset, cse_onset), "peak": error(&self.peak, None),
            "offset": error(&self.offset, cse_offset),
        })
    }
}

/// Waves of a kind; all of them, or those whose peak lies in a span.
fn of(waves: &[Fiducial], wave: Wave, span: Option<(usize, usize)>) -> Vec<&Fiducial> {
    let is_inside = |at: usize| span.is_none_or(|(from, to)| (from..=to).contains(&at));
    waves.iter().filter(|found| found.wave == wave && is_inside(found.peak)).collect()
}

/// From the first mark to the last.
fn span(truth: &[Fiducial]) -> (usize, usize) {
    let from = truth.iter().map(|t| t.onset.unwrap_or(t.peak)).min().unwrap_or(0);
    (from, truth.iter().map(|t| t.offset.unwrap_or(t.peak)).max().unwrap_or(0))
}

/// From the first mark to the last of each beat; a beat ends with its T wave.
fn marked_beats(truth: &[Fiducial]) -> Vec<(usize, usize)> {
    let is_end = |a: &Fiducial, b: &Fiducial| a.wave == Wave::T && b.wave != Wave::T;
    truth.chunk_by(|a, b| !is_end(a, b)).map(span).collect()
}

fn peer_waves(path: &Path) -> Result<Vec<Vec<Fiducial>>> {
    let bad = |error: serde_json::Error| Error::data(path.display().to_string(), error.to_string());
    let leads: Vec<Vec<(Wave, Option<usize>, usize, Option<usize>)>> =
        serde_json::from_str(&text(path)?).map_err(bad)?;
    let wave = |(wave, onset, peak, offset)| Fiducial { wave, onset, peak, offset };
    Ok(leads.into_iter().map(|waves| waves.into_iter().map(wave).collect()).collect())
}

/// Waves of every lead of a record by ours or by the peer, with the milliseconds per lead.
fn waves(record: &Record, mv: &[Vec<f32>], prediction: Option<PathBuf>) -> Result<(Option<f64>, Vec<Vec<Fiducial>>)> {
    if let Some(path) = prediction {
        return Ok((None, peer_waves(&path)?));
    }
    let leads: Vec<&[f32]> = mv.iter().map(Vec::as_slice).collect();
    let delineator = DELINEATORS[0].build()?;
    let (ms, found) = timed(|| delineator.delineate(&Leads { mv: &leads, fs_hz: record.fs_hz }))?;
    Ok((Some(ms / leads.len() as f64), found.leads))
}

fn tables(scores: &[Score; 3]) -> Vec<Value> {
    scores.iter().zip(CSE_TWO_SD_MS).map(|(score, cse)| score.table(cse)).collect()
}

fn ludb(folder: &Path, peer: Option<Peer>) -> Result<Value> {
    let mut halves: BTreeMap<&str, [Score; 3]> = BTreeMap::new();
    let mut times = Vec::new();
    for (name, prediction) in records(folder, "ludb", peer)? {
        let record = read(folder.join("data").join(&name), &ReadOptions::lenient())?;
        // The counts are microvolts; the gains of the headers break Einthoven's law.
        let in_mv = |lead: &einthoven::record::Lead| lead.adu.iter().map(|&adu| adu as f32 / 1000.0).collect();
        let mv: Vec<Vec<f32>> = record.leads.iter().map(in_mv).collect();
        let (ms, found) = waves(&record, &mv, prediction)?;
        times.extend(ms);
        let is_development = name.parse().is_ok_and(wavelet::is_ludb_development_record);
        let scores = halves.entry(if is_development { "development" } else { "test" }).or_default();
        for (lead, found) in record.leads.iter().zip(&found) {
            let truth = from_annotations(&record.annotations[&lead.name.to_lowercase()]);
            for (score, wave) in scores.iter_mut().zip(Wave::ALL) {
                score.add(&of(&truth, wave, None), &of(found, wave, Some(span(&truth))), record.fs_hz);
            }
        }
    }
    let halves: BTreeMap<&str, Vec<Value>> = halves.iter().map(|(half, scores)| (*half, tables(scores))).collect();
    Ok(json!({ "cpu_ms_per_lead_mean": mean(&times), "halves": halves }))
}

/// The manual marks of QTDB hold for both leads; as is usual, each wave is scored in the lead that fits better.
fn qtdb(folder: &Path, peer: Option<Peer>) -> Result<Value> {
    let mut scores: [Score; 3] = Default::default();
    for (name, prediction) in records(folder, "qtdb", peer)? {
        let record = read(folder.join(&name), &ReadOptions::lenient())?;
        let mv: Vec<Vec<f32>> = record.leads.iter().map(|lead| lead.mv()).collect::<Result<_>>()?;
        let (_, found) = waves(&record, &mv, prediction)?;
        let truth = from_annotations(&record.annotations["q1c"]);
        for (score, wave) in scores.iter_mut().zip(Wave::ALL) {
            let truth_waves = of(&truth, wave, None);
            // Only chosen beats are marked, and nothing between them was looked at.
            let beats = marked_beats(&truth);
            let is_near = |at: usize| beats.iter().any(|&(from, to)| (from..=to).contains(&at));
            let best = found
                .iter()
                .map(|waves| {
                    let mut near = of(waves, wave, None);
                    near.retain(|f| is_near(f.peak));
                    let mut one = Score::default();
                    one.add(&truth_waves, &near, record.fs_hz);
                    one
                })
                .min_by_key(|one| one.n_missed + one.n_extra);
            if let Some(best) = best {
                score.n_matched += best.n_matched;
                score.n_missed += best.n_missed;
                score.n_extra += best.n_extra;
                score.onset.extend(best.onset);
                score.peak.extend(best.peak);
                score.offset.extend(best.offset);
            }
        }
    }
    Ok(json!({ "reference": "q1c", "waves": tables(&scores) }))
}
