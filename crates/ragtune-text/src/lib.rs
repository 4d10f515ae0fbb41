//! The lowest room: passages, questions, tokenizers, the lexical vocabulary, sparse vectors and the file formats
//! that carry them. Everything here works on bytes, readers and writers; nothing opens a file by itself.
//!
//! | module | what it holds |
//! |---|---|
//! | [`tokenizer`] | [`Tokenizer`]: text to ids, as questions, as passages and as prompts |
//! | [`lexical`] | [`LexicalVocab`]: which ids are dimensions of the lexical space |
//! | [`answers`] | does a generation contain the answer; exact match and F1 |
//! | [`formats`] | readers for BEIR, DPR and question files, and for plain text, Markdown and HTML |
//! | [`split`] | train, dev and test for questions that come without |
//! | [`storage`] | the [`storage::Directory`] contract and the footer of binary files |

pub mod answers;
mod error;
pub mod formats;
pub mod hash;
pub mod lexical;
pub mod split;
pub mod storage;
#[cfg(test)]
mod testing;
pub mod tokenizer;
mod types;

pub use error::TextError;
pub use lexical::LexicalVocab;
pub use tokenizer::Tokenizer;
pub use types::{Hit, Passage, Question, Source, SparseVector, Split, TaskKind};
