//! `einthoven denoise REC --model RUN --out REC2`: what a trained generator expects behind the noise.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::experiment::{self, DenoiseRequest, OnRecord, Snr};
use einthoven::run::Stop;

use super::{print_json, print_line, refuse_overwrite};
use crate::progress::Printer;

/// Remove the noise of a record by a trained generator: baseline by a filter, the rest by its expectation at the measured
/// level of each lead
#[derive(clap::Args)]
pub struct Args {
    /// The record
    record: PathBuf,
    /// Run folder or model file of a diffusion generator of whole records
    #[arg(long, value_name = "RUN")]
    model: PathBuf,
    /// Label of the record, which the generator is told [default: none]
    #[arg(long)]
    label: Option<String>,
    /// Standard deviation of the noise of every lead, mV [default: measured on the record's beats, lead by lead]
    #[arg(long, value_name = "MV", allow_negative_numbers = true)]
    noise: Option<f64>,
    /// The same record without noise: prints the signal-to-noise ratio before, after a plain band-pass, and after
    #[arg(long, value_name = "REC")]
    reference: Option<PathBuf>,
    /// Patient of the record by the id of the training data, for the warning that the generator knows it [default: by the
    /// table beside the record or by its name]
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Record to write, in the format of its extension
    #[arg(long, value_name = "REC")]
    out: PathBuf,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print noise and ratios of each lead as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    refuse_overwrite(&args.out, args.force)?;
    let request = DenoiseRequest {
        on: OnRecord {
            record: &args.record,
            source: &args.model,
            patient: args.patient.as_deref(),
            device: &args.device,
            out: Some(&args.out),
            overwrite: args.force,
        },
        label: args.label.as_deref(),
        noise_mv: args.noise,
        reference: args.reference.as_deref(),
    };
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
    print_line(&args.out.display().to_string())?;
    Ok(0)
}

fn words(snr: &Snr) -> String {
    format!("SNR {:.1} dB, band-pass {:.1} dB, denoised {:.1} dB", snr.before_db, snr.band_pass_db, snr.after_db)
}
