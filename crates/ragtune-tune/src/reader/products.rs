//! Matrix products of plain slices, computed by the CPU device.

use burn::tensor::Device;
use ragtune_kernels::{from_vec, product, to_vec};

/// Row-major [rows, columns].
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(values: &'a [f32], columns: usize) -> Self {
        Self { values, rows: values.len() / columns, columns }
    }

    fn tensor(self) -> burn::tensor::Tensor<2> {
        from_vec(self.values.to_vec(), [self.rows, self.columns], &Device::flex())
    }

    /// a b
    pub(super) fn times(self, b: Matrix<'_>) -> Vec<f32> {
        to_vec(product::times(self.tensor(), b.tensor()))
    }

    /// a bᵀ
    pub(super) fn times_transposed(self, b: Matrix<'_>) -> Vec<f32> {
        to_vec(product::times_turned(self.tensor(), b.tensor()))
    }

    /// aᵀ b
    pub(super) fn transposed_times(self, b: Matrix<'_>) -> Vec<f32> {
        to_vec(product::turned_times(self.tensor(), b.tensor()))
    }
}
