//! Posting lists: for every dimension the passages that hold it, with or without a weight.
//!
//! Passages are taken in blocks of at most 65,536. That bounds the memory of a build to one block, lets a posting be
//! 16 bits, and keeps the scores of a block in the cache during search.
//!
//! Payload: the blocks; the start of every block (u64); dims, passages, passages per block, bytes per weight (0 or 4),
//! u32 each; postings (u64). A block: dims + 1 list ends (u32, in postings, from 0); the passages of all lists (u16,
//! counted from the block's first); their weights (f32), if any.

use ragtune_text::storage::Directory;

use crate::bytes::{Payload, SealedFile};
use crate::meta::IndexMeta;
use crate::{IndexError, Result};

/// Most passages that a block can hold.
pub(crate) const MAX_BLOCK: u32 = 1 << 16;
const TRAILER: usize = 24;

/// Collects one block of vectors at a time and writes it by dimension.
pub(crate) struct PostingsWriter {
    file: SealedFile,
    dims: u32,
    block: u32,
    weighted: bool,
    starts: Vec<u64>,
    passages: u32,
    postings: u64,
    block_dims: Vec<u32>,
    block_values: Vec<f32>,
    /// End of every passage of the block in `block_dims`.
    ends: Vec<usize>,
}

impl PostingsWriter {
    pub(crate) fn create(
        dir: &dyn Directory,
        name: &str,
        magic: [u8; 8],
        dims: u32,
        block: u32,
        weighted: bool,
    ) -> Result<Self> {
        if !(1..=MAX_BLOCK).contains(&block) {
            return Err(IndexError::Config(format!("a block holds 1 to {MAX_BLOCK} passages, not {block}")));
        }
        Ok(Self {
            file: SealedFile::create(dir, name, magic)?,
            dims,
            block,
            weighted,
            starts: Vec::new(),
            passages: 0,
            postings: 0,
            block_dims: Vec::new(),
            block_values: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Vectors given so far.
    pub(crate) fn passages(&self) -> u32 {
        self.passages
    }

    /// Postings given so far.
    pub(crate) fn postings(&self) -> u64 {
        self.postings
    }

    /// Checks that dimensions ascend strictly and exist.
    pub(crate) fn check(&self, dims: &[u32]) -> Result<()> {
        let fail = |reason: String| Err(IndexError::Vector { ordinal: self.passages, reason });
        if let Some(pair) = dims.array_windows::<2>().find(|[a, b]| a >= b) {
            return fail(format!("dimensions must ascend strictly, but {} is followed by {}", pair[0], pair[1]));
        }
        match dims.last() {
            Some(&last) if last >= self.dims => {
                fail(format!("dimension {last} does not exist: the index has {} dimensions", self.dims))
            }
            _ => Ok(()),
        }
    }

    /// Adds the next passage. `values` is as long as `dims`, or empty in an index without weights.
    pub(crate) fn push(&mut self, dims: &[u32], values: &[f32]) -> Result<()> {
        self.check(dims)?;
        self.block_dims.extend_from_slice(dims);
        self.block_values.extend_from_slice(values);
        self.ends.push(self.block_dims.len());
        self.passages += 1;
        self.postings += dims.len() as u64;
        if self.ends.len() == self.block as usize { self.flush_block() } else { Ok(()) }
    }

    fn flush_block(&mut self) -> Result<()> {
        if u32::try_from(self.block_dims.len()).is_err() {
            let reason = format!("{} passages give too many postings for one block; lower it", self.block);
            return Err(IndexError::Config(reason));
        }
        self.starts.push(self.file.position());
        // `slots[d]` first counts the list of d - 1, then is its start, and after the filling its end.
        let mut slots = vec![0u32; self.dims as usize + 1];
        for &dim in &self.block_dims {
            slots[dim as usize + 1] += 1;
        }
        let mut total = 0;
        for slot in &mut slots {
            total += *slot;
            *slot = total;
            self.file.write_u32(total)?;
        }
        let mut locals = vec![0u16; self.block_dims.len()];
        let mut values = vec![0f32; self.block_values.len()];
        let mut start = 0;
        for (local, &end) in self.ends.iter().enumerate() {
            for at in start..end {
                let slot = &mut slots[self.block_dims[at] as usize];
                locals[*slot as usize] = local as u16;
                if self.weighted {
                    values[*slot as usize] = self.block_values[at];
                }
                *slot += 1;
            }
            start = end;
        }
        for local in locals {
            self.file.write(&local.to_le_bytes())?;
        }
        for value in values {
            self.file.write(&value.to_le_bytes())?;
        }
        self.block_dims.clear();
        self.block_values.clear();
        self.ends.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        if !self.ends.is_empty() {
            self.flush_block()?;
        }
        for &start in &self.starts {
            self.file.write_u64(start)?;
        }
        for word in [self.dims, self.passages, self.block, if self.weighted { 4 } else { 0 }] {
            self.file.write_u32(word)?;
        }
        self.file.write_u64(self.postings)?;
        self.file.finish()
    }
}

/// The posting lists of an opened index.
pub(crate) struct Postings {
    payload: Payload,
    dims: u32,
    passages: u32,
    block: u32,
    weighted: bool,
    /// Start of every block and the end of the last, in bytes.
    starts: Vec<usize>,
}

/// One block's lists.
pub(crate) struct Block<'a> {
    /// Ordinal of the block's first passage.
    pub(crate) base: u32,
    /// Passages in the block.
    pub(crate) len: usize,
    ends: &'a [[u8; 4]],
    locals: &'a [[u8; 2]],
    values: &'a [[u8; 4]],
}

impl Postings {
    pub(crate) fn open(
        dir: &dyn Directory,
        meta: &IndexMeta,
        name: &str,
        magic: [u8; 8],
        weighted: bool,
        postings: u64,
        verify: bool,
    ) -> Result<Self> {
        let payload = Payload::read(dir, meta, name, magic, verify)?;
        let length = payload.bytes().len();
        let trailer = length.checked_sub(TRAILER).ok_or_else(|| payload.corrupt("ends too early"))?;
        let (dims, passages, block) = (payload.u32(trailer)?, payload.u32(trailer + 4)?, payload.u32(trailer + 8)?);
        let stored = (dims, passages, payload.u32(trailer + 12)?, payload.u64(trailer + 16)? as u64);
        if stored != (meta.dims, meta.passages, if weighted { 4 } else { 0 }, postings)
            || !(1..=MAX_BLOCK).contains(&block)
        {
            return Err(payload.corrupt("its counts are not those of meta.json"));
        }
        let blocks = passages.div_ceil(block) as usize;
        let table = trailer.checked_sub(8 * blocks).ok_or_else(|| payload.corrupt("ends too early"))?;
        let mut starts = (0..blocks).map(|b| payload.u64(table + 8 * b)).collect::<Result<Vec<_>>>()?;
        starts.push(table);
        let index = Self { payload, dims, passages, block, weighted, starts };
        index.check_blocks(postings)?;
        Ok(index)
    }

    /// Checks every block's list table once, so that search can trust it.
    fn check_blocks(&self, postings: u64) -> Result<()> {
        let broken = || self.payload.corrupt("a block's table is damaged");
        let table = 4 * (self.dims as usize + 1);
        let per_posting = if self.weighted { 6 } else { 2 };
        let mut total = 0;
        for span in self.starts.array_windows::<2>() {
            let bytes = self.payload.slice(span[0]..span[1])?;
            let (ends, lists) = bytes.split_at_checked(table).ok_or_else(broken)?;
            let (mut before, mut sorted) = (0, true);
            for end in ends.as_chunks::<4>().0 {
                let end = u32::from_le_bytes(*end);
                sorted &= before <= end;
                before = end;
            }
            let starts_at_zero = ends.first_chunk::<4>() == Some(&[0; 4]);
            if !sorted || !starts_at_zero || lists.len() as u64 != u64::from(before) * per_posting {
                return Err(broken());
            }
            total += u64::from(before);
        }
        if self.starts.first() == Some(&0) && total == postings { Ok(()) } else { Err(broken()) }
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.starts.len() - 1
    }

    /// Most passages that one block holds.
    pub(crate) fn block_len(&self) -> usize {
        self.block.min(self.passages) as usize
    }

    pub(crate) fn block(&self, at: usize) -> Block<'_> {
        let bytes = &self.payload.bytes()[self.starts[at]..self.starts[at + 1]];
        let (ends, lists) = bytes.split_at(4 * (self.dims as usize + 1));
        let per_posting = if self.weighted { 6 } else { 2 };
        let (locals, values) = lists.split_at(lists.len() / per_posting * 2);
        let base = at as u32 * self.block;
        Block {
            base,
            len: (self.passages - base).min(self.block) as usize,
            ends: ends.as_chunks().0,
            locals: locals.as_chunks().0,
            values: values.as_chunks().0,
        }
    }

    /// The weight of one dimension in one passage, 0 when it is not stored.
    pub(crate) fn weight(&self, ordinal: u32, dim: u32) -> f32 {
        let block = self.block((ordinal / self.block) as usize);
        let (locals, values) = block.list(dim);
        let local = (ordinal % self.block) as u16;
        locals
            .binary_search_by_key(&local, |word| u16::from_le_bytes(*word))
            .map_or(0.0, |at| values.get(at).map_or(1.0, |value| f32::from_le_bytes(*value)))
    }
}

impl<'a> Block<'a> {
    /// The passages of a dimension, counted from the block's first, and their weights (empty without weights).
    pub(crate) fn list(&self, dim: u32) -> (&'a [[u8; 2]], &'a [[u8; 4]]) {
        let at = dim as usize;
        let (Some(start), Some(end)) = (self.ends.get(at), self.ends.get(at + 1)) else {
            return (&[], &[]);
        };
        let span = u32::from_le_bytes(*start) as usize..u32::from_le_bytes(*end) as usize;
        (&self.locals[span.clone()], self.values.get(span).unwrap_or(&[]))
    }
}
