//! Without the feature `matrix-units`: no kernel reaches them.

use burn::tensor::Tensor;

use crate::VocabMax;

pub(crate) fn vocab_max(_: &Tensor<3>, _: &[usize], _: &Tensor<2>) -> Option<VocabMax> {
    None
}

/// None: there are no units.
pub fn times_turned(_: &Tensor<2>, _: &Tensor<2>, _: Option<Tensor<1>>) -> Option<Tensor<2>> {
    None
}

/// None: there are no units.
pub fn attend_on_units(_: &Tensor<4>, _: &Tensor<4>, _: &Tensor<4>, _: &[usize]) -> Option<Tensor<3>> {
    None
}

/// None: there are no units.
pub fn attend_back_on_units(_: &Tensor<4>, _: &Tensor<4>, _: &Tensor<4>, _: f32) -> Option<Tensor<3>> {
    None
}
