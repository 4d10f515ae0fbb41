//! A monotonic clock.

use std::time::{Instant, SystemTime};

/// Seconds since it was started; never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts at 0 now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// What the clock on the wall says.
pub fn now() -> SystemTime {
    SystemTime::now()
}
