//! `ragtune search` and `ragtune encode`: the scores are what they are said to be.

mod common;

use common::{Place, Ran, dot};
use serde_json::Value;

fn search(place: &Place, more: &[&str]) -> Ran {
    place.run(&[&["search", "--index", "index", "--encoder", "encoder", "--json"], more].concat())
}

fn hits(ran: &Ran) -> Vec<Value> {
    ran.json()["queries"][0]["hits"].as_array().unwrap().clone()
}

fn encoded(place: &Place, texts: &str, kind: &str, form: &str) -> Vec<Value> {
    place
        .run(&["encode", "--encoder", "encoder", "--texts", texts, "--kind", kind, "--form", form, "--top-k", "5"])
        .lines()
}

#[test]
fn every_mode_ranks_by_its_inner_product() {
    let place = Place::indexed();
    place.write("query.txt", "price of oil");
    // Twenty dimensions are fewer than the 768 of S, so that S holds them all.
    let form = |kind: &str, form: &str| {
        let texts = if kind == "query" { "query.txt" } else { "corpus.jsonl" };
        place.run(&["encode", "--encoder", "encoder", "--texts", texts, "--kind", kind, "--form", form]).lines()
    };
    let query_s = form("query", "s").remove(0);
    let query_bag = form("query", "bot").remove(0);
    let query_dense = form("query", "dense").remove(0);
    for (mode, query, passages) in [
        ("bot", &query_s, form("passage", "bot")),
        ("full", &query_s, form("passage", "s+")),
        ("alpha", &query_bag, form("passage", "s+")),
        ("late", &query_s, form("passage", "s+")),
    ] {
        let found = hits(&search(&place, &["--mode", mode, "--query", "price of oil"]));
        assert_eq!(found.len(), 6, "{mode}");
        for (at, hit) in found.iter().enumerate() {
            let passage = passages.iter().find(|passage| passage["id"] == hit["id"]).unwrap();
            let (score, expected) = (hit["score"].as_f64().unwrap(), dot(query, passage));
            assert!((score - expected).abs() < 1e-3 * expected.abs().max(1.0), "{mode}: {score} {expected}");
            assert!(at == 0 || score <= found[at - 1]["score"].as_f64().unwrap(), "{mode}");
            assert_eq!(hit["rank"], at + 1);
        }
    }
    let own = hits(&search(&place, &["--mode", "own", "--query", "price of oil"]));
    let bags = form("passage", "bot");
    for hit in own {
        let bag = bags.iter().find(|passage| passage["id"] == hit["id"]).unwrap();
        let expected: f64 = query_bag["indices"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|id| bag["indices"].as_array().unwrap().contains(id))
            .map(|id| {
                let at = query_dense["indices"].as_array().unwrap().iter().position(|other| other == id).unwrap();
                query_dense["values"][at].as_f64().unwrap()
            })
            .sum();
        assert!((hit["score"].as_f64().unwrap() - expected).abs() < 1e-3, "{hit} {expected}");
    }
}

#[test]
fn explanations_sum_to_the_score() {
    let place = Place::indexed();
    for mode in ["bot", "own", "full", "alpha", "late"] {
        for hit in hits(&search(&place, &["--mode", mode, "--query", "why the oil crisis ?", "-k", "3", "--explain"])) {
            let parts = hit["explain"].as_array().unwrap();
            let sum: f64 = parts.iter().map(|part| part["product"].as_f64().unwrap()).sum();
            let score = hit["score"].as_f64().unwrap();
            assert!((sum - score).abs() < 1e-3 * score.abs().max(1.0), "{mode}: {sum} {score}");
            for part in parts {
                let product = part["query_weight"].as_f64().unwrap() * part["passage_weight"].as_f64().unwrap();
                assert!((product - part["product"].as_f64().unwrap()).abs() < 1e-3, "{part}");
            }
        }
    }
    assert!(hits(&search(&place, &["--query", "oil"]))[0].get("explain").is_none());
}

#[test]
fn forms_hold_what_they_say() {
    let place = Place::indexed();
    let (s, s_plus) =
        (encoded(&place, "corpus.jsonl", "passage", "s"), encoded(&place, "corpus.jsonl", "passage", "s+"));
    let (bag, dense) =
        (encoded(&place, "corpus.jsonl", "passage", "bot"), encoded(&place, "corpus.jsonl", "passage", "dense"));
    let indices = |v: &Value| v["indices"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap()).collect::<Vec<_>>();
    for at in 0..6 {
        assert_eq!(indices(&s[at]).len(), 5);
        let mut both = [indices(&s[at]), indices(&bag[at])].concat();
        both.sort_unstable();
        both.dedup();
        assert_eq!(indices(&s_plus[at]), both);
        // Ids of words, none of special tokens, ascending.
        assert_eq!(indices(&dense[at]), (4..24).collect::<Vec<u64>>());
        assert!(bag[at]["values"].as_array().unwrap().iter().all(|value| value == 1.0));
    }
}

