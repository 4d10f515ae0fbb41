//! A GGUF file's vocabulary as the `tokenizer.json` that it was made from.
//!
//! Files hold the tokens, and for byte-level models the merges and the name of the rule by which a text is cut before
//! them; the rule itself they do not hold. Names and rules are llama.cpp's.

use std::collections::{BTreeMap, HashMap, HashSet};

use ragtune_text::storage::Directory;
use serde_json::{Value as Json, json};

use super::{Gguf, HINT, Value};
use crate::ModelError;

/// Kinds of tokens that are not plain: what stands for nothing known, what steers, and what was added by hand.
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const ADDED: i64 = 4;
/// Sentencepiece's space.
const SPACE: &str = "\u{2581}";

/// How a byte-level vocabulary cuts a text before it merges.
struct Cut {
    /// As files call it.
    names: &'static [&'static str],
    /// GPT-2's own rule where none is said.
    pattern: Option<&'static str>,
    /// Every digit stands alone.
    digits: bool,
    /// Words that are tokens are not merged from their letters.
    whole_words: bool,
    /// The text is normalised first (NFC).
    composed: bool,
    /// A text begins with the token for its begin unless the file says otherwise.
    begins: bool,
}

const PLAIN: Cut = Cut { names: &[], pattern: None, digits: false, whole_words: false, composed: false, begins: false };

const CUTS: [Cut; 7] = [
    Cut { names: &["gpt-2", "phi-2", "olmo", "mpt", "jais"], ..PLAIN },
    Cut {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3"],
        pattern: Some(GROUPS_OF_THREE),
        whole_words: true,
        begins: true,
        ..PLAIN
    },
    Cut { names: &["dbrx", "smaug-bpe", "chatglm-bpe"], pattern: Some(GROUPS_OF_THREE), ..PLAIN },
    Cut { names: &["qwen2", "stablelm2", "deepseek-r1-qwen"], pattern: Some(SINGLE_DIGITS), composed: true, ..PLAIN },
    Cut { names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"], digits: true, ..PLAIN },
    Cut { names: &["tekken"], pattern: Some(TEKKEN), whole_words: true, begins: true, ..PLAIN },
    Cut { names: &["gpt-4o"], pattern: Some(GPT_4O), ..PLAIN },
];

const GROUPS_OF_THREE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SINGLE_DIGITS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What the head says of the vocabulary.
struct Keys<'a> {
    file: &'a str,
    values: &'a BTreeMap<String, Value>,
}

impl Keys<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(&format!("tokenizer.ggml.{name}"))
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn texts(&self, name: &str) -> Option<&[String]> {
        match self.get(name) {
            Some(Value::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Value::Bool(flag)) => Some(*flag),
            _ => None,
        }
    }

    fn id(&self, name: &str, tokens: usize) -> Option<usize> {
        match self.get(name) {
            Some(Value::Int(id)) => usize::try_from(*id).ok().filter(|id| *id < tokens),
            _ => None,
        }
    }

    fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        match self.get(name) {
            Some(Value::List(list)) => list.iter().map(Value::as_f64).collect(),
            _ => None,
        }
    }

    fn bad(&self, reason: &str) -> ModelError {
        ModelError::damaged(self.file, format!("its vocabulary cannot be used: {reason}"), HINT)
    }

    fn unlike(&self, what: &str, known: &str) -> ModelError {
        let reason = format!(
            "its vocabulary is of {what}; those of {known} are read. Copy the tokenizer.json of the model that the GGUF file \
             was made from beside it"
        );
        ModelError::Tokenizer { file: self.file.to_owned(), reason }
    }
}

impl Gguf {
    /// The vocabulary as a `tokenizer.json`.
    pub(crate) fn tokenizer(&self, dir: &dyn Directory) -> Result<Vec<u8>, ModelError> {
        let (values, _) = Self::head(dir, &self.name, true)?;
        let keys = Keys { file: &self.file, values: &values };
        let json = match keys.text("model") {
            Some("llama") => pieces(&keys)?,
            Some("gpt2") => byte_level(&keys)?,
            Some(other) => {
                return Err(keys.unlike(&format!("the kind `{other}`"), "the kinds `llama` and `gpt2`"));
            }
            None => {
                let reason =
                    "it holds no vocabulary; copy the tokenizer.json of the model that it was made from beside it";
                return Err(ModelError::Tokenizer { file: self.file.clone(), reason: reason.to_owned() });
            }
        };
        serde_json::to_vec(&json).map_err(|error| keys.bad(&error.to_string()))
    }
}

impl Gguf {
    /// The chat template, if the file has one.
    pub(crate) fn chat_template(&self) -> Option<&str> {
        match self.values.get("tokenizer.chat_template") {
            Some(Value::Text(template)) => Some(template),
            _ => None,
        }
    }

    /// The token that does something (`bos`, `eos`, `eot`), if the file names it.
    pub(crate) fn token_id(&self, what: &str) -> Option<u32> {
        match self.values.get(&format!("tokenizer.ggml.{what}_token_id")) {
            Some(Value::Int(id)) => u32::try_from(*id).ok(),
            _ => None,
        }
    }
}

/// Tokens with their kinds, which all vocabularies have.
fn tokens<'a>(keys: &'a Keys<'_>) -> Result<(&'a [String], Vec<i64>), ModelError> {
    let tokens = keys.texts("tokens").ok_or_else(|| keys.bad("it has no tokens"))?;
    let kinds = keys.numbers("token_type").map(|kinds| kinds.into_iter().map(|kind| kind as i64).collect());
    let kinds: Vec<i64> = kinds.unwrap_or_else(|| vec![1; tokens.len()]);
    if kinds.len() != tokens.len() {
        return Err(keys.bad(&format!("{} tokens and the kinds of {}", tokens.len(), kinds.len())));
    }
    if tokens.iter().collect::<HashSet<_>>().len() != tokens.len() {
        return Err(keys.bad("a token is there twice"));
    }
    Ok((tokens, kinds))
}

