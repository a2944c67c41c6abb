//! `einthoven train PRESET`: the networks of a preset, without the rest.

use einthoven::Result;
use einthoven::experiment;
use serde_json::json;

use super::launch::Launch;
use super::{print_json, print_line};
use crate::progress::Printer;

/// Train the generators, or the delineator, of a preset; run with the same folder goes on from there
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    launch: Launch,
    /// Generator by name, for presets that have several (see: einthoven list generators)
    #[arg(long, value_name = "NAME")]
    generator: Option<String>,
    /// Print the model files as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    args.launch.start(args.json, args.generator.as_deref(), |request, stop| {
        let models = experiment::train(request, stop, &mut Printer::new())?;
        match args.json {
            true => print_json(&json!({ "run": request.out, "models": models })),
            false => models.iter().try_for_each(|path| print_line(&path.display().to_string())),
        }
    })
}
