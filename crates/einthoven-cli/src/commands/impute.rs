//! `einthoven impute REC --missing V3,V4|--gap 2.0..3.5|--forecast 2 --out REC2`: what is missing, drawn to fit the
//! rest.

use std::path::PathBuf;

use einthoven::experiment::{self, Checked, Drawing, ImputeRequest, Prior};
use einthoven::record::lead_law::{TWELVE, standard_name};
use einthoven::run::Stop;
use einthoven::{Error, Result};

use super::on_record::RecordArgs;
use super::{print_json, print_line};
use crate::progress::Printer;

/// Fill missing leads and gaps of a record by a trained generator; limb leads follow from their laws first
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    on: RecordArgs,
    /// Leads to make anew, separated by commas, as in V3 or V1..V6; those of the twelve that the record lacks are added
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
    /// Draw this often and take the mean, which is nearer to what was there and smoother than a record
    #[arg(long, default_value_t = 1, value_name = "N")]
    draws: u64,
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
    /// Record to write, in the format of its extension, without one as WFDB
    #[arg(long, value_name = "REC", required_unless_present = "check")]
    out: Option<PathBuf>,
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
    let out = args.out.as_deref().map(|out| args.on.destination(out)).transpose()?;
    let on = args.on.writing(out.as_deref());
    let missing = leads(&args.missing)?;
    let request = ImputeRequest {
        on,
        drawing: Drawing { sampler: args.sampler.as_deref(), steps: args.steps, seed: args.seed },
        missing: &missing,
        gap_s: args.gap.as_deref().map(parse_gap).transpose()?,
        label: args.label.as_deref(),
        forecast_s: args.forecast,
        prior: match args.prior {
            PriorName::Noise => Prior::Noise,
            PriorName::Template => Prior::Template,
        },
        draws: args.draws,
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
    if let Some(out) = &out {
        print_line(&out.display().to_string())?;
    }
    Ok(0)
}

/// Leads by name, with `V1..V6` for all from one to the other in the standard order.
fn leads(asked: &[String]) -> Result<Vec<String>> {
    let place = |name: &str| TWELVE.iter().position(|lead| standard_name(name) == Some(*lead));
    let mut leads = Vec::new();
    for asked in asked {
        match asked.split_once("..") {
            None => leads.push(asked.trim().to_string()),
            Some((from, to)) => {
                let ends = place(from).zip(place(to)).filter(|(from, to)| from <= to);
                let (from, to) = ends.ok_or_else(|| {
                    Error::config("--missing", format!("found {asked:?}, expected leads in their order, as in V1..V6"))
                })?;
                leads.extend(TWELVE[from..=to].iter().map(|lead| (*lead).to_string()));
            }
        }
    }
    Ok(leads)
}

fn parse_gap(text: &str) -> Result<(f64, f64)> {
    let times = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    times.ok_or_else(|| Error::config("--gap", format!("found {text:?}, expected two times in s, as in 2.0..3.5")))
}
