//! `sources.json`: which file gave which passages of an index, so that a file that is as it was need not be read again.

use crate::fs::Metadata;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use ragtune_index::IndexMeta;
use ragtune_text::storage::Directory;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::directory::Folder;
use crate::event::FileState;
use crate::{EngineError, Result};

/// Name of the file.
pub(super) const MANIFEST: &str = "sources.json";
/// Of this document, and of the readers: raised when the same file would give other passages than before.
const FORMAT: u32 = 1;
/// Files of the index that make its passages what they are. The parametric part may be added without a file having
/// changed.
const CONTENT: [&str; 3] = ["passages.bin", "passages.idx", "bot.bags.bin"];
/// A file that was written so shortly before it was read may be written again without its time changing.
const SETTLED: Duration = Duration::from_secs(2);

/// The list.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// Checksums of the index that it belongs to.
    content: BTreeMap<String, u32>,
    /// In the order of the corpus.
    pub(super) files: Vec<Entry>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// As the user named it.
    pub(super) file: String,
    /// How it was when it was read.
    #[serde(flatten)]
    pub(super) stamp: Stamp,
    /// Hash of its bytes, in hex digits; empty when it was not read to its end.
    pub(super) hash: String,
    /// Passages of the index that were cut from it.
    pub(super) passages: u32,
    /// What became of it.
    pub(super) outcome: FileState,
}

/// What tells a changed file without reading it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// Size in bytes.
    pub(super) size: u64,
    /// When it was written, in nanoseconds since 1970; none when that says nothing.
    pub(super) modified: Option<u64>,
}

impl Stamp {
    /// Of a file that is read now.
    pub(super) fn of(kind: &Metadata) -> Self {
        let modified = kind
            .modified()
            .ok()
            .filter(|written| clock::now().duration_since(*written).map_or(true, |age| age > SETTLED));
        let since = modified.and_then(|written| written.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self { size: kind.len(), modified: since.and_then(|since| u64::try_from(since.as_nanos()).ok()) }
    }
}

impl Manifest {
    /// The list of an index that was just built.
    pub(super) fn new(meta: &IndexMeta, files: Vec<Entry>) -> Self {
        Self { format: FORMAT, content: content(meta), files }
    }

    /// The list beside an index, if it is this index's.
    pub(super) fn read(folder: &Folder, meta: &IndexMeta) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(&folder.read(MANIFEST).ok()?).ok()?;
        let passages: u64 = manifest.files.iter().map(|entry| u64::from(entry.passages)).sum();
        let ours = manifest.format == FORMAT && manifest.content == content(meta);
        (ours && passages == u64::from(meta.passages)).then_some(manifest)
    }

    /// Writes the list beside the index.
    pub(super) fn write(&self, folder: &Folder) -> Result<()> {
        let fail = |source| EngineError::io(&folder.path().join(MANIFEST), source);
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| fail(error.into()))?;
        json.push(b'\n');
        folder.write(MANIFEST, &json).map_err(fail)
    }

    /// Every file that gave passages, with the place of these in the index.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (&Entry, Range<u32>)> {
        let mut next = 0;
        self.files.iter().map(move |entry| {
            let start = next;
            next += entry.passages;
            (entry, start..next)
        })
    }
}

fn content(meta: &IndexMeta) -> BTreeMap<String, u32> {
    let of = |name: &str| meta.files.get(name).map(|file| (name.to_owned(), file.crc32));
    CONTENT.into_iter().filter_map(of).collect()
}
