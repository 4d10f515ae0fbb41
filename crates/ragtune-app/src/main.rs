//! `ragtune-app`: opens the window.

use std::path::PathBuf;
use std::process::ExitCode;

// Only for its feature, which brings emoji.
use ::egui as _;
use eframe::egui;
// Only for its feature, which looks for the system's fonts when the window opens.
use fontique as _;
use ragtune_app::{App, Settings};

/// Tensors of many sizes come and go with every step; the system's allocator returns their pages each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for bad usage.
const BAD_USAGE: u8 = 2;

/// Set by `cargo xtask screens --quick`, for a key that ends the working engine.
const CRASH_KEY: &str = "RAGTUNE_CRASH_KEY";

const HELP: &str = "ragtune in a window

Usage: ragtune-app [--project DIR]

Options:
  --project DIR  Open this project; a folder that is none yet becomes one
  --help         Print this
  --version      Print the version
";

enum Asked {
    Window { project: Option<PathBuf> },
    Text(String),
}

/// Reads the arguments.
fn asked(mut args: impl Iterator<Item = std::ffi::OsString>) -> Result<Asked, String> {
    let mut project = None;
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Asked::Text(HELP.to_owned())),
            Some("--version" | "-V") => {
                return Ok(Asked::Text(concat!("ragtune-app ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
            }
            Some("--project") => {
                let folder = args.next().ok_or("--project needs a folder")?;
                project = Some(PathBuf::from(folder));
            }
            _ => return Err(format!("unknown argument {}; see ragtune-app --help", arg.to_string_lossy())),
        }
    }
    Ok(Asked::Window { project })
}

fn main() -> ExitCode {
    let project = match asked(std::env::args_os().skip(1)) {
        Ok(Asked::Window { project }) => project,
        Ok(Asked::Text(text)) => {
            use std::io::Write;
            // Nobody may be listening.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    let viewport = egui::ViewportBuilder::default()
        .with_title("ragtune")
        .with_app_id("ragtune")
        .with_inner_size([1180.0, 800.0])
        .with_min_inner_size([480.0, 360.0])
        .with_drag_and_drop(true);
    let options = eframe::NativeOptions { viewport, renderer: eframe::Renderer::Wgpu, ..Default::default() };
    let create: eframe::AppCreator<'_> = Box::new(move |creation| {
        let mut settings = Settings::load(creation.storage);
        if settings.home.is_relative() {
            settings.home = home().join(&settings.home);
        }
        let mut app = App::new(&creation.egui_ctx, settings, project)?;
        if std::env::var_os(CRASH_KEY).is_some() {
            app.allow_crash_key();
        }
        Ok(Box::new(app))
    });
    match eframe::run_native("ragtune", options, create) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "error: the window cannot be opened: {error}. Without a screen use the command line: ragtune --help"
            );
            ExitCode::FAILURE
        }
    }
}

/// The user's folder.
fn home() -> PathBuf {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("HOME").or_else(|| named("USERPROFILE")).unwrap_or_default()
}
