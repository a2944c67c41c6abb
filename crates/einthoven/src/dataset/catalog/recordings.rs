//! From a list of recordings to a data set: what every database of whole records has in common.
//!
//! A catalogue entry lists its recordings with patients, parts and codes and says how one is read; this
//! module reads them side by side, brings them to one form ([`window`]), cuts windows,
//! turns codes into labels, and counts whatever is left out.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::{Database, OpenOptions, source_provenance};
use crate::dataset::guard;
use crate::dataset::label::LabelSet;
use crate::dataset::label::vocabulary::CodeSystem;
use crate::dataset::window::{self, Copies, Form, LeadRules, Signals, Windows};
use crate::dataset::{Dataset, Facts, Split};
use crate::error::{Error, Result};
use crate::record::{self, Annotators, Lead, MISSING, ReadOptions, Record};

/// Value of `provenance.item` of a data set of whole records.
pub const ITEM: &str = "record window";
/// Records read before their windows are stored, so that memory holds each signal once.
const CHUNK: usize = 256;
/// Amplitudes that a data set may hold, bytes.
const MAX_BYTES: u64 = 16 << 30;

/// A recording of a database.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    /// Name, unique in the database.
    pub name: String,
    /// Path below the folder, without an extension where the format has several files.
    pub path: String,
    /// Patient; empty if the database names none.
    pub patient: String,
    /// Part that the database gives it to.
    pub split: Split,
    /// What it is labelled with.
    pub codes: Vec<(CodeSystem, String)>,
    /// What else is known of it.
    pub facts: Facts,
}

/// What one database asks of the common way.
pub(crate) struct Layout<'a> {
    /// Length of an item unless the options say otherwise.
    pub seconds: f64,
    /// Its leads.
    pub leads: LeadRules,
    /// Annotator whose beats label each window, instead of codes of the recording.
    pub beats: Option<&'static str>,
    /// What happens to recordings that are stored twice unless the options say otherwise.
    pub copies: Copies,
    /// Reads a recording.
    pub read: &'a (dyn Fn(&Recording, &ReadOptions) -> Result<Record> + Sync),
}

impl Layout<'_> {
    /// Ten seconds, leads as they are, copies refused.
    pub fn new<'a>(read: &'a (dyn Fn(&Recording, &ReadOptions) -> Result<Record> + Sync)) -> Layout<'a> {
        Layout { seconds: 10.0, leads: LeadRules::default(), beats: None, copies: Copies::Refuse, read }
    }
}

/// Reads recordings as WFDB below a folder.
pub(crate) fn read_wfdb(folder: &Path) -> impl Fn(&Recording, &ReadOptions) -> Result<Record> + Sync {
    let folder = folder.to_path_buf();
    move |recording, options| record::read(folder.join(format!("{}.hea", recording.path)), options)
}

/// A record of leads that were never integers: kept to one nanovolt.
///
/// # Errors
/// [`Error::Data`] for an amplitude that is infinite or beyond 2 V.
pub(crate) fn record_of_mv(name: &str, fs_hz: f64, leads: &[&str], mv: Vec<Vec<f32>>) -> Result<Record> {
    const ADU_PER_MV: f64 = 1e6;
    let mut record = Record::new(name, fs_hz);
    record.sig_len = mv.first().map_or(0, Vec::len);
    for (lead, mv) in leads.iter().zip(mv) {
        let adu: Vec<i32> = mv
            .iter()
            .map(|&x| match f64::from(x) * ADU_PER_MV {
                scaled if scaled.is_nan() => Ok(MISSING),
                scaled if scaled.abs() < f64::from(i32::MAX) => Ok(scaled.round() as i32),
                _ => Err(Error::data(name, format!("lead {lead}: found {x} mV, expected at most 2147 mV"))),
            })
            .collect::<Result<_>>()?;
        record.leads.push(Lead { adc_resolution_bits: 32, ..Lead::new(*lead, ADU_PER_MV, adu) });
    }
    Ok(record)
}

