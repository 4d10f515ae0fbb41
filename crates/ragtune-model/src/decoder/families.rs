//! The `config.json` of each family.

use serde_json::Value;

use super::config::{Act, Biases, Blocks, DecoderConfig, FeedForward, KNOWN, Norm, Positions, QueryKeyNorm};
use super::rope::{Rope, Scaling};
use crate::ModelError;

/// Fields of a `config.json`.
struct Fields<'a> {
    json: &'a Value,
    file: &'a str,
}

impl Fields<'_> {
    fn bad(&self, reason: impl ToString) -> ModelError {
        ModelError::damaged(self.file, reason, "Use the config.json that came with the weights")
    }

    /// A value that is there and not null.
    fn get(&self, name: &str) -> Option<&Value> {
        self.json.get(name).filter(|value| !value.is_null())
    }

    fn size(&self, name: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let n = value.as_u64().ok_or_else(|| self.bad(format!("`{name}` is {value}, not a number")))?;
        crate::files::believable(name, n).map(Some).map_err(|reason| self.bad(reason))
    }

    fn needed(&self, name: &str) -> Result<usize, ModelError> {
        self.size(name)?.ok_or_else(|| self.bad(format!("`{name}` is missing")))
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(Value::as_f64)
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    fn activation(&self, name: &str, default: &str) -> Result<Act, ModelError> {
        match self.get(name).and_then(Value::as_str).unwrap_or(default) {
            "silu" | "swish" => Ok(Act::Silu),
            "gelu" => Ok(Act::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Act::GeluTanh),
            "relu" => Ok(Act::Relu),
            other => Err(self.bad(format!("the activation `{other}` is not known (silu, gelu, gelu_new, relu)"))),
        }
    }

    fn eos(&self) -> Vec<u32> {
        ends(self.json)
    }

    /// Rotary positions of the layers of a kind (`full_attention`, `sliding_attention`), where newer files tell kinds apart.
    fn rope(&self, kind: &str, width: usize, longest: usize, theta: f64) -> Result<Rope, ModelError> {
        let parameters = self.get("rope_parameters");
        let parameters = parameters.and_then(|all| all.get(kind)).or(parameters);
        let of_parameters = parameters.and_then(|all| all.get("rope_theta")).and_then(Value::as_f64);
        let theta = of_parameters.or(self.number("rope_theta")).unwrap_or(theta);
        let first = self.size("original_max_position_embeddings")?;
        let scaling = match parameters.or(self.get("rope_scaling")) {
            Some(json) => Scaling::read(json, longest, first).map_err(|reason| self.bad(reason))?,
            None => Scaling::None,
        };
        Ok(Rope { theta, width, scaling })
    }

    /// Windows where the file lists a kind for each layer, else as the family has it.
    fn windows(&self, layers: usize, of: impl Fn(usize) -> bool) -> Result<Vec<Option<usize>>, ModelError> {
        let Some(window) = self.size("sliding_window")? else { return Ok(vec![None; layers]) };
        if window == 0 {
            return Err(self.bad("`sliding_window` is 0"));
        }
        let listed = self.get("layer_types").and_then(Value::as_array);
        if let Some(listed) = listed
            && listed.len() != layers
        {
            return Err(self.bad(format!("`layer_types` has {} entries for {layers} layers", listed.len())));
        }
        let slides = |i: usize| match listed {
            Some(listed) => listed[i].as_str() == Some("sliding_attention"),
            None => of(i),
        };
        Ok((0..layers).map(|i| slides(i).then_some(window)).collect())
    }
}

/// What ends a text by a `config.json` or a `generation_config.json`: a token or several.
pub(crate) fn ends(config: &Value) -> Vec<u32> {
    let id = |n: &Value| u32::try_from(n.as_u64()?).ok();
    match config.get("eos_token_id") {
        Some(Value::Array(all)) => all.iter().filter_map(id).collect(),
        one => one.and_then(id).into_iter().collect(),
    }
}

