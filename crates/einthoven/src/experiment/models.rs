//! The generators of an experiment: teacher, student, control, and students of few steps.

use std::path::PathBuf;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::MemoryProbe;
use super::budget::Budget;
use super::config::{Experiment, NetworkConfig};
use crate::classifiers::beat_cnn::lead_scales;
use crate::dataset::{Dataset, guard};
use crate::diffusion::distill::{Batches, Denoising, StepDistillation, WidthDistillation, halvings};
use crate::diffusion::{Guided, Objective, Parameterization, TimeView, Weighting, schedule};
use crate::error::Result;
use crate::generators::dgn::{Dgn, DgnCard};
use crate::nn::adamw::AdamWConfig;
use crate::nn::train::{Learner, NetworkTrainee, check_device};
use crate::nn::unet1d::Unet1d;
use crate::nn::weights::Weights;
use crate::run::{Cadence, Progress, Run, Stop, TrainPlan, TrainSummary, Trainee, train};
use crate::seed::Seed;
use crate::signal;

/// What the training of one model took.
pub struct Trained {
    /// The model.
    pub model: Dgn,
    /// Length, skipped batches, last loss, seconds.
    pub summary: TrainSummary,
}

/// All generators of an experiment.
pub struct Models {
    /// The heavy one.
    pub teacher: Trained,
    /// The light one, taught by the teacher.
    pub student: Trained,
    /// As light, same steps, same data, its own start, no teacher.
    pub control: Trained,
    /// Steps and model of each halving, most steps first.
    pub few_step: Vec<(usize, Trained)>,
}

/// How long, with how much and by which optimizer a model learns.
struct Course<'a> {
    n_steps: u64,
    batch: usize,
    optimizer: &'a AdamWConfig,
}

/// Everything that trainings share.
pub struct Workshop<'a> {
    /// The experiment.
    pub config: &'a Experiment,
    /// Training part of the generators.
    pub data: &'a Dataset,
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

