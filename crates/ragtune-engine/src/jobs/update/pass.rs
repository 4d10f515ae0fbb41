//! One pass over the files: each is kept or read, in order, and the new index is written as it goes.

use crate::fs;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use ragtune_index::{BuildConfig, Index, IndexBuilder, IndexMeta};
use ragtune_text::formats::ChunkConfig;
use ragtune_text::{LexicalVocab, Passage, TextError, Tokenizer};
use rayon::prelude::*;

use super::manifest::{Entry, Manifest, Stamp};
use crate::corpus::{CorpusFile, FileReader, Found, hash_file};
use crate::directory::Folder;
use crate::event::{EventKind, FileOutcome, FileState};
use crate::jobs::index::BATCH;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Outcomes that are told at once.
const TELL: usize = 64;
/// Seconds after which passages that were read are written, however few they are.
const PATIENCE: f64 = 1.0;

/// With what the files are read.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) vocab: &'a LexicalVocab,
    pub(super) config: &'a BuildConfig,
    pub(super) chunks: ChunkConfig,
}

/// What came of it.
pub(super) struct Done {
    /// The new index; none when the old one is as it should be, or nothing is there.
    pub(super) built: Option<Built>,
    /// Files for the manifest, in order.
    pub(super) entries: Vec<Entry>,
    /// Every file, in the order of the sources, then what was removed.
    pub(super) outcomes: Vec<FileOutcome>,
    /// Files that were not reached before the user stopped the job.
    pub(super) left: usize,
}

/// An index that was written.
pub(super) struct Built {
    /// In which of the two folders.
    pub(super) at: usize,
    pub(super) meta: IndexMeta,
}

impl Done {
    /// Files of a state.
    pub(super) fn count(&self, wanted: fn(&FileState) -> bool) -> usize {
        self.outcomes.iter().filter(|outcome| wanted(&outcome.state)).count()
    }
}

/// A file on its way into the index.
struct Slot {
    name: String,
    stamp: Stamp,
    hash: String,
    state: Option<FileState>,
    /// Where its passages begin in the new index, once some are written.
    first: Option<u32>,
    passages: u32,
    /// Passages that it has in the old index.
    before: u32,
}

/// What waits to be written, in the order of the corpus.
enum Pending {
    /// A file's passages in the old index.
    Keep(usize, Range<u32>),
    /// Some of a file's passages, with their lines.
    Read(usize, Vec<(Passage, Option<u64>)>),
    /// The file's last passage was read.
    End(usize),
}

/// The pass.
pub(super) struct Pass<'a, 'c, 'e> {
    work: Work<'a>,
    folders: &'a [Folder; 2],
    /// The folder that is being written to.
    at: usize,
    /// Nothing is written as long as the new index is a beginning of the old one.
    builder: Option<IndexBuilder<'a>>,
    /// Passages of the old index that the new one begins with, while there is no builder.
    prefix: u32,
    old: Option<&'a Index>,
    known: HashMap<&'a str, (&'a Entry, Range<u32>)>,
    manifest: &'a Manifest,
    context: &'c mut JobContext<'e>,
    slots: Vec<Slot>,
    pending: Vec<Pending>,
    /// Passages in it that were read.
    waiting: usize,
    /// When the last of them were written, in seconds.
    written: f64,
    /// Outcomes that nobody has heard yet.
    untold: Vec<FileOutcome>,
    stopped: bool,
    left: usize,
}

impl<'a, 'c, 'e> Pass<'a, 'c, 'e> {
    pub(super) fn new(
        work: Work<'a>,
        folders: &'a [Folder; 2],
        old: Option<&'a Index>,
        manifest: &'a Manifest,
        context: &'c mut JobContext<'e>,
    ) -> Self {
        let known = manifest.ranges().map(|(entry, range)| (entry.file.as_str(), (entry, range))).collect();
        let written = context.seconds();
        Self {
            work,
            folders,
            at: 0,
            builder: None,
            prefix: 0,
            old,
            known,
            manifest,
            context,
            slots: Vec::new(),
            pending: Vec::new(),
            waiting: 0,
            written,
            untold: Vec::new(),
            stopped: false,
            left: 0,
        }
    }

