//! `einthoven convert REC OUT`: another format, by extension.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::dataset::{npz, plus};
use einthoven::record::{self, ReadOptions, WriteOptions};
use serde_json::json;

use super::{is_npz, print_json, print_line, refuse_overwrite};

/// Write a record in another format, or a synthetic data set (.npz) as WFDB records in a folder
#[derive(clap::Args)]
pub struct Args {
    /// Record or data set to read
    record: PathBuf,
    /// What to write; its extension chooses the format (see: einthoven list formats)
    out: PathBuf,
    /// Refuse every deviation from the format instead of noting it
    #[arg(long)]
    strict: bool,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print what was written as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let options = WriteOptions { overwrite: args.force, ..WriteOptions::default() };
    let (written, warnings) = if is_npz(&args.record) {
        refuse_overwrite(&args.out, args.force)?;
        (plus::write_plus(&args.out, &npz::read(&args.record)?, &options)?, Vec::new())
    } else {
        let reading = if args.strict { ReadOptions::strict() } else { ReadOptions::lenient() };
        let record = record::read(&args.record, &reading)?;
        let changes = record::write(&record, &args.out, &options)?;
        (vec![args.out], record.warnings.into_iter().chain(changes).collect())
    };
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    if args.json {
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        print_json(&json!({ "written": written, "warnings": warnings }))?;
    } else {
        written.iter().try_for_each(|path| print_line(&path.display().to_string()))?;
    }
    Ok(0)
}
