//! GGUF's names of tensors as those of Hugging Face.

/// Names in a layer that hold whatever the family.
const LAYER: [(&str, &str); 12] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_qkv", "self_attn.qkv_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("post_attention_norm", "post_attention_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Tensors that are settings.
const SETTINGS: [&str; 3] = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// The name that Hugging Face's files of the family have for a tensor; none for one that is a setting. A name that is
/// not known stays as it is.
pub(crate) fn family_name(architecture: &str, name: &str) -> Option<String> {
    if SETTINGS.contains(&name) {
        return None;
    }
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".to_owned()),
        "output_norm.weight" => return Some("model.norm.weight".to_owned()),
        "output.weight" => return Some("lm_head.weight".to_owned()),
        _ => {}
    }
    let parts = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let Some((layer, rest)) = parts else { return Some(name.to_owned()) };
    let (part, kind) = rest.rsplit_once('.').unwrap_or((rest, ""));
    let part = match part {
        "ffn_norm" if architecture.starts_with("gemma") && architecture != "gemma" => "pre_feedforward_layernorm",
        "ffn_norm" => "post_attention_layernorm",
        "ffn_up" if architecture == "phi3" => "mlp.gate_up_proj",
        "ffn_up" => "mlp.up_proj",
        part => LAYER.iter().find(|(own, _)| *own == part).map_or(part, |(_, name)| *name),
    };
    Some(format!("model.layers.{layer}.{part}.{kind}"))
}

/// Whether a file of this architecture has the rows of queries and keys in pairs, as llama.cpp turns them for it.
pub(crate) fn has_pairs(architecture: &str, name: &str) -> bool {
    architecture == "llama" && (name.contains("self_attn.q_proj.") || name.contains("self_attn.k_proj."))
}
