//! `ragtune eval` and `ragtune sample`: figures, and questions that cannot be used.

mod common;

use common::{Place, Ran};
use serde_json::json;

fn questions() -> String {
    [
        json!({"id": "q1", "question": "why the oil crisis ?", "answers": ["1973"], "gold_ids": ["oil"], "split": "test"}),
        json!({"id": "q2", "question": "green tea leaf", "answers": ["green"], "gold_ids": ["tea"], "split": "test"}),
        json!({"id": "q3", "question": "the price of tea", "choices": ["yes", "no"], "answers": ["yes"], "gold_ids": ["price"], "split": "train"}),
    ]
    .iter()
    .map(|line| format!("{line}\n"))
    .collect()
}

fn eval(place: &Place, more: &[&str]) -> Ran {
    place.run(
        &[&["eval", "--index", "index", "--encoder", "encoder", "--questions", "qa.jsonl", "--json"], more].concat(),
    )
}

#[test]
fn figures_that_were_not_computed_are_null() {
    let place = Place::indexed();
    place.write("qa.jsonl", questions());
    let report = eval(&place, &["--mode", "bot"]).json();
    assert_eq!(report["questions"], 2);
    assert_eq!(report["rag_accuracy"], json!({"1": null, "10": null}));
    assert_eq!(report["em"]["1"], json!(null));
    for k in ["1", "5", "20", "100"] {
        let recall = report["recall"][k].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&recall));
    }
    // Six passages: all of them are among the first twenty.
    assert_eq!((&report["recall"]["20"], &report["answer_recall"]["20"]), (&json!(1.0), &json!(1.0)));
    assert!(report["mrr@10"].as_f64().unwrap() > 0.0 && report["ndcg@10"].as_f64().unwrap() > 0.0);
    assert!(report.get("per_question").is_none());
    // "yes" in a passage is no sign of an answer.
    let closed = eval(&place, &["--split", "train"]).json();
    assert_eq!((&closed["answer_recall"]["20"], &closed["recall"]["20"]), (&json!(null), &json!(1.0)));
    // A re-ranking of three candidates says nothing about the first five.
    let late = eval(&place, &["--mode", "late", "-m", "3"]).json();
    assert!(late["recall"]["1"].is_number() && late["recall"]["5"].is_null(), "{late}");
}

#[test]
fn a_language_model_answers_with_each_number_of_passages() {
    let place = Place::indexed();
    place.write("qa.jsonl", questions());
    let report = eval(&place, &["--llm", "llm", "--docs", "1,2", "--split", "all", "--details"]).json();
    assert_eq!(report["questions"], 3);
    let details = report["per_question"].as_array().unwrap();
    for n in ["1", "2"] {
        let right = details.iter().filter(|question| question["generations"][n]["correct"] == true).count();
        assert_eq!(report["rag_accuracy"][n].as_f64().unwrap(), right as f64 / 3.0);
    }
    assert_eq!(details[0]["passages"].as_array().unwrap().len(), 6);
    let limited = eval(&place, &["--split", "all", "--limit", "1"]).json();
    assert_eq!(limited["questions"], 1);
}

#[test]
fn questions_that_do_not_fit_are_refused() {
    let place = Place::indexed();
    place.write("qa.jsonl", questions());
    eval(&place, &["--split", "dev"]).refused(&["split dev", "--split"]);
    eval(&place, &["--docs", "0"]).refused(&["--docs"]);
    place.write("qa.jsonl", format!("{}{}", questions(), json!({"id": "q4", "question": "why ?"})));
    eval(&place, &[]).refused(&["qa.jsonl, line 4", "answer"]);
    place.write("qa.jsonl", questions());
    place.write("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\tx/oil\t1\nq2\ttea\t1\n");
    eval(&place, &[]).refused(&["\"x/oil\"", "\"q1\"", "--id-prefix"]);
    place.write("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\toil\tmany\nq2\toil\tmany\n");
    eval(&place, &[]).refused(&["test.tsv, line 2", "whole number"]);
}

#[test]
fn questions_of_one_set_are_asked_of_a_mix_of_sets() {
    let place = Place::small();
    let mixed = common::corpus().replace("\"_id\":\"", "\"_id\":\"set/");
    assert_ne!(mixed, common::corpus());
    place.write("mix/corpus.jsonl", mixed);
    place.write("mix/aliases.tsv", "duplicate-id\tkept-id\nset/double\tset/tea\n");
    place.write("qa.jsonl", questions().replace("[\"tea\"]", "[\"double\"]"));
    let build = place.run(&["index", "build", "--corpus", "mix", "--encoder", "encoder", "--out", "index"]);
    assert_eq!(build.code, 0, "{}", build.err);
    eval(&place, &["--mode", "own"]).refused(&["--id-prefix"]);
    let report = eval(&place, &["--mode", "own", "--id-prefix", "set"]).json();
    assert_eq!(report["recall"]["20"], json!(1.0));
    assert_eq!(place.run(&["index", "verify", "index", "--json"]).json()["passages"], 6);
}

#[test]
fn a_sample_world_can_be_indexed_and_evaluated() {
    let place = Place::small();
    let made =
        place.run(&["sample", "generate", "--passages", "100", "--questions", "20", "--out", "world", "--json"]).json();
    assert_eq!((&made["passages"], &made["questions"]), (&json!(100), &json!(20)));
    let files = ["corpus.jsonl", "qa.jsonl", "qrels/dev.tsv", "qrels/test.tsv", "qrels/train.tsv", "queries.jsonl"];
    assert_eq!(place.files("world"), files);
    let bytes: u64 = files.iter().map(|name| std::fs::metadata(place.path("world").join(name)).unwrap().len()).sum();
    assert_eq!(made["bytes"], bytes);
    let again = place.run(&["sample", "generate", "--passages", "100", "--questions", "20", "--out", "again"]);
    assert_eq!(again.code, 0, "{}", again.err);
    for name in files {
        let read = |folder: &str| std::fs::read(place.path(folder).join(name)).unwrap();
        assert_eq!(read("world"), read("again"), "{name}");
    }
    let build = place.run(&["index", "build", "--corpus", "world", "--encoder", "encoder", "--out", "index"]);
    assert_eq!(build.code, 0, "{}", build.err);
    let report = place
        .run(&[
            "eval",
            "--index",
            "index",
            "--encoder",
            "encoder",
            "--questions",
            "world",
            "--split",
            "all",
            "--mode",
            "own",
            "--json",
        ])
        .json();
    assert_eq!(report["questions"], 20);
    place.run(&["sample", "generate", "--passages", "10", "--out", "tiny"]).refused(&["at least 50"]);
}

#[test]
fn the_models_that_ship_with_ragtune_are_written_and_work() {
    let place = Place::new();
    let models = place.run(&["sample", "models", "--out", "models", "--json"]).json();
    let kinds: Vec<&str> = models.as_array().unwrap().iter().map(|model| model["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["encoder", "llm"]);
    for name in ["models/encoder", "models/reader"] {
        let model = place.run(&["models", "verify", name, "--json"]).json();
        assert_eq!(model["verified"], true, "{model}");
    }
    // Where they cannot be written, the folder is named.
    place.write("file", "");
    place.run(&["sample", "models", "--out", "file"]).refused(&["file"]);
}