    /// Goes through the files.
    pub(super) fn run(mut self, found: &[Found]) -> Result<Done> {
        let files = found.iter().filter(|found| matches!(found, Found::File { .. })).count();
        let sizes = found.iter().map(|found| if let Found::File { file, .. } = found { file.bytes } else { 0 });
        self.context.begin("indexing", "bytes", Some(sizes.sum()));
        let (mut number, mut bytes) = (0, 0);
        for found in found {
            match found {
                Found::File { file, walked } => {
                    number += 1;
                    self.context.relabel(format!("indexing {number}/{files} files: {}", file.name));
                    self.context.advance(bytes);
                    self.file(file, *walked, bytes)?;
                    bytes += file.bytes;
                    self.context.advance(bytes);
                }
                Found::Skipped { name, reason } => {
                    let slot = self.slot(name, Stamp::default());
                    self.end(slot, FileState::Skipped { reason: (*reason).to_owned() });
                }
                Found::Failed { name, error } => {
                    let slot = self.slot(name, Stamp::default());
                    self.fail(slot, error)?;
                }
            }
        }
        self.flush()?;
        self.tell();
        self.finish()
    }

    fn slot(&mut self, name: &str, stamp: Stamp) -> usize {
        let before = self.known.get(name).map_or(0, |(entry, _)| entry.passages);
        self.slots.push(Slot {
            name: name.to_owned(),
            stamp,
            hash: String::new(),
            state: None,
            first: None,
            passages: 0,
            before,
        });
        self.slots.len() - 1
    }

    fn stop_asked(&mut self) -> bool {
        self.stopped |= self.context.cancelled();
        self.stopped
    }

    /// Keeps or reads one file; `bytes` of those before it are done.
    fn file(&mut self, file: &CorpusFile, walked: bool, bytes: u64) -> Result<()> {
        let kind = match fs::metadata(&file.path) {
            Ok(kind) => kind,
            Err(error) => {
                let slot = self.slot(&file.name, Stamp::default());
                return self.fail(slot, &TextError::io(&file.name, error).into());
            }
        };
        let slot = self.slot(&file.name, Stamp::of(&kind));
        if let Some((entry, range)) = self.known.get(file.name.as_str()).cloned()
            && !range.is_empty()
            && self.is_unchanged(slot, file, entry)
        {
            self.slots[slot].hash.clone_from(&entry.hash);
            self.pending.push(Pending::Keep(slot, range));
            // Without anything before it that must be tokenised, it can be told at once.
            return if self.waiting == 0 { self.flush() } else { Ok(()) };
        }
        if self.stop_asked() {
            self.left += 1;
            self.slots.pop();
            return Ok(());
        }
        self.read(slot, file, walked, bytes)
    }

    fn is_unchanged(&mut self, slot: usize, file: &CorpusFile, entry: &Entry) -> bool {
        let stamp = self.slots[slot].stamp;
        if stamp.size != entry.stamp.size {
            return false;
        }
        if stamp.modified.is_some() && stamp.modified == entry.stamp.modified {
            return true;
        }
        // Copied, checked out or saved again: its bytes decide.
        let flag = self.context.cancel_flag();
        let hash = hash_file(&file.path, &|| flag.is_set()).ok().flatten();
        hash.is_some_and(|hash| written(hash) == entry.hash)
    }

    fn read(&mut self, slot: usize, file: &CorpusFile, walked: bool, bytes: u64) -> Result<()> {
        let work = self.work;
        let mut reader = match FileReader::open(file, work.tokenizer, work.chunks) {
            Ok(reader) => reader,
            Err(error) => return self.fail(slot, &error),
        };
        let mut any = false;
        loop {
            if self.stop_asked() {
                // A file is in the index as a whole or not at all.
                self.take_back(slot)?;
                self.slots.pop();
                self.left += 1;
                return Ok(());
            }
            match reader.next() {
                Some(Ok(passage)) => {
                    any = true;
                    self.push(slot, passage);
                    self.context.advance(bytes + reader.bytes_read().min(file.bytes));
                    if self.waiting >= BATCH || self.context.seconds() - self.written > PATIENCE {
                        self.flush()?;
                    }
                    // Its passages may have turned out to be another file's.
                    if self.slots[slot].state.is_some() {
                        return Ok(());
                    }
                }
                Some(Err(EngineError::Text(error @ TextError::Binary { .. }))) if walked => {
                    self.take_back(slot)?;
                    self.end(slot, FileState::Skipped { reason: reason(&error.to_string(), &file.name) });
                    return Ok(());
                }
                Some(Err(error)) => return self.fail(slot, &error),
                None => break,
            }
        }
        if !any {
            let what = if file.has_lines() { "no passages in it" } else { "no text in it" };
            self.end(slot, FileState::Skipped { reason: what.to_owned() });
            return Ok(());
        }
        match reader.hash() {
            Ok(hash) => {
                self.slots[slot].hash = written(hash);
                self.pending.push(Pending::End(slot));
                Ok(())
            }
            Err(error) => self.fail(slot, &error),
        }
    }

