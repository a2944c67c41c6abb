//! Training one generator within a run: its memory is found out first, then its device is tried, then it learns.

use std::path::PathBuf;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::MemoryProbe;
use super::budget::Budget;
use crate::dataset::{Dataset, guard};
use crate::diffusion::distill::Denoising;
use crate::diffusion::{Network, Objective, Parameterization, TimeView, Weighting};
use crate::error::{Error, Result};
use crate::generators::diffusion_model::{DiffusionModel, ModelCard};
use crate::nn::activations::Activations;
use crate::nn::adamw::AdamWConfig;
use crate::nn::kernel::is_cpu;
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

/// Everything that trainings of a run share.
#[derive(Clone)]
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
    /// How denoisers hold values for the backward pass.
    pub activations: Activations,
}

impl Trainer<'_> {
    /// Trains a model unless it is trained already, and stores it in the run.
    ///
    /// `learner` makes what is learned for a size of batch, `trial` a plain denoising of the same
    /// network on a device, by which an accelerator is compared with the CPU. The model file holds
    /// the arrays `beside` too, such as those of a decoder.
    ///
    /// # Errors
    /// [`crate::Error::Limit`] for a batch that memory cannot hold; [`crate::Error::Unsupported`] for a
    /// device with other numbers and for a network or device that holds activations in no such way;
    /// everything that [`train`] returns.
    #[allow(clippy::too_many_arguments)]
    pub fn fit<L: Learner>(
        &self,
        network: &Network,
        card: ModelCard,
        course: Course,
        learner: impl Fn(usize) -> L,
        trial: impl Fn(usize, &Device) -> Result<Denoising>,
        beside: &Weights,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        self.check_activations(network, &card.role)?;
        let Course { n_steps, batch, optimizer, start } = course;
        let mut specs = network.params();
        let start_seed = self.seed.purpose("start").purpose(&card.role);
        let mut start = start.unwrap_or_else(|| network.start(start_seed));
        let companions = learner(batch).companions();
        start.entries.extend(Weights::initialize(&companions, start_seed.purpose("companions")).entries);
        specs.extend(companions.iter().cloned());
        let trainee = |batch, start: Weights| {
            NetworkTrainee::new(learner(batch), specs.clone(), start, optimizer.clone(), n_steps, self.device)
                .holding(self.activations)
        };
        let check = || {
            let start = network.start(self.seed.purpose("device check"));
            let first_step = |device: &Device| {
                let learner = trial(batch, device)?;
                Ok(NetworkTrainee::new(learner, network.params(), start.clone(), optimizer.clone(), 1, device))
            };
            check_device(first_step, self.device)
        };
        let trainee = |batch| trainee(batch, start.clone());
        let (trainee, summary) = self.train_stage(&card.role, n_steps, batch, 0, trainee, check, progress)?;
        let mut state = trainee.result();
        companions.iter().for_each(|companion| drop(state.entries.remove(&companion.name)));
        state.entries.extend(network.buffers().entries);
        state.entries.extend(beside.entries.clone());
        let model = DiffusionModel::new(card, state, self.device)?;
        model.save(&model_path(self.run, &model.card().role))?;
        Ok(Trained { model, summary })
    }

    /// Says that a network holds activations whole where another way was asked for: it comes along with those that do.
    pub fn tell_activations_are_whole(&self, role: &str, progress: &mut dyn Progress) {
        if self.activations != Activations::Whole {
            let flag = self.activations.flag();
            progress.tell(&format!("{role}: trains without {flag}, which is not for its kind of network"));
        }
    }

    fn check_activations(&self, network: &Network, role: &str) -> Result<()> {
        let why = match (self.activations, network) {
            (Activations::Whole, _) => return Ok(()),
            _ if !is_cpu(self.device) => "on a device other than the CPU",
            (_, Network::Diffwave(_) | Network::Sssd(_)) => return Ok(()),
            (Activations::Recomputed, Network::Dit(_)) => return Ok(()),
            (Activations::Recomputed, _) => "for its kind of network (diffwave, sssd and dit can)",
            (Activations::Bf16, _) => "for its kind of network (diffwave and sssd can)",
        };
        Err(Error::Unsupported { what: format!("{} for {role}, {why}", self.activations.flag()) })
    }

    /// Trains the arrays of `specs` from `start` on as the stage of a role; `learner` makes what is learned for a size of
    /// batch and a device.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    pub fn learn<L: Learner>(
        &self,
        role: &str,
        (specs, start): (Vec<ParamSpec>, Weights),
        (n_steps, batch, optimizer): (u64, usize, &AdamWConfig),
        learner: impl Fn(usize, &Device) -> L,
        progress: &mut dyn Progress,
    ) -> Result<(NetworkTrainee<L>, TrainSummary)> {
        self.tell_activations_are_whole(role, progress);
        let trainee = |batch, n_steps, device: &Device| {
            NetworkTrainee::new(
                learner(batch, device),
                specs.clone(),
                start.clone(),
                optimizer.clone(),
                n_steps,
                device,
            )
        };
        let check = || check_device(|device| Ok(trainee(batch, 1, device)), self.device);
        self.train_stage(role, n_steps, batch, 0, |batch| trainee(batch, n_steps, self.device), check, progress)
    }

    /// Trains anything that learns step by step as the stage of a role, to the end of `n_steps`.
    ///
    /// `trainee` makes it for a size of batch, `costliest` is the early step that takes the most memory, and `check`
    /// refuses a device that computes something else.
    ///
    /// # Errors
    /// As [`Trainer::fit`].
    #[allow(clippy::too_many_arguments)]
    pub fn train_stage<T: Trainee>(
        &self,
        role: &str,
        n_steps: u64,
        batch: usize,
        costliest: u64,
        trainee: impl Fn(usize) -> T,
        check: impl FnOnce() -> Result<()>,
        progress: &mut dyn Progress,
    ) -> Result<(T, TrainSummary)> {
        let stage = self.run.stage(role)?;
        if let Some(probe) = self.probe {
            let budget = Budget::measure(probe, |batch| trainee(batch).step(costliest).map(drop))?;
            budget.refuse_oversize(role, batch, self.max_memory_bytes, progress)?;
        }
        if stage.finished::<TrainSummary>()?.is_none() {
            check()?;
        }
        let mut trainee = trainee(batch);
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
    let time = TimeView::of_schedule(schedule, schedule_steps)?;
    let parameterization = Parameterization::find(parameterization)?;
    let weighting = match parameterization {
        Parameterization::Noise => Weighting::Noise,
        Parameterization::V => Weighting::Velocity,
        // The plain error of v would weigh that of x0 by 1 + SNR, without bound towards the clean end.
        Parameterization::X0 => Weighting::Signal,
        Parameterization::Flow => Weighting::Flow,
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
