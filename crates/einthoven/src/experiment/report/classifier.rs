//! Whether generated beats help a classifier, in the report: a section for each split.

use super::{Findings, PAPER, is_intra};
use crate::evaluation::utility::{Comparison, RowResult};
use crate::metrics::score_bootstrap::{ScoreDifference, ScoreInterval};
use crate::report::{
    Better, Cell, ConfusionMatrix, ConfusionPanel, Estimate, Figure, Forest, ForestRow, Marker, Report, Row, RowKind,
    Table,
};

/// Scores of the classifier by training data, their differences to real data alone, and its confusions.
pub fn comparison_section(report: &mut Report, f: &Findings, comparison: &Comparison) {
    let split = &comparison.split;
    let key = split.replace([':', '-'], "_");
    let headline = f.config.data.headline_classes.join(", ");
    let columns = [
        ("accuracy", "accuracy", Better::Higher),
        ("headline_precision", "macro precision", Better::Higher),
        ("headline_recall", "macro recall", Better::Higher),
        ("headline_f1", "macro F1", Better::Higher),
        ("misidentification", "misidentification", Better::Lower),
        ("mean_off_diagonal_row_rate", "mean off-diagonal row rate", Better::Lower),
        ("headline_auroc", "AUROC", Better::Higher),
        ("headline_auprc", "AUPRC", Better::Higher),
        ("mcc", "MCC", Better::Higher),
        ("brier", "Brier", Better::Lower),
        ("ece", "ECE", Better::Lower),
    ];
    let mut table = Table::new(format!("classifier_{key}"), format!("Classifier, split {split}"), "training data")
        .stamp(stamp(split))
        .caption(format!(
            "Macro values over {headline}; fractions. {} test beats of {} patients, {} training seeds, the same number of \
             optimizer steps in every row.",
            comparison.test_counts.iter().sum::<usize>(),
            comparison.n_patients,
            f.config.classifier.seeds
        ));
    for (key, label, better) in columns {
        table = table.column(key, label, "", better);
    }
    let kind = |row: &RowResult| if row.is_control { RowKind::Control } else { RowKind::Result };
    for row in &comparison.rows {
        let mut out = Row::new(kind(row), row.label.clone());
        for (key, _, _) in columns {
            out = out.cell(key, score_cell(row.score(key)));
        }
        table = table.row(out);
    }
    let mut published = Row::new(RowKind::Published, format!("{PAPER}, KD-DGN data"))
        .cell("headline_precision", Estimate::new(0.957))
        .cell("misidentification", Estimate::new(0.03).note("about 3 %"));
    for (key, _, _) in columns.iter().filter(|(key, _, _)| !["headline_precision", "misidentification"].contains(key)) {
        published = published.cell(*key, Cell::NotFound);
    }
    table = table.row(published).note(format!(
        "{PAPER} do not state their split, beat segmentation or averaging: the figures are beside ours, not comparable with them."
    ));

    let mut recalls = Table::new(format!("classes_{key}"), format!("By class, split {split}"), "training data")
        .stamp(stamp(split))
        .caption("Recall and average precision (AUPRC) of each class. AUPRC must be read against the prevalence.");
    for (class, n) in comparison.class_names.iter().zip(&comparison.test_counts) {
        recalls = recalls
            .column(format!("recall_{class}"), format!("recall {class}"), format!("n = {n}"), Better::Higher)
            .column(format!("auprc_{class}"), format!("AUPRC {class}"), "", Better::Higher);
    }
    for row in &comparison.rows {
        let mut out = Row::new(kind(row), row.label.clone());
        for class in &comparison.class_names {
            for score in ["recall", "auprc"] {
                let key = format!("{score}_{class}");
                out = out.cell(key.clone(), score_cell(row.score(&key)));
            }
        }
        recalls = recalls.row(out);
    }

    let mut claims = Table::new(
        format!("claims_{key}"),
        format!("Differences to real only, split {split}"),
        "training data",
    )
    .stamp(stamp(split))
    .caption(
        "Row minus real only, on the same patients and seeds. p is corrected for all differences of the table (Holm).",
    )
    .column("difference", "difference", "", Better::Neither)
    .column("p_holm", "p", "", Better::Neither)
    .column("minimum_detectable_effect", "smallest detectable", "", Better::Neither)
    .column("verdict", "verdict", "", Better::Neither);
    for claim in &comparison.claims {
        let label =
            comparison.rows.iter().find(|row| row.name == claim.row).map_or(claim.row.as_str(), |row| &row.label);
        let good = (claim.difference > 0.0) != (claim.score == "misidentification");
        let shown = claim.p_holm < 0.05 && (claim.ci_low > 0.0 || claim.ci_high < 0.0);
        let verdict = match (&claim.insufficient, shown, good) {
            (Some(reason), _, _) => format!("insufficient: {reason}"),
            (None, true, true) => "better".into(),
            (None, true, false) => "worse".into(),
            (None, false, _) => "no difference shown".into(),
        };
        claims = claims.row(
            Row::new(RowKind::Result, label)
                .group(claim.score.replace("headline_", "macro ").replace('_', " "))
                .cell("difference", Estimate::with_ci(claim.difference, claim.ci_low, claim.ci_high))
                .cell("p_holm", claim.p_holm)
                .cell("minimum_detectable_effect", claim.minimum_detectable_effect)
                .cell("verdict", verdict),
        );
    }
    let forest = Forest {
        x_label: "macro F1 minus real only".into(),
        rows: comparison
            .rows
            .iter()
            .filter_map(|row| {
                let estimate = difference_estimate(row.difference("headline_f1")?);
                Some(ForestRow { label: row.label.clone(), is_control: row.is_control, estimate })
            })
            .collect(),
        reference: Some(Marker { value: 0.0, label: "real only".into() }),
        margin: None,
    };
    let confusion = ConfusionMatrix {
        classes: comparison.class_names.clone(),
        panels: comparison
            .rows
            .iter()
            .filter(|row| ["real", "kd-dgn"].contains(&row.name.as_str()))
            .map(|row| ConfusionPanel {
                label: row.label.clone(),
                counts: row.confusion.iter().map(|row| row.iter().map(|n| n.round() as u64).collect()).collect(),
            })
            .collect(),
    };
    report.raw.insert(format!("classifier_{key}"), serde_json::to_value(comparison).unwrap_or_default());
    report
        .section(format!("classifier-{split}"), format!("Does it help a classifier? Split {split}"))
        .table(table)
        .figure(Figure::new(format!("forest_{key}"), "Macro F1 against real only", forest))
        .table(recalls)
        .table(claims)
        .figure(
            Figure::new(format!("confusion_{key}"), "Confusion matrices", confusion)
                .caption("Summed over training seeds; rows are the true class."),
        );
}

fn stamp(split: &str) -> &'static str {
    if is_intra(split) { "beat-random split: the same patients in training and test, not comparable" } else { "" }
}

fn score_cell(score: Option<&ScoreInterval>) -> Cell {
    match score {
        Some(score) => match (&score.insufficient, score.interval.value.is_finite()) {
            (_, false) => Cell::Insufficient { reason: "undefined: no items".into() },
            (Some(reason), true) => {
                Estimate::with_ci(score.interval.value, score.interval.ci_low, score.interval.ci_high)
                    .note(format!("insufficient: {reason}"))
                    .into()
            }
            (None, true) => {
                Estimate::with_ci(score.interval.value, score.interval.ci_low, score.interval.ci_high).into()
            }
        },
        None => Cell::Text { text: String::new() },
    }
}

fn difference_estimate(difference: &ScoreDifference) -> Estimate {
    let i = &difference.interval;
    let estimate = Estimate::with_ci(i.value, i.ci_low, i.ci_high);
    match &difference.insufficient {
        Some(reason) => estimate.note(format!("insufficient: {reason}")),
        None => estimate,
    }
}
