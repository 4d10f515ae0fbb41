//! What can be wrong with a model, named with its file and the way out.

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read or written.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{file}: {reason}. {hint}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
        /// The way out.
        hint: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error(
        "{file}: tensor `{name}` is missing. The weights do not fit this config.json; check that both come from the same model"
    )]
    MissingTensor {
        /// The file or folder.
        file: String,
        /// The tensor's name.
        name: String,
    },
    /// A tensor of another shape than the config says.
    #[error("{file}: tensor `{name}` has shape {found:?}, config.json needs {expected:?}")]
    Shape {
        /// The file or folder.
        file: String,
        /// The tensor's name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that is needed.
        expected: Vec<usize>,
    },
    /// An architecture that is not known here.
    #[error("{file}: model_type `{found}` is not supported. Known: {known}")]
    Architecture {
        /// The config file.
        file: String,
        /// What it says.
        found: String,
        /// What is known.
        known: &'static str,
    },
    /// The input is longer than the model's context.
    #[error(
        "the prompt has {tokens} tokens, the model's context holds {limit}. Use a shorter passage or fewer documents"
    )]
    TooLong {
        /// Tokens of the input.
        tokens: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// The tokenizer and the weights do not belong together.
    #[error("{file}: {reason}")]
    Tokenizer {
        /// The tokenizer's file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// A model cannot be addressed as a chat.
    #[error(
        "{file}: its chat template cannot be used: {reason}. Leave `chat` out of the prompt template to put prompts as they are"
    )]
    Chat {
        /// The file that holds the template.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// An error of the text room.
    #[error(transparent)]
    Text(#[from] ragtune_text::TextError),
}

impl ModelError {
    pub(crate) fn damaged(file: &str, reason: impl ToString, hint: &str) -> Self {
        Self::Damaged { file: file.to_owned(), reason: reason.to_string(), hint: hint.to_owned() }
    }
}
