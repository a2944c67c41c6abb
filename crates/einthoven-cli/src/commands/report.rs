//! `einthoven report RESULT`: the pages of a result again, or of a training.

use std::path::{Path, PathBuf};

use einthoven::Result;
use einthoven::experiment::training_report;
use einthoven::report::Report;
use serde_json::json;

use super::{print_json, print_line};

/// Render a report.json as a page and as Markdown again; of a training, its losses
#[derive(clap::Args)]
pub struct Args {
    /// report.json, the run folder that holds it, or the run folder of a training
    result: PathBuf,
    /// Folder to write into [default: that of the result, or the folder training of the run]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the headline as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let path = report_path(&args.result);
    // The page of a training is made anew from its log each time, so it has a place of its own.
    let (report, own) = match args.result.is_dir() && !path.exists() {
        true => (training_report(&args.result)?, args.result.join("training")),
        false => (Report::read(&path)?, path.parent().map(Path::to_path_buf).unwrap_or_default()),
    };
    let folder = args.out.unwrap_or(own);
    let page = report.write(if folder.as_os_str().is_empty() { Path::new(".") } else { &folder })?;
    match args.json {
        true => print_json(&json!({ "report": page, "headline": report.headline }))?,
        false => print_line(&page.display().to_string())?,
    }
    Ok(0)
}

/// The `report.json` that a user means by naming it or its folder.
pub fn report_path(result: &Path) -> PathBuf {
    if result.is_dir() { result.join("report.json") } else { result.to_path_buf() }
}
