//! `einthoven impute REC --model RUN --missing V3,V4|--gap 2.0..3.5 --out REC2`: what is missing, drawn to fit the rest.

use std::path::PathBuf;

use einthoven::experiment::{self, ImputeRequest};
use einthoven::run::Stop;
use einthoven::{Error, Result};

use super::{print_json, print_line, refuse_overwrite};
use crate::progress::Printer;

/// Fill missing leads and gaps of a record by a trained generator; limb leads follow from their laws first
#[derive(clap::Args)]
pub struct Args {
    /// The record
    record: PathBuf,
    /// Run folder or model file of a generator of whole records
    #[arg(long, value_name = "RUN")]
    model: PathBuf,
    /// Leads to make anew, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "LEADS")]
    missing: Vec<String>,
    /// Seconds between which all leads are made anew, such as 2.0..3.5
    #[arg(long, value_name = "FROM..TO")]
    gap: Option<String>,
    /// Label of the record, which the generator is told [default: none]
    #[arg(long)]
    label: Option<String>,
    /// Sampler by name [default: the model's own, as the next one]
    #[arg(long)]
    sampler: Option<String>,
    /// Denoiser calls
    #[arg(long)]
    steps: Option<usize>,
    /// Seed of the draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Record to write, in the format of its extension
    #[arg(long, value_name = "REC")]
    out: PathBuf,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print the filled points of each lead as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    refuse_overwrite(&args.out, args.force)?;
    let request = ImputeRequest {
        record: &args.record,
        source: &args.model,
        missing: &args.missing,
        gap_s: args.gap.as_deref().map(parse_gap).transpose()?,
        label: args.label.as_deref(),
        sampler: args.sampler.as_deref(),
        steps: args.steps,
        seed: args.seed,
        device: &args.device,
        out: &args.out,
        overwrite: args.force,
    };
    let imputed = experiment::impute(&request, &Stop::on_signals()?, &mut Printer::new())?;
    if args.json {
        print_json(&imputed.summary())?;
        return Ok(0);
    }
    for (how, leads) in [("derived", &imputed.derived), ("drawn", &imputed.drawn)] {
        for (lead, points) in leads {
            print_line(&format!("{lead}: {points} points {how}"))?;
        }
    }
    print_line(&args.out.display().to_string())?;
    Ok(0)
}

fn parse_gap(text: &str) -> Result<(f64, f64)> {
    let times = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    times.ok_or_else(|| Error::config("--gap", format!("found {text:?}, expected two times in s, as in 2.0..3.5")))
}
