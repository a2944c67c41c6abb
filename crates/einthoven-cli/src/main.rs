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
    #[cfg(feature = "nn")]
    einthoven::nn::kernel::keep_freed_memory();
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(commands::print_usage(&error)),
    };
    let is_json = cli.is_json();
    std::panic::set_hook(Box::new(move |panic| commands::print_panic(&panic.to_string(), is_json)));
    match std::panic::catch_unwind(|| run(cli)) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(error)) => {
            commands::print_error(&error, is_json);
            ExitCode::from(error.exit_code())
        }
        Err(_) => ExitCode::from(commands::EXIT_PANIC),
    }
}

#[cfg(feature = "nn")]
fn run(cli: commands::Cli) -> einthoven::error::Result<u8> {
    einthoven::nn::kernel::on_worker(|| commands::dispatch(cli))
}

#[cfg(not(feature = "nn"))]
fn run(cli: commands::Cli) -> einthoven::error::Result<u8> {
    commands::dispatch(cli)
}
