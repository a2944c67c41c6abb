//! `einthoven denoise REC --out REC2`: what a trained generator expects behind the noise.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::experiment::{self, DenoiseRequest, Snr};
use einthoven::run::Stop;

use super::on_record::RecordArgs;
use super::{print_json, print_line};
use crate::progress::Printer;

/// Remove the noise of a record by a trained generator: baseline by a filter, the rest by its expectation at the measured
/// level of each lead
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RecordArgs,
    /// Label of the record, which the generator is told [default: none]
    #[arg(long)]
    label: Option<String>,
    /// Standard deviation of the noise of every lead, mV [default: measured on the record's beats, lead by lead]
    #[arg(long, value_name = "MV", allow_negative_numbers = true)]
    noise: Option<f64>,
    /// The same record without noise: prints the signal-to-noise ratio before, after a plain band-pass, and after
    #[arg(long, value_name = "REC")]
    reference: Option<PathBuf>,
    /// Record to write, in the format of its extension, without one as WFDB
    #[arg(long, value_name = "REC")]
    out: PathBuf,
    /// Print noise and ratios of each lead as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let out = args.on.destination(&args.out)?;
    let on = args.on.writing(Some(&out));
    let request =
        DenoiseRequest { on, label: args.label.as_deref(), noise_mv: args.noise, reference: args.reference.as_deref() };
    let denoised = experiment::denoise(&request, &Stop::on_signals()?, &mut Printer::new())?;
    if args.json {
        print_json(&denoised)?;
        return Ok(0);
    }
    for lead in &denoised.leads {
        let noise = lead.noise_mv.map_or("from other leads".into(), |sd| format!("noise {sd:.4} mV"));
        let above = lead.above_band_mv.map_or(String::new(), |sd| format!(", {sd:.4} mV above the band removed"));
        print_line(&format!(
            "{}: {noise}{above}{}",
            lead.lead,
            lead.snr.map_or(String::new(), |snr| format!("; {}", words(&snr)))
        ))?;
    }
    for lead in &denoised.untouched {
        print_line(&format!("{lead}: as it was, the generator does not make it"))?;
    }
    if let Some(snr) = &denoised.mean_snr {
        print_line(&format!("mean: {}", words(snr)))?;
    }
    print_line(&out.display().to_string())?;
    Ok(0)
}

fn words(snr: &Snr) -> String {
    format!("SNR {:.1} dB, band-pass {:.1} dB, denoised {:.1} dB", snr.before_db, snr.band_pass_db, snr.after_db)
}
