//! `einthoven impute REC --model RUN --missing V3,V4|--gap 2.0..3.5|--forecast 2 --out REC2`: what is missing, drawn to
//! fit the rest.

use std::path::PathBuf;

use einthoven::experiment::{self, Checked, Drawing, ImputeRequest, OnRecord, Prior};
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
    /// Seconds to add at the end of the record
    #[arg(long, value_name = "SECONDS")]
    forecast: Option<f64>,
    /// What the draw starts from: noise, or the record's own mean beat at the R peaks that its rhythm predicts
    #[arg(long, value_enum, default_value = "noise")]
    prior: PriorName,
    /// Compare what was recorded of the named leads or gap with what either prior and the mean beat alone make of it:
    /// root mean squared error and correlation of each lead; --out may be left out
    #[arg(long, conflicts_with = "forecast")]
    check: bool,
    /// Label of the record, which the generator is told [default: none]
    #[arg(long)]
    label: Option<String>,
    /// Sampler by name [default: the model's own, as the next one]
    #[arg(long)]
    sampler: Option<String>,
    /// Sampler steps
    #[arg(long)]
    steps: Option<usize>,
    /// Seed of the draw
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Patient of the record by the id of the training data, for the warning that the generator knows it [default: by the
    /// table beside the record or by its name]
    #[arg(long, value_name = "ID")]
    patient: Option<String>,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Record to write, in the format of its extension
    #[arg(long, value_name = "REC", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print the filled points of each lead as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PriorName {
    Noise,
    Template,
}

pub fn execute(args: Args) -> Result<u8> {
    if let Some(out) = &args.out {
        refuse_overwrite(out, args.force)?;
    }
    let request = ImputeRequest {
        on: OnRecord {
            record: &args.record,
            source: &args.model,
            patient: args.patient.as_deref(),
            device: &args.device,
            out: args.out.as_deref(),
            overwrite: args.force,
        },
        drawing: Drawing { sampler: args.sampler.as_deref(), steps: args.steps, seed: args.seed },
        missing: &args.missing,
        gap_s: args.gap.as_deref().map(parse_gap).transpose()?,
        label: args.label.as_deref(),
        forecast_s: args.forecast,
        prior: match args.prior {
            PriorName::Noise => Prior::Noise,
            PriorName::Template => Prior::Template,
        },
        check: args.check,
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
    for Checked { method, lead, points, rmse_mv, correlation } in &imputed.checked {
        let correlation = correlation.map_or("none".into(), |r| format!("{r:.3}"));
        print_line(&format!("{lead}: {method}, {points} points: RMSE {rmse_mv:.4} mV, correlation {correlation}"))?;
    }
    if let Some(out) = &args.out {
        print_line(&out.display().to_string())?;
    }
    Ok(0)
}

fn parse_gap(text: &str) -> Result<(f64, f64)> {
    let times = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    times.ok_or_else(|| Error::config("--gap", format!("found {text:?}, expected two times in s, as in 2.0..3.5")))
}
