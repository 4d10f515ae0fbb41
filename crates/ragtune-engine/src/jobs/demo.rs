//! The demo: the whole method on the sample world.

use crate::command::Demo;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Writes a sample world, tunes the small encoder on it and reports the figures before and after.
pub fn demo(_: &Demo, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("`ragtune demo` is not built yet".to_owned()))
}
