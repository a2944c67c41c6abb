//! `einthoven run PRESET`: from data to report.

use einthoven::Result;
use einthoven::experiment::{self, MemoryProbe};
use serde_json::json;

use super::launch::Launch;
use super::{print_json, print_line};
use crate::MEMORY;
use crate::progress::Printer;

/// Run a preset: data, teacher, student, synthetic beats, classifiers, report
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    launch: Launch,
    /// Print the headline as JSON
    #[arg(long)]
    pub json: bool,
}

struct Probe;

impl MemoryProbe for Probe {
    fn current(&self) -> usize {
        MEMORY.current_usage()
    }
    fn peak(&self) -> usize {
        MEMORY.peak_usage()
    }
    fn reset_peak(&self) {
        MEMORY.reset_peak_usage();
    }
}

pub fn execute(args: Args) -> Result<u8> {
    args.launch.start(args.json, |request, stop| {
        let (report, page) = experiment::run(request, stop, &mut Printer::new(), Some(&Probe))?;
        match args.json {
            true => print_json(&json!({ "report": page, "headline": report.headline })),
            false => print_line(&page.display().to_string()),
        }
    })
}
