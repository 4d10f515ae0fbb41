//! Files as the platform has them: `std::fs`, or in a browser a disk of its own in the origin's private file system.
//!
//! Both have the same functions; only what the engine uses of `std::fs` is there.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod opfs;
#[cfg(any(test, target_family = "wasm"))]
mod tree;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use native::*;
#[cfg(target_family = "wasm")]
pub use opfs::{Usage, mount, prepare, usage, wipe};
#[cfg(target_family = "wasm")]
pub use web::*;