impl Workshop<'_> {
    /// Trains whatever is not trained yet, and reads back what is.
    ///
    /// # Errors
    /// Everything that [`train`] returns.
    pub fn models(&self, progress: &mut dyn Progress) -> Result<Models> {
        let teacher = self.teacher(progress)?;
        let student = self.student("student", &teacher.model, self.config.student.lambda, progress)?;
        let control = self.student("control", &teacher.model, 0.0, progress)?;
        let few_step = self.few_step(&student.model, progress)?;
        Ok(Models { teacher, student, control, few_step })
    }

    fn teacher(&self, progress: &mut dyn Progress) -> Result<Trained> {
        let c = &self.config.teacher;
        let batches = self.batches("teacher", c.label_dropout)?;
        let (network, objective) = (self.network(&c.network)?, self.objective()?);
        let learner = |batch| Denoising {
            network: network.clone(),
            objective: objective.clone(),
            batches: Batches { batch, ..batches.clone() },
        };
        let card = self.card("teacher", &c.network)?;
        self.train(learner, card, None, Course { n_steps: c.steps, batch: c.batch, optimizer: &c.optimizer }, progress)
    }

    fn student(&self, role: &str, teacher: &Dgn, lambda: f64, progress: &mut dyn Progress) -> Result<Trained> {
        let c = &self.config.student;
        let batches = self.batches("student", self.config.teacher.label_dropout)?;
        let (network, objective) = (self.network(&c.network)?, self.objective()?);
        let learner = |batch| WidthDistillation {
            network: network.clone(),
            teacher: teacher.denoiser().backbone.clone(),
            objective: objective.clone(),
            lambda,
            batches: Batches { batch, ..batches.clone() },
        };
        let card = self.card(role, &c.network)?;
        self.train(learner, card, None, Course { n_steps: c.steps, batch: c.batch, optimizer: &c.optimizer }, progress)
    }

    /// Halves the student's steps down to one, each stage starting at the weights of the one before.
    fn few_step(&self, student: &Dgn, progress: &mut dyn Progress) -> Result<Vec<(usize, Trained)>> {
        let c = &self.config.few_step;
        let network = &self.config.student.network;
        let mut done: Vec<(usize, Trained)> = Vec::new();
        for n_steps in halvings(c.start)? {
            let (teacher, guidance) = match done.last() {
                Some((_, before)) => (&before.model, 1.0),
                None => (student, c.guidance),
            };
            let role = format!("few-step-{n_steps:02}");
            let batches = self.batches(&role, 0.0)?;
            let unet = self.network(network)?;
            let guided = Guided::new(teacher.denoiser().clone(), guidance)?;
            let learner = |batch| StepDistillation {
                network: unet.clone(),
                teacher: guided.clone(),
                n_steps,
                batches: Batches { batch, ..batches.clone() },
            };
            let mut card = self.card(&role, network)?;
            card.sampler = "ddim".into();
            card.steps = n_steps;
            card.guidance = 1.0;
            let n_updates = if n_steps <= 4 { c.last_steps } else { c.steps };
            let course = Course { n_steps: n_updates, batch: c.batch, optimizer: &c.optimizer };
            let start = teacher.weights().clone();
            let trained = self.train(learner, card, Some(start), course, progress)?;
            done.push((n_steps, trained));
        }
        Ok(done)
    }

    fn train<L: Learner>(
        &self,
        learner: impl Fn(usize) -> L,
        card: DgnCard,
        start: Option<Weights>,
        course: Course,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        let Course { n_steps, batch, optimizer } = course;
        let specs = Unet1d::new(card.network.clone())?.params();
        let start =
            start.unwrap_or_else(|| Weights::initialize(&specs, self.seed.purpose("start").purpose(&card.role)));
        let trainee = |batch, start: Weights| {
            NetworkTrainee::new(learner(batch), specs.clone(), start, optimizer.clone(), n_steps, self.device)
        };
        let stage = self.run.stage(&card.role)?;
        if let Some(probe) = self.probe {
            let budget = Budget::measure(probe, |batch| trainee(batch, start.clone()).step(0).map(drop))?;
            budget.refuse_oversize(&card.role, batch, self.max_memory_bytes, progress)?;
        }
        if stage.finished::<TrainSummary>()?.is_none() {
            self.check_device(&card, batch, optimizer)?;
        }
        let mut trainee = trainee(batch, start);
        let plan = TrainPlan { n_steps, checkpoint_every: Cadence::Seconds(60.0), log_every: 20 };
        let summary = train(&mut trainee, &plan, &stage, self.stop, progress)?;
        let model = Dgn::new(card, trainee.result(), self.device)?;
        model.save(&model_path(self.run, &model.card().role))?;
        Ok(Trained { model, summary })
    }

    /// Refuses a device on which this network's step is not that of the CPU.
    fn check_device(&self, card: &DgnCard, batch: usize, optimizer: &AdamWConfig) -> Result<()> {
        let trainee = |device: &Device| {
            let network = Unet1d::new(card.network.clone())?;
            let specs = network.params();
            let start = Weights::initialize(&specs, self.seed.purpose("device check"));
            let batches = Batches { batch, ..self.batches("device check", self.config.teacher.label_dropout)? };
            let learner = Denoising { network, objective: self.objective()?, batches };
            Ok(NetworkTrainee::new(learner, specs, start, optimizer.clone(), 1, device))
        };
        check_device(trainee, self.device)
    }

    fn network(&self, config: &NetworkConfig) -> Result<Unet1d> {
        Unet1d::new(config.unet(self.data.leads.len(), self.data.n_labels()))
    }

    fn objective(&self) -> Result<Objective> {
        let c = &self.config.teacher;
        let time = match c.schedule.as_str() {
            "angle" => TimeView::Angle,
            name => TimeView::Steps(schedule::find(name)?.build(c.schedule_steps)?),
        };
        let parameterization = Parameterization::find(&c.parameterization)?;
        let weighting = match parameterization {
            Parameterization::Noise => Weighting::Noise,
            Parameterization::V | Parameterization::X0 => Weighting::Velocity,
        };
        Ok(Objective { parameterization, weighting, time })
    }

    fn batches(&self, purpose: &str, label_dropout: f64) -> Result<Batches> {
        let scale_mv = lead_scales(self.data)?;
        Ok(Batches {
            signals: signal::scaled(&self.data.ecg, &scale_mv, self.data.sig_len),
            n_leads: self.data.leads.len(),
            sig_len: self.data.sig_len,
            classes: self.data.classes()?,
            batch: 1,
            class_exponent: self.config.teacher.class_exponent,
            label_dropout,
            seed: self.seed.purpose("training").purpose(purpose),
            device: self.device.clone(),
        })
    }

    fn card(&self, role: &str, network: &NetworkConfig) -> Result<DgnCard> {
        let (teacher, synthesis) = (&self.config.teacher, &self.config.synthesis);
        Ok(DgnCard {
            format: 1,
            role: role.into(),
            network: network.unet(self.data.leads.len(), self.data.n_labels()),
            parameterization: teacher.parameterization.clone(),
            schedule: teacher.schedule.clone(),
            schedule_steps: teacher.schedule_steps,
            scale_mv: lead_scales(self.data)?,
            leads: self.data.leads.clone(),
            sig_len: self.data.sig_len,
            fs_hz: self.data.fs_hz,
            label_names: self.data.label_names.clone(),
            sampler: synthesis.sampler.clone(),
            steps: synthesis.steps,
            guidance: synthesis.guidance,
            training_data: training_data(self.data),
        })
    }
}

/// What a model says of its training data: source, licence, fingerprint, keyed hashes of patients.
fn training_data(data: &Dataset) -> Value {
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
