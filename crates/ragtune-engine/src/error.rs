//! What can go wrong with a job, and whose turn it is: the user's input or the work itself.

use std::fmt::Display;
use std::io;
use std::path::Path;

use ragtune_eval::EvalError;
use ragtune_index::IndexError;
use ragtune_model::ModelError;
use ragtune_rag::RagError;
use ragtune_sample::WorldError;
use ragtune_text::TextError;
use ragtune_tune::TuneError;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, EngineError>;

/// Why a job did not end well.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wrong settings or unusable input. The message names the file, the line and the way out.
    #[error("{0}")]
    Input(String),
    /// The input was good and the work failed.
    #[error("{0}")]
    Failed(String),
    /// A file cannot be read or written.
    #[error("{}", once(&format!("{file}: {source}")))]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Texts, questions, tokenizers.
    #[error("{}", once(.0))]
    Text(#[from] TextError),
    /// Indexes.
    #[error("{}", once(.0))]
    Index(#[from] IndexError),
    /// Models and their weights.
    #[error("{}", once(.0))]
    Model(#[from] ModelError),
    /// Prompts, scores, retrieval.
    #[error("{}", once(.0))]
    Rag(RagError),
    /// Figures and run files.
    #[error("{}", once(.0))]
    Eval(#[from] EvalError),
    /// The sample world.
    #[error(transparent)]
    Sample(#[from] WorldError),
    /// Tuning.
    #[error("{}", once(.0))]
    Tune(TuneError),
    /// The user stopped the job.
    #[error("interrupted")]
    Cancelled,
}

/// Libraries put the file's name before what the storage says, which names it too: once is enough.
fn once(error: &impl Display) -> String {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((file, rest)) if rest.starts_with(&format!("{file}: ")) => rest.to_owned(),
        _ => text,
    }
}

impl EngineError {
    /// An error of the user's input.
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// A file that cannot be read or written.
    pub fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.display().to_string(), source }
    }

    /// The exit code of a process that ends with this error: 2 for bad usage or input, 1 for work that failed, 130
    /// for an interruption.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Cancelled => 130,
            Self::Failed(_) => 1,
            Self::Io { source, .. } | Self::Eval(EvalError::Io { source, .. }) => io_exit_code(source),
            Self::Tune(TuneError::Io { source, .. }) => io_exit_code(source),
            Self::Tune(TuneError::Diverged { .. }) => 1,
            Self::Text(error) | Self::Rag(RagError::Text(error)) => text_exit_code(error),
            Self::Index(error) | Self::Rag(RagError::Index(error)) => index_exit_code(error),
            Self::Model(error) | Self::Rag(RagError::Model(error)) => model_exit_code(error),
            _ => 2,
        }
    }
}

impl From<RagError> for EngineError {
    fn from(error: RagError) -> Self {
        match error {
            RagError::Cancelled { .. } => Self::Cancelled,
            other => Self::Rag(other),
        }
    }
}

fn text_exit_code(error: &TextError) -> u8 {
    if let TextError::Io { source, .. } = error { io_exit_code(source) } else { 2 }
}

fn index_exit_code(error: &IndexError) -> u8 {
    if let IndexError::Io { source, .. } = error { io_exit_code(source) } else { 2 }
}

fn model_exit_code(error: &ModelError) -> u8 {
    match error {
        ModelError::Io { source, .. } => io_exit_code(source),
        ModelError::Text(error) => text_exit_code(error),
        _ => 2,
    }
}

/// A file that is not there or not readable is the user's to mend; a full disk is a failure of the work.
fn io_exit_code(error: &io::Error) -> u8 {
    use io::ErrorKind::{
        InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        UnexpectedEof,
    };
    match error.kind() {
        NotFound | PermissionDenied | InvalidData | InvalidInput | UnexpectedEof | IsADirectory | NotADirectory
        | InvalidFilename => 2,
        _ => 1,
    }
}
