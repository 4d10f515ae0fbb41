//! Time for rates and durations.

mod native;

pub use native::Clock;
