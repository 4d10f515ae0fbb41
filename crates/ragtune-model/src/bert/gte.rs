//! The layers of the family that Hugging Face calls `new`, GTE's v1.5 models (arXiv 2407.19669): BERT with rotary positions, one
//! matrix for queries, keys and values, and a gated feed-forward layer.

use burn::tensor::{Device, Tensor, module};

use super::{Around, Bert, act};
use crate::Weights;
use crate::decoder::{Rope, Turn};

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

    /// How its queries and keys are turned in texts of so many tokens.
    pub(super) fn gte_turn(&self, rope: &Rope, length: usize, device: &Device) -> Turn {
        Turn::new(rope, &[(0..length).collect()], &[length], device)
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
        let [batch, length, h] = x.dims();
        let (heads, wide) = (c.num_attention_heads, c.intermediate_size);
        let layer = format!("encoder.layer.{i}");
        let linear = |x: Tensor<3>, name: &str| {
            let bias = weights.optional(&format!("{layer}.{name}.bias"));
            crate::linear::linear_in(around.half, x, weights.matrix(&format!("{layer}.{name}.weight")), bias)
        };
        let qkv = linear(x.clone(), "attention.qkv_proj");
        let [q, k, v] = [0, 1, 2].map(|part| {
            let part = qkv.clone().slice([0..batch, 0..length, part * h..(part + 1) * h]);
            part.reshape([batch, length, heads, h / heads]).swap_dims(1, 2)
        });
        let mask = around.mask.clone();
        let attended = module::attention(turn.apply(q), turn.apply(k), v, mask, None, Default::default());
        let attended = attended.swap_dims(1, 2).reshape([batch, length, h]);
        let x = self.norm(weights, x + linear(attended, "attention.o_proj"), &format!("{layer}.attn_ln"));
        let inner = linear(x.clone(), "mlp.up_gate_proj");
        let half = |from: usize| inner.clone().slice([0..batch, 0..length, from..from + wide]);
        let inner = half(0) * act(&c.hidden_act, half(wide));
        self.norm(weights, x + linear(inner, "mlp.down_proj"), &format!("{layer}.mlp_ln"))
    }
}
