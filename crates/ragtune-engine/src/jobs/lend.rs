//! Lending a device of this machine to tunings on another.

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
    let device = jobs::device(&wanted.device, context)?;
    let name = context.shelf().device(&wanted.device)?.name;
    let counter = Counter::open(&wanted.listen, wanted.token.clone())?;
    context.report(Report::Lent(LentReport { device: name.clone(), helper: counter.lender.to_string() }));
    context.begin(&format!("lending {name} until it is stopped"), "devices", None);
    counter.lend(device, || !context.cancelled())
}
