//! The `config.json` of an encoder's body.

use ragtune_text::storage::Directory;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decoder::{Rope, Scaling};
use crate::files::believable;
use crate::{ModelError, read_json};

/// Families that are known, for messages.
const KNOWN: &str = "bert, distilbert, roberta, xlm-roberta, camembert, mpnet, modernbert, new";

/// The part of `config.json` that the body needs; families with other names for their sizes are read too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// The family.
    pub model_type: String,
    /// Rows of the word embedding.
    pub vocab_size: usize,
    /// Width of the hidden states.
    #[serde(alias = "dim")]
    pub hidden_size: usize,
    /// Number of layers.
    #[serde(alias = "n_layers")]
    pub num_hidden_layers: usize,
    /// Attention heads per layer.
    #[serde(alias = "n_heads")]
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    #[serde(alias = "hidden_dim")]
    pub intermediate_size: usize,
    /// Rows of the position embedding, or the longest input: see [`BertConfig::longest`].
    pub max_position_embeddings: usize,
    /// Segment kinds; all tokens are of kind 0 here.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Epsilon of every LayerNorm.
    #[serde(default = "eps", alias = "norm_eps")]
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward layer: `gelu`, `gelu_new` or `relu`.
    #[serde(default = "gelu", alias = "activation", alias = "hidden_activation")]
    pub hidden_act: String,
    /// The id of padding, behind which RoBERTa and its kin begin to count positions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad_token_id: Option<usize>,
    /// Buckets of relative positions: MPNet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_attention_num_buckets: Option<usize>,
    /// What ModernBERT has beside.
    #[serde(skip)]
    pub modern: Option<ModernConfig>,
    /// Positions that turn queries and keys: the family `new`, GTE's v1.5 models.
    #[serde(skip)]
    pub rotary: Option<Rope>,
}

/// What ModernBERT has beside.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModernConfig {
    /// Every how many layers one looks at the whole text.
    #[serde(default = "three")]
    pub global_attn_every_n_layers: usize,
    /// Width of the window of the others, both sides together.
    #[serde(default = "window")]
    pub local_attention: usize,
    /// Base of the rotary frequencies of layers that look at the whole text.
    #[serde(default = "global_theta")]
    pub global_rope_theta: f64,
    /// Of the others.
    #[serde(default)]
    pub local_rope_theta: Option<f64>,
}

fn two() -> usize {
    2
}
fn three() -> usize {
    3
}
fn window() -> usize {
    128
}
fn global_theta() -> f64 {
    160_000.0
}
fn eps() -> f64 {
    1e-12
}
fn gelu() -> String {
    "gelu".to_owned()
}

impl Default for BertConfig {
    /// The sizes of bert-base-uncased.
    fn default() -> Self {
        Self {
            model_type: "bert".to_owned(),
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: eps(),
            hidden_act: gelu(),
            pad_token_id: None,
            relative_attention_num_buckets: None,
            modern: None,
            rotary: None,
        }
    }
}

impl BertConfig {
    /// Reads and checks `config.json` of a folder.
    pub fn from_dir(dir: &dyn Directory) -> Result<Self, ModelError> {
        Self::from_json(read_json(dir, "config.json")?, &dir.describe("config.json"))
    }

