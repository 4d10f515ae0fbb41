//! `ragtune score`, `generate` and `answer`: what a language model says.

mod common;

use common::{Place, Ran};
use serde_json::{Value, json};

fn score(place: &Place, items: &[Value]) -> Ran {
    let text: String = items.iter().map(|item| format!("{item}\n")).collect();
    place.write("items.jsonl", text);
    place.run(&["score", "--llm", "llm", "--items", "items.jsonl"])
}

#[test]
fn scores_keep_order_and_duplicates_and_sum_over_tokens() {
    let place = Place::small();
    let items = [
        json!({"id": "b", "prompt": "why the price", "answers": [" tea", " oil crisis", " tea"]}),
        json!({"id": 7, "prompt": "", "answers": ["green tea leaf"]}),
        json!({"id": "b", "prompt": "why the price", "answers": [" tea"]}),
    ];
    let lines = score(&place, &items).lines();
    assert_eq!(lines.len(), 3);
    for (line, item) in lines.iter().zip(&items) {
        assert_eq!(line["id"], item["id"]);
        let answers = line["answers"].as_array().unwrap();
        let mut best = f64::NEG_INFINITY;
        for (answer, text) in answers.iter().zip(item["answers"].as_array().unwrap()) {
            assert_eq!(&answer["text"], text);
            let tokens = answer["tokens"].as_array().unwrap();
            assert_eq!(tokens.len(), text.as_str().unwrap().split_whitespace().count());
            let sum: f64 = tokens.iter().map(|token| token["log_prob"].as_f64().unwrap()).sum();
            let total = answer["log_prob"].as_f64().unwrap();
            assert!(total < 0.0 && (sum - total).abs() < 1e-4, "{sum} {total}");
            best = best.max(total);
        }
        assert_eq!(line["score"].as_f64(), Some(best));
        let best = answers.iter().find(|answer| answer["log_prob"] == line["score"]).unwrap();
        assert_eq!(line["best"], best["text"]);
    }
    let tea = |line: usize, answer: usize| lines[line]["answers"][answer]["log_prob"].as_f64().unwrap();
    assert!((tea(0, 0) - tea(0, 2)).abs() < 1e-5 && (tea(0, 0) - tea(2, 0)).abs() < 1e-5);
}

#[test]
fn the_probabilities_of_all_next_words_sum_to_one() {
    let place = Place::small();
    let words: Vec<String> = common::WORDS.iter().map(|word| format!(" {word}")).collect();
    let lines = score(&place, &[json!({"id": "a", "prompt": "the price of", "answers": words})]).lines();
    let sum: f64 = lines[0]["answers"].as_array().unwrap().iter().map(|a| a["log_prob"].as_f64().unwrap().exp()).sum();
    // What is missing belongs to the four special tokens.
    assert!(sum < 1.0 && sum > 0.2, "{sum}");
}

#[test]
fn a_question_with_a_passage_is_its_templates_prompt() {
    let place = Place::small();
    place.write(
        "items.jsonl",
        json!({"id": "a", "question": "why ?", "passage": {"title": "oil", "text": "tea"}, "answers": ["yes"]})
            .to_string(),
    );
    place.write("template.toml", "passage = '{title} . {text}'\nfree_form = '{passages} question {question} answer'\n");
    place.write("template.txt", "{passages} question {question} answer\n");
    let with = |template: &str| {
        place.run(&["score", "--llm", "llm", "--items", "items.jsonl", "--template", template]).lines()
    };
    let worded = with("template.toml").remove(0);
    let plain = score(&place, &[json!({"id": "a", "prompt": "oil . tea question why ? answer", "answers": [" yes"]})])
        .lines()
        .remove(0);
    let close = |a: &Value, b: &Value| (a["score"].as_f64().unwrap() - b["score"].as_f64().unwrap()).abs() < 1e-5;
    assert!(close(&worded, &plain), "{worded} {plain}");
    place.write(
        "items.jsonl",
        json!({"id": "a", "question": "why ?", "passage": {"title": "", "text": "oil . tea"}, "answers": ["yes"]})
            .to_string(),
    );
    assert!(close(&with("template.txt")[0], &plain));
    place.write("bad.toml", "free_form = '{question}'\n");
    place
        .run(&["score", "--llm", "llm", "--items", "items.jsonl", "--template", "bad.toml"])
        .refused(&["bad.toml", "{passages}"]);
}

