//! What the engine says while it works: small plain data; tensors never cross.

mod ask;
mod bench;
mod files;
mod models;
mod project;
mod questions;
mod runs;

use std::collections::BTreeMap;

pub use ask::{InspectedText, WeighedPassage, WeightedToken};
pub use bench::{BenchReport, BenchRow};
pub use files::{FileOutcome, FileState, ListedPassage, PassageList, UpdateReport};
pub use models::{
    CheckReport, CheckRow, DeviceLimits, DeviceReport, DeviceSpeed, LentReport, ModelReport, RemovedModel,
};
pub use project::ProjectReport;
pub use questions::{DraftedQuestion, QuestionProblem, QuestionsReport};
pub use ragtune_eval::rag::{Figures, Metrics, PerQuestion};
use ragtune_index::IndexMeta;
pub use ragtune_text::Source;
pub use runs::{
    EstimateReport, Example, ExportedRun, OnlineRates, Origin, PoolReport, Record, RunDetails, RunReport, RunState,
    ShownExample, StepRecord, TuneReport,
};
use serde::{Deserialize, Serialize};

/// Number of a job, unique within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// One message about one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The job.
    pub job: JobId,
    /// What happened.
    pub kind: EventKind,
}

/// What happened. The last event of every job is exactly one of Finished, Cancelled and Failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The job began.
    Started {
        /// The command's name.
        command: String,
    },
    /// How far it is. A newer one replaces an older one; at most ten a second.
    Progress(Progress),
    /// What was found for some queries.
    Hits(Vec<QueryHits>),
    /// Files of an index that were dealt with.
    Files(Vec<FileOutcome>),
    /// What a tuning recorded: pools, steps, evaluations on dev.
    Steps(Vec<Record>),
    /// A training example with its texts, for people to look at; at most two a second.
    Example(Box<ShownExample>),
    /// What a tuning uses; at most two a second.
    Resources {
        /// Tokens that training encoded per second since the last time; none when it was doing other work.
        tokens_per_second: Option<f64>,
        /// Bytes of memory that the process holds; none where the system does not say.
        memory_bytes: Option<u64>,
    },
    /// The probability of an answer with one passage in context.
    Weighed(WeighedPassage),
    /// A figure of a benchmark, as it is measured; the report has all of them.
    Measured(BenchRow),
    /// A question that was drafted.
    Draft(Box<DraftedQuestion>),
    /// The next piece of a generated text.
    Text(String),
    /// One line of a result in JSON lines.
    Record(String),
    /// The whole result.
    Report(Box<Report>),
    /// Something that the user should know and that stops nothing.
    Warning(String),
    /// The job waits, because the user wants it to. It goes on or ends when the user says so.
    Paused,
    /// The job goes on after a pause.
    Resumed,
    /// The job is done.
    Finished {
        /// Seconds since it began, pauses left out.
        seconds: f64,
    },
    /// The user stopped the job.
    Cancelled {
        /// How to go on from here.
        resume: Option<String>,
    },
    /// The job failed.
    Failed {
        /// What is wrong, with the file, the line and the way out.
        error: String,
        /// 2 for bad usage or input, 1 when the work failed.
        exit_code: u8,
    },
}

impl EventKind {
    /// Whether the job is over with this event.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Cancelled { .. } | Self::Failed { .. })
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub label: String,
    /// How much is done.
    pub done: u64,
    /// Of how much, when that is known.
    pub total: Option<u64>,
    /// Of what: passages, bytes, steps.
    pub unit: String,
    /// Units per second.
    pub rate: Option<f64>,
    /// Seconds that remain.
    pub eta_seconds: Option<f64>,
}

/// The passages found for one query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryHits {
    /// The query's identifier.
    pub id: String,
    /// Best first.
    pub hits: Vec<FoundPassage>,
    /// Candidates that `late` has re-ranked so far, and all of them; the others stand in the order of the first stage.
    /// None when the order is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranked: Option<(usize, usize)>,
}

/// A passage that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundPassage {
    /// Identifier in the corpus.
    pub id: String,
    /// From 1.
    pub rank: usize,
    /// Inner product of question and passage.
    pub score: f32,
    /// Title, empty when there is none.
    pub title: String,
    /// Body text.
    pub text: String,
    /// Where it was cut from.
    pub source: Option<Source>,
    /// The tokens that make the score, largest product first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Vec<Explained>>,
    /// Where these tokens stand in the text, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// A token of a passage's text that has a part in its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// First byte of the token in the passage's text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The token's part in the score.
    pub product: f32,
}

