//! `einthoven prepare`: from records to a guarded data set on disk.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::dataset::window::{Copies, LeadPolicy, RecordOptions, Windows};
use einthoven::experiment::{self, PrepareRequest};
use serde_json::json;

use super::{print_json, print_line, refuse_overwrite};

/// Cut beats or windows out of a database, split them by patient, check for leaks, and write data.npz and manifest.json
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Preset, whose data section is used, or database (see: einthoven list presets, einthoven list datasets)
    name: String,
    /// Folder of the database
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Setting on top of a preset, such as data.highpass_hz=0; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Split by name (see: einthoven list splits) [default: the usual one of the database, or inter]
    #[arg(long)]
    split: Option<String>,
    /// Label set by name (see: einthoven list labels) [default: that of the preset or database]
    #[arg(long)]
    labels: Option<String>,
    /// Cut-off of a high-pass over the whole record, Hz; 0 for none [default: that of the preset, or 0]
    #[arg(long, value_name = "HZ")]
    high_pass: Option<f64>,
    /// Length of an item in seconds, for whole records [default: that of the database]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Rate to bring whole records to, Hz; needed where they differ
    #[arg(long, value_name = "HZ")]
    fs: Option<f64>,
    /// Leads by name, apart by commas, for whole records; missing limb leads are derived from I and II
    #[arg(long, value_delimiter = ',', value_name = "LEADS")]
    leads: Vec<String>,
    /// Records by name, apart by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    records: Vec<String>,
    /// Only the first window of each record
    #[arg(long)]
    first_window: bool,
    /// Accept records in different voltage units
    #[arg(long)]
    convert_units: bool,
    /// Keep records with a flat, saturated or missing lead
    #[arg(long)]
    keep_unusable: bool,
    /// Least likelihood of a diagnostic statement of PTB-XL, percent
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    min_likelihood: f64,
    /// State that each record is another patient, where the database names none
    #[arg(long)]
    one_record_per_patient: bool,
    /// Leave out recordings that are stored twice [default: the rule of the database]
    #[arg(long, conflicts_with = "refuse_copies")]
    drop_copies: bool,
    /// Keep recordings that are stored twice, and refuse a split that two patients share one of
    #[arg(long)]
    refuse_copies: bool,
    /// Read heart rate, PR, QRS, QTc and axis on each item by the default delineator, for generators that are told them
    #[arg(long)]
    measure: bool,
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
    let whole = RecordOptions {
        seconds: args.seconds,
        windows: if args.first_window { Windows::First } else { Windows::All },
        fs_hz: args.fs,
        leads: (!args.leads.is_empty()).then_some(LeadPolicy::Named(args.leads)),
        convert_units: args.convert_units,
        keep_unusable: args.keep_unusable,
        min_likelihood: args.min_likelihood,
        one_record_per_patient: args.one_record_per_patient,
        copies: match (args.drop_copies, args.refuse_copies) {
            (true, _) => Some(Copies::Drop),
            (_, true) => Some(Copies::Refuse),
            _ => None,
        },
    };
    let prepared = experiment::prepare(&PrepareRequest {
        name: &args.name,
        overrides: &args.settings,
        data: args.data.as_deref(),
        split: args.split.as_deref(),
        labels: args.labels.as_deref(),
        high_pass_hz: args.high_pass,
        records: &args.records,
        whole,
        measure: args.measure,
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
