//! The nouns of the field, as plain data.

use serde::{Deserialize, Serialize};

/// A piece of text that can be retrieved and put in a language model's context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Identifier, unique within a corpus.
    pub id: String,
    /// Title; empty when there is none.
    #[serde(default)]
    pub title: String,
    /// Body text.
    pub text: String,
    /// Where the passage comes from, for passages that were cut from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// The place of a passage in the file it was cut from.
///
/// In plain text, Markdown and HTML `start` and `end` count the bytes of the file. A PDF or Word file has no such bytes:
/// there they count the bytes of the text that was taken out of the page (PDF) or of the whole document (Word), in UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// File name as the user gave it, with `/` between folders.
    pub file: String,
    /// First byte of the passage.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// The nearest heading above the passage; empty when there is none.
    #[serde(default)]
    pub heading: String,
    /// The page that the passage stands on, from 1, in files that have pages. No passage crosses a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
}

/// A question with what is known about its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Identifier, unique within a question file.
    pub id: String,
    /// The question's text.
    #[serde(rename = "question")]
    pub text: String,
    /// Gold answers, any of which is right. For a closed-set question: the right option.
    #[serde(default)]
    pub answers: Vec<String>,
    /// The options of a closed-set question; empty for a free-form one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Identifiers of the passages that are relevant (gold) for the question.
    #[serde(default)]
    pub gold_ids: Vec<String>,
    /// The split that the question belongs to, when its file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

/// Whether a question is answered freely or by choosing one of its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// Any text may be the answer.
    FreeForm,
    /// The answer is one of the question's options.
    ClosedSet,
}

impl Question {
    /// The task kind: closed-set when there are options.
    pub fn kind(&self) -> TaskKind {
        if self.choices.is_empty() { TaskKind::FreeForm } else { TaskKind::ClosedSet }
    }
}

/// Train, dev or test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Questions that tuning learns from.
    Train,
    /// Questions that tuning chooses its checkpoint on.
    Dev,
    /// Questions that are only reported on.
    Test,
}

/// A sparse vector over the lexical dimensions `0..V`.
///
/// Invariant: `indices` ascend strictly and `values` has the same length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SparseVector {
    /// Lexical dimensions, strictly ascending.
    pub indices: Vec<u32>,
    /// One value per dimension.
    pub values: Vec<f32>,
}

/// A retrieved passage: its ordinal in the corpus and its score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Position of the passage in the corpus, from 0.
    pub ordinal: u32,
    /// Inner product of question and passage vectors.
    pub score: f32,
}

impl SparseVector {
    /// Builds a vector from unordered pairs; a dimension met twice keeps the larger value.
    pub fn from_pairs(mut pairs: Vec<(u32, f32)>) -> Self {
        pairs.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        pairs.dedup_by_key(|pair| pair.0);
        let (indices, values) = pairs.into_iter().unzip();
        Self { indices, values }
    }

    /// Builds the 0/1 vector of a set of dimensions, in any order, with repeats.
    pub fn binary(mut dims: Vec<u32>) -> Self {
        dims.sort_unstable();
        dims.dedup();
        let values = vec![1.0; dims.len()];
        Self { indices: dims, values }
    }

    /// Number of stored dimensions.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// True when nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The value of one dimension, 0 when it is not stored.
    pub fn get(&self, dim: u32) -> f32 {
        self.indices.binary_search(&dim).map_or(0.0, |at| self.values[at])
    }

    /// Iterates over (dimension, value) in ascending order of dimension.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.indices.iter().copied().zip(self.values.iter().copied())
    }

    /// Inner product, summed in ascending order of dimension.
    pub fn dot(&self, other: &Self) -> f32 {
        let (mut i, mut j, mut sum) = (0, 0, 0.0f32);
        while i < self.len() && j < other.len() {
            match self.indices[i].cmp(&other.indices[j]) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => {
                    sum += self.values[i] * other.values[j];
                    i += 1;
                    j += 1;
                }
            }
        }
        sum
    }

    /// The part of the vector on the given dimensions (strictly ascending).
    pub fn restricted(&self, dims: &[u32]) -> Self {
        let pairs: Vec<_> = self.iter().filter(|(d, _)| dims.binary_search(d).is_ok()).collect();
        let (indices, values) = pairs.into_iter().unzip();
        Self { indices, values }
    }
}
