//! A window on a desktop: files lie on the user's disk.

use std::path::{Path, PathBuf};

use eframe::egui;

use super::Told;

/// Whether projects lie in a browser's storage rather than on the user's disk.
pub const IN_BROWSER: bool = false;

/// Whether there is something at the path, as far as is known here.
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// Whether there is a folder at the path, as far as is known here.
pub fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// Whether there is a file at the path that a program of the user's can open.
pub fn can_show(path: &Path) -> bool {
    path.is_file()
}

/// Files that were dropped on the window.
pub fn dropped(ctx: &egui::Context) -> Vec<PathBuf> {
    ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect())
}

/// Hands the user what a job wrote: here it lies where the user wanted it.
pub fn deliver(_: &Path) {}

/// What was told beside jobs since the last call.
pub fn told() -> Vec<Told> {
    Vec::new()
}

/// Tells people who do not see the window what it shows; here the system's screen reader asks by itself.
pub fn announce(_: &str) {}

/// Asks how full the storage is.
pub fn ask_usage() {}

/// Removes all files.
pub fn wipe() {}

/// Removes one folder.
pub fn remove(_: &Path) {}

/// Fetches a model's files from an address into a folder.
pub fn fetch_model(_: &str, _: &Path) {}
