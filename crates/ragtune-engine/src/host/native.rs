//! The engine in a thread of its own.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::event::EventKind;
use crate::{CancelFlag, Command, Event, JobId, Shelf, run, transcript};

/// Name of the thread that owns every tensor.
const THREAD: &str = "ragtune-engine";
/// Deep graphs are walked recursively.
const STACK: usize = 32 << 20;

type Running = Arc<Mutex<HashMap<JobId, CancelFlag>>>;

/// A job on its way to the thread.
struct Order {
    job: JobId,
    command: Command,
    cancel: CancelFlag,
    transcript: Option<PathBuf>,
}

/// A running engine: takes commands, gives events; jobs run one after another in the order in which they came.
pub struct Session {
    commands: Option<Sender<Order>>,
    events: Receiver<Event>,
    running: Running,
    next: u64,
    transcript: Option<PathBuf>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Starts the engine's thread.
    pub fn spawn() -> io::Result<Self> {
        Self::spawn_waking(|| {})
    }

    /// Starts the engine's thread; `wake` is called there after every event, for someone who sleeps until there is one.
    pub fn spawn_waking(wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (commands, inbox) = mpsc::channel::<Order>();
        let (outbox, events) = mpsc::channel();
        let running: Running = Arc::default();
        let theirs = running.clone();
        let work = move || {
            let mut shelf = Shelf::default();
            for Order { job, command, cancel, transcript } in inbox {
                if let Some(path) = transcript
                    && let Err(error) = transcript::append(&path, &command)
                {
                    let text = format!("{}: this command is not on record: {error}", path.display());
                    drop(outbox.send(Event { job, kind: EventKind::Warning(text) }));
                }
                let mut tell = |event| {
                    // Nobody listening any more is no reason to stop: the job may write files.
                    drop(outbox.send(event));
                    wake();
                };
                run(job, &command, &mut tell, &cancel, &mut shelf);
                lock(&theirs).remove(&job);
            }
        };
        let thread = thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK).spawn(work)?;
        Ok(Self { commands: Some(commands), events, running, next: 0, transcript: None, thread: Some(thread) })
    }

    /// Appends every job that is submitted from now on to a transcript, as it begins; none stops that.
    pub fn record_to(&mut self, transcript: Option<PathBuf>) {
        self.transcript = transcript;
    }

    /// Queues a job and gives its number.
    pub fn submit(&mut self, command: Command) -> JobId {
        self.next += 1;
        let (job, cancel) = (JobId(self.next), CancelFlag::default());
        lock(&self.running).insert(job, cancel.clone());
        if let Some(commands) = &self.commands {
            // The thread ends only when the sender is dropped.
            let _ = commands.send(Order { job, command, cancel, transcript: self.transcript.clone() });
        }
        job
    }

    /// Asks a job to stop; it does so at its next step. A job that is over stays as it is.
    pub fn cancel(&self, job: JobId) {
        if let Some(flag) = lock(&self.running).get(&job) {
            flag.set();
        }
    }

    /// Asks a job to wait at its next step, until it may [resume](Session::resume) or is [cancelled](Session::cancel).
    /// Jobs behind it wait with it.
    pub fn pause(&self, job: JobId) {
        if let Some(flag) = lock(&self.running).get(&job) {
            flag.pause();
        }
    }

    /// Lets a paused job go on.
    pub fn resume(&self, job: JobId) {
        if let Some(flag) = lock(&self.running).get(&job) {
            flag.resume();
        }
    }

    /// Stops all jobs and ends the engine; what it said can still be read.
    pub fn stop(&mut self) {
        lock(&self.running).values().for_each(CancelFlag::set);
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// What the jobs say.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// The flag that stops a job, for a signal handler.
    pub fn cancel_flag(&self, job: JobId) -> CancelFlag {
        lock(&self.running).get(&job).cloned().unwrap_or_default()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A variable of the environment, if it is set to something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Gives others a turn; here they have threads of their own.
pub fn breathe() {}

/// Bytes of memory that this process holds now; none where the system does not say.
pub fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// Bytes of memory that this process has held at most; none where the system does not say.
pub fn peak_bytes() -> Option<u64> {
    status("VmHWM:")
}

fn status(name: &str) -> Option<u64> {
    // Linux counts in kilobytes here, whatever the size of a page.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Bytes that this process can hold at most: no limit of its own.
pub fn memory_limit() -> Option<u64> {
    None
}

fn lock(running: &Running) -> MutexGuard<'_, HashMap<JobId, CancelFlag>> {
    // A panic elsewhere leaves the map whole: every change to it is one call.
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_this_process_is_known_and_grows_with_it() {
        let before = super::resident_bytes().unwrap();
        let held = vec![1u8; 64 << 20];
        let after = super::resident_bytes().unwrap();
        assert!(after > before + (32 << 20) && held.iter().all(|&byte| byte == 1), "{before} {after}");
    }
}
