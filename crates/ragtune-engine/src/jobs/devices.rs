//! Which devices can compute.

use crate::Result;
use crate::device::{self, Adapter, AdapterKind};
use crate::event::{DeviceReport, Report};
use crate::session::JobContext;

/// Tests every device.
pub(super) fn devices(context: &mut JobContext<'_>) -> Result<()> {
    let adapters = device::adapters();
    let total = adapters.len() as u64;
    context.begin("testing devices", "devices", Some(total));
    let mut reports = Vec::new();
    for (number, adapter) in adapters.iter().enumerate() {
        context.check()?;
        reports.push(report(number, adapter));
        context.advance(number as u64 + 1);
    }
    // As `device::choose` has it: the first real GPU if it computes rightly.
    let real = |report: &&mut DeviceReport| ["discrete", "integrated"].contains(&report.kind.as_str());
    let chosen = reports.iter_mut().find(real).filter(|report| report.usable).map(|report| report.chosen = true);
    let cpu = DeviceReport {
        device: "cpu".to_owned(),
        name: "CPU".to_owned(),
        kind: "cpu".to_owned(),
        usable: true,
        chosen: chosen.is_none(),
        note: None,
    };
    reports.insert(0, cpu);
    context.report(Report::Devices(reports));
    Ok(())
}

fn report(number: usize, adapter: &Adapter) -> DeviceReport {
    let kind = match adapter.kind {
        AdapterKind::Discrete => "discrete",
        AdapterKind::Integrated => "integrated",
        AdapterKind::Virtual => "virtual",
        AdapterKind::Software => "software",
    };
    let (name, usable, note) = match device::open(adapter) {
        Ok(chosen) => (chosen.name, true, chosen.note),
        Err(reason) => ("GPU".to_owned(), false, Some(reason)),
    };
    DeviceReport { device: format!("gpu:{number}"), name, kind: kind.to_owned(), usable, chosen: false, note }
}
