//! What the engine can be asked to do: small plain data, the same from the command line, the window and the browser.

mod ask;
mod files;
mod models;
mod project;
mod questions;
mod runs;

use std::path::PathBuf;

pub use ask::{Inspect, InspectText, Weigh};
pub use files::{ListPassages, UpdateIndex};
pub use models::{
    CheckModel, ExportFormat, ExportModel, ImportModel, ListModels, ModelPath, PullModel, RemoveModel, TestDevices,
    WriteSampleModels,
};
pub use project::{OpenProject, Project, SampleSize, SaveProject};
pub use questions::{CheckQuestions, DraftQuestions, WriteQuestions};
pub use ragtune_model::{HeadKind, Numbers};
pub use ragtune_rag::{FirstStage, SearchMode, SearchSettings};
pub use ragtune_text::{Question, Source, Split, TaskKind};
pub use ragtune_tune::{LossOptions, OptimSettings, Precision, Stage, Supervision, TuneSettings};
pub use runs::{ExportRun, ListRuns, ReadRun};
use serde::{Deserialize, Serialize};

use crate::device::DeviceChoice;

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Open a project, and make it when there is none.
    OpenProject(OpenProject),
    /// Save what a project is made of.
    SaveProject(Box<SaveProject>),
    /// Build an index, or refresh the parametric part of one.
    BuildIndex(BuildIndex),
    /// Bring an index up to date with files and folders; only what is new or changed is read.
    UpdateIndex(UpdateIndex),
    /// A part of an index's passages.
    ListPassages(ListPassages),
    /// Counts, formats and checksums of an index.
    IndexInfo(IndexPath),
    /// Read every byte of an index and check it.
    VerifyIndex(IndexPath),
    /// Make a new index out of others, with passages added or removed.
    RewriteIndex(RewriteIndex),
    /// Write the passages of an index as `corpus.jsonl`.
    ExportIndex(ExportIndex),
    /// Find passages.
    Search(Search),
    /// The vectors of some texts as ranked tokens.
    Inspect(Inspect),
    /// The probability of an answer with each of some passages in context.
    Weigh(Weigh),
    /// Lexical or dense vectors of texts.
    Encode(Encode),
    /// Log-probabilities of answers.
    Score(Score),
    /// Continue a prompt.
    Generate(Generate),
    /// Answer a question from an index.
    Answer(Answer),
    /// Figures over questions.
    Evaluate(Evaluate),
    /// Look through a questions file.
    CheckQuestions(CheckQuestions),
    /// Write a questions file.
    WriteQuestions(WriteQuestions),
    /// Let a language model word questions about passages.
    DraftQuestions(DraftQuestions),
    /// Tune an encoder.
    Tune(Box<Tune>),
    /// What a tuning would cost.
    EstimateTuning(Box<Tune>),
    /// The runs in a folder.
    ListRuns(ListRuns),
    /// A run with everything that it recorded.
    ReadRun(ReadRun),
    /// Write a run's encoder and report to a folder.
    ExportRun(ExportRun),
    /// Tune a small encoder on the sample world.
    Demo(Demo),
    /// Write a sample world.
    GenerateSample(GenerateSample),
    /// Write the small models that ship with ragtune.
    WriteSampleModels(WriteSampleModels),
    /// Bring a model from the Hub into the cache.
    PullModel(PullModel),
    /// Write an encoder as other programs read it.
    ExportModel(ExportModel),
    /// Write a model of another form as a folder that Python's tools read too.
    ImportModel(ImportModel),
    /// Models in a folder.
    ListModels(ListModels),
    /// What a model is.
    ModelInfo(ModelPath),
    /// Load a model and let it compute once.
    VerifyModel(ModelPath),
    /// `models rm`: a model of the Hub leaves the cache.
    RemoveModel(RemoveModel),
    /// `models check`: what fewer bits do to a model's scores.
    CheckModel(CheckModel),
    /// The devices that can compute.
    Devices(TestDevices),
    /// How fast a device is.
    Bench(Bench),
    /// A device of this machine computes for another.
    Lend(Lend),
}

