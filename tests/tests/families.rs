//! Every family of encoders and language models against references made with transformers (see `references/README.md`).

use burn::tensor::Device;
use ragtune_kernels::to_vec;
use ragtune_model::{Bert, ChatTemplate, Decoder, HeadKind, Import, Keep, Rounding, Tower, Weights, gguf_tokenizer};
use ragtune_tests::{assert_close, ids, numbers, reference_dir, reference_json};
use ragtune_text::storage::{Directory, MemoryDirectory};
use serde_json::Value;

/// Largest difference of a logit, absolute and relative: a wrong epsilon or form of an activation is larger.
const LOGITS: f32 = 5e-5;

/// The ids and what is wanted of a GGUF file: its own, or those of the checkpoint that it was made from.
fn wanted_of_gguf(case: &Value, length: &str) -> Value {
    if let Some(own) = case.get(length) {
        return own.clone();
    }
    let from = case["from"].as_str().expect("a checkpoint");
    let (set, name) = from.split_once('/').expect("a folder and a name");
    reference_json(&format!("{set}/reference.json"))[name][length].clone()
}

#[test]
fn gguf_files_give_the_logits_of_the_checkpoints_that_they_were_made_from() {
    let reference = reference_json("gguf/reference.json");
    let models = reference["models"].as_object().expect("models");
    assert!(models.len() >= 9);
    for (name, case) in models {
        let model = Model::open(&reference_dir("gguf").with_model(&format!("{name}.gguf")));
        model.compare(name, &wanted_of_gguf(case, "short"), &wanted_of_gguf(case, "long"));
    }
}

#[test]
fn packed_matrices_give_the_same_logits() {
    let reference = reference_json("gguf/reference.json");
    let mut formats = std::collections::BTreeSet::new();
    for (name, case) in reference["models"].as_object().expect("models") {
        let dir = reference_dir("gguf").with_model(&format!("{name}.gguf"));
        let mut model = Model::open(&dir);
        let bytes = model.weights.bytes();
        model.weights = model.decoder.read_packed(&dir, &Device::flex()).unwrap_or_else(|error| panic!("{error}"));
        assert!(model.weights.bytes() <= bytes);
        formats.extend(model.weights.formats());
        model.compare(name, &wanted_of_gguf(case, "short"), &wanted_of_gguf(case, "long"));
    }
    assert!(["F16", "Q8_0"].iter().all(|format| formats.contains(format)), "{formats:?}");
}

#[test]
fn gguf_files_are_written_as_checkpoints_that_give_the_same_logits() {
    let reference = reference_json("gguf/reference.json");
    for (name, case) in reference["models"].as_object().expect("models") {
        let dir = reference_dir("gguf").with_model(&format!("{name}.gguf"));
        let import = Import::of(&dir).unwrap_or_else(|error| panic!("{error}"));
        let written = MemoryDirectory::default();
        let config = import.config(&dir).unwrap_or_else(|error| panic!("{error}")).expect("a config");
        written.write("config.json", config.to_string().as_bytes()).expect("memory");
        let mut weights = Vec::new();
        let whole = import.write_weights(&dir, None, &mut weights, &mut |done, all| done <= all);
        assert!(whole.unwrap_or_else(|error| panic!("{error}")));
        assert!(!import.write_weights(&dir, None, &mut Vec::new(), &mut |done, _| done < 2).expect("the same again"));
        written.write("model.safetensors", &weights).expect("memory");
        let model = Model::open(&written);
        model.compare(name, &wanted_of_gguf(case, "short"), &wanted_of_gguf(case, "long"));
    }
}

