//! The dipole simulator as a generator: twelve-lead records of chosen conditions.

use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Generator, GeneratorSpec, SampleRequest, Sink};
use crate::config::from_json;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::record::lead_law::TWELVE;
use crate::seed::Seed;
use crate::simulate::dipole::{Request, SimulatedEcg};

/// Settings of the generator; the classes are the conditions in their order.
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
        let conditions =
            ["sinus", "af", "lbbb", "rbbb", "av-block-1", "pvc", "lvh", "mi-anterior-acute", "mi-inferior-acute"];
        DipoleConfig {
            conditions: conditions.map(String::from).to_vec(),
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

    fn working_bytes_per_item(&self) -> u64 {
        // Twelve leads twice in 32 bits, signal and noise of eight in 64.
        (12 * 2 * 4 + 8 * 2 * 8) * self.requests[0].sig_len() as u64
    }

    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        for (offset, &class) in request.classes.iter().enumerate() {
            let index = request.first + offset as u64;
            let own = seed.purpose("dipole").index(index);
            let mut record = self.requests.get(class).cloned().ok_or_else(|| {
                Error::config("classes", format!("{class}, expected 0 to {}", self.requests.len() - 1))
            })?;
            let [low, high] = self.config.snr_db;
            record.snr_db = Some(own.purpose("snr").stream().uniform_in(low, high));
            sink.accept(index, &[class], &SimulatedEcg::draw(&record, own)?.ecg_mv)?;
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
