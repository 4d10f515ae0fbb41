//! Which device computes: a real GPU first, else the CPU, and never one that computes wrongly.

mod lender;
#[cfg_attr(not(target_family = "wasm"), path = "device/lent.rs")]
#[cfg_attr(target_family = "wasm", path = "device/lent_web.rs")]
mod lent;
#[cfg_attr(not(target_family = "wasm"), path = "device/native.rs")]
#[cfg_attr(target_family = "wasm", path = "device/web.rs")]
mod platform;
mod self_test;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use burn::tensor::{Device, DeviceKind};
use ragtune_kernels::units::{multiply_in_halves, units};
use ragtune_kernels::{Units, from_vec, limits, to_vec, use_units};
use serde::{Deserialize, Serialize};

pub use lender::Lender;
#[cfg(not(target_family = "wasm"))]
pub(crate) use lent::Counter;
pub use platform::adapters;
#[cfg(target_family = "wasm")]
pub use platform::{Graphics, set_graphics};

use crate::{EngineError, Result};

/// Behind a GPU that multiplies in 16 bits.
const HALF: &str = "/f16";

/// What the user asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceChoice {
    /// A real GPU if there is one that computes rightly, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU by its number in `ragtune devices`; without a number the first. Software adapters count here.
    Gpu(Option<usize>),
    /// The same, whose layers multiply numbers in 16 bits and add in 32, on matrix units where they are reached.
    HalfGpu(Option<usize>),
    /// One that `ragtune lend` lends on another machine.
    Lent(Lender),
}

impl DeviceChoice {
    /// For people to see: without a token.
    pub fn shown(&self) -> String {
        match self {
            Self::Lent(lender) => format!("lent by {}", lender.address),
            other => other.clone().into(),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let gpu = |text: &str| match text {
            "gpu" => Some(None),
            _ => text.strip_prefix("gpu:")?.parse().ok().map(Some),
        };
        let lent = || text.parse().ok().map(Self::Lent);
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => match text.strip_suffix(HALF) {
                Some(half) => gpu(half).map(Self::HalfGpu),
                None => gpu(text).map(Self::Gpu).or_else(lent),
            }
            .ok_or_else(|| {
                format!("{text:?} is not a device: write auto, cpu, gpu, gpu:N, gpu/f16, gpu:N/f16, or TOKEN@HOST:PORT as `ragtune lend` prints it")
            }),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => "auto".to_owned(),
            DeviceChoice::Cpu => "cpu".to_owned(),
            DeviceChoice::Gpu(None) => "gpu".to_owned(),
            DeviceChoice::Gpu(Some(number)) => format!("gpu:{number}"),
            DeviceChoice::HalfGpu(number) => String::from(DeviceChoice::Gpu(number)) + HALF,
            DeviceChoice::Lent(lender) => lender.to_string(),
        }
    }
}

/// What kind of adapter a GPU device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterKind {
    /// A card of its own.
    Discrete,
    /// Part of the processor.
    Integrated,
    /// Passed through to a virtual machine.
    Virtual,
    /// The graphics interface in software: right, and slower than the CPU device.
    Software,
}

/// An adapter that the graphics interface lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// What it is.
    pub kind: AdapterKind,
    select: DeviceKind,
}

/// The device that was chosen, with what the user is told about it.
#[derive(Debug, Clone)]
pub struct ChosenDevice {
    /// For burn.
    pub device: Device,
    /// Name for messages.
    pub name: String,
    /// Why it is not what might have been expected; for a warning.
    pub note: Option<String>,
}

/// Finds the device for a choice, after a known-answer test of every GPU.
pub fn choose(choice: &DeviceChoice) -> Result<ChosenDevice> {
    match choice {
        DeviceChoice::Lent(lender) => lent::borrow(lender),
        DeviceChoice::Cpu => Ok(cpu(None)),
        DeviceChoice::Auto => {
            let found = adapters();
            let Some(real) = found.iter().find(|adapter| is_real(adapter.kind)) else {
                return Ok(cpu(platform::without_gpu()));
            };
            Ok(open(real, Test::AtStart)
                .unwrap_or_else(|reason| cpu(Some(format!("{reason}; the CPU computes instead")))))
        }
        DeviceChoice::Gpu(number) | DeviceChoice::HalfGpu(number) => {
            let found = adapters();
            let at = number.unwrap_or(0);
            let adapter = found.get(at).ok_or_else(|| match found.len() {
                0 => EngineError::input(
                    "no GPU: no graphics driver (Vulkan, Metal or DX12) lists an adapter; use --device cpu",
                ),
                n => EngineError::input(format!("no gpu:{at}: there are {n}, counted from 0; see `ragtune devices`")),
            })?;
            let chosen = open(adapter, Test::AtStart)
                .map_err(|reason| EngineError::Failed(format!("{reason}; use --device cpu")))?;
            let half = matches!(choice, DeviceChoice::HalfGpu(_));
            if half && units(&chosen.device).is_none() && halves(&chosen.device) != Some(true) {
                let reason = format!("{} does not multiply rightly in 16 bits; leave {HALF} out", chosen.name);
                return Err(EngineError::input(reason));
            }
            Ok(chosen)
        }
    }
}

