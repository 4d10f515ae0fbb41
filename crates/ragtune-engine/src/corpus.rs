//! Corpora as people have them: BEIR folders, jsonl, DPR's json, `psgs_w100.tsv`, documents and folders of them.

mod detect;
mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragtune_text::formats::{ChunkConfig, TextKind};
use ragtune_text::{TextError, Tokenizer};

pub(crate) use detect::{Found, first_line, plain_name};
pub use read::Passages;
pub(crate) use read::{Counted, FileReader, hash_file};

use crate::fs;
use crate::{EngineError, Result};

/// How one file of a corpus is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorpusFormat {
    /// One passage per line, as JSON with `_id` or `id`, `text`, optional `title`.
    Jsonl,
    /// DPR's questions with contexts: the contexts are the passages.
    Dpr,
    /// `id`, `text`, `title` separated by tabs.
    Psgs,
    /// A document to be cut into passages.
    Text(TextKind),
}

/// One file of a corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusFile {
    /// Where it is.
    pub path: PathBuf,
    /// As the user named it, with `/` between folders: in passage ids, sources and messages.
    pub name: String,
    /// How it is written.
    pub format: CorpusFormat,
    /// Its size on disk in bytes.
    pub bytes: u64,
}

/// A corpus: files in order.
#[derive(Debug, Clone)]
pub struct Corpus {
    files: Vec<CorpusFile>,
    aliases: BTreeMap<String, String>,
}

impl Corpus {
    /// Looks at the given files and folders and finds out what they are. Reads no passage yet.
    ///
    /// A folder is a BEIR folder when it holds a `corpus.jsonl` (or `.jsonl.gz`), else all its documents, in the order of
    /// their names, those of its sub-folders included. An `aliases.tsv` beside a corpus file is read.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        if paths.is_empty() {
            return Err(EngineError::input("no corpus: name one with --corpus PATH"));
        }
        let mut files = Vec::new();
        let mut aliases = BTreeMap::new();
        for found in survey(paths) {
            match found {
                Found::File { file, .. } => files.push(file),
                Found::Skipped { .. } => {}
                Found::Failed { error, .. } => return Err(error),
            }
        }
        for file in &files {
            aliases.extend(file.aliases()?);
        }
        Ok(Self { files, aliases })
    }

    /// The files, in the order in which they are read.
    pub fn files(&self) -> &[CorpusFile] {
        &self.files
    }

    /// Size of all files on disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Ids of passages that were left out as duplicates, with the id of the one that was kept.
    pub fn aliases(&self) -> &BTreeMap<String, String> {
        &self.aliases
    }

    /// Streams the passages. Text files are cut with the given tokenizer; the other formats do not need it.
    pub fn passages<'a>(&'a self, tokenizer: &'a Tokenizer, chunks: ChunkConfig) -> Passages<'a> {
        Passages::new(&self.files, tokenizer, chunks)
    }

    /// The error for a corpus that turned out to hold no passage.
    pub fn empty(&self) -> EngineError {
        let name = self.files.first().map_or("the corpus", |file| &file.name);
        TextError::empty_corpus(name).into()
    }
}

/// Looks at the given files and folders, and says of every one what it is.
pub(crate) fn survey(paths: &[PathBuf]) -> Vec<Found> {
    let mut found = Vec::new();
    for path in paths {
        detect::files(path, &mut found);
    }
    found
}

impl CorpusFile {
    /// The list of duplicates beside it; none beside a document.
    pub(crate) fn aliases(&self) -> Result<BTreeMap<String, String>> {
        let beside = self.path.with_file_name(ALIASES);
        if self.has_lines() && fs::is_file(&beside) { read_aliases(&beside) } else { Ok(BTreeMap::new()) }
    }

    /// Whether it is a list of passages, and not a document.
    pub(crate) fn has_lines(&self) -> bool {
        !matches!(self.format, CorpusFormat::Text(_))
    }
}

/// Name of the list of duplicates beside a corpus.
pub const ALIASES: &str = "aliases.tsv";

/// Reads `duplicate-id TAB kept-id`, one pair a line; a header is left out.
pub fn read_aliases(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = crate::fs::read_to_string(path).map_err(|error| EngineError::io(path, error))?;
    parse_aliases(&text, &path.display().to_string())
}

pub(crate) fn parse_aliases(text: &str, name: &str) -> Result<BTreeMap<String, String>> {
    let mut aliases = BTreeMap::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Some((duplicate, kept)) = line.split_once('\t') else {
            let hint = "Write the id of the duplicate, a tab and the id of the passage that is kept";
            return Err(TextError::line(name, at as u64 + 1, "no tab", hint).into());
        };
        if !(at == 0 && duplicate.trim() == "duplicate-id") {
            aliases.insert(duplicate.trim().to_owned(), kept.trim().to_owned());
        }
    }
    Ok(aliases)
}

#[cfg(test)]
mod tests;
