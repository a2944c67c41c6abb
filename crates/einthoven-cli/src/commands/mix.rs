//! `einthoven mix REAL SYN`: enlarge the training part.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::dataset::mix::{self, Plan};
use einthoven::dataset::npz;
use serde_json::json;

use super::{print_json, print_line, refuse_overwrite};

/// Add synthetic items to the training part of a real data set
#[derive(clap::Args)]
pub struct Args {
    /// Real data set with its parts
    real: PathBuf,
    /// Synthetic data set
    synthetic: PathBuf,
    /// How many to add to each class (see: einthoven list plans)
    #[arg(long, default_value = "raise-minorities")]
    plan: String,
    /// Most items added to one class [default: no limit]
    #[arg(long)]
    cap: Option<usize>,
    /// Data set to write
    #[arg(long, value_name = "X.npz")]
    out: PathBuf,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print the counts as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    refuse_overwrite(&args.out, args.force)?;
    let plan = Plan::parse(&args.plan, args.cap.unwrap_or(usize::MAX))?;
    let mixed = mix::mix(&npz::read(&args.real)?, &npz::read(&args.synthetic)?, plan)?;
    npz::write(&args.out, &mixed)?;
    match args.json {
        true => print_json(&json!({ "data_set": args.out, "n_items": mixed.len(), "mix": mixed.provenance["mix"] }))?,
        false => print_line(&args.out.display().to_string())?,
    }
    Ok(0)
}
