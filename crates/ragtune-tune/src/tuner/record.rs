//! What a tuning writes to `metrics.jsonl`.

use serde::{Deserialize, Serialize};

use crate::pools::PoolReport;
use crate::settings::Stage;

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// The pools are complete.
    Pools {
        /// Counts.
        #[serde(flatten)]
        report: PoolReport,
    },
    /// A training step.
    Step(StepRecord),
    /// An evaluation on dev.
    Dev {
        /// Steps taken over all stages.
        step: usize,
        /// Share of the dev questions whose best passage leads to the right answer (RAG), or is gold.
        accuracy: f64,
        /// Dev questions asked.
        questions: usize,
        /// Whether this is the best so far.
        best: bool,
    },
}

/// What one training step was and found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps taken over all stages, this one included.
    pub step: usize,
    /// The stage.
    pub stage: Stage,
    /// Step of the stage, from 1.
    pub stage_step: usize,
    /// Steps of the stage.
    pub stage_steps: usize,
    /// Epoch of the stage, from 1.
    pub epoch: usize,
    /// Loss.
    pub loss: f32,
    /// L_para.
    pub para: f32,
    /// L_semi.
    pub semi: f32,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate.
    pub lr: f32,
    /// Share of the questions whose positive scores highest in the batch.
    pub batch_accuracy: f32,
    /// Standard deviation of the in-batch scores after the temperature.
    pub score_spread: f32,
    /// Tokens encoded in the step.
    pub tokens: usize,
    /// Online stage: positives met per question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_positives: Option<f32>,
    /// Online stage: share of the questions whose negative was met on the walk, not drawn from the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_negatives: Option<f32>,
    /// A question of the batch with its positive and negative, for people to look at.
    pub example: Example,
}

/// Where a passage of a training example came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Drawn from the pool that the start's candidates made.
    #[default]
    Pool,
    /// Met on the way down the ranking of the encoder as it is now (online stage).
    Walk,
}

/// One training example.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Question id.
    pub question: String,
    /// Passage id of the positive.
    pub positive: String,
    /// Its log RAG score.
    pub positive_score: Option<f32>,
    /// Passage id of the negative.
    pub negative: String,
    /// Its log RAG score.
    pub negative_score: Option<f32>,
    /// Where the positive came from.
    #[serde(default)]
    pub positive_origin: Origin,
    /// Where the negative came from.
    #[serde(default)]
    pub negative_origin: Origin,
}
