//! The generators of an experiment: teacher, student, control, and students of few steps.

use burn::tensor::Device;

use super::config::{Experiment, NetworkConfig};
use super::training::{Course, Trained, Trainer, objective, training_data};
use crate::classifiers::beat_cnn::lead_scales;
use crate::dataset::Dataset;
use crate::diffusion::batches::Batches;
use crate::diffusion::distill::{Denoising, StepDistillation, WidthDistillation, halvings};
use crate::diffusion::{self, Guided, Network, Objective};
use crate::error::Result;
use crate::generators::diffusion_model::{DiffusionModel, ModelCard};
use crate::nn::train::Learner;
use crate::run::Progress;
use crate::signal;

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

/// The generators of an experiment in the making.
pub struct Workshop<'a> {
    /// The experiment.
    pub config: &'a Experiment,
    /// Training part of the generators.
    pub data: &'a Dataset,
    /// What trains them.
    pub trainer: Trainer<'a>,
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
            batches: Batches { batch, ..batches.clone() }.into(),
        };
        let course = Course { n_steps: c.steps, batch: c.batch, optimizer: &c.optimizer, start: None };
        self.fit("teacher", &c.network, course, learner, progress)
    }

    fn student(
        &self,
        role: &str,
        teacher: &DiffusionModel,
        lambda: f64,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        let c = &self.config.student;
        let batches = self.batches("student", self.config.teacher.label_dropout)?;
        let (network, objective) = (self.network(&c.network)?, self.objective()?);
        let learner = |batch| WidthDistillation {
            network: network.clone(),
            teacher: teacher.denoiser().backbone.clone(),
            objective: objective.clone(),
            lambda,
            batches: Batches { batch, ..batches.clone() }.into(),
        };
        let course = Course { n_steps: c.steps, batch: c.batch, optimizer: &c.optimizer, start: None };
        self.fit(role, &c.network, course, learner, progress)
    }

    /// Halves the student's steps down to one, each stage starting at the weights of the one before.
    fn few_step(&self, student: &DiffusionModel, progress: &mut dyn Progress) -> Result<Vec<(usize, Trained)>> {
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
                batches: Batches { batch, ..batches.clone() }.into(),
            };
            let mut card = self.card(&role, network)?;
            card.sampler = "ddim".into();
            card.steps = n_steps;
            card.guidance = 1.0;
            let n_updates = if n_steps <= 4 { c.last_steps } else { c.steps };
            let start = Some(teacher.state().clone());
            let course = Course { n_steps: n_updates, batch: c.batch, optimizer: &c.optimizer, start };
            done.push((n_steps, self.fit_card(card, &unet, course, learner, progress)?));
        }
        Ok(done)
    }

    fn fit<L: Learner>(
        &self,
        role: &str,
        network: &NetworkConfig,
        course: Course,
        learner: impl Fn(usize) -> L,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        self.fit_card(self.card(role, network)?, &self.network(network)?, course, learner, progress)
    }

    fn fit_card<L: Learner>(
        &self,
        card: ModelCard,
        network: &Network,
        course: Course,
        learner: impl Fn(usize) -> L,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        let trial = |batch, device: &Device| {
            let batches = self.batches("device check", self.config.teacher.label_dropout)?;
            let batches = Batches { batch, device: device.clone(), ..batches };
            Ok(Denoising { network: network.clone(), objective: self.objective()?, batches: batches.into() })
        };
        self.trainer.fit(network, card, course, learner, trial, progress)
    }

    fn network(&self, config: &NetworkConfig) -> Result<Network> {
        Network::new(&self.shape(config), self.trainer.seed)
    }

    fn shape(&self, config: &NetworkConfig) -> diffusion::NetworkConfig {
        diffusion::NetworkConfig::Unet(config.unet(self.data.leads.len(), self.data.n_labels()))
    }

    fn objective(&self) -> Result<Objective> {
        let c = &self.config.teacher;
        objective(&c.parameterization, &c.schedule, c.schedule_steps)
    }

    fn batches(&self, purpose: &str, label_dropout: f64) -> Result<Batches> {
        let scale_mv = lead_scales(self.data)?;
        Ok(Batches {
            signals: signal::scaled(&self.data.ecg, &scale_mv, self.data.sig_len).into(),
            n_leads: self.data.leads.len(),
            sig_len: self.data.sig_len,
            classes: self.data.classes()?,
            labels: None,
            facts: None,
            batch: 1,
            class_exponent: self.config.teacher.class_exponent,
            label_dropout,
            fact_dropout: 0.0,
            seed: self.trainer.seed.purpose("training").purpose(purpose),
            device: self.trainer.device.clone(),
        })
    }

    fn card(&self, role: &str, network: &NetworkConfig) -> Result<ModelCard> {
        let (teacher, synthesis) = (&self.config.teacher, &self.config.synthesis);
        Ok(ModelCard {
            format: 1,
            generator: "dgn".into(),
            role: role.into(),
            network: self.shape(network),
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
