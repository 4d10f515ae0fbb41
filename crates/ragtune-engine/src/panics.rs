//! What a panic of a job would print is held back until it is known whether it is our bug or a lost device.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// What was held back on this thread; none while nothing is to be.
    static HELD: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// A panic, and what it would have printed.
pub(crate) struct Caught {
    pub(crate) panic: Box<dyn Any + Send>,
    pub(crate) printed: String,
}

/// Runs what may panic. Panics of other threads are printed as ever.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Caught> {
    // Where a panic is the end, nobody would print it later.
    if cfg!(panic = "unwind") {
        HOOK.call_once(hold);
        HELD.set(Some(String::new()));
    }
    let result = catch_unwind(AssertUnwindSafe(work));
    let printed = HELD.take().unwrap_or_default();
    result.map_err(|panic| Caught { panic, printed })
}

fn hold() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = || {
            let trace = Backtrace::capture();
            let trace = (trace.status() == BacktraceStatus::Captured).then(|| format!("\n{trace}"));
            format!("{info}{}", trace.unwrap_or_default())
        };
        let held = HELD.with_borrow_mut(|held| held.as_mut().map(|held| *held = text()));
        if held.is_none() {
            print(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_panic_says_comes_back() {
        let caught = caught(|| panic!("a wheel fell off")).expect_err("a panic");
        assert_eq!(caught.panic.downcast_ref::<&str>(), Some(&"a wheel fell off"));
        assert!(caught.printed.contains("a wheel fell off") && caught.printed.contains("panics.rs"));
        assert!(super::caught(|| 3).is_ok_and(|three| three == 3));
    }
}