impl Command {
    /// Whether it is done in moments, so that it may be done in the middle of another job where there is one thread.
    pub fn is_short(&self) -> bool {
        !matches!(
            self,
            Self::BuildIndex(_)
                | Self::UpdateIndex(_)
                | Self::VerifyIndex(_)
                | Self::RewriteIndex(_)
                | Self::ExportIndex(_)
                | Self::Encode(_)
                | Self::Score(_)
                | Self::Evaluate(_)
                | Self::DraftQuestions(_)
                | Self::Tune(_)
                | Self::Demo(_)
                | Self::GenerateSample(_)
                | Self::ImportModel(_)
                | Self::VerifyModel(_)
                | Self::CheckModel(_)
                | Self::PullModel(_)
                | Self::Devices(TestDevices { measure: true })
                | Self::Lend(_)
                | Self::Bench(_)
        )
    }

    /// The command's name, as on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OpenProject(_) => "project open",
            Self::SaveProject(_) => "project save",
            Self::BuildIndex(_) => "index build",
            Self::UpdateIndex(_) => "index update",
            Self::ListPassages(_) => "index passages",
            Self::IndexInfo(_) => "index info",
            Self::VerifyIndex(_) => "index verify",
            Self::RewriteIndex(_) => "index rewrite",
            Self::ExportIndex(_) => "index export",
            Self::Search(_) => "search",
            Self::Inspect(_) => "inspect",
            Self::Weigh(_) => "weigh",
            Self::Encode(_) => "encode",
            Self::Score(_) => "score",
            Self::Generate(_) => "generate",
            Self::Answer(_) => "answer",
            Self::Evaluate(_) => "eval",
            Self::CheckQuestions(_) => "questions check",
            Self::WriteQuestions(_) => "questions write",
            Self::DraftQuestions(_) => "questions draft",
            Self::Tune(_) => "tune",
            Self::EstimateTuning(_) => "tune --estimate",
            Self::ListRuns(_) => "runs list",
            Self::ReadRun(_) => "runs show",
            Self::ExportRun(_) => "runs export",
            Self::Demo(_) => "demo",
            Self::GenerateSample(_) => "sample generate",
            Self::WriteSampleModels(_) => "sample models",
            Self::PullModel(_) => "models pull",
            Self::ExportModel(_) => "models export",
            Self::ImportModel(_) => "models import",
            Self::ListModels(_) => "models list",
            Self::ModelInfo(_) => "models info",
            Self::VerifyModel(_) => "models verify",
            Self::CheckModel(_) => "models check",
            Self::RemoveModel(_) => "models rm",
            Self::Devices(_) => "devices",
            Self::Lend(_) => "lend",
            Self::Bench(_) => "bench",
        }
    }
}

/// An encoder on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderSource {
    /// Its folder.
    pub folder: PathBuf,
    /// The head to use instead of its own.
    pub head: Option<HeadKind>,
}

/// Settings of [`Command::BuildIndex`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildIndex {
    /// Corpus files and folders, in order. None refreshes the parametric part of the index in `out`.
    pub corpus: Vec<PathBuf>,
    /// A `tokenizer.json` or a folder with one; without it the encoder's.
    pub tokenizer: Option<PathBuf>,
    /// The encoder, for `parametric`, or only for its tokenizer.
    pub encoder: Option<EncoderSource>,
    /// Whether to encode every passage too.
    pub parametric: bool,
    /// Most bytes of memory that postings may take while the index is built.
    pub memory: Option<u64>,
    /// Folder of the index.
    pub out: PathBuf,
    /// Computes the parametric part.
    pub device: DeviceChoice,
}

/// An index on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPath {
    /// Its folder.
    pub index: PathBuf,
}

