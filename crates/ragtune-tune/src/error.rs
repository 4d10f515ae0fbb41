//! What can stop a tuning, and the way out.

use ragtune_index::IndexError;
use ragtune_model::ModelError;
use ragtune_rag::RagError;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// A file of the run cannot be read or written.
    #[error("{file}: {source}. What was saved before is whole: free the cause and resume")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the run holds something else than it should.
    #[error("{file}: {reason}. Remove the file to compute it again, or start a new run")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A setting that cannot work.
    #[error("setting `{name}`: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong and what would work.
        reason: String,
    },
    /// Nothing is left to train on.
    #[error("no question can be trained on: {reason}")]
    NoQuestions {
        /// Why, with counts and what to try.
        reason: String,
    },
    /// The loss stopped being finite.
    #[error(
        "step {step}: the loss is not finite, and was not {times} times in a row. The last checkpoint is whole; lower the learning rate or raise the temperature, then resume"
    )]
    Diverged {
        /// The step.
        step: usize,
        /// Steps in a row.
        times: usize,
    },
    /// An error of the model room.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An error of the index room.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An error of the RAG room.
    #[error(transparent)]
    Rag(#[from] RagError),
}

/// A result of this room.
pub type Result<T> = std::result::Result<T, TuneError>;
