//! Streams passages from the files of a corpus.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use ragtune_text::formats::{ChunkConfig, beir, decompress, dpr, text_file};
use ragtune_text::{Passage, TextError, Tokenizer};

use super::{CorpusFile, CorpusFormat};
use crate::{EngineError, Result};

/// Iterates over the passages of a corpus, file after file.
pub struct Passages<'a> {
    files: &'a [CorpusFile],
    next: usize,
    tokenizer: &'a Tokenizer,
    chunks: ChunkConfig,
    current: Option<Box<dyn Iterator<Item = std::result::Result<Passage, TextError>> + 'a>>,
    /// Bytes taken from the disk so far.
    bytes: Rc<Cell<u64>>,
    /// Line of the current file up to which was read.
    lines: Rc<Cell<u64>>,
}

impl<'a> Passages<'a> {
    pub(super) fn new(files: &'a [CorpusFile], tokenizer: &'a Tokenizer, chunks: ChunkConfig) -> Self {
        Self { files, next: 0, tokenizer, chunks, current: None, bytes: Rc::default(), lines: Rc::default() }
    }

    /// Bytes read from the disk so far, of [`Corpus::bytes`](super::Corpus::bytes).
    pub fn bytes_read(&self) -> u64 {
        self.bytes.get()
    }

    /// Where the passage that came last stands: file, and line when its format has lines.
    pub fn place(&self) -> String {
        let Some(file) = self.next.checked_sub(1).and_then(|at| self.files.get(at)) else { return String::new() };
        match file.format {
            CorpusFormat::Text(_) | CorpusFormat::Dpr => file.name.clone(),
            CorpusFormat::Jsonl | CorpusFormat::Psgs => format!("{}, line {}", file.name, self.lines.get()),
        }
    }

    fn open(&mut self, file: &'a CorpusFile) -> Result<()> {
        let raw = File::open(&file.path).map_err(|error| EngineError::io(&file.path, error))?;
        let raw = Metered { inner: raw, bytes: self.bytes.clone() };
        let lines = Counted::new(decompress(raw), self.lines.clone());
        let name = file.name.as_str();
        self.current = Some(match file.format {
            CorpusFormat::Jsonl => Box::new(beir::passages(lines, name)),
            CorpusFormat::Psgs => Box::new(dpr::psgs_w100(lines, name)),
            CorpusFormat::Dpr => Box::new(contexts(lines, name)),
            CorpusFormat::Text(kind) => {
                let mut bytes = Vec::new();
                let mut lines = lines;
                lines.read_to_end(&mut bytes).map_err(|error| EngineError::io(&file.path, error))?;
                let passages = text_file::passages(&bytes, name, kind, self.tokenizer, &self.chunks)?;
                Box::new(passages.into_iter().map(Ok))
            }
        });
        Ok(())
    }
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
            if let Err(error) = self.open(file) {
                return Some(Err(error));
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
    bytes: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.set(self.bytes.get() + n as u64);
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
