//! An opened index.

use ragtune_text::storage::Directory;
use ragtune_text::{Hit, Passage, SparseVector};

use crate::build::{BOT, BOT_MAGIC, VOCAB, VOCAB_MAGIC};
use crate::bytes::Payload;
use crate::forward::Bags;
use crate::meta::IndexMeta;
use crate::parametric::{PARAMETRIC, PARAMETRIC_MAGIC};
use crate::passages::PassageStore;
use crate::postings::Postings;
use crate::search::{search, search_many};
use crate::{IndexError, Result};

/// An index that answers: passages, bags and exact search. It can be shared between threads.
pub struct Index {
    meta: IndexMeta,
    vocab_ids: Vec<u32>,
    passages: PassageStore,
    bags: Bags,
    bot: Postings,
    parametric: Option<Postings>,
}

/// Checks every byte of an index: checksums of all files, and that every passage can be read and found by its id.
pub fn verify(dir: &dyn Directory) -> Result<IndexMeta> {
    let index = Index::load(dir, true)?;
    for ordinal in 0..index.len() {
        let id = index.passage(ordinal)?.id;
        if index.ordinal(&id) != Some(ordinal) {
            let reason = format!("passage {ordinal} is not found by its id {id:?}");
            return Err(IndexError::corrupt(&dir.describe(crate::passages::TABLE), reason));
        }
        index.bag(ordinal)?;
    }
    Ok(index.meta)
}

impl Index {
    /// Opens an index after checking kind, version and length of its files and that they belong together. The content
    /// is not read through: that is what [`verify`] does.
    pub fn open(dir: &dyn Directory) -> Result<Self> {
        Self::load(dir, false)
    }

    fn load(dir: &dyn Directory, verify: bool) -> Result<Self> {
        let meta = IndexMeta::read(dir)?;
        let vocab = Payload::read(dir, &meta, VOCAB, VOCAB_MAGIC, verify)?;
        let (ids, rest) = vocab.bytes().as_chunks::<4>();
        if !rest.is_empty() || ids.len() as u64 != u64::from(meta.dims) {
            return Err(vocab.corrupt("does not hold as many dimensions as meta.json says"));
        }
        let parametric = match &meta.parametric {
            Some(part) => Some(Postings::open(dir, &meta, PARAMETRIC, PARAMETRIC_MAGIC, true, part.postings, verify)?),
            None => None,
        };
        Ok(Self {
            vocab_ids: ids.iter().map(|word| u32::from_le_bytes(*word)).collect(),
            passages: PassageStore::open(dir, &meta, verify)?,
            bags: Bags::open(dir, &meta, verify)?,
            bot: Postings::open(dir, &meta, BOT, BOT_MAGIC, false, meta.postings, verify)?,
            parametric,
            meta,
        })
    }

    /// Counts and fingerprints.
    pub fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    /// Number of passages, at least 1.
    pub fn len(&self) -> u32 {
        self.meta.passages
    }

    /// Always false: an index without passages is not built.
    pub fn is_empty(&self) -> bool {
        self.meta.passages == 0
    }

    /// The tokenizer id of every lexical dimension.
    pub fn vocab_ids(&self) -> &[u32] {
        &self.vocab_ids
    }

    /// Whether there is a parametric part.
    pub fn has_parametric(&self) -> bool {
        self.parametric.is_some()
    }

    /// Refuses a lexical vocabulary that is not the index's own: its scores would be meaningless.
    pub fn check_vocab(&self, vocab_fingerprint: &str) -> Result<()> {
        if self.meta.vocab_fingerprint == vocab_fingerprint {
            return Ok(());
        }
        Err(IndexError::Vocab { index: self.meta.vocab_fingerprint.clone(), asked: vocab_fingerprint.to_owned() })
    }

    /// Refuses an encoder that did not make the parametric part.
    pub fn check_encoder(&self, encoder_fingerprint: &str) -> Result<()> {
        let part = self.meta.parametric.as_ref().ok_or(IndexError::NoParametric)?;
        if part.encoder_fingerprint == encoder_fingerprint {
            return Ok(());
        }
        Err(IndexError::StaleParametric {
            index: part.encoder_fingerprint.clone(),
            asked: encoder_fingerprint.to_owned(),
        })
    }

    /// A passage by its ordinal.
    pub fn passage(&self, ordinal: u32) -> Result<Passage> {
        self.passages.passage(ordinal)
    }

    /// A passage's identifier by its ordinal.
    pub fn passage_id(&self, ordinal: u32) -> Result<&str> {
        self.passages.id(ordinal)
    }

    /// The ordinal of the passage with this identifier.
    pub fn ordinal(&self, id: &str) -> Option<u32> {
        self.passages.ordinal(id)
    }

    /// The dimensions of a passage's bag of tokens, ascending.
    pub fn bag(&self, ordinal: u32) -> Result<Vec<u32>> {
        self.bags.bag(ordinal)
    }

    /// The `k` best passages by <q, BoT(d)>: `bot` search with S(q), `own` search with the query's own tokens.
    ///
    /// Passages that share nothing with the query score 0 and come last, in the order of the corpus.
    pub fn bot(&self, query: &SparseVector, k: usize) -> Vec<Hit> {
        search(&self.bot, query, k)
    }

    /// [`bot`](Index::bot) for several queries, in parallel.
    pub fn bot_many(&self, queries: &[SparseVector], k: usize) -> Vec<Vec<Hit>> {
        search_many(&self.bot, queries, k)
    }

    /// The `k` best passages by <q, S+(d)>: `full` search with S(q), `alpha` search with BoT(q).
    pub fn parametric(&self, query: &SparseVector, k: usize) -> Result<Vec<Hit>> {
        Ok(search(self.parametric_part()?, query, k))
    }

    /// [`parametric`](Index::parametric) for several queries, in parallel.
    pub fn parametric_many(&self, queries: &[SparseVector], k: usize) -> Result<Vec<Vec<Hit>>> {
        Ok(search_many(self.parametric_part()?, queries, k))
    }

    /// A passage's stored weights in the given dimensions, 0 where none is stored.
    pub fn parametric_weights(&self, ordinal: u32, dims: &[u32]) -> Result<Vec<f32>> {
        let part = self.parametric_part()?;
        if ordinal >= self.len() {
            return Err(IndexError::NoPassage { ordinal, passages: self.len() });
        }
        Ok(dims.iter().map(|&dim| part.weight(ordinal, dim)).collect())
    }

    fn parametric_part(&self) -> Result<&Postings> {
        self.parametric.as_ref().ok_or(IndexError::NoParametric)
    }
}
