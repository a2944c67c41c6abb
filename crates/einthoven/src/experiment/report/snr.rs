//! The signal-to-noise ratio in the report.

use super::distinct;
use crate::evaluation::fidelity::SnrEquivalence;
use crate::experiment::quality::Quality;
use crate::report::{Better, Estimate, Figure, Forest, ForestRow, Margin, Marker, Report, Row, RowKind, Table};

/// SNR by class, and the tests of whether it is equal within a margin.
pub fn snr_section(report: &mut Report, quality: &Quality, margin: f64) {
    let items = quality.items;
    let mut table = Table::new("snr", "Signal-to-noise ratio by class", "class").caption(format!(
        "SNR = 10 log10(sum s² / sum (x - s)²), s a lead after a zero-phase 40 Hz low-pass with its mean removed; of several \
         leads the mean. Mean ± standard deviation over {items}. Smooth output raises it, so higher is not better: the \
         question is whether it equals the real value."
    ));
    let sources = distinct(quality.snr.iter().map(|s| s.source.as_str()));
    table = table.column("real_n", format!("real {items}"), "", Better::Neither);
    for source in &sources {
        table = table.column(format!("{source}_db"), *source, "dB", Better::Neither);
    }
    for class in distinct(quality.snr.iter().map(|s| s.class.as_str())) {
        let mut row = Row::new(RowKind::Result, class);
        for s in quality.snr.iter().filter(|s| s.class == class && s.n > 1) {
            row = row.cell(format!("{}_db", s.source), format!("{:.1} ± {:.1}", s.mean_db, s.sd_db));
            if s.source == "real" {
                row = row.cell("real_n", s.n as f64);
            }
        }
        table = table.row(row);
    }
    let mut tests = Table::new("snr_equivalence", "Equivalence of mean SNR", "comparison")
        .caption(format!(
            "Difference of means, second minus first, with the 90 % interval of two one-sided tests; equivalent when it \
             lies within ±{margin} dB."
        ))
        .column("difference_db", "difference", "dB", Better::Neither)
        .column("verdict", "verdict", "", Better::Neither);
    let mut forest = Vec::new();
    for e in &quality.equivalence {
        let estimate = equivalence_estimate(e);
        let label = format!("{} vs {}, {}", e.second, e.first, e.class);
        forest.push(ForestRow { label: label.clone(), is_control: e.second == "control", estimate: estimate.clone() });
        let verdict = estimate.note.clone();
        let estimate = estimate.note("");
        tests = tests.row(
            Row::new(if e.second == "control" { RowKind::Control } else { RowKind::Result }, label)
                .cell("difference_db", estimate)
                .cell("verdict", verdict),
        );
    }
    report.section("snr", "Signal-to-noise ratio").table(table).table(tests).figure(Figure::new(
        "snr_forest",
        "Differences in mean SNR",
        Forest {
            x_label: "difference of mean SNR, dB".into(),
            rows: forest,
            reference: Some(Marker { value: 0.0, label: "equal".into() }),
            margin: Some(Margin { low: -margin, high: margin, label: format!("±{margin} dB") }),
        },
    ));
}

/// A difference of mean SNR with its interval, and in its note whether it is shown to be none.
pub fn equivalence_estimate(e: &SnrEquivalence) -> Estimate {
    match &e.test {
        Some(test) => {
            let verdict = if test.is_shown { "equivalence shown" } else { "equivalence not shown" };
            let enough = e.needed_n.is_none_or(|needed| e.n.iter().all(|&n| n >= needed));
            let power = if enough { String::new() } else { format!(", needs {} a side", e.needed_n.unwrap_or(0)) };
            Estimate::with_ci(test.difference.value, test.ci_low, test.ci_high).note(format!("{verdict}{power}"))
        }
        None => Estimate::insufficient("fewer than two on a side"),
    }
}