/// Understands a `config.json`.
pub(super) fn read(json: &Value, file: &str) -> Result<DecoderConfig, ModelError> {
    let family = json.get("model_type").and_then(Value::as_str).unwrap_or("none");
    // The text half of a model that also sees.
    if family == "gemma3"
        && let Some(text) = json.get("text_config")
    {
        let mut text = text.clone();
        if let Some(fields) = text.as_object_mut() {
            fields.insert("model_type".to_owned(), "gemma3_text".into());
            if !fields.contains_key("eos_token_id") {
                fields.insert("eos_token_id".to_owned(), json.get("eos_token_id").cloned().unwrap_or_default());
            }
        }
        return read(&text, file);
    }
    let fields = Fields { json, file };
    if let Some(quantised) = fields.get("quantization_config") {
        let method = quantised.get("quant_method").and_then(Value::as_str).unwrap_or("some method");
        return Err(ModelError::damaged(
            file,
            format!("its weights are quantised ({method})"),
            "Take the model with plain weights, or its GGUF file",
        ));
    }
    match family {
        "gpt2" => gpt2(&fields),
        "gpt_neox" => gpt_neox(&fields),
        "llama" | "mistral" | "qwen2" | "qwen3" | "phi3" | "gemma" | "gemma2" | "gemma3_text" | "olmo2" => {
            llama_like(&fields, family)
        }
        other => Err(ModelError::Architecture { file: file.to_owned(), found: other.to_owned(), known: KNOWN }),
    }
}

/// Families that differ from Llama in single things.
fn llama_like(fields: &Fields<'_>, family: &str) -> Result<DecoderConfig, ModelError> {
    let layers = fields.needed("num_hidden_layers")?;
    let (hidden, heads) = (fields.needed("hidden_size")?, fields.needed("num_attention_heads")?);
    let longest = fields.needed("max_position_embeddings")?;
    let gemma = family.starts_with("gemma");
    let usual_head = match family {
        "gemma" | "gemma2" | "gemma3_text" => 256,
        "qwen3" => 128,
        _ => hidden / heads.max(1),
    };
    let head_dim = fields.size("head_dim")?.unwrap_or(usual_head);
    let share = if family == "phi3" { fields.number("partial_rotary_factor").unwrap_or(1.0) } else { 1.0 };
    let width = (head_dim as f64 * share) as usize;
    let mut ropes =
        vec![fields.rope("full_attention", width, longest, if family == "gemma3_text" { 1e6 } else { 1e4 })?];
    if family == "gemma3_text" {
        let local = match fields.get("rope_parameters") {
            Some(_) => fields.rope("sliding_attention", width, longest, 1e4)?,
            // Only what looks far is stretched.
            None => Rope { theta: fields.number("rope_local_base_freq").unwrap_or(1e4), width, scaling: Scaling::None },
        };
        ropes.push(local);
    }
    let every = fields.size("sliding_window_pattern")?.unwrap_or(6).max(1);
    let from = fields.size("max_window_layers")?.unwrap_or(layers);
    let windows = match family {
        "mistral" | "phi3" => fields.windows(layers, |_| true)?,
        "qwen2" | "qwen3" if fields.flag("use_sliding_window", false) => fields.windows(layers, |i| i >= from)?,
        "gemma2" => fields.windows(layers, |i| i % 2 == 0)?,
        "gemma3_text" => fields.windows(layers, |i| (i + 1) % every != 0)?,
        _ => vec![None; layers],
    };
    if fields.flag("use_bidirectional_attention", false) {
        return Err(fields.bad("it reads in both directions (`use_bidirectional_attention`), so it cannot write"));
    }
    let bias = fields.flag("attention_bias", false);
    let biases = match family {
        "qwen2" => Biases { query_key_value: true, ..Biases::default() },
        "llama" => Biases { query_key_value: bias, output: bias, feed_forward: fields.flag("mlp_bias", false) },
        "mistral" => Biases::default(),
        _ => Biases { query_key_value: bias, output: bias, feed_forward: false },
    };
    let activation = match family {
        // Early files of Gemma name `gelu` and mean the other form.
        "gemma"
            if fields.get("hidden_activation").is_none() && fields.activation("hidden_act", "gelu")? == Act::Gelu =>
        {
            Act::GeluTanh
        }
        _ if gemma && fields.get("hidden_activation").is_some() => fields.activation("hidden_activation", "")?,
        _ => fields.activation("hidden_act", if gemma { "gelu_pytorch_tanh" } else { "silu" })?,
    };
    let scaled = matches!(family, "gemma2" | "gemma3_text");
    let scalar = if scaled { fields.number("query_pre_attn_scalar").unwrap_or(256.0) } else { head_dim as f64 };
    Ok(DecoderConfig {
        model_type: family.to_owned(),
        vocab_size: fields.needed("vocab_size")?,
        hidden_size: hidden,
        intermediate_size: fields.needed("intermediate_size")?,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: fields.size("num_key_value_heads")?.unwrap_or(heads),
        head_dim,
        max_position_embeddings: longest,
        tie_word_embeddings: fields.flag("tie_word_embeddings", gemma),
        eos: fields.eos(),
        norm: Norm {
            layer: false,
            eps: fields.number("rms_norm_eps").unwrap_or(if family == "llama" { 1e-6 } else { 1e-5 }),
        },
        blocks: match family {
            "olmo2" => Blocks::After,
            "gemma2" | "gemma3_text" => Blocks::Around,
            _ => Blocks::Before,
        },
        query_key_norm: match family {
            "qwen3" | "gemma3_text" => Some(QueryKeyNorm::Heads),
            "olmo2" => Some(QueryKeyNorm::Whole),
            _ => None,
        },
        biases,
        feed_forward: FeedForward { gated: true, activation },
        positions: Positions::Rotary(ropes),
        windows,
        attention_scale: scalar.powf(-0.5),
        attention_softcap: fields.number("attn_logit_softcapping").filter(|_| family == "gemma2"),
        logit_softcap: fields.number("final_logit_softcapping").filter(|_| scaled),
        embedding_scale: if gemma { (hidden as f64).sqrt() } else { 1.0 },
    })
}

