//! What a decoder is, whatever family its `config.json` names: the differences between families as data.

use ragtune_text::storage::Directory;
use serde_json::Value;

use super::rope::Rope;
use crate::{ModelError, gguf, read_json};

/// Sizes of a decoder and the ways in which families differ.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The family, as `config.json` names it.
    pub model_type: String,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads per layer.
    pub num_attention_heads: usize,
    /// Key and value heads per layer.
    pub num_key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Longest context in tokens.
    pub max_position_embeddings: usize,
    /// Whether the head is the token embedding.
    pub tie_word_embeddings: bool,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
    /// How states are normed.
    pub norm: Norm,
    /// Where they are normed.
    pub blocks: Blocks,
    /// How queries and keys are normed, if they are.
    pub query_key_norm: Option<QueryKeyNorm>,
    /// Which projections have a bias.
    pub biases: Biases,
    /// The other half of a layer.
    pub feed_forward: FeedForward,
    /// How tokens know where they are.
    pub positions: Positions,
    /// Per layer, how many tokens back it looks, its own among them; none: to the beginning.
    pub windows: Vec<Option<usize>>,
    /// What query times key is multiplied with.
    pub attention_scale: f64,
    /// Attention's products are drawn together to this, by c tanh(x / c).
    pub attention_softcap: Option<f64>,
    /// The same for logits.
    pub logit_softcap: Option<f64>,
    /// What embeddings are multiplied with.
    pub embedding_scale: f64,
}

/// How states are normed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// LayerNorm with its bias, else RMSNorm.
    pub layer: bool,
    /// Added to the variance.
    pub eps: f64,
}

/// Where states are normed, in a layer with attention A and feed-forward F.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// x + A(norm x), then x + F(norm x).
    Before,
    /// x + norm A(x), then x + norm F(x): OLMo 2.
    After,
    /// x + norm A(norm x), then x + norm F(norm x): Gemma 2 and 3.
    Around,
    /// x + A(norm x) + F(norm x), each with its own norm: GPT-NeoX.
    Parallel,
}

/// How queries and keys are normed, before they are turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKeyNorm {
    /// Each head by itself: Qwen 3, Gemma 3.
    Heads,
    /// All heads as one vector: OLMo 2.
    Whole,
}

/// Which projections have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Biases {
    /// Of queries, keys and values.
    pub query_key_value: bool,
    /// Of attention's output.
    pub output: bool,
    /// Of the feed-forward layer.
    pub feed_forward: bool,
}

/// A feed-forward layer: down(act(gate x) * up x), or down(act(up x)) without a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedForward {
    /// Whether there is a gate.
    pub gated: bool,
    /// The activation.
    pub activation: Act,
}

/// An activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// x sigmoid(x).
    Silu,
    /// x Φ(x).
    Gelu,
    /// The form of it with a hyperbolic tangent.
    GeluTanh,
    /// max(x, 0).
    Relu,
}

/// How tokens know where they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// A learned vector for each position: GPT-2.
    Learned,
    /// Queries and keys are turned, by the first way in layers without a window, by the last in layers with one.
    Rotary(Vec<Rope>),
}

/// Families that are known, for messages.
pub(super) const KNOWN: &str = "llama (Llama 2 and 3, TinyLlama, SmolLM2), mistral, qwen2, qwen3, phi3, gemma, gemma2, \
                                gemma3_text, olmo2, gpt2, gpt_neox (Pythia)";

impl DecoderConfig {
    /// Reads a folder's `config.json`, or the head of its GGUF file.
    pub fn from_dir(dir: &dyn Directory) -> Result<Self, ModelError> {
        match gguf::of(dir)? {
            Some(gguf) => Self::from_json(&gguf.config(dir)?, gguf.file()),
            None => Self::from_json(&read_json(dir, "config.json")?, &dir.describe("config.json")),
        }
    }

