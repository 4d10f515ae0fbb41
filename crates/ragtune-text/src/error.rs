//! What can go wrong with texts and their files. Every message names the file, the place and the way out.

use std::io;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file could not be read or unpacked.
    #[error("{file}: cannot be read: {source}. {}", io_hint(.source))]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// One line (or one record that starts there) is malformed.
    #[error("{file}, line {line}: {reason}. {hint}.")]
    Line {
        /// The file.
        file: String,
        /// Line number, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// The file is not UTF-8.
    #[error("{file}: not UTF-8 at byte {byte}. {hint}.")]
    Encoding {
        /// The file.
        file: String,
        /// Position of the first byte that is not UTF-8, from 0.
        byte: u64,
        /// What to do about it.
        hint: String,
    },
    /// A document that cannot be taken apart.
    #[error("{file}{}: {reason}. {hint}.", .page.map_or_else(String::new, |page| format!(", page {page}")))]
    Document {
        /// The file.
        file: String,
        /// The page, from 1, when it is one page's fault.
        page: Option<u32>,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// A file that is named like a text and holds something else.
    #[error("{file}: not a text: there is a zero byte at byte {byte}. Leave it out, or save it as UTF-8 text.")]
    Binary {
        /// The file.
        file: String,
        /// Position of the first zero byte, from 0.
        byte: u64,
    },
    /// A corpus without a single passage.
    #[error("{file}: no passages in it. {hint}.")]
    EmptyCorpus {
        /// The file or folder.
        file: String,
        /// What to do about it.
        hint: String,
    },
    /// A tokenizer cannot be loaded, or cannot tokenise a text.
    #[error("{file}: {reason}")]
    Tokenizer {
        /// The tokenizer's file.
        file: String,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// A list of token ids that is no lexical vocabulary.
    #[error("lexical vocabulary: {reason}; rebuild the index or checkpoint that holds it")]
    LexicalVocab {
        /// What is wrong.
        reason: String,
    },
    /// A setting out of its range.
    #[error("{name} = {value}: {hint}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        hint: String,
    },
}

impl TextError {
    /// A file that could not be read.
    pub fn io(file: &str, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source }
    }

    /// A malformed line. `line` counts from 1; `reason` and `hint` carry no full stop.
    pub fn line(file: &str, line: u64, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Line { file: file.to_owned(), line, reason: reason.into(), hint: hint.into() }
    }

    /// Bytes that are not UTF-8, starting at `byte` (from 0); `start` is how the file begins.
    pub fn encoding(file: &str, byte: u64, start: &[u8]) -> Self {
        let hint = if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            "It looks like UTF-16: save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`"
        } else {
            "Save it as UTF-8, for example with `iconv -f WINDOWS-1252 -t UTF-8`, or leave it out if it is not text"
        };
        Self::Encoding { file: file.to_owned(), byte, hint: hint.to_owned() }
    }

    /// A document that cannot be taken apart. `reason` and `hint` carry no full stop.
    pub fn document(file: &str, page: Option<u32>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Document { file: file.to_owned(), page, reason: reason.into(), hint: hint.into() }
    }

    /// A corpus without passages.
    pub fn empty_corpus(file: &str) -> Self {
        Self::EmptyCorpus {
            file: file.to_owned(),
            hint: "Give a BEIR corpus.jsonl, a psgs_w100.tsv, or .txt, .md, .html, .pdf and .docx files with text"
                .to_owned(),
        }
    }

    /// A tokenizer that cannot be used.
    pub fn tokenizer(file: &str, reason: impl Into<String>) -> Self {
        Self::Tokenizer { file: file.to_owned(), reason: reason.into() }
    }
}

/// The way out of an I/O error.
fn io_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "Check its name",
        io::ErrorKind::PermissionDenied => "Check its permissions",
        io::ErrorKind::UnexpectedEof => "It ends too early: copy or download it again",
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => "It is damaged: copy or download it again",
        _ => "Check the disk and try again",
    }
}
