//! What stands between a layer's products, on any device and with a gradient.

use burn::tensor::{DType, Tensor, activation, module};

use crate::rows::Activation;
use crate::shader::{self, layers};

fn has_shaders<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && shader::runs(&x.device())
}

/// The activation of every number.
pub fn activate<const D: usize>(kind: Activation, x: Tensor<D>) -> Tensor<D> {
    match kind {
        Activation::Relu => activation::relu(x),
        Activation::Gelu | Activation::GeluTanh if has_shaders(&x) => layers::gelu(x, kind == Activation::GeluTanh),
        Activation::Gelu => activation::gelu(x),
        Activation::GeluTanh => activation::gelu_approximate(x),
    }
}

/// LayerNorm over the last dimension of `x`, or of `x` and what is added to it; `gain` and `shift` have its width.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    added: Option<Tensor<D>>,
    gain: Tensor<1>,
    shift: Option<Tensor<1>>,
    eps: f64,
) -> Tensor<D> {
    match shift {
        Some(shift) if has_shaders(&x) && gain.dims()[0] <= layers::WIDEST => layers::norm(x, added, gain, shift, eps),
        shift => {
            let x = match added {
                Some(added) => x + added,
                None => x,
            };
            module::layer_norm(x, gain, shift, eps)
        }
    }
}
