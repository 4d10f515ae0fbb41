//! What is said of projects.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::project::Project;

/// An opened project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectReport {
    /// Its folder.
    pub folder: PathBuf,
    /// What it is made of; paths inside its folder start with it.
    pub project: Project,
    /// Its index.
    pub index: PathBuf,
    /// Passages of the index; none before there is one.
    pub passages: Option<u64>,
    /// Whether the index has a parametric part, for the modes `full` and `alpha`.
    pub parametric: bool,
    /// Folder of its tunings.
    pub runs: PathBuf,
}
