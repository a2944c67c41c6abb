//! `einthoven augment DIR|X.npz`: enlarge the training part by augmented copies.

use std::path::PathBuf;

use einthoven::dataset::augment::{augment_with, augmentation};
use einthoven::dataset::mix::Plan;
use einthoven::dataset::{npz, store};
use einthoven::{Result, Seed};
use serde_json::json;

use crate::progress::Printer;

use super::{is_npz, print_json, print_line, refuse_overwrite};

/// Add augmented copies of real items to the training part of a data set
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Prepared data set: its folder, or the NPZ file
    data: PathBuf,
    /// Augmentation; several are applied in turn (see: einthoven list augmentations). What blends items takes those of equal
    /// labels, and says what it leaves out
    #[arg(long = "method", value_name = "NAME", required = true)]
    methods: Vec<String>,
    /// How many to add to each class (see: einthoven list plans). An item with several labels counts for each of them and
    /// keeps them all; the rarest label is grown first, and what comes along may bring a label more than planned
    #[arg(long, default_value = "raise-minorities")]
    plan: String,
    /// Most copies made for the sake of one class [default: no limit]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    cap: Option<u64>,
    /// Seed of the random changes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to write the data set and its manifest into
    #[arg(long, value_name = "DIR2")]
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
    let file = if is_npz(&args.data) { args.data } else { args.data.join("data.npz") };
    let methods = args.methods.iter().map(|name| augmentation(name)).collect::<Result<Vec<_>>>()?;
    let plan = Plan::parse(&args.plan, args.cap.map_or(usize::MAX, |cap| cap as usize))?;
    let grown = augment_with(&npz::read(&file)?, plan, &methods, Seed::new(args.seed), &mut Printer::late())?;
    let stored = store(grown, &args.out)?;
    match args.json {
        true => print_json(&json!({
            "data_set": stored.npz,
            "n_items": stored.data.len(),
            "mix": stored.data.provenance["mix"],
        }))?,
        false => print_line(&stored.npz.display().to_string())?,
    }
    Ok(0)
}
