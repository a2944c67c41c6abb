//! `einthoven predict MODEL DATA`: the predictions of a trained classifier.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::classifiers::beat_cnn::BeatCnn;
use einthoven::classifiers::{Classifier, predictions_csv};
use einthoven::dataset::npz;
use einthoven::experiment;
use einthoven::run::write_atomic;
use serde_json::json;

use super::{print_json, print_line, refuse_overwrite};

/// Predict the labels of a data set
#[derive(clap::Args)]
pub struct Args {
    /// Model file of a classifier, or its folder below checkpoint/ in a run
    model: PathBuf,
    /// Data set
    data: PathBuf,
    /// Table to write: record, patient, part, index, true label, prediction, probabilities
    #[arg(long, value_name = "X.csv", default_value = "predictions.csv")]
    out: PathBuf,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print what was written as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    refuse_overwrite(&args.out, args.force)?;
    let path = if args.model.is_dir() { args.model.join("model.safetensors") } else { args.model };
    let model = BeatCnn::load(&path, &experiment::device(&args.device)?)?;
    let data = npz::read(&args.data)?;
    let table = predictions_csv(&data, model.label_names(), &model.predict(&data)?)?;
    write_atomic(&args.out, table.as_bytes())?;
    match args.json {
        true => {
            print_json(&json!({ "predictions": args.out, "n_items": data.len(), "label_names": model.label_names() }))?
        }
        false => print_line(&args.out.display().to_string())?,
    }
    Ok(0)
}
