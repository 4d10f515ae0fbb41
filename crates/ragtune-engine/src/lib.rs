//! The engine: what the command line, the window and the browser send their [`Command`]s to, and whose [`Event`]s they
//! draw. The only room with files, a clock and threads.
//!
//! | module | what it holds |
//! |---|---|
//! | [`command`], [`event`] | what goes in and what comes out, as plain data |
//! | [`session`] | [`run`]: one job from its start to exactly one end |
//! | [`cancel`] | [`CancelFlag`]: how a running job is paused and stopped |
//! | [`host`] | [`Session`]: the thread that owns every tensor |
//! | [`fs`], [`directory`], [`clock`] | the platform's files and time |
//! | [`corpus`], [`questions`] | the files that people have |
//! | [`device`] | which device computes, and the test that it computes rightly |
//! | [`models`] | opening encoders and language models |
//! | [`hub`] | models of the Hugging Face Hub, and the cache shared with Python's tools |
//! | [`shelf`] | indexes and models that stay open between jobs |
//! | [`project`], [`transcript`] | the folder that window and command line share; every command that was given |
//! | [`progress`], [`figures`] | rate and remaining time; counts and sizes as people read them |
//! | [`jobs`] | one file per job |

pub mod cancel;
pub mod clock;
pub mod command;
pub mod corpus;
pub mod device;
pub mod directory;
mod error;
pub mod event;
pub mod figures;
pub mod fs;
pub mod host;
pub mod hub;
pub mod jobs;
pub mod models;
mod panics;
pub mod progress;
pub mod project;
pub mod questions;
mod room;
pub mod session;
pub mod shelf;
#[cfg(test)]
mod testing;
pub mod transcript;

pub use cancel::CancelFlag;
pub use command::Command;
pub use device::DeviceChoice;
pub use directory::Folder;
pub use error::{EngineError, Result};
pub use event::{Event, EventKind, JobId, Report};
pub use host::Session;
pub use session::run;
pub use shelf::Shelf;
