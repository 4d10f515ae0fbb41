//! `ragtune index`: what is built, and what is left when it is not.

mod common;

use common::{Place, Ran};

fn build(place: &Place, corpus: &str) -> Ran {
    place.run(&["index", "build", "--corpus", corpus, "--tokenizer", "tokenizer.json", "--out", "index", "--json"])
}

#[test]
fn an_index_is_built_shown_and_checked() {
    let place = Place::small();
    let report = build(&place, "corpus.jsonl").json();
    assert_eq!(report["passages"], 6);
    for field in ["postings", "bytes", "bits_per_posting", "seconds", "passages_per_second"] {
        assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
    }
    let info = place.run(&["index", "info", "index", "--json"]).json();
    assert_eq!(
        (&info["passages"], &info["postings"], &info["verified"]),
        (&report["passages"], &report["postings"], &false.into())
    );
    assert_eq!(info["dims"], common::WORDS.len());
    assert_eq!(place.run(&["index", "verify", "index", "--json"]).json()["verified"], true);
    let table = place.run(&["index", "info", "index"]);
    assert!(table.code == 0 && table.out.contains("passages") && table.out.contains("bot.bin"), "{}", table.out);
}

#[test]
fn a_corpus_that_cannot_be_read_names_file_and_line_and_leaves_nothing() {
    let place = Place::small();
    let good = common::corpus();
    for (name, text, parts) in [
        ("broken.jsonl", format!("{good}\n{{\"_id\": \"x\", \"text\": \n"), ["broken.jsonl, line 8", "JSON"]),
        ("noid.jsonl", format!("{{\"text\": \"oil\"}}\n{good}"), ["noid.jsonl, line 1", "_id"]),
        ("twice.jsonl", format!("{good}{{\"_id\": \"tea\", \"text\": \"oil\"}}\n"), ["twice.jsonl, line 7", "\"tea\""]),
        ("empty.jsonl", "\n".to_owned(), ["empty.jsonl", "no passages"]),
        ("latin.txt", String::new(), ["latin.txt", "UTF-8"]),
    ] {
        place.write(name, if name == "latin.txt" { b"caf\xe9 oil".to_vec() } else { text.into_bytes() });
        build(&place, name).refused(&parts);
        assert!(!place.path("index").exists(), "{name} left {:?}", place.files("index"));
    }
    build(&place, "none.jsonl").refused(&["none.jsonl", "no such file"]);
    place.run(&["index", "build", "--corpus", "corpus.jsonl", "--out", "index"]).refused(&["--tokenizer"]);
    place.run(&["index", "build", "--tokenizer", "tokenizer.json", "--out", "index"]).refused(&["--corpus"]);
    let wrong = ["index", "build", "--corpus", "corpus.jsonl", "--tokenizer", "corpus.jsonl", "--out", "index"];
    place.run(&wrong).refused(&["corpus.jsonl", "tokenizer.json"]);
}

#[test]
fn a_failed_rebuild_leaves_the_old_index_as_it_was() {
    let place = Place::small();
    build(&place, "corpus.jsonl").json();
    let before = place.files("index");
    place.write("broken.jsonl", format!("{}x\n", common::corpus()));
    build(&place, "broken.jsonl").refused(&["broken.jsonl, line 7"]);
    assert_eq!(place.files("index"), before);
    assert_eq!(place.run(&["index", "verify", "index", "--json"]).json()["passages"], 6);
}

#[test]
fn damage_is_found() {
    let place = Place::small();
    build(&place, "corpus.jsonl").json();
    let path = place.path("index/bot.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    place.run(&["index", "verify", "index"]).refused(&["bot.bin", "checksum"]);
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    place.run(&["index", "info", "index"]).refused(&["bot.bin"]);
    place.run(&["index", "info", "encoder"]).refused(&["encoder", "no index here"]);
    place.run(&["index", "info", "nowhere"]).refused(&["nowhere"]);
}

#[test]
fn passages_are_added_removed_merged_and_written_out() {
    let place = Place::small();
    build(&place, "corpus.jsonl").json();
    place.write("more.jsonl", "{\"_id\": \"new\", \"text\": \"oil tea\"}\n");
    let add = ["index", "add", "index", "--corpus", "more.jsonl", "--tokenizer", "tokenizer.json", "--json"];
    assert_eq!(place.run(&add).json()["passages"], 7);
    assert_eq!(
        place.run(&["index", "remove", "index", "--id", "tea", "oil", "--out", "less", "--json"]).json()["passages"],
        5
    );
    place.run(&["index", "remove", "less", "--id", "tea"]).refused(&["\"tea\"", "nothing was removed"]);
    place.run(&["index", "merge", "index", "less", "--out", "both"]).refused(&["occurs twice"]);
    assert_eq!(place.run(&["index", "export", "index", "--out", "texts", "--json"]).json()["passages"], 7);
    let exported = place.run(&[
        "index",
        "build",
        "--corpus",
        "texts",
        "--tokenizer",
        "tokenizer.json",
        "--out",
        "again",
        "--json",
    ]);
    assert_eq!(exported.json()["postings"], place.run(&["index", "info", "index", "--json"]).json()["postings"]);
    assert_eq!(place.run(&["index", "verify", "index", "--json"]).json()["passages"], 7);
}

#[test]
fn memory_limits_change_the_files_and_not_what_is_found() {
    let place = Place::indexed();
    let small = [
        "index",
        "build",
        "--corpus",
        "corpus.jsonl",
        "--encoder",
        "encoder",
        "--memory",
        "1kB",
        "--out",
        "small",
        "--json",
    ];
    assert_eq!(place.run(&small).json()["passages"], 6);
    let search = |index: &str| {
        place
            .run(&[
                "search",
                "--index",
                index,
                "--encoder",
                "encoder",
                "--mode",
                "bot",
                "--query",
                "oil price",
                "--json",
            ])
            .json()["queries"]
            .clone()
    };
    assert_eq!(search("small"), search("index"));
}

#[test]
fn text_files_carry_their_place() {
    let place = Place::small();
    place.write("notes/a.md", "# Oil crisis\n\nThe price of oil rose.\n");
    place.write("notes/b.html", "<h1>Tea</h1><p>Green tea.</p>");
    assert_eq!(build(&place, "notes").json()["passages"], 2);
    let found = place
        .run(&["search", "--index", "index", "--encoder", "encoder", "--mode", "own", "--query", "oil price", "--json"])
        .json();
    let hit = &found["queries"][0]["hits"][0];
    assert_eq!((&hit["id"], &hit["source"]["file"]), (&"notes/a.md#0".into(), &"notes/a.md".into()));
    assert_eq!(hit["source"]["heading"], "Oil crisis");
}
