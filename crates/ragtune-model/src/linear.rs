//! The product with a weight.

use burn::tensor::{DType, Tensor, module};
use ragtune_kernels::on_gpu::times_turned;
use ragtune_kernels::product;
use ragtune_kernels::units::{in_halves, units};

/// x Wᵀ + b, for `x` [batch, length, in], `weight` [out, in], `bias` [out].
///
/// A text alone goes without its batch dimension: for the sake of that, burn would copy the transposed weight every time,
/// which takes longer than the product with a question's few tokens. A weight in 16 bits is multiplied in 16 bits, on a card's
/// matrix units where they are reached.
pub(crate) fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    linear_in(false, x, weight, bias)
}

/// As [`linear`]; with `half` the product is computed in 16 bits of its input and its weight, and given in 32.
pub(crate) fn linear_in(half: bool, x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let small = weight.dtype() == DType::F16;
    let half = half || (small && x.dtype() != DType::F16) || in_halves(&x.device());
    if !half {
        return whole(x, weight, bias);
    }
    let ([batch, length, width], [out, _]) = (x.dims(), weight.dims());
    let flat = x.clone().reshape([batch * length, width]);
    if let Some(product) = times_turned(&flat, &weight, bias.clone(), true) {
        return product.reshape([batch, length, out]);
    }
    if units(&x.device()).is_some() && !small {
        // What does not fit the units; gradients are not brought to a size that 16 bits hold there.
        return whole(x, weight, bias);
    }
    let product = whole(x.cast(DType::F16), weight.cast(DType::F16), None).cast(DType::F32);
    match bias {
        Some(bias) => product + bias.reshape([1, 1, out]),
        None => product,
    }
}

/// The product in the type of its sides.
fn whole(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let ([batch, length, width], [out, _]) = (x.dims(), weight.dims());
    if product::packs(&x.device()) {
        let product = product::times_turned(x.reshape([batch * length, width]), weight).reshape([batch, length, out]);
        return match bias {
            Some(bias) => product + bias.reshape([1, 1, out]),
            None => product,
        };
    }
    let flat = x.clone().reshape([batch * length, width]);
    if let Some(product) = times_turned(&flat, &weight, bias.clone(), false) {
        return product.reshape([batch, length, out]);
    }
    if batch > 1 {
        return module::linear(x, weight.transpose(), bias);
    }
    module::linear(x.reshape([length, width]), weight.transpose(), bias).reshape([1, length, out])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use ragtune_kernels::to_vec;

    use super::*;

    #[test]
    fn a_text_alone_and_in_a_batch_give_the_same() {
        let device = Device::flex();
        let numbers = |n: usize| (0..n).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<f32>>();
        let x = Tensor::<3>::from_data(TensorData::new(numbers(3 * 5 * 16), [3, 5, 16]), &device);
        let weight = Tensor::<2>::from_data(TensorData::new(numbers(24 * 16), [24, 16]), &device);
        let bias = Tensor::<1>::from_data(TensorData::new(numbers(24), [24]), &device);
        let all = to_vec(linear(x.clone(), weight.clone(), Some(bias.clone())));
        let alone =
            (0..3).map(|b| linear(x.clone().slice([b..b + 1, 0..5, 0..16]), weight.clone(), Some(bias.clone())));
        let alone: Vec<f32> = alone.flat_map(to_vec).collect();
        assert_eq!(alone.len(), all.len());
        assert!(alone.iter().zip(&all).all(|(a, b)| (a - b).abs() <= 1e-5), "{alone:?} {all:?}");
    }
}
