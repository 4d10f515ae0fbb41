//! What can go wrong between retriever and language model, and the way out.

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, RagError>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum RagError {
    /// A prompt template cannot be used.
    #[error("{file}: {reason}")]
    Template {
        /// The template's file, or the setting that holds it.
        file: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A question that cannot be scored.
    #[error("question {id:?}: {reason}")]
    Question {
        /// The question's identifier.
        id: String,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// A setting out of its range, or one that needs something that is not there.
    #[error("{name}: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// The question alone does not fit into the language model's context.
    #[error(
        "question {id:?}: without any passage its prompt takes {tokens} tokens, and {reserved} are kept free for the answer, but the language model's context holds {limit}; shorten the question or the template, lower max_new_tokens, or use a model with a longer context"
    )]
    Context {
        /// The question's identifier.
        id: String,
        /// Tokens of the prompt without passages.
        tokens: usize,
        /// Tokens kept free for answers and generation.
        reserved: usize,
        /// Tokens that the context holds.
        limit: usize,
    },
    /// The caller asked to stop.
    #[error("cancelled after {done} of {total}")]
    Cancelled {
        /// Items that were finished.
        done: usize,
        /// Items in all.
        total: usize,
    },
    /// An error of the model room.
    #[error(transparent)]
    Model(#[from] ragtune_model::ModelError),
    /// An error of the index room.
    #[error(transparent)]
    Index(#[from] ragtune_index::IndexError),
    /// An error of the text room.
    #[error(transparent)]
    Text(#[from] ragtune_text::TextError),
}