    /// Understands and checks a `config.json`; `file` is its name, for messages.
    pub(crate) fn from_json(mut json: Value, file: &str) -> Result<Self, ModelError> {
        let found = json.get("model_type").and_then(Value::as_str).unwrap_or("none").to_owned();
        if !Self::knows(&found) {
            return Err(ModelError::Architecture { file: file.to_owned(), found, known: KNOWN });
        }
        let bad = |reason: String| ModelError::damaged(file, reason, "Use the config.json that came with the weights");
        if let Some(fields) = json.as_object_mut() {
            // Null is as good as absent; only MPNet's buckets are in force.
            fields.retain(|name, value| {
                !value.is_null() && (name != "relative_attention_num_buckets" || found == "mpnet")
            });
            if found == "mpnet" {
                fields.entry("relative_attention_num_buckets").or_insert(32.into());
            }
        }
        let mut config: Self = serde_json::from_value(json.clone()).map_err(|error| bad(error.to_string()))?;
        if found == "modernbert" {
            let flags = ["attention_bias", "mlp_bias", "norm_bias"];
            if let Some(flag) = flags.into_iter().find(|flag| json.get(flag).and_then(Value::as_bool) == Some(true)) {
                return Err(bad(format!("`{flag}` is not computed here")));
            }
            config.modern = Some(serde_json::from_value(json.clone()).map_err(|error| bad(error.to_string()))?);
        }
        if found == "new" {
            config.rotary = Some(rotary(&json, &config).map_err(bad)?);
        }
        let sizes = [
            ("vocab_size", config.vocab_size),
            ("hidden_size", config.hidden_size),
            ("num_hidden_layers", config.num_hidden_layers),
            ("num_attention_heads", config.num_attention_heads),
            ("intermediate_size", config.intermediate_size),
            ("max_position_embeddings", config.max_position_embeddings),
            ("type_vocab_size", config.type_vocab_size),
            ("pad_token_id", config.pad_token_id.unwrap_or(0)),
            ("relative_attention_num_buckets", config.relative_attention_num_buckets.unwrap_or(0)),
        ];
        for (name, size) in sizes {
            believable(name, size as u64).map_err(bad)?;
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(bad("hidden_size is not a multiple of num_attention_heads".to_owned()));
        }
        if !["gelu", "gelu_new", "relu"].contains(&config.hidden_act.as_str()) {
            return Err(bad(format!("hidden_act `{}` is not known (gelu, gelu_new, relu)", config.hidden_act)));
        }
        if config.max_position_embeddings <= config.first_position() {
            return Err(bad("max_position_embeddings leaves no room for a text".to_owned()));
        }
        Ok(config)
    }

    /// Whether a `model_type` is one of those that are known here.
    pub fn knows(model_type: &str) -> bool {
        KNOWN.split(", ").any(|known| known == model_type)
    }

    /// Whether positions are counted from behind the id of padding.
    fn counts_from_padding(&self) -> bool {
        ["roberta", "xlm-roberta", "camembert", "mpnet"].contains(&self.model_type.as_str())
    }

    /// The row of the position embedding that belongs to a text's first token.
    pub(crate) fn first_position(&self) -> usize {
        if self.counts_from_padding() { self.pad_token_id.unwrap_or(1) + 1 } else { 0 }
    }

    /// Longest input in tokens.
    pub fn longest(&self) -> usize {
        self.max_position_embeddings - self.first_position()
    }

    /// Whether segments have an embedding.
    pub fn has_segments(&self) -> bool {
        self.type_vocab_size > 0 && !["distilbert", "mpnet", "modernbert"].contains(&self.model_type.as_str())
    }
}

/// The rotary positions of the family `new`; an error where its config asks for what is not computed here.
fn rotary(json: &Value, config: &BertConfig) -> Result<Rope, String> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let flag = |name: &str| json.get(name).and_then(Value::as_bool);
    for (name, computed) in [("position_embedding_type", "rope"), ("layer_norm_type", "layer_norm")] {
        if let Some(found) = text(name).filter(|found| *found != computed) {
            return Err(format!("{name} `{found}` is not computed here ({computed})"));
        }
    }
    if flag("pack_qkv") == Some(false) || flag("logn_attention_scale") == Some(true) {
        return Err("`pack_qkv` false and `logn_attention_scale` are not computed here".to_owned());
    }
    let scaling = match json.get("rope_scaling") {
        None => Scaling::None,
        Some(scaling) => {
            let kind = scaling.get("type").and_then(Value::as_str).unwrap_or("none");
            let factor = scaling.get("factor").and_then(Value::as_f64).filter(|factor| *factor >= 1.0);
            let factor = factor.filter(|_| kind == "ntk" && scaling.get("mixed_b").is_none_or(Value::is_null));
            Scaling::Ntk(
                factor.ok_or_else(|| format!("rope_scaling `{kind}` is not computed here (ntk with a factor)"))?,
            )
        }
    };
    let theta = json.get("rope_theta").and_then(Value::as_f64).unwrap_or(10_000.0);
    let width = config.hidden_size / config.num_attention_heads.max(1);
    if width == 0 || !width.is_multiple_of(2) {
        return Err(format!("rotary positions in heads of {width} dimensions"));
    }
    Ok(Rope { theta, width, scaling })
}