    fn push(&mut self, slot: usize, passage: (Passage, Option<u64>)) {
        self.waiting += 1;
        match self.pending.last_mut() {
            Some(Pending::Read(last, passages)) if *last == slot => passages.push(passage),
            _ => self.pending.push(Pending::Read(slot, vec![passage])),
        }
    }

    /// Writes what waits.
    fn flush(&mut self) -> Result<()> {
        let work = self.work;
        let pending = std::mem::take(&mut self.pending);
        self.waiting = 0;
        let passages = |pending: &Pending| match pending {
            Pending::Read(_, passages) => passages.len(),
            _ => 0,
        };
        // All files' passages at once, so that small files use all cores too.
        let mut all = Vec::with_capacity(pending.iter().map(passages).sum());
        for pending in &pending {
            if let Pending::Read(_, passages) = pending {
                all.extend(passages.iter().map(|(passage, _)| passage));
            }
        }
        let bag = |passage: &&Passage| -> std::result::Result<Vec<u32>, TextError> {
            let ids = work.tokenizer.passage(&passage.title, &passage.text, work.config.max_tokens as usize)?;
            Ok(work.vocab.bag(&ids))
        };
        let mut bags = all.par_iter().map(bag).collect::<Vec<_>>().into_iter();
        for pending in &pending {
            match pending {
                Pending::Keep(slot, range) => {
                    self.keep(range.clone())?;
                    self.slots[*slot].passages = range.len() as u32;
                    self.end(*slot, FileState::Unchanged { passages: range.len() as u64 });
                }
                Pending::Read(slot, passages) => {
                    let bags: Vec<_> = bags.by_ref().take(passages.len()).collect();
                    if self.slots[*slot].state.is_none() {
                        self.add(*slot, passages, bags)?;
                    }
                }
                Pending::End(slot) => {
                    let passages = u64::from(self.slots[*slot].passages);
                    if self.slots[*slot].state.is_none() {
                        self.end(*slot, FileState::Indexed { passages });
                    }
                }
            }
        }
        self.written = self.context.seconds();
        self.tell();
        Ok(())
    }

    /// Writes some of a file's passages, or finds out that the file cannot be in the index.
    fn add(
        &mut self,
        slot: usize,
        passages: &[(Passage, Option<u64>)],
        bags: Vec<std::result::Result<Vec<u32>, TextError>>,
    ) -> Result<()> {
        let builder = self.builder()?;
        let mut ids = HashSet::new();
        let twice = passages.iter().find(|(passage, _)| !ids.insert(&passage.id) || builder.contains(&passage.id));
        if let Some((passage, line)) = twice {
            let line = line.map_or_else(String::new, |line| format!("line {line}: "));
            let error = EngineError::input(format!(
                "{line}the passage id {:?} occurs a second time. Give every passage of all files its own id",
                passage.id
            ));
            return self.fail(slot, &error);
        }
        let mut checked = Vec::with_capacity(bags.len());
        for bag in bags {
            match bag {
                Ok(bag) => checked.push(bag),
                Err(error) => return self.fail(slot, &error.into()),
            }
        }
        let builder = self.builder()?;
        let first = builder.len() as u32;
        for ((passage, _), bag) in passages.iter().zip(&checked) {
            builder.add(passage, bag)?;
        }
        let slot = &mut self.slots[slot];
        slot.first.get_or_insert(first);
        slot.passages += passages.len() as u32;
        Ok(())
    }

