//! Which device computes: a real GPU first, else the CPU, and never one that computes wrongly.

#[cfg_attr(not(target_family = "wasm"), path = "device/native.rs")]
#[cfg_attr(target_family = "wasm", path = "device/web.rs")]
mod platform;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData, activation};
use ragtune_kernels::{from_vec, to_vec, vocab_max};
use serde::{Deserialize, Serialize};

pub use platform::adapters;
#[cfg(target_family = "wasm")]
pub use platform::{Graphics, set_graphics};

use crate::{EngineError, Result};

/// What the user asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DeviceChoice {
    /// A real GPU if there is one that computes rightly, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU by its number in `ragtune devices`; without a number the first. Software adapters count here.
    Gpu(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(None)),
            _ => text
                .strip_prefix("gpu:")
                .and_then(|number| number.parse().ok())
                .map(|number| Self::Gpu(Some(number)))
                .ok_or_else(|| format!("{text:?} is not a device: write auto, cpu, gpu or gpu:N")),
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
pub fn choose(choice: DeviceChoice) -> Result<ChosenDevice> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu(None)),
        DeviceChoice::Auto => {
            let found = adapters();
            let Some(real) = found.iter().find(|adapter| is_real(adapter.kind)) else {
                return Ok(cpu(platform::without_gpu()));
            };
            Ok(open(real).unwrap_or_else(|reason| cpu(Some(format!("{reason}; the CPU computes instead")))))
        }
        DeviceChoice::Gpu(number) => {
            let found = adapters();
            let at = number.unwrap_or(0);
            let adapter = found.get(at).ok_or_else(|| match found.len() {
                0 => EngineError::input(
                    "no GPU: no graphics driver (Vulkan, Metal or DX12) lists an adapter; use --device cpu",
                ),
                n => EngineError::input(format!("no gpu:{at}: there are {n}, counted from 0; see `ragtune devices`")),
            })?;
            open(adapter).map_err(|reason| EngineError::Failed(format!("{reason}; use --device cpu")))
        }
    }
}

fn is_real(kind: AdapterKind) -> bool {
    matches!(kind, AdapterKind::Discrete | AdapterKind::Integrated)
}

fn cpu(note: Option<String>) -> ChosenDevice {
    ChosenDevice { device: Device::flex(), name: "CPU".to_owned(), note }
}

/// Starts an adapter and tests it; the error says what went wrong.
pub(crate) fn open(adapter: &Adapter) -> std::result::Result<ChosenDevice, String> {
    let (device, name) = platform::start(adapter)?;
    let computed =
        quietly(|| known_answers(&device)).map_err(|panic| format!("{name} failed in its self-test ({panic})"))?;
    platform::passed();
    let expected = known_answers(&Device::flex());
    for ((what, got), (_, want)) in computed.iter().zip(&expected) {
        if !agree(got, want) {
            return Err(format!("{name} computes {what} wrongly"));
        }
    }
    let note = (adapter.kind == AdapterKind::Software)
        .then(|| format!("{name} is a software adapter: right, but slower than --device cpu"));
    Ok(ChosenDevice { device, name, note })
}

fn agree(got: &[f32], want: &[f32]) -> bool {
    got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 1e-3 * w.abs().max(1.0))
}

/// Numbers without pattern in -1..1, the same everywhere.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

/// What the models are made of, on small inputs of odd sizes.
fn known_answers(device: &Device) -> Vec<(&'static str, Vec<f32>)> {
    let a: Tensor<2> = from_vec(numbers(33 * 17, 1), [33, 17], device);
    let b: Tensor<2> = from_vec(numbers(17 * 29, 2), [17, 29], device);
    let product = a.clone().matmul(b.clone());
    let (largest, at) = product.clone().max_dim_with_indices(1);
    let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(vec![32i32, 0, 7, 7], [4]), device);
    let columns: Tensor<2, Int> =
        Tensor::from_data(TensorData::new((0..33).map(|n| n % 29).collect::<Vec<i32>>(), [33, 1]), device);
    let states: Tensor<3> = from_vec(numbers(3 * 5 * 16, 3), [3, 5, 16], device);
    let words: Tensor<2> = from_vec(numbers(41 * 16, 4), [41, 16], device);
    vec![
        ("a matrix product", to_vec(product.clone())),
        ("softmax", to_vec(activation::softmax(product.clone(), 1))),
        ("a maximum", to_vec(largest)),
        ("the place of a maximum", to_vec(at.float())),
        ("a selection of rows", to_vec(a.select(0, rows))),
        ("a gathering of columns", to_vec(product.gather(1, columns))),
        ("the vocabulary maximum", to_vec(vocab_max(states, &[5, 2, 4], words).max)),
    ]
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
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("gpu", DeviceChoice::Gpu(None)),
            ("gpu:3", DeviceChoice::Gpu(Some(3))),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(String::from(choice), text);
        }
        for wrong in ["", "gpu:", "gpu:x", "CPU", "cuda"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_cpu_is_always_there_and_agrees_with_itself() {
        let chosen = choose(DeviceChoice::Cpu).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.note), ("CPU", None));
        for ((_, a), (_, b)) in known_answers(&chosen.device).iter().zip(known_answers(&Device::flex())) {
            assert!(agree(a, &b) && !a.is_empty());
        }
    }

    #[test]
    fn the_self_test_sees_a_wrong_number() {
        let answers = known_answers(&Device::flex());
        for (what, right) in &answers {
            let mut wrong = right.clone();
            wrong[0] += 0.5;
            assert!(!agree(&wrong, right), "{what}");
            wrong[0] = f32::NAN;
            assert!(!agree(&wrong, right), "{what}");
        }
    }

    #[test]
    fn an_adapter_that_is_not_there_is_bad_input() {
        let error = choose(DeviceChoice::Gpu(Some(1000))).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("GPU") || error.to_string().contains("gpu:1000"), "{error}");
    }
}
