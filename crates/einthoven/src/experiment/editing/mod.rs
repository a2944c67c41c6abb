//! A trained generator at work on one record: [`impute()`], [`denoise()`] and [`edit()`].
//!
//! What the three have in common is here: record and model are opened, the generator's leads are found and brought to its
//! rate, what it made is brought back, limb leads follow from their laws in whole counts, and the record is written with
//! what was done to it. Where the generator has learned from the record's own patient, its user is warned: what it makes
//! of the record is then no measure of what it would make of another one.

mod denoise;
mod edit;
mod impute;

use std::path::Path;

use serde::Serialize;

use super::device;
use super::distillation::TEACHER;
use super::sampling::run_model;
use super::source::named;
use crate::dataset::Conditions;
use crate::dataset::catalog::whose::patients_of;
use crate::dataset::guard::is_training_patient;
use crate::error::{Error, Result};
use crate::generators::diffusion_model::DiffusionModel;
use crate::generators::{Generator, Item, SampleRequest, ecg12};
use crate::nn::shipped::SHIPPED;
use crate::record::lead::DEFAULT_GAIN;
use crate::record::lead_law::{TWELVE, limb_leads, standard_name};
use crate::record::{self, Annotators, Frames, Lead, ReadOptions, Record, WriteOptions};
use crate::run::Progress;
use crate::signal::gap::bridged;
use crate::signal::resample::resample;

pub use denoise::{DenoiseRequest, Denoised, DenoisedLead, Snr, denoise};
pub use edit::{EditRequest, Edited, edit};
pub use impute::{Checked, ImputeRequest, Imputed, Prior, impute};

/// Which record, which generator, and where the result goes.
#[derive(Debug, Clone, Copy)]
pub struct OnRecord<'a> {
    /// The record.
    pub record: &'a Path,
    /// Run folder or model file of a generator of whole records, or the name of one that comes along.
    pub source: &'a Path,
    /// Patient of the record by the id of the training data; `None` looks for it beside the record.
    pub patient: Option<&'a str>,
    /// Device by name.
    pub device: &'a str,
    /// Record that is written, in the format of its extension, without one as WFDB; `None` writes nothing.
    pub out: Option<&'a Path>,
    /// Whether a file that exists is replaced.
    pub overwrite: bool,
}

/// How something is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Drawing<'a> {
    /// Sampler by name; `None` for the model's own.
    pub sampler: Option<&'a str>,
    /// Sampler steps; `None` for the model's own.
    pub steps: Option<usize>,
    /// Seed of the draw.
    pub seed: u64,
}

/// Whether the generator has met the record's patient in training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Acquaintance {
    /// Patient by the id of the training data; `None` if it is not known, or one of several that a name may stand for.
    pub patient: Option<String>,
    /// `None` if the patient is not known, or not whom the generator learned from.
    pub trained_on_patient: Option<bool>,
}

/// A record and a generator that were opened.
struct Opened {
    record: Record,
    model: DiffusionModel,
    names: Vec<String>,
    acquaintance: Acquaintance,
}

impl OnRecord<'_> {
    fn open(&self, progress: &mut dyn Progress) -> Result<Opened> {
        // What cannot be written is refused before anything is computed.
        self.out.map_or(Ok(()), |out| record::format::destination(out).map(drop))?;
        let options = ReadOptions { annotators: Annotators::All, frames: Frames::Average, ..ReadOptions::lenient() };
        let record = record::read(self.record, &options)?;
        let device = device(self.device)?;
        let model = match named(self.source, progress) {
            Some(name) if SHIPPED.iter().any(|shipped| shipped.name == name) => DiffusionModel::shipped(name, &device)?,
            Some(name) => return Err(plain_name(name)),
            None if self.source.is_dir() => {
                DiffusionModel::load(&run_model(self.source, teacher(self.source))?, &device)?
            }
            None => DiffusionModel::load(self.source, &device)?,
        };
        let acquaintance = self.acquaintance(&model);
        if let Acquaintance { patient: Some(patient), trained_on_patient: Some(true) } = &acquaintance {
            progress.warn(&format!(
                "the generator was trained on this record's patient ({patient}): what it makes of the record says nothing \
                 of other patients"
            ));
        }
        let names = record.leads.iter().map(|lead| lead.name.clone()).collect();
        Ok(Opened { record, model, names, acquaintance })
    }

    fn acquaintance(&self, model: &DiffusionModel) -> Acquaintance {
        let known = &model.card().training_data["training_patients"];
        let patients = self.patient.map_or_else(|| patients_of(self.record), |patient| vec![patient.to_string()]);
        let met = patients.iter().find(|patient| is_training_patient(known, patient) == Some(true));
        match (met, &patients[..]) {
            (Some(patient), _) => Acquaintance { patient: Some(patient.clone()), trained_on_patient: Some(true) },
            (None, [patient]) => {
                Acquaintance { patient: Some(patient.clone()), trained_on_patient: is_training_patient(known, patient) }
            }
            _ => Acquaintance { patient: None, trained_on_patient: None },
        }
    }
}