#[test]
fn unusable_items_name_their_line() {
    let place = Place::small();
    let good = json!({"id": "a", "prompt": "why", "answers": ["tea"]});
    for (bad, part) in [
        (json!({"id": "b", "prompt": "why", "answers": []}), "answers"),
        (json!({"id": "b", "prompt": "why", "answers": [""]}), "answers"),
        (json!({"id": "b", "answers": ["tea"]}), "prompt"),
        (json!({"id": "b", "question": "why", "answers": ["tea"]}), "passage"),
        (json!({"prompt": "why", "answers": ["tea"]}), "id"),
        (json!({"id": "b", "prompt": "tea ".repeat(200), "answers": ["tea"]}), "128"),
    ] {
        let ran = score(&place, &[good.clone(), bad]);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains("items.jsonl, line 2") && ran.err.contains(part), "{}", ran.err);
    }
    place.write("items.jsonl", "");
    place.run(&["score", "--llm", "llm", "--items", "items.jsonl"]).refused(&["items.jsonl", "no items"]);
    place.write("items.jsonl", good.to_string());
    place
        .run(&["score", "--llm", "http://localhost:1", "--items", "items.jsonl"])
        .refused(&["http://localhost:1", "folder"]);
}

#[test]
fn greedy_generation_takes_the_most_probable_word_each_time() {
    let place = Place::small();
    let generated =
        place.run(&["generate", "--llm", "llm", "--prompt", "the price", "--max-new-tokens", "3", "--json"]).json();
    let tokens: Vec<u64> = generated["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(tokens.len(), 3);
    // Special tokens may be generated by a random model and are not in the text.
    if let Some(word) = tokens.first().filter(|id| **id >= 4).map(|id| common::WORDS[*id as usize - 4]) {
        let words: Vec<String> = common::WORDS.iter().map(|word| format!(" {word}")).collect();
        let line = score(&place, &[json!({"id": "a", "prompt": "the price", "answers": words})]).lines().remove(0);
        assert_eq!(line["best"], format!(" {word}"));
    }
    let again = |seed: &str| {
        place
            .run(&[
                "generate",
                "--llm",
                "llm",
                "--prompt",
                "the price",
                "--temperature",
                "1.5",
                "--seed",
                seed,
                "--json",
            ])
            .json()["tokens"]
            .clone()
    };
    assert_eq!(again("1"), again("1"));
    assert_ne!(again("1"), again("2"));
    place.run(&["generate", "--llm", "llm", "--prompt", "the", "--temperature", "-1"]).refused(&["temperature"]);
    place.run(&["generate", "--llm", "corpus.jsonl", "--prompt", "the"]).refused(&["corpus.jsonl", "folder"]);
}

#[test]
fn damaged_weights_are_named() {
    let place = Place::small();
    let generate = || place.run(&["generate", "--llm", "llm", "--prompt", "the"]);
    let whole = common::safetensors(&common::llama_tensors());
    place.write("llm/model.safetensors", &whole[..whole.len() / 2]);
    generate().refused(&["llm/model.safetensors", "whole"]);
    place.write("llm/model.safetensors", b"version https://git-lfs");
    generate().refused(&["llm/model.safetensors"]);
    let mut tensors = common::llama_tensors();
    tensors.retain(|(name, ..)| name != "model.norm.weight");
    place.write("llm/model.safetensors", common::safetensors(&tensors));
    generate().refused(&["model.norm.weight", "missing"]);
    let mut tensors = common::llama_tensors();
    tensors[3].2[5] = f32::NAN;
    let name = tensors[3].0.clone();
    place.write("llm/model.safetensors", common::safetensors(&tensors));
    generate().refused(&["llm/model.safetensors", &name, "NaN"]);
    place.run(&["models", "verify", "llm"]).refused(&["NaN"]);
    std::fs::remove_file(place.path("llm/model.safetensors")).unwrap();
    generate().refused(&["llm/model.safetensors", "no such file"]);
    let mut tensors = common::bert_tensors(1);
    tensors[0].2[9] = f32::INFINITY;
    place.write("encoder/model.safetensors", common::safetensors(&tensors));
    place
        .run(&["index", "build", "--corpus", "corpus.jsonl", "--encoder", "encoder", "--parametric", "--out", "index"])
        .refused(&["encoder/model.safetensors", "inf"]);
    assert!(!place.path("index").exists());
}

#[test]
fn an_answer_cites_the_passages_that_were_read() {
    let place = Place::indexed();
    let answer = place
        .run(&[
            "answer",
            "--index",
            "index",
            "--encoder",
            "encoder",
            "--llm",
            "llm",
            "--query",
            "why the oil crisis ?",
            "--docs",
            "2",
            "--max-new-tokens",
            "4",
            "--json",
        ])
        .json();
    let found = place
        .run(&[
            "search",
            "--index",
            "index",
            "--encoder",
            "encoder",
            "--query",
            "why the oil crisis ?",
            "-k",
            "2",
            "--json",
        ])
        .json();
    let hits = found["queries"][0]["hits"].as_array().unwrap().clone();
    let cited = answer["citations"].as_array().unwrap();
    assert_eq!(cited.len(), 2);
    for (cited, hit) in cited.iter().zip(&hits) {
        assert_eq!((&cited["id"], &cited["rank"], &cited["score"]), (&hit["id"], &hit["rank"], &hit["score"]));
    }
    assert!(answer["answer"].is_string());
}

#[test]
fn models_are_listed_and_checked() {
    let place = Place::small();
    let models = place.run(&["models", "list", ".", "--json"]).json();
    let kinds: Vec<_> = models.as_array().unwrap().iter().map(|model| model["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["encoder", "llm"]);
    for model in ["encoder", "llm"] {
        let checked = place.run(&["models", "verify", model, "--json"]).json();
        assert!(checked["verified"] == true && checked["parameters"].as_u64().unwrap() > 100, "{checked}");
    }
    place.run(&["models", "info", "nowhere"]).refused(&["nowhere"]);
}

#[test]
fn the_small_story_teller_begins_as_its_reference_does() {
    let Some(model) = common::shared("models/stories260K") else { return };
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/references/stories260K/reference.json");
    let reference: Value = serde_json::from_slice(&std::fs::read(reference).unwrap()).unwrap();
    let expected = reference["text"].as_str().unwrap();
    let place = Place::new();
    let generated =
        place.run(&["generate", "--llm", &model, "--prompt", "", "--max-new-tokens", "40", "--json"]).json();
    let text = generated["text"].as_str().unwrap();
    assert!(text.len() > 50 && expected.trim_start().starts_with(text.trim()), "{text:?} {expected:?}");
    let shown = place.run(&["generate", "--llm", &model, "--max-new-tokens", "40"]);
    assert_eq!(shown.out.trim(), text.trim());
    let mut piped = place.command(&["generate", "--llm", &model, "--prompt", "-", "--max-new-tokens", "5", "--json"]);
    piped.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = piped.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"Once upon a time").unwrap();
    let output = child.wait_with_output().unwrap();
    let piped: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(piped["tokens"].as_array().unwrap().len(), 5);
}

#[test]
fn a_bench_has_a_figure_for_every_kind_of_work_and_puts_the_peers_beside() {
    let place = Place::small();
    place.write(
        "peers.json",
        json!({"forward_sidr": {"tokens_per_second": 1000.0}, "head_naive": {"ms": 5.0}}).to_string(),
    );
    let bench = ["bench", "--encoder", "encoder", "--llm", "llm", "--rounds", "1", "--peers"];
    let of = |file: &'static str| bench.iter().copied().chain([file, "--json"]).collect::<Vec<_>>();
    let report = place.run(&of("peers.json")).json();
    let rows = report["rows"].as_array().unwrap();
    // Memory is known where the system tells it.
    assert_eq!(rows.len(), 10 + usize::from(cfg!(target_os = "linux")), "{report}");
    assert!(rows.iter().all(|row| row["value"].as_f64().is_some_and(|value| value > 0.0)), "{report}");
    let peer = |figure: &str| rows.iter().find(|row| row["figure"] == figure).unwrap()["peer"].as_f64();
    assert_eq!(peer("encoder, reading"), Some(1000.0));
    assert_eq!(peer("vocabulary head, forth and back"), Some(5.0));
    assert_eq!(peer("encoder, training step"), None);
    assert!(report["gflops_ceiling"].as_f64().unwrap() > 0.0 && report["threads"].as_u64().unwrap() > 0);

    place.write("broken.json", "{\n\"forward\": }");
    place.run(&of("broken.json")).refused(&["broken.json, line 2", "torch_bench.py"]);
    place.run(&["bench", "--rounds", "0"]).refused(&["--rounds 0"]);
    place.run(&["bench", "--texts", "0"]).refused(&["--texts"]);
}