#[test]
fn a_text_is_encoded_alike_alone_and_in_company() {
    let place = Place::indexed();
    let together = encoded(&place, "corpus.jsonl", "passage", "dense");
    let line = common::corpus().lines().nth(4).unwrap().to_owned();
    place.write("one.jsonl", line);
    let alone = encoded(&place, "one.jsonl", "passage", "dense").remove(0);
    assert_eq!(alone["id"], together[4]["id"]);
    for (a, b) in alone["values"].as_array().unwrap().iter().zip(together[4]["values"].as_array().unwrap()) {
        assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4);
    }
}

#[test]
fn many_queries_and_their_run_file_agree() {
    let place = Place::indexed();
    place.write("queries.jsonl", "{\"_id\": \"q1\", \"text\": \"green tea\"}\n{\"_id\": \"q2\", \"text\": \"oil\"}\n");
    let report =
        search(&place, &["--mode", "bot", "--queries", "queries.jsonl", "-k", "2", "--run", "runs/a.txt"]).json();
    let mut expected = String::new();
    for query in report["queries"].as_array().unwrap() {
        for hit in query["hits"].as_array().unwrap() {
            expected += &format!(
                "{} Q0 {} {} {} ragtune\n",
                query["id"].as_str().unwrap(),
                hit["id"].as_str().unwrap(),
                hit["rank"],
                hit["score"]
            );
        }
    }
    let run = std::fs::read_to_string(place.path("runs/a.txt")).unwrap();
    assert_eq!(run, expected);
}

#[test]
fn an_index_of_another_tokenizer_or_encoder_is_refused() {
    let place = Place::indexed();
    let mut words = common::WORDS;
    words.swap(0, 1);
    place.write("other.json", common::tokenizer(&words).to_string());
    let build =
        place.run(&["index", "build", "--corpus", "corpus.jsonl", "--tokenizer", "other.json", "--out", "index2"]);
    assert_eq!(build.code, 0, "{}", build.err);
    place
        .run(&["search", "--index", "index2", "--encoder", "encoder", "--query", "oil"])
        .refused(&["tokenizer", "index build"]);
    place
        .run(&["search", "--index", "index2", "--encoder", "encoder", "--mode", "full", "--query", "oil"])
        .refused(&["index build"]);
    common::bert(&place, "encoder2", 2);
    place
        .run(&["search", "--index", "index", "--encoder", "encoder2", "--mode", "full", "--query", "oil"])
        .refused(&["another encoder", "--parametric"]);
    let late = place.run(&["search", "--index", "index", "--encoder", "encoder2", "--query", "oil"]);
    assert_eq!(late.code, 0, "{}", late.err);
    let refresh = place.run(&["index", "build", "--parametric", "--encoder", "encoder2", "--out", "index"]);
    assert_eq!(refresh.code, 0, "{}", refresh.err);
    assert_eq!(
        hits(&place.run(&[
            "search",
            "--index",
            "index",
            "--encoder",
            "encoder2",
            "--mode",
            "full",
            "--query",
            "oil",
            "--json"
        ]))
        .len(),
        6
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let place = Place::indexed();
    search(&place, &["--query", "oil", "-m", "5", "-k", "6"]).refused(&["raise m or lower k"]);
    search(&place, &["--query", "oil", "-k", "0"]).refused(&["at least 1"]);
    search(&place, &["--query", " "]).refused(&["empty"]);
    search(&place, &[]).refused(&["--query"]);
    search(&place, &["--query", "oil", "--mode", "fast"]).refused(&["late"]);
    search(&place, &["--queries", "none.jsonl"]).refused(&["none.jsonl"]);
    place.run(&["search", "--index", "index", "--encoder", "nowhere", "--query", "oil"]).refused(&["nowhere"]);
    place
        .run(&["encode", "--encoder", "encoder", "--texts", "corpus.jsonl", "--head", "dense", "--form", "s"])
        .refused(&["--form"]);
    place.write("bad.jsonl", "{\"id\": \"a\", \"text\": \"oil\"}\n{\"id\": \"b\"}\n");
    let bad = place.run(&["encode", "--encoder", "encoder", "--texts", "bad.jsonl"]);
    assert_eq!(bad.code, 2);
    assert!(bad.err.contains("bad.jsonl, line 2"), "{}", bad.err);
}

#[test]
fn squad_is_searched_with_a_plain_sentence_encoder() {
    let (Some(data), Some(model)) = (common::shared("data/squad-dev"), common::shared("models/all-MiniLM-L6-v2"))
    else {
        return;
    };
    let place = Place::new();
    let report =
        place.run(&["index", "build", "--corpus", &data, "--tokenizer", &model, "--out", "index", "--json"]).json();
    assert_eq!(report["passages"], 2067);
    for mode in ["bot", "own", "late"] {
        let found = place
            .run(&[
                "search",
                "--index",
                "index",
                "--encoder",
                &model,
                "--mode",
                mode,
                "--query",
                "Which Doctor Who story was written by Douglas Adams?",
                "-m",
                "10",
                "-k",
                "5",
                "--json",
            ])
            .json();
        let hits = found["queries"][0]["hits"].as_array().unwrap().clone();
        assert_eq!(hits.len(), 5);
        assert!(hits.iter().any(|hit| hit["id"].as_str().unwrap().starts_with("Doctor_Who#")), "{mode}: {found}");
    }
}
