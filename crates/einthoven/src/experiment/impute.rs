//! Filling gaps and missing leads of a record by a trained generator.
//!
//! What follows from a law is computed first: a missing limb lead from two others. The rest is drawn at the model's own
//! rate and length, window by window, to fit what is there, and brought back to the record's rate. Points that were
//! recorded are never touched.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::device;
use super::distillation::TEACHER;
use super::sampling::run_model;
use crate::dataset::Conditions;
use crate::dataset::label::synonym::find_label;
use crate::error::{Error, Result};
use crate::generators::diffusion_model::DiffusionModel;
use crate::generators::{Generator, Item, SampleRequest};
use crate::record::lead::DEFAULT_GAIN;
use crate::record::lead_law::{TWELVE, limb_leads, standard_name};
use crate::record::{self, Annotators, Frames, Lead, ReadOptions, Record, WriteOptions};
use crate::run::{Progress, Stop};
use crate::seed::Seed;
use crate::signal::resample::resample;

/// What a user asks of [`impute()`].
pub struct ImputeRequest<'a> {
    /// The record.
    pub record: &'a Path,
    /// Run folder or model file of a generator of whole records.
    pub source: &'a Path,
    /// Leads to be made anew, by name, whatever the record has of them.
    pub missing: &'a [String],
    /// Times in s between which all leads are made anew.
    pub gap_s: Option<(f64, f64)>,
    /// Label of the record, which the generator is told.
    pub label: Option<&'a str>,
    /// Sampler by name; `None` for the model's own.
    pub sampler: Option<&'a str>,
    /// Denoiser calls; `None` for the model's own.
    pub steps: Option<usize>,
    /// Seed of the draw.
    pub seed: u64,
    /// Device by name.
    pub device: &'a str,
    /// Record that is written, in the format of its extension.
    pub out: &'a Path,
    /// Whether a file that exists is replaced.
    pub overwrite: bool,
}

/// What was filled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Imputed {
    /// Points of each lead that were derived by the laws of the limb leads.
    pub derived: Vec<(String, usize)>,
    /// Points of each lead that were drawn.
    pub drawn: Vec<(String, usize)>,
}

/// Fills what is missing in a record and writes the whole of it, marked as partly synthetic.
///
/// # Errors
/// [`Error::Unknown`] for a lead or label that does not exist; [`Error::Config`] for a gap outside the record;
/// [`Error::Data`] for a record with nothing missing or without the leads that the model has; everything that reading,
/// sampling and writing return.
pub fn impute(request: &ImputeRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Imputed> {
    let options = ReadOptions { annotators: Annotators::All, frames: Frames::Average, ..ReadOptions::lenient() };
    let mut record = record::read(request.record, &options)?;
    let file = match request.source.is_dir() {
        true => run_model(request.source, teacher(request.source))?,
        false => request.source.to_path_buf(),
    };
    let model = DiffusionModel::load(&file, &device(request.device)?)?;
    let label = request.label.map(|name| find_label(&model.card().label_names, name)).transpose()?;
    let mut mv = amplitudes(&record, request)?;
    let was_missing = missing(&mv);
    if !was_missing.iter().flatten().any(|&is_missing| is_missing) {
        return Err(Error::data(&record.name, "has nothing missing: name leads with --missing or a time with --gap"));
    }
    let names: Vec<String> = record.leads.iter().map(|lead| lead.name.clone()).collect();
    limb_leads(&names, &mut mv);
    let derived = filled(&names, &was_missing, &mv);
    let left = missing(&mv);
    if left.iter().flatten().any(|&is_missing| is_missing) {
        draw(request, &model, &record, label, &mut mv, stop, progress)?;
        limb_leads(&names, &mut mv);
    }
    let drawn = filled(&names, &left, &mv);
    store(&mut record, &mv, &was_missing, &model, request)?;
    Ok(Imputed { derived, drawn })
}

/// The teacher of a run that has students: filling in takes a denoiser of every level, and theirs are few.
fn teacher(run: &Path) -> Option<&'static str> {
    run.join("checkpoint").join(TEACHER).join("model.safetensors").is_file().then_some(TEACHER)
}

