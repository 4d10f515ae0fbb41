//! Body and head with their weights: from token ids to V(x), and from gradients of V(x) to those of the weights
//! (method, section 2).
//!
//! On the CPU this is computed over rows without padding (`rows`), elsewhere by tensor operations and burn's tape
//! (`tape`). Both give the same numbers within rounding.

mod rows;
mod tape;

use burn::tensor::{Device, Tensor};
use ragtune_kernels::units::in_halves;
use ragtune_kernels::{elu1p, elu1p_derivative, from_vec, is_cpu, log1p_relu, to_vec};

use ragtune_text::storage::Directory;
use rand::Rng;

use crate::{Bert, BertConfig, HeadKind, ModelError, Weight, Weights, write_weights};

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

/// What a pass leaves for the way back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: there is no way back.
    #[default]
    Nothing,
    /// What goes into each layer; the way back computes the layers again, one by one (activation checkpointing). A third more
    /// time, and a fraction of the memory.
    Inputs,
    /// Every state that the way back reads.
    Everything,
}

/// How a pass is computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassOptions {
    /// What it leaves.
    pub keep: Keep,
    /// The layers' products in 16 bits, forth and back, and the head's where a card's matrix units are reached; everything else
    /// in 32 (mixed precision). On the CPU everything is computed in 32 bits.
    pub half: bool,
}

impl From<Keep> for PassOptions {
    fn from(keep: Keep) -> Self {
        Self { keep, half: false }
    }
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
    /// Reads the weights of a body and of a head; a SiDR or dense head that the files do not have is a fresh one.
    ///
    /// `lexical_ids`: the token ids of the lexical dimensions, ascending, each below the body's `vocab_size`.
    pub fn load(
        dir: &dyn Directory,
        bert: &Bert,
        head: HeadKind,
        lexical_ids: &[u32],
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::load_of("", dir, bert, head, lexical_ids, device)
    }

    /// As [`Tower::load`], of the tensors whose names begin so.
    pub(crate) fn load_of(
        prefix: &str,
        dir: &dyn Directory,
        bert: &Bert,
        head: HeadKind,
        lexical_ids: &[u32],
        device: &Device,
    ) -> Result<Self, ModelError> {
        let shapes = head_shapes(&bert.config, head);
        // The language modelling head of a checkpoint is of no use to the other heads, and is not read for them.
        let names: Vec<String> = shapes.iter().map(|(name, _)| name.clone()).collect();
        let mut weights = bert.read_weights_of(prefix, dir, device, &names)?;
        if head != HeadKind::Splade && (weights.get(NORM_GAIN).is_none() || weights.get(NORM_BIAS).is_none()) {
            fresh_norm(&mut weights, bert.config.hidden_size, device);
        }
        crate::bert::check_shapes(&weights, &shapes, &dir.describe("model.safetensors"))?;
        Ok(Self { bert: bert.clone(), head, weights, lexical_ids: lexical_ids.to_vec() })
    }

    /// A new tower with a SiDR head and random weights.
    ///
    /// `lexical_ids`: as for [`Tower::load`].
    pub fn init(config: BertConfig, lexical_ids: &[u32], device: &Device, rng: &mut impl Rng) -> Self {
        let bert = Bert { config };
        let mut weights = bert.init(device, rng);
        fresh_norm(&mut weights, bert.config.hidden_size, device);
        Self { bert, head: HeadKind::Sidr, weights, lexical_ids: lexical_ids.to_vec() }
    }

    /// The weights as a safetensors file of F32, under the names that the family's own files have.
    pub fn written(&self) -> Result<Vec<u8>, ModelError> {
        write_weights(&self.bert.named_as_family(&self.weights, self.head == HeadKind::Splade))
    }

    /// Vectors of texts; [`Tower::gradients`] can go back through them unless nothing is kept.
    pub fn pass(&self, texts: &[&[u32]], options: impl Into<PassOptions>) -> TowerPass {
        let options = options.into();
        let device = self.weights.device();
        let cpu = is_cpu(&device);
        if cpu && self.bert.has_rows() {
            let (max, kept) = self.rows_pass(texts, options.keep);
            self.vectors(max, kept.map(|kept| Kept::Rows(Box::new(kept))))
        } else {
            let half = (options.half || in_halves(&device)) && !cpu;
            self.taped_pass(texts, PassOptions { half, ..options })
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
            Some(Kept::Tape(kept)) => self.taped_gradients(*kept, grad * slope),
        }
    }

