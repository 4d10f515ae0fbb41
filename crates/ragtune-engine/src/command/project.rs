//! Commands about projects.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::project::Project;

/// Settings of [`Command::OpenProject`](super::Command::OpenProject).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenProject {
    /// Its folder; it is made when there is none.
    pub folder: PathBuf,
    /// The sample world that a new project is filled with.
    pub sample: Option<SampleSize>,
}

/// How large a sample world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleSize {
    /// Number of passages.
    pub passages: u64,
    /// Number of questions.
    pub questions: u64,
}

impl Default for SampleSize {
    /// The demo's.
    fn default() -> Self {
        Self { passages: crate::jobs::demo::PASSAGES, questions: crate::jobs::demo::QUESTIONS }
    }
}

/// Settings of [`Command::SaveProject`](super::Command::SaveProject).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SaveProject {
    /// Its folder.
    pub folder: PathBuf,
    /// What it is made of.
    pub project: Project,
}
