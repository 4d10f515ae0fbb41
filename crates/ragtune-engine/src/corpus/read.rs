//! Streams passages from the files of a corpus.

use crate::fs::File;
use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::rc::Rc;

use ragtune_text::formats::{ChunkConfig, beir, decompress, dpr, text_file};
use ragtune_text::hash::Hash64;
use ragtune_text::{Passage, TextError, Tokenizer};

use super::{CorpusFile, CorpusFormat};
use crate::{EngineError, Result};

/// Passages of one file.
type Stream<'a> = Box<dyn Iterator<Item = std::result::Result<Passage, TextError>> + 'a>;

/// Iterates over the passages of a corpus, file after file.
pub struct Passages<'a> {
    files: &'a [CorpusFile],
    next: usize,
    tokenizer: &'a Tokenizer,
    chunks: ChunkConfig,
    current: Option<Stream<'a>>,
    tally: Tally,
}

/// What has been read.
#[derive(Clone, Default)]
struct Tally {
    /// Bytes taken from the disk so far.
    bytes: Rc<Cell<u64>>,
    /// Line of the current file up to which was read.
    lines: Rc<Cell<u64>>,
    /// Hash of the bytes, where it is wanted.
    hash: Option<Rc<RefCell<Hash64>>>,
}

impl<'a> Passages<'a> {
    pub(super) fn new(files: &'a [CorpusFile], tokenizer: &'a Tokenizer, chunks: ChunkConfig) -> Self {
        Self { files, next: 0, tokenizer, chunks, current: None, tally: Tally::default() }
    }

    /// Bytes read from the disk so far, of [`Corpus::bytes`](super::Corpus::bytes).
    pub fn bytes_read(&self) -> u64 {
        self.tally.bytes.get()
    }

    /// Where the passage that came last stands: file, and line when its format has lines.
    pub fn place(&self) -> String {
        let Some(file) = self.next.checked_sub(1).and_then(|at| self.files.get(at)) else { return String::new() };
        match file.format {
            CorpusFormat::Text(_) | CorpusFormat::Dpr => file.name.clone(),
            CorpusFormat::Jsonl | CorpusFormat::Psgs => format!("{}, line {}", file.name, self.tally.lines.get()),
        }
    }
}

/// Streams the passages of one file.
fn open<'a>(
    raw: File,
    file: &'a CorpusFile,
    tokenizer: &'a Tokenizer,
    chunks: ChunkConfig,
    tally: &Tally,
) -> Result<Stream<'a>> {
    let raw = Metered { inner: raw, tally: tally.clone() };
    let lines = Counted::new(decompress(raw), tally.lines.clone());
    let name = file.name.as_str();
    Ok(match file.format {
        CorpusFormat::Jsonl => Box::new(beir::passages(lines, name)),
        CorpusFormat::Psgs => Box::new(dpr::psgs_w100(lines, name)),
        CorpusFormat::Dpr => Box::new(contexts(lines, name)),
        CorpusFormat::Text(kind) => Box::new(text_file::stream(lines, name, kind, tokenizer, chunks)?),
    })
}

/// One file of a corpus, read by itself.
pub(crate) struct FileReader<'a> {
    file: &'a CorpusFile,
    passages: Stream<'a>,
    tally: Tally,
    /// The same open file, for what the format left unread.
    rest: File,
}

impl<'a> FileReader<'a> {
    /// Opens it.
    pub(crate) fn open(file: &'a CorpusFile, tokenizer: &'a Tokenizer, chunks: ChunkConfig) -> Result<Self> {
        let fail = |error| EngineError::from(TextError::io(&file.name, error));
        let raw = File::open(&file.path).map_err(fail)?;
        let rest = raw.try_clone().map_err(fail)?;
        let tally = Tally { hash: Some(Rc::new(RefCell::new(Hash64::new(0)))), ..Tally::default() };
        Ok(Self { file, passages: open(raw, file, tokenizer, chunks, &tally)?, tally, rest })
    }

