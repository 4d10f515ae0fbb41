//! What is said of runs of tuning.

use ragtune_eval::rag::Metrics;
pub use ragtune_tune::{Example, PoolReport, Record, StepRecord};
use serde::{Deserialize, Serialize};

/// What a tuning would cost, measured on a small part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EstimateReport {
    /// Train questions.
    pub questions: u64,
    /// Question and passage pairs that the language model judges for the pools; none with gold supervision.
    pub pairs: u64,
    /// Of these, pairs whose judgement lies in a score cache already.
    pub cached_pairs: u64,
    /// Steps of training, all stages together, at most.
    pub steps: u64,
    /// Seconds for the pools.
    pub pool_seconds: f64,
    /// Seconds for the steps.
    pub train_seconds: f64,
    /// Seconds for evaluations on dev and on test.
    pub evaluation_seconds: f64,
    /// Most bytes of memory that models, optimiser and one batch take.
    pub memory_bytes: u64,
    /// Name of the device.
    pub device: String,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It has its result.
    Finished,
    /// It was stopped and can go on.
    Unfinished,
}

/// A run in a folder of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// Its folder.
    pub run: String,
    /// How far it is.
    pub state: RunState,
    /// Folder of its best encoder, when there is one.
    pub checkpoint: Option<String>,
    /// Supervision, stages, epochs and the like in one line.
    pub summary: String,
    /// Figures of the start on the test questions.
    pub before: Option<Metrics>,
    /// Figures of the best encoder.
    pub after: Option<Metrics>,
    /// Best accuracy on dev, with its step.
    pub best_dev: Option<(usize, f64)>,
    /// Steps taken.
    pub steps: u64,
    /// Seconds that it took, when it is finished.
    pub seconds: Option<f64>,
    /// What the user should look at.
    pub warnings: Vec<String>,
}

/// A run with everything that it recorded.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct RunDetails {
    /// The run.
    #[serde(flatten)]
    pub run: RunReport,
    /// Its `config.toml`.
    pub config: String,
    /// Its `metrics.jsonl`.
    pub records: Vec<Record>,
}

/// An exported run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedRun {
    /// Folder with the encoder.
    pub model: String,
    /// The report.
    pub report: String,
}
