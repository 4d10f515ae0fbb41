//! `ragtune` on the command line: reads the arguments, gives the engine one command, draws its events.

mod args;
mod commands;
mod drive;
mod output;
mod progress;
mod table;

use std::process::ExitCode;

use clap::Parser;

/// Tensors of many sizes come and go with every step; the system's allocator returns their pages each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for bad usage or input.
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    // Bad usage ends here with exit code 2, `--help` and `--version` with 0.
    let arguments = args::Arguments::parse();
    let view = drive::View { json: arguments.json, quiet: arguments.quiet };
    let command = match commands::command(arguments) {
        Ok(command) => command,
        Err(error) => {
            output::error(&format!("{error:#}"));
            return ExitCode::from(BAD_INPUT);
        }
    };
    match drive::drive(command, view) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
