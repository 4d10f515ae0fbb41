//! Where a reader's weights stand in one flat vector, by the names and shapes of their file.

use std::ops::Range;

use burn::tensor::Device;
use ragtune_kernels::to_vec;
use ragtune_model::{DecoderConfig, Positions, Weight, Weights};

/// Sizes of a reader, and where each of its weights stands. Weights that are multiplied with the same states stand
/// behind each other, so that one product serves them: queries, keys and values; gate and up.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) vocab: usize,
    pub(super) hidden: usize,
    pub(super) inner: usize,
    pub(super) heads: usize,
    pub(super) eps: f32,
    pub(super) theta: f64,
    pub(super) embedding: Range<usize>,
    pub(super) norm: Range<usize>,
    pub(super) layers: Vec<LayerLayout>,
    /// Name, shape and place of every weight.
    pub(super) named: Vec<(String, Vec<usize>, Range<usize>)>,
}

/// Places of the weights of one layer.
#[derive(Debug, Clone)]
pub(super) struct LayerLayout {
    pub(super) attention_norm: Range<usize>,
    /// [3 hidden, hidden]
    pub(super) qkv: Range<usize>,
    /// [hidden, hidden]
    pub(super) output: Range<usize>,
    pub(super) inner_norm: Range<usize>,
    /// [2 inner, hidden]
    pub(super) gate_up: Range<usize>,
    /// [hidden, inner]
    pub(super) down: Range<usize>,
}

impl Layout {
    /// The layout of a plain configuration: as many key as query heads that together are as wide as the states, a tied
    /// head, unscaled rotary positions. `None` for any other.
    pub(super) fn of(config: &DecoderConfig) -> Option<Self> {
        let (hidden, heads, inner) = (config.hidden_size, config.num_attention_heads, config.intermediate_size);
        let Positions::Rotary(ropes) = &config.positions else { return None };
        let theta = ropes.first().filter(|_| config.is_plain())?.theta;
        let mut named: Vec<(String, Vec<usize>, Range<usize>)> = Vec::new();
        let mut end = 0;
        let mut add = |name: String, shape: &[usize]| {
            let start = end;
            end += shape.iter().product::<usize>();
            named.push((name, shape.to_vec(), start..end));
            start..end
        };
        let embedding = add("model.embed_tokens.weight".to_owned(), &[config.vocab_size, hidden]);
        let norm = add("model.norm.weight".to_owned(), &[hidden]);
        let mut layers = Vec::new();
        for i in 0..config.num_hidden_layers {
            let mut add = |name: &str, shape: &[usize]| add(format!("model.layers.{i}.{name}.weight"), shape);
            let attention_norm = add("input_layernorm", &[hidden]);
            let q = add("self_attn.q_proj", &[hidden, hidden]);
            add("self_attn.k_proj", &[hidden, hidden]);
            let v = add("self_attn.v_proj", &[hidden, hidden]);
            let output = add("self_attn.o_proj", &[hidden, hidden]);
            let inner_norm = add("post_attention_layernorm", &[hidden]);
            let gate = add("mlp.gate_proj", &[inner, hidden]);
            let up = add("mlp.up_proj", &[inner, hidden]);
            let down = add("mlp.down_proj", &[hidden, inner]);
            layers.push(LayerLayout {
                attention_norm,
                qkv: q.start..v.end,
                output,
                inner_norm,
                gate_up: gate.start..up.end,
                down,
            });
        }
        Some(Self {
            vocab: config.vocab_size,
            hidden,
            inner,
            heads,
            eps: config.norm.eps as f32,
            theta,
            embedding,
            norm,
            layers,
            named,
        })
    }

    /// Number of parameters.
    pub(super) fn parameters(&self) -> usize {
        self.named.last().map_or(0, |(_, _, place)| place.end)
    }

    /// All weights behind each other.
    pub(super) fn flatten(&self, weights: &Weights) -> Vec<f32> {
        let mut flat = Vec::with_capacity(self.parameters());
        for (name, shape, _) in &self.named {
            flat.extend(if shape.len() == 1 { to_vec(weights.vector(name)) } else { to_vec(weights.matrix(name)) });
        }
        flat
    }

    /// The weights by name.
    pub(super) fn unflatten(&self, flat: &[f32], device: &Device) -> Weights {
        let mut weights = Weights::default();
        for (name, shape, place) in &self.named {
            weights.insert(name.clone(), Weight::from_vec(flat[place.clone()].to_vec(), shape, device));
        }
        weights
    }

    /// Width of one head.
    pub(super) fn head_width(&self) -> usize {
        self.hidden / self.heads
    }
}
