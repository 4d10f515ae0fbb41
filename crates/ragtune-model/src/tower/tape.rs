//! A tower by tensor operations, with burn's tape for the way back: for every device but the CPU.

use burn::tensor::{Int, Tensor};
use ragtune_kernels::rows::Activation;
use ragtune_kernels::{activate, layer_norm, scale_to, units, vocab_max_backward_in, vocab_max_in};

use super::{Keep, NORM_BIAS, NORM_GAIN, PassOptions, TRANSFORM, Tower, TowerPass};
use crate::{HeadKind, Weights};

/// Size of the largest gradient that goes back through products in 16 bits: as far from what 16 bits do not hold at the one end
/// (65,504) as layers let a gradient grow.
const LARGEST: f32 = 64.0;

/// What the way back needs.
pub(super) enum Kept {
    /// The whole tape.
    Everything {
        /// The weights as leaves of the tape.
        leaves: Weights,
        head: Head,
        half: bool,
    },
    /// Every layer's input: the layers are computed again, one by one.
    Inputs {
        texts: Vec<Vec<u32>>,
        inputs: Vec<Tensor<3>>,
        /// The states behind the last layer.
        last: Tensor<3>,
        /// Where the products with each part of the tied rows were largest.
        argmax: Vec<Tensor<2, Int>>,
        half: bool,
    },
}

/// The vocabulary product's two sides on the tape.
pub(super) struct Head {
    /// States in front of the product, [batch, length, hidden].
    states: Tensor<3>,
    /// Tied rows [V, hidden] in their parts, each with where its products were largest.
    rows: Vec<(Tensor<2>, Tensor<2, Int>)>,
}

/// What a gradient is multiplied by on its way back; products on matrix units see to that by themselves.
fn scale<const D: usize>(half: bool, gradient: &Tensor<D>) -> f32 {
    let on_units = || units(&gradient.device()).is_some();
    if half && !on_units() { scale_to(LARGEST, gradient) } else { 1.0 }
}

impl Tower {
    /// As [`Tower::pass`], over right-padded texts.
    pub(super) fn taped_pass(&self, texts: &[&[u32]], options: PassOptions) -> TowerPass {
        let (keep, half) = (options.keep, options.half);
        let leaves = if keep == Keep::Everything { self.weights.tracked() } else { self.weights.clone() };
        let around = self.bert.around(&leaves, texts, half);
        let mut inputs = Vec::new();
        let mut last = self.bert.embedded(&leaves, texts);
        for i in 0..self.bert.config.num_hidden_layers {
            if keep == Keep::Inputs {
                inputs.push(last.clone());
            }
            last = self.bert.layer(&leaves, &around, i, last);
        }
        let states = self.head_states(&leaves, self.bert.finished(&leaves, last.clone()));
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let (mut max, mut parts) = (Vec::new(), Vec::new());
        for part in self.rows(&leaves) {
            let found = vocab_max_in(half, states.clone().inner(), &lengths, part.clone().inner());
            max.push(found.max);
            parts.push((part, found.argmax));
        }
        let kept = match keep {
            Keep::Nothing => None,
            Keep::Everything => Some(Kept::Everything { leaves, head: Head { states, rows: parts }, half }),
            Keep::Inputs => {
                let texts = texts.iter().map(|text| text.to_vec()).collect();
                let argmax = parts.into_iter().map(|(_, argmax)| argmax).collect();
                Some(Kept::Inputs { texts, inputs, last, argmax, half })
            }
        };
        self.vectors(Tensor::cat(max, 1), kept.map(|kept| super::Kept::Tape(Box::new(kept))))
    }

