//! Scores the beat detector and the delineators on annotated databases and prints the tables as JSON.
//!
//!     cargo run --release -p einthoven --no-default-features --features fetch --example score_beats -- DATA > scores.json
//!
//! DATA holds `mitdb`, `ludb` and `qtdb`. A second argument names a folder with predictions of a peer, which are then
//! scored by the same rules: `mitdb/RECORD.txt` with one beat per line, `ludb/RECORD.json` and `qtdb/RECORD.json` with,
//! lead by lead, waves as `[wave, onset, peak, offset]`. Records that the peer was not run on are left out; with `ours`
//! as third argument our own methods are scored on just those records.
//!
//! `--delineator NAME [--weights FILE]` scores that delineator in place of the classical one, on simulated records too, and
//! its QRS complexes in place of the detector's beats.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use einthoven::beat::ec57::{Comparison, Counts, LEARNING_S, compare};
use einthoven::dataset::Split;
use einthoven::delineators::marked::{self, MarkedLead, MarkedRecord};
use einthoven::delineators::record::{DetectionLeads, delineate_record, detect_beats};
use einthoven::delineators::{self, Delineator, Leads};
use einthoven::record::{Annotation, Fiducial, ReadOptions, Wave, read};
use einthoven::simulate::dipole::condition::Effect;
use einthoven::simulate::dipole::{CONDITIONS, Request, SimulatedEcg, truth};
use einthoven::{Error, Result, Seed};
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

fn main() -> Result<()> {
    let (mut plain, mut named) = (Vec::new(), BTreeMap::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--") {
            Some(name) => drop(named.insert(name.to_string(), args.next().unwrap_or_default())),
            None => plain.push(arg),
        }
    }
    let data = PathBuf::from(plain.first().map_or("../shared/data", String::as_str));
    let folder = plain.get(1).map(PathBuf::from);
    let is_ours = plain.get(2).is_some_and(|whose| whose == "ours");
    let peer = folder.as_deref().map(|folder| Peer { folder, is_ours });
    let method = delineators::find(named.get("delineator").map_or("wavelet", String::as_str))?;
    let delineator = match named.get("weights") {
        Some(weights) => method.load(Path::new(weights))?,
        None => method.build()?,
    };
    let mut tables = json!({
        "delineator": method.name(),
        "ludb": ludb(&data.join("ludb"), peer, delineator.as_ref())?,
        "qtdb": qtdb(&data.join("qtdb"), peer, delineator.as_ref())?,
    });
    if named.is_empty() {
        tables["mitdb"] = beats(&data.join("mitdb"), peer, None)?;
    } else {
        tables["mitdb"] = beats(&data.join("mitdb"), None, Some(delineator.as_ref()))?;
        tables["simulated"] = simulated(delineator.as_ref())?;
    }
    println!("{tables:#}");
    Ok(())
}

