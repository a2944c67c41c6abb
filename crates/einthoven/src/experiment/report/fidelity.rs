//! Distances to real beats in the report.

use super::distinct;
use crate::evaluation::fidelity::MIN_POINTS;
use crate::experiment::quality::Quality;
use crate::report::{Better, Report, Row, RowKind, Table};

/// Distances to held-out beats.
pub fn fidelity_section(report: &mut Report, quality: &Quality) {
    let mut table = Table::new("fidelity", "Distance to real beats of other patients", "source")
        .caption(
            "Compared with real held-out beats of patients that no generator has met. The floor compares the training \
             patients with them: a generator of these patients' beats can hardly come closer. A whole record stands as its \
             averaged beat.",
        )
        .column("n", "beats", "", Better::Neither)
        .column("mmd2", "MMD²", "", Better::Lower)
        .column("precision", "precision", "", Better::Higher)
        .column("recall", "recall", "", Better::Higher)
        .column("mean_beat_error_mv", "mean-beat error", "mV", Better::Lower)
        .column("spread_ratio", "spread ratio", "", Better::Neither);
    for d in &quality.fidelity {
        let kind = match d.source.as_str() {
            "control" => RowKind::Control,
            source if source.starts_with("real") => RowKind::Floor,
            _ => RowKind::Result,
        };
        table = table.row(
            Row::new(kind, d.source.clone())
                .group(format!("class {}", d.class))
                .cell("n", d.n as f64)
                .cell("mmd2", d.mmd2)
                .cell("precision", d.precision)
                .cell("recall", d.recall)
                .cell("mean_beat_error_mv", d.mean_beat_error_mv)
                .cell("spread_ratio", d.spread_ratio),
        );
    }
    let is_compared = |class: &&str| quality.fidelity.iter().any(|d| d.class == *class);
    let classes = distinct(quality.snr.iter().map(|s| s.class.as_str()));
    let left_out: Vec<&str> = classes.into_iter().filter(|class| !is_compared(class)).collect();
    if !left_out.is_empty() {
        table = table.note(format!("Not compared, with fewer than {MIN_POINTS} on a side: {}.", left_out.join(", ")));
    }
    report.section("fidelity", "Are the beats like real ones?").table(table);
}
