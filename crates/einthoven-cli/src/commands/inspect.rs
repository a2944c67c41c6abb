//! `einthoven inspect REC`: what a record or data set holds.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::dataset::{self, npz};
use einthoven::record::{self, ReadOptions, RecordSummary};

use super::{is_npz, print_json, print_line};

/// Say what a record (.hea or no extension, .edf, .dcm, .xml, .parquet, .npz, .csv) or a data set (.npz) holds
#[derive(clap::Args)]
pub struct Args {
    /// Record or data set
    record: PathBuf,
    /// Refuse every deviation from the format instead of noting it
    #[arg(long)]
    strict: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    if is_npz(&args.record) {
        let manifest = dataset::manifest(&npz::read(&args.record)?)?;
        return print_json(&manifest).map(|()| 0);
    }
    let options = if args.strict { ReadOptions::strict() } else { ReadOptions::lenient() };
    let summary = record::read(&args.record, &options)?.summary();
    if args.json {
        print_json(&summary)?;
    } else {
        print_line(&table(&summary))?;
    }
    summary.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(0)
}

/// The summary for people.
fn table(summary: &RecordSummary) -> String {
    let mut lines = vec![format!("record {}: {} points at {} Hz", summary.record, summary.sig_len, summary.fs_hz)];
    lines.push(format!(
        "{:12} {:>6} {:>10} {:>10} {:>10} {:>8}  quality",
        "lead", "unit", "gain", "min mV", "max mV", "missing"
    ));
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    for lead in &summary.leads {
        lines.push(format!(
            "{:12} {:>6} {:>10} {:>10} {:>10} {:>8}  {}",
            lead.name,
            lead.units,
            number(lead.gain_adu_per_mv),
            number(lead.min_mv),
            number(lead.max_mv),
            lead.n_missing,
            lead.quality
        ));
    }
    for (annotator, marks) in &summary.annotations {
        let symbols: Vec<String> = marks.by_symbol.iter().map(|(symbol, n)| format!("{symbol} {n}")).collect();
        lines.push(format!(
            "annotations {annotator}: {}, of which beats {} ({})",
            marks.total,
            marks.beats,
            symbols.join(", ")
        ));
    }
    lines.extend(summary.comments.iter().map(|comment| format!("# {comment}")));
    lines.join("\n")
}