/// Sets what a choice says of a device beside which one it is: two choices may be of the same.
pub(crate) fn settle(choice: &DeviceChoice, chosen: &ChosenDevice) {
    multiply_in_halves(&chosen.device, matches!(choice, DeviceChoice::HalfGpu(_)));
}

fn is_real(kind: AdapterKind) -> bool {
    matches!(kind, AdapterKind::Discrete | AdapterKind::Integrated)
}

fn cpu(note: Option<String>) -> ChosenDevice {
    ChosenDevice { device: Device::flex(), name: "CPU".to_owned(), note }
}

/// How much a device is asked before it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// The short test; the long one too, unless this device with this driver has passed it before.
    AtStart,
    /// Both.
    Whole,
}

/// Starts an adapter and tests it; the error says what went wrong.
pub(crate) fn open(adapter: &Adapter, test: Test) -> std::result::Result<ChosenDevice, String> {
    let (device, name) = platform::start(adapter)?;
    let asked = || {
        tested(&device, &name, self_test::short)?;
        let compiled_for = limits(&device).map_or_else(String::new, |limits| limits.fingerprint);
        let known = format!("{name}\t{compiled_for}\t{}", platform::driver(&device));
        // One in software never computes unasked, and takes a minute for the long test.
        let at_start = adapter.kind == AdapterKind::Software || platform::has_passed(&known);
        if test == Test::Whole || !at_start {
            tested(&device, &name, self_test::long)?;
            platform::remember(&known);
        }
        Ok(())
    };
    let result: std::result::Result<(), String> = asked();
    platform::passed();
    result?;
    let mut notes = Vec::new();
    if adapter.kind == AdapterKind::Software {
        notes.push(format!("{name} is a software adapter: right, but slower than --device cpu"));
    }
    let offered = platform::offered_units(&device);
    if !offered.is_empty() && !offered.into_iter().any(|units| takes_units(&device, units)) {
        if !answers(&device) {
            return Err(format!("{name} was lost while its matrix units were tested"));
        }
        notes.push(format!("{name} multiplies wrongly on its matrix units, which are left alone"));
    }
    Ok(ChosenDevice { device, name, note: (!notes.is_empty()).then(|| notes.join("; ")) })
}

/// Whether a device multiplies rightly on these matrix units; then it uses them.
fn takes_units(device: &Device, units: Units) -> bool {
    use_units(device, Some(units));
    let right = quietly(|| self_test::on_units(device)).unwrap_or(Some(false)) == Some(true);
    if !right {
        use_units(device, None);
    }
    right
}

/// Asks a device what the CPU knows; the error says what it got wrong.
fn tested(device: &Device, name: &str, answers: fn(&Device) -> self_test::Answers) -> std::result::Result<(), String> {
    let computed = quietly(|| answers(device)).map_err(|panic| format!("{name} failed in its self-test ({panic})"))?;
    match self_test::wrong(&computed, &answers(&Device::flex())) {
        Some(what) => Err(format!("{name} computes {what} wrongly")),
        None => Ok(()),
    }
}

/// Whether a device multiplies rightly in 16 bits; none where it cannot.
pub(crate) fn halves(device: &Device) -> Option<bool> {
    quietly(|| self_test::halves(device)).unwrap_or(Some(false))
}

/// Whether a device still computes at all.
pub(crate) fn answers(device: &Device) -> bool {
    quietly(|| to_vec(from_vec::<1>(vec![1.0, 2.0], [2], device).mul_scalar(2.0)))
        .is_ok_and(|twice| twice == [2.0, 4.0])
}

/// Runs what may panic in a driver, without the panic's message on the screen, and gives that message instead.
fn quietly<T>(work: impl FnOnce() -> T) -> std::result::Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    result.map_err(|panic| panic_text(&*panic))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_written_as_they_are_read() {
        let lent = |token: &str, address: &str| {
            DeviceChoice::Lent(Lender { token: token.to_owned(), address: address.to_owned() })
        };
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("gpu", DeviceChoice::Gpu(None)),
            ("gpu:3", DeviceChoice::Gpu(Some(3))),
            ("gpu/f16", DeviceChoice::HalfGpu(None)),
            ("gpu:12/f16", DeviceChoice::HalfGpu(Some(12))),
            ("3f9c@10.0.0.7:7770", lent("3f9c", "10.0.0.7:7770")),
            ("a-b@[::1]:65535", lent("a-b", "[::1]:65535")),
        ] {
            assert_eq!(text.parse(), Ok(choice.clone()));
            assert!(choice.shown().ends_with(text.rsplit('@').next().unwrap()) && !choice.shown().contains('@'));
            assert_eq!(String::from(choice), text);
        }
        let hosts = ["@host:1", "t@host", "t@host:", "t@host:99999", "t@:1", "t@ho st:1", "t@u@host:1"];
        for wrong in ["", "gpu:", "gpu:x", "CPU", "cuda", "cpu/f16", "gpu/", "gpu:/f16", "gpu/f16/f16", "auto/f16"]
            .into_iter()
            .chain(hosts)
        {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        let chosen = choose(&DeviceChoice::Cpu).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.note), ("CPU", None));
    }

    #[test]
    fn an_adapter_that_is_not_there_is_bad_input() {
        let error = choose(&DeviceChoice::Gpu(Some(1000))).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("GPU") || error.to_string().contains("gpu:1000"), "{error}");
    }
}
