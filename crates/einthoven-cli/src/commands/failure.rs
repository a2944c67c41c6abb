//! How failures are told: one line for people, one JSON object for scripts, on stderr.

use einthoven::Error;
use serde_json::{Value, json};

/// Exit code of a bug of ours.
pub const EXIT_PANIC: u8 = 70;
/// Exit code of a command line that cannot be understood.
const EXIT_USAGE: u8 = 2;

/// Prints an error as one line, or as JSON with its fields.
pub fn print_error(error: &Error, is_json: bool) {
    if !is_json {
        eprintln!("error: {error}");
        return;
    }
    let mut value = json!({ "error": error.to_string(), "exit_code": error.exit_code(), "code": error.code() });
    match error {
        Error::Input(input) => {
            value["path"] = json!(input.path);
            value["position"] = json!(input.position.to_string().trim_start_matches(':'));
            value["field"] = json!(input.field);
            value["found"] = json!(input.found);
            value["expected"] = json!(input.expected);
            value["hint"] = json!(input.hint);
        }
        Error::Io { path, .. } => value["path"] = json!(path),
        Error::Config { key, .. } => value["field"] = json!(key),
        Error::Unknown { name, known, .. } => {
            value["found"] = json!(name);
            value["expected"] = json!(known);
        }
        _ => {}
    }
    eprintln!("{value}");
}

/// Prints what the parser of the command line has to say, help included, and returns the exit code.
pub fn print_usage(error: &clap::Error) -> u8 {
    if error.use_stderr() && std::env::args().any(|word| word == "--json") {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        eprintln!("{}", json!({ "error": message, "exit_code": EXIT_USAGE, "code": Value::Null }));
    } else {
        // Nothing sensible is left to do when even this message cannot be printed.
        let _ = error.print();
    }
    if error.use_stderr() { EXIT_USAGE } else { 0 }
}

/// Prints how to report a bug of ours.
pub fn print_panic(panic: &str, is_json: bool) {
    let message = format!("internal bug, please report it with the command that you ran: {panic}");
    match is_json {
        true => eprintln!("{}", json!({ "error": message, "exit_code": EXIT_PANIC, "code": Value::Null })),
        false => eprintln!("error: {message}"),
    }
}
