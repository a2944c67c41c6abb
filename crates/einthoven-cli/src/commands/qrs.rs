//! `einthoven qrs REC --out ANNOTATOR`: beats as a WFDB annotation file.

use std::path::{Path, PathBuf};

use einthoven::delineators::record::{DetectionLeads, NO_RHYTHM, detect_beats};
use einthoven::record::format::wfdb::write_annotations;
use einthoven::record::{self, Annotators, Frames, ReadOptions};
use einthoven::{Error, Result};
use serde_json::json;

use super::{of_records, print_json, print_line};

/// Detect beats and write them as a WFDB annotation file
#[derive(clap::Args)]
pub struct Args {
    /// Record, or folder of WFDB records, which may lie in folders of it; a broken one is told and left out
    record: PathBuf,
    /// Annotator: the extension of the file that is written
    #[arg(long)]
    out: String,
    /// Folder for the files, made if it is not there; beside the records by default
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
    let which = match args.lead.clone() {
        None => DetectionLeads::Default,
        Some(name) if name == "all" => DetectionLeads::All,
        Some(name) => DetectionLeads::Named(name),
    };
    let all = of_records(&args.record, args.json, |path, name| {
        let record = record::read(path, &options)?;
        record.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        let beats = detect_beats(&record, &which)?;
        let beside = path.parent().map(PathBuf::from).unwrap_or_default();
        // Records of one name in two folders stay apart.
        let below = name.and_then(|name| Path::new(name).parent()).map(PathBuf::from).unwrap_or_default();
        let folder = args.dir.as_ref().map_or(beside, |dir| dir.join(below));
        if args.dir.is_some() {
            std::fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
        }
        let file = write_annotations(&folder, &record.name, &args.out, &beats, args.force)?;
        if !args.json {
            let note = if beats.is_empty() { format!(" ({NO_RHYTHM})") } else { String::new() };
            print_line(&format!("{}: {} beats{note}", file.display(), beats.len()))?;
        }
        let warnings: Vec<String> = record.warnings.iter().map(ToString::to_string).collect();
        let record = name.unwrap_or(&record.name);
        let notes: Vec<&str> = beats.is_empty().then_some(NO_RHYTHM).into_iter().collect();
        Ok(json!({ "record": record, "written": file, "n_beats": beats.len(), "warnings": warnings, "notes": notes }))
    })?;
    if args.json {
        print_json(&json!({ "records": all.done, "failed": all.failed }))?;
    }
    Ok(all.exit_code)
}
