//! A diffusion generator and its students, of beats or of whole records: teacher, student of another width, students of
//! few steps by halving, and by consistency.
//!
//! Each is a stage of the run with a model file of its own, and starts where the one before it ended. The data, the
//! objective and the card are the teacher's; a student differs in its network, or in its sampler.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::config::{FewStepConfig, check_halving};
use super::training::{Course, Trained, Trainer, objective};
use crate::config::check;
use crate::diffusion::auxiliary::Auxiliary;
use crate::diffusion::batches::Batches;
use crate::diffusion::consistency::ConsistencyDistillation;
use crate::diffusion::distill::{Denoising, StepDistillation, WidthDistillation, halvings};
use crate::diffusion::latent::LatentDecoder;
use crate::diffusion::{Guided, Network, NetworkConfig, Objective};
use crate::error::Result;
use crate::generators::diffusion_model::{DiffusionModel, ModelCard};
use crate::nn::adamw::AdamWConfig;
use crate::nn::train::Learner;
use crate::nn::weights::Weights;
use crate::run::Progress;

/// Role of a teacher in its run.
pub const TEACHER: &str = "teacher";
/// Role of a student of another width.
pub const STUDENT: &str = "student";

/// The students of a generator; those that are left out are not trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// Student of another width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student: Option<WidthConfig>,
    /// Students of few steps by halving, from the student of another width where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few_step: Option<FewStepConfig>,
    /// Students of few steps by consistency, from the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencyConfig>,
}

/// Training of a student of another width, by any network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WidthConfig {
    /// Its network; leads and labels follow from the data.
    pub network: NetworkConfig,
    /// Weight of the teacher's output against the data's target.
    pub lambda: f64,
    /// Optimizer steps.
    pub steps: u64,
    /// Items in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
}

/// Training of students of few steps by consistency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyConfig {
    /// Steps of each student, most first; each starts at the weights of the one before.
    pub students: Vec<usize>,
    /// Steps of the teacher's grid, a multiple of each of them.
    pub grid: usize,
    /// Guidance folded into the teacher.
    pub guidance: f64,
    /// Optimizer steps of each student.
    pub steps: u64,
    /// Items in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
}

impl Distillation {
    /// Checks every value, named below `key`, for a teacher of a parameterization and schedule.
    ///
    /// # Errors
    /// [`crate::Error::Config`] with the key.
    pub fn validate(&self, key: &str, parameterization: &str, schedule: &str) -> Result<()> {
        let lengths = |name: &str, steps: u64, batch: usize, guidance: f64, optimizer: &AdamWConfig| {
            let key = |field: &str| format!("{key}.{name}.{field}");
            check(&key("steps"), (1..=100_000_000).contains(&steps), steps, "1 to 100000000")?;
            check(&key("batch"), (1..=1_000_000).contains(&batch), batch, "1 to 1000000")?;
            check(&key("guidance"), guidance.is_finite() && guidance >= 0.0, guidance, "a weight of at least 0")?;
            optimizer.validate(|field| key(&format!("optimizer.{field}")))
        };
        if let Some(c) = &self.student {
            lengths("student", c.steps, c.batch, 1.0, &c.optimizer)?;
            check(&format!("{key}.student.lambda"), (0.0..=1.0).contains(&c.lambda), c.lambda, "0 to 1")?;
        }
        if let Some(c) = &self.few_step {
            lengths("few_step", c.steps, c.batch, c.guidance, &c.optimizer)?;
            check(&format!("{key}.few_step.last_steps"), c.last_steps > 0, c.last_steps, "at least 1")?;
            c.check_chosen(&format!("{key}.few_step"))?;
            check_halving(&format!("{key}.few_step"), parameterization, schedule)?;
        }
        if let Some(c) = &self.consistency {
            lengths("consistency", c.steps, c.batch, c.guidance, &c.optimizer)?;
            let divide = c.students.iter().all(|&n| n > 0 && c.grid > 0 && c.grid.is_multiple_of(n));
            let falls = c.students.windows(2).all(|pair| pair[0] > pair[1]);
            check(
                &format!("{key}.consistency.students"),
                !c.students.is_empty() && divide && falls,
                format!("{:?}", c.students),
                &format!("falling numbers that divide the grid of {}", c.grid),
            )?;
            check_halving(&format!("{key}.consistency"), parameterization, schedule)?;
        }
        Ok(())
    }

    /// Role of the model that is drawn from unless another is named: the chosen student of few steps, else the student
    /// of another width, else the teacher.
    pub fn best_role(&self) -> String {
        match (&self.few_step, &self.student) {
            (Some(c), _) => few_step_role(c.chosen),
            (None, Some(_)) => STUDENT.into(),
            (None, None) => TEACHER.into(),
        }
    }
}

/// Role of a student of few steps by halving.
pub fn few_step_role(n_steps: usize) -> String {
    format!("few-step-{n_steps:02}")
}

/// Role of a student of few steps by consistency.
pub fn consistency_role(n_steps: usize) -> String {
    format!("consistency-{n_steps:02}")
}

/// A generator and its students in the making.
#[derive(Clone)]
pub struct Lineage<'a> {
    /// What trains them.
    pub trainer: Trainer<'a>,
    /// Card of the first model.
    pub card: ModelCard,
    /// The training items; size of a batch, hidden labels and seed are set for each training.
    pub items: Batches,
    /// Share of labels hidden from teacher and student of another width.
    pub label_dropout: f64,
    /// Arrays that every model file holds beside its network: those of the decoder of latents.
    pub beside: Weights,
}

