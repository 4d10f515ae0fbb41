//! Commands about the files that an index is made of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::EncoderSource;

/// Settings of [`Command::UpdateIndex`](super::Command::UpdateIndex).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateIndex {
    /// All files and folders that the index shall hold, in order. What is no longer among them leaves the index.
    pub sources: Vec<PathBuf>,
    /// A `tokenizer.json` or a folder with one; without it the encoder's.
    pub tokenizer: Option<PathBuf>,
    /// The encoder whose tokenizer and passage length are used.
    pub encoder: Option<EncoderSource>,
    /// Most bytes of memory that postings may take while the index is built.
    pub memory: Option<u64>,
    /// Folder of the index; it is made when there is none.
    pub index: PathBuf,
}

/// Settings of [`Command::ListPassages`](super::Command::ListPassages).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPassages {
    /// Folder of the index.
    pub index: PathBuf,
    /// Only passages whose id, title or text contains this, whatever the case; all when it is empty.
    pub find: String,
    /// Only passages that were cut from this file, named as in [`Source`](ragtune_text::Source).
    pub file: Option<String>,
    /// Passages to leave out at the start of the list.
    pub offset: u64,
    /// At most so many passages.
    pub limit: usize,
}
