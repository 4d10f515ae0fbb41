//! Arguments about language models and what they answer, and about the speed of all models.

use std::path::PathBuf;

use clap::Args;

use super::search::{Encoder, SearchMethod};

/// A language model and how it is asked.
#[derive(Debug, Args)]
pub(crate) struct Score {
    /// Folder of the language model, a GGUF file, or hf:OWNER/NAME
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) llm: PathBuf,
    /// jsonl: "id", "answers", and "prompt", or "question" and "passage" {"title", "text"}
    #[arg(long, value_name = "FILE")]
    pub(crate) items: PathBuf,
    #[command(flatten)]
    pub(crate) template: Template,
}

#[derive(Debug, Args)]
pub(crate) struct Template {
    /// Wording of prompts: TOML (passage, numbered, free_form, closed_set, answer_prefix, chat, system), a text with
    /// {passages} and {question}, or `chat` for an instruct model that has a chat template
    #[arg(long, value_name = "FILE|chat")]
    pub(crate) template: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Folder of the language model, a GGUF file, or hf:OWNER/NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: PathBuf,
    /// The prompt, or - to read it from standard input; an empty one starts from the model's first token
    #[arg(long, value_name = "TEXT|-", default_value = "", allow_hyphen_values = true)]
    pub(crate) prompt: String,
    /// Put the prompt as a message, in the words of the model's chat template
    #[arg(long)]
    pub(crate) chat: bool,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_new_tokens: usize,
    /// 0 always takes the most probable token; higher is more varied
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) temperature: f32,
}

#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    /// Folder of the language model, a GGUF file, or hf:OWNER/NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: PathBuf,
    /// The question
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) query: String,
    /// Number of passages that the language model gets to read
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) docs: usize,
    #[command(flatten)]
    pub(crate) method: SearchMethod,
    #[command(flatten)]
    pub(crate) template: Template,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_new_tokens: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Folder of an encoder to measure with; without it the small one that ships
    #[arg(long, value_name = "DIR")]
    pub(crate) encoder: Option<PathBuf>,
    /// Folder of a language model to measure with; without it the small one that ships
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: Option<PathBuf>,
    /// Figures of a peer to put beside: what tests/references/torch_bench.py prints
    #[arg(long, value_name = "FILE")]
    pub(crate) peers: Option<PathBuf>,
    /// Times that everything is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Texts that a model reads at once; a large card wants 64 or more
    #[arg(long, value_name = "N", default_value_t = ragtune_engine::command::Bench::TEXTS)]
    pub(crate) texts: usize,
    /// Questions of a training step, with a positive and a negative passage each
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) questions: usize,
    /// Tokens of a text
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) tokens: usize,
}
