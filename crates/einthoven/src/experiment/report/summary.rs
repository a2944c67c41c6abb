//! What a beat experiment found and what it does not show, in plain words.

use super::{Findings, PAPER, real_word};
use crate::report::Report;

/// What was done and what came out, a paragraph each; the numbers are those of the headline.
pub fn summary(report: &Report, f: &Findings) -> Vec<String> {
    let value = |key: &str| report.headline.get(key).map_or(f64::NAN, |e| e.value);
    let real = if f.config.data.source == "simulated" {
        "simulated beats of a dynamical model (no patient is real; the figures show that the tool works, not how the method does on patients)"
    } else {
        "beats of the MIT-BIH Arrhythmia Database"
    };
    let mut out = vec![
        format!(
            "A diffusion model (the teacher, {:.2} million weights) and a distilled student ({:.2} million) learned to make \
             single heartbeats of each class from {} {real}. Labelled beats drawn from them were added to the training \
             data of a small convolutional classifier, which was then tested on {} beats only.",
            f.models.teacher.model.n_bytes() as f64 / 4e6,
            f.models.student.model.n_bytes() as f64 / 4e6,
            f.generator_part.len(),
            real_word(f.data),
        ),
        format!(
            "The student has {:.2} of the teacher's size, {:.2} of its peak memory and {:.2} of its time at equal steps. \
             The student of {} steps is {:.0} times as fast as the teacher in {} steps and {:.1} times as fast as the \
             teacher's fast sampler.",
            value("student_size_ratio"),
            value("student_peak_memory_ratio"),
            value("student_time_ratio"),
            f.config.few_step.chosen,
            value("few_step_speedup"),
            f.config.teacher.schedule_steps,
            value("few_step_speedup_over_fast"),
        ),
    ];
    for comparison in f.comparisons {
        let Some(row) = comparison.rows.iter().find(|row| row.name == "kd-dgn") else { continue };
        let Some(difference) = row.difference("headline_f1") else { continue };
        let i = &difference.interval;
        let claim = comparison.claims.iter().find(|c| c.row == "kd-dgn" && c.score == "headline_f1");
        let verdict = match claim {
            Some(c) if c.insufficient.is_some() => "which rests on too few patients to be called a result",
            Some(c) if c.p_holm < 0.05 && i.value > 0.0 => "an improvement",
            Some(c) if c.p_holm < 0.05 => "a loss",
            _ => "no difference shown",
        };
        // An interval of one difference may leave out zero where all differences together allow no claim.
        let p = claim.map_or_else(String::new, |c| format!("; p = {:.2}, corrected for all differences", c.p_holm));
        out.push(format!(
            "Split {}: adding student beats changed macro F1 by {:+.3} ({:+.3} to {:+.3}{p}), {verdict}.",
            comparison.split, i.value, i.ci_low, i.ci_high
        ));
    }
    out
}

/// What the results do not show.
pub fn limits(f: &Findings) -> Vec<String> {
    let mut out = vec![
        format!(
            "{PAPER} state no protocol behind their precision and error rate, so \"reproduced\" can only mean reached under \
             the protocol documented here."
        ),
        "The intra-patient split shares patients, and even raw samples of neighboring windows, between training and test. \
         Its figures say nothing about new patients."
            .into(),
        "Beats are single windows of one lead: rhythm, other leads and everything between beats are outside of what the \
         generators have learned. RR intervals of synthetic beats are borrowed from real beats of the same class."
            .into(),
        "The privacy tests are attacks by nearest neighbors on released beats; attacks that use the model are not part of \
         this report."
            .into(),
        "Synthetic beats are for development and teaching, not for clinical use.".into(),
    ];
    if f.config.data.source == "simulated" {
        out.insert(0, "The data are simulated. Nothing here is evidence about real patients.".into());
    }
    out
}