/// The recordings that the options ask for.
///
/// # Errors
/// [`Error::Unknown`] for a name that is not among them; [`Error::Data`] if there are none.
pub(crate) fn selected(
    database: &dyn Database,
    mut recordings: Vec<Recording>,
    options: &OpenOptions,
) -> Result<Vec<Recording>> {
    if recordings.is_empty() {
        return Err(Error::data(
            database.name(),
            format!("found no recordings, expected a folder with {}", database.layout()),
        ));
    }
    if !options.records.is_empty() {
        let names: std::collections::BTreeSet<&str> = recordings.iter().map(|r| r.name.as_str()).collect();
        if let Some(name) = options.records.iter().find(|name| !names.contains(name.as_str())) {
            let known = names.iter().take(20).map(|name| (*name).to_string()).collect();
            return Err(Error::Unknown { kind: "record", name: name.clone(), known });
        }
        let wanted: std::collections::BTreeSet<&String> = options.records.iter().collect();
        recordings.retain(|recording| wanted.contains(&recording.name));
    }
    Ok(recordings)
}

/// Opens recordings as a data set.
///
/// # Errors
/// [`Error::Config`] for labels that are none of the database's; [`Error::Input`] `X06` for mixed rates, leads
/// or units without a policy; [`Error::Limit`] above 16 GiB of amplitudes; [`Error::Data`] if nothing is left;
/// whatever reading returns.
pub(crate) fn open(
    database: &dyn Database,
    folder: &Path,
    recordings: Vec<Recording>,
    options: &OpenOptions,
    layout: &Layout,
) -> Result<Dataset> {
    let recordings = selected(database, recordings, options)?;
    check_options(database, options)?;
    let labels = options.labels;
    let open_names: Vec<String> = if labels.is_open() { codes_of(&recordings) } else { labels.names() };
    let annotators = layout.beats.map_or(Annotators::None, |name| Annotators::Named(vec![name.into()]));
    let read_options = ReadOptions {
        annotators,
        waivers: database.waivers().iter().map(|(code, _)| (*code).to_string()).collect(),
        ..ReadOptions::strict()
    };
    let cut = |recording: &Recording| -> Result<Cut> {
        let record = (layout.read)(recording, &read_options)?;
        cut_record(recording, &record, options, layout, &open_names)
    };

    let mut data: Option<Dataset> = None;
    let mut forms: BTreeMap<Form, usize> = BTreeMap::new();
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    let mut n_dropped: BTreeMap<&'static str, usize> = BTreeMap::new();
    for chunk in recordings.chunks(CHUNK) {
        let cuts: Vec<Cut> = chunk.par_iter().map(cut).collect::<Result<_>>()?;
        for (recording, cut) in chunk.iter().zip(cuts) {
            match cut {
                Cut::LeftOut(reason) => *left_out.entry(reason).or_default() += 1,
                Cut::Windows(windows) => {
                    let n_forms = forms.len();
                    *forms.entry(windows.form.clone()).or_default() += 1;
                    // After a mismatch only the count matters.
                    if forms.len() > 1 {
                        data = None;
                        continue;
                    }
                    if n_forms == 0 {
                        data = Some(Dataset::new(
                            windows.leads.clone(),
                            windows.sig_len,
                            windows.fs_hz,
                            open_names.clone(),
                        ));
                    }
                    if let Some(data) = &mut data {
                        windows.push_into(data, recording, &mut n_dropped);
                    }
                }
            }
        }
        if data.as_ref().is_some_and(|data| data.ecg.len() as u64 * 4 > MAX_BYTES) {
            return Err(Error::Limit {
                reason: format!(
                    "{} takes more than {} GiB of memory; open fewer records, fewer leads or a lower rate",
                    database.name(),
                    MAX_BYTES >> 30
                ),
            });
        }
    }
    window::check_forms(folder, &forms)?;
    let Some(mut data) = data.filter(|data| !data.is_empty()) else {
        return Err(Error::data(
            database.name(),
            format!("no recording is left of {}; left out: {}", recordings.len(), reasons(&left_out, &n_dropped)),
        ));
    };
    if data.known_facts().is_empty() {
        data.facts = None;
    }
    data.provenance = source_provenance(database, options);
    data.provenance["item"] = ITEM.into();
    data.provenance["window"] = json!({ "sig_len": data.sig_len, "seconds": data.sig_len as f64 / data.fs_hz });
    data.provenance["n_records_found"] = recordings.len().into();
    data.provenance["left_out_records"] = json!(left_out);
    data.provenance["dropped_windows"] = json!(n_dropped);
    data.provenance["n_items_without_label"] = n_without_label(&data).into();
    if let Some(gain) = layout.leads.gain_adu_per_mv {
        data.provenance["gain_adu_per_mv"] = gain.into();
    }
    if options.whole.copies.unwrap_or(layout.copies) == Copies::Drop {
        data = without_copies(data);
    }
    if options.whole.one_record_per_patient {
        guard::state_one_record_per_patient(&mut data);
    }
    Ok(data)
}

