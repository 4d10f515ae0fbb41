//! Tuning: pools, stages, the contrastive loss, the trainer and its checkpoints; and the training of small readers.
//!
//! | module | what it holds |
//! |---|---|
//! | [`tuner`] | a whole tuning: pools, offline and online stage, dev evaluation, resume |
//! | `pools` | D+ and D-, thresholds, the walk of the online stage, warnings |
//! | `cache` | the score cache on disk |
//! | `trainer` | one training step with gradient caching |
//! | `loss` | the contrastive loss and its optional terms |
//! | `optim` | AdamW and the learning-rate schedule |
//! | `checkpoint` | saving and resuming |
//! | `reader` | training of a small reader LM |

mod cache;
mod checkpoint;
mod error;
mod loss;
mod optim;
mod pools;
mod reader;
mod settings;
mod trainer;
pub mod tuner;

pub use cache::{PairScore, ScoreCache};
pub use checkpoint::{BEST, saved_position};
pub use error::{Result, TuneError};
pub use loss::{LossInput, LossOptions, LossOutput, LossTerms, Temperatures, contrastive_loss};
pub use optim::{AdamW, OptimSettings, schedule};
pub use pools::{Pool, PoolReport, ScoreHistogram, Walk, in_batch_mask};
pub use reader::{ReaderLoss, ReaderRates, ReaderTrainer, Reading};
pub use settings::{Precision, Stage, Supervision, TuneSettings};
pub use trainer::{Batch, StepReport, StepSettings, Trainer};
pub use tuner::{Advance, Example, Origin, Position, Record, StepRecord, TuneInput, Tuner};