#[test]
fn vocabularies_of_gguf_files_are_the_tokenizers_that_they_were_made_from() {
    let reference = reference_json("gguf/vocabularies.json");
    let vocabularies = reference.as_object().expect("vocabularies");
    assert!(vocabularies.len() >= 9);
    for (name, cases) in vocabularies {
        let dir = reference_dir("gguf").with_model(&format!("vocabulary-{name}.gguf"));
        let tokenizer = gguf_tokenizer(&dir).unwrap_or_else(|error| panic!("{error}")).expect("a GGUF file");
        for case in cases.as_array().expect("cases") {
            let text = case["text"].as_str().expect("a text");
            let found = tokenizer.with_prefix(text).expect("tokenises");
            assert_eq!(found, ids(&case["ids"]), "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&found).expect("decodes"), case["decoded"].as_str().expect("a text"), "{name}");
        }
    }
}

#[test]
fn chat_templates_word_a_message_as_transformers_does() {
    let reference = reference_json("chat/reference.json");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let cases = reference["cases"].as_object().expect("cases");
    assert!(cases.len() >= 5);
    for (name, case) in cases {
        let source = text(&case["template"]).expect("a template");
        let template = ChatTemplate::new(name.clone(), &source, "<s>".to_owned(), "</s>".to_owned());
        let user = text(&reference["user"]).expect("a message");
        for (key, system) in [("alone", String::new()), ("with_system", text(&reference["system"]).expect("a system"))]
        {
            match (template.render(&system, &user), text(&case[key])) {
                (Ok(found), Some(wanted)) => assert_eq!(found, wanted, "{name} {key}"),
                (Err(error), None) => assert!(error.to_string().contains("not supported"), "{name} {key}: {error}"),
                (found, wanted) => panic!("{name} {key}: {found:?} and not {wanted:?}"),
            }
        }
    }
}

#[test]
fn numbers_with_fewer_bits_are_those_of_ggml() {
    let reference = reference_json("gguf/roundings.json");
    for rounding in Rounding::ALL {
        let mut values = numbers(&reference["values"]);
        rounding.round(&mut values, 32);
        assert_eq!(values, numbers(&reference[rounding.name()]), "{}", rounding.name());
    }
}

struct Model {
    decoder: Decoder,
    weights: Weights,
}

impl Model {
    fn open(dir: &dyn Directory) -> Self {
        let decoder = Decoder::from_dir(dir).unwrap_or_else(|error| panic!("{error}"));
        let weights = decoder.read_weights(dir, &Device::flex()).unwrap_or_else(|error| panic!("{error}"));
        Self { decoder, weights }
    }

    /// Holds logits and greedy tokens of a short and a long text against a reference.
    fn compare(&self, case: &str, short: &Value, long: &Value) {
        assert_close(case, &self.logits(&ids(&short["ids"])), &numbers(&short["logits"]), LOGITS);
        let all = self.logits(&ids(&long["ids"]));
        let last = &all[all.len() - self.decoder.config.vocab_size..];
        assert_close(&format!("{case}, long"), last, &numbers(&long["last_logits"]), LOGITS);
        for text in [short, long] {
            let want = ids(&text["greedy"]);
            assert_eq!(self.greedy(&ids(&text["ids"]), want.len()), want, "{case}");
        }
    }

    fn logits(&self, ids: &[u32]) -> Vec<f32> {
        let states = self.decoder.forward(&self.weights, &[ids], None);
        let [_, n, h] = states.dims();
        to_vec(self.decoder.logits(&self.weights, states.reshape([n, h])))
    }

    /// Greedy tokens through the cache, which reads the text in two pieces.
    fn greedy(&self, text: &[u32], count: usize) -> Vec<u32> {
        let mut cache = self.decoder.cache();
        let (head, tail) = text.split_at(text.len() / 2);
        self.decoder.forward(&self.weights, &[head], Some(&mut cache));
        let mut next = tail.to_vec();
        let mut greedy = Vec::new();
        for _ in 0..count {
            let states = self.decoder.forward(&self.weights, &[&next], Some(&mut cache));
            let [_, n, h] = states.dims();
            let row = to_vec(self.decoder.logits(&self.weights, states.reshape([n, h])));
            let row = &row[row.len() - self.decoder.config.vocab_size..];
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a vocabulary") as u32;
            greedy.push(best);
            next = vec![best];
        }
        greedy
    }
}

/// The cases of a reference, without the note of what made it.
fn cases(reference: &Value) -> Vec<(String, Value)> {
    let all = reference.as_object().expect("cases").iter().filter(|(name, _)| *name != "made_with");
    all.map(|(name, case)| (name.clone(), case.clone())).collect()
}

/// Every decoder with its reference.
fn decoders() -> Vec<(String, Model, Value)> {
    let of = |set: &'static str| {
        let all = cases(&reference_json(&format!("{set}/reference.json"))).into_iter();
        all.map(move |(case, want)| {
            let name = format!("{set}/{case}");
            (name.clone(), Model::open(&reference_dir(&name)), want)
        })
    };
    of("llama").chain(of("decoders")).collect()
}

