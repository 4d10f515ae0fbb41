//! Reader of the llama2.c format: seven little-endian i32, then f32 weights; and its `tok*.bin` vocabulary.

use burn::tensor::Device;
use ragtune_text::Tokenizer;
use ragtune_text::storage::Directory;
use serde_json::json;

use crate::files::halves_from_pairs;
use crate::gguf::merges_by_score;
use crate::{CausalLm, Decoder, DecoderConfig, ModelError, Weight, Weights};

/// Base of the rotary frequencies, which the format does not name.
pub(crate) const THETA: f64 = 10000.0;
const HINT: &str = "Copy the .bin and its tok*.bin again; both must come from the same export";

/// Loads the `.bin` of a folder with its tokenizer; none when the folder has no such pair.
pub(crate) fn load(dir: &dyn Directory, device: &Device) -> Result<Option<CausalLm>, ModelError> {
    let names = dir.list("").map_err(|source| ModelError::Io { file: dir.describe(""), source })?;
    let bins = || names.iter().filter(|n| n.ends_with(".bin") && !n.contains('/'));
    let tokenizer = bins().find(|n| n.starts_with("tok"));
    let model = bins().find(|n| !n.starts_with("tok"));
    let (Some(tokenizer), Some(model)) = (tokenizer, model) else { return Ok(None) };
    let read = |name: &str| dir.read(name).map_err(|source| ModelError::Io { file: dir.describe(name), source });
    let (decoder, weights) = read_model(&read(model)?, &dir.describe(model), device)?;
    let tokenizer = read_tokenizer(&read(tokenizer)?, &dir.describe(tokenizer), decoder.config.vocab_size)?;
    // The format's own programs stop at BOS, which separates the training texts.
    Ok(Some(CausalLm { tokenizer, decoder, weights, eos: vec![1, 2], chat: None }))
}

fn read_model(bytes: &[u8], file: &str, device: &Device) -> Result<(Decoder, Weights), ModelError> {
    let bad = |reason: String| ModelError::damaged(file, reason, HINT);
    if bytes.len() < 28 {
        return Err(bad("shorter than its header".to_owned()));
    }
    let header: Vec<i32> = bytes[..28].chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let [dim, hidden, layers, heads, kv_heads, vocab, context] = header[..] else {
        return Err(bad("shorter than its header".to_owned()));
    };
    let sizes = [dim, hidden, layers, heads, kv_heads, vocab.saturating_abs(), context];
    if sizes.iter().any(|&n| !(1..=1 << 20).contains(&n)) || dim % heads != 0 || heads % kv_heads != 0 {
        return Err(bad(format!("not a llama2.c header: {header:?}")));
    }
    let [dim, hidden, layers, heads, kv_heads, vocab_size, context] = sizes.map(|n| n as usize);
    let tied = vocab > 0;
    let width = dim / heads;
    let config = json!({
        "model_type": "llama", "vocab_size": vocab_size, "hidden_size": dim, "intermediate_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": width,
        "max_position_embeddings": context, "rms_norm_eps": 1e-5, "rope_theta": THETA, "tie_word_embeddings": tied,
        "eos_token_id": [1, 2],
    });
    let config = DecoderConfig::from_json(&config, file)?;
    let mut at = 28;
    let mut take = |n: usize| -> Result<Vec<f32>, ModelError> {
        let end = at + 4 * n;
        let part = bytes
            .get(at..end)
            .ok_or_else(|| bad(format!("truncated: {} bytes, at least {end} expected", bytes.len())))?;
        at = end;
        Ok(part.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    };
    let mut weights = Weights::default();
    let mut put = |name: String, values: Vec<f32>, shape: &[usize]| -> Result<(), ModelError> {
        if values.iter().any(|v| !v.is_finite()) {
            return Err(bad(format!("{name} holds a value that is not finite")));
        }
        weights.insert(name, Weight::from_vec(values, shape, device));
        Ok(())
    };
    put("model.embed_tokens.weight".to_owned(), take(vocab_size * dim)?, &[vocab_size, dim])?;
    // Each kind of weight is stored for all layers at once.
    let kinds: [(&str, Vec<usize>); 9] = [
        ("input_layernorm", vec![dim]),
        ("self_attn.q_proj", vec![dim, dim]),
        ("self_attn.k_proj", vec![kv_heads * width, dim]),
        ("self_attn.v_proj", vec![kv_heads * width, dim]),
        ("self_attn.o_proj", vec![dim, dim]),
        ("post_attention_layernorm", vec![dim]),
        ("mlp.gate_proj", vec![hidden, dim]),
        ("mlp.down_proj", vec![dim, hidden]),
        ("mlp.up_proj", vec![hidden, dim]),
    ];
    for (name, shape) in kinds {
        for i in 0..layers {
            let mut values = take(shape.iter().product())?;
            if name.ends_with("q_proj") || name.ends_with("k_proj") {
                values = halves_from_pairs(&values, shape[0], shape[1], width);
            }
            put(format!("model.layers.{i}.{name}.weight"), values, &shape)?;
        }
    }
    put("model.norm.weight".to_owned(), take(dim)?, &[dim])?;
    // Two tables of rotary values that are computed here instead.
    take(2 * context * (width / 2))?;
    if !tied {
        put("lm_head.weight".to_owned(), take(vocab_size * dim)?, &[vocab_size, dim])?;
    }
    Ok((Decoder { config }, weights))
}

/// Turns the vocabulary (score, length, bytes for each token) into a byte-fallback BPE tokenizer: the format's programs
/// always merge the pair whose result scores highest, which is a BPE with the merges in the order of the scores.
fn read_tokenizer(bytes: &[u8], file: &str, vocab_size: usize) -> Result<Tokenizer, ModelError> {
    let bad = |reason: &str| ModelError::damaged(file, reason, HINT);
    let mut at = 4; // the length of the longest token
    let mut tokens: Vec<(String, f32)> = Vec::with_capacity(vocab_size);
    for id in 0..vocab_size {
        let head = bytes.get(at..at + 8).ok_or_else(|| bad("truncated"))?;
        let score = f32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let piece = bytes.get(at + 8..(at + 8).saturating_add(length)).ok_or_else(|| bad("truncated"))?;
        at += 8 + length;
        let piece = match id {
            0 => "<unk>".to_owned(),
            1 => "<s>".to_owned(),
            2 => "</s>".to_owned(),
            _ => String::from_utf8_lossy(piece).into_owned(),
        };
        tokens.push((piece, score));
    }
    let pieces: Vec<(usize, &str, f32)> =
        tokens.iter().enumerate().skip(3).map(|(id, (piece, score))| (id, piece.as_str(), *score)).collect();
    let merges = merges_by_score(&pieces);
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Prepend", "prepend": " "},
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
        },
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"},
                    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                  "vocab": tokens.iter().enumerate().map(|(id, (piece, _))| (piece.clone(), json!(id)))
                      .collect::<serde_json::Map<_, _>>(),
                  "merges": merges}
    });
    let json = serde_json::to_vec(&json).map_err(|e| bad(&e.to_string()))?;
    Ok(Tokenizer::from_bytes(&json, file)?)
}
