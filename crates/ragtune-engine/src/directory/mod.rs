//! Where files live: a folder on disk.

mod folder;

pub use folder::{Folder, write_file};
