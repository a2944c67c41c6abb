//! The dipole simulator as a generator: twelve-lead records of chosen conditions.

use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Generator, GeneratorSpec, Item, SampleRequest, Sink};
use crate::config::from_json;
use crate::dataset::condition::{Fact, Told};
use crate::dataset::{Dataset, Facts};
use crate::error::{Error, Result};
use crate::record::lead_law::TWELVE;
use crate::seed::Seed;
use crate::simulate::dipole::condition::Effect;
use crate::simulate::dipole::truth::beat_annotations;
use crate::simulate::dipole::{CONDITIONS, Request, SimulatedEcg};

/// Settings of the generator; the labels are the conditions in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DipoleConfig {
    /// Conditions by name, see `einthoven simulate --help`.
    pub conditions: Vec<String>,
    /// Sampling rate, Hz.
    pub fs_hz: f64,
    /// Length, s.
    pub seconds: f64,
    /// Lowest and highest signal-to-noise ratio of a record, dB.
    pub snr_db: [f64; 2],
}

impl Default for DipoleConfig {
    fn default() -> DipoleConfig {
        // What a patient can have; test waveforms and misplaced electrodes are for who names them.
        let is_of_patient = |effect: &Effect| !matches!(effect, Effect::Reversal(_) | Effect::Waveform(_));
        let conditions = CONDITIONS.iter().filter(|entry| is_of_patient(&entry.effect));
        DipoleConfig {
            conditions: conditions.map(|entry| entry.name.to_string()).collect(),
            fs_hz: 500.0,
            seconds: 10.0,
            snr_db: [8.0, 30.0],
        }
    }
}

/// Draws records of the configured conditions.
pub struct Dipole {
    config: DipoleConfig,
    requests: Vec<Request>,
}

/// The facts that a record can be asked for.
const TOLD: [Fact; 7] = [Fact::Hr, Fact::Pr, Fact::Qrs, Fact::Qtc, Fact::Axis, Fact::Age, Fact::Sex];

impl Dipole {
    /// What to simulate for an item, and its labels: those asked for, or one drawn from those that can have the facts.
    fn record(&self, item: &Item, own: Seed) -> Result<(Request, Vec<(usize, f32)>)> {
        let labels = &item.conditions.labels;
        if let Some((label, weight)) = labels.iter().find(|(_, weight)| *weight != 1.0) {
            let reason =
                format!("found a share of {weight} of {}, expected whole labels", self.config.conditions[*label]);
            return Err(Error::config("label", reason));
        }
        if labels.is_empty() {
            let fits = |label: &usize| asked(&self.requests[*label], &item.conditions.facts).validate().is_ok();
            let fitting: Vec<usize> = (0..self.requests.len()).filter(fits).collect();
            let Some(&label) = fitting.get(own.purpose("label").stream().below(fitting.len().max(1))) else {
                let refused = asked(&self.requests[0], &item.conditions.facts).validate();
                return Err(refused.err().unwrap_or_else(|| Error::config("label", "no condition fits the request")));
            };
            return Ok((asked(&self.requests[label], &item.conditions.facts), vec![(label, 1.0)]));
        }
        let request = match labels[..] {
            [(label, _)] => self.requests[label].clone(),
            _ => {
                let names: Vec<&str> =
                    labels.iter().map(|(label, _)| self.config.conditions[*label].as_str()).collect();
                let (fs_hz, seconds) = (self.config.fs_hz, self.config.seconds);
                Request { fs_hz, seconds, ..Request::new(&names.join("+"))? }
            }
        };
        Ok((asked(&request, &item.conditions.facts), labels.clone()))
    }
}

/// A request with the facts that are asked for.
fn asked(request: &Request, facts: &Facts) -> Request {
    Request {
        hr_bpm: facts.hr_bpm,
        pr_ms: facts.pr_ms,
        qrs_ms: facts.qrs_ms,
        qtc_ms: facts.qtc_ms,
        axis_deg: facts.axis_deg,
        age_years: facts.age_years,
        sex: facts.sex,
        ..request.clone()
    }
}

