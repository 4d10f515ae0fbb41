//! The indexes: bag of tokens and parametric, both exact.
//!
//! An index is a flat folder of files that are written once:
//!
//! | file | content |
//! |---|---|
//! | `meta.json` | counts, fingerprints, length and checksum of every other file; written last |
//! | `vocab.bin` | the tokenizer id of every lexical dimension |
//! | `passages.bin`, `passages.idx` | the passages, and where each of them starts |
//! | `bot.bin` | for every dimension, the passages that hold it |
//! | `bot.bags.bin` | for every passage, the dimensions it holds |
//! | `parametric.bin` | for every dimension, the passages and their weights; optional |
//!
//! Search gives the same passages and the same scores, to the last bit, as taking
//! [`SparseVector::dot`](ragtune_text::SparseVector::dot) with every passage; ties go to the lower ordinal.

mod build;
mod bytes;
mod error;
mod forward;
mod index;
mod meta;
mod parametric;
mod passages;
mod postings;
mod search;

pub use build::{BuildConfig, DEFAULT_BLOCK, IndexBuilder};
pub use error::{IndexError, Result};
pub use index::{Index, verify};
pub use meta::{FORMAT, FileMeta, IndexMeta, ParametricMeta};
pub use parametric::{DEFAULT_PARAMETRIC_BLOCK, ParametricBuilder};
