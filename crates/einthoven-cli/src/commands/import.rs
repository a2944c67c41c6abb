//! `einthoven import CKPT --as NAME --out RUN`: a published checkpoint as a run.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::experiment::{self, ImportRequest};
use serde_json::json;

use super::{print_json, print_line, refuse_overwrite};

/// Read a published checkpoint (safetensors, or a PyTorch zip whose pickle is read and never run)
#[derive(clap::Args)]
pub struct Args {
    /// The checkpoint
    #[arg(value_name = "CKPT")]
    checkpoint: PathBuf,
    /// What it is: sssd-ecg, diffwave, unet1d, diffusion-ts, timevqvae, pulse2pulse, cond-pulse2pulse, wavegan-star or
    /// cond-wavegan-star; or a classifier of the PTB-XL benchmark, which can be exported: xresnet1d101 and its other
    /// depths, resnet1d_wang, inception1d or fcn_wang (all in `einthoven list imports`)
    #[arg(long = "as", value_name = "NAME")]
    generator: String,
    /// Entry that holds the state dict, where the checkpoint holds several
    #[arg(long, value_name = "KEY")]
    entry: Option<String>,
    /// JSON file of the original's constructor arguments, for timevqvae {"stage1": .., "stage2": ..}, for
    /// unet1d with those of its GaussianDiffusion1D as "diffusion" [default: read off
    /// the arrays]
    #[arg(long, value_name = "FILE")]
    arguments: Option<PathBuf>,
    /// Leads in the network's order, separated by commas [default: those of the publication]
    #[arg(long, value_delimiter = ',')]
    leads: Vec<String>,
    /// Sampling rate, Hz [default: that of the publication]
    #[arg(long, value_name = "HZ")]
    fs: Option<f64>,
    /// Points in time to draw or to classify, for timevqvae those of its training [default: those of the publication]
    #[arg(long, value_name = "POINTS")]
    points: Option<usize>,
    /// Label names in the network's order, separated by commas [default: those of the publication]
    #[arg(long, value_delimiter = ',')]
    labels: Vec<String>,
    /// Run folder
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Print the model file as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    refuse_overwrite(&args.out, false)?;
    let model = experiment::import(&ImportRequest {
        checkpoint: &args.checkpoint,
        generator: &args.generator,
        entry: args.entry.as_deref(),
        arguments: args.arguments.as_deref(),
        leads: &args.leads,
        fs_hz: args.fs,
        sig_len: args.points,
        labels: &args.labels,
        out: &args.out,
    })?;
    match args.json {
        true => print_json(&json!({ "run": args.out, "model": model }))?,
        false => print_line(&model.display().to_string())?,
    }
    Ok(0)
}
