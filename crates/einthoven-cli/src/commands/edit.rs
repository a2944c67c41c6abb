//! `einthoven edit REC --strength S --model RUN --out REC2`: noise of a chosen level, removed under other conditions.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::experiment::{self, Drawing, EditRequest};
use einthoven::run::{Progress, Stop};

use super::conditions::Conditions;
use super::on_record::RecordArgs;
use super::{print_json, print_line};
use crate::progress::Printer;

/// Change a record by a trained generator: it is noised to a strength and denoised under other conditions
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RecordArgs,
    /// From 0, which gives the record back, to 1, of which next to nothing is left; below 0.7 the beats stay where they
    /// are, and a rate that is asked for (--hr) is not met
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    strength: f64,
    #[command(flatten)]
    conditions: Conditions,
    /// Sampler by name [default: the model's own, as the next two]
    #[arg(long)]
    sampler: Option<String>,
    /// Sampler steps of the whole way, of which the strength takes its share
    #[arg(long)]
    steps: Option<usize>,
    /// Guidance weight; 1 follows the label without exaggeration
    #[arg(long)]
    guidance: Option<f64>,
    /// Seed of the noise
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Record to write, in the format of its extension, without one as WFDB; annotations are left out unless the strength is 0
    #[arg(long, value_name = "REC")]
    out: PathBuf,
    /// Print what was delivered of what was asked for as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let out = args.on.destination(&args.out)?;
    let on = args.on.writing(Some(&out));
    let wish = args.conditions.wish()?;
    let request = EditRequest {
        on,
        drawing: Drawing { sampler: args.sampler.as_deref(), steps: args.steps, seed: args.seed },
        guidance: args.guidance,
        strength: args.strength,
        wish: &wish,
    };
    let mut printer = Printer::new();
    let edited = experiment::edit(&request, &Stop::on_signals()?, &mut printer)?;
    if args.json {
        print_json(&edited)?;
        return Ok(0);
    }
    edited.lines().iter().for_each(|line| printer.tell(line));
    print_line(&out.display().to_string())?;
    Ok(0)
}
