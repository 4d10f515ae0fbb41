//! The passages themselves: records one after another, and a table of where each starts.
//!
//! `passages.bin`: per passage four lengths (id, title, text, source as JSON or 0), u32 each, then the four parts.
//! `passages.idx`: number of passages (u64), passages + 1 record offsets (u64), then the ordinals in the order of
//! their ids (u32), which serves the way from an id to its ordinal.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use ragtune_text::Passage;
use ragtune_text::storage::Directory;

use crate::bytes::{Payload, SealedFile};
use crate::meta::IndexMeta;
use crate::{IndexError, Result};

pub(crate) const PASSAGES: &str = "passages.bin";
pub(crate) const TABLE: &str = "passages.idx";
const PASSAGES_MAGIC: [u8; 8] = *b"RTPASSGS";
const TABLE_MAGIC: [u8; 8] = *b"RTPASIDX";

/// Streams passages to the storage; only ids and offsets stay in memory.
pub(crate) struct PassageWriter {
    records: SealedFile,
    table: SealedFile,
    offsets: Vec<u64>,
    ids: Vec<u8>,
    id_ends: Vec<usize>,
    /// From an id's hash to the passage; an id whose hash is taken by another sits at the next free key.
    seen: HashMap<u64, u32>,
}

impl PassageWriter {
    pub(crate) fn create(dir: &dyn Directory) -> Result<Self> {
        Ok(Self {
            records: SealedFile::create(dir, PASSAGES, PASSAGES_MAGIC)?,
            table: SealedFile::create(dir, TABLE, TABLE_MAGIC)?,
            offsets: vec![0],
            ids: Vec::new(),
            id_ends: Vec::new(),
            seen: HashMap::new(),
        })
    }

    fn id(&self, ordinal: u32) -> &[u8] {
        let at = ordinal as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.id_ends[before]);
        &self.ids[start..self.id_ends[at]]
    }

    /// The key under which to remember an id, or the passage that has it.
    fn free_key(&self, id: &str) -> std::result::Result<u64, u32> {
        let mut hasher = DefaultHasher::new();
        hasher.write(id.as_bytes());
        let mut key = hasher.finish();
        while let Some(&first) = self.seen.get(&key) {
            if self.id(first) == id.as_bytes() {
                return Err(first);
            }
            key = key.wrapping_add(1);
        }
        Ok(key)
    }

    /// Whether an id was met before.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.free_key(id).is_err()
    }

    /// Number of passages so far.
    pub(crate) fn len(&self) -> usize {
        self.id_ends.len()
    }

    pub(crate) fn push(&mut self, passage: &Passage, ordinal: u32) -> Result<()> {
        // An id that was met before is refused.
        let duplicate = |first| IndexError::DuplicateId { id: passage.id.clone(), first, second: ordinal };
        let key = self.free_key(&passage.id).map_err(duplicate)?;
        let source = match &passage.source {
            Some(source) => serde_json::to_vec(source)
                .map_err(|e| IndexError::Vector { ordinal, reason: format!("its source cannot be written: {e}") })?,
            None => Vec::new(),
        };
        let parts = [passage.id.as_bytes(), passage.title.as_bytes(), passage.text.as_bytes(), &source];
        let mut lengths = [0u32; 4];
        for (length, part) in lengths.iter_mut().zip(parts) {
            *length = u32::try_from(part.len()).map_err(|_| IndexError::Vector {
                ordinal,
                reason: "a passage's part is longer than 4 GiB; cut it into passages first".to_owned(),
            })?;
        }
        for length in lengths {
            self.records.write_u32(length)?;
        }
        for part in parts {
            self.records.write(part)?;
        }
        self.offsets.push(self.records.position());
        self.ids.extend_from_slice(passage.id.as_bytes());
        self.id_ends.push(self.ids.len());
        self.seen.insert(key, ordinal);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        let mut by_id: Vec<u32> = (0..self.len() as u32).collect();
        by_id.sort_unstable_by(|&a, &b| self.id(a).cmp(self.id(b)));
        self.table.write_u64(self.len() as u64)?;
        for &offset in &self.offsets {
            self.table.write_u64(offset)?;
        }
        for ordinal in by_id {
            self.table.write_u32(ordinal)?;
        }
        self.records.finish()?;
        self.table.finish()
    }
}

/// The passages of an opened index.
pub(crate) struct PassageStore {
    records: Payload,
    table: Payload,
    passages: usize,
}

impl PassageStore {
    pub(crate) fn open(dir: &dyn Directory, meta: &IndexMeta, verify: bool) -> Result<Self> {
        let records = Payload::read(dir, meta, PASSAGES, PASSAGES_MAGIC, verify)?;
        let table = Payload::read(dir, meta, TABLE, TABLE_MAGIC, verify)?;
        let passages = meta.passages as usize;
        let expected = passages.checked_mul(12).and_then(|n| n.checked_add(16));
        if table.u64(0)? != passages || Some(table.bytes().len()) != expected {
            return Err(table.corrupt("does not hold as many passages as meta.json says"));
        }
        if table.u64(8)? != 0 || table.u64(8 + 8 * passages)? != records.bytes().len() {
            return Err(table.corrupt("does not belong to passages.bin"));
        }
        Ok(Self { records, table, passages })
    }

    /// The four parts of a record.
    fn record(&self, ordinal: u32) -> Result<[&str; 4]> {
        let at = ordinal as usize;
        if at >= self.passages {
            return Err(IndexError::NoPassage { ordinal, passages: self.passages as u32 });
        }
        let record = self.records.slice(self.table.u64(8 + 8 * at)?..self.table.u64(16 + 8 * at)?)?;
        let broken = || self.records.corrupt(&format!("passage {ordinal} is damaged"));
        let (lengths, mut rest) = record.split_first_chunk::<16>().ok_or_else(broken)?;
        let mut parts = [""; 4];
        for (part, length) in parts.iter_mut().zip(lengths.as_chunks::<4>().0) {
            let (bytes, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(broken)?;
            *part = std::str::from_utf8(bytes).map_err(|_| broken())?;
            rest = after;
        }
        if rest.is_empty() { Ok(parts) } else { Err(broken()) }
    }

    pub(crate) fn passage(&self, ordinal: u32) -> Result<Passage> {
        let [id, title, text, source] = self.record(ordinal)?;
        let source = match source {
            "" => None,
            json => Some(serde_json::from_str(json).map_err(|e| self.records.corrupt(&e.to_string()))?),
        };
        Ok(Passage { id: id.to_owned(), title: title.to_owned(), text: text.to_owned(), source })
    }

    pub(crate) fn id(&self, ordinal: u32) -> Result<&str> {
        self.record(ordinal).map(|[id, ..]| id)
    }

    pub(crate) fn ordinal(&self, id: &str) -> Option<u32> {
        let by_id = 16 + 8 * self.passages;
        let (mut low, mut high) = (0, self.passages);
        while low < high {
            let middle = low + (high - low) / 2;
            let ordinal = self.table.u32(by_id + 4 * middle).ok()?;
            match self.id(ordinal).ok()?.cmp(id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(ordinal),
            }
        }
        None
    }
}
