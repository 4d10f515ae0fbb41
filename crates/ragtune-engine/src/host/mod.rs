//! How the engine runs beside whoever drives it.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use native::{Session, breathe, memory_limit, peak_bytes, resident_bytes, variable};
#[cfg(target_family = "wasm")]
pub use web::*;