/// The labels must be among the database's, and the numbers in range.
fn check_options(database: &dyn Database, options: &OpenOptions) -> Result<()> {
    if !database.label_sets().contains(&options.labels.name) {
        return Err(Error::config(
            "labels",
            format!("found \"{}\", expected one of {}", options.labels.name, database.label_sets().join(", ")),
        ));
    }
    let whole = &options.whole;
    for (key, value) in [("seconds", whole.seconds), ("fs", whole.fs_hz)] {
        if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
            return Err(Error::config(key, format!("found {value}, expected a positive number")));
        }
    }
    if !(0.0..=100.0).contains(&whole.min_likelihood) {
        return Err(Error::config(
            "min_likelihood",
            format!("found {}, expected a percentage from 0 to 100", whole.min_likelihood),
        ));
    }
    Ok(())
}

/// Every code of the recordings, in order and once each.
fn codes_of(recordings: &[Recording]) -> Vec<String> {
    let codes: std::collections::BTreeSet<&String> =
        recordings.iter().flat_map(|recording| recording.codes.iter().map(|(_, code)| code)).collect();
    codes.into_iter().cloned().collect()
}

/// What one recording gives.
enum Cut {
    LeftOut(String),
    Windows(Box<Cuts>),
}

/// Windows of one recording.
struct Cuts {
    form: Form,
    leads: Vec<String>,
    sig_len: usize,
    fs_hz: f64,
    /// First point in the record's own rate, `[lead, time]` mV, labels.
    items: Vec<(i64, Vec<f32>, Vec<u8>)>,
    n_missing: usize,
    n_short: usize,
}

impl Cuts {
    fn push_into(self, data: &mut Dataset, recording: &Recording, n_dropped: &mut BTreeMap<&'static str, usize>) {
        for (n, reason) in [(self.n_missing, "missing points"), (self.n_short, "shorter than the window")] {
            if n > 0 {
                *n_dropped.entry(reason).or_default() += n;
            }
        }
        for (index, ecg, labels) in self.items {
            data.ecg.extend_from_slice(&ecg);
            data.labels.extend_from_slice(&labels);
            data.record.push(recording.name.clone());
            data.patient.push(recording.patient.clone());
            data.split.push(recording.split);
            data.index.push(index);
            data.facts.get_or_insert_with(Vec::new).push(recording.facts.clone());
        }
    }
}