fn added(id: usize, content: &str, special: bool) -> Json {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
           "special": special})
}

/// Puts the token for the begin of a text in front of it.
fn begin(keys: &Keys<'_>, tokens: &[String], unless_said: bool) -> Json {
    let id = keys.id("bos_token_id", tokens.len());
    let Some(id) = id.filter(|_| keys.flag("add_bos_token").unwrap_or(unless_said)) else { return Json::Null };
    let bos = &tokens[id];
    let first = json!({"SpecialToken": {"id": bos, "type_id": 0}});
    let part = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    json!({"type": "TemplateProcessing", "single": [first, part("A")], "pair": [first, part("A"), part("B")],
           "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}}})
}

/// Sentencepiece's pieces with byte fallback, merged in the order of their scores.
fn pieces(keys: &Keys<'_>) -> Result<Json, ModelError> {
    let (tokens, kinds) = tokens(keys)?;
    let scores = keys.numbers("scores").ok_or_else(|| keys.bad("its pieces have no scores"))?;
    if scores.len() != tokens.len() {
        return Err(keys.bad(&format!("{} tokens and the scores of {}", tokens.len(), scores.len())));
    }
    // Runs of spaces that were added by hand, which files spell either way, come about by merges alone.
    let spaced = |id: usize| kinds[id] == ADDED && (tokens[id].contains(SPACE) || tokens[id].contains(' '));
    let texts: Vec<String> = (0..tokens.len())
        .map(|id| if spaced(id) { tokens[id].replace(' ', SPACE) } else { tokens[id].clone() })
        .collect();
    let vocabulary: serde_json::Map<String, Json> =
        texts.iter().enumerate().map(|(id, text)| (text.clone(), id.into())).collect();
    let plain = |id: &usize| !matches!(kinds[*id], UNKNOWN | CONTROL);
    let scored = (0..tokens.len()).filter(plain).map(|id| (id, texts[id].as_str(), scores[id] as f32));
    let merges = merges_by_score(&scored.collect::<Vec<_>>());
    let steers = (0..tokens.len()).filter(|&id| matches!(kinds[id], UNKNOWN | CONTROL | ADDED) && !spaced(id));
    let added: Vec<Json> = steers.map(|id| added(id, &texts[id], kinds[id] != ADDED)).collect();
    let unknown = (0..tokens.len()).find(|&id| kinds[id] == UNKNOWN).map(|id| tokens[id].clone());
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let back = json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "});
    let mut decoders = vec![back, json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    let normalizer = if keys.flag("add_space_prefix").unwrap_or(true) {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, replace]})
    } else {
        replace
    };
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": normalizer,
        "pre_tokenizer": null, "post_processor": begin(keys, tokens, true),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                  "vocab": vocabulary, "merges": merges}
    }))
}

/// The merges of pieces that are always joined where the result scores highest: a BPE with the merges in the order of the
/// scores. Pieces are id, text, score.
pub(crate) fn merges_by_score<'p>(pieces: &[(usize, &'p str, f32)]) -> Vec<[&'p str; 2]> {
    let ids: HashMap<&str, usize> = pieces.iter().map(|(id, piece, _)| (*piece, *id)).collect();
    let mut merges = Vec::new();
    for (id, piece, score) in pieces {
        for (cut, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(cut);
            if let (Some(a), Some(b)) = (ids.get(left), ids.get(right)) {
                merges.push((*score, *id, (*a, *b), [left, right]));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    merges.into_iter().map(|(_, _, _, pair)| pair).collect()
}

/// Tokens of bytes with their merges.
fn byte_level(keys: &Keys<'_>) -> Result<Json, ModelError> {
    let (tokens, kinds) = tokens(keys)?;
    let name = keys.text("pre").unwrap_or("default");
    let known = || CUTS.iter().flat_map(|cut| cut.names).copied().collect::<Vec<_>>().join(", ");
    let cut = CUTS.iter().find(|cut| cut.names.contains(&name));
    let cut = cut.ok_or_else(|| keys.unlike(&format!("the pre-tokenizer `{name}`"), &known()))?;
    let merges = keys.texts("merges").ok_or_else(|| keys.bad("it has no merges"))?;
    let merges: Option<Vec<(&str, &str)>> = merges.iter().map(|merge| merge.split_once(' ')).collect();
    let merges = merges.ok_or_else(|| keys.bad("a merge is not a pair"))?;
    let vocabulary: serde_json::Map<String, Json> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
    let steers = (0..tokens.len()).filter(|&id| matches!(kinds[id], CONTROL | ADDED));
    let added: Vec<Json> = steers.map(|id| added(id, &tokens[id], kinds[id] == CONTROL)).collect();
    let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let before = match cut.pattern {
        Some(pattern) => {
            let split =
                json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
            json!({"type": "Sequence", "pretokenizers": [split, bytes(false)]})
        }
        None if cut.digits => {
            json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, bytes(true)]})
        }
        None => bytes(true),
    };
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": if cut.composed { json!({"type": "NFC"}) } else { Json::Null },
        "pre_tokenizer": before, "post_processor": begin(keys, tokens, cut.begins), "decoder": bytes(true),
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                  "ignore_merges": cut.whole_words, "vocab": vocabulary, "merges": merges}
    }))
}
