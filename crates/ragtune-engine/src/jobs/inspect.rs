//! Vectors as ranked tokens.

use crate::command::Inspect;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `inspect`
pub(super) fn inspect(_: &Inspect, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}
