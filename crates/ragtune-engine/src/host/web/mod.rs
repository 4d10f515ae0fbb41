//! The engine in a browser: the page speaks with a worker, both run the same module.
//!
//! The worker has one thread. A job gives way to the page's messages whenever it asks whether to stop, and when a GPU
//! computes; a short job of another line is then done in between, on top of the long one. That needs a browser that can
//! hold WebAssembly while a promise is open (JSPI); without it jobs run one after another, and a stop ends the worker.

mod export;
mod fetch;
mod page;
mod suspend;
mod worker;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use page::{Bridge, Notice, Session, bridge};
pub use suspend::{block_on, can_wait, rest};
pub use worker::{between_turns, breathe, has_work, receive, start, take_turn, tell};

use crate::fs::Usage;
use crate::{Command, Event, JobId};

/// From the page to the worker. A file of the user's travels beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToWorker {
    /// A job.
    Submit {
        /// Which line.
        session: u32,
        /// Its number there.
        job: JobId,
        /// What to do.
        command: Box<Command>,
        /// Where to write it down.
        transcript: Option<PathBuf>,
    },
    /// Stop, hold or go on.
    Flag {
        /// Which line.
        session: u32,
        /// Which of its jobs.
        job: JobId,
        /// What it is to do.
        flag: Flag,
    },
    /// Keep the file that comes beside this.
    Import {
        /// Under this path.
        path: PathBuf,
    },
    /// Fetch a file into the disk, unless it is there with this size.
    Fetch {
        /// Where it is.
        url: String,
        /// Its path here.
        path: PathBuf,
        /// SHA-256 in hex digits, when it is known.
        sha256: Option<String>,
    },
    /// Fetch a model's folder into the disk: config, tokenizer, weights in one file or in shards.
    FetchModel {
        /// The folder's address.
        url: String,
        /// Its path here.
        path: PathBuf,
    },
    /// Send the files below a path, as a zip.
    Export {
        /// The folder.
        path: PathBuf,
    },
    /// Remove what is at a path.
    Remove {
        /// A file or a folder.
        path: PathBuf,
    },
    /// Tell how full the disk is.
    Usage,
    /// Remove everything.
    Wipe,
}

/// What a job is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// Stop at its next step.
    Cancel,
    /// Wait at its next step.
    Pause,
    /// Go on.
    Resume,
}

/// From the worker to the page. Bytes of an export travel beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToPage {
    /// The worker can take jobs.
    Ready {
        /// Whether it can hear messages while a job runs.
        listens: bool,
        /// What computes, in words.
        device: String,
        /// The name of the lock that it holds as long as it lives.
        lock: String,
    },
    /// There is no place for files, so nothing can be done; the reason.
    NoFiles(String),
    /// A job said something.
    Event {
        /// Which line's.
        session: u32,
        /// What.
        event: Box<Event>,
    },
    /// Bytes of a file that came, of all.
    Received {
        /// Its path.
        path: PathBuf,
        /// Here.
        done: u64,
        /// Of all, when that is known.
        total: Option<u64>,
    },
    /// A file is here.
    Kept {
        /// Its path.
        path: PathBuf,
    },
    /// What was asked for beside jobs failed.
    Failed(String),
    /// A zip, beside this.
    Exported {
        /// A name for it.
        name: String,
    },
    /// How full the disk is.
    Usage(Usage),
    /// Everything is gone.
    Wiped,
    /// The worker panicked and is no more.
    Crashed(String),
}

/// A variable of the environment: a browser has none.
pub fn variable(_: &str) -> Option<String> {
    None
}

/// Bytes of memory that this module holds now.
pub fn resident_bytes() -> Option<u64> {
    Some(core::arch::wasm32::memory_size(0) as u64 * 65_536)
}

/// Bytes of memory that this module has held at most: its memory never shrinks.
pub fn peak_bytes() -> Option<u64> {
    resident_bytes()
}

/// Bytes that this module can hold at most.
pub fn memory_limit() -> Option<u64> {
    Some(4 << 30)
}
