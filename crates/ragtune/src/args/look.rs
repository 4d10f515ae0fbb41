//! Arguments of what looks closer, and of what the window shares with the command line.

use std::path::PathBuf;

use clap::Args;

use super::Encoder;
use super::llm::Template;

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    /// A question to look at; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) question: Vec<String>,
    /// Id of a passage of the index to look at; may be repeated
    #[arg(long, value_name = "ID", requires = "index")]
    pub(crate) passage: Vec<String>,
    /// Folder of the index that holds the passages
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,
    /// Show so many tokens of each, the heaviest ones
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) top: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Weigh {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Folder of the language model, a GGUF file, or hf:OWNER/NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: PathBuf,
    /// The question
    #[arg(long, value_name = "TEXT")]
    pub(crate) question: String,
    /// Id of a passage to put into the context; may be repeated, each is tried alone
    #[arg(long, value_name = "ID", required = true)]
    pub(crate) passage: Vec<String>,
    /// The answer whose probability is wanted; without it the one that the model writes with each passage
    #[arg(long, value_name = "TEXT")]
    pub(crate) answer: Option<String>,
    /// At most so many new tokens in a written answer
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_new_tokens: usize,
    #[command(flatten)]
    pub(crate) template: Template,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A transcript: one command a line, as the window writes it to PROJECT/transcript.jsonl
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Gui {
    /// Open this project; a folder that is none yet becomes one
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
}
