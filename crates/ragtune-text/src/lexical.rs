//! The lexical space: which token ids are its dimensions.

use serde::{Deserialize, Serialize};

use crate::error::TextError;
use crate::tokenizer::Tokenizer;

/// Most token ids that a stored vocabulary may claim; a larger one is damage, not a tokenizer.
const MAX_DIMS: usize = 1 << 24;

/// The dimensions of every lexical vector: tokenizer ids without the special, added and unused ones, in ascending order.
///
/// bert-base-uncased has 29,523: dimension `j` is id `j + 999`. Stored as runs `[first id, count]` of consecutive ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u32, u32)>", into = "Vec<(u32, u32)>")]
pub struct LexicalVocab {
    /// Strictly ascending.
    ids: Vec<u32>,
    runs: Vec<Run>,
}

/// Consecutive ids that are consecutive dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    id: u32,
    dim: u32,
    count: u32,
}

impl LexicalVocab {
    /// The vocabulary of a tokenizer: all ids but those of special and added tokens and of `[unusedN]`.
    pub fn from_tokenizer(tokenizer: &Tokenizer) -> Self {
        let special = tokenizer.special_ids();
        let keep = |&(id, ref token): &(u32, String)| special.binary_search(&id).is_err() && !is_unused(token);
        Self::from_ids(tokenizer.vocabulary().into_iter().filter(keep).map(|(id, _)| id).collect())
    }

    /// The vocabulary of a set of ids. Their order and repeats do not matter: dimensions ascend with ids.
    pub fn from_ids(mut ids: Vec<u32>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let mut runs: Vec<Run> = Vec::new();
        for (dim, &id) in ids.iter().enumerate() {
            match runs.last_mut() {
                Some(run) if id - run.id == run.count => run.count += 1,
                _ => runs.push(Run { id, dim: dim as u32, count: 1 }),
            }
        }
        Self { ids, runs }
    }

    /// Number of dimensions, V.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True when there is no dimension.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The dimension of a token id; `None` for special, unused and unknown ids.
    pub fn dim(&self, id: u32) -> Option<u32> {
        let after = self.runs.partition_point(|run| run.id <= id);
        let run = self.runs[..after].last()?;
        let offset = id - run.id;
        (offset < run.count).then_some(run.dim + offset)
    }

    /// The token id of a dimension.
    ///
    /// # Panics
    /// When `dim` is not below [`LexicalVocab::len`].
    pub fn id(&self, dim: u32) -> u32 {
        self.ids[dim as usize]
    }

    /// The token ids of all dimensions, ascending: `ids()[dim]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The bag of tokens of a tokenised text: its dimensions, ascending, each once.
    pub fn bag(&self, ids: &[u32]) -> Vec<u32> {
        let mut dims: Vec<u32> = ids.iter().filter_map(|&id| self.dim(id)).collect();
        dims.sort_unstable();
        dims.dedup();
        dims
    }

    /// Eight hex digits over the mapping: equal for equal mappings.
    pub fn fingerprint(&self) -> String {
        let mut crc = crc32fast::Hasher::new();
        for run in &self.runs {
            crc.update(&run.id.to_le_bytes());
            crc.update(&run.count.to_le_bytes());
        }
        format!("{:08x}", crc.finalize())
    }
}

impl From<LexicalVocab> for Vec<(u32, u32)> {
    fn from(vocab: LexicalVocab) -> Self {
        vocab.runs.iter().map(|run| (run.id, run.count)).collect()
    }
}

impl TryFrom<Vec<(u32, u32)>> for LexicalVocab {
    type Error = TextError;

    fn try_from(runs: Vec<(u32, u32)>) -> Result<Self, TextError> {
        let fail = |reason: String| TextError::LexicalVocab { reason };
        let mut ids = Vec::new();
        let mut next = 0u32;
        for (id, count) in runs {
            let end = id.checked_add(count).ok_or_else(|| fail(format!("{count} ids from {id} are too many")))?;
            if id < next {
                return Err(fail(format!("id {id} is not after id {}", next - 1)));
            }
            if ids.len() + count as usize > MAX_DIMS {
                return Err(fail(format!("more than {MAX_DIMS} ids")));
            }
            ids.extend(id..end);
            next = end;
        }
        Ok(Self::from_ids(ids))
    }
}

/// `[unused0]`, `[unused12]` and so on.
fn is_unused(token: &str) -> bool {
    let number = token.strip_prefix("[unused").and_then(|rest| rest.strip_suffix(']'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    #[test]
    fn special_and_unused_tokens_have_no_dimension() {
        let tokenizer = testing::bert();
        let vocab = LexicalVocab::from_tokenizer(&tokenizer);
        for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[unused0]"] {
            assert_eq!(vocab.dim(tokenizer.id(token).unwrap()), None, "{token}");
        }
        assert_eq!(vocab.len(), tokenizer.vocab_size() - 5);
        assert_eq!(vocab.dim(tokenizer.id("oil").unwrap()), Some(tokenizer.id("oil").unwrap() - 5));
    }

    #[test]
    fn a_bag_holds_each_word_once_and_no_special_token() {
        let tokenizer = testing::bert();
        let vocab = LexicalVocab::from_tokenizer(&tokenizer);
        let bag = vocab.bag(&tokenizer.passage("oil", "the oil the price", 32).unwrap());
        let words: Vec<_> = bag.iter().map(|&dim| tokenizer.token(vocab.id(dim)).unwrap()).collect();
        assert_eq!(words, ["the", "price", "oil"]);
    }

    #[test]
    fn damaged_mappings_are_refused() {
        for json in ["[[5,3],[7,2]]", "[[4294967295,2]]", "[[0,4000000000]]", "[[5]]"] {
            assert!(serde_json::from_str::<LexicalVocab>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn dims_and_ids_are_inverse(ids in prop::collection::vec(0u32..500, 0..200), probe in 0u32..600) {
            let vocab = LexicalVocab::from_ids(ids.clone());
            for dim in 0..vocab.len() as u32 {
                prop_assert_eq!(vocab.dim(vocab.id(dim)), Some(dim));
            }
            prop_assert_eq!(vocab.dim(probe).is_some(), ids.contains(&probe));
            let stored: LexicalVocab = serde_json::from_str(&serde_json::to_string(&vocab).unwrap()).unwrap();
            prop_assert_eq!(stored.fingerprint(), vocab.fingerprint());
            prop_assert_eq!(stored, vocab);
        }
    }
}