/// What is true of a record.
fn facts(ecg: &SimulatedEcg) -> Facts {
    let truth = &ecg.truth;
    Facts {
        hr_bpm: truth.hr_bpm.delivered,
        pr_ms: truth.pr_ms.delivered,
        qrs_ms: truth.qrs_ms.delivered,
        qtc_ms: truth.qtc_fridericia_ms.delivered,
        axis_deg: truth.axis_deg.delivered,
        age_years: Some(ecg.patient.age_years),
        sex: Some(ecg.patient.sex),
        site: None,
    }
}

impl Generator for Dipole {
    fn axes(&self) -> Dataset {
        let leads = TWELVE.map(String::from).to_vec();
        let mut data =
            Dataset::new(leads, self.requests[0].sig_len(), self.config.fs_hz, self.config.conditions.clone());
        data.provenance = json!({
            "synthetic": true,
            "generator": Spec.name(),
            "version": env!("CARGO_PKG_VERSION"),
            "training_data": "none: equations",
            "training_patients": { "key": "none", "hashes": [] },
            "notice": "synthetic, not for clinical use",
        });
        data
    }

    fn request(&self, items: Vec<Item>) -> SampleRequest {
        SampleRequest::one_pass(items)
    }

    fn working_bytes_per_item(&self) -> u64 {
        // Twelve leads twice in 32 bits, signal and noise of eight in 64.
        (12 * 2 * 4 + 8 * 2 * 8) * self.requests[0].sig_len() as u64
    }

    fn told(&self) -> Told {
        Told { facts: TOLD.to_vec(), sites: Vec::new() }
    }

    /// The items come with the facts that are true of them, those that were not asked for too.
    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        request.check(&self.config.conditions, &self.told(), Spec.name())?;
        request.check_one_pass(Spec.name())?;
        for item in &request.items {
            let own = seed.purpose("dipole").index(item.index);
            let (mut record, labels) = self.record(item, own)?;
            let [low, high] = self.config.snr_db;
            record.snr_db = Some(own.purpose("snr").stream().uniform_in(low, high));
            let ecg = SimulatedEcg::draw(&record, own)?;
            let mut made = item.clone();
            made.conditions.labels = labels;
            made.conditions.facts.complete(&facts(&ecg));
            let beats = beat_annotations(&ecg.beats, ecg.fs_hz, Some(ecg.truth.rhythm), ecg.sig_len);
            sink.annotate(&made, &beats)?;
            sink.accept(&[made], &ecg.ecg_mv)?;
        }
        Ok(())
    }
}

/// Entry of the list.
pub struct Spec;

impl GeneratorSpec for Spec {
    fn name(&self) -> &'static str {
        "dipole"
    }

    fn summary(&self) -> &'static str {
        "twelve-lead records by a dipole in space, with exact truth; needs no training"
    }

    fn reference(&self) -> &'static str {
        "@article{sameni2007, author={Sameni, Reza and Clifford, Gari D. and Jutten, Christian and Shamsollahi, Mohammad B.}, \
         title={Multichannel ECG and noise modeling: application to maternal and fetal ECG signals}, journal={EURASIP \
         Journal on Advances in Signal Processing}, volume={2007}, pages={043407}, year={2007}}"
    }

    fn conditions(&self) -> Vec<&'static str> {
        std::iter::once("label").chain(TOLD.iter().map(|fact| fact.name())).collect()
    }

    fn default_config(&self) -> Value {
        json!(DipoleConfig::default())
    }

    fn build(&self, config: &Value, _model: Option<&Path>, _device: &Device) -> Result<Box<dyn Generator>> {
        let config: DipoleConfig = from_json("dipole", config)?;
        if config.conditions.is_empty() {
            return Err(Error::config("conditions", "none, expected at least one"));
        }
        let [low, high] = config.snr_db;
        if !(-20.0 <= low && low <= high && high <= 80.0) {
            return Err(Error::config("snr_db", format!("{low} to {high} dB, expected a range within -20 to 80 dB")));
        }
        let requests = config
            .conditions
            .iter()
            .map(|name| {
                let request = Request { fs_hz: config.fs_hz, seconds: config.seconds, ..Request::new(name)? };
                request.validate()?;
                Ok(request)
            })
            .collect::<Result<_>>()?;
        Ok(Box::new(Dipole { config, requests }))
    }
}
