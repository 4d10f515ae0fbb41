//! What is said of questions.

use ragtune_text::{Question, Split};
use serde::{Deserialize, Serialize};

/// Questions that were looked through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionsReport {
    /// The file.
    pub name: String,
    /// Those that can be used, in the order of the file, each with its split.
    pub questions: Vec<Question>,
    /// What is wrong with the file, line by line.
    pub problems: Vec<QuestionProblem>,
    /// Train questions among them.
    pub train: usize,
    /// Dev questions.
    pub dev: usize,
    /// Test questions.
    pub test: usize,
}

impl QuestionsReport {
    /// Counts the splits.
    pub fn counted(mut self) -> Self {
        let count = |split| self.questions.iter().filter(|question| question.split == Some(split)).count();
        (self.train, self.dev, self.test) = (count(Split::Train), count(Split::Dev), count(Split::Test));
        self
    }
}

/// Something wrong in a questions file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionProblem {
    /// The line, from 1; none when it concerns no single line.
    pub line: Option<u64>,
    /// What is wrong and the way out.
    pub reason: String,
    /// Whether the question was left out because of it; else it is a warning.
    pub fatal: bool,
}

/// A question that a language model worded about a passage: a draft, to be read by a person before it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftedQuestion {
    /// The question; its gold passage is the one that it was worded about.
    pub question: Question,
    /// The passage's text.
    pub passage: String,
    /// What speaks against it, when something does: the answer is not in the passage, say.
    pub doubt: Option<String>,
}
