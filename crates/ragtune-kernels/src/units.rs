//! Products on a card's matrix units, which multiply small squares of 16-bit numbers and add in 32: what a card's tensor cores
//! do, reached from WGSL. Numbers stay in 32 bits in memory and are rounded on their way into a product.

use std::sync::{PoisonError, RwLock};

use burn::tensor::Device;

use crate::shader;

/// The matrix units of a device: squares of 16-bit numbers whose products are added in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Units {
    /// Rows, columns and depth of a square: 8 or 16.
    pub size: u32,
    /// Threads that run in step.
    pub lanes: u32,
}

impl Units {
    /// Whether the shaders' division of the work fits: each lane of a subgroup has one row of a square or a part of one, and
    /// brings at most four quads of a tile.
    pub fn serve(self) -> bool {
        matches!(self.size, 8 | 16)
            && self.lanes.is_multiple_of(self.size)
            && self.size * self.size <= 8 * self.lanes
            && self.lanes <= 64
    }

    /// Bytes that a workgroup shares at most, and its threads.
    pub fn needs(self) -> (u32, u32) {
        let tile = 8 * self.size * (self.size / 2 + 2) * 8;
        (2 * tile + 16 * self.size * self.size * 4 + 64, 8 * self.lanes)
    }
}

static KNOWN: RwLock<Vec<(Device, Units)>> = RwLock::new(Vec::new());

/// From now on products that may be of 16 bits go to these units of the device; none: no longer.
pub fn use_units(device: &Device, units: Option<Units>) {
    let device = device.clone().inner();
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(other, _)| *other != device);
    known.extend(units.filter(|units| units.serve()).map(|units| (device, units)));
}

/// The matrix units of a device that products go to.
pub fn units(device: &Device) -> Option<Units> {
    let device = device.clone().inner();
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let found = known.iter().find(|(other, _)| *other == device).map(|(_, units)| *units);
    found.filter(|_| cfg!(feature = "matrix-units") && shader::runs(&device))
}

static IN_HALVES: RwLock<Vec<Device>> = RwLock::new(Vec::new());

/// Whether from now on every layer's products on a device are of numbers in 16 bits, whatever a call asks for.
pub fn multiply_in_halves(device: &Device, halves: bool) {
    let device = device.clone().inner();
    let mut all = IN_HALVES.write().unwrap_or_else(PoisonError::into_inner);
    all.retain(|other| *other != device);
    all.extend(halves.then_some(device));
}

/// Whether they are.
pub fn in_halves(device: &Device) -> bool {
    let all = IN_HALVES.read().unwrap_or_else(PoisonError::into_inner);
    !all.is_empty() && all.contains(&device.clone().inner())
}