fn cut_record(
    recording: &Recording,
    record: &Record,
    options: &OpenOptions,
    layout: &Layout,
    names: &[String],
) -> Result<Cut> {
    let whole = &options.whole;
    let labels = label_row(&recording.codes, options.labels, names);
    if layout.beats.is_none() && options.labels.is_exclusive && labels.iter().filter(|&&on| on != 0).count() != 1 {
        let n: u32 = labels.iter().map(|&on| u32::from(on)).sum();
        return Ok(Cut::LeftOut(format!("{} of the classes", if n == 0 { "none" } else { "several" })));
    }
    let signals = match window::signals(record, &layout.leads, whole, options.high_pass_hz)? {
        Ok(signals) => signals,
        Err(reason) => return Ok(Cut::LeftOut(reason)),
    };
    let Signals { form, leads, fs_hz, mv } = signals;
    let sig_len = (whole.seconds.unwrap_or(layout.seconds) * fs_hz).round() as usize;
    // Leads at different rates without a policy differ in length; the form refuses them later.
    let time = mv.iter().map(Vec::len).min().unwrap_or(0);
    let n_windows = time.checked_div(sig_len).unwrap_or(0);
    let n_wanted = if whole.windows == Windows::First { n_windows.min(1) } else { n_windows };
    let (mut items, mut n_missing) = (Vec::with_capacity(n_wanted), 0);
    for k in 0..n_wanted {
        let range = k * sig_len..(k + 1) * sig_len;
        let ecg: Vec<f32> = mv.iter().flat_map(|lead| &lead[range.clone()]).copied().collect();
        if ecg.iter().any(|x| x.is_nan()) {
            n_missing += 1;
            continue;
        }
        let to_frame = |point: usize| (point as f64 * record.fs_hz / fs_hz).round() as i64;
        let frames = to_frame(range.start)..to_frame(range.end);
        let labels = match layout.beats {
            None => labels.clone(),
            Some(annotator) => {
                let marks = record.annotations.get(annotator).map_or(&[][..], Vec::as_slice);
                let inside = marks.iter().filter(|mark| mark.is_beat() && frames.contains(&mark.sample));
                let codes: Vec<_> = inside.map(|mark| (CodeSystem::Mit, mark.symbol.to_string())).collect();
                label_row(&codes, options.labels, names)
            }
        };
        items.push((frames.start, ecg, labels));
    }
    let n_short = usize::from(whole.windows == Windows::All && sig_len > 0 && time % sig_len != 0 || n_windows == 0);
    Ok(Cut::Windows(Box::new(Cuts { form, leads, sig_len, fs_hz, items, n_missing, n_short })))
}

/// Multi-hot labels of a list of codes.
fn label_row(codes: &[(CodeSystem, String)], set: &LabelSet, names: &[String]) -> Vec<u8> {
    let mut row = vec![0; names.len()];
    for (system, code) in codes {
        if set.is_open() {
            names.iter().position(|name| name == code).into_iter().for_each(|class| row[class] = 1);
        } else {
            set.classes_of(code, *system).into_iter().for_each(|class| row[class] = 1);
        }
    }
    row
}

fn n_without_label(data: &Dataset) -> usize {
    let n = data.n_labels();
    (0..data.len()).filter(|&i| data.labels[i * n..(i + 1) * n].iter().all(|&on| on == 0)).count()
}

/// The data set without the later copies of a signal, which its provenance names.
fn without_copies(data: Dataset) -> Dataset {
    let pairs = guard::repeated_signals(&data, |_, _| true);
    let named: Vec<Value> = pairs
        .iter()
        .map(|pair| {
            json!({
                "kept": data.record[pair.b], "dropped": data.record[pair.a], "correlation": pair.correlation,
                "patients": [data.patient[pair.b], data.patient[pair.a]],
            })
        })
        .collect();
    let copies: std::collections::BTreeSet<usize> = pairs.iter().map(|pair| pair.a).collect();
    let order: Vec<usize> = (0..data.len()).filter(|i| !copies.contains(i)).collect();
    let mut out = if copies.is_empty() { data } else { data.select(&order) };
    out.provenance["dropped_copies"] = named.into();
    out
}

/// Why recordings and windows were left out, with their numbers.
fn reasons(records: &BTreeMap<String, usize>, windows: &BTreeMap<&'static str, usize>) -> String {
    let windows = windows.iter().map(|(reason, n)| format!("{n} windows {reason}"));
    let texts: Vec<String> = records.iter().map(|(reason, n)| format!("{n} {reason}")).chain(windows).collect();
    if texts.is_empty() { "none".into() } else { texts.join(", ") }
}