/// Amplitudes `[lead][point]`, NaN where missing or to be made anew.
fn amplitudes(record: &Record, request: &ImputeRequest) -> Result<Vec<Vec<f32>>> {
    let mut mv: Vec<Vec<f32>> = record.leads.iter().map(Lead::mv).collect::<Result<_>>()?;
    for name in request.missing {
        let found = record.leads.iter().position(|lead| lead.name.eq_ignore_ascii_case(name));
        let lead = found.ok_or_else(|| Error::Unknown {
            kind: "lead of the record",
            name: name.clone(),
            known: record.leads.iter().map(|lead| lead.name.clone()).collect(),
        })?;
        mv[lead].fill(f32::NAN);
    }
    if let Some((from_s, to_s)) = request.gap_s {
        let end_s = record.sig_len as f64 / record.fs_hz;
        if !(0.0 <= from_s && from_s < to_s && to_s <= end_s) {
            let reason = format!("found {from_s}..{to_s} s, expected times within the record, which ends at {end_s} s");
            return Err(Error::config("--gap", reason));
        }
        let at = |time_s: f64| (time_s * record.fs_hz).round() as usize;
        mv.iter_mut().for_each(|lead| lead[at(from_s)..at(to_s).min(record.sig_len)].fill(f32::NAN));
    }
    Ok(mv)
}

/// Draws what the modelled leads miss, in windows of the model's length.
fn draw(
    request: &ImputeRequest,
    model: &DiffusionModel,
    record: &Record,
    label: Option<usize>,
    mv: &mut [Vec<f32>],
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<()> {
    let card = model.card();
    let places: Vec<usize> = card
        .leads
        .iter()
        .map(|wanted| {
            let is_it =
                |lead: &Lead| standard_name(&lead.name) == standard_name(wanted) && standard_name(wanted).is_some();
            record.leads.iter().position(|lead| is_it(lead) || lead.name == *wanted).ok_or_else(|| {
                let reason = format!("has no lead {wanted}, which the model makes; add it, all missing, or derive it");
                Error::data(&record.name, reason)
            })
        })
        .collect::<Result<_>>()?;
    // At the model's rate, with gaps bridged for the filter and marked apart.
    let mut coarse: Vec<Vec<f32>> = Vec::with_capacity(places.len());
    for &place in &places {
        let known = to_rate(&bridged(&mv[place]), record.fs_hz, card.fs_hz)?;
        let ratio = record.fs_hz / card.fs_hz;
        let is_missing = |t: usize| {
            let (from, to) = ((t as f64 - 0.5) * ratio, (t as f64 + 0.5) * ratio);
            let range = from.max(0.0).ceil() as usize..=(to.floor() as usize).min(record.sig_len - 1);
            range.into_iter().any(|point| mv[place][point].is_nan())
        };
        coarse.push(known.iter().enumerate().map(|(t, &v)| if is_missing(t) { f32::NAN } else { v as f32 }).collect());
    }
    let n = coarse[0].len();
    if n < card.sig_len {
        let (needed, found) = (card.sig_len as f64 / card.fs_hz, n as f64 / card.fs_hz);
        return Err(Error::data(&record.name, format!("lasts {found} s, the model needs {needed} s")));
    }
    let conditions = label.map(Conditions::of_class).unwrap_or_default();
    let mut call: SampleRequest = model.request(vec![Item { index: 0, conditions }]);
    if let Some(sampler) = request.sampler {
        call.sampler = sampler.into();
    }
    call.steps = request.steps.unwrap_or(call.steps);
    let starts: Vec<usize> = (0..n.div_ceil(card.sig_len)).map(|k| (k * card.sig_len).min(n - card.sig_len)).collect();
    for (k, &start) in starts.iter().enumerate() {
        stop.check("run the same command again")?;
        progress.update("windows", k as u64, starts.len() as u64, "");
        let window: Vec<f32> = coarse.iter().flat_map(|lead| lead[start..start + card.sig_len].to_vec()).collect();
        if window.iter().any(|v| v.is_nan()) {
            call.items[0].index = k as u64;
            let filled = model.fill(&window, &call, Seed::new(request.seed))?;
            for (lead, filled) in coarse.iter_mut().zip(filled.chunks(card.sig_len)) {
                lead[start..start + card.sig_len].copy_from_slice(filled);
            }
        }
    }
    for (&place, lead) in places.iter().zip(&coarse) {
        let fine = to_rate(&lead.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), card.fs_hz, record.fs_hz)?;
        for (t, value) in mv[place].iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
            *value = fine[t.min(fine.len() - 1)] as f32;
        }
    }
    Ok(())
}