/// One token's part in a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The token, spelled as in the vocabulary.
    pub token: String,
    /// Its id.
    pub id: u32,
    /// The question's value.
    pub query_weight: f32,
    /// The passage's value.
    pub passage_weight: f32,
    /// Their product.
    pub product: f32,
}

/// The result of a job that has one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "an event holds its report in a box")]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// What fewer bits do to a model's scores.
    Checked(CheckReport),
    /// A model left the cache.
    Removed(RemovedModel),
    /// A project was opened.
    Project(Box<ProjectReport>),
    /// An index was built.
    Built(BuildReport),
    /// An index was brought up to date.
    Updated(UpdateReport),
    /// A part of an index's passages.
    Passages(PassageList),
    /// Vectors of texts as tokens.
    Inspected(Vec<InspectedText>),
    /// The probability of an answer with each passage.
    Weighed(Vec<WeighedPassage>),
    /// Questions were looked through.
    Questions(QuestionsReport),
    /// Questions were drafted.
    Drafted(Vec<DraftedQuestion>),
    /// What a tuning would cost.
    Estimate(EstimateReport),
    /// Runs of a folder.
    Runs(Vec<RunReport>),
    /// One run.
    Run(Box<RunDetails>),
    /// A run was exported.
    ExportedRun(ExportedRun),
    /// What an index holds.
    Index(IndexReport),
    /// Passages were found.
    Search(SearchReport),
    /// A text was generated.
    Generated(GenerateReport),
    /// A question was answered.
    Answer(AnswerReport),
    /// Questions were evaluated.
    Evaluated(EvaluationReport),
    /// An encoder was tuned.
    Tuned(TuneReport),
    /// The demo ran.
    Demo(DemoReport),
    /// A sample world was written.
    Sample(SampleReport),
    /// Texts were written to a file.
    Exported(ExportReport),
    /// Models of a folder.
    Models(Vec<ModelReport>),
    /// One model.
    Model(ModelReport),
    /// Devices.
    Devices(Vec<DeviceReport>),
    /// A device was measured.
    Bench(BenchReport),
    /// A device is lent.
    Lent(LentReport),
}

impl Report {
    /// The document that the command line prints with `--json`.
    pub fn json(&self) -> serde_json::Result<String> {
        match self {
            Self::Project(report) => serde_json::to_string(report),
            Self::Built(report) => serde_json::to_string(report),
            Self::Updated(report) => serde_json::to_string(report),
            Self::Passages(report) => serde_json::to_string(report),
            Self::Inspected(report) => serde_json::to_string(report),
            Self::Weighed(report) => serde_json::to_string(report),
            Self::Questions(report) => serde_json::to_string(report),
            Self::Drafted(report) => serde_json::to_string(report),
            Self::Estimate(report) => serde_json::to_string(report),
            Self::Runs(report) => serde_json::to_string(report),
            Self::Run(report) => serde_json::to_string(report),
            Self::ExportedRun(report) => serde_json::to_string(report),
            Self::Index(report) => serde_json::to_string(report),
            Self::Search(report) => serde_json::to_string(report),
            Self::Generated(report) => serde_json::to_string(report),
            Self::Answer(report) => serde_json::to_string(report),
            Self::Evaluated(report) => report.json(),
            Self::Tuned(report) => serde_json::to_string(report),
            Self::Demo(report) => serde_json::to_string(report),
            Self::Sample(report) => serde_json::to_string(report),
            Self::Exported(report) => serde_json::to_string(report),
            Self::Checked(report) => serde_json::to_string(report),
            Self::Removed(report) => serde_json::to_string(report),
            Self::Models(reports) => serde_json::to_string(reports),
            Self::Model(report) => serde_json::to_string(report),
            Self::Devices(reports) => serde_json::to_string(reports),
            Self::Bench(report) => serde_json::to_string(report),
            Self::Lent(report) => serde_json::to_string(report),
        }
    }
}

