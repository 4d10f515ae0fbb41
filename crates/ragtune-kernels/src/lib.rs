//! The numeric kernels: what the method needs beyond burn's own operators, each with its CPU twin.
//!
//! A kernel takes tensors on any burn device. On the CPU device it runs its twin over plain slices; elsewhere it is
//! composed of tensor operations. Both forms give the same numbers within rounding, which the tests hold.

mod activation;
mod adamw;
pub mod attend;
mod bags;
mod batch;
mod blocks;
mod lanes;
mod layers;
mod limits;
mod log_probs;
pub mod on_gpu;
mod packed;
pub mod product;
pub mod rows;
mod select;
mod shader;
mod side_by_side;
mod sparsify;
pub mod units;
mod vocab_max;
mod wide;

pub use activation::{elu1p, elu1p_derivative, log1p_relu};
pub use adamw::{AdamWStep, adamw, sum_of_squares};
pub use bags::Bags;
pub use batch::{BatchForms, BatchSides, Lists};
pub use blocks::Format;
pub use layers::{Gate, activate, gated, layer_norm, root_norm, turn};
pub use limits::{Limits, limits};
pub use log_probs::{bent, log_probs, of_logits};
pub use packed::Packed;
pub use select::{select, select_back};
pub use side_by_side::{at_once, shared_out, side_by_side, taken_in_order};
pub use sparsify::{largest_dims, lexical_forms};
pub use units::{Units, units, use_units};
pub use vocab_max::{
    VocabMax, vocab_max, vocab_max_backward, vocab_max_backward_by_text, vocab_max_backward_in,
    vocab_max_backward_in_tiles, vocab_max_in, vocab_max_in_tiles, vocab_max_rows, vocab_max_rows_back,
};

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::OnceLock;

use burn::tensor::kind::Basic;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Whether tensors of this device live in plain memory, so that a kernel's CPU twin can serve.
pub fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// How a thread waits for a device that answers later and cannot be waited for otherwise, as in a browser.
pub type Waiter = fn(Pin<&mut dyn Future<Output = ()>>);

static WAITER: OnceLock<Waiter> = OnceLock::new();

/// From now on all reads wait in this way; the first call counts.
pub fn wait_with(waiter: Waiter) {
    let _ = WAITER.set(waiter);
}

static BINDING: OnceLock<u64> = OnceLock::new();

/// From now on weights away from the CPU lie in parts of at most so many bytes, because the device reads no more through
/// one binding of a buffer; the first call counts.
pub fn bind_at_most(bytes: u64) {
    let _ = BINDING.set(bytes);
}

/// Most bytes that a device reads through one binding, where that is a limit.
pub fn binding_bytes(device: &Device) -> Option<u64> {
    BINDING.get().copied().filter(|_| !is_cpu(device))
}

static PAUSE: OnceLock<fn()> = OnceLock::new();

/// From now on long computations call this now and then, many times a second, so that a host with a single thread can do
/// something else in between; the first call counts.
pub fn pause_with(pause: fn()) {
    let _ = PAUSE.set(pause);
}

/// A place where the host may do something else: models call it between their layers.
pub fn pause() {
    if let Some(pause) = PAUSE.get() {
        pause();
    }
}

/// Reads a tensor of any rank back into a row-major vector. Waits until the device has computed it.
///
/// # Panics
/// When the device gives nothing back: it is lost, and takes its job along.
pub fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let count = tensor.dims().iter().product();
    let data = read(tensor).try_cast_as::<f32>().ok();
    whole(data.and_then(|data| data.try_into_vec::<f32>().ok()).unwrap_or_default(), count)
}

/// Reads whole numbers of any rank back in row-major order, as [`to_vec`] does.
///
/// # Panics
/// As [`to_vec`].
pub fn to_ids<const D: usize>(tensor: Tensor<D, Int>) -> Vec<u32> {
    let count = tensor.dims().iter().product();
    let data = read(tensor).try_cast_as::<i32>();
    whole(data.map(|data| data.iter::<i32>().map(|id| id as u32).collect()).unwrap_or_default(), count)
}

/// A lost device answers with nothing instead of an error.
fn whole<T>(values: Vec<T>, count: usize) -> Vec<T> {
    assert!(values.len() == count, "a tensor cannot be read: {} of {count} numbers came back", values.len());
    values
}

fn read<const D: usize, K: Basic>(tensor: Tensor<D, K>) -> TensorData {
    let Some(waiter) = WAITER.get().filter(|_| !is_cpu(&tensor.device())) else { return tensor.into_data() };
    let mut read = None;
    waiter(pin!(async { read = Some(tensor.into_data_async().await) }));
    match read {
        Some(Ok(data)) => data,
        Some(Err(error)) => panic!("a tensor cannot be read: {error}"),
        None => panic!("a tensor was not waited for"),
    }
}

/// A power of two that makes the largest size of a gradient about `largest`, so that 16 bits hold it; 1 where there is none. A
/// power of two changes no bit of what they hold. Waits for the device.
pub fn scale_to<const D: usize>(largest: f32, gradient: &Tensor<D>) -> f32 {
    let found = to_vec(gradient.clone().abs().max()).first().copied().unwrap_or(0.0);
    let power = (largest / found).log2().floor();
    if power.is_finite() { power.clamp(-64.0, 64.0).exp2() } else { 1.0 }
}

/// Puts a row-major vector on a device.
pub fn from_vec<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(burn::tensor::TensorData::new(values, shape), device)
}
