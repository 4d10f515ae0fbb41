//! Commands about questions with answers.

use std::path::PathBuf;

use ragtune_text::Question;
use serde::{Deserialize, Serialize};

use super::QuestionSource;
use crate::device::DeviceChoice;

/// Settings of [`Command::CheckQuestions`](super::Command::CheckQuestions).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckQuestions {
    /// The questions.
    pub questions: QuestionSource,
    /// The index that should hold their gold passages.
    pub index: Option<PathBuf>,
    /// The questions themselves, as someone pasted them; the path of `questions` is then only their name.
    #[serde(default)]
    pub text: Option<String>,
}

/// Settings of [`Command::WriteQuestions`](super::Command::WriteQuestions).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteQuestions {
    /// The questions, in order. Ids left empty are made up.
    pub questions: Vec<Question>,
    /// The `qa.jsonl` to write.
    pub out: PathBuf,
}

/// Settings of [`Command::DraftQuestions`](super::Command::DraftQuestions).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DraftQuestions {
    /// Folder of the index whose passages are asked about.
    pub index: PathBuf,
    /// Folder of the language model that words them.
    pub llm: PathBuf,
    /// Prompt template of the answers.
    pub template: Option<PathBuf>,
    /// Number of drafts that are tried.
    pub count: usize,
    /// A `qa.jsonl` to write with the drafts against which nothing speaks.
    #[serde(default)]
    pub out: Option<PathBuf>,
    /// Seed of the choice of passages.
    pub seed: u64,
    /// Computes.
    pub device: DeviceChoice,
}
