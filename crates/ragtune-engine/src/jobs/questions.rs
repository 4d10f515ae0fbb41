//! Questions files: looking through, writing, drafting.

use crate::command::{CheckQuestions, DraftQuestions, WriteQuestions};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `questions check`
pub(super) fn check(_: &CheckQuestions, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}

/// `questions write`
pub(super) fn write(_: &WriteQuestions, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}

/// `questions draft`
pub(super) fn draft(_: &DraftQuestions, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}
