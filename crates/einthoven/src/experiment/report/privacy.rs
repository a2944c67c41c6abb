//! Copies and near neighbors in the report.

use crate::experiment::quality::Quality;
use crate::report::{Better, Estimate, Report, Row, RowKind, Table};

/// Copies and near neighbors.
pub fn privacy_section(report: &mut Report, quality: &Quality) {
    let items = quality.items;
    let mut table = Table::new("privacy", "Copies and near neighbors", "generator")
        .caption(format!(
            "Each count is set against the same count with real {items} of patients that the generator never met, as many as \
             of the training. p: share of exchanges of training and held-out patients that leak at least as much."
        ))
        .column("exact_copies", "exact copies", items, Better::Lower)
        .column("memorized", "memorized (ratio ≤ 1), training", items, Better::Lower)
        .column("memorized_held_out", "same, held out", items, Better::Neither)
        .column("memorized_p", "p of the excess", "", Better::Neither)
        .column("nearest_difference", "nearest distance, generated minus held out", "5th percentile", Better::Higher)
        .column("closer_share", "nearer to training than to held out", "", Better::Lower)
        .column("closer_share_p", "p of that", "", Better::Neither)
        .column("n_compared", "compared with, each", items, Better::Neither);
    for audit in &quality.audits {
        let s = &audit.scores;
        table = table.row(
            Row::new(if audit.source == "control" { RowKind::Control } else { RowKind::Result }, audit.source.clone())
                .group(audit.space.clone())
                .cell("exact_copies", audit.n_exact_copies as f64)
                .cell("memorized", s.memorized.train)
                .cell("memorized_held_out", s.memorized.held_out)
                .cell("memorized_p", s.memorized.p_value)
                .cell(
                    "nearest_difference",
                    Estimate::with_ci(audit.nearest.difference, audit.nearest.ci_low, audit.nearest.ci_high),
                )
                .cell("closer_share", s.closer_share.train)
                .cell("closer_share_p", s.closer_share.p_value)
                .cell("n_compared", audit.n_train as f64),
        );
    }
    report.raw.insert("privacy".into(), serde_json::to_value(&quality.audits).unwrap_or_default());
    report
        .section("privacy", format!("Do the generated {items} repeat those of the training?"))
        .text(
            "Signals are compared point by point, each with mean 0 and standard deviation 1; labels play no part. Passing \
             these tests means that they have shown no leak; it does not mean that the set is private or anonymous.",
        )
        .table(table);
}
