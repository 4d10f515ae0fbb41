//! Tuning an encoder.

use crate::command::Tune;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Tunes an encoder and reports the figures before and after.
pub fn tune(_: &Tune, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("`ragtune tune` is not built yet".to_owned()))
}
