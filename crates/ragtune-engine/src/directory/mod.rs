//! Where files live: a folder on disk.

mod folder;
#[cfg(not(target_family = "wasm"))]
#[path = "pickled/native.rs"]
mod pickled;
#[cfg(target_family = "wasm")]
#[path = "pickled/web.rs"]
mod pickled;

pub use folder::{Folder, write_file};
pub(crate) use pickled::READS_PICKLES;
pub use pickled::unpickled;
