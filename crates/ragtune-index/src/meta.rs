//! `meta.json`: what an index holds and with what it was made.

use std::collections::BTreeMap;

use ragtune_text::storage::Directory;
use serde::{Deserialize, Serialize};

use crate::{IndexError, Result};

/// Format version of `meta.json` and of every file it lists.
pub const FORMAT: u32 = 1;

pub(crate) const META: &str = "meta.json";

/// Counts, fingerprints and the list of files of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexMeta {
    /// Format version, [`FORMAT`].
    pub format: u32,
    /// Number of passages.
    pub passages: u32,
    /// Lexical dimensions V.
    pub dims: u32,
    /// (dimension, passage) pairs of the bag-of-tokens index.
    pub postings: u64,
    /// Tokens of a passage that its bag covers, the special ones included.
    pub max_tokens: u32,
    /// Fingerprint of the tokenizer.
    pub tokenizer_fingerprint: String,
    /// Fingerprint of the lexical vocabulary.
    pub vocab_fingerprint: String,
    /// The parametric part, when there is one.
    pub parametric: Option<ParametricMeta>,
    /// Every other file of the index.
    pub files: BTreeMap<String, FileMeta>,
    /// CRC-32 of this document with 0 in this place.
    pub crc32: u32,
}

/// What is known about the parametric part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParametricMeta {
    /// Stored weights.
    pub postings: u64,
    /// Fingerprint of the encoder that made the vectors: another encoder's queries must not meet them.
    pub encoder_fingerprint: String,
}

/// Length and checksum of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMeta {
    /// Length in bytes, the footer included.
    pub bytes: u64,
    /// CRC-32 of the payload, as in the footer.
    pub crc32: u32,
}

impl IndexMeta {
    /// Bytes of all files together, without `meta.json`.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    /// Bits that the bag-of-tokens index takes per posting, its tables included; `None` without postings.
    pub fn bits_per_posting(&self) -> Option<f64> {
        let file = self.files.get(crate::build::BOT)?;
        (self.postings > 0).then(|| file.bytes as f64 * 8.0 / self.postings as f64)
    }

    /// Reads and checks `meta.json`.
    pub fn read(dir: &dyn Directory) -> Result<Self> {
        let place = dir.describe(META);
        let bytes = dir.read(META).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => IndexError::Missing { file: place.clone() },
            _ => IndexError::io(&place, e),
        })?;
        // The version first: a newer format may have fields that this build does not know.
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| IndexError::corrupt(&place, e.to_string()))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(FORMAT) => {}
            Some(found) => return Err(IndexError::Format { file: place, found, supported: FORMAT }),
            None => return Err(IndexError::corrupt(&place, "holds no format version")),
        }
        let meta: Self = serde_json::from_value(value).map_err(|e| IndexError::corrupt(&place, e.to_string()))?;
        // Written anew it must give the same bytes: that catches damage which still parses.
        if meta.sealed_json(&place)? != *bytes {
            return Err(IndexError::corrupt(&place, "checksum mismatch: the file is damaged or was edited"));
        }
        Ok(meta)
    }

    /// Writes `meta.json` with its checksum and gives the meta back with the checksum in it.
    pub(crate) fn write(mut self, dir: &dyn Directory) -> Result<Self> {
        let place = dir.describe(META);
        let json = self.sealed_json(&place)?;
        dir.write(META, &json).map_err(|e| IndexError::io(&place, e))?;
        self.crc32 = self.checksum(&place)?;
        Ok(self)
    }

    fn checksum(&self, place: &str) -> Result<u32> {
        let unsealed = Self { crc32: 0, ..self.clone() };
        Ok(crc32fast::hash(&unsealed.json(place)?))
    }

    fn sealed_json(&self, place: &str) -> Result<Vec<u8>> {
        Self { crc32: self.checksum(place)?, ..self.clone() }.json(place)
    }

    fn json(&self, place: &str) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| IndexError::io(place, e.into()))?;
        json.push(b'\n');
        Ok(json)
    }
}
