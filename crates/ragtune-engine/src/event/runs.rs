//! What is said of runs of tuning.

use ragtune_eval::rag::Metrics;
pub use ragtune_tune::{Example, Origin, PoolReport, Record, StepRecord};
use serde::{Deserialize, Serialize};

/// A training example with its texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShownExample {
    /// The step that it was part of.
    pub step: usize,
    /// Ids, scores and origins.
    pub example: Example,
    /// The question.
    pub question: String,
    /// The positive, with its title before it.
    pub positive: String,
    /// The negative, with its title before it.
    pub negative: String,
}

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
    /// What was measured and what was assumed, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
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
    /// How fast its online steps were, when it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<OnlineRates>,
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

/// Result of tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuneReport {
    /// Folder of the run.
    pub run: String,
    /// Folder of the best checkpoint: an encoder that every command takes.
    pub checkpoint: String,
    /// Figures of the start on the test questions.
    pub before: Metrics,
    /// Figures of the checkpoint on the same questions.
    pub after: Metrics,
    /// Steps of training.
    pub steps: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// How fast its online steps were; none where it had none since it was started or taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<OnlineRates>,
    /// What the user should look at.
    pub warnings: Vec<String>,
}

/// How fast online steps are, search, judging and learning together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OnlineRates {
    /// Questions a second.
    pub questions: f64,
    /// Passages a second that the language model has judged, those whose scores were known from before included.
    pub passages: f64,
}

impl std::fmt::Display for OnlineRates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} questions/s, {:.1} passages judged/s", self.questions, self.passages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_details_survive_the_way_to_another_page() {
        let metrics =
            Metrics { rag_accuracy: [(1, Some(0.25)), (10, None)].into(), questions: 7, ..Metrics::default() };
        let run = RunReport {
            run: "runs/a".to_owned(),
            state: RunState::Finished,
            checkpoint: Some("runs/a/best".to_owned()),
            summary: "rag".to_owned(),
            before: Some(metrics.clone()),
            after: Some(metrics),
            best_dev: Some((4, 0.5)),
            steps: 8,
            seconds: Some(3.0),
            online: None,
            warnings: Vec::new(),
        };
        let records = vec![
            Record::Pools { report: PoolReport { questions: 9, auc: Some(0.75), ..PoolReport::default() } },
            Record::Dev { step: 4, accuracy: 0.5, questions: 3, best: true },
        ];
        let details = RunDetails { run, config: "[tune]".to_owned(), records };
        let text = serde_json::to_string(&details).unwrap();
        assert_eq!(serde_json::from_str::<RunDetails>(&text).unwrap(), details, "{text}");
    }

    #[test]
    fn examples_of_older_runs_came_from_their_pools() {
        let old = r#"{"question":"q","positive":"p","positive_score":-0.5,"negative":"n","negative_score":null}"#;
        let example: Example = serde_json::from_str(old).unwrap();
        assert_eq!((example.positive_origin, example.negative_origin), (Origin::Pool, Origin::Pool));
    }
}
