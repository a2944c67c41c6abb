//! `einthoven list KIND`: the lists that names come from.

use einthoven::Result;
use einthoven::experiment::PRESETS;
use serde_json::{Value, json};

use super::{print_json, print_line};

/// List generators, samplers, datasets, presets, metrics, formats, schedules, splits, classifiers or augmentations
#[derive(clap::Args)]
pub struct Args {
    /// What to list
    kind: Kind,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    Presets,
    Generators,
    Samplers,
}

pub fn execute(args: Args) -> Result<u8> {
    let entries = entries(args.kind);
    if args.json {
        print_json(&entries)?;
    } else {
        for entry in &entries {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_string();
            print_line(&format!("{:20} {}", text("name"), text("summary")))?;
        }
    }
    Ok(0)
}

fn entries(kind: Kind) -> Vec<Value> {
    let entry = |name: &str, summary: &str, reference: &str| json!({ "name": name, "summary": summary, "reference": reference });
    match kind {
        Kind::Presets => PRESETS.iter().map(|preset| entry(preset.name, preset.summary, "")).collect(),
        Kind::Generators => einthoven::generators::GENERATORS
            .iter()
            .map(|spec| entry(spec.name(), spec.summary(), spec.reference()))
            .collect(),
        Kind::Samplers => einthoven::diffusion::SAMPLERS
            .iter()
            .map(|sampler| entry(sampler.name(), sampler.summary(), sampler.reference()))
            .collect(),
    }
}