/// Result of building an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    /// Number of passages.
    pub passages: u64,
    /// (token, passage) pairs of the bag-of-tokens index.
    pub postings: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bits that the bag-of-tokens index takes per posting.
    pub bits_per_posting: Option<f64>,
    /// Seconds that the build took.
    pub seconds: f64,
    /// Passages per second.
    pub passages_per_second: f64,
    /// Weights of the parametric index, when there is one.
    pub parametric_weights: Option<u64>,
    /// Folder of the index.
    pub index: String,
}

impl BuildReport {
    /// The report of an index that took `seconds` to build in `folder`.
    pub(crate) fn of(meta: &IndexMeta, seconds: f64, folder: &std::path::Path) -> Self {
        Self {
            passages: u64::from(meta.passages),
            postings: meta.postings,
            bytes: meta.bytes(),
            bits_per_posting: meta.bits_per_posting(),
            seconds,
            passages_per_second: f64::from(meta.passages) / seconds.max(1e-9),
            parametric_weights: meta.parametric.as_ref().map(|part| part.postings),
            index: folder.display().to_string(),
        }
    }
}

/// What an index holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexReport {
    /// Folder of the index.
    pub index: String,
    /// Number of passages.
    pub passages: u64,
    /// Lexical dimensions.
    pub dims: u32,
    /// (token, passage) pairs of the bag-of-tokens index.
    pub postings: u64,
    /// Weights of the parametric index, when there is one.
    pub parametric_weights: Option<u64>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bits that the bag-of-tokens index takes per posting.
    pub bits_per_posting: Option<f64>,
    /// Whether every byte was read and checked.
    pub verified: bool,
    /// Format, fingerprints, length and checksum of every file.
    pub meta: IndexMeta,
}

/// Result of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchReport {
    /// In the order of the queries.
    pub queries: Vec<QueryHits>,
    /// Seconds that encoding and searching took.
    pub seconds: f64,
}

/// A generated text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerateReport {
    /// What follows the prompt.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Seconds that generation took.
    pub seconds: f64,
}

/// An answer with its passages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerReport {
    /// The answer.
    pub answer: String,
    /// The passages in context, best first.
    pub citations: Vec<CitedPassage>,
    /// Retrieved passages that did not fit into the context.
    pub dropped_passages: usize,
}

/// A passage that stood in context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CitedPassage {
    /// Identifier in the corpus.
    pub id: String,
    /// From 1.
    pub rank: usize,
    /// Retrieval score.
    pub score: f32,
    /// Where it was cut from.
    pub source: Option<Source>,
}

/// Figures over questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// The figures.
    pub metrics: Metrics,
    /// Every question, when details were asked for.
    pub per_question: Option<Vec<PerQuestion>>,
    /// Prompts from which passages were dropped because the context was full, by number of documents.
    pub dropped: BTreeMap<usize, usize>,
    /// Seconds that it took.
    pub seconds: f64,
}

impl EvaluationReport {
    /// The figures at the top, the rest beside them.
    fn json(&self) -> serde_json::Result<String> {
        let mut document = serde_json::to_value(&self.metrics)?;
        if let Some(fields) = document.as_object_mut() {
            fields.insert("dropped".to_owned(), serde_json::to_value(&self.dropped)?);
            fields.insert("seconds".to_owned(), serde_json::to_value(self.seconds)?);
            if let Some(questions) = &self.per_question {
                fields.insert("per_question".to_owned(), serde_json::to_value(questions)?);
            }
        }
        serde_json::to_string(&document)
    }
}

/// Result of the demo: separate tunings from the same start, the same test questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoReport {
    /// Figures of the start.
    pub before: Metrics,
    /// Figures after both stages.
    pub after: Metrics,
    /// Figures of each stage alone, when that was asked for.
    pub stages: Option<StageMetrics>,
    /// Accuracy when the passages are sorted by the language model's score, by number of documents.
    pub oracle_accuracy: BTreeMap<usize, Option<f64>>,
    /// Passages of the sample world.
    pub passages: u64,
    /// Its questions.
    pub questions: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Folder of the run.
    pub run: String,
}

/// Figures of each stage alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageMetrics {
    /// Warm-up only.
    pub offline_only: Metrics,
    /// Online only.
    pub online_only: Metrics,
}

/// A written sample world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleReport {
    /// Number of passages.
    pub passages: u64,
    /// Number of questions.
    pub questions: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Folder with the files.
    pub out: String,
}

/// A written corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportReport {
    /// Number of passages.
    pub passages: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The file.
    pub file: String,
}
