//! `einthoven check DIR`: what is wrong with a folder of records.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::dataset::check::{CheckReport, Problem, check_folder};

use super::{print_json, print_line};

/// Name every problem of a folder of records: units, leads, rates, copies, patients, labels
#[derive(clap::Args)]
pub struct Args {
    /// Folder of records, with the table of labels if there is one
    folder: PathBuf,
    /// Print all problems as JSON
    #[arg(long)]
    pub json: bool,
}

/// Exit code of a check that found an error.
const EXIT_FOUND: u8 = 1;

pub fn execute(args: Args) -> Result<u8> {
    let report = check_folder(&args.folder)?;
    match args.json {
        true => print_json(&report)?,
        false => print_line(&table(&report))?,
    }
    Ok(if report.n_errors > 0 { EXIT_FOUND } else { 0 })
}

/// The worst first; problems of one kind share a line with their count and the first of them.
fn table(report: &CheckReport) -> String {
    let mut kinds: Vec<(&Problem, usize)> = Vec::new();
    for problem in &report.problems {
        match kinds.iter_mut().find(|(first, _)| {
            first.record.is_some() == problem.record.is_some()
                && (first.record.is_some() || first.message == problem.message)
                && (first.severity, first.code) == (problem.severity, problem.code)
        }) {
            Some((_, n)) => *n += 1,
            None => kinds.push((problem, 1)),
        }
    }
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.0.severity));
    let mut lines = vec![format!(
        "{} records: {} errors, {} warnings{}",
        report.n_records,
        report.n_errors,
        report.n_warnings,
        if kinds.is_empty() { ", no problem found" } else { "; one line for each kind, with the first that was found" }
    )];
    for (problem, n) in kinds {
        let place = [problem.record.as_deref(), problem.lead.as_deref()].into_iter().flatten().collect::<Vec<_>>();
        let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(" ")) };
        lines.push(format!("{:8} {:18} {:>6}  {place}{}", problem.severity.name(), problem.code, n, problem.message));
    }
    lines.join("\n")
}