/// Nanoseconds that this process has spent on processors, where the system says; the clock's otherwise.
fn cpu_ns() -> f64 {
    let told = fs::read_to_string("/proc/self/stat").ok();
    // User and system time in hundredths of a second are the 12th and 13th numbers behind the name.
    let spent = told.and_then(|text| {
        let numbers = text.rsplit(')').next()?.split_whitespace();
        Some(numbers.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 1e7)
    });
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

/// Beats of the detector, or the QRS complexes that a delineator finds over all leads.
fn beats(folder: &Path, peer: Option<Peer>, delineator: Option<&dyn Delineator>) -> Result<Value> {
    let mut all: Vec<(String, Counts)> = Vec::new();
    let mut times = Vec::new();
    for name in names(folder)? {
        let Some(prediction) = prediction("mitdb", &name, peer) else { continue };
        let record = read(folder.join(&name), &ReadOptions::strict())?;
        let found: Vec<Annotation> = match prediction {
            Some(path) => {
                let lines = text(&path)?;
                lines.lines().filter_map(|line| line.parse().ok()).map(|at| Annotation::new(at, "N")).collect()
            }
            None => {
                if let Some(delineator) = delineator {
                    let waves = delineate_record(&record, delineator)?.fiducials;
                    let complexes = waves.iter().filter(|found| found.wave == Wave::Qrs);
                    complexes.map(|found| Annotation::new(found.peak as i64, "N")).collect()
                } else {
                    let (ms, found) = timed(|| detect_beats(&record, &DetectionLeads::Default))?;
                    times.push(ms);
                    found
                }
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

    fn extend(&mut self, other: &Score) {
        self.n_matched += other.n_matched;
        self.n_missed += other.n_missed;
        self.n_extra += other.n_extra;
        self.onset.extend(&other.onset);
        self.peak.extend(&other.peak);
        self.offset.extend(&other.offset);
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

fn peer_waves(path: &Path) -> Result<Vec<Vec<Fiducial>>> {
    let bad = |error: serde_json::Error| Error::data(path.display().to_string(), error.to_string());
    let leads: Vec<Vec<(Wave, Option<usize>, usize, Option<usize>)>> =
        serde_json::from_str(&text(path)?).map_err(bad)?;
    let wave = |(wave, onset, peak, offset)| Fiducial { wave, onset, peak, offset };
    Ok(leads.into_iter().map(|waves| waves.into_iter().map(wave).collect()).collect())
}

/// Waves of every lead by ours or by the peer, with the milliseconds per lead.
fn waves(
    record: &MarkedRecord,
    prediction: Option<PathBuf>,
    delineator: &dyn Delineator,
) -> Result<(Option<f64>, Vec<Vec<Fiducial>>)> {
    if let Some(path) = prediction {
        return Ok((None, peer_waves(&path)?));
    }
    let mv: Vec<&[f32]> = record.leads.iter().map(|lead| lead.mv.as_slice()).collect();
    let (ms, found) = timed(|| delineator.delineate(&Leads { mv: &mv, fs_hz: record.fs_hz }))?;
    Ok((Some(ms / mv.len() as f64), found.leads))
}

fn tables(scores: &[Score; 3]) -> Vec<Value> {
    scores.iter().zip(CSE_TWO_SD_MS).map(|(score, cse)| score.table(cse)).collect()
}

/// The parts that a record counts in: those for development are for validation too, or not.
fn parts(split: Split) -> &'static [&'static str] {
    match split {
        Split::Test => &["test"],
        Split::Validation => &["development", "validation"],
        _ => &["development"],
    }
}

type Parts = BTreeMap<&'static str, [Score; 3]>;

fn tables_of(parts: &Parts) -> BTreeMap<&'static str, Vec<Value>> {
    parts.iter().map(|(part, scores)| (*part, tables(scores))).collect()
}

/// The prediction of a record to score; `None` if the peer was not run on it.
fn prediction(database: &str, name: &str, peer: Option<Peer>) -> Option<Option<PathBuf>> {
    match peer {
        None => Some(None),
        Some(peer) => peer.file(database, name).map(|path| Some(path).filter(|_| !peer.is_ours)),
    }
}

fn ludb(folder: &Path, peer: Option<Peer>, delineator: &dyn Delineator) -> Result<Value> {
    let mut all = Parts::new();
    let mut times = Vec::new();
    for record in marked::ludb(folder)? {
        let Some(prediction) = prediction("ludb", &record.name, peer) else { continue };
        let (ms, found) = waves(&record, prediction, delineator)?;
        times.extend(ms);
        for part in parts(record.split) {
            let scores = all.entry(part).or_default();
            for (lead, found) in record.leads.iter().zip(&found) {
                let span = lead.looked_at.first().copied();
                for (score, wave) in scores.iter_mut().zip(Wave::ALL) {
                    score.add(&of(&lead.waves, wave, None), &of(found, wave, span), record.fs_hz);
                }
            }
        }
    }
    Ok(json!({ "cpu_ms_per_lead_mean": mean(&times), "halves": tables_of(&all) }))
}

/// The manual marks of QTDB hold for both leads; as is usual, each wave is scored in the lead that fits better.
fn qtdb(folder: &Path, peer: Option<Peer>, delineator: &dyn Delineator) -> Result<Value> {
    let mut all = Parts::new();
    for record in marked::qtdb(folder)? {
        let Some(prediction) = prediction("qtdb", &record.name, peer) else { continue };
        let (_, found) = waves(&record, prediction, delineator)?;
        let Some(MarkedLead { waves: truth, looked_at, .. }) = record.leads.first() else { continue };
        let is_near = |at: usize| looked_at.iter().any(|&(from, to)| (from..=to).contains(&at));
        for (k, wave) in Wave::ALL.into_iter().enumerate() {
            let truth_waves = of(truth, wave, None);
            let one = |waves: &Vec<Fiducial>| {
                let mut near = of(waves, wave, None);
                near.retain(|f| is_near(f.peak));
                let mut one = Score::default();
                one.add(&truth_waves, &near, record.fs_hz);
                one
            };
            let Some(best) = found.iter().map(one).min_by_key(|one| one.n_missed + one.n_extra) else { continue };
            for part in parts(record.split).iter().chain(&["all"]) {
                all.entry(part).or_default()[k].extend(&best);
            }
        }
    }
    Ok(json!({ "reference": "q1c", "waves": all.get("all").map(tables), "halves": tables_of(&all) }))
}

/// Two records of each condition at 20 dB, without the half second at each end.
fn simulated(delineator: &dyn Delineator) -> Result<Value> {
    const N_PER_CONDITION: u64 = 2;
    let mut scores: [Score; 3] = Default::default();
    let conditions = CONDITIONS.iter().filter(|entry| !matches!(entry.effect, Effect::Waveform(_)));
    for (index, condition) in conditions.enumerate() {
        let request = Request { snr_db: Some(20.0), ..Request::new(condition.name)? };
        for item in 0..N_PER_CONDITION {
            let seed = Seed::new(1).purpose("score").index(index as u64 * N_PER_CONDITION + item);
            let ecg = SimulatedEcg::draw(&request, seed)?;
            let mv: Vec<&[f32]> = ecg.ecg_mv.chunks(ecg.sig_len).collect();
            let found = delineator.delineate(&Leads { mv: &mv, fs_hz: ecg.fs_hz })?;
            let span = Some((250, ecg.sig_len - 250));
            for (lead, found) in found.leads.iter().enumerate() {
                let truth = truth::fiducials(&ecg.waves, Some(lead), ecg.fs_hz, ecg.sig_len);
                for (score, wave) in scores.iter_mut().zip(Wave::ALL) {
                    score.add(&of(&truth, wave, span), &of(found, wave, span), ecg.fs_hz);
                }
            }
        }
    }
    Ok(json!({ "snr_db": 20.0, "records_per_condition": N_PER_CONDITION, "waves": tables(&scores) }))
}
