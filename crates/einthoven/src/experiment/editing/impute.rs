//! Filling gaps and missing leads of a record by a trained generator.
//!
//! What follows from a law is computed first: a missing limb lead from two others. The rest is drawn at the model's own
//! rate to fit what is there, from noise or from the record's mean beat, and brought back to the record's rate. Points
//! that were recorded are never touched; to see how good the filling is, they can be hidden and compared with.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Acquaintance, Drawing, OnRecord, Opened, per_mv};
use crate::beat::rpeak::r_peaks;
use crate::beat::template::{Template, correlation};
use crate::dataset::Conditions;
use crate::dataset::label::synonym::find_label;
use crate::error::{Error, Result};
use crate::generators::SampleRequest;
use crate::generators::diffusion_model::Guess;
use crate::record::lead_law::{TWELVE, limb_leads, standard_name};
use crate::record::{Lead, MISSING};
use crate::run::{Progress, Stop};
use crate::seed::Seed;

/// What a draw starts from where the record is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prior {
    /// Noise alone.
    Noise,
    /// The record's own mean beat at the R peaks that its rhythm predicts, and as much noise as it deserves.
    Template,
}

/// What a user asks of [`impute()`].
pub struct ImputeRequest<'a> {
    /// Record, generator and result.
    pub on: OnRecord<'a>,
    /// How what is missing is drawn.
    pub drawing: Drawing<'a>,
    /// Leads to be made anew, by name, whatever the record has of them; those of the twelve that it lacks are added.
    pub missing: &'a [String],
    /// Times in s between which all leads are made anew.
    pub gap_s: Option<(f64, f64)>,
    /// Seconds that are added at the end of the record.
    pub forecast_s: Option<f64>,
    /// Label of the record, which the generator is told.
    pub label: Option<&'a str>,
    /// What the draw starts from.
    pub prior: Prior,
    /// How often it is drawn. The mean of many draws is the estimate of least squared error, and smoother than a record.
    pub draws: u64,
    /// Whether points that are there are compared with what is made of them by either prior.
    pub check: bool,
}

/// What was filled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Imputed {
    /// Whether the generator knew the patient.
    pub acquaintance: Acquaintance,
    /// Points of each lead that were derived by the laws of the limb leads.
    pub derived: Vec<(String, usize)>,
    /// Points of each lead that were drawn.
    pub drawn: Vec<(String, usize)>,
    /// Comparison of what was hidden with what was made, if asked for.
    pub checked: Vec<Checked>,
}

/// What was made of a lead's hidden points by one method, against what was recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// `noise` and `template`, the generator from either prior, and `mean-beat`, the template alone.
    pub method: &'static str,
    /// The lead.
    pub lead: String,
    /// Hidden points.
    pub points: usize,
    /// Root of the mean squared difference, mV.
    pub rmse_mv: f64,
    /// Correlation; `None` where either is flat.
    pub correlation: Option<f64>,
}

