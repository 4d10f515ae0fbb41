//! `ragtune inspect`, `weigh` and `replay`: a closer look, and a session done again.

mod common;

use common::Place;
use serde_json::json;

#[test]
fn a_vector_is_shown_as_the_tokens_that_encode_gives() {
    let place = Place::indexed();
    let ran = place.run(&["inspect", "--encoder", "encoder", "--question", "price of oil", "--top", "20", "--json"]);
    let shown = ran.json();
    let tokens = shown[0]["tokens"].as_array().unwrap();
    place.write("query.txt", "price of oil");
    let encoded = place
        .run(&["encode", "--encoder", "encoder", "--texts", "query.txt", "--kind", "query", "--form", "s"])
        .lines();
    let (ids, values) = (encoded[0]["indices"].as_array().unwrap(), encoded[0]["values"].as_array().unwrap());
    assert_eq!(tokens.len(), ids.len().min(20));
    for token in tokens {
        let at = ids.iter().position(|id| *id == token["id"]).unwrap();
        let (weight, value) = (token["weight"].as_f64().unwrap(), values[at].as_f64().unwrap());
        assert!((weight - value).abs() < 1e-4, "{token} {value}");
        let word = token["token"].as_str().unwrap();
        assert_eq!(token["own"], ["price", "of", "oil"].contains(&word) || word.starts_with('['), "{token}");
    }
    assert!(tokens.is_sorted_by(|a, b| a["weight"].as_f64() >= b["weight"].as_f64()));
    place.run(&["inspect", "--encoder", "encoder"]).refused(&["--question", "--passage"]);
    place
        .run(&["inspect", "--encoder", "encoder", "--index", "index", "--passage", "nobody"])
        .refused(&["no passage \"nobody\""]);
}

#[test]
fn an_answer_is_weighed_with_each_passage_as_score_does() {
    let place = Place::indexed();
    let first = place.run(&["index", "passages", "--index", "index", "--limit", "2", "--json"]).json();
    let passages = first["passages"].as_array().unwrap();
    let ids: Vec<&str> = passages.iter().map(|passage| passage["id"].as_str().unwrap()).collect();
    let base = ["weigh", "--index", "index", "--llm", "llm", "--question", "price of oil", "--json"];
    let chosen = ["--passage", ids[0], "--passage", ids[1], "--answer", "oil"];
    let weighed = place.run(&[&base[..], &chosen[..]].concat()).json();
    let item = |passage: &serde_json::Value| {
        json!({"id": passage["id"], "question": "price of oil", "answers": ["oil"],
            "passage": {"title": passage["title"], "text": passage["text"]}})
    };
    let items: String = passages.iter().map(|passage| item(passage).to_string() + "\n").collect();
    place.write("items.jsonl", items);
    let scored = place.run(&["score", "--llm", "llm", "--items", "items.jsonl"]).lines();
    for (weighed, scored) in weighed.as_array().unwrap().iter().zip(&scored) {
        assert_eq!((&weighed["id"], &weighed["generated"]), (&scored["id"], &json!(false)));
        assert!((weighed["log_prob"].as_f64().unwrap() - scored["score"].as_f64().unwrap()).abs() < 1e-4);
    }
    let own = place.run(&[&base[..], &["--passage", ids[0], "--max-new-tokens", "4"]].concat()).json();
    assert_eq!(own[0]["generated"], true);
}

#[test]
fn a_transcript_is_run_again_and_a_broken_line_is_named() {
    let place = Place::indexed();
    let index = place.path("index");
    let info = json!({"command": "index-info", "index": index});
    let list =
        json!({"command": "list-passages", "index": index, "find": "oil", "file": null, "offset": 0, "limit": 3});
    place.write("transcript.jsonl", format!("{info}\n{list}\n"));
    let ran = place.run(&["replay", "transcript.jsonl", "--json"]).lines();
    let asked = place.run(&["index", "passages", "--index", "index", "--find", "oil", "--limit", "3", "--json"]).json();
    assert_eq!((ran.len(), &ran[0]["passages"], &ran[1]), (2, &json!(6), &asked));
    place.write("transcript.jsonl", format!("{info}\n{{\"command\": \"fly\"}}\n"));
    place.run(&["replay", "transcript.jsonl"]).refused(&["transcript.jsonl, line 2"]);
    // The first command that fails ends it.
    place.write("transcript.jsonl", format!("{}\n{info}\n", json!({"command": "index-info", "index": "nowhere"})));
    place.run(&["replay", "transcript.jsonl"]).refused(&["nowhere"]);
}
