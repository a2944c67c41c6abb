//! `einthoven sample SOURCE -n N`: draw synthetic ECGs.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::experiment::{self, DrawRequest};
use einthoven::run::Stop;

use super::{print_json, print_line, refuse_overwrite};
use crate::progress::Printer;

/// Draw synthetic items from a run, a model file or a generator
#[derive(clap::Args)]
pub struct Args {
    /// Run folder, model.safetensors, or generator by name (see: einthoven list generators)
    source: String,
    /// Number of items
    #[arg(short, long)]
    n: u64,
    /// Label of the items; several, separated by commas, are taken in turn [default: all]
    #[arg(long = "labels", alias = "label", value_delimiter = ',')]
    labels: Vec<String>,
    /// Model of a run: teacher, student, control, few-step-04, consistency-01 ... [default: the few-step student that
    /// the run chose, else its lightest model]
    #[arg(long, visible_alias = "role")]
    model: Option<String>,
    /// Sampler by name (see: einthoven list samplers) [default: the model's own, as the next two]
    #[arg(long)]
    sampler: Option<String>,
    /// Sampler steps: a denoiser call each, two of heun and flow-heun, twice that with guidance; calls of the
    /// prior for codes
    #[arg(long)]
    steps: Option<usize>,
    /// Guidance weight; 1 follows the label without exaggeration
    #[arg(long)]
    guidance: Option<f64>,
    /// Seed of the draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Items computed at once; changes time and memory, never a value
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Index of the first item; item i depends on model, seed, i and label alone
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// X.npz, or a folder for NPZ and WFDB records
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print counts and paths as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    refuse_overwrite(&args.out, args.force)?;
    let request = DrawRequest {
        source: &args.source,
        model: args.model.as_deref(),
        n: args.n,
        labels: &args.labels,
        first: args.first,
        sampler: args.sampler.as_deref(),
        steps: args.steps,
        guidance: args.guidance,
        batch: args.batch,
        seed: args.seed,
        device: &args.device,
        out: &args.out,
    };
    let data = experiment::sample(&request, &Stop::on_signals()?, &mut Printer::new())?;
    match args.json {
        true => print_json(&request.summary(&data))?,
        false => print_line(&args.out.display().to_string())?,
    }
    Ok(0)
}
