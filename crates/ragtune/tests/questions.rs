//! Questions from outside: looked through, written, drafted.

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{Place, Ran};
use serde_json::Value;

/// Runs the binary with a text on its standard input.
fn piped(place: &Place, arguments: &[&str], text: &str) -> Ran {
    let mut command = place.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn ids(report: &Value) -> Vec<&str> {
    report["questions"].as_array().unwrap().iter().map(|question| question["id"].as_str().unwrap()).collect()
}

#[test]
fn a_file_with_bad_lines_shows_what_is_wrong_and_keeps_the_rest() {
    let place = Place::indexed();
    place.write(
        "q/qa.jsonl",
        "{\"id\": \"a\", \"question\": \"what rose?\", \"answers\": [\"oil\"], \"gold_ids\": [\"oil\"]}\n\
         {\"id\": \"b\", \"question\": \"why?\"}\n{oops\n\
         {\"id\": \"c\", \"question\": \"why?\", \"answers\": [\"tea\"], \"gold_ids\": [\"nowhere\"]}\n\
         {\"id\": \"d\", \"question\": \"which leaf?\", \"answers\": [\"red\"], \"gold_ids\": [\"leaf\"]}\n",
    );
    let report = place.run(&["questions", "check", "q", "--index", "index", "--json"]).json();
    assert_eq!(ids(&report), ["a", "d"]);
    let lines: Vec<(Option<u64>, bool)> = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|problem| !problem["line"].is_null())
        .map(|problem| (problem["line"].as_u64(), problem["fatal"].as_bool().unwrap()))
        .collect();
    assert_eq!(lines, [(Some(2), true), (Some(3), true), (Some(4), true), (Some(5), false)]);
    let text = place.run(&["questions", "check", "q", "--index", "index"]);
    assert!(text.code == 0 && text.out.contains("nowhere") && text.out.contains("left out"), "{}", text.out);
    place.run(&["questions", "check", "none"]).refused(&["none"]);
    place.run(&["questions", "check", "q", "--index", "none"]).refused(&["none"]);
}

#[test]
fn pasted_tables_become_a_questions_file_that_everything_reads() {
    let place = Place::indexed();
    let table = "question,answer\n\"why, then?\",oil,\nwhat rose?,\"the price, of oil\"\n";
    let checked = piped(&place, &["questions", "check", "-", "--json"], table).json();
    assert_eq!(checked["questions"][0]["question"], "why, then?");
    assert_eq!(checked["questions"][1]["answers"][0], "the price, of oil");

    let written = piped(&place, &["questions", "write", "-", "--out", "mine/qa.jsonl", "--json"], table).json();
    let (first, made_up) = (ids(&written), fs::read_to_string(place.path("mine/qa.jsonl")).unwrap());
    assert!(first[0].starts_with('q') && first[0] != first[1], "{first:?}");
    let again = piped(&place, &["questions", "write", "-", "--out", "mine/qa.jsonl", "--json"], table).json();
    assert_eq!(fs::read_to_string(place.path("mine/qa.jsonl")).unwrap(), made_up, "the same ids again");
    assert_eq!(place.files("mine"), ["qa.jsonl"], "a file that was understood needs no second name: {again}");
    let eval = place.run(&[
        "eval",
        "--index",
        "index",
        "--encoder",
        "encoder",
        "--questions",
        "mine",
        "--split",
        "all",
        "-m",
        "6",
        "--json",
    ]);
    assert_eq!(eval.json()["questions"], 2);

    // The table itself serves as well.
    place.write("table.csv", table);
    let eval = place.run(&[
        "eval",
        "--index",
        "index",
        "--encoder",
        "encoder",
        "--questions",
        "table.csv",
        "--split",
        "all",
        "-m",
        "6",
        "--json",
    ]);
    assert_eq!(eval.json()["questions"], 2);
    let rewritten = place.run(&["questions", "write", "table.csv", "--out", "other.jsonl", "--json"]).json();
    assert_eq!(ids(&rewritten), first);
}

#[test]
fn what_cannot_be_understood_is_not_lost() {
    let place = Place::new();
    place.write("good.tsv", "why?\ttea\n");
    for (name, content) in [
        ("notes.jsonl", "my notes\n"),
        ("corpus.jsonl", "{\"_id\": \"a\", \"text\": \"a passage\"}\n"),
        ("qa.jsonl", "{\"id\": \"a\", \"question\": \"?\", \"answers\": [\"x\"], \"source\": \"exam of 1973\"}\n"),
    ] {
        place.write(name, content);
        let ran = place.run(&["questions", "write", "good.tsv", "--out", name]);
        assert!(ran.code == 0 && ran.err.contains(".bak"), "{name}: {}", ran.err);
        assert_eq!(fs::read_to_string(place.path(&format!("{name}.bak"))).unwrap(), content);
    }
    place.write("notes.jsonl", "my other notes\n");
    place.run(&["questions", "write", "good.tsv", "--out", "notes.jsonl"]);
    assert_eq!(fs::read_to_string(place.path("notes.jsonl.bak")).unwrap(), "my notes\n", "an older copy stays");
    assert!(place.path("notes.jsonl.bak2").exists());

    place.write("bad.tsv", "why?\ttea\nwhat?\t\n");
    place.run(&["questions", "write", "bad.tsv", "--out", "out.jsonl"]).refused(&["bad.tsv, line 2", "no answer"]);
    place.run(&["questions", "write", "good.tsv", "--out", "out.jsonl.gz"]).refused(&[".gz"]);
    assert!(!place.path("out.jsonl").exists());
}

#[test]
fn drafts_come_with_their_doubts() {
    let place = Place::world();
    let build = place.run(&["index", "build", "--corpus", "world", "--tokenizer", "encoder", "--out", "index"]);
    assert_eq!(build.code, 0, "{}", build.err);
    let draft = |more: &[&str]| {
        let arguments = ["questions", "draft", "--index", "index", "--llm", "reader", "--count", "4"];
        place.run(&[&arguments[..], more].concat())
    };
    let ran = draft(&["--json", "--out", "drafts.jsonl"]);
    let drafts = ran.json();
    let drafts = drafts.as_array().unwrap();
    assert_eq!(drafts.len(), 4);
    let mut passages: Vec<&str> =
        drafts.iter().map(|draft| draft["question"]["gold_ids"][0].as_str().unwrap()).collect();
    passages.sort_unstable();
    passages.dedup();
    assert_eq!(passages.len(), 4, "each about a passage of its own");
    let good = drafts.iter().filter(|draft| draft["doubt"].is_null()).count();
    assert_eq!(place.path("drafts.jsonl").exists(), good > 0);
    // The sample reader can only answer; whoever drafts with it hears so.
    assert!(good > 0 || ran.err.contains("something speaks against every one"), "{}", ran.err);
    assert_eq!(draft(&["--json"]).out, ran.out, "equal seeds, equal drafts");
    assert_ne!(draft(&["--json", "--seed", "5"]).out, ran.out);
    let text = draft(&[]);
    assert!(text.code == 0 && text.out.contains("without a doubt"), "{}", text.out);
    place.run(&["questions", "draft", "--index", "index", "--llm", "none"]).refused(&["none"]);
}
