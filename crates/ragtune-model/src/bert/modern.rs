//! ModernBERT's layers (arXiv 2412.13663): normed before, rotary positions, most of them looking only at what is near,
//! gated feed-forward, no biases.

use burn::tensor::{Bool, Device, Tensor, TensorData};

use super::{Bert, ModernConfig, act, halves};
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

    /// What its layers need beside the states and the mask of the padding.
    pub(super) fn modern_around(&self, modern: &ModernConfig, texts: &[&[u32]], device: &Device) -> Around {
        let c = &self.config;
        let length = self.length(texts, device);
        let turn = |theta: f64| {
            let rope = Rope { theta, width: c.hidden_size / c.num_attention_heads, scaling: Scaling::None };
            super::turn(&rope, length, device)
        };
        Around {
            every: modern.global_attn_every_n_layers.max(1),
            local: turn(modern.local_rope_theta.unwrap_or(modern.global_rope_theta)),
            global: turn(modern.global_rope_theta),
            near: near_mask(texts, length, c.num_attention_heads, modern.local_attention / 2, device),
        }
    }

    /// As [`Bert::layer`].
    pub(super) fn modern_layer(
        &self,
        weights: &Weights,
        around: &super::Around,
        modern: &Around,
        i: usize,
        x: Tensor<3>,
    ) -> Tensor<3> {
        let c = &self.config;
        let linear = |x: Tensor<3>, name: &str| {
            crate::linear::linear_in(around.half, x, weights.matrix(&format!("layers.{i}.{name}.weight")), None)
        };
        let looks_far = i.is_multiple_of(modern.every);
        let (turn, near) = if looks_far { (&modern.global, None) } else { (&modern.local, modern.near.as_ref()) };
        let normed = if i == 0 { x.clone() } else { self.norm(weights, x.clone(), &format!("layers.{i}.attn_norm")) };
        let x = x + linear(self.attend_turned(around, linear(normed, "attn.Wqkv"), turn, near), "attn.Wo");
        let [gate, up] = halves(linear(self.norm(weights, x.clone(), &format!("layers.{i}.mlp_norm")), "mlp.Wi"));
        x + linear(act(&c.hidden_act, gate) * up, "mlp.Wo")
    }
}

/// What its layers need beside the states.
pub(super) struct Around {
    /// One layer in so many looks at everything.
    every: usize,
    local: Turn,
    global: Turn,
    near: Option<Tensor<4, Bool>>,
}

/// True where a key is padding or further away than `reach`, [batch, heads, length, length]; none when every token is near
/// to every other one.
fn near_mask(texts: &[&[u32]], length: usize, heads: usize, reach: usize, device: &Device) -> Option<Tensor<4, Bool>> {
    if length <= reach + 1 {
        return None;
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
