//! `einthoven ec57 DIR --reference atr --test ANNOTATOR`: annotators compared beat by beat.

use std::path::PathBuf;

use einthoven::Result;
use einthoven::beat::ec57::{Comparison, FolderComparison, compare_folder};
use serde_json::json;

use super::{name_option, print_json, print_line};

/// Compare two annotators beat by beat over a folder of WFDB records, as EC57 asks and bxb counts
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// Folder of records, which may lie in folders of it
    dir: PathBuf,
    /// Annotator that is taken to be right
    #[arg(long, default_value = "atr")]
    reference: String,
    /// Annotator under test
    #[arg(long)]
    test: String,
    /// Folder with the files of the annotator under test, as `qrs --dir` writes them; beside the records by default
    #[arg(long)]
    test_dir: Option<PathBuf>,
    /// Seconds at the start of each record that do not count
    #[arg(long, default_value_t = einthoven::beat::ec57::LEARNING_S)]
    from: f64,
    /// Print as JSON: gross, average, every record and the confusion matrix
    #[arg(long)]
    pub json: bool,
}

pub fn execute(args: Args) -> Result<u8> {
    let what = FolderComparison {
        reference: args.reference,
        test: args.test,
        test_folder: args.test_dir,
        learning_s: args.from,
    };
    let result = compare_folder(&args.dir, &what).map_err(|error| name_option(error, &[("learning_s", "--from")]))?;
    result.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    match args.json {
        true => {
            let mut value = json!(result);
            value["reference"] = json!(what.reference);
            value["test"] = json!(what.test);
            value["learning_s"] = json!(what.learning_s);
            print_json(&value)?;
        }
        false => print_line(&table(&result))?,
    }
    Ok(0)
}

/// The figures for people, in percent.
fn table(result: &Comparison) -> String {
    let percent = |value: Option<f64>| value.map_or("-".into(), |value| format!("{:.2}", 100.0 * value));
    let width = result.records.iter().map(|record| record.record.chars().count()).max().unwrap_or(0).max(10);
    let row = |name: &str, of: &einthoven::beat::ec57::Figures| {
        let values = [
            of.qrs_sensitivity,
            of.qrs_positive_predictivity,
            of.v_sensitivity,
            of.v_positive_predictivity,
            of.s_sensitivity,
            of.s_positive_predictivity,
        ];
        let values: Vec<String> = values.into_iter().map(|value| format!("{:>7}", percent(value))).collect();
        format!("{name:width$} {}", values.join(" "))
    };
    let mut lines = vec![format!("{:width$}  QRS Se  QRS +P    V Se    V +P    S Se    S +P", "record")];
    lines.extend(result.records.iter().map(|record| row(&record.record, &record.figures)));
    lines.push(row("gross", &result.gross));
    lines.push(row("average", &result.average));
    lines.join("\n")
}
