//! `bot.bags.bin`: the dimensions of every passage, which training and explanations read.
//!
//! Payload: the dimensions (u32) of all bags one after another, passages + 1 ends (u64, counted in entries), then the
//! number of passages (u64).

use ragtune_text::storage::Directory;

use crate::bytes::{Payload, SealedFile};
use crate::meta::IndexMeta;
use crate::{IndexError, Result};

pub(crate) const BAGS: &str = "bot.bags.bin";
const MAGIC: [u8; 8] = *b"RTBAGS  ";

pub(crate) struct BagWriter {
    file: SealedFile,
    ends: Vec<u64>,
}

impl BagWriter {
    pub(crate) fn create(dir: &dyn Directory) -> Result<Self> {
        Ok(Self { file: SealedFile::create(dir, BAGS, MAGIC)?, ends: vec![0] })
    }

    pub(crate) fn push(&mut self, bag: &[u32]) -> Result<()> {
        for &dim in bag {
            self.file.write_u32(dim)?;
        }
        self.ends.push(self.file.position() / 4);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        for &end in &self.ends {
            self.file.write_u64(end)?;
        }
        self.file.write_u64(self.ends.len() as u64 - 1)?;
        self.file.finish()
    }
}

pub(crate) struct Bags {
    payload: Payload,
    passages: usize,
    /// Where the ends begin, in bytes.
    ends: usize,
}

impl Bags {
    pub(crate) fn open(dir: &dyn Directory, meta: &IndexMeta, verify: bool) -> Result<Self> {
        let payload = Payload::read(dir, meta, BAGS, MAGIC, verify)?;
        let passages = meta.passages as usize;
        let ends = usize::try_from(meta.postings).ok().and_then(|n| n.checked_mul(4));
        let length =
            passages.checked_mul(8).and_then(|n| n.checked_add(16)).zip(ends).and_then(|(a, b)| a.checked_add(b));
        let (Some(ends), true) = (ends, length == Some(payload.bytes().len())) else {
            return Err(payload.corrupt("does not hold as many postings as meta.json says"));
        };
        let count = payload.u64(payload.bytes().len() - 8)?;
        let last = payload.u64(payload.bytes().len() - 16)?;
        if count != passages || last as u64 != meta.postings {
            return Err(payload.corrupt("does not hold as many passages as meta.json says"));
        }
        Ok(Self { payload, passages, ends })
    }

    pub(crate) fn bag(&self, ordinal: u32) -> Result<Vec<u32>> {
        let at = ordinal as usize;
        if at >= self.passages {
            return Err(IndexError::NoPassage { ordinal, passages: self.passages as u32 });
        }
        let (start, end) = (self.payload.u64(self.ends + 8 * at)?, self.payload.u64(self.ends + 8 * at + 8)?);
        if start > end || end > self.ends / 4 {
            return Err(self.payload.corrupt(&format!("the bag of passage {ordinal} is damaged")));
        }
        let bytes = self.payload.slice(4 * start..4 * end)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }
}
