//! Small tokenizers for the tests of this crate.

use serde_json::{Value, json};

use crate::tokenizer::Tokenizer;

const WORDS: [&str; 8] = ["the", "price", "of", "oil", "crisis", "rose", ".", "1973"];

/// Word pieces: special tokens, an `[unused0]`, whole words, and every letter and digit as a start and a continuation.
fn vocabulary(special: &[&str]) -> serde_json::Map<String, Value> {
    let letters = ('a'..='z').chain('0'..='9');
    let pieces = letters.flat_map(|c| [c.to_string(), format!("##{c}")]);
    let tokens = special.iter().chain(&["[unused0]"]).chain(&WORDS).map(|&word| word.to_owned()).chain(pieces);
    tokens.enumerate().map(|(id, token)| (token, json!(id))).collect()
}

fn build(special: &[&str], unknown: &str, post_processor: Value) -> Tokenizer {
    let vocab = vocabulary(special);
    let added: Vec<Value> = special
        .iter()
        .map(|&content| {
            json!({"id": vocab[content], "content": content, "special": true, "single_word": false,
                   "lstrip": false, "rstrip": false, "normalized": false})
        })
        .collect();
    let json = json!({
        "version": "1.0",
        "truncation": {"max_length": 16, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": special[0]},
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocab},
    });
    Tokenizer::from_bytes(json.to_string().as_bytes(), "test tokenizer").expect("the test tokenizer is valid")
}

/// `[CLS] a [SEP]`, `[CLS] a [SEP] b [SEP]`. Ids: 0..=3 special, 4 unused.
pub(crate) fn bert() -> Tokenizer {
    build(
        &["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
        "[UNK]",
        json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}),
    )
}

/// `<s> a </s>`, `<s> a </s></s> b </s>`.
pub(crate) fn roberta() -> Tokenizer {
    build(
        &["<pad>", "<unk>", "<s>", "</s>"],
        "<unk>",
        json!({"type": "RobertaProcessing", "sep": ["</s>", 3], "cls": ["<s>", 2],
               "trim_offsets": true, "add_prefix_space": false}),
    )
}

/// No post-processor.
pub(crate) fn plain() -> Tokenizer {
    build(&["[PAD]", "[UNK]"], "[UNK]", Value::Null)
}
