//! A folder of records as a whole: mixed rates, units and leads, copies, and what the table of labels says.

use std::collections::BTreeMap;
use std::path::Path;

use super::label::{Labels, look as look_at_labels};
use super::{Facts, Problem, Severity};
use crate::dataset::Dataset;
use crate::dataset::guard::{NEAR_IDENTICAL, repeated_signals};
use crate::error::Result;
use crate::record::lead_law::standard_name;
use crate::record::{Annotators, ReadOptions, Record, read};

/// Leads, rate and length of an outline: three leads, 50 Hz, at most the first 10 s.
const OUTLINE_LEADS: [&str; 3] = ["I", "II", "V2"];
const OUTLINE_HZ: f64 = 50.0;
const OUTLINE_S: f64 = 10.0;

pub(super) fn problems(folder: &Path, facts: &[Facts]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    mixture(facts, "mixed-rate", Severity::Warning, "rates", |fact| format!("{} Hz", fact.fs_hz), &mut problems);
    let leads = |fact: &Facts| {
        let names = fact.leads.iter().map(|lead| standard_name(lead).unwrap_or(lead));
        names.collect::<Vec<_>>().join(" ")
    };
    mixture(facts, "mixed-leads", Severity::Warning, "sets of leads", leads, &mut problems);
    let units = |fact: &Facts| {
        let mut units: Vec<String> = fact.units.iter().map(|unit| unit.to_lowercase()).collect();
        units.sort();
        units.dedup();
        units.join(" ")
    };
    mixture(facts, "mixed-units", Severity::Warning, "units", units, &mut problems);
    let length = |fact: &Facts| format!("{:.1} s", fact.sig_len as f64 / fact.fs_hz);
    mixture(facts, "mixed-length", Severity::Info, "lengths", length, &mut problems);
    let labels = Labels::find(folder, facts, &mut problems)?;
    copies(facts, &labels, &mut problems);
    look_at_labels(facts, &labels, &mut problems);
    Ok(problems)
}

/// Reports more than one value of what should be one, with the counts (rule X06).
fn mixture(
    facts: &[Facts],
    code: &'static str,
    severity: Severity,
    what: &str,
    value: impl Fn(&Facts) -> String,
    problems: &mut Vec<Problem>,
) {
    const SHOWN: usize = 5;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for fact in facts {
        *counts.entry(value(fact)).or_insert(0) += 1;
    }
    if counts.len() < 2 {
        return;
    }
    let mut sorted: Vec<(&String, &usize)> = counts.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let shown: Vec<String> = sorted.iter().take(SHOWN).map(|(value, n)| format!("{value} ({n})")).collect();
    let more = if sorted.len() > SHOWN { format!(" and {} more", sorted.len() - SHOWN) } else { String::new() };
    problems.push(Problem::new(code, severity, format!("found {} {what}: {}{more}", counts.len(), shown.join(", "))));
}

/// What copies are looked for with: means over 20 ms, which rate and filter of a copy hardly change.
pub(super) fn outline(record: &Record) -> Vec<f32> {
    let position = |name: &str| record.leads.iter().position(|lead| standard_name(&lead.name) == Some(name));
    let mut channels: Vec<usize> = OUTLINE_LEADS.iter().filter_map(|name| position(name)).collect();
    if channels.len() < OUTLINE_LEADS.len() {
        channels = (0..record.leads.len().min(OUTLINE_LEADS.len())).collect();
    }
    let n = (record.sig_len as f64 / record.fs_hz).min(OUTLINE_S) * OUTLINE_HZ;
    let mut outline = Vec::with_capacity(channels.len() * n as usize);
    for channel in channels {
        let lead = &record.leads[channel];
        let Ok(mv) = lead.mv() else { return Vec::new() };
        let per_block = record.lead_fs_hz(lead) / OUTLINE_HZ;
        for block in 0..n as usize {
            let at = |k: usize| ((k as f64 * per_block) as usize).min(mv.len());
            let points = mv[at(block)..at(block + 1).max(at(block) + 1).min(mv.len())].iter().filter(|v| !v.is_nan());
            let (sum, count) = points.fold((0.0, 0usize), |(sum, count), &v| (sum + f64::from(v), count + 1));
            outline.push(if count > 0 { (sum / count as f64) as f32 } else { 0.0 });
        }
    }
    outline
}

/// Records that are one signal: found by their outlines, confirmed on all points. The same recording at two rates, as
/// PTB-XL has it, is no copy.
fn copies(facts: &[Facts], labels: &Labels, problems: &mut Vec<Problem>) {
    let mut groups: BTreeMap<(u64, usize, usize), Vec<usize>> = BTreeMap::new();
    for (k, fact) in facts.iter().enumerate().filter(|(_, fact)| !fact.outline.is_empty()) {
        groups.entry((fact.fs_hz.to_bits(), fact.leads.len(), fact.outline.len())).or_default().push(k);
    }
    for members in groups.values().filter(|members| members.len() > 1) {
        let n = facts[members[0]].outline.len();
        let n_leads = facts[members[0]].leads.len().min(OUTLINE_LEADS.len());
        let leads = (0..n_leads).map(|k| k.to_string()).collect();
        let mut data = Dataset::new(leads, n / n_leads, OUTLINE_HZ, Vec::new());
        for &k in members {
            data.ecg.extend_from_slice(&facts[k].outline);
            data.record.push(facts[k].name.clone());
        }
        for pair in repeated_signals(&data, |_, _| true) {
            let (a, b) = (members[pair.b], members[pair.a]);
            let Some(correlation) = correlation(&facts[a], &facts[b]).filter(|c| *c > NEAR_IDENTICAL) else { continue };
            let differs = |of: &dyn Fn(usize) -> Option<String>| matches!((of(a), of(b)), (Some(first), Some(second)) if first != second);
            let (patients, folds) = (differs(&|k| labels.patient(k)), differs(&|k| labels.fold(k)));
            let apart = match (patients, folds) {
                (true, true) => " under another patient and in another fold",
                (true, false) => " under another patient",
                (false, true) => " in another fold",
                (false, false) => "",
            };
            let severity = if patients || folds { Severity::Error } else { Severity::Warning };
            let message = format!("is the signal of {}{apart}: correlation {correlation:.5}", facts[a].name);
            problems.push(Problem::new("duplicate", severity, message).of_record(&facts[b].name));
        }
    }
}

/// Correlation of all leads of two records after removing each lead's mean; `None` when they differ in shape.
fn correlation(a: &Facts, b: &Facts) -> Option<f64> {
    let options = ReadOptions { annotators: Annotators::None, ..ReadOptions::lenient() };
    let (a, b) = (read(&a.path, &options).ok()?, read(&b.path, &options).ok()?);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.leads.iter().zip(&b.leads) {
        let (x, y) = (x.mv().ok()?, y.mv().ok()?);
        if x.len() != y.len() {
            return None;
        }
        let both: Vec<(f64, f64)> = x
            .iter()
            .zip(&y)
            .filter(|(x, y)| !x.is_nan() && !y.is_nan())
            .map(|(x, y)| (f64::from(*x), f64::from(*y)))
            .collect();
        let n = both.len().max(1) as f64;
        let (mx, my) = (both.iter().map(|p| p.0).sum::<f64>() / n, both.iter().map(|p| p.1).sum::<f64>() / n);
        for (x, y) in both {
            ab += (x - mx) * (y - my);
            aa += (x - mx) * (x - mx);
            bb += (y - my) * (y - my);
        }
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}
