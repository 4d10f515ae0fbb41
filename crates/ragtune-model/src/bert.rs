//! The BERT body: token ids to last hidden states, with the names of Hugging Face's `BertModel`.

pub(crate) mod rows;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation, module};
use ragtune_text::storage::Directory;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::{ModelError, Weight, Weights, read_json, read_weights};

/// The part of `config.json` that the body needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Must be `bert`.
    pub model_type: String,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads per layer.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Longest input in tokens.
    pub max_position_embeddings: usize,
    /// Segment kinds; all tokens are of kind 0 here.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Epsilon of every LayerNorm.
    #[serde(default = "eps")]
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward layer: `gelu`, `gelu_new` or `relu`.
    #[serde(default = "gelu")]
    pub hidden_act: String,
}

fn two() -> usize {
    2
}
fn eps() -> f64 {
    1e-12
}
fn gelu() -> String {
    "gelu".to_owned()
}

/// The functions of a BERT body; its weights are passed in, tracked or not.
#[derive(Debug, Clone)]
pub struct Bert {
    /// Sizes.
    pub config: BertConfig,
}

const KNOWN: &str = "bert";

impl Bert {
    /// Reads and checks `config.json`.
    pub fn from_dir(dir: &dyn Directory) -> Result<Self, ModelError> {
        let file = dir.describe("config.json");
        let kind: serde_json::Value = read_json(dir, "config.json")?;
        let found = kind.get("model_type").and_then(|v| v.as_str()).unwrap_or("none").to_owned();
        if found != "bert" {
            return Err(ModelError::Architecture { file, found, known: KNOWN });
        }
        let config: BertConfig = read_json(dir, "config.json")?;
        let bad = |reason: &str| ModelError::damaged(&file, reason, "Use the config.json that came with the weights");
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(bad("hidden_size is not a multiple of num_attention_heads"));
        }
        if !["gelu", "gelu_new", "relu"].contains(&config.hidden_act.as_str()) {
            return Err(bad(&format!("hidden_act `{}` is not known (gelu, gelu_new, relu)", config.hidden_act)));
        }
        Ok(Self { config })
    }

    /// Reads the body's weights and those whose names start with one of `extra`; a leading `bert.` is dropped.
    pub fn read_weights(&self, dir: &dyn Directory, device: &Device, extra: &[&str]) -> Result<Weights, ModelError> {
        let shapes = self.shapes();
        let keep = |name: &str| {
            let name = name.strip_prefix("bert.").unwrap_or(name);
            let wanted = shapes.iter().any(|(n, _)| n == name) || extra.iter().any(|e| name.starts_with(e));
            wanted.then(|| name.to_owned())
        };
        let weights = read_weights(dir, device, &keep)?;
        check_shapes(&weights, &shapes, &dir.describe("model.safetensors"))?;
        Ok(weights)
    }

    /// Fresh weights, as BERT initialises them: normal with deviation 0.02, LayerNorms at one.
    pub fn init(&self, device: &Device, rng: &mut impl Rng) -> Weights {
        let mut weights = Weights::default();
        for (name, shape) in self.shapes() {
            let n: usize = shape.iter().product();
            let values = if name.ends_with("LayerNorm.weight") {
                vec![1.0; n]
            } else if name.ends_with("bias") {
                vec![0.0; n]
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
        let h = c.hidden_size;
        let mut shapes = vec![
            ("embeddings.word_embeddings.weight".to_owned(), vec![c.vocab_size, h]),
            ("embeddings.position_embeddings.weight".to_owned(), vec![c.max_position_embeddings, h]),
            ("embeddings.token_type_embeddings.weight".to_owned(), vec![c.type_vocab_size, h]),
            ("embeddings.LayerNorm.weight".to_owned(), vec![h]),
            ("embeddings.LayerNorm.bias".to_owned(), vec![h]),
        ];
        for i in 0..c.num_hidden_layers {
            let mut linear = |name: &str, out: usize, input: usize| {
                shapes.push((format!("encoder.layer.{i}.{name}.weight"), vec![out, input]));
                shapes.push((format!("encoder.layer.{i}.{name}.bias"), vec![out]));
            };
            for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
            {
                linear(name, h, h);
            }
            linear("intermediate.dense", c.intermediate_size, h);
            linear("output.dense", h, c.intermediate_size);
            for name in ["attention.output.LayerNorm", "output.LayerNorm"] {
                shapes.push((format!("encoder.layer.{i}.{name}.weight"), vec![h]));
                shapes.push((format!("encoder.layer.{i}.{name}.bias"), vec![h]));
            }
        }
        shapes
    }

    /// Last hidden states [batch, length, hidden] of right-padded texts; `length` is that of the longest.
    ///
    /// Every text has at least one token and at most `max_position_embeddings`. States at padded positions are
    /// meaningless; those at real positions do not depend on the padding beyond rounding.
    pub fn forward(&self, weights: &Weights, texts: &[&[u32]]) -> Tensor<3> {
        let c = &self.config;
        let device = weights.device();
        let (batch, length) = (texts.len(), texts.iter().map(|t| t.len()).max().unwrap_or(0));
        let (h, heads) = (c.hidden_size, c.num_attention_heads);
        let mut ids = vec![0i32; batch * length];
        for (b, text) in texts.iter().enumerate() {
            for (l, &id) in text.iter().enumerate() {
                ids[b * length + l] = id as i32;
            }
        }
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [batch * length]), &device);
        let words = weights.matrix("embeddings.word_embeddings.weight").select(0, ids).reshape([batch, length, h]);
        let positions = weights.matrix("embeddings.position_embeddings.weight").slice([0..length, 0..h]);
        let segment = weights.matrix("embeddings.token_type_embeddings.weight").slice([0..1, 0..h]);
        let norm = |x: Tensor<3>, name: String| {
            let (gain, bias) = (weights.vector(&format!("{name}.weight")), weights.vector(&format!("{name}.bias")));
            module::layer_norm(x, gain, Some(bias), c.layer_norm_eps)
        };
        let mask = padding_mask(texts, length, heads, &device);
        let mut x = words + (positions + segment).unsqueeze::<3>();
        x = norm(x, "embeddings.LayerNorm".to_owned());
        for i in 0..c.num_hidden_layers {
            let layer = format!("encoder.layer.{i}");
            let linear = |x: Tensor<3>, name: &str| {
                let weight = weights.matrix(&format!("{layer}.{name}.weight"));
                let bias = weights.vector(&format!("{layer}.{name}.bias"));
                crate::linear::linear(x, weight, Some(bias))
            };
            let split = |x: Tensor<3>| x.reshape([batch, length, heads, h / heads]).swap_dims(1, 2);
            let attended = module::attention(
                split(linear(x.clone(), "attention.self.query")),
                split(linear(x.clone(), "attention.self.key")),
                split(linear(x.clone(), "attention.self.value")),
                mask.clone(),
                None,
                Default::default(),
            );
            let attended = attended.swap_dims(1, 2).reshape([batch, length, h]);
            x = norm(x + linear(attended, "attention.output.dense"), format!("{layer}.attention.output.LayerNorm"));
            let inner = linear(x.clone(), "intermediate.dense");
            let inner = match c.hidden_act.as_str() {
                "relu" => activation::relu(inner),
                "gelu_new" => activation::gelu_approximate(inner),
                _ => activation::gelu(inner),
            };
            x = norm(x + linear(inner, "output.dense"), format!("{layer}.output.LayerNorm"));
        }
        x
    }
}

