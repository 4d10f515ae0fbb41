//! Lending a device of this machine to another.

use crate::command::Lend;
use crate::device::{Counter, DeviceChoice};
use crate::event::{LentReport, Report};
use crate::session::JobContext;
use crate::{EngineError, Result, jobs};

/// `lend`
pub(super) fn lend(wanted: &Lend, context: &mut JobContext<'_>) -> Result<()> {
    if let DeviceChoice::Lent(lender) = &wanted.device {
        return Err(EngineError::input(format!("{}: what is lent cannot be lent on", lender.address)));
    }
    let lent = jobs::device(&wanted.device, context)?;
    let device = context.shelf().device(&wanted.device)?.name;
    let counter = Counter::open(&wanted.listen, wanted.token.clone())?;
    context.report(Report::Lent(LentReport { device, helper: counter.lender.to_string() }));
    counter.lend(lent, || !context.cancelled())
}
