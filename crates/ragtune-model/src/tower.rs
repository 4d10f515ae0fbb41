//! Body and head with their weights: from token ids to V(x), and from gradients of V(x) to those of the weights
//! (method, section 2).
//!
//! On the CPU this is computed over rows without padding (`rows`), elsewhere by tensor operations and burn's tape
//! (`tape`). Both give the same numbers within rounding.

mod rows;
mod tape;

use burn::tensor::Tensor;
use ragtune_kernels::{elu1p, elu1p_derivative, is_cpu, log1p_relu};

use crate::{Bert, HeadKind, Weights};

pub(crate) const NORM_GAIN: &str = "head.LayerNorm.weight";
pub(crate) const NORM_BIAS: &str = "head.LayerNorm.bias";
const HEAD: &str = "head";
const WORDS: &str = "embeddings.word_embeddings.weight";
const TRANSFORM: &str = "cls.predictions.transform";

/// One set of weights with the functions of body and head.
#[derive(Clone)]
pub struct Tower {
    /// The body.
    pub bert: Bert,
    /// The head.
    pub head: HeadKind,
    /// All weights, the head's among them.
    pub weights: Weights,
    /// Token ids of the lexical dimensions, ascending.
    pub(crate) lexical_ids: Vec<u32>,
}

/// What a forward pass gives, and leaves for the way back.
pub struct TowerPass {
    /// V(x), [batch, V], without a tape.
    pub vectors: Tensor<2>,
    max: Tensor<2>,
    kept: Option<Kept>,
}

enum Kept {
    Rows(Box<rows::Kept>),
    Tape(Box<tape::Kept>),
}

impl Tower {
    /// Vectors of texts; with `keep`, [`Tower::gradients`] can go back through them.
    pub fn pass(&self, texts: &[&[u32]], keep: bool) -> TowerPass {
        if is_cpu(&self.weights.device()) {
            let (max, kept) = self.rows_pass(texts, keep);
            self.vectors(max, kept.map(|kept| Kept::Rows(Box::new(kept))))
        } else {
            self.taped_pass(texts, keep)
        }
    }

    fn vectors(&self, max: Tensor<2>, kept: Option<Kept>) -> TowerPass {
        let max = match self.head {
            HeadKind::Splade => max + self.lexical_bias().unsqueeze::<2>(),
            _ => max,
        };
        let vectors = match self.head {
            HeadKind::Splade => log1p_relu(max.clone()),
            _ => elu1p(max.clone()),
        };
        TowerPass { vectors, max, kept }
    }

    /// Gradients of the weights from that of the vectors, `grad` [batch, V]; none for a pass that kept nothing.
    ///
    /// The vocabulary product's way back touches only the rows that gave a maximum.
    pub fn gradients(&self, pass: TowerPass, grad: Tensor<2>) -> Weights {
        let slope = match self.head {
            HeadKind::Splade => {
                let positive = pass.max.clone().greater_scalar(0.0).float();
                positive / pass.max.clamp_min(0.0).add_scalar(1.0)
            }
            _ => elu1p_derivative(pass.max),
        };
        match pass.kept {
            None => Weights::default(),
            Some(Kept::Rows(kept)) => self.rows_gradients(*kept, grad * slope),
            Some(Kept::Tape(kept)) => kept.gradients(grad * slope),
        }
    }

    /// Mean-pooled, L2-normalised vectors [batch, hidden] of the body alone.
    pub fn pooled(&self, texts: &[&[u32]]) -> Tensor<2> {
        let hidden = self.bert.forward(&self.weights, texts);
        let [_, _, width] = hidden.dims();
        let rows = texts
            .iter()
            .enumerate()
            .map(|(b, text)| hidden.clone().slice([b..b + 1, 0..text.len(), 0..width]).mean_dim(1).reshape([1, width]));
        let mean = Tensor::cat(rows.collect(), 0);
        let norm = mean.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
        mean / norm
    }

    /// E_lex: the rows of the word embedding that belong to lexical dimensions, [V, hidden].
    fn rows(&self, weights: &Weights) -> Tensor<2> {
        let words = weights.matrix(WORDS);
        let width = self.bert.config.hidden_size;
        match self.contiguous() {
            Some(range) => words.slice([range, 0..width]),
            None => words.select(0, crate::id_tensor(&self.lexical_ids, &weights.device())),
        }
    }

    fn lexical_bias(&self) -> Tensor<1> {
        let bias = self.weights.vector("cls.predictions.bias");
        bias.select(0, crate::id_tensor(&self.lexical_ids, &self.weights.device()))
    }

    fn contiguous(&self) -> Option<std::ops::Range<usize>> {
        let (first, last) = (*self.lexical_ids.first()? as usize, *self.lexical_ids.last()? as usize);
        (last + 1 - first == self.lexical_ids.len()).then_some(first..last + 1)
    }

    /// Number of lexical dimensions.
    pub fn dims(&self) -> usize {
        self.lexical_ids.len()
    }
}
