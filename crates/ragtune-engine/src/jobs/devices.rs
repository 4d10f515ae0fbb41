//! Which devices can compute, what they hold, and what they reach.

use burn::tensor::Device;
use ragtune_kernels::limits;

use super::ceiling::{self, SIDE};
use crate::command::TestDevices;
use crate::device::{self, Adapter, AdapterKind, ChosenDevice, Test};
use crate::event::{DeviceLimits, DeviceReport, DeviceSpeed, Report};
use crate::session::JobContext;
use crate::{Result, host};

/// Side of the square matrices that a software adapter multiplies.
const SOFTWARE_SIDE: usize = 256;
/// Times that everything is measured.
const ROUNDS: usize = 3;

/// Tests every device, and measures it where that is wanted.
pub(super) fn devices(wanted: &TestDevices, context: &mut JobContext<'_>) -> Result<()> {
    let adapters = device::adapters();
    let total = adapters.len() as u64 + 1;
    context.begin("testing devices", "devices", Some(total));
    let speed = if wanted.measure { Some(speed(&Device::flex(), SIDE, false, context)?) } else { None };
    let mut reports = vec![DeviceReport {
        device: "cpu".to_owned(),
        name: "CPU".to_owned(),
        kind: "cpu".to_owned(),
        usable: true,
        chosen: false,
        limits: host::memory_limit()
            .map(|memory| DeviceLimits { memory_bytes: Some(memory), ..DeviceLimits::default() }),
        speed,
        note: None,
    }];
    context.advance(1);
    for (number, adapter) in adapters.iter().enumerate() {
        context.check()?;
        reports.push(report(number, adapter, wanted.measure, context)?);
        context.advance(number as u64 + 2);
    }
    // As `device::choose` has it: the first real GPU if it computes rightly.
    let real = |report: &DeviceReport| ["discrete", "integrated"].contains(&report.kind.as_str());
    let chosen = reports.iter().position(real).filter(|&at| reports[at].usable).unwrap_or(0);
    reports[chosen].chosen = true;
    context.report(Report::Devices(reports));
    Ok(())
}

fn report(number: usize, adapter: &Adapter, measure: bool, context: &mut JobContext<'_>) -> Result<DeviceReport> {
    let kind = match adapter.kind {
        AdapterKind::Discrete => "discrete",
        AdapterKind::Integrated => "integrated",
        AdapterKind::Virtual => "virtual",
        AdapterKind::Software => "software",
    };
    let mut report = DeviceReport {
        device: format!("gpu:{number}"),
        name: "GPU".to_owned(),
        kind: kind.to_owned(),
        usable: false,
        chosen: false,
        limits: None,
        speed: None,
        note: None,
    };
    match device::open(adapter, if measure { Test::Whole } else { Test::AtStart }) {
        Ok(ChosenDevice { device, name, note }) => {
            (report.name, report.note, report.usable) = (name, note, true);
            let halves = if measure { device::halves(&device) } else { None };
            report.limits = limits(&device).map(|limits| DeviceLimits {
                memory_bytes: limits.memory_bytes,
                buffer_bytes: Some(limits.buffer_bytes),
                shared_bytes: Some(limits.shared_bytes),
                threads: Some(limits.threads),
                in_step: Some(limits.in_step),
                f16: if measure { halves } else { limits.f16.then_some(true) },
                matrix_units: limits.matrix_units,
            });
            if measure {
                let side = if adapter.kind == AdapterKind::Software { SOFTWARE_SIDE } else { SIDE };
                report.speed = Some(speed(&device, side, halves == Some(true), context)?);
            }
        }
        Err(reason) => report.note = Some(reason),
    }
    Ok(report)
}

fn speed(device: &Device, side: usize, half: bool, context: &mut JobContext<'_>) -> Result<DeviceSpeed> {
    let ceiling = ceiling::measure(device, side, half, ROUNDS, context)?;
    let giga = |figure: f64| figure / 1e9;
    Ok(DeviceSpeed {
        side: ceiling.side,
        gflops: giga(ceiling.flops),
        half_gflops: ceiling.half_flops.map(giga),
        gigabytes: giga(ceiling.bytes),
    })
}