/// Settings of [`Command::RewriteIndex`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewriteIndex {
    /// The indexes whose passages are taken, in order.
    pub from: Vec<PathBuf>,
    /// Ids of passages to leave out; each must exist.
    pub remove: Vec<String>,
    /// Corpus files and folders whose passages are added at the end.
    pub add: Vec<PathBuf>,
    /// The tokenizer for `add`: a `tokenizer.json` or a folder with one.
    pub tokenizer: Option<PathBuf>,
    /// Folder of the new index; may be one of `from`.
    pub out: PathBuf,
}

/// Settings of [`Command::ExportIndex`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportIndex {
    /// The index.
    pub index: PathBuf,
    /// Folder for `corpus.jsonl`.
    pub out: PathBuf,
}

/// What to search for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queries {
    /// One question.
    Text(String),
    /// A jsonl file of them, or a BEIR folder.
    File(PathBuf),
}

/// Settings of [`Command::Search`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// Folder of the index.
    pub index: PathBuf,
    /// The encoder.
    pub encoder: EncoderSource,
    /// Mode, m, k.
    pub settings: SearchSettings,
    /// What to search for.
    pub queries: Queries,
    /// Where to write a TREC run file.
    pub run_file: Option<PathBuf>,
    /// Whether to say which tokens make each score.
    pub explain: bool,
    /// Whether `late` tells its order again and again while it re-ranks, beginning with that of the first stage.
    #[serde(default)]
    pub stream: bool,
    /// Computes the vectors.
    pub device: DeviceChoice,
}

/// Whether texts are encoded as questions or as passages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextRole {
    /// As questions.
    Query,
    /// As passages.
    #[default]
    Passage,
}

/// The form of a vector (method, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// The largest dimensions.
    #[serde(rename = "s")]
    S,
    /// Those and the text's own tokens.
    #[serde(rename = "s+")]
    SPlus,
    /// All dimensions.
    #[serde(rename = "dense")]
    Dense,
    /// 1 on the text's own tokens.
    #[serde(rename = "bot")]
    Bot,
}

/// Settings of [`Command::Encode`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encode {
    /// The encoder.
    pub encoder: EncoderSource,
    /// Lines of text, or jsonl with `id`, `text`, optional `title`.
    pub texts: PathBuf,
    /// As questions or passages.
    pub role: TextRole,
    /// The form; S for questions and S+ for passages when it is left open, dense for a dense head.
    pub form: Option<Form>,
    /// Dimensions of S.
    pub top_k: usize,
    /// Computes the vectors.
    pub device: DeviceChoice,
}

/// Settings of [`Command::Score`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Folder of the language model.
    pub llm: PathBuf,
    /// jsonl with `id`, `answers`, and `prompt` or `question` and `passage`.
    pub items: PathBuf,
    /// Prompt template.
    pub template: Option<PathBuf>,
    /// Computes.
    pub device: DeviceChoice,
}

/// Settings of [`Command::Generate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// Folder of the language model.
    pub llm: PathBuf,
    /// The prompt; empty starts from the model's first token.
    pub prompt: String,
    /// Puts it as a message, in the words of the model's chat template.
    #[serde(default)]
    pub chat: bool,
    /// Most new tokens.
    pub max_new_tokens: usize,
    /// 0 takes the most probable token each time.
    pub temperature: f32,
    /// Seed of the draw.
    pub seed: u64,
    /// Computes.
    pub device: DeviceChoice,
}

/// Settings of [`Command::Answer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Folder of the index.
    pub index: PathBuf,
    /// The encoder.
    pub encoder: EncoderSource,
    /// Folder of the language model.
    pub llm: PathBuf,
    /// Prompt template.
    pub template: Option<PathBuf>,
    /// The question.
    pub query: String,
    /// Mode and m; `k` is the number of documents in context.
    pub settings: SearchSettings,
    /// Most new tokens.
    pub max_new_tokens: usize,
    /// Computes.
    pub device: DeviceChoice,
}

/// Where the questions come from, and which of them count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionSource {
    /// A BEIR folder, `qa.jsonl`, DPR's json, or lines of question and answers.
    pub path: PathBuf,
    /// The corpus names passages `PREFIX/ID`.
    pub id_prefix: Option<String>,
    /// A list of duplicates beside the one that the index brings.
    pub aliases: Option<PathBuf>,
}

