//! What the generators cost, in the report: size, memory, time, trainings.

use super::Findings;
use crate::report::{Better, Estimate, Report, Row, RowKind, Table};

/// Size, memory and time of each generator, and what its training took.
pub fn efficiency_section(report: &mut Report, f: &Findings) {
    let mut table = Table::new("efficiency", "Size, memory and time", "generator")
        .caption(format!(
            "{} beats in one batch; times are medians of interleaved repetitions. Memory is the peak of allocated bytes \
             above idle while sampling, weights included.",
            f.config.quality.timed_beats
        ))
        .column("sampler", "sampler", "", Better::Neither)
        .column("steps", "steps", "", Better::Neither)
        .column("size_mib", "weights", "MiB", Better::Lower)
        .column("peak_memory_mib", "peak memory", "MiB", Better::Lower)
        .column("time_s", "time of the batch", "s", Better::Lower)
        .column("beats_per_s", "beats per second", "1/s", Better::Higher);
    let mib = |bytes: usize| bytes as f64 / (1024.0 * 1024.0);
    for m in f.efficiency {
        let (low, high) = range(&m.seconds);
        let time = match m.seconds.len() {
            1 => Estimate::new(m.median_seconds),
            _ => Estimate::with_ci(m.median_seconds, low, high),
        };
        let mut row = Row::new(RowKind::Result, m.name.clone())
            .cell("sampler", m.sampler.clone())
            .cell("steps", m.steps as f64)
            .cell("size_mib", mib(m.size_bytes))
            .cell("time_s", time)
            .cell("beats_per_s", m.beats_per_second);
        if let Some(bytes) = m.peak_memory_bytes {
            row = row.cell("peak_memory_mib", mib(bytes));
        }
        table = table.row(row);
    }
    let mut trainings = Table::new("trainings", "Trainings", "model")
        .column("steps", "optimizer steps", "", Better::Neither)
        .column("seconds", "time", "s", Better::Lower)
        .column("last_loss", "last loss", "", Better::Neither)
        .column("n_skipped", "skipped batches", "", Better::Lower);
    let mut all = vec![&f.models.teacher, &f.models.student, &f.models.control];
    all.extend(f.models.few_step.iter().map(|(_, trained)| trained));
    for trained in all {
        let s = &trained.summary;
        trainings = trainings.row(
            Row::new(RowKind::Result, trained.model.card().role.clone())
                .cell("steps", s.n_steps as f64)
                .cell("seconds", s.seconds)
                .cell("last_loss", s.last_loss.unwrap_or(f64::NAN))
                .cell("n_skipped", s.n_skipped as f64),
        );
    }
    report.raw.insert("efficiency".into(), serde_json::to_value(f.efficiency).unwrap_or_default());
    report
        .section("efficiency", "What the generators cost")
        .text(
            "Width alone does not explain a time ratio: a network of half the parameters has half the arithmetic of \
             its convolutions, and less than that of its fixed costs. Fewer steps are what makes sampling fast.",
        )
        .table(table)
        .table(trainings);
}

fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
}
