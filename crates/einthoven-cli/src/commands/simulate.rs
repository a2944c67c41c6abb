//! `einthoven simulate -n N --rhythm NAME --out DIR`: twelve-lead records with exact truth.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::simulate::dipole::condition::CONDITIONS;
use einthoven::simulate::dipole::noise::NoiseMix;
use einthoven::simulate::dipole::recorder::Electrode;
use einthoven::simulate::dipole::{Request, Sex, write};

use super::{name_option, print_json, print_line, refuse_overwrite};
use crate::progress::Printer;

/// Simulate twelve-lead ECGs as WFDB records, with beats, waves in each lead and truth.json
#[derive(clap::Args)]
#[command(after_help = conditions(), allow_negative_numbers = true)]
pub struct Args {
    /// Number of records
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    n: u64,
    /// Rhythm, conduction, shape or swapped electrodes; several are joined by +, as in af+rbbb
    #[arg(long, default_value = "sinus")]
    rhythm: String,
    /// Mean heart rate, bpm [default: drawn for each patient, as the next four]
    #[arg(long)]
    hr: Option<f64>,
    /// PR interval, ms
    #[arg(long)]
    pr: Option<f64>,
    /// QRS duration, ms
    #[arg(long)]
    qrs: Option<f64>,
    /// QTc after Fridericia, ms
    #[arg(long)]
    qtc: Option<f64>,
    /// Frontal axis, degrees
    #[arg(long)]
    axis: Option<f64>,
    /// Signal-to-noise ratio, dB [default: no noise]
    #[arg(long)]
    snr: Option<f64>,
    /// Kinds of noise, mixed at --snr: baseline, muscle, mains, motion, white [default: a mixture of all]
    #[arg(long, value_delimiter = ',', requires = "snr")]
    noise: Vec<String>,
    /// Sampling rate, Hz
    #[arg(long, default_value_t = 500.0)]
    fs: f64,
    /// Length, s
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Age, years [default: drawn]
    #[arg(long)]
    age: Option<f64>,
    /// female or male [default: drawn]
    #[arg(long, value_parser = ["female", "male"])]
    sex: Option<String>,
    /// Offset of each independent lead, mV
    #[arg(long, default_value_t = 0.0)]
    dc_offset: f64,
    /// Cut-off of the recorder's high-pass, Hz
    #[arg(long)]
    high_pass: Option<f64>,
    /// Cut-off of the recorder's low-pass, Hz
    #[arg(long)]
    low_pass: Option<f64>,
    /// Largest magnitude that the recorder can give, mV
    #[arg(long)]
    saturation: Option<f64>,
    /// Electrode that is off, and from when to when in s, as in V3,2,6
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "ELECTRODE,FROM,TO")]
    lead_off: Vec<String>,
    /// Seed; record i depends on the settings, the seed and i alone
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the records
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write into a folder that holds something
    #[arg(long)]
    force: bool,
    /// Print the truth as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let mut request = Request::new(&args.rhythm).map_err(|error| name_option(error, &[]))?;
    (request.hr_bpm, request.pr_ms, request.qrs_ms) = (args.hr, args.pr, args.qrs);
    (request.qtc_ms, request.axis_deg, request.snr_db) = (args.qtc, args.axis, args.snr);
    (request.fs_hz, request.seconds, request.age_years) = (args.fs, args.seconds, args.age);
    request.sex = args.sex.map(|sex| if sex == "female" { Sex::Female } else { Sex::Male });
    if !args.noise.is_empty() {
        request.noise = NoiseMix::only(&args.noise)?;
    }
    let recorder = &mut request.recorder;
    recorder.dc_offset_mv = args.dc_offset;
    (recorder.high_pass_hz, recorder.low_pass_hz) = (args.high_pass, args.low_pass);
    recorder.saturation_mv = args.saturation;
    recorder.lead_off = Electrode::parse_off(&args.lead_off).map_err(|error| name_option(error, &[]))?;
    request.validate().map_err(|error| name_option(error, &[]))?;
    refuse_overwrite(&args.out, args.force)?;
    let truth = write::write_records_with(&request, args.n, args.seed, &args.out, &mut Printer::late())
        .map_err(|error| name_option(error, &[]))?;
    match args.json {
        true => print_json(&truth)?,
        false => print_line(&args.out.display().to_string())?,
    }
    Ok(0)
}

/// The conditions, for the end of the help.
fn conditions() -> String {
    let lines = CONDITIONS.iter().map(|entry| format!("  {:22} {}", entry.name, entry.summary));
    std::iter::once("Rhythms and conditions:".to_string()).chain(lines).collect::<Vec<_>>().join("\n")
}
