//! ModernBERT's layers (arXiv 2412.13663): normed before, rotary positions, most of them looking only at what is near,
//! gated feed-forward, no biases.

use burn::tensor::{Bool, Device, Tensor, TensorData, module};

use super::{Bert, ModernConfig, act};
use crate::Weights;
use crate::decoder::{Rope, Scaling, Turn};

impl Bert {
    pub(super) fn modern_shapes(&self, _: &ModernConfig) -> Vec<(String, Vec<usize>)> {
        let c = &self.config;
        let (h, wide) = (c.hidden_size, c.intermediate_size);
        let mut shapes = vec![
            ("embeddings.word_embeddings.weight".to_owned(), vec![c.vocab_size, h]),
            ("embeddings.LayerNorm.weight".to_owned(), vec![h]),
            ("final_norm.weight".to_owned(), vec![h]),
        ];
        for i in 0..c.num_hidden_layers {
            let mut add = |name: &str, shape: Vec<usize>| shapes.push((format!("layers.{i}.{name}.weight"), shape));
            if i > 0 {
                add("attn_norm", vec![h]);
            }
            add("attn.Wqkv", vec![3 * h, h]);
            add("attn.Wo", vec![h, h]);
            add("mlp_norm", vec![h]);
            add("mlp.Wi", vec![2 * wide, h]);
            add("mlp.Wo", vec![h, wide]);
        }
        shapes
    }

    /// As [`Bert::forward`], from the tokens' embeddings [batch, length, hidden].
    pub(super) fn modern_forward(
        &self,
        modern: &ModernConfig,
        weights: &Weights,
        texts: &[&[u32]],
        words: Tensor<3>,
    ) -> Tensor<3> {
        let c = &self.config;
        let [batch, length, h] = words.dims();
        let (heads, wide) = (c.num_attention_heads, c.intermediate_size);
        let width = h / heads;
        let device = weights.device();
        let norm = |x: Tensor<3>, name: &str| module::layer_norm(x, weights.vector(name), None, c.layer_norm_eps);
        let turn = |theta: f64| {
            let rope = Rope { theta, width, scaling: Scaling::None };
            Turn::new(&rope, &[(0..length).collect()], &[length], &device)
        };
        let local = turn(modern.local_rope_theta.unwrap_or(modern.global_rope_theta));
        let global = turn(modern.global_rope_theta);
        let far = super::padding_mask(texts, length, heads, &device);
        let near = near_mask(texts, length, heads, modern.local_attention / 2, &device);
        let mut x = norm(words, "embeddings.LayerNorm.weight");
        for i in 0..c.num_hidden_layers {
            ragtune_kernels::pause();
            let linear = |x: Tensor<3>, name: &str| {
                crate::linear::linear(x, weights.matrix(&format!("layers.{i}.{name}.weight")), None)
            };
            let looks_far = i.is_multiple_of(modern.global_attn_every_n_layers.max(1));
            let (turn, mask) = if looks_far { (&global, &far) } else { (&local, &near) };
            let normed = if i == 0 { x.clone() } else { norm(x.clone(), &format!("layers.{i}.attn_norm.weight")) };
            let qkv = linear(normed, "attn.Wqkv");
            let [q, k, v] = [0, 1, 2].map(|part| {
                let part = qkv.clone().slice([0..batch, 0..length, part * h..(part + 1) * h]);
                part.reshape([batch, length, heads, width]).swap_dims(1, 2)
            });
            let attended = module::attention(turn.apply(q), turn.apply(k), v, mask.clone(), None, Default::default());
            let attended = attended.swap_dims(1, 2).reshape([batch, length, h]);
            x = x + linear(attended, "attn.Wo");
            let inner = linear(norm(x.clone(), &format!("layers.{i}.mlp_norm.weight")), "mlp.Wi");
            let half = |from: usize| inner.clone().slice([0..batch, 0..length, from..from + wide]);
            x = x + linear(act(&c.hidden_act, half(0)) * half(wide), "mlp.Wo");
        }
        norm(x, "final_norm.weight")
    }
}

/// True where a key is padding or further away than `reach`, [batch, heads, length, length]; none when every token sees
/// every other one.
fn near_mask(texts: &[&[u32]], length: usize, heads: usize, reach: usize, device: &Device) -> Option<Tensor<4, Bool>> {
    if length <= reach + 1 {
        return super::padding_mask(texts, length, heads, device);
    }
    let batch = texts.len();
    let mut mask = Vec::with_capacity(batch * length * length);
    for text in texts {
        // A row of padding has no key of its own that is near: it keeps the first, so that no row is empty.
        for query in 0..length {
            let own = query.min(text.len().saturating_sub(1));
            mask.extend((0..length).map(|key| key >= text.len() || own.abs_diff(key) > reach));
        }
    }
    let mask = Tensor::<4, Bool>::from_data(TensorData::new(mask, [batch, 1, length, length]), device);
    Some(mask.expand([batch, heads, length, length]))
}
