//! Building the bag-of-tokens index: one pass over the corpus, no model needed.

use std::collections::BTreeMap;

use ragtune_text::Passage;
use ragtune_text::storage::Directory;

use crate::bytes::{SealedFile, file_meta};
use crate::forward::{BAGS, BagWriter};
use crate::meta::{FORMAT, IndexMeta, META};
use crate::parametric::PARAMETRIC;
use crate::passages::{PASSAGES, PassageWriter, TABLE};
use crate::postings::PostingsWriter;
use crate::{IndexError, Result};

pub(crate) const BOT: &str = "bot.bin";
pub(crate) const BOT_MAGIC: [u8; 8] = *b"RTBOT   ";
pub(crate) const VOCAB: &str = "vocab.bin";
pub(crate) const VOCAB_MAGIC: [u8; 8] = *b"RTVOCAB ";

/// Passages per block of the bag-of-tokens index unless told otherwise.
pub const DEFAULT_BLOCK: u32 = 1 << 15;

/// With what an index is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildConfig {
    /// The tokenizer id of every lexical dimension; its length is V.
    pub vocab_ids: Vec<u32>,
    /// Fingerprint of the tokenizer.
    pub tokenizer_fingerprint: String,
    /// Fingerprint of the lexical vocabulary, compared when the index is opened for an encoder.
    pub vocab_fingerprint: String,
    /// Tokens of a passage that its bag covers, the special ones included.
    pub max_tokens: u32,
    /// Passages per block, 1 to 65,536. A build holds one block's postings in memory, about 6 bytes each, so a
    /// smaller block needs less; every block adds a table of 4 V bytes to the file.
    pub block: u32,
}

impl BuildConfig {
    /// A configuration with 256 tokens per passage and [`DEFAULT_BLOCK`].
    pub fn new(
        vocab_ids: Vec<u32>,
        tokenizer_fingerprint: impl Into<String>,
        vocab_fingerprint: impl Into<String>,
    ) -> Self {
        Self {
            vocab_ids,
            tokenizer_fingerprint: tokenizer_fingerprint.into(),
            vocab_fingerprint: vocab_fingerprint.into(),
            max_tokens: 256,
            block: DEFAULT_BLOCK,
        }
    }
}

/// Writes the passages and their bags of tokens.
///
/// Nothing stands under a final name before [`finish`](IndexBuilder::finish): a builder that is dropped leaves an
/// index that stood in the folder before as it was.
pub struct IndexBuilder<'a> {
    dir: &'a dyn Directory,
    config: BuildConfig,
    dims: u32,
    passages: PassageWriter,
    bags: BagWriter,
    postings: PostingsWriter,
}

impl<'a> IndexBuilder<'a> {
    /// Starts an index in a folder.
    pub fn new(dir: &'a dyn Directory, config: BuildConfig) -> Result<Self> {
        let dims = u32::try_from(config.vocab_ids.len()).unwrap_or(u32::MAX);
        if dims == 0 || dims == u32::MAX {
            return Err(IndexError::Config(format!("a lexical vocabulary of {dims} dimensions cannot be indexed")));
        }
        Ok(Self {
            passages: PassageWriter::create(dir)?,
            bags: BagWriter::create(dir)?,
            postings: PostingsWriter::create(dir, BOT, BOT_MAGIC, dims, config.block, false)?,
            dir,
            config,
            dims,
        })
    }

    /// Number of passages so far.
    pub fn len(&self) -> usize {
        self.passages.len()
    }

    /// True before the first passage.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a passage of that identifier was added.
    pub fn contains(&self, id: &str) -> bool {
        self.passages.contains(id)
    }

    /// Adds a passage with its bag (dimensions, strictly ascending) and gives its ordinal.
    ///
    /// A passage that is refused (an id met before, a bag that does not fit) leaves no trace.
    pub fn add(&mut self, passage: &Passage, bag: &[u32]) -> Result<u32> {
        let ordinal = self.postings.passages();
        if ordinal == u32::MAX {
            return Err(IndexError::TooManyPassages { limit: u32::MAX });
        }
        self.postings.check(bag)?;
        self.passages.push(passage, ordinal)?;
        self.bags.push(bag)?;
        self.postings.push(bag, &[])?;
        Ok(ordinal)
    }

    /// Gives the files their names, `meta.json` last. An older index in the folder is replaced, its parametric part
    /// removed.
    pub fn finish(self) -> Result<IndexMeta> {
        let Self { dir, config, dims, passages, bags, postings } = self;
        if postings.passages() == 0 {
            return Err(IndexError::EmptyCorpus);
        }
        let (count, pairs) = (postings.passages(), postings.postings());
        let mut vocab = SealedFile::create(dir, VOCAB, VOCAB_MAGIC)?;
        for &id in &config.vocab_ids {
            vocab.write_u32(id)?;
        }
        // Without its meta the older index is gone as a whole: an interruption cannot leave a mixture.
        for name in [META, PARAMETRIC] {
            dir.remove(name).map_err(|e| IndexError::io(&dir.describe(name), e))?;
        }
        vocab.finish()?;
        passages.finish()?;
        bags.finish()?;
        postings.finish()?;
        let mut files = BTreeMap::new();
        for name in [VOCAB, PASSAGES, TABLE, BAGS, BOT] {
            files.insert(name.to_owned(), file_meta(dir, name)?);
        }
        let meta = IndexMeta {
            format: FORMAT,
            passages: count,
            dims,
            postings: pairs,
            max_tokens: config.max_tokens,
            tokenizer_fingerprint: config.tokenizer_fingerprint,
            vocab_fingerprint: config.vocab_fingerprint,
            parametric: None,
            files,
            crc32: 0,
        };
        meta.write(dir)
    }
}