/// True where a key is padding, [batch, heads, length, length]; none when no text is padded.
fn padding_mask(texts: &[&[u32]], length: usize, heads: usize, device: &Device) -> Option<Tensor<4, Bool>> {
    if texts.iter().all(|t| t.len() == length) {
        return None;
    }
    let batch = texts.len();
    let padded: Vec<bool> = texts.iter().flat_map(|t| (0..length).map(|l| l >= t.len())).collect();
    let mask = Tensor::<4, Bool>::from_data(TensorData::new(padded, [batch, 1, 1, length]), device);
    Some(mask.expand([batch, heads, length, length]))
}

/// Checks that every weight is there with its shape.
pub(crate) fn check_shapes(weights: &Weights, shapes: &[(String, Vec<usize>)], file: &str) -> Result<(), ModelError> {
    for (name, expected) in shapes {
        match weights.get(name) {
            None => return Err(ModelError::MissingTensor { file: file.to_owned(), name: name.clone() }),
            Some(weight) if weight.shape() != *expected => {
                return Err(ModelError::Shape {
                    file: file.to_owned(),
                    name: name.clone(),
                    found: weight.shape(),
                    expected: expected.clone(),
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Normal deviates by the Box-Muller transform.
pub(crate) fn normal(n: usize, deviation: f32, rng: &mut impl Rng) -> Vec<f32> {
    (0..n)
        .map(|_| {
            let u: f32 = rng.random_range(f32::MIN_POSITIVE..1.0);
            let v: f32 = rng.random_range(0.0..1.0);
            deviation * (-2.0 * u.ln()).sqrt() * (2.0 * std::f32::consts::PI * v).cos()
        })
        .collect()
}
