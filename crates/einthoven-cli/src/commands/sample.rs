//! `einthoven sample SOURCE -n N`: draw synthetic ECGs.

use std::path::PathBuf;

use einthoven::dataset::label::text;
use einthoven::dataset::npz;
use einthoven::dataset::wish::{Wish, held_out_labels};
use einthoven::experiment::{self, DrawRequest};
use einthoven::generators::extent::Extent;
use einthoven::run::{Progress, Stop};
use einthoven::{Error, Result};
use serde_json::json;

use super::conditions::Facts;
use super::{print_json, print_line, refuse_overwrite};
use crate::progress::Printer;

/// Draw synthetic items from a run, a model file or a generator
#[derive(clap::Args)]
pub struct Args {
    /// Generator by name (see: einthoven list generators), run folder, or model.safetensors; a run folder goes before a
    /// generator of its name, any other folder after it
    source: String,
    /// Number of items [default with --like: one for each]
    #[arg(short, long, required_unless_present = "like")]
    n: Option<u64>,
    /// Label of the items; AFIB+CRBBB is both at once, NORM:0.3+AFIB:0.7 lies between; several, repeated or apart by
    /// commas, are taken in turn [default: all in turn, or the generator's choice where anything else is asked for]
    #[arg(long = "label", value_delimiter = ',')]
    labels: Vec<String>,
    /// Real data set: an item for each of its held-out items (validation and test) that has labels, with these
    #[arg(long, value_name = "DATA.npz", conflicts_with_all = ["labels", "text"])]
    like: Option<PathBuf>,
    #[command(flatten)]
    facts: Facts,
    /// Label, numbers and sex in words, as in "atrial fibrillation with fast rate, female, 70 years"
    #[arg(long)]
    text: Option<String>,
    /// Draw each item anew until every requested number is measured within its tolerance: 5 bpm, PR 20 ms, QRS 15 ms,
    /// QTc 30 ms, axis 15 degrees
    #[arg(long)]
    exact: bool,
    /// Most draws of an item with --exact
    #[arg(long, default_value_t = 50, requires = "exact", value_name = "N")]
    tries: u64,
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
    /// Sampling rate, 100 to 1000 Hz; dipole simulates at it, others are resampled [default: the generator's own]
    #[arg(long, value_name = "HZ")]
    fs: Option<f64>,
    /// Length, from 2.5 s on. Shorter than the generator's own is cut; longer comes from dipole, and window by window
    /// from models that denoise the signal itself; single beats have one length [default: the generator's own]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// X.npz, X.parquet, or a folder for NPZ and WFDB records, which have their beats as .atr
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
    let mut printer = Printer::new();
    let reading = args.text.as_deref().map(text::read).transpose()?;
    let (mut wish, understood) = reading.map_or((Wish::default(), Vec::new()), |r| (r.wish, r.understood));
    for (said, meant) in &understood {
        printer.tell(&format!("{said}: {meant}"));
    }
    if !wish.labels.is_empty() && !args.labels.is_empty() {
        return Err(Error::config("label", "is asked for in --text and in --label, expected one of them"));
    }
    wish.labels.extend(args.labels);
    if let Some(like) = &args.like {
        wish.labels = held_out_labels(&npz::read(like)?)?;
    }
    args.facts.add_to(&mut wish)?;
    let request = DrawRequest {
        source: &args.source,
        model: args.model.as_deref(),
        // Without a number there is a set that items are like.
        n: args.n.unwrap_or(wish.labels.len() as u64),
        wish: &wish,
        exact_tries: args.exact.then_some(args.tries),
        first: args.first,
        extent: Extent { fs_hz: args.fs, seconds: args.seconds },
        sampler: args.sampler.as_deref(),
        steps: args.steps,
        guidance: args.guidance,
        batch: args.batch,
        seed: args.seed,
        device: &args.device,
        out: &args.out,
    };
    let drawn = experiment::sample(&request, &Stop::on_signals()?, &mut printer)?;
    if args.json {
        let mut summary = request.summary(&drawn);
        summary["understood"] = json!(understood);
        print_json(&summary)?;
        return Ok(0);
    }
    drawn.lines().iter().for_each(|line| printer.tell(line));
    print_line(&args.out.display().to_string())?;
    Ok(0)
}
