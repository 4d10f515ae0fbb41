//! Where retriever and language model meet: prompts, RAG score and RAG label, retrieval, and answers with citations.
//!
//! | module | what it holds |
//! |---|---|
//! | [`template`] | [`PromptTemplate`]: the wording of prompts |
//! | [`prompt`] | [`prompt::fit`]: a prompt that fits into the context |
//! | [`judge`] | [`Judge`]: RAG score and RAG label |
//! | [`options`] | which option a generation chooses |
//! | [`retriever`] | [`Retriever`]: the five search modes, and why a passage was found |
//! | [`answer`](mod@answer) | [`answer()`]: an answer with its citations |
//! | [`written`] | answers that the language model writes, with their probability |
//! | [`draft`](mod@draft) | [`draft()`]: a question that a language model words about a passage |
//! | [`fingerprint`] | what tells one model from another |

pub mod answer;
mod batch;
pub mod draft;
mod error;
pub mod fingerprint;
pub mod judge;
pub mod options;
pub mod prompt;
pub mod retriever;
pub mod template;
#[cfg(test)]
mod testing;
pub mod written;

pub use answer::{Answer, Citation, answer};
pub use draft::{Doubt, Draft, draft};
pub use error::{RagError, Result};
pub use fingerprint::{encoder_fingerprint, lm_fingerprint, scorer_fingerprint};
pub use judge::{AnswerScore, Judge, JudgeItem, JudgeSettings, Judgement, PromptItem, RagScore, score_prompts};
pub use retriever::{
    ExplainedHits, ExplainedToken, FirstStage, PassageVectors, Retriever, SearchMode, SearchSettings, resident_bags,
};
pub use template::PromptTemplate;
pub use written::WrittenAnswer;
