//! Judging the generators: SNR, distances, copies, cost.

use serde::Serialize;

use super::config::Experiment;
use super::efficiency::{Contender, Measured, MemoryProbe, measure};
use super::models::Models;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::evaluation::fidelity::{
    Fidelity, SnrEquivalence, SnrSummary, fidelity, groups, snr_by_group, snr_each, snr_equivalence,
};
use crate::evaluation::privacy::{Audit, audit};
use crate::generators::diffusion_model::DiffusionModel;
use crate::run::Progress;
use crate::seed::Seed;

/// What was found about the generators.
#[derive(Debug, Clone, Serialize)]
pub struct Quality {
    /// What the items are: `beats` or `records`.
    pub items: &'static str,
    /// SNR of each source and class, real first.
    pub snr: Vec<SnrSummary>,
    /// Student against teacher, and each generator against real, by class and over all.
    pub equivalence: Vec<SnrEquivalence>,
    /// Distances to held-out real beats by class, the floor first.
    pub fidelity: Vec<Fidelity>,
    /// Copies and nearest neighbors.
    pub audits: Vec<Audit>,
}

/// The sets that are judged, and what they are judged by; all of the same axes.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// What the generators learned from.
    pub train: &'a Dataset,
    /// Real items of other patients.
    pub held_out: &'a Dataset,
    /// What each generator made, by its name.
    pub sets: &'a [(String, Dataset)],
}

/// Random exchanges and resamples of an audit.
const REPLICATES: usize = 999;

/// Judges sets of single beats.
///
/// # Errors
/// Whatever the metrics return.
pub fn judge(margin_db: f64, beats: Sides, seed: Seed, progress: &mut dyn Progress) -> Result<Quality> {
    let (snr, equivalence) = noise(margin_db, beats)?;
    let fidelity = distances(beats, progress)?;
    let audits = audits("beats", beats, seed, progress)?;
    Ok(Quality { items: "beats", snr, equivalence, fidelity, audits })
}

/// Judges sets of whole records: SNR as they are, distances as their averaged beats, copies as both.
///
/// # Errors
/// Whatever the metrics return.
pub fn judge_records(
    margin_db: f64,
    records: Sides,
    averaged: Sides,
    seed: Seed,
    progress: &mut dyn Progress,
) -> Result<Quality> {
    let (snr, equivalence) = noise(margin_db, records)?;
    let fidelity = distances(averaged, progress)?;
    let mut found = audits("records, point by point", records, seed, progress)?;
    found.extend(audits("averaged beats", averaged, seed, progress)?);
    Ok(Quality { items: "records", snr, equivalence, fidelity, audits: found })
}

fn all_of<'a>(sides: Sides<'a>) -> Vec<&'a Dataset> {
    [sides.train, sides.held_out].into_iter().chain(sides.sets.iter().map(|(_, data)| data)).collect()
}

/// SNR of each source by class, and its equivalence.
fn noise(margin_db: f64, sides: Sides) -> Result<(Vec<SnrSummary>, Vec<SnrEquivalence>)> {
    let groups = groups(&all_of(sides));
    let real = snr_by_group("real", sides.train, &snr_each(sides.train)?, &groups);
    let mut snr = real.clone();
    // Of each generator all items and those of each class.
    let mut by_set: Vec<(&str, Vec<f64>, Vec<SnrSummary>)> = Vec::new();
    for (name, data) in sides.sets {
        let values = snr_each(data)?;
        let summary = snr_by_group(name, data, &values, &groups);
        snr.extend(summary.clone());
        by_set.push((name, values.into_iter().filter(|db| db.is_finite()).collect(), summary));
    }
    let mut equivalence = Vec::new();
    if let Some((teacher, teacher_all, teacher_snr)) = by_set.first() {
        for (name, set_all, set_snr) in &by_set[1..] {
            for (of_teacher, of_set) in teacher_snr.iter().zip(set_snr).filter(|(t, _)| t.n > 0 && t.class != "all") {
                let values = [&of_teacher.values_db, &of_set.values_db];
                equivalence.push(snr_equivalence([teacher, name], &of_set.class, values[0], values[1], margin_db)?);
            }
            equivalence.push(snr_equivalence([teacher, name], "all", teacher_all, set_all, margin_db)?);
        }
    }
    for (name, _, set_snr) in &by_set {
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
    Ok((snr, equivalence))
}

/// Distances to held-out beats by class, the training patients first.
fn distances(sides: Sides, progress: &mut dyn Progress) -> Result<Vec<Fidelity>> {
    let groups = groups(&all_of(sides));
    let mut out = Vec::new();
    for (at, &(class, label)) in groups.iter().enumerate() {
        let beats_of = |data: &Dataset| -> Vec<Vec<f64>> {
            let items = data.items_with(label).into_iter();
            items.map(|i| data.item(i).iter().map(|&v| f64::from(v)).collect()).collect()
        };
        let floor = beats_of(sides.train);
        let beats: Vec<Vec<Vec<f64>>> = sides.sets.iter().map(|(_, data)| beats_of(data)).collect();
        let mut sources: Vec<(&str, &[Vec<f64>])> = vec![("real, training patients", &floor)];
        sources.extend(sides.sets.iter().zip(&beats).map(|((name, _), beats)| (name.as_str(), beats.as_slice())));
        // A class of which one generator made nothing is compared for the others; one that none made is not.
        if beats.iter().any(|beats| !beats.is_empty()) {
            out.extend(fidelity(class, &beats_of(sides.held_out), &sources)?);
        }
        progress.update("fidelity", at as u64 + 1, groups.len() as u64, "");
    }
    Ok(out)
}

fn audits(space: &str, sides: Sides, seed: Seed, progress: &mut dyn Progress) -> Result<Vec<Audit>> {
    let mut out = Vec::new();
    for (at, (name, data)) in sides.sets.iter().enumerate() {
        out.push(audit([name, space], sides.train, sides.held_out, data, REPLICATES, seed.purpose("audit"))?);
        progress.update("privacy", at as u64 + 1, sides.sets.len() as u64, "");
    }
    Ok(out)
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
