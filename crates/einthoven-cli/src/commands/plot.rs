//! `einthoven plot REC...`: records on ECG paper.

use std::path::{Path, PathBuf};

use einthoven::record::{self, ReadOptions};
use einthoven::report::sheet::{Band, Intervals, Landmarks, Layout, LimbOrder, SheetOptions, Sheets};
use einthoven::{Error, Result};
use serde_json::{Value, json};

use super::{name_option, print_json, print_line, refuse_overwrite};

/// Draw records on ECG paper as SVG, PDF or PNG, true to the millimetre when printed at full size
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Records; several become pages of a PDF
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// 3x4+1, 6x2, 12x1 or strip [default: 3x4+1 for twelve leads, else strip]
    #[arg(long)]
    layout: Option<String>,
    /// File to write: .svg, .pdf or .png
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Paper speed, mm/s: 12.5, 25, 50 or 100
    #[arg(long, default_value_t = 25.0)]
    speed: f64,
    /// Gain, mm/mV: 2.5, 5, 10 or 20
    #[arg(long, default_value_t = 10.0)]
    gain: f64,
    /// Limb leads in Cabrera's order, with -aVR; for a strip name the leads in the order wanted
    #[arg(long)]
    cabrera: bool,
    /// Lead of a strip, or rhythm lead of 3x4+1; may be repeated for a strip
    #[arg(long = "lead", value_name = "NAME")]
    leads: Vec<String>,
    /// Where the first sheet begins, seconds
    #[arg(long, default_value_t = 0.0)]
    start: f64,
    /// Sheets per record at most
    #[arg(long, default_value_t = 1)]
    pages: usize,
    /// Cut-off of a high-pass for display, Hz
    #[arg(long, value_name = "HZ")]
    high_pass: Option<f64>,
    /// Cut-off of a low-pass for display, Hz
    #[arg(long, value_name = "HZ")]
    low_pass: Option<f64>,
    /// Draw the landmarks or beats of this annotator; "leads" for annotators named after leads
    #[arg(long, value_name = "ANNOTATOR")]
    fiducials: Option<String>,
    /// JSON with "intervals" to print, as delineate gives them
    #[arg(long, value_name = "FILE")]
    intervals: Option<PathBuf>,
    /// Pixels per millimetre of a PNG
    #[arg(long, default_value_t = 6)]
    px_per_mm: u32,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print what was drawn as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options that the library calls otherwise.
const OPTIONS: [(&str, &str); 7] = [
    ("speed_mm_per_s", "--speed"),
    ("gain_mm_per_mv", "--gain"),
    ("limb_order", "--cabrera"),
    ("start_s", "--start"),
    ("max_pages", "--pages"),
    ("high_pass_hz", "--high-pass"),
    ("low_pass_hz", "--low-pass"),
];

pub fn execute(args: Args) -> Result<u8> {
    refuse_overwrite(&args.out, args.force)?;
    let options = SheetOptions {
        layout: args.layout.as_deref().map(Layout::parse).transpose()?,
        speed_mm_per_s: args.speed,
        gain_mm_per_mv: args.gain,
        limb_order: if args.cabrera { LimbOrder::Cabrera } else { LimbOrder::Standard },
        start_s: args.start,
        max_pages: args.pages,
        rhythm_leads: args.leads,
        band: Band { high_pass_hz: args.high_pass, low_pass_hz: args.low_pass },
        landmarks: match args.fiducials {
            None => Landmarks::None,
            Some(name) if name == "leads" => Landmarks::PerLead,
            Some(name) => Landmarks::Annotator(name),
        },
        intervals: args.intervals.as_deref().map(read_intervals).transpose()?,
    };
    let mut sheets = Sheets::default();
    for path in &args.records {
        let record = record::read(path, &ReadOptions::lenient())?;
        record.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        sheets.add(&record, &options).map_err(|error| name_option(error, &OPTIONS))?;
    }
    for sheet in sheets.summaries().iter().filter(|sheet| !sheet.cut_leads.is_empty()) {
        let leads = sheet.cut_leads.join(", ");
        eprintln!("warning: {}: cut at the edge of the paper: {leads}; a lower --gain shows them whole", sheet.record);
    }
    sheets.write(&args.out, args.px_per_mm).map_err(|error| name_option(error, &OPTIONS))?;
    match args.json {
        true => print_json(&json!({ "written": args.out, "sheets": sheets.summaries() }))?,
        false => print_line(&args.out.display().to_string())?,
    }
    Ok(0)
}

/// The measurements of a JSON file: its `intervals`, or the whole of it.
fn read_intervals(path: &Path) -> Result<Intervals> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    let broken = |error: serde_json::Error| Error::data(path.display().to_string(), error.to_string());
    let mut value: Value = serde_json::from_slice(&bytes).map_err(broken)?;
    let intervals = value.get_mut("intervals").map(Value::take).unwrap_or(value);
    let known = serde_json::to_value(Intervals::default()).map_err(broken)?;
    let names: Vec<&str> = known.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if !names.iter().any(|name| intervals.get(name).is_some()) {
        let reason = format!("found no measurement, expected one of {}", names.join(", "));
        return Err(Error::data(path.display().to_string(), reason));
    }
    serde_json::from_value(intervals).map_err(broken)
}
