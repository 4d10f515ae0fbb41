//! The activations of the lexical heads.

use burn::tensor::{Tensor, activation::relu};

/// elu1p(a) = a + 1 for a >= 0, exp(a) below; always positive and strictly increasing (SiDR, section 3).
pub fn elu1p<const D: usize>(a: Tensor<D>) -> Tensor<D> {
    // exp of the negative part is 1 where a >= 0, so that the two branches add up.
    relu(a.clone()) + a.clamp_max(0.0).exp()
}

/// Derivative of [`elu1p`] at `a`: 1 for a >= 0, exp(a) below.
pub fn elu1p_derivative<const D: usize>(a: Tensor<D>) -> Tensor<D> {
    a.clamp_max(0.0).exp()
}

/// log(1 + relu(a)), the activation of the SPLADE head.
pub fn log1p_relu<const D: usize>(a: Tensor<D>) -> Tensor<D> {
    relu(a).log1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{from_vec, to_vec};
    use burn::tensor::Device;

    #[test]
    fn elu1p_is_a_plus_one_above_zero_and_exp_below() {
        let a = from_vec(vec![-3.0, -0.5, 0.0, 2.0], [4], &Device::flex());
        let v = to_vec(elu1p(a));
        for (got, want) in v.iter().zip([(-3.0f32).exp(), (-0.5f32).exp(), 1.0, 3.0]) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn derivative_agrees_with_finite_differences() {
        for a in [-2.0f32, -0.3, 0.4, 5.0] {
            let at = |x: f32| to_vec(elu1p(from_vec(vec![x], [1], &Device::flex())))[0];
            let slope = (at(a + 1e-2) - at(a - 1e-2)) / 2e-2;
            let got = to_vec(elu1p_derivative(from_vec(vec![a], [1], &Device::flex())))[0];
            assert!((slope - got).abs() < 1e-3, "{a}: {slope} {got}");
        }
    }
}
