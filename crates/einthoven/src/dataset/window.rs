//! From whole records to items of equal length: which leads, at which rate, cut where.
//!
//! A data set has one rate, one list of leads and one unit. Records that differ are refused with a count of
//! what was found (rule X06), unless an option says what to do: resample, pick leads, convert units.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, InputError, Position, Result};
use crate::record::lead_law::{TWELVE, derive_limb_leads, standard_name};
use crate::record::{Lead, LeadQuality, Record};
use crate::signal::filter::SosFilter;
use crate::signal::resample::resample;

/// Which leads an item has.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeadPolicy {
    /// All of the record, under their standard names and in the standard order if they are among the twelve.
    #[default]
    AsRecorded,
    /// These, by name; III, aVR, aVL and aVF are derived where only I and II are there. Records that lack one
    /// are left out and counted.
    Named(Vec<String>),
    /// The first ones by position under these names, for databases whose names differ from record to record.
    ByPosition(Vec<String>),
}

/// Which windows of a record become items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Windows {
    /// All that lie side by side from the start; a rest that is too short is left out and counted.
    #[default]
    All,
    /// The first one.
    First,
}

/// How whole records become items.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordOptions {
    /// Length of an item in seconds; the database's usual one if not given.
    pub seconds: Option<f64>,
    /// Which windows.
    pub windows: Windows,
    /// Rate that every record is brought to; without it all must have the same.
    pub fs_hz: Option<f64>,
    /// Leads; the database's usual ones if not given.
    pub leads: Option<LeadPolicy>,
    /// Accepts records in other voltage units than the rest; all become mV.
    pub convert_units: bool,
    /// Keeps records with a flat, saturated or missing lead.
    pub keep_unusable: bool,
    /// Least likelihood in percent that a diagnostic statement of PTB-XL must have been given; 0 takes all
    /// statements. Form and rhythm statements carry no likelihood and always count.
    pub min_likelihood: f64,
    /// States that each record is another patient, where the database names none (rule L1).
    pub one_record_per_patient: bool,
    /// What happens to recordings that are stored twice; the database's rule if not given.
    pub copies: Option<Copies>,
}

/// What happens to recordings that are stored twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Copies {
    /// They stay, and a split refuses those under two patients (rule X07).
    Refuse,
    /// The first stays; the others are left out and named in the provenance.
    Drop,
}

/// What must agree between the records of a data set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    /// Rate, or rates, in Hz.
    pub rate: String,
    /// Lead names.
    pub leads: Vec<String>,
    /// Unit, or units.
    pub unit: String,
}

/// Leads of a record in mV at one rate.
#[derive(Debug)]
pub(crate) struct Signals {
    /// What the record had, as far as the options do not settle it.
    pub form: Form,
    /// Names in the order of `mv`.
    pub leads: Vec<String>,
    /// Rate in Hz.
    pub fs_hz: f64,
    /// `[lead][time]`, mV; NaN where missing.
    pub mv: Vec<Vec<f32>>,
}

/// Why a record is left out.
pub(crate) type Reason = String;

/// How one database has its leads.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeadRules {
    /// Leads unless the options say otherwise.
    pub policy: LeadPolicy,
    /// Names of the database for leads that have a better one.
    pub rename: &'static [(&'static str, &'static str)],
    /// Gain instead of the header's, adu per mV.
    pub gain_adu_per_mv: Option<f64>,
    /// Whether leads without a gain are taken with the format's 200 adu per unit.
    pub allows_uncalibrated: bool,
}

