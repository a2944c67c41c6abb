//! The generators of a beat experiment: teacher, student, control, and students of few steps.

use super::config::{Experiment, NetworkConfig};
use super::distillation::{Lineage, STUDENT, TEACHER};
use super::training::{Course, Trained, Trainer, training_data};
use crate::classifiers::beat_cnn::lead_scales;
use crate::dataset::Dataset;
use crate::diffusion;
use crate::diffusion::batches::Batches;
use crate::error::Result;
use crate::generators::diffusion_model::ModelCard;
use crate::nn::weights::Weights;
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

impl Models {
    /// Trains whatever is not trained yet on the training part of the generators, and reads back what is.
    ///
    /// # Errors
    /// Everything that `Trainer::fit` returns.
    pub fn train(c: &Experiment, data: &Dataset, trainer: Trainer, progress: &mut dyn Progress) -> Result<Models> {
        let shape =
            |network: &NetworkConfig| diffusion::NetworkConfig::Unet(network.unet(data.leads.len(), data.n_labels()));
        let items = items(c, data, &trainer)?;
        let card = card(c, data, shape(&c.teacher.network))?;
        let lineage =
            Lineage { trainer, card, items, label_dropout: c.teacher.label_dropout, beside: Weights::default() };
        let (t, s) = (&c.teacher, &c.student);
        let course = Course { n_steps: t.steps, batch: t.batch, optimizer: &t.optimizer, start: None };
        let teacher = lineage.first(course, None, progress)?;
        let mut student = |role: &str, lambda: f64| {
            let course = Course { n_steps: s.steps, batch: s.batch, optimizer: &s.optimizer, start: None };
            lineage.student(role, &shape(&s.network), (&teacher.model, lambda), course, progress)
        };
        let (student, control) = (student(STUDENT, s.lambda)?, student("control", 0.0)?);
        let few_step = lineage.halved(&student.model, &c.few_step, progress)?;
        Ok(Models { teacher, student, control, few_step })
    }
}

fn items(c: &Experiment, data: &Dataset, trainer: &Trainer) -> Result<Batches> {
    Ok(Batches {
        signals: signal::scaled(&data.ecg, &lead_scales(data)?, data.sig_len).into(),
        n_leads: data.leads.len(),
        sig_len: data.sig_len,
        classes: data.classes()?,
        labels: None,
        facts: None,
        beats: None,
        batch: 1,
        class_exponent: c.teacher.class_exponent,
        label_dropout: c.teacher.label_dropout,
        fact_dropout: 0.0,
        seed: trainer.seed,
        device: trainer.device.clone(),
    })
}

fn card(c: &Experiment, data: &Dataset, network: diffusion::NetworkConfig) -> Result<ModelCard> {
    let (teacher, synthesis) = (&c.teacher, &c.synthesis);
    Ok(ModelCard {
        format: 1,
        generator: "dgn".into(),
        role: TEACHER.into(),
        network,
        parameterization: teacher.parameterization.clone(),
        schedule: teacher.schedule.clone(),
        schedule_steps: teacher.schedule_steps,
        scale_mv: lead_scales(data)?,
        leads: data.leads.clone(),
        sig_len: data.sig_len,
        fs_hz: data.fs_hz,
        label_names: data.label_names.clone(),
        sampler: synthesis.sampler.clone(),
        steps: synthesis.steps,
        guidance: synthesis.guidance,
        training_data: training_data(data),
        latent: None,
        rhythm: None,
        waves: None,
        usual: None,
    })
}