    /// Understands a parsed `config.json`; `file` is its name, for messages.
    ///
    /// # Errors
    /// A family that is not known, a size that is missing or does not fit, a setting that is not computed here.
    pub fn from_json(json: &Value, file: &str) -> Result<Self, ModelError> {
        let config = super::families::read(json, file)?;
        config
            .check()
            .map_err(|reason| ModelError::damaged(file, reason, "Use the config.json that came with the weights"))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        for (name, cap) in [("attention", self.attention_softcap), ("logit", self.logit_softcap)] {
            if let Some(cap) = cap.filter(|cap| !(cap.is_finite() && *cap > 0.0)) {
                return Err(format!("the softcap of {name}s is {cap}, and must be above 0"));
            }
        }
        let (heads, kv) = (self.num_attention_heads, self.num_key_value_heads);
        if heads == 0 || kv == 0 || !heads.is_multiple_of(kv) {
            return Err("num_attention_heads is not a multiple of num_key_value_heads".to_owned());
        }
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| !(1..=1 << 24).contains(size)) {
            return Err(format!("{name} is {size}"));
        }
        if let Positions::Rotary(ropes) = &self.positions {
            for rope in ropes {
                rope.check(self.head_dim)?;
            }
        }
        Ok(())
    }

    /// Whether a plain Llama without anything that other families have: unscaled rotary positions over whole heads, as
    /// many key as query heads that together are as wide as the states, a tied head.
    pub fn is_plain(&self) -> bool {
        let plain_positions = match &self.positions {
            Positions::Rotary(ropes) => ropes.iter().all(|rope| rope.is_plain(self.head_dim)),
            Positions::Learned => false,
        };
        self.model_type == "llama"
            && plain_positions
            && self.num_key_value_heads == self.num_attention_heads
            && self.head_dim * self.num_attention_heads == self.hidden_size
            && self.tie_word_embeddings
            && self.biases == Biases::default()
            && self.feed_forward == (FeedForward { gated: true, activation: Act::Silu })
    }

    /// Names and shapes of all weights, under the names that Llama's have.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (h, width, wide) = (self.hidden_size, self.head_dim, self.intermediate_size);
        let (queries, keys) = (self.num_attention_heads * width, self.num_key_value_heads * width);
        let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, h])];
        let mut add = |name: String, shape: Vec<usize>, bias: bool| {
            if bias {
                shapes.push((format!("{name}.bias"), vec![shape[0]]));
            }
            shapes.push((format!("{name}.weight"), shape));
        };
        if self.positions == Positions::Learned {
            add("model.embed_positions".to_owned(), vec![self.max_position_embeddings, h], false);
        }
        add("model.norm".to_owned(), vec![h], self.norm.layer);
        if !self.tie_word_embeddings {
            add("lm_head".to_owned(), vec![self.vocab_size, h], false);
        }
        for i in 0..self.num_hidden_layers {
            let mut add =
                |name: &str, shape: Vec<usize>, bias: bool| add(format!("model.layers.{i}.{name}"), shape, bias);
            add("self_attn.q_proj", vec![queries, h], self.biases.query_key_value);
            add("self_attn.k_proj", vec![keys, h], self.biases.query_key_value);
            add("self_attn.v_proj", vec![keys, h], self.biases.query_key_value);
            add("self_attn.o_proj", vec![h, queries], self.biases.output);
            if self.feed_forward.gated {
                add("mlp.gate_proj", vec![wide, h], self.biases.feed_forward);
            }
            add("mlp.up_proj", vec![wide, h], self.biases.feed_forward);
            add("mlp.down_proj", vec![h, wide], self.biases.feed_forward);
            match self.query_key_norm {
                Some(QueryKeyNorm::Heads) => {
                    add("self_attn.q_norm", vec![width], false);
                    add("self_attn.k_norm", vec![width], false);
                }
                Some(QueryKeyNorm::Whole) => {
                    add("self_attn.q_norm", vec![queries], false);
                    add("self_attn.k_norm", vec![keys], false);
                }
                None => {}
            }
            let norms: &[&str] = match self.blocks {
                Blocks::Before | Blocks::Parallel => &["input_layernorm", "post_attention_layernorm"],
                Blocks::After => &["post_attention_layernorm", "post_feedforward_layernorm"],
                Blocks::Around => &[
                    "input_layernorm",
                    "post_attention_layernorm",
                    "pre_feedforward_layernorm",
                    "post_feedforward_layernorm",
                ],
            };
            norms.iter().for_each(|norm| add(norm, vec![h], self.norm.layer));
        }
        shapes
    }
}
