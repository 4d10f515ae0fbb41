//! Where a window on a desktop and one in a browser tab differ.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use native::*;
#[cfg(target_family = "wasm")]
pub use web::*;

/// Something that is told beside jobs.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// An error.
    Error(String),
    /// A line that is replaced by the next one, or removed.
    Status(Option<String>),
    /// How full the browser's storage is: bytes of ragtune's files, bytes that the browser grants, whether it keeps them.
    Storage {
        /// Bytes of ragtune's files.
        files: u64,
        /// Bytes that the browser grants.
        quota: u64,
        /// Whether the browser keeps them until they are removed.
        kept: bool,
    },
    /// What computes, and whether a job hears while it works.
    Engine {
        /// In words.
        device: String,
        /// Whether jobs can be paused and searches go between.
        listens: bool,
    },
    /// All files are gone.
    Wiped,
}
