//! Training one generator within a run: its memory is found out first, then its device is tried, then it learns.

use std::path::PathBuf;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::MemoryProbe;
use super::budget::Budget;
use crate::dataset::{Dataset, guard};
use crate::diffusion::distill::Denoising;
use crate::diffusion::{Network, Objective, Parameterization, TimeView, Weighting, schedule};
use crate::error::Result;
use crate::generators::diffusion_model::{DiffusionModel, ModelCard};
use crate::nn::adamw::AdamWConfig;
use crate::nn::train::{Learner, NetworkTrainee, check_device};
use crate::nn::weights::{ParamSpec, Weights};
use crate::run::{Cadence, Progress, Run, Stop, TrainPlan, TrainSummary, Trainee, train};
use crate::seed::Seed;

/// What the training of one model took.
pub struct Trained {
    /// The model.
    pub model: DiffusionModel,
    /// Length, skipped batches, last loss, seconds.
    pub summary: TrainSummary,
}

/// How long, with how much and by which optimizer a model learns.
pub struct Course<'a> {
    /// Optimizer steps.
    pub n_steps: u64,
    /// Items in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: &'a AdamWConfig,
    /// Weights to begin with; drawn where there are none.
    pub start: Option<Weights>,
}

/// A network before its training.
pub struct Untrained<'a> {
    /// Stage of the run.
    pub role: &'a str,
    /// Its parameters.
    pub specs: &'a [ParamSpec],
    /// Weights to begin with.
    pub start: Weights,
}

/// Everything that trainings of a run share.
pub struct Trainer<'a> {
    /// The run.
    pub run: &'a Run,
    /// Signals and time limit.
    pub stop: &'a Stop,
    /// Device of the tensors.
    pub device: &'a Device,
    /// Seed of the run.
    pub seed: Seed,
    /// Counts memory; without it nothing is estimated.
    pub probe: Option<&'a dyn MemoryProbe>,
    /// Memory that the process may use; what the machine has free if not set.
    pub max_memory_bytes: Option<u64>,
}

impl Trainer<'_> {
    /// Trains a model unless it is trained already, and stores it in the run.
    ///
    /// `learner` makes what is learned for a size of batch, `trial` a plain denoising of the same
    /// network on a device, by which an accelerator is compared with the CPU.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] for a batch that memory cannot hold; [`crate::Error::Unsupported`] for a
    /// device with other numbers; everything that [`train`] returns.
    pub fn fit<L: Learner>(
        &self,
        network: &Network,
        card: ModelCard,
        course: Course,
        learner: impl Fn(usize) -> L,
        trial: impl Fn(usize, &Device) -> Result<Denoising>,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        let specs = network.params();
        let start = course.start.clone();
        let start = start.unwrap_or_else(|| network.start(self.seed.purpose("start").purpose(&card.role)));
        let first_step = |device: &Device| {
            let (learner, start) = (trial(course.batch, device)?, network.start(self.seed.purpose("device check")));
            Ok(NetworkTrainee::new(learner, specs.clone(), start, course.optimizer.clone(), 1, device))
        };
        let untrained = Untrained { role: &card.role, specs: &specs, start };
        let (trainee, summary) = self.learn(untrained, &course, learner, first_step, progress)?;
        let mut state = trainee.result();
        state.entries.extend(network.buffers().entries);
        let model = DiffusionModel::new(card, state, self.device)?;
        model.save(&model_path(self.run, &model.card().role))?;
        Ok(Trained { model, summary })
    }

    /// Trains any network as a stage of the run, and gives it back as it ended. What `course` begins with does not
    /// matter here.
    ///
    /// `first_step` is ready for the first step on a device, by which an accelerator is compared with the CPU.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    pub fn learn<L: Learner, T: Learner>(
        &self,
        untrained: Untrained,
        course: &Course,
        learner: impl Fn(usize) -> L,
        first_step: impl Fn(&Device) -> Result<NetworkTrainee<T>>,
        progress: &mut dyn Progress,
    ) -> Result<(NetworkTrainee<L>, TrainSummary)> {
        let Untrained { role, specs, start } = untrained;
        let &Course { n_steps, batch, optimizer, .. } = course;
        let trainee = |batch, start: Weights| {
            NetworkTrainee::new(learner(batch), specs.to_vec(), start, optimizer.clone(), n_steps, self.device)
        };
        let stage = self.run.stage(role)?;
        if let Some(probe) = self.probe {
            let budget = Budget::measure(probe, |batch| trainee(batch, start.clone()).step(0).map(drop))?;
            budget.refuse_oversize(role, batch, self.max_memory_bytes, progress)?;
        }
        if stage.finished::<TrainSummary>()?.is_none() {
            check_device(first_step, self.device)?;
        }
        let mut trainee = trainee(batch, start);
        let plan = TrainPlan { n_steps, checkpoint_every: Cadence::Seconds(60.0), log_every: 20 };
        let summary = train(&mut trainee, &plan, &stage, self.stop, progress)?;
        Ok((trainee, summary))
    }
}

/// What a network of a parameterization and schedule, by name, is trained for.
///
/// # Errors
/// [`crate::Error::Unknown`] for a name that is in no list; [`crate::Error::Config`] for a schedule
/// that does not exist for that number of steps.
pub fn objective(parameterization: &str, schedule: &str, schedule_steps: usize) -> Result<Objective> {
    let time = match schedule {
        "angle" => TimeView::Angle,
        name => TimeView::Steps(schedule::find(name)?.build(schedule_steps)?),
    };
    let parameterization = Parameterization::find(parameterization)?;
    let weighting = match parameterization {
        Parameterization::Noise => Weighting::Noise,
        Parameterization::V | Parameterization::X0 => Weighting::Velocity,
    };
    Ok(Objective { parameterization, weighting, time })
}

/// What a model says of its training data: source, licence, fingerprint, keyed hashes of patients.
pub fn training_data(data: &Dataset) -> Value {
    let fingerprint = data.fingerprint();
    json!({
        "source": data.provenance["source"],
        "license": data.provenance["license"],
        "fingerprint": fingerprint,
        "n_items": data.len(),
        "training_patients": guard::training_patients(data, &fingerprint),
    })
}

/// File of a model of a run.
pub fn model_path(run: &Run, role: &str) -> PathBuf {
    run.dir().join("checkpoint").join(role).join("model.safetensors")
}
