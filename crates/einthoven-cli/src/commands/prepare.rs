//! `einthoven prepare`: from records to a guarded data set on disk.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::experiment::{self, PrepareRequest};
use serde_json::json;

use super::{print_json, print_line, refuse_overwrite};

/// Cut beats out of a database, split them by patient, check for leaks, and write data.npz and manifest.json
#[derive(clap::Args)]
pub struct Args {
    /// Preset, whose data section is used, or database (see: einthoven list presets, einthoven list datasets)
    name: String,
    /// Folder of the database
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Setting on top of the preset, such as data.highpass_hz=0; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Split by name (see: einthoven list splits)
    #[arg(long, default_value = "inter")]
    split: String,
    /// Label set by name (see: einthoven list labels) [default: that of the preset, or aami]
    #[arg(long)]
    labels: Option<String>,
    /// Cut-off of a high-pass over the whole record, Hz; 0 for none [default: that of the preset, or 0]
    #[arg(long, value_name = "HZ")]
    high_pass: Option<f64>,
    /// Seed of what has chance in it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to write into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print the manifest as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    refuse_overwrite(&args.out, args.force)?;
    let prepared = experiment::prepare(&PrepareRequest {
        name: &args.name,
        overrides: &args.settings,
        data: args.data.as_deref(),
        split: &args.split,
        labels: args.labels.as_deref(),
        high_pass_hz: args.high_pass,
        seed: args.seed,
        out: &args.out,
    })?;
    prepared.waivers.iter().for_each(|waiver| eprintln!("warning: rule {} is waived: {}", waiver.rule, waiver.reason));
    match args.json {
        true => print_json(
            &json!({ "data_set": prepared.npz, "manifest": prepared.manifest, "n_items": prepared.data.len() }),
        )?,
        false => print_line(&prepared.npz.display().to_string())?,
    }
    Ok(0)
}