/// The teacher of a run that has students: work on a record takes a denoiser of every level, and theirs are few.
fn teacher(run: &Path) -> Option<&'static str> {
    run.join("checkpoint").join(TEACHER).join("model.safetensors").is_file().then_some(TEACHER)
}

impl Opened {
    /// Amplitudes `[lead][point]` of the whole record, NaN where missing.
    fn mv(&self) -> Result<Vec<Vec<f32>>> {
        self.record.leads.iter().map(Lead::mv).collect()
    }

    /// Where the modelled leads are in the record.
    fn places(&self) -> Result<Vec<usize>> {
        let card = self.model.card();
        let place = |wanted: &String| {
            self.place(wanted).ok_or_else(|| {
                let reason = format!("has no lead {wanted}, which the model makes; impute --missing {wanted} adds it");
                Error::data(&self.record.name, reason)
            })
        };
        card.leads.iter().map(place).collect()
    }

    /// Where a lead is in the record, by its name or by another spelling of it.
    fn place(&self, wanted: &str) -> Option<usize> {
        let exact = self.names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        exact.or_else(|| {
            let standard = standard_name(wanted)?;
            self.names.iter().position(|name| standard_name(name) == Some(standard))
        })
    }

    /// Whether the model makes a lead of the twelve, or it follows from limb leads of the record and the model.
    fn can_make(&self, lead: &str) -> bool {
        let made = &self.model.card().leads;
        let limbs = self.names.iter().chain(made).filter(|name| is_limb(name)).filter_map(|name| standard_name(name));
        made.iter().any(|name| standard_name(name) == Some(lead))
            || (is_limb(lead) && limbs.collect::<std::collections::BTreeSet<_>>().len() > 1)
    }

    /// As [`Opened::places`], refusing to make anew a limb lead alone, which the others would then contradict.
    fn places_of_all_limbs(&self) -> Result<Vec<usize>> {
        let places = self.places()?;
        let n_made = places.iter().filter(|&&place| is_limb(&self.names[place])).count();
        let n_there = self.names.iter().filter(|name| is_limb(name)).count();
        if n_made == 1 && n_there > 2 {
            let reason = format!(
                "has {n_there} limb leads, of which the model makes one: with it changed alone their laws would no longer \
                 hold; expected a model of two limb leads or a record of that lead alone"
            );
            return Err(Error::data(&self.record.name, reason));
        }
        Ok(places)
    }

    /// A request for one item of these conditions.
    fn request(&self, conditions: Conditions, drawing: Option<&Drawing>) -> SampleRequest {
        let mut call = self.model.request(vec![Item { index: 0, conditions }]);
        if let Some(drawing) = drawing {
            call.sampler = drawing.sampler.map_or(call.sampler, str::to_string);
            call.steps = drawing.steps.unwrap_or(call.steps);
        }
        call
    }

    /// Leads at the model's rate, `[lead][time]`, NaN where any of the points that one stands for is missing; gaps are
    /// bridged for the filter.
    fn coarse(&self, leads: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let (fs_hz, card) = (self.record.fs_hz, self.model.card());
        let ratio = fs_hz / card.fs_hz;
        let of_lead = |lead: &&[f32]| -> Result<Vec<f32>> {
            let is_missing = |t: usize| {
                let (from, to) = ((t as f64 - 0.5) * ratio, (t as f64 + 0.5) * ratio);
                let (from, to) = (from.max(0.0).ceil() as usize, (to.floor() as usize).min(lead.len() - 1));
                (from..=to).any(|point| lead[point].is_nan())
            };
            let values = to_rate(&bridged(lead), fs_hz, card.fs_hz)?;
            Ok(values.iter().enumerate().map(|(t, &v)| if is_missing(t) { f32::NAN } else { v as f32 }).collect())
        };
        let coarse: Vec<Vec<f32>> = leads.iter().map(of_lead).collect::<Result<_>>()?;
        let n = coarse.first().map_or(0, Vec::len);
        if n < card.sig_len {
            let (needed, found) = (card.sig_len as f64 / card.fs_hz, n as f64 / card.fs_hz);
            return Err(Error::data(&self.record.name, format!("lasts {found} s, the model needs {needed} s")));
        }
        Ok(coarse)
    }