/// The leads that the options ask for, filtered and resampled; or why the record is left out.
///
/// # Errors
/// [`Error::Data`] for a unit that is no voltage (W17) or a lead without calibration (W11).
pub(crate) fn signals(
    record: &Record,
    rules: &LeadRules,
    options: &RecordOptions,
    high_pass_hz: Option<f64>,
) -> Result<std::result::Result<Signals, Reason>> {
    let names: Vec<String> = record.leads.iter().map(|lead| shown_name(&lead.name, rules)).collect();
    let policy = options.leads.as_ref().unwrap_or(&rules.policy);
    let chosen = match choose(&names, policy) {
        Ok(chosen) => chosen,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut sources: Vec<usize> = chosen.iter().flat_map(|(_, from)| from.indexes()).collect();
    sources.sort_unstable();
    sources.dedup();
    if !options.keep_unusable {
        for &k in &sources {
            let quality = match record.leads[k].quality() {
                LeadQuality::Usable => continue,
                LeadQuality::AllMissing => "missing",
                LeadQuality::Constant => "flat",
                LeadQuality::Saturated => "saturated",
            };
            return Ok(Err(format!("{quality} lead")));
        }
    }
    let mut rates: Vec<f64> = sources.iter().map(|&k| record.lead_fs_hz(&record.leads[k])).collect();
    let mut units: Vec<&str> = sources.iter().map(|&k| unit_name(&record.leads[k])).collect();
    let fs_hz = options.fs_hz.or(rates.first().copied()).unwrap_or(record.fs_hz);
    let by_lead = sources
        .iter()
        .map(|&k| {
            let lead = &record.leads[k];
            let mv = mv_of(record, lead, rules)?;
            at_rate(&mv, record.lead_fs_hz(lead), options.fs_hz, high_pass_hz)
        })
        .collect::<Result<Vec<Vec<f32>>>>()?;
    let of = |k: usize| &by_lead[sources.binary_search(&k).unwrap_or(0)];
    let mv = chosen.iter().map(|(_, from)| from.build(of)).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    units.sort_unstable();
    units.dedup();
    let rates: Vec<String> = rates.iter().map(|rate| format!("{rate} Hz")).collect();
    let leads: Vec<String> = chosen.into_iter().map(|(name, _)| name).collect();
    let form = Form {
        rate: if options.fs_hz.is_some() { format!("{fs_hz} Hz") } else { rates.join("+") },
        leads: leads.clone(),
        unit: if options.convert_units { "mV".into() } else { units.join("+") },
    };
    Ok(Ok(Signals { form, leads, fs_hz, mv }))
}

/// Refuses records whose rates, leads or units differ (rule X06).
///
/// # Errors
/// [`Error::Input`] `X06` with how many records have what.
pub(crate) fn check_forms(folder: &Path, forms: &BTreeMap<Form, usize>) -> Result<()> {
    let is_mixed_inside = forms.keys().any(|form| form.rate.contains('+') || form.unit.contains('+'));
    if forms.len() < 2 && !is_mixed_inside {
        return Ok(());
    }
    let differ = |key: fn(&Form) -> String| {
        let mut values: Vec<String> = forms.keys().map(key).collect();
        values.sort();
        values.dedup();
        values.len() > 1 || values.iter().any(|value| value.contains('+'))
    };
    let mut hints = Vec::new();
    if differ(|form| form.rate.clone()) {
        hints.push("resample with --fs HZ");
    }
    if differ(|form| form.leads.join(" ")) {
        hints.push("pick leads with --leads NAMES");
    }
    if differ(|form| form.unit.clone()) {
        hints.push("allow --convert-units");
    }
    let mut rows: Vec<(&Form, &usize)> = forms.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1));
    let table: Vec<String> = rows
        .iter()
        .map(|(form, n)| format!("{n} x ({}, leads {}, {})", form.rate, form.leads.join(" "), form.unit))
        .collect();
    Err(InputError {
        code: "X06",
        path: folder.into(),
        position: Position::File,
        field: "rates, leads and units".into(),
        found: table.join("; "),
        expected: "the same in all records".into(),
        hint: hints.join(", "),
    }
    .into())
}

/// Where a lead of an item comes from.
enum From {
    Lead(usize),
    /// Limb lead (0 III, 1 aVR, 2 aVL, 3 aVF) of leads I and II.
    Derived(usize, usize, usize),
}

impl From {
    fn indexes(&self) -> Vec<usize> {
        match *self {
            From::Lead(k) => vec![k],
            From::Derived(_, i, ii) => vec![i, ii],
        }
    }

    fn build<'a>(&self, of: impl Fn(usize) -> &'a Vec<f32>) -> Vec<f32> {
        match *self {
            From::Lead(k) => of(k).clone(),
            From::Derived(limb, i, ii) => of(i)
                .iter()
                .zip(of(ii))
                .map(|(&i, &ii)| derive_limb_leads(f64::from(i), f64::from(ii))[limb] as f32)
                .collect(),
        }
    }
}