    /// The builder, made when the new index begins to differ from the old one.
    fn builder(&mut self) -> Result<&mut IndexBuilder<'a>> {
        let builder = match self.builder.take() {
            Some(builder) => builder,
            None => {
                let mut builder = IndexBuilder::new(&self.folders[self.at], self.work.config.clone())?;
                if let Some(old) = self.old {
                    copy(old, 0..self.prefix, &mut builder)?;
                }
                builder
            }
        };
        Ok(self.builder.insert(builder))
    }

    /// Takes over passages of the old index.
    fn keep(&mut self, range: Range<u32>) -> Result<()> {
        if self.builder.is_none() && range.start == self.prefix {
            self.prefix = range.end;
            return Ok(());
        }
        match self.old {
            Some(old) => copy(old, range, self.builder()?),
            None => Ok(()),
        }
    }

    /// Leaves out a file of which some passages were read, and perhaps written.
    fn take_back(&mut self, slot: usize) -> Result<()> {
        if let Some(Pending::Read(last, passages)) = self.pending.last()
            && *last == slot
        {
            self.waiting -= passages.len();
            self.pending.pop();
        }
        // What was written of it are the last passages: whatever came before was written before.
        let Some(first) = self.slots[slot].first.take() else { return Ok(()) };
        self.slots[slot].passages = 0;
        let Some(builder) = self.builder.take() else { return Ok(()) };
        if first == 0 {
            return Ok(());
        }
        builder.finish()?;
        let whole = Index::open(&self.folders[self.at])?;
        self.at = 1 - self.at;
        let mut builder = IndexBuilder::new(&self.folders[self.at], self.work.config.clone())?;
        copy(&whole, 0..first, &mut builder)?;
        self.builder = Some(builder);
        Ok(())
    }

    fn fail(&mut self, slot: usize, error: &EngineError) -> Result<()> {
        self.take_back(slot)?;
        let mut reason = reason(&error.to_string(), &self.slots[slot].name);
        let before = self.slots[slot].before;
        if before > 0 {
            let passages = if before == 1 { "passage" } else { "passages" };
            let full_stop = if reason.ends_with('.') { "" } else { "." };
            reason += &format!("{full_stop} Its {before} {passages} from before left the index");
        }
        self.end(slot, FileState::Failed { reason });
        Ok(())
    }

    fn end(&mut self, slot: usize, state: FileState) {
        let slot = &mut self.slots[slot];
        self.untold.push(FileOutcome { file: slot.name.clone(), state: state.clone() });
        slot.state = Some(state);
        if self.untold.len() >= TELL {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if !self.untold.is_empty() {
            self.context.emit(EventKind::Files(std::mem::take(&mut self.untold)));
        }
    }

    /// Finishes the index that was written, if one was.
    fn finish(mut self) -> Result<Done> {
        let names: HashSet<&str> = self.slots.iter().map(|slot| slot.name.as_str()).collect();
        let gone =
            self.manifest.files.iter().filter(|entry| entry.passages > 0 && !names.contains(entry.file.as_str()));
        let removed: Vec<FileOutcome> =
            gone.map(|entry| FileOutcome { file: entry.file.clone(), state: FileState::Removed }).collect();
        let mut outcomes = Vec::with_capacity(self.slots.len());
        let mut entries = Vec::new();
        for slot in std::mem::take(&mut self.slots) {
            let Some(state) = slot.state else { continue };
            let outcome = match &state {
                FileState::Unchanged { passages } => FileState::Indexed { passages: *passages },
                other => other.clone(),
            };
            entries.push(Entry {
                file: slot.name.clone(),
                stamp: slot.stamp,
                hash: slot.hash,
                passages: slot.passages,
                outcome,
            });
            outcomes.push(FileOutcome { file: slot.name, state });
        }
        // A file that the user did not let be reached is not removed.
        if self.left == 0 {
            self.untold.extend(removed.iter().cloned());
            self.tell();
            outcomes.extend(removed);
        }
        // The old index ends with files that are gone.
        if self.builder.is_none() && self.prefix > 0 && self.old.is_some_and(|old| self.prefix < old.len()) {
            self.builder()?;
        }
        let built = match self.builder.take().filter(|builder| !builder.is_empty()) {
            Some(builder) => Some(Built { at: self.at, meta: builder.finish()? }),
            None if self.prefix == 0 && self.left == 0 => return Err(super::nothing(&outcomes)),
            None => None,
        };
        Ok(Done { built, entries, outcomes, left: self.left })
    }
}

/// Copies passages with their bags: nothing is tokenised.
fn copy(from: &Index, range: Range<u32>, builder: &mut IndexBuilder<'_>) -> Result<()> {
    for ordinal in range {
        builder.add(&from.passage(ordinal)?, &from.bag(ordinal)?)?;
    }
    Ok(())
}

fn written(hash: u64) -> String {
    format!("{hash:016x}")
}

/// A message without the name of the file, which stands beside it.
fn reason(message: &str, name: &str) -> String {
    let rest = message.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ").or_else(|| rest.strip_prefix(", ")));
    rest.unwrap_or(message).to_owned()
}
