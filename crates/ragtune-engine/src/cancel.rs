//! How a running job is asked to pause, to go on and to stop.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const RUN: u8 = 0;
const PAUSE: u8 = 1;
const STOP: u8 = 2;

/// Asks a job to pause or to stop. Cheap to clone; all clones are the same flag. Whoever stopped stays stopped.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    /// Held while the state leaves `PAUSE`, so that no wait misses it.
    changing: Mutex<()>,
    changed: Condvar,
}

impl CancelFlag {
    /// Asks the job to stop at its next step, also while it is paused.
    pub fn set(&self) {
        let held = self.lock();
        self.0.state.store(STOP, Ordering::Release);
        drop(held);
        self.0.changed.notify_all();
    }

    /// Whether the job was asked to stop. Never waits; where one thread does everything, this is when others have their
    /// turn.
    pub fn is_set(&self) -> bool {
        crate::host::breathe();
        self.0.state.load(Ordering::Acquire) == STOP
    }

    /// Asks the job to wait at its next step.
    pub fn pause(&self) {
        let _ = self.0.state.compare_exchange(RUN, PAUSE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Lets a paused job go on.
    pub fn resume(&self) {
        let held = self.lock();
        let _ = self.0.state.compare_exchange(PAUSE, RUN, Ordering::AcqRel, Ordering::Acquire);
        drop(held);
        self.0.changed.notify_all();
    }

    /// Whether the job is to wait.
    pub fn is_paused(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == PAUSE
    }

    /// Waits, without computing, until the job may go on or is to stop.
    #[cfg(target_family = "wasm")]
    pub fn wait(&self) {
        while self.is_paused() && crate::host::rest() {}
    }

    /// Waits, without computing, until the job may go on or is to stop.
    #[cfg(not(target_family = "wasm"))]
    pub fn wait(&self) {
        let mut held = self.lock();
        while self.is_paused() {
            held = self.0.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that a panic could leave half done.
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_and_a_stop_is_for_good() {
        let flag = CancelFlag::default();
        flag.pause();
        assert!(flag.is_paused() && !flag.is_set());
        flag.resume();
        assert!(!flag.is_paused() && !flag.is_set());
        flag.wait();
        flag.pause();
        flag.set();
        assert!(flag.is_set() && !flag.is_paused());
        flag.wait();
        flag.pause();
        flag.resume();
        assert!(flag.is_set(), "neither a pause nor its end revives a stopped job");
    }

    #[test]
    fn whoever_waits_is_woken_by_either() {
        for end in [CancelFlag::resume, CancelFlag::set] {
            let flag = CancelFlag::default();
            flag.pause();
            let theirs = flag.clone();
            let waiting = std::thread::spawn(move || theirs.wait());
            end(&flag);
            waiting.join().unwrap();
        }
    }
}
