//! The Llama architecture: RMSNorm, rotary positions (plain, linear and Llama-3 scaling), grouped-query attention,
//! SwiGLU, tied or untied head; with the names of Hugging Face's `LlamaForCausalLM`.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation, module};
use ragtune_kernels::from_vec;
use ragtune_text::storage::Directory;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::bert::{check_shapes, normal};
use crate::{ModelError, Weight, Weights, read_json, read_weights};

/// The part of `config.json` that the decoder needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// Must be `llama`.
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
    /// Key and value heads per layer; as many as query heads when absent.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Width of one head; hidden_size / heads when absent.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// Longest context in tokens.
    pub max_position_embeddings: usize,
    /// Epsilon of every RMSNorm.
    #[serde(default = "eps")]
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    #[serde(default = "theta")]
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched for long contexts.
    #[serde(default)]
    pub rope_scaling: Option<RopeScaling>,
    /// Whether the head is the token embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Token or tokens that end a text.
    #[serde(default)]
    pub eos_token_id: serde_json::Value,
}

fn eps() -> f64 {
    1e-6
}
fn theta() -> f64 {
    10000.0
}

/// `rope_scaling` of config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeScaling {
    /// `default`, `linear` or `llama3`.
    #[serde(alias = "type")]
    pub rope_type: String,
    /// By how much low frequencies are stretched.
    #[serde(default = "one")]
    pub factor: f64,
    /// Llama 3: wavelengths longer than context / this are stretched fully.
    #[serde(default = "one")]
    pub low_freq_factor: f64,
    /// Llama 3: wavelengths shorter than context / this are left alone.
    #[serde(default = "one")]
    pub high_freq_factor: f64,
    /// Llama 3: the context that the model was first trained with.
    #[serde(default)]
    pub original_max_position_embeddings: usize,
}

fn one() -> f64 {
    1.0
}

impl LlamaConfig {
    fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    fn head_width(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// The tokens that end a text.
    pub fn eos(&self) -> Vec<u32> {
        match &self.eos_token_id {
            serde_json::Value::Number(n) => n.as_u64().map(|n| n as u32).into_iter().collect(),
            serde_json::Value::Array(all) => all.iter().filter_map(|n| n.as_u64()).map(|n| n as u32).collect(),
            _ => Vec::new(),
        }
    }

    /// Rotary frequencies, one per pair of dimensions.
    fn frequencies(&self) -> Vec<f32> {
        let half = self.head_width() / 2;
        let plain = (0..half).map(|i| self.rope_theta.powf(-(2.0 * i as f64) / self.head_width() as f64));
        let Some(scaling) = &self.rope_scaling else { return plain.map(|f| f as f32).collect() };
        let stretched = plain.map(|f| match scaling.rope_type.as_str() {
            "linear" => f / scaling.factor,
            "llama3" => {
                let wavelength = 2.0 * std::f64::consts::PI / f;
                let context = scaling.original_max_position_embeddings as f64;
                if wavelength < context / scaling.high_freq_factor {
                    f
                } else if wavelength > context / scaling.low_freq_factor {
                    f / scaling.factor
                } else {
                    let smooth = (context / wavelength - scaling.low_freq_factor)
                        / (scaling.high_freq_factor - scaling.low_freq_factor);
                    (1.0 - smooth) * f / scaling.factor + smooth * f
                }
            }
            _ => f,
        });
        stretched.map(|f| f as f32).collect()
    }
}

/// The functions of a Llama decoder; its weights are passed in, tracked or not.
#[derive(Debug, Clone)]
pub struct Llama {
    /// Sizes.
    pub config: LlamaConfig,
}

/// Keys and values of the tokens read so far, for a batch of texts.
#[derive(Clone)]
pub struct KvCache {
    /// Per layer: keys and values [batch, kv heads, columns, head width].
    layers: Vec<(Tensor<4>, Tensor<4>)>,
    /// Per text: which columns hold a token (the others are padding).
    valid: Vec<Vec<bool>>,
}

impl KvCache {
    /// The cache of some of the texts, in the given order, repeats allowed.
    pub fn rows(&self, rows: &[usize]) -> Self {
        let Some((first, _)) = self.layers.first() else { return self.clone() };
        let ids: Vec<i32> = rows.iter().map(|&r| r as i32).collect();
        let index = Tensor::<1, Int>::from_data(TensorData::new(ids, [rows.len()]), &first.device());
        Self {
            layers: self
                .layers
                .iter()
                .map(|(k, v)| (k.clone().select(0, index.clone()), v.clone().select(0, index.clone())))
                .collect(),
            valid: rows.iter().map(|&r| self.valid[r].clone()).collect(),
        }
    }

