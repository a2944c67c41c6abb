//! Training the delineation network: simulated records, and the training subjects of LUDB and QTDB.
//!
//! Which subjects those are is fixed by name in [`marked`]; nobody else's record is looked at. The run is left with one
//! model file, which `einthoven delineate --weights` takes.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::config::Cost;
use super::{Preset, RunRequest, device, model_path};
use crate::config::{Validate, check, load_valid};
use crate::dataset::Split;
use crate::delineators::delnet::lesson::{LessonConfig, Lessons};
use crate::delineators::delnet::{self, Card, NAME, input};
use crate::delineators::marked::{self, MarkedRecord};
use crate::error::{Error, Result};
use crate::nn::adamw::AdamWConfig;
use crate::nn::delnet::{DelNet, DelNetConfig, MaskLearner};
use crate::nn::train::Learner;
use crate::nn::weights::Weights;
use crate::run::{Progress, Stop, sha256_hex};
use crate::seed::Seed;

/// All presets of delineators.
pub static DELINEATION_PRESETS: &[Preset] = &[Preset {
    name: NAME,
    summary: "the network that marks P, QRS and T, on simulated records, LUDB and QTDB, sized for a CPU",
    text: include_str!("../../presets/delineators/delnet.toml"),
}];

/// Whether a preset trains a delineator.
pub fn is_delineation(preset: &str) -> bool {
    DELINEATION_PRESETS.iter().any(|known| known.name == preset)
}

/// A preset of delineators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelineationTraining {
    /// What it is for.
    pub title: String,
    /// Expected cost.
    pub cost: Cost,
    /// Shape of the network.
    pub network: DelNetConfig,
    /// What it learns from.
    pub lessons: LessonConfig,
    /// Optimizer steps.
    pub steps: u64,
    /// Items in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
}

impl Validate for DelineationTraining {
    fn validate(&self) -> Result<()> {
        self.network.validate()?;
        self.lessons.validate(self.network.length_multiple())?;
        for (key, n) in [("steps", self.steps), ("batch", self.batch as u64)] {
            check(key, (1..=100_000_000).contains(&n), n, "1 to 100000000")?;
        }
        // Running statistics follow the weights themselves and would not fit an average of them.
        let ema = self.optimizer.ema_decay;
        check("optimizer.ema_decay", ema == 0.0, ema, "0, the network's normalizations follow its latest weights")?;
        self.optimizer.validate(|field| format!("optimizer.{field}"))
    }
}

/// The preset that a request resolves to.
///
/// # Errors
/// [`Error::Unknown`] for a preset that does not exist; [`Error::Config`] for a wrong setting.
pub fn resolve(preset: &str, overrides: &[String]) -> Result<DelineationTraining> {
    let preset = DELINEATION_PRESETS.iter().find(|known| known.name == preset).ok_or_else(|| Error::Unknown {
        kind: "preset of a delineator",
        name: preset.into(),
        known: DELINEATION_PRESETS.iter().map(|known| known.name.to_string()).collect(),
    })?;
    load_valid(preset.text, preset.name, overrides)
}

/// Trains the delineator of a request and returns its model file; the same request again goes on where it stopped.
///
/// # Errors
/// [`Error::Interrupted`] and [`Error::Limit`] after a checkpoint; [`Error::Config`] without a folder; everything that
/// reading returns.
pub fn train(request: &RunRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<PathBuf> {
    let config = resolve(request.preset, request.overrides)?;
    if let Some(generator) = request.generator {
        return Err(Error::config("--generator", format!("found {generator}, but {} has none", request.preset)));
    }
    let device = device(request.device)?;
    let seed = Seed::new(request.seed);
    let [ludb, qtdb] = training_records(request.data)?;
    let run = request.open_run(&config, fingerprint(&[&ludb, &qtdb]))?;
    progress.tell(&format!(
        "{} subjects of LUDB and {} of QTDB, none of them for validation or tests",
        ludb.len(),
        qtdb.len()
    ));

    let lessons = Lessons::new(config.lessons.clone(), &ludb, &qtdb, config.steps, seed.purpose("lessons"))?;
    let network = DelNet::new(config.network.clone())?;
    let start = Weights::initialize(&network.params(), seed.purpose("start").purpose(NAME));
    let learner = |batch, device: &Device| {
        let lessons = lessons.clone();
        MaskLearner::new(network.clone(), move |step| lessons.batch(step, batch), device)
    };
    let course = (config.steps, config.batch, &config.optimizer);
    let trainer = request.trainer(&run, stop, &device);
    let (trainee, _) = trainer.learn(NAME, (network.params(), start), course, learner, progress)?;

    let mut weights = trainee.result();
    weights.entries.extend(trainee.learner.buffers().entries);
    let names = |database: &str, records: &[MarkedRecord]| -> Vec<String> {
        records.iter().map(|record| format!("{database}/{}", record.name)).collect()
    };
    let training_records = [names("ludb", &ludb), names("qtdb", &qtdb)].concat();
    let path = model_path(&run, NAME);
    delnet::save(&path, &Card { network: config.network, fs_hz: input::FS_HZ, training_records }, weights)?;
    Ok(path)
}

/// The training subjects of LUDB and QTDB below a folder.
fn training_records(folder: Option<&Path>) -> Result<[Vec<MarkedRecord>; 2]> {
    let folder = folder.ok_or_else(|| {
        let reason = "this preset needs a folder that holds ludb and qtdb: name it with --data DIR, and fill it with: \
                      einthoven fetch ludb --out DIR/ludb; einthoven fetch qtdb --out DIR/qtdb";
        Error::config("--data", reason)
    })?;
    let mut parts = [marked::ludb(&folder.join("ludb"))?, marked::qtdb(&folder.join("qtdb"))?];
    parts.iter_mut().for_each(|records| records.retain(|record| record.split == Split::Train));
    Ok(parts)
}

/// Hash of amplitudes and marks, in their order.
fn fingerprint(parts: &[&[MarkedRecord]]) -> String {
    let mut bytes = Vec::new();
    for record in parts.iter().copied().flatten() {
        bytes.extend_from_slice(record.name.as_bytes());
        bytes.extend(record.fs_hz.to_le_bytes());
        for lead in &record.leads {
            bytes.extend(lead.mv.iter().flat_map(|v| v.to_le_bytes()));
            bytes.extend_from_slice(format!("{:?}{:?}", lead.waves, lead.looked_at).as_bytes());
        }
    }
    sha256_hex(&bytes)
}
