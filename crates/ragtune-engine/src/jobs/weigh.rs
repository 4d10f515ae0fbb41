//! The probability of an answer with each passage in context.

use crate::command::Weigh;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `weigh`
pub(super) fn weigh(_: &Weigh, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}
