//! `ragtune` on the command line: reads the arguments, gives the engine one command, draws its events.

mod args;
mod commands;
mod drive;
mod output;
mod progress;
mod table;

use std::path::PathBuf;
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
    let commands = match arguments.command {
        args::Sub::Gui(gui) => return window(gui.project),
        args::Sub::Replay(replay) => ragtune_engine::transcript::read(&replay.file).map_err(Into::into),
        _ => commands::command(arguments).map(|command| vec![command]),
    };
    let commands = match commands {
        Ok(commands) => commands,
        Err(error) => {
            output::error(&format!("{error:#}"));
            return ExitCode::from(BAD_INPUT);
        }
    };
    match drive::drive_all(commands, view) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Opens the window, which is a program of its own beside this one.
fn window(project: Option<PathBuf>) -> ExitCode {
    let beside = std::env::current_exe().ok().and_then(|me| Some(me.parent()?.join("ragtune-app")));
    let beside = beside.map(|path| path.with_extension(std::env::consts::EXE_EXTENSION)).filter(|path| path.is_file());
    let program = beside.unwrap_or_else(|| PathBuf::from("ragtune-app"));
    let mut command = std::process::Command::new(&program);
    if let Some(project) = project {
        command.arg("--project").arg(project);
    }
    match command.status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            let program = program.display();
            output::error(&format!("{program} cannot be started: {error}. Build it with `cargo build --release`"));
            ExitCode::FAILURE
        }
    }
}
