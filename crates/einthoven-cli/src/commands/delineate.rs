//! `einthoven delineate REC|DIR`: waves and intervals.

use std::path::PathBuf;

use einthoven::delineators::record::{RecordDelineation, delineate_record};
use einthoven::record::{self, Annotators, Frames, ReadOptions};
use einthoven::{Result, delineators};

use super::{of_records, print_json, print_line};

/// Find onset, peak and end of P, QRS and T in every lead, and measure the intervals
#[derive(clap::Args)]
pub struct Args {
    /// Record, or folder of WFDB records, which may lie in folders of it; a broken one is told and left out
    record: PathBuf,
    /// How (see: einthoven list delineators)
    #[arg(long, default_value = "wavelet")]
    delineator: String,
    /// Weights of the delineator from a file that train left, in place of those that come with the command
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Print as JSON: positions in points of the record's own rate, absent values null
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let method = delineators::find(&args.delineator)?;
    let delineator = match &args.weights {
        Some(weights) => method.load(weights)?,
        None => method.build()?,
    };
    let options = ReadOptions { annotators: Annotators::None, frames: Frames::Average, ..ReadOptions::lenient() };
    let all = of_records(&args.record, args.json, |path, name| {
        let mut result = delineate_record(&record::read(path, &options)?, delineator.as_ref())?;
        result.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        if let Some(name) = name {
            result.record = name.into();
        }
        Ok(result)
    })?;
    match (args.json, all.done.as_slice()) {
        (true, [result]) if !args.record.is_dir() => print_json(result)?,
        (true, results) => print_json(&serde_json::json!({ "records": results, "failed": all.failed }))?,
        (false, results) => results.iter().try_for_each(|result| print_line(&table(result)))?,
    }
    Ok(all.exit_code)
}

/// The intervals for people.
fn table(result: &RecordDelineation) -> String {
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.0}"));
    let row = |name: &str, n_waves: usize, of: &einthoven::beat::interval::Intervals| {
        let values = [of.hr_bpm, of.p_ms, of.pr_ms, of.qrs_ms, of.qt_ms, of.qtc_fridericia_ms, of.axis_deg];
        let values: Vec<String> = values.into_iter().map(|value| format!("{:>6}", number(value))).collect();
        format!("{name:12} {n_waves:>6} {}", values.join(" "))
    };
    let mut lines = vec![format!("record {} at {} Hz; ms, QTc after Fridericia", result.record, result.fs_hz)];
    lines.push(format!("{:12} {:>6} {}", "lead", "waves", "   bpm      P     PR    QRS     QT    QTc   axis"));
    lines.push(row("across", result.fiducials.len(), &result.intervals));
    lines.extend(result.leads.iter().map(|lead| row(&lead.lead, lead.fiducials.len(), &lead.intervals)));
    lines.extend(result.notes.iter().map(|note| format!("note: {note}")));
    lines.extend(result.left_out.iter().map(|lead| format!("{:12} left out: {}", lead.lead, lead.reason)));
    lines.join("\n")
}
