//! What the generators and the classifier learned from, in the report: beats by part and class.

use serde_json::json;

use super::Findings;
use crate::dataset::split::{class_support, patient_counts};
use crate::dataset::{Dataset, Split};
use crate::error::Result;
use crate::report::{Better, Report, Row, RowKind, Table};

/// Where the data come from, and how many beats each part has of each class.
///
/// # Errors
/// Whatever counting returns.
pub fn data_section(report: &mut Report, f: &Findings) -> Result<()> {
    report.data = json!({
        "source": f.data.provenance["source"],
        "license": f.data.provenance["license"],
        "fingerprint": f.data.fingerprint(),
        "n_beats": f.data.len(),
        "leads": f.data.leads,
        "fs_hz": f.data.fs_hz,
        "sig_len": f.data.sig_len,
        "class_names": f.data.label_names,
        "provenance": f.data.provenance,
        "generator_training": {
            "n_beats": f.generator_part.len(), "fingerprint": f.generator_part.fingerprint(),
        },
        "splits": f.splits.iter().map(|(name, data)| (name.clone(), data.provenance["split"].clone()))
            .collect::<serde_json::Map<_, _>>(),
        "patients": patient_counts(f.data)?,
    });
    let mut table = Table::new("data", "Beats by part and class", "part").caption(
        "Patients with at least one beat of the class in parentheses. The generators learn from the beats that are in \
         the training part of every split, so no generator has seen a test beat of any.",
    );
    for name in &f.data.label_names {
        table = table.column(name.clone(), name.clone(), "beats", Better::Neither);
    }
    let part_row = |label: String, group: &str, data: &Dataset| -> Result<Row> {
        let mut row = Row::new(RowKind::Result, label).group(group);
        let mut marked = data.clone();
        marked.split.fill(Split::Test);
        for support in class_support(&marked, Split::Test)? {
            row = row.cell(support.class.clone(), format!("{} ({})", support.n_items, support.n_patients));
        }
        Ok(row)
    };
    for (name, data) in f.splits {
        for split in [Split::Train, Split::Validation, Split::Test] {
            let part = data.part(split);
            if !part.is_empty() {
                table = table.row(part_row(split.name().into(), &format!("split {name}"), &part)?);
            }
        }
    }
    table = table.row(part_row("training part of the generators".into(), "all splits", f.generator_part)?);
    report
        .section("data", "Data")
        .text("To judge the generators, equal numbers of beats of every class were drawn of each.")
        .table(table);
    Ok(())
}
