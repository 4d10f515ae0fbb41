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

/// What a gated layer does with its gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// x times the logistic function of x.
    Silu,
    /// x times the normal distribution up to x.
    Gelu,
    /// The form of it with a hyperbolic tangent.
    GeluTanh,
    /// max(x, 0).
    Relu,
}

/// The activation of `gate` times `up`; without a gradient.
pub fn gated<const D: usize>(kind: Gate, gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if has_shaders(&gate) && has_shaders(&up) {
        return layers::gated(kind, gate, up);
    }
    let gate = match kind {
        Gate::Silu => activation::silu(gate),
        Gate::Gelu => activation::gelu(gate),
        Gate::GeluTanh => activation::gelu_approximate(gate),
        Gate::Relu => activation::relu(gate),
    };
    gate * up
}

/// The last dimension of `x` divided by the root of its mean square, times `gain`; without a gradient.
pub fn root_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, eps: f64) -> Tensor<D> {
    if has_shaders(&x) {
        return layers::root_norm(x, gain, eps);
    }
    let scale = (x.clone().square().mean_dim(D - 1) + eps).sqrt().recip();
    x * scale * gain.unsqueeze::<D>()
}

/// Rotary positions: the halves (a, b) of what the cosines and sines [1 or batch, 1, length, half] cover of each head become
/// (a cos - b sin, b cos + a sin), the rest of it stays; for `x` [batch, heads, length, width].
pub fn turn(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    if has_shaders(&x) {
        return layers::turn(x, cos.clone(), sin.clone());
    }
    let ([batch, heads, length, width], half) = (x.dims(), cos.dims()[3]);
    let part = |from: usize, to: usize| x.clone().slice([0..batch, 0..heads, 0..length, from..to]);
    let (a, b) = (part(0, half), part(half, 2 * half));
    let mut parts = vec![a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos.clone() + a * sin.clone()];
    if 2 * half < width {
        parts.push(part(2 * half, width));
    }
    Tensor::cat(parts, 3)
}
