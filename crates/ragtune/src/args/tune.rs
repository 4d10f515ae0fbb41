//! Arguments about tuning and its figures.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ragtune_engine::{DeviceChoice, command};

use super::llm::Template;
use super::search::{Encoder, Head, SearchMethod};

/// How the questions' passages are called in the corpus.
#[derive(Debug, Args)]
pub(crate) struct Ids {
    /// The corpus names the passages of these questions PREFIX/ID
    #[arg(long, value_name = "PREFIX")]
    pub(crate) id_prefix: Option<String>,
    /// Duplicates that the corpus left out: lines of duplicate id, tab, kept id; that of the index is used anyway
    #[arg(long, value_name = "FILE")]
    pub(crate) aliases: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    /// Folder of the language model; without it only the search is measured
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: Option<PathBuf>,
    /// Questions with answers: a BEIR folder with qa.jsonl, such a file, or DPR's json
    #[arg(long, value_name = "PATH")]
    pub(crate) questions: PathBuf,
    #[command(flatten)]
    pub(crate) ids: Ids,
    /// Which of the questions
    #[arg(long, value_enum, default_value = "test")]
    pub(crate) split: SplitName,
    /// Only so many of them, the first ones
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Numbers of passages that the language model gets to read
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 10])]
    pub(crate) docs: Vec<usize>,
    #[command(flatten)]
    pub(crate) method: SearchMethod,
    #[command(flatten)]
    pub(crate) template: Template,
    /// Also list every question
    #[arg(long)]
    pub(crate) details: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SplitName {
    /// What tuning learns from
    Train,
    /// What tuning chooses its checkpoint on
    Dev,
    /// What is only reported on
    Test,
    /// All questions
    All,
}

#[derive(Debug, Args)]
pub(crate) struct Tune {
    /// Files or folders to index first, in the formats of `index build`
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "index")]
    pub(crate) corpus: Vec<PathBuf>,
    /// Folder of an index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,
    /// Questions with answers: a BEIR folder with qa.jsonl, such a file, or DPR's json
    #[arg(long, value_name = "PATH", required_unless_present = "resume")]
    pub(crate) questions: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ids: Ids,
    /// Folder of the encoder to start from
    #[arg(long, value_name = "DIR", required_unless_present = "resume")]
    pub(crate) encoder: Option<PathBuf>,
    /// How the encoder's output becomes a vector; without it as its folder says, else sidr
    #[arg(long, value_enum)]
    pub(crate) head: Option<Head>,
    /// Folder of the language model, a GGUF file, or hf:OWNER/NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) template: Template,
    /// What tells good passages from bad ones: rag (the language model's answers) or gold (the questions' own lists)
    #[arg(long, value_enum)]
    pub(crate) supervision: Option<SupervisionName>,
    /// offline (passages found by the start), online (passages found while tuning), or both
    #[arg(long, value_enum, value_name = "STAGE,STAGE", value_delimiter = ',')]
    pub(crate) stages: Vec<StageName>,
    /// TOML file with every other setting
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the run: settings, figures, checkpoints
    #[arg(long, value_name = "RUN", required_unless_present_any = ["resume", "estimate"])]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in this folder
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub(crate) resume: Option<PathBuf>,
    /// A device that computes a share of each training step beside --device: cpu, gpu:N, or TOKEN@HOST:PORT as `ragtune lend`
    /// on another machine prints it; may be given several times
    #[arg(long, value_name = "DEVICE")]
    pub(crate) helper: Vec<DeviceChoice>,
    /// Only say what the tuning would take, measured on a small part of it; nothing is written
    #[arg(long)]
    pub(crate) estimate: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SupervisionName {
    /// The questions' own lists of right passages
    Gold,
    /// The language model's answers
    Rag,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StageName {
    /// With passages that the start finds
    Offline,
    /// With passages that the encoder finds while it is tuned
    Online,
}

impl From<SupervisionName> for command::Supervision {
    fn from(name: SupervisionName) -> Self {
        match name {
            SupervisionName::Gold => Self::Gold,
            SupervisionName::Rag => Self::Rag,
        }
    }
}

impl From<StageName> for command::Stage {
    fn from(name: StageName) -> Self {
        match name {
            StageName::Offline => Self::Offline,
            StageName::Online => Self::Online,
        }
    }
}

impl SplitName {
    /// The split; none stands for all.
    pub(crate) fn split(self) -> Option<command::Split> {
        match self {
            Self::Train => Some(command::Split::Train),
            Self::Dev => Some(command::Split::Dev),
            Self::Test => Some(command::Split::Test),
            Self::All => None,
        }
    }
}
