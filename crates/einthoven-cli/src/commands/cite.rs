//! `einthoven cite RUN`: what a result rests on.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::report::Report;

use super::report::report_path;
use super::{print_json, print_line};

/// Print the references of a result
#[derive(clap::Args)]
pub struct Args {
    /// report.json, or the run folder that holds it
    run: PathBuf,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let report = Report::read(report_path(&args.run))?;
    if args.json {
        print_json(&report.references)?;
    } else {
        report
            .references
            .iter()
            .try_for_each(|reference| print_line(&format!("{}: {}", reference.key, reference.text)))?;
    }
    Ok(0)
}
