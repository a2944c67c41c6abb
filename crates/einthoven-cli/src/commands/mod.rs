//! The verbs, one file each.

mod augment;
mod check;
mod cite;
mod conditions;
mod convert;
mod delineate;
mod denoise;
mod ec57;
mod edit;
mod evaluate;
mod export;
mod failure;
mod fetch;
mod import;
mod impute;
mod inspect;
mod launch;
mod list;
mod mix;
mod on_record;
mod plot;
mod predict;
mod prepare;
mod qrs;
mod report;
mod run;
mod sample;
mod simulate;
mod train;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use einthoven::{Error, Result};
use serde_json::Value;

/// Makes synthetic ECGs, mixes them with real ones, trains on them, and says with error bars whether they are any good.
#[derive(Parser)]
#[command(name = "einthoven", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Lists the verbs once: their module is their name.
macro_rules! commands {
    ($($verb:ident => $module:ident),* $(,)?) => {
        #[derive(Subcommand)]
        enum Command {
            $($verb($module::Args)),*
        }

        impl Cli {
            /// Whether results, and so errors, are to be JSON.
            pub fn is_json(&self) -> bool {
                match &self.command {
                    $(Command::$verb(args) => args.json),*
                }
            }
        }

        /// Runs the verb and returns the exit code.
        pub fn dispatch(cli: Cli) -> Result<u8> {
            match cli.command {
                $(Command::$verb(args) => $module::execute(args)),*
            }
        }
    };
}

commands! {
    Run => run,
    Inspect => inspect,
    Check => check,
    Plot => plot,
    Convert => convert,
    Delineate => delineate,
    Qrs => qrs,
    Ec57 => ec57,
    Fetch => fetch,
    Prepare => prepare,
    Train => train,
    Sample => sample,
    Import => import,
    Export => export,
    Impute => impute,
    Denoise => denoise,
    Edit => edit,
    Simulate => simulate,
    Mix => mix,
    Augment => augment,
    Predict => predict,
    Evaluate => evaluate,
    Report => report,
    List => list,
    Cite => cite,
}

pub use failure::{EXIT_PANIC, print_error, print_panic, print_usage};

/// Prints a result to stdout as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let value: Value = serde_json::to_value(value).map_err(|error| Error::data("result", error.to_string()))?;
    print_line(&format!("{value:#}"))
}

/// Prints a line to stdout; a reader that has closed its end is no error.
fn print_line(text: &str) -> Result<()> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("stdout", error)),
        _ => Ok(()),
    }
}

/// Whether a path names an NPZ data set; a record can be in such an archive too, and is read as one.
fn is_npz(path: &Path) -> bool {
    let is_archive = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"));
    is_archive && !einthoven::record::format::npz::is_record(path)
}

/// A record, or every record of a folder and the folders in it, each with its name below the folder.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read, [`Error::Data`] when it holds no record.
fn records_at(path: &Path) -> Result<Vec<(PathBuf, Option<String>)>> {
    if !path.is_dir() {
        return Ok(vec![(path.to_path_buf(), None)]);
    }
    let headers = einthoven::beat::ec57::headers(path)?;
    if headers.is_empty() {
        return Err(Error::data(path.display().to_string(), "found no record, expected .hea files"));
    }
    let name = |header: &Path| header.strip_prefix(path).unwrap_or(header).with_extension("").display().to_string();
    Ok(headers.into_iter().map(|header| (header.clone(), Some(name(&header)))).collect())
}

/// What was made of the records of a folder.
struct OfRecords<T> {
    done: Vec<T>,
    /// Name and error of each record that failed.
    failed: Vec<Value>,
    /// 0, or the exit code of the first failure.
    exit_code: u8,
}

/// Does `work` for a record, or for every record of a folder; of a folder, a record that fails is told and left out.
///
/// # Errors
/// As [`records_at`]; what `work` returns for a single record.
fn of_records<T>(path: &Path, is_json: bool, work: impl Fn(&Path, Option<&str>) -> Result<T>) -> Result<OfRecords<T>> {
    let mut all = OfRecords { done: Vec::new(), failed: Vec::new(), exit_code: 0 };
    for (record, name) in records_at(path)? {
        match (work(&record, name.as_deref()), name) {
            (Ok(result), _) => all.done.push(result),
            (Err(error), None) => return Err(error),
            (Err(error), Some(name)) => {
                print_error(&error, is_json);
                all.failed.push(serde_json::json!({ "record": name, "error": error.to_string() }));
                if all.exit_code == 0 {
                    all.exit_code = error.exit_code();
                }
            }
        }
    }
    Ok(all)
}

/// The error with the name of the option in place of the library's name for the same thing: `names` where they differ,
/// else the same words. For verbs all of whose settings are options.
fn name_option(error: Error, names: &[(&str, &str)]) -> Error {
    let Error::Config { key, .. } = &error else { return error };
    let same = format!("--{}", key.replace('_', "-"));
    let option = names.iter().find(|(name, _)| name == key).map_or(same, |(_, option)| (*option).to_string());
    error.renamed(option)
}

/// Refuses to replace a file, or to write into a folder that holds something, unless `force` is given.
fn refuse_overwrite(path: &Path, force: bool) -> Result<()> {
    let is_taken = match path.read_dir() {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    };
    if force || !is_taken {
        return Ok(());
    }
    let reason = format!("{} exists; choose another name, or add --force", path.display());
    Err(Error::Guard { code: "overwrite", reason })
}