    /// The next passage, and the line up to which was read, in formats that have lines.
    pub(crate) fn next(&mut self) -> Option<Result<(Passage, Option<u64>)>> {
        let lines = matches!(self.file.format, CorpusFormat::Jsonl | CorpusFormat::Psgs);
        let passage = self.passages.next()?.map_err(EngineError::from);
        Some(passage.map(|passage| (passage, lines.then(|| self.tally.lines.get()))))
    }

    /// Bytes taken from the disk so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.tally.bytes.get()
    }

    /// The hash of the whole file, after its last passage.
    pub(crate) fn hash(self) -> Result<u64> {
        let mut rest = Metered { inner: self.rest, tally: self.tally.clone() };
        io::copy(&mut rest, &mut io::sink()).map_err(|error| TextError::io(&self.file.name, error))?;
        Ok(self.tally.hash.map_or(0, |hash| hash.borrow().finish()))
    }
}

/// The hash of a file as [`FileReader::hash`] gives it; `None` when it was told to stop.
pub(crate) fn hash_file(path: &Path, stop: &dyn Fn() -> bool) -> io::Result<Option<u64>> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Hash64::new(0), vec![0; 1 << 20]);
    while !stop() {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(hash.finish())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

impl Iterator for Passages<'_> {
    type Item = Result<Passage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(passage) = self.current.as_mut().and_then(Iterator::next) {
                return Some(passage.map_err(EngineError::from));
            }
            self.current = None;
            let file = self.files.get(self.next)?;
            self.next += 1;
            let raw = File::open(&file.path).map_err(|error| EngineError::io(&file.path, error));
            match raw.and_then(|raw| open(raw, file, self.tokenizer, self.chunks, &self.tally)) {
                Ok(passages) => self.current = Some(passages),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// All contexts of DPR's questions, each once.
fn contexts<R: BufRead>(
    reader: R,
    name: &str,
) -> impl Iterator<Item = std::result::Result<Passage, TextError>> + use<R> {
    let mut questions = dpr::questions(reader, name);
    let mut seen = HashSet::new();
    let mut waiting = VecDeque::new();
    std::iter::from_fn(move || {
        loop {
            if let Some(passage) = waiting.pop_front() {
                return Some(Ok(passage));
            }
            match questions.next()? {
                Ok(question) => {
                    let all = question.positives.into_iter().chain(question.hard_negatives).chain(question.negatives);
                    waiting.extend(all.filter(|passage| seen.insert(passage.id.clone())));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    })
}

/// Counts the bytes that come from the disk.
struct Metered {
    inner: File,
    tally: Tally,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.tally.bytes.set(self.tally.bytes.get() + n as u64);
        if let Some(hash) = &self.tally.hash {
            hash.borrow_mut().update(&buffer[..n]);
        }
        Ok(n)
    }
}

/// Counts the lines that were begun, so that an error found after parsing can name one.
pub(crate) struct Counted<R> {
    inner: R,
    newlines: u64,
    lines: Rc<Cell<u64>>,
}

impl<R: BufRead> Counted<R> {
    /// Counts into `lines`, from 0.
    pub(crate) fn new(inner: R, lines: Rc<Cell<u64>>) -> Self {
        lines.set(0);
        Self { inner, newlines: 0, lines }
    }

    fn count(&mut self, newlines: u64, open: bool) {
        self.newlines += newlines;
        self.lines.set(self.newlines + u64::from(open));
    }
}

/// Line ends in the bytes, and whether a line is open after them.
fn line_ends(bytes: &[u8]) -> (u64, bool) {
    let ends = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
    (ends, bytes.last().is_some_and(|&byte| byte != b'\n'))
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if n > 0 {
            let (ends, open) = line_ends(&buffer[..n]);
            self.count(ends, open);
        }
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if amount > 0
            && let Ok(bytes) = self.inner.fill_buf()
        {
            let (ends, open) = line_ends(&bytes[..amount.min(bytes.len())]);
            self.count(ends, open);
        }
        self.inner.consume(amount);
    }
}