/// Settings of [`Command::Evaluate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    /// Folder of the index.
    pub index: PathBuf,
    /// The encoder.
    pub encoder: EncoderSource,
    /// Folder of the language model; without one only the retrieval is judged.
    pub llm: Option<PathBuf>,
    /// Prompt template.
    pub template: Option<PathBuf>,
    /// The questions.
    pub questions: QuestionSource,
    /// The split; all when it is left open.
    pub split: Option<Split>,
    /// At most so many questions, the first ones.
    pub limit: Option<usize>,
    /// Numbers of documents in context.
    pub docs: Vec<usize>,
    /// Mode and m; `k` is raised to the largest cut-off that `m` and the corpus allow.
    pub settings: SearchSettings,
    /// Whether to list every question.
    pub details: bool,
    /// Computes.
    pub device: DeviceChoice,
}

/// Settings of [`Command::Tune`]. What a resumed run leaves open comes from its `config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tune {
    /// Corpus files and folders, to be indexed first.
    pub corpus: Vec<PathBuf>,
    /// Or an index that stands.
    pub index: Option<PathBuf>,
    /// The questions.
    pub questions: Option<QuestionSource>,
    /// The encoder to start from.
    pub encoder: Option<EncoderSource>,
    /// Folder of the language model.
    pub llm: Option<PathBuf>,
    /// Prompt template.
    pub template: Option<PathBuf>,
    /// What tells good passages from bad ones; the config's when it is left open.
    pub supervision: Option<Supervision>,
    /// The stages; both when it is left open.
    pub stages: Option<Vec<Stage>>,
    /// TOML with every other setting.
    pub config: Option<PathBuf>,
    /// Every other setting, instead of a file with them.
    #[serde(default)]
    pub settings: Option<Box<TuneSettings>>,
    /// Folder of the run.
    pub out: Option<PathBuf>,
    /// Folder of a run to go on with.
    pub resume: Option<PathBuf>,
    /// Seed of all draws.
    pub seed: u64,
    /// Computes.
    pub device: DeviceChoice,
    /// Compute a share of each training step.
    #[serde(default)]
    pub helpers: Vec<DeviceChoice>,
}

/// Settings of [`Command::Demo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demo {
    /// Folder for the sample world and the runs.
    pub out: PathBuf,
    /// Whether to run each stage alone too.
    pub stages: bool,
    /// Seed of world and draws.
    pub seed: u64,
    /// Computes.
    pub device: DeviceChoice,
}

/// Settings of [`Command::GenerateSample`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerateSample {
    /// Number of passages.
    pub passages: u64,
    /// Number of questions.
    pub questions: u64,
    /// Folder for the files.
    pub out: PathBuf,
    /// Seed of the world.
    pub seed: u64,
}

/// Settings of [`Command::Bench`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bench {
    /// Folder of an encoder; without one the one that ships.
    pub encoder: Option<PathBuf>,
    /// Folder of a language model; without one the one that ships.
    pub llm: Option<PathBuf>,
    /// Others' figures, as `tests/references/torch_bench.py` prints them.
    pub peers: Option<PathBuf>,
    /// Times that everything is measured; the median counts.
    pub rounds: usize,
    /// Texts that a model reads at once.
    #[serde(default = "Bench::texts")]
    pub texts: usize,
    /// Questions of a training step, with two passages each.
    pub questions: usize,
    /// Tokens of a text.
    pub tokens: usize,
    /// What is measured.
    pub device: DeviceChoice,
}

impl Bench {
    /// Texts that a model reads at once where nothing else is said.
    pub const TEXTS: usize = 8;

    fn texts() -> usize {
        Self::TEXTS
    }
}

/// Settings of [`Command::Lend`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lend {
    /// `HOST:PORT` to listen at.
    pub listen: String,
    /// What who borrows must know; made up when it is left open.
    pub token: Option<String>,
    /// What is lent.
    pub device: DeviceChoice,
}
