//! The small tokenizer that reader and encoder share: lower-casing word pieces over the sample world's words.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use ragtune_rag::PromptTemplate;
use ragtune_sample::{Population, World, WorldConfig, name_pieces};
use serde_json::json;

use super::{Options, SEED};

/// Worlds that words are counted in. A word that most of them hold belongs to the language, not to one world's names.
const WORLDS: u64 = 24;
const SPECIAL: [&str; 4] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..WORLDS {
        let config = WorldConfig { seed: SEED + seed, passages: 800, questions: 400, population: Population::Models };
        let world = World::new(config)?;
        let mut words = BTreeSet::new();
        for passage in world.passages() {
            collect(&passage.title, &mut words);
            collect(&passage.text, &mut words);
        }
        for question in world.questions() {
            collect(&question.text, &mut words);
            question.choices.iter().for_each(|choice| collect(choice, &mut words));
        }
        for word in words {
            *seen.entry(word).or_default() += 1;
        }
    }
    let template = PromptTemplate::default();
    let mut prompt = BTreeSet::new();
    for text in [&template.passage, &template.numbered, &template.free_form, &template.closed_set] {
        collect(text, &mut prompt);
    }
    let mut pieces: BTreeSet<String> = name_pieces().into_iter().chain(prompt).collect();
    pieces.extend(seen.into_iter().filter(|(word, worlds)| *worlds >= WORLDS / 3 && !is_number(word)).map(|(w, _)| w));
    // Numbers in pairs of digits; single characters so that any text has a tokenisation.
    for tens in 0..100 {
        pieces.insert(format!("{tens:02}"));
        pieces.insert(format!("##{tens:02}"));
    }
    for c in ('!'..='~').filter(|c| !c.is_ascii_uppercase()) {
        pieces.insert(c.to_string());
        pieces.insert(format!("##{c}"));
    }
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        SPECIAL.iter().map(|s| s.to_string()).chain(pieces).enumerate().map(|(id, p)| (p, json!(id))).collect();
    let size = vocabulary.len();
    let added: Vec<_> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, s)| {
            json!({"id": id, "content": s, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let sequence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    let special = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]"), sequence("A"), special("[SEP]")],
            "pair": [special("[CLS]"), sequence("A"), special("[SEP]"), sequence("B"), special("[SEP]")],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}
            }
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary}
    });
    let path = options.out.join("tokenizer.json");
    std::fs::write(&path, serde_json::to_vec(&json)?)?;
    eprintln!("tokenizer: {size} tokens in {}", path.display());
    Ok(())
}

fn collect(text: &str, words: &mut BTreeSet<String>) {
    words.extend(text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(String::from));
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit())
}