#[test]
fn logits_and_greedy_tokens_of_every_decoder_equal_the_reference() {
    for (case, model, want) in decoders() {
        model.compare(&case, &want["short"], &want["long"]);
    }
}

#[test]
fn a_text_in_a_batch_has_the_states_that_it_has_alone_in_every_decoder() {
    for (case, model, want) in decoders() {
        let (short, long) = (ids(&want["short"]["ids"]), ids(&want["long"]["ids"]));
        let both = model.decoder.forward(&model.weights, &[&short, &long], None);
        let alone = model.decoder.forward(&model.weights, &[&short], None);
        let [_, _, h] = both.dims();
        let part = both.slice([0..1, 0..short.len(), 0..h]);
        assert_close(&case, &to_vec(part), &to_vec(alone), 1e-5);
    }
}

#[test]
fn states_and_splade_vectors_of_every_encoder_equal_the_reference() {
    for (case, want) in cases(&reference_json("encoders/reference.json")) {
        let dir = reference_dir(&format!("encoders/{case}"));
        let bert = Bert::from_dir(&dir).unwrap_or_else(|error| panic!("{error}"));
        let every: Vec<u32> = (0..bert.config.vocab_size as u32).collect();
        let tower = Tower::load(&dir, &bert, HeadKind::Splade, &every, &Device::flex())
            .unwrap_or_else(|error| panic!("{error}"));
        let texts: Vec<Vec<u32>> = want["texts"].as_array().expect("texts").iter().map(ids).collect();
        let batch: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let states = bert.forward(&tower.weights, &batch);
        let [_, _, h] = states.dims();
        let vectors = to_vec(tower.pass(&batch, Keep::Nothing).vectors);
        for (b, text) in batch.iter().enumerate() {
            let name = format!("{case}, text {b}");
            let got = to_vec(states.clone().slice([b..b + 1, 0..text.len(), 0..h]));
            assert_close(&name, &got, &numbers(&want["hidden"][b]), 5e-5);
            assert_close(&format!("{name}, alone"), &to_vec(bert.forward(&tower.weights, &[text])), &got, 1e-5);
            let splade = &vectors[b * every.len()..(b + 1) * every.len()];
            assert_close(&format!("{name}, splade"), splade, &numbers(&want["splade"][b]), 5e-5);
            let alone = to_vec(tower.pass(&[text], Keep::Nothing).vectors);
            assert_close(&format!("{name}, splade alone"), &alone, splade, 1e-5);
        }
    }
}

#[test]
fn an_encoder_is_written_with_the_names_and_the_bits_that_it_was_read_with() {
    for (case, _) in cases(&reference_json("encoders/reference.json")) {
        let path = format!("encoders/{case}/model.safetensors");
        let bytes = std::fs::read(ragtune_tests::reference(&path)).expect("weights");
        let dir = reference_dir(&format!("encoders/{case}"));
        let bert = Bert::from_dir(&dir).expect("config");
        let tower = Tower::load(&dir, &bert, HeadKind::Splade, &[5, 6], &Device::flex()).expect("weights");
        let written = tower.written().expect("weights are written");
        let (old, new) = (tensors(&bytes), tensors(&written));
        for (name, values) in &new {
            assert_eq!(old.get(name), Some(values), "{case}: {name}");
        }
        // What is not written is another name of what is, or of no use.
        let left_out = old.keys().filter(|name| !new.contains_key(*name));
        let needless = ["position_ids", "decoder.weight", "decoder.bias", "vocab_projector.weight", "pooler."];
        for name in left_out {
            assert!(needless.iter().any(|part| name.contains(part)), "{case}: {name} is lost");
        }
    }
}

/// Tensors of a safetensors file, as bytes.
fn tensors(bytes: &[u8]) -> std::collections::BTreeMap<String, Vec<u8>> {
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
    let all = header.as_object().expect("tensors").iter().filter(|(name, _)| *name != "__metadata__");
    all.map(|(name, info)| {
        let at = |i: usize| info["data_offsets"][i].as_u64().expect("an offset") as usize + 8 + length;
        (name.clone(), bytes[at(0)..at(1)].to_vec())
    })
    .collect()
}
