//! Leafing through an index's passages.

use crate::command::ListPassages;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `index passages`
pub(super) fn list(_: &ListPassages, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}
