//! What the tests of this crate share.

use ragtune_text::Tokenizer;

/// A word-level tokenizer over a handful of words, with BERT's special tokens.
pub(crate) fn tokenizer_json() -> String {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "price", "of", "oil", "crisis", "rose", "."];
    let vocab: Vec<String> = words.iter().enumerate().map(|(id, word)| format!("\"{word}\": {id}")).collect();
    let added: Vec<String> = words[..4]
        .iter()
        .enumerate()
        .map(|(id, word)| {
            format!(
                "{{\"id\": {id}, \"content\": \"{word}\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}}"
            )
        })
        .collect();
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{}],
        "normalizer": {{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}},
        "pre_tokenizer": {{"type": "BertPreTokenizer"}},
        "post_processor": {{"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}},
        "decoder": null,
        "model": {{"type": "WordLevel", "vocab": {{{}}}, "unk_token": "[UNK]"}}}}"#,
        added.join(", "),
        vocab.join(", ")
    )
}

/// That tokenizer.
pub(crate) fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(tokenizer_json().as_bytes(), "tokenizer.json").unwrap()
}
