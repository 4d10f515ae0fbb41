//! Waiting in the middle of WebAssembly.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Milliseconds that stand for: until someone wakes.
const UNTIL_WOKEN: i32 = -1;
const REST: i32 = 30;

// These are imported as they are, without the wrapper that wasm-bindgen would put around them: a wrapper's frame on the
// stack could not be held.
#[link(wasm_import_module = "./suspend.js")]
#[allow(unsafe_code)]
unsafe extern "C" {
    /// Holds this stack for some milliseconds or until it is woken.
    fn suspend(milliseconds: i32);
    /// Wakes whoever waits until woken, now or as soon as it does.
    fn wake();
}

thread_local! {
    static CAN_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether this stack can be held; it must be called as `WebAssembly.promising` for that.
pub(super) fn allow(can_wait: bool) {
    CAN_WAIT.set(can_wait);
}

/// Whether jobs here can wait for promises.
pub fn can_wait() -> bool {
    CAN_WAIT.get()
}

/// Lets the browser do what waits, about 0 ms.
pub(super) fn give_way() {
    if can_wait() {
        // SAFETY: the import holds the stack and touches no memory of ours.
        #[allow(unsafe_code)]
        unsafe {
            suspend(0);
        }
    }
}

/// Waits a little without computing; false where that is impossible.
pub fn rest() -> bool {
    if can_wait() {
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            suspend(REST);
        }
    }
    super::worker::others();
    can_wait()
}

struct Waking;

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        // SAFETY: it resolves a promise, at once or later; the stack that waits goes on in a turn of its own.
        #[allow(unsafe_code)]
        unsafe {
            wake();
        }
    }
}

/// The future's result. Where nobody can wait, a future that is not ready at once never will be: that is a panic, so
/// ask [`can_wait`] first.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Waking));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        assert!(can_wait(), "this browser cannot hold WebAssembly while a promise is open");
        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe {
            suspend(UNTIL_WOKEN);
        }
    }
}
