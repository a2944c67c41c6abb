//! `einthoven report RESULT`: the pages of a result again.

use std::path::{Path, PathBuf};

use einthoven::Result;
use einthoven::report::Report;
use serde_json::json;

use super::{print_json, print_line};

/// Render a report.json as a page and as Markdown again
#[derive(clap::Args)]
pub struct Args {
    /// report.json, or the run folder that holds it
    result: PathBuf,
    /// Folder to write into [default: that of the result]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the headline as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let path = report_path(&args.result);
    let report = Report::read(&path)?;
    let folder = match (&args.out, path.parent()) {
        (Some(out), _) => out.as_path(),
        (None, Some(parent)) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let page = report.write(folder)?;
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
