//! Without the feature `matrix-units`: none are ever known.

use burn::tensor::{Int, Tensor};
use burn_cubecl::tensor::CubeTensor;

use super::products::{Call, Tiles};
use crate::Units;

const NONE: &str = "no device has matrix units without the feature `matrix-units`";

pub(crate) fn vocab_max(_: Tensor<3>, _: &[usize], _: Tensor<2>, _: Units) -> (Tensor<2>, Tensor<2, Int>) {
    unreachable!("{NONE}")
}

pub(super) fn launch_product(_: Call, _: Option<CubeTensor>, _: Units, _: &CubeTensor) {
    unreachable!("{NONE}")
}

pub(super) fn tiles(_: Units) -> Tiles {
    unreachable!("{NONE}")
}

pub(super) fn largest_size(_: CubeTensor) -> CubeTensor {
    unreachable!("{NONE}")
}
