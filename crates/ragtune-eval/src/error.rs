//! What can go wrong when figures are read, computed or written.

/// Why a run file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Reading or writing failed.
    #[error("{file}: {source}")]
    Io {
        /// The file, as the caller named it.
        file: String,
        /// What the reader or writer said.
        source: std::io::Error,
    },
    /// A line of a run file does not say what it should.
    #[error("{file}, line {line}: {reason}; a run file has lines of `query Q0 document rank score tag`")]
    Line {
        /// The file, as the caller named it.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that a run file cannot hold.
    #[error("{what} {name:?} is empty or holds white space, which a TREC run file cannot express; rename it")]
    Name {
        /// What bears the name.
        what: &'static str,
        /// The name.
        name: String,
    },
}