fn to_rate(x: &[f64], from_hz: f64, to_hz: f64) -> Result<Vec<f64>> {
    if from_hz == to_hz { Ok(x.to_vec()) } else { resample(x, from_hz, to_hz) }
}

/// The signal with straight lines over its gaps, level at the ends; zero if nothing is known.
fn bridged(mv: &[f32]) -> Vec<f64> {
    let known: Vec<usize> = (0..mv.len()).filter(|&t| !mv[t].is_nan()).collect();
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else { return vec![0.0; mv.len()] };
    let mut out: Vec<f64> = mv.iter().map(|&v| f64::from(v)).collect();
    let (start, end) = (out[first], out[last]);
    out[..first].fill(start);
    out[last + 1..].fill(end);
    for pair in known.windows(2) {
        let (from, to) = (out[pair[0]], out[pair[1]]);
        for (k, value) in out[pair[0] + 1..pair[1]].iter_mut().enumerate() {
            *value = from + (to - from) * (k + 1) as f64 / (pair[1] - pair[0]) as f64;
        }
    }
    out
}

/// Which points of each lead are missing.
fn missing(mv: &[Vec<f32>]) -> Vec<Vec<bool>> {
    mv.iter().map(|lead| lead.iter().map(|v| v.is_nan()).collect()).collect()
}

/// Points of each lead that were missing before and are there now.
fn filled(names: &[String], before: &[Vec<bool>], mv: &[Vec<f32>]) -> Vec<(String, usize)> {
    let each = names.iter().zip(before.iter().zip(mv)).map(|(name, (before, mv))| {
        (name.clone(), before.iter().zip(mv).filter(|(was_missing, v)| **was_missing && !v.is_nan()).count())
    });
    each.filter(|(_, n)| *n > 0).collect()
}

/// Puts the filled points into the record and writes it.
fn store(
    record: &mut Record,
    mv: &[Vec<f32>],
    was_missing: &[Vec<bool>],
    model: &DiffusionModel,
    request: &ImputeRequest,
) -> Result<()> {
    for ((lead, mv), was_missing) in record.leads.iter_mut().zip(mv).zip(was_missing) {
        if !lead.gain_changes.is_empty() {
            let reason = "changes its calibration on the way; convert the record to one segment first";
            return Err(Error::data(format!("lead {}", lead.name), reason));
        }
        // Uncalibrated leads were read with this gain, and a lead that is no voltage was refused then.
        let per_mv = lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN) / lead.mv_per_unit().unwrap_or(1.0);
        let filled = Lead::from_mv(&lead.name, mv, per_mv)?;
        for (t, _) in was_missing.iter().enumerate().filter(|(_, was_missing)| **was_missing) {
            lead.adu[t] = filled.adu[t].saturating_add(lead.baseline_adu);
        }
    }
    let leads: Vec<&str> = TWELVE.iter().copied().filter(|name| model.card().leads.iter().any(|l| l == name)).collect();
    record.comments.extend([
        "Synthetic: in part".to_string(),
        format!("Generator: {} (leads {})", model.card().generator, leads.join(" ")),
        format!("Model hash: {}", model.hash()),
        format!("Seed: {}", request.seed),
        format!("Filled: {}", filled_in_words(request)),
        "Not for clinical use".to_string(),
    ]);
    record::write(record, request.out, &WriteOptions { overwrite: request.overwrite, ..WriteOptions::default() })?;
    Ok(())
}

fn filled_in_words(request: &ImputeRequest) -> String {
    let mut parts = Vec::new();
    if !request.missing.is_empty() {
        parts.push(format!("leads {}", request.missing.join(" ")));
    }
    parts.extend(request.gap_s.map(|(from, to)| format!("{from} to {to} s")));
    parts.push("what was missing".into());
    parts.join(", ")
}

impl Imputed {
    /// What was filled, for scripts.
    pub fn summary(&self) -> Value {
        let points = |of: &[(String, usize)]| of.iter().cloned().collect::<std::collections::BTreeMap<_, _>>();
        json!({ "derived": points(&self.derived), "drawn": points(&self.drawn) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_bridged_by_straight_lines() {
        let nan = f32::NAN;
        assert_eq!(bridged(&[nan, 1.0, nan, nan, 4.0, nan]), [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(bridged(&[nan, nan]), [0.0, 0.0]);
    }
}
