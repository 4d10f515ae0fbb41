//! Figures: how well passages are retrieved, how well questions are answered with them, and how far the language
//! model's score tells right from wrong.
//!
//! | module | what it holds |
//! |---|---|
//! | [`run`] | TREC run files |
//! | [`ir`] | recall@k, MRR@k and nDCG@k, equal to trec_eval |
//! | [`rag`] | the figures of an evaluation and of a tuning run |
//! | [`correlation`] | ROC-AUC, calibration, precision and recall of the threshold rule |

pub mod correlation;
mod error;
pub mod ir;
pub mod rag;
pub mod run;

pub use error::EvalError;
