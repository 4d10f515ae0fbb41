//! Arguments about questions.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Ids;
use super::llm::Template;

#[derive(Debug, Subcommand)]
pub(crate) enum QuestionsSub {
    /// Look through questions: what can be used, and what is wrong on which line
    ///
    /// Nothing is changed. With --index, gold passages are looked up in it, and answers in their gold passages.
    Check(Check),
    /// Write questions as qa.jsonl, the form that everything here reads
    ///
    /// Reads a qa.jsonl, a BEIR folder, DPR's json, or a table of questions and answers (question, tab, answer; or
    /// comma-separated), and gives every question without an id one.
    Write {
        /// The questions, or - to read them from standard input
        #[arg(value_name = "PATH|-")]
        questions: PathBuf,
        /// The qa.jsonl
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Let a language model word questions about passages, for you to read and correct
    ///
    /// Each draft is a question about one passage, with the answer that the model gives it. What speaks against a draft
    /// stands beside it. A model that was not trained to follow or continue such text gives poor drafts.
    Draft(Draft),
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The questions: a qa.jsonl, a BEIR folder, DPR's json, a table of questions and answers, or - for standard input
    #[arg(value_name = "PATH|-")]
    pub(crate) questions: PathBuf,
    /// Folder of the index that should hold their gold passages
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ids: Ids,
}

#[derive(Debug, Args)]
pub(crate) struct Draft {
    /// Folder of the index whose passages are asked about
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Folder of the language model, a GGUF file, or hf:OWNER/NAME
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: PathBuf,
    #[command(flatten)]
    pub(crate) template: Template,
    /// Number of drafts
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) count: usize,
    /// Write the drafts that nothing speaks against to this qa.jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
