//! The einthoven command: parse, dispatch, print the error, set the exit code.

mod commands;
mod progress;

use std::process::ExitCode;

use clap::Parser;
use peak_alloc::PeakAlloc;

/// Counts bytes, so that reports can state the peak memory of each generator.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    // A closed pipe (`einthoven list ... | head`) ends the command without a message.
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = !error.use_stderr();
            // Nothing sensible is left to do when even this message cannot be printed.
            let _ = error.print();
            return ExitCode::from(if is_help { 0 } else { 2 });
        }
    };
    let is_json = cli.is_json();
    match std::panic::catch_unwind(|| commands::dispatch(cli)) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(error)) => {
            commands::print_error(&error, is_json);
            ExitCode::from(error.exit_code())
        }
        Err(_) => {
            eprintln!("error: internal bug; please report it with the lines above and the command that you ran");
            ExitCode::from(70)
        }
    }
}
