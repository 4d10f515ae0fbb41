//! What is said of the files of an index.

use ragtune_text::Source;
use serde::{Deserialize, Serialize};

use super::BuildReport;

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOutcome {
    /// As the user named it, with `/` between folders.
    pub file: String,
    /// What became of it.
    pub state: FileState,
}

/// What became of a file that an index was to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum FileState {
    /// It was read.
    Indexed {
        /// Its passages.
        passages: u64,
    },
    /// It is as it was when it was last read: its passages were kept.
    Unchanged {
        /// Its passages.
        passages: u64,
    },
    /// It was left alone.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It could not be read; the other files were.
    Failed {
        /// What is wrong, with the line or the page, and the way out.
        reason: String,
    },
    /// It was in the index and is no longer among the sources.
    Removed,
}

/// Result of bringing an index up to date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateReport {
    /// The index.
    #[serde(flatten)]
    pub built: BuildReport,
    /// Files that were read.
    pub indexed: usize,
    /// Files that were kept.
    pub unchanged: usize,
    /// Files that were left alone.
    pub skipped: usize,
    /// Files that could not be read.
    pub failed: usize,
    /// Files that left the index.
    pub removed: usize,
    /// Every file, in the order of the sources.
    pub files: Vec<FileOutcome>,
}

/// A part of an index's passages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PassageList {
    /// Passages that fit, in the whole index.
    pub total: u64,
    /// Of which so many were left out at the start.
    pub offset: u64,
    /// The others, in the order of the corpus.
    pub passages: Vec<ListedPassage>,
    /// The files of the index with their numbers of passages, in the order of the corpus; passages without a source
    /// are not counted.
    pub files: Vec<(String, u64)>,
}

/// A passage of an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListedPassage {
    /// Position in the corpus, from 0.
    pub ordinal: u32,
    /// Identifier in the corpus.
    pub id: String,
    /// Title, empty when there is none.
    pub title: String,
    /// Body text.
    pub text: String,
    /// Where it was cut from.
    pub source: Option<Source>,
}
