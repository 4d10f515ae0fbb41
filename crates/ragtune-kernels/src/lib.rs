//! The numeric kernels: what the method needs beyond burn's own operators, each with its CPU twin.
//!
//! A kernel takes tensors on any burn device. On the CPU device it runs its twin over plain slices; elsewhere it is
//! composed of tensor operations. Both forms give the same numbers within rounding, which the tests hold.

mod activation;
mod adamw;
mod side_by_side;
mod sparsify;
mod vocab_max;

pub use activation::{elu1p, elu1p_derivative, log1p_relu};
pub use adamw::{AdamWStep, adamw, sum_of_squares};
pub use side_by_side::side_by_side;
pub use sparsify::{largest_dims, lexical_forms};
pub use vocab_max::{Argmax, VocabMax, vocab_max, vocab_max_backward};

use burn::tensor::{Device, Tensor};

/// Whether tensors of this device live in plain memory, so that a kernel's CPU twin can serve.
pub fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// Reads a tensor of any rank back into a row-major vector. Blocks until the device has computed it.
pub fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data_as::<f32>().try_into_vec::<f32>().unwrap_or_default()
}

/// Puts a row-major vector on a device.
pub fn from_vec<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(burn::tensor::TensorData::new(values, shape), device)
}
