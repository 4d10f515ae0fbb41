//! Adding the parametric part: the encoder's sparse vector of every passage.

use ragtune_text::SparseVector;
use ragtune_text::storage::Directory;

use crate::bytes::file_meta;
use crate::meta::{IndexMeta, ParametricMeta};
use crate::postings::PostingsWriter;
use crate::{IndexError, Result};

pub(crate) const PARAMETRIC: &str = "parametric.bin";
pub(crate) const PARAMETRIC_MAGIC: [u8; 8] = *b"RTPARAM ";

/// Passages per block of the parametric index unless told otherwise: with about 900 weights per passage a build holds
/// some 200 MB in memory.
pub const DEFAULT_PARAMETRIC_BLOCK: u32 = 1 << 14;

/// Writes the parametric part of a finished index, passage after passage in the order of their ordinals.
///
/// Until [`finish`](ParametricBuilder::finish) the index stays as it was.
pub struct ParametricBuilder<'a> {
    dir: &'a dyn Directory,
    meta: IndexMeta,
    postings: PostingsWriter,
}

impl<'a> ParametricBuilder<'a> {
    /// Starts the parametric part of the index in the folder, with [`DEFAULT_PARAMETRIC_BLOCK`].
    pub fn new(dir: &'a dyn Directory) -> Result<Self> {
        Self::with_block(dir, DEFAULT_PARAMETRIC_BLOCK)
    }

    /// As [`new`](ParametricBuilder::new) with so many passages per block, 1 to 65,536: one block is held in memory.
    pub fn with_block(dir: &'a dyn Directory, block: u32) -> Result<Self> {
        let meta = IndexMeta::read(dir)?;
        let postings = PostingsWriter::create(dir, PARAMETRIC, PARAMETRIC_MAGIC, meta.dims, block, true)?;
        Ok(Self { dir, meta, postings })
    }

    /// Number of vectors so far: the ordinal of the passage whose vector comes next.
    pub fn len(&self) -> u32 {
        self.postings.passages()
    }

    /// True before the first vector.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the vector S+ of the next passage.
    pub fn add(&mut self, vector: &SparseVector) -> Result<()> {
        let ordinal = self.len();
        if ordinal == self.meta.passages {
            let vectors = ordinal.saturating_add(1);
            return Err(IndexError::ParametricCount { passages: self.meta.passages, vectors });
        }
        if vector.indices.len() != vector.values.len() {
            let reason = format!("{} dimensions but {} values", vector.indices.len(), vector.values.len());
            return Err(IndexError::Vector { ordinal, reason });
        }
        if let Some((dim, value)) = vector.iter().find(|(_, value)| !value.is_finite()) {
            let reason = format!("the encoder gave {value} in dimension {dim}; its weights are damaged or overflow");
            return Err(IndexError::Vector { ordinal, reason });
        }
        self.postings.push(&vector.indices, &vector.values)
    }

    /// Completes the index. `encoder_fingerprint` says whose vectors these are.
    pub fn finish(self, encoder_fingerprint: &str) -> Result<IndexMeta> {
        let Self { dir, mut meta, postings } = self;
        let (vectors, weights) = (postings.passages(), postings.postings());
        if vectors != meta.passages {
            return Err(IndexError::ParametricCount { passages: meta.passages, vectors });
        }
        // First without the old part: an interruption leaves a whole bag-of-tokens index.
        if meta.parametric.take().is_some() {
            meta.files.remove(PARAMETRIC);
            meta = meta.write(dir)?;
        }
        postings.finish()?;
        meta.files.insert(PARAMETRIC.to_owned(), file_meta(dir, PARAMETRIC)?);
        meta.parametric =
            Some(ParametricMeta { postings: weights, encoder_fingerprint: encoder_fingerprint.to_owned() });
        meta.write(dir)
    }
}
