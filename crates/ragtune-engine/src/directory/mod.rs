//! Where files live: a folder on disk.

mod native;

pub use native::{Folder, write_file};
