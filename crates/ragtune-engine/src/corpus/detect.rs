//! Which files a path stands for, and how they are written.

use crate::fs::{self, File};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use ragtune_text::TextError;
use ragtune_text::formats::{TextKind, decompress};

use super::{CorpusFile, CorpusFormat};
use crate::{EngineError, Result};

/// Bytes of a file that tell what it is.
const PEEK: u64 = 1 << 16;

/// What a path, or an entry of a folder, turned out to be.
pub(crate) enum Found {
    /// A file of the corpus.
    File {
        /// The file.
        file: CorpusFile,
        /// It was found in a folder, and not named itself.
        walked: bool,
    },
    /// Something in a folder that is left alone.
    Skipped {
        /// As the user would name it.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// It cannot be looked at, or nobody knows what it is.
    Failed {
        /// As the user named it.
        name: String,
        /// What is wrong.
        error: EngineError,
    },
}

/// Looks at a file or a folder with all below it, in the order of the names.
pub(super) fn files(path: &Path, found: &mut Vec<Found>) {
    let name = shown(path);
    let kind = match fs::metadata(path).map_err(|error| EngineError::io(path, missing(error))) {
        Ok(kind) => kind,
        Err(error) => return found.push(Found::Failed { name, error }),
    };
    if !kind.is_dir() {
        return found.push(match format(path, &name, kind.is_file()) {
            Ok(format) => {
                let file = CorpusFile { path: path.to_owned(), name, format, bytes: kind.len() };
                Found::File { file, walked: false }
            }
            Err(error) => Found::Failed { name, error },
        });
    }
    for corpus in ["corpus.jsonl", "corpus.jsonl.gz"] {
        let inside = path.join(corpus);
        if let Ok(kind) = fs::metadata(&inside)
            && kind.is_file()
        {
            let name = shown(&inside);
            let file = CorpusFile { name, path: inside, format: CorpusFormat::Jsonl, bytes: kind.len() };
            return found.push(Found::File { file, walked: false });
        }
    }
    let before = found.len();
    walk(path, found);
    if !found[before..].iter().any(|found| matches!(found, Found::File { .. } | Found::Failed { .. })) {
        let error = TextError::empty_corpus(&name).into();
        found.push(Found::Failed { name, error });
    }
}

/// The documents of a folder in the order of their names.
fn walk(folder: &Path, found: &mut Vec<Found>) {
    let listed = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<fs::DirEntry>>>);
    let mut entries = match listed {
        Ok(entries) => entries,
        Err(error) => {
            let error = TextError::io(&shown(folder), error).into();
            return found.push(Found::Failed { name: shown(folder), error });
        }
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = shown(&path);
        let skipped = |reason| Found::Skipped { name: name.clone(), reason };
        let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let kind = fs::metadata(&path);
        let is_dir = kind.as_ref().is_ok_and(fs::Metadata::is_dir);
        found.push(match (kind, TextKind::of(&name)) {
            _ if entry.file_name().to_string_lossy().starts_with('.') => skipped("hidden"),
            (Err(_), _) => skipped("a link that leads nowhere"),
            // Following it could go round in circles.
            _ if is_dir && linked => skipped("a link to a folder; name the folder itself to read it"),
            _ if is_dir => {
                walk(&path, found);
                continue;
            }
            (Ok(kind), _) if !kind.is_file() => skipped("no ordinary file"),
            (Ok(kind), Some(text)) => {
                let file = CorpusFile { name, path, format: CorpusFormat::Text(text), bytes: kind.len() };
                Found::File { file, walked: true }
            }
            (Ok(_), None) => skipped("of a kind that is not read in folders: .txt, .md, .html, .pdf and .docx are"),
        });
    }
}

fn format(path: &Path, name: &str, ordinary: bool) -> Result<CorpusFormat> {
    if !ordinary {
        return Err(EngineError::input(format!("{name}: no ordinary file; write what it gives to one first")));
    }
    let plain = plain_name(name).to_ascii_lowercase();
    if let Some(kind) = TextKind::of(&plain)
        && plain.len() == name.len()
    {
        return Ok(CorpusFormat::Text(kind));
    }
    if plain.ends_with(".tsv") {
        return Ok(CorpusFormat::Psgs);
    }
    let line = first_line(path)?;
    let start = line.trim_start_matches('\u{feff}').trim_start();
    let dpr = line.contains("\"positive_ctxs\"") || line.contains("\"ctxs\"");
    match start.chars().next() {
        Some('[') => Ok(CorpusFormat::Dpr),
        Some('{') if dpr => Ok(CorpusFormat::Dpr),
        Some('{') => Ok(CorpusFormat::Jsonl),
        None => Err(TextError::empty_corpus(name).into()),
        // The reader of the format names the line and what is wrong with it.
        _ if plain.ends_with(".jsonl") => Ok(CorpusFormat::Jsonl),
        _ if plain.ends_with(".json") => Ok(CorpusFormat::Dpr),
        _ => Err(EngineError::input(format!(
            "{name}: unknown kind of corpus. Give a BEIR folder, a .jsonl, a DPR .json, a psgs_w100 .tsv, or .txt, .md, .html, .pdf and .docx files"
        ))),
    }
}

/// The first line that is not blank, or as much of it as tells what the file is.
pub(crate) fn first_line(path: &Path) -> Result<String> {
    let fail = |error| EngineError::io(path, error);
    let mut reader = decompress(File::open(path).map_err(|error| fail(missing(error)))?).take(PEEK);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(fail)? == 0 || !line.trim_ascii().is_empty() {
            return Ok(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

/// The name without `.gz`.
pub(crate) fn plain_name(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name)
}

fn shown(path: &Path) -> String {
    let path: PathBuf = path.components().collect();
    path.display().to_string().replace('\\', "/")
}

fn missing(error: std::io::Error) -> std::io::Error {
    match error.kind() {
        kind @ std::io::ErrorKind::NotFound => std::io::Error::new(kind, "no such file or folder; check the path"),
        _ => error,
    }
}