    fn head_states(&self, weights: &Weights, hidden: Tensor<3>) -> Tensor<3> {
        let eps = self.bert.config.layer_norm_eps;
        match self.head {
            HeadKind::Splade => {
                let part = |name: &str| format!("{TRANSFORM}.{name}");
                let w = weights.matrix(&part("dense.weight"));
                let x = crate::linear::linear(hidden, w, weights.optional(&part("dense.bias")));
                let x = activate(Activation::Gelu, x);
                let gain = weights.vector(&part("LayerNorm.weight"));
                layer_norm(x, None, gain, weights.optional(&part("LayerNorm.bias")), eps)
            }
            _ => layer_norm(hidden, None, weights.vector(NORM_GAIN), Some(weights.vector(NORM_BIAS)), eps),
        }
    }

    /// Gradients of the weights from that of the products' maxima, [batch, V].
    pub(super) fn taped_gradients(&self, kept: Kept, grad: Tensor<2>) -> Weights {
        let (texts, inputs, last, argmax, half) = match kept {
            Kept::Everything { leaves, head, half } => {
                let (d_states, d_rows) = head.back(half, grad);
                let scale = scale(half, &d_states);
                let mut found = head.surrogate(d_states, d_rows, scale).backward();
                return leaves.gradients(&mut found).scaled(1.0 / scale);
            }
            Kept::Inputs { texts, inputs, last, argmax, half } => (texts, inputs, last, argmax, half),
        };
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let leaves = self.weights.tracked();
        let x = last.autodiff().require_grad();
        let states = self.head_states(&leaves, self.bert.finished(&leaves, x.clone()));
        let head = Head { states, rows: self.rows(&leaves).into_iter().zip(argmax).collect() };
        let (d_states, d_rows) = head.back(half, grad);
        let mut found = head.surrogate(d_states, d_rows, 1.0).backward();
        let mut out = leaves.gradients(&mut found);
        let mut d = x.grad_remove(&mut found);
        let mut around = self.bert.around(&self.weights, &texts, half);
        for (i, input) in inputs.into_iter().enumerate().rev() {
            let Some(behind) = d else { return out };
            let leaves = self.weights.tracked();
            let x = input.autodiff().require_grad();
            around.bias = self.bert.relative_bias(&leaves, &texts);
            let scale = scale(half, &behind);
            let y = self.bert.layer(&leaves, &around, i, x.clone());
            let mut found = (y * behind.mul_scalar(scale)).sum().backward();
            out.accumulate(leaves.gradients(&mut found).scaled(1.0 / scale));
            d = x.grad_remove(&mut found).map(|d| d.mul_scalar(1.0 / scale));
        }
        if let Some(d) = d {
            let leaves = self.weights.tracked();
            let mut found = (self.bert.embedded(&leaves, &texts) * d).sum().backward();
            out.accumulate(leaves.gradients(&mut found));
        }
        out
    }
}

impl Head {
    /// Gradients of the states and of each part of the rows from that of the products' maxima.
    ///
    /// The vocabulary product never enters the tape: its way back is the kernel's.
    fn back(&self, half: bool, grad: Tensor<2>) -> (Tensor<3>, Vec<Tensor<2>>) {
        let mut first = 0;
        let mut d_states = self.states.clone().inner().zeros_like();
        let mut d_rows = Vec::new();
        for (rows, argmax) in &self.rows {
            let last = first + rows.dims()[0];
            let part = grad.clone().slice(burn::tensor::s![.., first..last]);
            let states = self.states.clone().inner();
            let (d, d_part) = vocab_max_backward_in(half, part, argmax.clone(), states, rows.clone().inner());
            d_states = d_states + d;
            d_rows.push(d_part);
            first = last;
        }
        (d_states, d_rows)
    }

    /// What hands those gradients to the tape, times `scale`.
    fn surrogate(self, d_states: Tensor<3>, d_rows: Vec<Tensor<2>>, scale: f32) -> Tensor<1> {
        let parts = self.rows.into_iter().zip(d_rows).map(|((rows, _), d)| (rows * d.mul_scalar(scale)).sum());
        parts.fold((self.states * d_states.mul_scalar(scale)).sum(), |sum, part| sum + part)
    }
}