fn shown_name(name: &str, rules: &LeadRules) -> String {
    let name = name.trim();
    if let Some((_, better)) = rules.rename.iter().find(|(theirs, _)| *theirs == name) {
        return (*better).into();
    }
    standard_name(name).unwrap_or(name).into()
}

fn choose(names: &[String], policy: &LeadPolicy) -> std::result::Result<Vec<(String, From)>, Reason> {
    match policy {
        LeadPolicy::AsRecorded => {
            let place = |name: &str| TWELVE.iter().position(|lead| *lead == name);
            let mut order: Vec<usize> = (0..names.len()).collect();
            if names.iter().all(|name| place(name).is_some()) {
                order.sort_by_key(|&k| place(&names[k]));
            }
            Ok(order.into_iter().map(|k| (names[k].clone(), From::Lead(k))).collect())
        }
        LeadPolicy::ByPosition(wanted) => {
            if names.len() < wanted.len() {
                return Err(format!("fewer than {} leads", wanted.len()));
            }
            Ok(wanted.iter().enumerate().map(|(k, name)| (name.clone(), From::Lead(k))).collect())
        }
        LeadPolicy::Named(wanted) => wanted
            .iter()
            .map(|wanted| {
                let name = standard_name(wanted).unwrap_or(wanted);
                let mut places = names.iter().enumerate().filter(|(_, have)| *have == name).map(|(k, _)| k);
                let found = places.next();
                if places.next().is_some() {
                    return Err(format!("several leads {name} [W33]"));
                }
                let limb = ["III", "aVR", "aVL", "aVF"].iter().position(|lead| *lead == name);
                let place = |lead: &str| names.iter().position(|have| have == lead);
                match (found, limb, place("I"), place("II")) {
                    (Some(k), ..) => Ok((name.into(), From::Lead(k))),
                    (None, Some(limb), Some(i), Some(ii)) => Ok((name.into(), From::Derived(limb, i, ii))),
                    _ => Err(format!("no lead {name}")),
                }
            })
            .collect(),
    }
}

/// One spelling for each voltage unit.
fn unit_name(lead: &Lead) -> &str {
    match lead.mv_per_unit() {
        Some(1.0) => "mV",
        Some(1e-3) => "uV",
        Some(1e-6) => "nV",
        Some(1e3) => "V",
        _ => &lead.units,
    }
}

fn mv_of(record: &Record, lead: &Lead, rules: &LeadRules) -> Result<Vec<f32>> {
    if let Some(gain) = rules.gain_adu_per_mv {
        let as_mv = |&adu: &i32| if adu == crate::record::MISSING { f32::NAN } else { (f64::from(adu) / gain) as f32 };
        return Ok(lead.adu.iter().map(as_mv).collect());
    }
    if !lead.is_calibrated() && !rules.allows_uncalibrated {
        return Err(Error::data(
            &record.name,
            format!("lead {} has no gain, expected one: a data set is in mV [W11]", lead.name),
        ));
    }
    lead.mv().map_err(|error| Error::data(&record.name, error.to_string()))
}

/// High-pass, then resampling; a lead with missing points keeps them as they are only at its own rate.
fn at_rate(mv: &[f32], own_hz: f64, fs_hz: Option<f64>, high_pass_hz: Option<f64>) -> Result<Vec<f32>> {
    let fs_hz = fs_hz.unwrap_or(own_hz);
    if fs_hz == own_hz && high_pass_hz.is_none() {
        return Ok(mv.to_vec());
    }
    if mv.iter().any(|x| x.is_nan()) {
        // Neither a filter nor a resampler can bridge a gap; the windows are dropped and counted as missing.
        return Ok(vec![f32::NAN; (mv.len() as f64 * fs_hz / own_hz).round() as usize]);
    }
    let mut x: Vec<f64> = mv.iter().map(|&x| f64::from(x)).collect();
    if let Some(cutoff_hz) = high_pass_hz {
        x = SosFilter::highpass(2, cutoff_hz, own_hz)?.zero_phase(&x)?;
    }
    if fs_hz != own_hz {
        x = resample(&x, own_hz, fs_hz)?;
    }
    Ok(x.into_iter().map(|x| x as f32).collect())
}
