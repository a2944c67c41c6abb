//! `einthoven export RUN|MODEL|NAME --onnx X.onnx`: a trained model for other programs.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::experiment::{self, ExportRequest};
use einthoven::run::StoredType;
use serde_json::json;

use super::{print_json, print_line, refuse_overwrite};
use crate::progress::Printer;

/// Write a trained model as ONNX (opset 17: one step of a sampler, or the whole of a generator from noise) or safetensors
#[derive(clap::Args)]
pub struct Args {
    /// Run folder, model file, or `beats` or `ecg12`, which come along
    #[arg(value_name = "RUN|MODEL|NAME")]
    source: PathBuf,
    /// Model of a run by its role, such as teacher [default: as for sample]
    #[arg(long, value_name = "ROLE")]
    model: Option<String>,
    /// ONNX file to write; a model of latents also writes X.decoder.onnx, TimeVQVAE also that and X.high.onnx, the prior of
    /// the high band
    #[arg(long, value_name = "X.onnx")]
    onnx: Option<PathBuf>,
    /// Safetensors file to write, with the model card in its metadata
    #[arg(long, value_name = "X.safetensors")]
    safetensors: Option<PathBuf>,
    /// Store the values of the safetensors file in 16 bits
    #[arg(long, requires = "safetensors")]
    f16: bool,
    /// Replace what exists
    #[arg(long)]
    force: bool,
    /// Print the files as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    for out in [&args.onnx, &args.safetensors].into_iter().flatten() {
        refuse_overwrite(out, args.force)?;
    }
    let request = ExportRequest {
        source: &args.source,
        model: args.model.as_deref(),
        onnx: args.onnx.as_deref(),
        safetensors: args.safetensors.as_deref(),
        stored: if args.f16 { StoredType::F16 } else { StoredType::F32 },
    };
    let written = experiment::export(&request, &mut Printer::new())?;
    match args.json {
        true => print_json(&json!({ "files": written }))?,
        false => written.iter().try_for_each(|file| print_line(&file.display().to_string()))?,
    }
    Ok(0)
}
