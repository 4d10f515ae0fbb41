//! A GGUF file's settings as the `config.json` that they were made from.

use ragtune_text::storage::Directory;
use serde_json::{Map, Value as Json, json};

use super::{Gguf, HINT, Value};
use crate::ModelError;

/// GGUF's architectures with the families of Hugging Face that they stand for. Mistral's files say `llama`.
const FAMILIES: [(&str, &str); 8] = [
    ("llama", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("phi3", "phi3"),
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3_text"),
    ("olmo2", "olmo2"),
];
const KNOWN: &str = "llama (Mistral, SmolLM2 and TinyLlama too), qwen2, qwen3, phi3, gemma, gemma2, gemma3, olmo2";
/// Layers of Gemma 2 and 3 with 27 billion parameters, whose queries are scaled in another way than the smaller ones'; the
/// file does not say so.
const GEMMA_27B: [(&str, u64); 2] = [("gemma2", 46), ("gemma3_text", 62)];

impl Gguf {
    /// The architecture that the file names.
    pub(crate) fn architecture(&self) -> &str {
        match self.values.get("general.architecture") {
            Some(Value::Text(name)) => name,
            _ => "none",
        }
    }

    /// The settings as a `config.json`.
    pub(crate) fn config(&self, dir: &dyn Directory) -> Result<Json, ModelError> {
        let arch = self.architecture();
        let family = FAMILIES.iter().find(|(name, _)| *name == arch).map(|(_, family)| *family);
        let family = family.ok_or_else(|| ModelError::Architecture {
            file: self.file.clone(),
            found: arch.to_owned(),
            known: KNOWN,
        })?;
        let own = |key: &str| self.values.get(&format!("{arch}.{key}"));
        let number = |key: &str| own(key).and_then(Value::as_f64);
        let mut config = Map::new();
        config.insert("model_type".to_owned(), family.into());
        let sizes = [
            ("hidden_size", "embedding_length"),
            ("intermediate_size", "feed_forward_length"),
            ("num_hidden_layers", "block_count"),
            ("num_attention_heads", "attention.head_count"),
            ("num_key_value_heads", "attention.head_count_kv"),
            ("head_dim", "attention.key_length"),
            ("max_position_embeddings", "context_length"),
            ("original_max_position_embeddings", "rope.scaling.original_context_length"),
            ("sliding_window", "attention.sliding_window"),
            ("sliding_window_pattern", "attention.sliding_window_pattern"),
        ];
        for (name, key) in sizes {
            let value = match own(key) {
                // One per layer, which are all the same in what is read here.
                Some(Value::List(all)) if all.windows(2).all(|pair| pair[0] == pair[1]) => all.first(),
                Some(Value::List(_)) => {
                    let reason = format!("its layers differ in `{arch}.{key}`");
                    return Err(ModelError::damaged(&self.file, reason, "Models of equal layers are read"));
                }
                value => value,
            };
            // A window of 0 is none.
            if let Some(Value::Int(n)) = value.filter(|value| **value != Value::Int(0)) {
                config.insert(name.to_owned(), (*n).into());
            }
        }
        let reals = [
            ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
            ("rope_theta", "rope.freq_base"),
            ("rope_local_base_freq", "rope.freq_base_swa"),
            ("attn_logit_softcapping", "attn_logit_softcapping"),
            ("final_logit_softcapping", "final_logit_softcapping"),
        ];
        for (name, key) in reals {
            if let Some(x) = number(key) {
                // A number that was written as a decimal, and rounded to 32 bits.
                config.insert(name.to_owned(), decimal(x as f32).into());
            }
        }
        let rows = |name: &str| self.tensors.iter().find(|info| info.name == name).map(|info| info.shape[0]);
        config.insert("vocab_size".to_owned(), rows("token_embd.weight").unwrap_or(0).into());
        config.insert("tie_word_embeddings".to_owned(), rows("output.weight").is_none().into());
        // A text's end, and in models that answer messages a message's.
        let ends: Vec<u32> = ["eos", "eot", "eom"].into_iter().filter_map(|end| self.token_id(end)).collect();
        if !ends.is_empty() {
            config.insert("eos_token_id".to_owned(), ends.into());
        }
        let integer = |name: &str| config.get(name).and_then(Json::as_u64);
        match family {
            "gemma2" | "gemma3_text" => {
                let head = integer("head_dim").unwrap_or(256);
                let scalar = if integer("num_hidden_layers").is_some_and(|n| GEMMA_27B.contains(&(family, n))) {
                    integer("hidden_size").unwrap_or(0) / integer("num_attention_heads").unwrap_or(1).max(1)
                } else {
                    head
                };
                config.insert("query_pre_attn_scalar".to_owned(), scalar.into());
            }
            "qwen2" | "qwen3" => {
                config.insert("use_sliding_window".to_owned(), false.into());
            }
            "phi3" => {
                let head = integer("head_dim")
                    .or_else(|| integer("hidden_size").zip(integer("num_attention_heads")).map(|(h, n)| h / n.max(1)));
                if let (Some(Value::Int(turned)), Some(head)) = (own("rope.dimension_count"), head) {
                    config.insert("partial_rotary_factor".to_owned(), (*turned as f64 / head.max(1) as f64).into());
                }
            }
            _ => {}
        }
        if let Some(scaling) = self.rope_scaling(dir, arch)? {
            config.insert("rope_scaling".to_owned(), scaling);
        }
        Ok(Json::Object(config))
    }

    /// How the rotary frequencies are stretched: by keys, or by tensors with a factor for each.
    fn rope_scaling(&self, dir: &dyn Directory, arch: &str) -> Result<Option<Json>, ModelError> {
        let own = |key: &str| self.values.get(&format!("{arch}.rope.scaling.{key}"));
        let factors = |name: &str| self.vector(dir, name);
        if let Some(all) = factors("rope_freqs.weight")? {
            // Llama 3's, computed by whoever wrote the file. They hold for any length.
            return Ok(Some(json!({
                "rope_type": "longrope", "short_factor": all, "long_factor": all, "attention_factor": 1.0,
            })));
        }
        if let (Some(short), Some(long)) = (factors("rope_factors_short.weight")?, factors("rope_factors_long.weight")?)
        {
            let mut scaling = json!({"rope_type": "longrope", "short_factor": short, "long_factor": long});
            if let Some(factor) = own("attn_factor").and_then(Value::as_f64) {
                scaling["attention_factor"] = factor.into();
            }
            return Ok(Some(scaling));
        }
        let Some(Value::Text(kind)) = own("type") else { return Ok(None) };
        let mut scaling = json!({"rope_type": if kind == "none" { "default" } else { kind.as_str() }});
        let fields = [
            ("factor", "factor"),
            ("original_max_position_embeddings", "original_context_length"),
            ("beta_fast", "yarn_beta_fast"),
            ("beta_slow", "yarn_beta_slow"),
            ("attention_factor", "yarn_attn_factor"),
        ];
        for (name, key) in fields {
            if let Some(value) = own(key).and_then(Value::as_f64) {
                scaling[name] = match own(key) {
                    Some(Value::Int(n)) => (*n).into(),
                    _ => value.into(),
                };
            }
        }
        Ok(Some(scaling))
    }

    /// The numbers of a vector that is a setting rather than a weight.
    fn vector(&self, dir: &dyn Directory, name: &str) -> Result<Option<Vec<f32>>, ModelError> {
        let Some(info) = self.tensors.iter().find(|info| info.name == name) else { return Ok(None) };
        let data = dir
            .read_part(&self.name, info.start, info.bytes)
            .map_err(|source| ModelError::Io { file: self.file.clone(), source })?;
        let values = info.format.values(&data);
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(Some(values)),
            false => Err(ModelError::damaged(&self.file, format!("tensor `{name}` is not finite"), HINT)),
        }
    }
}

/// The shortest decimal that rounds to this number: what a config said before it was stored.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| f64::from(x))
}
