//! Arguments about encoders and what is found with them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ragtune_engine::command::{self, FirstStage, HeadKind, SearchMode};

#[derive(Debug, Args)]
pub(crate) struct OptionalEncoder {
    /// Folder of the encoder (of BERT or its kin, or a checkpoint of `ragtune tune`), or hf:OWNER/NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) encoder: Option<PathBuf>,
    /// How the encoder's output becomes a vector; without it as its folder says, else sidr
    #[arg(long, value_enum)]
    pub(crate) head: Option<Head>,
}

#[derive(Debug, Args)]
pub(crate) struct Encoder {
    /// Folder of the encoder (of BERT or its kin, or a checkpoint of `ragtune tune`), or hf:OWNER/NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) encoder: PathBuf,
    /// How the encoder's output becomes a vector; without it as its folder says, else sidr
    #[arg(long, value_enum)]
    pub(crate) head: Option<Head>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Head {
    /// A weight for every word of the vocabulary (SiDR)
    Sidr,
    /// The same with SPLADE's formula, for models trained so
    Splade,
    /// One dense vector, the mean over the text: for `encode`, and for `full` in an index that was built with it
    Dense,
}

/// How to search.
#[derive(Debug, Args)]
pub(crate) struct SearchMethod {
    /// What is compared with what
    #[arg(long, value_enum, default_value = "late")]
    pub(crate) mode: Mode,
    /// What finds the candidates of the mode late
    #[arg(long, value_enum, value_name = "STAGE", default_value = "bot")]
    pub(crate) first_stage: First,
    /// Number of candidates that the mode late reads again
    #[arg(short = 'm', value_name = "N", default_value_t = 100)]
    pub(crate) m: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Mode {
    /// The question's expanded words against the passages' words
    Bot,
    /// The question's own words, weighted, against the passages' words
    Own,
    /// Expanded against expanded; needs an index with --parametric
    Full,
    /// The question's plain words against the passages' expanded ones; needs an index with --parametric
    Alpha,
    /// Candidates by a first stage, then as full; reads the candidates on the spot
    Late,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum First {
    /// As the mode bot
    Bot,
    /// As the mode own
    Own,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["query", "queries"])]
pub(crate) struct Search {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    #[command(flatten)]
    pub(crate) method: SearchMethod,
    /// Number of passages to show
    #[arg(short = 'k', value_name = "N", default_value_t = 10)]
    pub(crate) k: usize,
    /// One question
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) query: Option<String>,
    /// Many: jsonl with "id" and "text", a questions file, or a BEIR folder
    #[arg(long, value_name = "FILE")]
    pub(crate) queries: Option<PathBuf>,
    /// Also write what was found as a TREC run file
    #[arg(long, value_name = "FILE")]
    pub(crate) run: Option<PathBuf>,
    /// Show which words make each score
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Encode {
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    /// Lines of text, or jsonl with "id", "text" and optionally "title"; lines are numbered from 0
    #[arg(long, value_name = "FILE")]
    pub(crate) texts: PathBuf,
    /// Whether the texts are questions or passages: their length limit differs, and their weights in some encoders
    #[arg(long, value_enum, default_value = "passage")]
    pub(crate) kind: TextKind,
    /// Which part of the vector; without it s for questions and s+ for passages
    #[arg(long, value_enum)]
    pub(crate) form: Option<VectorForm>,
    /// Number of largest weights in s and s+
    #[arg(long, value_name = "N", default_value_t = 768)]
    pub(crate) top_k: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TextKind {
    /// Questions
    Query,
    /// Passages
    Passage,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum VectorForm {
    /// The largest weights
    S,
    /// The largest weights and those of the text's own words
    #[value(name = "s+")]
    SPlus,
    /// All weights
    Dense,
    /// 1 for each of the text's own words
    Bot,
}

impl From<Head> for HeadKind {
    fn from(head: Head) -> Self {
        match head {
            Head::Sidr => Self::Sidr,
            Head::Splade => Self::Splade,
            Head::Dense => Self::Dense,
        }
    }
}

impl From<Mode> for SearchMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Bot => Self::Bot,
            Mode::Own => Self::Own,
            Mode::Full => Self::Full,
            Mode::Alpha => Self::Alpha,
            Mode::Late => Self::Late,
        }
    }
}

impl From<First> for FirstStage {
    fn from(stage: First) -> Self {
        match stage {
            First::Bot => Self::Bot,
            First::Own => Self::Own,
        }
    }
}

impl From<TextKind> for command::TextRole {
    fn from(kind: TextKind) -> Self {
        match kind {
            TextKind::Query => Self::Query,
            TextKind::Passage => Self::Passage,
        }
    }
}

impl From<VectorForm> for command::Form {
    fn from(form: VectorForm) -> Self {
        match form {
            VectorForm::S => Self::S,
            VectorForm::SPlus => Self::SPlus,
            VectorForm::Dense => Self::Dense,
            VectorForm::Bot => Self::Bot,
        }
    }
}
