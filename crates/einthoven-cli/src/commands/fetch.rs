//! `einthoven fetch NAME`: download an open database.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::dataset::fetch;
use einthoven::run::Progress;
use serde_json::json;

use super::{print_json, print_line};
use crate::progress::Printer;

/// Download an open database; the same command again goes on where it stopped
#[derive(clap::Args)]
pub struct Args {
    /// Database by name (see: einthoven list datasets)
    name: String,
    /// Folder to fill
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Address of a mirror instead of the published one
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Only files whose path begins so, such as records100/; may be repeated
    #[arg(long, value_name = "PREFIX")]
    only: Vec<String>,
    /// Print the counts as JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let mut printer = Printer::new();
    let stage = format!("fetch {} (KiB)", args.name);
    let fetched = fetch::fetch_part(&args.name, &args.out, args.base_url.as_deref(), &args.only, &mut |at| {
        printer.update(&stage, at.n_bytes_done / 1024, at.n_bytes / 1024, at.file);
    })?;
    match args.json {
        true => print_json(&json!({ "database": args.name, "folder": args.out, "fetched": fetched }))?,
        false => print_line(&args.out.display().to_string())?,
    }
    eprintln!("{} files fetched, {} were there", fetched.n_fetched, fetched.n_present);
    Ok(0)
}
