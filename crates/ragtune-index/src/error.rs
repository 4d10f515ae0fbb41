//! What can go wrong with an index, and the way out.

use ragtune_text::storage::FooterError;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, IndexError>;

/// Why an index could not be built, opened or searched.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The storage failed.
    #[error("{file}: {source}")]
    Io {
        /// The file that was being read or written.
        file: String,
        /// What the storage said.
        source: std::io::Error,
    },
    /// There is no index in the folder, or its building was interrupted.
    #[error("{file}: no index here, or its building was interrupted; build it with `ragtune index build`")]
    Missing {
        /// The `meta.json` that was looked for.
        file: String,
    },
    /// A file is not what was written.
    #[error("{file}: {reason}; rebuild with `ragtune index build`")]
    Corrupt {
        /// The damaged file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The index was written by a build with another format.
    #[error(
        "{file}: index format {found}, this build reads {supported}; use the ragtune that wrote it, or rebuild with `ragtune index build`"
    )]
    Format {
        /// The file that says so.
        file: String,
        /// Format of the file.
        found: u64,
        /// The format that this build reads.
        supported: u32,
    },
    /// The corpus holds no passage.
    #[error("the corpus holds no passage: nothing was indexed; check the path given with --corpus and its file format")]
    EmptyCorpus,
    /// Two passages share an identifier.
    #[error(
        "passage id {id:?} occurs twice: passages {first} and {second} (counted from 0); give every passage its own id"
    )]
    DuplicateId {
        /// The identifier.
        id: String,
        /// Ordinal of the passage that had it first.
        first: u32,
        /// Ordinal of the passage that repeats it.
        second: u32,
    },
    /// A build setting makes no sense.
    #[error("index setting: {0}")]
    Config(String),
    /// A vector or bag does not fit the index.
    #[error("passage {ordinal} (counted from 0): {reason}")]
    Vector {
        /// Ordinal of the passage.
        ordinal: u32,
        /// What is wrong with its vector.
        reason: String,
    },
    /// The limit of what one index holds.
    #[error("an index holds at most {limit} passages; split the corpus over several indexes")]
    TooManyPassages {
        /// The limit.
        limit: u32,
    },
    /// There is no such passage.
    #[error("no passage {ordinal}: the index holds {passages}, counted from 0")]
    NoPassage {
        /// The ordinal asked for.
        ordinal: u32,
        /// Number of passages.
        passages: u32,
    },
    /// The index was built with another tokenizer.
    #[error(
        "the index was built with another lexical vocabulary ({index}) than the encoder's ({asked}); rebuild with `ragtune index build --tokenizer` and the encoder's tokenizer"
    )]
    Vocab {
        /// Fingerprint stored with the index.
        index: String,
        /// Fingerprint of whoever asks.
        asked: String,
    },
    /// The index has no parametric part.
    #[error(
        "the index has no parametric part, which this search mode needs; add it with `ragtune index build --parametric`, or search with `--mode late`"
    )]
    NoParametric,
    /// The parametric part was made by another encoder.
    #[error(
        "the parametric index was made by another encoder ({index}) than the one in use ({asked}); refresh it with `ragtune index build --parametric`"
    )]
    StaleParametric {
        /// Fingerprint of the encoder that made the parametric index.
        index: String,
        /// Fingerprint of the encoder in use.
        asked: String,
    },
    /// The parametric build stopped before the last passage, or went past it.
    #[error(
        "the parametric index needs one vector per passage: the index holds {passages} passages, {vectors} vectors were given"
    )]
    ParametricCount {
        /// Passages in the index.
        passages: u32,
        /// Vectors that were given.
        vectors: u32,
    },
}

impl IndexError {
    pub(crate) fn corrupt(file: &str, reason: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), reason: reason.into() }
    }

    pub(crate) fn io(file: &str, source: std::io::Error) -> Self {
        Self::Io { file: file.to_owned(), source }
    }

    pub(crate) fn footer(file: &str, error: FooterError) -> Self {
        match error {
            FooterError::Version { found, supported } => {
                Self::Format { file: file.to_owned(), found: u64::from(found), supported }
            }
            other => Self::corrupt(file, other.to_string()),
        }
    }
}
