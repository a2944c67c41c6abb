//! `einthoven list KIND`: the lists that names come from.

use einthoven::Result;
use einthoven::classifiers::CLASSIFIERS;
use einthoven::dataset::augment::AUGMENTATIONS;
use einthoven::dataset::catalog::{DATABASES, Database};
use einthoven::dataset::label::LABEL_SETS;
use einthoven::dataset::mix::PLANS;
use einthoven::dataset::split::SCHEMES;
use einthoven::delineators::DELINEATORS;
use einthoven::diffusion::SAMPLERS;
use einthoven::diffusion::schedule::SCHEDULES;
use einthoven::experiment::{IMPORTS, all_presets};
use einthoven::generators::{GENERATORS, GeneratorSpec};
use einthoven::metrics::METRICS;
use einthoven::record::FORMATS;
use serde_json::{Value, json};

use super::{print_json, print_line};

/// List generators, samplers, datasets, presets, metrics, formats and whatever else is chosen by name
#[derive(clap::Args)]
pub struct Args {
    /// What to list
    kind: Kind,
    /// Print as JSON, with references
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    Generators,
    Samplers,
    Datasets,
    Presets,
    Metrics,
    Formats,
    Schedules,
    Splits,
    Classifiers,
    Delineators,
    Augmentations,
    Plans,
    Labels,
    Imports,
}

pub fn execute(args: Args) -> Result<u8> {
    let entries = entries(args.kind);
    if args.json {
        return print_json(&entries).map(|()| 0);
    }
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_string();
    let width = entries.iter().map(|entry| text(entry, "name").len()).max().unwrap_or(0);
    for entry in &entries {
        print_line(&format!("{:width$}  {}", text(entry, "name"), text(entry, "summary")))?;
    }
    Ok(0)
}

fn entries(kind: Kind) -> Vec<Value> {
    fn entry(name: &str, summary: &str, reference: &str) -> Value {
        json!({ "name": name, "summary": summary, "reference": reference })
    }
    fn database(d: &dyn Database) -> Value {
        json!({
            "name": d.name(), "summary": d.summary(), "reference": d.reference(), "license": d.license(),
            "version": d.version(), "item": d.item(), "labels": d.label_sets(), "usual_split": d.usual_split(),
            "layout": d.layout(), "url": d.url(), "is_open": !d.url().is_empty(),
            "waivers": d.waivers().iter().map(|(code, reason)| json!({ "code": code, "reason": reason })).collect::<Vec<_>>(),
        })
    }
    fn generator(g: &dyn GeneratorSpec) -> Value {
        json!({
            "name": g.name(), "summary": g.summary(), "reference": g.reference(), "conditions": g.conditions(),
            "parameters": g.default_config(), "n_weights": g.n_weights(),
        })
    }
    match kind {
        Kind::Generators => GENERATORS.iter().map(|g| generator(*g)).collect(),
        Kind::Samplers => SAMPLERS.iter().map(|s| entry(s.name(), s.summary(), s.reference())).collect(),
        Kind::Datasets => DATABASES.iter().map(|d| database(*d)).collect(),
        Kind::Presets => all_presets().map(|p| entry(p.name, p.summary, "")).collect(),
        Kind::Metrics => METRICS.iter().map(|m| entry(m.name, m.summary, m.reference)).collect(),
        Kind::Formats => FORMATS.iter().map(|f| entry(f.name, f.summary, "")).collect(),
        Kind::Schedules => SCHEDULES.iter().map(|s| entry(s.name(), s.summary(), s.reference())).collect(),
        Kind::Splits => SCHEMES.iter().map(|(name, summary)| entry(name, summary, "")).collect(),
        Kind::Classifiers => CLASSIFIERS.iter().map(|c| entry(c.name(), c.summary(), c.reference())).collect(),
        Kind::Delineators => DELINEATORS.iter().map(|d| entry(d.name(), d.summary(), d.reference())).collect(),
        Kind::Augmentations => AUGMENTATIONS.iter().map(|a| entry(a.name(), a.summary(), a.reference())).collect(),
        Kind::Plans => PLANS.iter().map(|(name, summary)| entry(name, summary, "")).collect(),
        Kind::Imports => IMPORTS.iter().map(|(name, summary)| entry(name, summary, "")).collect(),
        Kind::Labels => LABEL_SETS.iter().map(|l| entry(l.name, l.summary, "")).collect(),
    }
}
