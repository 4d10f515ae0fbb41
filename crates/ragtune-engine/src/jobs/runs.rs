//! Runs: listing, showing, exporting.

use crate::command::{ExportRun, ListRuns, ReadRun};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `runs list`
pub(super) fn list(_: &ListRuns, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}

/// `runs show`
pub(super) fn show(_: &ReadRun, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}

/// `runs export`
pub(super) fn export(_: &ExportRun, _: &mut JobContext<'_>) -> Result<()> {
    Err(EngineError::Failed("not built yet".to_owned()))
}
