//! What a tuning writes to `metrics.jsonl`.

use serde::{Deserialize, Deserializer, Serialize};

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
    #[serde(deserialize_with = "or_nan")]
    pub loss: f32,
    /// L_para.
    #[serde(deserialize_with = "or_nan")]
    pub para: f32,
    /// L_semi.
    #[serde(deserialize_with = "or_nan")]
    pub semi: f32,
    /// Norm of the gradient before clipping.
    #[serde(deserialize_with = "or_nan")]
    pub gradient_norm: f64,
    /// Learning rate.
    pub lr: f32,
    /// Share of the questions whose positive scores highest in the batch.
    pub batch_accuracy: f32,
    /// Standard deviation of the in-batch scores after the temperature.
    #[serde(deserialize_with = "or_nan")]
    pub score_spread: f32,
    /// Tokens encoded in the step.
    pub tokens: usize,
    /// Questions of the step.
    #[serde(default)]
    pub questions: usize,
    /// Online stage: passages that the language model judged on the walks, those whose scores were known from before included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_passages: Option<usize>,
    /// Online stage: positives met per question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_positives: Option<f32>,
    /// Online stage: share of the questions whose negative was met on the walk, not drawn from the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_negatives: Option<f32>,
    /// A question of the batch with its positive and negative, for people to look at.
    pub example: Example,
}

/// A number that JSON could only write as null because it was none: just the steps that went wrong are to be seen.
fn or_nan<'de, D: Deserializer<'de>, T: Deserialize<'de> + From<f32>>(source: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(source)?.unwrap_or_else(|| T::from(f32::NAN)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_without_a_finite_loss_can_be_read_back() {
        let record = StepRecord {
            step: 3,
            stage: Stage::Online,
            stage_step: 1,
            stage_steps: 2,
            epoch: 1,
            loss: f32::NAN,
            para: f32::INFINITY,
            semi: 0.25,
            gradient_norm: f64::NAN,
            lr: 1e-3,
            batch_accuracy: 0.5,
            score_spread: 2.0,
            questions: 8,
            online_passages: None,
            tokens: 7,
            online_positives: None,
            online_negatives: Some(1.0),
            example: Example::default(),
        };
        let text = serde_json::to_string(&Record::Step(record)).unwrap();
        let Record::Step(read) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert!(read.loss.is_nan() && read.para.is_nan() && read.gradient_norm.is_nan(), "{read:?}");
        assert_eq!((read.step, read.semi, read.score_spread), (3, 0.25, 2.0));
    }
}