    /// L2-normalised vectors [batch, hidden] of the body alone: each the mean of a text's states, or its first token's.
    pub fn pooled(&self, texts: &[&[u32]], first_token: bool) -> Tensor<2> {
        let width = self.bert.config.hidden_size;
        let (states, lengths) = if is_cpu(&self.weights.device()) && self.bert.has_rows() {
            let states = self.bert.rows(&self.weights, texts, Keep::Nothing).0;
            (states, texts.iter().map(|text| text.len()).collect::<Vec<_>>())
        } else {
            let states = self.bert.forward(&self.weights, texts);
            let [batch, length, _] = states.dims();
            (to_vec(states), vec![length; batch])
        };
        let (mut vectors, mut first) = (Vec::with_capacity(texts.len() * width), 0);
        for (text, length) in texts.iter().zip(lengths) {
            let own = &states[first * width..][..if first_token { 1 } else { text.len() } * width];
            first += length;
            let mut vector = vec![0.0f32; width];
            own.chunks_exact(width).for_each(|row| vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
            // The mean's length goes away in the norm.
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            vectors.extend(vector.iter().map(|x| x / norm));
        }
        from_vec(vectors, [texts.len(), width], &Device::flex())
    }

    /// E_lex: the rows of the word embedding that belong to lexical dimensions, [V, hidden], in the parts in which the
    /// embedding lies.
    fn rows(&self, weights: &Weights) -> Vec<Tensor<2>> {
        weights.table(WORDS).ascending(&self.lexical_ids)
    }

    fn lexical_bias(&self) -> Tensor<1> {
        let bias = self.weights.vector("cls.predictions.bias");
        bias.select(0, crate::id_tensor(&self.lexical_ids, &self.weights.device()))
    }

    /// Numbers that a pass leaves for one token of a text of that length, about: the inputs of every product and of every
    /// non-linear part, and the attention's probabilities.
    pub fn numbers_kept(&self, keep: Keep, length: usize) -> usize {
        let config = &self.bert.config;
        let hidden = config.hidden_size;
        let layer = match keep {
            Keep::Nothing => return 0,
            Keep::Inputs => hidden,
            Keep::Everything => 12 * hidden + 3 * config.intermediate_size + 3 * config.num_attention_heads * length,
        };
        layer * config.num_hidden_layers + 4 * hidden
    }

    /// Number of lexical dimensions.
    pub fn dims(&self) -> usize {
        self.lexical_ids.len()
    }
}

/// Names and shapes of a head's own weights.
fn head_shapes(config: &BertConfig, head: HeadKind) -> Vec<(String, Vec<usize>)> {
    let h = config.hidden_size;
    let shapes = match head {
        HeadKind::Splade => vec![
            ("cls.predictions.transform.dense.weight", vec![h, h]),
            ("cls.predictions.transform.dense.bias", vec![h]),
            ("cls.predictions.transform.LayerNorm.weight", vec![h]),
            ("cls.predictions.transform.LayerNorm.bias", vec![h]),
            ("cls.predictions.bias", vec![config.vocab_size]),
        ],
        _ => vec![(NORM_GAIN, vec![h]), (NORM_BIAS, vec![h])],
    };
    // ModernBERT's transform has no biases.
    let there = |name: &str| config.modern.is_none() || !name.contains("transform") || !name.ends_with("bias");
    shapes.into_iter().filter(|(name, _)| there(name)).map(|(name, shape)| (name.to_owned(), shape)).collect()
}

/// The norm of a head that was never trained.
pub(crate) fn fresh_norm(weights: &mut Weights, width: usize, device: &Device) {
    weights.insert(NORM_GAIN, Weight::from_vec(vec![1.0; width], &[width], device));
    weights.insert(NORM_BIAS, Weight::from_vec(vec![0.0; width], &[width], device));
}
