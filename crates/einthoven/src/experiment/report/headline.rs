//! The key results of a beat experiment: the student, few steps, the classifier.

use super::snr::equivalence_estimate;
use super::{Findings, PAPER, is_intra};
use crate::experiment::efficiency::{Measured, ratio};
use crate::experiment::quality::{FAST, FEW, SLOW, STUDENT};
use crate::report::{Estimate, Published, Report};

/// Puts the key results first, beside what the paper gives for them.
pub fn headline(report: &mut Report, f: &Findings) {
    let time_ratio = |numerator: &str, denominator: &str| match (measured(f, numerator), measured(f, denominator)) {
        (Some(a), Some(b)) => {
            let (value, range) = ratio(&a.seconds, &b.seconds);
            range.map_or(Estimate::new(value), |(low, high)| Estimate::with_ci(value, low, high))
        }
        _ => Estimate::insufficient("not measured"),
    };
    let (teacher, student) = (&f.models.teacher.model, &f.models.student.model);
    let size = student.n_bytes() as f64 / teacher.n_bytes() as f64;
    let memory = match (
        measured(f, STUDENT).and_then(|m| m.peak_memory_bytes),
        measured(f, FAST).and_then(|m| m.peak_memory_bytes),
    ) {
        (Some(student), Some(teacher)) => Estimate::new(student as f64 / teacher as f64),
        _ => Estimate::insufficient("no counting allocator in this build"),
    };
    let snr = f
        .quality
        .equivalence
        .iter()
        .find(|e| e.first == "teacher" && e.second == "student" && e.class == "all")
        .map_or(Estimate::insufficient("not measured"), equivalence_estimate);
    let paper = |value| Published::value(value, PAPER);
    report.headline_group(
        "Student over teacher, at equal steps",
        "",
        [
            ("student_size_ratio", Estimate::new(size).label("size, ratio").published(paper(0.5))),
            ("student_peak_memory_ratio", memory.label("peak memory, ratio").published(paper(0.625))),
            ("student_time_ratio", time_ratio(STUDENT, FAST).label("time, ratio").published(paper(0.43))),
            ("student_snr_difference_db", snr.label("SNR, student minus teacher").unit("dB")),
        ],
    );
    report.headline_group(
        "Student of few steps",
        "",
        [
            (
                "few_step_speedup",
                time_ratio(SLOW, FEW)
                    .label(format!("times as fast as the teacher in {} steps", f.config.teacher.schedule_steps)),
            ),
            (
                "few_step_speedup_over_fast",
                time_ratio(FAST, FEW)
                    .label(format!("times as fast as the teacher in {} steps", f.config.synthesis.steps)),
            ),
            (
                "few_step_beats_per_second",
                measured(f, FEW)
                    .map_or(Estimate::insufficient("not measured"), |m| Estimate::new(m.beats_per_second))
                    .label("beats drawn per second")
                    .unit("1/s"),
            ),
        ],
    );
    report.headline_group(
        "Classifier, intra-patient split",
        "not comparable: same patients in training and test",
        [
            (
                "intra_macro_precision_real",
                scored(f, true, "real", "headline_precision").label("macro precision, trained on real beats only"),
            ),
            (
                "intra_macro_precision_augmented",
                scored(f, true, "kd-dgn", "headline_precision")
                    .label("macro precision, trained on real beats + KD-DGN")
                    .published(paper(0.957)),
            ),
            (
                "intra_misidentification_augmented",
                scored(f, true, "kd-dgn", "misidentification")
                    .label("share misidentified, trained on real beats + KD-DGN")
                    .published(paper(0.03)),
            ),
        ],
    );
    report.headline_group(
        "Classifier, patients apart",
        "",
        [
            (
                "inter_macro_f1_real",
                scored(f, false, "real", "headline_f1").label("macro F1, trained on real beats only"),
            ),
            (
                "inter_macro_f1_augmented",
                scored(f, false, "kd-dgn", "headline_f1").label("macro F1, trained on real beats + KD-DGN"),
            ),
        ],
    );
}

fn measured<'a>(f: &'a Findings, name: &str) -> Option<&'a Measured> {
    f.efficiency.iter().find(|m| m.name == name)
}

/// A score of a row of a split as a headline number.
fn scored(f: &Findings, want_intra: bool, row: &str, score: &str) -> Estimate {
    f.comparisons
        .iter()
        .find(|comparison| is_intra(&comparison.split) == want_intra)
        .and_then(|comparison| comparison.rows.iter().find(|r| r.name == row))
        .and_then(|row| row.score(score))
        .map_or(Estimate::insufficient("not part of this run"), |s| {
            Estimate::with_ci(s.interval.value, s.interval.ci_low, s.interval.ci_high)
        })
}
