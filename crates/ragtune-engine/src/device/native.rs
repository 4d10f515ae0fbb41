//! The adapters of the system's graphics interfaces.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use burn::backend::wgpu::graphics::AutoGraphicsApi;
use burn::backend::wgpu::{RuntimeOptions, try_init_setup};
use burn::backend::{CubeDevice, DispatchDevice};
use burn::tensor::{Device, DeviceKind, DeviceType};
use burn_cubecl::cubecl::wgpu::WgpuSetup;
use burn_cubecl::cubecl::wgpu::wgpu::{CooperativeMatrixProperties, CooperativeScalarType, Features};
use ragtune_kernels::Units;

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

/// What was asked of a device when it was started.
#[derive(Clone, Default)]
struct Started {
    driver: String,
    units: Vec<Units>,
}

/// The devices that were started.
static STARTED: Mutex<BTreeMap<String, Started>> = Mutex::new(BTreeMap::new());

fn started(device: &Device) -> Started {
    let all = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    all.get(&format!("{device:?}")).cloned().unwrap_or_default()
}

/// The driver of a started device and its version; empty where it is not known.
pub(super) fn driver(device: &Device) -> String {
    started(device).driver
}

/// The matrix units that a started device's driver offers, in the forms that the shaders' division of the work fits, best first.
/// Which of them is the right one only a computation tells: a driver may choose how many threads run in step.
pub(super) fn offered_units(device: &Device) -> Vec<Units> {
    started(device).units
}

fn units_of(setup: &WgpuSetup) -> Vec<Units> {
    let needed = Features::SHADER_F16 | Features::SUBGROUP | Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    if !setup.device.features().contains(needed) {
        return Vec::new();
    }
    let offered = setup.adapter.cooperative_matrix_properties();
    let (halves, floats) = (CooperativeScalarType::F16, CooperativeScalarType::F32);
    let has = |size: &u32| {
        let is = |found: &CooperativeMatrixProperties| {
            [found.m_size, found.n_size, found.k_size] == [*size; 3]
                && (found.ab_type, found.cr_type) == (halves, floats)
        };
        offered.iter().any(is)
    };
    let limits = setup.device.limits();
    let fits = |units: &Units| {
        let (shared, threads) = units.needs();
        let most = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        units.serve() && shared <= limits.max_compute_workgroup_storage_size && threads <= most
    };
    let info = setup.adapter.get_info();
    let in_step = info.subgroup_min_size..=info.subgroup_max_size;
    let lanes = [32, 64, 16, 8].into_iter().filter(|lanes| in_step.contains(lanes));
    let all = lanes.flat_map(|lanes| [16, 8].into_iter().filter(has).map(move |size| Units { size, lanes }));
    all.filter(fits).collect()
}

/// Starts a device by hand, since that is the only time when its driver can be asked for. One that runs already is left
/// alone.
fn ask_driver(device: &Device) {
    let DispatchDevice::Cube(CubeDevice::Wgpu(wgpu)) = device.as_dispatch() else { return };
    if let Ok(setup) = try_init_setup::<AutoGraphicsApi>(wgpu, RuntimeOptions::default()) {
        let info = setup.adapter.get_info();
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
        let started = Started { driver, units: units_of(&setup) };
        STARTED.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{device:?}"), started);
    }
}

/// Starts a device; gives its name too.
pub(super) fn start(adapter: &Adapter) -> Result<(Device, String), String> {
    let device = Device::wgpu(adapter.select.clone());
    quietly(|| ask_driver(&device)).map_err(|panic| format!("the GPU cannot be started ({panic})"))?;
    let name = quietly(|| device.identity().map(|identity| identity.name))
        .map_err(|panic| format!("the GPU cannot be started ({panic})"))?
        .unwrap_or_else(|| format!("{:?} GPU", adapter.kind));
    Ok((device, name))
}

/// Where the devices that have passed the long test are written down, a line each.
fn record() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = if cfg!(windows) {
        set("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        set("HOME").map(|home| home.join("Library/Caches"))
    } else {
        set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))
    };
    cache.map(|cache| cache.join("ragtune").join("devices"))
}

/// What is written down: a passed test holds for this version's questions alone.
fn line(known: &str) -> String {
    format!("{}\t{known}", env!("CARGO_PKG_VERSION"))
}

/// Whether a device has passed the long test before.
pub(super) fn has_passed(known: &str) -> bool {
    let text = record().and_then(|file| fs::read_to_string(file).ok());
    text.is_some_and(|text| text.lines().any(|passed| passed == line(known)))
}

/// Notes that it has; where that cannot be written, it is tested again.
pub(super) fn remember(known: &str) {
    let Some(file) = record().filter(|_| !has_passed(known)) else { return };
    let _ = file.parent().map(fs::create_dir_all);
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file) {
        let _ = writeln!(file, "{}", line(known));
    }
}

/// The device has computed its self-test without taking the process along.
pub(super) fn passed() {}

/// What to tell when there is no real GPU.
pub(super) fn without_gpu() -> Option<String> {
    None
}