/// Fills what is missing in a record and writes the whole of it, marked as partly synthetic.
///
/// # Errors
/// [`Error::Config`] for no draws, before anything is read, and for a gap outside the record; [`Error::Unknown`] for a lead or
/// label that does not exist; [`Error::Data`] for a record with nothing missing or without the leads that the model has, for a
/// lead that neither has, without the beats that a template needs, or with nothing to compare; everything that reading,
/// sampling and writing return.
pub fn impute(request: &ImputeRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Imputed> {
    if request.draws == 0 {
        return Err(Error::config("--draws", "found 0, expected at least 1"));
    }
    let mut opened = request.on.open(progress)?;
    let label = request.label.map(|name| find_label(&opened.model.card().label_names, name)).transpose()?;
    add_leads(&mut opened, request.missing)?;
    if let Some(seconds) = request.forecast_s {
        lengthen(&mut opened, seconds)?;
    }
    let recorded = opened.mv()?;
    let mut mv = masked(&opened, &recorded, request)?;
    let was_missing = missing(&mv);
    if !was_missing.iter().flatten().any(|&is_missing| is_missing) {
        let reason = "has nothing missing: name leads with --missing, a time with --gap or --forecast";
        return Err(Error::data(&opened.record.name, reason));
    }
    limb_leads(&opened.names, &mut mv);
    let derived = filled(&opened.names, &was_missing, &mv);
    let left = missing(&mv);
    let call = opened.request(label.map(Conditions::of_class).unwrap_or_default(), Some(&request.drawing));
    let seed = Seed::new(request.drawing.seed);
    let filling = Filling { opened: &opened, known: &mv, call: &call, seed, draws: request.draws };
    let is_drawn = left.iter().flatten().any(|&is_missing| is_missing);
    let made = match is_drawn {
        true => filling.drawn(request.prior, stop, progress)?,
        false => mv.clone(),
    };
    let mut checked = Vec::new();
    if request.check {
        checked = comparisons(&filling, &recorded, &was_missing, (request.prior, &made), is_drawn, stop, progress)?;
    }
    let drawn = filled(&opened.names, &left, &made);
    let acquaintance = opened.acquaintance.clone();
    let comments = [format!("Seed: {}", request.drawing.seed), format!("Filled: {}", in_words(request))];
    opened.store(&request.on, &made, |at, t| was_missing[at][t], &comments)?;
    Ok(Imputed { acquaintance, derived, drawn, checked })
}

/// Adds the named leads that the record lacks, every point missing; the leads of the twelve are then in their standard order.
///
/// A lead that is added has the calibration of the record's first, an augmented one twice that gain: laws of the limb
/// leads then hold in whole counts.
fn add_leads(opened: &mut Opened, wanted: &[String]) -> Result<()> {
    /// Room for 32 mV in 16 bits, where the record's own counts are finer than any ECG needs.
    const MOST_PER_MV: f64 = 1000.0;
    let n_before = opened.names.len();
    let per_mv = opened.record.leads.first().map_or(MOST_PER_MV, per_mv).abs().min(MOST_PER_MV);
    for name in wanted {
        if opened.place(name).is_some() {
            continue;
        }
        let lead = standard_name(name).ok_or_else(|| unknown_lead(opened, name))?;
        if !opened.can_make(lead) {
            let reason = format!("has no lead {lead}, the generator makes none, and it follows from no others");
            return Err(Error::data(&opened.record.name, reason));
        }
        let per_mv = if lead.starts_with("aV") { 2.0 * per_mv } else { per_mv };
        opened.record.leads.push(Lead::new(lead, per_mv, vec![MISSING; opened.record.sig_len]));
        opened.names.push(lead.into());
    }
    if opened.names.len() > n_before {
        sort_leads(opened);
    }
    Ok(())
}

/// Puts the leads of the twelve in their standard order, before all others; annotations stay with their lead.
fn sort_leads(opened: &mut Opened) {
    let rank =
        |name: &String| TWELVE.iter().position(|lead| standard_name(name) == Some(*lead)).unwrap_or(TWELVE.len());
    let mut order: Vec<usize> = (0..opened.names.len()).collect();
    order.sort_by_key(|&at| rank(&opened.names[at]));
    let record = &mut opened.record;
    record.leads = order.iter().map(|&at| record.leads[at].clone()).collect();
    opened.names = order.iter().map(|&at| opened.names[at].clone()).collect();
    for mark in record.annotations.values_mut().flatten() {
        let now = order.iter().position(|&at| at == usize::from(mark.channel));
        mark.channel = now.and_then(|at| u8::try_from(at).ok()).unwrap_or(mark.channel);
    }
}

fn unknown_lead(opened: &Opened, name: &str) -> Error {
    let others = TWELVE.into_iter().filter(|lead| opened.place(lead).is_none()).map(String::from);
    Error::Unknown { kind: "lead", name: name.into(), known: opened.names.iter().cloned().chain(others).collect() }
}

/// Adds missing points at the end of a record.
fn lengthen(opened: &mut Opened, seconds: f64) -> Result<()> {
    const MOST_S: f64 = 3600.0;
    if !(seconds > 0.0 && seconds <= MOST_S) {
        return Err(Error::config("--forecast", format!("found {seconds} s, expected more than 0 and up to {MOST_S}")));
    }
    opened.record.sig_len += (seconds * opened.record.fs_hz).round() as usize;
    let sig_len = opened.record.sig_len;
    opened.record.leads.iter_mut().for_each(|lead| lead.adu.resize(sig_len, MISSING));
    Ok(())
}

/// Amplitudes `[lead][point]`, NaN where missing or to be made anew.
fn masked(opened: &Opened, recorded: &[Vec<f32>], request: &ImputeRequest) -> Result<Vec<Vec<f32>>> {
    let (record, mut mv) = (&opened.record, recorded.to_vec());
    for name in request.missing {
        let lead = opened.place(name).ok_or_else(|| unknown_lead(opened, name))?;
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

/// A record of which something is missing, and how it is drawn.
struct Filling<'a> {
    opened: &'a Opened,
    /// Amplitudes `[lead][point]`, NaN where missing.
    known: &'a [Vec<f32>],
    call: &'a SampleRequest,
    seed: Seed,
    draws: u64,
}

impl Filling<'_> {
    /// The record with what it misses drawn, limb leads by their laws.
    fn drawn(&self, prior: Prior, stop: &Stop, progress: &mut dyn Progress) -> Result<Vec<Vec<f32>>> {
        let (opened, places) = (self.opened, self.opened.places()?);
        let mut coarse = self.coarse(&places)?;
        let guess = match prior {
            Prior::Noise => None,
            Prior::Template => Some(self.guess(&coarse)?),
        };
        let is_missing = any_missing(&coarse);
        let stretches = stretches(&is_missing, opened.model.card().sig_len);
        for (k, &[from, to]) in stretches.iter().enumerate() {
            let cut = |leads: &[Vec<f32>]| leads.iter().flat_map(|lead| lead[from..to].to_vec()).collect::<Vec<f32>>();
            let mut call = self.call.clone();
            call.items[0].index = k as u64;
            let guessed = guess.as_ref().map(|(ecg, gaps)| {
                let within = gaps.iter().filter(|gap| gap.at[0] >= from && gap.at[1] <= to);
                (cut(ecg), within.map(|gap| gap.confidence).fold(1.0, f64::min))
            });
            let start = guessed.as_ref().map(|(ecg, confidence)| Guess { ecg, confidence: *confidence });
            let (known, mut mean) = (cut(&coarse), vec![0.0; coarse.len() * (to - from)]);
            for draw in 0..self.draws {
                stop.check("run the same command again")?;
                progress.update("draws", k as u64 * self.draws + draw, stretches.len() as u64 * self.draws, "");
                let seed = if draw == 0 { self.seed } else { self.seed.purpose("draw").index(draw) };
                let filled = opened.model.fill(&known, start, &call, seed)?;
                for (mean, filled) in mean.iter_mut().zip(filled) {
                    *mean += f64::from(filled) / self.draws as f64;
                }
            }
            for (lead, mean) in coarse.iter_mut().zip(mean.chunks(to - from)) {
                lead[from..to].iter_mut().zip(mean).for_each(|(v, mean)| *v = *mean as f32);
            }
        }
        self.put_back(&places, &coarse)
    }

    /// As [`Filling::drawn`] with the record's mean beat alone.
    fn mean_beat(&self) -> Result<Vec<Vec<f32>>> {
        let places = self.opened.places()?;
        let (ecg, _) = self.guess(&self.coarse(&places)?)?;
        self.put_back(&places, &ecg)
    }

    fn coarse(&self, places: &[usize]) -> Result<Vec<Vec<f32>>> {
        self.opened.coarse(&places.iter().map(|&place| self.known[place].as_slice()).collect::<Vec<_>>())
    }

    /// The modelled leads with the record's mean beat where they miss anything, and how well it is trusted in each gap.
    fn guess(&self, coarse: &[Vec<f32>]) -> Result<(Vec<Vec<f32>>, Vec<Gap>)> {
        let card = self.opened.model.card();
        let scaled: Vec<Vec<f32>> =
            coarse.iter().zip(&card.scale_mv).map(|(lead, scale)| lead.iter().map(|v| v / scale).collect()).collect();
        let leads: Vec<&[f32]> = scaled.iter().map(Vec::as_slice).collect();
        let refuse = |reason: &str| Error::data(&self.opened.record.name, reason.to_string());
        if coarse.iter().any(|lead| lead.iter().all(|v| v.is_nan())) {
            return Err(refuse("misses a lead throughout, which has no mean beat; expected --prior noise"));
        }
        let peaks = r_peaks(&leads, card.fs_hz)?;
        let is_missing = any_missing(coarse);
        let peaks: Vec<usize> = peaks.into_iter().filter(|&at| !is_missing[at]).collect();
        let few = || refuse("shows too few whole beats for a mean beat; expected --prior noise");
        let template = Template::of(&leads, &peaks).ok_or_else(few)?;
        let (mut ecg, mut gaps) = (coarse.to_vec(), Vec::new());
        for at in runs(&is_missing) {
            let stand_in = template.stand_in(&leads, &peaks, at, card.fs_hz).ok_or_else(few)?;
            gaps.push(Gap { at, confidence: stand_in.confidence });
            for ((lead, laid), scale) in ecg.iter_mut().zip(&stand_in.ecg).zip(&card.scale_mv) {
                let hidden = lead[at[0]..at[1]].iter_mut().zip(laid).filter(|(v, _)| v.is_nan());
                hidden.for_each(|(v, laid)| *v = laid * scale);
            }
        }
        Ok((ecg, gaps))
    }

    /// The record with its missing points from leads at the model's rate.
    fn put_back(&self, places: &[usize], coarse: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        let mut mv = self.known.to_vec();
        for (&place, lead) in places.iter().zip(coarse) {
            let fine = self.opened.fine(lead)?;
            mv[place].iter_mut().zip(fine).filter(|(v, _)| v.is_nan()).for_each(|(v, fine)| *v = fine);
        }
        self.opened.quantize(places, &mut mv);
        limb_leads(&self.opened.names, &mut mv);
        Ok(mv)
    }
}

/// A gap at the model's rate.
struct Gap {
    at: [usize; 2],
    confidence: f64,
}

/// What each method makes of the points that were there and are hidden.
fn comparisons(
    filling: &Filling,
    recorded: &[Vec<f32>],
    was_missing: &[Vec<bool>],
    (prior, made): (Prior, &[Vec<f32>]),
    is_drawn: bool,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Vec<Checked>> {
    let names = &filling.opened.names;
    let rows = |method: &'static str, made: &[Vec<f32>]| -> Vec<Checked> {
        let of_lead = |at: usize| {
            let is_hidden = |t: &usize| was_missing[at][*t] && !recorded[at][*t].is_nan() && !made[at][*t].is_nan();
            let hidden = (0..made[at].len()).filter(is_hidden);
            let pairs: Vec<(f64, f64)> = hidden.map(|t| (recorded[at][t].into(), made[at][t].into())).collect();
            let squares: f64 = pairs.iter().map(|(x, y)| (x - y).powi(2)).sum();
            let points = pairs.len();
            let rmse_mv = (squares / points as f64).sqrt();
            let lead = names[at].clone();
            (points > 0).then(|| Checked { method, lead, points, rmse_mv, correlation: correlation(pairs.into_iter()) })
        };
        (0..names.len()).filter_map(of_lead).collect()
    };
    let name = |prior: Prior| if prior == Prior::Noise { "noise" } else { "template" };
    let mut out = rows(if is_drawn { name(prior) } else { "derived" }, made);
    if out.is_empty() {
        let reason = "holds none of the points that are to be filled: there is nothing to compare with";
        return Err(Error::data(&filling.opened.record.name, reason));
    }
    if !is_drawn {
        return Ok(out);
    }
    match filling.mean_beat() {
        Ok(alone) => {
            let other = if prior == Prior::Noise { Prior::Template } else { Prior::Noise };
            out.extend(rows(name(other), &filling.drawn(other, stop, progress)?));
            out.extend(rows("mean-beat", &alone));
        }
        // Without a mean beat there is nothing to compare the draw with.
        Err(error @ Error::Data { .. }) => progress.warn(&format!("no comparison with the mean beat: {error}")),
        Err(error) => return Err(error),
    }
    Ok(out)
}

/// Stretches that are drawn: each run of missing points in the middle of at least a window, with a quarter of one more on
/// both sides; those that meet are one.
fn stretches(is_missing: &[bool], window: usize) -> Vec<[usize; 2]> {
    let n = is_missing.len();
    let mut out: Vec<[usize; 2]> = Vec::new();
    for [from, to] in runs(is_missing) {
        let length = (to - from + 2 * (window / 4)).max(window).min(n);
        let start = from.saturating_sub((length - (to - from).min(length)) / 2).min(n - length);
        match out.last_mut() {
            Some(last) if start <= last[1] => last[1] = last[1].max(start + length),
            _ => out.push([start, start + length]),
        }
    }
    out
}

/// First point and end of each run.
fn runs(is_missing: &[bool]) -> Vec<[usize; 2]> {
    let mut at = 0;
    let each = is_missing.chunk_by(|a, b| a == b).map(|run| {
        at += run.len();
        (run[0], [at - run.len(), at])
    });
    each.filter(|(is_missing, _)| *is_missing).map(|(_, run)| run).collect()
}

/// Which points in time any lead misses.
fn any_missing(leads: &[Vec<f32>]) -> Vec<bool> {
    (0..leads.first().map_or(0, Vec::len)).map(|t| leads.iter().any(|lead| lead[t].is_nan())).collect()
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

fn in_words(request: &ImputeRequest) -> String {
    let mut parts = Vec::new();
    if !request.missing.is_empty() {
        parts.push(format!("leads {}", request.missing.join(" ")));
    }
    parts.extend(request.gap_s.map(|(from, to)| format!("{from} to {to} s")));
    parts.extend(request.forecast_s.map(|seconds| format!("{seconds} s at the end")));
    parts.push("what was missing".into());
    let start = if request.prior == Prior::Template { "; drawn from the mean beat" } else { "" };
    let draws = if request.draws > 1 { format!("; the mean of {} draws", request.draws) } else { String::new() };
    parts.join(", ") + start + &draws
}

impl Imputed {
    /// What was filled, for scripts.
    pub fn summary(&self) -> Value {
        let points = |of: &[(String, usize)]| of.iter().cloned().collect::<std::collections::BTreeMap<_, _>>();
        let mut summary = json!(self.acquaintance);
        summary["derived"] = json!(points(&self.derived));
        summary["drawn"] = json!(points(&self.drawn));
        summary["checked"] = json!(self.checked);
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_drawn_in_the_middle_of_a_window() {
        let with = |gaps: &[[usize; 2]], n: usize| {
            let is_missing: Vec<bool> = (0..n).map(|t| gaps.iter().any(|gap| (gap[0]..gap[1]).contains(&t))).collect();
            assert_eq!(runs(&is_missing), gaps);
            stretches(&is_missing, 40)
        };
        assert_eq!(with(&[[50, 60]], 100), [[35, 75]]);
        assert_eq!(with(&[[0, 5]], 100), [[0, 40]]);
        assert_eq!(with(&[[95, 100]], 100), [[60, 100]]);
        assert_eq!(with(&[[40, 80]], 120), [[30, 90]]);
        assert_eq!(with(&[[0, 100]], 100), [[0, 100]]);
        assert_eq!(with(&[[20, 22], [50, 52], [150, 152]], 200), [[1, 71], [131, 171]]);
        assert_eq!(with(&[], 100), Vec::<[usize; 2]>::new());
    }
}
