//! Judging the generators: SNR, distances, copies, cost.

use serde::Serialize;

use super::config::Experiment;
use super::efficiency::{Contender, Measured, MemoryProbe, measure};
use super::models::Models;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::evaluation::fidelity::{Fidelity, SnrEquivalence, SnrSummary, fidelity, snr_by_class, snr_equivalence};
use crate::evaluation::privacy::{Audit, audit};
use crate::generators::diffusion_model::DiffusionModel;
use crate::run::Progress;
use crate::seed::Seed;

/// What was found about the generators.
#[derive(Debug, Clone, Serialize)]
pub struct Quality {
    /// SNR of each source and class, real first.
    pub snr: Vec<SnrSummary>,
    /// Student against teacher, and each generator against real, by class and over all.
    pub equivalence: Vec<SnrEquivalence>,
    /// Distances to held-out real beats by class, the floor first.
    pub fidelity: Vec<Fidelity>,
    /// Copies and nearest neighbors.
    pub audits: Vec<Audit>,
}

/// Beats of one class as vectors in f64.
fn beats_of(data: &Dataset, class: usize) -> Result<Vec<Vec<f64>>> {
    let classes = data.classes()?;
    Ok((0..data.len())
        .filter(|&i| classes[i] == class)
        .map(|i| data.item(i).iter().map(|&v| f64::from(v)).collect())
        .collect())
}

/// Judges synthetic sets against the generators' training part and held-out real beats of other patients.
///
/// # Errors
/// Whatever the metrics return.
pub fn judge(
    margin_db: f64,
    train: &Dataset,
    held_out: &Dataset,
    sets: &[(String, Dataset)],
    seed: Seed,
    progress: &mut dyn Progress,
) -> Result<Quality> {
    let total = (sets.len() + train.n_labels()) as u64;
    let real = snr_by_class("real", train)?;
    let mut snr = real.clone();
    let mut by_set: Vec<(String, Vec<SnrSummary>)> = Vec::new();
    for (name, data) in sets {
        let summary = snr_by_class(name, data)?;
        snr.extend(summary.clone());
        by_set.push((name.clone(), summary));
    }
    let mut equivalence = Vec::new();
    let pooled =
        |summaries: &[SnrSummary]| -> Vec<f64> { summaries.iter().flat_map(|s| s.values_db.clone()).collect() };
    if let Some((teacher, teacher_snr)) = by_set.first() {
        for (name, set_snr) in &by_set[1..] {
            for (of_teacher, of_set) in teacher_snr.iter().zip(set_snr).filter(|(t, _)| t.n > 0) {
                let values = [&of_teacher.values_db, &of_set.values_db];
                equivalence.push(snr_equivalence([teacher, name], &of_set.class, values[0], values[1], margin_db)?);
            }
            equivalence.push(snr_equivalence(
                [teacher, name],
                "all",
                &pooled(teacher_snr),
                &pooled(set_snr),
                margin_db,
            )?);
        }
    }
    for (name, set_snr) in &by_set {
        for (of_real, of_set) in real.iter().zip(set_snr).filter(|(r, s)| r.n > 0 && s.n > 0) {
            equivalence.push(snr_equivalence(
                ["real", name],
                &of_set.class,
                &of_real.values_db,
                &of_set.values_db,
                margin_db,
            )?);
        }
    }
    let mut distances = Vec::new();
    for class in 0..train.n_labels() {
        let reference = beats_of(held_out, class)?;
        let floor = beats_of(train, class)?;
        let beats: Vec<(String, Vec<Vec<f64>>)> =
            sets.iter().map(|(name, data)| Ok((name.clone(), beats_of(data, class)?))).collect::<Result<_>>()?;
        let mut sources: Vec<(&str, &[Vec<f64>])> = vec![("real, training patients", &floor)];
        sources.extend(beats.iter().map(|(name, beats)| (name.as_str(), beats.as_slice())));
        distances.extend(fidelity(&train.label_names[class], &reference, &sources)?);
        progress.update("fidelity", class as u64 + 1, total, "");
    }
    let mut audits = Vec::new();
    for (at, (name, data)) in sets.iter().enumerate() {
        audits.push(audit(name, train, held_out, data, 999, seed.purpose("audit"))?);
        progress.update("fidelity", (train.n_labels() + at + 1) as u64, total, "");
    }
    Ok(Quality { snr, equivalence, fidelity: distances, audits })
}

/// Names of the contenders whose ratios make the headline.
pub const SLOW: &str = "teacher, ancestral";
/// The teacher with its fast sampler.
pub const FAST: &str = "teacher, fast";
/// The student with the same fast sampler and steps.
pub const STUDENT: &str = "student, fast";
/// The student of few steps.
pub const FEW: &str = "few-step student";

/// Measures size, memory and time of teacher, student and few-step student.
///
/// # Errors
/// Whatever sampling returns.
pub fn efficiency(
    config: &Experiment,
    models: &Models,
    few_step: &DiffusionModel,
    probe: Option<&dyn MemoryProbe>,
    seed: Seed,
    progress: &mut dyn Progress,
) -> Result<Vec<Measured>> {
    let (q, s) = (&config.quality, &config.synthesis);
    let (teacher, student) = (&models.teacher.model, &models.student.model);
    let contender = |name: &str, model, sampler: &str, steps, runs| Contender {
        name: name.into(),
        model,
        sampler: sampler.into(),
        steps,
        runs,
    };
    let mut contenders = vec![
        contender(SLOW, teacher, "ddpm", config.teacher.schedule_steps, q.slow_runs),
        contender(FAST, teacher, &s.sampler, s.steps, q.timed_runs),
        contender(STUDENT, student, &s.sampler, s.steps, q.timed_runs),
        contender(FEW, few_step, &few_step.card().sampler, few_step.card().steps, q.timed_runs),
    ];
    for (steps, trained) in models.few_step.iter().filter(|(steps, _)| *steps <= 8 && *steps != few_step.card().steps) {
        let name = format!("{steps}-step student");
        contenders.push(contender(&name, &trained.model, "ddim", *steps, q.timed_runs));
    }
    measure(&contenders, q.timed_beats, probe, seed.purpose("timing"), &mut |done, total| {
        progress.update("time and memory", done as u64, total as u64, "");
    })
}
