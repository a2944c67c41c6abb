//! `einthoven evaluate REAL SYN`: judge any synthetic data set.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::dataset::npz;
use einthoven::experiment::{self, EvaluateRequest};
use serde_json::json;

use super::launch::command_line;
use super::{print_json, print_line};
use crate::progress::Printer;

/// Judge a synthetic data set against a real one: physiology of records, SNR, distances, copies
#[derive(clap::Args)]
pub struct Args {
    /// Real data set; its training part is what the generator learned from, the rest is held out
    real: PathBuf,
    /// Synthetic data set
    synthetic: PathBuf,
    /// What the generator learned from, if it is not the training part of REAL
    #[arg(long, value_name = "TRAIN.npz")]
    train: Option<PathBuf>,
    /// Margin within which two mean SNR count as equal
    #[arg(long, value_name = "DB", default_value_t = 1.0)]
    margin: f64,
    /// Seed of the exchange tests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for report.json, report.html and report.md
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// End with exit code 1 if a privacy check fails: copies, items nearer to training than to held-out patients, memorized
    /// items
    #[arg(long)]
    gate: bool,
    /// Print the headline as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let (real, synthetic) = (npz::read(&args.real)?, npz::read(&args.synthetic)?);
    let train = args.train.as_deref().map(npz::read).transpose()?;
    let request = EvaluateRequest {
        real: &real,
        synthetic: &synthetic,
        train: train.as_ref(),
        snr_margin_db: args.margin,
        seed: args.seed,
        command: command_line(),
    };
    let (report, failed) = experiment::evaluate(&request, &mut Printer::new())?;
    let page = report.write(&args.out)?;
    match args.json {
        true => print_json(&json!({ "report": page, "headline": report.headline, "failed": failed }))?,
        false => print_line(&page.display().to_string())?,
    }
    failed.iter().for_each(|check| eprintln!("failed: {check}"));
    Ok(u8::from(args.gate && !failed.is_empty()))
}
