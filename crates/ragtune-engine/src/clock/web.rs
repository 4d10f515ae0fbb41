//! The browser's clocks.

use std::time::{Duration, SystemTime};

use js_sys::{Function, Reflect};
use wasm_bindgen::JsCast as _;

/// Seconds since it was started; never goes back.
#[derive(Debug, Clone, Copy)]
pub struct Clock(f64);

impl Clock {
    /// Starts at 0 now.
    pub fn start() -> Self {
        Self(milliseconds())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        (milliseconds() - self.0) / 1000.0
    }
}

/// `performance.now()`, which page and worker have both.
fn milliseconds() -> f64 {
    let read = || {
        let performance = Reflect::get(&js_sys::global(), &"performance".into()).ok()?;
        let now: Function = Reflect::get(&performance, &"now".into()).ok()?.dyn_into().ok()?;
        now.call0(&performance).ok()?.as_f64()
    };
    read().unwrap_or_else(js_sys::Date::now)
}

/// What the clock on the wall says.
pub fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(js_sys::Date::now() as u64)
}
