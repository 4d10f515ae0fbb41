//! The one adapter that a browser offers.

use std::cell::RefCell;
use std::path::Path;

use burn::tensor::{Device, DeviceKind};
use ragtune_kernels::Units;
use serde::Deserialize;

use super::{Adapter, AdapterKind};
use crate::{fs, host};

/// There while a GPU is tested: found at the next start, it says that the test took the worker down.
const TRIAL: &str = "gpu-trial";

/// What the worker found out about WebGPU before it started.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Graphics {
    /// Why there is no WebGPU; empty when there is.
    pub missing: String,
    /// Whether it computes in software.
    pub software: bool,
    /// What the browser calls it.
    pub name: String,
    /// Most bytes that one binding of a buffer holds.
    pub binding_bytes: u64,
}

#[derive(Default)]
struct State {
    graphics: Graphics,
    /// The test took the last worker down.
    broken: bool,
    started: Option<Device>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Tells what the browser offers; to be called before any job.
pub fn set_graphics(graphics: Graphics) {
    let trial = Path::new(TRIAL);
    let broken = fs::is_file(trial);
    // One start without the GPU; the next may try again.
    let _ = fs::remove_file(trial);
    STATE.with_borrow_mut(|state| *state = State { graphics, broken, started: None });
}

/// All adapters: one or none.
pub fn adapters() -> Vec<Adapter> {
    STATE.with_borrow(|state| match reason(state) {
        Some(_) => Vec::new(),
        // A browser does not tell a card from a part of the processor.
        None => vec![Adapter {
            kind: if state.graphics.software { AdapterKind::Software } else { AdapterKind::Discrete },
            select: DeviceKind::DefaultDevice,
        }],
    })
}

/// Why no GPU can compute here.
fn reason(state: &State) -> Option<String> {
    if !state.graphics.missing.is_empty() {
        Some(state.graphics.missing.clone())
    } else if !host::can_wait() {
        Some("this browser cannot hold WebAssembly while a GPU computes (JSPI)".to_owned())
    } else if state.broken {
        Some("the GPU took the engine down the last time; reload the page to try it again".to_owned())
    } else {
        None
    }
}

/// What to tell when there is no real GPU.
pub(super) fn without_gpu() -> Option<String> {
    STATE.with_borrow(|state| {
        let why = reason(state).or_else(|| {
            state.graphics.software.then(|| "WebGPU computes in software here, which is slower".to_owned())
        })?;
        Some(format!("the processor computes, one thread: {why}"))
    })
}

/// Starts the device; gives its name too.
pub(super) fn start(_: &Adapter) -> Result<(Device, String), String> {
    let (name, started) = STATE.with_borrow(|state| (state.graphics.name.clone(), state.started.clone()));
    let name = if name.is_empty() { "WebGPU".to_owned() } else { format!("{name} (WebGPU)") };
    if let Some(device) = started {
        return Ok((device, name));
    }
    // Without the marker a failure of the test would come back with every start; a full disk is no reason not to try.
    let _ = fs::write(Path::new(TRIAL), b"");
    let device = host::block_on(Device::wgpu_options().init_async())
        .map_err(|error| format!("{name} cannot be started ({error})"))?;
    STATE.with_borrow_mut(|state| state.started = Some(device.clone()));
    Ok((device, name))
}

/// A browser does not tell.
pub(super) fn driver(_: &Device) -> String {
    String::new()
}

/// A browser lets no kernel reach them.
pub(super) fn offered_units(_: &Device) -> Vec<Units> {
    Vec::new()
}

/// A page that opens does not wait for the long test: a browser's WebGPU is tested by its makers for every driver that they
/// let through, and the short test runs all the same.
pub(super) fn has_passed(_: &str) -> bool {
    true
}

/// Nothing is kept.
pub(super) fn remember(_: &str) {}

/// The device has computed its self-test without taking the worker along.
pub(super) fn passed() {
    let _ = fs::remove_file(Path::new(TRIAL));
}
