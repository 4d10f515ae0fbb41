//! The layers of the family that Hugging Face calls `new`, GTE's v1.5 models (arXiv 2407.19669): BERT with rotary positions, one
//! matrix for queries, keys and values, and a gated feed-forward layer.

use burn::tensor::Tensor;

use super::{Around, Bert, act, halves};
use crate::Weights;
use crate::decoder::Turn;

impl Bert {
    pub(super) fn gte_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let c = &self.config;
        let (h, wide) = (c.hidden_size, c.intermediate_size);
        let mut shapes = vec![
            ("embeddings.word_embeddings.weight".to_owned(), vec![c.vocab_size, h]),
            ("embeddings.LayerNorm.weight".to_owned(), vec![h]),
            ("embeddings.LayerNorm.bias".to_owned(), vec![h]),
        ];
        if c.has_segments() {
            shapes.push(("embeddings.token_type_embeddings.weight".to_owned(), vec![c.type_vocab_size, h]));
        }
        for i in 0..c.num_hidden_layers {
            let mut add = |name: &str, shape: Vec<usize>| shapes.push((format!("encoder.layer.{i}.{name}"), shape));
            for (name, out, input) in
                [("attention.qkv_proj", 3 * h, h), ("attention.o_proj", h, h), ("mlp.down_proj", h, wide)]
            {
                add(&format!("{name}.weight"), vec![out, input]);
                add(&format!("{name}.bias"), vec![out]);
            }
            add("mlp.up_gate_proj.weight", vec![2 * wide, h]);
            for name in ["attn_ln", "mlp_ln"] {
                add(&format!("{name}.weight"), vec![h]);
                add(&format!("{name}.bias"), vec![h]);
            }
        }
        shapes
    }

    /// As [`Bert::layer`].
    pub(super) fn gte_layer(
        &self,
        weights: &Weights,
        around: &Around,
        turn: &Turn,
        i: usize,
        x: Tensor<3>,
    ) -> Tensor<3> {
        let c = &self.config;
        let layer = format!("encoder.layer.{i}");
        let linear = |x: Tensor<3>, name: &str| {
            let bias = weights.optional(&format!("{layer}.{name}.bias"));
            crate::linear::linear_in(around.half, x, weights.matrix(&format!("{layer}.{name}.weight")), bias)
        };
        let attended = self.attend_turned(around, linear(x.clone(), "attention.qkv_proj"), turn, None);
        let x = self.added_norm(weights, x, linear(attended, "attention.o_proj"), &format!("{layer}.attn_ln"));
        let [up, gate] = halves(linear(x.clone(), "mlp.up_gate_proj"));
        let inner = up * act(&c.hidden_act, gate);
        self.added_norm(weights, x, linear(inner, "mlp.down_proj"), &format!("{layer}.mlp_ln"))
    }
}
