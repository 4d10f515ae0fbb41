//! Commands that look closer at questions, passages and answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::EncoderSource;
use crate::device::DeviceChoice;

/// Settings of [`Command::Inspect`](super::Command::Inspect).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspect {
    /// The encoder.
    pub encoder: EncoderSource,
    /// The index that holds the [`InspectText::Stored`] passages.
    pub index: Option<PathBuf>,
    /// What to look at.
    pub texts: Vec<InspectText>,
    /// At most so many tokens of each, the heaviest ones.
    pub top: usize,
    /// Computes the vectors.
    pub device: DeviceChoice,
}

/// A text whose vector is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InspectText {
    /// A question.
    Question(String),
    /// A passage.
    Passage {
        /// Its title, empty when there is none.
        title: String,
        /// Its text.
        text: String,
    },
    /// A passage of the index, by its id.
    Stored(String),
}

/// Settings of [`Command::Weigh`](super::Command::Weigh).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weigh {
    /// Folder of the index.
    pub index: PathBuf,
    /// Folder of the language model.
    pub llm: PathBuf,
    /// Prompt template.
    pub template: Option<PathBuf>,
    /// The question.
    pub question: String,
    /// Ids of the passages, each of which is put into the context alone.
    pub passages: Vec<String>,
    /// The answer whose probability is wanted; without one it is the answer that the model writes for each passage.
    pub answer: Option<String>,
    /// Most new tokens of a written answer.
    pub max_new_tokens: usize,
    /// Computes.
    pub device: DeviceChoice,
}