impl Lineage<'_> {
    /// The model that learns from the data alone.
    ///
    /// # Errors
    /// Everything that `Trainer::fit` returns.
    pub fn first(&self, course: Course, auxiliary: Option<Auxiliary>, progress: &mut dyn Progress) -> Result<Trained> {
        let network = self.network(&self.card.network)?;
        let objective = self.objective()?;
        let items = self.items_of(&self.card.role, self.label_dropout);
        let learner = |batch| Denoising {
            network: network.clone(),
            objective: objective.clone(),
            auxiliary: auxiliary.clone(),
            batches: Batches { batch, ..items.clone() }.into(),
        };
        self.fit(self.card.clone(), &network, course, learner, progress)
    }

    /// A student of another width, or its control where `lambda` is 0.
    ///
    /// # Errors
    /// Everything that `Trainer::fit` returns.
    pub fn student(
        &self,
        role: &str,
        config: &NetworkConfig,
        (teacher, lambda): (&DiffusionModel, f64),
        course: Course,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        let (network, objective) = (self.network(config)?, self.objective()?);
        // Student and control meet the same batches.
        let items = self.items_of(STUDENT, self.label_dropout);
        let learner = |batch| WidthDistillation {
            network: network.clone(),
            teacher: teacher.denoiser().backbone.clone(),
            objective: objective.clone(),
            lambda,
            batches: Batches { batch, ..items.clone() }.into(),
        };
        let card = ModelCard { role: role.into(), network: config.clone(), ..self.card.clone() };
        self.fit(card, &network, course, learner, progress)
    }

    /// Halves a model's steps down to one, each stage starting at the weights of the one before.
    ///
    /// # Errors
    /// Everything that `Trainer::fit` returns.
    pub fn halved(
        &self,
        begin: &DiffusionModel,
        c: &FewStepConfig,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(usize, Trained)>> {
        let mut done: Vec<(usize, Trained)> = Vec::new();
        for n_steps in halvings(c.start)? {
            let (teacher, guidance) = match done.last() {
                Some((_, before)) => (&before.model, 1.0),
                None => (begin, c.guidance),
            };
            let n_updates = if n_steps <= 4 { c.last_steps } else { c.steps };
            let course = Course { n_steps: n_updates, batch: c.batch, optimizer: &c.optimizer, start: None };
            let guided = Guided::new(teacher.denoiser().clone(), guidance)?;
            let learn = |network: &Network, objective: &Objective, batches: Batches| StepDistillation {
                network: network.clone(),
                objective: objective.clone(),
                teacher: guided.clone(),
                n_steps,
                batches: batches.into(),
            };
            let trained = self.few_step(few_step_role(n_steps), n_steps, teacher, course, learn, progress)?;
            done.push((n_steps, trained));
        }
        Ok(done)
    }

    /// Students of few steps by consistency, each starting at the weights of the one before; all learn from `begin`.
    ///
    /// # Errors
    /// Everything that `Trainer::fit` returns.
    pub fn consistent(
        &self,
        begin: &DiffusionModel,
        c: &ConsistencyConfig,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(usize, Trained)>> {
        let guided = Guided::new(begin.denoiser().clone(), c.guidance)?;
        let mut done: Vec<(usize, Trained)> = Vec::new();
        for &n_steps in &c.students {
            let start = done.last().map_or(begin, |(_, before)| &before.model);
            let course = Course { n_steps: c.steps, batch: c.batch, optimizer: &c.optimizer, start: None };
            let learn = |network: &Network, objective: &Objective, batches: Batches| ConsistencyDistillation {
                network: network.clone(),
                objective: objective.clone(),
                teacher: guided.clone(),
                n_segments: n_steps,
                n_inner: c.grid / n_steps,
                batches: batches.into(),
            };
            let trained = self.few_step(consistency_role(n_steps), n_steps, start, course, learn, progress)?;
            done.push((n_steps, trained));
        }
        Ok(done)
    }

    /// A student of few deterministic steps that starts at the weights of `start`.
    fn few_step<L: Learner>(
        &self,
        role: String,
        n_steps: usize,
        start: &DiffusionModel,
        course: Course,
        learn: impl Fn(&Network, &Objective, Batches) -> L,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        let mut state = start.state().clone();
        LatentDecoder::split(&mut state);
        let (network, weights) = Network::of_state(&start.card().network, &state, &role)?;
        let objective = self.objective()?;
        // The grid of the student is that of its network's time, and its condition is never hidden as a whole.
        let items = self.items_of(&role, 0.0);
        let card = ModelCard {
            role,
            network: start.card().network.clone(),
            sampler: "ddim".into(),
            steps: n_steps,
            guidance: 1.0,
            ..self.card.clone()
        };
        let course = Course { start: Some(weights), ..course };
        let learner = |batch| learn(&network, &objective, Batches { batch, ..items.clone() });
        self.fit(card, &network, course, learner, progress)
    }

    fn fit<L: Learner>(
        &self,
        card: ModelCard,
        network: &Network,
        course: Course,
        learner: impl Fn(usize) -> L,
        progress: &mut dyn Progress,
    ) -> Result<Trained> {
        let trial = |batch, device: &Device| {
            let items = self.items_of("device check", self.label_dropout);
            let batches = Batches { batch, device: device.clone(), ..items }.into();
            Ok(Denoising { network: network.clone(), objective: self.objective()?, auxiliary: None, batches })
        };
        self.trainer.fit(network, card, course, learner, trial, &self.beside, progress)
    }

    fn network(&self, config: &NetworkConfig) -> Result<Network> {
        Network::new(config, self.trainer.seed.purpose("network"))
    }

    fn objective(&self) -> Result<Objective> {
        objective(&self.card.parameterization, &self.card.schedule, self.card.schedule_steps)
    }

    fn items_of(&self, purpose: &str, label_dropout: f64) -> Batches {
        let seed = self.trainer.seed.purpose("training").purpose(purpose);
        Batches { label_dropout, seed, ..self.items.clone() }
    }
}
