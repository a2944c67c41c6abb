//! `einthoven run PRESET`: from data to report.

use einthoven::Result;
use einthoven::experiment;
use serde_json::json;

use super::launch::Launch;
use super::{print_json, print_line};
use crate::progress::Printer;

/// Run a preset: data, teacher, student, synthetic beats, classifiers, report
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    launch: Launch,
    /// Print the headline as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    args.launch.start(args.json, None, |request, stop| {
        let (report, page) = experiment::run(request, stop, &mut Printer::new())?;
        match args.json {
            true => print_json(&json!({ "report": page, "headline": report.headline })),
            false => print_line(&page.display().to_string()),
        }
    })
}