    /// Tokens read so far by a text.
    pub fn tokens(&self, row: usize) -> usize {
        self.valid[row].iter().filter(|&&v| v).count()
    }
}

impl Llama {
    /// Reads and checks `config.json`.
    pub fn from_dir(dir: &dyn Directory) -> Result<Self, ModelError> {
        let file = dir.describe("config.json");
        let kind: serde_json::Value = read_json(dir, "config.json")?;
        let found = kind.get("model_type").and_then(|v| v.as_str()).unwrap_or("none").to_owned();
        if found != "llama" {
            return Err(ModelError::Architecture { file, found, known: "llama" });
        }
        let config: LlamaConfig = read_json(dir, "config.json")?;
        let bad = |reason: &str| ModelError::damaged(&file, reason, "Use the config.json that came with the weights");
        let (heads, kv) = (config.num_attention_heads, config.kv_heads());
        if heads == 0 || kv == 0 || !heads.is_multiple_of(kv) {
            return Err(bad("num_attention_heads is not a multiple of num_key_value_heads"));
        }
        if !config.head_width().is_multiple_of(2) || config.head_width() == 0 {
            return Err(bad("the head width is not even"));
        }
        if let Some(scaling) = &config.rope_scaling
            && !["default", "linear", "llama3"].contains(&scaling.rope_type.as_str())
        {
            return Err(bad(&format!("rope_type `{}` is not known (default, linear, llama3)", scaling.rope_type)));
        }
        if kind.get("attention_bias").and_then(|v| v.as_bool()) == Some(true) {
            return Err(bad("attention_bias is not supported"));
        }
        Ok(Self { config })
    }

    /// Reads and checks the weights.
    pub fn read_weights(&self, dir: &dyn Directory, device: &Device) -> Result<Weights, ModelError> {
        let shapes = self.shapes();
        let keep = |name: &str| shapes.iter().any(|(n, _)| n == name).then(|| name.to_owned());
        let weights = read_weights(dir, device, &keep)?;
        check_shapes(&weights, &shapes, &dir.describe("model.safetensors"))?;
        Ok(weights)
    }