fn gpt2(fields: &Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let (hidden, heads, layers) = (fields.needed("n_embd")?, fields.needed("n_head")?, fields.needed("n_layer")?);
    if !fields.flag("scale_attn_weights", true) || fields.flag("scale_attn_by_inverse_layer_idx", false) {
        return Err(fields.bad("it scales attention in a way of its own, which is not computed here"));
    }
    let head_dim = hidden / heads.max(1);
    Ok(DecoderConfig {
        model_type: "gpt2".to_owned(),
        vocab_size: fields.needed("vocab_size")?,
        hidden_size: hidden,
        intermediate_size: fields.size("n_inner")?.unwrap_or(4 * hidden),
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        max_position_embeddings: fields.size("n_positions")?.map_or_else(|| fields.needed("n_ctx"), Ok)?,
        tie_word_embeddings: fields.flag("tie_word_embeddings", true),
        eos: fields.eos(),
        norm: Norm { layer: true, eps: fields.number("layer_norm_epsilon").unwrap_or(1e-5) },
        blocks: Blocks::Before,
        query_key_norm: None,
        biases: Biases { query_key_value: true, output: true, feed_forward: true },
        feed_forward: FeedForward { gated: false, activation: fields.activation("activation_function", "gelu_new")? },
        positions: Positions::Learned,
        windows: vec![None; layers],
        attention_scale: (head_dim as f64).powf(-0.5),
        attention_softcap: None,
        logit_softcap: None,
        embedding_scale: 1.0,
    })
}

fn gpt_neox(fields: &Fields<'_>) -> Result<DecoderConfig, ModelError> {
    let (hidden, heads) = (fields.needed("hidden_size")?, fields.needed("num_attention_heads")?);
    let (layers, longest) = (fields.needed("num_hidden_layers")?, fields.needed("max_position_embeddings")?);
    let head_dim = hidden / heads.max(1);
    let of_parameters =
        fields.get("rope_parameters").and_then(|all| all.get("partial_rotary_factor")).and_then(Value::as_f64);
    let share =
        of_parameters.or(fields.number("rotary_pct")).or(fields.number("partial_rotary_factor")).unwrap_or(0.25);
    let theta = fields.number("rotary_emb_base").unwrap_or(1e4);
    let rope = fields.rope("full_attention", (head_dim as f64 * share) as usize, longest, theta)?;
    let bias = fields.flag("attention_bias", true);
    Ok(DecoderConfig {
        model_type: "gpt_neox".to_owned(),
        vocab_size: fields.needed("vocab_size")?,
        hidden_size: hidden,
        intermediate_size: fields.needed("intermediate_size")?,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        max_position_embeddings: longest,
        tie_word_embeddings: fields.flag("tie_word_embeddings", false),
        eos: fields.eos(),
        norm: Norm { layer: true, eps: fields.number("layer_norm_eps").unwrap_or(1e-5) },
        blocks: if fields.flag("use_parallel_residual", true) { Blocks::Parallel } else { Blocks::Before },
        query_key_norm: None,
        biases: Biases { query_key_value: bias, output: bias, feed_forward: true },
        feed_forward: FeedForward { gated: false, activation: fields.activation("hidden_act", "gelu")? },
        positions: Positions::Rotary(vec![rope]),
        windows: vec![None; layers],
        attention_scale: (head_dim as f64).powf(-0.5),
        attention_softcap: None,
        logit_softcap: None,
        embedding_scale: 1.0,
    })
}
