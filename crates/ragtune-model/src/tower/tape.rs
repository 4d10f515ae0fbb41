//! A tower by tensor operations, with burn's tape for the way back: for every device but the CPU.

use burn::tensor::{Int, Tensor, activation, module};
use ragtune_kernels::{vocab_max, vocab_max_backward};

use super::{NORM_BIAS, NORM_GAIN, TRANSFORM, Tower, TowerPass};
use crate::{HeadKind, Weights};

/// What the way back needs.
pub(super) struct Kept {
    /// The weights as leaves of the tape.
    leaves: Weights,
    /// States in front of the vocabulary product, [batch, length, hidden], on the tape.
    states: Tensor<3>,
    /// Tied rows [V, hidden] in their parts, on the tape, each with where its products were largest.
    rows: Vec<(Tensor<2>, Tensor<2, Int>)>,
}

impl Tower {
    /// As [`Tower::pass`], over right-padded texts.
    pub(super) fn taped_pass(&self, texts: &[&[u32]], keep: bool) -> TowerPass {
        let leaves = if keep { self.weights.tracked() } else { self.weights.clone() };
        let states = self.head_states(&leaves, self.bert.forward(&leaves, texts));
        let rows = self.rows(&leaves);
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let (mut max, mut parts) = (Vec::new(), Vec::new());
        for part in rows {
            let found = vocab_max(states.clone().inner(), &lengths, part.clone().inner());
            max.push(found.max);
            parts.push((part, found.argmax));
        }
        let kept = keep.then(|| super::Kept::Tape(Box::new(Kept { leaves, states, rows: parts })));
        self.vectors(Tensor::cat(max, 1), kept)
    }

    fn head_states(&self, weights: &Weights, hidden: Tensor<3>) -> Tensor<3> {
        let eps = self.bert.config.layer_norm_eps;
        match self.head {
            HeadKind::Splade => {
                let part = |name: &str| format!("{TRANSFORM}.{name}");
                let w = weights.matrix(&part("dense.weight"));
                let x = activation::gelu(crate::linear::linear(hidden, w, weights.optional(&part("dense.bias"))));
                let gain = weights.vector(&part("LayerNorm.weight"));
                module::layer_norm(x, gain, weights.optional(&part("LayerNorm.bias")), eps)
            }
            _ => module::layer_norm(hidden, weights.vector(NORM_GAIN), Some(weights.vector(NORM_BIAS)), eps),
        }
    }
}

impl Kept {
    /// Gradients of the weights from that of the products' maxima, [batch, V].
    ///
    /// The vocabulary product never enters the tape: its way back is the kernel's, and the two inner products below
    /// hand its result to the tape.
    pub(super) fn gradients(self, grad: Tensor<2>) -> Weights {
        let mut first = 0;
        let mut d_states = self.states.clone().inner().zeros_like();
        let mut surrogates = Vec::new();
        for (rows, argmax) in self.rows {
            let last = first + rows.dims()[0];
            let part = grad.clone().slice(burn::tensor::s![.., first..last]);
            let (d, d_rows) = vocab_max_backward(part, argmax, self.states.clone().inner(), rows.clone().inner());
            d_states = d_states + d;
            surrogates.push((rows * d_rows).sum());
            first = last;
        }
        let surrogate = surrogates.into_iter().fold((self.states * d_states).sum(), |sum, part| sum + part);
        self.leaves.gradients(&mut surrogate.backward())
    }
}