    /// Fresh weights: normal with deviation 0.02, the projections into the residual stream scaled down by depth.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Weights {
        let mut weights = Weights::default();
        let residual = 0.02 / (2.0 * self.config.num_hidden_layers as f32).sqrt();
        for (name, shape) in self.shapes() {
            let n: usize = shape.iter().product();
            let values = if shape.len() == 1 {
                vec![1.0; n]
            } else if name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight") {
                normal(n, residual, rng)
            } else {
                normal(n, 0.02, rng)
            };
            weights.insert(name, Weight::from_vec(values, &shape, device));
        }
        weights
    }

    /// Names and shapes of all weights.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let c = &self.config;
        let (h, width) = (c.hidden_size, c.head_width());
        let mut shapes = vec![
            ("model.embed_tokens.weight".to_owned(), vec![c.vocab_size, h]),
            ("model.norm.weight".to_owned(), vec![h]),
        ];
        if !c.tie_word_embeddings {
            shapes.push(("lm_head.weight".to_owned(), vec![c.vocab_size, h]));
        }
        for i in 0..c.num_hidden_layers {
            let mut add =
                |name: &str, shape: Vec<usize>| shapes.push((format!("model.layers.{i}.{name}.weight"), shape));
            add("self_attn.q_proj", vec![c.num_attention_heads * width, h]);
            add("self_attn.k_proj", vec![c.kv_heads() * width, h]);
            add("self_attn.v_proj", vec![c.kv_heads() * width, h]);
            add("self_attn.o_proj", vec![h, c.num_attention_heads * width]);
            add("mlp.gate_proj", vec![c.intermediate_size, h]);
            add("mlp.up_proj", vec![c.intermediate_size, h]);
            add("mlp.down_proj", vec![h, c.intermediate_size]);
            add("input_layernorm", vec![h]);
            add("post_attention_layernorm", vec![h]);
        }
        shapes
    }

    /// Hidden states [batch, length, hidden] of the next tokens of each text, right-padded to the longest.
    ///
    /// With a cache, the tokens follow those that it holds, and it grows by `length` columns; a text may have no new
    /// token. Without one, every text has at least one. States at padding are meaningless.
    pub fn forward(&self, weights: &Weights, texts: &[&[u32]], cache: Option<&mut KvCache>) -> Tensor<3> {
        let c = &self.config;
        let device = weights.device();
        let (batch, length) = (texts.len(), texts.iter().map(|t| t.len()).max().unwrap_or(0));
        let (h, heads, kv_heads, width) = (c.hidden_size, c.num_attention_heads, c.kv_heads(), c.head_width());
        let mut ids = vec![0i32; batch * length];
        for (b, text) in texts.iter().enumerate() {
            for (l, &id) in text.iter().enumerate() {
                ids[b * length + l] = id as i32;
            }
        }
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [batch * length]), &device);
        let mut x = weights.matrix("model.embed_tokens.weight").select(0, ids).reshape([batch, length, h]);

        let starts: Vec<usize> = match &cache {
            Some(cache) if !cache.layers.is_empty() => (0..batch).map(|b| cache.tokens(b)).collect(),
            _ => vec![0; batch],
        };
        let (cos, sin) = self.rotary(&starts, length, &device);
        let past = cache.as_ref().filter(|c| !c.layers.is_empty()).map(|c| c.valid.clone());
        let mask = past.as_ref().map(|valid| cached_mask(valid, texts, length, heads, &device));
        let options = burn::tensor::ops::AttentionModuleOptions { is_causal: mask.is_none(), ..Default::default() };

        let norm = |x: Tensor<3>, name: &str| {
            let scale = (x.clone().square().mean_dim(2) + c.rms_norm_eps).sqrt().recip();
            x * scale * weights.vector(name).unsqueeze::<3>()
        };
        let mut grown = Vec::new();
        for i in 0..c.num_hidden_layers {
            ragtune_kernels::pause();
            let linear = |x: Tensor<3>, name: &str| {
                crate::linear::linear(x, weights.matrix(&format!("model.layers.{i}.{name}.weight")), None)
            };
            let split = |x: Tensor<3>, n: usize| x.reshape([batch, length, n, width]).swap_dims(1, 2);
            let normed = norm(x.clone(), &format!("model.layers.{i}.input_layernorm.weight"));
            let q = rotate(split(linear(normed.clone(), "self_attn.q_proj"), heads), &cos, &sin);
            let mut k = rotate(split(linear(normed.clone(), "self_attn.k_proj"), kv_heads), &cos, &sin);
            let mut v = split(linear(normed, "self_attn.v_proj"), kv_heads);
            if let Some(cache) = &cache {
                if let Some((past_k, past_v)) = cache.layers.get(i) {
                    k = Tensor::cat(vec![past_k.clone(), k], 2);
                    v = Tensor::cat(vec![past_v.clone(), v], 2);
                }
                grown.push((k.clone(), v.clone()));
            }
            let columns = k.dims()[2];
            let shared = |x: Tensor<4>| {
                if kv_heads == heads {
                    return x;
                }
                let group = heads / kv_heads;
                x.reshape([batch, kv_heads, 1, columns, width])
                    .expand([batch, kv_heads, group, columns, width])
                    .reshape([batch, heads, columns, width])
            };
            let attended = module::attention(q, shared(k), shared(v), mask.clone(), None, options);
            let attended = attended.swap_dims(1, 2).reshape([batch, length, heads * width]);
            x = x + linear(attended, "self_attn.o_proj");
            let normed = norm(x.clone(), &format!("model.layers.{i}.post_attention_layernorm.weight"));
            let gate = activation::silu(linear(normed.clone(), "mlp.gate_proj"));
            x = x + linear(gate * linear(normed, "mlp.up_proj"), "mlp.down_proj");
        }
        if let Some(cache) = cache {
            cache.layers = grown;
            let mut valid = past.unwrap_or_else(|| vec![Vec::new(); batch]);
            for (row, text) in valid.iter_mut().zip(texts) {
                row.extend((0..length).map(|l| l < text.len()));
            }
            cache.valid = valid;
        }
        norm(x, "model.norm.weight")
    }

    /// An empty cache.
    pub fn cache(&self) -> KvCache {
        KvCache { layers: Vec::new(), valid: Vec::new() }
    }

    /// Logits [n, vocabulary] of some hidden states [n, hidden].
    pub fn logits(&self, weights: &Weights, states: Tensor<2>) -> Tensor<2> {
        let head = if self.config.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
        states.matmul(weights.matrix(head).transpose())
    }

    /// Cosines and sines [batch, 1, length, head width / 2] for positions that start at `starts`.
    fn rotary(&self, starts: &[usize], length: usize, device: &Device) -> (Tensor<4>, Tensor<4>) {
        let frequencies = self.config.frequencies();
        let same = starts.windows(2).all(|w| w[0] == w[1]);
        let starts = if same { &starts[..1] } else { starts };
        let angles: Vec<f32> = starts
            .iter()
            .flat_map(|&start| (start..start + length).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f)))
            .collect();
        let shape = [starts.len(), 1, length, frequencies.len()];
        let cos = angles.iter().map(|a| a.cos()).collect();
        let sin = angles.iter().map(|a| a.sin()).collect();
        (from_vec(cos, shape, device), from_vec(sin, shape, device))
    }
}

/// Rotates the halves of each head: (a, b) -> (a cos - b sin, b cos + a sin).
fn rotate(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    let [batch, heads, length, width] = x.dims();
    let a = x.clone().slice([0..batch, 0..heads, 0..length, 0..width / 2]);
    let b = x.slice([0..batch, 0..heads, 0..length, width / 2..width]);
    Tensor::cat(vec![a.clone() * cos.clone() - b.clone() * sin.clone(), b * cos.clone() + a * sin.clone()], 3)
}

/// True where a new token may not look: padding in the cache and later new tokens. [batch, heads, new, past + new]
fn cached_mask(valid: &[Vec<bool>], texts: &[&[u32]], length: usize, heads: usize, device: &Device) -> Tensor<4, Bool> {
    let batch = texts.len();
    let past = valid.first().map_or(0, |v| v.len());
    let mut mask = Vec::with_capacity(batch * length * (past + length));
    for row in valid {
        for l in 0..length {
            mask.extend(row.iter().map(|&v| !v));
            mask.extend((0..length).map(|k| k > l));
        }
    }
    let mask = Tensor::<4, Bool>::from_data(TensorData::new(mask, [batch, 1, length, past + length]), device);
    mask.expand([batch, heads, length, past + length])
}
