//! Time for rates and durations.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use native::{Clock, now};
#[cfg(target_family = "wasm")]
pub use web::{Clock, now};
