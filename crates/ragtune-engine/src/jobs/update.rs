//! Bringing an index up to date with its files.

use crate::command::UpdateIndex;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `index update`
pub(super) fn update(_: &UpdateIndex, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}
