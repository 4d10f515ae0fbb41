//! A tiny random encoder and language model for the tests of this crate.

use burn::tensor::Device;
use ragtune_index::{BuildConfig, Index, IndexBuilder, ParametricBuilder};
use ragtune_model::{BertConfig, CausalLm, Decoder, DecoderConfig, Encoder, Kind, Weight};
use ragtune_text::storage::MemoryDirectory;
use ragtune_text::{Passage, Question, Tokenizer};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use serde_json::json;

pub(crate) const WORDS: [&str; 24] = [
    "Question", ":", "Answer", "Options", "oil", "price", "rose", "crisis", "of", "the", "why", "?", ".", "1973",
    "yes", "no", "maybe", "tea", "cup", "green", "leaf", "[", "]", ",",
];

pub(crate) fn device() -> Device {
    Device::flex()
}

/// Words of [`WORDS`], framed as `[CLS] text [SEP]`.
pub(crate) fn tokenizer() -> Tokenizer {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let vocab: serde_json::Map<_, _> =
        special.iter().chain(&WORDS).enumerate().map(|(id, &token)| (token.to_owned(), json!(id))).collect();
    let added: Vec<_> = special
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({"id": id, "content": token, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        })
        .collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab},
    });
    Tokenizer::from_bytes(json.to_string().as_bytes(), "test tokenizer").expect("the test tokenizer is valid")
}

pub(crate) fn encoder(seed: u64) -> Encoder {
    let config = json!({
        "model_type": "bert", "vocab_size": 28, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 32,
    });
    let config: BertConfig = serde_json::from_value(config).expect("the config is valid");
    Encoder::init(config, tokenizer(), &device(), &mut Pcg64Mcg::seed_from_u64(seed)).expect("the encoder is valid")
}

/// A language model whose context holds so many tokens.
pub(crate) fn lm(context: usize) -> CausalLm {
    let config = json!({
        "model_type": "llama", "vocab_size": 28, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": context,
    });
    let config = DecoderConfig::from_json(&config, "config.json").expect("the config is valid");
    let decoder = Decoder { config };
    let mut weights = decoder.init(&device(), &mut Pcg64Mcg::seed_from_u64(7));
    // Far from uniform, so that a wrong position or a wrong mask shows.
    let names: Vec<String> =
        weights.iter().map(|(name, _)| name.clone()).filter(|name| !name.contains("norm")).collect();
    for name in names {
        if let Some(weight) = weights.get(&name) {
            let scaled = weight.values().into_iter().map(|value| value * 25.0).collect();
            let scaled = Weight::from_vec(scaled, &weight.shape(), &device());
            weights.insert(name, scaled);
        }
    }
    CausalLm { tokenizer: tokenizer(), decoder, weights, eos: Vec::new(), chat: None }
}

pub(crate) fn passage(id: &str, title: &str, text: &str) -> Passage {
    Passage { id: id.to_owned(), title: title.to_owned(), text: text.to_owned(), source: None }
}

pub(crate) fn free_form(text: &str, answers: &[&str]) -> Question {
    let answers = answers.iter().map(|&answer| answer.to_owned()).collect();
    Question { id: "q".to_owned(), text: text.to_owned(), answers, ..Question::default() }
}

pub(crate) fn closed_set(text: &str, answer: &str, choices: &[&str]) -> Question {
    Question { choices: choices.iter().map(|&choice| choice.to_owned()).collect(), ..free_form(text, &[answer]) }
}

/// Twelve passages of different lengths, some with a title and two of them the same.
pub(crate) fn corpus() -> Vec<Passage> {
    let text = |i: usize| (0..=i % 5 * 2).map(|j| WORDS[4 + (i * 7 + j * 3) % 17]).collect::<Vec<_>>().join(" ");
    let title = |i: usize| if i.is_multiple_of(3) { WORDS[4 + i % 5] } else { "" };
    let mut passages: Vec<_> = (0..12).map(|i| passage(&format!("p{i}"), title(i), &text(i))).collect();
    (passages[7].title, passages[7].text) = (passages[2].title.clone(), passages[2].text.clone());
    passages
}

/// An index of [`corpus`], with a parametric part of 6 dimensions and the own tokens when asked for.
pub(crate) fn index(encoder: &Encoder, parametric: bool) -> (MemoryDirectory, Index) {
    let dir = MemoryDirectory::default();
    let mut config =
        BuildConfig::new(encoder.vocab.ids().to_vec(), encoder.tokenizer.fingerprint(), encoder.vocab.fingerprint());
    config.max_tokens = encoder.meta.passage_tokens as u32;
    let ids = |passage: &Passage| encoder.passage_ids(&passage.title, &passage.text).expect("it can be tokenised");
    let mut builder = IndexBuilder::new(&dir, config).expect("the settings are valid");
    for passage in corpus() {
        builder.add(&passage, &encoder.vocab.bag(&ids(&passage))).expect("the passage is new");
    }
    builder.finish().expect("there are passages");
    if parametric {
        let mut builder = ParametricBuilder::new(&dir).expect("there is an index");
        for passage in corpus() {
            let forms = encoder.encode(Kind::Passage, &[&ids(&passage)]);
            builder.add(&forms[0].s_plus(6)).expect("the vector is valid");
        }
        builder.finish(&crate::encoder_fingerprint(encoder)).expect("all vectors are there");
    }
    let index = Index::open(&dir).expect("the index is whole");
    (dir, index)
}
