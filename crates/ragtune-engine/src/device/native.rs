//! The adapters of the system's graphics interfaces.

use burn::tensor::{Device, DeviceKind, DeviceType};

use super::{Adapter, AdapterKind, quietly};

/// All adapters, real GPUs first; their positions are the numbers of `gpu:N`.
pub fn adapters() -> Vec<Adapter> {
    let listed = quietly(|| Device::enumerate(DeviceType::Wgpu)).ok();
    let listed: Vec<Device> = listed.into_iter().flatten().collect();
    let mut adapters = Vec::new();
    let mut take = |kind: AdapterKind, select: DeviceKind| {
        let found = listed.contains(&Device::wgpu(select.clone()));
        if found {
            adapters.push(Adapter { kind, select });
        }
        found
    };
    let mut number = 0;
    while take(AdapterKind::Discrete, DeviceKind::DiscreteGpu(number)) {
        number += 1;
    }
    number = 0;
    while take(AdapterKind::Integrated, DeviceKind::IntegratedGpu(number)) {
        number += 1;
    }
    number = 0;
    while take(AdapterKind::Virtual, DeviceKind::VirtualGpu(number)) {
        number += 1;
    }
    take(AdapterKind::Software, DeviceKind::Cpu);
    adapters
}

/// Starts a device; gives its name too.
pub(super) fn start(adapter: &Adapter) -> Result<(Device, String), String> {
    let device = Device::wgpu(adapter.select.clone());
    let name = quietly(|| device.identity().map(|identity| identity.name))
        .map_err(|panic| format!("the GPU cannot be started ({panic})"))?
        .unwrap_or_else(|| format!("{:?} GPU", adapter.kind));
    Ok((device, name))
}

/// The device has computed its self-test without taking the process along.
pub(super) fn passed() {}

/// What to tell when there is no real GPU.
pub(super) fn without_gpu() -> Option<String> {
    None
}
