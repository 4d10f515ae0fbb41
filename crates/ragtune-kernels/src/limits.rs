//! What a device can hold and do.

use burn::backend::DispatchDevice;
use burn::tensor::{Device, FloatDType};

/// What a device behind wgpu says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that it may hold at once, where it tells.
    pub memory_bytes: Option<u64>,
    /// Bytes of its largest buffer.
    pub buffer_bytes: u64,
    /// Bytes that the threads of a workgroup share.
    pub shared_bytes: u64,
    /// Threads of a workgroup.
    pub threads: u32,
    /// Threads that run in step: least and most.
    pub in_step: (u32, u32),
    /// Whether it has 16-bit floats.
    pub f16: bool,
    /// Whether it has matrix units that kernels can reach.
    pub matrix_units: bool,
    /// What tells what is compiled for it from what is compiled for others, the kernels' language first.
    pub fingerprint: String,
}

/// The limits of a device; none for the CPU. Starts the device.
pub fn limits(device: &Device) -> Option<Limits> {
    let device = device.clone().inner();
    let DispatchDevice::Cube(cube) = device.as_dispatch() else { return None };
    let client = cube.client();
    let properties = client.properties();
    let hardware = &properties.hardware;
    Some(Limits {
        memory_bytes: properties.memory.max_memory(),
        buffer_bytes: properties.memory.max_page_size,
        shared_bytes: hardware.max_shared_memory_size as u64,
        threads: hardware.max_units_per_cube,
        in_step: (hardware.plane_size_min, hardware.plane_size_max),
        f16: device.supports_dtype(FloatDType::F16),
        matrix_units: hardware.min_tensor_cores_dim.is_some() || crate::units(&device).is_some(),
        fingerprint: format!("{} {}", client.name(), properties.identity.fingerprint),
    })
}
