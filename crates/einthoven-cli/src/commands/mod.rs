//! The verbs, one file each.

mod list;
mod run;

use clap::{Parser, Subcommand};
use einthoven::{Error, Result};
use serde_json::{Value, json};

/// Makes synthetic ECGs, mixes them with real ones, trains on them, and says with error bars whether they are any good.
#[derive(Parser)]
#[command(name = "einthoven", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    List(list::Args),
}

impl Cli {
    /// Whether results, and so errors, are to be JSON.
    pub fn is_json(&self) -> bool {
        match &self.command {
            Command::Run(args) => args.json,
            Command::List(args) => args.json,
        }
    }
}

/// Runs the verb and returns the exit code.
pub fn dispatch(cli: Cli) -> Result<u8> {
    match cli.command {
        Command::Run(args) => run::execute(args),
        Command::List(args) => list::execute(args),
    }
}

/// Prints an error as one line, or as JSON with its fields.
pub fn print_error(error: &Error, is_json: bool) {
    if !is_json {
        eprintln!("error: {error}");
        return;
    }
    let mut value = json!({ "error": error.to_string(), "exit_code": error.exit_code(), "code": error.code() });
    if let Error::Input(input) = error {
        value["path"] = json!(input.path);
        value["position"] = json!(input.position.to_string().trim_start_matches(':'));
        value["field"] = json!(input.field);
        value["found"] = json!(input.found);
        value["expected"] = json!(input.expected);
        value["hint"] = json!(input.hint);
    }
    eprintln!("{value}");
}

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
