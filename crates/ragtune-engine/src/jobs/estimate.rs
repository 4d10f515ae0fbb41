//! What a tuning would cost.

use crate::command::Tune;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `tune --estimate`
pub(super) fn estimate(_: &Tune, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}
