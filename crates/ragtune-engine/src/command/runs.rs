//! Commands about runs of tuning.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of [`Command::ListRuns`](super::Command::ListRuns).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRuns {
    /// A folder of runs.
    pub folder: PathBuf,
}

/// Settings of [`Command::ReadRun`](super::Command::ReadRun).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRun {
    /// Folder of the run.
    pub run: PathBuf,
}

/// Settings of [`Command::ExportRun`](super::Command::ExportRun).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRun {
    /// Folder of the run.
    pub run: PathBuf,
    /// Folder for the encoder (`model/`) and the report (`report.md`).
    pub out: PathBuf,
}
