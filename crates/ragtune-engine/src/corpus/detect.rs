//! Which files a path stands for, and how they are written.

use std::fs::{self, File};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use ragtune_text::TextError;
use ragtune_text::formats::{TextKind, decompress};

use super::{CorpusFile, CorpusFormat};
use crate::{EngineError, Result};

/// Bytes of a file that tell what it is.
const PEEK: u64 = 1 << 16;

pub(super) fn files(path: &Path, files: &mut Vec<CorpusFile>) -> Result<()> {
    let kind = fs::metadata(path).map_err(|error| EngineError::io(path, missing(error)))?;
    if !kind.is_dir() {
        files.push(file(path, kind.len())?);
        return Ok(());
    }
    for name in ["corpus.jsonl", "corpus.jsonl.gz"] {
        let inside = path.join(name);
        if let Ok(kind) = fs::metadata(&inside)
            && kind.is_file()
        {
            files.push(CorpusFile {
                name: shown(&inside),
                path: inside,
                format: CorpusFormat::Jsonl,
                bytes: kind.len(),
            });
            return Ok(());
        }
    }
    let before = files.len();
    walk(path, files)?;
    if files.len() == before {
        return Err(TextError::empty_corpus(&shown(path)).into());
    }
    Ok(())
}

/// The text files of a folder in the order of their names; hidden files and linked folders are left out.
fn walk(folder: &Path, files: &mut Vec<CorpusFile>) -> Result<()> {
    let fail = |error| EngineError::io(folder, error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        entries.push(entry.map_err(fail)?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let Ok(kind) = fs::metadata(&path) else { continue };
        if hidden || (kind.is_dir() && entry.file_type().is_ok_and(|link| link.is_symlink())) {
            continue;
        }
        if kind.is_dir() {
            walk(&path, files)?;
        } else if let Some(text) = TextKind::of(&shown(&path)) {
            files.push(CorpusFile { name: shown(&path), path, format: CorpusFormat::Text(text), bytes: kind.len() });
        }
    }
    Ok(())
}

fn file(path: &Path, bytes: u64) -> Result<CorpusFile> {
    let name = shown(path);
    let format = format(path, &name)?;
    Ok(CorpusFile { path: path.to_owned(), name, format, bytes })
}

fn format(path: &Path, name: &str) -> Result<CorpusFormat> {
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
            "{name}: unknown kind of corpus. Give a BEIR folder, a .jsonl, a DPR .json, a psgs_w100 .tsv, or .txt, .md and .html files"
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
