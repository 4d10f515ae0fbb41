//! Lending a device of this machine to tunings on another.

use crate::command::Lend;
use crate::device::Counter;
use crate::event::{LentReport, Report};
use crate::session::JobContext;
use crate::{Result, jobs};

/// `lend`
pub(super) fn lend(wanted: &Lend, context: &mut JobContext<'_>) -> Result<()> {
    let device = jobs::device(wanted.device, context)?;
    let name = context.shelf().device(wanted.device)?.name;
    let counter = Counter::open(&wanted.listen, wanted.token.clone())?;
    context.report(Report::Lent(LentReport { device: name.clone(), helper: counter.helper.to_string() }));
    context.begin(&format!("lending {name} until it is stopped"), "devices", None);
    counter.lend(device, || !context.cancelled())
}
