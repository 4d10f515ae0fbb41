//! How the engine runs beside whoever drives it.

mod native;

pub use native::{Session, resident_bytes};