    /// A lead of the model's rate at the record's; NaN is bridged.
    fn fine(&self, lead: &[f32]) -> Result<Vec<f32>> {
        let values = to_rate(&bridged(lead), self.model.card().fs_hz, self.record.fs_hz)?;
        let last = values.len() - 1;
        Ok((0..self.record.sig_len).map(|t| values[t.min(last)] as f32).collect())
    }

    /// Rounds leads to the counts that the record can hold, so that what is derived from them fits what is stored.
    fn quantize(&self, places: &[usize], mv: &mut [Vec<f32>]) {
        for &place in places {
            let per_mv = per_mv(&self.record.leads[place]);
            mv[place].iter_mut().for_each(|v| *v = ((f64::from(*v) * per_mv).round() / per_mv) as f32);
        }
    }

    /// Puts the points that are now known and differ in kind, by `is_new`, into the record and writes it.
    fn store(
        mut self,
        on: &OnRecord,
        mv: &[Vec<f32>],
        is_new: impl Fn(usize, usize) -> bool,
        comments: &[String],
    ) -> Result<()> {
        for (at, (lead, mv)) in self.record.leads.iter_mut().zip(mv).enumerate() {
            let is_new = |t: &usize| !mv[*t].is_nan() && is_new(at, *t);
            if !(0..mv.len()).any(|t| is_new(&t)) {
                continue;
            }
            if !lead.gain_changes.is_empty() {
                let reason = "changes its calibration on the way; convert the record to one segment first";
                return Err(Error::data(format!("lead {}", lead.name), reason));
            }
            let made = Lead::from_mv(&lead.name, mv, per_mv(lead))?;
            for t in (0..mv.len()).filter(is_new) {
                lead.adu[t] = made.adu[t].saturating_add(lead.baseline_adu);
            }
        }
        if !comments.is_empty() {
            let card = self.model.card();
            let leads: Vec<&str> =
                TWELVE.into_iter().filter(|name| card.leads.iter().any(|lead| lead == name)).collect();
            self.record.comments.extend([
                "Synthetic: in part".to_string(),
                format!("Generator: {} (leads {})", card.generator, leads.join(" ")),
                format!("Model hash: {}", self.model.hash()),
            ]);
            self.record.comments.extend_from_slice(comments);
            self.record.comments.push("Not for clinical use".into());
        }
        if let Some(out) = on.out {
            let options = WriteOptions { overwrite: on.overwrite, ..WriteOptions::default() };
            record::write(&self.record, record::format::destination(out)?, &options)?;
        }
        Ok(())
    }

    /// Sets the limb leads that are not modelled to what follows from those that are, where these are there.
    fn derive_limbs(&self, places: &[usize], mv: &mut [Vec<f32>]) {
        if places.iter().filter(|&&place| is_limb(&self.names[place])).count() < 2 {
            return;
        }
        for (at, lead) in mv.iter_mut().enumerate() {
            if is_limb(&self.names[at]) && !places.contains(&at) {
                lead.fill(f32::NAN);
            }
        }
        limb_leads(&self.names, mv);
    }

    /// Leads of the record that the generator has no say in.
    fn untouched(&self, places: &[usize]) -> Vec<String> {
        let has_limbs = places.iter().filter(|&&place| is_limb(&self.names[place])).count() > 1;
        let is_made = |at: usize| places.contains(&at) || (has_limbs && is_limb(&self.names[at]));
        (0..self.names.len()).filter(|&at| !is_made(at)).map(|at| self.names[at].clone()).collect()
    }
}

/// Counts for a millivolt. Uncalibrated leads were read with the gain of WFDB, and a lead that is no voltage was refused
/// then.
fn per_mv(lead: &Lead) -> f64 {
    lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN) / lead.mv_per_unit().unwrap_or(1.0)
}

/// Whether a lead is one of the six of the limbs, which are first among the twelve.
fn is_limb(name: &str) -> bool {
    standard_name(name).is_some_and(|name| TWELVE[..6].contains(&name))
}

fn to_rate(x: &[f64], from_hz: f64, to_hz: f64) -> Result<Vec<f64>> {
    if from_hz == to_hz { Ok(x.to_vec()) } else { resample(x, from_hz, to_hz) }
}

/// Refuses the name of a generator that has no weights.
fn plain_name(name: &str) -> Error {
    let reason = format!(
        "{name} is a generator by name and has no trained network of records, expected a run folder, a model file, or {}, \
         which comes along",
        ecg12::SPEC.name
    );
    Error::config("--model", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_without_a_trained_network_is_named_as_such() {
        let error = plain_name("dipole").to_string();
        assert!(error.starts_with("--model: dipole is a generator by name"), "{error}");
        assert!(error.ends_with("or ecg12, which comes along"), "{error}");
    }
}
