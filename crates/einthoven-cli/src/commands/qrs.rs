//! `einthoven qrs REC --out ANNOTATOR`: beats as a WFDB annotation file.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::beat::ec57::headers;
use einthoven::delineators::record::{DetectionLeads, detect_beats};
use einthoven::record::format::wfdb::write_annotations;
use einthoven::record::{self, Annotators, Frames, ReadOptions};
use serde_json::json;

use super::{print_json, print_line};

/// Detect beats and write them as a WFDB annotation file
#[derive(clap::Args)]
pub struct Args {
    /// Record, or folder of WFDB records
    record: PathBuf,
    /// Annotator: the extension of the file that is written
    #[arg(long)]
    out: String,
    /// Folder for the file; beside the record by default
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Lead to look at, or "all"; by default all of three leads or more, else the first
    #[arg(long)]
    lead: Option<String>,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
    /// Print what was written as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let options = ReadOptions { annotators: Annotators::None, frames: Frames::Average, ..ReadOptions::lenient() };
    let which = match args.lead {
        None => DetectionLeads::Default,
        Some(name) if name == "all" => DetectionLeads::All,
        Some(name) => DetectionLeads::Named(name),
    };
    let paths = if args.record.is_dir() { headers(&args.record)? } else { vec![args.record] };
    let mut written = Vec::with_capacity(paths.len());
    for path in paths {
        let record = record::read(&path, &options)?;
        let beats = detect_beats(&record, &which)?;
        let folder = args.dir.clone().or_else(|| path.parent().map(PathBuf::from)).unwrap_or_default();
        let file = write_annotations(&folder, &record.name, &args.out, &beats, args.force)?;
        written.push(json!({ "record": record.name, "written": file, "n_beats": beats.len() }));
        if !args.json {
            print_line(&format!("{}: {} beats", file.display(), beats.len()))?;
        }
    }
    if args.json {
        print_json(&json!({ "records": written }))?
    }
    Ok(0)
}
